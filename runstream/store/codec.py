"""Encodes a :class:`RunState` as bytes (JSON) and decodes it, without loss: the decoded state reduces alike.

Pure. Beside its public values a state has values that the next events need: the required actions, the emitted length
of each text, the objects that are partial. All of these are written.
"""

from __future__ import annotations

import sys
from types import NoneType
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, structs

from runstream.core.action_requests import RequestKind, accept_request, is_request, request_pairs
from runstream.core.activities import NO_ACTIVITIES, Activities, ActivityState
from runstream.core.call_names import NO_NAMES, CallNames
from runstream.core.calls import NO_CALLS, Calls, add_whole
from runstream.core.documents import NO_DOCUMENTS, Documents
from runstream.core.json_patch import JsonValue, make_value
from runstream.core.object_list import NO_OBJECTS, Objects, ObjectState
from runstream.core.open_calls import OpenCall, OpenCalls
from runstream.core.pieces import NO_PIECES, Pieces
from runstream.core.state import RunHead, RunState, build_objects
from runstream.core.step_calls import name_step_calls
from runstream.core.tally import Tally
from runstream.core.text import Text, TextBuffer
from runstream.errors import StoreError
from runstream.model.base import WireStruct, decoder
from runstream.model.common import Usage
from runstream.model.keys import escape_id
from runstream.model.lenient import read
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.step import RunStep

__all__ = ["StateEncoder", "decode_state", "encode_state"]

W = TypeVar("W", bound=WireStruct)

_VERSION: Final = 3


class _Object(Struct, array_like=True):
    id: str
    is_message: bool
    partial: bool
    full: msgspec.Raw  # null if no full object was sent
    parts: Any  # a node; null if the full object is complete
    calls: tuple[str, ...] = ()  # this field and the next two since version 2
    replaced: int = 0
    places: tuple[tuple[int, int], ...] = ()
    path: tuple[str, ...] = ()  # this field and the next since version 3
    indices: tuple[int, ...] = ()


class _Calls(Struct, omit_defaults=True):
    """The stored form of :class:`Calls`."""

    round: int = 0
    request: str = ""
    started_at: int | None = None
    pairs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    counts: list[str] = []
    asked: list[str] = []
    whole: list[str] = []
    open: tuple[OpenCall, ...] = ()
    results: list[str] = []


class _Document(Struct, array_like=True):
    """One document of a run."""

    path: tuple[str, ...]
    partial: bool
    value: msgspec.Raw


class _Activity(Struct, array_like=True):
    """The stored form of :class:`ActivityState`."""

    id: str
    kind: str
    version: int
    path: tuple[str, ...]
    partial: bool
    value: msgspec.Raw


class _State(Struct, omit_defaults=True):
    """The stored form. Its field names are the file format: ``since`` stands for the field ``status_since`` of
    :class:`RunHead`. Version 1 has ``asked`` (the sorted ids of each request) and ``calls_done`` (ids of calls) in
    place of ``calls``. The fields from ``documents`` on are there since version 3.
    """

    version: int
    scope: str
    run: msgspec.Raw
    statuses: tuple[str, ...]
    first_seen: float
    since: float
    event: str
    objects: list[_Object]
    queued: float | None = None
    running: float | None = None
    waiting: float | None = None
    first_text: float | None = None
    calls: _Calls | None = None
    asked: tuple[tuple[str, ...], ...] = ()
    calls_done: tuple[str, ...] = ()
    pieces: list[str] = []
    piece_rounds: int = 0
    piece_statuses: tuple[str, ...] = ()
    custom: int = 0
    piece_usage: dict[str, Any] | None = None
    piece_counted: bool = False
    pieces_uncounted: tuple[str, ...] = ()
    documents: list[_Document] = []
    missing: list[tuple[str, ...]] = []  # the paths of documents that could never be read
    document_version: int = 0
    activities: list[_Activity] = []


class _Version(Struct):
    version: int


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_State).decode
_decode_version: Final = msgspec.json.Decoder(_Version).decode


def encode_state(state: RunState) -> bytes:
    """Encode a state as bytes (JSON), for a store of your own; see :func:`decode_state`."""
    return _to_bytes(state, [_stored_object(item) for item in build_objects(state)])


class StateEncoder:
    """:func:`encode_state` with a cache, since each put writes the finished messages and steps again.

    Args:
        size: The number of messages and steps in the cache; the oldest one is removed first.
    """

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        # With the object itself: while it exists, no other object has its `id`.
        self._known: dict[int, tuple[ObjectState, msgspec.Raw]] = {}

    def __call__(self, state: RunState) -> bytes:
        known = self._known
        objects: list[Any] = []
        for item in build_objects(state):
            found = known.get(id(item))
            if found is not None:
                objects.append(found[1])
            elif item.is_terminal:
                written = msgspec.Raw(_encode(_stored_object(item)))
                if len(known) >= self._size:
                    del known[next(iter(known))]
                known[id(item)] = (item, written)
                objects.append(written)
            else:
                objects.append(_stored_object(item))
        return _to_bytes(state, objects)


def _to_bytes(state: RunState, objects: list[Any]) -> bytes:
    head = state._head
    return _encode(
        _State(
            _VERSION,
            head.scope,
            msgspec.Raw(_encode(head.run.to_dict())),
            tuple([status.value for status in head.statuses]),
            head.first_seen,
            head.status_since,
            state.changed_by,
            objects,
            head.queued,
            head.running,
            head.waiting,
            head.first_text,
            _stored_calls(head.calls),
            pieces=head.pieces.ids.keys(),
            piece_rounds=head.pieces.rounds,
            piece_statuses=tuple([status.value for status in head.pieces.statuses]),
            custom=head.custom,
            piece_usage=None if head.pieces.usage is None else head.pieces.usage.to_dict(),
            piece_counted=head.pieces.counted,
            pieces_uncounted=head.pieces.uncounted,
            documents=[
                _Document(path, path in head.documents.partial, _raw(value))
                for path, value in head.documents.values.items()
            ],
            missing=[*(head.documents.partial - head.documents.values.keys())],
            document_version=head.documents.version,
            activities=[
                _Activity(item.id, item.kind, item.version, item.path, item.partial, _raw(item.content))
                for item in (head.activities if head.activities.count else ())
            ],
        )
    )


def decode_state(data: bytes) -> RunState:
    """Decode bytes of :func:`encode_state`: the result equals the encoded state, also after each further event.

    Args:
        data: The bytes.

    Raises:
        StoreError: The bytes are no state, or a newer release wrote them.
    """
    try:
        version = _decode_version(data).version
        if version > _VERSION:
            raise StoreError(
                f"a state of version {version} was written by a newer release of runstream (this one reads up to "
                f"{_VERSION}): update runstream, or start with an empty store"
            )
        found = _decode(data)
        objects = NO_OBJECTS
        for item in found.objects:
            kind: type[Message] | type[RunStep] = Message if item.is_message else RunStep
            full = None if bytes(item.full) == b"null" else _read_wire(kind, bytes(item.full))
            parts = None if item.parts is None else _read_node(item.parts)
            if parts is not None and type(parts) is not dict:
                raise ValueError("parts that are no object")
            names = CallNames(item.calls, item.indices) if item.calls else NO_NAMES
            state = ObjectState(
                item.id, item.is_message, full, parts, item.partial, names, item.replaced, item.places, item.path
            )
            objects = objects.append(state)
        run = _read_wire(Run, bytes(found.run))
        if version == 1:
            calls, objects = _calls_of_version_1(found, run, objects)
        else:
            calls = _read_calls(found.calls)
        head = RunHead(
            run,
            found.scope,
            calls,
            tuple([RunStatus(status) for status in found.statuses]),
            found.first_seen,
            found.since,
            found.queued,
            found.running,
            found.waiting,
            found.first_text,
            _read_pieces(found),
            found.custom,
            _read_documents(found),
            _read_activities(found),
        )
    except (
        msgspec.MsgspecError,
        UnicodeError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        # Without the error's message, which may quote the text.
        raise StoreError(f"the stored bytes are no run state ({type(error).__name__})") from None
    return RunState(head, objects, _touched=-1, _event=found.event)


def _stored_object(item: ObjectState) -> _Object:
    full = msgspec.Raw(b"null" if item.full is None else _encode(item.full.to_dict()))
    parts = None if item.parts is None else _write_node(item.parts)
    calls = tuple(item.calls)
    return _Object(
        item.id,
        item.is_message,
        item.partial,
        full,
        parts,
        calls,
        item.replaced,
        item.places,
        item.path,
        item.calls.indices,
    )


def _stored_calls(calls: Calls) -> _Calls | None:
    if calls is NO_CALLS:
        return None
    return _Calls(
        calls.round,
        calls.request,
        calls.started_at,
        calls.pairs,
        calls.names,
        calls.counts.keys(),
        calls.asked.keys(),
        calls.whole.keys(),
        tuple(calls.open),
        calls.results.keys(),
    )


def _read_calls(stored: _Calls | None) -> Calls:
    if stored is None:
        return NO_CALLS
    if len(stored.pairs) != len(stored.names):
        raise ValueError("a call without a name")
    return Calls(
        stored.round,
        stored.request,
        stored.started_at,
        stored.pairs,
        stored.names,
        Tally(stored.counts),
        Tally(stored.asked),
        Tally(stored.whole),
        OpenCalls(stored.open),
        Tally(stored.results),
    )


def _raw(content: JsonValue) -> msgspec.Raw:
    return msgspec.Raw(content.encode())


def _read_value(data: msgspec.Raw) -> JsonValue:
    return make_value(msgspec.json.decode(data), max_size=sys.maxsize)


def _read_documents(found: _State) -> Documents:
    if not (found.documents or found.missing):
        return NO_DOCUMENTS
    values = {item.path: _read_value(item.value) for item in found.documents}
    partial = frozenset([*[item.path for item in found.documents if item.partial], *found.missing])
    return Documents(values, partial, found.document_version, sum([value.size for value in values.values()]))


def _read_activities(found: _State) -> Activities:
    activities = NO_ACTIVITIES
    for item in found.activities:
        content = _read_value(item.value)
        activities = activities.with_activity(
            ActivityState(item.id, item.kind, content, item.version, item.path, item.partial)
        )
    return activities


def _read_pieces(found: _State) -> Pieces:
    if not found.pieces:
        return NO_PIECES
    statuses = tuple([RunStatus(status) for status in found.piece_statuses])
    usage = None if found.piece_usage is None else read(Usage, found.piece_usage, [])
    ids, uncounted = Tally(found.pieces), found.pieces_uncounted
    return Pieces(ids, found.piece_rounds, statuses, usage, found.piece_counted, uncounted)


def _calls_of_version_1(found: _State, run: Run, objects: Objects) -> tuple[Calls, Objects]:
    """The calls of a state of version 1, which knows ids alone: a request for one of them again is an old one."""
    calls = NO_CALLS
    for position, item in enumerate(objects):
        if not item.is_message:
            calls, named = name_step_calls(calls, item)
            objects = objects.set(position, named)
    if is_request(run):
        calls = structs.replace(calls, round=len(found.asked) - 1)
        calls = accept_request(calls, run, request_pairs(run), RequestKind.NEW, lambda step_id: {})
    elif found.asked:
        request = ",".join([_escaped(id) for id in found.asked[-1]])
        calls = structs.replace(calls, round=len(found.asked), request=request)
    counts, asked = calls.counts, calls.asked
    for id in dict.fromkeys([id for ids in found.asked for id in ids]):
        base = _escaped(id)
        if base not in counts:
            counts = counts.add(base)
        asked = asked.add(f"{base}/")
    done = {_escaped(id) for id in found.calls_done}
    names = [name for item in objects for name in item.calls if name.partition("~")[0] in done]
    calls = structs.replace(calls, counts=counts, asked=asked)
    return add_whole(calls, [*sorted(done), *names]), objects


def _escaped(id: str) -> str:
    """An id of version 1 as in keys; the digest of a request without ids stays as it is."""
    return id if id.startswith("digest:") else escape_id(id)


def _read_wire(kind: type[W], data: bytes) -> W:
    try:
        return decoder(kind).decode(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeError):
        value = read(kind, msgspec.json.decode(data), [])
        if value is None:
            raise ValueError("an essential field is missing") from None
        return value


# A node (:mod:`runstream.core.merge`) is written with its kind, as JSON has neither texts nor integer keys:
# ["t", text, emitted, prior] ["i", [[index, node], ...]] ["d", {name: node}] ["v", any JSON value]


def _write_node(node: Any) -> list[Any]:
    if isinstance(node, Text):
        return ["t", str(node), node.emitted, None if node.prior is None else str(node.prior)]
    if isinstance(node, dict):
        if node and type(next(iter(node))) is int:
            return ["i", [[index, _write_node(item)] for index, item in node.items()]]
        return ["d", {name: _write_node(item) for name, item in node.items()}]
    return ["v", node]


def _read_node(value: list[Any]) -> Any:
    kind = value[0]
    if kind == "t":
        _, text, emitted, prior = value
        if type(text) is not str or type(emitted) is not int or emitted < 0 or type(prior) not in (str, NoneType):
            raise ValueError("an invalid text")
        return Text(TextBuffer(text), len(text), emitted, None if prior is None else _emitted_text(prior))
    if kind == "i":
        if any(type(index) is not int for index, _ in value[1]):
            raise ValueError("an invalid index")
        return {index: _read_node(item) for index, item in value[1]}
    if kind == "d":
        return {name: _read_node(item) for name, item in value[1].items()}
    if kind == "v":
        return value[1]
    raise ValueError("an unknown kind of node")


def _emitted_text(text: str) -> Text:
    return Text(TextBuffer(text), len(text), len(text))
