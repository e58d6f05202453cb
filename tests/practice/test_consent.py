"""Consent in the browser: who may ask, what is allowed or denied, and what comes back to whom."""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from kaizen_store.practice import PracticeZoho


@pytest.fixture
def zoho():
    with PracticeZoho(seed=1) as running:
        yield running


def asked(zoho, **changes):
    """The address of the consent page, with some parameters changed; None takes one away."""
    address = urlsplit(zoho.consent().url)
    values = {name: value[0] for name, value in parse_qs(address.query).items()} | changes
    query = urlencode({name: value for name, value in values.items() if value is not None})
    return f"{zoho.url}{address.path}?{query}"


def hidden(page):
    return dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page.text))


def decided(zoho, url, **choice):
    page = requests.get(url)
    assert page.status_code == 200, page.text
    choice = {"user": zoho.users[1].email, "decision": "allow"} | choice
    return requests.post(f"{zoho.url}/oauth/v2/auth", hidden(page) | choice, allow_redirects=False)


def exchanged(zoho, code, redirect_url):
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


def come_back(answer):
    return requests.get(requests.compat.urljoin(answer.url, answer.headers["Location"]))


def test_the_page_says_that_it_is_practice_who_asks_and_for_what(zoho):
    page = requests.get(zoho.consent().url)
    assert page.headers["Content-Type"].startswith("text/html")
    for text in ("This is not Zoho", zoho.client_id, "read your leads", "Allow", "Deny"):
        assert text in page.text
    assert all(user.full_name in page.text for user in zoho.users)
    assert "http" not in re.sub(r'value=".*?"', "", page.text), "nothing comes from elsewhere"


def test_what_is_allowed_comes_back_to_the_program_and_works_once(zoho):
    consent = zoho.consent()
    answer = decided(zoho, consent.url)
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.status_code == 302 and sent["state"] == [consent.state]
    assert sent["accounts-server"] == [zoho.url] and sent["location"] == ["eu"]
    page = come_back(answer)
    assert "You have allowed it" in page.text and consent.grant_token == sent["code"][0]
    assert consent.grant_token not in page.text + repr(consent) + repr(zoho.exchanges)
    assert "error" in exchanged(zoho, consent.grant_token, zoho.redirect_url), "another URL"
    assert "access_token" in exchanged(zoho, consent.grant_token, consent.redirect_url)
    assert exchanged(zoho, consent.grant_token, consent.redirect_url) == {"error": "invalid_code"}


def test_what_is_denied_gives_no_grant_token(zoho):
    consent = zoho.consent()
    answer = decided(zoho, consent.url, decision="deny")
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert sent == {"error": ["access_denied"], "state": [consent.state]}
    assert "You have denied it" in come_back(answer).text
    assert consent.denied and consent.grant_token is None


@pytest.mark.parametrize("state", ["", "made up", None])
def test_an_answer_that_nobody_waits_for_is_refused(zoho, state):
    consent = zoho.consent()
    values = {"code": "a-thiefs-code"} | ({} if state is None else {"state": state})
    page = requests.get(consent.redirect_url, params=values)
    assert page.status_code == 400 and "RFC 6749, section 10.12" in page.text
    assert "a-thiefs-code" not in page.text and consent.grant_token is None


def test_an_answer_is_taken_once(zoho):
    consent = zoho.consent()
    answer = decided(zoho, consent.url)
    come_back(answer)
    mine = consent.grant_token
    again = requests.get(
        consent.redirect_url, params={"state": consent.state, "code": "a-thiefs-code"}
    )
    assert again.status_code == 400 and consent.grant_token == mine


def test_two_consents_do_not_mix(zoho):
    first, second = zoho.consent(), zoho.consent()
    assert first.state != second.state
    come_back(decided(zoho, second.url))
    assert second.grant_token and first.grant_token is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_id": "1000.OTHER"}, "No application is registered"),
        ({"client_id": None}, "No application is registered"),
        ({"redirect_uri": "https://evil.example/"}, "redirect URL is not one"),
        ({"redirect_uri": "http://127.0.0.1:1/practice/callback.evil"}, "redirect URL is not one"),
        ({"redirect_uri": None}, "redirect URL is not one"),
        ({"response_type": "token"}, "response_type is not code"),
    ],
)
def test_a_wrong_request_is_told_and_never_redirected(zoho, changes, said):
    page = requests.get(asked(zoho, **changes), allow_redirects=False)
    assert (page.status_code, said in page.text) == (400, True)
    form = {"decision": "allow", "user": zoho.users[0].email}
    query = {name: value[0] for name, value in parse_qs(urlsplit(page.url).query).items()}
    posted = requests.post(f"{zoho.url}/oauth/v2/auth", query | form, allow_redirects=False)
    assert posted.status_code == 400


def test_another_site_cannot_post_the_decision(zoho):
    page = requests.get(zoho.consent().url)
    form = hidden(page) | {"decision": "allow", "user": zoho.users[0].email}
    for once in ("", "guessed"):
        forged = requests.post(f"{zoho.url}/oauth/v2/auth", form | {"once": once})
        assert forged.status_code == 400
    assert requests.post(f"{zoho.url}/oauth/v2/auth", form).status_code == 200
    assert requests.post(f"{zoho.url}/oauth/v2/auth", form).status_code == 400, "used before"


def test_hostile_values_are_text_on_the_page(zoho):
    page = requests.get(asked(zoho, scope='<script>alert("x")</script>', state='"><script>'))
    assert "<script" not in page.text and "&lt;script&gt;" in page.text


def test_an_unknown_user_and_an_eleventh_consent_are_told(zoho):
    assert "knows no user" in decided(zoho, zoho.consent().url, user="nobody@example.com").text
    for _ in range(10):
        zoho.grant()
    page = decided(zoho, zoho.consent().url)
    assert page.status_code == 400 and "at most 10 grant tokens" in page.text


def test_behind_a_proxy_every_address_is_the_proxys(zoho, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    consent = zoho.consent()
    port = zoho.url.rpartition(":")[2]
    assert consent.url.startswith(f"/user/ada/proxy/{port}/oauth/v2/auth?")
    # The proxy takes its prefix away before it asks Practice Zoho.
    answer = decided(zoho, zoho.url + consent.url.removeprefix(f"/user/ada/proxy/{port}"))
    location = answer.headers["Location"]
    seen = requests.compat.urljoin(f"https://hub/user/ada/proxy/{port}/oauth/v2/auth", location)
    assert seen.startswith(f"https://hub/user/ada/proxy/{port}/practice/callback?")
    page = requests.get(zoho.consent().url.replace(f"/user/ada/proxy/{port}", zoho.url))
    assert 'action="auth"' in page.text


def test_the_registered_address_elsewhere_is_redirected_to(zoho):
    answer = decided(zoho, asked(zoho, redirect_uri=zoho.redirect_url))
    assert answer.headers["Location"].startswith(zoho.redirect_url + "?")
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    assert "access_token" in exchanged(zoho, code, zoho.redirect_url)
