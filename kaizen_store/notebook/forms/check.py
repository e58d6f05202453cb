"""The form of lesson 07: check a store against the contract."""

from __future__ import annotations

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from ..contract import check
from .explain import InputError
from .form import Field, Form
from .forms import practice_token, script

USER = "ada@example.com:6001"


class CheckForm(Form):
    """Tries a store with one token, then checks it against every rule of the contract.

    :param kinds: the classes to choose from; each makes an empty store without an argument.
    """

    title = "Check a store"
    button = "Check"
    failed = "Checked"

    def __init__(self, *kinds: type[TokenStore]) -> None:
        self.kinds = {kind.__name__: kind for kind in kinds}
        names = tuple(self.kinds)
        hint = "It is tried with one token, then checked against every rule."
        super().__init__(kinds[-1](), [Field("kind", "Store", hint, names[-1], choices=names)])

    def choose_store(self, values: dict[str, str]) -> TokenStore:
        """Return an empty store of the chosen class."""
        return self.kinds[values["kind"]]()

    def act(self, values: dict[str, str]) -> str:
        """Save and find a token, run the checks, and say how many rules are kept."""
        token = practice_token("refresh_token", USER)
        self.store.save_token(OAuthToken(user_signature=UserSignature(USER), refresh_token=token))
        self.store.find_token(OAuthToken(user_signature=UserSignature(USER)))
        report = check(self.kinds[values["kind"]])
        if report.broken:
            first = report.broken[0]
            raise InputError(
                f"{values['kind']}: {report.summary}. The first is rule {first.rule.number}, "
                f"{first.rule.name}: {first.happened}. Look at {first.rule.look_at}."
            )
        return f"{values['kind']}: {report.summary}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        return script("from kaizen_store.contract import check", f"check({values['kind']})")
