"""The form and the exercise of lesson 07: which rules a learner's store follows."""

import ast
import re
import sys

import pytest

from kaizen_store import CustomStoreInMemory, CustomStoreList, RowStore
from kaizen_store.contract import RULES, Report
from kaizen_store.notebook import TODO, CheckForm, grade_own_store
from kaizen_store.notebook.explanations import InputError


class Forgetful(CustomStoreList):
    def delete_tokens(self):
        pass


DELETE_ALL = next(rule for rule in RULES if rule.id == "delete-all")


class Own(CustomStoreList):
    pass


class WithoutDelete(RowStore):
    all_rows, add_row, update_row = Own.all_rows, Own.add_row, Own.update_row


class NeedsAPath(Own):
    def __init__(self, path):
        super().__init__()


def test_a_store_that_follows_the_rules_is_told_so_and_shown():
    form = CheckForm(Forgetful, CustomStoreInMemory)
    form.submit()
    assert re.search(r"✔ CustomStoreInMemory: \d\d passed", form.status.value)
    assert "failed" not in form.status.value
    assert [step.call.partition("(")[0] for step in form.trace.steps] == [
        "save_token",
        "find_token",
    ]
    assert len(form.store.get_tokens()) == 1


def test_the_first_rule_that_failed_is_told_with_its_reason_and_hint():
    form = CheckForm(Forgetful, CustomStoreInMemory)
    form.inputs["kind"].value = "Forgetful"
    with pytest.raises(InputError) as raised:
        form.submit()
    said = r"Forgetful: \d\d passed, \d failed.* The first failed rule is delete-all \(.+\): .+\. "
    assert re.match(f"{said}Hint: {re.escape(DELETE_ALL.hint)}.", str(raised.value))
    assert "✖ Checked" in form.status.value and type(form.store) is Forgetful


def test_no_check_runs_while_the_form_traces(monkeypatch):
    profiles = []

    def check(make_store):
        profiles.append(sys.getprofile())
        return Report(())

    monkeypatch.setattr("kaizen_store.notebook.forms.check.check", check)
    CheckForm(CustomStoreList).submit()
    assert profiles == [None], "a profile function would slow the checks down"


def test_the_code_runs():
    code = CheckForm(CustomStoreList).code({"kind": "CustomStoreList"})
    assert isinstance(ast.parse(code), ast.Module)
    exec(code, {"CustomStoreList": CustomStoreList})


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (TODO, "not yet", "replace TODO"),
        (17, "wrong", "give the class"),
        (Own(), "wrong", "give the class"),
        (WithoutDelete, "not yet", "WithoutDelete still needs these methods: delete_row."),
        (NeedsAPath, "wrong", "NeedsAPath cannot be called without arguments"),
        (list, "wrong", "a list was created"),
        (Forgetful, "wrong", f"rule delete-all (.*Hint: {DELETE_ALL.hint}"),
        (Own, "done", "Own passes every rule"),
        (lambda: CustomStoreList(), "done", "passes every rule"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_exercise_wants_a_store_that_passes_every_rule(answer, state, said):
    grade = grade_own_store(answer)
    assert grade.state == state, grade
    assert all(part in grade.text for part in said.split(".*")), grade
