"""The contract: every store of this project keeps it, and each check finds what it is for."""

import html
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.contract import RULES, check, check_rule, contract_tests
from kaizen_store.contract.tokens import make_token, values_of

TestSQLite = contract_tests(CustomStoreSQLite)
TestInMemory = contract_tests(CustomStoreInMemory)
TestList = contract_tests(CustomStoreList)


# One store for each rule, which breaks that rule and no other.


class IdAfterTheName(CustomStoreList):
    def find_token(self, token):
        if token.get_user_signature() is None or not token.get_id():
            return super().find_token(token)
        return super().find_token(make_token(user_name=token.get_user_signature().get_name()))


class FirstRowOfTheUser(CustomStoreList):
    def find_token(self, token):
        user = token.get_user_signature()
        if user and user.get_name() and not (token.get_id() or token.get_client_id()):
            for row in self._rows:
                if row[1] == user.get_name():
                    token.set_client_id(row[2])
                    break
        return super().find_token(token)


class AccessTokenWithAnyClient(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        if found is None and token.get_access_token() and not token.get_user_signature():
            found = super().find_token(make_token(access_token=token.get_access_token()))
        return found


class RefreshTokenOfAnyClient(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        if found is None and token.get_refresh_token() and not token.get_user_signature():
            rows = [row for row in self._rows if row[4] == token.get_refresh_token()]
            found = self.find_token_by_id(rows[0][0]) if rows else None
        return found


class AnyRowForAnUnclearToken(CustomStoreList):
    def find_token(self, token):
        if not any(values_of(token).values()) and self._rows:
            return self.find_token_by_id(self._rows[0][0])
        return super().find_token(token)


class AnotherObjectIsFound(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        return make_token(**_fields(found)) if found else None


def _fields(token):
    values = values_of(token)
    return values | {"expires_in": values.pop("expiry_time")}


class CallersPairAlwaysWins(CustomStoreList):
    def find_token(self, token):
        own = token.get_access_token(), token.get_expires_in()
        found = super().find_token(token)
        if found and all(own):
            token.set_access_token(own[0])
            token.set_expires_in(own[1])
        return found


class ChangesWhatItDoesNotFind(CustomStoreList):
    def find_token(self, token):
        found = super().find_token(token)
        if found is None and token.get_user_signature():
            token.set_redirect_url("https://example.com/")
        return found


class SlowWithManyRows(CustomStoreList):
    def find_token(self, token):
        time.sleep(2e-6 * len(self._rows))
        return super().find_token(token)


class SecondRowForANewConsent(CustomStoreList):
    def save_token(self, token):
        if isinstance(token, OAuthToken) and token.get_grant_token() == "new":
            self._rows.append([*values_of(token).values()])
            self._rows[-1][0] = "second"
            self._save_numbers["second"] = 0
        else:
            super().save_token(token)


class IdsAreUsedAgain(CustomStoreList):
    def delete_token(self, id):
        super().delete_token(id)
        self._last_id = max([int(row[0]) for row in self._rows if row[0].isdecimal()], default=0)


class ChosenIdsAreUsedAgain(CustomStoreList):
    def save_token(self, token):
        chosen = isinstance(token, OAuthToken) and token.get_id()
        before = self._last_id
        super().save_token(token)
        if chosen:
            self._last_id = before


class UpdateErasesWhatIsMissing(CustomStoreList):
    def save_token(self, token):
        missing = isinstance(token, OAuthToken) and token.get_redirect_url() is None
        super().save_token(token)
        for row in self._rows:
            if missing and row[0] == token.get_id():
                row[8] = None


class EmptyTokenIsNoMistake(CustomStoreList):
    def save_token(self, token):
        if not isinstance(token, OAuthToken) or any(
            (token.get_grant_token(), token.get_refresh_token(), token.get_access_token())
        ):
            super().save_token(token)


class AnythingCanBeSaved(CustomStoreList):
    def save_token(self, token):
        if isinstance(token, OAuthToken):
            super().save_token(token)


class LosesItAllInACrash(CustomStoreSQLite):
    """Forgets everything when a process died within 0.2 seconds of a save."""

    def __init__(self):
        super().__init__()
        for mark in Path.cwd().glob("unsafe-*"):
            if not Path(f"/proc/{mark.name.removeprefix('unsafe-')}").exists():
                self.delete_tokens()

    def save_token(self, token):
        super().save_token(token)
        mark = Path.cwd() / f"unsafe-{os.getpid()}"
        mark.touch(mode=0o600)
        threading.Timer(0.2, mark.unlink, [True]).start()


class NewestFirst(CustomStoreList):
    def get_tokens(self):
        return super().get_tokens()[::-1]


class UnknownIdRaises(CustomStoreList):
    def find_token_by_id(self, id):
        token = super().find_token_by_id(id)
        if token is None:
            raise SDKException("TOKEN_STORE", "no such token")
        return token


class UnknownIdIsDeletedQuietly(CustomStoreList):
    def delete_token(self, id):
        if self.find_token_by_id(id):
            super().delete_token(id)


class OneIsLeft(CustomStoreList):
    def delete_tokens(self):
        for token in self.get_tokens()[1:]:
            self.delete_token(token.get_id())


class CutsAt255Characters(CustomStoreList):
    def save_token(self, token):
        if isinstance(token, OAuthToken) and token.get_redirect_url():
            token.set_redirect_url(token.get_redirect_url()[:255])
        super().save_token(token)


class RaisesWhatTheStorageRaises(CustomStoreSQLite):
    def save_token(self, token):
        try:
            super().save_token(token)
        except SDKException as error:
            raise error.cause or error from None


class OneThreadAlone(CustomStoreList):
    def __init__(self):
        super().__init__()
        self._thread = threading.get_ident()

    def save_token(self, token):
        if threading.get_ident() != self._thread:
            raise SDKException("TOKEN_STORE", "made in another thread")
        super().save_token(token)


class SavesInTwoSteps(CustomStoreList):
    def save_token(self, token):
        if isinstance(token, OAuthToken) and token.get_access_token():
            first = _fields(token) | dict.fromkeys(("grant_token", "refresh_token", "expires_in"))
            if first["user_name"]:
                super().save_token(make_token(**first))
                time.sleep(0.001)
        super().save_token(token)


class EverybodyCanRead(CustomStoreSQLite):
    def __init__(self):
        super().__init__()
        self.path.chmod(0o644)


class NeverClosed(CustomStoreSQLite):
    def close(self):
        pass


BREAKERS = (
    IdAfterTheName,
    FirstRowOfTheUser,
    AccessTokenWithAnyClient,
    RefreshTokenOfAnyClient,
    AnyRowForAnUnclearToken,
    AnotherObjectIsFound,
    CallersPairAlwaysWins,
    ChangesWhatItDoesNotFind,
    SlowWithManyRows,
    SecondRowForANewConsent,
    IdsAreUsedAgain,
    UpdateErasesWhatIsMissing,
    EmptyTokenIsNoMistake,
    AnythingCanBeSaved,
    LosesItAllInACrash,
    NewestFirst,
    UnknownIdRaises,
    UnknownIdIsDeletedQuietly,
    OneIsLeft,
    CutsAt255Characters,
    RaisesWhatTheStorageRaises,
    OneThreadAlone,
    EverybodyCanRead,
    NeverClosed,
)
MORE_BREAKERS = ((11, ChosenIdsAreUsedAgain), (22, SavesInTwoSteps))


@pytest.mark.parametrize(("number", "make_store"), (*enumerate(BREAKERS, 1), *MORE_BREAKERS))
def test_a_store_that_breaks_one_rule_is_told_so(number, make_store):
    report = check(make_store)
    assert [verdict.rule.number for verdict in report.broken] == [number], str(report)
    (verdict,) = report.broken
    shown = f"{report} {html.unescape(report._repr_html_())}"
    assert shown.count(verdict.happened) == shown.count(verdict.rule.look_at) == 2


def test_there_is_a_breaker_for_each_rule():
    assert len(BREAKERS) == len(RULES) == 24
    assert [rule.number for rule in RULES] == list(range(1, 25))


# A store that does its worst.


class Hangs(CustomStoreList):
    def find_token(self, token):
        time.sleep(60)


class EndsTheProcess(CustomStoreList):
    def find_token(self, token):
        os._exit(3)


def has_tokens():
    store = CustomStoreList()
    store.save_token(make_token(access_token="somebody's"))
    return store


def cannot_be_made():
    raise OSError("no storage here")


@pytest.mark.parametrize(
    ("make_store", "happened"),
    [
        (Hangs, "did not end within 0.5 seconds"),
        (EndsTheProcess, "ended the process (exit code 3)"),
        (has_tokens, "already holds 1 tokens"),
        (cannot_be_made, "unexpected OSError: no storage here"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_store_does_to_itself_is_reported_and_not_suffered(make_store, happened):
    started = time.monotonic()
    verdict = check_rule(RULES[0], make_store, timeout_s=0.5)
    assert verdict.state == "broken" and happened in verdict.happened
    assert time.monotonic() - started < 5


def test_in_pytest_a_broken_rule_is_a_failed_test(pytester):
    pytester.makepyfile(
        "from kaizen_store import CustomStoreList\n"
        "from kaizen_store.contract import contract_tests\n"
        "class NewestFirst(CustomStoreList):\n"
        "    def get_tokens(self):\n"
        "        return super().get_tokens()[::-1]\n"
        "TestMyStore = contract_tests(NewestFirst)\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=20, failed=1, skipped=3)
    done.stdout.fnmatch_lines(["*TestMyStore::test_rule?16 all are listed oldest first?*"])


def test_checking_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_rule(RULES[0], CustomStoreSQLite)
    assert Path.cwd() == tmp_path and list(tmp_path.iterdir()) == []


# From the command line.


def run(argument):
    return subprocess.run(
        [sys.executable, "-m", "kaizen_store.contract", argument],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )


def test_the_command_says_that_a_store_keeps_the_rules():
    done = run("kaizen_store:CustomStoreSQLite")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n24 rules kept\n")


def test_the_command_ends_with_status_1_where_a_rule_is_broken():
    done = run("test_contract:NewestFirst")
    assert (done.returncode, done.stderr) == (1, "")
    assert "✖ 16 all are listed oldest first\n     the tokens are not listed" in done.stdout
    assert done.stdout.endswith("\n20 rules kept, 1 broken, 3 not applicable\n")


@pytest.mark.parametrize("argument", ["no.such.module:x", "kaizen_store:NoSuch", "kaizen_store"])
def test_the_command_explains_a_store_that_it_cannot_find(argument):
    done = run(argument)
    assert done.returncode == 2 and "write package.module:make_store" in done.stderr
