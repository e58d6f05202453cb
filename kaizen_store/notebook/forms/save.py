"""The form of lesson 02: save a token in a store."""

from __future__ import annotations

import time
from functools import partial

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..explanations import InputError
from .base import Field, Form
from .token_code import (
    EXAMPLE_USER,
    IMPORT_TOKEN,
    IMPORT_USER,
    Argument,
    literal,
    make_token,
    practice_token,
    quoted,
    script,
    secret_argument,
    token_code,
    user_argument,
)

INVENT, LEAVE_OUT = "invent practice values", "leave them out"
SECRET_LABELS = {
    "client_secret": "Client secret",
    "refresh_token": "Refresh token",
    "access_token": "Access token",
}


class SaveForm(Form):
    """Saves a token in a store, as the SDK does when Zoho has answered.

    :param store: the store.
    :param user_name: the default user.
    :param client_id: the default client id.
    """

    title = "Save a token"
    button = "Save"

    def __init__(
        self,
        store: TokenStore,
        user_name: str = EXAMPLE_USER,
        client_id: str = "1000.PRACTICE",
    ) -> None:
        name_hint = "In Zoho's format: email address, colon, organization."
        empty_hint = "A token without some of its fields must not erase them in the store."
        choices = (INVENT, LEAVE_OUT)
        super().__init__(
            store,
            [
                Field("user_name", "User name", name_hint, user_name),
                Field("client_id", "Client id", "From Zoho's API console.", client_id),
                *(
                    Field(name, label, "Empty: invented or left out, see below.", secret=True)
                    for name, label in SECRET_LABELS.items()
                ),
                Field("minutes", "Expires in (minutes)", "Of the access token.", "60"),
                Field("empty", "Empty secret fields", empty_hint, INVENT, choices=choices),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Save the token, and say in which row."""
        token = make_token(self._arguments(values))
        if token.get_access_token():
            token.set_expires_in(str(int(time.time() * 1000) + self._minutes(values) * 60_000))
        self.store.save_token(token)
        return f"Saved as row {token.get_id()} of {type(self.store).__name__}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        arguments = self._arguments(values)
        lines, imports = [f"token = {token_code(arguments)}"], [IMPORT_TOKEN, IMPORT_USER]
        if arguments[-1].name == "access_token":
            imports.append("import time")
            lines.append(
                f"token.set_expires_in(str(int(time.time() * 1000) + {values['minutes']} * 60_000))"
            )
        if "practice_token(" in lines[0]:
            imports.append("from kaizen_store.notebook import practice_token")
        return script(*imports, *lines, "store.save_token(token)")

    def _minutes(self, values: dict[str, str]) -> int:
        try:
            return int(values["minutes"])
        except ValueError:
            raise InputError("Expires in: type a whole number of minutes, such as 60.") from None

    def _arguments(self, values: dict[str, str]) -> list[Argument]:
        user_name = values["user_name"]
        arguments = [user_argument(user_name)] if user_name else []
        if values["client_id"]:
            arguments.append(literal("client_id", values["client_id"]))
        for name in SECRET_LABELS:
            if values[name] or values["empty"] == INVENT:
                default = partial(practice_token, name, user_name)
                code = f"practice_token({quoted(name)}, {quoted(user_name)})"
                arguments.append(secret_argument(name, values[name], default, code))
        if not {"refresh_token", "access_token"} & {argument.name for argument in arguments}:
            raise InputError(
                "There is no token to save: type a refresh or access token, or choose to invent "
                "practice values."
            )
        return arguments
