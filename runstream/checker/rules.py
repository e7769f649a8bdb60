"""The rules that the checker knows: their names, texts and severity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = ["CheckRule", "Severity", "breaks", "note", "rule_table"]

Severity: TypeAlias = Literal["error", "note"]
"""``error`` for a stream that breaks its protocol; ``note`` for a legal form that is known to break readers."""


class CheckRule(Struct, frozen=True):
    """A rule of a protocol.

    Attributes:
        name: Its name; no other rule of its protocol has it.
        text: The demand of the rule, or the fact that a note reports, in one sentence.
        place: The part of the protocol that it belongs to, such as ``stream``, ``event``, ``run`` or ``item``.
        severity: ``"error"`` for a rule that the protocol demands, ``"note"`` for a legal form that is known to break
            readers.
        protocol: The name of the dialect; ``"all"`` for a rule of every stream.
    """

    name: str
    text: str
    place: str
    severity: Severity = "error"
    protocol: str = "all"


def breaks(name: str, place: str, text: str) -> CheckRule:
    """A rule that the protocol demands."""
    return CheckRule(name, text, place, "error")


def note(name: str, place: str, text: str) -> CheckRule:
    """A legal form that is known to break readers."""
    return CheckRule(name, text, place, "note")


def rule_table(protocol: str, rules: Iterable[CheckRule]) -> Mapping[str, CheckRule]:
    """The rules of one protocol by name.

    Args:
        protocol: The name of its dialect.
        rules: The rules.
    """
    table: dict[str, CheckRule] = {}
    for rule in rules:
        assert rule.name not in table, rule.name
        table[rule.name] = CheckRule(rule.name, rule.text, rule.place, rule.severity, protocol)
    return MappingProxyType(table)
