"""The form of lesson 08: go on as another user of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

from .explain import InputError
from .form import Field, Form
from .forms import IMPORT_INITIALIZER, IMPORT_TOKEN, SDK, needs_sdk_on, quoted, script, stored_token

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


def organisation() -> str:
    """Ask the CRM API which organisation the present user belongs to: its name and its id.

    :raises SDKException: when the SDK is not initialised, or Zoho refuses.
    """
    answer = OrgOperations().get_organization()
    (found,) = answer.get_object().get_org()
    return f"{found.get_company_name()} ({found.get_zgid()})"


class SwitchForm(Form):
    """Switches the SDK to a user of the store, and asks Zoho who that is.

    :param store: the store that the SDK was initialised with.
    :param environments: those that the users belong to, such as ``EUDataCenter.PRODUCTION()``.
    """

    title = "Switch the user"
    button = "Switch"

    def __init__(self, store: TokenStore, environments: Sequence[DataCenter.Environment]) -> None:
        self.environments = {environment.url: environment for environment in environments}
        hint = "The id in the first column of the table."
        super().__init__(store, [Field("id", "Row", hint, "1")])

    def act(self, values: dict[str, str]) -> str:
        """Switch, and say who the user is and where."""
        needs_sdk_on(self.store)
        token = stored_token(self.store, values["id"])
        environment = self.environments.get(token.get_api_domain())
        if environment is None:
            raise InputError(
                f"Row {values['id']} belongs to {token.get_api_domain() or 'no known server'}, and "
                "the form was made without that environment. Choose another row."
            )
        Initializer.switch_user(environment=environment, token=OAuthToken(id=values["id"]))
        user = token.get_user_signature()
        name = user.get_name() if user else "a user without a name"
        return f"You are {name}. The SDK reads {organisation()}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        return script(
            IMPORT_TOKEN,
            IMPORT_INITIALIZER,
            f"from {SDK}.crm.api.org import OrgOperations",
            f"token = store.find_token_by_id({quoted(values['id'])})",
            "environment = environments[token.get_api_domain()]  # yours, by URL",
            f"Initializer.switch_user(environment, OAuthToken(id={quoted(values['id'])}))",
            "OrgOperations().get_organization()",
        )
