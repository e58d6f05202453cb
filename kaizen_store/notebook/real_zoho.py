"""The real Zoho in place of Practice Zoho: one line of a lesson changes."""

from __future__ import annotations

import logging
import os
import time
import weakref
from typing import TYPE_CHECKING, NoReturn

from ..practice import Exchange
from .explanations import InputError

if TYPE_CHECKING:
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter


class RealZoho:
    """Takes the place of ``PracticeZoho`` in a lesson, and stands for your own account.

    Set the environment variables ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and, before you use a
    grant token, ``ZOHO_GRANT_TOKEN``. Their values come from Zoho's API console. Also set
    ``ZOHO_REDIRECT_URL``, unless the client is a Self Client.

    It records the token requests that the stores of this package log in this process, as
    fingerprints, so that the pictures of a token's life show those of your account.

    :param environment: data center and environment, such as ``EUDataCenter.PRODUCTION()``.
    """

    def __init__(self, environment: DataCenter.Environment) -> None:
        self.environment = environment
        self.exchanges: list[Exchange] = []
        """The token requests and their answers since this object was created, in order."""
        _recorder.record_for(self)

    def __repr__(self) -> str:
        return f"RealZoho({self.environment.url!r})"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"Only Practice Zoho has {name!r}: skip this step on your own account."
        )

    @property
    def now_s(self) -> float:
        """The time in seconds, as in ``Exchange.at_s``."""
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
        """The redirect URL that is registered for the client; None for a Self Client."""
        return os.environ.get("ZOHO_REDIRECT_URL") or None

    def grant(self) -> str:
        """Return the grant token, which works once, within three minutes after its creation."""
        return _variable("ZOHO_GRANT_TOKEN")

    def advance(self, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Do nothing: only Practice Zoho's clock can be advanced.

        :param hours: as for ``PracticeZoho.advance``; so are ``minutes`` and ``seconds``.
        """


class _Recorder(logging.Filter):
    """Records the token requests in the log of the stores; the log looks the same as without it."""

    def __init__(self) -> None:
        super().__init__()
        self._logger = logging.getLogger("kaizen_store")
        self._level: int | None = None  # which the logger had before
        self._accounts: weakref.WeakSet[RealZoho] = weakref.WeakSet()

    def record_for(self, account: RealZoho) -> None:
        self._accounts.add(account)
        self._logger.addFilter(self)  # once, however often it is called
        if self._logger.getEffectiveLevel() > logging.INFO:
            self._level = self._logger.level
            self._logger.setLevel(logging.INFO)

    def filter(self, record: logging.LogRecord) -> bool:
        if (request := getattr(record, "token_request", None)) is not None:
            for account in list(self._accounts):
                if account.environment.accounts_url == request["url"]:
                    account.exchanges.append(_exchange(request, record.created))
        if self._level is None or self._logger.level != logging.INFO or not self._logger.parent:
            return True
        return record.levelno >= (self._level or self._logger.parent.getEffectiveLevel())


_recorder = _Recorder()


def _exchange(request: dict[str, str], at_s: float) -> Exchange:
    is_refresh = request["token_kind"] == "refresh token"
    grant_type, name = ("refresh_token",) * 2 if is_refresh else ("authorization_code", "code")
    has_token = request["received"] != "nothing"
    return Exchange(
        "POST",
        "/oauth/v2/token",
        {"grant_type": grant_type, name: request["sent"]},
        200,  # as for every answer of Zoho's token endpoint
        {"access_token": request["received"]} if has_token else {},
        at_s,
    )


def _variable(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise InputError(
            f"The environment variable {name} is not set. Copy its value from Zoho's API console, "
            "set it before you start JupyterLab, then run the lesson again."
        )
    return value
