"""The rule for single-flight refresh, with a token server in the process of its check."""

# ruff: noqa: D103 - the sentence of a rule says what its check does

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import parse_headers
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Barrier, Lock, Thread
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from .case import Case, NotApplicableError, count_failed, expect, in_child, rule
from .tokens import CLIENT, make_token, user_name, user_token

Fields = dict[str, Any]

ANSWER_S = 0.25
"""How long the token server takes to answer, in seconds."""

WORKERS = 4
"""How many threads or processes need the same access token."""

SOON_S = 5.0
"""After a failed request, the next one is sent within this time, in seconds."""

USER = {"users": [{"id": "1", "email": "user3@example.com"}], "org": [{"id": "1", "zgid": "6003"}]}
"""The answer to the SDK's lookups of the user and the organization."""


@rule(
    "single-flight",
    "workers with the same expired token send one request",
    "Threads and processes that find the same expired token, or have the same grant token, send "
    "one request to Zoho and continue with its result. If the request fails, that caller gets the "
    "error and the next one tries immediately.",
    "find_token and find_token_by_id: return a token that takes a lease in the storage before it "
    "sends its request; with RowStore, override get_value, set_value and transaction",
    needs_process=True,
)
def single_flight(case: Case) -> None:
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    _require_threads(case)
    with TokenServer() as server:
        api = {"api_domain": server.url}
        far_ms = str(int(time.time() * 1000) + 3_600_000)
        case.save(user_token(1, expires_in=far_ms, **api))
        _initialize(case.store, server.url)
        expired = user_token(2, expires_in="1000", **api)
        case.save(expired)
        queries = ({"user_name": user_name(2)}, {"id": expired.get_id()})
        _threads_send_one_request(server, "one expired token", *queries)
        grant = {"grant_token": "grant-3", "redirect_url": "https://example.com/callback"}
        _threads_send_one_request(server, "one grant token", CLIENT | grant | api)
        case.expect_row_count(4, "one grant token was exchanged")
        case.save(user_token(4, expires_in="1000", **api))
        _next_one_tries_immediately(server, {"user_name": user_name(4)})
        if case.is_shared:
            case.save(user_token(5, expires_in="1000", **api))
            _processes_send_one_request(case, server)


def _require_threads(case: Case) -> None:
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(case.save, user_token(6)).exception()
    if error is not None:
        raise NotApplicableError("threads cannot share this store; see rule concurrent-use")


def _initialize(store: TokenStore, url: str) -> None:
    """Initialize the SDK as user 1, whose access token is valid."""
    addresses = (url, f"{url}/oauth/v2/token", url)
    try:
        environment = DataCenter.Environment(*addresses)
    except TypeError:  # zohocrmsdk5-0 has a fourth parameter, the name
        environment = DataCenter.Environment(*addresses, "contract")
    Initializer.initialize(environment, make_token(user_name=user_name(1)), store=store)


def _threads_send_one_request(server: TokenServer, situation: str, *queries: Fields) -> None:
    server.simulate(f"issued for {situation}")
    answers = _in_threads(*queries)
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    what = f"{WORKERS} threads with {situation}"
    expect(not failed, f"{what}: {len(failed)} failed ({failed and type(failed[0]).__name__})")
    expect(server.requests == 1, f"{what} sent {server.requests} requests, not 1")
    expect(set(answers) == {server.access_token}, f"{what} got different access tokens")


def _in_threads(*queries: Fields) -> list[Any]:
    """Return what the SDK answers to each thread: an access token or an exception.

    :param queries: the fields of the tokens that the program creates in the threads.
    """
    barrier = Barrier(WORKERS)

    def get(number: int) -> Any:
        token = make_token(**queries[number % len(queries)])
        barrier.wait()
        try:
            return token.get_token()
        except Exception as error:
            return error

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(get, range(WORKERS)))


def _next_one_tries_immediately(server: TokenServer, query: Fields) -> None:
    server.simulate("issued after a failure", failures=1)
    start_s = time.monotonic()
    failed = [answer for answer in _in_threads(query) if isinstance(answer, Exception)]
    duration_s = time.monotonic() - start_s
    what = "one request of several threads failed"
    is_sdk_error = all(isinstance(error, SDKException) for error in failed)
    expect(is_sdk_error, f"{what}: a thread got another error than SDKException")
    expect(len(failed) == 1, f"{what}: {len(failed)} threads got an error, not 1")
    expect(server.requests == 2, f"{what}: {server.requests} requests were sent, not 2")
    expect(duration_s < SOON_S, f"{what}: the next one was sent after {duration_s:.0f} seconds")


def _processes_send_one_request(case: Case, server: TokenServer) -> None:
    server.simulate("issued for processes")

    def get() -> None:
        _initialize(case.make_store(), server.url)
        access_token = make_token(user_name=user_name(5)).get_token()
        expect(access_token == server.access_token, "another access token")

    failed = count_failed([in_child(get) for _ in range(WORKERS)])
    what = f"{WORKERS} processes with one expired token"
    expect(server.requests == 1, f"{what} sent {server.requests} requests, not 1")
    expect(not failed, f"{what}: {failed} did not get the new access token")


class TokenServer(ThreadingTCPServer):
    """Answers as Zoho does inside a block, counts token requests, and simulates failures."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock = Lock()

    def __enter__(self) -> TokenServer:
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def simulate(self, access_token: str, failures: int = 0) -> None:
        """Count requests from 0, let the first ones fail, and issue an access token to the rest."""
        self.access_token, self.failures, self.requests = access_token, failures, 0

    def answer_token_request(self) -> dict[str, Any]:
        """Return the answer to a request for an access token."""
        with self.lock:
            self.requests += 1
            is_failure = self.requests <= self.failures
        time.sleep(ANSWER_S)
        if is_failure:
            return {"error": "simulated"}
        refresh_token = f"{self.access_token}, refresh token"
        tokens = {"access_token": self.access_token, "refresh_token": refresh_token}
        return tokens | {"expires_in": 3600, "api_domain": self.url, "token_type": "Bearer"}


class Handler(StreamRequestHandler):
    """Answers one HTTP request, for an access token or for the user and the organization."""

    server: TokenServer

    def handle(self) -> None:
        """Read a request and send the answer as JSON."""
        is_token_request = self.rfile.readline().startswith(b"POST")
        self.rfile.read(int(parse_headers(self.rfile)["Content-Length"] or 0))
        answer = self.server.answer_token_request() if is_token_request else USER
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        self.wfile.write(json.dumps(answer).encode())
