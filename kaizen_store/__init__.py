"""Token stores for the Zoho CRM Python SDK that you can trust in production."""

from importlib.metadata import version

from .stores import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite, RowStore

__all__ = ["CustomStoreInMemory", "CustomStoreList", "CustomStoreSQLite", "RowStore"]
__version__ = version("kaizen_store")
