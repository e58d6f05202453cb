"""Threads leave no file open, and a process that may open no more files says so."""

import contextlib
import os
import sqlite3
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_cases import user_token
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from kaizen_store import CustomStoreInMemory, CustomStoreSQLite
from kaizen_store.stores.sqlite_connection import MAX_IDLE

resource = pytest.importorskip("resource", reason="this system has no limits for a process")


@pytest.fixture
def limit():
    """Lower the number of files that this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda count: resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(folder):
    links = Path("/proc/self/fd")
    if not links.exists():
        pytest.skip("this system does not list the open files of a process")
    targets = []
    for link in links.iterdir():
        with contextlib.suppress(OSError):
            targets.append(str(link.readlink()))
    return [target for target in targets if target.startswith(str(folder))]


def in_threads(count, work):
    """Call a function in so many threads at once, and return what failed."""
    errors, together = [], threading.Barrier(count)

    def run(number):
        together.wait(60)
        try:
            work(number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_a_thousand_threads_leave_few_files_open(tmp_path, limit):
    limit(1024)
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as store:
        for first in range(0, 1000, 100):
            assert (
                in_threads(100, lambda n, first=first: store.save_token(user_token(first + n)))
                == []
            )
        assert len(store.get_tokens()) == 1000
        store.save_token(user_token(1))
        assert len(open_files(tmp_path)) <= 2 * MAX_IDLE + 1  # each has a journal; one shared map
    assert open_files(tmp_path) == []


def test_300_threads_at_once_work_under_a_limit_of_1024(tmp_path, limit):
    limit(1024)
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as store:
        assert in_threads(300, lambda number: store.save_token(user_token(number))) == []
        assert len(store.get_tokens()) == 300


def test_too_many_open_files_are_named(tmp_path, limit):
    store = CustomStoreSQLite(tmp_path / "zohooauth.db")
    store.save_token(user_token(1))
    store._database._idle.pop().close()
    limit(64)
    files = []
    with contextlib.suppress(OSError):
        while True:
            files.append(open(os.devnull))  # noqa: SIM115, PTH123
    try:
        with pytest.raises(SDKException, match=r"too many open files: .*ulimit -n"):
            store.find_token(user_token(1))
    finally:
        for file in files:
            file.close()
    assert store.find_token(user_token(1))  # and continues when there are fewer


def test_the_longest_of_many_waits_is_short(tmp_path):
    """32 threads that save at once: none of them waits for much longer than the others."""
    waits = []
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as store, ThreadPoolExecutor(32) as pool:

        def save(number):
            for count in range(30):
                started = time.perf_counter()
                store.save_token(user_token(number, access_token=f"access-{count}"))
                waits.append(time.perf_counter() - started)

        list(pool.map(save, range(32)))
    waits.sort()
    print(f"960 saves of 32 threads: p99.9 {waits[-1]:.2f} s, median {waits[480] * 1000:.1f} ms")
    assert waits[-1] < 5  # before, 11 s


# Backups


@pytest.mark.parametrize(
    "make_store", [lambda f: CustomStoreSQLite(f / "a.db"), lambda f: CustomStoreInMemory()]
)
def test_a_backup_is_private_whole_and_opens_as_a_store(make_store, tmp_path):
    with make_store(tmp_path) as store:
        for number in range(1, 4):
            store.save_token(user_token(number))
        before = os.umask(0)
        try:
            store.backup(tmp_path / "backup.db")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "backup.db").stat().st_mode) == 0o600
        with pytest.raises(SDKException, match=r"cannot back up the store to .*File exists"):
            store.backup(tmp_path / "backup.db")
        store.delete_tokens()
    with CustomStoreSQLite(tmp_path / "backup.db") as backup:
        assert len(backup.get_tokens()) == 3
        backup.save_token(late := user_token(4))
        assert late.get_id() == "4"


def test_a_backup_put_back_as_the_error_says_is_whole(tmp_path):
    path = tmp_path / "zohooauth.db"
    store = CustomStoreSQLite(path)
    store.save_token(user_token(1))
    store.backup(tmp_path / "backup.db")
    for number in range(2, 30):
        store.save_token(user_token(number))
    (tmp_path / "backup.db").rename(path)  # while the store is open: what people do in a hurry
    with pytest.raises(SDKException, match="delete the old -wal and -shm files"):
        store.save_token(user_token(30))
    with pytest.raises(SDKException, match="removed or replaced"):
        store.save_token(user_token(30))
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    with CustomStoreSQLite(path) as restored:
        assert [token.get_access_token() for token in restored.get_tokens()] == ["access-1"]
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
