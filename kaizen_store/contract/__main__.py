"""Check a store from the command line: ``python -m kaizen_store.contract package.module:name``."""

import argparse
import importlib
import io
import sys
from functools import partial
from pathlib import Path

from . import UnusableStoreError, check


def main() -> int:
    """Print the report; return 0 if no rule failed, 1 if one did, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m kaizen_store.contract",
        description="Check a token store against the rules of kaizen_store.",
    )
    parser.add_argument(
        "store",
        metavar="package.module:name",
        help="a class or function that creates an empty store when it is called without "
        "arguments, such as kaizen_store:CustomStoreSQLite",
    )
    module, _, name = parser.parse_args().store.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        make_store = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        parser.error(f"{error}; write package.module:name")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    show = partial(print, flush=True)
    try:
        report = check(make_store, progress=show)
    except UnusableStoreError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        return 130
    show(report.summary)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
