"""Every store does what a plain model of the rules does, over random sequences of its methods."""

import logging
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_cases import STORES, make_token, values_of
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

TOKENS = ("grant_token", "refresh_token", "access_token")


class Model:
    """The rules as the contract tells them, on a list of dictionaries."""

    def __init__(self):
        self.rows = []  # oldest first
        self.ids = set()  # that a row ever had

    def find(self, wanted):
        if wanted["id"] and (rows := self.having("id", wanted["id"])):
            return rows[0]
        name, client = wanted["user_name"], wanted["client_id"]
        keys = []
        if name:
            # Then a row that was saved before the name was known (rule 10).
            keys = ["user_name", "access_token", "grant_token", "refresh_token"]
        elif wanted["access_token"] and not client and not wanted["client_secret"]:
            keys = ["access_token"]
        elif client and wanted["client_secret"]:
            keys = ["grant_token", "refresh_token"]
        for key in keys:
            rows = self.having(key, wanted[key]) if wanted[key] else []
            # Never another user's row, never another client's.
            rows = [row for row in rows if not name or row["user_name"] in (None, name)]
            if client:
                # A row that knows no client yet is taken where that client has none.
                of_client = [row for row in rows if row["client_id"] == client]
                rows = of_client or [row for row in rows if row["client_id"] is None]
            if rows:
                # The access token that expires last; on a tie, the newest row.
                return sorted(rows, key=lambda row: lasts_until(row))[-1]
        return None

    def having(self, key, value):
        return [row for row in self.rows if row[key] == value]

    def refuses(self, token):
        row = self.find(token)
        return row is not None and any(
            row[key] and token[key] and row[key] != token[key] for key in ("user_name", "client_id")
        )

    def save(self, token, id):
        """Save what a token held; `id` is what the store has set on it."""
        row = self.find(token)
        brings_refresh_token = False
        if row is None:
            assert token["id"] or id not in self.ids
            row = dict(token, id=id)
            self.rows.append(row)
        else:
            brings_refresh_token = token["refresh_token"] not in (None, row["refresh_token"])
            if token["access_token"] not in (None, row["access_token"]):
                row["expiry_time"] = None  # the pair stays together
            row.update({key: value for key, value in token.items() if value})
        for other in self.rows[:]:
            if other is not row and self.becomes(other, row, brings_refresh_token):
                self.rows.remove(other)  # one user and client, one row (rule 10)
                if not row["access_token"]:
                    row["expiry_time"] = other["expiry_time"]
                elif not row["expiry_time"]:
                    other = dict(other, expiry_time=None)
                row.update({key: value for key, value in other.items() if not row[key]})
        assert isinstance(id, str) and id == row["id"]
        self.ids.add(id)

    def becomes(self, other, row, brings_refresh_token):
        """Tell whether another row is of the same user and client, as a save has shown."""
        if not row["user_name"] or other["client_id"] != row["client_id"]:
            return False
        same_token = brings_refresh_token and other["refresh_token"] == row["refresh_token"]
        return other["user_name"] == row["user_name"] or (not other["user_name"] and same_token)

    def completed(self, token, row):
        filled = {key: token[key] or row[key] for key in token}
        pairs = [(side["access_token"], side["expiry_time"]) for side in (token, row)]
        (own, own_expiry), (stored, stored_expiry) = pairs
        if own and stored and own_expiry and stored_expiry:
            later = number(stored_expiry) > number(own_expiry)
            pair = pairs[1] if later else pairs[0]
        elif own and own != stored:
            pair = pairs[0]
        elif own:
            pair = (own, own_expiry or stored_expiry)
        else:
            pair = pairs[1] if stored or not own_expiry else pairs[0]
        return filled | {"access_token": pair[0], "expiry_time": pair[1]}


def lasts_until(row):
    return number(row["expiry_time"] or "") if row["access_token"] else 0


def number(text):
    return int(text) if text.isdecimal() else 0


def some(*values):
    return st.sampled_from((*values, None, ""))


TRICKY = "x' or '1'='1; -- %_\u202e💾\u0000"
FIELDS = {
    "id": st.sampled_from((None, None, None, None, "", "1", "2", "3", "7", TRICKY, "9" * 12)),
    "user_name": some("ada@example.com:1", TRICKY),
    "client": some(("client 1", "secret"), ("client 2", "secret"), ("client 1", None)),
    "refresh_token": some("refresh 1", TRICKY),
    "access_token": some("access 1", "x" * 10_000),
    "grant_token": some("grant 1", "grant 2"),
    "expiry_time": some("1000", "2000", "30000", "no number"),
    "redirect_url": some("https://example.com/"),
    "api_domain": some("https://www.zohoapis.eu"),
}
tokens = st.fixed_dictionaries(FIELDS)
IDS = ("1", "2", "3", "4", "8", "", TRICKY, "9" * 12, "1 or 1=1")


def token_with(values):
    fields = dict(values)
    fields["client_id"], fields["client_secret"] = fields.pop("client") or (None, "")
    return make_token(fields.pop("user_name"), fields.pop("expiry_time"), **fields)


class Sequence(RuleBasedStateMachine):
    make_store = None

    @initialize(first=st.lists(tokens, max_size=6))
    def begin(self, first):
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.make_store(Path(self.folder.name))
        self.model = Model()
        for values in first:
            self.save(values)

    def teardown(self):
        getattr(self.store, "close", lambda: None)()
        self.folder.cleanup()

    @rule(values=tokens)
    def save(self, values):
        token = token_with(values)
        wanted = values_of(token)
        if not any(wanted[key] for key in TOKENS) or self.model.refuses(wanted):
            with pytest.raises(SDKException):
                self.store.save_token(token)
        else:
            self.store.save_token(token)
            self.model.save(wanted, token.get_id())
            assert values_of(token) == wanted | {"id": token.get_id()}

    @precondition(lambda self: self.model.rows)
    @rule(values=tokens, place=st.integers(0, 9))
    def save_by_id(self, values, place):
        rows = self.model.rows
        self.save(values | {"id": rows[place % len(rows)]["id"]})

    @rule(values=tokens)
    def find(self, values):
        token = token_with(values)
        wanted = values_of(token)
        row = self.model.find(wanted)
        found = self.store.find_token(token)
        assert found is (None if row is None else token)
        assert values_of(token) == (self.model.completed(wanted, row) if row else wanted)

    @rule(id=st.sampled_from(IDS))
    def delete(self, id):
        rows = self.model.having("id", id)
        if rows:
            self.store.delete_token(id)
            self.model.rows.remove(rows[0])
        else:
            with pytest.raises(SDKException):
                self.store.delete_token(id)

    @precondition(lambda self: len(self.model.rows) > 3)  # or most stores stay empty
    @rule()
    def delete_all(self):
        self.store.delete_tokens()
        self.model.rows.clear()

    @invariant()
    def same(self):
        stored = [values_of(token) for token in self.store.get_tokens()]
        owners = [(row["user_name"], row["client_id"]) for row in stored if row["user_name"]]
        assert len(owners) == len(set(owners))
        assert stored == self.model.rows
        for id in IDS:
            found = self.store.find_token_by_id(id)
            rows = self.model.having("id", id)
            assert ([] if found is None else [values_of(found)]) == rows


@pytest.mark.parametrize("name", STORES)
def test_every_sequence_ends_as_in_the_model(name, monkeypatch):
    monkeypatch.setattr(logging.getLogger("kaizen_store"), "disabled", True)  # many are refused
    # The same sequences each time; MODEL_EXAMPLES=2000 tries more of them, and new ones.
    count = int(os.environ.get("MODEL_EXAMPLES", "200"))
    machine = type(name, (Sequence,), {"make_store": staticmethod(STORES[name])})
    machine.TestCase.settings = settings(
        max_examples=count,
        stateful_step_count=50,
        deadline=None,
        derandomize="MODEL_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    machine.TestCase().runTest()
