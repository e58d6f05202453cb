"""The one way to watch the SDK: its calls to the store and its requests to Zoho, in order."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from ..stores import single_flight
from ..stores.token_row import KEY_COLUMNS
from .table import TextTable, fingerprint, full_html

STORE_METHODS = sorted(TokenStore.__abstractmethods__)

RECEIVED = "api_domain code error error_description expires_in message status token_type"
UNMASKED_FIELDS = {
    "sent": ["fields", "grant_type", "module", "page", "per_page", "redirect_uri", "type"],
    "received": RECEIVED.split(),
}
"""The fields of a request and of a response that are shown; every other value is masked."""

SEND = requests.Session.send.__code__
REQUEST_ERROR = requests.RequestException.__init__.__code__


@dataclass(frozen=True)
class Step:
    """One call of the SDK, with masked secrets.

    ``target`` is "store" or "Zoho". ``call`` and ``result`` describe the call and its result in a
    few words. For an HTTP request, ``sent`` and ``received`` list every value. ``error`` is the
    exception that the call raised, or the error that Zoho's response stands for.
    """

    target: str
    call: str
    result: str
    sent: str = ""
    received: str = ""
    error: BaseException | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Diagram:
    """A sequence diagram: a picture in JupyterLab, and text elsewhere."""

    steps: tuple[Step, ...]

    @property
    def mermaid(self) -> str:
        """The diagram in the mermaid language, https://mermaid.js.org."""
        lines = ["sequenceDiagram", "    participant store"]
        lines += ["    participant program as your program", "    participant Zoho"]
        for step in self.steps:
            lines.append(f"    program->>{step.target}: {_for_mermaid(step.call)}")
            lines.append(f"    {step.target}-->>program: {_for_mermaid(step.result)}")
        return "\n".join(lines)

    @property
    def text(self) -> str:
        """The diagram as lines of text."""
        lines = []
        for step in self.steps:
            lines.append(f"program -> {step.target:<5}  {step.call}")
            lines.append(f"program <- {step.target:<5}  {step.result}")
        return "\n".join(lines) or "Neither the store nor Zoho was called."

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return {"text/vnd.mermaid": self.mermaid, "text/plain": self.text}


def _for_mermaid(text: str) -> str:
    # In mermaid "#" begins the number of a character, and ";" ends a line.
    return text.replace(";", ",").replace("#", "#35;")


@dataclass(frozen=True)
class Trace:
    """What the SDK did during a ``with trace(store)`` block: a :class:`Step` for each call."""

    steps: list[Step] = field(default_factory=list)

    @property
    def table(self) -> TextTable:
        """The steps as a pandas DataFrame."""
        rows = [
            (step.target, f"{step.call} {step.sent}".strip(), step.received or step.result)
            for step in self.steps
        ]
        names = ["target", "call", "answer"]
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
    """Watch the calls of a store and all HTTP requests that this thread makes in a ``with`` block.

    Nothing changes for other threads. A store that makes single-flight requests saves a new access
    token itself, before the SDK does; the trace shows both.

    :param store: the store that the SDK uses.
    :returns: a :class:`Trace`, filled while the block runs.
    """
    watcher = _Watcher()
    with _watched_store(store, watcher), _watched_requests(watcher):
        yield watcher.trace


class _Watcher:
    """Fills a trace with the calls of the thread that created it."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.thread = threading.get_ident()
        self.is_in_store = False
        self._frame: FrameType | None = None  # of the HTTP request that is being sent
        self._error: BaseException | None = None  # the last exception that requests has created

    def see(self, frame: FrameType, event: str, result: Any) -> None:
        """Record an HTTP request when it ends, and not those that it causes, such as redirects.

        :param frame: the frame of a function that is called or ends.
        :param event: "call" or "return"; others are ignored.
        :param result: what the function returns; None if it raises an exception.
        """
        if event == "call":
            if frame.f_code is SEND and self._frame is None:
                self._frame, self._error = frame, None
            elif frame.f_code is REQUEST_ERROR:
                self._error = frame.f_locals["self"]
        elif event == "return" and frame is self._frame:
            self._frame = None
            self.trace.steps.append(_request_step(frame.f_locals["request"], result, self._error))


@contextmanager
def _watched_requests(watcher: _Watcher) -> Iterator[None]:
    # Python tells a profile function about each call and return in its thread. So nothing has to be
    # replaced in `requests`, which other threads use, too.
    previous: Any = sys.getprofile()
    chained = previous if callable(previous) else None

    def profile(frame: FrameType, event: Any, argument: Any) -> None:
        watcher.see(frame, event, argument)
        if chained is not None:
            chained(frame, event, argument)

    sys.setprofile(profile)
    try:
        yield
    finally:
        if sys.getprofile() is profile:  # else the block has set another one
            sys.setprofile(chained)
            if previous is not chained:  # cProfile before Python 3.12 cannot be chained
                previous.enable()


_lock = threading.Lock()


@contextmanager
def _watched_store(store: TokenStore, watcher: _Watcher) -> Iterator[None]:
    # The methods are replaced on this one object, as long as a trace watches it.
    attributes = vars(store)
    with _lock:
        for name in STORE_METHODS:
            own = attributes.get(name)
            if not isinstance(own, _WatchedMethod):
                attributes[name] = own = _WatchedMethod(name, getattr(store, name), own)
            own.watchers = (*own.watchers, watcher)
    try:
        yield
    finally:
        with _lock:
            for name in STORE_METHODS:
                method = attributes[name]
                method.watchers = tuple(each for each in method.watchers if each is not watcher)
                if not method.watchers:
                    del attributes[name]
                    if method.own is not None:
                        attributes[name] = method.own


class _WatchedMethod:
    """Stands in for a method of one store, and tells the watchers of a thread about its calls.

    :param name: the name of the method.
    :param method: the method.
    :param own: the method, where it is an attribute of the object and not of its class.
    """

    def __init__(self, name: str, method: Callable[..., Any], own: Any) -> None:
        self.own = own
        self.watchers: tuple[_Watcher, ...] = ()
        self._name = name
        self._method = method

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        thread, values = threading.get_ident(), (*arguments, *keywords.values())
        # A method that calls another method of the store is one step.
        watchers = [w for w in self.watchers if w.thread == thread and not w.is_in_store]
        is_shared = sys._getframe(1).f_globals.get("__name__") == single_flight.__name__
        call = f"{self._name}({', '.join(map(_described, values))})"
        try:
            for watcher in watchers:
                watcher.is_in_store = True
            result = self._method(*arguments, **keywords)
            answer = self._answer(result, values) + ", for waiting workers" * is_shared
            step = Step("store", call, answer)
        except BaseException as error:
            step = Step("store", call, f"raises {type(error).__name__}", error=error)
            raise
        finally:
            for watcher in watchers:
                watcher.is_in_store = False
                watcher.trace.steps.append(step)
        return result

    def _answer(self, result: Any, values: tuple[Any, ...]) -> str:
        if self._name == "save_token":
            return f"saved as row {values[0].get_id()}"
        if isinstance(result, list):
            return f"{len(result)} token{'' if len(result) == 1 else 's'}"
        return f"row {result.get_id()}" if isinstance(result, OAuthToken) else str(result)


def _described(argument: object) -> str:
    """Name the fields that a token can be found by, or quote an id; never show a token's value."""
    if not isinstance(argument, OAuthToken):
        return repr(argument)
    user = argument.get_user_signature()
    values = {"user_name": user.get_name() if user is not None else None}
    for name in ("id", "client_id", "access_token", "grant_token", "refresh_token"):
        values[name] = getattr(argument, f"get_{name}")()
    return ", ".join(name for name in (*KEY_COLUMNS, "client_id") if values[name])


def _request_step(
    request: requests.PreparedRequest,
    response: requests.Response | None,
    error: BaseException | None,
) -> Step:
    call = f"{request.method} {request.path_url.partition('?')[0]}"
    sent = _shown(_parameters_of(request), "sent")
    if response is None:
        error = error or requests.RequestException("no answer")
        return Step("Zoho", call, f"no answer: {type(error).__name__}", sent, error=error)
    answer, refusal = _read_answer(response)
    tokens = [name for name in ("access_token", "refresh_token") if name in answer]
    names = ", ".join(tokens or answer)
    if refusal is not None:
        names = f"error {getattr(refusal, 'code', 'not JSON')}"
    status = response.status_code
    received = f"{status} {_shown(answer, 'received')}"
    return Step("Zoho", call, f"{status} {names}", sent, received, refusal)


def _parameters_of(request: requests.PreparedRequest) -> dict[str, str]:
    """Return the parameters of an HTTP request, from its URL and its body."""
    body = request.body if isinstance(request.body, str) else ""
    return dict(parse_qsl(urlsplit(request.url or "").query) + parse_qsl(body))


def _read_answer(response: requests.Response) -> tuple[Mapping[str, Any], Exception | None]:
    """Return the JSON object of a response, and the error that it stands for, if any."""
    try:
        answer = response.json() if response.content or not response.ok else {}
    except ValueError as error:
        return {}, error
    answer = answer if isinstance(answer, dict) else {}
    code = answer.get("error") or answer.get("code")
    return answer, SDKException(code, answer.get("message")) if code else None


def _shown(values: Mapping[str, Any], direction: str) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, list):
            parts.append(f"{name}: {len(value)}")
        elif value and not isinstance(value, dict):
            is_unmasked = name in UNMASKED_FIELDS[direction]
            parts.append(f"{name}={value if is_unmasked else fingerprint(str(value))}")
    return ", ".join(parts)
