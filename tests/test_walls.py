"""The house's walls: who may import whom."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import kaizen_store

PACKAGE = Path(kaizen_store.__file__).parent
ROOMS = ("practice", "notebook")


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}


def imports(name):
    """Each import of a module as (module, imported name or None), with dots resolved."""
    package = name if PATHS[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((at_home(name, alias.name), None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                module = f"{source}.{alias.name}"
                yield (module, None) if module in PATHS else (at_home(name, source), alias.name)


def at_home(name, source):
    """Resolve what a core file imports where it was copied beside a script: its sibling."""
    sibling = f"kaizen_store.{source}"
    return sibling if not room(name) and sibling in PATHS else source


def imported(name):
    return {module for module, _ in imports(name)}


def ours(module):
    return module.partition(".")[0] == "kaizen_store"


def room(module):
    """Return "practice", "notebook", or "" for the core."""
    second = module.split(".")[1:2]
    return second[0] if second and second[0] in ROOMS else ""


def private(name):
    return name.startswith("_") and not name.startswith("__")


each_module = pytest.mark.parametrize("name", sorted(PATHS))


@each_module
def test_a_room_imports_only_the_rooms_that_it_may(name):
    allowed = {"": {""}, "practice": {"practice"}, "notebook": {"", "practice", "notebook"}}
    assert {module for module in imported(name) if ours(module)} == {
        module for module in imported(name) if ours(module) and room(module) in allowed[room(name)]
    }


@pytest.mark.parametrize("name", [name for name in sorted(PATHS) if not room(name)])
def test_the_core_imports_the_sdk_and_the_standard_library_alone(name):
    outside = {module.partition(".")[0] for module in imported(name) if not ours(module)}
    assert outside - sys.stdlib_module_names <= {"zohocrmsdk"}


@each_module
def test_no_module_reaches_into_another_s_private_names(name):
    assert [item for item in imports(name) if item[1] and ours(item[0]) and private(item[1])] == []
    here = private_names(name)
    elsewhere = set().union(*(private_names(other) for other in PATHS)) - here
    reached = {node.attr for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute)}
    assert reached & elsewhere == set()


def private_names(name):
    """The `_names` that a module makes: functions, classes, variables, attributes of self."""
    made = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            made.add(node.attr)
    return set(filter(private, made))


def test_no_import_goes_round_in_a_circle():
    graph = {name: {module for module in imported(name) if module in PATHS} for name in PATHS}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_importing_the_package_loads_the_sdk_and_the_standard_library_alone():
    sdk = loaded_by(
        "import zohocrmsdk.src.com.zoho.crm.api.initializer,"
        " zohocrmsdk.src.com.zoho.api.authenticator.oauth_token"
    )
    package = loaded_by("import kaizen_store")
    assert "kaizen_store" in package and "zohocrmsdk" in package
    assert package - sdk - sys.stdlib_module_names == {"kaizen_store"}
    heavy = {"flask", "pandas", "ipywidgets", "sqlalchemy", "cryptography", "IPython", "matplotlib"}
    assert package & heavy == set()


def loaded_by(statement):
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return {module.partition(".")[0] for module in done.stdout.split()}
