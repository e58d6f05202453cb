"""The graders of the exercises.

A grader never raises an exception. It says what is missing, or what is wrong, or that the exercise
is done.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..contract import RULES, check_rule
from ..practice import PracticeZoho
from .explanations import Sentence, explain
from .forms.token_code import user_name_of
from .table import TextTable
from .tracing import Trace


class Todo:
    """The type of :data:`TODO`."""

    def __repr__(self) -> str:
        return "TODO"


TODO = Todo()
"""Replace it with your answer."""


@dataclass(frozen=True)
class Grade:
    """The result of a grader: ``state`` is "not yet", "wrong" or "done"."""

    state: str
    text: str

    def __repr__(self) -> str:
        sign = {"not yet": "○ Not yet", "wrong": "✖ Not quite", "done": "✔ Done"}[self.state]
        return f"{sign}: {self.text}"

    def _repr_html_(self) -> str:
        return Sentence(self)._repr_html_()


class NotYetError(Exception):
    """The answer is missing or incomplete; the text says what to do."""


class WrongAnswerError(Exception):
    """The answer is wrong; the text says why."""


_TITLES: dict[str, str] = {}  # of the exercises, by lesson


def exercise(lesson: str, title: str) -> Callable[[Callable[..., str]], Callable[..., Grade]]:
    """Turn a function into the grader of a lesson's exercise.

    The function returns a sentence if the exercise is done, and raises :class:`NotYetError` or
    :class:`WrongAnswerError` if not.

    :param lesson: the number of the lesson, such as "00".
    :param title: the exercise in a few words.
    """

    def decorate(grader: Callable[..., str]) -> Callable[..., Grade]:
        @functools.wraps(grader)
        def grade(*arguments: object) -> Grade:
            try:
                text = grader(*arguments)
            except NotYetError as reason:
                return Grade("not yet", str(reason))
            except WrongAnswerError as reason:
                return Grade("wrong", str(reason))
            except Exception as error:
                return Grade("wrong", explain(error))
            with suppress(OSError):  # the folder may be read-only
                _progress_file().write_text(json.dumps(sorted({*_done_lessons(), lesson})))
            return Grade("done", text)

        return grade

    _TITLES[lesson] = title
    return decorate


def _progress_file() -> Path:
    return Path(os.environ.get("KAIZEN_STORE_PROGRESS", ".kaizen_progress.json"))


def _done_lessons() -> list[str]:
    try:
        return list(json.loads(_progress_file().read_text()))
    except (OSError, ValueError, TypeError):
        return []


def progress() -> TextTable:
    """Return a table of all exercises and whether they are done.

    The graders record it in the file ``.kaizen_progress.json`` of the working directory, which is
    the folder of the lessons; environment variable ``KAIZEN_STORE_PROGRESS`` names another file.
    Delete the file to start again.
    """
    done = _done_lessons()
    rows = {
        f"lesson {lesson}": (title, "✔ done" if lesson in done else "○ not yet")
        for lesson, title in sorted(_TITLES.items())
    }
    return TextTable(list(rows.values()), list(rows), ["exercise", "state"], object)


@exercise("00", "which of the three tokens works until revoked")
def grade_lasting_token(answer: object) -> str:
    """Grade the exercise of lesson 00.

    :param answer: the name of a token, such as "grant token".
    """
    if answer is TODO:
        raise NotYetError('replace TODO with "grant token", "access token" or "refresh token".')
    word = str(answer).lower().replace("_", " ").removesuffix("token").strip()
    if word == "refresh":
        return "the refresh token works until somebody revokes it, so it is the one to protect."
    if word in ("grant", "access"):
        raise WrongAnswerError(f"the {word} token expires; read the table of the tokens again.")
    raise WrongAnswerError('answer "grant token", "access token" or "refresh token".')


@exercise("01", "the store has tokens of two users")
def grade_two_users(store: TokenStore) -> str:
    """Grade the exercise of lesson 01.

    :param store: the lesson's store.
    """
    names = {user_name_of(token) for token in store.get_tokens()} - {""}
    if not names:
        raise NotYetError("the store is empty; run the cells above first.")
    if len(names) == 1:
        raise NotYetError("the store has one user's token; initialize the SDK for another user.")
    return f"the store has tokens of {len(names)} users, one row each."


@exercise("02", "grace@example.com has one row with both tokens")
def grade_saved_once(store: TokenStore) -> str:
    """Grade the exercise of lesson 02.

    :param store: the lesson's store.
    """
    name = "grace@example.com:6001"
    rows = [token for token in store.get_tokens() if user_name_of(token) == name]
    if not rows:
        raise NotYetError(f"the store has no row of {name}; save a refresh token for this user.")
    if len(rows) > 1:
        raise WrongAnswerError(f"{name} has {len(rows)} rows; use one client id for both saves.")
    if not rows[0].get_refresh_token():
        raise WrongAnswerError("the row has no refresh token; save one for the same user name.")
    if not rows[0].get_access_token():
        raise NotYetError("now save only an access token for the same user.")
    return "two saves, one row: the access token was added, and the refresh token stayed."


@exercise("03", "the newest row, found by its access token")
def grade_found(answer: object, steps: Trace, store: TokenStore) -> str:
    """Grade the exercise of lesson 03.

    :param answer: what the learner's lookup returned.
    :param steps: the trace of the learner's block.
    :param store: the lesson's store.
    """
    if answer is TODO:
        raise NotYetError("replace TODO with a call of find_token for the last access token.")
    if answer is None:
        raise WrongAnswerError("None: no row matches; pass the access token and no client id.")
    if not isinstance(answer, OAuthToken):
        name = type(answer).__name__
        raise WrongAnswerError(f"this is a {name}; store.find_token(...) returns an OAuthToken.")
    last = store.get_tokens()[-1]
    if answer.get_id() != last.get_id():
        raise WrongAnswerError(f"this is row {answer.get_id()}; the last row is {last.get_id()}.")
    calls = [step.call for step in steps.steps]
    if "find_token(access_token)" not in calls:
        raise WrongAnswerError(
            f"the block called {', '.join(calls) or 'nothing'}; in it, call find_token with a "
            "token that has only the access token."
        )
    return "the access token was enough to find the whole row."


@exercise("04", "two API calls need one refresh")
def grade_one_refresh(steps: object) -> str:
    """Grade the exercise of lesson 04.

    :param steps: the trace of the learner's block.
    """
    if steps is TODO:
        raise NotYetError("replace TODO with a trace of a block that reads the leads twice.")
    if not isinstance(steps, Trace):
        raise WrongAnswerError("this is not a trace; use the name after `as`.")
    calls = [step.call for step in steps.steps if step.target == "Zoho"]
    refreshes = calls.count("POST /oauth/v2/token")
    reads = sum(call.endswith("/Leads") for call in calls)
    if reads < 2:
        raise NotYetError(f"the block reads the leads {reads} times; call read_leads() twice.")
    if refreshes == 0:
        raise WrongAnswerError("there was no refresh; mark the token as expired before the block.")
    if refreshes > 1:
        raise WrongAnswerError(f"{refreshes} refreshes; mark the token as expired only once.")
    return "two API calls, one refresh: the second call used the access token from the store."


@exercise("05", "Ben is logged out, at Zoho and in the store")
def grade_logged_out(store: TokenStore, zoho: PracticeZoho) -> str:
    """Grade the exercise of lesson 05.

    :param store: the lesson's store.
    :param zoho: the lesson's Practice Zoho.
    """
    email = "ben.okafor@example.com"
    for token in store.get_tokens():
        if user_name_of(token).startswith(f"{email}:"):
            raise NotYetError(f"row {token.get_id()} of {email} is still there; log this user out.")
    issued = _refresh_tokens_of(email, zoho)
    if not issued:
        raise NotYetError(f"{email} has no token yet; run the cells above first.")
    revoked = {e.parameters["token"] for e in zoho.exchanges if e.path.endswith("/revoke")}
    if not issued <= revoked:
        raise WrongAnswerError(
            f"the row of {email} is deleted, but Zoho still accepts its refresh token, and you "
            "cannot revoke it any more. Run the lesson again; revoke first, then delete."
        )
    return "revoked at Zoho and deleted from the store: a copy of the token does not work any more."


@exercise("06", "the store for four processes on one machine")
def grade_choice(answer: object) -> str:
    """Grade the exercise of lesson 06.

    :param answer: a class, or its name.
    """
    if answer is TODO:
        raise NotYetError("replace TODO with a class, such as CustomStoreInMemory.")
    name = getattr(answer, "__name__", str(answer))
    if name == "CustomStoreSQLite":
        return "all four processes find the same rows, and a restart loses none of them."
    if name in ("CustomStoreInMemory", "CustomStoreList"):
        raise WrongAnswerError(f"each process has a separate {name}, which is lost with it.")
    if name == "FileStore":
        raise WrongAnswerError("concurrent writes of processes lose tokens; see step 3 again.")
    raise WrongAnswerError(f"{name} is not a store of this lesson; choose one from the table.")


@exercise("07", "a store for your own storage passes every rule")
def grade_own_store(make_store: object) -> str:
    """Grade the exercise of lesson 07.

    :param make_store: the learner's class, or a function that creates an empty store.
    """
    if isinstance(make_store, Todo):
        raise NotYetError("replace TODO with your class, without parentheses.")
    if not callable(make_store):
        raise WrongAnswerError("give the class, without parentheses, instead of a store.")
    name = getattr(make_store, "__name__", "the store")
    if missing := getattr(make_store, "__abstractmethods__", ()):
        raise NotYetError(f"{name} still needs these methods: {', '.join(sorted(missing))}.")
    for rule in RULES:
        result = check_rule(rule, make_store)
        if result.state == "failed":
            raise WrongAnswerError(
                f"rule {rule.id} ({rule.title}): {result.reason}. Hint: {rule.hint}."
            )
    return f"{name} passes every rule of the contract that applies to it."


@exercise("08", "the organization of each row")
def grade_everybody(answer: object, store: TokenStore, *servers: PracticeZoho) -> str:
    """Grade the exercise of lesson 08.

    :param answer: the learner's dictionary: the name of an organization for each id of a row.
    :param store: the lesson's store.
    :param servers: the Practice Zohos of its users.
    """
    if answer is TODO:
        raise NotYetError("replace TODO with a dictionary: the organization for each row's id.")
    if not isinstance(answer, dict):
        kind = type(answer).__name__
        raise WrongAnswerError(f'this is a {kind}; create a dictionary such as {{"1": "…"}}.')
    names = {f"{u.email}:{u.zgid}": u.organization for zoho in servers for u in zoho.users}
    for token in store.get_tokens():
        id, user_name = token.get_id(), user_name_of(token)
        if id not in answer:
            raise NotYetError(f"row {id} is missing; switch to it and read its organization.")
        if names[user_name] not in str(answer[id]):
            raise WrongAnswerError(
                f"row {id} is {user_name}, who does not belong to {answer[id]!r}; first switch to "
                "the row, with the user's environment."
            )
    return "each user read the data of their own organization."


@exercise("09", "a project with your data center and a .env file")
def grade_project(folder: str | os.PathLike[str]) -> str:
    """Grade the exercise of lesson 09.

    :param folder: the folder of the learner's project.
    """
    client = Path(folder) / "zoho_client.py"
    if not client.exists():
        raise NotYetError(f"there is no {client.name} in the folder {client.parent.name} yet.")
    text = client.read_text(encoding="utf-8")
    compile(text, client.name, "exec")
    if "DataCenter.PRODUCTION()" not in text:
        raise WrongAnswerError("it calls Practice Zoho or a sandbox; choose your data center.")
    if "load_dotenv(" not in text:
        raise WrongAnswerError("it reads only environment variables; choose a .env file.")
    if ".env" not in (client.parent / ".gitignore").read_text().splitlines():
        raise WrongAnswerError(".gitignore does not name .env, so git would add your secrets.")
    return "your data center, no secrets in the code, and git ignores the file that has them."


def _refresh_tokens_of(email: str, zoho: PracticeZoho) -> set[str]:
    """Return the fingerprints of the refresh tokens that Practice Zoho has issued to a user."""
    access = {
        e.parameters["Authorization"]
        for e in zoho.exchanges
        if e.path.endswith("/users") and email in str(e.answer)
    }
    answers = [e.answer for e in zoho.exchanges if e.path.endswith("/token")]
    return {
        a["refresh_token"] for a in answers if "refresh_token" in a and a["access_token"] in access
    }
