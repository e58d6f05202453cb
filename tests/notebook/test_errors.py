"""What the form says when something fails on the way to Zoho; and then it works again at once."""

import errno
import html
import logging
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import traceback
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from unittest import mock

import ipywidgets
import pytest
import requests
import urllib3
from zohocrmsdk.src.com.zoho.crm.api import dc
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from kaizen_store.notebook import InitializeForm
from kaizen_store.notebook.forms.token_code import DATA_CENTERS
from kaizen_store.practice import PracticeZoho
from kaizen_store.stores import single_flight

CANARY = "canary-4711-secret"
CANARIES = {"client_secret": f"{CANARY}-client", "token": f"{CANARY}-token"}


class Page(BaseHTTPRequestHandler):
    """Answers with a web page, as a network that wants a sign-in does; ``refusal`` as a proxy."""

    refusal = 403

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        page = b"<html><body>Sign in to this network</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_GET = do_POST

    def do_CONNECT(self):
        self.send_error(self.refusal)

    def log_message(self, *_):
        pass


class Login(Page):
    refusal = 407


class Down(Page):
    """Answers with HTTP status 503 alone, as the gateway of a server that is down does."""

    def do_GET(self):
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Silent(socketserver.BaseRequestHandler):
    """Accepts, reads, and never answers."""

    def handle(self):
        while self.request.recv(4096):
            pass


class Reset(socketserver.BaseRequestHandler):
    """Ends each connection with a TCP reset."""

    def handle(self):
        self.request.recv(4096)
        linger = struct.pack("ii", 1, 0)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.request.close()


@contextmanager
def serving(handler, tls=None):
    """Serve at 127.0.0.1, and yield the port."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as used:
        return used.getsockname()[1]


def zoho_at(address, crm=None):
    """Return an environment with its accounts server at an address, and its CRM there or else."""
    return DataCenter.Environment(crm or address, f"{address}/oauth/v2/token", address)


# Each case makes one thing go wrong for the time of a ``with`` block: it gives the environment that
# the form is to use, and what to type; the client secret and the token are canaries otherwise.


def good(zoho, **values):
    return {"client_secret": zoho.client_secret, "token": zoho.grant()} | values


@contextmanager
def used_grant_token(zoho, **_):
    values = good(zoho)
    client = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}
    grant = {"grant_type": "authorization_code", "redirect_uri": zoho.redirect_url}
    url = f"{zoho.url}/oauth/v2/token"
    assert requests.post(url, data=client | grant | {"code": values["token"]}, timeout=9).json()[
        "access_token"
    ]
    yield zoho.environment, values


@contextmanager
def late_grant_token(zoho, **_):
    values = good(zoho)
    zoho.advance(minutes=3)
    yield zoho.environment, values


@contextmanager
def wrong_secret(zoho, **_):
    yield zoho.environment, good(zoho, client_secret=CANARIES["client_secret"])


@contextmanager
def client_of_another_data_center(zoho, **_):
    with PracticeZoho(seed=2) as other:
        yield other.environment, good(zoho)


@contextmanager
def token_of_another_data_center(zoho, **_):
    with PracticeZoho(seed=1) as other:  # which knows the client too
        yield other.environment, good(zoho)


@contextmanager
def wrong_redirect_url(zoho, **_):
    yield zoho.environment, good(zoho, redirect_url="https://example.com/else")


@contextmanager
def too_many_refreshes(zoho, **_):
    client = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}
    grant = {"grant_type": "authorization_code", "redirect_uri": zoho.redirect_url}

    def ask(**parameters):
        url = f"{zoho.url}/oauth/v2/token"
        return requests.post(url, data=client | parameters, timeout=9).json()

    token = ask(**grant, code=zoho.grant())["refresh_token"]
    for _ in range(10):
        assert ask(grant_type="refresh_token", refresh_token=token)["access_token"]
    yield zoho.environment, good(zoho, token=token, kind="refresh token")


@contextmanager
def general_error(zoho, **_):
    with zoho.simulate_error("general_error"):
        yield zoho.environment, good(zoho)


@contextmanager
def narrow_scope(zoho, **_):
    with zoho.simulate_error("OAUTH_SCOPE_MISMATCH"):
        yield zoho.environment, good(zoho)


@contextmanager
def another_environment(zoho, **_):
    with PracticeZoho(seed=2) as sandbox:  # its accounts server is the same one, its CRM is not
        yield zoho_at(zoho.url, crm=sandbox.url), good(zoho)


def proxy(handler):
    @contextmanager
    def case(monkeypatch, **_):
        with serving(handler) as port:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            yield EUDataCenter.PRODUCTION(), {}  # the proxy lets nothing through to the real one

    return case


@contextmanager
def closed_proxy(monkeypatch, **_):
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    yield EUDataCenter.PRODUCTION(), {}


@contextmanager
def untrusted_certificate(tmp_path, **_):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made_for = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", *made_for, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(Page, tls) as port:
        yield zoho_at(f"https://127.0.0.1:{port}"), {}


@contextmanager
def no_name(**_):
    find = socket.getaddrinfo

    def find_none(host, *rest, **how):
        if host == "accounts.zoho.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return find(host, *rest, **how)

    with mock.patch.object(socket, "getaddrinfo", find_none):
        yield zoho_at("https://accounts.zoho.invalid"), {}


@contextmanager
def no_route(**_):
    unreachable = OSError(errno.ENETUNREACH, "Network is unreachable")
    connection = urllib3.util.connection
    with mock.patch.object(connection, "create_connection", side_effect=unreachable):
        yield zoho_at("https://192.0.2.1"), {}


@contextmanager
def refused(**_):
    yield zoho_at(f"http://127.0.0.1:{closed_port()}"), {}


def accounts(handler):
    @contextmanager
    def case(**_):
        with serving(handler) as port:
            yield zoho_at(f"http://127.0.0.1:{port}"), {}

    return case


def crm(handler):
    @contextmanager
    def case(zoho, **_):
        with serving(handler) as port:
            yield zoho_at(zoho.url, crm=f"http://127.0.0.1:{port}"), good(zoho)

    return case


SILENT = "The server did not answer in time."
BROKEN = "The server is unreachable, or the connection was lost."
WEB_PAGE = "The answer is a web page, or empty, and not from Zoho's API."

CASES = {
    "a used grant token": (used_grant_token, "A grant token works once, within three minutes"),
    "a late grant token": (late_grant_token, "A grant token works once, within three minutes"),
    "a wrong secret": (wrong_secret, "Zoho knows the client id, but the client secret is wrong"),
    "a client of another data center": (
        client_of_another_data_center,
        "If the id is right, the data center is wrong",
    ),
    "a token of another data center": (
        token_of_another_data_center,
        "if the token is new and complete, choose the data center where you created it",
    ),
    "a wrong redirect URL": (wrong_redirect_url, "Copy it exactly from Zoho's API console"),
    "too many refreshes": (too_many_refreshes, "Wait until the ten minutes are over"),
    "a general error": (general_error, "Zoho could not process this request"),
    "a narrow scope": (narrow_scope, "Create a new grant token with the scope ZohoCRM.users.READ,"),
    "a token of another environment": (
        another_environment,
        "it belongs to another data center or environment",
    ),
    "a proxy that wants a login": (proxy(Login), "The proxy of your network requires a login"),
    "a proxy that refuses": (proxy(Page), "or refuses the connection"),
    "a proxy that is not there": (closed_proxy, "The proxy of your network does not answer"),
    "an untrusted certificate": (untrusted_certificate, "certificate is not trusted. No secret"),
    "an unknown name": (no_name, "The server's name was not found"),
    "no route": (no_route, BROKEN),
    "a refused connection": (refused, "no server listens at this address"),
    "a reset": (accounts(Reset), BROKEN),
    "a silent accounts server": (accounts(Silent), SILENT),
    "a web page in place of tokens": (accounts(Page), WEB_PAGE),
    # The SDK swallows these, and saves the token without a user name.
    "a silent CRM": (crm(Silent), SILENT),
    "a reset by the CRM": (crm(Reset), BROKEN),
    "a web page in place of the CRM": (crm(Page), WEB_PAGE),
    "a CRM that is down": (crm(Down), WEB_PAGE),
}


@pytest.fixture(autouse=True)
def no_proxy_to_this_machine(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def logged(monkeypatch):
    """Collect what any logger is told, unformatted: the SDK's formats do not fit their values."""
    lines = []

    def keep(logger, record):
        lines.append(f"{record.msg} {record.args!r} {record.exc_info}")

    monkeypatch.setattr(logging.Logger, "handle", keep)
    monkeypatch.setattr(logging.getLogger("SDKLogger"), "disabled", False)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    yield lines
    logging.getLogger().setLevel(level)


def all_of(error):
    """Return what an exception and those behind it say, in every way Python shows them."""
    texts = traceback.format_exception(error)
    while error is not None:
        texts += [str(error), repr(error)]
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return texts


def all_shown(form, logged):
    states = [widget.get_state() for widget in ipywidgets.widget._instances.values()]
    errors = [form.error, *(step.error for step in form.trace.steps)]
    shown = [states, form, form._repr_mimebundle_(), form.trace, form.trace.steps, logged]
    return f"{shown!r} {[all_of(error) for error in errors if error is not None]}"


@pytest.mark.parametrize("case", CASES)
def test_it_is_explained_without_a_secret_and_the_form_still_works(
    case, zoho, store, tmp_path, monkeypatch, logged
):
    go_wrong, said = CASES[case]
    form = InitializeForm(zoho, store, tmp_path)
    before = {name: field.value for name, field in form.inputs.items()}
    with go_wrong(zoho=zoho, tmp_path=tmp_path, monkeypatch=monkeypatch) as (environment, values):
        values = CANARIES | values
        monkeypatch.setattr(EUDataCenter, "PRODUCTION", lambda: environment)
        monkeypatch.setattr(single_flight, "REQUEST_TIMEOUT_S", 2 if said == SILENT else 30)
        for name, value in (values | {"server": "EU"}).items():
            form.inputs[name].value = value
        form._button.click()

    status = html.unescape(form.status.value)
    assert "✖ Not done:" in status and said in status
    assert form.error is not None
    shown = all_shown(form, logged)
    assert "/oauth/v2/token" in shown  # so that it is known to be seen at all
    secrets = {values["client_secret"], values["token"], CANARY}
    for token in store.get_tokens():  # there is one where the SDK has swallowed the error
        secrets |= {token.get_access_token(), token.get_refresh_token()}
    assert not [secret for secret in secrets if secret in shown]

    monkeypatch.setattr(single_flight, "REQUEST_TIMEOUT_S", 30)
    for name, value in before.items():
        form.inputs[name].value = value
    form.submit()
    assert form.error is None and f"initialized for {zoho.users[0].email}" in form.status.value


def test_every_data_center_of_the_sdk_is_offered():
    kinds = {kind for name, kind in vars(dc).items() if name.endswith("DataCenter")}
    assert set(DATA_CENTERS.values()) == kinds - {DataCenter}
    for name, kind in DATA_CENTERS.items():
        assert kind.__name__ == f"{name}DataCenter"
        environments = {each for each in vars(kind) if each.isupper()}
        assert environments == {"PRODUCTION", "SANDBOX", "DEVELOPER"}


DOMAINS = {
    "US": "zohoapis.com",
    "EU": "zohoapis.eu",
    "IN": "zohoapis.in",
    "AU": "zohoapis.com.au",
    "CA": "zohoapis.ca",
    "CN": "zohoapis.com.cn",
    "JP": "zohoapis.jp",
    "SA": "zohoapis.sa",
}
"""Zoho's CRM API documentation, version 8, page "Multi-DC"."""

HOSTS = {"PRODUCTION": "www", "SANDBOX": "sandbox", "DEVELOPER": "developer"}


@pytest.mark.parametrize("environment", HOSTS)
@pytest.mark.parametrize("center", DOMAINS)
def test_the_form_and_its_code_use_what_was_chosen(
    zoho, store, tmp_path, monkeypatch, center, environment
):
    used = []
    monkeypatch.setattr(
        Initializer, "initialize", lambda environment, **_: used.append(environment.url)
    )
    monkeypatch.chdir(tmp_path)
    for variable in ("ZOHO_CLIENT_SECRET", "ZOHO_GRANT_TOKEN"):
        monkeypatch.setenv(variable, CANARY)
    form = InitializeForm(zoho, store, tmp_path)
    form.inputs["server"].value, form.inputs["environment"].value = center, environment
    form.inputs["store"].value = "CustomStoreList"
    form.submit()
    code = form._code.value.partition(">")[2].removesuffix("</pre>")
    exec(compile(html.unescape(code), "the shown code", "exec"), {})
    assert used == [f"https://{HOSTS[environment]}.{DOMAINS[center]}"] * 2


def test_the_hints_say_where_the_values_come_from_and_how_long_a_grant_token_lives(zoho, store):
    form = InitializeForm(zoho, store, ".")
    hints = {field.name: field.hint for field in form.fields}
    assert all(f"{center} zoho" in hints["server"] for center in DATA_CENTERS)
    assert "Self Client in Zoho's API console, at api-console.zoho.com" in hints["client_id"]
    assert "below the client id" in hints["client_secret"]
    assert "three minutes" in hints["token"] and "Generate Code" in hints["token"]
