"""What lesson 06 needs: the form that recommends a store, and the times that it rests on."""

from __future__ import annotations

import csv
import os
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

import pandas as pd
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from .. import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from ..token_row import COLUMNS, token_of
from .explain import InputError
from .form import Field, Form
from .forms import IMPORT_TOKEN, IMPORT_USER, practice_token, script

LASTING, PASSING = "keep them", "they may be gone"
ONE, SEVERAL, MACHINES = "one", "several on one machine", "on several machines"
USER = "ada@example.com:6001"


class ChooseForm(Form):
    """Recommends a store, and tries it: saves a token in it and finds it again.

    :param store: the store that is shown until one is chosen.
    :param folder: where a database file is put.
    """

    title = "Choose a store"
    button = "Choose and try"

    def __init__(self, store: TokenStore, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        super().__init__(
            store,
            [
                Field(
                    "lasting",
                    "After a restart",
                    "Must the tokens still be there? Else every user consents again.",
                    LASTING,
                    choices=(LASTING, PASSING),
                ),
                Field(
                    "processes",
                    "Processes",
                    "How many use the tokens? Web servers run several.",
                    SEVERAL,
                    choices=(ONE, SEVERAL, MACHINES),
                ),
            ],
        )

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return the recommended store.

        :raises InputError: when none of this package's suits.
        """
        if values["processes"] == MACHINES:
            raise InputError(
                "A file belongs to one machine. For several, keep the tokens in a database server "
                "or a secrets service: write a store for it as in lesson 07, and check it with the "
                "contract."
            )
        if values["lasting"] == PASSING and values["processes"] == ONE:
            return CustomStoreInMemory()
        return CustomStoreSQLite(self.folder / "zohooauth.db")

    def act(self, values: dict[str, str]) -> str:
        """Save a token, find it, and say which store did it."""
        self.store.save_token(
            OAuthToken(
                user_signature=UserSignature(USER),
                refresh_token=practice_token("refresh_token", USER),
            )
        )
        found = self.store.find_token(OAuthToken(user_signature=UserSignature(USER)))
        if found is None:
            raise InputError("The store did not find what it had saved: run the cells above again.")
        name = type(self.store).__name__
        why = "a file keeps them" if name == "CustomStoreSQLite" else "no file to guard or delete"
        return f"{name}: {why}. It saved a token and found it again."

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        in_memory = values["lasting"] == PASSING and values["processes"] == ONE
        kind = "CustomStoreInMemory" if in_memory else "CustomStoreSQLite"
        return script(
            IMPORT_TOKEN,
            IMPORT_USER,
            f"from kaizen_store import {kind}",
            "from kaizen_store.notebook import practice_token",
            "store = CustomStoreInMemory()"
            if in_memory
            else 'store = CustomStoreSQLite("zohooauth.db")',
            f'user = UserSignature("{USER}")',
            f'refresh_token = practice_token("refresh_token", "{USER}")',
            "store.save_token(OAuthToken(user_signature=user, refresh_token=refresh_token))",
            "token = store.find_token(OAuthToken(user_signature=user))",
        )


def time_to_find(
    folder: str | os.PathLike[str], users: tuple[int, ...] = (1, 100, 10_000)
) -> pd.DataFrame:
    """Measure how long each store takes to find a user's token.

    :param folder: where the stores' files are put.
    :param users: with how many users in the store to measure, in ascending order.
    :returns: milliseconds, a line for each number of users and a column for each store.
    :raises RuntimeError: when a store does not find what it holds.
    """
    times = {}
    for count in users:
        inside = Path(folder) / str(count)
        inside.mkdir()
        for name, store in _stores_with(count, inside).items():
            times[name, count] = _median_ms(store, count)
            getattr(store, "close", lambda: None)()
    series = pd.Series(times)
    series.index.names = ["store", "users"]
    return series.unstack("store")


def _stores_with(count: int, folder: Path) -> dict[str, TokenStore]:
    """Make the stores with so many users: those with a file get it at once, the others by saves."""
    rows = [_row(number) for number in range(count)]
    file_store = FileStore(str(folder / "sdk_tokens.txt"))
    with (folder / "sdk_tokens.txt").open("a", newline="") as file:
        csv.writer(file).writerows(rows)
    with closing(sqlite3.connect(folder / "zohooauth.db")) as database, database:
        columns = " TEXT, ".join(COLUMNS[1:])
        database.execute(f"CREATE TABLE oauthtoken (id TEXT NOT NULL PRIMARY KEY, {columns} TEXT)")
        marks = ", ".join("?" * len(COLUMNS))
        database.executemany(f"INSERT INTO oauthtoken VALUES ({marks})", rows)
    in_memory, in_list = CustomStoreInMemory(), CustomStoreList()
    for store in (in_memory, in_list):
        for row in rows:
            store.save_token(token_of(row))
    return {
        "FileStore": file_store,
        "CustomStoreList": in_list,
        "CustomStoreSQLite": CustomStoreSQLite(folder / "zohooauth.db"),
        "CustomStoreInMemory": in_memory,
    }


def _median_ms(store: TokenStore, count: int) -> float:
    times = []
    for number in range(21):
        user = UserSignature(_row(number * count // 21)[1])
        start = time.perf_counter()
        found = store.find_token(OAuthToken(user_signature=user))
        times.append(time.perf_counter() - start)
        if found is None:
            raise RuntimeError(f"{type(store).__name__} did not find a user that it holds")
    return statistics.median(times) * 1000


def _row(number: int) -> list[str]:
    values = {"id": str(number + 1), "user_name": f"user{number}@example.com:6001"}
    values["refresh_token"] = practice_token("refresh_token", values["user_name"])
    return [values.get(column, "") for column in COLUMNS]
