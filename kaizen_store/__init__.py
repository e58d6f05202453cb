"""Token stores for the Zoho CRM Python SDK that you can trust in production."""

from .in_memory_store import CustomStoreInMemory
from .list_store import CustomStoreList
from .sqlite_store import CustomStoreSQLite

__all__ = ["CustomStoreInMemory", "CustomStoreList", "CustomStoreSQLite"]
