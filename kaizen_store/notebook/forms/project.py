"""The form of lesson 09: write a Zoho client into your own project."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

from ... import CustomStoreInMemory, CustomStoreSQLite, stores
from ...practice import PracticeZoho
from ..explanations import InputError
from .base import Field, Form
from .token_code import (
    DATA_CENTERS,
    ENVIRONMENTS,
    IMPORT_INITIALIZER,
    IMPORT_TOKEN,
    PRACTICE,
    SDK_PACKAGE,
    STORE_NAMES,
    quoted,
)

VARIABLES, DOTENV = "environment variables", "a .env file"
COPIED, INSTALLED = "copied files", "pip install"
PACKAGE = "kaizen_store @ git+https://github.com/kaizen-store/kaizen-store"

CLIENT = '''\
"""Zoho CRM for this project: the SDK, and a store for its tokens."""

import os
from pathlib import Path

{imports}

ENVIRONMENT = {environment}
HERE = Path(__file__).resolve().parent
{load}

def main():
    """Print some leads, to show that it works."""
{main}


def connect(store):
    """Initialize the SDK with the stored token; at first there is none."""
    stored = store.get_tokens()
    token = stored[0] if stored else new_token()
    Initializer.initialize(ENVIRONMENT, token, store=store, resource_path=str(HERE))


def new_token():
    """Return the token for the first start: a client and a grant token."""
    return OAuthToken(
        client_id=setting("ZOHO_CLIENT_ID"),
        client_secret=setting("ZOHO_CLIENT_SECRET"),
        grant_token=setting("ZOHO_GRANT_TOKEN"),
        redirect_url=os.environ.get("ZOHO_REDIRECT_URL"),  # not for a Self Client
    )


def setting(name):
    """Return an environment variable, or exit with an error message."""
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
# Copy this file to .env, make it private (chmod 600 .env), and fill it in.
# The grant token is only needed for the first start.
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
# the SDK's cache and log
resources/
sdk_logs.log
"""


class ProjectForm(Form):
    """Writes ``zoho_client.py``, and the files that it needs, into a folder.

    :param zoho: a running Practice Zoho, which is offered beside the real data centers; or None.
    :param folder: the folder in which the project's folder is created.
    """

    title = "Take it to your project"
    button = "Write the files"
    shows_store = False

    def __init__(self, zoho: PracticeZoho | None, folder: str | os.PathLike[str]) -> None:
        self.zoho = zoho
        self.folder = Path(folder)
        servers = ((PRACTICE,) if zoho else ()) + tuple(DATA_CENTERS)
        names, secrets, packages = STORE_NAMES, (VARIABLES, DOTENV), (COPIED, INSTALLED)
        center_hint = "Of a real data center."
        package_hint = "You can read and change copies; pip installs newer versions."
        folder_hint = "Inside the lesson's folder, or a full path. No file is overwritten."
        production = ENVIRONMENTS[0]
        super().__init__(
            CustomStoreInMemory(),
            [
                Field("store", "Store", "Lesson 06 helps you choose.", names[0], choices=names),
                Field("server", "Server", "Where you sign in.", servers[0], choices=servers),
                Field("environment", "Environment", center_hint, production, choices=ENVIRONMENTS),
                Field("secrets", "Secrets come from", "Never code.", VARIABLES, choices=secrets),
                Field("package", "The store comes as", package_hint, COPIED, choices=packages),
                Field("folder", "Folder", folder_hint, "project"),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Write the files, or none of them, and name them."""
        if not values["folder"]:
            raise InputError("The folder is missing: type where to write the files.")
        folder = self.folder / Path(values["folder"]).expanduser()
        files = self.files(values)
        try:
            existing = [name for name in files if (folder / name).exists()]
            if existing:
                raise InputError(
                    f"{', '.join(existing)} already exist in that folder, and nothing is "
                    "overwritten. Choose another folder, or move them away; then try again."
                )
            for name, text in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"Cannot write to the folder ({error.strerror}). Choose another, then try again."
            ) from error
        settings = "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_GRANT_TOKEN"
        if values["server"] == PRACTICE:
            settings += ", and the redirect URL of Practice Zoho's client as ZOHO_REDIRECT_URL"
        fill = "copy .env.example to .env and fill in" if ".env.example" in files else "set"
        names = dict.fromkeys(name.partition("/")[0] for name in files)
        return (
            f"Written: {', '.join(names)}. Next: pip install -r requirements.txt, "
            f"{fill} {settings}; then run zoho_client.py."
        )

    def code(self, values: dict[str, str]) -> str:
        """Return the client that the step writes."""
        return self.files(values)["zoho_client.py"]

    def files(self, values: dict[str, str]) -> dict[str, str]:
        """Return the files of the project: their texts by name.

        :param values: the values of the fields.
        """
        is_dotenv, is_copied = values["secrets"] == DOTENV, values["package"] == COPIED
        files = {"zoho_client.py": self._client(values)}
        needed = ["zohocrmsdk8-0>=7,<8"] if is_copied else [PACKAGE]
        files["requirements.txt"] = "\n".join(needed + ["python-dotenv>=1,<2"] * is_dotenv) + "\n"
        files[".gitignore"] = IGNORED
        if is_dotenv:
            files[".env.example"] = EXAMPLE
        if is_copied:
            for path in sorted(Path(stores.__file__).parent.glob("*.py")):
                files[f"stores/{path.name}"] = path.read_text(encoding="utf-8")
        return files

    def _client(self, values: dict[str, str]) -> str:
        name, is_dotenv = values["store"], values["secrets"] == DOTENV
        imports = [
            IMPORT_TOKEN,
            f"from {SDK_PACKAGE}.crm.api import HeaderMap, ParameterMap",
            IMPORT_INITIALIZER,
            f"from {SDK_PACKAGE}.crm.api.record import GetRecordsParam, RecordOperations",
        ]
        if values["server"] == PRACTICE and self.zoho is not None:
            imports.append(f"from {SDK_PACKAGE}.crm.api.dc.data_center import DataCenter")
            url, token_url = self.zoho.url, f"{self.zoho.url}/oauth/v2/token"
            places = "".join(f"    {quoted(place)},\n" for place in (url, token_url, url))
            environment = f"DataCenter.Environment(\n{places})"
        else:
            center = DATA_CENTERS[values["server"]].__name__
            imports.append(f"from {SDK_PACKAGE}.crm.api.dc import {center}")
            environment = f"{center}.{values['environment']}()"
        imports += ["from dotenv import load_dotenv"] * is_dotenv
        # A folder beside the client is imported in a separate block, a package with the packages.
        if values["package"] == COPIED:
            blocks = [sorted(imports), [f"from stores import {name}"]]
        else:
            blocks = [sorted([*imports, f"from kaizen_store import {name}"])]
        path = 'HERE / "zohooauth.db"' if name == CustomStoreSQLite.__name__ else ""
        main = f"with {name}({path}) as store:\n{textwrap.indent(SHOW, '    ')}"
        return CLIENT.format(
            imports="\n\n".join("\n".join(block) for block in blocks),
            environment=environment,
            load='load_dotenv(HERE / ".env")\n' if is_dotenv else "",
            main=textwrap.indent(main, "    "),
            advice="write it into the file .env"
            if is_dotenv
            else "copy its value from Zoho's API console",
        )
