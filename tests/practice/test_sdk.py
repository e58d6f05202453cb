"""The real, unmodified SDK with Practice Zoho as its Zoho."""

import time

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.header_map import HeaderMap
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.parameter_map import ParameterMap
from zohocrmsdk.src.com.zoho.crm.api.record import (
    APIException,
    GetRecordsParam,
    RecordOperations,
    ResponseWrapper,
)

from kaizen_store.practice import PracticeZoho


@pytest.fixture
def zoho(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with PracticeZoho() as running:
        yield running
    Initializer.initializer = None


def initialize(zoho, folder, user=None, **given):
    given = given or {"grant_token": zoho.grant(user), "redirect_url": zoho.redirect_url}
    token = OAuthToken(client_id=zoho.client_id, client_secret=zoho.client_secret, **given)
    store = FileStore(str(folder / "tokens.csv"))
    Initializer.initialize(zoho.environment, token, store=store, resource_path=str(folder))
    return token


def get_leads(fields="Last_Name,Company,Email", **pages):
    parameters = ParameterMap()
    parameters.add(GetRecordsParam.fields, fields)
    for name, number in pages.items():
        parameters.add(getattr(GetRecordsParam, name), number)
    return RecordOperations("Leads").get_records(parameters, HeaderMap())


def requested(zoho):
    return [exchange.path.rpartition("/")[2] for exchange in zoho.exchanges]


def test_the_sdk_signs_in_with_a_grant_token(zoho, tmp_path):
    token = initialize(zoho, tmp_path)

    user = zoho.users[0]
    assert token.get_user_signature().get_name() == f"{user.email}:{user.zgid}"
    assert token.get_refresh_token().startswith("1000.practice")
    assert token.get_api_domain() == zoho.url
    assert float(token.get_expires_in()) / 1000 == pytest.approx(time.time() + 3600, abs=60)
    assert requested(zoho) == ["token", "users", "org"]
    assert [exchange.status for exchange in zoho.exchanges] == [200] * 3


def test_the_sdk_reads_leads(zoho, tmp_path):
    initialize(zoho, tmp_path)
    fields = "Last_Name,Company,Email,Owner,Lead_Source,No_of_Employees,Created_Time"
    answer = get_leads(fields, page=2, per_page=8)

    assert answer.get_status_code() == 200
    wrapper = answer.get_object()
    assert isinstance(wrapper, ResponseWrapper)
    assert [lead.get_key_value("Last_Name") for lead in wrapper.get_data()][:2] == [
        "Adeyemi",
        "Galbraith",
    ]
    lead = wrapper.get_data()[0]
    assert isinstance(lead.get_id(), int)
    assert lead.get_key_value("Company") == "Campus Mobility"
    assert lead.get_key_value("Email") == "grace@campus.example"
    assert lead.get_key_value("Owner").get_email() == "anna.berg@example.com"
    assert lead.get_key_value("Lead_Source").get_value() == "Chat"
    assert lead.get_key_value("No_of_Employees") == 64
    assert lead.get_created_time().year == 2026
    info = wrapper.get_info()
    assert (info.get_page(), info.get_per_page(), info.get_count()) == (2, 8, 8)
    assert info.get_more_records() is True
    assert requested(zoho)[3:] == ["fields", "Leads"]


def test_the_sdk_reads_a_page_without_content(zoho, tmp_path):
    initialize(zoho, tmp_path)
    assert get_leads(page=9).get_status_code() == 204


def test_each_user_has_a_separate_name_and_leads(zoho, tmp_path):
    found = {}
    for user in zoho.users:
        folder = tmp_path / user.email
        folder.mkdir()
        token = initialize(zoho, folder, user)
        leads = get_leads().get_object().get_data()
        found[token.get_user_signature().get_name()] = len(leads)
    assert found == {f"{u.email}:{u.zgid}": n for u, n in zip(zoho.users, (20, 20, 4), strict=True)}


def test_the_sdk_refreshes_after_an_hour(zoho, tmp_path, monkeypatch):
    token = initialize(zoho, tmp_path)
    get_leads()
    before = token.get_access_token()

    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    zoho.advance(hours=1)
    zoho.exchanges.clear()
    assert get_leads().get_status_code() == 200

    assert requested(zoho) == ["token", "Leads"]
    assert zoho.exchanges[0].parameters["grant_type"] == "refresh_token"
    assert FileStore(str(tmp_path / "tokens.csv")).get_tokens()[0].get_access_token() != before


def test_the_sdk_uses_an_expired_access_token_and_is_refused(zoho, tmp_path):
    initialize(zoho, tmp_path)
    get_leads()
    zoho.advance(hours=1)

    answer = get_leads()
    assert answer.get_status_code() == 401
    assert isinstance(answer.get_object(), APIException)
    assert answer.get_object().get_code().get_value() == "INVALID_TOKEN"


def test_the_sdk_signs_in_with_a_refresh_token_until_it_is_revoked(zoho, tmp_path):
    token = initialize(zoho, tmp_path)
    refresh_token = token.get_refresh_token()
    again = tmp_path / "again"
    again.mkdir()
    assert initialize(zoho, again, refresh_token=refresh_token).get_user_signature()

    url = zoho.environment.accounts_url + "/revoke"
    assert OAuthToken.revoke_refresh_token(refresh_token, url) is True
    assert OAuthToken.revoke_refresh_token(refresh_token, url) is False

    late = tmp_path / "late"
    late.mkdir()
    with pytest.raises(SDKException, match="invalid_code"):
        initialize(zoho, late, refresh_token=refresh_token)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"grant_token": "used"}, "invalid_code"),
        ({"redirect_url": "https://example.com/another"}, "invalid_redirect_uri"),
    ],
)
def test_the_sdk_reports_why_a_grant_token_is_refused(zoho, tmp_path, given, error):
    good = {"grant_token": zoho.grant(), "redirect_url": zoho.redirect_url}
    with pytest.raises(SDKException, match=error):
        initialize(zoho, tmp_path, **(good | given))


def test_the_sdk_reports_too_many_refreshes(zoho, tmp_path):
    refresh_token = initialize(zoho, tmp_path).get_refresh_token()
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        initialize(zoho, folder, refresh_token=refresh_token)
    folder = tmp_path / "last"
    folder.mkdir()
    with pytest.raises(SDKException, match="Access Denied"):
        initialize(zoho, folder, refresh_token=refresh_token)
