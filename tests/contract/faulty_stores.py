"""Stores that break one rule each, by the id of the rule."""

import logging
import os
import sqlite3
import threading
import time
from contextlib import closing
from copy import copy
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from kaizen_store import CustomStoreList, CustomStoreSQLite, RowStore
from kaizen_store.contract.tokens import make_token, values_of
from kaizen_store.stores import single_flight, token_row


def is_token(token):
    return isinstance(token, OAuthToken)


def user_of(token):
    user = token.get_user_signature() if is_token(token) else None
    return user.get_name() if user else None


def fields_of(token):
    values = values_of(token)
    return values | {"expires_in": values.pop("expiry_time")}


class IdAfterTheName(CustomStoreList):
    def find_token(self, token):
        if user_of(token) and token.get_id():
            return super().find_token(make_token(user_name=user_of(token)))
        return super().find_token(token)


class FindsTheRow(CustomStoreList):
    """Chooses a row of the user by itself, if there is no client id."""

    def find_token(self, token):
        if user_of(token) and not (token.get_id() or token.get_client_id()):
            rows = self.rows_with("user_name", user_of(token))
            if rows:
                token.set_client_id(self.choose(rows)["client_id"])
        return super().find_token(token)


class FirstRowOfTheUser(FindsTheRow):
    def choose(self, rows):
        return rows[0]


class NewestRowOfTheUser(FindsTheRow):
    def choose(self, rows):
        return rows[-1]


class RowSavedLast(FindsTheRow):
    reason = "on a tie"
    saved = None

    def save_token(self, token):
        super().save_token(token)
        self.saved = token.get_client_id()

    def choose(self, rows):
        return next((row for row in rows if row["client_id"] == self.saved), rows[0])


class ExpiriesOfRowsAsText(FindsTheRow):
    reason = "compared as numbers"

    def choose(self, rows):
        return max(reversed(rows), key=lambda row: row["expiry_time"] or "")


class AccessTokenWithAnyClient(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        if found is None and token.get_access_token() and not user_of(token):
            found = super().find_token(make_token(access_token=token.get_access_token()))
        return found


class RefreshTokenOfAnyClient(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        if found is None and token.get_refresh_token() and not user_of(token):
            rows = self.rows_with("refresh_token", token.get_refresh_token())
            found = self.find_token_by_id(rows[0]["id"]) if rows else None
        return found


class ClientWithoutItsSecret(CustomStoreList):
    reason = "client_id='1000.PRACTICE' found a row"

    def find_token(self, token):
        found = super().find_token(token)
        if found is None and token.get_refresh_token() and not user_of(token):
            for row in self.rows_with("refresh_token", token.get_refresh_token()):
                if row["client_id"] == token.get_client_id():
                    return self.find_token_by_id(row["id"])
        return found


class AnyRowForAnEmptyToken(CustomStoreList):
    def find_token(self, token):
        if not any(values_of(token).values()) and self.all_rows():
            return self.find_token_by_id(self.all_rows()[0]["id"])
        return super().find_token(token)


class ReturnsAnotherObject(CustomStoreList):
    def find_token(self, token):
        return super().find_token(copy(token)) or super().find_token(token)


class CallersPairIsAlwaysKept(CustomStoreList):
    def find_token(self, token):
        own = token.get_access_token(), token.get_expires_in()
        found = super().find_token(token)
        if found and all(own) and self.keeps(own[1], found.get_expires_in()):
            token.set_access_token(own[0])
            token.set_expires_in(own[1])
        return found

    def keeps(self, own, stored):
        return own != "1000" or stored is not None


class ExpiriesOfPairsAsText(CallersPairIsAlwaysKept):
    reason = "an earlier, shorter"

    def keeps(self, own, stored):
        return own > stored


class ChangesWhatItDoesNotFind(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        if found is None and user_of(token):
            token.set_redirect_url("https://example.com/")
        return found


class SlowWithManyRows(CustomStoreList):
    def find_token(self, token):
        time.sleep(5e-6 * len(self.all_rows()))
        return super().find_token(token)


class SecondRowForANewGrant(CustomStoreList):
    def save_token(self, token):
        if is_token(token) and token.get_grant_token() == "new":
            self.add_row(values_of(token) | {"id": "second"})
        else:
            super().save_token(token)


class AcceptsAnyId(CustomStoreList):
    def save_token(self, token):
        rows = self.rows_with("id", token.get_id()) if is_token(token) and token.get_id() else []
        if rows and self.is_accepted(rows[0], values_of(token)):
            self.update_row(rows[0], token_row.merge_rows(rows[0], values_of(token)))
        else:
            super().save_token(token)


class AcceptsTheIdOfAnotherUser(AcceptsAnyId):
    reason = "the id of another user's row"

    def is_accepted(self, stored, row):
        return stored["user_name"] and stored["user_name"] != row["user_name"]


class AcceptsTheIdOfAnotherClient(AcceptsAnyId):
    reason = "the id of another client's row"

    def is_accepted(self, stored, row):
        return stored["user_name"] == row["user_name"] and stored["client_id"] != row["client_id"]


class IdsFromTheHighestRow(CustomStoreList):
    """Issues the id after the highest one that is stored now, after delete_token."""

    def highest(self):
        return str(max((token_row.numeric_id(row["id"]) for row in self.all_rows()), default=0))

    def delete_token(self, id):
        super().delete_token(id)
        self.set_value("last_id", self.highest())


class IdsStartAgain(CustomStoreList):
    reason = "after delete_tokens"

    def delete_tokens(self):
        super().delete_tokens()
        self.set_value("last_id", None)


class ForgetsChosenIds(IdsFromTheHighestRow):
    def delete_token(self, id):
        before = self.get_value("last_id")
        CustomStoreList.delete_token(self, id)
        self.set_value("last_id", before)

    def save_token(self, token):
        chosen = is_token(token) and token.get_id()
        before = self.get_value("last_id")
        super().save_token(token)
        if chosen:
            self.set_value("last_id", before)


class ForgetsIdsPastNineDigits(CustomStoreList):
    reason = "999999998"

    def set_value(self, name, value):
        if name != "last_id" or len(value) < 10:
            super().set_value(name, value)


class UpdateErasesWhatIsMissing(CustomStoreList):
    def update_row(self, old, new):
        partial_update = new["grant_token"] == old["grant_token"]
        super().update_row(old, new | {"redirect_url": None} if partial_update else new)


class KeepsAStaleExpiry(CustomStoreList):
    reason = "a wrong expiry_time"

    def update_row(self, old, new):
        super().update_row(old, new | {"expiry_time": new["expiry_time"] or old["expiry_time"]})


class MixesThePairsOfMergedRows(CustomStoreList):
    reason = "two rows were merged"

    def update_row(self, old, new):
        if new["user_name"] != old["user_name"]:
            rows = self.rows_with("user_name", new["user_name"])
            if rows and old["access_token"]:
                new = new | {"expiry_time": rows[0]["expiry_time"]}
        super().update_row(old, new)


class EmptyTokensAreIgnored(CustomStoreList):
    def save_token(self, token):
        tokens = ("grant_token", "refresh_token", "access_token")
        if not is_token(token) or any(values_of(token)[name] for name in tokens):
            super().save_token(token)


class AnythingCanBeSaved(CustomStoreList):
    def save_token(self, token):
        if is_token(token):
            super().save_token(token)


class LosesEverythingInACrash(CustomStoreSQLite):
    """Deletes everything if a process died within 0.2 seconds of a save."""

    def __init__(self):
        super().__init__()
        for mark in Path.cwd().glob("unsafe-*"):
            try:
                os.kill(int(mark.name.removeprefix("unsafe-")), 0)
            except ProcessLookupError:
                self.delete_tokens()

    def save_token(self, token):
        super().save_token(token)
        mark = Path.cwd() / f"unsafe-{os.getpid()}"
        mark.touch(mode=0o600)
        threading.Timer(0.2, mark.unlink, [True]).start()


class UpdatesLater(CustomStoreSQLite):
    """Writes the updates of a child process from another thread, after save_token has returned."""

    reason = "an update was saved, but is gone"

    def save_token(self, token):
        if is_token(token) and str(token.get_access_token()).startswith("update-"):
            threading.Timer(0.05, super().save_token, [token]).start()
        else:
            super().save_token(token)


class NewestFirst(CustomStoreList):
    def get_tokens(self):
        return super().get_tokens()[::-1]


class UnknownIdRaises(CustomStoreList):
    def find_token_by_id(self, id):
        token = super().find_token_by_id(id)
        if token is None:
            raise SDKException("TOKEN_STORE", "no such token")
        return token


class UnknownIdIsDeletedSilently(CustomStoreList):
    def delete_token(self, id):
        if self.find_token_by_id(id):
            super().delete_token(id)


class DeletesAllRowsOfTheUser(CustomStoreList):
    reason = "exactly that row"

    def delete_token(self, id):
        user_names = [row["user_name"] for row in self.rows_with("id", id)]
        super().delete_token(id)
        for row in self.rows_with("user_name", user_names[0]):
            super().delete_token(row["id"])


class OneIsLeft(CustomStoreList):
    def delete_tokens(self):
        for token in self.get_tokens()[1:]:
            self.delete_token(token.get_id())


class CutsAt255Characters(CustomStoreList):
    def add_row(self, row):
        super().add_row(row | {"redirect_url": row["redirect_url"] and row["redirect_url"][:255]})


class RaisesWhatTheStorageRaises(CustomStoreSQLite):
    def save_token(self, token):
        try:
            super().save_token(token)
        except SDKException as error:
            raise error.cause or error from None


def lock_error(path):
    """Return the error of a database that another connection has locked, or None."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            return error
    return None


class LogsSecretsWhenLocked(CustomStoreSQLite):
    reason = "a save in a locked database: a log line shows a secret"

    def save_token(self, token):
        if is_secret(token) and (error := lock_error(self.path)):
            text = f"{error}, waiting to save {values_of(token)}"
            logging.getLogger(__name__).warning("%s", text)
        super().save_token(token)


class RaisesSecretsWhenLocked(CustomStoreSQLite):
    reason = "a save in a locked database: an error shows a secret"

    def save_token(self, token):
        if is_secret(token) and (error := lock_error(self.path)):
            cause = RuntimeError(f"{error}: {token.get_refresh_token()}")
            message = f"cannot save in {self.path}"
            logging.getLogger(__name__).error(message)
            raise SDKException("TOKEN_STORE", message, cause=cause) from cause
        super().save_token(token)


def is_secret(token):
    return is_token(token) and str(token.get_access_token()).startswith("secret-")


class OnlyOneThread(CustomStoreList):
    reason = "created in another thread"

    def __init__(self):
        super().__init__()
        self._thread = threading.get_ident()

    def transaction(self, work):
        if threading.get_ident() != self._thread:
            raise SDKException("TOKEN_STORE", "created in another thread")
        return super().transaction(work)


class SavesInTwoSteps(CustomStoreList):
    reason = "half of the save"

    def save_token(self, token):
        if is_token(token) and token.get_access_token() and user_of(token):
            parts = ("grant_token", "refresh_token", "expires_in")
            super().save_token(make_token(**fields_of(token) | dict.fromkeys(parts)))
            time.sleep(0.001)
        super().save_token(token)


class CachesPerProcess(CustomStoreSQLite):
    """Finds what this process has saved or found before, and never looks again."""

    reason = "another process has saved"
    cache: dict = {}  # noqa: RUF012 - shared by the stores of a process

    def save_token(self, token):
        super().save_token(token)
        self.cache.clear()

    def delete_token(self, id):
        super().delete_token(id)
        self.cache.clear()

    def find_token(self, token):
        user_name, client_id = user_of(token), token.get_client_id()
        if not user_name or token.get_id() or token.get_access_token():
            return super().find_token(token)
        key = (str(self.path), user_name, client_id)
        if key in self.cache and not token.get_redirect_url():
            for name, value in self.cache[key].items():
                getattr(token, f"set_{name}")(value)
            return token
        found = super().find_token(token)
        if found and found.get_expires_in() != "1000" and user_name.startswith("user0@"):
            names = ("id", "access_token", "expires_in", "refresh_token", "grant_token")
            self.cache[key] = {name: getattr(found, f"get_{name}")() for name in names}
        return found


class BlockedAfterAnInterrupt(CustomStoreList):
    reason = "after an interrupt"

    def __init__(self):
        super().__init__()
        self._lock = threading.RLock()

    def save_token(self, token):
        self._lock.acquire()
        try:
            super().save_token(token)
        except Exception:
            self._lock.release()
            raise
        self._lock.release()


class HandlerIsBlocked(CustomStoreList):
    reason = "a signal handler"

    def __init__(self):
        super().__init__()
        self._lock = threading.Lock()

    def save_token(self, token):
        with self._lock:
            super().save_token(token)


class EverybodyCanRead(CustomStoreSQLite):
    def __init__(self):
        existed = Path("zohooauth.db").exists()
        super().__init__()
        if not existed:
            self.path.chmod(0o644)


class LeavesTheFileOfThePostPublic(CustomStoreSQLite):
    reason = "0644"

    def __init__(self):
        path = Path("zohooauth.db")
        self._mode = path.stat().st_mode if path.exists() else 0o600
        super().__init__()

    def save_token(self, token):
        super().save_token(token)
        self.path.chmod(self._mode)


class NeverClosed(CustomStoreSQLite):
    def close(self):
        pass


class EachWorkerRefreshes(CustomStoreList):
    reason = "4 threads"

    def find_token(self, token):
        found = super().find_token(token)
        for method in single_flight.METHODS:
            vars(token).pop(method, None)
        return found

    def find_token_by_id(self, id):
        token = super().find_token_by_id(id)
        return token and copy(token_row.token_from_row(values_of(token)))


class EachProcessRefreshes(CustomStoreSQLite):
    reason = "4 processes"

    def get_value(self, name):
        if name.startswith("lease"):
            return self._values.get(name)
        return super().get_value(name)

    def set_value(self, name, value):
        if name.startswith("lease"):
            self._values[name] = value
        else:
            super().set_value(name, value)


class KeepsTheLeaseAfterAFailure(CustomStoreList):
    """Never releases a lease, so the next request waits until it expires."""

    reason = "after 6 seconds"

    def set_value(self, name, value):
        if value is not None:
            super().set_value(name, value)


class KeepsTheRowOfTheFormerId(RowStore):
    def __init__(self):
        super().__init__()
        self.rows = {}

    def all_rows(self):
        return list(self.rows.values())

    def add_row(self, row):
        self.rows[row["id"]] = row

    def update_row(self, old, new):
        self.rows[new["id"]] = new

    def delete_row(self, row):
        del self.rows[row["id"]]


FAULTY_STORES = {
    "id-first": [IdAfterTheName],
    "user-and-client": [FirstRowOfTheUser, NewestRowOfTheUser, RowSavedLast, ExpiriesOfRowsAsText],
    "access-token-only": [AccessTokenWithAnyClient],
    "client-and-token": [RefreshTokenOfAnyClient, ClientWithoutItsSecret],
    "no-guessing": [AnyRowForAnEmptyToken],
    "same-object": [ReturnsAnotherObject],
    "later-pair": [CallersPairIsAlwaysKept, ExpiriesOfPairsAsText],
    "not-found": [ChangesWhatItDoesNotFind],
    "fast-lookup": [SlowWithManyRows],
    "one-row-per-user": [
        SecondRowForANewGrant,
        AcceptsTheIdOfAnotherUser,
        AcceptsTheIdOfAnotherClient,
    ],
    "unique-ids": [
        IdsFromTheHighestRow,
        IdsStartAgain,
        ForgetsChosenIds,
        ForgetsIdsPastNineDigits,
        KeepsTheRowOfTheFormerId,
    ],
    "partial-tokens": [UpdateErasesWhatIsMissing, KeepsAStaleExpiry, MixesThePairsOfMergedRows],
    "no-empty-tokens": [EmptyTokensAreIgnored],
    "only-tokens": [AnythingCanBeSaved],
    "durable-saves": [LosesEverythingInACrash, UpdatesLater],
    "list-all": [NewestFirst],
    "find-by-id": [UnknownIdRaises],
    "delete-one": [UnknownIdIsDeletedSilently, DeletesAllRowsOfTheUser],
    "delete-all": [OneIsLeft],
    "values-unchanged": [CutsAt255Characters],
    "failures-raise": [RaisesWhatTheStorageRaises, LogsSecretsWhenLocked, RaisesSecretsWhenLocked],
    "concurrent-use": [
        OnlyOneThread,
        SavesInTwoSteps,
        CachesPerProcess,
        BlockedAfterAnInterrupt,
        HandlerIsBlocked,
    ],
    "private-files": [EverybodyCanRead, LeavesTheFileOfThePostPublic],
    "close": [NeverClosed],
    "single-flight": [EachWorkerRefreshes, EachProcessRefreshes, KeepsTheLeaseAfterAFailure],
}
