"""The files of a store work where a developer copies them, with only the SDK installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kaizen_store

SAVE_AND_FIND = """
import sys
{imports}
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
store = {store}
store.save_token(OAuthToken(access_token="access"))
assert store.find_token(OAuthToken(access_token="access")).get_id() == "1"
assert not [name for name in sys.modules if name.startswith("kaizen_store")]
"""

COPIES = {
    "CustomStoreSQLite('t.db')": ["sqlite_store.py", "token_row.py"],
    "CustomStoreInMemory()": ["in_memory_store.py", "sqlite_store.py", "token_row.py"],
    "CustomStoreList()": ["list_store.py", "token_row.py"],
}


@pytest.mark.parametrize("folder", ["beside_a_script", "in_a_package"])
@pytest.mark.parametrize("store", COPIES)
def test_a_copied_store_works_from_an_empty_folder(tmp_path, store, folder):
    target, prefix = (
        (tmp_path, "") if folder == "beside_a_script" else (tmp_path / "store", "store.")
    )
    target.mkdir(exist_ok=True)
    for name in COPIES[store]:
        shutil.copy(Path(kaizen_store.__file__).with_name(name), target)
    module = prefix + COPIES[store][0].removesuffix(".py")
    imports = f"from {module} import {store.split('(')[0]}"
    script = tmp_path / "script.py"
    script.write_text(SAVE_AND_FIND.format(imports=imports, store=store))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=True)
