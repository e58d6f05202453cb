"""Many write at once, from a database's first moment: nothing is lost and no id comes twice."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from store_cases import STORES, user_token

from kaizen_store import CustomStoreSQLite

HERE = Path(__file__).parent
WRITERS, TOKENS, SHARED, MEETINGS = 8, 200, 5, 40


def save_all(store, writer):
    """Save a writer's own tokens, and now and then refresh the ones that all writers share."""
    ids = []
    for number in range(TOKENS):
        store.save_token(token := user_token(1000 * (1 + writer) + number))
        ids.append(token.get_id())
        if number % 10 == 0:
            shared = number // 10 % SHARED
            store.save_token(user_token(shared, access_token=f"access-{shared}-by-{writer}"))
    return ids


def check_all(store, ids_by_writer):
    tokens = store.get_tokens()
    found = {token.get_user_signature().get_name(): token for token in tokens}
    assert len({token.get_id() for token in tokens}) == len(found) == len(tokens)
    assert len(tokens) == WRITERS * TOKENS + SHARED
    for writer, ids in enumerate(ids_by_writer):
        for number, id in enumerate(ids):
            user = 1000 * (1 + writer) + number
            token = found[f"user{user}@example.com:{6000 + user}"]
            assert (token.get_id(), token.get_access_token()) == (id, f"access-{user}")
    for shared in range(SHARED):
        access = found[f"user{shared}@example.com:{6000 + shared}"].get_access_token()
        assert access in {f"access-{shared}-by-{writer}" for writer in range(WRITERS)}


def in_processes(statement, *arguments):
    """Run a statement in all writers at once, and return what each of them prints."""
    # Each says that it is ready and waits for the word to start, so that no one comes first.
    code = (
        f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parent)]!r}; import test_sharing;"
        f"print('ready', flush=True); sys.stdin.readline(); {statement}"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(writer), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(WRITERS)
    ]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * WRITERS
    for process in running:
        process.stdin.write("start\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * WRITERS
    return said


def test_processes_share_a_database(tmp_path):
    path = tmp_path / "zohooauth.db"
    said = in_processes(
        "store = test_sharing.CustomStoreSQLite(sys.argv[2]);"
        "print(*test_sharing.save_all(store, int(sys.argv[1])))",
        path,
    )
    with CustomStoreSQLite(path) as store:
        check_all(store, [ids.split() for ids in said])


def meet_in_new_databases(folder, writer):
    for number in range(MEETINGS):
        with CustomStoreSQLite(folder / f"{number}.db") as store:
            for user in (0, 1 + writer):
                store.save_token(user_token(user))


def test_processes_meet_in_databases_that_none_of_them_has_made(tmp_path):
    in_processes(
        "test_sharing.meet_in_new_databases(test_sharing.Path(sys.argv[2]), int(sys.argv[1]))",
        tmp_path,
    )
    for number in range(MEETINGS):
        with CustomStoreSQLite(tmp_path / f"{number}.db") as store:
            names = [token.get_user_signature().get_name() for token in store.get_tokens()]
        assert sorted(names) == [f"user{n}@example.com:{6000 + n}" for n in range(1 + WRITERS)]


@pytest.mark.parametrize("name", STORES)
def test_threads_share_a_store(name, tmp_path):
    store = STORES[name](tmp_path)
    start = Barrier(WRITERS)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads give way as often as they can, so a missing lock shows

    def work(writer):
        start.wait(timeout=30)
        return save_all(store, writer)

    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            check_all(store, list(pool.map(work, range(WRITERS))))
    finally:
        sys.setswitchinterval(interval)
        getattr(store, "close", lambda: None)()
