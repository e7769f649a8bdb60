"""The rules of every stream: its framing, its JSON, its HTTP response, and whether a reader can use it."""

from __future__ import annotations

from typing import Final

from runstream.checker.rules import breaks, note, rule_table

__all__ = ["COMMON_RULES"]

COMMON_RULES: Final = rule_table(
    "all",
    (
        breaks("http_status", "response", "The response has a status of 200 to 299."),
        breaks("content_type", "response", "The response has the content type text/event-stream."),
        breaks("connection", "response", "The connection lasts until the end of the stream."),
        breaks("no_events", "stream", "A stream has events."),
        breaks("unknown_protocol", "stream", "An event shows the protocol of its stream."),
        breaks("utf8", "framing", "A stream is UTF-8."),
        breaks("json_without_data", "framing", "JSON is behind `data:`; readers skip a line of it."),
        breaks("blank_line", "framing", "A blank line separates events; a block has one `event:`."),
        breaks("event_without_data", "framing", "An event has data; readers drop one without."),
        breaks("unfinished_event", "framing", "A blank line ends the last event; readers drop one without."),
        note("unknown_field", "framing", "Readers skip a line that is no comment and no field of an event stream."),
        note("retry_value", "framing", "Readers skip a `retry:` that is no number of milliseconds."),
        note("id_value", "framing", "Readers skip an `id:` with a null character."),
        breaks("json", "message", "The data of an event are JSON."),
        breaks("json_object", "message", "The data of an event are a JSON object."),
        breaks(
            "double_encoding", "message", "The data are JSON, and not JSON text within a JSON text or `data:` twice."
        ),
        note("message_size", "message", "Readers have bounds for the size and the depth of a message."),
        breaks("unreadable_event", "message", "A tolerant reader can use each event."),
    ),
)
"""The rules of every stream, by name."""
