"""The form of lessons 00 and 01: initialize the SDK."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from ... import CustomStoreSQLite
from ...practice import Consent, PracticeZoho
from ..explanations import SCOPE, InputError
from ..real_zoho import RealZoho
from .base import Field, Form
from .token_code import (
    DATA_CENTERS,
    ENVIRONMENTS,
    IMPORT_INITIALIZER,
    IMPORT_TOKEN,
    PRACTICE,
    SDK_PACKAGE,
    STORE_NAMES,
    STORES,
    Argument,
    client_arguments,
    last_token,
    last_token_code,
    literal,
    make_token,
    quoted,
    script,
    sdk_config,
    secret_argument,
    token_code,
    user_name_of,
)

ACCOUNT = "your account"


class InitializeForm(Form):
    """Initializes the SDK, which requests the first access token and saves it.

    :param zoho: a running Practice Zoho, or your account as a :class:`RealZoho`. The form offers it
        beside the real data centers, and its values are the defaults. None offers the real data
        centers only.
    :param store: the first store; the form offers the three stores of this package.
    :param resource_path: the folder where the SDK may create its ``resources`` folder.
    """

    title = "Initialize the SDK"
    button = "Initialize"

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
        fields = _server_fields(zoho) + _token_fields(zoho) + _store_fields(store, path)
        super().__init__(store, fields)
        self.consent: Consent | None = None
        """The consent that the form's link starts; None without Practice Zoho."""
        self._used: Consent | None = None  # by the last submit
        self._offer_consent()

    def _offer_consent(self) -> None:
        if isinstance(self.zoho, PracticeZoho):
            self.consent = self.zoho.consent()
            self.notes.value = (
                f'Or <a href="{html.escape(self.consent.url)}" target="_blank" rel="noopener">'
                "consent in the browser</a>, as your users do. The link opens a page of Practice "
                "Zoho: allow access there, come back, and press the button. The form then uses the "
                "user and the redirect URL of that page."
            )

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return the current store if it has the chosen class and file, or else a new one."""
        kind = STORES[STORE_NAMES.index(values["store"])]
        if kind is not CustomStoreSQLite:
            return self.store if type(self.store) is kind else kind()
        path = self._folder / (values["path"] or "zohooauth.db")
        is_same = type(self.store) is kind and self.store.path == path
        return self.store if is_same else CustomStoreSQLite(path)

    def act(self, values: dict[str, str]) -> str:
        """Initialize the SDK, and say for which user."""
        if self.consent is not None and self.consent.denied:
            self._offer_consent()
            raise InputError("Access denied in the browser. Open the link again and allow access.")
        if not values["client_id"]:
            raise InputError("The client id is missing: copy it from Zoho's API console.")
        self._used = self._consent_to_use(values)
        token = make_token(self._arguments(values))
        if self.zoho is not None and self._is_own(values):
            environment = self.zoho.environment
        else:
            environment = getattr(DATA_CENTERS[values["server"]], values["environment"])()
        Initializer.initialize(
            environment=environment,
            token=token,
            store=self.store,
            sdk_config=sdk_config(),
            resource_path=self.resource_path,
        )
        name = user_name_of(token) or "a user without a name"
        if self._used is not None:
            self._offer_consent()
            if token.get_user_signature():  # a name is the email address, a colon, the organization
                self.inputs["user"].value = name.partition(":")[0]
            name += ", who consented in the browser"
        return (
            f"The SDK is initialized for {name}. "
            f"The token is row {token.get_id()} of {type(self.store).__name__}."
        )

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        kind, imports = values["store"], [IMPORT_TOKEN, IMPORT_INITIALIZER]
        environment = "zoho.environment"
        if not self._is_own(values):
            center = DATA_CENTERS[values["server"]].__name__
            imports.append(f"from {SDK_PACKAGE}.crm.api.dc import {center}")
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

    def _consent_to_use(self, values: dict[str, str]) -> Consent | None:
        """Return the consent with the grant token for this submit; a typed token comes first."""
        is_needed = self._is_own(values) and values["kind"] == "grant token" and not values["token"]
        has_token = self.consent is not None and self.consent.grant_token
        return self.consent if is_needed and has_token else None

    def _is_own(self, values: dict[str, str]) -> bool:
        return values["server"] in (PRACTICE, ACCOUNT)

    def _arguments(self, values: dict[str, str]) -> list[Argument]:
        zoho = self.zoho if self._is_own(values) else None
        arguments = client_arguments(values, zoho)
        used, kind, typed = self._used, values["kind"].replace(" ", "_"), values["token"]
        if used is not None:
            arguments += [
                Argument("grant_token", lambda: used.grant_token, "consent.grant_token"),
                Argument("redirect_url", lambda: used.redirect_url, "consent.redirect_url"),
            ]
            return arguments
        default: Callable[[], Any] | None = None
        code = ""
        if zoho is not None and kind == "refresh_token":
            default, code = partial(last_token, self.store, kind), last_token_code(kind)
        elif isinstance(zoho, PracticeZoho):
            user = values["user"]
            default, code = partial(zoho.grant, user), f"zoho.grant({quoted(user)})"
        elif zoho is not None:
            default, code = zoho.grant, "zoho.grant()"
        arguments.append(secret_argument(kind, typed, default, code))
        if values["redirect_url"]:
            arguments.append(literal("redirect_url", values["redirect_url"]))
        return arguments


def _server_fields(zoho: PracticeZoho | RealZoho | None) -> list[Field]:
    practice = zoho if isinstance(zoho, PracticeZoho) else None
    own = (PRACTICE if practice else ACCOUNT,) if zoho else ()
    servers = own + tuple(DATA_CENTERS)
    users = tuple(user.email for user in practice.users) if practice else ()
    server = Field(
        "server",
        "Server",
        "Practice Zoho needs no account. A data center of Zoho's is where you sign in: US "
        "zoho.com, EU zoho.eu, IN zoho.in, AU zoho.com.au, CA zohocloud.ca, CN zoho.com.cn, "
        "JP zoho.jp, SA zoho.sa.",
        servers[0],
        choices=servers,
    )
    hint = "At Practice Zoho: the user of the grant token."
    user = [Field("user", "Who consents", hint, users[0], choices=users)] if users else []
    environment = Field(
        "environment",
        "Environment",
        "Of a real data center. A token works only in the environment that you choose when you "
        "create the grant token.",
        ENVIRONMENTS[0],
        choices=ENVIRONMENTS,
    )
    return [server, *user, environment]


def _token_fields(zoho: PracticeZoho | RealZoho | None) -> list[Field]:
    return [
        Field(
            "client_id",
            "Client id",
            "Of your Self Client in Zoho's API console, at api-console.zoho.com or your data "
            "center's .eu, .in, …; see its tab Client Secret.",
            zoho.client_id if zoho else "",
        ),
        Field(
            "client_secret",
            "Client secret",
            "On the same tab, below the client id. Empty: Practice Zoho's, or the environment "
            "variable ZOHO_CLIENT_SECRET.",
            secret=True,
        ),
        Field(
            "kind",
            "Kind of token",
            "A grant token works once, within three minutes; a refresh token works until it is "
            "revoked. If you type no refresh token, that of the newest row is used.",
            "grant token",
            choices=("grant token", "refresh token"),
        ),
        Field(
            "token",
            "The token",
            "A grant token is valid for three minutes: first fill in the other fields, then create "
            f"it on the Self Client's tab Generate Code, scope {SCOPE}. Empty: Practice Zoho's, "
            "or the environment variable ZOHO_GRANT_TOKEN or ZOHO_REFRESH_TOKEN.",
            secret=True,
        ),
        Field(
            "redirect_url",
            "Redirect URL",
            "Exactly as registered for the client; empty for a Self Client.",
            (zoho.redirect_url if zoho else None) or "",
        ),
    ]


def _store_fields(store: TokenStore, path: Path) -> list[Field]:
    name = type(store).__name__ if type(store) in STORES else STORE_NAMES[0]
    hint = "In a file, in memory, or in a list."
    return [
        Field("store", "Store", hint, name, choices=STORE_NAMES),
        Field("path", "Database file", "Only for CustomStoreSQLite.", path.name),
    ]
