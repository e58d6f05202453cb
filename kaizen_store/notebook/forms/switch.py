"""The form of lesson 08: switch to another user of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

from ..explanations import InputError
from .base import Field, Form
from .token_code import (
    IMPORT_INITIALIZER,
    IMPORT_TOKEN,
    ROW_HINT,
    SDK_PACKAGE,
    quoted,
    require_initialized,
    script,
    sdk_config,
    stored_token,
    user_name_of,
)

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


def organization() -> str:
    """Call the CRM API, and return the name and id of the current user's organization.

    :raises SDKException: when the SDK is not initialized, or Zoho refuses the request.
    """
    answer = OrgOperations().get_organization()
    (found,) = answer.get_object().get_org()
    return f"{found.get_company_name()} ({found.get_zgid()})"


class SwitchForm(Form):
    """Switches the SDK to a user of the store, and looks up the user's organization.

    :param store: the store that the SDK was initialized with.
    :param environments: those of the users, such as ``EUDataCenter.PRODUCTION()``.
    """

    title = "Switch the user"
    button = "Switch"

    def __init__(self, store: TokenStore, environments: Sequence[DataCenter.Environment]) -> None:
        self.environments = {environment.url: environment for environment in environments}
        super().__init__(store, [Field("id", "Row", ROW_HINT, "1")])

    def act(self, values: dict[str, str]) -> str:
        """Switch, and name the user and the organization."""
        require_initialized(self.store)
        token = stored_token(self.store, values["id"])
        environment = self.environments.get(token.get_api_domain())
        if environment is None:
            raise InputError(
                f"Row {values['id']} belongs to {token.get_api_domain() or 'no known server'}, and "
                "this form was created without that environment. Choose another row."
            )
        Initializer.switch_user(environment, OAuthToken(id=values["id"]), sdk_config())
        name = user_name_of(token) or "a user without a name"
        return f"You are {name}. The SDK reads the data of {organization()}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        return script(
            IMPORT_TOKEN,
            IMPORT_INITIALIZER,
            f"from {SDK_PACKAGE}.crm.api.org import OrgOperations",
            f"token = store.find_token_by_id({quoted(values['id'])})",
            "environment = environments[token.get_api_domain()]  # yours, by URL",
            f"Initializer.switch_user(environment, OAuthToken(id={quoted(values['id'])}))",
            "OrgOperations().get_organization()",
        )
