"""The one way to make the tokens of a store visible: a table without secrets."""

import hashlib
import time
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..token_row import COLUMNS, row_of

SHOWN = (
    "id",
    "user_name",
    "access_token",
    "expiry_time",
    "refresh_token",
    "grant_token",
    "client_id",
    "client_secret",
    "redirect_url",
    "api_domain",
)
"""The ten columns in the order of the table: what changes comes first, for a table may be wider
than its page."""

FINGERPRINTED = ("client_id", "client_secret", "refresh_token", "access_token", "grant_token")
"""The columns that are shown as fingerprints. The client id is no secret (RFC 6749, section 2.2),
but nobody wants to read it, or to find it in a shared notebook."""

_last_rows: WeakKeyDictionary[TokenStore, dict[str, list[Any]]] = WeakKeyDictionary()


def fingerprint(secret: str | None) -> str:
    """Return what may be shown of a secret: ``#`` and 6 hex digits of its SHA-256, or nothing.

    Equal secrets have equal fingerprints, and none can be computed back.

    :param secret: the value to stand for.
    """
    return f"#{hashlib.sha256(secret.encode()).hexdigest()[:6]}" if secret else ""


class TextTable(pd.DataFrame):
    """A DataFrame of texts, which a notebook shows whole and to the left."""

    def _repr_html_(self) -> str:
        return full_html(self)


def token_table(store: TokenStore) -> TextTable:
    """Return the tokens of a store as a table of the ten columns.

    Secrets are shown as fingerprints and the expiry as the time that is left. The index says which
    rows are new or have changed since this store's table was last made.

    :param store: any ``TokenStore``, the SDK's own included.
    """
    rows = {row[0]: row for row in map(row_of, store.get_tokens())}
    before = _last_rows.get(store)
    _last_rows[store] = rows
    marks = [_mark(before, row) for row in rows.values()]
    table = TextTable([_shown(row) for row in rows.values()], columns=list(SHOWN), dtype=object)
    table.index = pd.Index(marks, dtype=object)
    return table


def full_html(table: pd.DataFrame) -> str:
    """Return a table as HTML with every text whole and to the left.

    :param table: any table of texts; of a long one pandas shows the first and the last rows.
    """
    most = pd.get_option("display.max_rows")
    with pd.option_context("display.max_colwidth", None):
        text = table.to_html(
            border=0, justify="left", max_rows=most, show_dimensions=len(table) > most
        )
    # JupyterLab moves the texts of cells to the right, as if they were numbers.
    for cell in ("td", "th"):
        text = text.replace(f"<{cell}>", f'<{cell} style="text-align: left">')
    return text


def _mark(before: dict[str, list[Any]] | None, row: list[Any]) -> str:
    if before is None or before.get(row[0]) == row:
        return ""
    return "changed" if row[0] in before else "new"


def _shown(row: list[Any]) -> list[str]:
    values = dict(zip(COLUMNS, row, strict=True))
    shown = {name: value or "" for name, value in values.items()}
    shown |= {name: fingerprint(values[name]) for name in FINGERPRINTED}
    shown["expiry_time"] = time_left(values["expiry_time"])
    return [shown[name] for name in SHOWN]


def time_left(expiry_time: str | None) -> str:
    """Return how long an access token lasts, such as "in 59 min", or "expired".

    :param expiry_time: when it ends, as a string of epoch milliseconds; None gives no text.
    """
    if not expiry_time:
        return ""
    if not expiry_time.isdecimal():
        return "not a time"
    seconds = int(int(expiry_time) / 1000 - time.time())
    if seconds <= 0:
        return "expired"
    units = ((172_800, 86_400, "days"), (7_200, 3_600, "h"), (60, 60, "min"))
    length, unit = next(((s, u) for least, s, u in units if seconds >= least), (1, "s"))
    return f"in {seconds // length} {unit}"
