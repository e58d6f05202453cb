"""The stores that lesson 07 writes, beyond what the lesson itself shows of them."""

import ast
import threading
from pathlib import Path

import nbformat
import pytest
from store_cases import make_token, user_token
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from kaizen_store.contract import RULES, check, check_rule
from kaizen_store.contract.tokens import user_name
from kaizen_store.stores.single_flight import Lease

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "07_write_your_own_store.ipynb"

MULTI_PROCESS_RULES = ("durable-saves", "failures-raise", "concurrent-use", "single-flight")

SLOW = ("check_rule", "form")
"""Words in the cells that check a store."""


@pytest.fixture(scope="module")
def lesson():
    """The names that the lesson defines; what a cell only shows is left out."""
    names = {}
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if cell.cell_type == "code" and not any(word in cell.source for word in SLOW):
            tree = ast.parse(cell.source)
            if isinstance(tree.body[-1], ast.Expr):
                tree.body.pop()
            exec(compile(tree, LESSON.name, "exec"), names)
    yield names
    names["cloud"].stop()


@pytest.fixture
def shared_stores(lesson, tmp_path, monkeypatch):
    """Two stores on one new secret, as two processes have them."""
    monkeypatch.chdir(tmp_path)
    return lesson["SharedSecretStore"](), lesson["SharedSecretStore"]()


def states(report):
    return {result.rule.id: result.state for result in report.results}


def test_each_method_lets_more_rules_pass(lesson):
    before, after = states(check(lesson["FirstDraft"])), states(check(lesson["DictionaryStore"]))
    passed = {id for id, state in before.items() if state == "passed"}
    assert len(RULES) / 2 < len(passed)
    assert passed < {id for id, state in after.items() if state == "passed"}
    assert after["delete-one"] == after["delete-all"] == "passed"
    assert after["one-row-per-user"] == "failed"


@pytest.mark.parametrize("id", MULTI_PROCESS_RULES)
def test_the_store_on_aws_is_safe_with_several_processes(lesson, id):
    (rule,) = [rule for rule in RULES if rule.id == id]
    result = check_rule(rule, lesson["SharedSecretStore"])
    assert (result.state, result.reason) == ("passed", "")


def test_without_optimistic_locking_processes_lose_tokens(lesson, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not lesson["is_ben_kept"](lesson["SecretStore"])
    assert lesson["is_ben_kept"](lesson["SharedSecretStore"])


def test_what_another_process_saves_in_the_middle_is_kept(shared_stores, lesson, monkeypatch):
    one, two = shared_stores
    swap, others = lesson["swap"], [user_token(3), user_token(2)]

    def write(*arguments):
        if others:
            two.save_token(others.pop())
        return swap(*arguments)

    monkeypatch.setattr(one, "write", write, raising=False)
    one.save_token(mine := user_token(1))
    assert {t.get_access_token(): t.get_id() for t in two.get_tokens()} == {
        "access-2": "1",
        "access-3": "2",
        "access-1": "3",
    }
    others.append(user_token(4))
    one.delete_token(mine.get_id())
    assert [t.get_id() for t in two.get_tokens()] == ["1", "2", "4"]
    others.append(user_token(5))
    one.delete_tokens()
    assert two.get_tokens() == []
    two.save_token(last := user_token(6))
    assert last.get_id() == "6"


def test_a_store_that_is_never_first_raises(shared_stores, monkeypatch):
    one, two = shared_stores
    monkeypatch.setattr(one, "write", lambda *_: False, raising=False)
    with pytest.raises(SDKException, match="other processes were first, 100 times"):
        one.save_token(user_token(1))
    assert two.get_tokens() == []


def test_one_of_many_workers_gets_the_lease(shared_stores):
    one, two = shared_stores
    leases = [Lease(store, "lease of a test") for store in (one, two) * 4]
    acquired, barrier = [], threading.Barrier(len(leases))

    def acquire(lease):
        barrier.wait()
        acquired.append(lease.acquire())

    threads = [threading.Thread(target=acquire, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acquired) == [False] * 7 + [True]
    for lease in leases:
        lease.release()
    assert one.get_value("lease of a test") is None
    assert two.all_rows() == []


def test_a_lookup_and_a_waiting_worker_write_no_version(shared_stores, lesson):
    one, two = shared_stores
    one.save_token(user_token(1))
    assert Lease(one, "lease").acquire()
    version = lesson["read"](one.name)[1]
    assert two.find_token(make_token(user_name=user_name(1))).get_access_token() == "access-1"
    assert not Lease(two, "lease").acquire()
    two.save_token(user_token(1))
    assert lesson["read"](one.name)[1] == version


def test_a_failure_at_aws_names_the_secret_and_shows_no_token(shared_stores, lesson, caplog):
    one, _ = shared_stores
    one.save_token(user_token(1))
    lesson["secrets"].delete_secret(SecretId=one.name, ForceDeleteWithoutRecovery=True)
    for step in (one.get_tokens, one.delete_tokens, lambda: one.save_token(user_token(2))):
        caplog.clear()
        with pytest.raises(SDKException) as caught:
            step()
        assert caught.value.code == "TOKEN_STORE"
        assert type(caught.value.cause).__name__ == "ResourceNotFoundException"
        assert one.name in str(caught.value) and one.name in caplog.text
        assert "access-" not in caplog.text + str(caught.value)


def test_a_secret_keeps_no_more_labels_than_it_needs(shared_stores, lesson):
    one, _ = shared_stores
    for number in range(4):
        one.save_token(user_token(number))
    versions = lesson["secrets"].list_secret_version_ids(SecretId=one.name, IncludeDeprecated=True)
    labels = [label for v in versions["Versions"] for label in v.get("VersionStages", [])]
    assert sorted(labels) == ["AWSCURRENT", "AWSPREVIOUS", "NEW"]


def test_the_store_on_aws_is_short(lesson):
    names = ("SecretRows", "SecretStore", "SharedSecretStore")
    cells = nbformat.read(LESSON, as_version=4).cells
    classes = [
        ast.get_source_segment(cell.source, node)
        for cell in cells
        if cell.cell_type == "code"
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.ClassDef) and node.name in names
    ]
    lines = [line for text in classes for line in text.splitlines() if line.strip()]
    assert len(classes) == 3 and len(lines) <= 40
