"""Required actions: what a run waits for. They contain the calls that need an output, an approval or an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from msgspec import structs

from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Tagged
from runstream.model.frozen import ABSENT_LIST, FrozenList, FrozenMap, freeze, thaw
from runstream.model.tool_calls import FunctionCall, FunctionToolCall, GenericToolCall, ToolCall, UnknownToolCall

__all__ = [
    "ActionCall",
    "CallsAction",
    "RequiredAction",
    "SubmitToolApproval",
    "SubmitToolApprovalAction",
    "SubmitToolOutputs",
    "SubmitToolOutputsAction",
    "UnknownAction",
    "kind_of_call",
]


class SubmitToolOutputs(WireStruct, frozen=True, kw_only=True):
    """The calls that wait for outputs.

    Attributes:
        tool_calls: The calls, in the order of the wire; empty if absent or null.
    """

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolOutputsAction(Tagged, frozen=True, kw_only=True, tag="submit_tool_outputs"):
    """The run waits for the outputs of function calls.

    Attributes:
        submit_tool_outputs: The object with the calls; required.
    """

    submit_tool_outputs: SubmitToolOutputs

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_outputs.tool_calls


class SubmitToolApproval(WireStruct, frozen=True, kw_only=True):
    """The calls that wait for approval (Azure).

    Attributes:
        tool_calls: The calls, in the order of the wire; empty if absent or null.
    """

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolApprovalAction(Tagged, frozen=True, kw_only=True, tag="submit_tool_approval"):
    """The run waits for the approval of tool calls (Azure).

    Attributes:
        submit_tool_approval: The object with the calls; required.
    """

    submit_tool_approval: SubmitToolApproval

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_approval.tool_calls


class ActionCall(WireStruct, frozen=True, kw_only=True):
    """A call of a :class:`CallsAction`.

    An absent ``id`` or ``kind`` is empty; another field that is absent or null is ``None``.

    Attributes:
        id: The id under which the run expects the answer; "" if the wire has none.
        kind: ``function``, ``custom``, ``approval``, ``interrupt``, ``shell``, ``patch``, ``computer``,
            ``tool_search``, or any other.
        name: The name of the tool. An interrupt has the name of the call that it asks about.
        arguments: The arguments as the wire has them: JSON text, or the text of a custom tool.
        data: Further fields of the call: any JSON value, read-only.
        response_schema: The JSON Schema of the answer, read-only; ``None`` if the wire has none.
    """

    id: str
    kind: str
    name: str | None = None
    arguments: str | None = None
    data: Any = None
    response_schema: Any = None

    _fallbacks: ClassVar[Mapping[str, Any]] = {"id": "", "kind": ""}

    def __post_init__(self) -> None:
        for name in ("data", "response_schema"):
            if type(value := getattr(self, name)) in (dict, list):
                structs.force_setattr(self, name, freeze(thaw(value)))

    def __repr__(self) -> str:
        return f"ActionCall(id={self.id!r}, kind={self.kind!r}, name={self.name!r})"

    @property
    def tool_call(self) -> ToolCall:
        """The call as a tool call: of a function, or generic."""
        if self.kind == "function":
            return FunctionToolCall(id=self.id, function=FunctionCall(name=self.name, arguments=self.arguments))
        return GenericToolCall(
            id=self.id,
            type=self.kind,
            name=self.name,
            arguments=self.arguments,
            data=self.data,
            response_schema=self.response_schema,
        )


class CallsAction(Tagged, frozen=True, kw_only=True, tag="action"):
    """The run waits for answers to calls of any kind: the action of a protocol whose runs have no required action.

    Attributes:
        calls: The calls, in the order of the wire; empty if there are none.
    """

    calls: tuple[ActionCall, ...] = ABSENT_LIST

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait, as tool calls."""
        return tuple([call.tool_call for call in self.calls])


class UnknownAction(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other required action, as received."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of the action, if it has a list of objects in the place where the known actions have one."""
        inner = self.raw.get(self.type)
        calls = inner.get("tool_calls") if isinstance(inner, FrozenMap) else None
        if not isinstance(calls, FrozenList):
            return ()
        return tuple(UnknownToolCall(raw=call) for call in calls if isinstance(call, FrozenMap))


RequiredAction: TypeAlias = SubmitToolOutputsAction | SubmitToolApprovalAction | CallsAction | UnknownAction
"""What a run waits for, in a class by its ``type``. Each has ``tool_calls``."""


def kind_of_call(action: RequiredAction | None, call: ToolCall) -> str:
    """The kind of answer that a call waits for: ``function``, ``approval``, or another (:class:`ActionCall`).

    Args:
        action: The required action.
        call: One of its ``tool_calls``.
    """
    return "approval" if isinstance(action, SubmitToolApprovalAction) else call.type
