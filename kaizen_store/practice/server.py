"""Practice Zoho over HTTP: Zoho's accounts server and CRM API, at one address of this machine."""

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from .consent import Consent, Consents, serve_consent
from .crm import Crm, PracticeUser, refusal
from .rules import GRANT_LIFETIME_S, Accounts, Answer, TooManyGrantTokens

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


@dataclass(frozen=True)
class Exchange:
    """One request to Practice Zoho and its answer.

    Each secret in it is replaced by its fingerprint: ``#`` and six hexadecimal digits of its
    SHA-256 hash, so that the same token is recognised wherever it appears, and never shown.
    """

    method: str
    path: str
    parameters: dict[str, str]
    """What was asked, by parameter; the access token of a CRM API call as ``Authorization``."""
    status: int
    """The HTTP status of the answer."""
    answer: Any
    """The answer's JSON value, or None."""
    at_s: float = field(default=0.0, compare=False)
    """When it was, in seconds by Practice Zoho's clock."""


_SCHEME = "Zoho-oauthtoken "
"""What the Authorization header of a CRM API call holds before the access token."""

_SECRET_PARAMETERS = {
    "Authorization",
    "access_token",
    "client_secret",
    "code",
    "once",
    "refresh_token",
    "state",
    "token",
}


def _fingerprint(secret: str) -> str:
    return "#" + hashlib.sha256(secret.encode()).hexdigest()[:6] if secret else ""


def _masked(value: Any) -> Any:
    """Replace all that looks like a secret of Zoho's or of Practice Zoho's, wherever it stands."""
    if isinstance(value, dict):
        return {_masked(name): _masked(of_name) for name, of_name in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"[\w.]{32,}", _masked_word, value)
    return value


def _masked_word(word: re.Match[str]) -> str:
    # Tokens and client secrets hold 32 or more hexadecimal digits in a row, and nothing else does.
    return _fingerprint(word[0]) if re.search(r"[0-9a-f]{32}", word[0]) else word[0]


@dataclass(frozen=True)
class _Pose:
    path: str
    answer: Answer
    status: int


_POSES = {
    # Zoho's community post "Kaizen #4 - Troubleshooting OAuth2.0".
    "general_error": _Pose("/oauth/v2/token", {"error": "general_error"}, 200),
    # Zoho's CRM API documentation, version 8, page "Status Codes".
    "OAUTH_SCOPE_MISMATCH": _Pose("/crm/", refusal("OAUTH_SCOPE_MISMATCH", "Unauthorized"), 401),
}
"""The errors that do not follow from the rules: where each stands, and its answer."""


def create_app(
    accounts: Accounts,
    crm: Crm,
    consents: Consents,
    exchanges: list[Exchange],
    poses: list[_Pose],
) -> Flask:
    """Make the Flask application.

    :param accounts: answers the token requests, and tells whom an access token stands for.
    :param crm: answers the CRM API calls.
    :param consents: those that wait for a user's answer in the browser.
    :param exchanges: where each exchange is added when it is over.
    :param poses: what is answered in place of the truth; may change at any time.
    """
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.before_request
    def pose() -> ResponseReturnValue | None:
        for posed in poses:
            if request.path.startswith(posed.path):
                return posed.answer, posed.status
        return None

    _serve_accounts(app, accounts)
    serve_consent(app, accounts, crm, consents)
    _serve_crm(app, accounts, crm)
    _serve_practice(app, accounts, crm)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> ResponseReturnValue:
        if error.code == 404:
            message = "Please check if the URL trying to access is a correct one"
            return refusal("INVALID_URL_PATTERN", message), 404
        if error.code == 405:
            message = "The http request method type is not a valid one"
            return refusal("INVALID_REQUEST_METHOD", message), 400
        return refusal("INTERNAL_ERROR", "Internal Server Error"), error.code or 500

    @app.after_request
    def record(response: Response) -> Response:
        if request.path.split("/")[1] != "practice":
            parameters = request.values.to_dict()
            header = request.headers.get("Authorization")
            if header is not None:
                parameters["Authorization"] = header.removeprefix(_SCHEME)
            shown = {
                name: _fingerprint(value) if name in _SECRET_PARAMETERS else value
                for name, value in parameters.items()
            }
            answer = response.get_json(silent=True)
            exchanges.append(
                Exchange(
                    request.method,
                    _masked(request.path),
                    _masked(shown),
                    response.status_code,
                    _masked(answer),
                    accounts.clock(),
                )
            )
        return response

    return app


def _serve_accounts(app: Flask, accounts: Accounts) -> None:
    @app.post("/oauth/v2/token")
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
        email = accounts.user_of(header.removeprefix(_SCHEME))
        if email is None or not header.startswith(_SCHEME):
            return refusal("INVALID_TOKEN", "invalid oauth token"), 401
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
            # Flask would call the missing content HTML, and the SDK would try to download it.
            response = Response(status=status)
            del response.headers["Content-Type"]
            return response
        return answer, status


def _serve_practice(app: Flask, accounts: Accounts, crm: Crm) -> None:
    """Add what the real Zoho has its web pages for: see the client and the users, and consent."""

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
        except TooManyGrantTokens as error:
            return {"error": str(error)}, 429


class _QuietRequestHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Print nothing, as it would land in notebooks: ``exchanges`` tells it better."""


class PracticeZoho:
    """A Zoho on this machine, at 127.0.0.1 only, served from a thread of this process.

    Use it in a ``with`` statement, or call :meth:`start` and :meth:`stop`.

    :param seed: what all ids and tokens are derived from: the same seed and the same order of
        calls give the same ones.
    :param clock: returns the time in seconds; :meth:`advance` adds to it.
    :param port: the TCP port to listen on; 0 takes a free one.
    """

    def __init__(
        self, seed: int = 1, clock: Callable[[], float] = time.time, port: int = 0
    ) -> None:
        self._seed = seed
        self._clock = clock
        self._ahead_s = 0.0
        self._port = port
        self._accounts = Accounts(seed, lambda: self._clock() + self._ahead_s)
        self._crm = Crm(seed)
        self._consents = Consents(self._accounts)
        self._server: BaseWSGIServer | None = None
        self._poses: list[_Pose] = []
        self.exchanges: list[Exchange] = []
        """What was asked and answered, in order, without secrets."""
        self.client_id = self._accounts.client_id
        self.client_secret = self._accounts.client_secret
        self.redirect_url = self._accounts.redirect_url
        self.users: tuple[PracticeUser, ...] = self._crm.users

    def __repr__(self) -> str:
        return f"<PracticeZoho seed={self._seed} {'running' if self._server else 'stopped'}>"

    def start(self) -> "PracticeZoho":
        """Listen and answer, until :meth:`stop`; tokens handed out before stay as they are.

        :returns: this object.
        :raises OSError: if the port cannot be used.
        """
        if self._server is None:
            app = create_app(self._accounts, self._crm, self._consents, self.exchanges, self._poses)
            # Werkzeug ends the whole process when it cannot bind, so the socket is bound here.
            with socket.create_server(("127.0.0.1", self._port)) as listening:
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
        """Stop listening, free the port and wait for the thread to end."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server = None

    def __enter__(self) -> "PracticeZoho":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def now_s(self) -> float:
        """The time by Practice Zoho's clock, in seconds; ``Exchange.at_s`` is told by the same."""
        return self._accounts.clock()

    @property
    def url(self) -> str:
        """The address, as ``http://127.0.0.1:<port>``.

        :raises RuntimeError: while Practice Zoho is not running.
        """
        if self._server is None:
            raise RuntimeError("Practice Zoho is not running: call start() first")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def environment(self) -> "DataCenter.Environment":
        """What ``Initializer.initialize`` takes as the environment; imports the SDK.

        :raises RuntimeError: while Practice Zoho is not running.
        """
        from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter

        return DataCenter.Environment(self.url, self.url + "/oauth/v2/token", self.url)

    def grant(
        self, user: PracticeUser | str | None = None, lifetime_s: float = GRANT_LIFETIME_S
    ) -> str:
        """Hand out a grant token, as if the user had consented on Zoho's page.

        :param user: one of :attr:`users`, or an e-mail address; the first user if None.
        :param lifetime_s: seconds for which the grant token is good.
        :returns: a grant token, which works once.
        :raises ValueError: if the user is unknown.
        :raises RuntimeError: for the eleventh in ten minutes, as Zoho refuses it.
        """
        known = self._crm.user(self.users[0] if user is None else user)
        return self._accounts.grant(known.email, lifetime_s)

    def consent(self) -> Consent:
        """Begin a consent in the browser, as Zoho asks for it (RFC 6749, section 4.1).

        :returns: a :class:`Consent`: open its ``url``; its ``grant_token`` comes once the user has
            allowed it.
        :raises RuntimeError: while Practice Zoho is not running.
        """
        return self._consents.begin(self.url)

    def advance(self, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move Practice Zoho's clock on; the clock of this machine, and the SDK's, stay.

        :raises ValueError: if the clock would go back.
        """
        by_s = hours * 3600 + minutes * 60 + seconds
        if by_s < 0:
            raise ValueError(f"the clock only moves on, and not by {by_s} seconds")
        self._ahead_s += by_s

    @contextmanager
    def pose(self, error: str) -> Iterator[None]:
        """Answer with an error of Zoho's, whatever is asked, for the time of a ``with`` block.

        For the errors that a client cannot provoke here; the others follow from the rules.

        :param error: ``general_error``, from the token endpoint; or ``OAUTH_SCOPE_MISMATCH``, from
            the CRM API.
        :raises ValueError: for another error.
        """
        if error not in _POSES:
            raise ValueError(f"{error!r} is not posed; {' and '.join(_POSES)} are")
        self._poses.append(_POSES[error])
        try:
            yield
        finally:
            self._poses.remove(_POSES[error])
