"""A learner may run any cell again: nothing breaks."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.mark.parametrize("name", ["07_write_your_own_store"])
def test_each_cell_runs_again_after_run_all(name, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(tmp_path)}},
    )
    numbers = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    with client.setup_kernel():
        for number in [*numbers, *(number for number in numbers for _ in range(2))]:
            client.execute_cell(notebook.cells[number], number)  # raises what the cell raises
