"""The rules of the Responses protocol, and the fields of its events (OpenAI's description of its API, 2026-08)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runstream.checker.rules import breaks, note, rule_table

__all__ = ["FIELDS", "RESPONSES_RULES", "SNAPSHOTS", "TERMINAL", "is_known_type"]

RESPONSES_RULES: Final = rule_table(
    "responses",
    (
        breaks("event_name", "event", "Over server-sent events, `event:` repeats the type."),
        breaks("type_missing", "event", "An event has a type."),
        breaks("field_missing", "event", "An event has the fields that readers place it by."),
        note("known_type", "event", "A type that the description lacks is unknown to most readers."),
        note("keepalive", "event", "`keepalive` is no type of the description; strict readers reject it."),
        note("item_id_absent", "event", "An event of a shell has no item_id; its place follows from the index alone."),
        note("done_marker", "stream", "`[DONE]` is not JSON; the description has none, Open Responses demands it."),
        breaks("first_event", "stream", "A stream begins with response.created, unless a reader resumes it."),
        note("resumed_stream", "stream", "A stream that begins within a response has no response.created."),
        breaks("terminal_event", "response", "A response ends with completed, incomplete or failed."),
        breaks("one_terminal_event", "response", "A response has one terminal event."),
        breaks("event_after_end", "response", "No event of a response follows its end."),
        breaks("created_once", "response", "A response is created once."),
        breaks("response_id", "response", "A response has one id."),
        breaks("response_status", "response", "The status of a response is that of its event."),
        breaks("response_fields", "response", "A response object has all required fields."),
        note("usage_absent", "response", "A response object without `usage` breaks readers that expect a null."),
        note("fractional_time", "response", "A time with fractions breaks readers that expect whole seconds."),
        note("truncated_but_completed", "response", "A response that used all its tokens may be cut, not completed."),
        breaks("failure_reason", "response", "A failed response has an error, an incomplete one a reason."),
        note("error_form", "error", "An error inside `error` breaks readers that expect its fields beside `type`."),
        note("error_repeated", "error", "An error and response.failed report one failure twice."),
        breaks("sequence_number", "number", "Every event has a sequence_number."),
        breaks("sequence_start", "number", "The numbers of a response start at 0."),
        breaks("sequence_growth", "number", "The numbers of a response grow."),
        breaks("sequence_gap", "number", "The numbers of a response have no gap."),
        breaks("item_added", "item", "An item is added before its events."),
        breaks("item_added_once", "item", "An item is added once."),
        breaks("item_id", "item", "The events of an item have its id."),
        breaks("item_index", "item", "The events of an item have its output_index."),
        breaks("index_shared", "item", "Each item has an output_index of its own."),
        breaks("item_done", "item", "Every item is done before its response is completed."),
        breaks("event_after_item", "item", "No event of an item follows its output_item.done."),
        note("items_overlap", "item", "Items that overlap break readers with one current item."),
        note("item_status", "item", "An item of a completed response whose status says otherwise."),
        breaks("part_added", "part", "A part is added before its text."),
        breaks("part_done", "part", "Every part is done before its item."),
        breaks("text_done", "part", "A text that grows has its event with the whole text."),
        breaks("text_whole", "part", "A whole text is equal to its deltas."),
        note("text_without_deltas", "part", "A whole text without deltas breaks readers that show deltas alone."),
        breaks("output_complete", "output", "The output of an ended response has every item that was streamed."),
        breaks("output_streamed", "output", "Every item of the output of an ended response was streamed."),
        breaks("call_id", "call", "A call that the client answers has a call_id."),
        breaks("call_id_once", "call", "The calls of a response have different call ids."),
        note("call_id_counted", "call", "Call ids that are counted occur again in other conversations."),
        breaks("arguments_json", "call", "The arguments of a function call are JSON."),
        note("arguments_cut", "call", "The arguments of a call in an incomplete response are cut."),
        note(
            "call_of_server", "call", "A custom call of no offered tool is run by the server; readers may wait for it."
        ),
    ),
)

SNAPSHOTS: Final = frozenset(
    {f"response.{name}" for name in ("created", "queued", "in_progress", "completed", "incomplete", "failed")}
)
TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})

_ITEM: Final = ("item_id", "output_index")
_PART: Final = (*_ITEM, "content_index")
_SUMMARY: Final = (*_ITEM, "summary_index")


def _texts(fields: tuple[str, ...], **names: str) -> dict[str, tuple[str, ...]]:
    """The fields of a pair of events: a delta, and the whole text under its key."""
    table: dict[str, tuple[str, ...]] = {}
    for name, key in names.items():
        table[f"response.{name}.delta"] = (*fields, "delta")
        table[f"response.{name}.done"] = (*fields, key)
    return table


def _steps(**names: str) -> dict[str, tuple[str, ...]]:
    """The fields of the events with the progress of a tool of the server."""
    return {f"response.{name}.{step}": _ITEM for name, steps in names.items() for step in steps.split()}


FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(SNAPSHOTS, ("response",)),
    "response.output_item.added": ("output_index", "item"),
    "response.output_item.done": ("output_index", "item"),
    "response.content_part.added": (*_PART, "part"),
    "response.content_part.done": (*_PART, "part"),
    "response.reasoning_summary_part.added": (*_SUMMARY, "part"),
    "response.reasoning_summary_part.done": (*_SUMMARY, "part"),
    "response.output_text.annotation.added": (*_PART, "annotation_index", "annotation"),
    **_texts(_PART, output_text="text", refusal="refusal", reasoning_text="text"),
    **_texts(_SUMMARY, reasoning_summary_text="text"),
    **_texts(
        _ITEM,
        function_call_arguments="arguments",
        custom_tool_call_input="input",
        mcp_call_arguments="arguments",
        code_interpreter_call_code="code",
    ),
    **_steps(
        mcp_call="in_progress completed failed",
        mcp_list_tools="in_progress completed failed",
        web_search_call="in_progress searching completed",
        file_search_call="in_progress searching completed",
        code_interpreter_call="in_progress interpreting completed",
        image_generation_call="in_progress generating completed",
    ),
    "response.image_generation_call.partial_image": (*_ITEM, "partial_image_index", "partial_image_b64"),
    "response.compaction.compacting": _ITEM,
    "response.shell_call_command.added": ("output_index", "command_index", "command"),
    "response.shell_call_command.delta": ("output_index", "command_index", "delta"),
    "response.shell_call_command.done": ("output_index", "command_index", "command"),
    **_texts((*_ITEM, "command_index"), shell_call_output_content="output"),
    "response.audio.delta": ("delta",),
    "response.audio.done": (),
    "response.audio.transcript.delta": ("delta",),
    "response.audio.transcript.done": (),
    "error": (),
    **dict.fromkeys((f"response.steer.{step}" for step in ("accepted", "pending", "failed")), ()),
    **dict.fromkeys((f"response.inject.{step}" for step in ("created", "failed")), ()),
}
"""The fields by which readers place each event, by its type."""


def is_known_type(kind: str) -> bool:
    """True for a type of the description, and for an extension of Open Responses (``slug:name``)."""
    return kind in FIELDS or ":" in kind
