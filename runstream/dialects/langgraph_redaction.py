"""The rules of redaction of the LangGraph wires."""

from __future__ import annotations

from typing import Final

from runstream.dialects.redaction_rules import RedactionRules

__all__ = ["LANGGRAPH_RULES"]

LANGGRAPH_RULES: Final = RedactionRules()
