"""Two pictures of a token's life, in HTML that is readable without styles, too.

Both show the token requests: those that Practice Zoho has answered, by its own clock; or those to a
real account, as :class:`RealZoho` has recorded them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..practice import PracticeZoho
from ..practice.accounts import ACCESS_LIFETIME_S, MAX_TOKENS_PER_TEN_MINUTES
from .real_zoho import RealZoho
from .table import fingerprint

TEN_MINUTES_S = 600
HOUR = ACCESS_LIFETIME_S / 60  # in minutes
LINE = "border: 1px solid var(--jp-border-color1, #888)"
USED = f"{LINE}; background: rgba(33, 150, 243, 0.35)"  # behind dark text, and behind light
TABLE = "table-layout: auto; width: 100%; min-width: 44em"
CELL = "text-align: left; padding: 2px 8px; white-space: nowrap"
NOW = "border-left: 2px solid var(--jp-error-color1, #c62828)"
REFUSED = "border: 2px dashed var(--jp-error-color1, #c62828)"


@dataclass(frozen=True)
class _TokenRequest:
    """When an access token was requested, with which token, and which one was received, if any."""

    at_s: float
    refresh_token: str  # empty for a request with a grant token
    access_token: str

    @property
    def token_kind(self) -> str:
        return "refresh token" if self.refresh_token else "grant token"


def _token_requests(zoho: PracticeZoho | RealZoho) -> list[_TokenRequest]:
    return [
        _TokenRequest(
            exchange.at_s,
            exchange.parameters.get("refresh_token", ""),
            exchange.answer.get("access_token", ""),
        )
        for exchange in zoho.exchanges
        if exchange.path == "/oauth/v2/token" and isinstance(exchange.answer, dict)
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


class RefreshBudget:
    """How many of the ten access tokens in ten minutes a refresh token has used.

    Zoho counts from the first one, refuses the eleventh and later ones, and starts a new count when
    the ten minutes are over (page "Token Validity" of its CRM API documentation).

    :param zoho: the server; the picture shows the refresh token that was used last.
    """

    def __init__(self, zoho: PracticeZoho | RealZoho) -> None:
        now_s = zoho.now_s
        refreshes = [request for request in _token_requests(zoho) if request.refresh_token]
        own = [r for r in refreshes if r.refresh_token == refreshes[-1].refresh_token]
        start_s = float("-inf")
        for request in own:
            if request.at_s >= start_s + TEN_MINUTES_S:
                start_s = request.at_s
        self.left_s = max(0.0, start_s + TEN_MINUTES_S - now_s)
        """Seconds until the next count starts; 0 if none is running."""
        counted = [request for request in own if request.at_s >= start_s] if self.left_s else []
        self.used = min(len(counted), MAX_TOKENS_PER_TEN_MINUTES)
        """How many of the ten are used."""
        self.refused = len(counted) - self.used
        """How many requests were refused after that."""
        self._after = [_minutes(request.at_s - start_s) for request in counted]

    @property
    def sentence(self) -> str:
        """What the picture says."""
        text = f"{self.used} of {MAX_TOKENS_PER_TEN_MINUTES} access tokens in ten minutes are used."
        if self.refused:
            text += f" Refused with Access Denied: {self.refused}."
        if self.left_s:
            text += f" A new count starts in {_minutes(self.left_s)}."
        return text

    def __repr__(self) -> str:
        boxes = (
            "■" * self.used + "□" * (MAX_TOKENS_PER_TEN_MINUTES - self.used) + "✖" * self.refused
        )
        return f"{boxes}  {self.sentence}"

    @property
    def picture(self) -> str:
        """The ten as boxes, in HTML."""
        cells = []
        for number in range(MAX_TOKENS_PER_TEN_MINUTES):
            after = self._after[number] if number < self.used else "free"
            look = USED if number < self.used else LINE
            sign = "■" if number < self.used else "□"
            cells.append(_box(look, f"{sign} {number + 1}", after))
        cells += [_box(REFUSED, "✖", "denied")] * bool(self.refused)
        return (
            '<div style="display: flex; flex-wrap: wrap; gap: 4px; max-width: 760px">'
            f"{''.join(cells)}</div><p>{html.escape(self.sentence)}</p>"
        )

    def _repr_html_(self) -> str:
        return self.picture


def _box(look: str, sign: str, text: str) -> str:
    return (
        f'<span style="{look}; border-radius: 4px; padding: 2px 8px; min-width: 3.2em; '
        f'text-align: center"><b>{sign}</b><br>{text} </span>'
    )


class TokenTimeline:
    """A token's life: the grant token, each access token, and the current time.

    :param zoho: the server.
    :param store: the store, which has the access token that is in use.
    """

    def __init__(self, zoho: PracticeZoho | RealZoho, store: TokenStore) -> None:
        self._now_s = zoho.now_s
        self._requests = [request for request in _token_requests(zoho) if request.access_token]
        self._stored = {fingerprint(token.get_access_token()) for token in store.get_tokens()}

    @cached_property
    def _rows(self) -> list[tuple[str, str, float, str]]:
        # For each access token: its fingerprint, the kind of token that it was requested with, when
        # that was, in minutes since the first request, and its state.
        rows = []
        for request in self._requests:
            state = "expired" if self._now_s >= request.at_s + ACCESS_LIFETIME_S else "valid"
            state += ", in the store" if request.access_token in self._stored else ""
            start = self._since(request.at_s)
            rows.append((request.access_token, request.token_kind, start, state))
        return rows

    def _since(self, time_s: float) -> float:
        return (time_s - self._requests[0].at_s) / 60 if self._requests else 0.0

    def __repr__(self) -> str:
        lines = [
            f"{token}  from a {source:<13}  {start:4.0f} to {start + HOUR:4.0f} min  {state}"
            for token, source, start, state in self._rows
        ]
        return "\n".join([*lines, f"now: {self._since(self._now_s):.0f} min"])

    def _repr_html_(self) -> str:
        now = self._since(self._now_s)
        whole = max([now, *(start + HOUR for _, _, start, _ in self._rows)]) or 1.0
        lines = []
        for token, source, start, state in self._rows:
            texts = (token, f"from a {source}", f"{start:.0f} to {start + HOUR:.0f} min", state)
            cells = [f'<td style="{CELL}">{html.escape(text)}</td>' for text in texts]
            look = USED if state.startswith("valid") else LINE
            life = _bar(look, 100 * start / whole, 100 * HOUR / whole, 100 * now / whole)
            cells.insert(1, f'<td style="width: 40%; min-width: 10em">{life}</td>')
            lines.append(f"<tr>{''.join(cells)}</tr>")
        names = ("access token", f"| now: {now:.0f} min", "requested", "valid", "state")
        heads = "".join(f'<th style="{CELL}">{name}</th>' for name in names)
        return (
            f'<div style="overflow-x: auto" tabindex="0"><table style="{TABLE}">'
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        )


def _bar(look: str, start: float, width: float, now: float) -> str:
    # In percent of the whole; the thin vertical line is the current time.
    inside = "position: absolute; box-sizing: border-box"
    return (
        '<div style="position: relative; height: 1.3em">'
        f'<div style="{inside}; {look}; left: {start:.1f}%; width: {width:.1f}%; height: 100%">'
        "</div>"
        f'<div style="{inside}; {NOW}; left: {now:.1f}%; height: 130%"></div></div>'
    )
