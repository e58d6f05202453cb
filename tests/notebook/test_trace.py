"""What a trace shows, and that it leaves nothing behind."""

import contextlib
import cProfile
import pstats
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests
from store_cases import make_token, user_token
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store import CustomStoreList
from kaizen_store.notebook import fingerprint, trace


def initialize(zoho, store, folder, grant_token=None):
    token = OAuthToken(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        grant_token=grant_token or zoho.grant(),
        redirect_url=zoho.redirect_url,
    )
    Initializer.initialize(zoho.environment, token, store=store, resource_path=str(folder))
    return token


def calls_of(steps):
    return [(step.target, step.call.partition("(")[0]) for step in steps.steps]


def test_store_calls_and_requests_are_in_order(zoho, store, tmp_path):
    with trace(store) as steps:
        token = initialize(zoho, store, tmp_path)
    assert calls_of(steps) == [
        ("store", "find_token"),
        ("Zoho", "POST /oauth/v2/token"),
        ("store", "save_token"),  # before the lease is released
        ("Zoho", "GET /crm/v8/users"),
        ("Zoho", "GET /crm/v8/org"),
        ("store", "save_token"),  # by the SDK, with the user's name
    ]
    results = [step.result for step in steps.steps]
    assert results[0] == "None"
    assert results[2] == "saved as row 1, for waiting workers"
    assert results[5] == "saved as row 1"
    assert f"access_token={fingerprint(token.get_access_token())}" in steps.table["answer"][2]


def test_a_plain_token_store_is_watched_as_well(zoho, tmp_path):
    store = FileStore(str(tmp_path / "tokens.txt"))
    with trace(store) as steps:
        initialize(zoho, store, tmp_path)
        store.find_token(token=make_token(id="1"))
    assert calls_of(steps) == [
        ("store", "find_token"),
        ("Zoho", "POST /oauth/v2/token"),
        ("Zoho", "GET /crm/v8/users"),
        ("Zoho", "GET /crm/v8/org"),
        ("store", "save_token"),
        ("store", "find_token"),
    ]


def test_a_method_that_calls_another_one_is_one_step():
    class Chained(CustomStoreList):
        def find_token(self, token):
            return self.find_token_by_id("1") or super().find_token(token)

    store = Chained()
    with trace(store) as steps:
        store.find_token(make_token(user_name="nobody"))
        store.find_token_by_id("1")
    assert calls_of(steps) == [("store", "find_token"), ("store", "find_token_by_id")]


def test_no_secret_is_in_a_table_a_picture_or_a_repr(zoho, store, tmp_path):
    with trace(store) as steps:
        token = initialize(zoho, store, tmp_path)
        store.get_tokens()
    shown = f"{steps.table.to_html()} {steps!r} {steps.steps!r} {steps._repr_html_()}"
    shown += f"{steps.diagram.mermaid} {zoho.exchanges!r} {zoho!r}"
    for secret in (
        token.get_access_token(),
        token.get_refresh_token(),
        token.get_grant_token(),
        token.get_client_secret(),
    ):
        for part in (secret, secret[:24], secret[-8:]):
            assert part not in shown


def test_the_picture_has_an_arrow_each_way_for_each_step(store):
    with trace(store) as steps:
        store.find_token(make_token(user_name="nobody"))
    bundle = steps.diagram._repr_mimebundle_()
    assert bundle["text/plain"].splitlines() == [
        "program -> store  find_token(user_name)",
        "program <- store  None",
    ]
    assert "program->>store: find_token(user_name)" in bundle["text/vnd.mermaid"]
    assert "store-->>program: None" in bundle["text/vnd.mermaid"]


def test_errors_are_steps_too(zoho, store, tmp_path):
    with trace(store) as steps:
        with pytest.raises(SDKException):
            initialize(zoho, store, tmp_path, grant_token="1000.practice.wrong")
        with pytest.raises(SDKException):
            store.delete_token("99")
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:9/", timeout=5)
    results = [step.result for step in steps.steps]
    assert results == [
        "None",
        "200 error invalid_code",
        "raises SDKException",
        "no answer: ConnectionError",
    ]


def test_an_error_of_a_request_is_recorded_even_if_the_program_hides_it(store):
    with trace(store) as steps, contextlib.suppress(requests.ConnectionError):
        requests.get("http://127.0.0.1:9/", timeout=5)
    (step,) = steps.steps
    assert isinstance(step.error, requests.ConnectionError)
    assert step.error.request.url == "http://127.0.0.1:9/"


def test_a_redirected_request_is_one_step(store):
    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302 if self.path == "/old" else 200)
            self.send_header("Location", "/new")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with trace(store) as steps:
            answer = requests.get(f"http://127.0.0.1:{server.server_port}/old", timeout=5)
        server.shutdown()
    assert [each.status_code for each in answer.history] == [302]
    assert [(step.call, step.result) for step in steps.steps] == [("GET /old", "200 ")]


def test_an_interrupt_is_recorded_and_passes_through(store):
    def interrupt(*_):
        raise KeyboardInterrupt

    store.rows_with = interrupt
    with trace(store) as steps, pytest.raises(KeyboardInterrupt):
        store.find_token(make_token(user_name="nobody"))
    assert [step.result for step in steps.steps] == ["raises KeyboardInterrupt"]


def test_afterwards_nothing_is_watched(store):
    send, attributes, profile = requests.Session.send, dict(vars(store)), sys.getprofile()
    with pytest.raises(ZeroDivisionError), trace(store) as steps:
        1 / 0  # noqa: B018
    store.save_token(user_token(1))
    assert steps.steps == []
    assert repr(steps) == "Neither the store nor Zoho was called."
    assert vars(store).keys() == attributes.keys()
    assert requests.Session.send is send and sys.getprofile() is profile


def test_overlapping_traces_in_threads_see_only_their_own_steps(zoho, store):
    """One begins first and ends first; the other one still watches then."""
    traces, ready, meet = {}, threading.Barrier(2, timeout=10), threading.Barrier(2, timeout=10)
    send, attributes = requests.Session.send, dict(vars(store))

    def work(number):
        with trace(store) as traces[number]:
            ready.wait()  # both watch
            store.find_token(make_token(user_name=f"user{number}"))
            requests.get(f"{zoho.url}/practice?page={number}", timeout=5)
            meet.wait()
            if number == 2:
                first.join(10)  # its trace has ended
                store.find_token_by_id("2")
        profiles.append(sys.getprofile())

    profiles = []
    first, second = (threading.Thread(target=work, args=(number,)) for number in (1, 2))
    for thread in (first, second):
        thread.start()
    for thread in (second, first):
        thread.join(20)
    both = ["find_token(user_name)", "GET /practice"]
    assert [step.call for step in traces[1].steps] == both
    assert [step.call for step in traces[2].steps] == [*both, "find_token_by_id('2')"]
    assert [traces[number].steps[1].sent for number in (1, 2)] == ["page=1", "page=2"]
    assert profiles == [None, None]
    assert vars(store).keys() == attributes.keys() and requests.Session.send is send


def test_another_thread_is_not_watched(zoho, store):
    def work():
        store.get_tokens()
        requests.get(f"{zoho.url}/practice", timeout=5)

    with trace(store) as steps:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(10)
    assert steps.steps == []


def test_nested_traces_and_a_profiler_all_see_the_steps(zoho, store):
    seen, other = [], CustomStoreList()

    def profiler(frame, event, argument):
        if event == "call" and frame.f_code is requests.Session.send.__code__:
            seen.append(frame.f_locals["request"].method)

    sys.setprofile(profiler)
    try:
        with trace(store) as outer:
            store.get_tokens()
            with trace(store) as inner, trace(other) as of_other:
                store.get_tokens()
                requests.get(f"{zoho.url}/practice", timeout=5)
            store.find_token_by_id("1")
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert seen == ["GET"]
    assert [step.call for step in outer.steps] == [
        "get_tokens()",
        "get_tokens()",
        "GET /practice",
        "find_token_by_id('1')",
    ]
    assert [step.call for step in inner.steps] == ["get_tokens()", "GET /practice"]
    assert [step.call for step in of_other.steps] == ["GET /practice"]


def test_cprofile_continues(store):
    profile = cProfile.Profile()
    profile.enable()
    with trace(store) as steps:
        store.get_tokens()
    store.find_token_by_id("after the trace")
    profile.disable()
    assert len(steps.steps) == 1
    assert "find_token_by_id" in {function for _, _, function in pstats.Stats(profile).stats}


def test_a_method_that_the_object_has_itself_comes_back(store):
    store.get_tokens = own = lambda: []
    with trace(store) as steps:
        assert store.get_tokens() == []
    assert store.get_tokens is own and steps.steps[0].result == "0 tokens"
