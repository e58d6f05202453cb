"""What can be wrong with a file is told plainly, loses nothing, and shows no secret."""

import contextlib
import itertools
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import pytest
from store_cases import user_token
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from kaizen_store import CustomStoreSQLite
from kaizen_store.stores import sqlite_connection, token_row

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
FORKS = 15
NOBODY = 65534  # a user without rights, for what the superuser may do anyway


def told_by(call, path):
    """Return the message with which a call fails, after a look at all that it shows and logs."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("kaizen_store")
    logger.addHandler(handler)
    try:
        call()
    except SDKException as error:
        told = error
    else:
        raise AssertionError("nothing was said")
    finally:
        logger.removeHandler(handler)
    assert told.code == "TOKEN_STORE" and str(path) in str(told)
    assert told.__cause__ is told.cause is not None
    assert [record.getMessage() for record in records] == [str(told)]
    shown = "".join([*traceback.format_exception(told), repr(told), repr(told.cause)])
    secrets = ("access-", "refresh-", "grant-", "practice-secret")
    assert not any(secret in shown for secret in secrets)
    return str(told)


def in_child(work, user=None):
    """Return the text that work() returns in a forked child, which may become another user."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            os.write(send, work().encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(send)
    with os.fdopen(receive, encoding="utf-8") as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, "the child failed: its error is above"
    return said


def make_database(path, users=3):
    with CustomStoreSQLite(path) as store:
        for number in range(1, 1 + users):
            store.save_token(user_token(number))


def stored_at(path):
    with CustomStoreSQLite(path) as store:
        tokens = store.get_tokens()
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return [token.get_access_token() for token in tokens]


# Something else stands at the path


def make_folder(path):
    path.mkdir()


def make_text(path):
    path.write_text("somebody's notes")


def make_long_text(path):
    path.write_text("somebody's notes\n" * 1000)


def make_table_of_another_program(path):
    make_table_without(path, token_row.COLUMNS[2:])


def make_table_without_its_last_column(path):
    make_table_without(path, token_row.COLUMNS[-1:])


def make_table_without(path, missing):
    columns = [column for column in token_row.COLUMNS if column not in missing]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"CREATE TABLE oauthtoken ({', '.join(columns)})")
        database.execute(
            f"INSERT INTO oauthtoken VALUES ({', '.join('?' * len(columns))})", columns
        )
    database.close()


def make_link_to_itself(path):
    path.symlink_to(path)


def make_link_into_a_missing_folder(path):
    path.symlink_to(path.parent / "no" / "such.db")


def make_nothing(path):
    pass


def contents(folder):
    """Return what a folder holds: links by their target, files by their bytes and mode."""
    return {
        path.name: path.readlink()
        if path.is_symlink()
        else path.is_file() and (path.read_bytes(), path.stat().st_mode)
        for path in folder.iterdir()
    }


@pytest.mark.parametrize(
    ("make", "name", "what_to_do"),
    [
        (make_folder, "zohooauth.db", "check that it is a file"),
        (make_text, "zohooauth.db", "not an SQLite database and was left unchanged: use another"),
        (
            make_long_text,
            "zohooauth.db",
            "not an SQLite database and was left unchanged: use another",
        ),
        (make_table_of_another_program, "zohooauth.db", "another program: use another path"),
        (make_table_without_its_last_column, "zohooauth.db", "another program: use another path"),
        (make_link_to_itself, "zohooauth.db", "check that it is a file"),
        (make_link_into_a_missing_folder, "zohooauth.db", "that its folder exists"),
        (make_nothing, "no/such/folder.db", "that its folder exists"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_token_database_is_refused_and_left_as_it_is(tmp_path, make, name, what_to_do):
    path = tmp_path / name
    make(path)
    before = contents(tmp_path)
    said = told_by(lambda: CustomStoreSQLite(path), path)
    assert "cannot open the store" in said and what_to_do in said
    assert contents(tmp_path) == before


def test_an_unknown_home_is_told():
    said = told_by(lambda: CustomStoreSQLite("~no-such-user/tokens.db"), "~no-such-user")
    assert "cannot open the store" in said and "home directory" in said


@needs_fork
def test_a_working_folder_that_was_removed_is_told(tmp_path):
    def work():
        os.chdir(tmp_path)
        tmp_path.rmdir()
        return told_by(lambda: CustomStoreSQLite("zohooauth.db"), "zohooauth.db")

    assert "that its folder exists" in in_child(work)


def test_a_damaged_database_is_told_and_left_as_it_is(tmp_path):
    path = tmp_path / "zohooauth.db"
    make_database(path, users=50)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    before = contents(tmp_path)
    with CustomStoreSQLite(path) as store:
        assert "damaged: keep a copy of it" in told_by(store.get_tokens, path)
        assert "damaged" in told_by(lambda: store.save_token(user_token(1)), path)
    assert contents(tmp_path) == before


# Links


def test_a_link_leads_to_its_target(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "tokens.db", tmp_path / "zohooauth.db"
    link.symlink_to(target)
    before = os.umask(0)
    try:
        make_database(link, users=1)  # the target is not there yet
    finally:
        os.umask(before)
    assert link.is_symlink() and stat.S_IMODE(target.stat().st_mode) == 0o600
    with CustomStoreSQLite(link) as store:  # now it is
        store.save_token(user_token(2))
        files = {file.name for file in target.parent.iterdir()}
        assert files == {"tokens.db", "tokens.db-wal", "tokens.db-shm"}
    assert stored_at(target) == ["access-1", "access-2"]


# The disk


def save_until_it_fails(store, path):
    """Return the message of the first save that fails, and which tokens were saved before."""
    saved = []

    def save():
        for number in range(1, 10_000):
            store.save_token(user_token(number))
            saved.append(f"access-{number}")

    return told_by(save, path), saved


def check_that_it_goes_on(store, path, saved):
    assert [token.get_access_token() for token in store.get_tokens()] == saved
    store.save_token(user_token(0))
    store.close()
    assert stored_at(path) == [*saved, "access-0"]


def test_a_full_database_is_told_and_goes_on_with_more_room(tmp_path):
    path = tmp_path / "zohooauth.db"
    store = CustomStoreSQLite(path)
    (connection,) = store._database._idle
    connection.execute("PRAGMA max_page_count = 20")  # for this connection only
    said, saved = save_until_it_fails(store, path)
    assert (
        "the disk is full and nothing from this call was saved: free some space" in said and saved
    )
    check_that_it_goes_on(store, path, saved)


@needs_fork
def test_a_file_that_may_not_grow_is_told_and_goes_on_when_it_may(tmp_path):
    resource = pytest.importorskip("resource", reason="this system has no limits for a process")
    path = tmp_path / "zohooauth.db"

    def work():  # in a child, for the limit holds for a whole process; Python ignores SIGXFSZ
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        store = CustomStoreSQLite(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, unlimited[1]))
        said, saved = save_until_it_fails(store, path)
        new = tmp_path / "new.db"
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
        said += told_by(lambda: CustomStoreSQLite(new), new)
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert saved
        check_that_it_goes_on(store, path, saved)
        make_database(new, users=1)
        assert stored_at(new) == ["access-1"]
        return said

    assert in_child(work).count("the disk may be full or failing: free some space") == 2


def test_a_full_disk_is_told_and_goes_on_with_more_room(tmp_path):
    if not shutil.which("mount"):
        pytest.skip("a small disk needs the command mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", tmp_path]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    try:
        path = tmp_path / "zohooauth.db"
        store = CustomStoreSQLite(path)
        filling = tmp_path / "filling"
        filling.write_bytes(b"x" * 100_000)
        said, saved = save_until_it_fails(store, path)
        assert (
            "the disk is full and nothing from this call was saved: free some space" in said
            and saved
        )
        filling.unlink()
        check_that_it_goes_on(store, path, saved)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)  # -l: a failed test holds it open


# Rights


@pytest.fixture
def folder_of_another():
    """Give a folder that an ordinary user owns: nobody, where the tests run as superuser."""
    with tempfile.TemporaryDirectory() as name:  # tmp_path is inside a folder closed to others
        yield Path(name)
        Path(name).chmod(0o700)


def without_rights(work, folder):
    """Run work() in a child as the owner of all in a folder, to whom its modes apply."""
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, user)

    def checked():
        assert not all(os.access(path, os.W_OK) for path in (folder, *folder.iterdir()))
        return work()

    return in_child(checked, user)


@needs_fork
@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "what_to_do"),
    [
        (0o500, None, "that its folder exists and you may write there"),
        (0o700, 0o000, "check that it is a file"),
        (0o700, 0o400, "check that you may write to the file and to its folder"),
        (0o500, 0o400, "that you may write"),
        (0o500, 0o600, "that you may write"),
    ],
    ids=lambda value: oct(value) if isinstance(value, int) else "",
)
def test_a_lacking_right_is_told(folder_of_another, folder_mode, file_mode, what_to_do):
    path = folder_of_another / "zohooauth.db"
    if file_mode is not None:
        make_database(path)
        path.chmod(file_mode)
    folder_of_another.chmod(folder_mode)

    def work():
        return told_by(lambda: CustomStoreSQLite(path).save_token(user_token(9)), path)

    assert what_to_do in without_rights(work, folder_of_another)
    folder_of_another.chmod(0o700)
    if file_mode is not None:
        path.chmod(0o600)
        assert stored_at(path) == ["access-1", "access-2", "access-3"]
    else:
        assert list(folder_of_another.iterdir()) == []


# Others who use the file


@pytest.mark.parametrize("opened_before", [True, False])
def test_a_database_that_stays_locked_is_told(tmp_path, monkeypatch, opened_before):
    monkeypatch.setattr(sqlite_connection, "BUSY_TIMEOUT_S", 0.2)
    path = tmp_path / "zohooauth.db"
    make_database(path)
    other = sqlite3.connect(path, isolation_level=None)
    if opened_before:
        store = CustomStoreSQLite(path)
        other.execute("BEGIN IMMEDIATE")
    else:
        other.execute("PRAGMA journal_mode = DELETE")  # in which readers, too, wait for a writer
        other.execute("BEGIN EXCLUSIVE")
        store = CustomStoreSQLite(path)
    started = time.monotonic()
    said = told_by(lambda: store.save_token(user_token(9)), path)
    assert "another program is holding a lock on it: stop that program, then try again" in said
    assert 0.2 <= time.monotonic() - started < 5
    other.close()
    store.save_token(user_token(9))
    store.close()
    assert stored_at(path) == ["access-1", "access-2", "access-3", "access-9"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
@pytest.mark.parametrize("replaced", [False, True])
def test_no_write_goes_into_a_file_that_was_removed(tmp_path, replaced):
    folder, aside = tmp_path / "folder", tmp_path / "aside"
    folder.mkdir()
    path = folder / "zohooauth.db"
    store = CustomStoreSQLite(path)
    store.save_token(user_token(1))
    folder.rename(aside)
    if replaced:
        folder.mkdir()
        make_database(path, users=2)
    calls = (
        lambda: store.save_token(user_token(3)),
        lambda: store.delete_token("1"),
        lambda: store.delete_tokens(),
    )
    for call in calls:
        assert "stop all programs that use it, then restore it" in told_by(call, path)
    if replaced:
        assert stored_at(path) == ["access-1", "access-2"]
        shutil.rmtree(folder)
    aside.rename(folder)
    store.save_token(user_token(3))
    store.close()
    assert stored_at(path) == ["access-1", "access-3"]


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_threads_open_connections_and_save_loses_nothing(tmp_path):
    path = tmp_path / "zohooauth.db"
    store = CustomStoreSQLite(path)
    stop = threading.Event()
    saved = []

    def save(number):
        store.save_token(user_token(number))
        saved.append(f"access-{number}")

    def keep_saving(first):
        for number in itertools.count(first):
            if stop.is_set():
                return
            in_new_thread(save, number)

    def in_new_thread(work, *arguments):  # which needs a connection of its own
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        thread.join(timeout=20)
        assert not thread.is_alive(), "the store waits for a thread that the child does not have"

    def save_in_child(number):
        saved.clear()
        save(number)
        in_new_thread(save, number + 1)
        return " ".join(saved)

    busy = [threading.Thread(target=keep_saving, args=(first,)) for first in (10_000, 20_000)]
    for thread in busy:
        thread.start()
    try:
        said = [in_child(lambda n=n: save_in_child(n)) for n in range(0, 2 * FORKS, 2)]
    finally:
        stop.set()
        for thread in busy:
            thread.join()
    store.close()
    assert len(" ".join(said).split()) == 2 * FORKS and len(saved) > FORKS
    assert sorted(stored_at(path)) == sorted([*saved, *" ".join(said).split()])


# Who may read the files


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_no_file_is_open_to_others_for_a_moment(tmp_path):
    seen, done = set(), threading.Event()

    def watch():  # as often as it can, while a child with umask 0 makes databases
        while not done.is_set():
            for file in os.scandir(tmp_path):
                with contextlib.suppress(FileNotFoundError):  # gone since
                    seen.add(
                        (file.name.partition(".db")[2], oct(stat.S_IMODE(file.stat().st_mode)))
                    )

    def work():
        os.umask(0)
        for number in range(100):
            path = tmp_path / f"{number}.db"
            make_database(path, users=1)
            path.unlink()  # few files are looked at more often
        return ""

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        in_child(work)
    finally:
        done.set()
        watcher.join()
    assert {mode for _, mode in seen} == {"0o600"}
    assert {ending for ending, _ in seen} >= {"", "-journal", "-wal", "-shm"}
