"""The project that lesson 09 writes: complete, tidy, without secrets, and it runs."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_store.notebook import ProjectForm, grade_project
from kaizen_store.notebook.explanations import InputError
from kaizen_store.notebook.forms.project import COPIED, DOTENV, INSTALLED, VARIABLES
from kaizen_store.notebook.forms.token_code import DATA_CENTERS, PRACTICE, STORE_NAMES


def settings(zoho, **others):
    return {
        "ZOHO_CLIENT_ID": zoho.client_id,
        "ZOHO_CLIENT_SECRET": zoho.client_secret,
        "ZOHO_GRANT_TOKEN": zoho.grant(),
        "ZOHO_REDIRECT_URL": zoho.redirect_url,
    } | others


def written(zoho, place, **choices):
    form = ProjectForm(zoho, place.parent)
    for name, value in ({"folder": place.name} | choices).items():
        form.inputs[name].value = value
    form.submit()
    return place


def run(folder, variables=()):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ZOHO_")}
    return subprocess.run(
        [sys.executable, "zoho_client.py"],
        cwd=folder,
        env=clean | dict(variables),
        capture_output=True,
        text=True,
    )


SERVERS = (PRACTICE, "EU")
CHOICES = [*itertools.product(STORE_NAMES, SERVERS, (VARIABLES, DOTENV), (COPIED, INSTALLED))]


@pytest.mark.parametrize(("store", "server", "secrets", "package"), CHOICES)
def test_every_choice_is_tidy_and_holds_no_secret(zoho, tmp_path, store, server, secrets, package):
    choices = {"store": store, "server": server, "secrets": secrets, "package": package}
    folder = written(zoho, tmp_path / "project", **choices)
    client = (folder / "zoho_client.py").read_text()
    compile(client, "zoho_client.py", "exec")
    assert max(map(len, client.splitlines())) <= 88
    ruff = Path(sys.executable).with_name("ruff")
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *check, "--no-cache", "--isolated", "zoho_client.py"],
            cwd=folder,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout
    assert client.count(store) == 2 and ("127.0.0.1" in client) == (server == PRACTICE)
    assert (folder / "stores" / "token_row.py").exists() == (package == COPIED)
    assert (folder / ".env.example").exists() == ("load_dotenv" in client) == (secrets == DOTENV)
    assert ".env" in (folder / ".gitignore").read_text().splitlines()
    for path in filter(Path.is_file, folder.rglob("*")):
        assert zoho.client_secret not in path.read_text()


@pytest.mark.parametrize("store", STORE_NAMES)
def test_it_runs_with_what_it_was_given_alone(zoho, tmp_path, store):
    folder = written(zoho, tmp_path / "project", store=store)
    first = run(folder, settings(zoho) | {"PYTHONPATH": ""})
    assert first.stdout.count("\n") == 5 and first.stderr == ""
    again = run(folder)
    if store == "CustomStoreSQLite":
        assert again.stdout == first.stdout
    else:
        assert again.stderr.startswith("ZOHO_CLIENT_ID is not set: ")


def test_it_reads_a_dotenv_file(zoho, tmp_path):
    folder = written(zoho, tmp_path / "project", secrets=DOTENV)
    assert run(folder).stderr == "ZOHO_CLIENT_ID is not set: write it into the file .env.\n"
    names = [line.partition("=")[0] for line in (folder / ".env.example").read_text().splitlines()]
    values = settings(zoho)
    assert set(values) <= set(names)
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    assert run(folder).stdout.count("\n") == 5


@pytest.mark.parametrize("server", [PRACTICE, "EU"])
@pytest.mark.parametrize("secrets", [VARIABLES, DOTENV])
def test_the_status_says_what_to_do_next(zoho, tmp_path, server, secrets):
    form = ProjectForm(zoho, tmp_path)
    form.inputs["server"].value, form.inputs["secrets"].value = server, secrets
    form.submit()
    assert ("ZOHO_REDIRECT_URL" in form.status.value) == (server == PRACTICE)
    assert ("copy .env.example to .env" in form.status.value) == (secrets == DOTENV)


@pytest.mark.parametrize("center", DATA_CENTERS)
def test_the_real_zoho_differs_in_one_line_and_its_import(zoho, tmp_path, center):
    practice = written(zoho, tmp_path / "practice") / "zoho_client.py"
    real = written(zoho, tmp_path / "real", server=center, environment="SANDBOX") / "zoho_client.py"
    new = set(real.read_text().splitlines()) - set(practice.read_text().splitlines())
    assert {line.partition(" ")[0] for line in new} == {"from", "ENVIRONMENT"} and len(new) == 2
    assert f"ENVIRONMENT = {center}DataCenter.SANDBOX()" in new


def test_no_file_is_overwritten_and_none_is_added(zoho, tmp_path):
    mine = tmp_path / "stores" / "token_row.py"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"stores/token_row\.py already exist"):
        written(zoho, tmp_path)
    assert list(filter(Path.is_file, tmp_path.rglob("*"))) == [mine]
    assert mine.read_text() == "mine"


def test_a_folder_that_cannot_be_is_told(zoho, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write to the folder"):
        written(zoho, tmp_path / "file" / "project")
    with pytest.raises(InputError, match="Cannot write to the folder"):
        written(zoho, tmp_path / ("long" * 100))
    with pytest.raises(InputError, match="folder is missing"):
        written(zoho, tmp_path / " ")


def test_a_whole_path_is_taken_as_it_is(zoho, tmp_path):
    written(zoho, tmp_path / "not here" / "at all", folder=str(tmp_path / "here"))
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_the_exercise_wants_a_data_center_and_a_dotenv_file(zoho, tmp_path):
    assert grade_project(tmp_path / "none").state == "not yet"
    practice = written(zoho, tmp_path / "practice", secrets=DOTENV)
    assert "Practice Zoho" in grade_project(practice).text
    variables = written(zoho, tmp_path / "variables", server="EU")
    assert "environment variables" in grade_project(variables).text
    good = written(zoho, tmp_path / "good", server="EU", secrets=DOTENV)
    assert grade_project(good).state == "done"
    (good / ".gitignore").write_text("")
    assert "git would add" in grade_project(good).text
