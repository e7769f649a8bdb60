"""The calls of a response that wait for the application.

The type of an item alone does not decide: a call that another item of the response answers does not wait, nor one that
the server itself runs, nor one whose arguments may be cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from runstream.dialects.responses_calls import OWN_FIELDS, arguments_of
from runstream.dialects.responses_wire import Json, list_of, map_of, text_of
from runstream.model.actions import ActionCall, CallsAction

__all__ = ["ANSWERED", "action_of", "answers_of", "awaited_call"]

_KINDS: Final[Mapping[str, str]] = {
    "function_call": "function",
    "custom_tool_call": "custom",
    "mcp_approval_request": "approval",
    "local_shell_call": "shell",
    "shell_call": "shell",
    "apply_patch_call": "patch",
    "computer_call": "computer",
    "tool_search_call": "tool_search",
}

ANSWERED: Final = frozenset(_KINDS) | {"program"}
"""The types of calls that are answered by another item: of the same response, or of the next request."""

_CONTAINERS: Final = frozenset({"container_reference", "container_auto", "container"})


def answers_of(items: Iterable[Json]) -> Iterator[str]:
    """The ids of the calls and approvals that items answer.

    Args:
        items: Items of a response or of a request.
    """
    for item in items:
        type = text_of(item.get("type")) or ""
        name = "call_id" if type.endswith("_output") else "approval_request_id"
        id = text_of(item.get(name))
        if id is None and type == "local_shell_call_output":
            id = text_of(item.get("id"))
        if id and (type.endswith("_output") or type in ("mcp_approval_response", "mcp_call")):
            yield id


def awaited_call(item: Json, response: Json) -> ActionCall | None:
    """The call that the application owes an answer to; ``None`` if the server runs it.

    Args:
        item: The output item.
        response: Its response, with the tools that were offered.
    """
    type = text_of(item.get("type")) or ""
    kind = _KINDS.get(type)
    id = text_of(item.get("call_id")) or text_of(item.get("id"))
    if kind is None or id is None or item.get("status") == "incomplete":
        return None
    name = text_of(item.get("name"))
    tools = response.get("tools")
    if type == "custom_tool_call" and isinstance(tools, list) and tools and name not in _custom_names(tools):
        return None  # a tool of the server, shown as a custom call
    if type == "tool_search_call" and item.get("execution") != "client":
        return None
    if type == "shell_call" and text_of(map_of(item.get("environment")).get("type")) in _CONTAINERS:
        return None
    data = {key: value for key, value in item.items() if key not in OWN_FIELDS and value not in (None, [], {})}
    if kind not in ("function", "custom"):
        data = {"type": type, "id": item.get("id"), **data}  # the answer of a shell call needs both
    return ActionCall(id=id, kind=kind, name=name, arguments=arguments_of(item), data=data or None)


def _custom_names(tools: object) -> set[str | None]:
    """The names of the custom tools, also of those in a namespace."""
    found: set[str | None] = set()
    for tool in list_of(tools):
        if tool.get("type") == "custom":
            found.add(text_of(tool.get("name")))
        elif tool.get("type") == "namespace":
            found |= _custom_names(tool.get("tools"))
    return found


def action_of(items: Iterable[tuple[Json, bool]], response: Json) -> CallsAction | None:
    """The action that a completed response waits for; ``None`` if it waits for none.

    A call that was announced, and whose end was lost, waits too, but is not offered: its arguments may be cut.

    Args:
        items: The items of the response, each with True if it was sent whole.
        response: The response, with the tools that were offered.
    """
    known = list(items)
    answered = set(answers_of(item for item, _ in known))
    awaited = [
        (call, whole)
        for item, whole in known
        if (call := awaited_call(item, response)) is not None and not answered.intersection(_names_of(item, call))
    ]
    return CallsAction(calls=tuple([call for call, whole in awaited if whole])) if awaited else None


def _names_of(item: Json, call: ActionCall) -> tuple[str, ...]:
    """The ids by which an item answers a call: the output of a local shell names its call by either id."""
    id = text_of(item.get("id"))
    return (call.id, id) if id is not None and item.get("type") == "local_shell_call" else (call.id,)
