"""The accounts server, with a clock that the test advances."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaizen_store.practice.accounts import Accounts, RateLimitError

ANNA, BEN = "anna@example.com", "ben@example.com"
DOMAIN = "http://127.0.0.1:1"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def accounts(clock):
    return Accounts(seed=1, clock=clock)


def exchange(accounts, code, changed=None):
    parameters = {
        "grant_type": "authorization_code",
        "client_id": accounts.client_id,
        "client_secret": accounts.client_secret,
        "redirect_uri": accounts.redirect_url,
        "code": code,
    } | (changed or {})
    return accounts.request_token({k: v for k, v in parameters.items() if v is not None}, DOMAIN)


def refresh(accounts, refresh_token, **changed):
    parameters = {
        "grant_type": "refresh_token",
        "client_id": accounts.client_id,
        "client_secret": accounts.client_secret,
        "refresh_token": refresh_token,
    } | changed
    return accounts.request_token(parameters, DOMAIN)


def sign_in(accounts, user=ANNA):
    return exchange(accounts, accounts.grant(user))


def test_a_grant_token_yields_both_tokens(accounts):
    answer = sign_in(accounts)

    assert list(answer) == [
        "access_token",
        "refresh_token",
        "api_domain",
        "token_type",
        "expires_in",
    ]
    assert answer["api_domain"] == DOMAIN
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert accounts.user_of(answer["access_token"]) == ANNA


def test_a_grant_token_works_once(accounts):
    code = accounts.grant(ANNA)

    assert "access_token" in exchange(accounts, code)
    assert exchange(accounts, code) == {"error": "invalid_code"}


@pytest.mark.parametrize("lifetime_s", [180, 600])
def test_a_grant_token_works_for_its_lifetime(accounts, clock, lifetime_s):
    in_time, late = accounts.grant(ANNA, lifetime_s), accounts.grant(ANNA, lifetime_s)

    clock.now += lifetime_s - 1
    assert "access_token" in exchange(accounts, in_time)
    clock.now += 1
    assert exchange(accounts, late) == {"error": "invalid_code"}


def test_a_grant_token_is_valid_for_three_minutes_by_default(accounts, clock):
    code = accounts.grant(ANNA)
    clock.now += 180
    assert exchange(accounts, code) == {"error": "invalid_code"}


def test_a_client_gets_ten_grant_tokens_in_ten_minutes(accounts, clock):
    for number in range(10):
        accounts.grant((ANNA, BEN)[number % 2])
        clock.now += 30

    clock.now += 299  # 599 seconds after the first
    with pytest.raises(RateLimitError, match="ten minutes"):
        accounts.grant(ANNA)
    clock.now += 1
    for _ in range(10):
        accounts.grant(ANNA)
    with pytest.raises(RateLimitError):
        accounts.grant(ANNA)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "1000.ANOTHER"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"client_secret": "another"}, "invalid_client_secret"),
        ({"client_secret": None}, "invalid_client_secret"),
        ({"code": "another"}, "invalid_code"),
        ({"code": None}, "invalid_code"),
        ({"redirect_uri": "https://example.com/another"}, "invalid_redirect_uri"),
        ({"redirect_uri": None}, "invalid_redirect_uri"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
    ],
)
def test_a_wrong_request_is_refused_and_uses_nothing_up(accounts, changed, error):
    code = accounts.grant(ANNA)

    assert exchange(accounts, code, changed) == {"error": error}
    assert "access_token" in exchange(accounts, code)


def test_a_refresh_token_yields_another_access_token(accounts):
    first = sign_in(accounts)
    answer = refresh(accounts, first["refresh_token"])

    assert "refresh_token" not in answer
    assert answer["expires_in"] == 3600
    assert accounts.user_of(answer["access_token"]) == ANNA
    assert accounts.user_of(first["access_token"]) == ANNA


@pytest.mark.parametrize("kind", ["grant", "access", "none"])
def test_only_a_refresh_token_refreshes(accounts, kind):
    token = {
        "grant": accounts.grant(ANNA),
        "access": sign_in(accounts)["access_token"],
        "none": "",
    }[kind]
    assert refresh(accounts, token) == {"error": "invalid_code"}


def test_a_refresh_needs_the_client_secret(accounts):
    refresh_token = sign_in(accounts)["refresh_token"]
    answer = refresh(accounts, refresh_token, client_secret="another")
    assert answer == {"error": "invalid_client_secret"}


def test_the_eleventh_refresh_in_ten_minutes_is_denied(accounts, clock):
    refresh_token = sign_in(accounts)["refresh_token"]
    others = sign_in(accounts)["refresh_token"]
    for _ in range(10):
        assert "access_token" in refresh(accounts, refresh_token)
        clock.now += 30

    clock.now += 299  # 599 seconds after the first
    assert refresh(accounts, refresh_token) == {
        "error": "Access Denied",
        "error_description": "You have made too many requests continuously. "
        "Please try again after some time.",
        "status": "failure",
    }
    assert "access_token" in refresh(accounts, others)
    clock.now += 1
    for _ in range(10):
        assert "access_token" in refresh(accounts, refresh_token)
    assert refresh(accounts, refresh_token)["error"] == "Access Denied"


def test_the_sixteenth_valid_access_token_ends_the_first(accounts, clock):
    answer = sign_in(accounts)
    tokens = [answer["access_token"]]
    for number in range(15):
        if number == 10:
            clock.now += 600
        assert all(accounts.user_of(token) for token in tokens)
        tokens.append(refresh(accounts, answer["refresh_token"])["access_token"])

    assert [token for token in tokens if accounts.user_of(token)] == tokens[1:]


def test_an_access_token_is_valid_for_one_hour(accounts, clock):
    token = sign_in(accounts)["access_token"]
    clock.now += 3599
    assert accounts.user_of(token) == ANNA
    clock.now += 1
    assert accounts.user_of(token) is None


def test_a_refresh_token_does_not_expire(accounts, clock):
    refresh_token = sign_in(accounts)["refresh_token"]
    clock.now += 10 * 365 * 86400
    assert "access_token" in refresh(accounts, refresh_token)


def test_the_21st_refresh_token_ends_the_users_first_and_its_access_tokens(accounts, clock):
    of_ben = sign_in(accounts, BEN)
    of_anna = []
    for number in range(20):
        if number % 10 == 9:
            clock.now += 600
        of_anna.append(sign_in(accounts))
    assert all(accounts.user_of(answer["access_token"]) for answer in of_anna)

    clock.now += 600
    of_anna.append(sign_in(accounts))

    alive = [answer for answer in of_anna if accounts.user_of(answer["access_token"])]
    assert alive == of_anna[1:]
    assert refresh(accounts, of_anna[0]["refresh_token"]) == {"error": "invalid_code"}
    assert "access_token" in refresh(accounts, of_anna[1]["refresh_token"])
    assert "access_token" in refresh(accounts, of_ben["refresh_token"])


def test_revocation_ends_a_refresh_token_and_its_access_tokens(accounts):
    mine, others = sign_in(accounts), sign_in(accounts)
    again = refresh(accounts, mine["refresh_token"])

    assert accounts.revoke(mine["refresh_token"]) == {"status": "success"}

    assert accounts.user_of(mine["access_token"]) is None
    assert accounts.user_of(again["access_token"]) is None
    assert refresh(accounts, mine["refresh_token"]) == {"error": "invalid_code"}
    assert accounts.revoke(mine["refresh_token"])["error"] == "invalid_code"
    assert accounts.user_of(others["access_token"]) == ANNA


@pytest.mark.parametrize("token", ["", "unknown"])
def test_an_unknown_token_cannot_be_revoked(accounts, token):
    assert accounts.revoke(token) == {"error": "invalid_code", "status": "failure"}


def test_an_unknown_access_token_has_no_user(accounts):
    answer = sign_in(accounts)
    assert accounts.user_of("") is None
    assert accounts.user_of(answer["refresh_token"]) is None


def secrets(seed):
    accounts = Accounts(seed, Clock())
    codes = [accounts.grant(ANNA) for _ in range(3)]
    answers = [exchange(accounts, code) for code in codes]
    return (
        [accounts.client_id, accounts.client_secret]
        + codes
        + [answer[name] for answer in answers for name in ("access_token", "refresh_token")]
    )


def test_the_seed_determines_all_ids_and_tokens():
    assert secrets(1) == secrets(1)
    assert not set(secrets(1)) & set(secrets(2))


def test_no_two_tokens_are_the_same_and_all_say_that_they_are_for_practice():
    client_id, client_secret, *tokens = secrets(1)

    assert re.fullmatch(r"1000\.PRACTICE[0-9A-Z]{22}", client_id)
    assert re.fullmatch(r"practice[0-9a-f]{34}", client_secret)
    assert all(re.fullmatch(r"1000\.practice[0-9a-f]{24}\.[0-9a-f]{32}", t) for t in tokens)
    assert len(set(tokens)) == 9


@pytest.fixture
def threaded_accounts():
    def slow_clock():
        time.sleep(0.001)  # lets another thread run wherever the time is read
        return 0.0

    return Accounts(seed=1, clock=slow_clock)


def test_a_grant_token_works_once_for_many_threads(threaded_accounts):
    code = threaded_accounts.grant(ANNA)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: exchange(threaded_accounts, code), range(16)))
    assert sum("access_token" in answer for answer in answers) == 1


def test_many_threads_never_get_the_same_token(threaded_accounts):
    refresh_tokens = [sign_in(threaded_accounts)["refresh_token"] for _ in range(5)] * 10
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda t: refresh(threaded_accounts, t), refresh_tokens))
    tokens = [answer["access_token"] for answer in answers]
    assert len(set(tokens)) == 50
    assert all(threaded_accounts.user_of(token) == ANNA for token in tokens)
