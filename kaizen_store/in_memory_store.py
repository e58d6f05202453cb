"""A token store in memory, gone with the process: for tests, notebooks and short scripts."""

if __package__:
    from .sqlite_store import CustomStoreSQLite
else:  # copied beside a script, as a file of its own
    from sqlite_store import CustomStoreSQLite  # type: ignore[no-redef,import-not-found]


class CustomStoreInMemory(CustomStoreSQLite):
    """Keeps tokens in an SQLite database in memory: the statements of the file's store, no file.

    Threads share it. A process that forks gives its child a copy. ``close()``, or the end of the
    process, forgets every token.
    """

    def __init__(self) -> None:
        super().__init__(":memory:")

    def __repr__(self) -> str:
        return "CustomStoreInMemory()"
