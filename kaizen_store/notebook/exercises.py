"""The automatic checks of the exercises, and the health check of the first lesson.

A check never raises: it says what is missing, then what is wrong, then that the exercise is done.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import requests
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from .. import CustomStoreInMemory
from ..contract import check
from ..practice import PracticeZoho
from .explain import Sentence, explain
from .table import TextTable
from .trace import Trace


class Todo:
    """Stands where the learner's answer goes."""

    def __repr__(self) -> str:
        return "TODO"


TODO = Todo()
"""Replace it with your answer."""


@dataclass(frozen=True)
class Verdict:
    """What a check says: ``state`` is "not yet", "wrong" or "done"."""

    state: str
    text: str

    def __repr__(self) -> str:
        sign = {"not yet": "○ Not yet", "wrong": "✖ Not quite", "done": "✔ Done"}[self.state]
        return f"{sign}: {self.text}"

    def _repr_html_(self) -> str:
        return Sentence(self)._repr_html_()


class _NotYet(Exception):
    pass


class _Wrong(Exception):
    pass


def _check(judge: Callable[..., str]) -> Callable[..., Verdict]:
    @functools.wraps(judge)
    def judged(*arguments: object) -> Verdict:
        try:
            text = judge(*arguments)
        except _NotYet as reason:
            return Verdict("not yet", str(reason))
        except _Wrong as reason:
            return Verdict("wrong", str(reason))
        except Exception as error:
            return Verdict("wrong", explain(error))
        with suppress(OSError):  # a folder that cannot be written to remembers nothing
            _progress_file().write_text(json.dumps(sorted({*_done(), judge.__name__})))
        return Verdict("done", text)

    _CHECKS.append(judged)
    return judged


_CHECKS: list[Callable[..., Verdict]] = []


def _progress_file() -> Path:
    return Path(os.environ.get("KAIZEN_STORE_PROGRESS", ".kaizen_progress.json"))


def _done() -> list[str]:
    try:
        return list(json.loads(_progress_file().read_text()))
    except (OSError, ValueError, TypeError):
        return []


def progress() -> TextTable:
    """Return a table of all exercises: which of them a check has found done.

    The checks remember it in the file ``.kaizen_progress.json`` of the working directory, the
    folder of the lessons; environment variable ``KAIZEN_STORE_PROGRESS`` names another one. Delete
    the file to begin again.
    """
    done = _done()
    rows = {}
    for judged in _CHECKS:
        # The first line of each docstring: "Check lesson 00: which of the three tokens …"
        lesson, _, exercise = (judged.__doc__ or "").partition("\n")[0].partition(": ")
        state = "✔ done" if judged.__name__ in done else "○ not yet"
        rows[lesson.removeprefix("Check ")] = (exercise, state)
    lessons = sorted(rows)
    return TextTable([rows[lesson] for lesson in lessons], lessons, ["exercise", "state"], object)


@_check
def check_lasting_token(answer: object) -> str:
    """Check lesson 00: which of the three tokens lasts until revoked.

    :param answer: its name, such as "grant token".
    """
    if answer is TODO:
        raise _NotYet('replace TODO with "grant token", "access token" or "refresh token".')
    word = str(answer).lower().replace("_", " ").removesuffix("token").strip()
    if word == "refresh":
        return "the refresh token lasts until somebody revokes it, so it is the one to guard."
    if word in ("grant", "access"):
        raise _Wrong(f"the {word} token ends by itself; read the table of the three tokens again.")
    raise _Wrong('the answer is one of "grant token", "access token" and "refresh token".')


@_check
def check_two_users(store: TokenStore) -> str:
    """Check lesson 01: the store holds a token of each of two users.

    :param store: the lesson's store.
    """
    names = [token.get_user_signature() for token in store.get_tokens()]
    named = {user.get_name() for user in names if user is not None}
    if not named:
        raise _NotYet("the store is empty; run the cells above first.")
    if len(named) == 1:
        raise _NotYet("the store holds the token of one user; initialise the SDK for another one.")
    return f"the store holds tokens of {len(named)} users, a row each."


@_check
def check_saved_once(store: TokenStore) -> str:
    """Check lesson 02: grace@example.com has one row, with both tokens.

    :param store: the lesson's store.
    """
    name = "grace@example.com:6001"
    rows = [
        token
        for token in store.get_tokens()
        if token.get_user_signature() and token.get_user_signature().get_name() == name
    ]
    if not rows:
        raise _NotYet(f"the store has no row of {name}; save a refresh token for this user.")
    if len(rows) > 1:
        raise _Wrong(f"{name} has {len(rows)} rows; use one client id for both saves.")
    if not rows[0].get_refresh_token():
        raise _Wrong("the row has no refresh token; save one for the same user name.")
    if not rows[0].get_access_token():
        raise _NotYet("now save an access token alone for the same user; the row is completed.")
    return "two saves, one row: the access token came in and the refresh token stayed."


@_check
def check_found(answer: object, steps: Trace, store: TokenStore) -> str:
    """Check lesson 03: the last row, found by its access token.

    :param answer: what the learner's look-up gave.
    :param steps: the trace of the learner's block.
    :param store: the lesson's store.
    """
    if answer is TODO:
        raise _NotYet("replace TODO with what find_token gives for the last row's access token.")
    if answer is None:
        raise _Wrong("None means that no row was meant; pass the access token and no client id.")
    if not isinstance(answer, OAuthToken):
        raise _Wrong(
            f"this is a {type(answer).__name__}; store.find_token(...) gives an OAuthToken."
        )
    last = store.get_tokens()[-1]
    if answer.get_id() != last.get_id():
        raise _Wrong(f"this is row {answer.get_id()}; the last row is {last.get_id()}.")
    calls = [step.call for step in steps.steps]
    if "find_token(access_token)" not in calls:
        raise _Wrong(
            f"the block asked for {', '.join(calls) or 'nothing'}; in it, give find_token a token "
            "that holds the access token alone."
        )
    return "an access token alone was enough to get the whole row back."


@_check
def check_one_refresh(steps: object) -> str:
    """Check lesson 04: two API calls in the block need one refresh.

    :param steps: the trace of the learner's block.
    """
    if steps is TODO:
        raise _NotYet(
            "replace TODO by the name of a trace, in whose block you read the leads twice."
        )
    if not isinstance(steps, Trace):
        raise _Wrong("this is no trace; give the name that stands behind `as`.")
    calls = [step.call for step in steps.steps if step.whom == "Zoho"]
    refreshes = calls.count("POST /oauth/v2/token")
    reads = sum(call.endswith("/Leads") for call in calls)
    if reads < 2:
        raise _NotYet(f"the block reads the leads {reads} times; call read_leads() twice in it.")
    if refreshes == 0:
        raise _Wrong("nothing was refreshed; mark the token as expired before the first call.")
    if refreshes > 1:
        raise _Wrong(f"{refreshes} refreshes; mark the token as expired once, before both calls.")
    return "two API calls, one refresh: the store gave the new access token to the second call."


@_check
def check_logged_out(store: TokenStore, zoho: PracticeZoho) -> str:
    """Check lesson 05: Ben is logged out, here and at Zoho.

    :param store: the lesson's store.
    :param zoho: the lesson's Practice Zoho.
    """
    email = "ben.okafor@example.com"
    token = next((t for t in store.get_tokens() if _user_name(t).startswith(f"{email}:")), None)
    if token is not None:
        raise _NotYet(f"row {token.get_id()} of {email} is still in the store; log this user out.")
    given = _refresh_tokens_of(email, zoho)
    if not given:
        raise _NotYet(f"{email} has no token yet; run the cells above first.")
    revoked = {e.parameters["token"] for e in zoho.exchanges if e.path.endswith("/revoke")}
    if not given <= revoked:
        raise _Wrong(
            f"the row of {email} is gone, but Zoho still accepts its refresh token, and nobody "
            "knows it any more. Run the lesson again from the top; revoke first, then delete."
        )
    return "revoked at Zoho and deleted from the store: a copy of the token is worth nothing now."


@_check
def check_choice(answer: object) -> str:
    """Check lesson 06: the store for four processes on one machine.

    :param answer: the class, or its name.
    """
    if answer is TODO:
        raise _NotYet("replace TODO with the class that you choose, such as CustomStoreInMemory.")
    name = getattr(answer, "__name__", str(answer))
    if name == "CustomStoreSQLite":
        return "all four processes find the same rows, and a restart loses none."
    if name in ("CustomStoreInMemory", "CustomStoreList"):
        raise _Wrong(f"each of the four processes has a {name} of its own, gone with the process.")
    if name == "FileStore":
        raise _Wrong("processes that save at once lose each other's tokens; look at step 3 again.")
    raise _Wrong(f"{name} is none of this lesson's stores; choose one of the table.")


@_check
def check_everybody(answer: object, store: TokenStore, *servers: PracticeZoho) -> str:
    """Check lesson 08: the organisation that each row belongs to.

    :param answer: the learner's dictionary, from the id of a row to the name of an organisation.
    :param store: the lesson's store.
    :param servers: the Practice Zohos that its users belong to.
    """
    if answer is TODO:
        raise _NotYet("replace TODO with a dictionary: the id of each row and its organisation.")
    if not isinstance(answer, dict):
        raise _Wrong(f'this is a {type(answer).__name__}; make a dictionary such as {{"1": "…"}}.')
    names = {f"{u.email}:{u.zgid}": u.organization for zoho in servers for u in zoho.users}
    for token in store.get_tokens():
        name = names[_user_name(token)]
        if token.get_id() not in answer:
            raise _NotYet(f"row {token.get_id()} is missing; switch to it and ask for its name.")
        if name not in str(answer[token.get_id()]):
            raise _Wrong(
                f"row {token.get_id()} is {_user_name(token)}, who does not belong to "
                f"{answer[token.get_id()]!r}; switch before you ask, with the user's environment."
            )
    return "every user got an answer about their own organisation, and nobody another's."


@_check
def check_own_store(make_store: Callable[[], TokenStore] | Todo) -> str:
    """Check lesson 07: a store that counts, and keeps every rule.

    :param make_store: the learner's class.
    """
    if isinstance(make_store, Todo):
        raise _NotYet("replace TODO with your class, such as Counting; without brackets.")
    if not callable(make_store):
        raise _Wrong("this is a store already; give the class, without brackets.")
    store = make_store()
    if getattr(store, "asked", None) != 0:
        raise _Wrong("a new store has been asked 0 times: set self.asked = 0 in __init__.")
    store.find_token(OAuthToken(user_signature=UserSignature("nobody@example.com")))
    if store.asked != 1:
        raise _Wrong(f"after one find_token, asked is {store.asked}: add one in each find_token.")
    for verdict in check(make_store).broken:
        raise _Wrong(f"rule {verdict.rule.number}, {verdict.rule.name}: {verdict.happened}.")
    return "it counts, and it keeps every rule that the contract has for it."


@_check
def check_project(folder: str | os.PathLike[str]) -> str:
    """Check lesson 09: a project with your data centre and a .env file.

    :param folder: where the learner's project is.
    """
    client = Path(folder) / "zoho_client.py"
    if not client.exists():
        raise _NotYet(f"there is no {client.name} in the folder {client.parent.name} yet.")
    text = client.read_text(encoding="utf-8")
    compile(text, client.name, "exec")
    if "DataCenter.PRODUCTION()" not in text:
        raise _Wrong("it calls Practice Zoho or a sandbox; choose your data centre as the server.")
    if "load_dotenv(" not in text:
        raise _Wrong("it reads environment variables alone; choose a .env file for the secrets.")
    if ".env" not in (client.parent / ".gitignore").read_text().splitlines():
        raise _Wrong(".gitignore does not name .env, so git would take your secrets.")
    return "your data centre, your secrets outside the code, and git leaves them alone."


def _refresh_tokens_of(email: str, zoho: PracticeZoho) -> set[str]:
    """Return the fingerprints of the refresh tokens that Practice Zoho has handed out to a user."""
    access = {
        e.parameters["Authorization"]
        for e in zoho.exchanges
        if e.path.endswith("/users") and email in str(e.answer)
    }
    answers = [e.answer for e in zoho.exchanges if e.path.endswith("/token")]
    return {
        a["refresh_token"] for a in answers if "refresh_token" in a and a["access_token"] in access
    }


def _user_name(token: OAuthToken) -> str:
    user = token.get_user_signature()
    return str(user.get_name() or "") if user else ""


def health_check() -> TextTable:
    """Try what the lessons need, and return a table that says what works and what to do."""
    rows = {name: _tried(trial) for name, trial in _TRIALS.items()}
    return TextTable({"result": rows}, dtype=object)


def _tried(trial: Callable[[], None]) -> str:
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
            raise RuntimeError("a saved token was not found: please report this.")


def _practice_zoho() -> None:
    with PracticeZoho() as zoho:
        requests.get(f"{zoho.url}/practice", timeout=10).raise_for_status()


_TRIALS: dict[str, Callable[[], None]] = {
    "SQLite": _sqlite,
    "a token store": _store,
    "Practice Zoho on this machine": _practice_zoho,
    "forms": _widgets,
}
