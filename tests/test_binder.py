"""The conda environment, here and on Binder, has what the package depends on."""

import os
import re
import sys
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from repo2docker.app import Repo2Docker

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def required():
    """Return what pyproject.toml requires, with the extra of the lessons: bounds by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["notebooks"]
    return {item.name: item.specifier for item in map(Requirement, texts)}


def installed():
    """Return what environment.yml installs, from conda-forge and with pip: bounds by name."""
    texts = []
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        texts += entry["pip"] if isinstance(entry, dict) else [entry]
    pins = [Requirement(re.sub(r"^python=", "python==", text)) for text in texts]
    # conda-forge splits matplotlib: `-base` has no desktop windows.
    return {pin.name.removesuffix("-base"): pin.specifier for pin in pins}


def test_the_two_environment_files_are_the_same():
    here, there = ROOT / "environment.yml", ROOT / "binder" / "environment.yml"
    assert here.read_bytes() == there.read_bytes()
    assert not there.is_symlink()


def test_it_installs_what_the_package_depends_on_with_the_same_bounds():
    there = installed()
    assert {name: there.get(name) for name in required()} == required()


def test_it_installs_nothing_else():
    assert set(installed()) - set(required()) == {"python", "pip"}


def test_it_does_not_install_this_folder():
    # In binder/, a path means that folder, and Binder could not reuse the layer of the image.
    assert not re.search(
        r"^\s*-\s*(-e\b|--editable|\.)", (ROOT / "environment.yml").read_text(), re.M
    )


def test_the_package_is_installed_after_the_environment():
    post_build = ROOT / "binder" / "postBuild"
    lines = post_build.read_text().splitlines()
    assert lines[0].startswith("#!")
    assert lines.index("set -e") < lines.index("pip install --no-deps .")
    assert os.access(post_build, os.X_OK)


def test_repo2docker_plans_the_expected_steps(monkeypatch):
    monkeypatch.chdir(ROOT)
    builder = Repo2Docker()
    plans = (pack(builder.base_image) for pack in builder.buildpacks)
    plan = next(plan for plan in plans if plan.detect())  # the first match is used
    assert type(plan).__name__ == "CondaBuildPack" and plan.python_version == "3.12"
    # First the packages, in a separate layer; then the repository and postBuild.
    assert plan.get_preassemble_script_files() == {
        "binder/environment.yml": "binder/environment.yml"
    }
    assert plan.get_post_build_scripts() == ["binder/postBuild"]
    assert plan.get_start_script() is None
