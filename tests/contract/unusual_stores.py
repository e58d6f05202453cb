"""Correct stores that are unusual: the contract must not reject them."""

import fcntl
import os
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken

from kaizen_store import CustomStoreSQLite


def in_subfolder():
    """Keep the database two folders down."""
    folder = Path("data/tokens")
    folder.mkdir(parents=True, exist_ok=True)
    return CustomStoreSQLite(folder / "zohooauth.db")


def beside_other_files():
    """Keep files beside the database whose names sort before and after it."""
    for name, text in (("0.lock", ""), ("about.txt", "the store"), ("zzz.pid", str(os.getpid()))):
        path = Path(name)
        path.touch(0o600)
        path.write_text(text, encoding="utf-8")
    return CustomStoreSQLite("m.db")


def with_odd_name():
    """Keep the database in a file with a name that says nothing."""
    return CustomStoreSQLite("0 tokens, of café")


class SlowStorage(CustomStoreSQLite):
    """Takes 5 ms for each call of the storage, as a server does."""

    def _wait(self):
        time.sleep(0.005)

    def all_rows(self):
        self._wait()
        return super().all_rows()

    def rows_with(self, column, value):
        self._wait()
        return super().rows_with(column, value)

    def add_row(self, row):
        self._wait()
        super().add_row(row)

    def update_row(self, old, new):
        self._wait()
        super().update_row(old, new)

    def delete_row(self, row):
        self._wait()
        super().delete_row(row)

    def get_value(self, name):
        self._wait()
        return super().get_value(name)

    def set_value(self, name, value):
        self._wait()
        super().set_value(name, value)


class UuidStore(CustomStoreSQLite):
    """Issues ids that are not numbers."""

    def __init__(self):
        super().__init__()
        self._new = threading.local()

    def save_token(self, token):
        self._new.id = isinstance(token, OAuthToken) and not token.get_id()
        super().save_token(token)

    def add_row(self, row):
        if self._new.id:
            row["id"] = str(uuid.uuid4())
        super().add_row(row)


class LockFileStore(CustomStoreSQLite):
    """Locks a file beside the database while it writes."""

    def __init__(self):
        self._held = threading.local()
        super().__init__()

    def transaction(self, work):
        with self._locked():
            return super().transaction(work)

    @contextmanager
    def _locked(self):
        if getattr(self._held, "now", False):  # a signal handler inside a save of this thread
            yield
            return
        descriptor = os.open("zohooauth.db.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._held.now = (
                True  # first, or a signal handler could wait for the lock of its thread
            )
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            self._held.now = False
            os.close(descriptor)


UNUSUAL_STORES = (
    in_subfolder,
    beside_other_files,
    with_odd_name,
    SlowStorage,
    UuidStore,
    LockFileStore,
)
