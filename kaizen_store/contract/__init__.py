"""The contract of a token store: its rules as runnable checks for any ``TokenStore``."""

from .report import Report, Verdict, check, check_rule, contract_tests
from .rules import RULES, Rule

__all__ = ["RULES", "Report", "Rule", "Verdict", "check", "check_rule", "contract_tests"]
