"""The form of lesson 07: check a store against the contract."""

from __future__ import annotations

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from ...contract import check
from ..explanations import InputError
from .base import Field, Form
from .token_code import EXAMPLE_USER, practice_token, script


class CheckForm(Form):
    """Tries a store with one token, then checks it against every rule of the contract.

    :param kinds: the classes to choose from; each creates an empty store without arguments.
    """

    title = "Check a store"
    button = "Check"
    failed = "Checked"

    def __init__(self, *kinds: type[TokenStore]) -> None:
        self.kinds = {kind.__name__: kind for kind in kinds}
        names = tuple(self.kinds)
        hint = "The form saves and finds one token, then checks every rule."
        super().__init__(kinds[-1](), [Field("kind", "Store", hint, names[-1], choices=names)])

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return an empty store of the chosen class."""
        return self.kinds[values["kind"]]()

    def act(self, values: dict[str, str]) -> str:
        """Save a token and find it."""
        user, secret = UserSignature(EXAMPLE_USER), practice_token("refresh_token", EXAMPLE_USER)
        self.store.save_token(OAuthToken(user_signature=user, refresh_token=secret))
        self.store.find_token(OAuthToken(user_signature=user))
        return values["kind"]

    def conclude(self, values: dict[str, str], done: str) -> str:
        """Check every rule, and say how many have passed; a trace would slow the checks down."""
        report = check(self.kinds[values["kind"]])
        if report.failed:
            first = report.failed[0]
            raise InputError(
                f"{done}: {report.summary}. The first failed rule is {first.rule.id} "
                f"({first.rule.title}): {first.reason}. Hint: {first.rule.hint}."
            )
        return f"{done}: {report.summary}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        return script("from kaizen_store.contract import check", f"check({values['kind']})")
