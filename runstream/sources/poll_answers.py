"""What a function that retrieves a run gave, in whatever form, as the JSON objects in it.

Forms: a :class:`~runstream.Run`, a mapping, JSON as bytes or text, an object of a client library, a list or a page of
these, or an HTTP response that holds one. No client library is imported for it: they are told by what they offer.
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
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.user_calls import UserCallback, asked_wait, header_number

__all__ = ["Answer", "Snapshot", "read_answer"]

_DEPTH: Final = 4  # of lists in lists; deeper ones are no answers
_RUN: Final = "thread.run"
_STEP: Final = "thread.run.step"
_MESSAGE: Final = "thread.message"


class Snapshot(Struct, frozen=True):
    """One object as a server told it.

    Attributes:
        kind: Its ``object`` field; ``thread.run`` where it has none.
        id: Its id, "" if it has no usable one.
        status: Its status, "" if it has no usable one.
        run_id: The run that it says it belongs to; a run's own id.
        raw: It, as an event.
    """

    kind: str
    id: str
    status: str
    run_id: str | None
    raw: RawEvent

    @property
    def is_run(self) -> bool:
        """Whether it is a run that can be used: with an id and a status."""
        return self.kind == _RUN and bool(self.id and self.status)

    @property
    def ended(self) -> bool:
        """Whether a run, message or step has ended."""
        return RunStatus(self.status).is_terminal if self.status else False


class Answer(Struct, frozen=True):
    """What was given.

    Attributes:
        snapshots: The objects: runs, then steps, then messages, each in order of creation, then what else there is.
        poll_after: When the server wants to be asked again (``openai-poll-after-ms``; in seconds).
        retry_after: How long the server wants to be left alone (``Retry-After``; in seconds).
    """

    snapshots: tuple[Snapshot, ...] = ()
    poll_after: float | None = None
    retry_after: float | None = None

    @property
    def runs(self) -> tuple[Snapshot, ...]:
        """The runs that can be used."""
        return tuple(item for item in self.snapshots if item.is_run)


class _Glance(Struct):
    """As much of an object as must be known here."""

    object: Any = None
    id: Any = None
    status: Any = None
    run_id: Any = None
    role: Any = None
    created_at: Any = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_glance = msgspec.json.Decoder(_Glance).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def read_answer(given: Any, *, within: float | None = None) -> Answer:
    """The objects in what was given.

    Args:
        given: See the module; ``None``, and an HTTP answer of 204 or 304, hold none.
        within: How long reading the body of an HTTP response may take (seconds).

    Raises:
        Refused: It is an HTTP response with a status that is no success; or it is not JSON, which may be another
            time; or it is nothing of the kind, which it will always be.
        Exception: Its body could not be read.
    """
    poll_after = wait = None
    if (headers := getattr(given, "headers", None)) is not None and hasattr(headers, "get"):
        poll_after, wait = _poll_after(headers), asked_wait(headers)
        given = await _body(given, headers, within)
    found: list[tuple[_Glance, bytes]] = []
    if given is not None:
        _collect(given, found, _DEPTH)
    return Answer(_arranged(found), poll_after, wait)


async def _body(response: Any, headers: Any, within: float | None) -> Any:
    """The body of an HTTP response: of ``httpx``, ``requests``, ``aiohttp``, a raw response of a client library."""
    status = next(
        (code for name in ("status_code", "status") if type(code := getattr(response, name, None)) is int), 200
    )
    if status in (204, 304):
        return None
    if not 200 <= status < 300:
        # Of the server's words nothing: they may hold secrets, which are not known here.
        raise ConnectFailed(f"HTTP {status}", status=status, wait=asked_wait(headers))
    body = getattr(response, "content", None)
    if not isinstance(body, bytes):
        read = getattr(response, "read", None)
        if not callable(read):
            raise ConnectFailed(f"a {type(response).__name__} has headers, but no body that can be read")
        body = await UserCallback(read, "body")(within=within)
    return body


def _poll_after(headers: Any) -> float | None:
    milliseconds = header_number(headers, "openai-poll-after-ms")
    return None if milliseconds is None else milliseconds / 1000


def _collect(given: Any, found: list[tuple[_Glance, bytes]], depth: int) -> None:
    if isinstance(given, list | tuple):
        _several([given_one for given_one in given if given_one is not None], found, depth)
        return
    data = _json(given)
    if data is None:
        _several(list(given), found, depth)
        return
    if data.lstrip()[:1] == b"[":
        _several(_decoded(_items, data), found, depth)
        return
    glance = _decoded(_glance, data)
    if glance.object == "list" or (glance.object is None and glance.id is None and glance.data is not msgspec.UNSET):
        listed = glance.data if glance.data is not msgspec.UNSET else b"[]"
        _several(_decoded(_items, bytes(listed)), found, depth)
        return
    found.append((glance, data))


def _several(items: list[Any], found: list[tuple[_Glance, bytes]], depth: int) -> None:
    if depth == 0:
        raise ConnectFailed("lists in lists in lists are no answer")
    inner: list[tuple[_Glance, bytes]] = []
    for item in items:
        _collect(item, inner, depth - 1)
    if len(inner) > 1 and _newest_first(inner):
        inner.reverse()
    found += inner


def _newest_first(items: list[tuple[_Glance, bytes]]) -> bool:
    """Whether a list runs backwards, as servers give lists of messages and steps by default."""
    times = [glance.created_at for glance, _ in items]
    if not all(isinstance(time, int | float) for time in times) or len({glance.object for glance, _ in items}) != 1:
        return False
    return bool(times[0] > times[-1])


def _decoded(decode: Any, data: bytes) -> Any:
    try:
        str(data, "utf-8")  # what the decoder skips it does not look at, and the pipeline would reject it
        return decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        # Its words may quote the data.
        raise ConnectFailed(f"it gave no JSON object ({type(error).__name__})", retry=True) from None


def _json(given: Any) -> bytes | None:
    """One thing as JSON; ``None`` if it is several.

    Raises:
        Refused: It is nothing that could be.
    """
    if isinstance(given, bytes | bytearray | memoryview | msgspec.Raw):
        return bytes(given)
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    given = dump_fields(given)
    if isinstance(given, Mapping):
        try:
            return msgspec.json.encode(given if isinstance(given, dict) else dict(given))
        except (TypeError, ValueError, RecursionError, UnicodeError) as error:
            raise ConnectFailed(f"it gave what JSON can not hold ({type(error).__name__})") from None
    if isinstance(given, Iterable):
        return None
    raise ConnectFailed(f"a {type(given).__name__} is no run: give a run, a mapping, JSON, an HTTP response, or a list")


def _arranged(found: list[tuple[_Glance, bytes]]) -> tuple[Snapshot, ...]:
    """In the order in which they can be told: a run before what is its own; without what is another run's."""
    made = [_snapshot(glance, data) for glance, data in found]
    runs = {item.id for item in made if item.is_run}
    kinds = (_RUN, _STEP, _MESSAGE)
    order = {kind: place for place, kind in enumerate(kinds)}
    kept = [
        item
        for item, (glance, _) in zip(made, found, strict=True)
        if not runs or item.kind not in kinds or (item.run_id in runs if item.run_id else glance.role != "user")
    ]
    return tuple(sorted(kept, key=lambda item: order.get(item.kind, len(kinds))))


def _snapshot(glance: _Glance, data: bytes) -> Snapshot:
    kind = glance.object if isinstance(glance.object, str) else _RUN
    id = glance.id if isinstance(glance.id, str) else ""
    status = glance.status if isinstance(glance.status, str) else ""
    run_id = id if kind == _RUN else glance.run_id if isinstance(glance.run_id, str) else None
    name: str | None = f"{kind}.{status}"
    if name not in EVENT_TYPES:
        # A status that is not known, or none: then the kind alone says what it is.
        name = kind if kind in EVENT_TYPES else None
    return Snapshot(kind, id, status, run_id, RawEvent(name, data))
