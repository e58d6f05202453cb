"""The lessons as a learner meets them: in JupyterLab, in a browser."""

import time
from pathlib import Path

import pytest
from lab import FIRST_TOKEN_S, NOTEBOOK, START, open_notebook, run_all, screenshot
from playwright.sync_api import expect

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def test_the_form_of_lesson_01_is_typed_into_and_clicked(lab, page):
    open_notebook(page, lab, "01_initialize_the_sdk.ipynb")
    run_all(page)
    form = page.locator(".kaizen-form")
    assert form.count() == 1
    form.get_by_label("Who consents").select_option(index=1)
    form.get_by_label("Database file").fill("second.db")
    form.get_by_role("button", name="Initialize").click()
    expect(form.get_by_role("status")).to_contain_text("✔ The SDK is initialized for ben.okafor")
    table = form.locator("table").first
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table).to_contain_text("ben.okafor@example.com")
    expect(table).to_contain_text("in 59 min")
    expect(table.locator("tbody th")).to_have_text("new")
    screenshot(form, "01-form-second-user")

    form.get_by_label("The token").fill("a used grant token")
    form.get_by_role("button", name="Initialize").click()
    expect(form.get_by_role("status")).to_contain_text("✖ Not done: Zoho does not accept this")
    expect(form.get_by_label("The token")).to_have_value("")
    expect(table).to_contain_text("ben.okafor@example.com")
    form.get_by_role("tab", name="Picture").click()
    expect(form.locator(".jp-RenderedMermaid, img, svg").first).to_be_visible()
    screenshot(form, "01-form-refused")


@pytest.mark.parametrize("where", ["lab", "binder"])
def test_a_user_consents_in_the_browser(where, request, page):
    open_notebook(page, request.getfixturevalue(where), "01_initialize_the_sdk.ipynb")
    run_all(page)
    form = page.locator(".kaizen-form")
    status = form.get_by_role("status")
    answers = [("Deny", "Access denied", "✖ Not done: Access denied in the browser.")]
    answers.append(("Allow", "Access granted", "✔ The SDK is initialized for carla.mendes"))
    for decision, said, shown in answers:
        with page.expect_popup() as opened:
            form.get_by_role("link", name="Consent in the browser").click()
        consent = opened.value
        consent.get_by_label("User").select_option(index=2)
        screenshot(consent, f"01-consent-{where}")
        consent.get_by_role("button", name=decision).click()
        expect(consent.get_by_role("heading")).to_have_text(said)
        screenshot(consent, f"01-consent-{where}-{decision.lower()}")
        consent.close()
        form.get_by_role("button", name="Initialize").click()
        expect(status).to_contain_text(shown)


def test_the_first_token_is_soon_in_the_table(lab, page, pytestconfig):
    start = time.perf_counter()
    page.goto(f"{lab.url}/lab/tree/00_start_here.ipynb?reset&token={lab.token}")
    page.wait_for_function(f"{NOTEBOOK}?.sessionContext?.isReady", timeout=START)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    expect(page.locator(".kaizen-form table").first).to_contain_text("anna.berg", timeout=START)
    # The target is 30 seconds on two cores; a busy machine shall not fail for it.
    pytestconfig.stash[FIRST_TOKEN_S] = time.perf_counter() - start
