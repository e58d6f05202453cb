"""What the README shows is what its commands print, and its code runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store.practice import PracticeZoho

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TESTING = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")


def code_with(text):
    blocks = re.findall(r"```python\n(.*?)```", README + TESTING, re.S)
    return next(code for code in blocks if text in code)


def test_the_code_for_your_project_runs_against_practice_zoho(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Initializer, "initializer", None)
    with PracticeZoho() as zoho:
        monkeypatch.setenv("ZOHO_CLIENT_ID", zoho.client_id)
        monkeypatch.setenv("ZOHO_CLIENT_SECRET", zoho.client_secret)
        monkeypatch.setenv("ZOHO_GRANT_TOKEN", zoho.grant())
        code = code_with("zohooauth.db").replace("EUDataCenter.PRODUCTION()", "zoho.environment")
        # A Self Client has no redirect URL; the client of Practice Zoho has one.
        code = code.replace(
            "\n)\nstore", '\n    redirect_url="https://example.com/callback",\n)\nstore'
        )
        scope = {"zoho": zoho}
        exec(code, scope)
        with scope["store"] as store:
            assert store.find_token_by_id("1").get_access_token()


def test_the_custom_store_is_short_and_passes_the_contract(tmp_path):
    code = code_with("class DictionaryStore")
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    (tmp_path / "mystore.py").write_text(code)
    command = re.search(r"python (-m kaizen_store\.contract \S+)", README)[1]
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n23 passed, 2 not applicable\n")


def test_the_code_for_tests_without_zoho_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Initializer, "initializer", None)
    exec(code_with("with PracticeZoho()"), {})  # ends in an assert


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_a_link_leads_to_a_file(link):
    assert (ROOT / link).exists()


def test_make_alone_names_the_targets_of_the_readme():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in re.findall(r"`make (\w[\w-]*)`", README):
        assert f"make {target}" in done.stdout


def test_the_workflow_tries_every_sdk_on_every_python_of_the_matrix():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    pythons, sdks = (
        re.findall(
            r"[\w.]+", re.search(rf"{name}: \[(.*)\]", workflow.partition("  matrix: #")[2])[1]
        )
        for name in ("python", "sdk")
    )
    tox = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    minors, known = re.search(r"env_list = py3\{(.*)\}-sdk\{(.*)\}", tox).groups()
    assert [f"3.{minor}" for minor in minors.split(",")] == pythons
    assert known.split(",") == sdks
