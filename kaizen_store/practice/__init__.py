"""Practice Zoho: a local server that behaves like Zoho, for learning and for tests.

The unmodified Zoho CRM SDK calls it over HTTP, as it calls the real Zoho. It needs no account and
no network, and its tokens work nowhere else. Zoho's *grant token* is OAuth's *authorization code*.
"""

from .consent import Consent
from .crm import PracticeUser
from .server import Exchange, PracticeZoho

__all__ = ["Consent", "Exchange", "PracticeUser", "PracticeZoho"]
