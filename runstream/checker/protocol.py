"""The base of the checkers of protocols: observers that receive every message of a stream, and report violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias

from runstream.checker.findings import Findings
from runstream.checker.rules import CheckRule
from runstream.model.raw import RawEvent, RawItem

__all__ = ["DONE", "Framing", "Message", "ProtocolChecker"]

Framing: TypeAlias = Literal["sse", "lines", "messages"]
"""How events were delivered: as an event stream, as lines of JSON, or as messages of a WebSocket or a program."""

DONE: Final = "[DONE]"
"""The value of a message that says nothing but that the stream is done."""


class Message(NamedTuple):
    """One message of a stream.

    Attributes:
        raw: The raw event.
        name: The name of the event in its framing or envelope; "" if there is none.
        value: Its JSON value; :data:`DONE` for ``[DONE]``.
    """

    raw: RawEvent
    name: str
    value: Any


class ProtocolChecker:
    """Checks the rules of one protocol; a subclass has its rules and receives its messages.

    It never raises on input, keeps no text, and its memory is bounded.

    Args:
        findings: Receives the violations.
        framing: How the events were delivered.

    Attributes:
        is_joined: True if the stream begins within a run, so that a reader of this stream alone can't use each event.
    """

    rules: ClassVar[Mapping[str, CheckRule]] = {}

    def __init__(self, findings: Findings, framing: Framing) -> None:
        self.findings = findings
        self.framing = framing
        self.is_joined = False

    def violate(self, rule: str, detail: str = "", object_id: object = "") -> None:
        """Count a violation at the place of the current event.

        Args:
            rule: The name of the rule.
            detail: The fact, in words of this library, names of the wire and numbers.
            object_id: The id of the object that it concerns; any value but a text is none.

        Raises:
            KeyError: No rule has this name.
        """
        self.findings.add(self.rules[rule], detail, object_id if isinstance(object_id, str) else "")

    def message(self, message: Message) -> None:
        """Check one message."""

    def answer(self, value: Any) -> None:
        """Check an object that was fetched beside a stream."""

    def other(self, item: RawItem) -> None:
        """Receive an item that has no message: a request, a head, a change of the connection, or damaged input."""

    def end(self) -> None:
        """Check the rules of the end of a stream."""
