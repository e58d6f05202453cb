"""A save that has returned survives when the process is killed, at any moment.

A killed process does not lose the data that the system has not yet written to the disk; a power cut
does. The tests in tests/stores check that each commit waits for the disk.

`make test-crash` kills 200 times; CRASH_KILLS=1000 sets the number. CRASH_SEED repeats the random
choices, but not the moments at which the system runs each process.
"""

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import sys
import time
import traceback

import pytest
from store_cases import make_token, user_token

from kaizen_store import CustomStoreSQLite

KILLS = int(os.environ.get("CRASH_KILLS", "10"))
SEED = int(os.environ.get("CRASH_SEED", time.time_ns() % 1_000_000))
WRITERS = 2  # at once, so that one process dies while another one continues
USERS = 3  # of each writer
FULL = 4  # every fourth save has all fields; the others have only a new access token


def token_to_save(user, number):
    pair = {"access_token": f"access-{user}-{number}", "expires_in": str(number)}
    complete = user_token(user, refresh_token=f"refresh-{user}-{number}", **pair)
    if number % FULL == 0:
        return complete
    name = complete.get_user_signature().get_name()
    return make_token(user_name=name, client_id=complete.get_client_id(), **pair)


def save_until_killed(path, users, first_number, report):
    store = CustomStoreSQLite(path)
    for number in itertools.count(first_number):
        for user in users:
            token = token_to_save(user, number)
            store.save_token(token)
            os.write(report, f"{user} {number} {token.get_id()}\n".encode())


class Writer:
    """A forked process that saves until it is killed, and reports each save that has returned."""

    def __init__(self, path, users, first_number):
        self.reports, report = os.pipe()
        self.received = b""
        self.process = os.fork()
        if self.process == 0:
            try:
                os.close(
                    self.reports
                )  # so that writing fails, and ends this process, if the test ends
                save_until_killed(path, users, first_number, report)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(report)

    def wait_for_saves(self, count):
        while self.received.count(b"\n") < count and (more := os.read(self.reports, 4096)):
            self.received += more

    def kill(self):
        os.kill(self.process, signal.SIGKILL)
        signal_number = os.WTERMSIG(os.waitpid(self.process, 0)[1])
        self.wait_for_saves(sys.maxsize)  # what is still in the pipe
        os.close(self.reports)
        assert signal_number == signal.SIGKILL, "the writer was not killed: its error is above"
        # The last line may be incomplete, so it does not count.
        return [tuple(map(int, line.split())) for line in self.received.split(b"\n")[:-1]]


def stored_in(store):
    """Return the number of the last save and the id for each user, and check the rows."""
    tokens = store.get_tokens()
    stored = {}
    for token in tokens:
        _, user, number = token.get_access_token().split("-")
        last_full = int(number) - int(number) % FULL
        assert token.get_expires_in() == number
        assert token.get_refresh_token() == f"refresh-{user}-{last_full}"
        stored[int(user)] = (int(number), int(token.get_id()))
    ids = [id for _, id in stored.values()]
    assert len(set(ids)) == len(stored) == len(tokens)
    return stored


class Expected:
    """What a database must contain: the last save that was reported for each user, with its id."""

    def __init__(self, path):
        self.path = path
        self.saves = {}
        self.deleted_ids = set()
        self.unreported = 0

    def first_number(self):
        return FULL * (1 + max((number for number, _ in self.saves.values()), default=0) // FULL)

    def add(self, user, number, id):
        assert id == self.saves.get(user, (0, id))[1], f"the id of user {user} has changed"
        self.saves[user] = (number, id)

    def check_the_next_start(self, rng):
        with CustomStoreSQLite(self.path) as store:
            stored = stored_in(store)
            for user, (number, id) in self.saves.items():
                assert user in stored, f"user {user} is gone"
                assert stored[user][0] >= number and stored[user][1] == id
                assert store.find_token(user_token(user, id=None)).get_id() == str(id)
            # A save that was interrupted may exist or not; each writer has at most one.
            unreported = sum(stored[user] != self.saves.get(user) for user in stored)
            assert unreported <= WRITERS
            self.unreported += unreported
            assert not self.deleted_ids & {id for _, id in stored.values()}, (
                "an id was issued again"
            )
            self.saves = stored

            if stored:
                _, id = stored.pop(rng.choice(list(stored)))
                store.delete_token(str(id))
                self.deleted_ids.add(id)
            token = token_to_save(0, 0)
            store.save_token(token)
            stored[0] = (0, int(token.get_id()))
            assert stored_in(store) == stored
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no SIGKILL")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_no_kill_loses_a_save_that_returned(tmp_path):
    print(f"\nCRASH_SEED={SEED}")
    rng = random.Random(SEED)
    databases = []
    kills = saves = 0
    while kills < KILLS:
        if rng.random() < 0.2 or not databases:  # so that kills also hit the creation of a database
            databases.append(Expected(tmp_path / f"zohooauth{len(databases)}.db"))
        expected = databases[-1]
        writers = [
            Writer(expected.path, range(first, first + USERS), expected.first_number())
            for first in range(1, 1 + WRITERS * USERS, USERS)
        ]
        for writer in writers:
            writer.wait_for_saves(rng.choice([0, 0, 1, 5, 20]))
            time.sleep(rng.uniform(0, 0.01))
            for report in writer.kill():
                expected.add(*report)
                saves += 1
            kills += 1
        expected.check_the_next_start(rng)
        if kills % 20 == 0:
            print(f"{kills} of {KILLS} kills, {saves} reported saves, none lost", flush=True)
    unreported = sum(expected.unreported for expected in databases)
    print(
        f"{kills} kills on {len(databases)} databases: none of {saves} reported saves is lost; "
        f"{unreported} were killed between their commit and their report"
    )
    assert saves >= kills
