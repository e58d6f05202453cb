import logging

import pytest
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreSQLite
from kaizen_store.practice import PracticeZoho


@pytest.fixture
def zoho():
    with PracticeZoho(seed=1) as running:
        yield running


@pytest.fixture
def store(tmp_path):
    with CustomStoreSQLite(tmp_path / "zohooauth.db") as made:
        yield made


@pytest.fixture(autouse=True)
def uninitialized_sdk(monkeypatch):
    monkeypatch.setattr(Initializer, "initializer", None)
    # The SDK logs a failing save with a broken format, which pytest would raise as an error.
    monkeypatch.setattr(logging.getLogger("SDKLogger"), "disabled", True)
