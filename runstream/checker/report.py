"""The report of a check: findings with their places, and what a tolerant reader made of the stream."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from runstream.checker.rules import CheckRule

__all__ = ["CheckReport", "CheckedRun", "Finding", "Place"]


class Place(Struct, frozen=True, kw_only=True):
    """The place of one violation. It has names, ids and numbers, and no text of a message.

    Attributes:
        event: The number of the event in the stream, from 1; 0 for the end of the stream or its head.
        line: The number of its line in its file or body, from 1; 0 if there are no lines (WebSocket messages).
        name: The name or type of the event; "" if there is none.
        id: The id of the event; "" if it has none.
        object_id: The id of the run, message, call or item that it concerns; "" if there is none.
        detail: The fact in names and numbers, such as ``"7 after 5"``; "" if the rule says all.
    """

    event: int = 0
    line: int = 0
    name: str = ""
    id: str = ""
    object_id: str = ""
    detail: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """The violations of one rule in one stream.

    Attributes:
        rule: The rule.
        count: The number of its violations.
        places: The places of the first ones.
    """

    rule: CheckRule
    count: int
    places: tuple[Place, ...]


class CheckedRun(Struct, frozen=True, kw_only=True):
    """What a tolerant reader made of one run of the stream: statuses and sizes, and no text.

    Attributes:
        id: The id of the run.
        status: Its status at the end of the stream.
        interrupted: True if the stream ended before the run had an end or a request for action.
        messages: The number of its messages.
        characters: The number of characters in the texts of its messages.
        steps: The number of its steps.
        calls: The number of its tool calls.
        awaited: The number of the calls that it waits for.
    """

    id: str
    status: str
    interrupted: bool = False
    messages: int = 0
    characters: int = 0
    steps: int = 0
    calls: int = 0
    awaited: int = 0


class CheckReport(Struct, frozen=True, kw_only=True):
    """The result of :func:`~runstream.check`.

    Attributes:
        name: The name of the input; of a URL without its credentials and query values.
        dialect: The name of the dialect whose rules were checked; ``None`` if none recognises the stream.
        events: The number of events.
        findings: The broken rules and the notes: errors first, then in the order of their first places.
        runs: What a tolerant reader made of the stream, the first 100 runs.
        rejected: The number of inputs that even a tolerant reader can't use.
        stopped: True if the check ended before the stream did, because of its time limit. The rules of the end of a
            stream were not checked then.
    """

    name: str
    dialect: str | None
    events: int
    findings: tuple[Finding, ...]
    runs: tuple[CheckedRun, ...]
    rejected: int = 0
    stopped: bool = False

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that break the protocol."""
        return tuple(each for each in self.findings if each.rule.severity == "error")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are legal, but known to break readers."""
        return tuple(each for each in self.findings if each.rule.severity == "note")

    @property
    def ok(self) -> bool:
        """True if no rule is broken; notes do not count."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, as ``runstream check --json`` writes it. Empty fields of places are left out."""
        return {
            "name": self.name,
            "dialect": self.dialect,
            "ok": self.ok,
            "events": self.events,
            "findings": [
                {
                    "rule": finding.rule.name,
                    "protocol": finding.rule.protocol,
                    "severity": finding.rule.severity,
                    "text": finding.rule.text,
                    "count": finding.count,
                    "places": [
                        {name: value for name in Place.__struct_fields__ if (value := getattr(place, name))}
                        for place in finding.places
                    ],
                }
                for finding in self.findings
            ],
            "runs": [{name: getattr(run, name) for name in CheckedRun.__struct_fields__} for run in self.runs],
            "rejected": self.rejected,
            "stopped": self.stopped,
        }
