"""Which module may import which: the import boundaries of the package."""

import ast
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import kaizen_store

PACKAGE = Path(kaizen_store.__file__).parent

MAY_IMPORT = {
    "": {"stores"},
    "stores": {"stores"},
    "contract": {"stores", "contract"},
    "practice": {"practice"},
    "notebook": {"", "stores", "contract", "practice", "notebook"},
}
"""For each folder, the folders of the package that its modules may import; "" is the top."""


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
PACKAGES = [name for name in PATHS if PATHS[name].name == "__init__.py"]


def imports(name, tree=None):
    """Yield each import of a module as (module, imported name or None), with dots resolved."""
    package = name if name in PACKAGES else name.rpartition(".")[0]
    for node in ast.walk(tree or TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                module = f"{source}.{alias.name}"
                yield (module, None) if module in PATHS else (source, alias.name)


def imported(name, tree=None):
    return {module for module, _ in imports(name, tree)}


def is_ours(module):
    return module.partition(".")[0] == "kaizen_store"


def folder_of(module):
    """Return the folder of the package that a module is in: "stores", or "" for the top."""
    folder = module.split(".")[1:2]
    return folder[0] if folder and f"kaizen_store.{folder[0]}" in PACKAGES else ""


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


each_module = pytest.mark.parametrize("name", sorted(PATHS))


def test_each_folder_has_boundaries():
    assert {folder_of(name) for name in PATHS} == set(MAY_IMPORT)


@each_module
def test_a_module_imports_only_from_the_folders_that_it_may(name):
    found = {module: folder_of(module) for module in imported(name) if is_ours(module)}
    allowed = MAY_IMPORT[folder_of(name)]
    assert {module for module, folder in found.items() if folder not in allowed} == set()


@pytest.mark.parametrize("name", [name for name in sorted(PATHS) if folder_of(name) == "stores"])
def test_the_stores_import_only_the_sdk_and_the_standard_library(name):
    outside = {module.partition(".")[0] for module in imported(name) if not is_ours(module)}
    assert outside - sys.stdlib_module_names <= {"zohocrmsdk"}


@pytest.mark.parametrize("name", [name for name in sorted(PATHS) if folder_of(name) == "stores"])
def test_the_imports_inside_the_stores_are_relative(name):
    absolute = [
        node
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Import | ast.ImportFrom) and "kaizen_store" in ast.unparse(node)
    ]
    assert absolute == [], "a copy of the folder under another name could not import this"


@each_module
def test_no_module_uses_private_names_of_another(name):
    found = [item for item in imports(name) if item[1] and is_ours(item[0]) and is_private(item[1])]
    assert found == []
    own = private_names(name)
    others = set().union(*(private_names(other) for other in PATHS)) - own
    used = {node.attr for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute)}
    assert used & others == set()


def private_names(name):
    """Return the `_names` of a module: functions, classes, variables, attributes of objects."""
    names = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return set(filter(is_private, names))


class WithoutTypeChecking(ast.NodeTransformer):
    """Removes the imports that only a type checker sees."""

    def visit_If(self, node):
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)


def test_no_modules_import_each_other():
    graph = {}
    for name, path in PATHS.items():
        tree = WithoutTypeChecking().visit(ast.parse(path.read_text(encoding="utf-8")))
        graph[name] = {module for module in imported(name, tree) if module in PATHS}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, with the modules


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_the_name_of_something_that_its_package_exports(package):
    exported = {name for _, name in imports(package) if name} | set(
        getattr(importlib.import_module(package), "__all__", [])
    )
    modules = {name.rpartition(".")[2] for name in PATHS if name.rpartition(".")[0] == package}
    assert exported & modules == set()


@each_module
def test_no_shipped_module_imports_a_mock(name):
    mocks = {("unittest", "mock"), ("unittest.mock", None)}
    assert not {item for item in imports(name) if item in mocks or item[0] == "unittest.mock"}


def test_importing_the_package_loads_only_the_sdk_and_the_standard_library():
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
    """Return the top-level modules that a new interpreter has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return {module.partition(".")[0] for module in done.stdout.split()}
