"""Every form in the browser: a bad input, a good one, its accessibility, and what it lets out."""

import stat
import urllib.request
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from lab import NOTEBOOK, open_notebook, run_all, screenshot, set_theme
from playwright.sync_api import expect

# By lesson: what is filled in, what the form then says, and what mends it.
BAD_INPUTS = {
    "00_start_here": ({}, "client secret is wrong", {}),
    "01_initialize_the_sdk": ({"Client secret": ""}, "Zoho does not accept this grant", {}),
    "02_save_a_token": ({"Expires in": "soon"}, "whole number of minutes", {"Expires in": "5"}),
    "03_find_a_token": ({"Find by": "access token"}, "None: no token", {"Find by": "user name"}),
    "04_refresh_a_token": ({"Row": "99"}, "There is no row 99", {"Row": "1"}),
    "05_delete_and_revoke": ({"Row": "99"}, "There is no row 99", {"Row": "2"}),
    "06_choose_a_store": (
        {"Processes": "on several machines"},
        "A file belongs to one machine",
        {"Processes": "one"},
    ),
    "07_write_your_own_store": (
        {"Store": "DictionaryStore"},
        "The first failed rule is user-and-client",
        {"Store": "CustomStoreList"},
    ),
    "08_many_users_many_organisations": ({"Row": "99"}, "There is no row 99", {"Row": "1"}),
    "09_take_it_to_your_project": ({}, "nothing is overwritten", {"Folder": "another"}),
}


def fill(form, values):
    for label, value in values.items():
        field = form.get_by_label(label).first
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(label=value)
        else:
            field.fill(value)


def press(form):
    form.locator("button.mod-primary, button.jp-mod-primary").first.click()


def faults(page):
    """What axe-core finds serious or critical in the form."""
    answer = Axe().run(page, context=".kaizen-form").response
    return [
        (found["id"], node["html"][:200])
        for found in answer["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


@pytest.mark.parametrize("name", sorted(BAD_INPUTS))
def test_a_lesson_runs_and_its_form_serves_everybody(lab, page, name):
    console = []
    page.on("console", lambda message: console.append(message.text))
    open_notebook(page, lab, f"{name}.ipynb")
    run_all(page)
    expect(page.locator(".jp-NotebookPanel")).not_to_contain_text("Error displaying widget")
    screenshot(page, name)
    form = page.locator(".kaizen-form")
    bad, said, good = BAD_INPUTS[name]
    secrets = form.locator("input[type=password]")
    canaries = typed_into(secrets, name)
    fill(form, bad)
    press(form)
    status = form.get_by_role("status")
    expect(status).to_contain_text(said)
    screenshot(form, f"{name[:2]}-bad-input")
    nothing_else_holds(canaries, lab, page, console)
    fill(form, good)
    press(form)
    expect(status).not_to_contain_text(said)
    expect(status).to_contain_text("✔")
    if name == "02_save_a_token":  # whose form saves what is typed
        canaries = typed_into(secrets, f"{name}-saved")
        press(form)
        assert nothing_else_holds(canaries, lab, page, console), "the store does not hold them"
    found = {}
    for theme in ("Light", "Dark"):
        set_theme(page, theme)
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 1800})
            form.scroll_into_view_if_needed()
            screenshot(form, f"{name[:2]}-form-{theme.lower()}-{width}")
            found[theme, width] = faults(page)
    assert not any(found.values()), found


def typed_into(secrets, name):
    """Type something else into each secret field, and return what."""
    canaries = [f"canary-{number}-of-{name}" for number in range(secrets.count())]
    for number, canary in enumerate(canaries):
        secrets.nth(number).fill(canary)
    return canaries


def nothing_else_holds(canaries, lab, page, console):
    """Save with widget state, and return the store's files that hold what was typed.

    No other file may hold it, nor the page, its fields, the console or the downloaded notebook.
    """
    secrets = page.locator(".kaizen-form input[type=password]")
    for number in range(len(canaries)):
        expect(secrets.nth(number)).to_have_value("")
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(f"!{NOTEBOOK}.context.model.dirty")
    name = page.evaluate(f"{NOTEBOOK}.context.path")
    address = f"{lab.url}/files/{quote(name)}?token={lab.token}"
    with urllib.request.urlopen(address) as download:
        notebook = download.read().decode()
    assert "application/vnd.jupyter.widget-state+json" in notebook, "widget state was not saved"
    values = page.evaluate("[...document.querySelectorAll('input')].map(input => input.value)")
    seen = notebook + page.content() + "".join(values) + "".join(console)
    assert not [canary for canary in canaries if canary in seen]
    files = [path for path in lab.folder.parent.rglob("*") if path.is_file()]
    held = [p for p in files if any(canary.encode() in p.read_bytes() for canary in canaries)]
    assert {path.name.split("-")[0] for path in held} <= {"zohooauth.db"}, held
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in held)
    return held


def test_a_form_is_used_with_the_keyboard_alone(lab, page):
    open_notebook(page, lab, "04_refresh_a_token.ipynb")
    run_all(page)
    form = page.locator(".kaizen-form")
    form.get_by_label("Row").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("99")
    page.keyboard.press("Tab")
    expect(form.get_by_label("Before the refresh")).to_be_focused()
    page.keyboard.press("Tab")
    focused = form.locator("button:focus-visible")
    expect(focused).to_have_count(1)
    look = focused.evaluate(
        "b => [getComputedStyle(b).outlineStyle, getComputedStyle(b).boxShadow]"
    )
    assert look != ["none", "none"], "the focus is not seen"
    page.keyboard.press("Enter")
    expect(form.get_by_role("status")).to_contain_text("There is no row 99")
    expect(focused).to_have_count(1)  # a press leaves the focus where it was
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("1")
    page.keyboard.press("Tab")
    # A closed list leaves its keys to JupyterLab (ipywidgets issue 3912), an open one does not.
    for key in ("Space", "ArrowDown", "Enter", "Tab"):
        page.keyboard.press(key)
    expect(form.get_by_label("Before the refresh")).to_have_value("no time passes")
    page.keyboard.press("Space")
    expect(form.get_by_role("status")).to_contain_text("✔")
