"""Practice Zoho over HTTP: Zoho's accounts server and CRM API, at one local address."""

import hashlib
import inspect
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from .accounts import GRANT_LIFETIME_S, Accounts, Answer, RateLimitError
from .consent import Consent, Consents, serve_consent
from .crm import Crm, PracticeUser, error_response

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


@dataclass(frozen=True)
class Exchange:
    """One request to Practice Zoho and its answer, with masked secrets.

    Each secret is replaced by its fingerprint: ``#`` and six hexadecimal digits of its SHA-256
    hash. So you can recognize the same token in several places, and no token is ever shown.
    """

    method: str
    path: str
    parameters: dict[str, str]
    """The parameters; the access token of a CRM API call is ``Authorization``."""
    status: int
    """The HTTP status of the answer."""
    answer: Any
    """The answer's JSON value, or None."""
    at_s: float = field(default=0.0, compare=False)
    """The time of the answer by Practice Zoho's clock, in seconds."""


_AUTH_SCHEME = "Zoho-oauthtoken "
"""The Authorization header of a CRM API call has this before the access token."""

_TOKEN_PATH = "/oauth/v2/token"

_SECRET_PARAMETERS = {
    "Authorization",
    "access_token",
    "client_secret",
    "code",
    "csrf_token",
    "refresh_token",
    "state",
    "token",
}


def _fingerprint(secret: str) -> str:
    return "#" + hashlib.sha256(secret.encode()).hexdigest()[:6] if secret else ""


def _masked(value: Any) -> Any:
    """Replace everything that looks like a secret of Zoho or Practice Zoho."""
    if isinstance(value, dict):
        return {_masked(name): _masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"[\w.]{32,}", _masked_word, value)
    return value


def _masked_word(word: re.Match[str]) -> str:
    # Only tokens and client secrets contain 32 or more hexadecimal digits in a row.
    return _fingerprint(word[0]) if re.search(r"[0-9a-f]{32}", word[0]) else word[0]


@dataclass(frozen=True)
class _CannedResponse:
    path: str
    answer: Answer
    status: int


_ERRORS = {
    # Zoho's community post "Kaizen #4 - Troubleshooting OAuth2.0".
    "general_error": _CannedResponse(_TOKEN_PATH, {"error": "general_error"}, 200),
    # Zoho's CRM API documentation, version 8, page "Status Codes".
    "OAUTH_SCOPE_MISMATCH": _CannedResponse(
        "/crm/", error_response("OAUTH_SCOPE_MISMATCH", "Unauthorized"), 401
    ),
}
"""The errors that :meth:`PracticeZoho.simulate_error` simulates: the path and the answer."""


def create_app(
    accounts: Accounts,
    crm: Crm,
    consents: Consents,
    exchanges: list[Exchange],
    canned_responses: list[_CannedResponse],
    token_delay_s: float = 0.0,
) -> Flask:
    """Create the Flask application.

    :param accounts: answers the token requests, and has the user of each access token.
    :param crm: answers the CRM API calls.
    :param consents: the pending consents.
    :param exchanges: each exchange is added to this list.
    :param canned_responses: are sent instead of the real answers; the list may change at any time.
    :param token_delay_s: how long the token endpoint takes, in seconds.
    """
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.before_request
    def delay_or_simulate_error() -> ResponseReturnValue | None:
        if request.path == _TOKEN_PATH:
            time.sleep(token_delay_s)
        for canned in canned_responses:
            if request.path.startswith(canned.path):
                return canned.answer, canned.status
        return None

    _serve_accounts(app, accounts)
    serve_consent(app, accounts, crm, consents)
    _serve_crm(app, accounts, crm)
    _serve_practice(app, accounts, crm)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> ResponseReturnValue:
        if error.code == 404:
            message = "Please check if the URL trying to access is a correct one"
            return error_response("INVALID_URL_PATTERN", message), 404
        if error.code == 405:
            message = "The http request method type is not a valid one"
            return error_response("INVALID_REQUEST_METHOD", message), 400
        return error_response("INTERNAL_ERROR", "Internal Server Error"), error.code or 500

    @app.after_request
    def record(response: Response) -> Response:
        if request.path.split("/")[1] != "practice":
            parameters = request.values.to_dict()
            header = request.headers.get("Authorization")
            if header is not None:
                parameters["Authorization"] = header.removeprefix(_AUTH_SCHEME)
            for name in _SECRET_PARAMETERS & set(parameters):
                parameters[name] = _fingerprint(parameters[name])
            answer = response.get_json(silent=True)
            shown = (
                _masked(request.path),
                _masked(parameters),
                response.status_code,
                _masked(answer),
            )
            exchanges.append(Exchange(request.method, *shown, accounts.clock()))
        return response

    return app


def _serve_accounts(app: Flask, accounts: Accounts) -> None:
    @app.post(_TOKEN_PATH)
    def token() -> ResponseReturnValue:
        return accounts.request_token(request.values, request.host_url.rstrip("/"))

    @app.post("/oauth/v2/token/revoke")
    def revoke() -> ResponseReturnValue:
        answer = accounts.revoke(request.values.get("token", ""))
        return answer, 400 if "error" in answer else 200


def _serve_crm(app: Flask, accounts: Accounts, crm: Crm) -> None:
    @app.before_request
    def authenticate() -> ResponseReturnValue | None:
        if not request.path.startswith("/crm/"):
            return None
        header = request.headers.get("Authorization", "")
        email = accounts.user_of(header.removeprefix(_AUTH_SCHEME))
        if email is None or not header.startswith(_AUTH_SCHEME):
            return error_response("INVALID_TOKEN", "invalid oauth token"), 401
        g.user = crm.user(email)
        return None

    # Older SDKs call the same paths of an older version.
    @app.get("/crm/v<int:version>/users")
    def users(version: int) -> ResponseReturnValue:
        return crm.get_users(g.user, request.args)

    @app.get("/crm/v<int:version>/org")
    def organization(version: int) -> ResponseReturnValue:
        return crm.get_organization(g.user)

    @app.get("/crm/v<int:version>/settings/fields")
    def fields(version: int) -> ResponseReturnValue:
        return crm.get_fields(g.user, request.args)

    @app.get("/crm/v<int:version>/Leads")
    def leads(version: int) -> ResponseReturnValue:
        answer, status = crm.get_leads(g.user, request.args)
        if answer is None:
            # Flask would add a content type, and the SDK would try to download the empty body.
            response = Response(status=status)
            del response.headers["Content-Type"]
            return response
        return answer, status


def _serve_practice(app: Flask, accounts: Accounts, crm: Crm) -> None:
    """Add what Zoho offers on web pages: show the client and the users, issue a grant token."""

    @app.get("/practice")
    def practice() -> ResponseReturnValue:
        client = {
            "client_id": accounts.client_id,
            "client_secret": accounts.client_secret,
            "redirect_url": accounts.redirect_url,
        }
        return {"client": client, "users": crm.users}

    @app.post("/practice/grant")
    def grant() -> ResponseReturnValue:
        try:
            user = crm.user(request.form.get("user", ""))
            return {"grant_token": accounts.grant(user.email)}
        except ValueError as error:
            return {"error": str(error)}, 400
        except RateLimitError as error:
            return {"error": str(error)}, 429


class _QuietRequestHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Print nothing, or it would appear in notebooks; see ``PracticeZoho.exchanges``."""


class PracticeZoho:
    """A local server that behaves like Zoho, in a thread of this process, on 127.0.0.1 only.

    Use it in a ``with`` statement, or call :meth:`start` and :meth:`stop`.

    :param seed: every id and token is derived from it: the same seed and the same order of calls
        produce the same ones.
    :param clock: returns the time in seconds; :meth:`advance` adds to it.
    :param port: the TCP port; 0 means any free one.
    :param token_delay_s: how long the token endpoint takes, in seconds.
    """

    def __init__(
        self,
        seed: int = 1,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        token_delay_s: float = 0.0,
    ) -> None:
        self._seed = seed
        self._clock = clock
        self._ahead_s = 0.0
        self._port = port
        self._token_delay_s = token_delay_s
        self._accounts = Accounts(seed, lambda: self._clock() + self._ahead_s)
        self._crm = Crm(seed)
        self._consents = Consents(self._accounts)
        self._server: BaseWSGIServer | None = None
        self._canned_responses: list[_CannedResponse] = []
        self.exchanges: list[Exchange] = []
        """All requests and answers, in order, with masked secrets."""
        self.client_id = self._accounts.client_id
        self.client_secret = self._accounts.client_secret
        self.redirect_url = self._accounts.redirect_url
        self.users: tuple[PracticeUser, ...] = self._crm.users

    def __repr__(self) -> str:
        return f"<PracticeZoho seed={self._seed} {'running' if self._server else 'stopped'}>"

    def start(self) -> "PracticeZoho":
        """Start the server; it runs until :meth:`stop`. Tokens from before stay valid.

        :returns: this object.
        :raises OSError: if the port cannot be used.
        """
        if self._server is None:
            parts = self._accounts, self._crm, self._consents, self.exchanges
            app = create_app(*parts, self._canned_responses, self._token_delay_s)
            # If Werkzeug cannot bind, it ends the whole process. So the socket is bound here.
            # The backlog: so many connections may wait until they are accepted.
            with socket.create_server(("127.0.0.1", self._port), backlog=1024) as listening:
                self._server = make_server(
                    "127.0.0.1",
                    self._port,
                    app,
                    threaded=True,
                    request_handler=_QuietRequestHandler,
                    fd=listening.fileno(),
                )
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.02,), name="practice-zoho", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the server, free the port and wait until the thread has ended."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server = None

    def __enter__(self) -> "PracticeZoho":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def now_s(self) -> float:
        """The time by Practice Zoho's clock, in seconds, as in ``Exchange.at_s``."""
        return self._accounts.clock()

    @property
    def url(self) -> str:
        """The address, ``http://127.0.0.1:<port>``.

        :raises RuntimeError: if Practice Zoho is not running.
        """
        if self._server is None:
            raise RuntimeError("Practice Zoho is not running: call start() first")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def environment(self) -> "DataCenter.Environment":
        """The environment for ``Initializer.initialize``; reading it imports the SDK.

        :raises RuntimeError: if Practice Zoho is not running.
        """
        from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter

        urls = [self.url, self.url + _TOKEN_PATH, self.url]
        names = inspect.signature(DataCenter.Environment).parameters
        return DataCenter.Environment(*urls, *(["practice"] if "name" in names else []))  # SDK 5-0

    def grant(
        self, user: PracticeUser | str | None = None, lifetime_s: float = GRANT_LIFETIME_S
    ) -> str:
        """Issue a grant token, as if the user had consented on Zoho's page.

        :param user: one of :attr:`users`, or an email address; the first user if None.
        :param lifetime_s: how long the grant token is valid, in seconds.
        :returns: a grant token, which works once.
        :raises ValueError: if the user is unknown.
        :raises RuntimeError: for the eleventh grant token in ten minutes (rate limit).
        """
        known = self._crm.user(self.users[0] if user is None else user)
        return self._accounts.grant(known.email, lifetime_s)

    def consent(self) -> Consent:
        """Begin an authorization in the browser, as with Zoho (RFC 6749, section 4.1).

        :returns: a :class:`Consent`. Open its ``url``; it has a ``grant_token`` when the user has
            allowed access.
        :raises RuntimeError: if Practice Zoho is not running.
        """
        return self._consents.begin(self.url)

    def advance(self, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Advance Practice Zoho's clock; the clocks of this machine and of the SDK do not change.

        :raises ValueError: if the time is negative.
        """
        by_s = hours * 3600 + minutes * 60 + seconds
        if by_s < 0:
            raise ValueError(f"the clock cannot go back, so it cannot advance by {by_s} seconds")
        self._ahead_s += by_s

    @contextmanager
    def simulate_error(self, error: str) -> Iterator[None]:
        """Answer every request with one of Zoho's errors, inside a ``with`` block.

        This is for errors that a client cannot cause here; requests cause the others.

        :param error: ``general_error`` of the token endpoint, or ``OAUTH_SCOPE_MISMATCH`` of the
            CRM API.
        :raises ValueError: for any other error.
        """
        if error not in _ERRORS:
            raise ValueError(f"{error!r} cannot be simulated; {' and '.join(_ERRORS)} can")
        self._canned_responses.append(_ERRORS[error])
        try:
            yield
        finally:
            self._canned_responses.remove(_ERRORS[error])
