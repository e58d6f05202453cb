"""Two pictures of a token's life, in HTML that reads as text where no styles are kept.

Both are drawn from what Zoho was asked: Practice Zoho tells it itself, by its own clock; of a real
account, :class:`RealZoho` writes it down.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..practice import PracticeZoho
from ..practice.rules import ACCESS_LIFETIME_S, MOST_IN_TEN_MINUTES
from .real import RealZoho
from .table import fingerprint

TEN_MINUTES_S = 600
HOUR = ACCESS_LIFETIME_S / 60  # in minutes
LINE = "border: 1px solid var(--jp-border-color1, #888)"
USED = f"{LINE}; background: rgba(33, 150, 243, 0.35)"  # under dark text and under light
TABLE = "table-layout: auto; width: 100%; min-width: 44em"
CELL = "text-align: left; padding: 2px 8px; white-space: nowrap"
NOW = "border-left: 2px solid var(--jp-error-color1, #c62828)"
REFUSED = "border: 2px dashed var(--jp-error-color1, #c62828)"


@dataclass(frozen=True)
class _Issue:
    """A request for an access token: when, with which token, and which one came, if any."""

    at_s: float
    asked_with: str
    refresh_token: str
    access_token: str

    @property
    def is_refresh(self) -> bool:
        return self.asked_with == "refresh token"


def _issues(zoho: PracticeZoho | RealZoho) -> list[_Issue]:
    issues = []
    for exchange in zoho.exchanges:
        kind = exchange.parameters.get("grant_type")
        if exchange.path == "/oauth/v2/token" and isinstance(exchange.answer, dict):
            with_grant = kind == "authorization_code"
            sent = exchange.parameters.get("refresh_token", "")
            issues.append(
                _Issue(
                    exchange.at_s,
                    "grant token" if with_grant else "refresh token",
                    exchange.answer.get("refresh_token", "") if with_grant else sent,
                    exchange.answer.get("access_token", ""),
                )
            )
    return issues


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


class RefreshBudget:
    """How many of the ten access tokens in ten minutes a refresh token has used.

    Zoho counts from the first, refuses from the eleventh on, and begins again when the ten minutes
    are over (page "Token Validity" of its CRM API documentation).

    :param zoho: who was asked; the refresh token used last is shown.
    """

    def __init__(self, zoho: PracticeZoho | RealZoho) -> None:
        now_s = zoho.now_s
        refreshes = [issue for issue in _issues(zoho) if issue.is_refresh]
        own = [i for i in refreshes if i.refresh_token == refreshes[-1].refresh_token]
        begin_s = float("-inf")
        for issue in own:
            if issue.at_s >= begin_s + TEN_MINUTES_S:
                begin_s = issue.at_s
        self.left_s = max(0.0, begin_s + TEN_MINUTES_S - now_s)
        """Seconds until the next ten; 0 when they are free."""
        counted = [issue for issue in own if issue.at_s >= begin_s] if self.left_s else []
        self.used = min(len(counted), MOST_IN_TEN_MINUTES)
        """How many of the ten are used."""
        self.refused = len(counted) - self.used
        """How many requests were refused since."""
        self._after = [_minutes(issue.at_s - begin_s) for issue in counted]

    @property
    def sentence(self) -> str:
        """What the picture says."""
        text = f"{self.used} of {MOST_IN_TEN_MINUTES} access tokens in ten minutes are used."
        if self.refused:
            text += f" Refused with Access Denied: {self.refused}."
        if self.left_s:
            text += f" The count starts anew in {_minutes(self.left_s)}."
        return text

    def __repr__(self) -> str:
        boxes = "■" * self.used + "□" * (MOST_IN_TEN_MINUTES - self.used) + "✖" * self.refused
        return f"{boxes}  {self.sentence}"

    @property
    def picture(self) -> str:
        """The ten as boxes, in HTML."""
        cells = []
        for number in range(MOST_IN_TEN_MINUTES):
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
    """A token's life: the grant, one access token after another, and the present.

    :param zoho: who was asked.
    :param store: the store, which says which access token is in use.
    """

    def __init__(self, zoho: PracticeZoho | RealZoho, store: TokenStore) -> None:
        self._now_s = zoho.now_s
        self._issues = [issue for issue in _issues(zoho) if issue.access_token]
        self._stored = {fingerprint(token.get_access_token()) for token in store.get_tokens()}

    @cached_property
    def _rows(self) -> list[tuple[str, str, float, str]]:
        # Of each access token: its fingerprint, what it came from, from when on, in minutes since
        # the first, and what has become of it.
        rows = []
        for issue in self._issues:
            state = "expired" if self._now_s >= issue.at_s + ACCESS_LIFETIME_S else "living"
            state += ", in the store" if issue.access_token in self._stored else ""
            rows.append((issue.access_token, issue.asked_with, self._since(issue.at_s), state))
        return rows

    def _since(self, time_s: float) -> float:
        return (time_s - self._issues[0].at_s) / 60 if self._issues else 0.0

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
            look = USED if state.startswith("living") else LINE
            life = _bar(look, 100 * start / whole, 100 * HOUR / whole, 100 * now / whole)
            cells.insert(1, f'<td style="width: 40%; min-width: 10em">{life}</td>')
            lines.append(f"<tr>{''.join(cells)}</tr>")
        names = ("access token", f"| now: {now:.0f} min", "came", "lives", "is")
        heads = "".join(f'<th style="{CELL}">{name}</th>' for name in names)
        return (
            f'<div style="overflow-x: auto" tabindex="0"><table style="{TABLE}">'
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        )


def _bar(look: str, start: float, width: float, now: float) -> str:
    # In per cent of the whole; the thin upright line is the present.
    inside = "position: absolute; box-sizing: border-box"
    return (
        '<div style="position: relative; height: 1.3em">'
        f'<div style="{inside}; {look}; left: {start:.1f}%; width: {width:.1f}%; height: 100%">'
        "</div>"
        f'<div style="{inside}; {NOW}; left: {now:.1f}%; height: 130%"></div></div>'
    )
