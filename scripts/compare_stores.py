"""Print which rules of the contract the SDK's own stores and ours pass: `make compare`.

The table is in Markdown, as it is in docs/compatibility.md. It includes DBStore if a MariaDB or
MySQL server on this machine has the database and the user of `SERVER` below, and
mysql-connector-python is installed.
"""

import hashlib
import sys
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.store.db_store import DBStore
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.contract import RULES, check
from kaizen_store.stores.token_row import COLUMNS

SERVER = {"user": "kaizen", "password": "practice", "host": "127.0.0.1", "database": "kaizen"}


def file_store():
    return FileStore(str(Path.cwd() / "sdk_tokens.txt"))


def db_store():
    """Create a DBStore with one table for each working directory.

    The table is the one from the post and from the SDK's documentation: its id column has 10
    characters, the others have 255.
    """
    import mysql.connector

    table = "t" + hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:20]
    columns = ", ".join(f"{column} varchar(255)" for column in COLUMNS[1:])
    with mysql.connector.connect(**SERVER, autocommit=True) as server, server.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (id varchar(10) NOT NULL PRIMARY KEY, {columns})"
        )
    return DBStore(
        host=SERVER["host"],
        database_name=SERVER["database"],
        user_name=SERVER["user"],
        password=SERVER["password"],
        port_number="3306",
        table_name=table,
    )


STORES = {
    "`CustomStoreSQLite`": CustomStoreSQLite,
    "`CustomStoreInMemory`": CustomStoreInMemory,
    "`CustomStoreList`": CustomStoreList,
    "SDK's `FileStore`": file_store,
    "SDK's `DBStore` on MariaDB": db_store,
}


def table(reports):
    """Return a Markdown table with a line for each rule and a column for each store."""
    lines = [f"| Rule | {' | '.join(reports)} |", f"|---|{'---|' * len(reports)}"]
    for place, rule in enumerate(RULES):
        states = [report.results[place].state for report in reports.values()]
        lines.append(f"| `{rule.id}`: {rule.title} | {' | '.join(states)} |")
    totals = [report.summary for report in reports.values()]
    lines.append(f"| all {len(RULES)} rules | {' | '.join(totals)} |")
    return "\n".join(lines)


def missing_server():
    """Return why DBStore cannot be tried here, or an empty string."""
    try:
        import mysql.connector

        mysql.connector.connect(**SERVER).close()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main():
    reports = {}
    reason = missing_server()
    for name, make_store in STORES.items():
        if make_store is db_store and reason:
            print(f"DBStore is left out: {reason}", file=sys.stderr)
            continue

        def show(result, name=name):
            print(f"{name}: {result.state}: {result.rule.id}", file=sys.stderr, flush=True)

        reports[name] = check(make_store, progress=show)
    print(table(reports))
    print()
    for name, report in reports.items():
        for result in report.failed:
            print(f"- {name}, `{result.rule.id}`: {result.reason}")


if __name__ == "__main__":
    main()
