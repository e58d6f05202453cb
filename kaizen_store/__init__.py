"""Token stores for the Zoho CRM Python SDK that you can trust in production."""

from .stores import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite, RowStore

__all__ = ["CustomStoreInMemory", "CustomStoreList", "CustomStoreSQLite", "RowStore"]


def __getattr__(name: str) -> str:
    """Return ``__version__`` from the package's metadata, which takes longer than the import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("kaizen_store")
    raise AttributeError(f"module 'kaizen_store' has no attribute {name!r}")
