"""`watch` and `serve`: the two ends of a live stream."""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

from runstream.cli import files
from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.live_source import live_source
from runstream.cli.output import Output, complain, escape
from runstream.cli.page import page_door, play_on_page
from runstream.cli.screen import make_view
from runstream.cli.watching import watch_source
from runstream.model.raw import RawItem
from runstream.recordings.server import serve_recording

__all__ = ["GAP", "live_source", "serve", "watch"]

GAP: Final = 0.03
"""Seconds between two events where the recording does not say when they came."""


def watch(args: argparse.Namespace) -> int:
    """Show the signals of a live stream."""
    source = live_source(args)
    view = make_view(json=args.json, plain=args.plain)
    page = page_door(args) if args.page else None
    seen = asyncio.run(watch_source(source, view, quiet=args.json, page=page, idle=args.idle))
    return seen.tally.code(seen.states)


def serve(args: argparse.Namespace) -> int:
    """Play recordings to every client that connects."""
    files.check(args.files)
    items = [item for path in args.files for item in files.read(path)]
    try:
        asyncio.run(_serve(args, items))
    except OSError as error:
        raise UsageError(
            f"can't listen on {escape(args.host)} port {args.port} ({escape(error.strerror or str(error))}); "
            "--port 0 takes any free port"
        ) from error
    except KeyboardInterrupt:
        complain("ended")
    return ExitCode.COMPLETED


async def _serve(args: argparse.Namespace, items: list[RawItem]) -> None:
    output = Output()
    async with serve_recording(items, host=args.host, port=args.port, speed=args.speed, gap=GAP) as server:
        output.line(server.url)
        complain("Ctrl-C ends it")
        if args.page:
            await play_on_page(args, server.url, output)
        await asyncio.Event().wait()
