"""The parts of the check of rule concurrent-use: threads, forks, processes and signals."""

from __future__ import annotations

import inspect
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from .case import Case, RuleError, count_failed, expect, in_child
from .tokens import user_name, user_token

PAIRED = ("access_token", "expires_in", "refresh_token", "grant_token")
"""Fields that a save writes together."""

SIGNALS_S = 1.0
"""How long each of the two checks with signals takes, in seconds."""

BLOCKED_S = 10.0
"""A call that has not ended after this time is blocked, in seconds."""


def threads_share_a_store(case: Case) -> None:
    """Expect that threads can save and find at the same time."""

    def work(number: int) -> None:
        case.save(user_token(number), user_token(0))
        found = case.access_token(user_name=user_name(number))
        expect(found == f"access-{number}", "a thread did not find the token that it saved")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 41)))
    _expect_unique_rows(case.store, 41, "8 threads saved 41 users")


def _expect_unique_rows(store: TokenStore, count: int, situation: str) -> None:
    ids = [token.get_id() for token in store.get_tokens()]
    expect(len(ids) == count, f"{situation}: there are {len(ids)} rows")
    expect(len(set(ids)) == count, f"{situation}: an id was issued twice")


def saves_are_atomic(case: Case) -> None:
    """Expect that a thread never finds half of what another thread saves."""
    case.save(_uniform_token(60, 0))
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns within a save, too
    deadline_s = time.monotonic() + 2

    def save_all() -> None:
        for count in range(200):
            if time.monotonic() < deadline_s:
                case.save(_uniform_token(60, count))

    try:
        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(save_all)
            while not saving.done():
                _expect_whole_row(case, 60, "another thread found half of the save, or no row")
        saving.result()
    finally:
        sys.setswitchinterval(interval_s)
    case.store.delete_token(case.id_of(60))


def _uniform_token(number: int, value: int) -> OAuthToken:
    """Return the token of a user with the same value in the fields that a save writes together."""
    return user_token(number, **dict.fromkeys(PAIRED, str(value)))


def _expect_whole_row(case: Case, number: int, message: str) -> None:
    """Expect that the user's row is one of the uniform tokens."""
    found = case.find(user_name=user_name(number))
    expect(found and len({getattr(found, f"get_{name}")() for name in PAIRED}) == 1, message)


def both_sides_of_a_fork_continue(case: Case) -> None:
    """Expect that a process that forks can save, and its child as well."""
    child = in_child(case.save, user_token(50))
    case.save(user_token(51))
    expect(not count_failed([child]), "after a fork, the child could not save")
    expect(user_name(51) in case.by_user(), "after a fork, the parent lost its token")
    is_kept = user_name(50) in case.by_user() or not case.is_shared
    expect(is_kept, "after a fork, the token of the child is lost")


def processes_share_a_storage(case: Case) -> None:
    """Expect that processes can save at the same time, and see each other's saves."""
    if not case.is_shared:
        return
    before, id = len(case.rows()), case.id_of(0)
    for number in (0, 100):  # a store that has a cache now has them in it
        case.access_token(user_name=user_name(number))
    case.store.find_token_by_id(id)

    def save_many(first: int) -> None:
        store = case.make_store()
        for number in range(first, first + 10):
            store.save_token(user_token(number))
            store.save_token(user_token(0, access_token=f"by-{first}"))

    failed = count_failed([in_child(save_many, first) for first in (100, 200, 300, 400)])
    expect(not failed, f"{failed} of 4 processes could not save while the others did")
    for store in (case.make_store(), case.store):
        _expect_unique_rows(store, before + 40, f"4 processes added 40 rows to {before}")
    by_id = case.store.find_token_by_id(id)
    for found, start in (
        (case.access_token(user_name=user_name(0)), "by-"),
        (by_id and by_id.get_access_token(), "by-"),
        (case.access_token(user_name=user_name(100)), "access-100"),
    ):
        message = "another process has saved a token, and this one does not find it"
        expect(str(found).startswith(start), message)


class Interrupt(BaseException):
    """Raised by a signal handler, as KeyboardInterrupt is."""


def interrupts_leave_the_store_usable(case: Case) -> None:
    """Expect that an exception from a signal handler leaves a usable store and a whole row."""
    count = 0

    def interrupt() -> None:
        raise Interrupt

    def save_next() -> None:
        case.save(_uniform_token(70, 1000 + count))

    def find() -> None:
        case.find(user_name=user_name(70))

    save_next()
    rows, blocked = len(case.rows()), "after an interrupt, the store is blocked"
    for call in (save_next, find):
        for place in _places(call):
            count += 1
            _call_with_signal(call, interrupt, place)
            _in_thread(find, blocked, BLOCKED_S)
            _expect_whole_row(case, 70, "an interrupt during a save left half of it, or no row")
            _in_thread(save_next, blocked, BLOCKED_S)
    case.expect_row_count(rows, "an interrupt during a save added or lost a row")


def signal_handlers_may_use_the_store(case: Case) -> None:
    """Expect that a signal handler can find and save in the middle of a find or save."""
    limit_s = 3 * BLOCKED_S  # for many calls
    _in_thread(lambda: _use_in_handlers(case), "a signal handler is blocked in the store", limit_s)


def _use_in_handlers(case: Case) -> None:
    count = 0
    errors: list[Exception] = []

    def handle() -> None:
        try:
            case.save(user_token(81, access_token=f"handler-{count}"))
            case.find(user_name=user_name(80))
        except Exception as error:
            errors.append(error)

    def save_next() -> None:
        case.save(user_token(80, access_token=f"program-{count}"))

    def find() -> None:
        case.find(user_name=user_name(80))

    save_next()
    handle()
    for call, expected in ((save_next, {80: "program", 81: "handler"}), (find, {81: "handler"})):
        for place in _places(call):
            count += 1
            _call_with_signal(call, handle, place)
            expect(not errors, f"a signal handler that uses the store got an error: {errors}")
            for number, writer in expected.items():
                is_kept = case.access_token(user_name=user_name(number)) == f"{writer}-{count}"
                expect(is_kept, f"a signal handler used the store: the {writer}'s token is lost")


def _in_thread(call: Callable[[], None], message: str, limit_s: float) -> None:
    """Call a function in another thread, and expect that it ends in time."""
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(call).result(limit_s)
    except FutureTimeoutError as error:
        raise RuleError(message) from error
    finally:
        pool.shutdown(wait=False)


def _places(call: Callable[[], None]) -> Iterator[int]:
    """Count the places in a call where Python handles signals, and yield them evenly mixed."""
    places = range(_call_with_signal(call, call, -1))
    deadline_s = time.monotonic() + SIGNALS_S / 2
    for place in sorted(places, key=lambda place: place * 0.618034 % 1):
        if time.monotonic() > deadline_s:
            return
        yield place


def _call_with_signal(call: Callable[[], None], handle: Callable[[], None], at: int) -> int:
    """Call a function, and a signal handler at one place of it; return the number of places.

    A place is the beginning of a function, or the end of a call of a function in C.
    """
    places = itertools.count()

    def profile(frame: Any, event: str, argument: Any) -> None:
        resumed = frame.f_code.co_flags & inspect.CO_GENERATOR
        is_place = event == "c_return" or (event == "call" and not resumed)
        if is_place and next(places) == at:
            handle()

    previous, hook = sys.getprofile(), sys.unraisablehook
    sys.unraisablehook = lambda _: None  # Python prints and ignores what is raised in a finalizer
    with suppress(Interrupt):
        try:
            sys.setprofile(profile)
            call()
        finally:
            sys.setprofile(previous)
            sys.unraisablehook = hook
    return next(places)
