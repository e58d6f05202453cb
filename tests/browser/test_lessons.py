"""The lessons as a learner meets them: in JupyterLab, in a browser."""

from pathlib import Path

from lab import open_notebook, run_all, screenshot
from playwright.sync_api import expect

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def test_the_form_of_lesson_01_is_typed_into_and_clicked(lab, page):
    open_notebook(page, lab, "01_initialize_the_sdk.ipynb")
    run_all(page)
    form = page.locator(".kaizen-form")
    assert form.count() == 1
    form.get_by_label("Who consents").select_option(index=1)
    form.get_by_label("Database file").fill("second.db")
    form.get_by_role("button", name="Initialise").click()
    expect(form.get_by_role("status")).to_contain_text("✔ The SDK is initialised for ben.okafor")
    table = form.locator("table").first
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table).to_contain_text("ben.okafor@example.com")
    expect(table).to_contain_text("in 59 min")
    expect(table.locator("tbody th")).to_have_text("new")
    screenshot(form, "01-form-second-user")

    form.get_by_label("The token").fill("a used grant token")
    form.get_by_role("button", name="Initialise").click()
    expect(form.get_by_role("status")).to_contain_text("✖ Not done: Zoho does not accept this")
    expect(form.get_by_label("The token")).to_have_value("")
    expect(table).to_contain_text("ben.okafor@example.com")
    form.get_by_role("tab", name="Picture").click()
    expect(form.locator(".jp-RenderedMermaid, img, svg").first).to_be_visible()
    screenshot(form, "01-form-refused")
