"""The pictures of a token's life show what Practice Zoho was asked, by its clock."""

import re

import pytest
from store_cases import make_token
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store.notebook import RefreshBudget, TokenTimeline
from kaizen_store.practice import PracticeZoho


@pytest.fixture
def zoho():
    with PracticeZoho(seed=1, clock=lambda: 1000.0) as running:
        yield running


@pytest.fixture
def sdk(zoho, store, tmp_path):
    token = OAuthToken(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        grant_token=zoho.grant(),
        redirect_url=zoho.redirect_url,
    )
    Initializer.initialize(zoho.environment, token, store=store, resource_path=str(tmp_path))


def refresh(store):
    store.save_token(make_token(id="1", access_token="old", expires_in="0"))
    return OAuthToken(id="1").get_token()


def test_the_budget_counts_refreshes_and_begins_again(zoho, store, sdk):
    assert repr(RefreshBudget(zoho)).startswith("□" * 10 + "  0 of 10")
    for used in range(1, 11):
        refresh(store)
        zoho.advance(seconds=30)
        assert repr(RefreshBudget(zoho)).startswith("■" * used + "□" * (10 - used) + "  ")
    assert RefreshBudget(zoho).sentence.endswith("A new count starts in 5 min.")
    for refused in (1, 2):
        with pytest.raises(Exception, match="Access Denied"):
            refresh(store)
        assert RefreshBudget(zoho).refused == refused
    assert "✖" in RefreshBudget(zoho)._repr_html_()
    zoho.advance(minutes=5)
    assert repr(RefreshBudget(zoho)).startswith("□" * 10 + "  0 of 10")
    refresh(store)
    assert RefreshBudget(zoho).used == 1


def test_the_budget_is_that_of_the_refresh_token_used_last(zoho, store, sdk):
    refresh(store)
    zoho.exchanges[-1].parameters["refresh_token"] = "#other"
    refresh(store)
    assert RefreshBudget(zoho).used == 1


def test_the_timeline_tells_each_access_token(zoho, store, sdk):
    zoho.advance(minutes=60)
    refresh(store)
    zoho.advance(minutes=15)
    first, second, now = repr(TokenTimeline(zoho, store)).splitlines()
    assert re.fullmatch(r"#[0-9a-f]{6}  from a grant token    +0 to +60 min  expired", first)
    assert re.fullmatch(
        r"#[0-9a-f]{6}  from a refresh token +60 to +120 min  valid, in the store", second
    )
    assert now == "now: 75 min"
    shown = TokenTimeline(zoho, store)._repr_html_()
    assert "left: 50.0%; width: 50.0%" in shown and "left: 62.5%" in shown


def test_what_was_refused_is_in_no_timeline(zoho, store, sdk):
    before = repr(TokenTimeline(zoho, store))
    OAuthToken.revoke_refresh_token(
        store.find_token_by_id("1").get_refresh_token(), f"{zoho.url}/oauth/v2/token/revoke"
    )
    with pytest.raises(Exception, match="invalid_code"):
        refresh(store)
    assert len(repr(TokenTimeline(zoho, store)).splitlines()) == len(before.splitlines())


def test_nothing_asked_is_nothing_shown(zoho, store):
    assert repr(TokenTimeline(zoho, store)) == "now: 0 min"
    assert TokenTimeline(zoho, store)._repr_html_()


def test_no_piece_of_a_token_is_shown(zoho, store, sdk):
    access = refresh(store)
    stored = store.find_token_by_id("1")
    pieces = [
        text for value in (access, stored.get_refresh_token()) for text in value.split(".")[1:]
    ]
    for picture in (RefreshBudget(zoho), TokenTimeline(zoho, store)):
        text = repr(picture) + picture._repr_html_() + str(vars(picture))
        assert not [piece for piece in pieces if piece[:12] in text]
