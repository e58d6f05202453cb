"""What the README shows is what its commands print, and its code runs."""

import re
import subprocess
from pathlib import Path

import compare_stores
import pytest
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store.contract import check
from kaizen_store.practice import PracticeZoho

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def columns(table):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {cells[0]: list(cells[1:]) for cells in zip(*rows, strict=True)}


def test_the_comparison_is_the_one_that_the_command_prints():
    names = ["`CustomStoreSQLite`", "`CustomStoreInMemory`", "`CustomStoreList`"]
    names.append("SDK's `FileStore`")  # the column of DBStore needs a database server
    printed = columns(
        compare_stores.table({name: check(compare_stores.STORES[name]) for name in names})
    )
    shown = columns(re.search(r"^\| Rule .*?\n\n", README, re.DOTALL | re.MULTILINE)[0].strip())
    assert {name: shown[name] for name in ["Rule", *names]} == printed


def code_with(text):
    return next(code for code in re.findall(r"```python\n(.*?)```", README, re.S) if text in code)


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
