"""Running the checks, each in a child process, and the report of their results."""

from __future__ import annotations

import contextlib
import html
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import textwrap
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import rules, single_flight, storage_rules
from .case import (
    Case,
    MakeStore,
    NotApplicableError,
    NotTriedError,
    Rule,
    RuleError,
    UnusableStoreError,
    can_fork,
    require_no_arguments,
)

RULES: tuple[Rule, ...] = tuple(
    value
    for module in (rules, storage_rules, single_flight)
    for value in vars(module).values()
    if isinstance(value, Rule)
)
"""The rules, in the order of the contract."""

CHECK_TIMEOUT_S = 60.0
"""How long a check may take, in seconds; one that takes longer has failed."""

SIGNS = {
    "passed": ("✔", "+"),
    "failed": ("✖", "x"),
    "not applicable": ("○", "o"),
    "not tried here": ("□", "-"),
}
"""The sign of each state, and the one for terminals that only show ASCII."""


@dataclass(frozen=True)
class Result:
    """The result of a check.

    :param rule: the rule.
    :param state: "passed", "failed", "not applicable" or "not tried here".
    :param reason: why it has this state; empty if the rule passed.
    """

    rule: Rule
    state: str
    reason: str = ""

    def __str__(self) -> str:
        sign, ascii_sign = SIGNS[self.state]
        try:
            sign.encode(getattr(sys.stdout, "encoding", None) or "ascii")
        except UnicodeEncodeError:
            sign = ascii_sign
        lines = [f"{sign} {self.rule.id:17} {self.rule.title}"]
        if self.state == "failed":
            for text in (f"Reason: {self.reason}.", f"Hint: {self.rule.hint}."):
                lines.append(textwrap.indent(textwrap.fill(text, 90), "    "))
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """The results of a store: a table in a notebook, and lines of text elsewhere."""

    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results of the rules that failed."""
        return tuple(result for result in self.results if result.state == "failed")

    @property
    def summary(self) -> str:
        """One line, such as "23 passed, 1 failed, 1 not applicable"."""
        states = [result.state for result in self.results]
        shown = [state for state in SIGNS if state == "passed" or state in states]
        return ", ".join(f"{states.count(state)} {state}" for state in shown)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.results), self.summary])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads = _html_row("th", "", "rule", "reason", "hint")
        rows = ""
        for result in self.results:
            rule, state = result.rule, result.state
            hint = rule.hint if state == "failed" else ""
            cells = (f"{SIGNS[state][0]} {state}", f"{rule.id}: {rule.sentence}", result.reason)
            rows += _html_row("td", *cells, hint)
        table = f"<table><thead>{heads}</thead><tbody>{rows}</tbody></table>"
        return f"{table}<p>{html.escape(self.summary)}</p>"


def _html_row(tag: str, *texts: str) -> str:
    left = 'style="text-align: left"'
    return f"<tr>{''.join(f'<{tag} {left}>{html.escape(text)}</{tag}>' for text in texts)}</tr>"


def check(
    make_store: MakeStore,
    progress: Callable[[Result], None] | None = None,
    timeout_s: float = CHECK_TIMEOUT_S,
) -> Report:
    """Check a token store against every rule.

    Each check runs in a child process with an empty working directory, so a store that hangs or
    crashes is reported and harms nothing. A store with a file keeps it in the working directory,
    or in a place that it derives from it. Where processes cannot fork, as on Windows and in the
    browser, checks run in this process without a time limit, and those that need processes are
    not tried.

    :param make_store: creates an empty store, such as a class or a function. If it is called again
        in the same working directory, the new store opens the same storage.
    :param progress: called with each result as soon as there is one.
    :param timeout_s: how long a check may take, in seconds.
    :raises UnusableStoreError: when there is no empty store to check; its text says what to do.
    """
    results = []
    for rule in RULES:
        results.append(check_rule(rule, make_store, timeout_s))
        if progress is not None:
            progress(results[-1])
    return Report(tuple(results))


def check_rule(rule: Rule, make_store: MakeStore, timeout_s: float = CHECK_TIMEOUT_S) -> Result:
    """Check a token store against one rule, one of ``RULES``; see :func:`check`."""
    with tempfile.TemporaryDirectory(prefix="contract-", ignore_cleanup_errors=True) as folder:
        if can_fork():
            state, reason = _run_in_child(rule, make_store, folder, timeout_s)
        elif rule.needs_process:
            state, reason = "not tried here", "this check needs processes, which cannot fork here"
        else:
            state, reason = _run_here(rule, make_store, folder)
    if state == "unusable":
        raise UnusableStoreError(reason)
    return Result(rule, state, reason)


def _run_in_child(
    rule: Rule, make_store: MakeStore, folder: str, timeout_s: float
) -> tuple[str, str]:
    context: Any = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def send_result() -> None:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        theirs.send(_run_here(rule, make_store, folder))

    process = context.Process(target=send_result)
    process.start()
    try:
        theirs.close()
        # A separate group: what the check has started ends with it, also after Ctrl-C here.
        with contextlib.suppress(OSError):  # the child has set it, or has already ended
            os.setpgid(process.pid, process.pid)
        if not ours.poll(timeout_s):
            return "failed", f"the check did not end within {timeout_s:g} seconds"
        state, reason = ours.recv()
    except EOFError:
        process.join()
        return "failed", f"the store ended the process (exit code {process.exitcode})"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        ours.close()
    return state, reason


def _run_here(rule: Rule, make_store: MakeStore, folder: str) -> tuple[str, str]:
    """Run a check in this process and return its state and reason."""
    previous = os.getcwd()  # noqa: PTH109 - a pair with os.chdir
    quiet, root = logging.NullHandler(), logging.getLogger()
    # Without a handler, Python would print the store's log messages between the lines.
    root.addHandler(quiet)
    os.chdir(folder)
    case = None  # it lives until the working directory is restored
    try:
        case = Case(make_store)
        rule.check(case)
    except UnusableStoreError as error:
        return "unusable", str(error)
    except NotApplicableError as error:
        return "not applicable", str(error)
    except NotTriedError as error:
        return "not tried here", str(error)
    except RuleError as error:
        return "failed", str(error)
    except Exception as error:
        return "failed", f"unexpected {type(error).__name__}: {error}"
    finally:
        os.chdir(previous)
        root.removeHandler(quiet)
    return "passed", ""


def contract_tests(make_store: MakeStore) -> type:
    """Return a class of pytest tests of a store, one test for each rule.

    A test module only needs ``TestMyStore = contract_tests(MyStore)``.

    :param make_store: creates an empty store; see :func:`check`.
    :raises UnusableStoreError: when it cannot be called without arguments.
    """
    require_no_arguments(make_store)
    problems: list[str] = []

    class TestContract:
        def pytest_generate_tests(self, metafunc: Any) -> None:
            metafunc.parametrize("rule", RULES, ids=[rule.id for rule in RULES])

        def test_rule(self, rule: Rule) -> None:
            if problems:
                raise unittest.SkipTest(problems[0])
            try:
                result = check_rule(rule, make_store)
            except UnusableStoreError as error:
                problems.append(str(error))
                raise
            if result.state in ("not applicable", "not tried here"):
                raise unittest.SkipTest(result.reason)
            assert result.state == "passed", f"{result.reason} (hint: {rule.hint})"

    return TestContract
