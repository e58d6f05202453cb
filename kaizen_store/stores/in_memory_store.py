"""CustomStoreInMemory: tokens in memory, for tests, notebooks and short scripts.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from .sqlite_store import CustomStoreSQLite


class CustomStoreInMemory(CustomStoreSQLite):
    """Keeps tokens in an SQLite database in memory, with the SQL of ``CustomStoreSQLite``.

    Threads share it. A process that forks gives its child a copy. ``close()``, or the end of the
    process, deletes every token.
    """

    def __init__(self) -> None:
        super().__init__(":memory:")

    def __repr__(self) -> str:
        return "CustomStoreInMemory()"
