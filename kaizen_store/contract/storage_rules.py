"""The rules for what is below the six methods: values, failures, files and what is open."""

# ruff: noqa: D103 - the sentence of a rule says what its check does

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from . import concurrency
from .case import (
    Case,
    MakeStore,
    NotApplicableError,
    NotTriedError,
    RuleError,
    can_fork,
    expect,
    expect_store_error,
    log_texts,
    rule,
)
from .tokens import make_token, user_name, user_token, values_of

TRICKY_VALUES = (
    "%",
    "O'Brien@example.com",
    "user1@example.com:6001' or '1'='1",
    'semi;colon -- "quoted" `ticked` \\ backslash, comma',
    "100%_of*[a-z]?",
    "ünï\u202ecödé 💾 \r\n\t end ",
    "x" * 10_000,
)
"""Values that became code, or came back changed, in stores that people use."""

LOCKED_S = 5.5
"""How long the check of failures-raise locks an SQLite database, in seconds: longer than the
standard library waits."""

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What the names of the files end in that SQLite keeps beside a database."""


@rule(
    "values-unchanged",
    title="values never become code",
    sentence="Quotes, semicolons, wildcards, any Unicode and 10,000 characters are stored and "
    "returned unchanged.",
    hint="every method: pass values as parameters, never inside SQL",
)
def values_unchanged(case: Case) -> None:
    names = [name for name in values_of(user_token(1)) if name not in ("id", "expiry_time")]
    case.save(user_token(1))
    for value in TRICKY_VALUES:
        shown = ascii(value) if len(value) < 60 else f"a value of {len(value):,} characters"
        expect(case.find(user_name=value) is None, f"the user name {shown} found a row")
        with contextlib.suppress(SDKException):  # rule find-by-id reports it
            expect(case.store.find_token_by_id(value) is None, f"the id {shown} found a row")
        case.save(make_token(**dict.fromkeys(names, value)))
        stored = case.by_user().get(value)
        expect(
            stored and all(stored[name] == value for name in names),
            f"{shown} was not returned unchanged",
        )
        expect(case.access_token(user_name=value) == value, f"the user name {shown} is not found")
    expect(case.by_user()[user_name(1)]["access_token"] == "access-1", "another row changed")


@rule(
    "failures-raise",
    title="a failing storage raises SDKException and shows no secret",
    sentence="A failing storage raises SDKException with code TOKEN_STORE, the original error as "
    "its cause, and a message that names the file or server. The store also logs it, because the "
    "SDK swallows a failing save. No error and no log line contains a secret.",
    hint="every method: catch the storage's errors, log them without secrets, raise SDKException",
)
def failures_raise(case: Case) -> None:
    # Half of a surrogate pair is not Unicode text, so a file cannot store it.
    save_secrets(lambda: case.store, "a value that cannot be stored", refresh_token="secret-\ud800")
    case.save(user_token(1))
    files = database_files(Path.cwd())
    for path in filter(is_sqlite, files):
        with failing_writes(path):
            save_secrets(lambda: case.store, "a save in a database that refuses it")
        if can_fork():  # else there may be no threads, either
            with locked(path):
                save_secrets(lambda: case.store, "a save in a locked database")
    with contextlib.suppress(AttributeError):
        case.store.close()
    for path in files:
        replace_with_folder(path)
    if files:
        names = [path.name for path in files]
        action = f"a save with a folder in place of {' and '.join(names)}"
        error = save_secrets(case.make_store, action)
        expect(error, f"{action} did not raise SDKException")
        expect(any(name in str(error) for name in names), f"{action}: the error names no file")


def save_secrets(
    make_store: MakeStore, action: str, refresh_token: str = "secret-refresh"
) -> SDKException | None:
    """Save a token with known secrets, and expect that no error and no log line shows them.

    :param make_store: returns the store.
    :param action: what is tried, for the reason.
    :param refresh_token: a refresh token that starts with "secret-".
    :returns: the error of the store, with all that the rule asks of it, or None.
    """
    secrets = {name: f"secret-{name}" for name in ("access_token", "grant_token", "client_secret")}
    failure: Exception | None = None
    with log_texts() as texts:
        try:
            make_store().save_token(user_token(7, refresh_token=refresh_token, **secrets))
        except Exception as error:
            failure = error
    shown = "".join(text for _, text in texts)
    expect("secret-" not in shown, f"{action}: a log line shows a secret")
    if failure is None:
        return None
    expect("secret-" not in everything_about(failure), f"{action}: an error shows a secret")
    expect_store_error(failure, action)
    expect(failure.__cause__ or getattr(failure, "cause", None), f"{action}: there is no cause")
    expect(any(level >= logging.ERROR for level, _ in texts), f"{action}: nothing was logged")
    return failure


def everything_about(error: BaseException | None) -> str:
    """Return the texts and attributes of an error, its causes and its contexts."""
    texts, seen, waiting = [], set(), [error]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseException) and id(error) not in seen:
            seen.add(id(error))
            texts.append(f"{error!r} {error} {vars(error)}")
            waiting += [error.__cause__, error.__context__, getattr(error, "cause", None)]
    return "\n".join(texts)


def database_files(folder: Path) -> list[Path]:
    """Return the files in which a store keeps its tokens, at any depth; user 1 has been saved."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(SIDE_FILES) and path.stat().st_size
    )
    found = [path for path in files if is_sqlite(path) or b"access-1" in path.read_bytes()]
    # An encrypted file shows neither; then it is the largest one, and not a lock file.
    return found or sorted(files, key=lambda path: path.stat().st_size)[-1:]


def is_sqlite(path: Path) -> bool:
    """Return whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


@contextlib.contextmanager
def failing_writes(path: Path) -> Iterator[None]:
    """Let each write to the tables of an SQLite database fail inside a block."""
    message = "database is locked, as a trigger says"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        triggers = [
            (f'"contract_{event}_{name}"', f'BEFORE {event} ON "{name}"')
            for (name,) in tables
            for event in ("INSERT", "UPDATE")
        ]
        for trigger, place in triggers:
            action = f"SELECT RAISE(ABORT, '{message}')"
            database.execute(f"CREATE TRIGGER {trigger} {place} BEGIN {action}; END")
        yield
        for trigger, _ in triggers:
            database.execute(f"DROP TRIGGER {trigger}")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock an SQLite database inside a block, for at most ``LOCKED_S`` seconds."""
    with contextlib.closing(
        sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(LOCKED_S, database.execute, ["ROLLBACK"])
        timer.start()
        yield
        timer.cancel()
        timer.join()


def replace_with_folder(path: Path) -> None:
    """Make a storage fail: put a folder in the place of its file."""
    try:
        for ending in ("", *SIDE_FILES):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    except PermissionError as error:  # on Windows, while it is open
        raise NotTriedError("a file that is open cannot be replaced here") from error
    path.mkdir()


@rule(
    "concurrent-use",
    title="threads, processes, forks and signal handlers can share it",
    sentence="Threads share a store and processes share its storage. A process that forks can "
    "continue on both sides. After an interrupt, the store is intact and not blocked; a signal "
    "handler may use it.",
    hint="the connection: one for each thread and process; save_token: one transaction, which an "
    "interrupt ends, and no lock that stays",
    needs_process=True,
)
def concurrent_use(case: Case) -> None:
    concurrency.threads_share_a_store(case)
    concurrency.saves_are_atomic(case)
    concurrency.both_sides_of_a_fork_continue(case)
    concurrency.processes_share_a_storage(case)
    concurrency.interrupts_leave_the_store_usable(case)
    concurrency.signal_handlers_may_use_the_store(case)


@rule(
    "private-files",
    title="only their owner can read the files",
    sentence="A store creates its files readable by their owner only. An SQLite store opens a "
    "database made by the class from Zoho's Kaizen post, keeps its rows and makes it private. It "
    "also opens an empty and a busy database.",
    hint="the constructor: create the file with mode 0600 before anything is in it",
)
def private_files(case: Case) -> None:
    if not has_file_modes():
        raise NotTriedError("this system does not keep who may read a file")
    umask = os.umask(0)
    try:
        folder = new_working_directory("second")
        store = case.make_store()
        store.save_token(user_token(1))
        expect_private(folder)
    finally:
        os.umask(umask)
    if not any(path.is_file() for path in folder.rglob("*")):
        raise NotApplicableError("this store creates no file")
    for path in filter(is_sqlite, database_files(folder)):
        name = path.relative_to(folder)
        opens_empty_database(case, name)
        if keeps_tokens_as_the_post(path):
            opens_database_of_the_post(case, name)


def has_file_modes() -> bool:
    """Return whether a file can be private: not on Windows, and not in the browser."""
    path = Path("private")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    mode = path.stat().st_mode
    path.unlink()
    return mode & 0o077 == 0


def new_working_directory(name: str) -> Path:
    """Create an empty folder in the working directory, and make it the working directory."""
    folder = Path.cwd() / name
    folder.mkdir()
    os.chdir(folder)
    return folder


def expect_private(folder: Path) -> None:
    """Expect that others can read no file in a folder."""
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        expect(
            path.is_dir() or mode & 0o077 == 0,
            f"other users can read {path.relative_to(folder)}: its mode is {mode:04o}",
        )


def keeps_tokens_as_the_post(path: Path) -> bool:
    """Return whether a database has the table of the class from the post, unencrypted."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            rows = database.execute("SELECT access_token FROM oauthtoken").fetchall()
        except sqlite3.Error:
            return False
    return ("access-1",) in rows


def opens_empty_database(case: Case, name: Path) -> None:
    """Expect that an empty file is opened as an empty store."""
    path = new_working_directory("empty") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    expect(case.make_store().get_tokens() == [], "an empty file was not opened as an empty store")


def opens_database_of_the_post(case: Case, name: Path) -> None:
    """Expect that a database made by the class from the post is opened, even while it is busy."""
    path = new_working_directory("third") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values_of(user_token(1, id="1"))
    columns = ", ".join(f"{column} varchar(255)" for column in values)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"CREATE TABLE oauthtoken ({columns}, primary key (id))")
        marks = ", ".join("?" * len(values))
        database.execute(f"INSERT INTO oauthtoken VALUES ({marks})", tuple(values.values()))
        path.chmod(0o644)
        database.execute("BEGIN IMMEDIATE")
        try:
            store = case.make_store()
        except SDKException as error:
            raise RuleError("a database that another program writes to was not opened") from error
        database.execute("ROLLBACK")
    rows = [values_of(token) for token in store.get_tokens()]
    expect(rows == [values], "the rows of a database made by the class from the post are lost")
    store.save_token(user_token(2))
    expect_private(path.parent)


@rule(
    "close",
    title="what is opened can be closed",
    sentence="A store that holds open resources has close() and works as a context manager.",
    hint="close, __enter__ and __exit__",
)
def close(case: Case) -> None:
    case.save(user_token(1))
    has_close = hasattr(case.store, "close")
    if not (has_close or open_files()):
        raise NotApplicableError("this store holds nothing open")
    expect(has_close, "the store holds a file open and has no close()")
    expect(hasattr(case.store, "__exit__"), "the store is not a context manager")
    with case.store:
        pass
    left = sorted(set(open_files()))
    expect(not left, f"after close(), these files are still open: {', '.join(left)}")


def open_files() -> list[str]:
    """Return the names of the files below the working directory that this process has open."""
    names = {}
    for path in Path.cwd().rglob("*"):
        if path.is_file():
            status = path.stat()
            names[status.st_dev, status.st_ino] = path.name
    found = []
    for descriptor in range(256):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            found.append(names.get((status.st_dev, status.st_ino)))
    return [name for name in found if name]
