"""The harness itself: where this fails, look at the lab and the browser, not at a lesson."""

import nbformat
from lab import open_notebook, output_of, run_all, screenshot, set_theme
from nbformat import v4
from playwright.sync_api import expect

CODE = """
import ipywidgets as widgets

name = widgets.Text(description="Name")
button = widgets.Button(description="Greet")
answer = widgets.HTML()
button.on_click(lambda _: setattr(answer, "value", f"Hello, <b>{name.value}</b>"))
widgets.VBox([name, button, answer])
"""


def test_a_form_is_run_typed_into_and_clicked(lab, page):
    cells = [v4.new_code_cell("1 + 1"), v4.new_code_cell(CODE)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, lab.folder / "harness.ipynb")
    open_notebook(page, lab, "harness.ipynb")
    run_all(page)
    expect(output_of(page, 1)).to_contain_text("2")
    form = output_of(page, 2)
    form.get_by_label("Name").fill("Ada")
    form.get_by_role("button", name="Greet").click()
    expect(form).to_contain_text("Hello, Ada")
    set_theme(page, "Dark")
    screenshot(page, "harness-dark")
    open_notebook(page, lab, "harness.ipynb")  # anew, as the next test would
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "true")
