"""Fragments as deltas: a piece of one text, and the delta of its message or step that appends it."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from runstream.model.deltas import (
    CodeInterpreterCallDelta,
    CodeInterpreterToolCallDelta,
    FunctionCallDelta,
    FunctionToolCallDelta,
    MessageDelta,
    MessageDeltaBody,
    ReasoningDetailsDelta,
    ReasoningPartDelta,
    RefusalPartDelta,
    RunStepDelta,
    RunStepDeltaBody,
    StepDetailsDelta,
    TextContentDelta,
    TextPartDelta,
    ToolCallDelta,
    ToolCallsDelta,
)

__all__ = ["MESSAGE_TARGETS", "Fragment", "Target", "make_delta", "read_fragment"]

Target: TypeAlias = Literal["text", "refusal", "arguments", "code", "output", "reasoning", "summary"]
"""The kind of a text that grows: text or refusal of a message; arguments, code or output of a call; a part of the
reasoning, or of its summary."""

# The kind of the text, the index of its part or call, and the piece of text.
Fragment: TypeAlias = tuple[Target, int, str]

MESSAGE_TARGETS: Final = ("text", "refusal")


def make_delta(
    object_id: str, target: Target, index: int, text: str, object: str | None = None
) -> MessageDelta | RunStepDelta:
    """The delta of a message or step that appends a fragment.

    Args:
        object_id: The id of the message or step.
        target: The kind of the text.
        index: The index of the content part, of the part of the reasoning, or of the tool call.
        text: The fragment.
        object: The ``object`` of the delta.
    """
    if target == "text":
        part = TextPartDelta(index=index, text=TextContentDelta(value=text, annotations=()))
        return MessageDelta(id=object_id, object=object, delta=MessageDeltaBody(content=(part,)))
    if target == "refusal":
        refusal = RefusalPartDelta(index=index, refusal=text)
        return MessageDelta(id=object_id, object=object, delta=MessageDeltaBody(content=(refusal,)))
    details: StepDetailsDelta
    if target == "reasoning":
        details = ReasoningDetailsDelta(content=(ReasoningPartDelta(index=index, text=text),))
    elif target == "summary":
        details = ReasoningDetailsDelta(summary=(ReasoningPartDelta(index=index, text=text),))
    else:
        details = ToolCallsDelta(tool_calls=(_make_call(target, index, text),))
    return RunStepDelta(id=object_id, object=object, delta=RunStepDeltaBody(step_details=details))


def _make_call(target: Target, index: int, text: str) -> ToolCallDelta:
    """A fragment of a call; it stands for a call of any kind that has arguments and an output."""
    if target == "arguments":
        return FunctionToolCallDelta(index=index, function=FunctionCallDelta(arguments=text))
    if target == "output":
        return FunctionToolCallDelta(index=index, function=FunctionCallDelta(output=text))
    return CodeInterpreterToolCallDelta(index=index, code_interpreter=CodeInterpreterCallDelta(input=text))


def read_fragment(delta: MessageDelta | RunStepDelta) -> Fragment | None:
    """The fragment that a delta appends to one text: the inverse of :func:`make_delta`.

    Returns:
        The kind of the text, the index and the fragment; ``None`` if the delta does anything else.
    """
    body: Any = delta.delta
    if delta._wire is not None or body._wire is not None:
        return None
    if isinstance(delta, MessageDelta):
        parts = body.content
        found = _read_part(parts[0]) if body.role is None and len(parts) == 1 else None
    else:
        details = body.step_details
        if details is None or details._wire is not None:
            return None
        found = None
        if type(details) is ToolCallsDelta:
            calls = details.tool_calls or ()
            found = _read_call(calls[0]) if len(calls) == 1 else None
        elif type(details) is ReasoningDetailsDelta:
            found = _read_reasoning(details)
    return found if found is not None and found[2] else None


def _read_part(part: Any) -> Fragment | None:
    if part._wire is not None:
        return None
    if type(part) is TextPartDelta:
        text = part.text
        if text is None or text._wire is not None or text.annotations:
            return None
        return "text", part.index, text.value or ""
    return ("refusal", part.index, part.refusal or "") if type(part) is RefusalPartDelta else None


def _read_call(call: Any) -> Fragment | None:
    if call._wire is not None:
        return None
    if type(call) is FunctionToolCallDelta:
        function = call.function
        if call.id is not None or function is None or function._wire is not None or function.name is not None:
            return None
        if function.output is None:
            return "arguments", call.index, function.arguments or ""
        return ("output", call.index, function.output) if function.arguments is None else None
    if type(call) is CodeInterpreterToolCallDelta:
        code = call.code_interpreter
        if call.id is None and code is not None and code._wire is None and not code.outputs:
            return "code", call.index, code.input or ""
    return None


def _read_reasoning(details: ReasoningDetailsDelta) -> Fragment | None:
    parts = details.content or details.summary
    if len(parts) != 1 or parts[0]._wire is not None or (details.content and details.summary):
        return None
    return ("reasoning" if details.content else "summary"), parts[0].index, parts[0].text or ""
