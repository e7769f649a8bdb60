"""The source that reads a case, with limits and delays so short that a case takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from runstream.core.state import RunState
from runstream.recordings.source import RecordingSource
from runstream.sources.base import Source
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.poll import PollSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.repairs import Repair
from tests.faults.cases import Case, Leg, legs, resumes, slow
from tests.faults.content import MAX_BYTES, MAX_FRAME, Item, block, inside_a_character, tell
from tests.faults.expected import clean
from tests.faults.process import Place, Slot
from tests.faults.streams import snapshots

__all__ = ["MAX_ATTEMPTS", "Answered", "fetch", "fetching", "make", "write"]

MAX_ATTEMPTS = 6
_SHORT = 0.1  # seconds; only where a case makes it pass
_LONG = 15.0


def make(case: Case, place: Place) -> Source:
    """The source."""
    return _MAKERS[case.source](case, place)


def fetching(case: Case) -> Repair | None:
    """How the application fetches a run, where it does: it gets each run as it ends."""
    if case.server != "fetched":
        return None
    runs = {moment[-1][0]["id"]: moment[-1] for name in case.tellings if (moment := snapshots((name,)))}

    async def fetch(state: RunState) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return list(runs[state.run_id])

    return Repair(fetch_run=fetch, interval=0.0)


def _reconnect(case: Case) -> Reconnect:
    if case.has("kill"):
        # It takes as long as it takes until a killed process is there again.
        return Reconnect(initial=0.01, maximum=0.1, max_attempts=30, max_retry_after=0.01)
    return Reconnect(initial=0.001, maximum=0.01, max_attempts=MAX_ATTEMPTS, max_retry_after=0.01)


def _websocket(case: Case, place: Place) -> Source:
    tokens = count(1)

    def resume(info: ResumeInfo) -> Resume | None:
        return Resume(headers={"Last-Event-ID": info.last_id}) if info.last_id is not None else None

    return WebSocketSource(
        place.url("ws"),
        name="source",
        proxy=None,
        auth=lambda: f"token-{next(tokens)}",
        resume=resume,
        reconnect=_reconnect(case),
        max_message_bytes=MAX_FRAME,
        open_timeout=_SHORT * 6 if case.has("hush") else _LONG,
        ping_interval=_SHORT if case.has("stall") else None,
        ping_timeout=_SHORT if case.has("stall") else None,
        close_timeout=_SHORT * 2 if case.has("stall") else 1.0,
    )


def _sse(case: Case, place: Place) -> Source:
    tokens = count(1)
    posts = case.source == "post"
    return SseSource(
        place.url("http"),
        method="POST" if posts else "GET",
        json={"stream": True} if posts else None,
        resume=(lambda info: Resume()) if resumes(case) and posts else None,
        name="source",
        proxy=None,
        auth=lambda: f"token-{next(tokens)}",
        reconnect=_reconnect(case),
        max_message_bytes=MAX_BYTES,
        open_timeout=_LONG,
        read_timeout=_SHORT * 6 if slow(case) else _LONG,
    )


def _file(case: Case, place: Place) -> Source:
    return RecordingSource(write(case, place.slot), name="source", speed=None)


def _poll(case: Case, place: Place) -> Source:
    ends = all(state.is_terminal for state in clean(case.tellings, case.source).runs.values())
    enough = len(snapshots(case.tellings)) + 1

    def clock() -> float:
        # The deadline of a run that never ends: once all of it was told, and every fault was met.
        slot = place.slot
        return 2.0 if slot.position > enough and slot.connections > len(legs(case)) else 0.0

    return PollSource(
        lambda: fetch(place.url("http")),
        name="source",
        interval=0.001,
        max_interval=0.004,
        deadline=None if ends else 1.0,
        call_timeout=_SHORT * 6 if slow(case) else _LONG,
        reconnect=_reconnect(case),
        clock=clock,
    )


_MAKERS: dict[str, Callable[[Case, Place], Source]] = {
    "ws": _websocket,
    "sse": _sse,
    "post": _sse,
    "poll": _poll,
    "file": _file,
}


def write(case: Case, slot: Slot) -> Path:
    """Write the file of a case, and note which events are in it, whole."""
    chance = case.chance("file")
    suffix = chance.choice((".sse", ".jsonl"))
    newline = chance.choice((b"\n", b"\n", b"\r\n", b"\r"))

    def framed(item: Item) -> bytes:
        return block(item, newline=newline) if suffix == ".sse" else item.envelope() + b"\n"

    leg = next(iter(legs(case)), Leg(None, (), None))
    items, following = tell(case, 0, leg, 0)
    body = b"".join(framed(item) for item in items)
    if leg.loss is not None and following is not None:
        data = framed(following)
        rest = data[: inside_a_character(data) if leg.loss.name == "cut-utf8" else chance.randrange(1, len(data))]
        items = [*items, following] if following.data in rest else items  # only what ends it is missing
        body += rest
    for item in items:
        if item.number >= 0:
            slot.note(item.number)
    path = slot.file.with_suffix(suffix)
    path.write_bytes(body)
    return path


class Answered(Struct, frozen=True):
    """An answer, in the form that most HTTP clients give it."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


async def fetch(url: str) -> Answered:
    """Get a URL.

    Raises:
        OSError, EOFError: The connection was lost.
        ValueError: The answer is no HTTP.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = HTTPStatus(int(head[0].split(" ")[1]))
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = 0 if status is HTTPStatus.NO_CONTENT else int(headers.get("content-length", "0"))
        return Answered(int(status), headers, await reader.readexactly(length))
    finally:
        writer.close()
