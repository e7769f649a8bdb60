"""Signals of progress: a piece of a text that grows. Each names a place of its text, and no fact of its own."""

from __future__ import annotations

from typing import Final, Literal

from runstream.model.keys import escape_id
from runstream.model.signal_base import RunSignal

__all__ = [
    "PROGRESS",
    "ArgumentsDelta",
    "ProgressSignal",
    "ReasoningDelta",
    "RefusalDelta",
    "TextDelta",
    "ToolCallOutputDelta",
]


class ProgressSignal(RunSignal, frozen=True, gc=False):
    """Base of the signals of texts, reasoning, arguments and outputs that grow: all that is no fact of its own."""


class TextDelta(ProgressSignal, frozen=True, gc=False, tag="message.text"):
    """Text was appended to a content part of a message.

    Attributes:
        message_id: The id of the message.
        part: The index of the content part.
        offset: The length of its text (characters) before ``delta`` was appended.
        delta: The text that was appended.
    """

    message_id: str
    part: int
    offset: int
    delta: str

    @property
    def key(self) -> str:
        return f"{self.run_key}/message/{escape_id(self.message_id)}/text/{self.part}/{self.offset}"


class RefusalDelta(ProgressSignal, frozen=True, gc=False, tag="message.refusal"):
    """Text was appended to a refusal in a message: the model declines to answer.

    Attributes:
        message_id: The id of the message.
        part: The index of the content part.
        offset: The length of its refusal (characters) before ``delta`` was appended.
        delta: The text that was appended.
    """

    message_id: str
    part: int
    offset: int
    delta: str

    @property
    def key(self) -> str:
        return f"{self.run_key}/message/{escape_id(self.message_id)}/refusal/{self.part}/{self.offset}"


class ReasoningDelta(ProgressSignal, frozen=True, gc=False, tag="reasoning.text"):
    """Text was appended to the reasoning of a step, or to its summary.

    Attributes:
        step_id: The id of the step.
        part: The index of the part.
        offset: The length of its text (characters) before ``delta`` was appended.
        delta: The text that was appended.
        kind: ``reasoning`` or ``summary``.
    """

    step_id: str
    part: int
    offset: int
    delta: str
    kind: Literal["reasoning", "summary"] = "reasoning"

    @property
    def key(self) -> str:
        return f"{self.run_key}/step/{escape_id(self.step_id)}/{self.kind}/{self.part}/{self.offset}"


class ArgumentsDelta(ProgressSignal, frozen=True, gc=False, tag="tool_call.arguments"):
    """Arguments (or code) were appended to a tool call.

    Attributes:
        call_id: The id of the call.
        offset: The length of the arguments (characters) before ``delta`` was appended.
        delta: The text that was appended.
        call_key: The key of the call.
    """

    call_id: str
    offset: int
    delta: str
    call_key: str

    @property
    def key(self) -> str:
        return f"{self.call_key}/arguments/{self.offset}"


class ToolCallOutputDelta(ProgressSignal, frozen=True, gc=False, tag="tool_call.output"):
    """Output was appended to a tool call.

    Attributes:
        call_id: The id of the call.
        offset: The length of the output (characters) before ``delta`` was appended.
        delta: The text that was appended.
        call_key: The key of the call.
    """

    call_id: str
    offset: int
    delta: str
    call_key: str

    @property
    def key(self) -> str:
        return f"{self.call_key}/output/{self.offset}"


PROGRESS: Final[frozenset[type]] = frozenset(
    {TextDelta, RefusalDelta, ReasoningDelta, ArgumentsDelta, ToolCallOutputDelta}
)
"""The signals of progress. They are not stored, and a slow consumer may receive several joined to one."""
