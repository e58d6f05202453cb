"""The rules for the six methods of a token store: find, save, list and delete."""

# ruff: noqa: D103 - the sentence of a rule says what its check does

from __future__ import annotations

import contextlib
import os
import signal
import time
import timeit
from collections.abc import Callable

from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from .case import Case, NotApplicableError, RuleError, expect, in_child, raises_store_error, rule
from .tokens import CLIENT, EARLIER, LATER, make_token, user_name, user_token, values_of

OTHER = {
    "client_id": "1000.OTHER",
    "access_token": "other-access",
    "refresh_token": "other-refresh",
    "grant_token": "other-grant",
}
"""What differs when the same user authorizes another client."""

LONG_PAST = "999999999999"
"""An expiry of the year 2001, which has one digit less than those of today."""

FAST_LOOKUP_S = 0.001
"""A lookup that takes less than this is fast, however many rows there are, in seconds."""

FILL_S = 4.0
"""How long the check of fast-lookup adds rows, in seconds; after that, fewer rows have to do."""


@rule(
    "id-first",
    "an id is matched first",
    "A token with an id matches the row with that id. If no row has it, the other fields of the "
    "token decide.",
    "find_token: look for the id before the user name",
)
def id_first(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    case.expect_match("access-2", id=case.id_of(2), user_name=user_name(1))
    case.expect_match("access-2", id="no such id", user_name=user_name(2))
    case.expect_match(None, id="no such id")


@rule(
    "user-and-client",
    "a user name matches the row of that user and client",
    "A token with a user name matches the user's row for the token's client. Without a client id, "
    "it matches the user's row whose access token expires last; on a tie, the newest row.",
    "find_token: compare user_name and client_id, then the expiries as numbers",
)
def user_and_client(case: Case) -> None:
    name = user_name(1)
    case.save(user_token(1, expires_in=EARLIER), user_token(1, **OTHER, expires_in=LATER))
    case.expect_match("access-1", user_name=name, client_id="1000.PRACTICE")
    case.expect_match("other-access", user_name=name, client_id="1000.OTHER")
    case.expect_match(None, user_name=name, client_id="1000.THIRD")
    for expires_in, row, expected in (
        (None, "expires last", "other-access"),
        ("9" * 13, "expires last and is the older row", "new"),
        (LATER, "is the newest, on a tie", "other-access"),
        (LONG_PAST, "expires last, compared as numbers", "other-access"),
    ):
        if expires_in:
            case.save(user_token(1, access_token="new", expires_in=expires_in))
        is_found = case.access_token(user_name=name) == expected
        expect(is_found, f"a user name without a client did not find the row that {row}")


@rule(
    "access-token-only",
    "an access token without a client matches its row",
    "A token with an access token, and without client id and client secret, matches the row with "
    "that access token.",
    "find_token: use the access token only if client id and client secret are empty",
)
def access_token_only(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    found = case.find(access_token="access-2")
    refresh_token = found and found.get_refresh_token()
    expect(refresh_token == "refresh-2", "a token with only an access token did not find its row")
    for name, value in CLIENT.items():
        case.expect_match(None, access_token="access-2", **{name: value})


@rule(
    "client-and-token",
    "a client matches by its grant token, then by its refresh token",
    "A token with client id, client secret and a grant token matches the row with that grant "
    "token; if there is none, the row with its refresh token. It never matches the row of another "
    "client.",
    "find_token: require client id and client secret, and try the grant token first",
)
def client_and_token(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    grant, refresh = {"grant_token": "grant-2"}, {"refresh_token": "refresh-2"}
    for fields in (grant, refresh):
        case.expect_match("access-2", **CLIENT, **fields)
        case.expect_match(None, **fields)
        for name, value in CLIENT.items():
            case.expect_match(None, **fields, **{name: value})
        for change in ({"client_id": "1000.OTHER"}, {"client_secret": ""}):
            case.expect_match(None, **fields, **CLIENT | change)
    case.expect_match("access-2", **CLIENT, **refresh, grant_token="unknown")
    case.expect_match("access-2", **CLIENT, **grant, refresh_token="refresh-1")


@rule(
    "no-guessing",
    "a token without a key matches nothing",
    "A token without an id, a user name, an access token, or a client with a grant or refresh "
    "token matches no row, not even the first one. An empty string counts as absent.",
    "find_token: treat an empty string as absent, and return None at the end",
)
def no_guessing(case: Case) -> None:
    case.save(user_token(1))
    for fields in ({}, {"id": ""}, {"user_name": ""}, {"access_token": ""}):
        case.expect_match(None, **fields)
    for fields in ({}, {"grant_token": ""}, {"refresh_token": ""}):
        case.expect_match(None, **CLIENT, **fields)


@rule(
    "same-object",
    "find_token completes and returns the same object",
    "find_token fills the empty fields of the caller's token from the row and returns the same "
    "object.",
    "find_token: set the empty fields on the token and return it",
)
def same_object(case: Case) -> None:
    case.save(user_token(1))
    query = make_token(user_name=user_name(1), redirect_url="")
    found = case.store.find_token(query)
    expect(found is query, "find_token did not return the object that it was called with")
    expected = values_of(user_token(1, id=case.id_of(1)))
    wrong = sorted(name for name, value in values_of(query).items() if value != expected[name])
    expect(not wrong, f"fields that were not filled from the row: {', '.join(wrong)}")
    expect(isinstance(query.get_expires_in(), str), "expires_in is not a string")


@rule(
    "later-pair",
    "the access token that expires later is kept, with its expiry",
    "An access token and its expiry are a pair. If the caller and the row both have a pair, the "
    "one that expires later is kept. Every other value that the caller set stays.",
    "find_token: compare the expiries as numbers, and set both values or neither",
)
def later_pair(case: Case) -> None:
    case.save(user_token(1))
    stored = ("access-1", EARLIER)
    for what, pair, expected in (
        ("a later", ("newer", LATER), ("newer", LATER)),
        ("an earlier", ("older", "1000"), stored),
        ("an earlier, shorter", ("older", LONG_PAST), stored),
        ("an access token and no", ("other", None), ("other", None)),
        ("no access token and no", (None, None), stored),
    ):
        query = make_token(user_name(1), pair[1], access_token=pair[0], refresh_token="mine")
        found = case.store.find_token(query)
        kept = found and (found.get_access_token(), found.get_expires_in() or None)
        expect(kept == expected, f"the caller has {what} expiry: find_token kept the wrong pair")
        is_kept = found.get_refresh_token() == "mine"
        expect(is_kept, "a refresh token that the caller set was overwritten")


@rule(
    "not-found",
    "find_token returns None if nothing matches",
    "If nothing matches, find_token returns None and leaves the caller's token unchanged.",
    "find_token: set fields only after a row was found",
)
def not_found(case: Case) -> None:
    case.save(user_token(1))
    query = make_token(user_name="nobody@example.com", refresh_token="mine")
    before = values_of(query)
    expect(case.store.find_token(query) is None, "find_token of an unknown user is not None")
    expect(values_of(query) == before, "nothing was found, but the caller's token was changed")


@rule(
    "fast-lookup",
    "a lookup takes the same time with many rows",
    "The SDK calls find_token or find_token_by_id before every API call. So a lookup must be fast, "
    "and its cost must not grow with the number of rows.",
    "find_token: use an index or a dictionary; with RowStore, override rows_with",
)
def fast_lookup(case: Case) -> None:
    case.save(*(user_token(number) for number in range(10)))
    few_s = _lookup_times(case, 9)
    count, deadline_s = 10, time.monotonic() + FILL_S
    while count < 1000 and time.monotonic() < deadline_s:
        case.save(user_token(count))
        count += 1
    for name, many_s in _lookup_times(case, count - 1).items():
        times, many_ms = many_s / few_s[name], many_s * 1000
        expect(
            many_s < max(3 * few_s[name], FAST_LOOKUP_S),
            f"{name} takes {times:.0f} times as long with {count:,} rows as with 10 "
            f"({many_ms:.1f} ms)",
        )


def _lookup_times(case: Case, number: int) -> dict[str, float]:
    """Return how long each kind of lookup takes for user 1, 2, 3 …, in seconds."""
    id, name = case.id_of(number), user_name(number)
    client = CLIENT | {"refresh_token": f"refresh-{number}"}
    return {
        "find_token with a user name": _shortest_s(lambda: case.find(user_name=name)),
        "find_token with a refresh token": _shortest_s(lambda: case.find(**client)),
        "find_token_by_id": _shortest_s(lambda: case.store.find_token_by_id(id)),
    }


def _shortest_s(call: Callable[[], object]) -> float:
    """Return the shortest time that a call takes: what else the machine does only adds to it."""
    shortest = min(timeit.repeat(call, repeat=21, number=1))
    return max(shortest, 1e-6)  # the clock of a browser can show no time at all


@rule(
    "one-row-per-user",
    "a user and client have one row",
    "A user who authorizes again keeps one row, and no other row is touched. An id that belongs to "
    "the row of another user or client is refused with SDKException.",
    "save_token: find the row as find_token does, check its owner, then update or insert",
)
def one_row_per_user(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    new = {"grant_token": "new", "refresh_token": "new-refresh", "access_token": "new-access"}
    case.save(user_token(1, **new))
    case.expect_row_count(2, "a user authorized again")
    expect(case.row_of(1)["refresh_token"] == "new-refresh", "the new tokens were not saved")
    expect(case.row_of(2)["refresh_token"] == "refresh-2", "the row of another user changed")
    case.save(user_token(3, user_name=None), user_token(3))
    case.expect_row_count(3, "a token was saved without its user name, then with it")
    again = user_token(3, user_name=None, access_token="a", refresh_token="r", grant_token="g")
    case.save(again)
    case.save(make_token(id=again.get_id(), user_name=user_name(3), access_token="a"))
    case.expect_row_count(3, "a second row turned out to be of the same user")
    case.save(user_token(4, refresh_token="refresh-2", access_token="access-2"))
    is_kept = case.row_of(2)["grant_token"] == "grant-2"
    expect(is_kept, "a user with another user's tokens got that user's row")
    id, before = case.id_of(1), case.rows()
    others = {"user": {"user_name": user_name(2)}, "client": {"client_id": "1000.OTHER"}}
    for owner, fields in others.items():
        what = f"a token with the id of another {owner}'s row"
        with raises_store_error(what):
            case.save(user_token(1, id=id, access_token="stolen", **fields))
        expect(case.rows() == before, f"{what} changed a row")


@rule(
    "unique-ids",
    "an id is issued once",
    "A new row gets a unique id, a string that is never issued again, also after delete_token and "
    "delete_tokens. An id that the application chose is kept.",
    "save_token: count upward as a number, and remember the last number across deletes; with "
    "RowStore, check get_value and set_value, and update_row if the id changes",
)
def unique_ids(case: Case) -> None:
    issued: set[str] = set()

    def issue(count: int, situation: str) -> None:
        for _ in range(count):
            token = user_token(1000 + len(issued))
            case.save(token)
            id = token.get_id()
            expect(isinstance(id, str) and id, "save_token did not set the token's id to a string")
            expect(id not in issued, f"{situation}: an id was issued again")
            issued.add(id)

    issue(12, "twelve tokens")
    case.store.delete_token(max(issued, key=lambda id: (len(id), id)))
    issue(1, "after delete_token")
    for number, id in enumerate(("my own id", "O'Brien", "ünï;--", "007"), start=20):
        case.save(user_token(number, id=id))
        expect(case.id_of(number) == id, "an id that the application chose was not kept")
    count, former = len(case.rows()), case.id_of(20)
    case.save(user_token(20, id="chosen later"))
    is_kept = former not in [token.get_id() for token in case.store.get_tokens()]
    is_kept = is_kept and case.id_of(20) == "chosen later"
    expect(is_kept, "an id that the application chose for a stored user is not the id of that row")
    case.expect_row_count(count, "a stored user was saved with another id")
    next_number = 1 + max(int(id) for id in {"12", *issued} if id.isdecimal() and len(id) < 18)
    for chosen in ((str(next_number),), ("1000000000", "999999998")):
        case.save(*(user_token(number, id=id) for number, id in enumerate(chosen, start=30)))
        for id in chosen:
            case.store.delete_token(id)
        issued |= set(chosen)
        issue(3, f"the application chose id {' and '.join(chosen)}")
    with contextlib.suppress(Exception):  # rule delete-all reports it
        case.store.delete_tokens()
    issue(1, "after delete_tokens")
    if case.is_shared:
        case.store = case.make_store()
        issue(1, "after a restart")


@rule(
    "partial-tokens",
    "a partial token erases nothing",
    "An update writes only the fields that the token has, with one exception: a different access "
    "token without an expiry clears the stored expiry. When two rows are merged, the remaining row "
    "keeps its own access token and expiry.",
    "save_token: keep the row's value where the token's is empty, and keep access token and expiry "
    "together",
)
def partial_tokens(case: Case) -> None:
    case.save(user_token(1))
    for fields in (
        {"refresh_token": "new-refresh"},
        {"access_token": "access-1"},
        {"access_token": "new-access", "expires_in": LATER},
        {"access_token": "newer-access"},
    ):
        token = make_token(user_name=user_name(1), **CLIENT, **fields)
        before = case.row_of(1)
        expected = before | {name: value for name, value in values_of(token).items() if value}
        if expected["access_token"] != before["access_token"]:
            expected["expiry_time"] = fields.get("expires_in")
        case.save(token)
        after = case.row_of(1)
        wrong = sorted(name for name in before if after[name] != expected[name])
        expect(
            not wrong, f"an update with {' and '.join(fields)} stored a wrong {', '.join(wrong)}"
        )
    for number, pair in ((2, ("nameless", EARLIER)), (3, (None, None))):
        case.save(user_token(number, expires_in=LATER))
        refresh = {"refresh_token": f"r-{number}"}
        nameless = make_token(None, pair[1], access_token=pair[0], **CLIENT, **refresh)
        case.save(nameless)
        id = nameless.get_id()
        case.save(make_token(user_name(number), id=id, **refresh))
        row = case.row_of(number)
        own = pair if row["id"] == id and pair[0] else (f"access-{number}", LATER)
        is_kept = (row["access_token"], row["expiry_time"]) == own
        expect(is_kept, "two rows were merged: the wrong pair of access token and expiry was kept")


@rule(
    "no-empty-tokens",
    "a token without a grant, refresh or access token is refused",
    "A token without a grant, refresh or access token raises SDKException.",
    "save_token: check the token before you write",
)
def no_empty_tokens(case: Case) -> None:
    for fields in ({"user_name": "nobody@example.com"}, {"id": "1"}, {**CLIENT, "grant_token": ""}):
        with raises_store_error(f"saving a token with only {' and '.join(fields)}"):
            case.store.save_token(make_token(**fields))


@rule(
    "only-tokens",
    "anything but a token is refused",
    "An argument that is not an OAuthToken raises SDKException. Ignoring it silently "
    "would lose a token.",
    "save_token: check with isinstance, and raise",
)
def only_tokens(case: Case) -> None:
    for argument in (None, "access token", {"access_token": "a"}):
        with raises_store_error(f"saving a {type(argument).__name__}"):
            case.store.save_token(argument)


@rule(
    "durable-saves",
    "a saved token survives a crash",
    "When save_token returns, the token is stored, even if the process is killed.",
    "save_token: commit, or flush and fsync, before it returns",
    needs_process=True,
)
def durable_saves(case: Case) -> None:
    if not case.is_shared:
        raise NotApplicableError("the tokens of this store are gone with its process")
    case.save(user_token(1))

    def save_and_die() -> None:
        store = case.make_store()
        store.save_token(user_token(2))
        for count in range(5):
            store.save_token(user_token(1, access_token=f"update-{count}"))
        os.kill(os.getpid(), signal.SIGKILL)

    process = in_child(save_and_die)
    process.join(30)
    expect(process.exitcode == -signal.SIGKILL, "a process could not save tokens")
    stored = {token.get_access_token() for token in case.make_store().get_tokens()}
    for access_token, what in (("access-2", "a token"), ("update-4", "an update")):
        lost = f"{what} was saved, but is gone after its process was killed"
        expect(access_token in stored, lost)


@rule(
    "list-all",
    "get_tokens lists all tokens, oldest first",
    "get_tokens returns all tokens, oldest row first, as new objects that share nothing with the "
    "store; an empty list if there are none.",
    "get_tokens: create new OAuthToken objects, in the order of insertion",
)
def list_all(case: Case) -> None:
    expect(case.store.get_tokens() == [], "get_tokens of an empty store is not an empty list")
    case.save(user_token(2), user_token(1), user_token(3))
    tokens = case.store.get_tokens()
    order = [token.get_access_token() for token in tokens]
    expect(sorted(order) == ["access-1", "access-2", "access-3"], "not all tokens are listed")
    expect(order == ["access-2", "access-1", "access-3"], "the tokens are not listed oldest first")
    tokens[0].set_access_token("changed outside")
    again = case.store.get_tokens()[0].get_access_token()
    expect(again == "access-2", "a change of a listed token changed the store")


@rule(
    "find-by-id",
    "find_token_by_id returns the token or None",
    "find_token_by_id returns the complete token, or None for an unknown id.",
    "find_token_by_id: return None instead of raising",
)
def find_by_id(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    row = case.row_of(2)
    token = case.store.find_token_by_id(row["id"])
    expect(token and values_of(token) == row, "find_token_by_id did not return the complete token")
    try:
        unknown = case.store.find_token_by_id("no such id")
    except SDKException as error:
        raise RuleError("find_token_by_id of an unknown id raised an error") from error
    expect(unknown is None, "find_token_by_id of an unknown id is not None")


@rule(
    "delete-one",
    "delete_token deletes one row",
    "delete_token deletes exactly that row. An unknown id raises SDKException.",
    "delete_token: delete by id only, and see whether a row was deleted",
)
def delete_one(case: Case) -> None:
    case.save(user_token(1), user_token(1, **OTHER), user_token(2))
    before = case.rows()
    for unknown in ("no such id", "1 or 1=1", ""):
        with raises_store_error("delete_token of an unknown id"):
            case.store.delete_token(unknown)
    expect(case.rows() == before, "deleting an unknown id deleted a row")
    case.store.delete_token(before[0]["id"])
    expect(case.rows() == before[1:], "delete_token did not delete exactly that row")


@rule(
    "delete-all",
    "after delete_tokens, the store is empty and usable",
    "After delete_tokens, the store is empty and still usable.",
    "delete_tokens: keep the table, the file or the list itself",
)
def delete_all(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    case.store.delete_tokens()
    expect(case.store.get_tokens() == [], "delete_tokens left tokens in the store")
    case.store.delete_tokens()
    case.save(user_token(3))
    expect(list(case.by_user()) == [user_name(3)], "a save after delete_tokens was lost")
