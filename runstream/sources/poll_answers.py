"""Answers of a function that retrieves a run: the result of a call in any form in, its objects and their events out.

Forms: a :class:`~runstream.Run`, a mapping, JSON as bytes or text, an object of a client library, a list or a page of
these, or an HTTP response that contains one. No client library is imported: forms are recognised by their attributes.
A dialect decodes the objects: runs, ids and statuses are those of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from runstream.dialects.base import Dialect
from runstream.model.events import Event, MessageEvent, Reject, RunEvent, StepEvent
from runstream.model.raw import Answer
from runstream.model.raw_input import dump_fields
from runstream.model.run import Run
from runstream.sources.http_errors import ConnectFailed, header_number, requested_wait
from runstream.sources.user_calls import UserCallback

__all__ = ["PollResult", "PolledObject", "names_run", "read_answer"]

_MAX_DEPTH: Final = 4  # of lists in lists; deeper ones are no answers
_KINDS: Final = (RunEvent, StepEvent, MessageEvent)  # in the order in which objects are fed


class PolledObject(Struct, frozen=True):
    """One object as the server has it.

    Attributes:
        item: The object as an item of the source.
        events: Its events, by the dialect of the source.
    """

    item: Answer
    events: tuple[Event | Reject, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:
        """The usable runs in it: with an id and a status."""
        runs = (event.data for event in self.events if isinstance(event, RunEvent))
        return tuple(run for run in runs if run.id and run.status)

    @property
    def key(self) -> tuple[Any, ...]:
        """The kinds and ids of its objects; its data if it has none."""
        ids = tuple((type(event.data), event.data.id) for event in self.events if isinstance(event, _KINDS))
        return ids or (self.item.data,)


class PollResult(Struct, frozen=True):
    """The contents of one answer.

    Attributes:
        objects: The objects: runs, then steps, then messages, each in order of creation, then others.
        poll_after: The time until the next poll that the server asks for (``openai-poll-after-ms``; in seconds).
        retry_after: The time in which the server asks not to be called (``Retry-After``; in seconds).
    """

    objects: tuple[PolledObject, ...] = ()
    poll_after: float | None = None
    retry_after: float | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """The usable runs."""
        return tuple(run for item in self.objects for run in item.runs)


def names_run(event: Event | Reject) -> str | None:
    """The id of the run to which a run, step or message belongs, according to its event; ``None`` if it names none."""
    if not isinstance(event, _KINDS):
        return None
    return event.run_id or (event.data.id if isinstance(event, RunEvent) else event.data.run_id)


class _Header(Struct):
    """The fields of an object that distinguish a page from an object."""

    object: Any = None
    id: Any = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_Decode = Callable[[bytes], PolledObject]

_decode_header = msgspec.json.Decoder(_Header).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def read_answer(answer: Any, dialect: Dialect, *, within: float | None = None) -> PollResult:
    """Return the objects in an answer.

    Args:
        answer: One of the forms that the module lists; ``None``, and an HTTP response of 204 or 304, contain none.
        dialect: Decodes its objects.
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
    found: list[PolledObject] = []
    if answer is not None:

        def decode(data: bytes) -> PolledObject:
            item = Answer(data=data)
            events = dialect.decode(item)
            return PolledObject(item, tuple(events) if isinstance(events, Sequence) else (events,))

        _collect(answer, found, decode, _MAX_DEPTH)
    return PollResult(_in_order(found), poll_after, wait)


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


def _collect(value: Any, found: list[PolledObject], decode: _Decode, depth: int) -> None:
    if isinstance(value, list | tuple):
        _collect_list([item for item in value if item is not None], found, decode, depth)
        return
    data = _encode(value)
    if data is None:
        _collect_list(list(value), found, decode, depth)
        return
    if data.lstrip()[:1] == b"[":
        _collect_list(_decode(_decode_items, data), found, decode, depth)
        return
    header = _decode(_decode_header, data)
    if header.object == "list" or (header.object is None and header.id is None and header.data is not msgspec.UNSET):
        items = header.data if header.data is not msgspec.UNSET else b"[]"
        _collect_list(_decode(_decode_items, bytes(items)), found, decode, depth)
        return
    found.append(decode(data))


def _collect_list(items: list[Any], found: list[PolledObject], decode: _Decode, depth: int) -> None:
    if depth == 0:
        raise ConnectFailed("lists in lists in lists are no answer")
    inner: list[PolledObject] = []
    for item in items:
        _collect(item, inner, decode, depth - 1)
    if len(inner) > 1 and _is_newest_first(inner):
        inner.reverse()
    found += inner


def _is_newest_first(items: list[PolledObject]) -> bool:
    """Return whether a list starts with its newest object, as servers return messages and steps by default."""
    datas = [event.data for item in items for event in item.events if isinstance(event, _KINDS)]
    if len(datas) != len(items) or len({type(data) for data in datas}) != 1:
        return False
    times = [data.created_at for data in datas if data.created_at is not None]
    return len(times) == len(items) and times[0] > times[-1]


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


def _in_order(found: list[PolledObject]) -> tuple[PolledObject, ...]:
    """Return the objects in the order in which they can be fed: a run before its steps and messages, and without the
    objects of other runs.
    """
    runs = {run.id for item in found for run in item.runs}
    kept = [item for item in found if not runs or all(_is_of(event, runs) for event in item.events)]
    return tuple(sorted(kept, key=_rank))


def _is_of(event: Event | Reject, runs: set[str]) -> bool:
    """Return False for the object of another run, and for a user's message."""
    if not isinstance(event, _KINDS):
        return True
    run_id = names_run(event)
    return run_id in runs if run_id is not None else not isinstance(event, MessageEvent) or event.data.role != "user"


def _rank(item: PolledObject) -> int:
    ranks = [rank for rank, kind in enumerate(_KINDS) for event in item.events if isinstance(event, kind)]
    return min(ranks, default=len(_KINDS))
