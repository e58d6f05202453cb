"""A real JupyterLab and a real browser for the tests in this folder."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import FIRST_TOKEN_S, Lab, screenshot
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent.parent / "notebooks"

BROWSERS = [os.environ.get("CHROMIUM") or "chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
MISSING = "no Chromium: apt-get install chromium, or set CHROMIUM=/path/to/chromium-or-chrome"


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder, and run them last: they are the slowest."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep a picture of what a failed test had before it."""
    report = yield
    if report.when == "call" and report.failed and "page" in item.funcargs:
        screenshot(item.funcargs["page"], f"failed-{item.name}")
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Say when the first token was there; say skipped tests last, where nobody overlooks it."""
    yield
    seconds = terminalreporter.config.stash.get(FIRST_TOKEN_S, None)
    if seconds is not None:
        terminalreporter.line(f"the first token was in the table after {seconds:.0f} s")
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum("browser" in report.keywords for report in skipped)
    if count and not CHROMIUM:
        terminalreporter.line(f"{count} BROWSER TESTS SKIPPED: {MISSING}", yellow=True, bold=True)


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def binder(browser, tmp_path):
    """JupyterLab as on Binder: below a path, and the only way to what else runs there."""
    with running_lab(tmp_path, "/user/kaizen/") as lab:
        yield lab


@contextmanager
def running_lab(home, prefix="/"):
    """Start JupyterLab on a copy of the lessons, with settings and a home of its own."""
    folder = home / "notebooks"
    folder.mkdir()
    if NOTEBOOKS.exists():
        unwanted = shutil.ignore_patterns(".*", "*.db*", "resources")  # what earlier runs wrote
        shutil.copytree(NOTEBOOKS, folder, ignore=unwanted, dirs_exist_ok=True)
    # All cells stand in the page at once, so that a test finds those out of sight, too.
    write_json(
        home / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings",
        {"windowingMode": "none"},
    )
    # A learner may have turned this on: what was typed must not be in the notebook even then.
    write_json(
        home / "settings/@jupyter-widgets/jupyterlab-manager/plugin.jupyterlab-settings",
        {"saveState": True},
    )
    # Nothing asks over the page whether to show news.
    write_json(
        home / "config/labconfig/page_config.json",
        {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}},
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}{prefix.rstrip('/')}", secrets.token_hex(), folder)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--ServerApp.base_url={prefix}", "--LabApp.expose_app_in_browser=True"]
    (home / "tmp").mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(home / "tmp"),  # where the lessons keep their stores
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_TOKEN": lab.token,
    }
    if prefix != "/":
        environment["JUPYTERHUB_SERVICE_PREFIX"] = prefix
    log = home / "lab.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_it_answers(lab, server, log)
        yield lab
    finally:
        server.terminate()
        server.wait(timeout=30)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def wait_until_it_answers(lab, server, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text()[-3000:]}")
