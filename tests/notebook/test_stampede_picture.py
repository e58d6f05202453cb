"""The picture of a refresh stampede shows what Practice Zoho was asked, and no measured time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreSQLite
from kaizen_store.notebook import Stampede
from kaizen_store.practice import PracticeZoho


@pytest.fixture
def zoho():
    with PracticeZoho(seed=1, token_delay_s=0.5) as running:
        yield running


def access_token(_):
    try:
        return OAuthToken(id="1").get_token()
    except Exception as error:
        return error


def stampede(zoho, store, folder, workers):
    token = OAuthToken(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        grant_token=zoho.grant(),
        redirect_url=zoho.redirect_url,
    )
    Initializer.initialize(zoho.environment, token, store=store, resource_path=str(folder))
    stored = store.find_token_by_id("1")
    stored.set_expires_in("0")
    store.save_token(stored)
    zoho.exchanges.clear()
    with ThreadPoolExecutor(workers) as pool:
        return Stampede(zoho, list(pool.map(access_token, range(workers))))


def test_without_single_flight_each_worker_sends_a_request_and_some_are_refused(zoho, tmp_path):
    shown = stampede(zoho, FileStore(str(tmp_path / "tokens.csv")), tmp_path, 12)
    assert shown.counts == {"workers": 12, "requests": 12, "refused": 2, "succeeded": 10}
    lines = repr(shown).splitlines()
    assert lines[0] == " 1  ■ request  access token"
    assert lines[11] == "12  ✖ request  Access Denied"
    assert (
        lines[12] == "12 workers sent 12 requests. Zoho refused 2. 10 workers got an access token."
    )
    assert shown._repr_html_().count("Access Denied") == 2


def test_with_single_flight_one_worker_sends_it_and_the_others_read_the_row(zoho, tmp_path):
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as store:
        shown = stampede(zoho, store, tmp_path, 4)
    assert shown.counts == {"workers": 4, "requests": 1, "refused": 0, "succeeded": 4}
    assert repr(shown).splitlines() == [
        " 1  ■ request  access token",
        *[f" {number}  … wait     access token from the row" for number in (2, 3, 4)],
        "4 workers sent 1 request. 4 workers got an access token.",
    ]


def test_a_worker_that_waited_for_nothing_is_shown(zoho, tmp_path):
    assert repr(Stampede(zoho, [ValueError()])).splitlines() == [
        " 1  ✖ wait     error",
        "1 workers sent 0 requests. 0 workers got an access token.",
    ]
