"""The redaction of recordings: raw events in, the same events without the texts of people and tools out.

Only listed texts are kept; every other text is blanked, including texts under unknown keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.model.raw import RawEvent

__all__ = ["Redaction"]


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Objects whose keys have the meaning of the wire. In any other (metadata, a function's parameters, new objects) a key
# like `id` may have any value, and every text is blanked.
_KNOWN: Final = _split(
    "data delta content text image_file image_url attachments annotations file_citation file_path url_citation "
    "incomplete_details last_error error usage required_action submit_tool_outputs submit_tool_approval "
    "tool_calls function step_details message_creation code_interpreter outputs image file_search results "
    "ranking_options tools tool_choice truncation_strategy response_format prompt_tokens_details "
    "prompt_token_details completion_tokens_details activities"
)
# Texts that carry the structure: identities and states.
_IDS: Final = _split(
    "id object type status role event thread_id run_id assistant_id agent_id message_id step_id tool_call_id call_id "
    "file_id"
)
# Texts that are words of a vocabulary, with their parents (``None``: any); a text with a space is prose and is blanked.
_WORDS: Final[dict[str, frozenset[str] | None]] = {
    "model": None,
    "tool_choice": None,
    "response_format": None,
    "detail": None,
    "ranker": None,
    "reasoning_effort": None,
    "code": frozenset({"last_error", "error", "data", ""}),
    "reason": frozenset({"incomplete_details"}),
    "name": frozenset({"function", "tool_calls"}),
}
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_DONE: Final = frozenset({b"[DONE]", b'"[DONE]"'})


class Redaction:
    """Blanks the texts of people and tools in a raw event, and keeps its structure; for :func:`record`. ::

        runstream.record(source, "run.jsonl", redact=runstream.Redaction())

    Blanked, each character by one ``fill``, so that lengths, offsets and structure stay: texts, refusals, arguments,
    outputs, logs, code, instructions, descriptions, metadata, file names, URLs, quotes, error messages, and every
    text under a key that is not known here. Kept: event names, ids, types, statuses, roles, error codes, models,
    function names, numbers and ``null``. Keys are kept too, those of metadata included. Each byte of data that are not
    JSON becomes one ``fill``.

    A redacted recording produces the same signals, with blank text. Two facts are lost with the text: whether
    arguments were valid JSON, and whether a text was replaced by another one or has grown.

    Args:
        keep: Further keys whose texts are kept, at any place; for another protocol's ids, for instance.
        blank: Keys whose texts are blanked though they would be kept by default: ``{"name", "model"}``.
        fill: One printable ASCII character.

    Raises:
        ValueError: ``fill`` is no such character.
    """

    def __init__(self, *, keep: Iterable[str] = (), blank: Iterable[str] = (), fill: str = "x") -> None:
        if len(fill) != 1 or not fill.isascii() or not fill.isprintable():
            raise ValueError("fill must be one printable ASCII character")
        self._keep = frozenset(keep)
        self._blank = frozenset(blank)
        self._fill = fill

    def __call__(self, raw: RawEvent) -> RawEvent:
        """Return the raw event with its texts blanked."""
        return replace(raw, event=self._blank_name(raw.event), data=self._redact_data(raw.event, raw.data))

    def _redact_data(self, name: str | None, data: bytes) -> bytes:
        if data.strip() in _DONE:
            return data
        try:
            if nesting_depth(data, MAX_NESTING) <= MAX_NESTING:
                value = msgspec.json.decode(data)
                return msgspec.json.encode(
                    self._redact_envelope(value) if name is None else self._redact_payload(name, value)
                )
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
        return self._fill.encode() * len(data)

    def _redact_envelope(self, value: Any) -> Any:
        """Redact a message: an envelope around the payload, or the bare object, as a poll returns it."""
        if not isinstance(value, dict):
            return self._blank_all(value)
        name = value.get("event")
        if not isinstance(name, str):
            is_known = isinstance(kind := value.get("object"), str) and kind in EVENT_TYPES
            return self._redact(value, "") if is_known or set(value) == {"error"} else self._blank_all(value)
        return {
            key: self._blank_name(item)
            if key == "event"
            else self._redact_payload(name, item)
            if key == "data"
            else item
            if key == "id" and isinstance(item, str)
            else self._redact_field("", key, item)
            for key, item in value.items()
        }

    def _redact_payload(self, name: str, value: Any) -> Any:
        if name == "done" and value == "[DONE]":
            return value
        return self._redact(value, "data") if name in EVENT_TYPES else self._blank_all(value)

    def _redact(self, value: Any, parent: str) -> Any:
        """Redact a value under a key of the wire."""
        if isinstance(value, dict):
            return {key: self._redact_field(parent, key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redact(item, parent) for item in value]
        return self._blank_text(value) if isinstance(value, str) else value

    def _redact_field(self, parent: str, key: str, value: Any) -> Any:
        if key in self._keep and isinstance(value, str):
            return value
        if isinstance(value, str):
            is_kept = key not in self._blank and _is_structure(parent, key, value)
            return value if is_kept else self._blank_text(value)
        if key == "metadata" and isinstance(value, dict):
            # One server puts the usage here, as JSON in a text.
            return {name: item if _is_usage(name, item) else self._blank_all(item) for name, item in value.items()}
        # An action of a new type has its calls, and their ids, under a key of that name.
        return self._redact(value, key) if key in _KNOWN or parent == "required_action" else self._blank_all(value)

    def _blank_all(self, value: Any) -> Any:
        """Blank every text of an unknown value, under any key."""
        if isinstance(value, dict):
            return {
                key: item if key in self._keep and isinstance(item, str) else self._blank_all(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._blank_all(item) for item in value]
        return self._blank_text(value) if isinstance(value, str) else value

    def _blank_text(self, text: str) -> str:
        return self._fill * len(text)

    def _blank_name(self, name: str | None) -> str | None:
        return name if name is None or _WORD.fullmatch(name) else self._blank_text(name)


def _is_structure(parent: str, key: str, value: str) -> bool:
    if key in _IDS:
        return True
    parents = _WORDS.get(key, frozenset())
    return (parents is None or parent in parents) and _WORD.fullmatch(value) is not None


def _is_usage(key: str, value: Any) -> bool:
    if key != "usage" or not isinstance(value, str):
        return False
    try:
        usage = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return isinstance(usage, Mapping) and all(isinstance(count, int) for count in usage.values())
