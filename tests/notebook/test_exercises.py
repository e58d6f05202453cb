"""What the graders say to a learner whose exercise is not done yet."""

from pathlib import Path

import pytest
from store_cases import make_token, user_token
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken

from kaizen_store.notebook import (
    TODO,
    Step,
    Trace,
    grade_found,
    grade_lasting_token,
    grade_one_refresh,
    grade_saved_once,
    grade_two_users,
    health_check,
    progress,
    trace,
)

GRACE = "grace@example.com:6001"
REFRESH, READ = (Step("Zoho", call, "200") for call in ("POST /oauth/v2/token", "GET /x/Leads"))


@pytest.mark.parametrize(
    ("answer", "state"),
    [(TODO, "not yet"), ("access token", "wrong"), (42, "wrong"), ("Refresh_Token", "done")],
)
def test_lasting_token(answer, state):
    assert grade_lasting_token(answer).state == state


def test_two_users(store):
    assert grade_two_users(store).state == "not yet"
    store.save_token(user_token(1))
    assert "one user's token" in grade_two_users(store).text
    store.save_token(user_token(2))
    assert grade_two_users(store).state == "done"


def test_saved_once(store):
    assert grade_saved_once(store).state == "not yet"
    store.save_token(make_token(user_name=GRACE, access_token="a", client_id="one"))
    assert "no refresh token" in grade_saved_once(store).text
    store.save_token(make_token(user_name=GRACE, refresh_token="r", client_id="two"))
    assert "2 rows" in grade_saved_once(store).text
    store.delete_token("1")
    assert "now save only an access token" in grade_saved_once(store).text
    store.save_token(make_token(user_name=GRACE, access_token="a"))
    assert grade_saved_once(store).state == "done"


def test_found(store):
    store.save_token(user_token(1))
    store.save_token(user_token(2))
    wanted = OAuthToken(access_token="access-2")
    with trace(store) as none:
        pass
    assert grade_found(TODO, none, store).state == "not yet"
    assert "no row matches" in grade_found(None, none, store).text
    assert "this is a str" in grade_found("access-2", none, store).text
    assert "this is row 1" in grade_found(store.find_token_by_id("1"), none, store).text
    assert "called nothing" in grade_found(store.get_tokens()[-1], none, store).text
    with trace(store) as by_id:
        answer = store.find_token_by_id("2")
    assert "called find_token_by_id('2')" in grade_found(answer, by_id, store).text
    with trace(store) as by_access_token:
        answer = store.find_token(wanted)
    assert grade_found(answer, by_access_token, store).state == "done"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (TODO, "replace TODO"),
        ("my_steps", "not a trace"),
        (Trace([REFRESH, READ]), "reads the leads 1 times"),
        (Trace([READ, READ]), "there was no refresh"),
        (Trace([REFRESH, READ, REFRESH, READ]), "2 refreshes"),
        (Trace([REFRESH, READ, READ]), "two API calls, one refresh"),
    ],
    ids=str,
)
def test_one_refresh(steps, said):
    assert said in grade_one_refresh(steps).text


def test_a_grader_never_raises():
    assert grade_two_users(None).state == "wrong"


def test_the_health_check_says_works_or_what_is_wrong(monkeypatch):
    assert set(health_check()["result"]) == {"✔ works"}
    monkeypatch.setattr("kaizen_store.notebook.health.find_spec", lambda name: None)
    assert "pip install" in health_check()["result"]["forms"]


def test_what_is_done_is_remembered_for_the_first_lesson(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAIZEN_STORE_PROGRESS")
    assert set(progress()["state"]) == {"○ not yet"}
    grade_lasting_token("access token")
    assert list(tmp_path.iterdir()) == []
    grade_lasting_token("refresh token")
    grade_one_refresh(Trace([REFRESH, READ, READ]))
    grade_lasting_token("access token")  # once done, it stays done
    states = progress()["state"]
    assert list(states[states == "✔ done"].index) == ["lesson 00", "lesson 04"]


@pytest.mark.parametrize("text", ["", "no JSON", "17", "null"])
def test_a_damaged_progress_file_is_no_trouble(tmp_path, monkeypatch, text):
    monkeypatch.setenv("KAIZEN_STORE_PROGRESS", str(tmp_path / "progress.json"))
    (tmp_path / "progress.json").write_text(text)
    assert set(progress()["state"]) == {"○ not yet"}
    assert grade_lasting_token("refresh token").state == "done"
    assert progress()["state"]["lesson 00"] == "✔ done"


def test_every_lesson_has_its_exercise_in_the_progress():
    lessons = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
    assert list(progress().index) == [f"lesson {path.name[:2]}" for path in lessons]


def test_a_folder_that_cannot_be_written_to_is_no_trouble(tmp_path, monkeypatch):
    monkeypatch.setenv("KAIZEN_STORE_PROGRESS", str(tmp_path / "no such folder" / "progress.json"))
    assert grade_lasting_token("refresh token").state == "done"
