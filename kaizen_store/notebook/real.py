"""The real Zoho where a lesson has Practice Zoho: one line of the lesson changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .explain import InputError

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


class RealZoho:
    """Stands in a lesson where ``PracticeZoho`` stands, and means your own account.

    Set the environment variables ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and, before a grant
    token is asked for, ``ZOHO_GRANT_TOKEN``; they come from Zoho's API console. Set
    ``ZOHO_REDIRECT_URL`` too, unless the client is a Self Client.

    :param environment: data centre and environment, such as ``EUDataCenter.PRODUCTION()``.
    """

    def __init__(self, environment: DataCenter.Environment) -> None:
        self.environment = environment

    def __repr__(self) -> str:
        return f"RealZoho({self.environment.url!r})"

    @property
    def client_id(self) -> str:
        """The client id.

        :raises InputError: when its environment variable is not set; so do the two below.
        """
        return _variable("ZOHO_CLIENT_ID")

    @property
    def client_secret(self) -> str:
        """The client secret."""
        return _variable("ZOHO_CLIENT_SECRET")

    @property
    def redirect_url(self) -> str | None:
        """The redirect URL that the client is registered with; None for a Self Client."""
        return os.environ.get("ZOHO_REDIRECT_URL") or None

    def grant(self) -> str:
        """Return the grant token: Zoho takes it once, within three minutes of its making."""
        return _variable("ZOHO_GRANT_TOKEN")

    def advance(self, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Do nothing: nobody moves Zoho's clock. What a store says has expired is refreshed.

        :param hours: as ``PracticeZoho.advance`` takes them, and so ``minutes``, ``seconds``.
        """


def _variable(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise InputError(
            f"The environment variable {name} is not set. Take its value from Zoho's API console, "
            "set it before you start JupyterLab, then run the lesson again."
        )
    return value
