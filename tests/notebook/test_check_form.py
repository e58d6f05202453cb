"""The form and the exercise of lesson 07: what a learner's store keeps and breaks."""

import ast

import pytest

from kaizen_store import CustomStoreInMemory, CustomStoreList
from kaizen_store.notebook import TODO, CheckForm, check_own_store
from kaizen_store.notebook.explain import InputError


class Forgetful(CustomStoreList):
    def find_token_by_id(self, id):
        raise KeyError(id)

    def delete_tokens(self):
        pass


class Counting(CustomStoreList):
    def __init__(self):
        super().__init__()
        self.asked = 0

    def find_token(self, token):
        self.asked += 1
        return super().find_token(token)


class CountingForgetful(Forgetful, Counting):
    pass


class CountingTwice(Counting):
    def find_token(self, token):
        self.asked += 1
        return super().find_token(token)


def test_a_store_that_keeps_the_rules_is_told_so_and_shown():
    form = CheckForm(Forgetful, CustomStoreInMemory)
    form.submit()
    assert "✔ CustomStoreInMemory: 22 rules kept, 2 not applicable." in form.status.value
    assert [step.call.partition("(")[0] for step in form.trace.steps] == [
        "save_token",
        "find_token",
    ]
    assert len(form.store.get_tokens()) == 1


def test_the_first_broken_rule_is_told_with_where_to_look():
    form = CheckForm(Forgetful, CustomStoreInMemory)
    form.inputs["kind"].value = "Forgetful"
    with pytest.raises(
        InputError, match=r"The first is rule 17, .*KeyError.* Look at find_token_by"
    ):
        form.submit()
    assert "✖" in form.status.value and type(form.store) is Forgetful


def test_the_code_runs():
    code = CheckForm(CustomStoreList).code({"kind": "CustomStoreList"})
    assert isinstance(ast.parse(code), ast.Module)
    exec(code, {"CustomStoreList": CustomStoreList})


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (TODO, "not yet", "replace TODO"),
        (17, "wrong", "give the class"),
        (CustomStoreList, "wrong", "asked 0 times"),
        (CountingTwice, "wrong", "asked is 2"),
        (CountingForgetful, "wrong", "rule 17"),
        (Counting, "done", "keeps every rule"),
    ],
)
def test_the_exercise_wants_a_store_that_counts_and_keeps_the_rules(answer, state, said):
    verdict = check_own_store(answer)
    assert (verdict.state, said in verdict.text) == (state, True), verdict
