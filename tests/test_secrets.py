"""Nothing in the repository looks like a real secret of Zoho, or like a key of AWS."""

import random
import re
import string
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# No `\b` at either end: in the JSON of a notebook, a value may follow the `n` of a `\n`.
REAL = {
    "a token": rb"1000\.[0-9a-fA-F]{32}\.[0-9a-fA-F]{32}(?![0-9a-fA-F])",
    "a client id": rb"1000\.(?!\w*PRACTICE)[0-9A-Z]{30}(?![0-9A-Z])",
    "a client secret": rb"(?<![0-9a-fA-F])[0-9a-fA-F]{42}(?![0-9a-fA-F])",
    "an AWS key": rb"A(?:KIA|SIA)[0-9A-Z]{16}(?![0-9A-Z])",
}


def looks_real(content):
    return [what for what, pattern in REAL.items() if re.search(pattern, content)]


def test_no_file_contains_what_looks_like_a_real_secret():
    # Also files that are not yet added, to find a secret before it is committed; databases and
    # pictures are read as bytes.
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    files = {name: ROOT / name for name in listed.split("\0") if (ROOT / name).is_file()}
    assert "tests/test_secrets.py" in files
    found = {name: looks_real(path.read_bytes()) for name, path in files.items()}
    assert {name: what for name, what in found.items() if what} == {}


def random_text(alphabet, length):
    return "".join(random.choices(alphabet, k=length))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (
            f"1000.{random_text('0123456789abcdef', 32)}.{random_text('0123456789abcdef', 32)}",
            "a token",
        ),
        (f"1000.{random_text(string.ascii_uppercase + string.digits, 30)}", "a client id"),
        (random_text("0123456789abcdef", 42), "a client secret"),
        (f"AKIA{random_text(string.ascii_uppercase + string.digits, 16)}", "an AWS key"),
    ],
    ids=["token", "client id", "client secret", "AWS key"],
)
@pytest.mark.parametrize("around", ['"{}"', "\\n{}\\n", "client_id={}&", " {}."])
def test_what_looks_real_is_found(value, what, around):
    assert looks_real(around.format(value).encode()) == [what]


@pytest.mark.parametrize(
    "value", ["1000.PRACTICE" + "A" * 22, "1000.practice" + "a" * 24 + "." + "a" * 32, "a" * 40]
)
def test_a_secret_of_practice_zoho_is_allowed(value):
    assert looks_real(value.encode()) == []
