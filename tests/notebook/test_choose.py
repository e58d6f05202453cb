"""The form, the measurement and the exercise of lesson 06."""

import pytest

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.notebook import TODO, ChooseForm, grade_choice, time_to_find
from kaizen_store.notebook.explanations import InputError
from kaizen_store.notebook.forms.choose import EPHEMERAL, MACHINES, ONE, PERSISTENT, SEVERAL


@pytest.mark.parametrize(
    ("restart", "processes", "kind"),
    [
        (PERSISTENT, ONE, CustomStoreSQLite),
        (PERSISTENT, SEVERAL, CustomStoreSQLite),
        (EPHEMERAL, SEVERAL, CustomStoreSQLite),
        (EPHEMERAL, ONE, CustomStoreInMemory),
    ],
)
def test_two_answers_choose_a_store_and_try_it(tmp_path, monkeypatch, restart, processes, kind):
    form = ChooseForm(CustomStoreList(), tmp_path)
    form.inputs["restart"].value, form.inputs["processes"].value = restart, processes
    form.submit()
    assert type(form.store) is kind and kind.__name__ in form.status.value
    assert [step.call.partition("(")[0] for step in form.trace.steps] == [
        "save_token",
        "find_token",
    ]
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(form.code({"restart": restart, "processes": processes}), scope)
    assert type(scope["store"]) is kind and scope["token"].get_refresh_token()


def test_a_file_is_not_recommended_for_several_machines(tmp_path):
    form = ChooseForm(before := CustomStoreList(), tmp_path)
    form.inputs["processes"].value = MACHINES
    with pytest.raises(InputError, match="one machine"):
        form.submit()
    assert form.store is before and list(tmp_path.iterdir()) == []


def test_each_store_is_timed_with_each_number_of_users(tmp_path):
    times = time_to_find(tmp_path, users=(1, 30))
    assert list(times.index) == [1, 30]
    assert set(times.columns) == {
        "CustomStoreInMemory",
        "CustomStoreList",
        "CustomStoreSQLite",
        "FileStore",
    }
    assert (times > 0).all(axis=None) and (times < 1000).all(axis=None)


def test_a_lookup_that_finds_nothing_is_not_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(CustomStoreList, "find_token", lambda self, token: None)
    with pytest.raises(RuntimeError, match="CustomStoreList"):
        time_to_find(tmp_path, users=(1,))


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (TODO, "not yet"),
        (CustomStoreSQLite, "done"),
        ("CustomStoreSQLite", "done"),
        (CustomStoreInMemory, "wrong"),
        (CustomStoreList, "wrong"),
        ("FileStore", "wrong"),
        (17, "wrong"),
    ],
)
def test_the_exercise_wants_a_store_for_several_processes(answer, state):
    assert grade_choice(answer).state == state
