"""What the stores do beyond the contract's checks, rule by rule. Numbers: the contract's."""

import logging
import os
import sqlite3
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_cases import EARLIER, LATER, STORES, make_token, user_token, values_of
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from kaizen_store import CustomStoreSQLite

TRICKY_VALUES = [
    "O'Brien@example.com",
    "user1@example.com' or '1'='1",
    'semi;colon -- "quoted" `ticked` \\ backslash',
    "100%_of*[a-z]?",
    "ünï\u202ecödé 💾 \u0000 \r\n\t end ",
    "x" * 10_000,
]


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    made = STORES[request.param](tmp_path)
    yield made
    getattr(made, "close", lambda: None)()


@pytest.fixture
def disk(tmp_path):
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as made:
        yield made


@pytest.fixture
def interleaved_threads():
    """Let new threads give way at every line of a store, so that a missing lock shows."""

    def give_way(frame, event, argument):
        if "kaizen_store" not in frame.f_code.co_filename:
            return None
        time.sleep(1e-6)
        return give_way

    threading.settrace(give_way)
    yield
    threading.settrace(None)


def saved(store, *tokens):
    for token in tokens:
        store.save_token(token)
    return tokens[0]


def contents(store):
    return [values_of(token) for token in store.get_tokens()]


def test_rule_4_needs_the_client_and_never_finds_another_clients_row(store):
    saved(store, user_token(1))
    assert store.find_token(make_token(refresh_token="refresh-1")) is None
    assert (
        store.find_token(make_token(refresh_token="refresh-1", client_id="1000.PRACTICE")) is None
    )
    other = {"client_id": "1000.OTHER", "client_secret": "s"}
    assert store.find_token(make_token(refresh_token="refresh-1", **other)) is None


def test_rule_6_a_number_as_expiry_comes_back_as_text(store):
    store.save_token(user_token(1, expires_in=int(EARLIER)))
    assert store.find_token_by_id("1").get_expires_in() == EARLIER


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"access_token": "newer", "expires_in": LATER}, ("newer", LATER)),
        ({"access_token": "older", "expires_in": "1000"}, ("access-1", EARLIER)),
        ({"access_token": "older", "expires_in": "no number"}, ("access-1", EARLIER)),
        ({"access_token": "other"}, ("other", None)),
        ({"access_token": "access-1"}, ("access-1", EARLIER)),
        ({"expires_in": LATER}, ("access-1", EARLIER)),
        ({}, ("access-1", EARLIER)),
    ],
    ids=str,
)
def test_rule_7_the_pair_that_expires_later_wins(store, own, expected):
    saved(store, user_token(1))
    found = store.find_token(make_token(user_name="user1@example.com:6001", **own))
    assert (found.get_access_token(), found.get_expires_in()) == expected


def test_rule_9_every_lookup_uses_an_index(disk):
    with sqlite3.connect(disk.path) as database:
        for key in ("id", "user_name", "access_token", "grant_token", "refresh_token"):
            plan = database.execute(
                f"EXPLAIN QUERY PLAN SELECT * FROM oauthtoken WHERE {key} = ?", ("x",)
            ).fetchone()[3]
            assert "USING INDEX" in plan, plan


@pytest.mark.parametrize("key", ["grant_token", "refresh_token", "access_token"])
def test_rule_10_a_name_learnt_later_keeps_one_row(store, key):
    store.save_token(user_token(1, user_name=None))
    named = {"user_name": "user1@example.com:6001", "client_id": "1000.PRACTICE"}
    store.save_token(make_token(**named, **{key: f"{key.split('_')[0]}-1"}))
    assert [values["user_name"] for values in contents(store)] == [named["user_name"]]


def test_rule_10_a_client_learnt_later_keeps_one_row(store):
    store.save_token(user_token(1, client_id=None, client_secret=None))
    store.save_token(user_token(1))
    assert [values["client_id"] for values in contents(store)] == ["1000.PRACTICE"]


def test_rule_10_threads_that_save_the_same_users_keep_one_row_each(store, interleaved_threads):
    together = threading.Barrier(4)

    def work(_):
        for number in range(10):
            together.wait(timeout=30)
            store.save_token(user_token(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(contents(store)) == 10


def test_rule_10_two_rows_of_a_user_and_client_become_one_and_lose_nothing(store):
    client = {"client_id": "c", "client_secret": "s"}
    saved(store, make_token("ada", client_id="c", access_token="a1", api_domain="d"))
    second = saved(store, make_token(refresh_token="r2", **client))
    assert len(store.get_tokens()) == 2
    saved(store, make_token("ada", id=second.get_id(), refresh_token="r2"))
    (row,) = map(values_of, store.get_tokens())
    expected = client | {"user_name": "ada", "access_token": "a1", "refresh_token": "r2"}
    assert expected.items() <= row.items() and row["id"] == second.get_id()
    assert row["api_domain"] == "d"


def test_rule_10_a_row_of_no_client_is_taken_only_where_the_client_has_none(store):
    saved(store, make_token("ada", client_id="c", access_token="a1"))
    other = saved(store, make_token(access_token="a2"))
    saved(store, make_token("ada", id=other.get_id(), access_token="a2"))
    assert store.find_token(make_token("ada", client_id="c")).get_access_token() == "a1"
    saved(store, make_token("ada", client_id="c", access_token="a3"))
    assert [token.get_access_token() for token in store.get_tokens()] == ["a3", "a2"]


@pytest.mark.parametrize("id", [*TRICKY_VALUES, "3", "007", "9" * 20])
def test_rule_11_an_id_that_the_application_chose_is_kept(store, id):
    saved(store, user_token(1, id=id))
    assert store.find_token_by_id(id).get_access_token() == "access-1"
    store.delete_token(id)
    others = [user_token(number) for number in range(2, 12)]
    saved(store, *others)
    assert id not in [token.get_id() for token in others]


def test_rule_11_an_id_chosen_for_a_known_user_is_kept_too(store):
    saved(store, user_token(1), user_token(1, id="mine", access_token="new"))
    assert [token.get_id() for token in store.get_tokens()] == ["mine"]
    assert store.find_token_by_id("mine").get_access_token() == "new"


@pytest.mark.parametrize("fields", [{"user_name": "u"}, {"id": "1"}, {"id": "", "client_id": "c"}])
def test_rule_13_a_token_that_holds_no_token_raises(store, fields):
    with pytest.raises(SDKException, match=r"TOKEN_STORE.*nothing to save"):
        store.save_token(make_token(**fields))
    assert contents(store) == []


@pytest.mark.parametrize("nothing", [None, "token", {"access_token": "a"}], ids=repr)
def test_rule_14_what_is_no_oauth_token_raises(store, nothing, caplog):
    with pytest.raises(SDKException, match="expected an OAuthToken"):
        store.save_token(nothing)
    with pytest.raises(SDKException, match="expected an OAuthToken"):
        store.find_token(nothing)
    assert caplog.records[0].name == "kaizen_store"


def test_rule_15_each_commit_reaches_the_disk(disk):
    execute = disk._database.execute  # only the store's own connection can tell
    assert execute("PRAGMA journal_mode") == [("wal",)]
    assert execute("PRAGMA synchronous") == [(2,)]  # 2: FULL


def test_rule_16_a_saved_token_shares_nothing_with_the_store(store):
    token = saved(store, user_token(1))
    token.set_access_token("changed outside")
    assert store.get_tokens()[0].get_access_token() == "access-1"


def test_rule_20_half_a_surrogate_pair_is_refused_or_kept_and_never_shown(store, caplog):
    try:
        store.save_token(user_token(1, refresh_token="secret-\ud800"))
    except SDKException as error:
        assert "surrogate" in str(error) and "secret" not in repr([error, error.__cause__])
    else:
        assert store.find_token_by_id("1").get_refresh_token() == "secret-\ud800"
    assert "secret" not in caplog.text


def break_the_table(store):
    with sqlite3.connect(store.path) as database:
        database.execute("ALTER TABLE oauthtoken RENAME TO gone")


def test_rule_21_a_failing_storage_raises_logs_and_keeps_secrets(disk, caplog):
    saved(disk, user_token(1))
    break_the_table(disk)
    calls = {
        "find a token": lambda: disk.find_token(user_token(1)),
        "find a token by its id": lambda: disk.find_token_by_id("1"),
        "save a token": lambda: disk.save_token(user_token(1)),
        "delete a token": lambda: disk.delete_token("1"),
        "delete all tokens": lambda: disk.delete_tokens(),
        "list the tokens": lambda: disk.get_tokens(),
    }
    for doing, call in calls.items():
        caplog.clear()
        with pytest.raises(SDKException) as raised:
            call()
        error = raised.value
        assert error.code == "TOKEN_STORE"
        assert isinstance(error.cause, sqlite3.OperationalError) and error.__cause__ is error.cause
        assert doing in str(error) and str(disk.path) in str(error)
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("kaizen_store", logging.ERROR)
        shown = f"{error} {error!r} {record.getMessage()} {disk!r}"
        assert not any(secret in shown for secret in ("access-1", "refresh-1", "practice-secret"))


def test_rule_21_a_failed_save_leaves_nothing_behind(disk):
    with sqlite3.connect(disk.path) as database:
        database.execute("DROP TABLE oauthtoken_values")
    with pytest.raises(SDKException):
        disk.save_token(user_token(1))
    with sqlite3.connect(disk.path) as database:
        assert database.execute("SELECT count(*) FROM oauthtoken").fetchone() == (0,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_rule_22_both_sides_of_a_fork_go_on(store):
    saved(store, user_token(1))
    running = threading.Event()
    stop = threading.Event()

    def keep_busy():
        while not stop.is_set():
            store.find_token(user_token(1))
            running.set()

    thread = threading.Thread(target=keep_busy)
    thread.start()
    running.wait()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    store.save_token(user_token(2))
                    good = store.find_token_by_id("2") is not None
                finally:
                    os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
    # Memory is copied by a fork; a file is shared.
    names = {values["user_name"] for values in contents(store)}
    shared = isinstance(store, CustomStoreSQLite) and store.path.exists()
    assert ("user2@example.com:6002" in names) == shared


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_rule_22_a_child_keeps_its_tokens_when_the_parent_closes(tmp_path):
    store = CustomStoreSQLite(tmp_path / "zohooauth.db")
    store.save_token(user_token(1))
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.read(receive, 1)
            store.save_token(user_token(2))
        finally:
            os._exit(0)
    store.close()  # as the last one on the file, so that SQLite removes its journal
    os.write(send, b"!")
    os.waitpid(child, 0)
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as store:
        assert len(store.get_tokens()) == 2


@pytest.fixture
def posts_database(tmp_path):
    path = tmp_path / "zohooauth.db"
    path.write_bytes(Path(__file__).with_name("zohooauth_from_the_post.db").read_bytes())
    return path


def test_rule_23_the_posts_database_keeps_its_rows_and_its_shape(posts_database):
    with sqlite3.connect(posts_database) as database:
        shape = database.execute("PRAGMA table_info(oauthtoken)").fetchall()
        rows = database.execute("SELECT * FROM oauthtoken").fetchall()
    with CustomStoreSQLite(posts_database) as store:
        assert [token.get_id() for token in store.get_tokens()] == ["1", "2", "3", "4"]
        assert store.find_token(make_token(user_name="user2@example.com:6002")).get_id() == "2"
        assert saved(store, user_token(9)).get_id() == "5"
    with sqlite3.connect(posts_database) as database:
        assert database.execute("PRAGMA table_info(oauthtoken)").fetchall() == shape
        after = database.execute("SELECT * FROM oauthtoken").fetchall()
    assert after[:4] == rows and len(after) == 5


def test_rule_11_ids_of_the_posts_rows_are_not_handed_out_again(posts_database):
    with CustomStoreSQLite(posts_database) as store:
        store.delete_token("4")
        assert saved(store, user_token(9)).get_id() == "5"


@pytest.fixture
def database_of_0_1_0(tmp_path):
    """Ids 1 to 12, 40 and 41 were issued; 3, 12 and 40 are deleted."""
    path = tmp_path / "zohooauth.db"
    path.write_bytes(Path(__file__).with_name("zohooauth_from_0_1_0.db").read_bytes())
    return path


def test_a_database_of_version_0_1_0_keeps_its_rows_and_reissues_no_id(database_of_0_1_0):
    with sqlite3.connect(database_of_0_1_0) as database:
        rows = database.execute("SELECT * FROM oauthtoken").fetchall()
    with CustomStoreSQLite(database_of_0_1_0) as store:
        assert [tuple(values.values()) for values in contents(store)] == rows and len(rows) == 12
        store.delete_token("41")
        assert saved(store, user_token(50)).get_id() == "42"
        store.delete_tokens()
    with CustomStoreSQLite(database_of_0_1_0) as store:
        assert saved(store, user_token(51)).get_id() == "43"


def test_a_user_with_two_clients_is_found_by_the_later_expiry(database_of_0_1_0):
    with CustomStoreSQLite(database_of_0_1_0) as store:
        user = "user1@example.com:6001"
        assert store.find_token(make_token(user)).get_id() == "41"  # a tie: the newest row
        saved(
            store, make_token(user, client_id="1000.PRACTICE", access_token="a", expires_in=EARLIER)
        )
        assert store.find_token(make_token(user)).get_id() == "1"


@pytest.mark.skipif(os.name != "posix", reason="this system has no file modes")
def test_rule_23_a_database_that_others_can_read_becomes_private(posts_database):
    posts_database.chmod(0o644)
    with CustomStoreSQLite(posts_database):
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode) for path in posts_database.parent.iterdir()
        }
    assert set(modes.values()) == {0o600}


@pytest.mark.skipif(os.name != "posix", reason="this system has no file modes")
def test_rule_23_a_mode_that_cannot_be_changed_is_warned_of(posts_database, caplog, monkeypatch):
    posts_database.chmod(0o644)

    def chmod(path, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", chmod)
    with CustomStoreSQLite(posts_database) as store:
        assert len(store.get_tokens()) == 4
    (record, *_) = caplog.records
    assert record.levelno == logging.WARNING and "chmod 600" in record.getMessage()
    assert str(posts_database) in record.getMessage()


# What cannot be used


def chain(error):
    """Everything that an error leads to, as it could be shown."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return "".join(f"{e!r} {e} {vars(e)}" for e in seen)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"expires_in": "4" * 5000}, "the expiry has 5,000 characters"),
        ({"id": 2**70}, "an id must be a string such as .1., got int"),
        ({"refresh_token": "refresh-secret-\ud800"}, "an unpaired surrogate"),
        ({"user_name": "\udfff"}, "an unpaired surrogate"),
    ],
    ids=["expiry", "id", "surrogate", "surrogate in a name"],
)
def test_what_cannot_be_saved_raises_and_shows_no_secret(store, fields, what, caplog):
    with pytest.raises(SDKException, match=what) as raised:
        store.save_token(user_token(1, **fields))
    assert raised.value.code == "TOKEN_STORE" and contents(store) == []
    shown = chain(raised.value) + caplog.text
    assert not any(secret in shown for secret in ("secret-", "access-1", "grant-1"))


@pytest.mark.parametrize("id", [2**70, 1, None, b"1"], ids=repr)
def test_an_id_that_is_not_a_string_raises(store, id):
    saved(store, user_token(1))
    for call in (store.find_token_by_id, store.delete_token):
        with pytest.raises(SDKException, match="an id must be a string"):
            call(id)
    assert len(store.get_tokens()) == 1


def test_looking_up_an_unpaired_surrogate_finds_nothing_or_raises_without_it(store, caplog):
    saved(store, user_token(1))
    try:
        assert store.find_token(make_token(access_token="secret-\ud800")) is None
    except SDKException as error:
        assert "unpaired surrogate" in str(error) and "secret-" not in chain(error) + caplog.text


@pytest.mark.parametrize(
    "chosen", [("1000000000", "999999998"), ("9" * 20,), ("9" * 4300,)], ids=len
)
def test_rule_11_no_number_is_too_long_to_be_remembered(store, chosen):
    for number, id in enumerate(chosen, 1):
        saved(store, user_token(number, id=id))
        store.delete_token(id)
    for number in range(10, 15):
        try:
            assert saved(store, user_token(number)).get_id() not in chosen
        except SDKException as error:
            assert len(chosen[0]) == 4300 and "4300" in str(error)  # Python's limit of digits


def test_rule_10_an_id_of_another_user_or_client_is_refused(store):
    saved(store, user_token(1), user_token(2))
    before = contents(store)
    for fields in ({"user_name": "user3@example.com:6003"}, {"client_id": "1000.OTHER"}):
        with pytest.raises(SDKException, match="belongs to the row of another"):
            store.save_token(user_token(1, id="1", **fields))
    assert contents(store) == before


def test_rule_12_an_access_token_without_an_expiry_clears_the_stored_one(store):
    saved(store, user_token(1))
    store.save_token(make_token("user1@example.com:6001", access_token="new"))
    assert [values["expiry_time"] for values in contents(store)] == [None]
    store.save_token(user_token(1))
    store.save_token(make_token("user1@example.com:6001", access_token="access-1"))
    assert [values["expiry_time"] for values in contents(store)] == [EARLIER]


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_rule_23_a_busy_database_is_opened_and_waited_for(posts_database, lock):
    other = sqlite3.connect(posts_database, isolation_level=None, check_same_thread=False)
    other.execute(f"BEGIN {lock}")
    with CustomStoreSQLite(posts_database) as store:
        threading.Timer(0.3, other.execute, ["COMMIT"]).start()
        saved(store, user_token(9))
        assert len(store.get_tokens()) == 5
    other.close()


def test_rule_24_a_closed_store_says_so_and_the_file_stays(tmp_path):
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as store:
        saved(store, user_token(1))
    store.close()
    with pytest.raises(SDKException, match="closed: create a new one"):
        store.get_tokens()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["zohooauth.db"]
