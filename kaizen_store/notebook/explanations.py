"""What an error means and what to do about it, for a learner."""

import html
import socket

import requests
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

SCOPE = (
    "ZohoCRM.users.READ,ZohoCRM.org.READ,ZohoCRM.settings.fields.READ,ZohoCRM.modules.leads.READ"
)
"""The scope of the lessons (Zoho's CRM API documentation lists the scope of each call)."""

INTERRUPTED = (
    "Interrupted. Part of the step may be done: look at the table, then do the step again."
)

MEANINGS: dict[type[BaseException] | str, str] = {
    KeyboardInterrupt: INTERRUPTED,
    SystemExit: INTERRUPTED,
    # What can happen on the way to Zoho: the exceptions of requests, and of the socket below it.
    "407 Proxy Authentication": "The proxy of your network requires a login. Set the environment "
    "variable HTTPS_PROXY to http://user:password@host:port before you start JupyterLab, then "
    "try again.",
    requests.exceptions.ProxyError: "The proxy of your network does not answer, or refuses the "
    "connection. Check the host and port in the environment variable HTTPS_PROXY, or ask your "
    "network's administrator to allow Zoho's addresses; for Practice Zoho, set NO_PROXY to "
    "127.0.0.1. Then try again.",
    requests.exceptions.SSLError: "The connection is not secure, because the server's certificate "
    "is not trusted. No secret was sent. A company's proxy or a virus scanner often uses its own "
    "certificate: set the environment variable REQUESTS_CA_BUNDLE to the file with that "
    "certificate before you start JupyterLab, then try again.",
    requests.Timeout: "The server did not answer in time. Check that you are online, that a proxy "
    "allows the connection, and that you chose the right data center; then try again.",
    socket.gaierror: "The server's name was not found. Check that you are online. If your network "
    "needs a proxy, set the environment variable HTTPS_PROXY before you start JupyterLab. Then "
    "try again.",
    ConnectionRefusedError: "The connection was refused: no server listens at this address. For "
    "Practice Zoho, run the cell that starts it again; for Zoho, check that no firewall blocks the "
    "connection. Then try again.",
    requests.ConnectionError: "The server is unreachable, or the connection was lost. Check that "
    "you are online and that no firewall blocks the connection, then try again.",
    requests.exceptions.JSONDecodeError: "The answer is a web page, or empty, and not from Zoho's "
    "API. Proxies and the sign-in pages of networks send such pages: open any page in your "
    "browser, sign in if the network asks you to, then try again. Zoho sends one during "
    "maintenance.",
    # The error codes of Zoho's token endpoint (Zoho's post "Kaizen #4 - Troubleshooting OAuth2.0").
    "invalid_code": "Zoho does not accept this grant or refresh token. A grant token works once, "
    "within three minutes; a refresh token works until it is revoked. Both work only in their own "
    "data center: if the token is new and complete, choose the data center where you created it. "
    "Otherwise create a new grant token there and use it at once.",
    "invalid_client_secret": "Zoho knows the client id, but the client secret is wrong. Each data "
    "center can have a separate secret. Copy the secret again from Zoho's API console.",
    "invalid_client": "Zoho does not know this client id in this data center. If the id is right, "
    "the data center is wrong: choose the one where you registered the client, or enable the other "
    "one in Zoho's API console (Settings, Multi DC). Otherwise copy the id again from there.",
    "invalid_redirect_uri": "This redirect URL is not registered for the client. Copy it exactly "
    "from Zoho's API console; leave it empty for a Self Client.",
    "Access Denied": "Zoho has issued ten access tokens for this refresh token in ten minutes. "
    "Wait until the ten minutes are over. A store that keeps the access token avoids this.",
    "general_error": "Zoho could not process this request, and does not say why. Check that no "
    "value is incomplete or contains spaces, create a new grant token and try again. If that does "
    "not help, wait some minutes.",
    # The error codes of Zoho's CRM API (its documentation, version 8, page "Status Codes").
    "OAUTH_SCOPE_MISMATCH": "Zoho knows the token, but its scope does not allow this request. "
    f"Create a new grant token with the scope {SCOPE}, or a wider one, and use it.",
    "INVALID_TOKEN": "Zoho does not accept this access token: Zoho has ended it, or it belongs to "
    "another data center or environment. Choose the one where the token was created, or mark the "
    "token as expired in the store: then the next call refreshes it.",
    "UNINITIALIZED": "The SDK is not initialized yet. Call Initializer.initialize first.",
}
"""What an error means and what to do about it, by its exception or by a code in its text; the first
that fits is used."""


class InputError(ValueError):
    """A learner's input cannot be used; the text says what to do."""


class Sentence(str):
    """A text that a notebook shows as a paragraph without quotes."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self)}</p>"


def explain(error: BaseException) -> Sentence:
    """Return what an error means and what to do about it, without a secret.

    :param error: an exception of a store, the SDK or an HTTP request.
    """
    return Sentence(_explanation(error))


def _explanation(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, SDKException) and error.code == "TOKEN_STORE":
        return f"The token store failed: {error.error_message}."
    causes = _causes(error)
    text = f"{getattr(error, 'code', '')} {error}"
    for sign, meaning in MEANINGS.items():
        if isinstance(sign, str):
            if sign in text:
                return f"{meaning} (The answer was: {sign}.)"
        elif any(isinstance(cause, sign) for cause in causes):
            return meaning
    return f"{type(error).__name__}: {text.strip()}"


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return causes
