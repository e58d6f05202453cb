"""The stores that every test of stores runs on, one line each, and the tokens that tests make."""

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite
from kaizen_store.contract.tokens import EARLIER, LATER, make_token, user_token, values_of

__all__ = ["EARLIER", "LATER", "STORES", "make_token", "user_token", "values_of"]

STORES = {
    "sqlite": lambda folder: CustomStoreSQLite(folder / "zohooauth.db"),
    "in_memory": lambda folder: CustomStoreInMemory(),
    "list": lambda folder: CustomStoreList(),
}
