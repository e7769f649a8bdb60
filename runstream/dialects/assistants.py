"""The Assistants dialect: raw events of the Assistants wire in, events out; nearly one to one.

It reads SSE blocks (the name is beside the data) and envelopes ``{"event": ..., "data": {...}, "id"?: ...}``, as
WebSocket relays and JSONL files contain them. The lenient reader takes input that strict decoding refuses. Input that
it can't use either becomes a :class:`~runstream.model.events.Reject`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Union, get_type_hints

import msgspec

from runstream.dialects.assistants_forms import SplitPairs, is_error, names_event, payload_of, read_error, unwrap
from runstream.dialects.assistants_redaction import ASSISTANTS_RULES
from runstream.dialects.assistants_wire import EVENT_TYPES, FRAGMENT_LEVELS, FRAGMENTS, TextFragment, name_object
from runstream.dialects.base import BaseDialect
from runstream.dialects.text_frame import UNREADABLE, TextFrames, read_string
from runstream.model.base import WireStruct, decode_hook, decoder
from runstream.model.counted_ids import DIGITS, first_of_counted
from runstream.model.events import (
    DoneEvent,
    ErrorEvent,
    Event,
    Origin,
    Reject,
    TextAppend,
    UnknownEvent,
    narrow,
)
from runstream.model.jsontext import nesting_depth, not_json_reason
from runstream.model.lenient import Issue, read
from runstream.model.raw import Answer, RawEvent, RawItem
from runstream.model.raw_events import RawEvents
from runstream.model.surrogates import decode_odd, is_odd, replace_surrogates
from runstream.model.text_fragments import TextFragments

__all__ = ["AssistantsDialect"]


def _make_decoder(kind: Any) -> Callable[[bytes], Any]:
    """A function that decodes the payload of an event into the event."""
    read = decoder(get_type_hints(kind)["data"]).decode
    return lambda data: kind(read(data))


_envelopes = msgspec.json.Decoder(
    Union[tuple(EVENT_TYPES.values())],  # noqa: UP007 - built at run time
    dec_hook=decode_hook,
).decode
# The class of the payload of each event with a typed payload.
_TYPES: dict[str, type[WireStruct]] = {
    name: get_type_hints(kind)["data"]
    for name, kind in EVENT_TYPES.items()
    if not issubclass(kind, DoneEvent | ErrorEvent)
}
_PAYLOADS: dict[str, tuple[Any, Any]] = {
    name: (EVENT_TYPES[name], decoder(kind).decode) for name, kind in _TYPES.items()
}
_NO_PAYLOAD: Final[tuple[Any, Any]] = (None, None)
# The first bytes of the envelope of a snapshot, as nearly all servers write them.
_SNAPSHOT_HEADS: dict[bytes, Any] = {
    b'{"event":"' + name.encode() + b'"': kind for name, kind in EVENT_TYPES.items() if name in _TYPES
}
_REPEATED_BYTES = 16_384  # the largest snapshot that is kept for comparison; each source keeps one
_MESSAGE_DELTA: Final = "thread.message.delta"
_STEP_DELTA: Final = "thread.run.step.delta"
_DELTAS = frozenset({EVENT_TYPES[_MESSAGE_DELTA], EVENT_TYPES[_STEP_DELTA]})
_OBJECT_NAMES: Final = ("thread.message.", "thread.run.step.")
_OBJECT_NAME: Final = re.compile(rb'"event"\s*:\s*"thread\.(?:message|run\.step)\.')
_ID: Final = re.compile(rb'"id"\s*:\s*"([^"\\]{1,256})"')
_START: Final = 4096  # bytes of unusable input that contain its name and ids
_DONE = EVENT_TYPES["done"]
_ERROR = EVENT_TYPES["error"]


class AssistantsDialect(BaseDialect):
    """Decodes the Assistants wire. Each source has one instance, over its reconnects.

    Args:
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = (
        "_cursor",
        "_delta_bytes",
        "_enveloped",
        "_fragment_bytes",
        "_frames",
        "_kind",
        "_last_payload",
        "_max_bytes",
        "_max_nesting",
        "_pairs",
        "_value",
    )

    redaction = ASSISTANTS_RULES

    def __init__(self, *, max_message_bytes: int = 16 * 2**20, max_nesting: int = 128) -> None:
        super().__init__()
        self._max_bytes = max_message_bytes
        self._max_nesting = max_nesting
        # Deeper nesting needs at least two bytes a level, so shorter messages need no check.
        self._delta_bytes = min(max_message_bytes, 2 * max_nesting)
        # A message that decodes as a fragment is not nested more deeply than fragments are.
        self._fragment_bytes = max_message_bytes if max_nesting >= FRAGMENT_LEVELS else self._delta_bytes
        # The last snapshot, and the bytes after its name in the message. Servers send it again with the next name
        # (`created`, then `queued` or `in_progress`): the same bytes need no second decoding.
        self._last_payload: bytes | None = None
        self._enveloped = False
        self._kind: Any = None
        self._value: Any = None
        self._cursor: str | None = None
        self._pairs = SplitPairs()
        self._frames = TextFrames("value")

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True for an event, an envelope or a bare object of this wire, and for an error without a name."""
        return names_event(raw.event, raw.data)

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode a raw event into one event or a reject, an answer into one event for each of its objects."""
        if type(item) is not RawEvent:
            return self._decode_other(item)
        data, name = item.data, item.event
        size = len(data)
        frames = self._frames
        frame = frames.last
        if frame is None:  # texts take turns: `TextFrames.find`, without the call
            for place in frames.places:
                frame = frames.by_id.get(data[place])
                if frame is not None:
                    if frame is frames.previous:
                        frames.last = frame
                    frames.previous = frame
                    break
        if frame is not None and name is frame.name and size <= self._fragment_bytes:
            # `TextFrame.read`, without the call.
            string = data.removeprefix(frame.head).removesuffix(frame.tail)
            if len(string) == size - frame.size:
                try:
                    if text := read_string(string):
                        return TextAppend(frame.object_id, "text", frame.index, text, item.id, None, _MESSAGE_DELTA)
                except UNREADABLE:
                    pass
        read = FRAGMENTS.get(name)
        if read is None:
            return self._decode_any(item)
        if frames.last is not None and size <= self._fragment_bytes:
            frame = frames.find(data)
            if frame is not None and (text := frame.read(name, data, size)):
                return TextAppend(frame.object_id, "text", frame.index, text, item.id, None, _MESSAGE_DELTA)
        # Most longer envelopes contain no fragment; the decoder would refuse them.
        if size <= (self._delta_bytes if name is None else self._fragment_bytes):
            try:
                fragment = read(data)
            except UNREADABLE:
                return self._decode_any(item)
            if name is None:
                enveloped, fragment = fragment.id, fragment.data
                if enveloped is not None:
                    return self._append(fragment, self._identify(enveloped))
            if type(fragment) is not TextFragment:
                return self._append(fragment, item.id)
            id, part = fragment.id, fragment.delta.content[0]
            index = part.index
            frames.learn(name, data, id, index)
            return TextAppend(id, "text", index, part.text.value, item.id, None, _MESSAGE_DELTA)
        return self._decode_any(item)

    def decode_fragments(self, events: RawEvents, first: int) -> TextFragments | None:
        """Decode raw events whose bytes around the text are those of the text that grew last."""
        frame, data = self._frames.last, events.data[first:]
        if frame is None or events.event is not frame.name or max(map(len, data)) > self._fragment_bytes:
            return None
        ids = events.ids(first)
        counted = ("", None) if ids is None else first_of_counted(ids)
        if counted is None or (texts := frame.read_all(data)) is None:
            return None
        return TextFragments(frame.object_id, "text", frame.index, texts, None, _MESSAGE_DELTA, *counted)

    def may_continue(self, raw: RawEvent) -> bool:
        """True if the bytes before the text are the same, and the id may be one that counts."""
        frame = self._frames.last
        return (
            frame is not None
            and raw.event is frame.name
            and raw.data.startswith(frame.head)
            and (raw.id is None or raw.id[-1:] in DIGITS)
        )

    def take_fragments(self, fragments: TextFragments, count: int) -> None:
        """Nothing is remembered of them."""

    def _decode_other(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode an item that is no raw event: of an answer its object, of unusable input a reject."""
        if isinstance(item, Answer):
            if not (200 <= item.status < 300 and item.data):
                return ()
            return self._decode_any(RawEvent(name_object(item.data), item.data, at=item.at, line=item.line))
        decoded = super().decode(item)
        return reject(decoded.raw, decoded.reason) if isinstance(decoded, Reject) else decoded

    def _append(self, fragment: Any, identity: str | int | None) -> TextAppend:
        """The event of a fragment of arguments, or of one in an envelope with an id: its frame never repeats."""
        if type(fragment) is TextFragment:
            part = fragment.delta.content[0]
            return TextAppend(fragment.id, "text", part.index, part.text.value, identity, None, _MESSAGE_DELTA)
        call = fragment.delta.step_details.tool_calls[0]
        return TextAppend(fragment.id, "arguments", call.index, call.function.arguments, identity, None, _STEP_DELTA)

    def _decode_any(self, raw: RawEvent, *, usual: bool = False) -> Event | Reject:
        """Decode a raw event in any form.

        Args:
            raw: The raw event.
            usual: True if it was brought into the usual form.
        """
        data = raw.data
        size = len(data)
        if size > self._max_bytes:
            return reject(raw, f"Message of {size} bytes; at most {self._max_bytes} are read (max_message_bytes)")
        if size > self._delta_bytes and self._pairs.open and not usual:
            other = self._to_usual(raw)
            if other is not None:
                return self._decode_usual(other, raw)
        name = raw.event
        identity: str | int | None = raw.id
        try:
            if name is None:
                head, _, payload = data.partition(b',"data":')
                kind: Any = _SNAPSHOT_HEADS.get(head)
                if payload == self._last_payload and kind is not None and self._is_repeated(kind, True):
                    value = self._value
                else:
                    if size > self._delta_bytes and nesting_depth(data, self._max_nesting) > self._max_nesting:
                        return reject(raw, self._describe_nesting())
                    event: Any = _envelopes(data)
                    plain, kind, value = type(event) is kind, type(event), event.data
                    if event.id is not None:
                        identity = self._identify(event.id)
                    if kind in _DELTAS:
                        delta = kind(value, identity)  # which needs no origin
                        return narrow(delta) or delta
                    if plain and event.id is None and len(payload) <= _REPEATED_BYTES:
                        self._last_payload, self._kind, self._value, self._enveloped = payload, kind, value, True
                return kind(value, identity, Origin(data, True, self.connection))  # type: ignore[no-any-return]
            known = _PAYLOADS.get(name)
            kind, decode = known or _NO_PAYLOAD
            if known is not None and data == self._last_payload and self._is_repeated(kind, False):
                value = self._value
            else:
                if size > self._delta_bytes and nesting_depth(data, self._max_nesting) > self._max_nesting:
                    return reject(raw, self._describe_nesting())
                if name == "message":  # the default name, which is no name
                    return self.decode(RawEvent(None, data, raw.id, raw.last_id, raw.at, raw.line))  # type: ignore[return-value]
                if known is None:
                    return self._decode_untyped(raw, name, data, raw.id)
                value = decode(data)
                if kind in _DELTAS:
                    delta = kind(value, raw.id)
                    return narrow(delta) or delta
                if len(data) <= _REPEATED_BYTES:
                    self._last_payload, self._kind, self._value, self._enveloped = data, kind, value, False
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._decode_lenient(raw, error, usual)
        return kind(value, raw.id, Origin(data, False, self.connection))  # type: ignore[no-any-return]

    def cursor(self, run_id: str | None = None) -> str | None:
        """The last id of an envelope: relays resume from it, as servers do from the id of a block."""
        return self._cursor

    def _identify(self, id: str | int) -> str | int:
        """Note the id of an envelope."""
        if isinstance(id, str):
            self._cursor = id
        return id

    def _is_repeated(self, kind: Any, enveloped: bool) -> bool:
        """True if the last snapshot, whose bytes are the same, has an event of this kind and the same form."""
        return self._enveloped is enveloped and kind.__mro__[1] is self._kind.__mro__[1]

    def _describe_nesting(self) -> str:
        """The reason why a message that is nested too deeply is not decoded at all."""
        return f"Nested more than {self._max_nesting} levels deep (max_nesting)"

    def _decode_untyped(self, raw: RawEvent, name: str, data: bytes, identity: str | int | None) -> Event | Reject:
        """Decode an event without a typed payload: `done`, `error`, and unknown names."""
        if name == "done":
            if data.strip() not in (b"[DONE]", b'"[DONE]"', b"", b"null", b"{}") and not _is_json(data):
                return reject(raw, "`done` came with data that is neither [DONE] nor JSON")
            return _DONE(None, identity)  # type: ignore[return-value]
        if name == "error":
            return self._decode_error(raw, data, identity)
        return UnknownEvent(data, identity, Origin(data, False, self.connection), name=name)

    def _decode_error(self, raw: RawEvent, data: bytes, identity: str | int | None) -> Event | Reject:
        try:
            found = decode_odd(data) if is_odd(data) else msgspec.json.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            found = data.decode(errors="replace")
        issues: list[Issue] = []
        value = read_error(replace_surrogates(found), issues)
        origin = Origin(data, False, self.connection, tuple(issues))
        return _ERROR(value, identity, origin)  # type: ignore[return-value]

    def _to_usual(self, raw: RawEvent) -> RawEvent | None:
        """The raw event in the usual form; ``None`` if it has this form, or is not JSON."""
        data = raw.data
        odd = self._pairs.open or is_odd(data)
        try:
            found = decode_odd(data) if odd else msgspec.json.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        name, usual = unwrap(raw.event, found, self._max_nesting)
        if usual is found and name == raw.event and not odd:
            return None
        identity = usual.get("id", raw.id) if name is None and isinstance(usual, dict) and "event" in usual else raw.id
        self._pairs.join(payload_of(name, usual), identity)
        # While a half is kept, no fragment may be decoded without it.
        limit = 0 if self._pairs.open else self._max_bytes
        self._delta_bytes = min(limit, 2 * self._max_nesting)
        self._fragment_bytes = limit if self._max_nesting >= FRAGMENT_LEVELS else self._delta_bytes
        return RawEvent(name, msgspec.json.encode(replace_surrogates(usual)), raw.id, raw.last_id, raw.at, raw.line)

    def _decode_usual(self, usual: RawEvent, raw: RawEvent) -> Event | Reject:
        """Decode a raw event that was brought into the usual form."""
        decoded = self._decode_any(usual, usual=True)
        if isinstance(decoded, Reject):
            return Reject(raw, decoded.reason, decoded.path, object_ids=decoded.object_ids)
        return decoded

    def end(self, clean: bool) -> Sequence[Event]:
        """The texts whose last character did not arrive in full: U+FFFD replaces it."""
        return self._pairs.flush()

    def _decode_lenient(self, raw: RawEvent, error: Exception, usual: bool) -> Event | Reject:
        """Decode input that the strict decoder refused: unknown fields, another dialect, an unknown event, no JSON."""
        data = raw.data
        name = raw.event
        if name is None and data.strip() in (b"[DONE]", b'"[DONE]"'):
            return _DONE(None, raw.id)  # type: ignore[return-value]
        if not usual and (other := self._to_usual(raw)) is not None:
            return self._decode_usual(other, raw)
        if not isinstance(error, msgspec.ValidationError):
            return reject(raw, not_json_reason(data, error))
        try:
            found = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as broken:
            return reject(raw, not_json_reason(data, broken))
        identity: str | int | None = raw.id
        enveloped = False
        if name is None:
            if not isinstance(found, dict):
                return reject(raw, "Expected an object with `event` and `data`")
            name = found.get("event")
            if isinstance(name, str):
                enveloped = True
                given = found.get("id")
                if isinstance(given, str | int) and not isinstance(given, bool):
                    identity = self._identify(given)
                rest = {key: value for key, value in found.items() if key not in ("event", "id")}
                found = found.get("data")
                if found is None and name == "error":
                    found = rest
            elif isinstance(kind := found.get("object"), str) and kind in EVENT_TYPES and "id" in found:
                name = kind  # a bare object, as a poll returns it
            elif is_error(found):
                name = "error"
            else:
                return reject(raw, "Neither an `event` nor an `object` says what this is")
        if name not in _PAYLOADS:
            return self._decode_untyped(raw, name, msgspec.json.encode(found), identity)
        return self._read_typed(raw, name, found, identity, enveloped=enveloped)

    def _read_typed(
        self, raw: RawEvent, name: str, found: Any, identity: str | int | None, *, enveloped: bool
    ) -> Event | Reject:
        kind: Any = EVENT_TYPES[name]
        path = "$.data" if enveloped else "$"
        issues: list[Issue] = []
        try:
            value = read(_TYPES[name], found, issues, path)
        except RecursionError:
            return reject(raw, "Nested too deeply")
        if value is None:
            return reject(raw, issues[-1].reason, issues[-1].path)
        origin = Origin(raw.data, enveloped, self.connection, tuple(issues))
        return kind(value, identity, origin)  # type: ignore[no-any-return]


def reject(raw: RawEvent, reason: str, path: str = "$") -> Reject:
    """The reject of input that could not be used, with the ids of the objects that it concerns.

    An event of a message or step concerns the objects whose ids its beginning contains. Without one, it may concern
    each open object. Any other event concerns none.
    """
    start = raw.data[:_START]
    if not raw.event.startswith(_OBJECT_NAMES) if raw.event is not None else _OBJECT_NAME.search(start) is None:
        return Reject(raw, reason, path)
    ids = tuple(id.decode(errors="replace") for id in _ID.findall(start))
    return Reject(raw, reason, path, object_ids=ids or None)


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
