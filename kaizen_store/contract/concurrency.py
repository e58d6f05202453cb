"""The parts of the check of rule concurrent-use: threads, forks, processes and signals."""

from __future__ import annotations

import inspect
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from .case import Case, RuleError, expect, in_child
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
    expect_unique_rows(case.store, 41, "8 threads saved 41 users")


def expect_unique_rows(store: TokenStore, count: int, situation: str) -> None:
    """Expect that a store has so many rows, each with another id."""
    ids = [token.get_id() for token in store.get_tokens()]
    expect(len(ids) == count, f"{situation}: there are {len(ids)} rows")
    expect(len(set(ids)) == count, f"{situation}: an id was issued twice")


def saves_are_atomic(case: Case) -> None:
    """Expect that a thread never finds half of what another thread saves."""
    tokens = [user_token(60, **dict.fromkeys(PAIRED, str(count))) for count in range(200)]
    case.save(tokens[0])
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns within a save, too
    deadline_s = time.monotonic() + 2

    def save_all() -> None:
        for token in tokens:
            if time.monotonic() < deadline_s:
                case.save(token)

    try:
        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(save_all)
            while not saving.done():
                found = case.find(user_name=user_name(60))
                expect(found, "while a thread saved, another found nothing")
                seen = {getattr(found, f"get_{name}")() for name in PAIRED}
                expect(len(seen) == 1, "while a thread saved, another found half of the save")
        saving.result()
    finally:
        sys.setswitchinterval(interval_s)
    case.store.delete_token(case.id_of(60))


def both_sides_of_a_fork_continue(case: Case) -> None:
    """Expect that a process that forks can save, and its child as well."""
    child = in_child(case.save, user_token(50))
    case.save(user_token(51))
    child.join(30)
    expect(child.exitcode == 0, "after a fork, the child could not save")
    expect(user_name(51) in case.by_user(), "after a fork, the parent lost its token")
    if case.is_shared:
        expect(user_name(50) in case.by_user(), "after a fork, the token of the child is lost")


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

    children = [in_child(save_many, 100 * number) for number in range(1, 5)]
    for child in children:
        child.join(60)
    failed = sum(child.exitcode != 0 for child in children)
    expect(not failed, f"{failed} of 4 processes could not save while the others did")
    for store in (case.make_store(), case.store):
        expect_unique_rows(store, before + 40, f"4 processes added 40 rows to {before}")
    by_id = case.store.find_token_by_id(id)
    expect(
        str(case.access_token(user_name=user_name(0))).startswith("by-")
        and str(by_id and by_id.get_access_token()).startswith("by-")
        and case.access_token(user_name=user_name(100)) == "access-100",
        "another process has saved a token, and this one does not find it",
    )


def interrupts_leave_the_store_usable(case: Case) -> None:
    """Expect that an exception from a signal handler leaves a usable store and a whole row."""

    class Interrupt(BaseException):
        pass

    def interrupt() -> None:
        raise Interrupt

    count = 0

    def save_next() -> None:
        case.save(user_token(70, **dict.fromkeys(PAIRED, str(1000 + count))))

    def find() -> None:
        case.find(user_name=user_name(70))

    save_next()
    rows = len(case.rows())
    for call in (save_next, find):
        for place in places(call):
            count += 1
            try:
                with signal_at(place, interrupt):
                    call()
            except Interrupt:
                pass
            in_thread(find, "after an interrupt, the store is blocked")
            found = case.find(user_name=user_name(70))
            seen = {getattr(found, f"get_{name}")() for name in PAIRED}
            expect(len(seen) == 1, "an interrupt during a save left half of it")
            in_thread(save_next, "after an interrupt, the store is blocked")
    expect(len(case.rows()) == rows, "an interrupt during a save added or lost a row")


def signal_handlers_may_use_the_store(case: Case) -> None:
    """Expect that a signal handler can find and save in the middle of a find or save."""
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
    for call in (save_next, find):
        for place in places(call):
            count += 1
            with time_limit("a signal handler got blocked in the store"), signal_at(place, handle):
                call()
            expect(not errors, f"a signal handler that uses the store got an error: {errors}")
            for number, writer in ((80, "program"), (81, "handler")):
                if call is save_next or writer == "handler":
                    expect(
                        case.access_token(user_name=user_name(number)) == f"{writer}-{count}",
                        f"a signal handler saved during a save: the token of the {writer} is lost",
                    )


def in_thread(call: Callable[[], None], message: str) -> None:
    """Call a function in another thread, and expect that it ends."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    try:
        future.result(BLOCKED_S)
    except FutureTimeoutError as error:
        raise RuleError(message) from error
    finally:
        pool.shutdown(wait=False)


def places(call: Callable[[], None]) -> Iterator[int]:
    """Count the places in a call where Python handles signals, and yield them evenly mixed."""
    total = 0

    def count_place() -> None:
        nonlocal total
        total += 1

    with at_each_place(count_place):
        call()
    deadline_s = time.monotonic() + SIGNALS_S / 2
    for place in sorted(range(total), key=lambda place: place * 0.618034 % 1):
        if time.monotonic() > deadline_s:
            return
        yield place


@contextmanager
def signal_at(place: int, handle: Callable[[], None]) -> Iterator[None]:
    """Call a signal handler at one of the places of the calls in a block."""
    passed = 0

    def handle_there() -> None:
        nonlocal passed
        passed += 1
        if passed == place + 1:
            handle()

    with at_each_place(handle_there):
        yield


@contextmanager
def at_each_place(act: Callable[[], None]) -> Iterator[None]:
    """Call a function wherever Python would handle a signal in a block.

    These places are the beginning of a function and the end of a call of a function in C.
    """

    def profile(frame: Any, event: str, argument: Any) -> None:
        resumed = frame.f_code.co_flags & inspect.CO_GENERATOR
        if event == "c_return" or (event == "call" and not resumed):
            act()

    previous, hook = sys.getprofile(), sys.unraisablehook
    sys.unraisablehook = lambda _: None  # Python prints and ignores what is raised in a finalizer
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(previous)
        sys.unraisablehook = hook


class TimeLimit(BaseException):
    """A block has taken too long; no store catches it."""


@contextmanager
def time_limit(message: str) -> Iterator[None]:
    """Raise :class:`RuleError` with a message if a block in the main thread takes too long."""

    def give_up(*_: Any) -> None:
        raise TimeLimit

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, BLOCKED_S)
    try:
        yield
    except TimeLimit as error:
        raise RuleError(message) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
