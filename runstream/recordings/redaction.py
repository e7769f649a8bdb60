"""Raw events in, the same without what people said out: recordings that may be passed on.

What is kept is listed; everything else is blanked, what nobody has thought of included.
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


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Objects whose keys mean what the wire says. In any other (metadata, a function's parameters, what is new) a key
# like `id` may hold anything, and every text is blanked.
_KNOWN: Final = _set(
    "data delta content text image_file image_url attachments annotations file_citation file_path url_citation "
    "incomplete_details last_error error usage required_action submit_tool_outputs submit_tool_approval "
    "tool_calls function step_details message_creation code_interpreter outputs image file_search results "
    "ranking_options tools tool_choice truncation_strategy response_format prompt_tokens_details "
    "prompt_token_details completion_tokens_details activities"
)
# Texts that carry the structure: who is who, what state it is in.
_IDS: Final = _set(
    "id object type status role event thread_id run_id assistant_id agent_id message_id step_id tool_call_id call_id "
    "file_id"
)
# Texts that are words of a vocabulary, and where; with a blank in them they are prose, and go.
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
    """Blanks what people and tools said in a raw event, and keeps what happened; for :func:`record`. ::

        runstream.record(source, "run.jsonl", redact=runstream.Redaction())

    Blanked, each character by one ``fill``, so that lengths, offsets and structure stay: texts, refusals, arguments,
    outputs, logs, code, instructions, descriptions, metadata, file names, URLs, quotes, error messages, and every
    text under a key that is not known here. Kept: event names, ids, types, statuses, roles, error codes, models,
    function names, numbers and ``null``. Keys are kept too, those of metadata included. What is not JSON becomes as
    many ``fill`` as it has bytes.

    A redacted recording gives the same signals, with blank text. Two things are lost with the text: whether
    arguments were valid JSON, and whether a text was replaced by another one or has grown.

    Args:
        keep: Further keys whose texts are kept, wherever they stand; for another protocol's ids, for instance.
        blank: Keys whose texts are blanked though they would be kept: ``{"name", "model"}``.
        fill: One character, printable and of ASCII.

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
        """The raw event with its texts blanked."""
        return replace(raw, event=self._name(raw.event), data=self._data(raw.event, raw.data))

    def _data(self, name: str | None, data: bytes) -> bytes:
        if data.strip() in _DONE:
            return data
        try:
            if nesting_depth(data, MAX_NESTING) <= MAX_NESTING:
                found = msgspec.json.decode(data)
                return msgspec.json.encode(self._envelope(found) if name is None else self._payload(name, found))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
        return self._fill.encode() * len(data)

    def _envelope(self, found: Any) -> Any:
        """A message: an envelope around the payload, or the bare object, as a poll returns it."""
        if not isinstance(found, dict):
            return self._all(found)
        name = found.get("event")
        if not isinstance(name, str):
            known = isinstance(kind := found.get("object"), str) and kind in EVENT_TYPES
            return self._walk(found, "") if known or set(found) == {"error"} else self._all(found)
        return {
            key: self._name(value)
            if key == "event"
            else self._payload(name, value)
            if key == "data"
            else value
            if key == "id" and isinstance(value, str)
            else self._field("", key, value)
            for key, value in found.items()
        }

    def _payload(self, name: str, found: Any) -> Any:
        if name == "done" and found == "[DONE]":
            return found
        return self._walk(found, "data") if name in EVENT_TYPES else self._all(found)

    def _walk(self, value: Any, parent: str) -> Any:
        """A value that stands under a key of the wire."""
        if isinstance(value, dict):
            return {key: self._field(parent, key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item, parent) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _field(self, parent: str, key: str, value: Any) -> Any:
        if key in self._keep and isinstance(value, str):
            return value
        if isinstance(value, str):
            return value if key not in self._blank and _carries(parent, key, value) else self._text(value)
        if key == "metadata" and isinstance(value, dict):
            # One server tells the usage here, as JSON in a text.
            return {name: item if _is_usage(name, item) else self._all(item) for name, item in value.items()}
        # An action of a new type has its calls, and their ids, under a key of that name.
        return self._walk(value, key) if key in _KNOWN or parent == "required_action" else self._all(value)

    def _all(self, value: Any) -> Any:
        """A value of which nothing is known: no text of it is kept, whatever its key."""
        if isinstance(value, dict):
            return {
                key: item if key in self._keep and isinstance(item, str) else self._all(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._all(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        return self._fill * len(text)

    def _name(self, name: str | None) -> str | None:
        return name if name is None or _WORD.fullmatch(name) else self._text(name)


def _carries(parent: str, key: str, value: str) -> bool:
    if key in _IDS:
        return True
    places = _WORDS.get(key, frozenset())
    return (places is None or parent in places) and _WORD.fullmatch(value) is not None


def _is_usage(key: str, value: Any) -> bool:
    if key != "usage" or not isinstance(value, str):
        return False
    try:
        found = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return isinstance(found, Mapping) and all(isinstance(count, int) for count in found.values())
