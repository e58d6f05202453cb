"""The form and the exercise of lesson 08: each user is asked as themselves."""

import ast

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreInMemory, CustomStoreList
from kaizen_store.notebook import TODO, SwitchForm, grade_everybody
from kaizen_store.notebook.explanations import InputError
from kaizen_store.practice import PracticeZoho


@pytest.fixture
def servers():
    with PracticeZoho(seed=8) as europe, PracticeZoho(seed=88) as america:
        yield europe, america


@pytest.fixture
def store(servers, tmp_path, monkeypatch):
    """A store with a user at each server, known to the SDK."""
    monkeypatch.setattr(Initializer, "LOCAL", type(Initializer.LOCAL)())
    made = CustomStoreInMemory()
    for zoho, user in zip(servers, (servers[0].users[0], servers[1].users[2]), strict=True):
        token = OAuthToken(
            client_id=zoho.client_id,
            client_secret=zoho.client_secret,
            grant_token=zoho.grant(user),
            redirect_url=zoho.redirect_url,
        )
        Initializer.initialize(zoho.environment, token, store=made, resource_path=str(tmp_path))
    return made


@pytest.fixture
def form(servers, store):
    return SwitchForm(store, [zoho.environment for zoho in servers])


@pytest.mark.parametrize(
    ("id", "user", "organization"),
    [("1", "anna.berg", "Larkfield Bicycles"), ("2", "carla.mendes", "Tidewater Instruments")],
)
def test_the_sdk_goes_on_as_the_chosen_user(form, id, user, organization):
    form.inputs["id"].value = id
    form.submit()
    assert user in form.status.value and organization in form.status.value
    assert Initializer.get_initializer().token.get_id() == id


def test_the_code_does_the_same(form, servers, store):
    code = form.code({"id": "2"})
    ast.parse(code)
    environments = {zoho.url: zoho.environment for zoho in servers}
    exec(code, {"store": store, "environments": environments})
    assert Initializer.get_initializer().environment.url == servers[1].url


def test_an_unknown_row_and_an_unknown_server_are_told(form, servers, store):
    form.inputs["id"].value = "7"
    with pytest.raises(InputError, match="There is no row 7"):
        form.submit()
    lonely = SwitchForm(store, [servers[0].environment])
    lonely.inputs["id"].value = "2"
    with pytest.raises(InputError, match="without that environment"):
        lonely.submit()
    assert getattr(Initializer.LOCAL, "init", None) is None, "nobody was switched to"


def test_another_store_than_the_sdks_is_told(form):
    form.store = CustomStoreList()
    with pytest.raises(InputError, match="not initialized with this store"):
        form.submit()


def test_the_exercise_wants_the_right_organization_for_every_row(store, servers):
    right = {"1": "Larkfield Bicycles", "2": "Tidewater Instruments"}
    for answer, state in [
        (TODO, "not yet"),
        ({}, "not yet"),
        ({"1": "Larkfield Bicycles"}, "not yet"),
        (["Larkfield Bicycles"], "wrong"),
        (right | {"2": "Larkfield Bicycles"}, "wrong"),
        (right, "done"),
    ]:
        assert grade_everybody(answer, store, *servers).state == state
