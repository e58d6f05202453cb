"""The forms of the lessons: initialise, save, find and refresh."""

from __future__ import annotations

import html
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.dc import (
    AUDataCenter,
    CADataCenter,
    CNDataCenter,
    EUDataCenter,
    INDataCenter,
    JPDataCenter,
    SADataCenter,
    USDataCenter,
)
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from .. import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from ..practice import Consent, PracticeZoho
from .explain import SCOPE, InputError
from .form import Field, Form
from .pictures import RefreshBudget
from .real import RealZoho
from .table import fingerprint, time_left

PRACTICE = "Practice Zoho"
ACCOUNT = "your account"

DATA_CENTERS = {
    "US": USDataCenter,
    "EU": EUDataCenter,
    "IN": INDataCenter,
    "AU": AUDataCenter,
    "CA": CADataCenter,
    "CN": CNDataCenter,
    "JP": JPDataCenter,
    "SA": SADataCenter,
}
"""Zoho's data centres as the SDK knows them, by the name that the forms show."""

ENVIRONMENTS = ("PRODUCTION", "SANDBOX", "DEVELOPER")
STORES = (CustomStoreSQLite, CustomStoreInMemory, CustomStoreList)

SDK = "zohocrmsdk.src.com.zoho"
IMPORT_OS = "import os"
IMPORT_TIME = "import time"
IMPORT_TOKEN = f"from {SDK}.api.authenticator.oauth_token import OAuthToken"
IMPORT_INITIALIZER = f"from {SDK}.crm.api.initializer import Initializer"
IMPORT_USER = f"from {SDK}.crm.api.user_signature import UserSignature"


INVENT, LEAVE_OUT = "invent practice values", "leave them out"
TOKEN_LABELS = {
    "client_secret": "Client secret",
    "refresh_token": "Refresh token",
    "access_token": "Access token",
}
LESSON_NAMES = ("zoho", "store")
AN_HOUR, NO_TIME = "an hour passes", "no time passes"
WAYS = ("user name", "id", "access token", "refresh token", "grant token")


@dataclass(frozen=True)
class Argument:
    """One keyword argument of ``OAuthToken``: how to get its value, and the code that does so."""

    name: str
    value: Callable[[], Any]
    code: str


def plain(name: str, value: str) -> Argument:
    """Return an argument that is no secret; its code is the value itself."""
    return Argument(name, lambda: value, quoted(value))


def client(client_id: str, zoho: PracticeZoho | RealZoho | None) -> Argument:
    """Return the client id as an argument.

    :param client_id: what the field held.
    :param zoho: whose client id is named in the code rather than written out.
    """
    argument = plain("client_id", client_id)
    own = zoho is not None and client_id == zoho.client_id
    return replace(argument, code="zoho.client_id") if own else argument


def secret(name: str, typed: str, practice: Any = None, code: str = "") -> Argument:
    """Return an argument that is a secret; its code never holds the value.

    It is what was typed, else Practice Zoho's, else the environment's.

    :param name: the argument's name; the environment variable is ``ZOHO_`` and this in capitals.
    :param typed: what the field held.
    :param practice: a function that gives the value where nothing was typed; None asks the
        environment.
    :param code: the code that stands for ``practice``.
    """
    variable = f"ZOHO_{name.upper()}"
    if not typed and practice is not None:
        return Argument(name, practice, code)

    def value() -> str:
        found = typed or os.environ.get(variable, "")
        if not found:
            raise InputError(
                f"The {name.replace('_', ' ')} is missing. Type it into its field, or set the "
                f"environment variable {variable} before you start JupyterLab; then try again."
            )
        return found

    return Argument(name, value, f'os.environ["{variable}"]')


def token_from(arguments: list[Argument]) -> OAuthToken:
    """Make the ``OAuthToken`` that some arguments describe."""
    return OAuthToken(**{argument.name: argument.value() for argument in arguments})


def token_code(arguments: list[Argument]) -> str:
    """Return the code that makes the ``OAuthToken`` that some arguments describe."""
    return "OAuthToken(\n" + "".join(f"    {a.name}={a.code},\n" for a in arguments) + ")"


def script(*parts: str) -> str:
    """Return a script: the imports that its statements need, sorted, then the statements.

    What the statements take from the lesson is named in a comment.

    :param parts: import lines and code, in any order of the imports.
    """
    text = "\n".join(part for part in parts if not part.startswith(("import ", "from ")))
    modules = [part for part in parts if part.startswith("import ")]
    modules += [IMPORT_OS] if "os.environ" in text else []
    names = [part for part in parts if part.startswith("from ")]
    taken = [name for name in LESSON_NAMES if re.search(rf"\b{name}\.", text)]
    taken = [name for name in taken if not re.search(rf"^{name} = ", text, re.MULTILINE)]
    if taken:
        text = f"# Made by the lesson's cells: {', '.join(taken)}.\n{text}"
    blocks = ("\n".join(sorted(block)) for block in (modules, names))
    return "\n\n".join([*filter(None, blocks), text])


def quoted(value: str) -> str:
    """Return a text as Python code, in double quotes."""
    return json.dumps(value, ensure_ascii=False)


class InitializeForm(Form):
    """Initialises the SDK: the first access token is requested and saved.

    :param zoho: a running Practice Zoho, or your account as a :class:`RealZoho`, which the form
        then offers and fills its fields from; None offers the real data centres alone.
    :param store: the store to begin with; the form offers the three of this package.
    :param resource_path: the folder where the SDK may write its ``resources`` folder.
    """

    title = "Initialise the SDK"
    button = "Initialise"

    def __init__(
        self,
        zoho: PracticeZoho | RealZoho | None,
        store: TokenStore,
        resource_path: str | os.PathLike[str],
    ) -> None:
        self.zoho = zoho
        self.resource_path = str(resource_path)
        path = Path(getattr(store, "path", "zohooauth.db"))
        self._folder = path.parent
        practice = zoho if isinstance(zoho, PracticeZoho) else None
        own = PRACTICE if practice else ACCOUNT
        servers = ((own,) if zoho else ()) + tuple(DATA_CENTERS)
        stores = tuple(kind.__name__ for kind in STORES)
        fields = [
            Field(
                "server",
                "Server",
                "Practice Zoho needs no account. Of Zoho's data centres, yours is where you sign "
                "in: US zoho.com, EU zoho.eu, IN zoho.in, AU zoho.com.au, CA zohocloud.ca, "
                "CN zoho.com.cn, JP zoho.jp, SA zoho.sa.",
                servers[0],
                choices=servers,
            ),
            Field(
                "environment",
                "Environment",
                "Of a data centre, as you choose it when you make the grant token: a token works "
                "in its own alone.",
                ENVIRONMENTS[0],
                choices=ENVIRONMENTS,
            ),
            Field(
                "client_id",
                "Client id",
                "Of your Self Client in Zoho's API console, at api-console.zoho.com or your data "
                "centre's .eu, .in, …; its tab Client Secret shows it.",
                zoho.client_id if zoho else "",
            ),
            Field(
                "client_secret",
                "Client secret",
                "Stands below the client id. Empty: Practice Zoho's, or the environment variable "
                "ZOHO_CLIENT_SECRET.",
                secret=True,
            ),
            Field(
                "kind",
                "Kind of token",
                "A grant token works once, for three minutes; a refresh token until revoked. No "
                "refresh token typed: that of the row added last is taken, whoever's it is.",
                "grant token",
                choices=("grant token", "refresh token"),
            ),
            Field(
                "token",
                "The token",
                "A grant token lives three minutes: fill in the rest, then make it on the Self "
                f"Client's tab Generate Code, scope {SCOPE}. Empty: Practice "
                "Zoho's, or the environment variable ZOHO_GRANT_TOKEN or ZOHO_REFRESH_TOKEN.",
                secret=True,
            ),
            Field(
                "redirect_url",
                "Redirect URL",
                "To the letter as the client is registered; empty for a Self Client.",
                (zoho.redirect_url if zoho else None) or "",
            ),
            Field(
                "store",
                "Store",
                "In a file, in memory, or in a list.",
                type(store).__name__ if type(store) in STORES else stores[0],
                choices=stores,
            ),
            Field("path", "Database file", "For CustomStoreSQLite alone.", path.name),
        ]
        if practice:
            users = tuple(user.email for user in practice.users)
            hint = "At Practice Zoho, whose grant token you get."
            fields.insert(1, Field("user", "Who consents", hint, users[0], choices=users))
        super().__init__(store, fields)
        self.consent: Consent | None = None
        """The consent that the form's link leads to; None without Practice Zoho."""
        self._used: Consent | None = None  # by the last submit
        self._offer_consent()

    def _offer_consent(self) -> None:
        if isinstance(self.zoho, PracticeZoho):
            self.consent = self.zoho.consent()
            self.notes.value = (
                f'<a href="{html.escape(self.consent.url)}" target="_blank" rel="noopener">'
                "Consent in the browser</a> instead, as your users do (opens a page of Practice "
                "Zoho): allow it there, come back, and press the button. The page's user and "
                "redirect URL then take the place of those of the fields."
            )

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return the chosen store: the one in use where it is of the chosen kind and file."""
        kind = next(kind for kind in STORES if kind.__name__ == values["store"])
        if kind is not CustomStoreSQLite:
            return self.store if type(self.store) is kind else kind()
        path = self._folder / (values["path"] or "zohooauth.db")
        same = type(self.store) is kind and self.store.path == path
        return self.store if same else CustomStoreSQLite(path)

    def act(self, values: dict[str, str]) -> str:
        """Initialise the SDK, and say for whom."""
        if self.consent is not None and self.consent.denied:
            self._offer_consent()
            raise InputError("You denied it in the browser. Open the link again and allow it.")
        if not values["client_id"]:
            raise InputError("The client id is missing: copy it from Zoho's API console.")
        self._used = self._consented(values)
        token = token_from(self._arguments(values))
        if self.zoho is not None and self._own(values):
            environment = self.zoho.environment
        else:
            environment = getattr(DATA_CENTERS[values["server"]], values["environment"])()
        Initializer.initialize(
            environment=environment,
            token=token,
            store=self.store,
            resource_path=self.resource_path,
        )
        user = token.get_user_signature()
        name = user.get_name() if user else "a user without a name"
        if self._used is not None:
            self._offer_consent()
            name += ", who consented in the browser"
            if user:  # a user's name is the e-mail, a colon and the organisation
                self.inputs["user"].value = user.get_name().partition(":")[0]
        return (
            f"The SDK is initialised for {name}. "
            f"The token is row {token.get_id()} of {type(self.store).__name__}."
        )

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        kind, imports = values["store"], [IMPORT_TOKEN, IMPORT_INITIALIZER]
        environment = "zoho.environment"
        if not self._own(values):
            center = DATA_CENTERS[values["server"]].__name__
            imports.append(f"from {SDK}.crm.api.dc import {center}")
            environment = f"{center}.{values['environment']}()"
        path = quoted(values["path"]) if kind == CustomStoreSQLite.__name__ else ""
        return script(
            *imports,
            f"from kaizen_store import {kind}",
            f"store = {kind}({path})",
            *(["consent = zoho.consent()  # open consent.url in a browser"] if self._used else []),
            f"token = {token_code(self._arguments(values))}",
            f"Initializer.initialize(environment={environment}, token=token, store=store)",
        )

    def _consented(self, values: dict[str, str]) -> Consent | None:
        """Return the consent whose grant token this submit uses; what was typed comes first."""
        asked = self._own(values) and values["kind"] == "grant token" and not values["token"]
        return self.consent if asked and self.consent and self.consent.grant_token else None

    def _own(self, values: dict[str, str]) -> bool:
        return values["server"] in (PRACTICE, ACCOUNT)

    def _arguments(self, values: dict[str, str]) -> list[Argument]:
        kind, user = values["kind"].replace(" ", "_"), values.get("user")
        zoho = self.zoho if self._own(values) else None
        token_code = f"zoho.grant({quoted(user) if user else ''})"
        if kind == "refresh_token":
            token_code = last_code(kind)

        def own_secret() -> str:
            return zoho.client_secret if zoho else ""

        def own_token() -> str:
            if kind == "refresh_token":
                return last_token(self.store, kind)
            if self._used is not None:
                return self._used.grant_token or ""
            if isinstance(zoho, PracticeZoho):
                return zoho.grant(user)
            return zoho.grant() if zoho else ""

        if self._used is not None:
            token_code = "consent.grant_token"
        arguments = [
            client(values["client_id"], zoho),
            secret(
                "client_secret", values["client_secret"], zoho and own_secret, "zoho.client_secret"
            ),
            secret(kind, values["token"], zoho and own_token, token_code),
        ]
        if self._used is not None:
            redirect_url = self._used.redirect_url
            arguments.append(Argument("redirect_url", lambda: redirect_url, "consent.redirect_url"))
        elif values["redirect_url"]:
            arguments.append(plain("redirect_url", values["redirect_url"]))
        return arguments


def practice_token(kind: str, user_name: str) -> str:
    """Return an invented token, shaped like Zoho's and marked as practice.

    :param kind: such as ``access_token``; each kind has its own.
    :param user_name: whose token it is; the same user gets the same one.
    """
    digits = sha256(f"{kind} of {user_name}".encode()).hexdigest()
    return f"1000.practice{digits[:24]}.{digits[24:56]}"


class SaveForm(Form):
    """Saves a token in a store by hand, as the SDK does when Zoho has answered.

    :param store: the store to save in.
    :param user_name: the user that the form suggests.
    :param client_id: the client id that the form suggests.
    """

    title = "Save a token"
    button = "Save"

    def __init__(
        self,
        store: TokenStore,
        user_name: str = "ada@example.com:6001",
        client_id: str = "1000.PRACTICE",
    ) -> None:
        tokens = [
            Field(name, label, "Empty: invented or left out, as you choose below.", secret=True)
            for name, label in TOKEN_LABELS.items()
        ]
        super().__init__(
            store,
            [
                Field(
                    "user_name", "User name", "Zoho's form: e-mail, colon, organisation.", user_name
                ),
                Field("client_id", "Client id", "From Zoho's API console.", client_id),
                *tokens,
                Field("minutes", "Expires in (minutes)", "Of the access token.", "60"),
                Field(
                    "empty",
                    "Empty secret fields",
                    "A partial token must erase nothing in the store.",
                    INVENT,
                    choices=(INVENT, LEAVE_OUT),
                ),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Save the token, and say in which row."""
        token = token_from(self._arguments(values))
        if token.get_access_token():
            token.set_expires_in(str(int(time.time() * 1000) + self._minutes(values) * 60_000))
        self.store.save_token(token)
        return f"Saved as row {token.get_id()} of {type(self.store).__name__}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        arguments = self._arguments(values)
        code = token_code(arguments)
        lines = [f"token = {code}"]
        if "access_token" in [argument.name for argument in arguments]:
            lines.append(
                f"token.set_expires_in(str(int(time.time() * 1000) + {values['minutes']} * 60_000))"
            )
        imports = [IMPORT_TIME] if len(lines) == 2 else []
        imports += [IMPORT_TOKEN, IMPORT_USER]
        if "practice_token(" in code:
            imports.append("from kaizen_store.notebook import practice_token")
        return script(*imports, *lines, "store.save_token(token)")

    def _minutes(self, values: dict[str, str]) -> int:
        try:
            return int(values["minutes"])
        except ValueError:
            raise InputError("Expires in: type a whole number of minutes, such as 60.") from None

    def _arguments(self, values: dict[str, str]) -> list[Argument]:
        arguments = []
        if user_name := values["user_name"]:
            arguments.append(
                Argument(
                    "user_signature",
                    lambda: UserSignature(user_name),
                    f"UserSignature({quoted(user_name)})",
                )
            )
        if values["client_id"]:
            arguments.append(plain("client_id", values["client_id"]))
        for name in TOKEN_LABELS:
            if values[name] or values["empty"] == INVENT:
                arguments.append(
                    secret(
                        name,
                        values[name],
                        partial(practice_token, name, user_name),
                        f"practice_token({quoted(name)}, {quoted(user_name)})",
                    )
                )
        if not arguments or arguments[-1].name in ("user_signature", "client_id", "client_secret"):
            raise InputError(
                "There is no token to save: type a refresh or access token, or let one be invented."
            )
        return arguments


class FindForm(Form):
    """Finds a token in a store, in each way that the SDK asks.

    ``found`` is the token that the last submit found, or None.

    :param store: the store to look in.
    :param zoho: a running Practice Zoho, whose client the form then suggests.
    """

    title = "Find a token"
    button = "Find"

    def __init__(self, store: TokenStore, zoho: PracticeZoho | RealZoho | None = None) -> None:
        self.zoho = zoho
        self.found: OAuthToken | None = None
        last = store.get_tokens()[-1:]
        user = last[0].get_user_signature() if last else None
        super().__init__(
            store,
            [
                Field(
                    "way", "Find by", "What the SDK knows about the token.", WAYS[0], choices=WAYS
                ),
                Field(
                    "name",
                    "User name or id",
                    "For the first two ways.",
                    user.get_name() if user else "",
                ),
                Field(
                    "token",
                    "The token",
                    "An access, refresh or grant token. Empty: that of the row added last.",
                    secret=True,
                ),
                Field(
                    "client_id",
                    "Client id",
                    "Goes with a refresh or grant token.",
                    zoho.client_id if zoho else "",
                ),
                Field(
                    "client_secret",
                    "Client secret",
                    "Empty: Practice Zoho's, or ZOHO_CLIENT_SECRET of the environment.",
                    secret=True,
                ),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Look for the token, and say what was found."""
        self.found, self.sign = None, "✔"
        if values["way"] == "id":
            self.found = self.store.find_token_by_id(values["name"])
        else:
            self.found = self.store.find_token(token_from(self._arguments(values)))
        if self.found is None:
            self.sign = "○"
            with_client = " together with this client" if values["way"] in WAYS[3:] else ""
            return (
                f"None: no token in {type(self.store).__name__} has this "
                f"{values['way']}{with_client}."
            )
        access = fingerprint(self.found.get_access_token()) or "none"
        left = time_left(self.found.get_expires_in()) or "without an expiry"
        if left.startswith("in "):
            left = f"which expires {left}"
        return f"Found row {self.found.get_id()}: access token {access}, {left}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        if values["way"] == "id":
            return f"token = store.find_token_by_id({quoted(values['name'])})"
        imports = [IMPORT_TOKEN] + [IMPORT_USER] * (values["way"] == "user name")
        return script(
            *imports,
            f"wanted = {token_code(self._arguments(values))}",
            "token = store.find_token(wanted)",
        )

    def _arguments(self, values: dict[str, str]) -> list[Argument]:
        way, name = values["way"], values["name"]
        if way == "user name":
            return [
                Argument(
                    "user_signature", lambda: UserSignature(name), f"UserSignature({quoted(name)})"
                )
            ]
        kind = way.replace(" ", "_")
        token = secret(kind, values["token"], lambda: last_token(self.store, kind), last_code(kind))
        if way == "access token":
            return [token]

        def own_secret() -> str:
            return self.zoho.client_secret if self.zoho else ""

        return [
            client(values["client_id"], self.zoho),
            secret(
                "client_secret",
                values["client_secret"],
                self.zoho and own_secret,
                "zoho.client_secret",
            ),
            token,
        ]


def last_token(store: TokenStore, kind: str) -> str:
    """Return a token of the row that was added to a store last.

    :param kind: such as ``refresh_token``.
    :raises InputError: when there is none.
    """
    for token in store.get_tokens()[-1:]:
        if value := getattr(token, f"get_{kind}")():
            return str(value)
    raise InputError(
        f"The store has no {kind.replace('_', ' ')} to take: type one, or initialise the SDK first."
    )


def last_code(kind: str) -> str:
    """Return the code of :func:`last_token`."""
    return f"store.get_tokens()[-1].get_{kind}()"


def needs_sdk_on(store: TokenStore) -> None:
    """See that the SDK works with a store.

    :raises InputError: when it is not initialised, or with another store.
    """
    initializer = Initializer.get_initializer()
    if initializer is None or initializer.store is not store:
        raise InputError(
            "The SDK is not initialised with this store yet. Run the cells above, then try again."
        )


def stored_token(store: TokenStore, id: str) -> OAuthToken:
    """Return the token of the row that a learner has named.

    :param id: what the field holds.
    :raises InputError: when there is no such row.
    """
    token = store.find_token_by_id(id) if id else None
    if token is None:
        raise InputError(f"There is no row {id or 'without an id'}. Choose an id of the table.")
    return token


class RefreshForm(Form):
    """Lets an access token expire and the SDK request the next one.

    :param store: the store that the SDK was initialised with.
    :param zoho: who is asked; the form then shows how much of the refresh budget is used, and lets
        an hour pass by Practice Zoho's clock.
    """

    title = "Refresh a token"
    button = "Mark it as expired, then refresh"

    def __init__(self, store: TokenStore, zoho: PracticeZoho | RealZoho | None = None) -> None:
        self.zoho = zoho
        fields = [Field("id", "Row", "The id in the first column of the table.", "1")]
        if isinstance(zoho, PracticeZoho):
            hint = "By Practice Zoho's clock. Ten refreshes without time between use up the budget."
            fields.append(Field("time", "Before it", hint, AN_HOUR, choices=(AN_HOUR, NO_TIME)))
        super().__init__(store, fields)
        self._show_budget()

    def _show_budget(self) -> None:
        if self.zoho is not None:
            self.notes.value = RefreshBudget(self.zoho).picture

    def act(self, values: dict[str, str]) -> str:
        """Mark the access token as expired, ask the SDK for it, and say what came of it."""
        needs_sdk_on(self.store)
        stored = stored_token(self.store, values["id"])
        if self.zoho is not None and values.get("time") == AN_HOUR:
            self.zoho.advance(hours=1)
        stored.set_expires_in("0")
        self.store.save_token(stored)
        try:
            renewed = OAuthToken(id=values["id"]).get_token()
        finally:
            self._show_budget()
        return (
            f"Row {values['id']}: access token {fingerprint(stored.get_access_token())} became "
            f"{fingerprint(renewed)}, which lasts an hour."
        )

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        return script(
            IMPORT_TOKEN,
            *(["zoho.advance(hours=1)"] if values.get("time") == AN_HOUR else []),
            f"token = store.find_token_by_id({quoted(values['id'])})",
            'token.set_expires_in("0")  # long past, in epoch milliseconds',
            "store.save_token(token)",
            f"OAuthToken(id={quoted(values['id'])}).get_token()",
        )
