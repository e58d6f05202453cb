"""Each exercise: the grader says what is missing, and that the printed solution is done."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

LESSONS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def grade_of(cell):
    return "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_solution_is_graded_as_done(path):
    notebook = nbformat.read(path, as_version=4)
    (text,) = [cell.source for cell in notebook.cells if "<details>" in cell.source]
    solution = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    (exercise,) = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and re.search(r"^grade_\w+\(", cell.source, re.MULTILINE)
    ]
    assert grade_of(exercise).startswith("○ Not yet: ")
    imports = [line for line in exercise.source.splitlines() if line.startswith("from ")]
    exercise.source = "\n".join([*imports, solution])
    NotebookClient(notebook, timeout=60, extra_arguments=["--log-level=ERROR"]).execute()
    assert grade_of(exercise).startswith("✔ Done: ")
