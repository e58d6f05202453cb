"""The stores that lesson 07 writes, beyond what the lesson itself shows of them."""

from pathlib import Path

import nbformat
import pytest
from stores import make_token, user_token

from kaizen_store.contract.tokens import user_name

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "07_write_your_own_store.ipynb"


@pytest.fixture(scope="module")
def lesson():
    """The names that the lesson makes: a cell that shows nothing makes something."""
    names = {}
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if cell.cell_type == "code" and not cell.outputs:
            exec(cell.source, names)
    yield names
    names["cloud"].stop()


def test_nobody_sees_half_a_save(lesson):
    store, seen = lesson["MyStore"](), []
    store.save_token(user_token(1))
    put = store.write

    def write(state):
        seen.append(store.find_token(make_token(user_name=user_name(1))).get_access_token())
        put(state)

    store.write = write
    store.save_token(user_token(1, access_token="renewed"))
    assert seen == ["access-1"]
    assert store.get_tokens()[0].get_access_token() == "renewed"


def test_an_id_that_the_application_chose_is_not_handed_out_again(lesson):
    store = lesson["MyStore"]()
    store.save_token(user_token(1, id="1"))
    store.delete_token("1")
    store.save_token(token := user_token(2))
    assert token.get_id() == "2"
