"""Events of the Responses wire beside the items of a response: refusals, steering, and events of one server only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runstream.dialects.responses_end import end_steering
from runstream.dialects.responses_items import answer_call
from runstream.dialects.responses_links import Links
from runstream.dialects.responses_run import error_of
from runstream.dialects.responses_state import Item, Response
from runstream.dialects.responses_wire import Json, map_of, text_of
from runstream.model.events import CustomEvent, EmptyEvent, ErrorEvent, Event, UnknownEvent
from runstream.model.frozen import freeze
from runstream.model.raw import RawEvent

__all__ = ["AGENT_ITEM", "REFUSALS", "decode_output", "decode_private", "decode_steering"]

REFUSALS: Final = frozenset(
    {
        "previous_response_not_found",
        "invalid_stream_id",
        "websocket_stream_limit_reached",
        "websocket_connection_limit_reached",
        "response_not_found",
        "response_not_active",
        "response_already_completed",
    }
)
"""The codes of errors that concern a request or the connection, and never an open response."""

AGENT_ITEM: Final = "run_item_stream_event"
"""The name under which an agent in the same process (OpenAI Agents SDK) passes an item on that it has made."""

_FRAME: Final = ("type", "sequence_number", "stream_id")


def decode_steering(
    value: Json, name: str, id: str | None, response: Response | None, known: Sequence[Response], links: Links
) -> Event | list[Event]:
    """Decode an event about a request to change a running response.

    Args:
        value: The event.
        name: Its name.
        id: Its identity.
        response: The latest response of its lane.
        known: The responses of all lanes.
        links: The links of the source.
    """
    named = text_of(map_of(value.get("steer")).get("previous_response_id")) or text_of(value.get("response_id"))
    found = next((each for each in reversed(known) if named in each.ids), None)
    if found is None and named is None:
        found = response
    run_id = found.run_id if found is not None else None
    kind, _, what = name.removeprefix("response.").partition(".")
    if what == "failed":
        events: list[Event] = [ErrorEvent(error_of(value), id, run_id=run_id, name=name)]
        if found is not None and kind == "steer":
            found.steered = False
            events += end_steering(found, links)
        return events
    if what == "accepted" and found is not None and found.is_open:
        found.steered = True
    return EmptyEvent(id=id, run_id=run_id, name=name)


def decode_private(raw: RawEvent, value: Json, name: str, id: str | None, response: Response) -> Event:
    """Decode an event of one server only, or an unknown one of the protocol."""
    if name and response.is_open and (not name.startswith("response.") or name == "response.metadata"):
        fields = {key: field for key, field in value.items() if key not in _FRAME}
        return CustomEvent(freeze(fields), id, run_id=response.run_id, name=name)
    return UnknownEvent(raw.data, id, run_id=response.run_id, name=name)


def decode_output(value: Json, response: Response | None) -> list[Event]:
    """The events with the output of a call that an agent in the same process has executed; none if it is no output.

    Args:
        value: The event.
        response: The latest response.
    """
    item = map_of(map_of(value.get("item")).get("raw_item"))
    if response is None or not (text_of(item.get("type")) or "").endswith("_output"):
        return []
    return answer_call(response, Item("", None, item), AGENT_ITEM, None)
