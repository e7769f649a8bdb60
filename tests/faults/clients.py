"""The source that reads a case, with limits and delays so short that a case takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

from runstream.core.state import RunState
from runstream.recordings.source import RecordingSource
from runstream.sources.base import Source
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.poll import PollSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.repairs import Repair
from tests.faults.cases import Case, legs, resumes, slow
from tests.faults.clean import clean
from tests.faults.fetching import fetch
from tests.faults.filed import write
from tests.faults.polled import snapshots
from tests.faults.process import Place
from tests.faults.telling import MAX_BYTES, MAX_FRAME

__all__ = ["MAX_ATTEMPTS", "fetching", "make"]

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
