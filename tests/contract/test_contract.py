"""The contract: our stores follow it, each check finds its fault, and no correct store fails."""

import html
import importlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from contract.faulty_stores import FAULTY_STORES, NewestFirst
from contract.unusual_stores import UNUSUAL_STORES, LockFileStore, in_subfolder

import kaizen_store
from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.contract import (
    RULES,
    UnusableStoreError,
    check,
    check_rule,
    concurrency,
    contract_tests,
    rules,
    storage_rules,
)
from kaizen_store.contract.tokens import make_token
from kaizen_store.stores import single_flight

HERE = Path(__file__).parent
RULE = {rule.id: rule for rule in RULES}

TestSQLite = contract_tests(CustomStoreSQLite)
TestInMemory = contract_tests(CustomStoreInMemory)
TestList = contract_tests(CustomStoreList)

IDS = [
    "id-first",
    "user-and-client",
    "access-token-only",
    "client-and-token",
    "no-guessing",
    "same-object",
    "later-pair",
    "not-found",
    "fast-lookup",
    "one-row-per-user",
    "unique-ids",
    "partial-tokens",
    "no-empty-tokens",
    "only-tokens",
    "durable-saves",
    "list-all",
    "find-by-id",
    "delete-one",
    "delete-all",
    "values-unchanged",
    "failures-raise",
    "concurrent-use",
    "private-files",
    "close",
    "single-flight",
]


# The rules.


def test_the_rules_have_stable_ids_in_the_order_of_the_contract():
    assert [rule.id for rule in RULES] == IDS
    for rule in RULES:
        assert rule.title and rule.sentence.endswith(".") and rule.hint and rule.hint[-1] != "."


def test_the_page_of_the_contract_is_up_to_date():
    contract_docs = importlib.import_module("contract_docs")
    text = contract_docs.PAGE.read_text(encoding="utf-8")
    assert text == contract_docs.page(), "run scripts/contract_docs.py"


def test_each_rule_that_the_package_cites_exists():
    cited = set()
    for path in Path(kaizen_store.__file__).parent.rglob("*.py"):
        text = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split())
        for ids in re.findall(r"\b[Rr]ules? ((?:``[a-z-]+``(?:, | to | and )?)+)", text):
            cited |= set(re.findall(r"``([a-z-]+)``", ids))
    assert len(cited) > 10 and cited <= set(IDS)


# Faulty stores: each breaks one rule and no other.

FAULTS = [(id, store) for id, stores in FAULTY_STORES.items() for store in stores]


@pytest.fixture
def short_waits(monkeypatch):
    """Wait less for what will not happen; the children inherit it."""
    monkeypatch.setattr(storage_rules, "LOCKED_S", 0.5)
    monkeypatch.setattr(concurrency, "BLOCKED_S", 3.0)
    monkeypatch.setattr(concurrency, "SIGNALS_S", 0.5)
    monkeypatch.setattr(rules, "FILL_S", 1.0)
    monkeypatch.setattr("kaizen_store.contract.single_flight.ANSWER_S", 0.12)
    monkeypatch.setattr(single_flight, "LEASE_S", 6.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "make_store"), FAULTS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_faulty_store_fails_one_rule(id, make_store, short_waits):
    report = check(make_store)
    assert [result.rule.id for result in report.failed] == [id], str(report)
    (result,) = report.failed
    assert getattr(make_store, "reason", "") in result.reason
    page = html.unescape(report._repr_html_())
    assert result.reason in page and result.rule.hint in page
    text = " ".join(str(report).split())
    assert result.reason in text and result.rule.hint in text


def test_there_is_a_faulty_store_for_each_rule():
    assert list(FAULTY_STORES) == IDS and all(FAULTY_STORES.values())


# Correct stores that are unusual.


@pytest.mark.slow
@pytest.mark.parametrize("make_store", UNUSUAL_STORES, ids=lambda value: value.__name__)
def test_an_unusual_store_passes(make_store, short_waits):
    report = check(make_store)
    assert {result.state for result in report.results} == {"passed"}, str(report)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")
@pytest.mark.parametrize("name", ["a", "m.db", "tokens.sqlite3", "zzz"])
@pytest.mark.parametrize("id", ["failures-raise", "private-files", "close"])
def test_a_store_passes_on_a_tmpfs_with_any_file_name(name, id, short_waits, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    result = check_rule(RULE[id], lambda: CustomStoreSQLite(name))
    assert result.state == "passed", result.reason


def test_a_public_file_in_a_subfolder_is_found():
    def make_store():
        store = in_subfolder()
        store.path.chmod(0o644)
        return store

    result = check_rule(RULE["private-files"], make_store)
    assert result.state == "failed" and "data/tokens/zohooauth.db" in result.reason


def test_a_lock_file_that_others_can_read_is_found():
    def make_store():
        Path("zohooauth.db.lock").touch()
        Path("zohooauth.db.lock").chmod(0o644)
        return LockFileStore()

    result = check_rule(RULE["private-files"], make_store)
    assert result.state == "failed" and "zohooauth.db.lock" in result.reason


# Stores that cannot be checked.


class NeedsPath(CustomStoreSQLite):
    def __init__(self, path):
        super().__init__(path)


def has_tokens():
    store = CustomStoreList()
    store.save_token(make_token(access_token="somebody's"))
    return store


def cannot_be_created():
    raise OSError("no storage here")


def not_a_store():
    return {}


UNUSABLE = (
    (NeedsPath, "give a class or function that can, such as lambda: NeedsPath(...)"),
    (has_tokens, "the store already has 1 token: give a class or function"),
    (cannot_be_created, "the store could not be created, OSError: no storage here"),
    (not_a_store, "a dict was created, but the SDK takes a subclass of TokenStore"),
)


@pytest.mark.parametrize(("make_store", "advice"), UNUSABLE)
def test_a_store_that_cannot_be_checked_raises_one_sentence(make_store, advice):
    seen = []
    with pytest.raises(UnusableStoreError, match=re.escape(advice)) as caught:
        check(make_store, progress=seen.append)
    assert seen == [] and "\n" not in str(caught.value)


@pytest.mark.parametrize(("make_store", "advice"), UNUSABLE)
def test_the_command_says_in_one_line_that_a_store_cannot_be_checked(make_store, advice):
    done = run(f"contract.test_contract:{make_store.__name__}")
    assert (done.returncode, done.stdout) == (2, "")
    assert advice in done.stderr and done.stderr.count("\n") == 1


class Hangs(CustomStoreList):
    def find_token(self, token):
        time.sleep(60)


class EndsTheProcess(CustomStoreList):
    def find_token(self, token):
        os._exit(3)


@pytest.mark.parametrize(
    ("make_store", "reason"),
    [
        (Hangs, "did not end within 0.5 seconds"),
        (EndsTheProcess, "ended the process (exit code 3)"),
    ],
)
def test_a_store_that_hangs_or_ends_the_process_is_reported(make_store, reason):
    started = time.monotonic()
    result = check_rule(RULES[0], make_store, timeout_s=0.5)
    assert result.state == "failed" and reason in result.reason
    assert time.monotonic() - started < 5


def test_checking_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check_rule(RULES[0], CustomStoreSQLite)
    assert Path.cwd() == tmp_path and list(tmp_path.iterdir()) == []


# Where processes cannot fork.


@pytest.fixture
def no_fork(monkeypatch):
    def get_context(method=None):
        raise ValueError(f"cannot find context for {method!r}")

    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr(multiprocessing, "get_context", get_context)
    monkeypatch.setattr(os, "fork", get_context)


def test_without_fork_the_other_rules_are_checked_in_this_process(no_fork, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o027)
    report = check(CustomStoreSQLite)
    assert os.umask(umask) == 0o027
    assert report.summary == "22 passed, 3 not tried here", str(report)
    not_tried = [result.rule.id for result in report.results if result.state == "not tried here"]
    assert not_tried == ["durable-saves", "concurrent-use", "single-flight"]
    assert Path.cwd() == tmp_path and list(tmp_path.iterdir()) == []


def test_without_fork_a_faulty_store_fails_its_rule(no_fork):
    assert [result.rule.id for result in check(NewestFirst).failed] == ["list-all"]


# In pytest.


def test_in_pytest_a_failed_rule_is_a_failed_test(pytester):
    pytester.makepyfile(
        "from kaizen_store import CustomStoreList\n"
        "from kaizen_store.contract import contract_tests\n"
        "class NewestFirst(CustomStoreList):\n"
        "    def get_tokens(self):\n"
        "        return super().get_tokens()[::-1]\n"
        "TestMyStore = contract_tests(NewestFirst)\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=22, failed=1, skipped=2)
    done.stdout.fnmatch_lines(["*TestMyStore::test_rule?list-all?*"])


def test_in_pytest_one_test_says_that_a_store_cannot_be_checked(pytester):
    pytester.makepyfile(
        "from kaizen_store.contract import contract_tests\n"
        "TestMyStore = contract_tests(dict)\n"
        "def test_arguments():\n"
        "    contract_tests(lambda path: None)\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(failed=2, skipped=24)
    done.stdout.fnmatch_lines(["*UnusableStoreError: a dict was created*"])
    done.stdout.fnmatch_lines(["*<lambda> cannot be called without arguments*"])


# From the command line.

COMMAND = [sys.executable, "-m", "kaizen_store.contract"]


def run(argument, **variables):
    return subprocess.run(
        [*COMMAND, argument],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=HERE.parent,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | variables,
    )


def test_the_command_reports_that_a_store_passed():
    done = run("kaizen_store:CustomStoreList")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n✔ list-all          get_tokens lists all tokens" in done.stdout
    assert done.stdout.endswith("\n23 passed, 2 not applicable\n")


def test_the_command_exits_with_1_if_a_rule_failed_and_shows_ascii_where_it_must():
    for encoding, signs in (("utf-8", "✔✖○"), ("ascii", "+xo"), ("latin-1", "+xo")):
        done = run("contract.faulty_stores:NewestFirst", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (1, "")
        assert {line[0] for line in done.stdout.splitlines()} - set(" 2") == set(signs)
        assert f"\n{signs[1]} list-all " in done.stdout
        assert "\n    Reason: the tokens are not listed oldest first.\n    Hint: " in done.stdout
        assert done.stdout.endswith("\n22 passed, 1 failed, 2 not applicable\n")


@pytest.mark.parametrize("argument", ["no.such.module:x", "kaizen_store:NoSuch", "kaizen_store"])
def test_the_command_explains_a_store_that_it_cannot_import(argument):
    done = run(argument)
    assert done.returncode == 2 and "write package.module:name" in done.stderr


class HangsInTwoProcesses(CustomStoreList):
    """Hangs with a child of its own, and tells the ids of both processes."""

    def find_token(self, token):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[60])
        child.start()
        file = Path(os.environ["PROCESS_IDS"])
        file.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
        file.with_suffix(".new").rename(file)
        time.sleep(60)


def is_alive(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ctrl_c_stops_the_command_while_a_store_hangs_and_leaves_no_process(tmp_path):
    ids = tmp_path / "ids"
    command = subprocess.Popen(
        [*COMMAND, "contract.test_contract:HangsInTwoProcesses"],
        cwd=HERE.parent,
        env=os.environ | {"PROCESS_IDS": str(ids)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not ids.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    processes = ids.read_text().split()
    assert all(map(is_alive, processes)) and len(processes) == 2
    command.send_signal(signal.SIGINT)
    assert command.communicate(timeout=5)[1] == ""
    assert command.returncode == 130
    time.sleep(0.2)
    assert not any(map(is_alive, processes))
