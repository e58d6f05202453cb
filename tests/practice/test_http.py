"""Practice Zoho as any HTTP client sees it, and as a Python object."""

import inspect
import logging
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from kaizen_store.practice import PracticeUser, PracticeZoho

INVALID_TOKEN = {
    "code": "INVALID_TOKEN",
    "details": {},
    "message": "invalid oauth token",
    "status": "error",
}

session = requests.Session()
session.trust_env = False  # a proxy cannot reach 127.0.0.1


@pytest.fixture
def zoho():
    with PracticeZoho(seed=7) as running:
        yield running


def sign_in(zoho, user=None):
    return post_token(
        zoho, grant_type="authorization_code", redirect_uri=zoho.redirect_url, code=zoho.grant(user)
    ).json()


def post_token(zoho, **parameters):
    client = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}
    return session.post(zoho.url + "/oauth/v2/token", data=client | parameters)


def get(zoho, path, token=None, **parameters):
    headers = {} if token is None else {"Authorization": f"Zoho-oauthtoken {token}"}
    return session.get(zoho.url + path, params=parameters, headers=headers)


def last_names(answer):
    return [lead["Last_Name"] for lead in answer.json()["data"]]


def test_tokens_are_requested_over_http(zoho):
    first = sign_in(zoho)
    assert list(first)[:2] == ["access_token", "refresh_token"]
    assert first["api_domain"] == zoho.url

    answer = post_token(zoho, grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert answer.status_code == 200
    assert get(zoho, "/crm/v8/org", answer.json()["access_token"]).ok


def test_parameters_may_be_in_the_url(zoho):
    parameters = {
        "grant_type": "refresh_token",
        "client_id": zoho.client_id,
        "client_secret": zoho.client_secret,
        "refresh_token": sign_in(zoho)["refresh_token"],
    }
    answer = session.post(zoho.url + "/oauth/v2/token", params=parameters)
    assert "access_token" in answer.json()


def test_a_refused_token_request_has_http_status_200(zoho):
    answer = post_token(zoho, grant_type="refresh_token", refresh_token="unknown")
    assert (answer.status_code, answer.json()) == (200, {"error": "invalid_code"})


def test_too_many_refreshes_are_denied_for_ten_minutes(zoho):
    token = sign_in(zoho)["refresh_token"]

    answers = [post_token(zoho, grant_type="refresh_token", refresh_token=token) for _ in range(11)]
    assert [answer.json().get("error") for answer in answers] == [None] * 10 + ["Access Denied"]
    assert answers[-1].status_code == 200

    zoho.advance(minutes=10)
    answer = post_token(zoho, grant_type="refresh_token", refresh_token=token)
    assert "access_token" in answer.json()


def test_an_error_is_simulated_until_the_block_ends(zoho):
    tokens = sign_in(zoho)
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    with zoho.simulate_error("general_error"):
        answer = post_token(zoho, **refresh)
        assert (answer.status_code, answer.json()) == (200, {"error": "general_error"})
        assert get(zoho, "/crm/v8/org", tokens["access_token"]).ok
    with pytest.raises(KeyError), zoho.simulate_error("OAUTH_SCOPE_MISMATCH"):
        answer = get(zoho, "/crm/v8/org", tokens["access_token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "OAUTH_SCOPE_MISMATCH")
        raise KeyError
    assert get(zoho, "/crm/v8/org", post_token(zoho, **refresh).json()["access_token"]).ok
    unknown = zoho.simulate_error("invalid_code")
    with pytest.raises(ValueError, match="'invalid_code' cannot be simulated"), unknown:
        pass


def test_a_refresh_token_is_revoked_over_http(zoho):
    tokens = sign_in(zoho)
    revoke = zoho.url + "/oauth/v2/token/revoke"

    answer = session.post(revoke, params={"token": tokens["refresh_token"]})
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    assert get(zoho, "/crm/v8/org", tokens["access_token"]).status_code == 401

    answer = session.post(revoke, data={"token": tokens["refresh_token"]})
    assert (answer.status_code, answer.json()["status"]) == (400, "failure")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Zoho-oauthtoken unknown"}],
    ids=["none", "empty", "unknown"],
)
@pytest.mark.parametrize("path", ["users", "org", "settings/fields", "Leads"])
def test_the_crm_api_needs_a_valid_access_token(zoho, path, headers):
    answer = session.get(f"{zoho.url}/crm/v8/{path}", headers=headers)
    assert (answer.status_code, answer.json()) == (401, INVALID_TOKEN)


@pytest.mark.parametrize("scheme", ["", "Bearer "])
def test_an_access_token_follows_the_word_zoho_oauthtoken(zoho, scheme):
    headers = {"Authorization": scheme + sign_in(zoho)["access_token"]}
    answer = session.get(zoho.url + "/crm/v8/org", headers=headers)
    assert (answer.status_code, answer.json()) == (401, INVALID_TOKEN)


def test_an_access_token_is_refused_after_an_hour(zoho):
    token = sign_in(zoho)["access_token"]
    zoho.advance(minutes=59)
    assert get(zoho, "/crm/v8/org", token).status_code == 200
    zoho.advance(minutes=1)
    answer = get(zoho, "/crm/v8/org", token)
    assert (answer.status_code, answer.json()) == (401, INVALID_TOKEN)


@pytest.mark.parametrize("version", ["v5", "v7", "v8"])
def test_everyone_sees_their_own_user_and_organization(zoho, version):
    for user in zoho.users:
        token = sign_in(zoho, user)["access_token"]
        users = get(zoho, f"/crm/{version}/users", token, type="CurrentUser").json()["users"]
        org = get(zoho, f"/crm/{version}/org", token).json()["org"]

        assert [(u["email"], u["full_name"]) for u in users] == [(user.email, user.full_name)]
        assert [(o["zgid"], o["company_name"]) for o in org] == [(user.zgid, user.organization)]


def test_users_without_a_type_are_all_users_of_the_organization(zoho):
    token = sign_in(zoho, "ben.okafor@example.com")["access_token"]
    answer = get(zoho, "/crm/v8/users", token).json()
    emails = [user["email"] for user in answer["users"]]
    assert emails == ["anna.berg@example.com", "ben.okafor@example.com"]
    assert answer["info"]["count"] == 2


def test_the_fields_of_leads_are_described(zoho):
    token = sign_in(zoho)["access_token"]
    fields = get(zoho, "/crm/v8/settings/fields", token, module="Leads").json()["fields"]

    described = {field["api_name"]: field for field in fields}
    assert described["Email"]["data_type"] == "email"
    assert [name for name in described if described[name]["system_mandatory"]] == [
        "Last_Name",
        "Company",
    ]
    sources = [value["display_value"] for value in described["Lead_Source"]["pick_list_values"]]
    assert "Trade Show" in sources

    names = ",".join(described)
    for lead in get(zoho, "/crm/v8/Leads", token, fields=names).json()["data"]:
        assert set(lead) == {"id", *described}
        assert lead["Lead_Source"] in sources


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("settings/fields", {}, "REQUIRED_PARAM_MISSING"),
        ("settings/fields", {"module": "Contacts"}, "INVALID_MODULE"),
        ("Leads", {}, "REQUIRED_PARAM_MISSING"),
        ("Leads", {"fields": "Email", "page": "0"}, "INVALID_DATA"),
        ("Leads", {"fields": "Email", "page": "one"}, "INVALID_DATA"),
        ("Leads", {"fields": "Email", "per_page": "201"}, "INVALID_DATA"),
    ],
)
def test_a_wrong_parameter_is_refused(zoho, path, parameters, code):
    answer = get(zoho, f"/crm/v8/{path}", sign_in(zoho)["access_token"], **parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_leads_have_the_requested_fields(zoho):
    token = sign_in(zoho)["access_token"]
    answer = get(zoho, "/crm/v8/Leads", token, fields="Last_Name,Company,Nonsense").json()

    assert len(answer["data"]) == 20
    assert all(set(lead) == {"id", "Last_Name", "Company"} for lead in answer["data"])
    ids = [int(lead["id"]) for lead in answer["data"]]
    assert ids == sorted(set(ids), reverse=True)
    assert max(ids) < 2**63


def test_leads_come_in_pages(zoho):
    token = sign_in(zoho)["access_token"]
    whole = get(zoho, "/crm/v8/Leads", token, fields="Last_Name", per_page=20)
    assert whole.json()["info"]["more_records"] is False
    pages = [
        get(zoho, "/crm/v8/Leads", token, fields="Last_Name", page=page, per_page=8)
        for page in (1, 2, 3, 4)
    ]

    assert [name for page in pages[:3] for name in last_names(page)] == last_names(whole)
    infos = [page.json()["info"] for page in pages[:3]]
    assert [info["count"] for info in infos] == [8, 8, 4]
    assert [info["page"] for info in infos] == [1, 2, 3]
    assert [info["more_records"] for info in infos] == [True, True, False]
    assert (pages[3].status_code, pages[3].content) == (204, b"")
    assert "Content-Type" not in pages[3].headers


def test_an_organization_sees_its_own_leads(zoho):
    anna, ben, carla = (
        last_names(get(zoho, "/crm/v8/Leads", sign_in(zoho, u)["access_token"], fields="Last_Name"))
        for u in zoho.users
    )
    assert anna == ben
    assert not set(anna) & set(carla)


@pytest.mark.parametrize("path", ["/", "/crm/v8/Nonsense", "/crm/latest/org", "/oauth/v3/token"])
def test_an_unknown_path_is_refused_in_json(zoho, path):
    answer = get(zoho, path, sign_in(zoho)["access_token"])
    assert (answer.status_code, answer.json()["code"]) == (404, "INVALID_URL_PATTERN")


def test_a_wrong_method_is_refused_in_json(zoho):
    answer = session.get(zoho.url + "/oauth/v2/token")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST_METHOD")


def test_a_failure_is_answered_in_json(zoho, monkeypatch):
    monkeypatch.setattr(zoho._accounts, "user_of", lambda token: 1 / 0)
    answer = get(zoho, "/crm/v8/org", "any")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")


def test_exchanges_record_requests_and_answers(zoho):
    tokens = sign_in(zoho)
    get(zoho, "/crm/v8/users", tokens["access_token"], type="CurrentUser")
    get(zoho, "/crm/v8/org")

    token, users, org = zoho.exchanges
    assert (token.method, token.path, token.status) == ("POST", "/oauth/v2/token", 200)
    assert token.parameters["client_id"] == zoho.client_id
    assert token.parameters["redirect_uri"] == zoho.redirect_url
    assert token.answer["expires_in"] == 3600
    assert (users.method, users.path, users.status) == ("GET", "/crm/v8/users", 200)
    assert users.parameters["type"] == "CurrentUser"
    assert users.parameters["Authorization"] == token.answer["access_token"]
    assert (org.status, org.parameters, org.answer) == (401, {}, INVALID_TOKEN)


def test_exchanges_show_a_fingerprint_in_place_of_each_secret(zoho):
    code = zoho.grant()
    grant = {"grant_type": "authorization_code", "redirect_uri": zoho.redirect_url, "code": code}
    tokens = post_token(zoho, **grant).json()
    secrets = [zoho.client_secret, code, tokens["access_token"], tokens["refresh_token"]]
    # Secrets in the wrong places: if a learner mixes them up, they must be masked, too.
    post_token(zoho, client_id=zoho.client_secret, nonsense=code, scope=f"[{code}]")
    post_token(zoho, **{tokens["refresh_token"]: "", "client_secret": "short"})
    get(zoho, "/crm/v8/" + tokens["access_token"], tokens["access_token"])
    session.get(zoho.url + "/crm/v8/org", headers={"Authorization": tokens["access_token"]})
    session.post(zoho.url + "/oauth/v2/token/revoke", data={"token": tokens["refresh_token"]})

    shown = repr(zoho.exchanges)
    pieces = [secret[-12:] for secret in secrets] + [secret[8:20] for secret in secrets]
    assert not [piece for piece in pieces if piece in shown]
    assert "'short'" not in shown
    first = zoho.exchanges[0]
    assert first.parameters["code"].startswith("#") and len(first.parameters["code"]) == 7
    assert len({first.parameters["code"], *first.answer.values()}) == 6


def test_practice_shows_the_client_and_the_users_and_issues_grant_tokens(zoho):
    answer = session.get(zoho.url + "/practice").json()
    assert answer["client"] == {
        "client_id": zoho.client_id,
        "client_secret": zoho.client_secret,
        "redirect_url": zoho.redirect_url,
    }
    assert [PracticeUser(**user) for user in answer["users"]] == list(zoho.users)

    email = answer["users"][2]["email"]
    code = session.post(zoho.url + "/practice/grant", data={"user": email}).json()["grant_token"]
    grant = {"grant_type": "authorization_code", "redirect_uri": zoho.redirect_url, "code": code}
    token = post_token(zoho, **grant).json()["access_token"]
    users = get(zoho, "/crm/v8/users", token, type="CurrentUser").json()["users"]
    assert users[0]["email"] == email
    assert "/practice" not in repr(zoho.exchanges)


def test_practice_refuses_an_unknown_user_and_too_many_grant_tokens(zoho):
    answer = session.post(zoho.url + "/practice/grant", data={"user": "nobody@example.com"})
    assert answer.status_code == 400
    assert zoho.users[0].email in answer.json()["error"]

    for _ in range(10):
        zoho.grant()
    answer = session.post(zoho.url + "/practice/grant", data={"user": zoho.users[0].email})
    assert answer.status_code == 429
    assert "ten minutes" in answer.json()["error"]


def test_a_grant_token_is_for_the_first_user_or_the_one_named(zoho):
    named = zoho.users[1]
    for user, expected in ((None, zoho.users[0]), (named, named), (named.email, named)):
        token = sign_in(zoho, user)["access_token"]
        assert zoho._accounts.user_of(token) == expected.email
    with pytest.raises(ValueError, match="nobody@example.com.*" + named.email):
        zoho.grant("nobody@example.com")


def test_an_eleventh_grant_token_is_issued_after_ten_minutes(zoho):
    for _ in range(10):
        zoho.grant()
    with pytest.raises(RuntimeError, match="ten minutes"):
        zoho.grant()
    zoho.advance(minutes=10)
    zoho.grant()


def test_users_belong_to_two_organizations(zoho):
    assert len(zoho.users) == 3
    assert len({user.organization for user in zoho.users}) == 2
    assert len({user.zgid for user in zoho.users}) == 2
    assert all(user.email.endswith(("@example.com", "@example.org")) for user in zoho.users)


def test_the_seed_determines_the_ids():
    def ids(seed):
        with PracticeZoho(seed) as zoho:
            leads = get(zoho, "/crm/v8/Leads", sign_in(zoho)["access_token"], fields="Email").json()
            return zoho.users[0].zgid, zoho.client_id, leads["data"][0]["id"]

    assert ids(1) == ids(1)
    assert not set(ids(1)) & set(ids(2))


def test_the_lifetime_of_a_grant_token_can_be_set(zoho):
    grant = {"grant_type": "authorization_code", "redirect_uri": zoho.redirect_url}
    answer = post_token(zoho, code=zoho.grant(lifetime_s=0), **grant)
    assert answer.json() == {"error": "invalid_code"}


def test_the_clock_can_be_given_and_advanced():
    assert inspect.signature(PracticeZoho).parameters["clock"].default is time.time
    now = 0.0
    with PracticeZoho(clock=lambda: now) as zoho:
        token = sign_in(zoho)["access_token"]
        now = 1800
        zoho.advance(minutes=29, seconds=59)
        assert get(zoho, "/crm/v8/org", token).status_code == 200
        zoho.advance(seconds=1)
        assert get(zoho, "/crm/v8/org", token).status_code == 401
        with pytest.raises(ValueError, match="cannot go back"):
            zoho.advance(hours=-1)


def test_start_and_stop_may_be_repeated_and_tokens_stay_valid():
    zoho = PracticeZoho()
    with pytest.raises(RuntimeError, match="start"):
        _ = zoho.url
    zoho.stop()

    assert zoho.start() is zoho
    url = zoho.url
    assert zoho.start().url == url
    token = sign_in(zoho)["access_token"]
    thread = zoho._thread
    zoho.stop()
    zoho.stop()
    assert not thread.is_alive()

    with zoho:
        assert get(zoho, "/crm/v8/org", token).status_code == 200


def test_stop_frees_the_port():
    zoho = PracticeZoho().start()
    port = int(zoho.url.rpartition(":")[2])
    sign_in(zoho)
    zoho.stop()
    with pytest.raises(requests.ConnectionError):
        session.get(f"http://127.0.0.1:{port}/practice")
    with PracticeZoho(port=port) as again:
        assert again.url.endswith(f":{port}")


def test_a_port_in_use_raises_an_error_and_does_not_end_the_process(zoho):
    with pytest.raises(OSError, match="in use"):
        PracticeZoho(port=int(zoho.url.rpartition(":")[2])).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux, all of 127.0.0.0/8 is local")
def test_it_listens_on_127_0_0_1_only(zoho):
    port = int(zoho.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=1)


def test_two_servers_run_independently(zoho):
    with PracticeZoho(seed=8) as other:
        token = sign_in(other)["access_token"]
        assert get(other, "/crm/v8/org", token).status_code == 200
        assert get(zoho, "/crm/v8/org", token).status_code == 401
        assert zoho.client_id != other.client_id


def test_many_clients_are_served_at_once(zoho):
    token = sign_in(zoho)["access_token"]
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: get(zoho, "/crm/v8/org", token).status_code, range(64))
    assert set(answers) == {200}
    assert len(zoho.exchanges) == 65


def test_many_connections_may_wait_until_they_are_accepted(zoho, monkeypatch):
    accept, go_on = zoho._server.get_request, threading.Event()
    monkeypatch.setattr(zoho._server, "get_request", lambda: go_on.wait(20) and accept())
    address = ("127.0.0.1", int(zoho.url.rpartition(":")[2]))
    try:
        waiting = [socket.create_connection(address, timeout=0.5) for _ in range(300)]
    finally:
        go_on.set()
    for connection in waiting:
        connection.close()


def test_the_token_endpoint_can_be_slow_and_the_others_stay_fast():
    with PracticeZoho(token_delay_s=0.5) as zoho:
        start_s = time.monotonic()
        token = sign_in(zoho)["access_token"]
        took_s = time.monotonic() - start_s
        assert 0.5 <= took_s < 5
        with zoho.simulate_error("general_error"):
            start_s = time.monotonic()
            assert "error" in sign_in(zoho)
            assert time.monotonic() - start_s >= 0.5
        start_s = time.monotonic()
        assert get(zoho, "/crm/v8/org", token).ok
        assert time.monotonic() - start_s < 0.5


def test_nothing_is_printed_and_no_logger_is_changed(capfd):
    loggers = [logging.getLogger(name) for name in (None, "werkzeug")]
    before = [(each.level, each.disabled, list(each.handlers)) for each in loggers]
    with PracticeZoho() as zoho:
        sign_in(zoho)
        get(zoho, "/nonsense")
    assert capfd.readouterr() == ("", "")
    assert [(each.level, each.disabled, list(each.handlers)) for each in loggers] == before


def test_its_repr_has_neither_address_nor_secret(zoho):
    assert repr(zoho) == "<PracticeZoho seed=7 running>"
