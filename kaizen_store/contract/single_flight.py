"""The rule for single-flight refresh, with a token server in the process of its check."""

# ruff: noqa: D103 - the sentence of a rule says what its check does

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Barrier, Lock, Thread
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from .case import Case, NotApplicableError, expect, in_child, rule
from .tokens import make_token, user_name, user_token

ANSWER_S = 0.25
"""How long the token server takes to answer, in seconds."""

WORKERS = 4
"""How many threads or processes need the same access token."""

SOON_S = 5.0
"""After a failed request, the next one is sent within this time, in seconds."""


@rule(
    "single-flight",
    title="workers with the same expired token send one request",
    sentence="Threads and processes that find the same expired token, or have the same grant "
    "token, send one request to Zoho and continue with its result. If the request fails, that "
    "caller gets the error and the next one tries immediately.",
    hint="find_token and find_token_by_id: return a token that takes a lease in the storage "
    "before it sends its request",
    needs_process=True,
)
def single_flight(case: Case) -> None:
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    require_threads(case)
    with token_server() as server:
        api = {"api_domain": server.url}
        far_ms = str(int(time.time() * 1000) + 3_600_000)
        case.save(user_token(1, expires_in=far_ms, **api))
        initialize(case.store, server.url)
        by_user = make_token(user_name=user_name(2))
        expired = user_token(2, expires_in="1000", **api)
        case.save(expired)
        by_id = make_token(id=expired.get_id())
        threads_send_one_request(server, "one expired token", [by_user, by_id])
        grant = {"grant_token": "grant-3", "redirect_url": "https://example.com/callback"}
        client = {"client_id": "1000.PRACTICE", "client_secret": "practice-secret"}
        threads_send_one_request(server, "one grant token", [make_token(**client, **grant, **api)])
        count = len(case.store.get_tokens())
        expect(count == 4, f"one grant token was exchanged: there are {count} rows, not 4")
        case.save(user_token(4, expires_in="1000", **api))
        next_one_tries_immediately(server, make_token(user_name=user_name(4)))
        if case.is_shared:
            case.save(user_token(5, expires_in="1000", **api))
            processes_send_one_request(case, server)


def require_threads(case: Case) -> None:
    """Raise :class:`NotApplicableError` if a second thread cannot use the store."""
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(case.save, user_token(6)).exception()
    if error is not None:
        raise NotApplicableError("threads cannot share this store; see rule concurrent-use")


def initialize(store: TokenStore, url: str) -> None:
    """Initialize the SDK as user 1, whose access token is valid."""
    addresses = (url, f"{url}/oauth/v2/token", url)
    try:
        environment = DataCenter.Environment(*addresses)
    except TypeError:  # zohocrmsdk5-0 has a fourth parameter, the name
        environment = DataCenter.Environment(*addresses, "contract")
    Initializer.initialize(environment, make_token(user_name=user_name(1)), store=store)


def threads_send_one_request(server: TokenServer, situation: str, kinds: list[OAuthToken]) -> None:
    """Expect that threads with copies of the same tokens send one request."""
    server.requests = 0
    answers = in_threads([copy_of(kinds[number % len(kinds)]) for number in range(WORKERS)])
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    what = f"{WORKERS} threads with {situation}"
    expect(not failed, f"{what}: {len(failed)} failed ({failed and type(failed[0]).__name__})")
    expect(server.requests == 1, f"{what} sent {server.requests} requests, not 1")
    expect(set(answers) == {server.issued}, f"{what} got different access tokens")


def copy_of(token: OAuthToken) -> OAuthToken:
    """Return a token with the same values, as a program creates it for each worker."""
    user = token.get_user_signature()
    names = ("id", "client_id", "client_secret", "grant_token", "redirect_url", "api_domain")
    fields = {name: getattr(token, f"get_{name}")() for name in names}
    return make_token(user_name=user and user.get_name(), **fields)


def in_threads(tokens: list[OAuthToken]) -> list[Any]:
    """Return what the SDK answers to a thread for each token: an access token or an exception."""
    barrier = Barrier(len(tokens))

    def get(token: OAuthToken) -> Any:
        barrier.wait()
        try:
            return token.get_token()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(tokens)) as pool:
        return list(pool.map(get, tokens))


def next_one_tries_immediately(server: TokenServer, token: OAuthToken) -> None:
    """Expect that the error of one request reaches one thread, and delays no other."""
    server.requests, server.failures = 0, 1
    start_s = time.monotonic()
    answers = in_threads([copy_of(token) for _ in range(WORKERS)])
    duration_s = time.monotonic() - start_s
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    what = "one request of several threads failed"
    expect(
        all(isinstance(error, SDKException) for error in failed),
        f"{what}: a thread got another error than SDKException",
    )
    expect(len(failed) == 1, f"{what}: {len(failed)} threads got an error, not 1")
    expect(server.requests == 2, f"{what}: {server.requests} requests were sent, not 2")
    expect(duration_s < SOON_S, f"{what}: the next one was sent after {duration_s:.0f} seconds")


def processes_send_one_request(case: Case, server: TokenServer) -> None:
    """Expect that processes with the same expired token send one request."""
    server.requests, expected = 0, server.next_token()

    def get() -> None:
        initialize(case.make_store(), server.url)
        expect(make_token(user_name=user_name(5)).get_token() == expected, "another access token")

    children = [in_child(get) for _ in range(WORKERS)]
    for child in children:
        child.join(30)
    failed = sum(child.exitcode != 0 for child in children)
    what = f"{WORKERS} processes with one expired token"
    expect(server.requests == 1, f"{what} sent {server.requests} requests, not 1")
    expect(not failed, f"{what}: {failed} did not get the new access token")


class TokenServer(ThreadingTCPServer):
    """Answers as Zoho does, counts the requests for access tokens, and simulates failures."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests = 0
        self.failures = 0
        self.issued = ""
        self._lock = Lock()
        self._count = 0

    def next_token(self) -> str:
        """Return the access token that is issued next."""
        return f"issued-{self._count + 1}"

    def token_response(self) -> dict[str, Any]:
        """Return the answer to a request for an access token."""
        with self._lock:
            self.requests += 1
            if self.failures:
                self.failures -= 1
                return {"error": "simulated"}
            self.issued = self.next_token()
            self._count += 1
        tokens = {"access_token": self.issued, "refresh_token": f"refresh-{self.issued}"}
        return tokens | {"expires_in": 3600, "api_domain": self.url, "token_type": "Bearer"}


class Handler(BaseHTTPRequestHandler):
    """Answers one HTTP request."""

    server: TokenServer

    def do_POST(self) -> None:
        """Answer a request for an access token."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.token_response()
        time.sleep(ANSWER_S)
        self.send(answer)

    def do_GET(self) -> None:
        """Answer the SDK's lookup of the user and the organization."""
        users = {"users": [{"id": "1", "email": "user3@example.com"}]}
        self.send({"org": [{"id": "1", "zgid": "6003"}]} if "/org" in self.path else users)

    def send(self, answer: dict[str, Any]) -> None:
        """Send an answer as JSON."""
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


@contextmanager
def token_server() -> Iterator[TokenServer]:
    """Run a token server inside a block."""
    with TokenServer() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
