"""How long each store takes to find a token, which lesson 06 measures."""

from __future__ import annotations

import csv
import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from .. import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite, RowStore
from ..stores.token_row import COLUMNS, Row


def time_to_find(
    folder: str | os.PathLike[str], users: tuple[int, ...] = (1, 100, 10_000)
) -> pd.DataFrame:
    """Measure how long each store takes to find a user's token.

    :param folder: the folder for the stores' files.
    :param users: the numbers of users to measure with, in ascending order.
    :returns: milliseconds, with a row for each number of users and a column for each store.
    :raises RuntimeError: when a store does not find a token that it has.
    """
    times = {}
    for count in users:
        inside = Path(folder) / str(count)
        inside.mkdir()
        rows = [_row(number) for number in range(count)]
        for make_store in _MAKE_STORE:
            store = make_store(inside, rows)
            times[type(store).__name__, count] = _median_ms(store, rows)
            getattr(store, "close", lambda: None)()
    series = pd.Series(times)
    series.index.names = ["store", "users"]
    return series.unstack("store")


def _file_store(folder: Path, rows: list[Row]) -> TokenStore:
    store = FileStore(str(folder / "sdk_tokens.txt"))
    with (folder / "sdk_tokens.txt").open("a", newline="") as file:
        csv.writer(file).writerows(map(_values, rows))
    return store


def _sqlite_store(folder: Path, rows: list[Row]) -> TokenStore:
    with closing(sqlite3.connect(folder / "zohooauth.db")) as database, database:
        columns = " TEXT, ".join(COLUMNS[1:])
        database.execute(f"CREATE TABLE oauthtoken (id TEXT NOT NULL PRIMARY KEY, {columns} TEXT)")
        marks = ", ".join("?" * len(COLUMNS))
        database.executemany(f"INSERT INTO oauthtoken VALUES ({marks})", map(_values, rows))
    return CustomStoreSQLite(folder / "zohooauth.db")


def _filled(store: RowStore, rows: list[Row]) -> TokenStore:
    store.transaction(lambda inside: [inside.add_row(row) for row in rows])
    return store


_MAKE_STORE: tuple[Callable[[Path, list[Row]], TokenStore], ...] = (
    _file_store,
    _sqlite_store,
    lambda _, rows: _filled(CustomStoreInMemory(), rows),
    lambda _, rows: _filled(CustomStoreList(), rows),
)
"""Each creates a store with many rows at once, because that many saves would take long."""


def _median_ms(store: TokenStore, rows: list[Row]) -> float:
    times = []
    for number in range(21):
        user = UserSignature(rows[number * len(rows) // 21]["user_name"])
        start = time.perf_counter()
        found = store.find_token(OAuthToken(user_signature=user))
        times.append(time.perf_counter() - start)
        if found is None:
            raise RuntimeError(f"{type(store).__name__} did not find a user that it has")
    return statistics.median(times) * 1000


def _row(number: int) -> Row:
    values = {"id": str(number + 1), "user_name": f"user{number}@example.com:6001"}
    return dict.fromkeys(COLUMNS) | values | {"refresh_token": f"practice-{number}"}


def _values(row: Row) -> list[str]:
    return [row[column] or "" for column in COLUMNS]
