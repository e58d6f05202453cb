"""The rules of Zoho's accounts server: who gets which token, and how long it is good for.

Pure Python: no HTTP, and no time or chance of its own, but a given clock and a given seed. The
docstrings name where each rule comes from:

- *Token Validity*: the page of that name in Zoho's CRM API documentation, version 8;
- *Kaizen 43*: Zoho's community post "Kaizen #43 - Tokens and Limitations";
- *Revoke Tokens*: the pages on revoking a refresh token in Zoho's CRM, Thrive and Commerce API
  documentation;
- *RFC 6749*: "The OAuth 2.0 Authorization Framework".
"""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

GRANT_LIFETIME_S = 180
"""Seconds for which a grant token is good, unless consent says otherwise (Token Validity)."""

ACCESS_LIFETIME_S = 3600
"""Seconds for which an access token is good (Token Validity, Kaizen 43)."""

MOST_IN_TEN_MINUTES = 10
"""Grant tokens per client, and access tokens per refresh token (Token Validity, Kaizen 43)."""

MOST_ACCESS_TOKENS = 15
"""Living access tokens per refresh token (Token Validity, Kaizen 43)."""

MOST_REFRESH_TOKENS = 20
"""Living refresh tokens per user and client (Token Validity, Kaizen 43)."""

Answer = dict[str, Any]
"""The JSON object that Zoho answers."""


class TooManyGrantTokens(RuntimeError):
    """Ten grant tokens were handed out, and the ten minutes are not over."""


class _TenMinutes:
    """Counts to ten, then refuses for the rest of the ten minutes since the first."""

    def __init__(self) -> None:
        self._end_s = float("-inf")
        self._count = 0

    def allow(self, now_s: float) -> bool:
        if now_s >= self._end_s:
            self._end_s, self._count = now_s + 600, 0
        self._count += 1
        return self._count <= MOST_IN_TEN_MINUTES


@dataclass
class _Grant:
    user: str
    end_s: float
    redirect_url: str


@dataclass
class _RefreshToken:
    user: str
    limit: _TenMinutes = field(default_factory=_TenMinutes)
    access_tokens: dict[str, float] = field(default_factory=dict)
    """Each access token and when it ends, the oldest first."""


class Accounts:
    """Zoho's accounts server with one registered client, safe to use from many threads.

    The n-th token of a kind depends on the seed, the kind and n alone.

    :param seed: what all ids and tokens are derived from.
    :param clock: returns the present time, in seconds since any fixed moment.
    """

    redirect_url = "https://example.com/callback"
    """A redirect URL that the client is registered with."""

    callback = re.compile(r"http://127\.0\.0\.1:\d+/practice/callback")
    """The others: Practice Zoho's own page, at whatever port it listens."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self._seed = seed
        self.clock = clock
        self._lock = threading.Lock()
        self._made: Counter[str] = Counter()
        self._grants: dict[str, _Grant] = {}
        self._grant_limit = _TenMinutes()
        self._refresh_tokens: dict[str, _RefreshToken] = {}
        self.client_id = "1000.PRACTICE" + self._digits("client id")[:22].upper()
        self.client_secret = "practice" + self._digits("client secret")[:34]

    def is_redirect_url(self, url: str) -> bool:
        """Tell whether the client is registered with a redirect URL."""
        return url == self.redirect_url or bool(self.callback.fullmatch(url))

    def grant(
        self, user: str, lifetime_s: float = GRANT_LIFETIME_S, redirect_url: str | None = None
    ) -> str:
        """Hand out a grant token, as Zoho does when a user consents (RFC 6749, section 4.1.2).

        :param user: the e-mail address of the user who consents.
        :param lifetime_s: seconds for which it is good.
        :param redirect_url: the one that consent was asked with, :attr:`redirect_url` if None; the
            exchange must name the same (RFC 6749, section 4.1.3).
        :returns: the grant token; it works once (Token Validity).
        :raises TooManyGrantTokens: for the eleventh in ten minutes (Token Validity).
        """
        with self._lock:
            now_s = self.clock()
            if not self._grant_limit.allow(now_s):
                raise TooManyGrantTokens(
                    f"Zoho gives a client at most {MOST_IN_TEN_MINUTES} grant tokens in ten "
                    "minutes: wait until they are over, or move Practice Zoho's clock on with "
                    "advance(minutes=10)"
                )
            token = self._new_token("grant token")
            redirect_url = redirect_url or self.redirect_url
            self._grants[token] = _Grant(user, now_s + lifetime_s, redirect_url)
            return token

    def request_token(self, parameters: Mapping[str, str], api_domain: str) -> Answer:
        """Answer a request for tokens, as ``POST /oauth/v2/token`` does.

        A client that is unknown, or does not know its secret, gets nothing (RFC 6749, section
        2.3.1); another grant type is refused (section 5.2). Zoho refuses in its own words, with
        HTTP status 200.

        :param parameters: the request's parameters (RFC 6749, sections 4.1.3 and 6).
        :param api_domain: the URL at which the CRM API is to be called.
        :returns: the tokens, or an object with ``error``.
        """
        exchange = {
            "authorization_code": self._exchange_grant_token,
            "refresh_token": self._refresh_access_token,
        }.get(parameters.get("grant_type", ""))
        if not parameters.get("grant_type"):
            return {"error": "invalid_request"}
        if exchange is None:
            return {"error": "unsupported_grant_type"}
        if parameters.get("client_id") != self.client_id:
            return {"error": "invalid_client"}
        if parameters.get("client_secret") != self.client_secret:
            return {"error": "invalid_client_secret"}
        with self._lock:
            answer = exchange(parameters)
        if "error" in answer:
            return answer
        return answer | {
            "api_domain": api_domain,
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFETIME_S,
        }

    def revoke(self, refresh_token: str) -> Answer:
        """End a refresh token and every access token made from it (Revoke Tokens).

        :param refresh_token: the refresh token.
        :returns: ``{"status": "success"}``, or an object with ``error`` for one that is unknown.
        """
        with self._lock:
            if self._refresh_tokens.pop(refresh_token, None) is None:
                return {"error": "invalid_code", "status": "failure"}
            return {"status": "success"}

    def user_of(self, access_token: str) -> str | None:
        """Return the e-mail address of the user an access token stands for.

        :param access_token: the access token of a CRM API call.
        :returns: None if it is unknown, or has ended: after an hour, with its refresh token, or
            because fifteen newer ones are alive (Token Validity, Kaizen 43).
        """
        with self._lock:
            for refresh in self._refresh_tokens.values():
                end_s = refresh.access_tokens.get(access_token)
                if end_s is not None:
                    return refresh.user if self.clock() < end_s else None
            return None

    def _exchange_grant_token(self, parameters: Mapping[str, str]) -> Answer:
        """Trade a grant token, which works once, for both tokens (RFC 6749, section 4.1.3)."""
        code = parameters.get("code", "")
        grant = self._grants.get(code)
        if grant is None or self.clock() >= grant.end_s:
            return {"error": "invalid_code"}
        # The client is registered with a redirect URL: leaving it out is as wrong as another one.
        if parameters.get("redirect_uri") != grant.redirect_url:
            return {"error": "invalid_redirect_uri"}
        del self._grants[code]
        own = [token for token, of in self._refresh_tokens.items() if of.user == grant.user]
        if len(own) == MOST_REFRESH_TOKENS:
            del self._refresh_tokens[own[0]]
        refresh_token = self._new_token("refresh token")
        refresh = self._refresh_tokens[refresh_token] = _RefreshToken(grant.user)
        return {
            "access_token": self._new_access_token(refresh),
            "refresh_token": refresh_token,
        }

    def _refresh_access_token(self, parameters: Mapping[str, str]) -> Answer:
        """Make an access token from a refresh token (RFC 6749, section 6), ten in ten minutes."""
        refresh = self._refresh_tokens.get(parameters.get("refresh_token", ""))
        if refresh is None:
            return {"error": "invalid_code"}
        if not refresh.limit.allow(self.clock()):
            return {
                "error": "Access Denied",
                "error_description": "You have made too many requests continuously. "
                "Please try again after some time.",
                "status": "failure",
            }
        return {"access_token": self._new_access_token(refresh)}

    def _new_access_token(self, refresh: _RefreshToken) -> str:
        # All live equally long, so the oldest is also the first to end.
        if len(refresh.access_tokens) == MOST_ACCESS_TOKENS:
            del refresh.access_tokens[next(iter(refresh.access_tokens))]
        token = self._new_token("access token")
        refresh.access_tokens[token] = self.clock() + ACCESS_LIFETIME_S
        return token

    def _new_token(self, kind: str) -> str:
        self._made[kind] += 1
        digits = self._digits(kind, self._made[kind])
        return f"1000.practice{digits[:24]}.{digits[24:56]}"

    def _digits(self, kind: str, number: int = 0) -> str:
        """Return 64 hexadecimal digits that no other kind, number or seed yields."""
        return hashlib.sha256(f"{self._seed}:{kind}:{number}".encode()).hexdigest()
