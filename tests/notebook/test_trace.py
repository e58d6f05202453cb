import pytest
import requests
from stores import make_token, user_token
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store.notebook import fingerprint, trace


def initialize(zoho, store, folder, grant_token=None):
    token = OAuthToken(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        grant_token=grant_token or zoho.grant(),
        redirect_url=zoho.redirect_url,
    )
    Initializer.initialize(zoho.environment, token, store=store, resource_path=str(folder))
    return token


def test_store_calls_and_requests_stand_in_their_order(zoho, store, tmp_path):
    with trace(store) as steps:
        token = initialize(zoho, store, tmp_path)
    assert [(step.whom, step.call.split("(")[0]) for step in steps.steps] == [
        ("store", "find_token"),
        ("Zoho", "POST /oauth/v2/token"),
        ("Zoho", "GET /crm/v8/users"),
        ("Zoho", "GET /crm/v8/org"),
        ("store", "save_token"),
    ]
    assert steps.steps[0].result == "None"
    assert steps.steps[-1].result == "saved as row 1"
    assert f"access_token={fingerprint(token.get_access_token())}" in steps.table["answer"][2]


def test_no_secret_is_in_a_table_a_picture_or_a_repr(zoho, store, tmp_path):
    with trace(store) as steps:
        token = initialize(zoho, store, tmp_path)
        store.get_tokens()
    shown = f"{steps.table.to_html()} {steps!r} {steps.steps!r} {steps._repr_html_()}"
    shown += f"{steps.diagram.mermaid} {zoho.exchanges!r} {zoho!r}"
    for secret in (
        token.get_access_token(),
        token.get_refresh_token(),
        token.get_grant_token(),
        token.get_client_secret(),
    ):
        for part in (secret, secret[:24], secret[-8:]):
            assert part not in shown


def test_the_picture_has_an_arrow_each_way_for_each_step(store):
    with trace(store) as steps:
        store.find_token(make_token(user_name="nobody"))
    bundle = steps.diagram._repr_mimebundle_()
    assert bundle["text/plain"].splitlines() == [
        "program -> store  find_token(user_name)",
        "program <- store  None",
    ]
    assert "program->>store: find_token(user_name)" in bundle["text/vnd.mermaid"]
    assert "store-->>program: None" in bundle["text/vnd.mermaid"]


def test_errors_are_steps_too(zoho, store, tmp_path):
    with trace(store) as steps:
        with pytest.raises(SDKException):
            initialize(zoho, store, tmp_path, grant_token="1000.practice.wrong")
        with pytest.raises(SDKException):
            store.delete_token("99")
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:9/", timeout=5)
    results = [step.result for step in steps.steps]
    assert results == [
        "None",
        "200 error invalid_code",
        "raises SDKException",
        "no answer: ConnectionError",
    ]


def test_afterwards_nothing_is_watched(store):
    send = requests.Session.send
    with trace(store) as steps:
        pass
    store.save_token(user_token(1))
    assert steps.steps == [] and requests.Session.send is send
    assert repr(steps) == "Neither the store nor Zoho was asked."
