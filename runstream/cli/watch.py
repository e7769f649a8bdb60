"""`watch`: a live stream in, its signals shown as they come."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from runstream.cli.exit_codes import Tally, UsageError
from runstream.cli.lines import View
from runstream.cli.output import Rejects, clip, complain, escape
from runstream.cli.screen import make_view
from runstream.cli.serve import PageDoor, page_door
from runstream.core.state import RunState
from runstream.engine.watchdogs import Watchdogs
from runstream.errors import IncompleteStream, SourceFailed
from runstream.model.signals import ActionRequired, Signal
from runstream.sources.base import Source
from runstream.sources.credentials import merge_headers
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.run_stream import RunStream

__all__ = ["Seen", "live_source", "watch", "watch_source"]

Answer = Callable[[ActionRequired], Source | None]

_GIVE = "give wss://host/path, https://host/path, ws:// or http://"


def watch(args: argparse.Namespace) -> int:
    """Show the signals of a live stream."""
    source = live_source(args)
    view = make_view(json=args.json, plain=args.plain)
    page = page_door(args) if args.page else None
    seen = asyncio.run(watch_source(source, view, quiet=args.json, page=page, idle=args.idle))
    return seen.tally.code(seen.states)


class Seen:
    """What came of watching: the tally, and the states held at the end."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.states: Sequence[RunState] = ()


async def watch_source(
    source: Source,
    view: View,
    *,
    quiet: bool,
    answer: Answer | None = None,
    page: PageDoor | None = None,
    idle: float | None = None,
) -> Seen:
    """Show every signal of a source until it ends.

    Args:
        source: What to read.
        view: Where to show it.
        quiet: Whether to leave out the closing count.
        answer: Asked at each `ActionRequired` for a source that goes on with the run.
        page: Shows the stream in browsers too, for as long as its context lasts.
        idle: Seconds without an event after which a run is given up, and its source with it; ``None``: never.
    """
    seen, rejects = Seen(), Rejects()

    def show(signal: Signal) -> None:
        seen.tally.add(signal)
        view.show(signal)

    dogs = None if idle is None else Watchdogs(idle=idle, expiry_grace=None, end=True, close_sources=True)
    # A subscriber that raises is a closed pipe here: it must end the command, not be logged. And it is a plain
    # function, so that a reader that pauses (a pager) slows the sender for as long as it likes.
    stream = RunStream(source, on_subscriber_error="raise", watchdogs=dogs)
    stream.signals.subscribe(show, on_error=_raised_elsewhere)
    stream.rejects.subscribe(rejects.add, on_error=_raised_elsewhere)
    if answer is not None:
        stream.on(ActionRequired, answer)
    try:
        # The page outermost: it stays for a while after the terminal has shown the end.
        async with stream, page(stream) if page is not None else nullcontext(), view.watching(stream):
            try:
                await stream.results()
            except IncompleteStream as error:
                if isinstance(error.__cause__, SourceFailed):
                    complain(escape(error.__cause__.reason))
    finally:
        view.close()
    seen.states = tuple(stream.latest.values())
    rejects.total()
    if unplaced := stream.stats.orphans:
        complain(f"{unplaced} event{'s' if unplaced != 1 else ''} of runs that were never seen")
    if not (quiet or view.counts) or not seen.tally.seen:
        complain(seen.tally.summary(seen.states))
    return seen


def _raised_elsewhere(error: Exception) -> None:
    """The stream raises it from whatever is awaited."""


def live_source(args: argparse.Namespace) -> Source:
    """The source that a URL, ``--header`` and ``--data`` name.

    Raises:
        UsageError: The URL is none that can be read, or the body can't be.
    """
    scheme, headers = _scheme_of(args.url), dict(args.header)
    # A command's exit code must say what became of this stream. Connecting again is for programs that go on.
    if scheme in {"ws", "wss"}:
        if args.data is not None:
            raise UsageError("--data is the body of a POST: give an http:// or https:// URL")
        return WebSocketSource(args.url, headers=headers, reconnect=None)
    try:
        if args.data is None:
            return SseSource(args.url, headers=headers, reconnect=None)
        headers = merge_headers({"Content-Type": "application/json"}, headers)
        return SseSource(args.url, method="POST", content=_body(args.data), headers=headers, reconnect=None)
    except ImportError as error:
        raise UsageError(f"{error}, or pipe it in: curl -sN URL | runstream replay -") from error


def _body(data: str) -> bytes:
    """What ``--data`` says, or what the file has that it names, as with curl."""
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {clip(escape(data[1:]))}: {error.strerror or type(error).__name__}") from error


def _scheme_of(url: str) -> str:
    """Refuse what is no live stream, without repeating it: URLs hold credentials."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the URL can't be read ({escape(str(error))}); {_GIVE}") from error
    if parts.scheme not in {"ws", "wss", "http", "https"}:
        scheme = f"{clip(parts.scheme, 20)}:// is no live stream" if parts.scheme else "no scheme"
        raise UsageError(f"{scheme}; {_GIVE}")
    if not host:
        raise UsageError(f"the URL names no host; {_GIVE}")
    return parts.scheme
