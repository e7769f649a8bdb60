"""The ends of responses: what they say of the run, once it is certain."""

from __future__ import annotations

from typing import Final

from runstream.dialects.responses_action import ANSWERED, action_of
from runstream.dialects.responses_items import close_item, end_items
from runstream.dialects.responses_links import Links
from runstream.dialects.responses_run import error_of, incomplete_reason, run_of
from runstream.dialects.responses_state import Response
from runstream.dialects.responses_wire import Json, list_of, text_of
from runstream.model.actions import CallsAction
from runstream.model.common import ErrorObject
from runstream.model.events import CustomEvent, ErrorEvent, Event, RunEvent
from runstream.model.frozen import freeze

__all__ = ["ENDS", "end_response", "end_steering", "run_event", "settle"]

# Fields of a response that an application may act on, and that a run has no field for.
_ASIDE: Final = ("moderation", "content_filters")

ENDS: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""The statuses of a response that has ended."""


def run_event(
    response: Response,
    status: str,
    name: str,
    id: str | None,
    *,
    action: CallsAction | None = None,
    created: bool = False,
) -> RunEvent:
    """The event with the run as a response shows it.

    Args:
        response: The response.
        status: The status of the run.
        name: The name of the event.
        id: The identity of the event.
        action: The action that the run waits for.
        created: True if the source begins the run.
    """
    shown, shown_status, run = response.run
    if run is None or action is not None or shown is not response.value or shown_status != status:
        run = run_of(response.value, response.run_id, status, action, response.tools)
        response.run = (response.value if action is None else None, status, run)
    return RunEvent(run, id, run_id=response.run_id, created=created, name=name, piece=response.id)


def end_response(response: Response, status: str, name: str, id: str | None, links: Links) -> list[Event]:
    """End a response: the items that the stream left out or open, then the run.

    Args:
        response: The response.
        status: Its status.
        name: The name of the event.
        id: The identity of the event.
        links: The links of the source; receives that of a steered response to its successor.
    """
    is_first, response.has_ended = not response.has_ended, True
    if response.error is not None and status == "failed" and not response.value.get("error"):
        response.value = {**response.value, "error": response.error}  # the cause is in the event before
    response.error = None
    events: list[Event] = _contradict(response, status, id)
    output = response.value.get("output")
    shown = list_of(output)
    taken = {response.by_id[known] for known in _ids_of(shown, "id") if known in response.by_id}
    call_ids = _ids_of(shown, "call_id")
    taken |= {item for item in response.items if text_of(item.value.get("call_id")) in call_ids}
    for position, value in enumerate(output if isinstance(output, list) else ()):
        if isinstance(value, dict):
            item = response.match(value, position, taken)
            if item is None:
                item = response.add(text_of(value.get("id")), None, value)
            taken.add(item)
            if not item.closed:
                if status != "completed" and item.type in ANSWERED:
                    value = {**value, "status": "incomplete"}  # noqa: PLW2901 - it is not to be executed
                events += close_item(response, item, value, name, id)
    if status == "completed":
        for item in response.items:
            if item.is_whole and not item.closed:  # the server closes no items, or its event was lost
                events += close_item(response, item, {**item.value, "status": "completed"}, name, id)
    response.is_open = False  # only now: a call that no item answers is not closed before it is known how it ends
    events += end_items(response, status, name, id)
    for field in _ASIDE:
        if not response.is_again and (is_first or id is not None) and (found := response.value.get(field)):
            events.append(CustomEvent(freeze(found), id, run_id=response.run_id, name=field))
    action = None
    if status == "completed":
        action = action_of(((item.value, item.closed) for item in response.items), response.offered)
    is_steered = response.steered or (status == "incomplete" and incomplete_reason(response.value) == "steered")
    if action is not None:
        status = "requires_action"
    elif is_steered and status in ("completed", "incomplete"):
        # A successor follows, and names this response.
        response.deferred, status = status, "in_progress"
        links.steered[response.id] = response.run_id
    response.ended_as = response.ended_as if response.ended_as in ENDS else status
    events.append(run_event(response, status, name, id, action=action))
    return events


def _ids_of(items: list[Json], name: str) -> set[str]:
    """The ids of items under a name."""
    return {found for item in items if (found := text_of(item.get(name))) is not None}


def _contradict(response: Response, status: str, id: str | None) -> list[Event]:
    """The report of a second end of a response whose run has ended otherwise; the first end counts."""
    if response.ended_as not in ENDS or response.ended_as == status or response.is_again:
        return []
    response.contradicted = response.contradicted or (id,)
    if response.contradicted != (id,):
        return []
    value = response.value.get("error")
    error = error_of(value) if value else ErrorObject(code="event_after_end")
    return [ErrorEvent(error, id, run_id=response.run_id, name="error")]


def end_steering(response: Response, links: Links) -> list[Event]:
    """The end of a response that was deferred, since no other response takes its place."""
    if response.deferred is None:
        return []
    status, response.deferred = response.deferred, None
    links.steered.pop(response.id, None)
    return [run_event(response, status, f"response.{status}", None)]


def settle(response: Response, links: Links) -> list[Event]:
    """The end of a response by an error, if no further event of the response has followed it."""
    if response.error is None:
        return []
    response.value = {**response.value, "error": response.error}
    return end_response(response, "failed", "error", None, links)
