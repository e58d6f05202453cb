"""Consent in the browser: valid and invalid requests, both decisions, and the redirect."""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from kaizen_store.practice import PracticeZoho


@pytest.fixture
def zoho():
    with PracticeZoho(seed=1) as running:
        yield running


def consent_url(zoho, **changes):
    """Return the address of the consent page with some parameters changed; None removes one."""
    address = urlsplit(zoho.consent().url)
    values = {name: value[0] for name, value in parse_qs(address.query).items()} | changes
    query = urlencode({name: value for name, value in values.items() if value is not None})
    return f"{zoho.url}{address.path}?{query}"


def hidden(page):
    return dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page.text))


def decide(zoho, url, **choice):
    page = requests.get(url)
    assert page.status_code == 200, page.text
    choice = {"user": zoho.users[1].email, "decision": "allow"} | choice
    return requests.post(f"{zoho.url}/oauth/v2/auth", hidden(page) | choice, allow_redirects=False)


def exchange(zoho, code, redirect_url):
    return requests.post(
        f"{zoho.url}/oauth/v2/token",
        {
            "grant_type": "authorization_code",
            "client_id": zoho.client_id,
            "client_secret": zoho.client_secret,
            "code": code,
            "redirect_uri": redirect_url,
        },
    ).json()


def follow_redirect(answer):
    return requests.get(requests.compat.urljoin(answer.url, answer.headers["Location"]))


def test_the_page_names_practice_zoho_the_client_and_the_permissions(zoho):
    page = requests.get(zoho.consent().url)
    assert page.headers["Content-Type"].startswith("text/html")
    for text in ("This is not Zoho", zoho.client_id, "read your leads", "Allow", "Deny"):
        assert text in page.text
    assert all(user.full_name in page.text for user in zoho.users)
    assert "http" not in re.sub(r'value=".*?"', "", page.text), (
        "nothing is loaded from other servers"
    )


def test_allowed_access_brings_a_grant_token_that_works_once(zoho):
    consent = zoho.consent()
    answer = decide(zoho, consent.url)
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.status_code == 302 and sent["state"] == [consent.state]
    assert sent["accounts-server"] == [zoho.url] and sent["location"] == ["eu"]
    page = follow_redirect(answer)
    assert "Access granted" in page.text and consent.grant_token == sent["code"][0]
    assert consent.grant_token not in page.text + repr(consent) + repr(zoho.exchanges)
    assert "error" in exchange(zoho, consent.grant_token, zoho.redirect_url), "another URL"
    assert "access_token" in exchange(zoho, consent.grant_token, consent.redirect_url)
    assert exchange(zoho, consent.grant_token, consent.redirect_url) == {"error": "invalid_code"}


def test_denied_access_brings_no_grant_token(zoho):
    consent = zoho.consent()
    answer = decide(zoho, consent.url, decision="deny")
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert sent == {"error": ["access_denied"], "state": [consent.state]}
    assert "Access denied" in follow_redirect(answer).text
    assert consent.denied and consent.grant_token is None


@pytest.mark.parametrize("state", ["", "made up", None])
def test_a_response_with_an_unknown_state_is_refused(zoho, state):
    consent = zoho.consent()
    values = {"code": "an-attackers-code"} | ({} if state is None else {"state": state})
    page = requests.get(consent.redirect_url, params=values)
    assert page.status_code == 400 and "RFC 6749, section 10.12" in page.text
    assert "an-attackers-code" not in page.text and consent.grant_token is None


def test_a_response_is_accepted_once(zoho):
    consent = zoho.consent()
    answer = decide(zoho, consent.url)
    follow_redirect(answer)
    mine = consent.grant_token
    again = requests.get(
        consent.redirect_url, params={"state": consent.state, "code": "an-attackers-code"}
    )
    assert again.status_code == 400 and consent.grant_token == mine


def test_two_consents_are_independent(zoho):
    first, second = zoho.consent(), zoho.consent()
    assert first.state != second.state
    follow_redirect(decide(zoho, second.url))
    assert second.grant_token and first.grant_token is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client_id": "1000.OTHER"}, "No application is registered"),
        ({"client_id": None}, "No application is registered"),
        ({"redirect_uri": "https://evil.example/"}, "redirect URL is not registered"),
        (
            {"redirect_uri": "http://127.0.0.1:1/practice/callback.evil"},
            "redirect URL is not registered",
        ),
        ({"redirect_uri": None}, "redirect URL is not registered"),
        ({"response_type": "token"}, "response_type must be code"),
    ],
)
def test_an_invalid_request_is_explained_and_not_redirected(zoho, changes, message):
    page = requests.get(consent_url(zoho, **changes), allow_redirects=False)
    assert (page.status_code, message in page.text) == (400, True)
    form = {"decision": "allow", "user": zoho.users[0].email}
    query = {name: value[0] for name, value in parse_qs(urlsplit(page.url).query).items()}
    posted = requests.post(f"{zoho.url}/oauth/v2/auth", query | form, allow_redirects=False)
    assert posted.status_code == 400


def test_another_site_cannot_post_the_decision(zoho):
    page = requests.get(zoho.consent().url)
    form = hidden(page) | {"decision": "allow", "user": zoho.users[0].email}
    for csrf_token in ("", "guessed"):
        forged = requests.post(f"{zoho.url}/oauth/v2/auth", form | {"csrf_token": csrf_token})
        assert forged.status_code == 400
    assert requests.post(f"{zoho.url}/oauth/v2/auth", form).status_code == 200
    assert requests.post(f"{zoho.url}/oauth/v2/auth", form).status_code == 400, "already used"


def test_hostile_values_are_text_on_the_page(zoho):
    page = requests.get(consent_url(zoho, scope='<script>alert("x")</script>', state='"><script>'))
    assert "<script" not in page.text and "&lt;script&gt;" in page.text


def test_an_unknown_user_and_an_eleventh_consent_are_refused(zoho):
    assert "has no user" in decide(zoho, zoho.consent().url, user="nobody@example.com").text
    for _ in range(10):
        zoho.grant()
    page = decide(zoho, zoho.consent().url)
    assert page.status_code == 400 and "at most 10 grant tokens" in page.text


def test_behind_a_proxy_every_address_is_the_address_of_the_proxy(zoho, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    consent = zoho.consent()
    port = zoho.url.rpartition(":")[2]
    assert consent.url.startswith(f"/user/ada/proxy/{port}/oauth/v2/auth?")
    # The proxy removes its prefix before it forwards the request.
    answer = decide(zoho, zoho.url + consent.url.removeprefix(f"/user/ada/proxy/{port}"))
    location = answer.headers["Location"]
    seen = requests.compat.urljoin(f"https://hub/user/ada/proxy/{port}/oauth/v2/auth", location)
    assert seen.startswith(f"https://hub/user/ada/proxy/{port}/practice/callback?")
    page = requests.get(zoho.consent().url.replace(f"/user/ada/proxy/{port}", zoho.url))
    assert 'action="auth"' in page.text


def test_the_other_registered_redirect_url_works(zoho):
    answer = decide(zoho, consent_url(zoho, redirect_uri=zoho.redirect_url))
    assert answer.headers["Location"].startswith(zoho.redirect_url + "?")
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    assert "access_token" in exchange(zoho, code, zoho.redirect_url)
