"""Check a store from the command line: ``python -m kaizen_store.contract package.module:name``."""

import argparse
import importlib
import sys

from . import Verdict, check


def main() -> int:
    """Print the report; return 1 when a rule is broken."""
    parser = argparse.ArgumentParser(
        prog="python -m kaizen_store.contract",
        description="Check a token store against the rules of kaizen_store.",
    )
    parser.add_argument(
        "store",
        metavar="package.module:make_store",
        help="what makes the store: a class or a function that is called without arguments, "
        "such as kaizen_store:CustomStoreSQLite",
    )
    module, _, name = parser.parse_args().store.partition(":")
    try:
        make_store = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        parser.error(f"{error}; write package.module:make_store")

    def show(verdict: Verdict) -> None:
        sys.stdout.write(f"{verdict}\n")
        sys.stdout.flush()

    report = check(make_store, progress=show)
    sys.stdout.write(f"{report.summary}\n")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
