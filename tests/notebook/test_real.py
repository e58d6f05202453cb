"""A lesson runs on a real account with one line changed; a Practice Zoho poses as the account."""

from pathlib import Path

import nbformat
import pytest
import requests
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter

from kaizen_store.notebook import (
    InitializeForm,
    RealZoho,
    RefreshBudget,
    TokenTimeline,
    fingerprint,
)
from kaizen_store.notebook.explain import InputError

SECRET_FIELDS = ("client_secret", "grant_token", "access_token", "refresh_token")
LESSONS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture
def account(zoho, monkeypatch):
    # RealZoho watches requests from its making on; the end of the test undoes it.
    monkeypatch.setattr(requests.Session, "send", requests.Session.send)
    monkeypatch.setenv("ZOHO_CLIENT_ID", zoho.client_id)
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", zoho.client_secret)
    monkeypatch.setenv("ZOHO_GRANT_TOKEN", zoho.grant())
    monkeypatch.setenv("ZOHO_REDIRECT_URL", zoho.redirect_url)
    return zoho


@pytest.mark.parametrize("name", ["00_start_here", "01_initialize_the_sdk", "04_refresh_a_token"])
def test_a_lesson_runs_on_an_account_with_one_line_changed(account, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {"environment": account.environment, "RealZoho": RealZoho}
    changed = 0
    for cell in nbformat.read(LESSONS / f"{name}.ipynb", as_version=4).cells:
        practice_alone = ("zoho.consent", "forged", "range(11)", "minutes=10")
        if cell.cell_type == "code" and not any(text in cell.source for text in practice_alone):
            lines = [
                "zoho = RealZoho(environment)" if line.startswith("zoho = PracticeZoho(") else line
                for line in cell.source.splitlines()
            ]
            changed += lines != cell.source.splitlines()
            exec("\n".join(lines), scope)
    assert changed == 1
    (token,) = scope["store"].get_tokens()
    assert "anna.berg" in token.get_user_signature().get_name()
    refreshes = 2 if name.startswith("04") else 0
    assert RefreshBudget(scope["zoho"]).used == refreshes
    *came, now = repr(TokenTimeline(scope["zoho"], scope["store"])).splitlines()
    assert (len(came), now) == (1 + refreshes, "now: 0 min")
    assert came[-1].endswith("living, in the store")


def test_only_fingerprints_are_written_down(account, store, tmp_path):
    own = RealZoho(account.environment)
    InitializeForm(own, store, tmp_path).submit()
    (stored,) = store.get_tokens()
    (exchange,) = own.exchanges
    secrets = [getattr(stored, f"get_{name}")() for name in SECRET_FIELDS]
    assert all(secrets) and not [secret for secret in secrets if secret in repr(exchange)]
    assert exchange.answer["access_token"] == fingerprint(stored.get_access_token())


def test_what_only_practice_zoho_has_is_told(account):
    with pytest.raises(AttributeError, match="Only Practice Zoho has 'consent': leave this step"):
        RealZoho(account.environment).consent()


def test_the_form_offers_your_account(account, store, tmp_path):
    form = InitializeForm(RealZoho(account.environment), store, tmp_path)
    assert form.inputs["server"].value == "your account" and form.consent is None
    assert form.inputs["client_id"].value == account.client_id
    form.submit()
    assert "zoho.grant()" in form._code.value and "anna.berg" in form.status.value


def test_a_missing_variable_is_told(monkeypatch):
    zoho = RealZoho(EUDataCenter.PRODUCTION())
    for name, ask in {
        "ZOHO_CLIENT_ID": lambda: zoho.client_id,
        "ZOHO_CLIENT_SECRET": lambda: zoho.client_secret,
        "ZOHO_GRANT_TOKEN": zoho.grant,
    }.items():
        monkeypatch.delenv(name, raising=False)
        with pytest.raises(InputError, match=f"{name} is not set"):
            ask()
    monkeypatch.delenv("ZOHO_REDIRECT_URL", raising=False)
    assert zoho.redirect_url is None


def test_its_repr_holds_no_secret(account):
    assert account.client_secret not in repr(RealZoho(account.environment)) + str(
        vars(RealZoho(account.environment))
    )
