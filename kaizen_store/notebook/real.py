"""The real Zoho where a lesson has Practice Zoho: one line of the lesson changes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

import requests

from ..practice import Exchange
from .explain import InputError
from .trace import parameters_of, read_answer, without_secrets

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


class RealZoho:
    """Stands in a lesson where ``PracticeZoho`` stands, and means your own account.

    Set the environment variables ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and, before a grant
    token is asked for, ``ZOHO_GRANT_TOKEN``; they come from Zoho's API console. Set
    ``ZOHO_REDIRECT_URL`` too, unless the client is a Self Client.

    It writes down which access tokens this process asks Zoho for, as fingerprints, so that the
    pictures of a token's life show your account's.

    :param environment: data centre and environment, such as ``EUDataCenter.PRODUCTION()``.
    """

    def __init__(self, environment: DataCenter.Environment) -> None:
        self.environment = environment
        self.exchanges: list[Exchange] = []
        """The requests for access tokens and their answers, in order, without secrets."""
        send = requests.Session.send

        def recorded(session: Any, request: requests.PreparedRequest, **how: Any) -> Any:
            response = send(session, request, **how)
            if request.url == environment.accounts_url:
                self.exchanges.append(_exchange(request, response))
            return response

        requests.Session.send = recorded  # type: ignore[assignment,method-assign]

    def __repr__(self) -> str:
        return f"RealZoho({self.environment.url!r})"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"Only Practice Zoho has {name!r}: leave this step out on your own account."
        )

    @property
    def now_s(self) -> float:
        """The time in seconds, as :attr:`exchanges` tell it."""
        return time.time()

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


def _exchange(request: requests.PreparedRequest, response: requests.Response) -> Exchange:
    answer, _ = read_answer(response)
    return Exchange(
        request.method or "",
        request.path_url,
        without_secrets(parameters_of(request), "sent"),
        response.status_code,
        without_secrets(answer, "received"),
        time.time(),
    )


def _variable(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise InputError(
            f"The environment variable {name} is not set. Take its value from Zoho's API console, "
            "set it before you start JupyterLab, then run the lesson again."
        )
    return value
