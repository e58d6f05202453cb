"""The form of lesson 06: choose a store."""

from __future__ import annotations

import os
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from ... import CustomStoreInMemory, CustomStoreSQLite
from ..explanations import InputError
from .base import Field, Form
from .token_code import EXAMPLE_USER, IMPORT_TOKEN, IMPORT_USER, practice_token, script

PERSISTENT, EPHEMERAL = "keep them", "they may be lost"
ONE, SEVERAL, MACHINES = "one", "several on one machine", "on several machines"


class ChooseForm(Form):
    """Recommends a store and tries it: saves a token in it and finds it again.

    :param store: the store that is shown before the first submit.
    :param folder: the folder for the database file.
    """

    title = "Choose a store"
    button = "Choose and try"

    def __init__(self, store: TokenStore, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        restart_hint = "Keep the tokens? If you lose them, users have to authorize again."
        process_hint = "How many use the tokens? Web servers run several."
        restart_choices, process_choices = (PERSISTENT, EPHEMERAL), (ONE, SEVERAL, MACHINES)
        super().__init__(
            store,
            [
                Field(
                    "restart", "After a restart", restart_hint, PERSISTENT, choices=restart_choices
                ),
                Field("processes", "Processes", process_hint, SEVERAL, choices=process_choices),
            ],
        )

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return the recommended store.

        :raises InputError: when none of this package's stores is suitable.
        """
        if values["processes"] == MACHINES:
            raise InputError(
                "A file belongs to one machine. For several machines, keep the tokens in a "
                "database server or a secrets service: write a store for it as in lesson 07, and "
                "check it against the contract."
            )
        if self._in_memory(values):
            return CustomStoreInMemory()
        return CustomStoreSQLite(self.folder / "zohooauth.db")

    def _in_memory(self, values: dict[str, str]) -> bool:
        return values["restart"] == EPHEMERAL and values["processes"] == ONE

    def act(self, values: dict[str, str]) -> str:
        """Save a token, find it, and name the store."""
        user, secret = UserSignature(EXAMPLE_USER), practice_token("refresh_token", EXAMPLE_USER)
        self.store.save_token(OAuthToken(user_signature=user, refresh_token=secret))
        if self.store.find_token(OAuthToken(user_signature=user)) is None:
            raise InputError("The store did not find the token that it saved: run the cells again.")
        why = "no file to protect" if self._in_memory(values) else "a file keeps the tokens"
        return f"{type(self.store).__name__}: {why}. It saved a token and found it again."

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        kind, path = "CustomStoreSQLite", '"zohooauth.db"'
        if self._in_memory(values):
            kind, path = "CustomStoreInMemory", ""
        return script(
            IMPORT_TOKEN,
            IMPORT_USER,
            f"from kaizen_store import {kind}",
            "from kaizen_store.notebook import practice_token",
            f"store = {kind}({path})",
            f'user = UserSignature("{EXAMPLE_USER}")',
            f'refresh_token = practice_token("refresh_token", "{EXAMPLE_USER}")',
            "store.save_token(OAuthToken(user_signature=user, refresh_token=refresh_token))",
            "token = store.find_token(OAuthToken(user_signature=user))",
        )
