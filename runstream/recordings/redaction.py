"""The redaction of recordings: items in, the same items without the texts of people and tools out.

Only listed texts are kept; every other text is blanked, including texts under unknown keys. A dialect lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from runstream.dialects.registry import DEFAULT_DIALECT, DialectLike, find_dialect, recognise_dialect
from runstream.errors import DecodeError
from runstream.model.jsontext import MAX_NESTING, decode_json, dump_json, nesting_depth
from runstream.model.raw import (
    Answer,
    ConnectionEvent,
    Malformed,
    Oversized,
    RawEvent,
    RawItem,
    Request,
    ResponseHead,
)
from runstream.model.surrogates import decode_odd, is_odd, replace_surrogates

__all__ = ["Redaction"]

T = TypeVar("T", bound=RawItem)

_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/|-]{1,400}")  # of an event, with what it is about behind it
_POINTER: Final = re.compile(r"(?:/[A-Za-z0-9_.:~-]{0,100}){0,100}")
_USER: Final = re.compile(r"(?<=//)[^/@?#]*(?=@)")
_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Redaction:
    """Blanks the texts of people and tools in an item of a source, and keeps its structure; for :func:`record`. ::

        runstream.record(source, "run.jsonl", redact=runstream.Redaction())

    Blanked, each character by one ``fill``, so that lengths, offsets and structure stay: texts, refusals, arguments,
    outputs, logs, code, instructions, descriptions, metadata, file names, URLs, quotes, error messages, the words of a
    server that lost a connection, and every text under a key that the dialect does not list. Kept: event names, ids,
    types, statuses, roles, error codes, models, function names, numbers and ``null``. In arguments and outputs that are
    no texts, numbers and booleans are blanked too. Keys are kept, those of metadata included. Each byte of data that
    are not JSON becomes one ``fill``. The bodies of requests and of answers are redacted alike; of the headers of a
    response, what stands behind a ``?`` is blanked.

    A redacted recording produces the same signals, with blank text. Two facts are lost with the text: whether
    arguments were valid JSON, and whether a text was replaced by another one or has grown.

    Args:
        keep: Further keys whose texts are kept, at any place.
        blank: Keys whose texts are blanked though they would be kept by default: ``{"name", "model"}``.
        fill: One printable ASCII character.
        dialect: The dialect of the source, by name or factory: its :class:`RedactionRules` are used. Of a dialect
            without rules, only the name of an event and the ``id`` at the top of its data are kept. ``"auto"``, the
            default, finds the dialect of each item. An item that none recognises has the rules of the item before it.
            A request that comes first has the rules of no dialect, unless its source names its dialect.

    Raises:
        ValueError: ``fill`` is no such character, or the dialect is not registered.
        TypeError: The dialect is neither a name nor a factory.
    """

    def __init__(
        self,
        *,
        keep: Iterable[str] = (),
        blank: Iterable[str] = (),
        fill: str = "x",
        dialect: DialectLike = DEFAULT_DIALECT,
    ) -> None:
        if len(fill) != 1 or not fill.isascii() or not fill.isprintable():
            raise ValueError("fill must be one printable ASCII character")
        self._keep = frozenset(keep)
        self._blank = frozenset(blank)
        self._fill = fill
        self._is_auto = dialect == DEFAULT_DIALECT
        self._name: str | None = None  # of the dialect that was found last
        self._rules = find_dialect(dialect)().redaction

    def for_dialect(self, dialect: DialectLike) -> Redaction:
        """This redaction with the rules of a dialect, if its own dialect is ``"auto"``; else this redaction.

        Args:
            dialect: The dialect, by name or factory.

        Raises:
            ValueError: The dialect is not registered.
        """
        if not self._is_auto:
            return self
        return Redaction(keep=self._keep, blank=self._blank, fill=self._fill, dialect=dialect)

    def __call__(self, item: T) -> T:
        """Return the item with its texts blanked."""
        if self._is_auto and isinstance(item, RawEvent | Answer):
            raw = item if isinstance(item, RawEvent) else RawEvent(data=item.data)
            name = recognise_dialect(raw)
            if name is not None and name != self._name:
                self._name, self._rules = name, find_dialect(name)().redaction
        return self._redact_item(item)  # type: ignore[return-value]

    def _redact_item(self, item: RawItem) -> RawItem:
        match item:
            case RawEvent():
                return replace(item, event=self._blank_name(item.event), data=self._redact_data(item.event, item.data))
            case Malformed():
                data = self._fill.encode() * len(item.data)
                return replace(item, event=self._blank_name(item.event), data=data)
            case Oversized():
                return replace(item, event=self._blank_name(item.event))
            case ConnectionEvent():
                return replace(
                    item,
                    reason=self._blank_text(item.reason),
                    server_message=self._blank_text(item.server_message),
                )
            case Request():
                return replace(item, body=self._redact_json(item.body, None, is_request=True))
            case ResponseHead():
                return replace(item, headers=tuple((name, self._redact_header(value)) for name, value in item.headers))
            case Answer():
                return replace(item, data=self._redact_data(None, item.data))
        return item

    def _redact_header(self, value: str) -> str:
        """Keep the path of a URL, which may contain ids, without its user and its query."""
        path, mark, rest = value.partition("?")
        return _USER.sub(lambda user: self._blank_text(user[0]), path) + mark + self._blank_text(rest)

    def _redact_data(self, name: str | None, data: bytes) -> bytes:
        return data if data.strip() in self._rules.literals else self._redact_json(data, name)

    def _redact_json(self, data: bytes, name: str | None, *, is_request: bool = False) -> bytes:
        if not data:
            return data
        try:
            if nesting_depth(data, MAX_NESTING) <= MAX_NESTING:
                value = replace_surrogates(decode_odd(data)) if is_odd(data) else msgspec.json.decode(data)
                if name == "message" and not self._is_name(name):
                    name = None  # the default name, which is no name
                if is_request:
                    redacted = self._redact(value, "")
                else:
                    redacted = self._redact_message(value) if name is None else self._redact_payload(name, value)
                return msgspec.json.encode(redacted)
        except _ERRORS:
            pass
        return self._fill.encode() * len(data)

    def _redact_message(self, value: Any) -> Any:
        """Redact a message without a name beside it: a frame around the event, or the event itself."""
        if not isinstance(value, dict):
            return self._blank_all(value)
        rules = self._rules
        if rules.envelope is not None and isinstance(name := value.get(rules.envelope[0]), str):
            return {key: self._redact_framed(name, key, item) for key, item in value.items()}
        names = [value[key] for key in rules.name_keys if isinstance(value.get(key), str)]
        is_known = rules.names is None or any(name in rules.names for name in names)
        is_unnamed = bool(value) and rules.unnamed.issuperset(value)
        return self._redact(value, "") if is_known or is_unnamed else self._blank_all(value)

    def _redact_framed(self, name: str, key: str, value: Any) -> Any:
        """Redact the value of a key of the frame around an event."""
        name_key, data_key = self._rules.envelope or ("", "")
        if key == name_key:
            return self._blank_name(value)
        if key == data_key:
            return self._redact_payload(name, value)
        return value if key == "id" and isinstance(value, str) else self._redact_field("", key, value)

    def _redact_payload(self, name: str, value: Any) -> Any:
        rules = self._rules
        if isinstance(value, str) and value.encode(errors="replace") in rules.literals:
            return value
        if isinstance(value, str) and value.lstrip().startswith("{"):
            with suppress(DecodeError):
                return dump_json(self._redact_payload(name, decode_json(value)))
        return self._redact(value, "") if rules.names is None or name in rules.names else self._blank_all(value)

    def _is_name(self, name: str) -> bool:
        return self._rules.names is None or name in self._rules.names

    def _redact(self, value: Any, parent: str) -> Any:
        """Redact a value under a key of the wire."""
        if isinstance(value, dict):
            return {key: self._redact_field(parent, key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redact(item, parent) for item in value]
        return self._blank_text(value) if isinstance(value, str) else value

    def _redact_field(self, parent: str, key: str, value: Any) -> Any:
        if isinstance(value, str):
            is_kept = key in self._keep or (key not in self._blank and self._is_structure(parent, key, value))
            return value if is_kept else self._blank_text(value)
        rules = self._rules
        if isinstance(value, list) and parent in rules.lists_in.get(key, ()):
            return self._redact(value, key)
        if key in rules.values:
            return self._blank_value(value)
        if key in rules.narrow:
            return self._redact_narrow(key, value)
        if key in rules.id_lists and isinstance(value, list):
            return [
                item if isinstance(item, str) and _WORD.fullmatch(item) else self._blank_all(item) for item in value
            ]
        if key in rules.containers or parent in rules.open_containers:
            return self._redact(value, key)
        if isinstance(value, dict):
            return {
                name: item if self._is_count(key, name, item) else self._blank_field(name, item)
                for name, item in value.items()
            }
        return self._blank_all(value)

    def _redact_narrow(self, key: str, value: Any) -> Any:
        """Redact a value of an application in which only a few keys have the meaning of the wire."""
        if isinstance(value, list):
            return [self._redact_narrow(key, item) for item in value]
        if not isinstance(value, dict):
            return self._blank_all(value)
        kept = self._rules.narrow[key]
        return {
            name: self._blank_field(name, item)
            if name not in kept
            else self._redact_narrow(name, item)
            if name in self._rules.narrow
            else item
            if isinstance(item, str) and name not in self._blank and _WORD.fullmatch(item)
            else self._blank_all(item)
            for name, item in value.items()
        }

    def _blank_all(self, value: Any) -> Any:
        """Blank every text of an unknown value, under any key."""
        if isinstance(value, dict):
            return {key: self._blank_field(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._blank_all(item) for item in value]
        return self._blank_text(value) if isinstance(value, str) else value

    def _blank_value(self, value: Any) -> Any:
        """Blank every text, number and boolean of a value."""
        if isinstance(value, dict):
            return {key: self._blank_value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._blank_value(item) for item in value]
        if value is None or isinstance(value, str):
            return value and self._blank_text(value)
        return type(value)()

    def _blank_field(self, key: str, value: Any) -> Any:
        if key in self._rules.values and not isinstance(value, str):
            return self._blank_value(value)
        return value if key in self._keep and isinstance(value, str) else self._blank_all(value)

    def _blank_text(self, text: str) -> str:
        return self._fill * len(text)

    def _blank_name(self, name: str | None) -> str | None:
        return name if name is None or _NAME.fullmatch(name) else self._blank_text(name)

    def _is_structure(self, parent: str, key: str, value: str) -> bool:
        rules = self._rules
        if key in rules.ids or (key in rules.pointers and _POINTER.fullmatch(value) is not None):
            return True
        parents = rules.words.get(key, frozenset())
        return (parents is None or parent in parents) and _WORD.fullmatch(value) is not None

    def _is_count(self, parent: str, key: str, value: Any) -> bool:
        """True if a text is a JSON object of whole numbers in a place for one."""
        if (parent, key) not in self._rules.counts or not isinstance(value, str):
            return False
        try:
            counts = msgspec.json.decode(value)
        except _ERRORS:
            return False
        return isinstance(counts, Mapping) and all(isinstance(count, int) for count in counts.values())
