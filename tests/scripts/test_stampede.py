"""Workers that share a store and find the same expired token send one request to Zoho.

The workers are the real SDK, in real processes and threads, with Practice Zoho as the server.
"""

import multiprocessing

import pytest
import stampede
from stampede import BY_GRANT, BY_ID, BY_USER, FILE_STORE, IN_MEMORY, LIST, SHORT_LEASE_S, SQLITE

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)


@pytest.mark.parametrize(
    ("store", "lookup", "processes", "threads"),
    [
        (SQLITE, BY_ID, 16, 1),
        (SQLITE, BY_GRANT, 16, 1),
        (SQLITE, BY_ID, 1, 16),
        (IN_MEMORY, BY_GRANT, 1, 16),
        (LIST, BY_USER, 1, 16),
    ],
)
def test_all_workers_continue_with_the_result_of_one_request(store, lookup, processes, threads):
    outcome = stampede.stampede(store, lookup, processes, threads)
    assert (outcome.requests, outcome.succeeded, outcome.errors) == (1, 16, [])


def test_the_measurement_sees_a_stampede_on_a_store_without_single_flight_refresh():
    outcome = stampede.stampede(FILE_STORE, BY_USER, processes=1, threads=16)
    assert (outcome.requests, outcome.succeeded) == (16, 10)
    assert all("Access Denied" in error for error in outcome.errors)


def test_the_others_continue_when_the_lease_of_a_killed_worker_has_expired():
    outcome = stampede.killed_worker()
    # On a busy machine, the worker may be killed before its request is sent.
    assert outcome.requests in (1, 2)
    assert (outcome.succeeded, outcome.errors) == (15, [])
    assert SHORT_LEASE_S <= outcome.seconds < 15


def test_the_others_continue_at_once_when_a_request_fails():
    outcome = stampede.failing_request()
    assert (outcome.requests, outcome.succeeded) == (2, 15)
    assert len(outcome.errors) == 1 and "general_error" in outcome.errors[0]
    assert outcome.seconds < stampede.single_flight.LEASE_S / 3
