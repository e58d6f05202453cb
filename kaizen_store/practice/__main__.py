"""Run Practice Zoho as a separate process: ``python -m kaizen_store.practice``."""

import argparse
import contextlib
import time
from collections.abc import Sequence
from typing import NoReturn

from .server import PracticeZoho


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line; the usage text before it would hide the error."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C.

    :param arguments: the command line arguments; those of this process if None.
    :raises SystemExit: code 2, if an argument is wrong or the port cannot be used.
    """
    parser = _Parser(prog="python -m kaizen_store.practice", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = parser.parse_args(arguments)
    zoho = PracticeZoho(seed=options.seed, port=options.port)
    try:
        zoho.start()
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on port {options.port}: {error}")
    with zoho, contextlib.suppress(KeyboardInterrupt):
        print(_description(zoho), flush=True)  # noqa: T201 - a command line program
        while True:
            time.sleep(3600)


def _description(zoho: PracticeZoho) -> str:
    users = "\n".join(
        f"  {user.full_name} <{user.email}>, {user.organization} ({user.zgid})\n"
        f"    grant token    {zoho.grant(user)}"
        for user in zoho.users
    )
    return f"""\
Practice Zoho is running; Ctrl-C stops it. Its secrets work nowhere else.

CRM API            {zoho.url}
accounts URL       {zoho.url}/oauth/v2/token
client id          {zoho.client_id}
client secret      {zoho.client_secret}
redirect URL       {zoho.redirect_url}

users, each with a grant token that works once and is valid for three minutes:
{users}

another grant token:
  curl --data user={zoho.users[0].email} {zoho.url}/practice/grant
the client and the users as JSON:
  curl {zoho.url}/practice"""


if __name__ == "__main__":
    main()
