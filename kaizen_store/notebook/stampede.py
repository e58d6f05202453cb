"""A picture of a refresh stampede: many workers need the same access token at the same moment."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..practice import PracticeZoho
from .pictures import CELL, REFUSED, TABLE, USED

TOKEN_PATH = "/oauth/v2/token"
WAITED = "border: 1px dashed var(--jp-border-color1, #888)"

ISSUED = ("■ request", "access token", USED)
DENIED = ("✖ request", "Access Denied", REFUSED)
READ_ROW = ("… wait", "access token from the row", WAITED)
FAILED = ("✖ wait", "error", REFUSED)


class Stampede:
    """What workers did that needed the same access token at the same moment.

    The picture has a line for each worker: those whose request was answered with an access token,
    those that were refused, then those that sent no request. The bars show no measured times.

    :param zoho: the server; its exchanges are those of the workers.
    :param answers: what each worker got, an access token or an exception.
    """

    def __init__(self, zoho: PracticeZoho, answers: Sequence[object]) -> None:
        received = [e.answer for e in list(zoho.exchanges) if e.path == TOKEN_PATH]
        self.workers = len(answers)
        """How many workers needed the access token."""
        self.requests = len(received)
        """How many of them sent a request to Zoho."""
        self.refused = sum("access_token" not in answer for answer in received)
        """How many requests were refused."""
        self.succeeded = sum(isinstance(answer, str) for answer in answers)
        """How many workers got an access token."""

    @property
    def counts(self) -> dict[str, int]:
        """The numbers, for a table."""
        names = ("workers", "requests", "refused", "succeeded")
        return {name: getattr(self, name) for name in names}

    @property
    def sentence(self) -> str:
        """What the picture says."""
        text = f"{self.workers} workers sent {self.requests} request{'s' * (self.requests != 1)}."
        if self.refused:
            text += f" Zoho refused {self.refused}."
        return f"{text} {self.succeeded} workers got an access token."

    @property
    def _lines(self) -> list[tuple[str, str, str]]:
        # For each worker: what it did, what it got, and how the picture shows it.
        issued = self.requests - self.refused
        read_row = max(self.succeeded - issued, 0)
        lines = [ISSUED] * issued + [DENIED] * self.refused + [READ_ROW] * read_row
        return lines + [FAILED] * (self.workers - len(lines))

    def __repr__(self) -> str:
        lines = [
            f"{number:2}  {does:9}  {gets}" for number, (does, gets, _) in enumerate(self._lines, 1)
        ]
        return "\n".join([*lines, self.sentence])

    def _repr_html_(self) -> str:
        rows = []
        for number, (does, gets, look) in enumerate(self._lines, 1):
            bar = f'<div style="{look}; border-radius: 4px; padding: 0 8px">{does}</div>'
            rows.append(
                f'<tr><td style="{CELL}">{number}</td><td style="{CELL}; width: 50%">{bar}</td>'
                f'<td style="{CELL}">{gets}</td></tr>'
            )
        names = ("worker", "during the token request", "result")
        heads = "".join(f'<th style="{CELL}">{name}</th>' for name in names)
        return (
            f'<div style="overflow-x: auto; max-width: 760px" tabindex="0"><table style="{TABLE}">'
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
            f"<p>{html.escape(self.sentence)}</p>"
        )
