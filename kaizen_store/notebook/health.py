"""The health check of the first lesson."""

import sqlite3
from collections.abc import Callable
from importlib.util import find_spec

import requests
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from .. import CustomStoreInMemory
from ..practice import PracticeZoho
from .explanations import explain
from .table import TextTable


def health_check() -> TextTable:
    """Try what the lessons need, and return a table of what works and what to do."""
    rows = {name: _result(trial) for name, trial in _TRIALS.items()}
    return TextTable({"result": rows}, dtype=object)


def _result(trial: Callable[[], None]) -> str:
    try:
        trial()
    except Exception as error:
        return f"✖ {explain(error)}"
    return "✔ works"


def _widgets() -> None:
    if find_spec("ipywidgets") is None or find_spec("jupyterlab_widgets") is None:
        raise RuntimeError("ipywidgets is missing: pip install 'kaizen_store[notebooks]'")


def _sqlite() -> None:
    if sqlite3.sqlite_version_info < (3, 7):
        raise RuntimeError("this SQLite has no write-ahead log: use a newer Python.")


def _store() -> None:
    with CustomStoreInMemory() as store:
        store.save_token(OAuthToken(user_signature=UserSignature("me"), access_token="practice"))
        if store.find_token(OAuthToken(user_signature=UserSignature("me"))) is None:
            raise RuntimeError("a token that was saved was not found: please report this.")


def _practice_zoho() -> None:
    with PracticeZoho() as zoho:
        requests.get(f"{zoho.url}/practice", timeout=10).raise_for_status()


_TRIALS: dict[str, Callable[[], None]] = {
    "SQLite": _sqlite,
    "a token store": _store,
    "Practice Zoho on this machine": _practice_zoho,
    "forms": _widgets,
}
