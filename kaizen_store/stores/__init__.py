"""The token stores. You can copy this folder into your project.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from .in_memory_store import CustomStoreInMemory
from .list_store import CustomStoreList
from .row_store import RowStore
from .sqlite_store import CustomStoreSQLite

__all__ = ["CustomStoreInMemory", "CustomStoreList", "CustomStoreSQLite", "RowStore"]
