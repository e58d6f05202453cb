"""What a check works with: the rule, the store to check, and helpers that state what is expected.

A check returns if the store follows the rule. It raises :class:`RuleError` with the reason if the
store does not, :class:`NotApplicableError` if the rule does not concern this store, and
:class:`NotTriedError` if this machine cannot run the check.
"""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from logging.handlers import BufferingHandler
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from .tokens import make_token, user_name, user_token, values_of

MakeStore = Callable[[], TokenStore]
Values = dict[str, str | None]


@dataclass(frozen=True)
class Rule:
    """A rule of a token store.

    :param id: its stable id, such as "one-row-per-user".
    :param title: the rule in a few words.
    :param sentence: the rule in one or two sentences.
    :param hint: where to look in a store that does not follow it.
    :param check: tries it on a :class:`Case`.
    :param needs_process: whether the check starts or kills processes.
    """

    id: str
    title: str
    sentence: str
    hint: str
    check: Callable[[Case], None]
    needs_process: bool = False


def rule(
    id: str, title: str, sentence: str, hint: str, needs_process: bool = False
) -> Callable[[Callable[[Case], None]], Rule]:
    """Turn a check into a :class:`Rule`; the parameters are its fields."""
    return lambda check: Rule(id, title, sentence, hint, check, needs_process)


class RuleError(AssertionError):
    """The store does not follow the rule; the text is the reason."""


class NotApplicableError(Exception):
    """The rule does not concern this store; the text is the reason."""


class NotTriedError(Exception):
    """The check cannot run on this machine; the text is the reason."""


class UnusableStoreError(ValueError):
    """No rule can be checked, because there is no empty store; the text says what to do."""


def require_no_arguments(make_store: MakeStore) -> None:
    """Raise :class:`UnusableStoreError` if a store cannot be created without arguments."""
    try:
        inspect.signature(make_store).bind()
    except TypeError as error:
        name = getattr(make_store, "__name__", "MyStore")
        raise UnusableStoreError(
            f"{name} cannot be called without arguments ({error}): give a class or function that "
            f"can, such as lambda: {name}(...)"
        ) from None
    except ValueError:  # a callable written in C without a signature: the call itself will tell
        pass


def make_empty_store(make_store: MakeStore) -> TokenStore:
    """Return the store that a check starts with, or raise :class:`UnusableStoreError`."""
    require_no_arguments(make_store)
    try:
        store = make_store()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise UnusableStoreError(f"the store could not be created, {problem}") from error
    if not isinstance(store, TokenStore):
        kind = type(store).__name__
        raise UnusableStoreError(
            f"a {kind} was created, but the SDK takes a subclass of TokenStore"
        )
    try:
        count = len(store.get_tokens())
    except Exception:  # rule list-all reports it
        count = 0
    if count:
        raise UnusableStoreError(
            f"the store already has {count} token{'s' * (count > 1)}: give a class or function "
            "that creates an empty store in each new working directory"
        )
    return store


class Case:
    """A store to check, in an empty working directory.

    :param make_store: makes the store. If it is called again in the same working directory, the
        new store opens the same storage, unless the storage is gone with its process.
    """

    def __init__(self, make_store: MakeStore) -> None:
        self.make_store = make_store
        self.store = make_empty_store(make_store)

    def save(self, *tokens: OAuthToken) -> None:
        """Save tokens in order."""
        for token in tokens:
            self.store.save_token(token)

    def rows(self) -> list[Values]:
        """Return the values of all stored tokens."""
        return [values_of(token) for token in self.store.get_tokens()]

    def by_user(self) -> dict[str | None, Values]:
        """Return the values of all stored tokens, by user name."""
        return {values["user_name"]: values for values in self.rows()}

    def row_of(self, number: int) -> Values:
        """Return the values of the row of user 1, 2, 3 …."""
        rows = self.by_user()
        expect(user_name(number) in rows, "a token that was saved is not listed by get_tokens")
        return rows[user_name(number)]

    def id_of(self, number: int) -> str:
        """Return the id of the row of user 1, 2, 3 …."""
        return str(self.row_of(number)["id"])

    def find(self, **fields: Any) -> OAuthToken | None:
        """Return what the store finds for a token with these fields."""
        return self.store.find_token(make_token(**fields))

    def access_token(self, **fields: Any) -> str | None:
        """Return the access token that the store finds for a token with these fields, or None."""
        found = self.find(**fields)
        return None if found is None else found.get_access_token()

    def expect_match(self, expected: str | None, /, **fields: Any) -> None:
        """Expect that a token with these fields finds the row with an access token, or none."""
        shown = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        what = f"a token with {shown or 'nothing'}"
        if expected is None:
            expect(self.find(**fields) is None, f"{what} found a row")
        else:
            found = self.access_token(**fields)
            expect(found == expected, f"{what} did not find the row with {expected}")

    def expect_row_count(self, count: int, situation: str) -> None:
        """Expect that the store has this many rows."""
        rows = len(self.store.get_tokens())
        expect(rows == count, f"{situation}: there are {rows} rows, not {count}")

    @cached_property
    def is_shared(self) -> bool:
        """Whether another store, created in the same place, sees the tokens of this one."""
        self.store.save_token(user_token(999))
        try:
            other = self.make_store()
            tokens = [token.get_access_token() for token in other.get_tokens()]
            return other is not self.store and "access-999" in tokens
        finally:
            self.store.delete_token(self.id_of(999))


def expect(condition: object, message: str) -> None:
    """Raise :class:`RuleError` with a message if a condition is false."""
    if not condition:
        raise RuleError(message)


def expect_store_error(error: BaseException, action: str) -> None:
    """Expect that an error is an ``SDKException`` with code ``TOKEN_STORE``."""
    if not isinstance(error, SDKException):
        raise RuleError(f"{action} raised {type(error).__name__}, not SDKException") from error
    expect(error.code == "TOKEN_STORE", f"{action}: the code of the SDKException is {error.code}")


@contextmanager
def raises_store_error(action: str) -> Iterator[None]:
    """Expect that a block raises an ``SDKException`` with code ``TOKEN_STORE``."""
    try:
        yield
    except Exception as error:
        expect_store_error(error, action)
    else:
        raise RuleError(f"{action} did not raise SDKException")


@contextmanager
def logged_records() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged inside a block, on every level."""
    handler, root = BufferingHandler(capacity=100_000), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.buffer
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def can_fork() -> bool:
    """Return whether processes can fork: not on Windows, and not in the browser."""
    return hasattr(os, "fork") and "fork" in multiprocessing.get_all_start_methods()


def in_child(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a function in a child process, which inherits everything that is open, and return it.

    Its ``exitcode`` is 0 if the function has returned.
    """

    def run_quietly() -> None:
        try:
            target(*arguments)
        except Exception:
            sys.exit(1)  # multiprocessing would print the traceback between the lines of the report

    context: Any = multiprocessing.get_context("fork")
    process = context.Process(target=run_quietly)
    process.start()
    return process


def count_failed(children: list[Any]) -> int:
    """Wait for child processes, and return how many of them have failed."""
    for child in children:
        child.join(40)
    return sum(child.exitcode != 0 for child in children)
