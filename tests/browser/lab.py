"""What a browser test does in JupyterLab: open a notebook, run it, look at it."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

ARTIFACTS = Path(__file__).resolve().parent.parent / "artifacts"
FIRST_TOKEN_S = pytest.StashKey[float]()  # how long a learner waits for it, in seconds
MINUTE = 60_000  # Playwright counts in milliseconds
START = 3 * MINUTE  # a first start on a busy machine takes its time

# The notebook in front; `jupyterapp` is there thanks to `LabApp.expose_app_in_browser`.
NOTEBOOK = "window.jupyterapp?.shell?.currentWidget"
KERNEL_IS_IDLE = f"{NOTEBOOK}?.sessionContext?.session?.kernel?.status === 'idle'"


@dataclass
class Lab:
    """A running JupyterLab: its address, its token, and the folder that it shows."""

    url: str
    token: str
    folder: Path


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook of the lab's folder and wait for a fresh kernel; the theme is "Light"."""
    page.goto(f"{lab.url}/lab/tree/{quote(name)}?reset&token={lab.token}")
    page.wait_for_function(KERNEL_IS_IDLE, timeout=START)
    # A test before may have left its kernel running.
    page.evaluate(f"{NOTEBOOK}.sessionContext.restartKernel()")
    page.wait_for_function(KERNEL_IS_IDLE, timeout=START)
    page.evaluate("window.jupyterapp.shell.collapseLeft()")  # room for the notebook
    set_theme(page, "Light")  # JupyterLab remembers the one that an earlier test chose


def run_all(page: Page) -> None:
    """Run every cell and wait for the last; no cell may raise."""
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(KERNEL_IS_IDLE, timeout=START)
    counts = page.evaluate(
        f"""{NOTEBOOK}.content.widgets.filter(cell => cell.model.type === 'code')
            .map(cell => cell.model.executionCount)"""
    )
    errors = page.evaluate(
        f"""{NOTEBOOK}.content.widgets.filter(cell => cell.model.type === 'code')
            .flatMap(cell => cell.model.outputs.toJSON())
            .filter(output => output.output_type === 'error')
            .map(output => `${{output.ename}}: ${{output.evalue}}`)"""
    )
    expected = list(range(1, len(counts) + 1))
    assert counts and counts == expected, f"Run All stopped: {counts} {errors}"


def output_of(page: Page, count: int) -> Locator:
    """Find what the code cell with this execution count shows, a form for example."""
    return page.locator(
        ".jp-CodeCell", has=page.get_by_text(f"[{count}]:", exact=True).first
    ).locator(".jp-Cell-outputArea")


def set_theme(page: Page, theme: str) -> None:
    """Switch JupyterLab to the "Light" or the "Dark" theme."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
        f"JupyterLab {theme}",
    )
    is_light = str(theme == "Light").lower()
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)


def screenshot(what: Page | Locator, name: str) -> Path:
    """Take a picture of the page or a part of it; CI keeps the folder ``tests/artifacts``."""
    path = ARTIFACTS / f"{name}.png"
    what.screenshot(path=path)  # makes the folder
    return path
