"""What an error means and what to do next, in a learner's words."""

import requests
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

# Zoho's error words, as its token endpoint and its CRM API answer them.
ZOHO_ERRORS = {
    "invalid_code": "Zoho does not accept this grant or refresh token. A grant token works once "
    "and for three minutes; a refresh token works until it is revoked. Make a new grant token for "
    "the same data centre and submit it at once.",
    "invalid_client_secret": "Zoho knows the client id, but the client secret is another one. Copy "
    "the secret again from Zoho's API console.",
    "invalid_client": "Zoho does not know this client id in this data centre. Copy it again from "
    "Zoho's API console, and see that the data centre is the one where you registered the client.",
    "invalid_redirect_uri": "The redirect URL is not the one that the client is registered with. "
    "Copy it from Zoho's API console to the letter.",
    "Access Denied": "Zoho has handed out ten access tokens for this refresh token in ten minutes. "
    "Wait until the ten minutes are over. A store that keeps the access token avoids this.",
    "INVALID_TOKEN": "Zoho has ended this access token. Mark it as expired in the store, then the "
    "next call refreshes it.",
    "UNINITIALIZED": "The SDK is not initialised yet. Call Initializer.initialize first.",
}


class InputError(ValueError):
    """What a learner has typed cannot be used; its text says what to do."""


def explain(error: BaseException) -> str:
    """Return what an error means and what to do next, in plain words and without a secret.

    :param error: what a store, the SDK or an HTTP request has raised.
    """
    causes = list(_causes(error))
    if isinstance(error, InputError):
        return str(error)
    for cause in causes:
        if isinstance(cause, requests.Timeout):
            return (
                "The server did not answer in time. See that you are online, that a proxy lets you "
                "through and that you chose the right data centre; then try again."
            )
        if isinstance(cause, requests.ConnectionError):
            return (
                "The server cannot be reached. See that you are online and chose the right data "
                "centre; for Practice Zoho, run the cell that starts it again."
            )
    if isinstance(error, SDKException) and error.code == "TOKEN_STORE":
        return f"The token store failed: {error.error_message}."
    text = f"{getattr(error, 'code', '')} {error}"
    for word, meaning in ZOHO_ERRORS.items():
        if word in text:
            return f"{meaning} (The answer was: {word}.)"
    return f"{type(error).__name__}: {text.strip()}"


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return causes
