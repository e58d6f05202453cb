"""What an error means and what to do next, in a learner's words."""

import html
import socket

import requests
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

SCOPE = (
    "ZohoCRM.users.READ,ZohoCRM.org.READ,ZohoCRM.settings.fields.READ,ZohoCRM.modules.leads.READ"
)
"""What the lessons ask of Zoho (the pages of its CRM API documentation name each call's scope)."""

MEANINGS: dict[type[BaseException] | str, str] = {
    # What happens on the way to Zoho: the exceptions of requests and of the socket below it.
    "407 Proxy Authentication": "The proxy of your network asks who you are. Set the environment "
    "variable HTTPS_PROXY to http://user:password@host:port before you start JupyterLab, then "
    "try again.",
    requests.exceptions.ProxyError: "The proxy of your network does not answer, or does not let "
    "you through. See that the environment variable HTTPS_PROXY names the right host and port, or "
    "ask whoever runs it to let Zoho's addresses through; for Practice Zoho, set NO_PROXY to "
    "127.0.0.1. Then try again.",
    requests.exceptions.SSLError: "There is no secure connection, because the server's certificate "
    "is not trusted; no secret was sent. A company's proxy or a virus scanner often shows a "
    "certificate of its own: set the environment variable REQUESTS_CA_BUNDLE to the file that "
    "holds it before you start JupyterLab, then try again.",
    requests.Timeout: "The server did not answer in time. See that you are online, that a proxy "
    "lets you through and that you chose the right data centre; then try again.",
    socket.gaierror: "The server's name is not found. See that you are online; where a proxy is "
    "the only way out, set the environment variable HTTPS_PROXY before you start JupyterLab. Then "
    "try again.",
    ConnectionRefusedError: "The server cannot be reached: nothing listens at its address. For "
    "Practice Zoho, run the cell that starts it again; for Zoho, see that no firewall stands in "
    "between. Then try again.",
    requests.ConnectionError: "There is no way to the server, or the connection broke off. See "
    "that you are online and that no firewall stands in between, then try again.",
    requests.exceptions.JSONDecodeError: "A web page, or nothing, came in place of Zoho's answer. "
    "Proxies and the sign-in pages of networks do so: open any page in your browser, sign in if "
    "the network asks, then try again. Zoho does so itself while it is being maintained.",
    # The words of Zoho's token endpoint (Zoho's post "Kaizen #4 - Troubleshooting OAuth2.0").
    "invalid_code": "Zoho does not accept this grant or refresh token. A grant token works once "
    "and for three minutes; a refresh token works until it is revoked. Both work in their own data "
    "centre alone: if the token is fresh and whole, choose the data centre where you made it. Make "
    "a new grant token there and use it at once.",
    "invalid_client_secret": "Zoho knows the client id, but the client secret is another one. Each "
    "data centre may have a secret of its own. Copy the secret again from Zoho's API console.",
    "invalid_client": "Zoho does not know this client id in this data centre. If the id is right, "
    "the data centre is not: choose the one where you registered the client, or turn the other "
    "one on in Zoho's API console (Settings, Multi DC). Else copy the id again from there.",
    "invalid_redirect_uri": "The redirect URL is not the one that the client is registered with. "
    "Copy it from Zoho's API console to the letter; leave it empty for a Self Client.",
    "Access Denied": "Zoho has handed out ten access tokens for this refresh token in ten minutes. "
    "Wait until the ten minutes are over. A store that keeps the access token avoids this.",
    "general_error": "Zoho could not work with this request, and does not say why. See that no "
    "field holds a space or a piece too little or too much, make a new grant token and try "
    "again; if that does not help, wait some minutes.",
    # The words of Zoho's CRM API (its documentation, version 8, page "Status Codes").
    "OAUTH_SCOPE_MISMATCH": "Zoho knows the token, but its scope leaves out what was asked for. "
    f"Make a new grant token with the scope {SCOPE}, or a wider one, and use it.",
    "INVALID_TOKEN": "Zoho does not accept this access token: Zoho has ended it, or it belongs to "
    "another data centre or environment. Choose the one where the token was made, or mark the "
    "token as expired in the store: then the next call refreshes it.",
    "UNINITIALIZED": "The SDK is not initialised yet. Call Initializer.initialize first.",
}
"""What an error means and what to do: by its exception, or by a word in its text; order counts."""


class InputError(ValueError):
    """What a learner has typed cannot be used; its text says what to do."""


class Sentence(str):
    """A text that a notebook shows as a paragraph, without quotes."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self)}</p>"


def explain(error: BaseException) -> Sentence:
    """Return what an error means and what to do next, in plain words and without a secret.

    :param error: what a store, the SDK or an HTTP request has raised.
    """
    return Sentence(_explained(error))


def _explained(error: BaseException) -> str:
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
