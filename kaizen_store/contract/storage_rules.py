"""The rules for what is below the six methods: values, failures, files and what is open."""

# ruff: noqa: D103 - the sentence of a rule says what its check does

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import product
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
    logged_records,
    rule,
)
from .tokens import make_token, user_token, values_of

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
    "values are stored unchanged and never run as code",
    "Quotes, semicolons, wildcards, any Unicode and 10,000 characters are stored and returned "
    "unchanged.",
    "every method: pass values as parameters, never as part of the SQL text",
)
def values_unchanged(case: Case) -> None:
    names = [name for name in values_of(user_token(1)) if name not in ("id", "expiry_time")]
    case.save(user_token(1))
    for value in TRICKY_VALUES:
        shown = ascii(value) if len(value) < 60 else f"a value of {len(value):,} characters"
        expect(case.find(user_name=value) is None, f"the user name {shown} found a row")
        with suppress(SDKException):  # rule find-by-id reports it
            expect(case.store.find_token_by_id(value) is None, f"the id {shown} found a row")
        case.save(make_token(**dict.fromkeys(names, value)))
        stored = case.by_user().get(value, {})
        is_kept = all(stored.get(name) == value for name in names)
        expect(is_kept, f"{shown} was not returned unchanged")
        expect(case.access_token(user_name=value) == value, f"the user name {shown} is not found")
    expect(case.row_of(1)["access_token"] == "access-1", "another row changed")


@rule(
    "failures-raise",
    "a storage failure raises SDKException and reveals no secret",
    "A failing storage raises SDKException with code TOKEN_STORE, the original error as its cause, "
    "and a message that names the file or server. The store also logs it, because the SDK swallows "
    "a failing save. No error and no log line contains a secret.",
    "every method: catch the storage's errors, log them without secrets, raise SDKException",
)
def failures_raise(case: Case) -> None:
    # An unpaired surrogate is not valid Unicode text, so a file cannot store it.
    _save_secrets(lambda: case.store, "a value that cannot be stored", "secret-\ud800")
    case.save(user_token(1))
    files = _database_files(Path.cwd())
    for path in filter(_is_sqlite, files):
        with _failing_writes(path):
            _save_secrets(lambda: case.store, "a save in a database that refuses it")
        if can_fork():  # else there may be no threads, either
            with _locked(path):
                _save_secrets(lambda: case.store, "a save in a locked database")
    with suppress(AttributeError):
        case.store.close()
    for path in files:
        _replace_with_folder(path)
    if files:
        names = [path.name for path in files]
        action = f"a save with a folder in place of {' and '.join(names)}"
        error = _save_secrets(case.make_store, action)
        expect(error, f"{action} did not raise SDKException")
        expect(
            any(name in str(error) for name in names), f"{action}: the error does not name the file"
        )


def _save_secrets(
    make_store: MakeStore, action: str, refresh_token: str = "secret-refresh"
) -> Exception | None:
    """Save a token with secrets; return the store's error, with all that the rule asks of it."""
    secrets = {name: f"secret-{name}" for name in ("access_token", "grant_token", "client_secret")}
    failure: Exception | None = None
    with logged_records() as records:
        try:
            make_store().save_token(user_token(7, refresh_token=refresh_token, **secrets))
        except Exception as error:
            failure = error
    shown = "".join(map(logging.Formatter().format, records))
    expect("secret-" not in shown, f"{action}: a log line shows a secret")
    if failure is not None:
        expect("secret-" not in _everything_about(failure), f"{action}: an error shows a secret")
        expect_store_error(failure, action)
        expect(failure.__cause__ or getattr(failure, "cause", None), f"{action}: there is no cause")
        is_logged = any(record.levelno >= logging.ERROR for record in records)
        expect(is_logged, f"{action}: nothing was logged")
    return failure


def _everything_about(failure: Exception) -> str:
    """Return the texts and attributes of an error, its causes and its contexts."""
    errors: list[BaseException] = [failure]
    for error in errors:  # which get longer
        for other in (error.__cause__, error.__context__, getattr(error, "cause", None)):
            if isinstance(other, BaseException) and other not in errors:
                errors.append(other)
    return "\n".join(f"{error!r} {error} {vars(error)}" for error in errors)


def _database_files(folder: Path) -> list[Path]:
    """Return the files in which a store keeps its tokens, at any depth; user 1 has been saved."""
    paths = [path for path in _files(folder) if not path.name.endswith(SIDE_FILES)]
    files = sorted(path for path in paths if path.stat().st_size)
    found = [path for path in files if _is_sqlite(path) or b"access-1" in path.read_bytes()]
    # An encrypted file shows neither; then it is the largest one, and not a lock file.
    return found or sorted(files, key=lambda path: path.stat().st_size)[-1:]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


@contextmanager
def _failing_writes(path: Path) -> Iterator[None]:
    """Let each write to the tables of an SQLite database fail inside a block."""
    body = "BEGIN SELECT RAISE(ABORT, 'database is locked, as a trigger says'); END"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        triggers = list(product((name for (name,) in tables), ("INSERT", "UPDATE")))
        for table, event in triggers:
            trigger = f'"contract_{event}_{table}" BEFORE {event} ON "{table}"'
            database.execute(f"CREATE TRIGGER {trigger} {body}")
        yield
        for table, event in triggers:
            database.execute(f'DROP TRIGGER "contract_{event}_{table}"')


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock an SQLite database inside a block, for at most ``LOCKED_S`` seconds."""
    database = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    with closing(database):
        database.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(LOCKED_S, database.execute, ["ROLLBACK"])
        timer.start()
        yield
        timer.cancel()
        timer.join()


def _replace_with_folder(path: Path) -> None:
    """Make a storage fail: put a folder in the place of its file."""
    try:
        for ending in ("", *SIDE_FILES):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    except PermissionError as error:  # on Windows, while it is open
        raise NotTriedError("a file that is open cannot be replaced here") from error
    path.mkdir()


@rule(
    "concurrent-use",
    "the store is safe with threads, processes, forks and signal handlers",
    "Threads share a store and processes share its storage. After a fork, the parent and the "
    "child can both use the store. After an interrupt, the store is intact and not blocked; a "
    "signal handler may use it.",
    "the connection: never use it in two threads or processes at once, and close it after an "
    "interrupt; save_token: use one transaction, roll it back on an interrupt, leave no lock held",
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
    "files are readable only by their owner",
    "A store creates its files readable by their owner only. An SQLite store opens a database made "
    "by the class from Zoho's Kaizen post, keeps its rows and makes it private. It also opens an "
    "empty and a busy database.",
    "the constructor: create the file with mode 0600 before anything is in it",
)
def private_files(case: Case) -> None:
    probe = _new_file("first", Path("private"))
    if probe.stat().st_mode & 0o077:  # on Windows, and in the browser
        raise NotTriedError("this system does not support POSIX file permissions")
    probe.unlink()
    umask = os.umask(0)
    try:
        folder = probe.parent
        store = case.make_store()
        store.save_token(user_token(1))
        _expect_private(folder)
    finally:
        os.umask(umask)
    if not _files(folder):
        raise NotApplicableError("this store creates no file")
    for path in filter(_is_sqlite, _database_files(folder)):
        name = path.relative_to(folder)
        _new_file("empty", name)
        is_empty = case.make_store().get_tokens() == []
        expect(is_empty, "an empty file was not opened as an empty store")
        if _keeps_tokens_as_the_post(path):
            _opens_database_of_the_post(case, _new_file("post", name))


def _new_file(folder: str, name: Path) -> Path:
    """Create an empty private file in a new working directory."""
    path = Path.cwd() / folder / name
    path.parent.mkdir(parents=True)
    os.chdir(Path.cwd() / folder)
    path.touch(0o600)
    return path


def _expect_private(folder: Path) -> None:
    for path in _files(folder):
        name, mode = path.relative_to(folder), stat.S_IMODE(path.stat().st_mode)
        expect(mode & 0o077 == 0, f"other users can read {name}: its mode is {mode:04o}")


def _keeps_tokens_as_the_post(path: Path) -> bool:
    """Return whether a database has the table of the class from the post, unencrypted."""
    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.Error):
        rows = database.execute("SELECT access_token FROM oauthtoken").fetchall()
        return ("access-1",) in rows
    return False


def _opens_database_of_the_post(case: Case, path: Path) -> None:
    """Expect that a database made by the class from the post is opened, even while it is busy."""
    values = values_of(user_token(1, id="1"))
    columns = ", ".join(f"{column} varchar(255)" for column in values)
    marks = ", ".join("?" * len(values))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"CREATE TABLE oauthtoken ({columns}, primary key (id))")
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
    _expect_private(path.parent)


@rule(
    "close",
    "open resources can be closed",
    "A store that holds open resources has close() and works as a context manager.",
    "implement close, __enter__ and __exit__",
)
def close(case: Case) -> None:
    case.save(user_token(1))
    has_close = hasattr(case.store, "close")
    if not (has_close or _open_files()):
        raise NotApplicableError("this store has no open resources")
    expect(has_close, "the store holds a file open and has no close()")
    expect(hasattr(case.store, "__exit__"), "the store is not a context manager")
    with case.store:
        pass
    left = _open_files()
    expect(not left, f"after close(), these files are still open: {', '.join(left)}")


def _open_files() -> list[str]:
    """Return the names of the files below the working directory that this process has open."""
    opened = []
    for descriptor in range(256):
        with suppress(OSError):
            opened.append(os.fstat(descriptor))
    paths = _files(Path.cwd())
    return sorted(p.name for p in paths if any(os.path.samestat(p.stat(), o) for o in opened))
