"""Measure how long the stores take and what they need: `make bench`.

The report goes to standard output, in Markdown, as it is in docs/benchmarks.md. All times are from
one run in which the stores take turns. A *floor* is the bare SQLite statement that reads or writes
a row of ten values, on a connection that stays open, with the pragmas of our store.
"""

import argparse
import csv
import datetime
import itertools
import os
import platform
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.contract.tokens import LATER, make_token, user_name, user_token
from kaizen_store.stores.token_row import COLUMNS, row_from_token

USERS = (1, 100, 10_000, 100_000)
ROUNDS = 15
ROUND_S = 0.1  # how long the calls of a round take together, or one call, if that is longer
MAX_CALLS = 500  # in a round
PICTURE = Path(__file__).resolve().parent.parent / "notebooks" / "images" / "bench.png"

SQLITE, MEMORY, LIST = "CustomStoreSQLite", "CustomStoreInMemory", "CustomStoreList"
FILE_STORE, FLOOR, MEMORY_FLOOR = "SDK's `FileStore`", "floor, file", "floor, memory"
FIND, FIND_BY_ID, SAVE = "find by user", "find by id", "save"

renewals = itertools.count()
ARGUMENTS = {
    FIND: lambda user: make_token(
        user_name(user), client_id="1000.PRACTICE", client_secret="practice-secret"
    ),
    FIND_BY_ID: str,
    # The SDK saves like this after a refresh: it has found the token, which now has its row's id.
    SAVE: lambda user: user_token(
        user, id=str(user), access_token=f"renewed-{next(renewals)}", expires_in=LATER
    ),
}

FIND_SQL = f"SELECT {', '.join(COLUMNS)} FROM oauthtoken WHERE user_name = ?"
FIND_BY_ID_SQL = f"SELECT {', '.join(COLUMNS)} FROM oauthtoken WHERE id = ?"
SAVE_SQL = f"UPDATE oauthtoken SET {' = ?, '.join(COLUMNS)} = ? WHERE id = ?"


class Floor:
    """Only the statements of a store: no row matching, and no token is read or created.

    A save writes the ten values of a token into its row. Its commit waits for the disk.
    """

    def __init__(self, database):
        self.database = database
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA journal_mode = WAL")

    def find_token(self, row):
        return self.database.execute(FIND_SQL, (row["user_name"],)).fetchone()

    def find_token_by_id(self, id):
        return self.database.execute(FIND_BY_ID_SQL, (id,)).fetchone()

    def save_token(self, row):
        self.database.execute("BEGIN IMMEDIATE")
        self.database.execute(SAVE_SQL, (*row.values(), row["id"]))
        self.database.execute("COMMIT")

    def close(self):
        self.database.close()


def stores_with(users, folder):
    """Create the stores and the floors, each with this many users; their ids are 1, 2, 3 …"""
    rows = [row_from_token(user_token(user, id=str(user))) for user in range(1, users + 1)]
    values = [tuple(row.values()) for row in rows]
    with sqlite3.connect(folder / "ours.db") as database:  # as the class from the post does
        columns = " TEXT, ".join(COLUMNS[1:])
        database.execute(f"CREATE TABLE oauthtoken (id TEXT NOT NULL PRIMARY KEY, {columns} TEXT)")
        marks = ", ".join("?" * len(COLUMNS))
        database.executemany(f"INSERT INTO oauthtoken VALUES ({marks})", values)
    database.close()
    CustomStoreSQLite(folder / "ours.db").close()  # creates the indexes
    shutil.copy(folder / "ours.db", folder / "floor.db")
    floor = sqlite3.connect(folder / "floor.db", isolation_level=None)
    memory_floor = sqlite3.connect(":memory:", isolation_level=None)
    floor.backup(memory_floor)

    in_memory = CustomStoreInMemory()
    for user in range(1, users + 1):
        in_memory.save_token(user_token(user))
    in_list = CustomStoreList()
    # Each of its saves searches all rows: 100,000 saves would take hours.
    in_list._rows = rows
    in_list.set_value("last_id", str(users))
    file_store = FileStore(str(folder / "sdk_tokens.txt"))
    with (folder / "sdk_tokens.txt").open("a", newline="") as file:
        csv.writer(file).writerows(values)
    return {
        FLOOR: Floor(floor),
        SQLITE: CustomStoreSQLite(folder / "ours.db"),
        MEMORY_FLOOR: Floor(memory_floor),
        MEMORY: in_memory,
        LIST: in_list,
        FILE_STORE: file_store,
    }


@dataclass
class Block:
    """Calls of one method of one store, each for a random user."""

    store: object
    call: str
    users: int
    calls: int = 1

    def __post_init__(self):
        """Warm up, also SQLite's journal, which is slow until it has its full length."""
        start, count = time.perf_counter(), 0
        while count < MAX_CALLS and time.perf_counter() - start < 5 * ROUND_S:
            per_call_s = self.seconds()
            count += 1
        self.calls = max(1, min(MAX_CALLS, int(ROUND_S / per_call_s)))

    def seconds(self):
        """Return how long one call takes, in seconds: the mean over the calls of a round."""
        users = [random.randint(1, self.users) for _ in range(self.calls)]
        arguments = [ARGUMENTS[self.call](user) for user in users]
        if isinstance(self.store, Floor) and self.call != FIND_BY_ID:
            arguments = [row_from_token(token) for token in arguments]
        names = {FIND: "find_token", FIND_BY_ID: "find_token_by_id", SAVE: "save_token"}
        method = getattr(self.store, names[self.call])
        start = time.perf_counter()
        for argument in arguments:
            method(argument)
        return (time.perf_counter() - start) / self.calls


def times(all_users, rounds):
    """Return the time of each round: {(call, users): {store: [seconds, …]}}."""
    measured = {}
    for users in all_users:
        with tempfile.TemporaryDirectory() as folder:
            progress(f"{users:,} users: filling the stores")
            stores = stores_with(users, Path(folder))
            for call in ARGUMENTS:
                progress(f"{users:,} users: {call}, {rounds} rounds")
                blocks = {name: Block(store, call, users) for name, store in stores.items()}
                lists = measured[call, users] = {name: [] for name in stores}
                for _ in range(rounds):
                    for name, block in blocks.items():
                        lists[name].append(block.seconds())
            for store in stores.values():
                getattr(store, "close", lambda: None)()
    return measured


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def in_new_process(code, *arguments):
    """Return the number that Python code prints in a separate process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


OPENING = """
import sys, psutil
from kaizen_store import CustomStoreSQLite
before = psutil.Process().memory_info().rss
with CustomStoreSQLite(sys.argv[1]) as store:
    for number in range(1000):
        store.find_token_by_id(str(number * 97))
    print(psutil.Process().memory_info().rss - before)
"""
IMPORTING = """
import time
start = time.perf_counter()
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
sdk = time.perf_counter()
import kaizen_store
print((time.perf_counter() - sdk) / (sdk - start))
"""


def memory_mb(users, repeats):
    """Return how much more memory a store with this many rows needs than an empty one, in MB.

    Each one is opened and looks up a thousand ids.
    """
    with tempfile.TemporaryDirectory() as folder:
        progress(f"{users:,} users: memory")
        for store in stores_with(users, Path(folder)).values():
            getattr(store, "close", lambda: None)()
        full, empty = (
            statistics.median(in_new_process(OPENING, Path(folder) / name) for _ in range(repeats))
            for name in ("ours.db", "empty.db")
        )
    return (full - empty) / 1e6


def import_share(repeats):
    """Return how long importing the package takes, as a share of importing the SDK."""
    progress("importing")
    return statistics.median(in_new_process(IMPORTING) for _ in range(repeats))


def median_s(measured, call, users, store):
    return statistics.median(measured[call, users][store])


def ratio(measured, call, users, store, other):
    """Return how many times as long as another store a store takes: the median over the rounds."""
    rounds = measured[call, users]
    return statistics.median(a / b for a, b in zip(rounds[store], rounds[other], strict=True))


def targets(measured, memory, importing):
    """Yield (target, measured value, whether the target is met)."""
    all_users = sorted({users for _, users in measured})
    fewest, most = all_users[0], all_users[-1]
    many = 10_000 if 10_000 in all_users else most

    def highest(call, store, other):
        return max(ratio(measured, call, users, store, other) for users in all_users)

    def at_most(what, value, limit, form="{:.2f} times"):
        return what, form.format(value), value <= limit

    def at_least(what, value, limit):
        return what, f"{value:,.0f} times", value >= limit

    yield at_most(
        f"`{SQLITE}.find_token`: at most 1.5 times its floor", highest(FIND, SQLITE, FLOOR), 1.5
    )
    growth = median_s(measured, FIND, most, SQLITE) / median_s(measured, FIND, fewest, SQLITE)
    yield at_most(
        f"`{SQLITE}.find_token` at {most:,} users: at most 3 times as long as at {fewest:,}",
        growth,
        3,
    )
    yield at_most(
        f"`{SQLITE}.save_token`: at most 1.1 times its floor", highest(SAVE, SQLITE, FLOOR), 1.1
    )
    yield at_most(
        f"`{MEMORY}.find_token`: at most 2 times its floor", highest(FIND, MEMORY, MEMORY_FLOOR), 2
    )
    yield at_least(
        f"`FileStore.find_token` at {many:,} users: at least 100 times slower than `{SQLITE}`",
        ratio(measured, FIND, many, FILE_STORE, SQLITE),
        100,
    )
    for users in all_users:
        yield at_least(
            f"`FileStore.find_token` at {users:,} user{'s'[: users > 1]}: at least 10 times slower "
            f"than `{LIST}`",
            ratio(measured, FIND, users, FILE_STORE, LIST),
            10,
        )
    yield at_most(
        f"memory for an open store with {most:,} rows: at most 5 MB more than for an empty one",
        memory,
        5,
        "{:.1f} MB",
    )
    yield at_most(
        "`import kaizen_store`: at most 5% of the time to import the SDK", importing, 0.05, "{:.1%}"
    )


def format_time(seconds):
    for unit, size in (("µs", 1e-6), ("ms", 1e-3), ("s", 1)):
        value = seconds / size
        if value < 1000 or unit == "s":
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.date.today()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def report(measured, all_targets):
    """Return the report in Markdown, as it is in docs/benchmarks.md."""
    names = list(next(iter(measured.values())))
    heads = [f"`{name}`" if name.startswith("Custom") else name for name in names]
    lines = [f"Medians ({machine()}):", ""]
    lines += [f"| Call | Users | {' | '.join(heads)} |", f"|---|--:|{'--:|' * len(names)}"]
    for call, users in sorted(measured, key=lambda key: (list(ARGUMENTS).index(key[0]), key[1])):
        cells = [format_time(median_s(measured, call, users, name)) for name in names]
        lines.append(f"| {call} | {users:,} | {' | '.join(cells)} |")
    lines += ["", "| Target | Measured | |", "|---|--:|:-:|"]
    lines += [f"| {what} | {value} | {'✔' if met else '✖'} |" for what, value, met in all_targets]
    return "\n".join(lines)


def draw(measured, path):
    """Draw one panel for each call: its time by the number of users."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    styles = {  # colors that color-blind readers can distinguish, and markers for gray prints
        FILE_STORE: ("#d55e00", "s", "-"),
        LIST: ("#cc79a7", "^", "-"),
        SQLITE: ("#0072b2", "o", "-"),
        FLOOR: ("#0072b2", "", ":"),
        MEMORY: ("#009e73", "D", "-"),
        MEMORY_FLOOR: ("#009e73", "", ":"),
    }
    figure, panels = pyplot.subplots(1, 3, figsize=(11, 4.2), sharey=True, layout="constrained")
    for panel, call in zip(panels, ARGUMENTS, strict=True):
        all_users = sorted(users for done, users in measured if done == call)
        for name, (color, mark, line) in styles.items():
            values = [median_s(measured, call, users, name) for users in all_users]
            panel.plot(
                all_users,
                values,
                color=color,
                marker=mark,
                linestyle=line,
                label=name.replace("`", ""),
            )
        panel.set_title(call, loc="left")
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("users in the store")
        panel.set_xticks(all_users, [f"{users:,}" for users in all_users], fontsize=8)
        panel.minorticks_off()
        panel.yaxis.set_major_formatter(
            FuncFormatter(lambda seconds, _: format_time(seconds).replace(".0", ""))
        )
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("time of a call")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(styles), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", default=",".join(map(str, USERS)), help="such as 1,100")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    chosen = parser.parse_args(arguments)
    all_users = sorted(int(users) for users in chosen.users.split(","))
    measured = times(all_users, chosen.rounds)
    memory, importing = memory_mb(all_users[-1], chosen.rounds), import_share(chosen.rounds)
    all_targets = list(targets(measured, memory, importing))
    draw(measured, chosen.picture)
    print(report(measured, all_targets))


if __name__ == "__main__":
    main()
