"""`demo`: bundled recordings, played over a real WebSocket on this machine, shown like any live stream."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Final

from runstream.cli.exit_codes import ExitCode
from runstream.cli.output import clip, complain
from runstream.cli.screen import make_view
from runstream.cli.watch import Seen, watch_source
from runstream.model.raw import RawItem
from runstream.model.signals import ActionRequired
from runstream.recordings import demo as recordings
from runstream.recordings.reader import read_recording
from runstream.recordings.server import serve_recording
from runstream.sources.base import Source
from runstream.sources.websocket import WebSocketSource

__all__ = ["demo"]

_GAP: Final = 0.03
"""Seconds between two events at pace 1: the show has some 400, and lasts 13 s."""

_SCENES: Final = [scene for act in recordings.SCRIPT for scene in act]


def demo(args: argparse.Namespace) -> int:
    """Play the show; 0 if every run ended as scripted."""
    seen = asyncio.run(_demo(json=args.json, plain=args.plain, pace=args.pace))
    found = {state.run_id: state.status.value for state in seen.states}
    odd = 0
    for scene in _SCENES:
        status = found.pop(scene.run_id, "never seen")
        if status != scene.outcome:
            odd += 1
            complain(f"{scene.run_id}: {clip(status)}, though the script says {scene.outcome}")
    for run_id in found:
        complain(f"{clip(run_id)}: not in the script")
    return ExitCode.NOT_COMPLETED if odd or found else ExitCode.COMPLETED


async def _demo(*, json: bool, plain: bool, pace: float) -> Seen:
    view = make_view(json=json, plain=plain)
    async with AsyncExitStack() as stack:

        async def play(items: Iterable[RawItem]) -> Source:
            server = await stack.enter_async_context(serve_recording(items, speed=pace, gap=_GAP))
            # No proxy, whatever the environment says: this stays here. And who comes late has missed the show.
            return WebSocketSource(server.url, proxy=None, reconnect=None)

        show = await play(_show())
        answers = {scene.run_id: await play(_read(scene.files[1])) for scene in _SCENES if len(scene.files) > 1}

        def answer(signal: ActionRequired) -> Source | None:
            # What an application does once its tools have answered: submit the outputs, and read on. A second
            # request would be answered by nobody; the script has none.
            return answers.pop(signal.run_id, None)

        return await watch_source(show, view, quiet=json, answer=answer)


def _show() -> Iterator[RawItem]:
    """All acts, one after the other, the scenes of each interleaved."""
    for act in recordings.SCRIPT:
        yield from recordings.interleave([_read(scene.files[0]) for scene in act])


def _read(name: str) -> list[RawItem]:
    return list(read_recording(recordings.load(name), format="sse"))
