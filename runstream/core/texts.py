"""The texts of a message or step, as far as they are known: refusals, reasoning, arguments and outputs of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from runstream.core.object_list import ObjectState
from runstream.core.step_calls import StepCall, step_calls
from runstream.core.text import Text
from runstream.core.text_changes import get_path
from runstream.model.message import Message, RefusalPart
from runstream.model.step import ReasoningDetails, ReasoningPart, RunStep
from runstream.model.tool_calls import CodeInterpreterToolCall, FunctionToolCall, GenericToolCall

__all__ = ["TextsOf", "argument_texts", "output_texts", "reasoning_texts", "refusal_texts", "summary_texts"]

TextsOf: TypeAlias = Callable[[ObjectState], Mapping[int, Text | str]]
"""Finds the texts of the parts of an object, by the index of the part."""

# The places of the arguments (or code) and of the output, by the type of the call. Other types have them themselves.
_ARGUMENTS: Final = {
    "function": ("function", "arguments"),
    "code_interpreter": ("code_interpreter", "input"),
    "connected_agent": ("connected_agent", "arguments"),
}
_OUTPUTS: Final = {"function": ("function", "output"), "connected_agent": ("connected_agent", "output")}


def refusal_texts(item: ObjectState) -> Mapping[int, Text | str]:
    """The refusals of a message."""
    if item.parts is not None and "content" in item.parts:
        return _part_texts(item.parts["content"], "refusal")
    if not isinstance(item.full, Message):
        return {}
    content = item.full.content
    return {index: part.refusal or "" for index, part in enumerate(content) if type(part) is RefusalPart}


def reasoning_texts(item: ObjectState) -> Mapping[int, Text | str]:
    """The parts of the reasoning of a step."""
    return _details_texts(item, "content")


def summary_texts(item: ObjectState) -> Mapping[int, Text | str]:
    """The parts of the summary of a step's reasoning."""
    return _details_texts(item, "summary")


def argument_texts(item: ObjectState | None) -> Iterator[tuple[StepCall, Text | str]]:
    """The arguments or code of each tool call of a step, with the call."""
    for call, known, nodes in _calls(item):
        if nodes is not None:
            if (text := _text_of(nodes, _ARGUMENTS, "arguments")) is not None:
                yield call, text
        elif isinstance(known, FunctionToolCall | CodeInterpreterToolCall | GenericToolCall):
            yield call, known.arguments or ""


def output_texts(item: ObjectState | None) -> Iterator[tuple[StepCall, Text | str]]:
    """The output of each tool call of a step, with the call."""
    for call, known, nodes in _calls(item):
        if nodes is not None:
            if (text := _text_of(nodes, _OUTPUTS, "output")) is not None:
                yield call, text
        elif known.output:
            yield call, known.output


def _calls(item: ObjectState | None) -> Iterator[tuple[StepCall, Any, Any]]:
    """Each call of a step: as it is named, as it is in the full step, and its nodes if deltas built some."""
    if item is None:
        return
    calls = step_calls(item)
    if item.parts is not None and "step_details" in item.parts:
        nodes = get_path(item.parts["step_details"], "tool_calls")
        for call in calls:
            yield call, None, nodes.get(call.index) or {}
    elif isinstance(item.full, RunStep):
        for call, known in zip(calls, item.full.tool_calls, strict=True):
            yield call, known, None


def _details_texts(item: ObjectState, name: str) -> Mapping[int, Text | str]:
    if item.parts is not None and "step_details" in item.parts:
        details = item.parts["step_details"]
        if get_path(details, "type") != "reasoning":
            return {}
        return _part_texts(get_path(details, name), "text")
    details = item.full.step_details if isinstance(item.full, RunStep) else None
    if not isinstance(details, ReasoningDetails):
        return {}
    parts: tuple[ReasoningPart, ...] = getattr(details, name)
    return {index: part.text or "" for index, part in enumerate(parts)}


def _part_texts(nodes: Any, name: str) -> Mapping[int, Text]:
    if not isinstance(nodes, dict):
        return {}
    found = {index: get_path(node, name) for index, node in sorted(nodes.items())}
    return {index: text for index, text in found.items() if isinstance(text, Text)}


def _text_of(node: Any, places: Mapping[str, tuple[str, ...]], name: str) -> Text | None:
    """The text of a call at the place that its type has; of a call without a type at the first place that has one."""
    kind = get_path(node, "type")
    if isinstance(kind, str):
        found = [get_path(node, *places.get(kind, (name,)))]
    else:
        found = [get_path(node, *place) for place in (*places.values(), (name,))]
    return next((text for text in found if isinstance(text, Text)), None)
