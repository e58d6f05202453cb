"""Run every lesson from top to bottom and save it with its outputs: `make notebooks`.

Everything that differs from run to run, or from machine to machine, is removed or replaced. So a
second run changes no byte, and a diff shows only real changes.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def normalise(notebook: nbformat.NotebookNode) -> str:
    """Return the text of a notebook as it is committed; this changes the notebook itself, too."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            cell.outputs = []  # measured times
        if cell.cell_type == "code":
            cell.outputs = [
                nbformat.from_dict(with_fixed_ports(output)) for output in merged(cell.outputs)
            ]
            for output in cell.outputs:
                # A live form has a new id in each run, and later no kernel: JupyterLab would show
                # "model not found" instead of the static picture of the form.
                output.get("data", {}).pop(WIDGET_VIEW, None)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def merged(outputs: list[Any]) -> list[Any]:
    """Join the pieces of a printed stream: how it is split depends only on timing."""
    result: list[Any] = []
    for output in outputs:
        last = result[-1] if result else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            result.append(output)
    return result


def with_fixed_ports(value: Any) -> Any:
    """Replace the port of a local server in every text of an output."""
    if isinstance(value, str):
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", value)
    if isinstance(value, list):
        return [with_fixed_ports(item) for item in value]
    if isinstance(value, dict):
        return {key: with_fixed_ports(item) for key, item in value.items()}
    return value


def run(path: Path) -> None:
    """Run a notebook with its folder as the working directory, and save it.

    :raises CellExecutionError: if a cell raises and is not tagged ``raises-exception``; then
        nothing is saved.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        store_widget_state=False,  # it would contain the values of the forms
        extra_arguments=["--log-level=ERROR"],  # without its warnings about local sockets
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    path.write_text(normalise(notebook), encoding="utf-8")


def main() -> int:
    """Run all lessons, and report each one that fails."""
    os.environ["KAIZEN_STORE_PROGRESS"] = os.devnull  # the outputs have no learner's progress
    failed = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            run(path)
            print(f"{path.name}: run and saved")
        except CellExecutionError as error:  # its text has the source of the cell and the traceback
            failed += 1
            print(f"{path.name}: NOT saved, because a cell raised\n{error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
