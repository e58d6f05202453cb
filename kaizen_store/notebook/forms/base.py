"""The base class of all forms: fields, a button, a status line, the table, the trace, the code."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import pandas as pd
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ..explanations import explain
from ..table import full_html, token_table
from ..tracing import Trace, trace

# JupyterLab's own colors are readable in its light and dark themes.
STYLE = """<style>
.kaizen-form {border: 1px solid var(--jp-border-color1, #999); border-radius: 6px;
  padding: 12px 16px; max-width: 1200px; color: var(--jp-ui-font-color1, inherit)}
.kaizen-form a {color: var(--jp-content-link-color, #0b57d0) !important;
  text-decoration: underline !important}
.kaizen-form h4 {margin: 0 0 4px; font-size: 1.1em}
.kaizen-field {flex-direction: column; align-items: stretch; height: auto !important;
  overflow: visible !important; margin: 0 !important}
.kaizen-field > label.widget-label {text-align: left; font-weight: 600; width: auto !important;
  color: var(--jp-ui-font-color1, inherit)}
.kaizen-field > input, .kaizen-field > select {flex: 0 0 auto !important; height: 30px !important;
  width: 100%; box-sizing: border-box}
.kaizen-field > select {appearance: auto !important; background-image: none !important}
[data-jp-theme-light="false"] .kaizen-form {color-scheme: dark}
.kaizen-hint, .kaizen-status {overflow-wrap: anywhere}
.kaizen-hint {margin-left: -2px; font-size: 0.85em; line-height: 1.35;
  color: var(--jp-ui-font-color1, inherit)}
.kaizen-status {border-left: 4px solid; padding: 4px 10px; margin: 8px 0; line-height: 1.5}
.kaizen-good {border-color: var(--jp-success-color1, #2e7d32)}
.kaizen-bad {border-color: var(--jp-error-color1, #c62828);
  color: var(--jp-error-color1, #c62828); font-weight: 600}
.kaizen-scroll {overflow-x: auto; max-width: 100%}
.kaizen-form .widget-tab-contents {overflow: hidden}
.kaizen-form .widget-html, .kaizen-form .widget-html-content {min-width: 0; max-width: 100%}
.kaizen-form .widget-html-content {line-height: 1.5}
.kaizen-form .widget-html-content p {margin: 6px 0}
.kaizen-form table {border-collapse: collapse; font-size: 0.9em; line-height: 1.35}
.kaizen-form th, .kaizen-form td {border-bottom: 1px solid var(--jp-border-color2, #bbb);
  padding: 4px 8px; text-align: left !important; vertical-align: top; max-width: 26em;
  overflow-wrap: break-word; color: var(--jp-ui-font-color1, inherit)}
.kaizen-form th {white-space: nowrap}
.kaizen-form tr.kaizen-marked {font-weight: 700;
  background: var(--jp-layout-color2, rgba(128, 128, 128, 0.2))}
.kaizen-form pre {white-space: pre; overflow-x: auto; padding: 8px; line-height: 1.4;
  background: var(--jp-layout-color2, #eee); color: var(--jp-content-font-color1, inherit)}
</style>"""


@dataclass(frozen=True)
class Field:
    """A field of a form.

    ``secret`` hides the input, and clears the field when it is submitted. ``choices`` makes it a
    list to choose from.
    """

    name: str
    label: str
    hint: str
    default: str = ""
    secret: bool = False
    choices: tuple[str, ...] = ()


class Form:
    """A form that does one step of a lesson and shows what happened.

    Show it as the last line of a cell. ``submit()`` does the same as its button, with the current
    values of the fields. A subclass has ``title``, ``button``, its fields, :meth:`act` and
    :meth:`code`.

    :param store: the token store that the form uses and shows.
    :param fields: the fields, in order.
    """

    title = ""
    button = ""
    sign = "✔"
    """The sign before the sentence about a step that was done."""
    failed = "Not done"
    """The words before the sentence about a step that failed."""
    shows_store = True
    """Whether the step uses a store: the form then shows its table and the trace."""

    def __init__(self, store: TokenStore, fields: list[Field]) -> None:
        self.store = store
        self.fields = fields
        self.error: BaseException | None = None
        """The exception that the last submit raised, or None."""
        self.trace = Trace()
        """What the SDK did at the last submit."""
        self.inputs = {field.name: _input_of(field) for field in fields}
        """The ipywidgets input of each field, by its name."""
        self.notes = widgets.HTML()
        """HTML between the fields and the button, for a subclass to fill."""
        self.status = widgets.HTML()
        self._button = widgets.Button(description=self.button, button_style="primary")
        self._button.layout = widgets.Layout(width="auto", min_width="12em", margin="10px 0 0 2px")
        self._button.layout.align_self = "flex-start"
        self._button.on_click(lambda _: self._run(pressed=True))
        self._table, self._trace, self._code = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._picture = widgets.Output()
        tabs = {"Steps": self._trace, "Picture": self._picture, "Code": self._code}
        if not self.shows_store:
            tabs = {"Code": self._code}
            self._table.layout.display = "none"
        self._details = widgets.Tab(list(tabs.values()), titles=tuple(tabs))
        self.box = self._layout()

    def act(self, values: dict[str, str]) -> str:
        """Do the step, and return one sentence about the result.

        :param values: the values of the fields by name, without spaces at the ends.
        :raises Exception: anything; the form shows it.
        """
        raise NotImplementedError

    def conclude(self, values: dict[str, str], done: str) -> str:
        """Do what must not be traced, and return the sentence about the result.

        :param values: the values of the fields.
        :param done: the sentence from :meth:`act`.
        """
        return done

    def code(self, values: dict[str, str]) -> str:
        """Return Python code that does the same step and reads secrets from the environment.

        :param values: the values of the fields at the submit.
        """
        raise NotImplementedError

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return the store for this submit: the form's own, unless a field says otherwise.

        :param values: the values of the fields.
        """
        return self.store

    def submit(self) -> None:
        """Do the step with the current values of the fields.

        :raises BaseException: what the step has raised, after the form has shown it.
        """
        self._run()
        if self.error is not None:
            raise self.error

    def _run(self, pressed: bool = False) -> None:
        values = {name: str(field.value).strip() for name, field in self.inputs.items()}
        for field in self.fields:
            if field.secret:
                self.inputs[field.name].value = ""
        self._button.disabled = True
        self.status.value = _status("good", "…", "Working.")
        self.error, self.trace, before = None, Trace(), None
        # A callback catches everything, because nobody would see its exceptions (ipywidgets issue
        # 2612), and a form must not stay at "Working", not even after an interrupt.
        try:
            self.store = self.choose_store(values)
            before = token_table(self.store)
            with trace(self.store) as self.trace:
                done = self.act(values)
            self._raise_swallowed_error()
            status = _status("good", self.sign, self.conclude(values, done))
        except BaseException as error:
            status = self._failure(error)
        try:
            self._show(values, before)
        except BaseException as error:
            status = status if self.error is not None else self._failure(error)
        self._button.disabled = False
        if pressed:
            self._button.focus()  # a browser takes the focus from a disabled button
        self.status.value = status

    def _failure(self, error: BaseException) -> str:
        self.error = error
        return _status("bad", f"✖ {self.failed}:", explain(error))

    def _raise_swallowed_error(self) -> None:
        # The SDK only logs an error while it looks up the user's name or saves the token, and
        # continues.
        for step in self.trace.steps:
            if step.error is not None:
                raise step.error

    def _show(self, values: dict[str, str], before: pd.DataFrame | None) -> None:
        try:
            table = token_table(self.store, since=before)
        except Exception as error:
            self._table.value = _status("bad", "✖ No table:", explain(error))
        else:
            self._table.value = _marked_rows(table)
        self._trace.value = _scrolling(full_html(self.trace.table))
        self._picture.outputs = ()
        self._picture.append_display_data(self.trace.diagram)
        self._code.value = ""
        self._results.layout.display = ""
        self._code.value = f'<pre tabindex="0">{html.escape(self.code(values))}</pre>'

    def _layout(self) -> widgets.VBox:
        cells = [
            widgets.VBox([self.inputs[field.name], widgets.HTML(_hint(field))])
            for field in self.fields
        ]
        grid = widgets.Layout(
            display="grid", grid_template_columns="repeat(auto-fill, minmax(min(16em, 100%), 1fr))"
        )
        grid.grid_gap = "4px 20px"
        self._results = widgets.VBox([self._table, self._details])
        self._results.layout.display = "none"
        box = widgets.VBox(
            [
                widgets.HTML(f"{STYLE}<h4>{html.escape(self.title)}</h4>"),
                widgets.GridBox(cells, layout=grid),
                self.notes,
                self._button,
                self.status,
                self._results,
            ]
        )
        box.add_class("kaizen-form")
        return box

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.title}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        live = self.box._repr_mimebundle_(**kwargs)
        return live | {"text/plain": repr(self), "text/html": self._preview()}

    def _preview(self) -> str:
        """Return the form as static HTML, for GitHub and for notebooks without a kernel."""
        left = '<td style="text-align: left">'
        rows = "".join(
            f"<tr>{left}<b>{html.escape(field.label)}</b></td>"
            f"{left}{'(hidden)' if field.secret else html.escape(field.default)}</td>"
            f"{left}{html.escape(field.hint)}</td></tr>"
            for field in self.fields
        )
        return (
            f"<b>{html.escape(self.title)}</b> (run the notebook to use this form)"
            f"<table>{rows}</table>[ {html.escape(self.button)} ]"
        )


def _input_of(field: Field) -> widgets.DOMWidget:
    common: dict[str, Any] = {
        "description": field.label,
        "style": {"description_width": "initial"},
        "layout": widgets.Layout(width="100%"),
    }
    if field.choices:
        made = widgets.Dropdown(options=field.choices, value=field.default, **common)
    else:
        kind = widgets.Password if field.secret else widgets.Text
        made = kind(value=field.default, **common)
    made.add_class("kaizen-field")
    return made


def _hint(field: Field) -> str:
    return f'<div class="kaizen-hint">{_add_line_breaks(field.hint)}</div>'


def _status(kind: str, sign: str, text: str) -> str:
    text = _add_line_breaks(text)
    return f'<div role="status" class="kaizen-status kaizen-{kind}">{sign} {text}</div>'


def _add_line_breaks(text: str) -> str:
    # A scope is one long word; it may break after each comma.
    return re.sub(r",(?=\w)", ",<wbr>", html.escape(text))


def _scrolling(table: str) -> str:
    # A table that scrolls must be reachable by keyboard, too.
    return f'<div class="kaizen-scroll" tabindex="0">{table}</div>'


def _marked_rows(table: pd.DataFrame) -> str:
    text = full_html(table)
    for mark in ("new", "changed"):
        text = re.sub(rf"<tr>(\s*<th[^>]*>{mark}<)", r'<tr class="kaizen-marked">\1', text)
    return _scrolling(text)
