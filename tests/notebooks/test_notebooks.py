"""The lessons are committed with outputs, in one normal form, and have the same structure."""

import ast
import importlib.util
import re
import statistics
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in LESSONS]

each_lesson = pytest.mark.parametrize("path", LESSONS, ids=NAMES)


def normalize(notebook):
    """Call the function with which `make notebooks` saves a lesson."""
    path = ROOT / "scripts" / "notebooks.py"
    spec = importlib.util.spec_from_file_location("notebooks_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.normalise(notebook)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def prose(path):
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def code(path):
    return [ast.parse(cell.source) for cell in cells(path, "code")]


def names(tree):
    """Return every name in the code, also those after a dot."""
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }


def lines(source):
    return [line for line in source.splitlines() if line.strip()]


def test_there_are_lessons_numbered_from_zero():
    assert NAMES and NAMES[0] == "00_start_here.ipynb"
    assert [name[:3] for name in NAMES] == [f"{number:02}_" for number in range(len(NAMES))]


@each_lesson
def test_was_run_from_top_to_bottom_without_an_unexpected_error(path):
    counts = [cell.execution_count for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1)), "run `make notebooks`"
    for cell in cells(path, "code"):
        if "raises-exception" not in cell.metadata.get("tags", []):
            assert not [output for output in cell.outputs if output.output_type == "error"]


@each_lesson
def test_is_saved_in_the_normal_form(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "older versions have no cell ids"
    assert "widgets" not in notebook.metadata, "it would contain the input of the forms"
    assert text == normalize(notebook), "run `make notebooks`"


@each_lesson
def test_cells_are_short_and_none_is_empty(path):
    assert all(cell.source.strip() for cell in nbformat.read(path, as_version=4).cells)
    assert statistics.median(len(lines(cell.source)) for cell in cells(path, "code")) <= 5


@each_lesson
def test_has_the_same_structure(path):
    first, *_ = nbformat.read(path, as_version=4).cells
    assert first.cell_type == "markdown" and re.match(r"# \S", first.source)
    text = prose(path).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for part in (
        "What you'll do",
        "What you'll learn",
        "What you'll need",
        "Check yourself",
        "In your project",
    ):
        assert part in text
    assert re.search(r"\d+ min", text), "say how many minutes it takes"
    steps = [int(number) for number in re.findall(r"^##+ (?:Step )?(\d+)\b", text, re.MULTILINE)]
    assert steps and steps == list(range(1, len(steps) + 1)), "number the steps from 1"


@each_lesson
def test_links_work_and_lead_to_its_neighbors(path):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    files = [link.partition("#")[0] for link in links if not re.match(r"\w+:|#", link)]
    assert [file for file in files if not (path.parent / file).exists()] == []
    position = LESSONS.index(path)
    for neighbor in NAMES[max(position - 1, 0) : position] + NAMES[position + 1 : position + 2]:
        assert neighbor in files


@each_lesson
def test_shows_plain_code_then_a_form_with_the_trace_and_the_table(path):
    trees = code(path)
    used = [names(tree) for tree in trees]
    forms = [number for number, tree in enumerate(trees) if makes_a_form(tree)]
    assert forms, "no form"
    helpers = {
        alias.asname or alias.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kaizen_store.note")
        for alias in node.names
    }
    plain = [
        3 <= len(lines(cell.source)) <= 8 and not used[number] & helpers
        for number, cell in enumerate(cells(path, "code"))
    ]
    assert any(plain[: forms[0]]), "before the first form, show the step in 3 to 8 plain lines"
    everything = set().union(*used)
    assert "submit" in everything, "Run All must do what the form does: form.submit()"
    assert "token_table" in everything, "no token table"
    assert everything & {"trace", "Trace"}, "no trace"


def makes_a_form(tree):
    return any(
        isinstance(node, ast.Call) and any(name.endswith("Form") for name in names(node.func))
        for node in ast.walk(tree)
    )
