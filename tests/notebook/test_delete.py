"""The form and the exercise of lesson 05: what is left in the store and at Zoho."""

import ast
import socket

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreInMemory
from kaizen_store.notebook import DeleteForm, grade_logged_out
from kaizen_store.notebook.explanations import InputError
from kaizen_store.notebook.forms.delete import CHOICES, DELETE, DELETE_ALL, LOG_OUT, REVOKE
from kaizen_store.practice import PracticeZoho
from kaizen_store.stores import single_flight


@pytest.fixture
def zoho():
    with PracticeZoho(seed=5) as running:
        yield running


@pytest.fixture
def store(zoho, tmp_path):
    """A store with a row for each of two users, known to the SDK."""
    made = CustomStoreInMemory()
    for user in zoho.users[:2]:
        token = OAuthToken(
            client_id=zoho.client_id,
            client_secret=zoho.client_secret,
            grant_token=zoho.grant(user),
            redirect_url=zoho.redirect_url,
        )
        Initializer.initialize(zoho.environment, token, store=made, resource_path=str(tmp_path))
    return made


def is_accepted(zoho, refresh_token):
    answer = zoho._accounts.request_token(
        {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": zoho.client_id,
            "client_secret": zoho.client_secret,
        },
        "",
    )
    return "access_token" in answer


@pytest.mark.parametrize(
    ("what", "ids_left", "accepted"),
    [
        (DELETE, ["1"], True),
        (REVOKE, ["1", "2"], False),
        (LOG_OUT, ["1"], False),
        (DELETE_ALL, [], True),
    ],
)
def test_what_is_chosen_is_done_here_and_at_zoho(zoho, store, what, ids_left, accepted):
    refresh_token = store.find_token_by_id("2").get_refresh_token()
    form = DeleteForm(store)
    form.inputs["id"].value, form.inputs["what"].value = "2", what
    form.submit()
    assert [token.get_id() for token in store.get_tokens()] == ids_left
    assert is_accepted(zoho, refresh_token) is accepted
    assert "✔" in form.status.value


@pytest.mark.parametrize("what", CHOICES)
def test_the_code_does_the_same(zoho, store, what):
    form = DeleteForm(store)
    form.inputs["what"].value = what
    code = form.code({"id": "1", "what": what})
    ast.parse(code)
    refresh_token = store.find_token_by_id("1").get_refresh_token()
    exec(code, {"store": store})
    assert bool(store.find_token_by_id("1")) is (what == REVOKE)
    assert is_accepted(zoho, refresh_token) is (what in (DELETE, DELETE_ALL))


@pytest.mark.parametrize("id", ["99", ""])
@pytest.mark.parametrize("what", [DELETE, REVOKE, LOG_OUT])
def test_an_unknown_row_changes_nothing(store, what, id):
    form = DeleteForm(store)
    form.inputs["id"].value, form.inputs["what"].value = id, what
    with pytest.raises(InputError, match="There is no row"):
        form.submit()
    assert len(store.get_tokens()) == 2


def test_what_zoho_did_not_revoke_stays_in_the_store(zoho, store):
    form = DeleteForm(store)
    form.inputs["what"].value = REVOKE
    form.submit()
    form.inputs["what"].value = LOG_OUT
    with pytest.raises(InputError, match="did not revoke"):
        form.submit()
    assert store.find_token_by_id("1")


def test_zoho_out_of_reach_keeps_the_row(zoho, store):
    zoho.stop()
    with pytest.raises(Exception, match=r".*"):
        DeleteForm(store).submit()
    assert store.find_token_by_id("1")


def test_a_revocation_that_zoho_does_not_answer_times_out(store, monkeypatch):
    revoke = OAuthToken.revoke_refresh_token
    monkeypatch.setattr(single_flight, "REQUEST_TIMEOUT_S", 0.3)
    form = DeleteForm(store)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        environment = Initializer.get_initializer().environment
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(environment, "accounts_url", url)
        form._button.click()
    assert "The server did not answer in time." in form.status.value
    assert store.find_token_by_id("1") and OAuthToken.revoke_refresh_token is revoke


def test_the_exercise_wants_ben_revoked_and_deleted(zoho, store):
    assert grade_logged_out(CustomStoreInMemory(), PracticeZoho()).state == "not yet"
    assert grade_logged_out(store, zoho).state == "not yet"
    refresh_token = store.find_token_by_id("2").get_refresh_token()
    OAuthToken(id="1").revoke("1")  # somebody else's does not count
    store.delete_token("2")
    assert grade_logged_out(store, zoho).state == "wrong"
    OAuthToken.revoke_refresh_token(refresh_token, f"{zoho.url}/oauth/v2/token/revoke")
    assert grade_logged_out(store, zoho).state == "done"
