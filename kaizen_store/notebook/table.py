"""The one way to show the tokens of a store: a table without secrets."""

import hashlib
import time

import pandas as pd
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..stores.token_row import COLUMNS, Row, row_from_token

FIRST = ("id", "user_name", "access_token", "expiry_time", "refresh_token", "grant_token")
SHOWN = (*FIRST, *(column for column in COLUMNS if column not in FIRST))
"""The ten columns in the order of the table. What changes comes first, because a table can be wider
than its page."""

FINGERPRINTED = ("client_id", "client_secret", "refresh_token", "access_token", "grant_token")
"""The columns that are shown as fingerprints. The client id is not a secret (RFC 6749, section
2.2), but it is long, and it does not belong in a shared notebook."""


def fingerprint(secret: str | None) -> str:
    """Return what may be shown of a secret: ``#`` and 6 hexadecimal digits of its SHA-256 hash.

    Equal secrets have equal fingerprints. A secret cannot be computed from its fingerprint.

    :param secret: the secret; None and an empty string return an empty string.
    """
    return f"#{_hash(secret)[:6]}" if secret else ""


class TextTable(pd.DataFrame):
    """A DataFrame of texts, which a notebook shows in full and aligned to the left."""

    def _repr_html_(self) -> str:
        return full_html(self)


def token_table(store: TokenStore, since: pd.DataFrame | None = None) -> TextTable:
    """Return the tokens of a store as a table of the ten columns.

    Secrets are shown as fingerprints, and the expiry as the time that is left.

    :param store: any ``TokenStore``, such as the SDK's own.
    :param since: an earlier table. The index then marks the rows that are "new" or "changed".
    """
    rows = [row_from_token(token) for token in store.get_tokens()]
    hashes = {row["id"]: _hash(repr(row)) for row in rows}
    before = hashes if since is None else since.attrs["row_hashes"]
    marks = ["" if before.get(id) == hashes[id] else _mark(id in before) for id in hashes]
    table = TextTable(list(map(_shown, rows)), columns=list(SHOWN), dtype=object)
    table.index = pd.Index(marks, dtype=object)
    table.attrs["row_hashes"] = hashes
    return table


def full_html(table: pd.DataFrame) -> str:
    """Return a table as HTML with every text in full and aligned to the left.

    :param table: any table of texts; of a long one pandas shows the first and the last rows.
    """
    max_rows = pd.get_option("display.max_rows")
    with pd.option_context("display.max_colwidth", None):
        text = table.to_html(
            border=0, justify="left", max_rows=max_rows, show_dimensions=len(table) > max_rows
        )
    # JupyterLab aligns the cells of a table to the right, as if they were numbers.
    for cell in ("td", "th"):
        text = text.replace(f"<{cell}>", f'<{cell} style="text-align: left">')
    return text


def time_left(expiry_time: str | None) -> str:
    """Return how long an access token is still valid, such as "in 59 min", or "expired".

    :param expiry_time: when it expires, as a string of epoch milliseconds; for None, the text is
        empty.
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


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _mark(is_known: bool) -> str:
    return "changed" if is_known else "new"


def _shown(row: Row) -> list[str]:
    shown = {name: value or "" for name, value in row.items()}
    shown |= {name: fingerprint(row[name]) for name in FINGERPRINTED}
    shown["expiry_time"] = time_left(row["expiry_time"])
    return [shown[name] for name in SHOWN]
