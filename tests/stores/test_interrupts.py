"""An interrupt, a signal handler or ``__del__`` leaves a store intact and not blocked.

Each run happens in a child process, so that a store that hangs is found, and killed.
"""

import gc
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_cases import STORES, make_token, user_token, values_of

from kaizen_store import RowStore

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no interval timers"
)

RUNS = int(os.environ.get("INTERRUPTS", "250"))
HANDLERS = int(os.environ.get("SIGNAL_HANDLERS", "60"))
TIMEOUT_S = 60
USER = "user1@example.com:6001"


class InterruptError(BaseException):
    """What the signal handler raises, as Ctrl-C raises KeyboardInterrupt."""


def signal_after(seconds, handler):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def interrupt(signum, frame):
    raise InterruptError


def saved_pair(number):
    return user_token(1, access_token=f"access-{number}", expires_in=f"40709088{number:05}")


def interrupt_find_and_save(store):
    """Interrupt calls at random moments, and check the store after each interrupt."""
    interrupted = 0
    for number in range(RUNS):
        try:
            signal_after(random.uniform(1e-5, 6e-4), interrupt)
            for _ in range(20):
                store.save_token(saved_pair(number))
                store.find_token(make_token(USER))
            time.sleep(0.001)
        except InterruptError:
            interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        (row,) = map(values_of, store.get_tokens())
        assert row["user_name"] == USER
        # A save is there as a whole, or not at all.
        assert row["expiry_time"] == f"40709088{int(row['access_token'][7:]):05}"
    assert interrupted > RUNS // 2
    works_on(store)


def works_on(store):
    """See that a store saves, finds, forks and closes without waiting."""
    started = time.monotonic()
    store.save_token(user_token(7))
    assert store.find_token(make_token("user7@example.com:6007"))
    child = os.fork()
    if child == 0:
        os._exit(0 if store.find_token(make_token(USER)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    store.close()
    assert time.monotonic() - started < 5


def use_in_signal_handler(store, call):
    """Let a signal handler use the store while the code that it interrupts does."""
    handled = []

    def handler(signum, frame):
        handled.append(call(store, len(handled)))

    for number in range(HANDLERS):
        signal_after(random.uniform(1e-5, 6e-4), handler)
        until = time.monotonic() + 0.02
        while time.monotonic() < until and len(handled) <= number:
            store.save_token(saved_pair(number))
            store.find_token(make_token(USER))
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(handled) > HANDLERS // 2
    return handled


def handler_finds(store):
    assert all(use_in_signal_handler(store, lambda s, n: s.find_token(make_token(USER))))
    works_on(store)


def handler_saves(store):
    def save(store, number):
        store.save_token(user_token(1000 + number))
        return f"access-{1000 + number}"

    handled = use_in_signal_handler(store, save)
    # What the handler has saved is there, and so is what it interrupted.
    stored = [token.get_access_token() for token in store.get_tokens()]
    assert set(handled) <= set(stored) and len(stored) == len(handled) + 1
    assert len({token.get_id() for token in store.get_tokens()}) == len(stored)
    works_on(store)


def handler_closes(store):
    def close(signum, frame):
        store.close()

    signal_after(random.uniform(1e-4, 1e-3), close)
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        try:
            store.save_token(user_token(1))
        except Exception as error:
            assert "closed" in str(error), error
            break


def handler_forks(store):
    def fork(store, number):
        child = os.fork()
        if child == 0:
            store.save_token(user_token(2000 + number))
            os._exit(0 if store.find_token_by_id("1") else 1)
        return os.waitpid(child, 0)[1]

    assert set(use_in_signal_handler(store, fork)) == {0}
    works_on(store)


def finalizer_saves(store):
    """Let the garbage collector run a ``__del__`` that saves, in the middle of other calls."""
    saved = []

    class Node:
        def __init__(self):
            self.me = self  # only the garbage collector ends it

        def __del__(self):
            number = 3000 + len(saved)
            store.save_token(user_token(number))
            saved.append(f"access-{number}")

    gc.set_threshold(50)
    for number in range(400):
        Node()
        store.save_token(saved_pair(number))
        store.find_token(make_token(USER))
    gc.set_threshold(0)
    assert len(saved) > 20
    assert set(saved) <= {token.get_access_token() for token in store.get_tokens()}


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        interrupt_find_and_save,
        handler_finds,
        handler_saves,
        handler_closes,
        handler_forks,
        finalizer_saves,
    )
}


class CustomStoreDict(RowStore):
    """The least that a store can be: four methods, in place, with the lock of RowStore."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def all_rows(self):
        return list(self.rows.values())

    def add_row(self, row):
        self.rows[row["id"]] = row

    def update_row(self, old, new):
        if new["id"] == old["id"]:
            self.rows[old["id"]] = new
        else:
            self.rows = {r["id"]: r for r in (new if r is old else r for r in self.all_rows())}

    def delete_row(self, row):
        del self.rows[row["id"]]


STORES = STORES | {"dict": lambda folder: CustomStoreDict()}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", STORES)
def test_a_store_is_intact_and_not_blocked(name, scenario, tmp_path):
    here = Path(__file__).parent
    code = (
        f"import sys, pathlib; sys.path[:0] = {[str(here), str(here.parent)]!r}\n"
        "import test_interrupts as tests\n"
        f"store = tests.STORES[{name!r}](pathlib.Path(sys.argv[1]))\n"
        "store.save_token(tests.saved_pair(0))\n"
        f"tests.SCENARIOS[{scenario!r}](store)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path],
        timeout=TIMEOUT_S,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
