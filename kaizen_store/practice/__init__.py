"""Practice Zoho: a Zoho of your own, on this machine, for learning and for tests.

The unmodified Zoho CRM SDK talks to it over HTTP, as it talks to the real Zoho. It needs no
account and no network, and its tokens are of no use anywhere else.
"""

from .consent import Consent
from .crm import PracticeUser
from .server import Exchange, PracticeZoho

__all__ = ["Consent", "Exchange", "PracticeUser", "PracticeZoho"]
