"""Practice Zoho as a separate process."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

PROJECT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "kaizen_store.practice"]

session = requests.Session()
session.trust_env = False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to one process")
def test_it_prints_what_a_client_needs_and_ends_with_ctrl_c():
    process = subprocess.Popen(
        [*COMMAND, "--seed", "3"],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        printed = ""
        while "as JSON" not in printed:
            line = process.stdout.readline()
            assert line, process.communicate()
            printed += line
        printed += process.stdout.readline()
        value = dict(re.findall(r"^(\S.*?)  +(\S+)$", printed, re.MULTILINE))
        url = value["CRM API"]
        known = session.get(url + "/practice").json()
        assert known["client"] == {
            "client_id": value["client id"],
            "client_secret": value["client secret"],
            "redirect_url": value["redirect URL"],
        }
        codes = re.findall(r"grant token +(1000\S+)", printed)
        assert len(codes) == len(known["users"]) == 3
        assert all(user["email"] in printed for user in known["users"])
        email = known["users"][0]["email"]
        assert f"curl --data user={email} {url}/practice/grant" in printed
        codes.append(
            session.post(url + "/practice/grant", data={"user": email}).json()["grant_token"]
        )
        for code in codes:
            parameters = {
                "grant_type": "authorization_code",
                "client_id": value["client id"],
                "client_secret": value["client secret"],
                "redirect_uri": value["redirect URL"],
                "code": code,
            }
            assert "refresh_token" in session.post(value["accounts URL"], data=parameters).json()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=5) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()


def failure_of(*arguments):
    run = subprocess.run(
        [*COMMAND, *arguments], cwd=PROJECT, text=True, capture_output=True, timeout=20
    )
    assert (run.returncode, run.stdout) == (2, "")
    return run.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--port", "x"], "x"), (["--port", "99999"], "99999"), (["--prot", "1"], "--prot")],
)
def test_a_wrong_argument_is_one_line(arguments, named):
    error = failure_of(*arguments)
    assert error.count("\n") == 1
    assert named in error


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = failure_of("--port", str(port))
    assert error.count("\n") == 1
    assert f"cannot listen on port {port}" in error
