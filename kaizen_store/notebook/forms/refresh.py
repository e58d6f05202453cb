"""The form of lesson 04: refresh a token."""

from __future__ import annotations

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ...practice import PracticeZoho
from ..pictures import RefreshBudget
from ..real_zoho import RealZoho
from ..table import fingerprint
from .base import Field, Form
from .token_code import (
    IMPORT_TOKEN,
    ROW_HINT,
    quoted,
    require_initialized,
    script,
    stored_token,
)

AN_HOUR, NO_TIME = "an hour passes", "no time passes"


class RefreshForm(Form):
    """Marks an access token as expired, so that the SDK requests a new one.

    :param store: the store that the SDK was initialized with.
    :param zoho: the server. The form then shows how much of the refresh budget is used, and can
        advance Practice Zoho's clock by an hour.
    """

    title = "Refresh a token"
    button = "Mark it as expired, then refresh"

    def __init__(self, store: TokenStore, zoho: PracticeZoho | RealZoho | None = None) -> None:
        self.zoho = zoho
        fields = [Field("id", "Row", ROW_HINT, "1")]
        if isinstance(zoho, PracticeZoho):
            hint = "On Practice Zoho's clock. Ten refreshes at the same time use up the budget."
            fields.append(
                Field("time", "Before the refresh", hint, AN_HOUR, choices=(AN_HOUR, NO_TIME))
            )
        super().__init__(store, fields)
        self._show_budget()

    def _show_budget(self) -> None:
        if self.zoho is not None:
            self.notes.value = RefreshBudget(self.zoho).picture

    def act(self, values: dict[str, str]) -> str:
        """Mark the access token as expired, request a new one, and name both."""
        require_initialized(self.store)
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
            f"Row {values['id']}: access token {fingerprint(stored.get_access_token())} was "
            f"replaced by {fingerprint(renewed)}, which is valid for an hour."
        )

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        return script(
            IMPORT_TOKEN,
            *(["zoho.advance(hours=1)"] if values.get("time") == AN_HOUR else []),
            f"token = store.find_token_by_id({quoted(values['id'])})",
            'token.set_expires_in("0")  # long past, in epoch milliseconds',
            "store.save_token(token)",
            f"OAuthToken(id={quoted(values['id'])}).get_token()",
        )
