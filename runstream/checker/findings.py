"""The collector of findings: bounded in the number of places, and without any text of a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from runstream.checker.report import Finding, Place
from runstream.checker.rules import CheckRule

__all__ = ["MAX_PLACES", "Findings", "clip_name", "clip_names"]

MAX_PLACES: Final = 10
"""The number of places that a finding has at most."""

_MAX_NAME: Final = 120
_MAX_NAMES: Final = 5


def clip_name(value: str) -> str:
    """A name or id from the wire, no longer than 120 characters and on one line."""
    short = value if len(value) <= _MAX_NAME else f"{value[: _MAX_NAME - 1]}…"
    return short if short.isprintable() else "".join(each if each.isprintable() else "�" for each in short)


def clip_names(values: Iterable[str]) -> str:
    """Names from the wire, the first five of them."""
    found = [*values]
    return ", ".join([*map(clip_name, found[:_MAX_NAMES]), *(["…"] if len(found) > _MAX_NAMES else [])])


class Findings:
    """Collects the violations of one stream.

    Attributes:
        place: The place of the current event.
        errors_at: The number of the last event with an error.
    """

    def __init__(self) -> None:
        self.place = Place()
        self.errors_at = -1
        self._counts: dict[CheckRule, int] = {}
        self._places: dict[CheckRule, list[Place]] = {}

    def add(self, rule: CheckRule, detail: str = "", object_id: str = "", place: Place | None = None) -> None:
        """Count a violation.

        Args:
            rule: The rule.
            detail: The fact, in words of this library, names of the wire and numbers.
            object_id: The id of the object that it concerns.
            place: Its place; that of the current event by default.
        """
        place = place or self.place
        if rule.severity == "error":
            self.errors_at = place.event
        self._counts[rule] = self._counts.get(rule, 0) + 1
        places = self._places.setdefault(rule, [])
        if len(places) < MAX_PLACES:
            places.append(structs.replace(place, detail=detail, object_id=clip_name(object_id)))

    def result(self) -> tuple[Finding, ...]:
        """The findings: errors first, then in the order of their first places. The end of a stream comes last."""
        found = [
            Finding(rule=rule, count=count, places=tuple(self._places[rule])) for rule, count in self._counts.items()
        ]
        return tuple(sorted(found, key=_order))


def _order(finding: Finding) -> tuple[bool, float, int]:
    first = finding.places[0]
    at_end = not (first.event or first.line)
    return finding.rule.severity != "error", float("inf") if at_end else first.line or first.event, first.event
