"""The contract of a token store: its rules as runnable checks for any ``TokenStore``."""

from .case import Rule, UnusableStoreError
from .report import RULES, Report, Result, check, check_rule, contract_tests

__all__ = [
    "RULES",
    "Report",
    "Result",
    "Rule",
    "UnusableStoreError",
    "check",
    "check_rule",
    "contract_tests",
]
