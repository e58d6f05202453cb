"""The pages that a user sees in the browser: the consent page and its result.

They are Jinja templates; Jinja escapes every value. The pages load nothing from other servers. All
addresses are relative, so that the pages also work behind a proxy such as Binder's.
"""

from typing import Any

from flask import render_template_string

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} - Practice Zoho</title>
<style>
:root { color-scheme: light dark; --line: #767676; --card: #ffffff; --text: #1b1f24;
  --back: #eef1f5; --mark: #fff3cd; --go: #0b57d0 }
@media (prefers-color-scheme: dark) { :root { --line: #8b949e; --card: #1f242c; --text: #e6edf3;
  --back: #0d1117; --mark: #4d3d00; --go: #1f6feb } }
body { margin: 0; padding: 24px 12px; font: 16px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--back) }
main { box-sizing: border-box; max-width: 30em; margin: 0 auto; padding: 20px 24px;
  overflow-wrap: anywhere; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px }
h1 { font-size: 1.4em; margin: 0 0 12px }
.practice { padding: 8px 12px; margin: 0 0 16px; background: var(--mark); border-radius: 4px }
select, button { font: inherit; box-sizing: border-box; width: 100%; padding: 8px }
button { margin-top: 12px; border: 1px solid var(--line); border-radius: 4px }
button.go { color: #ffffff; background: var(--go); border-color: var(--go) }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px }
</style>
<main>
<p class="practice"><b>Practice.</b> This is not Zoho. It runs on this machine and does not change
any real account.</p>
<h1>{{ title }}</h1>
{{ body }}
</main>
</html>
"""

_CONSENT = """\
<p>The application <b>{{ client_id }}</b> requests permission to:</p>
<ul>{% for scope in scopes %}<li>{{ scope }}</li>{% endfor %}</ul>
<form method="post" action="auth">
{% for name, value in hidden.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<label for="user">User</label>
<select id="user" name="user">
{% for user in users %}<option value="{{ user.email }}">{{ user.full_name }}, \
{{ user.organization }}</option>
{% endfor %}</select>
<button class="go" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
<p>If you allow access, the application receives a grant token (an OAuth authorization code). It
works once and is valid for three minutes.</p>
"""


def consent_page(**values: Any) -> str:
    """Return the consent page.

    :param values: ``client_id``, ``scopes``, ``users`` and the ``hidden`` fields of the form.
    """
    return page("Authorize this application?", render_template_string(_CONSENT, **values))


def text_page(title: str, *paragraphs: str) -> str:
    """Return a page of plain text.

    :param title: the heading.
    :param paragraphs: the paragraphs, without HTML.
    """
    template = "{% for text in paragraphs %}<p>{{ text }}</p>{% endfor %}"
    return page(title, render_template_string(template, paragraphs=paragraphs))


def page(title: str, body: str) -> str:
    """Return a page.

    :param title: the heading, without HTML.
    :param body: HTML in which every value is already escaped.
    """
    return render_template_string(
        _PAGE.replace("{{ body }}", "{{ body|safe }}"), title=title, body=body
    )
