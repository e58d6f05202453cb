"""Zoho's accounts server: which tokens it issues, and how long each one is valid.

Zoho's *grant token* is OAuth's *authorization code*. This module is pure Python without HTTP. The
clock and the seed are given, so every run is the same. The docstrings name the source of each rule:

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
"""How long a grant token is valid by default, in seconds (Token Validity)."""

ACCESS_LIFETIME_S = 3600
"""How long an access token is valid, in seconds (Token Validity, Kaizen 43)."""

MAX_TOKENS_PER_TEN_MINUTES = 10
"""Grant tokens per client, and access tokens per refresh token (Token Validity, Kaizen 43)."""

MAX_ACCESS_TOKENS = 15
"""Valid access tokens per refresh token (Token Validity, Kaizen 43)."""

MAX_REFRESH_TOKENS = 20
"""Valid refresh tokens per user and client (Token Validity, Kaizen 43)."""

Answer = dict[str, Any]
"""The JSON object that Zoho answers."""


class RateLimitError(RuntimeError):
    """The client has reached its limit of grant tokens for these ten minutes."""


class RateLimit:
    """Allows ten tokens in the ten minutes after the first request."""

    def __init__(self) -> None:
        self._expires_at = float("-inf")
        self._count = 0

    def allow(self, now_s: float) -> bool:
        """Count a request and return whether it is within the limit.

        :param now_s: the time of the request, in seconds.
        """
        if now_s >= self._expires_at:
            self._expires_at, self._count = now_s + 600, 0
        self._count += 1
        return self._count <= MAX_TOKENS_PER_TEN_MINUTES


@dataclass
class _Grant:
    user: str
    expires_at: float
    redirect_url: str


@dataclass
class _RefreshToken:
    user: str
    limit: RateLimit = field(default_factory=RateLimit)
    access_tokens: dict[str, float] = field(default_factory=dict)
    """Each access token with the time when it expires, oldest first."""


class Accounts:
    """Zoho's accounts server with one registered client; threads may share it.

    The n-th token of a kind depends only on the seed, the kind and n.

    :param seed: every id and token is derived from it.
    :param clock: returns the current time in seconds.
    """

    redirect_url = "https://example.com/callback"
    """A redirect URL that is registered for the client."""

    callback = re.compile(r"http://127\.0\.0\.1:\d+/practice/callback")
    """The other registered redirect URLs: Practice Zoho's own page, on any port."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self._seed = seed
        self.clock = clock
        self._lock = threading.Lock()
        self._issued: Counter[str] = Counter()
        self._grants: dict[str, _Grant] = {}
        self._grant_limit = RateLimit()
        self._refresh_tokens: dict[str, _RefreshToken] = {}
        self.client_id = "1000.PRACTICE" + self._digits("client id")[:22].upper()
        self.client_secret = "practice" + self._digits("client secret")[:34]

    def is_redirect_url(self, url: str) -> bool:
        """Return whether a redirect URL is registered for the client."""
        return url == self.redirect_url or bool(self.callback.fullmatch(url))

    def grant(
        self, user: str, lifetime_s: float = GRANT_LIFETIME_S, redirect_url: str | None = None
    ) -> str:
        """Issue a grant token, as Zoho does when a user consents (RFC 6749, section 4.1.2).

        :param user: the email address of the user who consents.
        :param lifetime_s: how long the grant token is valid, in seconds.
        :param redirect_url: the redirect URL of the authorization request; :attr:`redirect_url` if
            None. The token request must send the same one (RFC 6749, section 4.1.3).
        :returns: the grant token, which works once (Token Validity).
        :raises RateLimitError: for the eleventh grant token in ten minutes (Token Validity).
        """
        with self._lock:
            now_s = self.clock()
            if not self._grant_limit.allow(now_s):
                raise RateLimitError(
                    f"Zoho issues at most {MAX_TOKENS_PER_TEN_MINUTES} grant tokens per client in "
                    "ten minutes: wait, or advance Practice Zoho's clock with advance(minutes=10)"
                )
            token = self._new_token("grant token")
            redirect_url = redirect_url or self.redirect_url
            self._grants[token] = _Grant(user, now_s + lifetime_s, redirect_url)
            return token

    def request_token(self, parameters: Mapping[str, str], api_domain: str) -> Answer:
        """Answer a token request, as ``POST /oauth/v2/token`` does.

        An unknown client, or one with a wrong secret, is refused (RFC 6749, section 2.3.1); so is
        any other grant type (section 5.2). Zoho refuses with its own error codes and HTTP 200.

        :param parameters: the parameters of the request (RFC 6749, sections 4.1.3 and 6).
        :param api_domain: the URL of the CRM API.
        :returns: the tokens, or an object with ``error``.
        """
        handler = {
            "authorization_code": self._exchange_grant_token,
            "refresh_token": self._refresh_access_token,
        }.get(parameters.get("grant_type", ""))
        if not parameters.get("grant_type"):
            return {"error": "invalid_request"}
        if handler is None:
            return {"error": "unsupported_grant_type"}
        if parameters.get("client_id") != self.client_id:
            return {"error": "invalid_client"}
        if parameters.get("client_secret") != self.client_secret:
            return {"error": "invalid_client_secret"}
        with self._lock:
            answer = handler(parameters)
        if "error" in answer:
            return answer
        return answer | {
            "api_domain": api_domain,
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFETIME_S,
        }

    def revoke(self, refresh_token: str) -> Answer:
        """Revoke a refresh token and all its access tokens (Revoke Tokens).

        :param refresh_token: the refresh token.
        :returns: ``{"status": "success"}``, or an object with ``error`` if it is unknown.
        """
        with self._lock:
            if self._refresh_tokens.pop(refresh_token, None) is None:
                return {"error": "invalid_code", "status": "failure"}
            return {"status": "success"}

    def user_of(self, access_token: str) -> str | None:
        """Return the email address of the user of an access token.

        :param access_token: the access token of a CRM API call.
        :returns: None if the token is unknown or no longer valid: after an hour, when its refresh
            token is revoked, or when there are fifteen newer ones (Token Validity, Kaizen 43).
        """
        with self._lock:
            for refresh in self._refresh_tokens.values():
                expires_at = refresh.access_tokens.get(access_token)
                if expires_at is not None:
                    return refresh.user if self.clock() < expires_at else None
            return None

    def _exchange_grant_token(self, parameters: Mapping[str, str]) -> Answer:
        """Exchange a grant token, which works once, for both tokens (RFC 6749, section 4.1.3)."""
        code = parameters.get("code", "")
        grant = self._grants.get(code)
        if grant is None or self.clock() >= grant.expires_at:
            return {"error": "invalid_code"}
        # The client has a registered redirect URL, so a missing one is as wrong as another one.
        if parameters.get("redirect_uri") != grant.redirect_url:
            return {"error": "invalid_redirect_uri"}
        del self._grants[code]
        own = [token for token, of in self._refresh_tokens.items() if of.user == grant.user]
        if len(own) == MAX_REFRESH_TOKENS:
            del self._refresh_tokens[own[0]]
        refresh_token = self._new_token("refresh token")
        refresh = self._refresh_tokens[refresh_token] = _RefreshToken(grant.user)
        return {
            "access_token": self._new_access_token(refresh),
            "refresh_token": refresh_token,
        }

    def _refresh_access_token(self, parameters: Mapping[str, str]) -> Answer:
        """Issue an access token for a refresh token (RFC 6749, section 6), ten in ten minutes."""
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
        # All have the same lifetime, so the oldest is also the first to expire.
        if len(refresh.access_tokens) == MAX_ACCESS_TOKENS:
            del refresh.access_tokens[next(iter(refresh.access_tokens))]
        token = self._new_token("access token")
        refresh.access_tokens[token] = self.clock() + ACCESS_LIFETIME_S
        return token

    def _new_token(self, kind: str) -> str:
        self._issued[kind] += 1
        digits = self._digits(kind, self._issued[kind])
        return f"1000.practice{digits[:24]}.{digits[24:56]}"

    def _digits(self, kind: str, number: int = 0) -> str:
        """Return 64 hexadecimal digits, different for each seed, kind and number."""
        return hashlib.sha256(f"{self._seed}:{kind}:{number}".encode()).hexdigest()
