import time

import pytest
from store_cases import STORES, make_token, user_token
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore

from kaizen_store.notebook import fingerprint, token_table
from kaizen_store.notebook.table import SHOWN, TextTable, time_left
from kaizen_store.stores.token_row import COLUMNS


@pytest.mark.parametrize("kind", [*STORES, "the SDK's FileStore"])
def test_any_store_is_shown_with_ten_columns_and_no_secret(tmp_path, kind):
    store = STORES.get(kind, lambda folder: FileStore(str(folder / "tokens.txt")))(tmp_path)
    assert token_table(store).empty
    store.save_token(user_token(1, expires_in=str(int(time.time() * 1000) + 3_599_000)))
    table = token_table(store)
    assert tuple(table.columns) == SHOWN
    assert sorted(SHOWN) == sorted(COLUMNS)
    (row,) = table.to_dict("records")
    assert row["user_name"] == "user1@example.com:6001"
    assert row["access_token"] == fingerprint("access-1") == "#f4c284"
    assert row["expiry_time"] == "in 59 min"
    assert not any(secret in table.to_html() for secret in ("access-1", "refresh-1", "grant-1"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "expired"),
        (30, "in 29 s"),
        (3_599, "in 59 min"),
        (9_000, "in 2 h"),
        (180_000, "in 2 days"),
    ],
)
def test_an_expiry_is_shown_as_the_time_that_is_left(seconds, text):
    assert time_left(str(int((time.time() + seconds) * 1000) - 1)) == text


def test_an_expiry_that_is_none_or_not_a_number():
    assert (time_left(None), time_left("soon")) == ("", "not a time")


def test_rows_are_marked_against_the_earlier_table_that_is_given(store):
    empty = token_table(store)
    store.save_token(user_token(1))
    store.save_token(user_token(2))
    before = token_table(store, since=empty)
    assert list(before.index) == ["new", "new"]
    store.save_token(make_token(id="2", access_token="renewed"))
    for _ in range(2):  # a table has no memory: the same arguments give the same marks
        assert list(token_table(store, since=before).index) == ["", "changed"]
        assert list(token_table(store, since=empty).index) == ["new", "new"]
        assert list(token_table(store).index) == ["", ""]
    assert list(before.index) == ["new", "new"]


def test_a_row_whose_remaining_time_differs_has_not_changed(store):
    store.save_token(user_token(1, expires_in=str(int(time.time() * 1000) + 59_500)))
    before = token_table(store)
    time.sleep(1)
    after = token_table(store, since=before)
    assert before["expiry_time"].iloc[0] != after["expiry_time"].iloc[0]
    assert list(after.index) == [""]


def test_what_a_table_keeps_for_later_is_not_a_secret_and_is_not_shown(store):
    store.save_token(user_token(1))
    table = token_table(store)
    (kept,) = table.attrs["row_hashes"].values()
    shown = f"{table!r} {table._repr_html_()} {table.to_json()}"
    assert kept not in shown
    assert not any(secret in kept for secret in ("access-1", "refresh-1", "grant-1"))


def test_a_table_shows_every_text_in_full_and_to_the_left():
    shown = TextTable({"said": ["a sentence " * 20]})._repr_html_()
    assert "a sentence " * 19 in shown
    assert shown.count('<td style="text-align: left">') == 1


def test_a_long_table_shows_its_ends_and_says_how_long_it_is():
    shown = TextTable({"row": range(1_000)})._repr_html_()
    assert shown.count("<tr") < 70 and "1000 rows" in shown
