"""Single-flight refresh: what happens around the one request. scripts/stampede.py has the crowd."""

import copy
import inspect
import logging
import pickle
import threading
import time

import pytest
from store_cases import LATER, STORES, make_token, user_token, values_of
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreInMemory
from kaizen_store.practice import PracticeZoho
from kaizen_store.stores import single_flight
from kaizen_store.stores.single_flight import Lease

not_with_5_0 = pytest.mark.skipif(
    "find_user" not in inspect.signature(OAuthToken).parameters,
    reason="SDK 5-0 does not look up the user's name, and raises the error of a save",
)


@pytest.fixture(autouse=True)
def uninitialized_sdk(monkeypatch):
    monkeypatch.setattr(Initializer, "initializer", None)
    monkeypatch.setattr(Initializer.LOCAL, "init", None, raising=False)  # of 5-0, for each thread
    # The SDK logs a failing save with a broken format, which pytest would raise as an error.
    monkeypatch.setattr(logging.getLogger("SDKLogger"), "disabled", True)


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    with STORES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def zoho():
    with PracticeZoho() as running:
        yield running


def token_to_exchange(zoho, **fields):
    return OAuthToken(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        redirect_url=zoho.redirect_url,
        **fields,
    )


def initialize(zoho, store, tmp_path):
    token = token_to_exchange(zoho, grant_token=zoho.grant())
    Initializer.initialize(zoho.environment, token, store=store, resource_path=str(tmp_path))
    return token


def expire(store, id="1"):
    stored = store.find_token_by_id(id)
    stored.set_expires_in("0")
    store.save_token(stored)


def requests_to(zoho):
    return [exchange for exchange in zoho.exchanges if exchange.path == "/oauth/v2/token"]


def test_a_valid_token_needs_no_lease(store):
    store.save_token(user_token(1))
    found = store.find_token_by_id("1")
    assert not set(single_flight.METHODS) & set(vars(found))


def test_an_expired_token_is_refreshed_and_its_lease_released(store, zoho, tmp_path):
    initialize(zoho, store, tmp_path)
    expire(store)
    access_token = OAuthToken(id="1").get_token()
    (row,) = map(values_of, store.get_tokens())
    assert row["access_token"] == access_token and len(requests_to(zoho)) == 2
    names = [name for name in store_values(store) if name.startswith("lease")]
    assert names == []


def store_values(store):
    if hasattr(store, "_database"):
        return [name for (name,) in store._database.execute("SELECT name FROM oauthtoken_values")]
    return list(store._values)


@not_with_5_0
def test_a_user_who_authorizes_again_keeps_the_row_and_its_id(store, zoho, tmp_path):
    initialize(zoho, store, tmp_path)
    zoho.advance(hours=1)
    initialize(zoho, store, tmp_path)
    (row,) = map(values_of, store.get_tokens())
    assert row["id"] == "1" and len(requests_to(zoho)) == 2
    assert OAuthToken(id="1").get_token() == row["access_token"]


def test_workers_that_come_late_take_the_result_of_one_grant_token(store, zoho, tmp_path):
    grant_token = zoho.grant()
    first = token_to_exchange(zoho, grant_token=grant_token)
    Initializer.initialize(zoho.environment, first, store=store, resource_path=str(tmp_path))
    second = token_to_exchange(zoho, grant_token=grant_token)
    assert second.get_token() == first.get_access_token() and len(requests_to(zoho)) == 1
    assert len(store.get_tokens()) == 1


def test_a_failing_request_raises_and_the_next_one_tries_at_once(store, zoho, tmp_path):
    initialize(zoho, store, tmp_path)
    expire(store)
    with zoho.simulate_error("general_error"), pytest.raises(SDKException, match="general_error"):
        OAuthToken(id="1").get_token()
    started = time.monotonic()
    assert OAuthToken(id="1").get_token()
    assert time.monotonic() - started < 2


def test_a_request_that_is_not_answered_ends(zoho, tmp_path, monkeypatch):
    monkeypatch.setattr(single_flight, "REQUEST_TIMEOUT_S", 0.2)
    store = CustomStoreInMemory()
    initialize(zoho, store, tmp_path)
    expire(store)
    silent = PracticeZoho(token_delay_s=5).start()
    Initializer.get_initializer().environment = silent.environment
    stored = store.find_token_by_id("1")
    stored.set_api_domain(silent.url)
    store.save_token(stored)
    started = time.monotonic()
    with pytest.raises(SDKException, match="timed out"):
        OAuthToken(id="1").get_token()
    assert time.monotonic() - started < 3


def test_a_lease_is_held_once_and_expires(store, monkeypatch):
    monkeypatch.setattr(single_flight, "LEASE_S", 0.3)
    first, second = Lease(store, "lease of a test"), Lease(store, "lease of a test")
    assert first.acquire() and first.acquire() and not second.acquire()
    second.release()  # which it does not have
    assert not second.acquire()
    time.sleep(0.35)
    assert second.acquire()
    first.release()  # too late
    assert not first.acquire()
    second.release()
    assert first.acquire()


def test_a_lease_of_a_clock_that_was_set_back_is_not_waited_for(store, monkeypatch):
    lease = Lease(store, "lease of a test")
    with monkeypatch.context() as patch:
        patch.setattr(single_flight.time, "time", lambda: 9e9)
        assert lease.acquire()
    assert Lease(store, "lease of a test").acquire()


def test_waiting_ends_with_an_error_that_says_why(store, zoho, tmp_path, monkeypatch):
    monkeypatch.setattr(single_flight, "MAX_WAIT_S", 0.2)
    initialize(zoho, store, tmp_path)
    expire(store)
    monkeypatch.setattr(Lease, "acquire", lambda self: False)
    with pytest.raises(SDKException, match=r"gave up after 0\.2 seconds while other workers"):
        OAuthToken(id="1").get_token()


@not_with_5_0
def test_a_store_that_cannot_keep_a_lease_does_not_stop_the_program(zoho, tmp_path, monkeypatch):
    store = CustomStoreInMemory()
    initialize(zoho, store, tmp_path)
    expire(store)

    def fail(work):
        raise OSError("the disk is full")

    monkeypatch.setattr(store, "transaction", fail)
    assert OAuthToken(id="1").get_token() and len(requests_to(zoho)) == 2


def test_a_copy_of_an_expired_token_has_the_methods_of_the_sdk(store):
    store.save_token(user_token(1, expires_in="0"))
    found = store.find_token_by_id("1")
    assert isinstance(found.refresh_access_token, single_flight.SharedRequest)
    for copied in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert values_of(copied) == values_of(found)
        assert copied.refresh_access_token.__func__ is OAuthToken.refresh_access_token
        assert copied.refresh_access_token.__self__ is copied


def test_every_request_is_logged_with_fingerprints_only(store, zoho, tmp_path, caplog):
    caplog.set_level(logging.INFO, "kaizen_store")
    initialize(zoho, store, tmp_path)
    expire(store)
    access_token = OAuthToken(id="1").get_token()
    kinds = [record.token_request["token_kind"] for record in caplog.records]
    assert kinds == ["grant token", "refresh token"]
    assert access_token not in caplog.text and "practice" not in caplog.text


def test_threads_that_ask_for_different_users_do_not_wait_for_each_other(tmp_path):
    with PracticeZoho(token_delay_s=0.5) as zoho, CustomStoreInMemory() as store:
        tokens = [token_to_exchange(zoho, grant_token=zoho.grant(user)) for user in zoho.users]
        Initializer.initialize(
            zoho.environment, tokens[0], store=store, resource_path=str(tmp_path)
        )
        started = time.monotonic()
        threads = [threading.Thread(target=token.get_token) for token in tokens[1:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 0.9
        assert len(store.get_tokens()) == 3


def test_finding_nothing_still_leaves_the_values_of_the_token_alone(store):
    token = make_token(client_id="c", client_secret="s", grant_token="g", expires_in=LATER)
    before = values_of(token)
    assert store.find_token(token) is None and values_of(token) == before
