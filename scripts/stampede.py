"""Measure the refresh stampede with the SDK's own store and with ours: `make stampede`.

In a refresh stampede, many workers find the same expired access token at the same moment, and each
one requests a new one. Every worker is the unmodified SDK; the server is Practice Zoho with a token
endpoint that takes 0.3 seconds. It runs on Linux and macOS.
"""

import contextlib
import multiprocessing
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.practice import PracticeZoho
from kaizen_store.stores import single_flight

WORKERS = 16
TOKEN_DELAY_S = 0.3
SHORT_LEASE_S = 2.0
TIMEOUT_S = 120.0

STORES: dict[str, Callable[[str], Any]] = {
    "SDK's `FileStore`": lambda folder: FileStore(f"{folder}/tokens.csv"),
    "`CustomStoreSQLite`": lambda folder: CustomStoreSQLite(f"{folder}/tokens.db"),
    "`CustomStoreInMemory`": lambda folder: CustomStoreInMemory(),
    "`CustomStoreList`": lambda folder: CustomStoreList(),
}
FILE_STORE, SQLITE, IN_MEMORY, LIST = STORES
BY_ID, BY_USER, BY_GRANT = "by id", "by user", "with one grant token"
LOOKUPS = (BY_ID, BY_USER, BY_GRANT)
EXPIRED_USER, VALID_USER = "anna.berg@example.com:1", "ben.okafor@example.com:1"


@dataclass
class Job:
    """What a process needs to know: its store, its tokens, and how many threads it starts."""

    store: str
    lookup: str
    threads: int
    folder: str
    environment: Any
    client: dict[str, str]
    grant: dict[str, str]
    refresh_token: str
    lease_s: float


@dataclass
class Outcome:
    """The result of one stampede."""

    requests: int
    """How many token requests Practice Zoho received."""
    succeeded: int
    """How many workers have an access token that Practice Zoho accepts afterwards."""
    seconds: float
    """The time from the first lookup until the last worker has finished."""
    errors: list[str]
    """The errors of the workers that raised one."""


def prepare(store: Any, job: Job) -> None:
    """Save a token of one user whose access token has expired, and a valid token of another."""
    now_ms = int(time.time() * 1000)
    for user, expiry_ms in ((EXPIRED_USER, now_ms - 1000), (VALID_USER, now_ms + 86_400_000)):
        token = OAuthToken(
            **job.client,
            user_signature=UserSignature(user),
            refresh_token=job.refresh_token if user == EXPIRED_USER else "of another user",
            access_token=f"access token of {user}",
            api_domain=job.environment.url,
        )
        token.set_expires_in(str(expiry_ms))
        store.save_token(token)


def token_of(user: str, job: Job) -> OAuthToken:
    return OAuthToken(**job.client, user_signature=UserSignature(user))


def token_to_look_up(job: Job, store: Any) -> OAuthToken:
    if job.lookup == BY_GRANT:
        return OAuthToken(**job.client, **job.grant)
    if job.lookup == BY_ID:
        return OAuthToken(id=store.find_token(token_of(EXPIRED_USER, job)).get_id())
    return token_of(EXPIRED_USER, job)


def run_process(job: Job, barrier: Any, results: Any) -> None:
    """Initialize the SDK, wait for all workers, and get an access token in each thread.

    :param job: what to do.
    :param barrier: lets all threads of all processes look up their token at the same moment.
    :param results: a connection; receives (start, end, access token, error) of each thread.
    """
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    single_flight.LEASE_S = job.lease_s
    store = STORES[job.store](job.folder)
    if job.threads > 1:
        prepare(store, job)
    # The initializer gets a token itself. It is a valid one, so it sends no request.
    folder = tempfile.mkdtemp(dir=job.folder)
    Initializer.initialize(
        job.environment, token_of(VALID_USER, job), store=store, resource_path=folder
    )
    done: list[tuple[float, float, str | None, str | None]] = []

    def work() -> None:
        token, access_token, error = token_to_look_up(job, store), None, None
        barrier.wait(TIMEOUT_S)
        start_s = time.monotonic()
        try:
            access_token = token.get_token()
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        done.append((start_s, time.monotonic(), access_token, error))

    threads = [threading.Thread(target=work) for _ in range(job.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.send(done)


def stampede(
    store: str,
    lookup: str,
    processes: int = WORKERS,
    threads: int = 1,
    lease_s: float = single_flight.LEASE_S,
    token_delay_s: float = TOKEN_DELAY_S,
    disturb: Callable[[PracticeZoho, str, list[int]], None] | None = None,
) -> Outcome:
    """Let all workers look up the same token at the same moment.

    :param store: a key of :data:`STORES`; the last two are for one process.
    :param lookup: one of :data:`LOOKUPS`.
    :param processes: how many processes; with one, the store may be in memory.
    :param threads: how many threads each process starts.
    :param lease_s: the value of ``single_flight.LEASE_S`` in the workers.
    :param token_delay_s: how long the token endpoint takes, in seconds.
    :param disturb: called once the workers run, with Practice Zoho, the folder of the store and the
        process ids.
    """
    # A fork server: each worker is forked from a process without threads that has the SDK loaded.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kaizen_store"])
    with (
        tempfile.TemporaryDirectory(prefix="stampede-") as folder,
        PracticeZoho(token_delay_s=token_delay_s) as zoho,
    ):
        job = new_job(zoho, store, lookup, threads, folder, lease_s)
        if threads == 1:
            prepare(STORES[store](folder), job)
        zoho.exchanges.clear()
        barrier = context.Barrier(processes * threads)
        running = []
        for _ in range(processes):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=run_process, args=(job, barrier, sender), daemon=True)
            process.start()
            sender.close()  # so that the receiver sees the end if the process is killed
            running.append((process, receiver))
        if disturb is not None:
            disturb(zoho, folder, [process.pid or 0 for process, _ in running])
        done = []
        for process, receiver in running:
            if not receiver.poll(TIMEOUT_S):
                raise TimeoutError(f"a worker has not finished after {TIMEOUT_S:g} seconds")
            with contextlib.suppress(EOFError):  # it was killed
                done += receiver.recv()
            process.join()
        return Outcome(
            len(token_requests(zoho)),
            sum(is_accepted(zoho, access_token) for _, _, access_token, _ in done),
            max(end for _, end, _, _ in done) - min(start for start, _, _, _ in done),
            [error for _, _, _, error in done if error],
        )


def new_job(
    zoho: PracticeZoho, store: str, lookup: str, threads: int, folder: str, lease_s: float
) -> Job:
    client = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}
    grant = {"grant_token": zoho.grant(zoho.users[1]), "redirect_url": zoho.redirect_url}
    body = {"grant_type": "authorization_code", "code": zoho.grant(zoho.users[0])}
    body |= client | {"redirect_uri": zoho.redirect_url}
    answer = http().post(zoho.environment.accounts_url, body).json()
    refresh_token = answer["refresh_token"]
    return Job(
        store, lookup, threads, folder, zoho.environment, client, grant, refresh_token, lease_s
    )


def http() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a proxy cannot reach 127.0.0.1
    return session


def token_requests(zoho: PracticeZoho) -> list[Any]:
    return [exchange for exchange in zoho.exchanges if exchange.path == "/oauth/v2/token"]


def is_accepted(zoho: PracticeZoho, access_token: str | None) -> bool:
    headers = {"Authorization": f"Zoho-oauthtoken {access_token}"}
    return http().get(f"{zoho.url}/crm/v8/org", headers=headers).ok


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not (value := condition()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"nothing has happened in {TIMEOUT_S:g} seconds")
        time.sleep(0.005)
    return value


def kill_the_lease_holder(zoho: PracticeZoho, folder: str, process_ids: list[int]) -> None:
    """Kill (SIGKILL) the worker that holds the lease, during its request."""
    database = sqlite3.connect(f"{folder}/tokens.db")
    select = "SELECT value FROM oauthtoken_values WHERE name LIKE 'lease %'"
    (lease,) = wait_for(lambda: database.execute(select).fetchone())
    database.close()
    holder = int(lease.partition("-")[0])
    if holder not in process_ids:
        raise RuntimeError(f"process {holder} has the lease and is not one of the workers")
    time.sleep(0.3)  # of the second that the request takes
    os.kill(holder, signal.SIGKILL)


def fail_the_first_request(zoho: PracticeZoho, folder: str, process_ids: list[int]) -> None:
    """Answer the first token request with an error.

    The next one is not affected, because its answer takes 0.3 seconds.
    """
    with zoho.simulate_error("general_error"):
        wait_for(lambda: token_requests(zoho))


def killed_worker(workers: int = WORKERS, lease_s: float = SHORT_LEASE_S) -> Outcome:
    """Kill the worker that holds the lease; its request takes one second."""
    return stampede(
        SQLITE,
        BY_ID,
        workers,
        lease_s=lease_s,
        token_delay_s=1.0,
        disturb=kill_the_lease_holder,
    )


def failing_request(workers: int = WORKERS) -> Outcome:
    return stampede(SQLITE, BY_ID, workers, disturb=fail_the_first_request)


def row(workers: str, lookup: str, store: str, outcome: Outcome) -> str:
    succeeded = f"{outcome.succeeded} of {WORKERS}"
    return (
        f"| {workers} | {lookup} | {store} | {outcome.requests} | {succeeded} "
        f"| {outcome.seconds:.1f} |"
    )


def main() -> None:
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}.\n")
    print("| Workers | Lookup | Store | Token requests | Succeeded | Seconds |")
    print("|---|---|---|--:|--:|--:|", flush=True)
    kinds = {
        f"{WORKERS} processes": ((WORKERS, 1), (FILE_STORE, SQLITE)),
        f"{WORKERS} threads": ((1, WORKERS), tuple(STORES)),
    }
    for workers, ((processes, threads), stores) in kinds.items():
        for lookup in LOOKUPS:
            for store in stores:
                outcome = stampede(store, lookup, processes, threads)
                print(row(workers, lookup, store, outcome), flush=True)
                for error in sorted(set(outcome.errors)):
                    count = outcome.errors.count(error)
                    print(f"{store}, {workers} {lookup}: {count} times {error}", file=sys.stderr)
    outcome = killed_worker()
    workers = f"{WORKERS} processes, the one with the lease is killed"
    print(row(workers, BY_ID, SQLITE, outcome), flush=True)
    outcome = failing_request()
    workers = f"{WORKERS} processes, the first request fails"
    print(row(workers, BY_ID, SQLITE, outcome), flush=True)
    print(
        f"\nThe token endpoint takes {TOKEN_DELAY_S:g} seconds, and 1 second where a worker is "
        f"killed. There, the lease is {SHORT_LEASE_S:g} seconds instead of "
        f"{single_flight.LEASE_S:g}: the others continue when it has expired. *Succeeded* means "
        "that Practice Zoho accepts the access token afterwards."
    )


if __name__ == "__main__":
    main()
