"""The stores that lesson 07 writes, beyond what the lesson itself shows of them."""

from pathlib import Path

import nbformat
import pytest
from store_cases import make_token, user_token
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

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


@pytest.fixture
def cloud_stores(lesson, tmp_path, monkeypatch):
    """Two stores on one new secret, as two processes have them."""
    monkeypatch.chdir(tmp_path)
    return lesson["SharedStore"](), lesson["SharedStore"]()


def test_who_was_second_does_the_step_again(cloud_stores):
    one, two = cloud_stores
    put, rivals = one.write, [user_token(3), user_token(2)]

    def write(state):
        if rivals:
            two.save_token(rivals.pop())
        put(state)

    one.write = write
    one.save_token(mine := user_token(1))
    assert {t.get_access_token(): t.get_id() for t in two.get_tokens()} == {
        "access-2": "1",
        "access-3": "2",
        "access-1": "3",
    }
    rivals.append(user_token(4))
    one.delete_token(mine.get_id())
    assert [t.get_id() for t in two.get_tokens()] == ["1", "2", "4"]
    rivals.append(user_token(5))
    one.delete_tokens()
    assert two.get_tokens() == []


def test_who_never_is_first_is_told(cloud_stores, lesson):
    def write(state):
        raise lesson["Changed"]

    one, two = cloud_stores
    one.write = write
    with pytest.raises(SDKException, match="always first"):
        one.save_token(user_token(1))
    assert two.get_tokens() == []


def test_what_fails_at_aws_names_the_secret_and_shows_no_token(cloud_stores, lesson, caplog):
    one, _ = cloud_stores
    one.save_token(user_token(1))
    lesson["secrets"].delete_secret(SecretId=one.name, ForceDeleteWithoutRecovery=True)
    for step in (one.get_tokens, lambda: one.save_token(user_token(2)), lambda: one.write({})):
        caplog.clear()
        with pytest.raises(SDKException) as caught:
            step()
        assert caught.value.code == "TOKEN_STORE"
        assert isinstance(caught.value.cause, lesson["ClientError"])
        assert one.name in str(caught.value) and one.name in caplog.text
        assert "access-" not in caplog.text + str(caught.value)


def test_a_secret_keeps_no_more_labels_than_it_needs(cloud_stores, lesson):
    one, _ = cloud_stores
    for number in range(4):
        one.save_token(user_token(number))
    versions = lesson["secrets"].list_secret_version_ids(SecretId=one.name, IncludeDeprecated=True)
    labels = [label for v in versions["Versions"] for label in v.get("VersionStages", [])]
    assert sorted(labels) == ["AWSCURRENT", "AWSPREVIOUS", "NEW"]
