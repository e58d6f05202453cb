"""The folder of the stores works when it is copied, with only the SDK installed."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kaizen_store

ROOT = Path(__file__).resolve().parents[2]
STORES = Path(kaizen_store.__file__).with_name("stores")

PROGRAM = """
import sys
import time
from {package} import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite, RowStore
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken

for store in (CustomStoreSQLite("tokens.db"), CustomStoreInMemory(), CustomStoreList()):
    assert isinstance(store, RowStore)
    token = OAuthToken(client_id="client", client_secret="secret", refresh_token="refresh")
    token.set_expires_in(str(int(time.time() * 1000)))
    store.save_token(token)
    found = store.find_token(OAuthToken(id=token.get_id()))
    assert found.get_refresh_token() == "refresh"
    assert store.get_tokens()[0].get_id() == "1"
    store.delete_token("1")
    assert store.find_token_by_id("1") is None
    store.close()

try:
    import kaizen_store
except ModuleNotFoundError:
    print("works without kaizen_store")
"""


def distributions_of_the_sdk():
    """Return the installed SDK and everything that it depends on."""
    names = list(importlib.metadata.packages_distributions()["zohocrmsdk"])
    found = {}
    while names:
        name = names.pop().lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or another system
        requirements = [text for text in found[name].requires or [] if "extra ==" not in text]
        names += [re.match(r"[\w.-]+", text)[0] for text in requirements]
    return found.values()


@pytest.fixture
def packages(tmp_path):
    """A folder with links to the SDK and its dependencies, and nothing else."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for distribution in distributions_of_the_sdk():
        tops = {file.parts[0] for file in distribution.files if file.parts[0] != ".."}
        for top in tops - {"__pycache__"}:
            (folder / top).symlink_to(distribution.locate_file(top))
    return folder


@pytest.mark.parametrize("package", ["zoho_tokens", "application.zoho_tokens"])
def test_the_copied_folder_works_under_another_name(tmp_path, packages, package):
    project = tmp_path / "project"
    target = project.joinpath(*package.split("."))
    shutil.copytree(STORES, target, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "program.py").write_text(PROGRAM.format(package=package))
    paths = f"import sys; sys.path += [{str(project)!r}, {str(packages)!r}]"
    # -I and -S: neither the environment nor site-packages adds to the path.
    command = [sys.executable, "-I", "-S", "-c", f"{paths}\nimport program"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "works without kaizen_store\n", "")


@pytest.mark.parametrize("path", sorted(STORES.rglob("*.py")), ids=lambda path: path.name)
def test_each_file_states_its_origin_version_and_license_in_one_line(path):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.*)"$', project, re.MULTILINE)[1]
    license = re.search(r'^license = "(.*)"$', project, re.MULTILINE)[1]
    origin = "https://github.com/kaizen-store/kaizen-store"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines.count(f"Part of Kaizen Store {version} ({origin}), {license}.") == 1
