"""The rules of a token store, each with a check that runs against any ``TokenStore``.

A check gets a :class:`Case`, and ends quietly where the rule is kept. It raises :class:`Broken`
with what happened, or :class:`DoesNotApply` with why the rule says nothing about this store.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sqlite3
import stat
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from .tokens import LATER, SOON, make_token, user_name, user_token, values_of

NASTY = (
    "O'Brien@example.com",
    "user1@example.com:6001' or '1'='1",
    'semi;colon -- "quoted" `ticked` \\ backslash, comma',
    "100%_of*[a-z]?",
    "ünï\u202ecödé 💾 \r\n\t end ",
    "x" * 10_000,
)
"""Values that have become code, or come back changed, in stores that people use."""

CLIENT = {"client_id": "1000.PRACTICE", "client_secret": "practice-secret"}
CALL_S = 0.0005
"""A look-up among a thousand rows that takes less, in seconds, is quick whatever it does."""


@dataclass(frozen=True)
class Rule:
    """A rule of a token store.

    ``number`` is the contract's, ``name`` a few words, ``sentence`` says it to a learner,
    ``look_at`` says where to look when it is broken, and ``check`` tries it on a :class:`Case`.
    """

    number: int
    name: str
    sentence: str
    look_at: str
    check: Callable[[Case], None]


RULES: list[Rule] = []
"""The rules, in the contract's order."""


def rule(look_at: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Make a check the next rule: its name is the rule's, its docstring the rule's sentence.

    :param look_at: where to look when the rule is broken.
    """

    def add(check: Callable[[Case], None]) -> Callable[[Case], None]:
        sentence = " ".join((check.__doc__ or "").split())
        name = check.__name__.replace("_", " ")
        RULES.append(Rule(len(RULES) + 1, name, sentence, look_at, check))
        return check

    return add


class Broken(AssertionError):
    """The rule is not kept; the text says what happened."""


class DoesNotApply(Exception):
    """The rule says nothing about this store; the text says why."""


class Case:
    """A store to check, in a working directory of its own.

    :param make_store: makes the store; called again in the same working directory, it opens the
        same storage, if the store has one outside its process.
    """

    def __init__(self, make_store: Callable[[], TokenStore]) -> None:
        self.make_store = make_store
        self.store = make_store()
        if held := len(self.store.get_tokens()):
            raise Broken(
                f"the store already holds {held} tokens: give a make_store for an empty one"
            )

    def saved(self, *tokens: OAuthToken) -> None:
        """Save tokens in their order."""
        for token in tokens:
            self.store.save_token(token)

    def by_user(self) -> dict[str | None, dict[str, str | None]]:
        """Return the stored values by user name."""
        return {values["user_name"]: values for values in map(values_of, self.store.get_tokens())}

    def found(self, **fields: Any) -> OAuthToken | None:
        """Return what the store finds for a token with these fields."""
        return self.store.find_token(make_token(**fields))

    @cached_property
    def is_shared(self) -> bool:
        """Whether a second store, made in the same place, sees what the first one has saved."""
        self.store.save_token(user_token(999))
        try:
            return any(t.get_access_token() == "access-999" for t in self.make_store().get_tokens())
        finally:
            self.store.delete_token(self.by_user()[user_name(999)]["id"])

    def needs_sharing(self) -> None:
        """Leave the check where the store is gone with its process."""
        if not self.is_shared:
            raise DoesNotApply("the store is gone with its process")


def expect(kept: object, otherwise: str) -> None:
    """Raise :class:`Broken` with what happened, unless something is so."""
    if not kept:
        raise Broken(otherwise)


@contextmanager
def raises_store_error(doing: str) -> Iterator[None]:
    """Expect that a block ends in an ``SDKException`` with code ``TOKEN_STORE``."""
    try:
        yield
    except SDKException as error:
        expect(error.code == "TOKEN_STORE", f"{doing}: the SDKException has code {error.code}")
    except Exception as error:
        raise Broken(f"{doing}: raised {type(error).__name__}, not SDKException") from error
    else:
        raise Broken(f"{doing}: no SDKException was raised")


@rule("find_token: look at the id before the user name")
def an_id_comes_first(case: Case) -> None:
    """A token with an id means the row with that id; if no row has it, what else the token holds
    decides.
    """
    case.saved(user_token(1), user_token(2))
    second = case.by_user()[user_name(2)]["id"]
    found = case.found(id=second, user_name=user_name(1))
    expect(
        found and found.get_access_token() == "access-2",
        "a token with the id of row 2 and the name of user 1 did not find row 2",
    )
    expect(case.found(id="no such id") is None, "an unknown id alone found a row")
    found = case.found(id="no such id", user_name=user_name(2))
    expect(
        found and found.get_access_token() == "access-2",
        "an unknown id with a known user name did not find the user's row",
    )


@rule("find_token: compare user_name and client_id")
def a_user_and_client_are_a_row(case: Case) -> None:
    """A user name means that user's row, of the client that the token names; without a client id,
    the row saved last.
    """
    tokens = {"access_token": "other", "refresh_token": "other-r", "grant_token": "other-g"}
    other = user_token(1, client_id="1000.OTHER", **tokens)
    case.saved(user_token(1), other)
    for client_id, access in (("1000.PRACTICE", "access-1"), ("1000.OTHER", "other")):
        found = case.found(user_name=user_name(1), client_id=client_id)
        expect(
            found and found.get_access_token() == access,
            "a user who consented to two clients was found with the other client's token",
        )
    expect(
        case.found(user_name=user_name(1), client_id="1000.THIRD") is None,
        "a client that the user never consented to found another client's row",
    )
    for again, access in ((user_token(1, access_token="renewed"), "renewed"), (other, "other")):
        again.set_id(None)
        case.saved(again)
        found = case.found(user_name=user_name(1))
        expect(
            found and found.get_access_token() == access,
            "without a client id, the row found was not the one saved last",
        )


@rule("find_token: the access token counts only without client id and secret")
def an_access_token_alone_is_enough(case: Case) -> None:
    """An access token without a client means the row that holds it."""
    case.saved(user_token(1), user_token(2))
    found = case.found(access_token="access-2")
    expect(
        found and found.get_refresh_token() == "refresh-2",
        "an access token alone did not find its row",
    )
    expect(
        case.found(access_token="access-2", client_id="1000.PRACTICE") is None,
        "an access token with a client id, and no grant or refresh token, found a row",
    )


@rule("find_token: want client id and secret, try the grant token first")
def a_client_finds_by_grant_then_refresh(case: Case) -> None:
    """A client with a grant token means the row of that grant token, else the row of its refresh
    token; never another client's.
    """
    case.saved(user_token(1), user_token(2))
    wishes = {
        "a grant token": {"grant_token": "grant-2"},
        "a refresh token": {"refresh_token": "refresh-2"},
        "an unknown grant token and a refresh token": {
            "grant_token": "unknown",
            "refresh_token": "refresh-2",
        },
        "a grant token and another row's refresh token": {
            "grant_token": "grant-2",
            "refresh_token": "refresh-1",
        },
    }
    for what, wish in wishes.items():
        found = case.found(**CLIENT, **wish)
        expect(
            found and found.get_access_token() == "access-2",
            f"a client with {what} did not find the row that is meant",
        )
    for what, client in {
        "no client": {},
        "another client": CLIENT | {"client_id": "1000.OTHER"},
    }.items():
        expect(
            case.found(refresh_token="refresh-2", **client) is None,
            f"a refresh token with {what} found a row",
        )


@rule("find_token: an empty string is absent; end with None")
def an_unclear_token_means_no_row(case: Case) -> None:
    """A token that says nothing finds nothing: never any row, never the first row."""
    case.saved(user_token(1))
    wishes: dict[str, dict[str, Any]] = {
        "nothing in it": {},
        "an empty id": {"id": ""},
        "an empty user name": {"user_name": ""},
        "an empty access token": {"access_token": ""},
        "a client alone": CLIENT,
        "a client and an empty grant token": CLIENT | {"grant_token": ""},
    }
    for what, wish in wishes.items():
        expect(case.found(**wish) is None, f"a token with {what} found somebody's row")


@rule("find_token: set the empty fields on the token and return it")
def found_is_the_same_object_completed(case: Case) -> None:
    """find_token fills in what the caller left empty and returns the caller's object."""
    case.saved(user_token(1))
    wanted = make_token(user_name=user_name(1), redirect_url="")
    found = case.store.find_token(wanted)
    expect(found is wanted, "find_token gave another object than the one it was asked with")
    wrong = {
        name
        for name, value in values_of(user_token(1)).items()
        if name != "id" and values_of(wanted)[name] != value
    }
    expect(not wrong, f"not completed from the row: {', '.join(sorted(wrong))}")
    expect(wanted.get_id(), "not completed from the row: id")
    expect(isinstance(wanted.get_expires_in(), str), "expires_in is no string")


@rule("find_token: compare the expiries as numbers, move both values together")
def the_later_pair_wins(case: Case) -> None:
    """Of two access tokens with their expiry, the one that expires later is kept; everything else
    that the caller set stays.
    """
    case.saved(user_token(1))
    cases = {
        "a later": (("newer", LATER), ("newer", LATER)),
        "an earlier": (("older", "1000"), ("access-1", SOON)),
        "no": ((None, None), ("access-1", SOON)),
    }
    for what, ((access, expiry), expected) in cases.items():
        own = {"access_token": access, "expires_in": expiry, "refresh_token": "mine"}
        found = case.found(user_name=user_name(1), **own)
        pair = (found and found.get_access_token(), found and found.get_expires_in())
        expect(
            pair == expected,
            f"the caller has {what} expiry: the pair of access token and expiry is the wrong one",
        )
        expect(
            found and found.get_refresh_token() == "mine",
            "a refresh token that the caller set was overwritten",
        )
    found = case.found(user_name=user_name(1), access_token="other")
    expect(
        found and found.get_access_token() == "other" and not found.get_expires_in(),
        "the caller's access token was given another token's expiry",
    )


@rule("find_token: set fields only after a row was found")
def not_found_changes_nothing(case: Case) -> None:
    """Where nothing is found, find_token returns None and leaves the token alone."""
    case.saved(user_token(1))
    wanted = make_token(user_name="nobody@example.com", refresh_token="mine")
    before = values_of(wanted)
    expect(case.store.find_token(wanted) is None, "an unknown user did not give None")
    expect(values_of(wanted) == before, "the caller's token was changed though nothing was found")


@rule("find_token: use an index, or a dictionary")
def looking_up_stays_quick(case: Case) -> None:
    """The SDK asks before every API call, so a look-up is quick, however many rows there are."""

    def median_s(last: int) -> float:
        times = []
        for _ in range(31):
            wanted = make_token(user_name=user_name(last))
            start = time.perf_counter()
            case.store.find_token(wanted)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    case.saved(*(user_token(number) for number in range(10)))
    few = median_s(9)
    case.saved(*(user_token(number) for number in range(10, 1000)))
    many = median_s(999)
    expect(
        many < max(3 * few, CALL_S),
        f"find_token takes {many / few:.0f} times as long with 1,000 rows as with 10 "
        f"({many * 1000:.1f} ms)",
    )


@rule("save_token: look for the row as find_token does, then update or insert")
def one_user_and_client_keep_one_row(case: Case) -> None:
    """A new consent updates the user's row, and no other row is ever touched."""
    case.saved(user_token(1), user_token(2))
    new = {"grant_token": "new", "refresh_token": "new-refresh", "access_token": "new-access"}
    case.saved(user_token(1, **new))
    count = len(case.store.get_tokens())
    expect(count == 2, f"a user who consented again: {count} rows, not 2")
    rows = case.by_user()
    expect(rows[user_name(1)]["refresh_token"] == "new-refresh", "the new tokens are not there")
    expect(rows[user_name(2)]["refresh_token"] == "refresh-2", "another user's row was touched")
    case.saved(user_token(3, user_name=None))
    case.saved(user_token(3))
    count = len(case.store.get_tokens())
    expect(count == 3, f"a user name learnt after the first save: {count} rows, not 3")
    again = user_token(3, user_name=None, access_token="a", refresh_token="r", grant_token="g")
    case.saved(again)
    case.saved(make_token(id=again.get_id(), user_name=user_name(3), access_token="a"))
    count = len(case.store.get_tokens())
    expect(count == 3, f"a user of one row was learnt of another: {count} rows, not 3")
    case.saved(user_token(4, refresh_token="refresh-2", access_token="access-2"))
    expect(
        case.by_user()[user_name(2)]["grant_token"] == "grant-2",
        "a user who shows up with another user's token took over that row",
    )


@rule("save_token: count upwards and remember the last number, also over a delete")
def ids_are_used_once(case: Case) -> None:
    """A new row gets an id of its own, a string that no other row had or will have; an id that the
    application chose is kept.
    """
    tokens = [user_token(number) for number in range(1, 13)]
    case.saved(*tokens)
    ids = [token.get_id() for token in tokens]
    expect(all(isinstance(id, str) and id for id in ids), "save_token did not set the id, a string")
    expect(len(set(ids)) == 12, "twelve tokens do not have twelve ids")
    case.store.delete_token(ids[-1])
    case.saved(late := user_token(13))
    expect(late.get_id() not in ids, "the id of a deleted row was given to the next token")
    for number, id in enumerate(("my own id", "O'Brien", "ünï;--", "007"), start=20):
        case.saved(user_token(number, id=id))
        stored = case.by_user().get(user_name(number))
        expect(stored and stored["id"] == id, "an id that the application chose was not kept")
    chosen = str(1 + max(int(id) for id in ("12", late.get_id()) if id.isdecimal()))
    case.saved(user_token(30, id=chosen))
    case.store.delete_token(chosen)
    case.saved(late := user_token(31))
    expect(late.get_id() != chosen, "an id that the application chose was given to the next token")
    if case.is_shared:
        again = case.make_store()
        again.save_token(last := user_token(14))
        expect(last.get_id() not in ids, "the next start gave the id of a deleted row again")


@rule("save_token: keep the row's value where the token's is empty")
def a_partial_token_erases_nothing(case: Case) -> None:
    """An update writes only the fields that the token holds."""
    case.saved(user_token(1))
    before = case.by_user()[user_name(1)]
    case.saved(make_token(user_name=user_name(1), access_token="new", **CLIENT))
    after = case.by_user()[user_name(1)]
    expect(after["access_token"] == "new", "the new access token was not written")
    lost = {name for name in before if name != "access_token" and before[name] != after[name]}
    expect(not lost, f"a partial token changed {', '.join(sorted(lost))}")


@rule("save_token: check before you write")
def an_empty_token_is_refused(case: Case) -> None:
    """A token without a grant, refresh or access token raises SDKException."""
    for fields in ({"user_name": "nobody@example.com"}, {"id": "1"}):
        with raises_store_error(f"a token with nothing but a {next(iter(fields))}"):
            case.store.save_token(make_token(**fields))


@rule("save_token: check with isinstance and raise")
def what_is_no_token_is_refused(case: Case) -> None:
    """Anything but an OAuthToken raises SDKException; silence would lose a token."""
    for thing in (None, "access token", {"access_token": "a"}):
        with raises_store_error(f"save_token of a {type(thing).__name__}"):
            case.store.save_token(thing)


@rule("save_token: commit, or flush and fsync, before it returns")
def a_saved_token_survives_a_crash(case: Case) -> None:
    """When save_token returns, the token is there, even if the process is killed."""
    case.needs_sharing()

    def save_and_die() -> None:
        case.make_store().save_token(user_token(1))
        os.kill(os.getpid(), signal.SIGKILL)

    process = in_child(save_and_die)
    process.join(30)
    expect(process.exitcode == -signal.SIGKILL, "the process that saves did not come to its end")
    held = {token.get_access_token() for token in case.make_store().get_tokens()}
    expect("access-1" in held, "a token that was saved is gone after its process was killed")


@rule("get_tokens: make fresh OAuthToken objects, in the order of insertion")
def all_are_listed_oldest_first(case: Case) -> None:
    """get_tokens lists every token, oldest first, as objects that share nothing with the store."""
    expect(case.store.get_tokens() == [], "an empty store does not list []")
    case.saved(user_token(2), user_token(1), user_token(3))
    listed = case.store.get_tokens()
    order = [token.get_access_token() for token in listed]
    expect(sorted(order) == ["access-1", "access-2", "access-3"], "not all tokens are listed")
    expect(order == ["access-2", "access-1", "access-3"], "the tokens are not listed oldest first")
    listed[0].set_access_token("changed outside")
    again = case.store.get_tokens()[0].get_access_token()
    expect(again == "access-2", "a change of a listed token changed the store")


@rule("find_token_by_id: return None instead of raising")
def an_id_gives_the_token_or_none(case: Case) -> None:
    """find_token_by_id returns the complete token, or None for an unknown id."""
    case.saved(user_token(1), user_token(2))
    row = case.by_user()[user_name(2)]
    token = case.store.find_token_by_id(row["id"])
    expect(token and values_of(token) == row, "find_token_by_id did not give the complete token")
    try:
        unknown = case.store.find_token_by_id("no such id")
    except SDKException as error:
        raise Broken("an unknown id raises instead of giving None") from error
    expect(unknown is None, "an unknown id did not give None")


@rule("delete_token: see whether a row was deleted")
def one_row_is_deleted(case: Case) -> None:
    """delete_token deletes that row only, and raises SDKException for an unknown id."""
    case.saved(user_token(1), user_token(2))
    for unknown in ("no such id", "1 or 1=1"):
        with raises_store_error("delete_token of an unknown id"):
            case.store.delete_token(unknown)
    expect(len(case.store.get_tokens()) == 2, "deleting an unknown id deleted a row")
    case.store.delete_token(case.by_user()[user_name(1)]["id"])
    expect(list(case.by_user()) == [user_name(2)], "delete_token did not delete that row alone")


@rule("delete_tokens: keep the table, the file or the list itself")
def emptied_it_goes_on(case: Case) -> None:
    """delete_tokens empties the store, which then goes on working."""
    case.saved(user_token(1), user_token(2))
    case.store.delete_tokens()
    expect(case.store.get_tokens() == [], "delete_tokens left tokens behind")
    case.saved(user_token(3))
    expect(list(case.by_user()) == [user_name(3)], "the emptied store does not save any more")


@rule("every method: pass values as parameters, never inside SQL")
def values_never_become_code(case: Case) -> None:
    """Quotes, semicolons, wildcards, any Unicode and 10,000 characters go in and come out
    unchanged.
    """
    names = [name for name in values_of(user_token(1)) if name not in ("id", "expiry_time")]
    case.saved(user_token(1))
    for value in NASTY:
        expect(case.found(user_name=value) is None, f"{shown(value)} found somebody's row")
        case.saved(make_token(**dict.fromkeys(names, value)))
        stored = case.by_user().get(value)
        expect(
            stored and all(stored[name] == value for name in names),
            f"{shown(value)} did not come back as it went in",
        )
        found = case.found(user_name=value)
        expect(found and found.get_access_token() == value, f"{shown(value)} is not found")
    expect(case.by_user()[user_name(1)]["access_token"] == "access-1", "another row was touched")


def shown(value: str) -> str:
    """Return a value as it can be shown in a sentence."""
    return ascii(value) if len(value) < 60 else f"a value of {len(value):,} characters"


@rule("every method: catch the storage's errors, log them, raise SDKException")
def failures_are_told(case: Case) -> None:
    """A failing storage raises SDKException with code TOKEN_STORE and its cause, names the file,
    shows no secret, and is logged, because the SDK swallows it.
    """
    log = _Log()
    logging.getLogger().addHandler(log)
    secret = "secret-\ud800"  # half a character, which no UTF-8 text can hold
    try:
        case.store.save_token(user_token(1, refresh_token=secret))
    except SDKException as error:
        told(error, log, "a value that cannot be stored")
        expect("secret-" not in f"{error} {error!r} {log.text}", "an error shows a secret")
    except Exception as error:
        raise Broken(f"a value that cannot be stored raised {type(error).__name__}") from error
    files = [path for path in Path.cwd().iterdir() if path.is_file()]
    if not files:
        return
    for path in files:
        path.unlink()
    files[0].mkdir()
    log.text = ""
    try:
        case.make_store().save_token(user_token(1))
    except SDKException as error:
        told(error, log, "a folder in place of the file")
        expect(files[0].name in str(error), "the error does not name the file")
    except Exception as error:
        raise Broken(f"a folder in place of the file raised {type(error).__name__}") from error
    else:
        raise Broken("a folder in place of the file: the save said nothing")


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()}\n"


def told(error: SDKException, log: _Log, failure: str) -> None:
    """Expect that an error has its code and cause, and stands in the log."""
    expect(error.code == "TOKEN_STORE", f"{failure}: the code is {error.code}")
    expect(error.cause is not None, f"{failure}: the SDKException has no cause")
    expect(log.text, f"{failure}: nothing stands in the log")


@rule("the connection: one for each thread and process; one transaction a save")
def threads_and_processes_share(case: Case) -> None:
    """Threads share a store, processes share its storage, and a fork hurts neither side."""

    def work(number: int) -> None:
        case.store.save_token(user_token(number))
        case.store.save_token(user_token(0))
        expect(case.found(user_name=user_name(number)), "a thread did not find what it saved")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 41)))
    expect_rows(case.store, 41, "8 threads saved 41 users")
    saves_are_seen_whole(case)
    forked = in_child(lambda: case.store.save_token(user_token(50)))
    case.store.save_token(user_token(51))
    forked.join(30)
    expect(forked.exitcode == 0, "after a fork, the child could not save")
    expect(user_name(51) in case.by_user(), "after a fork, the parent lost its token")
    if not case.is_shared:
        return
    expect(user_name(50) in case.by_user(), "after a fork, the child's token is lost")

    def save_many(first: int) -> None:
        store = case.make_store()
        for number in range(first, first + 10):
            store.save_token(user_token(number))
            store.save_token(user_token(0))

    processes = [in_child(save_many, 100 * number) for number in range(1, 5)]
    for process in processes:
        process.join(60)
    failed = sum(process.exitcode != 0 for process in processes)
    expect(not failed, f"{failed} of 4 processes could not save while the others did")
    expect_rows(case.make_store(), 83, "4 processes saved 40 users more")


def saves_are_seen_whole(case: Case) -> None:
    """Expect that a thread which looks while another saves finds one save's values together."""
    names = ("access_token", "expires_in", "refresh_token", "grant_token")
    tokens = [user_token(60, **dict.fromkeys(names, f"{count}")) for count in range(200)]
    case.saved(tokens[0])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # seconds: threads take turns within a save, too
    try:
        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(case.saved, *tokens)
            while not saving.done():
                found = case.found(user_name=user_name(60))
                seen = {getattr(found, f"get_{name}")() for name in names} if found else ()
                expect(len(seen) == 1, "while a thread saved, another found half of the save")
        saving.result()
    finally:
        sys.setswitchinterval(interval)
    case.store.delete_token(case.by_user()[user_name(60)]["id"])


def expect_rows(store: TokenStore, count: int, what: str) -> None:
    """Expect that a store has so many rows, each with an id of its own."""
    ids = [token.get_id() for token in store.get_tokens()]
    expect(len(ids) == count, f"{what}: {len(ids)} of {count} tokens are there")
    expect(len(set(ids)) == count, f"{what}: an id was given twice")


def in_child(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a function in a child process, which shares what this one has opened."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


@rule("the constructor: create the file with mode 0600 before anything is in it")
def files_are_the_owners_alone(case: Case) -> None:
    """Only the owner can read the files; a database of the post's class, an empty and a busy one
    are opened.
    """
    before = os.umask(0)
    try:
        folder = Path.cwd() / "second"
        folder.mkdir()
        os.chdir(folder)
        store = case.make_store()
        store.save_token(user_token(1))
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in folder.rglob("*")
            if path.is_file()
        }
    finally:
        os.umask(before)
    if not modes:
        raise DoesNotApply("the store makes no file")
    for name, mode in modes.items():
        expect(mode & 0o077 == 0, f"others can open {name}: its mode is {mode:04o}")
    (database, *_) = sorted(modes)
    if (folder / database).read_bytes()[:15] == b"SQLite format 3":
        opens_other_databases(case, database)


def opens_other_databases(case: Case, name: str) -> None:
    """Expect that a database of the post's class, an empty and a busy one are opened."""
    third = Path.cwd() / "third"
    third.mkdir()
    os.chdir(third)
    columns = ", ".join(f"{column} varchar(255)" for column in values_of(user_token(1)))
    with sqlite3.connect(name) as database:
        database.execute(f"CREATE TABLE oauthtoken ({columns}, primary key (id))")
        marks = ", ".join("?" * 10)
        values = tuple(values_of(user_token(1, id="1")).values())
        database.execute(f"INSERT INTO oauthtoken VALUES ({marks})", values)
        database.commit()
        database.execute("BEGIN IMMEDIATE")
        try:
            store = case.make_store()
        except SDKException as error:
            raise Broken("a database that another process writes to cannot be opened") from error
        database.rollback()
    held = [values_of(token) for token in store.get_tokens()]
    expect(held == [values_of(user_token(1, id="1"))], "the rows of the post's database are lost")
    fourth = third / "fourth"
    fourth.mkdir()
    os.chdir(fourth)
    Path(name).touch()
    expect(case.make_store().get_tokens() == [], "an empty file is not opened as an empty store")


@rule("close, __enter__ and __exit__")
def what_is_opened_can_be_closed(case: Case) -> None:
    """A store that holds something open has close() and works in a with statement."""
    case.saved(user_token(1))
    has_close = hasattr(case.store, "close")
    if not (has_close or open_files()):
        raise DoesNotApply("the store holds nothing open")
    expect(has_close, "the store holds a file open and has no close()")
    expect(hasattr(case.store, "__exit__"), "the store is no context manager")
    with case.store:
        pass
    left = open_files()
    expect(not left, f"still open after close(): {', '.join(left)}")


def open_files() -> list[str]:
    """Return the names of the files in the working directory that this process has open."""
    links = Path("/proc/self/fd")
    if not links.exists():
        return []
    targets = [link.readlink() for link in links.iterdir() if link.is_symlink()]
    return sorted({target.name for target in targets if target.parent == Path.cwd()})
