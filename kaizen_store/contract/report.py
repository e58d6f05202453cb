"""Running the checks, each in a process of its own, and the report of what they found."""

from __future__ import annotations

import html
import logging
import multiprocessing
import os
import signal
import tempfile
import textwrap
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from .rules import RULES, Broken, Case, DoesNotApply, Rule

MakeStore = Callable[[], TokenStore]
CHECK_S = 60.0
"""How long a check may take, in seconds; one that takes longer is broken."""

SIGNS = {"kept": "✔", "broken": "✖", "does not apply": "○"}


@dataclass(frozen=True)
class Verdict:
    """What the check of a rule found: ``state`` is "kept", "broken" or "does not apply"."""

    rule: Rule
    state: str
    happened: str = ""

    def __str__(self) -> str:
        line = f"{SIGNS[self.state]} {self.rule.number:2} {self.rule.name}"
        if self.state == "broken":
            line += "".join(
                "\n" + textwrap.indent(textwrap.fill(text, 90), "     ")
                for text in (self.happened, f"Look at {self.rule.look_at}.")
            )
        return line


@dataclass(frozen=True)
class Report:
    """The verdicts on a store, a table in a notebook and lines of text elsewhere."""

    verdicts: tuple[Verdict, ...]

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The verdicts on the rules that are broken."""
        return tuple(verdict for verdict in self.verdicts if verdict.state == "broken")

    @property
    def summary(self) -> str:
        """One line, such as "22 rules kept, 1 broken, 2 not applicable"."""
        states = [verdict.state for verdict in self.verdicts]
        words = {"kept": "rules kept", "broken": "broken", "does not apply": "not applicable"}
        counts = [f"{states.count(s)} {w}" for s, w in words.items() if s == "kept" or s in states]
        return ", ".join(counts)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.verdicts), self.summary])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left = '<td style="text-align: left">'
        rows = "".join(
            "<tr>"
            + "".join(f"{left}{html.escape(text)}</td>" for text in _cells(verdict))
            + "</tr>"
            for verdict in self.verdicts
        )
        heads = "".join(
            f'<th style="text-align: left">{head}</th>'
            for head in ("", "rule", "what happened", "look at")
        )
        return (
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
            f"<p>{html.escape(self.summary)}</p>"
        )


def _cells(verdict: Verdict) -> tuple[str, ...]:
    broken = verdict.state == "broken"
    return (
        f"{SIGNS[verdict.state]} {verdict.state}",
        f"{verdict.rule.number} {verdict.rule.sentence}",
        verdict.happened,
        verdict.rule.look_at if broken else "",
    )


def check(
    make_store: MakeStore,
    progress: Callable[[Verdict], None] | None = None,
    timeout_s: float = CHECK_S,
) -> Report:
    """Check a token store against every rule.

    Each check runs in a child process with an empty working directory, so a store that hangs or
    crashes is reported and harms nothing. A store with a file keeps it in the working directory,
    or in a place that it derives from it.

    :param make_store: makes an empty store, such as a class or a function; called again in the
        same working directory, it opens the same storage.
    :param progress: is called with each verdict as soon as there is one.
    :param timeout_s: how long a check may take, in seconds.
    :raises RuntimeError: where processes cannot fork, as on Windows.
    """
    verdicts = []
    for rule in RULES:
        verdicts.append(check_rule(rule, make_store, timeout_s))
        if progress is not None:
            progress(verdicts[-1])
    return Report(tuple(verdicts))


def check_rule(rule: Rule, make_store: MakeStore, timeout_s: float = CHECK_S) -> Verdict:
    """Check a token store against one rule; parameters and errors as for :func:`check`.

    :param rule: one of ``RULES``.
    :param make_store: makes an empty store.
    :param timeout_s: how long the check may take, in seconds.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        raise RuntimeError("the contract needs Linux, macOS or WSL: here, processes cannot fork")
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(rule, make_store, folder, theirs))
        process.start()
        theirs.close()
        state, happened = _answer(ours, process, timeout_s)
        process.join()
    return Verdict(rule, state, happened)


def _answer(ours: Connection, process: Any, timeout_s: float) -> tuple[str, str]:
    if not ours.poll(timeout_s):
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that the check has started
        return "broken", f"the check did not end within {timeout_s:g} seconds"
    try:
        state, happened = ours.recv()
    except EOFError:
        process.join()
        return "broken", f"the store ended the process (exit code {process.exitcode})"
    return state, happened


def _run(rule: Rule, make_store: MakeStore, folder: str, answer: Connection) -> None:
    os.setpgid(0, 0)
    os.chdir(folder)
    # What the store logs on the way, the report says; here it would stand between other lines.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        rule.check(Case(make_store))
        verdict = ("kept", "")
    except DoesNotApply as reason:
        verdict = ("does not apply", str(reason))
    except Broken as reason:
        verdict = ("broken", str(reason))
    except Exception as error:
        verdict = ("broken", f"unexpected {type(error).__name__}: {error}")
    answer.send(verdict)


def contract_tests(make_store: MakeStore) -> type:
    """Return a class of pytest tests of a store, one test for each rule.

    In a test module, ``TestMyStore = contract_tests(MyStore)`` is all there is to write.

    :param make_store: as for :func:`check`.
    """

    class TestContract:
        def pytest_generate_tests(self, metafunc: Any) -> None:
            ids = [f"{rule.number:02} {rule.name}" for rule in RULES]
            metafunc.parametrize("rule", RULES, ids=ids)

        def test_rule(self, rule: Rule) -> None:
            verdict = check_rule(rule, make_store)
            if verdict.state == "does not apply":
                raise unittest.SkipTest(verdict.happened)
            assert verdict.state == "kept", f"{verdict.happened}; look at {rule.look_at}"

    return TestContract
