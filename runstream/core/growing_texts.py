"""The texts that grow, by kind: their places in the nodes of an object, and the signals of their fragments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from runstream.core.merge import index_of, is_indexed
from runstream.model.deltas import (
    CodeInterpreterToolCallDelta,
    FunctionToolCallDelta,
    GenericToolCallDelta,
    McpToolCallDelta,
    ReasoningDetailsDelta,
    RefusalPartDelta,
    TextPartDelta,
    ToolCallsDelta,
)
from runstream.model.fragments import Target
from runstream.model.signals import ArgumentsDelta, ReasoningDelta, RefusalDelta, TextDelta, ToolCallOutputDelta

__all__ = ["CALL_TARGETS", "REASONING_TARGETS", "SIGNALS", "fit_calls", "is_text_of", "last_target", "path_of"]

Path: TypeAlias = tuple[Any, ...]

CALL_TARGETS: Final = frozenset({"arguments", "code", "output"})
REASONING_TARGETS: Final = frozenset({"reasoning", "summary"})

SIGNALS: Final[dict[str, Callable[..., Any]]] = {
    "text": TextDelta,
    "refusal": RefusalDelta,
    "reasoning": ReasoningDelta,
    "summary": partial(ReasoningDelta, kind="summary"),
    "arguments": ArgumentsDelta,
    "code": ArgumentsDelta,
    "output": ToolCallOutputDelta,
}
"""The constructor of the signals of each kind, with the arguments of
:attr:`runstream.core.state.GrowingText.signal`."""

# The key of the object with the arguments and the output of a call; the calls of other types have them themselves.
_BODIES: Final = {"function": "function", "connected_agent": "connected_agent"}
_FLAT: Final = frozenset({"generic", "mcp"})


def last_target(body: Any) -> tuple[Target, int] | None:
    """The text to which a delta appends last.

    Args:
        body: The ``delta`` of a message or step.

    Returns:
        Its kind and the index of its part or call; ``None`` if the delta appends to no text of a known kind.
    """
    content = getattr(body, "content", None)
    if content:
        part = content[-1]
        if type(part) is TextPartDelta:
            return "text", part.index
        return ("refusal", part.index) if type(part) is RefusalPartDelta else None
    details = getattr(body, "step_details", None)
    if type(details) is ReasoningDetailsDelta:
        if details.content:
            return "reasoning", details.content[-1].index
        return ("summary", details.summary[-1].index) if details.summary else None
    if type(details) is not ToolCallsDelta or not details.tool_calls:
        return None
    call = details.tool_calls[-1]
    if type(call) is CodeInterpreterToolCallDelta:
        return "code", call.index
    inner: Any = call.function if type(call) is FunctionToolCallDelta else call
    if type(call) not in (FunctionToolCallDelta, GenericToolCallDelta, McpToolCallDelta):
        return None
    return ("output" if getattr(inner, "output", None) else "arguments"), call.index  # type: ignore[union-attr]


def is_text_of(parts: Any, target: Target, index: int) -> bool:
    """True if the object has a text of this kind: arguments are of no call of code, reasoning is of no step of calls.

    Args:
        parts: The nodes of the object.
        target: The kind of the text.
        index: The index of its part or call.
    """
    if target in CALL_TARGETS:
        kind = _type_of(parts, index)
        return not kind or (kind == "code_interpreter") is (target == "code")
    if target in REASONING_TARGETS:
        details = parts.get("step_details")
        return isinstance(details, dict) and details.get("type") == "reasoning"
    return True


def path_of(parts: Any, target: Target, index: int) -> Path:
    """The keys that lead to a text in the nodes of its object.

    Args:
        parts: The nodes.
        target: The kind of the text.
        index: The index of its part or call.
    """
    match target:
        case "text":
            return ("content", index, "text", "value")
        case "refusal":
            return ("content", index, "refusal")
        case "reasoning":
            return ("step_details", "content", index, "text")
        case "summary":
            return ("step_details", "summary", index, "text")
        case "code":
            return ("step_details", "tool_calls", index, "code_interpreter", "input")
    kind = _type_of(parts, index)
    if kind in _FLAT:
        return ("step_details", "tool_calls", index, target)
    return ("step_details", "tool_calls", index, _BODIES.get(kind, "function"), target)


def fit_calls(delta: dict[str, Any], parts: Any) -> dict[str, Any]:
    """Move arguments and outputs in a delta to the places where the calls have them that are known under its indices.

    A fragment that names no type (:func:`runstream.model.fragments.make_delta`) stands in a delta of a function.

    Args:
        delta: The delta of a step, as JSON builtins.
        parts: The nodes of the step so far.

    Returns:
        The delta; the same object if all calls are of the known types.
    """
    details = delta.get("step_details")
    calls = details.get("tool_calls") if isinstance(details, dict) else None
    if not isinstance(calls, list) or not parts:
        return delta
    fitted = [
        _fit(call, _type_of(parts, index_of(call, position))) if isinstance(call, dict) else call
        for position, call in enumerate(calls)
    ]
    if all(new is old for new, old in zip(fitted, calls, strict=True)):
        return delta
    return {**delta, "step_details": {**details, "tool_calls": fitted}}  # type: ignore[dict-item]


def _fit(call: dict[str, Any], kind: str) -> dict[str, Any]:
    body = call.get("function")
    if call.get("type") != "function" or not isinstance(body, dict) or kind not in (*_FLAT, "connected_agent"):
        return call
    rest = {name: value for name, value in call.items() if name not in ("type", "function")}
    return {**rest, **body} if kind in _FLAT else {**rest, kind: body}


def _type_of(parts: Any, index: int) -> str:
    """The type of the call at an index; "" if it is unknown."""
    details = parts.get("step_details") if isinstance(parts, dict) else None
    calls: Any = details.get("tool_calls") if isinstance(details, dict) else None
    call = calls.get(index) if is_indexed(calls) else None
    kind = call.get("type") if isinstance(call, dict) else None
    return kind if isinstance(kind, str) else ""
