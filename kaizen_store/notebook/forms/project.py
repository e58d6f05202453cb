"""The form of lesson 09: write a Zoho client into a project of your own."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from .. import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite, token_row
from ..practice import PracticeZoho
from .explain import InputError
from .form import Field, Form
from .forms import DATA_CENTERS, ENVIRONMENTS, PRACTICE, SDK, quoted

VARIABLES, DOTENV = "environment variables", "a .env file"
COPIED, INSTALLED = "copied files", "pip install"

# Which files a store needs beside the client, the one with its class first.
FILES = {
    CustomStoreSQLite: ("sqlite_store.py", "token_row.py"),
    CustomStoreInMemory: ("in_memory_store.py", "sqlite_store.py", "token_row.py"),
    CustomStoreList: ("list_store.py", "token_row.py"),
}
PACKAGE = "kaizen_store @ git+https://github.com/kaizen-store/kaizen-store"

CLIENT = '''\
"""Zoho CRM for this project: the SDK, with a store that keeps its tokens."""

import os
from pathlib import Path

{imports}

ENVIRONMENT = {environment}
HERE = Path(__file__).resolve().parent
{load}

def main():
    """Show that it works: print some leads."""
{main}


def connect(store):
    """Initialise the SDK with the stored token; at the first start there is none."""
    stored = store.get_tokens()
    token = stored[0] if stored else new_token()
    Initializer.initialize(ENVIRONMENT, token, store=store, resource_path=str(HERE))


def new_token():
    """Return the token of the first start: a client, and a grant token to exchange."""
    return OAuthToken(
        client_id=setting("ZOHO_CLIENT_ID"),
        client_secret=setting("ZOHO_CLIENT_SECRET"),
        grant_token=setting("ZOHO_GRANT_TOKEN"),
        redirect_url=os.environ.get("ZOHO_REDIRECT_URL"),  # a Self Client has none
    )


def setting(name):
    """Return an environment variable, or end the program and say what to do."""
    value = os.environ.get(name)
    if not value:
        raise SystemExit(f"{{name}} is not set: {advice}.")
    return value


def read_leads(count=5):
    """Return the newest leads, each as a dictionary."""
    parameters = ParameterMap()
    parameters.add(GetRecordsParam.fields, "Full_Name,Company")
    parameters.add(GetRecordsParam.per_page, count)
    answer = RecordOperations("Leads").get_records(parameters, HeaderMap())
    return [lead.get_key_values() for lead in answer.get_object().get_data()]


if __name__ == "__main__":
    main()
'''
SHOW = """\
connect(store)
for lead in read_leads():
    print(lead["Full_Name"], lead["Company"], sep=", ")"""
EXAMPLE = """\
# Copy this file to .env, let nobody else read it (chmod 600 .env), and fill it in.
# The grant token is needed for the first start alone.
ZOHO_CLIENT_ID=
ZOHO_CLIENT_SECRET=
ZOHO_GRANT_TOKEN=
# The redirect URL of your client; a Self Client has none.
ZOHO_REDIRECT_URL=
"""
IGNORED = """\
# tokens and other secrets
.env
zohooauth.db*
# what the SDK caches
resources/
sdk_logs.log
"""


class ProjectForm(Form):
    """Writes ``zoho_client.py``, and what it needs, into a folder.

    :param zoho: a running Practice Zoho, offered beside the real data centres; or None.
    :param folder: where the project's folder is made.
    """

    title = "Take it to your project"
    button = "Write the files"
    shows_store = False

    def __init__(self, zoho: PracticeZoho | None, folder: str | os.PathLike[str]) -> None:
        self.zoho = zoho
        self.folder = Path(folder)
        servers = ((PRACTICE,) if zoho else ()) + tuple(DATA_CENTERS)
        stores = tuple(kind.__name__ for kind in FILES)
        ways = (VARIABLES, DOTENV)
        super().__init__(
            CustomStoreInMemory(),
            [
                Field("store", "Store", "Lesson 06 helps to choose.", stores[0], choices=stores),
                Field("server", "Server", "Where you sign in.", servers[0], choices=servers),
                Field(
                    "environment",
                    "Environment",
                    "Of a real data centre.",
                    ENVIRONMENTS[0],
                    choices=ENVIRONMENTS,
                ),
                Field("secrets", "Secrets come from", "Never from code.", ways[0], choices=ways),
                Field(
                    "package",
                    "The store comes as",
                    "Copies are yours to read and change; pip brings newer versions.",
                    COPIED,
                    choices=(COPIED, INSTALLED),
                ),
                Field(
                    "folder",
                    "Folder",
                    "In the lesson's own, or a whole path. No file in it is overwritten.",
                    "project",
                ),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Write the files, or none of them, and say which."""
        if not values["folder"]:
            raise InputError("The folder is missing: type where the files are to be written.")
        folder = self.folder / Path(values["folder"]).expanduser()
        files = self.files(values)
        try:
            there = [name for name in files if (folder / name).exists()]
            if there:
                raise InputError(
                    f"{', '.join(there)} stand in that folder already, and nothing is overwritten. "
                    "Choose another folder, or move them away; then try again."
                )
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The folder cannot be written to ({error.strerror}). Choose another one, then try "
                "again."
            ) from error
        settings = "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_GRANT_TOKEN"
        if values["server"] == PRACTICE:
            settings += ", and as ZOHO_REDIRECT_URL that of Practice Zoho's client"
        fill = "copy .env.example to .env and fill in" if ".env.example" in files else "set"
        return (
            f"Written: {', '.join(files)}. Next: pip install -r requirements.txt, "
            f"{fill} {settings}; then run zoho_client.py."
        )

    def code(self, values: dict[str, str]) -> str:
        """Return the client that the submit writes."""
        return self.files(values)["zoho_client.py"]

    def files(self, values: dict[str, str]) -> dict[str, str]:
        """Return the files of the project: their texts, by name.

        :param values: what the fields hold.
        """
        kind = next(kind for kind in FILES if kind.__name__ == values["store"])
        dotenv, copied = values["secrets"] == DOTENV, values["package"] == COPIED
        files = {"zoho_client.py": self._client(values, kind, dotenv, copied)}
        needed = ["zohocrmsdk8-0>=7,<8"] if copied else [PACKAGE]
        files["requirements.txt"] = "\n".join(needed + ["python-dotenv>=1,<2"] * dotenv) + "\n"
        files[".gitignore"] = IGNORED
        if dotenv:
            files[".env.example"] = EXAMPLE
        if copied:
            for name in FILES[kind]:
                source = Path(token_row.__file__).with_name(name)
                files[name] = source.read_text(encoding="utf-8")
        return files

    def _client(
        self, values: dict[str, str], kind: type[TokenStore], dotenv: bool, copied: bool
    ) -> str:
        module = FILES[kind][0].removesuffix(".py") if copied else "kaizen_store"
        imports = [
            f"from {SDK}.api.authenticator.oauth_token import OAuthToken",
            f"from {SDK}.crm.api import HeaderMap, ParameterMap",
            f"from {SDK}.crm.api.initializer import Initializer",
            f"from {SDK}.crm.api.record import GetRecordsParam, RecordOperations",
        ]
        if values["server"] == PRACTICE and self.zoho is not None:
            imports.append(f"from {SDK}.crm.api.dc.data_center import DataCenter")
            url, token_url = self.zoho.url, f"{self.zoho.url}/oauth/v2/token"
            places = "".join(f"    {quoted(place)},\n" for place in (url, token_url, url))
            environment = f"DataCenter.Environment(\n{places})"
        else:
            center = DATA_CENTERS[values["server"]].__name__
            imports.append(f"from {SDK}.crm.api.dc import {center}")
            environment = f"{center}.{values['environment']}()"
        imports += ["from dotenv import load_dotenv"] * dotenv
        store = f"from {module} import {kind.__name__}"
        # A module beside the client stands in a block of its own, a package among the packages.
        blocks = [sorted(imports), [store]] if copied else [sorted([*imports, store])]
        path = 'HERE / "zohooauth.db"' if kind is CustomStoreSQLite else ""
        made = f"{kind.__name__}({path})"
        if hasattr(kind, "close"):
            main = f"with {made} as store:\n{textwrap.indent(SHOW, '    ')}"
        else:
            main = f"store = {made}\n{SHOW}"
        return CLIENT.format(
            imports="\n\n".join("\n".join(block) for block in blocks),
            environment=environment,
            load='load_dotenv(HERE / ".env")\n' if dotenv else "",
            main=textwrap.indent(main, "    "),
            advice="write it into the file .env"
            if dotenv
            else "take its value from Zoho's API console",
        )
