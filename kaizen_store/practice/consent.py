"""Consent in the browser: the authorization code grant of OAuth 2.0 (RFC 6749, section 4.1)."""

import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue

from .accounts import Accounts, RateLimitError
from .crm import Crm
from .pages import consent_page, text_page

CALLBACK = "/practice/callback"
SCOPES = {
    "ZohoCRM.users.READ": "read your user profile",
    "ZohoCRM.org.READ": "read the name of your organization",
    "ZohoCRM.settings.fields.READ": "read the fields of your records",
    "ZohoCRM.modules.leads.READ": "read your leads",
}
"""The scopes that the lessons request: Zoho's names, and what each one allows."""

_AUTH_PARAMS = ("client_id", "response_type", "redirect_uri", "state")
"""The parameters that the consent page sends back with the decision."""

_INVALID_STATE = (
    "The state parameter of this response is missing, wrong or already used, so the response was "
    "refused.",
    "Without this check, an attacker could send you a link that signs your program in to the "
    "attacker's account. The attacker could then read everything that you save (RFC 6749, section "
    "10.12). Return to the notebook and open the link of its form again. Each link works once.",
)


@dataclass
class Consent:
    """An authorization request, and the user's decision once there is one."""

    url: str
    """The address of the consent page, to be opened in a browser."""
    redirect_url: str
    """The redirect URL to send with the grant token (RFC 6749, section 4.1.3)."""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """A response without this value is refused (RFC 6749, section 10.12)."""
    grant_token: str | None = field(default=None, repr=False)
    """The grant token; None until the user has allowed access."""
    denied: bool = False
    """Whether the user has denied access."""


class Consents:
    """The pending authorization requests.

    :param accounts: the accounts server, with the client that sends the requests.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        self._pending: dict[str, Consent] = {}

    def begin(self, server_url: str) -> Consent:
        """Return a new consent.

        :param server_url: the address of Practice Zoho, ``http://127.0.0.1:<port>``.
        """
        redirect_url = server_url + CALLBACK
        consent = Consent("", redirect_url)
        parameters = {
            "response_type": "code",
            "client_id": self._accounts.client_id,
            "scope": ",".join(SCOPES),
            "redirect_uri": redirect_url,
            "access_type": "offline",
            "state": consent.state,
        }
        consent.url = f"{_browser_url(server_url)}/oauth/v2/auth?{urlencode(parameters)}"
        with self._lock:
            self._pending[consent.state] = consent
        return consent

    def answer(self, parameters: Mapping[str, str]) -> Consent | None:
        """Pass a response to the consent with the same state; each state works once.

        :param parameters: the parameters of the redirect: ``state``, and ``code`` or ``error``.
        :returns: the consent, or None if no pending consent has this state.
        """
        with self._lock:
            consent = self._pending.pop(parameters.get("state", ""), None)
        if consent is not None:
            consent.grant_token = parameters.get("code")
            consent.denied = consent.grant_token is None
        return consent


def _browser_url(server_url: str) -> str:
    # On Binder, the browser reaches this machine only through jupyter-server-proxy.
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix}proxy/{server_url.rpartition(':')[2]}" if prefix else server_url


def serve_consent(app: Flask, accounts: Accounts, crm: Crm, consents: Consents) -> None:
    """Add the consent page, and the page that receives the redirect.

    :param app: the application.
    :param accounts: issues the grant tokens.
    :param crm: has the users.
    :param consents: the pending consents.
    """
    csrf_tokens: set[str] = set()  # one for each consent page, so that no other site can post it

    @app.get("/oauth/v2/auth")
    def ask() -> ResponseReturnValue:
        if error := _request_error(request.args, accounts):
            return text_page("Invalid authorization request", error), 400
        csrf_token = secrets.token_urlsafe(32)
        csrf_tokens.add(csrf_token)
        scopes = request.args.get("scope", "").replace(",", " ").split()
        hidden = {name: request.args.get(name, "") for name in _AUTH_PARAMS}
        return consent_page(
            client_id=accounts.client_id,
            scopes=[SCOPES.get(scope, scope) for scope in scopes],
            users=crm.users,
            hidden=hidden | {"csrf_token": csrf_token},
        )

    @app.post("/oauth/v2/auth")
    def decide() -> ResponseReturnValue:
        if error := _request_error(request.form, accounts):
            return text_page("Invalid authorization request", error), 400
        try:
            csrf_tokens.remove(request.form.get("csrf_token", ""))
        except KeyError:
            return text_page("This page was already used", "Go back and open the link again."), 400
        answer = {"state": request.form.get("state", "")}
        redirect_url = request.form["redirect_uri"]
        if request.form.get("decision") != "allow":
            answer["error"] = "access_denied"
        else:
            try:
                user = crm.user(request.form.get("user", ""))
                answer["code"] = accounts.grant(user.email, redirect_url=redirect_url)
            except (ValueError, RateLimitError) as error:
                return text_page("No grant token was issued", f"{error}."), 400
            answer |= {"location": "eu", "accounts-server": request.host_url.rstrip("/")}
        # The address of our own callback is relative, so that it also works behind a proxy.
        own = redirect_url.endswith(CALLBACK)
        return redirect(f"{f'../..{CALLBACK}' if own else redirect_url}?{urlencode(answer)}")

    @app.get(CALLBACK)
    def callback() -> ResponseReturnValue:
        consent = consents.answer(request.args)
        if consent is None:
            return text_page("Response refused", *_INVALID_STATE), 400
        back = "You can close this page and return to the notebook."
        if consent.denied:
            return text_page("Access denied", "The application received no grant token.", back)
        return text_page("Access granted", f"{back} Then click the button in the form.")


def _request_error(parameters: Mapping[str, str], accounts: Accounts) -> str:
    """Return the error of a request, which is then not redirected (RFC 6749, section 4.1.2.1)."""
    if parameters.get("client_id") != accounts.client_id:
        return "No application is registered with this client id. Copy it again."
    if not accounts.is_redirect_url(parameters.get("redirect_uri", "")):
        return "This redirect URL is not registered for the application."
    if parameters.get("response_type") != "code":
        return "The response_type must be code. Zoho supports no other value."
    return ""
