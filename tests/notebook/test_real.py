"""A lesson runs on a real account with one line changed; Practice Zoho simulates the account."""

import io
import logging
from pathlib import Path

import nbformat
import pytest
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter

from kaizen_store.notebook import (
    InitializeForm,
    RealZoho,
    RefreshBudget,
    RefreshForm,
    TokenTimeline,
    fingerprint,
)
from kaizen_store.notebook.explanations import InputError
from kaizen_store.practice import PracticeZoho

SECRET_FIELDS = ("client_secret", "grant_token", "access_token", "refresh_token")
LESSONS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(autouse=True)
def store_logger(monkeypatch):
    """The stores' logger, as it is in a new process."""
    logger = logging.getLogger("kaizen_store")
    monkeypatch.setattr(logger, "filters", [])
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def account(zoho, monkeypatch):
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
        only_practice = ("zoho.consent", "forged", "range(11)", "minutes=10")
        if cell.cell_type == "code" and not any(text in cell.source for text in only_practice):
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
    *requested, now = repr(TokenTimeline(scope["zoho"], scope["store"])).splitlines()
    assert (len(requested), now) == (1 + refreshes, "now: 0 min")
    assert requested[-1].endswith("valid, in the store")


def test_token_requests_are_recorded_from_the_log_without_secrets(account, store, tmp_path):
    own, again = RealZoho(account.environment), RealZoho(account.environment)
    form = InitializeForm(own, store, tmp_path)
    form.submit()
    RefreshForm(store, own).submit()
    first, second = own.exchanges
    (stored,) = store.get_tokens()
    secrets = [getattr(stored, f"get_{name}")() for name in SECRET_FIELDS]
    assert all(secrets) and not [secret for secret in secrets if secret in repr(own.exchanges)]
    assert first.parameters["code"] == fingerprint(stored.get_grant_token())
    assert second.parameters["refresh_token"] == fingerprint(stored.get_refresh_token())
    assert second.answer["access_token"] == fingerprint(stored.get_access_token())
    # The server has seen the same requests.
    served = [each for each in account.exchanges if each.path == second.path]
    assert [each.answer["access_token"] for each in served] == [
        each.answer["access_token"] for each in own.exchanges
    ]
    assert again.exchanges == own.exchanges, "every RealZoho records, each request once"


def test_a_refused_request_is_recorded_too(account, store, tmp_path):
    own = RealZoho(account.environment)
    form = InitializeForm(own, store, tmp_path)
    form.inputs["token"].value = "wrong"
    form._button.click()
    assert form.error is not None
    assert [each.answer for each in own.exchanges] == [{}]
    assert repr(TokenTimeline(own, store)) == "now: 0 min"


def test_a_cell_that_runs_again_adds_no_second_recorder(account, store_logger):
    for _ in range(3):
        own = RealZoho(account.environment)
    assert len(store_logger.filters) == 1
    store_logger.info("…", extra=request_to(account.environment))
    assert len(own.exchanges) == 1


def request_to(environment):
    """What a store logs of a token request."""
    details = {"token_kind": "refresh token", "sent": "#aaaaaa", "received": "#bbbbbb"}
    return {"token_request": details | {"url": environment.accounts_url}}


def test_a_request_to_another_server_is_not_recorded(account, store_logger):
    own = RealZoho(account.environment)
    with PracticeZoho(seed=2) as other:
        store_logger.info("…", extra=request_to(other.environment))
    assert own.exchanges == []


@pytest.mark.parametrize(
    ("own_level", "root_level", "shown"),
    [
        (logging.NOTSET, logging.WARNING, ["warning"]),
        (logging.NOTSET, logging.INFO, ["info", "warning"]),
        (logging.ERROR, logging.DEBUG, []),
        (logging.DEBUG, logging.ERROR, ["debug", "info", "warning"]),
    ],
)
def test_the_log_looks_the_same_as_before(
    account, store_logger, monkeypatch, own_level, root_level, shown
):
    handler, root = logging.StreamHandler(io.StringIO()), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(root, "level", root_level)
    store_logger.setLevel(own_level)
    for recorded in (False, True):
        if recorded:
            own = RealZoho(account.environment)
        handler.setStream(io.StringIO())
        for level in ("debug", "info", "warning"):
            getattr(store_logger, level)(level, extra=request_to(account.environment))
        assert handler.stream.getvalue().split() == shown, f"recorded: {recorded}"
    assert len(own.exchanges) >= 2, "info and warning"


def test_a_level_that_is_set_later_counts(account, store_logger, caplog):
    own = RealZoho(account.environment)
    caplog.set_level(logging.DEBUG, "kaizen_store")
    store_logger.debug("details", extra=request_to(account.environment))
    assert caplog.messages == ["details"] and len(own.exchanges) == 1


def test_what_only_practice_zoho_has_is_told(account):
    with pytest.raises(AttributeError, match="Only Practice Zoho has 'consent': skip this step"):
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


def test_its_repr_has_no_secret(account):
    assert account.client_secret not in repr(RealZoho(account.environment)) + str(
        vars(RealZoho(account.environment))
    )
