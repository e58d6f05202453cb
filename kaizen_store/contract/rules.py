"""The rules for the six methods of a token store: find, save, list and delete."""

# ruff: noqa: D103 - the sentence of a rule says what its check does

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from .case import Case, RuleError, Values, expect, in_child, raises_store_error, rule
from .tokens import LATER, SOON, make_token, user_name, user_token, values_of

CLIENT = {"client_id": "1000.PRACTICE", "client_secret": "practice-secret"}
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

CHOSEN_IDS = ("my own id", "O'Brien", "ünï;--", "007")


@rule(
    "id-first",
    title="an id is matched first",
    sentence="A token with an id matches the row with that id. If no row has it, the other "
    "fields of the token decide.",
    hint="find_token: look for the id before the user name",
)
def id_first(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    second = case.id_of(2)
    expect(
        case.access_token(id=second, user_name=user_name(1)) == "access-2",
        "a token with the id of row 2 and the name of user 1 did not find row 2",
    )
    expect(case.find(id="no such id") is None, "a token with only an unknown id found a row")
    expect(
        case.access_token(id="no such id", user_name=user_name(2)) == "access-2",
        "a token with an unknown id and a known user name did not find the user's row",
    )


@rule(
    "user-and-client",
    title="a user name matches the row of that user and client",
    sentence="A token with a user name matches the user's row for the token's client. Without a "
    "client id, it matches the user's row whose access token expires last; on a tie, the newest "
    "row.",
    hint="find_token: compare user_name and client_id, then the expiries as numbers",
)
def user_and_client(case: Case) -> None:
    case.save(user_token(1, expires_in=SOON), user_token(1, **OTHER, expires_in=LATER))
    for client_id, access in (("1000.PRACTICE", "access-1"), ("1000.OTHER", "other-access")):
        expect(
            case.access_token(user_name=user_name(1), client_id=client_id) == access,
            "a user who authorized two clients: the row of the other client was found",
        )
    expect(
        case.find(user_name=user_name(1), client_id="1000.THIRD") is None,
        "a client that the user never authorized found the row of another client",
    )
    changes: dict[str, tuple[dict[str, str], str]] = {
        "the access token that expires last": ({}, "other-access"),
        "the access token that expires last, of the older row": ({"expires_in": "9" * 13}, "new"),
        "the newest row, on a tie": ({"expires_in": LATER}, "other-access"),
        "the access token that expires last, compared as numbers": (
            {"expires_in": LONG_PAST},
            "other-access",
        ),
    }
    for expected, (fields, access) in changes.items():
        if fields:
            case.save(user_token(1, access_token="new", **fields))
        expect(
            case.access_token(user_name=user_name(1)) == access,
            f"a user name without a client id did not find {expected}",
        )


@rule(
    "access-token-only",
    title="an access token without a client matches its row",
    sentence="A token with an access token, and without client id and client secret, matches the "
    "row with that access token.",
    hint="find_token: use the access token only if client id and client secret are empty",
)
def access_token_only(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    found = case.find(access_token="access-2")
    expect(
        found and found.get_refresh_token() == "refresh-2",
        "a token with only an access token did not find its row",
    )
    for name, value in CLIENT.items():
        expect(
            case.find(access_token="access-2", **{name: value}) is None,
            f"an access token with a {name} and no grant or refresh token found a row",
        )


@rule(
    "client-and-token",
    title="a client matches by its grant token, then by its refresh token",
    sentence="A token with client id, client secret and a grant token matches the row with that "
    "grant token; if there is none, the row with its refresh token. It never matches the row of "
    "another client.",
    hint="find_token: require client id and client secret, and try the grant token first",
)
def client_and_token(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    queries = {
        "a grant token": {"grant_token": "grant-2"},
        "a refresh token": {"refresh_token": "refresh-2"},
        "an unknown grant token and a refresh token": {
            "grant_token": "unknown",
            "refresh_token": "refresh-2",
        },
        "a grant token and the refresh token of another row": {
            "grant_token": "grant-2",
            "refresh_token": "refresh-1",
        },
    }
    for name, query in queries.items():
        expect(
            case.access_token(**CLIENT, **query) == "access-2",
            f"a client with {name} did not find its row",
        )
    clients = {
        "without a client": {},
        "with another client": CLIENT | {"client_id": "1000.OTHER"},
        "with a client id and no client secret": {"client_id": "1000.PRACTICE"},
        "with a client id and an empty client secret": CLIENT | {"client_secret": ""},
        "with a client secret and no client id": {"client_secret": "practice-secret"},
    }
    for token in ({"refresh_token": "refresh-2"}, {"grant_token": "grant-2"}):
        for name, client in clients.items():
            expect(
                case.find(**token, **client) is None,
                f"a {next(iter(token)).replace('_', ' ')} {name} found a row",
            )


@rule(
    "no-guessing",
    title="a token without a key matches nothing",
    sentence="A token that has none of these keys matches nothing: never any row, never the "
    "first row. An empty string counts as absent.",
    hint="find_token: treat an empty string as absent, and return None at the end",
)
def no_guessing(case: Case) -> None:
    case.save(user_token(1))
    queries: dict[str, dict[str, Any]] = {
        "nothing": {},
        "an empty id": {"id": ""},
        "an empty user name": {"user_name": ""},
        "an empty access token": {"access_token": ""},
        "only a client": CLIENT,
        "a client and an empty grant token": CLIENT | {"grant_token": ""},
        "a client and an empty refresh token": CLIENT | {"refresh_token": ""},
    }
    for name, query in queries.items():
        expect(case.find(**query) is None, f"a token with {name} found a row")


@rule(
    "same-object",
    title="find_token completes and returns the same object",
    sentence="find_token fills the empty fields of the caller's token from the row and returns "
    "the same object.",
    hint="find_token: set the empty fields on the token and return it",
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
    title="the access token that expires later is kept, with its expiry",
    sentence="An access token and its expiry are a pair. If the caller and the row both have a "
    "pair, the one that expires later is kept. Every other value that the caller set stays.",
    hint="find_token: compare the expiries as numbers, and set both values or neither",
)
def later_pair(case: Case) -> None:
    case.save(user_token(1))
    pairs = {
        "a later": (("newer", LATER), ("newer", LATER)),
        "an earlier": (("older", "1000"), ("access-1", SOON)),
        "an earlier, shorter": (("older", LONG_PAST), ("access-1", SOON)),
        "no": ((None, None), ("access-1", SOON)),
    }
    for name, ((access, expiry), expected) in pairs.items():
        fields = {"access_token": access, "expires_in": expiry, "refresh_token": "mine"}
        found = case.find(user_name=user_name(1), **fields)
        pair = (found and found.get_access_token(), found and found.get_expires_in())
        expect(
            pair == expected,
            f"the caller has {name} expiry: the wrong pair of access token and expiry was kept",
        )
        expect(
            found and found.get_refresh_token() == "mine",
            "a refresh token that the caller set was overwritten",
        )
    found = case.find(user_name=user_name(1), access_token="other")
    expect(
        found and found.get_access_token() == "other" and not found.get_expires_in(),
        "the caller's access token got the expiry of another access token",
    )


@rule(
    "not-found",
    title="find_token returns None if nothing matches",
    sentence="If nothing matches, find_token returns None and leaves the caller's token unchanged.",
    hint="find_token: set fields only after a row was found",
)
def not_found(case: Case) -> None:
    case.save(user_token(1))
    query = make_token(user_name="nobody@example.com", refresh_token="mine")
    before = values_of(query)
    expect(case.store.find_token(query) is None, "find_token of an unknown user is not None")
    expect(values_of(query) == before, "nothing was found, but the caller's token was changed")


@rule(
    "fast-lookup",
    title="a lookup takes the same time with many rows",
    sentence="The SDK calls find_token before every API call, so a lookup is fast, and its cost "
    "does not grow with the number of rows.",
    hint="find_token: use an index or a dictionary",
)
def fast_lookup(case: Case) -> None:
    def lookups(number: int) -> dict[str, Callable[[], object]]:
        id = case.id_of(number)
        client = CLIENT | {"refresh_token": f"refresh-{number}"}
        return {
            "find_token with a user name": lambda: case.find(user_name=user_name(number)),
            "find_token with a refresh token": lambda: case.find(**client),
            "find_token_by_id": lambda: case.store.find_token_by_id(id),
        }

    case.save(*(user_token(number) for number in range(10)))
    few = {name: shortest_s(lookup) for name, lookup in lookups(9).items()}
    count, deadline_s = 10, time.monotonic() + FILL_S
    while count < 1000 and time.monotonic() < deadline_s:
        case.save(user_token(count))
        count += 1
    for name, lookup in lookups(count - 1).items():
        many_s = shortest_s(lookup)
        expect(
            many_s < max(3 * few[name], FAST_LOOKUP_S),
            f"{name} takes {many_s / few[name]:.0f} times as long with {count:,} rows as with 10 "
            f"({many_s * 1000:.1f} ms)",
        )


def shortest_s(call: Callable[[], object]) -> float:
    """Return the shortest time that a call takes: what else the machine does only adds to it."""
    times_s = []
    for _ in range(21):
        start_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start_s)
    return max(min(times_s), 1e-6)  # the clock of a browser can show no time at all


@rule(
    "one-row-per-user",
    title="a user and client have one row",
    sentence="A user who authorizes again keeps one row, and no other row is touched. An id that "
    "belongs to the row of another user or client is refused with SDKException.",
    hint="save_token: find the row as find_token does, check its owner, then update or insert",
)
def one_row_per_user(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    new = {"grant_token": "new", "refresh_token": "new-refresh", "access_token": "new-access"}
    case.save(user_token(1, **new))
    expect_row_count(case, 2, "a user authorized again")
    rows = case.by_user()
    expect(rows[user_name(1)]["refresh_token"] == "new-refresh", "the new tokens were not saved")
    expect(rows[user_name(2)]["refresh_token"] == "refresh-2", "the row of another user changed")
    case.save(user_token(3, user_name=None))
    case.save(user_token(3))
    expect_row_count(case, 3, "a token was saved without its user name, then with it")
    again = user_token(3, user_name=None, access_token="a", refresh_token="r", grant_token="g")
    case.save(again)
    case.save(make_token(id=again.get_id(), user_name=user_name(3), access_token="a"))
    expect_row_count(case, 3, "a second row turned out to be of the same user")
    case.save(user_token(4, refresh_token="refresh-2", access_token="access-2"))
    expect(
        case.by_user()[user_name(2)]["grant_token"] == "grant-2",
        "a user with another user's tokens got that user's row",
    )
    refuses_ids_of_others(case)


def expect_row_count(case: Case, count: int, situation: str) -> None:
    """Expect that there are so many rows."""
    rows = len(case.store.get_tokens())
    expect(rows == count, f"{situation}: there are {rows} rows, not {count}")


def refuses_ids_of_others(case: Case) -> None:
    """Expect that nobody can save a token in the row of another user or client."""
    id, before = case.id_of(1), case.rows()
    for owner, fields in {
        "user": {"user_name": user_name(2)},
        "client": {"client_id": "1000.OTHER"},
    }.items():
        with raises_store_error(f"a token with the id of another {owner}'s row"):
            case.store.save_token(user_token(1, id=id, access_token="stolen", **fields))
        expect(case.rows() == before, f"a token with the id of another {owner}'s row changed a row")


@rule(
    "unique-ids",
    title="an id is issued once",
    sentence="A new row gets a unique id, a string that is never issued again, also after "
    "delete_token and delete_tokens. An id that the application chose is kept.",
    hint="save_token: count upward as a number, and remember the last number across deletes",
)
def unique_ids(case: Case) -> None:
    issued: set[str] = set()

    def issue(count: int, situation: str) -> None:
        for _ in range(count):
            token = user_token(1000 + len(issued))
            case.save(token)
            id = token.get_id()
            expect(isinstance(id, str) and id, "save_token did not set an id, which is a string")
            expect(id not in issued, f"{situation}: an id was issued again")
            issued.add(id)

    issue(12, "twelve tokens")
    case.store.delete_token(max(issued, key=lambda id: (len(id), id)))
    issue(1, "after delete_token")
    for number, id in enumerate(CHOSEN_IDS, start=20):
        case.save(user_token(number, id=id))
        expect(case.id_of(number) == id, "an id that the application chose was not kept")
    next_number = 1 + max(int(id) for id in {"12", *issued} if id.isdecimal() and len(id) < 18)
    for chosen in ((str(next_number),), ("1000000000", "999999998")):
        for number, id in enumerate(chosen, start=30):
            case.save(user_token(number, id=id))
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
    title="a partial token erases nothing",
    sentence="An update writes only the fields that the token has. Only the expiry is cleared "
    "with its access token: when another one comes without an expiry. When two rows are merged, "
    "the remaining row keeps its own access token and expiry.",
    hint="save_token: keep the row's value where the token's is empty, and keep access token and "
    "expiry together",
)
def partial_tokens(case: Case) -> None:
    case.save(user_token(1))
    before = case.by_user()[user_name(1)]
    updates = (
        {"refresh_token": "new-refresh"},
        {"access_token": "access-1"},
        {"access_token": "new-access", "expires_in": LATER},
        {"access_token": "newer-access"},
    )
    for fields in updates:
        case.save(make_token(user_name=user_name(1), **CLIENT, **fields))
        after = case.by_user()[user_name(1)]
        expected = before | make_columns(fields)
        if "access_token" in fields and fields["access_token"] != before["access_token"]:
            expected["expiry_time"] = fields.get("expires_in")
        wrong = sorted(name for name in before if after[name] != expected[name])
        what = " and ".join(fields)
        expect(
            wrong != ["expiry_time"],
            f"an update with {what}: the stored expiry does not belong to the access token",
        )
        expect(not wrong, f"an update with {what} stored a wrong {', '.join(wrong)}")
        before = after
    merged_rows_keep_their_pair(case)


def make_columns(fields: dict[str, str]) -> Values:
    """Return the fields of a token by the names of their columns."""
    return {{"expires_in": "expiry_time"}.get(name, name): value for name, value in fields.items()}


def merged_rows_keep_their_pair(case: Case) -> None:
    """Expect that merged rows keep the pair of the remaining row, or take the other's whole."""
    for number, pair in ((2, ("nameless", SOON)), (3, (None, None))):
        case.save(user_token(number, expires_in=LATER))
        nameless = make_token(
            **CLIENT, refresh_token=f"r-{number}", access_token=pair[0], expires_in=pair[1]
        )
        case.save(nameless)
        id = nameless.get_id()
        case.save(make_token(id=id, user_name=user_name(number), refresh_token=f"r-{number}"))
        row = case.by_user()[user_name(number)]
        own = pair if row["id"] == id and pair[0] else (f"access-{number}", LATER)
        expect(
            (row["access_token"], row["expiry_time"]) == own,
            "two rows were merged: the remaining row has the wrong access token or expiry",
        )


@rule(
    "no-empty-tokens",
    title="a token without grant, refresh and access token is refused",
    sentence="A token without a grant, refresh or access token raises SDKException.",
    hint="save_token: check the token before you write",
)
def no_empty_tokens(case: Case) -> None:
    for fields in ({"user_name": "nobody@example.com"}, {"id": "1"}, {**CLIENT, "grant_token": ""}):
        with raises_store_error(f"saving a token with only {' and '.join(fields)}"):
            case.store.save_token(make_token(**fields))


@rule(
    "only-tokens",
    title="anything but a token is refused",
    sentence="An argument that is not an OAuthToken raises SDKException. Silence would lose a "
    "token.",
    hint="save_token: check with isinstance, and raise",
)
def only_tokens(case: Case) -> None:
    for argument in (None, "access token", {"access_token": "a"}):
        with raises_store_error(f"saving a {type(argument).__name__}"):
            case.store.save_token(argument)


@rule(
    "durable-saves",
    title="a saved token survives a crash",
    sentence="When save_token returns, the token is stored, even if the process is killed.",
    hint="save_token: commit, or flush and fsync, before it returns",
    needs_process=True,
)
def durable_saves(case: Case) -> None:
    case.require_shared_storage()
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
    expect("access-2" in stored, "a token was saved, but is gone after its process was killed")
    expect("update-4" in stored, "an update was saved, but is gone after its process was killed")


@rule(
    "list-all",
    title="get_tokens lists all tokens, oldest first",
    sentence="get_tokens returns all tokens, oldest row first, as new objects that share nothing "
    "with the store; an empty list if there are none.",
    hint="get_tokens: create new OAuthToken objects, in the order of insertion",
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
    title="find_token_by_id returns the token or None",
    sentence="find_token_by_id returns the complete token, or None for an unknown id.",
    hint="find_token_by_id: return None instead of raising",
)
def find_by_id(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    row = case.by_user()[user_name(2)]
    token = case.store.find_token_by_id(row["id"])
    expect(token and values_of(token) == row, "find_token_by_id did not return the complete token")
    try:
        unknown = case.store.find_token_by_id("no such id")
    except SDKException as error:
        raise RuleError("find_token_by_id of an unknown id raised an error") from error
    expect(unknown is None, "find_token_by_id of an unknown id is not None")


@rule(
    "delete-one",
    title="delete_token deletes one row",
    sentence="delete_token deletes exactly that row. An unknown id raises SDKException.",
    hint="delete_token: delete by id only, and see whether a row was deleted",
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
    title="after delete_tokens, the store is empty and usable",
    sentence="After delete_tokens, the store is empty and still usable.",
    hint="delete_tokens: keep the table, the file or the list itself",
)
def delete_all(case: Case) -> None:
    case.save(user_token(1), user_token(2))
    case.store.delete_tokens()
    expect(case.store.get_tokens() == [], "delete_tokens left tokens in the store")
    case.store.delete_tokens()
    case.save(user_token(3))
    expect(list(case.by_user()) == [user_name(3)], "a save after delete_tokens was lost")
