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
from runstream.sources.ag_ui import AgUiSource
from runstream.sources.base import Source
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.langgraph import LangGraphSource
from runstream.sources.langgraph_thread import LangGraphThreadSource
from runstream.sources.poll import PollSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.repairs import Repair
from tests.faults.cases import Case, ConnectionPlan, can_resume, connection_plans, has_timeouts
from tests.faults.content import MAX_BYTES, MAX_FRAME, Item, block, connection_items, inside_a_character
from tests.faults.expected import expected_of
from tests.faults.process import Endpoint, Slot
from tests.faults.streams import graph_place, snapshots, tool_names

__all__ = ["MAX_ATTEMPTS", "Answered", "fetch", "make_source", "repair_of", "write_recording"]

MAX_ATTEMPTS = 6
_SHORT = 0.1  # seconds; only if the fault of a case makes the time pass
_LONG = 15.0
_QUIET = 5.0  # a stream that stays open after its end, and about which nobody is asked
_DEADLINE = 1000.0  # by the clock of a case; a call in flight is limited by real time, on a busy machine too


def make_source(case: Case, endpoint: Endpoint) -> Source:
    """Create the source of a case."""
    if case.protocol.startswith("langgraph") and case.source != "file":
        return _langgraph(case, endpoint)
    return _MAKERS[case.source](case, endpoint)


def repair_of(case: Case) -> Repair | None:
    """The repair of the application if the case has one: it fetches the final state of each run."""
    if case.server != "fetched":
        return None
    runs = {moment[-1][0]["id"]: moment[-1] for name in case.streams if (moment := snapshots((name,)))}

    async def fetch(state: RunState) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return list(runs[state.run_id])

    return Repair(fetch_run=fetch, interval=0.0)


def _reconnect(case: Case) -> Reconnect:
    if case.has("kill"):
        # The time until a killed process is restarted is not known.
        return Reconnect(initial=0.01, maximum=0.1, max_attempts=30, max_retry_after=0.01)
    return Reconnect(initial=0.001, maximum=0.01, max_attempts=MAX_ATTEMPTS, max_retry_after=0.01)


def _resume_after(info: ResumeInfo) -> Resume:
    return Resume(headers={"Last-Event-ID": info.last_id} if info.last_id is not None else None)


def _websocket(case: Case, endpoint: Endpoint) -> Source:
    tokens = count(1)

    return WebSocketSource(
        endpoint.url("ws"),
        name="source",
        proxy=None,
        auth=lambda: f"token-{next(tokens)}",
        resume=_resume_after,
        reconnect=_reconnect(case),
        max_message_bytes=MAX_FRAME,
        open_timeout=_SHORT * 6 if case.has("hush", "head") else _LONG,
        ping_interval=_SHORT if case.has("stall") else None,
        ping_timeout=_SHORT if case.has("stall") else None,
        close_timeout=_SHORT * 2 if case.has("stall") else 1.0,
    )


def _sse(case: Case, endpoint: Endpoint) -> Source:
    tokens = count(1)
    posts = case.source == "post"
    if case.protocol == "ag-ui" and posts:
        return AgUiSource(
            endpoint.url("http"),
            {"tools": [{"name": name} for name in tool_names(case.streams)]},
            name="source",
            proxy=None,
            auth=lambda: f"token-{next(tokens)}",
            reconnect=_reconnect(case),
            max_message_bytes=MAX_BYTES,
            open_timeout=_LONG,
            read_timeout=_SHORT * 6 if has_timeouts(case) else _LONG,
        )
    resume: Callable[[ResumeInfo], Resume] | None = (lambda info: Resume()) if can_resume(case) and posts else None
    if case.protocol == "responses" and (can_resume(case) or not posts):
        resume = _resume_after  # its place is in the data, which the transport does not read
    return SseSource(
        endpoint.url("http"),
        method="POST" if posts else "GET",
        json={"stream": True} if posts else None,
        resume=resume,
        name="source",
        proxy=None,
        auth=lambda: f"token-{next(tokens)}",
        reconnect=_reconnect(case),
        max_message_bytes=MAX_BYTES,
        open_timeout=_SHORT * 6 if case.has("head") else _LONG,
        read_timeout=_SHORT * 6 if has_timeouts(case) else _LONG,
    )


def _langgraph(case: Case, endpoint: Endpoint) -> Source:
    tokens = count(1)
    thread_id, run_id = graph_place(case.streams[0])
    options: dict[str, Any] = {
        "name": "source",
        "proxy": None,
        "auth": lambda: f"token-{next(tokens)}",
        "reconnect": _reconnect(case),
        "max_message_bytes": MAX_FRAME if case.source == "ws" else MAX_BYTES,
        "open_timeout": _SHORT * 6 if case.has("hush", "head") else _LONG,
        "read_timeout": _SHORT * 6 if has_timeouts(case) else _LONG,
    }
    if case.protocol == "langgraph-thread":
        transport: Any = "websocket" if case.source == "ws" else "sse"
        if case.has("corrupt") and not has_timeouts(case):
            options["read_timeout"] = _QUIET  # without the start of its run, nobody is asked about its end
        source = LangGraphThreadSource(endpoint.url("http"), thread_id, transport=transport, ask_after=2.0, **options)
        if case.has("stall") and isinstance(source._inner, WebSocketSource):
            source._inner._pings = {"ping_interval": _SHORT, "ping_timeout": _SHORT}  # no options of this source
        return source
    if case.source == "post":
        return LangGraphSource(endpoint.url("http"), thread_id=thread_id, json={"assistant_id": "a"}, **options)
    return LangGraphSource(endpoint.url("http"), thread_id=thread_id, run_id=run_id, **options)


def _file(case: Case, endpoint: Endpoint) -> Source:
    return RecordingSource(write_recording(case, endpoint.slot), name="source", speed=None)


def _poll(case: Case, endpoint: Endpoint) -> Source:
    ends = all(state.is_terminal for state in expected_of(case.streams, case.source).runs.values())
    enough = len(snapshots(case.streams)) + 1

    def clock() -> float:
        # The deadline of a run that never ends: after all its snapshots and all faults.
        slot = endpoint.slot
        return 2 * _DEADLINE if slot.position > enough and slot.connections > len(connection_plans(case)) else 0.0

    return PollSource(
        lambda: fetch(endpoint.url("http")),
        name="source",
        interval=0.001,
        max_interval=0.004,
        deadline=None if ends else _DEADLINE,
        call_timeout=_SHORT * 6 if has_timeouts(case) else _LONG,
        reconnect=_reconnect(case),
        clock=clock,
    )


_MAKERS: dict[str, Callable[[Case, Endpoint], Source]] = {
    "ws": _websocket,
    "sse": _sse,
    "post": _sse,
    "poll": _poll,
    "file": _file,
}


def write_recording(case: Case, slot: Slot) -> Path:
    """Write the file of a case, and record the numbers of the complete events in it."""
    rng = case.rng("file")
    suffix = rng.choice((".sse", ".jsonl"))
    newline = rng.choice((b"\n", b"\n", b"\r\n", b"\r"))

    def framed(item: Item) -> bytes:
        return block(item, newline=newline) if suffix == ".sse" else item.envelope() + b"\n"

    plan = next(iter(connection_plans(case)), ConnectionPlan(None, (), None))
    items, following = connection_items(case, 0, plan, 0)
    body = b"".join(framed(item) for item in items)
    if plan.loss is not None and following is not None:
        data = framed(following)
        rest = data[: inside_a_character(data) if plan.loss.name == "cut-utf8" else rng.randrange(1, len(data))]
        items = [*items, following] if following.data in rest else items  # complete: only its end mark is missing
        body += rest
    for item in items:
        if item.number >= 0:
            slot.note(item.number)
    path = slot.file.with_suffix(suffix)
    path.write_bytes(body)
    return path


class Answered(Struct, frozen=True):
    """An answer, in the form that most HTTP clients return."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


async def fetch(url: str) -> Answered:
    """Send a GET request, as an application without an HTTP library would.

    Raises:
        OSError, EOFError: The connection was lost.
        ValueError: The answer is not HTTP.
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
