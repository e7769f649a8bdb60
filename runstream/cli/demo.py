"""`demo`: bundled recordings, played over a real WebSocket on this machine and shown like any live stream; or runs that
a client starts, with ``--dialect``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Final

from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.screen import make_view
from runstream.cli.stdio import clip, complain
from runstream.cli.watch import WatchResult, watch_source
from runstream.model.raw import RawItem
from runstream.model.signals import ActionRequired
from runstream.recordings import demo as recordings
from runstream.recordings.reader import read_recording
from runstream.recordings.server import serve_recording
from runstream.sources.base import Source
from runstream.sources.websocket import WebSocketSource

__all__ = ["demo"]

_GAP: Final = 0.03
"""Seconds between two events at pace 1: the demo has about 400 events, and lasts 13 s."""

_SCENES: Final = [scene for act in recordings.SCRIPT for scene in act]


def demo(args: argparse.Namespace) -> int:
    """Play the recordings, or start runs of a protocol or a cluster; the exit code is 0 if all runs ended as scripted.

    Raises:
        UsageError: The runs of a protocol need an extra that is not installed.
    """
    if args.dialect is not None:
        try:
            from runstream.cli.demo_clients import demo_client
        except ImportError as error:
            raise UsageError(str(error)) from error
        return demo_client(args)
    if args.cluster:
        from runstream.cli.cluster_demo import cluster_demo  # only here: it needs a broker

        return cluster_demo()
    result = asyncio.run(_demo(json=args.json, plain=args.plain, pace=args.pace))
    found = {state.run_id: state.status.value for state in result.states}
    failures = 0
    for scene in _SCENES:
        status = found.pop(scene.run_id, "never seen")
        if status != scene.outcome:
            failures += 1
            complain(f"{scene.run_id}: {clip(status)}, though the script says {scene.outcome}")
    for run_id in found:
        complain(f"{clip(run_id)}: not in the script")
    return ExitCode.NOT_COMPLETED if failures or found else ExitCode.COMPLETED


async def _demo(*, json: bool, plain: bool, pace: float) -> WatchResult:
    view = make_view(json=json, plain=plain)
    async with AsyncExitStack() as stack:

        async def play(items: Iterable[RawItem]) -> Source:
            server = await stack.enter_async_context(serve_recording(items, speed=pace, gap=_GAP))
            # No proxy, despite the environment, because the connection is local; and no reconnect, because the
            # server would play the recording again from its beginning.
            return WebSocketSource(server.url, proxy=None, reconnect=None)

        source = await play(_events())
        answers = {scene.run_id: await play(_read(scene.files[1])) for scene in _SCENES if len(scene.files) > 1}

        def answer(signal: ActionRequired) -> Source | None:
            # An application submits the outputs of its tools here, and reads the next stream of the run. The script
            # has an answer for the first request of a run, and no second request.
            return answers.pop(signal.run_id, None)

        return await watch_source(source, view, quiet=json, answer=answer)


def _events() -> Iterator[RawItem]:
    """The events of all acts, one after the other, the scenes of each interleaved."""
    for act in recordings.SCRIPT:
        yield from recordings.interleave([_read(scene.files[0]) for scene in act])


def _read(name: str) -> list[RawItem]:
    return list(read_recording(recordings.load(name), format="sse"))
