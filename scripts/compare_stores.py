"""Print, for the README, which rules the SDK's own stores and ours keep: `make compare`.

DBStore is in it where a MariaDB or MySQL on this machine has a database, a user and a password as
in `SERVER` below, and mysql-connector-python is installed.
"""

import hashlib
import sys
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.store.db_store import DBStore
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.contract import RULES, check
from kaizen_store.token_row import COLUMNS

SERVER = {"user": "kaizen", "password": "practice", "host": "127.0.0.1", "database": "kaizen"}
SIGNS = {"kept": "✔", "broken": "✖", "does not apply": "○"}


def file_store():
    return FileStore(str(Path.cwd() / "sdk_tokens.txt"))


def db_store():
    """Make a DBStore with a table for each working directory, as the SDK's documentation makes it.

    Its columns are those of the post and of the SDK's documentation: ids of 10 characters, the rest
    of 255.
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
    """Return a Markdown table: a line for each rule, a column for each store."""
    heads = ["Rule", *reports]
    lines = [f"| {' | '.join(heads)} |", f"|---|{':-:|' * len(reports)}"]
    for place, rule in enumerate(RULES):
        cells = [SIGNS[report.verdicts[place].state] for report in reports.values()]
        lines.append(f"| {rule.number} {rule.name} | {' | '.join(cells)} |")
    totals = [f"{len(RULES) - len(report.broken)} of {len(RULES)}" for report in reports.values()]
    lines.append(f"| not broken | {' | '.join(totals)} |")
    return "\n".join(lines)


def is_there():
    try:
        import mysql.connector

        mysql.connector.connect(**SERVER).close()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main():
    reports = {}
    missing = is_there()
    for name, make_store in STORES.items():
        if make_store is db_store and missing:
            print(f"DBStore is left out: {missing}", file=sys.stderr)
            continue

        def show(verdict, name=name):
            print(f"{name}: rule {verdict.rule.number} of {len(RULES)}", file=sys.stderr)

        reports[name] = check(make_store, progress=show)
    print(table(reports))
    for name, report in reports.items():
        for verdict in report.broken:
            print(f"- {name}, rule {verdict.rule.number}: {verdict.happened}")


if __name__ == "__main__":
    main()
