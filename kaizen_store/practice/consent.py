"""Consent in the browser: OAuth 2.0's authorization code grant (RFC 6749, section 4.1)."""

import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue

from .crm import Crm
from .pages import consent_page, text_page
from .rules import Accounts, TooManyGrantTokens

CALLBACK = "/practice/callback"
SCOPES = {
    "ZohoCRM.users.READ": "read who you are",
    "ZohoCRM.org.READ": "read the name of your organisation",
    "ZohoCRM.settings.fields.READ": "read which fields your records have",
    "ZohoCRM.modules.leads.READ": "read your leads",
}
"""What the lessons ask for: Zoho's names, and what each allows in words."""

_ASKED = ("scope", "client_id", "response_type", "access_type", "redirect_uri", "state", "prompt")
_NO_CSRF = (
    "The answer carries no state that this notebook is waiting for, so it was refused.",
    "Without this check, somebody could send you a link that signs your program in as them, and "
    "what you save from then on would be theirs to read (RFC 6749, section 10.12). Go back to the "
    "notebook and begin again with the link of its form: each link works once.",
)


@dataclass
class Consent:
    """A consent that a program has asked for, and the answer once there is one."""

    url: str
    """Where the user consents, to be opened in a browser."""
    redirect_url: str
    """The redirect URL to exchange the grant token with (RFC 6749, section 4.1.3)."""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """What the answer must carry, or it is refused (RFC 6749, section 10.12)."""
    grant_token: str | None = field(default=None, repr=False)
    """The grant token; None until the user has allowed it."""
    denied: bool = False
    """Whether the user has denied it."""


class Consents:
    """The consents that wait for their answer.

    :param accounts: the accounts server, whose client asks.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        self._waiting: dict[str, Consent] = {}

    def begin(self, server_url: str) -> Consent:
        """Return a new consent, which waits for its answer.

        :param server_url: where Practice Zoho is, as ``http://127.0.0.1:<port>``.
        """
        redirect_url = server_url + CALLBACK
        consent = Consent("", redirect_url)
        asked = {
            "response_type": "code",
            "client_id": self._accounts.client_id,
            "scope": ",".join(SCOPES),
            "redirect_uri": redirect_url,
            "access_type": "offline",
            "state": consent.state,
        }
        consent.url = f"{_seen_by_the_browser(server_url)}/oauth/v2/auth?{urlencode(asked)}"
        with self._lock:
            self._waiting[consent.state] = consent
        return consent

    def answer(self, parameters: Mapping[str, str]) -> Consent | None:
        """Hand an answer to the consent that waits for it; once.

        :param parameters: of the redirect: ``state``, and ``code`` or ``error``.
        :returns: the consent, or None where none waits for this state.
        """
        with self._lock:
            consent = self._waiting.pop(parameters.get("state", ""), None)
        if consent is not None:
            consent.grant_token = parameters.get("code")
            consent.denied = consent.grant_token is None
        return consent


def _seen_by_the_browser(server_url: str) -> str:
    # On Binder the browser reaches this machine through jupyter-server-proxy alone.
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix}proxy/{server_url.rpartition(':')[2]}" if prefix else server_url


def serve_consent(app: Flask, accounts: Accounts, crm: Crm, consents: Consents) -> None:
    """Add the consent page, and the page that the browser comes back to.

    :param app: the application.
    :param accounts: hands out the grant tokens.
    :param crm: knows the users.
    :param consents: those that wait for an answer.
    """
    pages_shown: set[str] = set()  # a one-time token for each, so that no other site can post

    @app.get("/oauth/v2/auth")
    def ask() -> ResponseReturnValue:
        if wrong := _wrong(request.args, accounts):
            return text_page("This request cannot be answered", *wrong), 400
        once = secrets.token_urlsafe(32)
        pages_shown.add(once)
        scopes = request.args.get("scope", "").replace(",", " ").split()
        return consent_page(
            client_id=accounts.client_id,
            scopes=[SCOPES.get(scope, scope) for scope in scopes],
            users=crm.users,
            hidden={name: request.args.get(name, "") for name in _ASKED} | {"once": once},
        )

    @app.post("/oauth/v2/auth")
    def decide() -> ResponseReturnValue:
        if wrong := _wrong(request.form, accounts):
            return text_page("This request cannot be answered", *wrong), 400
        try:
            pages_shown.remove(request.form.get("once", ""))
        except KeyError:
            return text_page("This page was used before", "Go back and open its link again."), 400
        answer = {"state": request.form.get("state", "")}
        redirect_url = request.form["redirect_uri"]
        if request.form.get("decision") != "allow":
            answer["error"] = "access_denied"
        else:
            try:
                user = crm.user(request.form.get("user", ""))
                answer["code"] = accounts.grant(user.email, redirect_url=redirect_url)
            except (ValueError, TooManyGrantTokens) as error:
                return text_page("No grant token was made", f"{error}."), 400
            answer |= {"location": "eu", "accounts-server": request.host_url.rstrip("/")}
        # To its own callback it goes by a relative address, which no proxy changes.
        own = redirect_url.endswith(CALLBACK)
        return redirect(f"{f'../..{CALLBACK}' if own else redirect_url}?{urlencode(answer)}")

    @app.get(CALLBACK)
    def callback() -> ResponseReturnValue:
        consent = consents.answer(request.args)
        if consent is None:
            return text_page("Refused: nobody here has asked for this", *_NO_CSRF), 400
        back = "You can close this page and go back to the notebook."
        if consent.denied:
            return text_page("You have denied it", "The application got no grant token.", back)
        return text_page("You have allowed it", f"{back} Press the form's button next.")


def _wrong(asked: Mapping[str, str], accounts: Accounts) -> tuple[str, ...]:
    """Say what is wrong with a request; it is never redirected then (RFC 6749, section 4.1.2.1)."""
    if asked.get("client_id") != accounts.client_id:
        return ("No application is registered with this client id. Copy it again.",)
    if not accounts.is_redirect_url(asked.get("redirect_uri", "")):
        return ("The redirect URL is not one that the application is registered with.",)
    if asked.get("response_type") != "code":
        return ("The response_type is not code, the only one that Zoho knows.",)
    return ()
