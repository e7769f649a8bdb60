"""Answers of a function that retrieves a run: the result of a call in any form, the JSON objects in it out.

Forms: a :class:`~runstream.Run`, a mapping, JSON as bytes or text, an object of a client library, a list or a page of
these, or an HTTP response that contains one. No client library is imported: forms are recognised by their attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.raw import RawEvent
from runstream.model.raw_input import dump_fields
from runstream.model.run import RunStatus
from runstream.sources.http_errors import ConnectFailed, header_number, requested_wait
from runstream.sources.user_calls import UserCallback

__all__ = ["Answer", "Snapshot", "read_answer"]

_MAX_DEPTH: Final = 4  # of lists in lists; deeper ones are no answers
_RUN: Final = "thread.run"
_STEP: Final = "thread.run.step"
_MESSAGE: Final = "thread.message"


class Snapshot(Struct, frozen=True):
    """One object as the server has it.

    Attributes:
        kind: Its ``object`` field; ``thread.run`` if it has none.
        id: Its id, "" if it has no usable one.
        status: Its status, "" if it has no usable one.
        run_id: The id of the run that it belongs to, according to the object; a run's own id.
        raw: The object as an event.
    """

    kind: str
    id: str
    status: str
    run_id: str | None
    raw: RawEvent

    @property
    def is_run(self) -> bool:
        """True if it is a usable run: with an id and a status."""
        return self.kind == _RUN and bool(self.id and self.status)

    @property
    def ended(self) -> bool:
        """True if a run, message or step has ended."""
        return RunStatus(self.status).is_terminal if self.status else False


class Answer(Struct, frozen=True):
    """The contents of one answer.

    Attributes:
        snapshots: The objects: runs, then steps, then messages, each in order of creation, then other objects.
        poll_after: The time until the next poll that the server asks for (``openai-poll-after-ms``; in seconds).
        retry_after: The time in which the server asks not to be called (``Retry-After``; in seconds).
    """

    snapshots: tuple[Snapshot, ...] = ()
    poll_after: float | None = None
    retry_after: float | None = None

    @property
    def runs(self) -> tuple[Snapshot, ...]:
        """The usable runs."""
        return tuple(item for item in self.snapshots if item.is_run)


class _Header(Struct):
    """The fields of an object that are needed here."""

    object: Any = None
    id: Any = None
    status: Any = None
    run_id: Any = None
    role: Any = None
    created_at: Any = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_Objects = list[tuple[_Header, bytes]]

_decode_header = msgspec.json.Decoder(_Header).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def read_answer(answer: Any, *, within: float | None = None) -> Answer:
    """Return the objects in an answer.

    Args:
        answer: One of the forms that the module lists; ``None``, and an HTTP response of 204 or 304, contain none.
        within: How long reading the body of an HTTP response may take (seconds).

    Raises:
        ConnectFailed: It is an HTTP response with a status other than success; or it is not JSON, which may pass; or
            it has none of these forms, which is final.
        Exception: Its body could not be read.
    """
    poll_after = wait = None
    if (headers := getattr(answer, "headers", None)) is not None and hasattr(headers, "get"):
        poll_after, wait = _poll_after(headers), requested_wait(headers)
        answer = await _read_body(answer, headers, within)
    found: _Objects = []
    if answer is not None:
        _collect(answer, found, _MAX_DEPTH)
    return Answer(_sorted_snapshots(found), poll_after, wait)


async def _read_body(response: Any, headers: Any, within: float | None) -> Any:
    """Return the body of an HTTP response: of ``httpx``, ``requests``, ``aiohttp``, or a raw response of a client
    library.
    """
    status = next(
        (code for name in ("status_code", "status") if type(code := getattr(response, name, None)) is int), 200
    )
    if status in (204, 304):
        return None
    if not 200 <= status < 300:
        # Without the server's text: it may contain secrets, which are not known here.
        raise ConnectFailed(f"HTTP {status}", status=status, wait=requested_wait(headers))
    body = getattr(response, "content", None)
    if not isinstance(body, bytes):
        read = getattr(response, "read", None)
        if not callable(read):
            raise ConnectFailed(f"a {type(response).__name__} has headers, but no body that can be read")
        body = await UserCallback(read, "body")(within=within)
    return body


def _poll_after(headers: Any) -> float | None:
    milliseconds = header_number(headers, "Openai-Poll-After-Ms")
    return None if milliseconds is None else milliseconds / 1000


def _collect(value: Any, found: _Objects, depth: int) -> None:
    if isinstance(value, list | tuple):
        _collect_list([item for item in value if item is not None], found, depth)
        return
    data = _encode(value)
    if data is None:
        _collect_list(list(value), found, depth)
        return
    if data.lstrip()[:1] == b"[":
        _collect_list(_decode(_decode_items, data), found, depth)
        return
    header = _decode(_decode_header, data)
    if header.object == "list" or (header.object is None and header.id is None and header.data is not msgspec.UNSET):
        items = header.data if header.data is not msgspec.UNSET else b"[]"
        _collect_list(_decode(_decode_items, bytes(items)), found, depth)
        return
    found.append((header, data))


def _collect_list(items: list[Any], found: _Objects, depth: int) -> None:
    if depth == 0:
        raise ConnectFailed("lists in lists in lists are no answer")
    inner: _Objects = []
    for item in items:
        _collect(item, inner, depth - 1)
    if len(inner) > 1 and _is_newest_first(inner):
        inner.reverse()
    found += inner


def _is_newest_first(items: _Objects) -> bool:
    """Return whether a list starts with its newest object, as servers return messages and steps by default."""
    times = [header.created_at for header, _ in items]
    if not all(isinstance(time, int | float) for time in times) or len({header.object for header, _ in items}) != 1:
        return False
    return bool(times[0] > times[-1])


def _decode(decode: Any, data: bytes) -> Any:
    try:
        str(data, "utf-8")  # the decoder does not check the fields that it skips, and the pipeline would reject them
        return decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        # The error's message may quote the data.
        raise ConnectFailed(f"it gave no JSON object ({type(error).__name__})", retry=True) from None


def _encode(value: Any) -> bytes | None:
    """Return one object as JSON; ``None`` if the value is an iterable of objects.

    Raises:
        ConnectFailed: It has none of the forms of an answer.
    """
    if isinstance(value, bytes | bytearray | memoryview | msgspec.Raw):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    value = dump_fields(value)
    if isinstance(value, Mapping):
        try:
            return msgspec.json.encode(value if isinstance(value, dict) else dict(value))
        except (TypeError, ValueError, RecursionError, UnicodeError) as error:
            raise ConnectFailed(f"it gave what JSON can not represent ({type(error).__name__})") from None
    if isinstance(value, Iterable):
        return None
    raise ConnectFailed(f"a {type(value).__name__} is no run: give a run, a mapping, JSON, an HTTP response, or a list")


def _sorted_snapshots(found: _Objects) -> tuple[Snapshot, ...]:
    """Return the snapshots in the order in which they can be fed: a run before its steps and messages, and without
    the objects of other runs.
    """
    snapshots = [_snapshot(header, data) for header, data in found]
    runs = {item.id for item in snapshots if item.is_run}
    kinds = (_RUN, _STEP, _MESSAGE)
    order = {kind: place for place, kind in enumerate(kinds)}
    kept = [
        item
        for item, (header, _) in zip(snapshots, found, strict=True)
        if not runs or item.kind not in kinds or (item.run_id in runs if item.run_id else header.role != "user")
    ]
    return tuple(sorted(kept, key=lambda item: order.get(item.kind, len(kinds))))


def _snapshot(header: _Header, data: bytes) -> Snapshot:
    kind = header.object if isinstance(header.object, str) else _RUN
    id = header.id if isinstance(header.id, str) else ""
    status = header.status if isinstance(header.status, str) else ""
    run_id = id if kind == _RUN else header.run_id if isinstance(header.run_id, str) else None
    name: str | None = f"{kind}.{status}"
    if name not in EVENT_TYPES:
        # Without a known status, the kind alone names the event.
        name = kind if kind in EVENT_TYPES else None
    return Snapshot(kind, id, status, run_id, RawEvent(name, data))
