"""What the forms share: arguments of ``OAuthToken`` and their code, and helpers for rows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api import dc
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from ... import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from ...practice import PracticeZoho
from ...stores import single_flight
from ..explanations import InputError
from ..real_zoho import RealZoho

PRACTICE = "Practice Zoho"

DATA_CENTERS = {
    name: getattr(dc, f"{name}DataCenter")
    for name in ("US", "EU", "IN", "AU", "CA", "CN", "JP", "SA")
}
"""The SDK's classes for Zoho's data centers, by the name that the forms show."""

ENVIRONMENTS = ("PRODUCTION", "SANDBOX", "DEVELOPER")
STORES = (CustomStoreSQLite, CustomStoreInMemory, CustomStoreList)
STORE_NAMES = tuple(kind.__name__ for kind in STORES)
ROW_HINT = "The id in the first column of the table."
EXAMPLE_USER = "ada@example.com:6001"

SDK_PACKAGE = "zohocrmsdk.src.com.zoho"
IMPORT_TOKEN = f"from {SDK_PACKAGE}.api.authenticator.oauth_token import OAuthToken"
IMPORT_INITIALIZER = f"from {SDK_PACKAGE}.crm.api.initializer import Initializer"
IMPORT_USER = f"from {SDK_PACKAGE}.crm.api.user_signature import UserSignature"
LESSON_NAMES = ("zoho", "store")


@dataclass(frozen=True)
class Argument:
    """A keyword argument of ``OAuthToken``: how to get its value, and the code that does so."""

    name: str
    value: Callable[[], Any]
    code: str


def literal(name: str, value: str) -> Argument:
    """Return an argument that is not a secret: its code contains the value."""
    return Argument(name, lambda: value, quoted(value))


def user_argument(user_name: str) -> Argument:
    """Return the user as an argument."""
    code = f"UserSignature({quoted(user_name)})"
    return Argument("user_signature", lambda: UserSignature(user_name), code)


def secret_argument(
    name: str, typed: str, default: Callable[[], Any] | None, default_code: str
) -> Argument:
    """Return an argument that is a secret: its code never contains the value.

    The value is what was typed, or the default, or else an environment variable.

    :param name: the argument's name. The environment variable is ``ZOHO_`` and this in capitals.
    :param typed: the value of the field.
    :param default: returns the value if nothing was typed; None means the environment variable.
    :param default_code: the code for ``default``.
    """
    if not typed and default is not None:
        return Argument(name, default, default_code)
    variable = f"ZOHO_{name.upper()}"

    def value() -> str:
        found = typed or os.environ.get(variable, "")
        if not found:
            raise InputError(
                f"The {name.replace('_', ' ')} is missing. Type it into its field, or set the "
                f"environment variable {variable} before you start JupyterLab; then try again."
            )
        return found

    return Argument(name, value, f'os.environ["{variable}"]')


def client_arguments(
    values: dict[str, str], zoho: PracticeZoho | RealZoho | None
) -> list[Argument]:
    """Return the client id and the client secret as arguments.

    :param values: the values of the fields ``client_id`` and ``client_secret``.
    :param zoho: the server; its client secret is the default. None means the environment variable.
    """
    client_id = literal("client_id", values["client_id"])
    if zoho is not None and values["client_id"] == zoho.client_id:
        client_id = replace(client_id, code="zoho.client_id")
    default = partial(getattr, zoho, "client_secret") if zoho is not None else None
    secret = values["client_secret"]
    return [client_id, secret_argument("client_secret", secret, default, "zoho.client_secret")]


def make_token(arguments: list[Argument]) -> OAuthToken:
    """Create an ``OAuthToken`` from arguments."""
    return OAuthToken(**{argument.name: argument.value() for argument in arguments})


def token_code(arguments: list[Argument]) -> str:
    """Return the code that creates an ``OAuthToken`` from arguments."""
    return "OAuthToken(\n" + "".join(f"    {a.name}={a.code},\n" for a in arguments) + ")"


def script(*parts: str) -> str:
    """Return a script: the imports that its statements need, sorted, then the statements.

    A comment names the lesson's variables that the statements use.

    :param parts: import lines and code; the order of the imports does not matter.
    """
    text = "\n".join(part for part in parts if not part.startswith(("import ", "from ")))
    modules = [part for part in parts if part.startswith("import ")]
    modules += ["import os"] if "os.environ" in text else []
    names = [part for part in parts if part.startswith("from ")]
    used = [name for name in LESSON_NAMES if re.search(rf"\b{name}\.", text)]
    used = [name for name in used if not re.search(rf"^{name} = ", text, re.MULTILINE)]
    if used:
        text = f"# Created by the lesson's cells: {', '.join(used)}.\n{text}"
    blocks = ("\n".join(sorted(block)) for block in (modules, names))
    return "\n\n".join([*filter(None, blocks), text])


def quoted(value: str) -> str:
    """Return a text as Python code, in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def practice_token(kind: str, user_name: str) -> str:
    """Return an invented token in the format of Zoho's tokens, marked as practice.

    :param kind: such as ``access_token``; each kind has a different token.
    :param user_name: the user; the same user gets the same token.
    """
    digits = sha256(f"{kind} of {user_name}".encode()).hexdigest()
    return f"1000.practice{digits[:24]}.{digits[24:56]}"


def stored_token(store: TokenStore, id: str) -> OAuthToken:
    """Return the token of a row.

    :param id: the value of the field.
    :raises InputError: when there is no such row.
    """
    token = store.find_token_by_id(id) if id else None
    if token is None:
        raise InputError(f"There is no row {id or 'without an id'}. Choose an id from the table.")
    return token


def last_token(store: TokenStore, kind: str) -> str:
    """Return a token of the newest row of a store.

    :param kind: such as ``refresh_token``.
    :raises InputError: when it has none.
    """
    for token in store.get_tokens()[-1:]:
        if value := getattr(token, f"get_{kind}")():
            return str(value)
    raise InputError(
        f"The store has no {kind.replace('_', ' ')}: type one, or initialize the SDK first."
    )


def last_token_code(kind: str) -> str:
    """Return the code for :func:`last_token`."""
    return f"store.get_tokens()[-1].get_{kind}()"


def user_name_of(token: OAuthToken | None) -> str:
    """Return the user name of a token, or an empty string."""
    user = token.get_user_signature() if token is not None else None
    return str(user.get_name() or "") if user is not None else ""


def require_initialized(store: TokenStore) -> None:
    """Check that the SDK uses a store.

    :raises InputError: when the SDK is not initialized, or uses another store.
    """
    initializer = Initializer.get_initializer()
    if initializer is None or initializer.store is not store:
        raise InputError(
            "The SDK is not initialized with this store yet. Run the cells above, then try again."
        )


def sdk_config() -> SDKConfig:
    """Return settings with which the SDK's API calls time out, as the stores' token requests do."""
    timeout_s = single_flight.REQUEST_TIMEOUT_S
    return SDKConfig(connect_timeout=timeout_s, read_timeout=timeout_s)
