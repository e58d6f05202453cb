"""The one way to watch the SDK work: what it asks the store and what it asks Zoho, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import requests
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from ..token_row import COLUMNS, KEY_COLUMNS, row_of
from .table import TextTable, fingerprint, full_html

STORE_METHODS = (
    "find_token",
    "find_token_by_id",
    "save_token",
    "delete_token",
    "delete_tokens",
    "get_tokens",
)

PLAIN = {
    "sent": (
        "fields",
        "grant_type",
        "module",
        "page",
        "per_page",
        "redirect_uri",
        "type",
    ),
    "received": (
        "api_domain",
        "code",
        "error",
        "error_description",
        "expires_in",
        "message",
        "status",
        "token_type",
    ),
}
"""What is shown of a request and of an answer; every other value is shown as a fingerprint."""


@dataclass(frozen=True)
class Step:
    """One call that the SDK made, without its secrets.

    ``whom`` it asked is "store" or "Zoho"; ``call`` and ``result`` say in a few words what was
    asked and answered. For an HTTP request, ``sent`` and ``received`` name every value. ``error``
    is the exception that the call ended in, if it did; it also stands for an answer of Zoho's that
    refuses, and for one that is not JSON.
    """

    whom: str
    call: str
    result: str
    sent: str = ""
    received: str = ""
    error: BaseException | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Diagram:
    """A sequence diagram: JupyterLab draws it, and elsewhere it is text."""

    steps: tuple[Step, ...]

    @property
    def mermaid(self) -> str:
        """The diagram in the language of mermaid, https://mermaid.js.org."""
        lines = [
            "sequenceDiagram",
            "    participant store",
            "    participant program as your program",
        ]
        lines.append("    participant Zoho")
        for step in self.steps:
            lines.append(f"    program->>{step.whom}: {_for_mermaid(step.call)}")
            lines.append(f"    {step.whom}-->>program: {_for_mermaid(step.result)}")
        return "\n".join(lines)

    @property
    def text(self) -> str:
        """The diagram as lines of text."""
        lines = []
        for step in self.steps:
            lines.append(f"program -> {step.whom:<5}  {step.call}")
            lines.append(f"program <- {step.whom:<5}  {step.result}")
        return "\n".join(lines) or "Neither the store nor Zoho was asked."

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return {"text/vnd.mermaid": self.mermaid, "text/plain": self.text}


def _for_mermaid(text: str) -> str:
    # In mermaid "#" begins the number of a character and ";" ends a line.
    return text.replace("#", "#35;").replace(";", ",").replace("#35,", "#35;")


@dataclass(frozen=True)
class Trace:
    """What the SDK did during a ``with trace(store)`` block, a :class:`Step` for each call."""

    steps: list[Step] = field(default_factory=list)

    @property
    def table(self) -> TextTable:
        """The steps as a pandas DataFrame: who was asked what, and the answer."""
        rows = [
            (step.whom, f"{step.call} {step.sent}".strip(), step.received or step.result)
            for step in self.steps
        ]
        names = ["asked", "what", "answer"]
        return TextTable(rows, columns=names, index=range(1, len(rows) + 1), dtype=object)

    @property
    def diagram(self) -> Diagram:
        """The steps as a sequence diagram."""
        return Diagram(tuple(self.steps))

    def __repr__(self) -> str:
        return self.diagram.text

    def _repr_html_(self) -> str:
        return full_html(self.table)


@contextmanager
def trace(store: TokenStore) -> Iterator[Trace]:
    """Watch, for the time of a ``with`` block, what a store and Zoho are asked.

    The store works on unchanged. HTTP requests are seen whoever makes them with ``requests``, as
    the SDK does.

    :param store: the store that the SDK uses.
    :returns: a :class:`Trace`, filled while the block runs.
    """
    seen = Trace()
    with ExitStack() as watches:
        for name in STORE_METHODS:
            watched = _watched_method(seen, name, getattr(store, name))
            watches.enter_context(mock.patch.object(store, name, watched))
        send = requests.Session.send
        watches.enter_context(
            mock.patch.object(requests.Session, "send", _watched_send(seen, send))
        )
        yield seen


def _watched_method(seen: Trace, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*arguments: Any) -> Any:
        call = f"{name}({', '.join(map(_described, arguments))})"
        try:
            result = method(*arguments)
        except Exception as error:
            seen.steps.append(Step("store", call, f"raises {type(error).__name__}", error=error))
            raise
        if name == "save_token":
            answer = f"saved as row {arguments[0].get_id()}"
        elif isinstance(result, list):
            answer = f"{len(result)} token{'' if len(result) == 1 else 's'}"
        else:
            answer = f"row {result.get_id()}" if isinstance(result, OAuthToken) else str(result)
        seen.steps.append(Step("store", call, answer))
        return result

    return watched


def _described(argument: object) -> str:
    """Name what a token can be found by, or quote an id; a value of a token is never shown."""
    if not isinstance(argument, OAuthToken):
        return repr(argument)
    held = dict(zip(COLUMNS, row_of(argument), strict=True))
    return ", ".join(name for name in (*KEY_COLUMNS, "client_id") if held[name])


def _watched_send(seen: Trace, send: Callable[..., Any]) -> Callable[..., Any]:
    def watched(session: Any, request: requests.PreparedRequest, **how: Any) -> Any:
        call = f"{request.method} {request.path_url.partition('?')[0]}"
        sent = _shown(parameters_of(request), "sent")
        try:
            response = send(session, request, **how)
        except requests.RequestException as error:
            result = f"no answer: {type(error).__name__}"
            seen.steps.append(Step("Zoho", call, result, sent, error=error))
            raise
        answer, refusal = read_answer(response)
        tokens = [name for name in ("access_token", "refresh_token") if name in answer]
        told = ", ".join(tokens or answer)
        if refusal is not None:
            told = f"error {getattr(refusal, 'code', 'no JSON')}"
        status = response.status_code
        received = f"{status} {_shown(answer, 'received')}"
        seen.steps.append(Step("Zoho", call, f"{status} {told}", sent, received, refusal))
        return response

    return watched


def parameters_of(request: requests.PreparedRequest) -> dict[str, str]:
    """Return the parameters of an HTTP request, of its address and of its body.

    :param request: the request, as ``requests`` sends it.
    """
    body = request.body if isinstance(request.body, str) else ""
    return dict(parse_qsl(urlsplit(request.url or "").query) + parse_qsl(body))


def read_answer(response: requests.Response) -> tuple[Mapping[str, Any], Exception | None]:
    """Return the JSON object of an answer, and the error that the answer stands for, if any.

    :param response: Zoho's, of whatever kind.
    """
    try:
        answer = response.json() if response.content or not response.ok else {}
    except requests.JSONDecodeError as error:
        return {}, error
    answer = answer if isinstance(answer, dict) else {}
    word = answer.get("error") or answer.get("code")
    return answer, SDKException(word, answer.get("message")) if word else None


def _shown(values: Mapping[str, Any], direction: str) -> str:
    parts = []
    for name, value in without_secrets(values, direction).items():
        if isinstance(value, list):
            parts.append(f"{name}: {len(value)}")
        elif value and not isinstance(value, dict):
            parts.append(f"{name}={value}")
    return ", ".join(parts)


def without_secrets(values: Mapping[str, Any], direction: str) -> dict[str, Any]:
    """Return the values of a request or of an answer, with fingerprints in place of secrets.

    :param values: by name; a list or an object among them is left as it is.
    :param direction: "sent" or "received".
    """
    return {
        name: value
        if name in PLAIN[direction] or not value or isinstance(value, (list, dict))
        else fingerprint(str(value))
        for name, value in values.items()
    }
