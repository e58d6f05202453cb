"""The forms as a learner uses them, without a browser."""

import html
import re
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import ipywidgets
import pytest
import requests
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreInMemory, CustomStoreSQLite
from kaizen_store.notebook import FindForm, InitializeForm, RefreshForm, SaveForm, fingerprint
from kaizen_store.notebook.explanations import InputError
from kaizen_store.notebook.forms.token_code import DATA_CENTERS
from kaizen_store.stores import single_flight

CANARY = "canary-4711-secret"


@pytest.fixture
def initialized(zoho, store, tmp_path):
    form = InitializeForm(zoho, store, tmp_path)
    form.submit()
    return form


def everything_shown(form):
    """Collect whatever a form keeps in its widgets, its reprs and its saved output."""
    states = [widget.get_state() for widget in ipywidgets.widget._instances.values()]
    return f"{states} {form!r} {form._repr_mimebundle_()} {form.trace!r} {form.trace.steps!r}"


def test_initialize_fills_the_store_and_says_so(initialized, zoho, store):
    first = zoho.users[0]
    assert f"initialized for {first.email}:{first.zgid}" in initialized.status.value
    assert store.find_token_by_id("1").get_client_id() == zoho.client_id
    assert "new" in initialized._table.value and "in 59 min" in initialized._table.value
    assert "save_token" in initialized._trace.value


def test_submitting_again_and_for_another_user(initialized, zoho, store):
    initialized.submit()
    assert len(store.get_tokens()) == 1
    first, *_, last = zoho.users
    initialized.inputs["user"].value = last.email
    initialized.submit()
    names = [token.get_user_signature().get_name() for token in store.get_tokens()]
    assert names == [f"{user.email}:{user.zgid}" for user in (first, last)]


def test_initialize_with_the_stored_refresh_token(initialized, store):
    old = store.find_token_by_id("1")
    initialized.inputs["kind"].value = "refresh token"
    initialized.inputs["store"].value = "CustomStoreInMemory"
    initialized.inputs["token"].value = old.get_refresh_token()
    initialized.submit()
    assert isinstance(initialized.store, CustomStoreInMemory)
    assert initialized.store.get_tokens()[0].get_access_token() != old.get_access_token()


def test_another_file_is_another_store_beside_the_first(initialized, store, tmp_path):
    initialized.inputs["path"].value = "other.db"
    initialized.submit()
    assert initialized.store.path == tmp_path / "other.db" and len(store.get_tokens()) == 1
    initialized.store.close()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("client_id", "", "The client id is missing"),
        ("client_id", "1000.PRACTICEWRONG", "does not know this client id"),
        ("client_secret", CANARY, "the client secret is wrong"),
        ("token", CANARY, "does not accept this grant or refresh token"),
        ("redirect_url", "https://example.com/else", "redirect URL is not registered"),
        ("path", "no/such/folder.db", "check that it is a file, that its folder exists"),
    ],
)
def test_a_wrong_value_is_explained_and_nothing_is_lost(initialized, store, field, value, said):
    before = store.find_token_by_id("1").get_access_token()
    initialized.inputs[field].value = value
    initialized._button.click()  # a click must not raise: nobody would see it
    assert "✖ Not done" in initialized.status.value and said in initialized.status.value
    assert initialized.error is not None
    assert store.find_token_by_id("1").get_access_token() == before
    assert CANARY not in everything_shown(initialized)
    initialized.inputs[field].value = value
    with pytest.raises((SDKException, InputError)):
        initialized.submit()


def test_the_requests_of_the_sdk_time_out(initialized):
    config = Initializer.get_initializer().sdk_config
    limits = (config.get_connect_timeout(), config.get_read_timeout())
    assert limits == (single_flight.REQUEST_TIMEOUT_S,) * 2 and limits[0] <= 10


@pytest.mark.parametrize("method", ["act", "code", "choose_store", "conclude"])
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_step_always_ends_with_a_message(initialized, monkeypatch, method, kind):
    def stop(*_):
        raise kind("for the test")

    monkeypatch.setattr(initialized, method, stop)
    initialized._button.click()  # raises nothing: nobody would see it
    said = "RuntimeError: for the test" if kind is RuntimeError else "Interrupted."
    assert f"✖ Not done: {said}" in initialized.status.value
    assert not initialized._button.disabled and type(initialized.error) is kind
    with pytest.raises(kind, match="for the test"):
        initialized.submit()
    assert f"✖ Not done: {said}" in initialized.status.value
    monkeypatch.undo()


def test_no_code_of_an_earlier_step_stays(initialized, monkeypatch):
    assert "Initializer" in initialized._code.value
    initialized.inputs["server"].value = "EU"
    monkeypatch.setattr(initialized, "code", lambda values: 1 / 0)
    initialized._button.click()
    assert initialized._code.value == ""


def test_the_results_are_shown_with_an_empty_display(initialized):
    assert initialized._results.layout.display == "", "None is lost on the way to a browser kernel"


def test_a_failing_save_that_the_sdk_swallows_is_shown(initialized, store):
    with sqlite3.connect(store.path) as database:
        database.execute(
            "CREATE TRIGGER no_save BEFORE UPDATE ON oauthtoken BEGIN"
            " SELECT RAISE(ABORT, 'refused for the test'); END"
        )
    initialized._button.click()
    assert "The token store failed" in initialized.status.value
    assert "refused for the test" in initialized.status.value
    assert str(store.path) in initialized.status.value


def test_what_an_error_says_is_escaped(initialized, monkeypatch):
    def raise_markup(values):
        raise RuntimeError("<script>x</script>")

    monkeypatch.setattr(initialized, "act", raise_markup)
    initialized._button.click()
    assert "&lt;script&gt;" in initialized.status.value
    assert "<script>" not in initialized.status.value


def test_a_secret_field_is_empty_after_the_submit(initialized):
    for name in ("client_secret", "token"):
        initialized.inputs[name].value = CANARY
    initialized._button.click()
    assert [initialized.inputs[name].value for name in ("client_secret", "token")] == ["", ""]
    assert CANARY not in everything_shown(initialized)


def test_a_real_data_center_wants_its_secrets(zoho, store, tmp_path, monkeypatch):
    form = InitializeForm(None, store, tmp_path)
    assert list(form.inputs["server"].options) == list(DATA_CENTERS)
    form.inputs["client_id"].value = "1000.X"
    with pytest.raises(InputError, match="set the environment variable ZOHO_CLIENT_SECRET"):
        form.submit()
    # The real forms' code against Practice Zoho, which poses as the EU's production.
    monkeypatch.setattr(EUDataCenter, "PRODUCTION", lambda: zoho.environment)
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", zoho.client_secret)
    monkeypatch.setenv("ZOHO_GRANT_TOKEN", zoho.grant())
    values = {"server": "EU", "client_id": zoho.client_id, "redirect_url": zoho.redirect_url}
    for name, value in values.items():
        form.inputs[name].value = value
    form.submit()
    assert f"initialized for {zoho.users[0].email}" in form.status.value


# The code that a form shows does what the form did.


def run_shown_code(form, folder, monkeypatch, **names):
    monkeypatch.chdir(folder)
    code = form._code.value.partition(">")[2].removesuffix("</pre>")
    for escaped, character in (("&#x27;", "'"), ("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">")):
        code = code.replace(escaped, character)
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,I,Q", "-"]
    tidy = subprocess.run(ruff, input=code, text=True, capture_output=True)
    assert tidy.returncode == 0, tidy.stdout
    scope = dict(names)
    exec(compile(code, "the shown code", "exec"), scope)
    return scope


def test_the_code_of_initialize_does_the_same(initialized, zoho, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    scope = run_shown_code(initialized, elsewhere, monkeypatch, zoho=zoho)
    assert scope["store"].path == elsewhere / "zohooauth.db"
    assert scope["store"].find_token_by_id("1").get_access_token()
    scope["store"].close()


def test_the_code_reads_typed_secrets_from_the_environment(
    initialized, zoho, tmp_path, monkeypatch
):
    grant = zoho.grant()
    initialized.inputs["client_secret"].value = zoho.client_secret
    initialized.inputs["token"].value = grant
    initialized.submit()
    assert grant not in initialized._code.value
    assert "os.environ[&quot;ZOHO_CLIENT_SECRET&quot;]" in initialized._code.value
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", zoho.client_secret)
    monkeypatch.setenv("ZOHO_GRANT_TOKEN", zoho.grant())
    # The server without its secrets.
    server = SimpleNamespace(environment=zoho.environment, client_id=zoho.client_id)
    run_shown_code(initialized, tmp_path, monkeypatch, zoho=server)["store"].close()


def test_the_code_names_a_real_data_center(initialized):
    initialized.inputs["server"].value = "EU"
    initialized.inputs["environment"].value = "SANDBOX"
    values = {name: field.value for name, field in initialized.inputs.items()}
    code = initialized.code(values)
    assert "environment=EUDataCenter.SANDBOX()" in code
    assert "import EUDataCenter" in code and "zoho." not in code.replace("com.zoho.", "")


def test_save_inserts_then_completes_a_row(store, tmp_path, monkeypatch):
    form = SaveForm(store)
    form.submit()
    assert "Saved as row 1" in form.status.value
    refresh_token = store.find_token_by_id("1").get_refresh_token()
    assert "practice" in refresh_token
    form.inputs["empty"].value = "leave them out"
    form.inputs["access_token"].value = CANARY
    form.submit()
    token = store.find_token_by_id("1")
    assert (token.get_access_token(), token.get_refresh_token()) == (CANARY, refresh_token)
    assert CANARY not in everything_shown(form)
    monkeypatch.setenv("ZOHO_ACCESS_TOKEN", "another")
    run_shown_code(form, tmp_path, monkeypatch, store=store)
    assert store.find_token_by_id("1").get_access_token() == "another"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"minutes": "an hour"}, "whole number of minutes"),
        ({"empty": "leave them out"}, "There is no token to save"),
        ({"empty": "leave them out", "client_secret": CANARY}, "There is no token to save"),
    ],
)
def test_save_explains_bad_input(store, values, said):
    form = SaveForm(store)
    for name, value in values.items():
        form.inputs[name].value = value
    with pytest.raises(InputError, match=said):
        form.submit()
    assert store.get_tokens() == []


@pytest.mark.parametrize("key", ["user name", "id", "access token", "refresh token", "grant token"])
def test_find_by_each_key(initialized, zoho, store, tmp_path, monkeypatch, key):
    form = FindForm(store, zoho)
    form.inputs["key"].value = key
    if key == "id":
        form.inputs["name"].value = "1"
    form.submit()
    assert form.found.get_id() == "1"
    assert fingerprint(form.found.get_access_token()) in form.status.value
    scope = run_shown_code(form, tmp_path, monkeypatch, store=store, zoho=zoho)
    assert scope["token"].get_access_token() == form.found.get_access_token()


@pytest.mark.parametrize(("key", "field"), [("user name", "name"), ("access token", "token")])
def test_find_says_that_there_is_none(initialized, zoho, store, key, field):
    form = FindForm(store, zoho)
    form.inputs["key"].value = key
    form.inputs[field].value = "unknown"
    form.submit()
    assert (
        form.found is None
        and f"○ None: no token in CustomStoreSQLite has this {key}" in form.status.value
    )


def test_find_in_an_empty_store(zoho, store):
    form = FindForm(store, zoho)
    form.inputs["key"].value = "access token"
    with pytest.raises(InputError, match="The store has no access token"):
        form.submit()


def test_refresh_gives_the_next_access_token(initialized, zoho, store, tmp_path, monkeypatch):
    before = store.find_token_by_id("1")
    form = RefreshForm(store, zoho)
    form.submit()
    after = store.find_token_by_id("1")
    assert after.get_access_token() != before.get_access_token()
    assert after.get_refresh_token() == before.get_refresh_token()
    old = {"Authorization": f"Zoho-oauthtoken {before.get_access_token()}"}
    assert requests.get(f"{zoho.url}/crm/v8/org", headers=old, timeout=5).status_code == 401
    assert fingerprint(after.get_access_token()) in form.status.value
    run_shown_code(form, tmp_path, monkeypatch, store=store, zoho=zoho)
    assert store.find_token_by_id("1").get_access_token() != after.get_access_token()


def test_refresh_explains_what_is_missing(initialized, zoho, store):
    form = RefreshForm(store, zoho)
    form.inputs["id"].value = "99"
    with pytest.raises(InputError, match="There is no row 99"):
        form.submit()
    with pytest.raises(InputError, match="not initialized with this store"):
        RefreshForm(CustomStoreInMemory(), zoho).submit()


def test_the_eleventh_access_token_is_denied_in_plain_words(initialized, zoho, store):
    form = RefreshForm(store, zoho)
    form.inputs["time"].value = "no time passes"
    for used in range(1, 11):
        form.submit()
        assert f"{used} of 10 access tokens in ten minutes are used." in form.notes.value
    assert "advance" not in form.code({"id": "1", "time": "no time passes"})
    form._button.click()
    assert "Refused with Access Denied: 1." in form.notes.value
    assert "ten access tokens for this refresh token in ten minutes" in form.status.value
    assert store.find_token_by_id("1").get_access_token()


@pytest.mark.parametrize(
    "make", [lambda s: SaveForm(s), lambda s: FindForm(s), lambda s: RefreshForm(s)]
)
def test_a_form_has_a_steady_text_and_a_preview_beside_the_live_view(store, make):
    bundle, again = make(store)._repr_mimebundle_(), make(store)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    for kind in ("text/plain", "text/html"):
        assert bundle[kind] == again[kind]
    for field in make(store).fields:
        assert field.label in bundle["text/html"] and field.hint


def test_every_field_has_a_label(initialized):
    for field in initialized.fields:
        assert initialized.inputs[field.name].description == field.label


def test_a_store_that_cannot_be_listed_is_shown_too(store, monkeypatch):
    def fail():
        raise sqlite3.DatabaseError("database disk image is malformed")

    form = SaveForm(store)
    monkeypatch.setattr(store, "all_rows", fail)
    form._button.click()
    assert "The token store failed" in form.status.value and "✖ No table" in form._table.value


def test_stores_of_forms_are_the_lessons_own(initialized, store):
    assert initialized.store is store and type(store) is CustomStoreSQLite


def answer_in_the_browser(zoho, form, decision):
    page = requests.get(form.consent.url).text
    hidden = dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page))
    choice = {"user": zoho.users[2].email, "decision": decision}
    assert requests.post(f"{zoho.url}/oauth/v2/auth", hidden | choice).status_code == 200


def test_consent_in_the_browser_is_used_once(zoho, store, tmp_path):
    form = InitializeForm(zoho, store, tmp_path)
    consent = form.consent
    assert html.escape(consent.url) in form.notes.value
    answer_in_the_browser(zoho, form, "allow")
    form.submit()
    assert re.search(r"carla.mendes@example.org:\d+, who consented in", form.status.value)
    assert form.inputs["user"].value == "carla.mendes@example.org"
    shown = form._code.value
    assert "consent.grant_token" in shown and consent.grant_token not in shown
    assert form.consent is not consent and html.escape(form.consent.url) in form.notes.value
    form.inputs["user"].value = "anna.berg@example.com"
    form.submit()
    assert "anna.berg@example.com" in form.status.value


def test_what_was_denied_in_the_browser_is_told(zoho, store, tmp_path):
    form = InitializeForm(zoho, store, tmp_path)
    answer_in_the_browser(zoho, form, "deny")
    with pytest.raises(InputError, match="Access denied in the browser"):
        form.submit()
    form.submit()
    assert "✔" in form.status.value


def test_a_typed_token_comes_before_a_consent(zoho, store, tmp_path):
    form = InitializeForm(zoho, store, tmp_path)
    answer_in_the_browser(zoho, form, "allow")
    form.inputs["token"].value = zoho.grant(zoho.users[1])
    form.submit()
    assert "ben.okafor@example.com" in form.status.value
