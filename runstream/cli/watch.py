"""`watch`: a live stream in, its signals out as they happen; the core of `demo` and `record` too."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from runstream.cli.exit_codes import Tally, UsageError
from runstream.cli.lines import View
from runstream.cli.screen import make_view
from runstream.cli.serve import PageContext, page_context
from runstream.cli.stdio import Rejects, clip, complain, escape, report_dialect
from runstream.core.state import RunState
from runstream.engine.unused_input import UnusedInput
from runstream.engine.watchdogs import Watchdogs
from runstream.errors import IncompleteStream
from runstream.model.signals import ActionRequired, Signal, SourceError
from runstream.sources.base import Source
from runstream.sources.credentials import merge_headers
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.run_stream import RunStream

__all__ = ["WatchResult", "live_source", "read_body", "scheme_of", "watch", "watch_source", "watch_stream"]

Answer = Callable[[ActionRequired], Source | None]

_MAX_FAILURES: Final = 100

_ADVICE = "give wss://host/path, https://host/path, ws:// or http://"


def watch(args: argparse.Namespace) -> int:
    """Show the signals of a live stream."""
    source = live_source(args)
    view = make_view(json=args.json, plain=args.plain)
    page = page_context(args) if args.page else None
    result = asyncio.run(watch_source(source, view, quiet=args.json, page=page, idle=args.idle, dialect=args.dialect))
    return result.tally.code(result.states)


class WatchResult:
    """The result of watching a source.

    Attributes:
        tally: The counts of runs.
        states: The states that are stored at the end.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.states: Sequence[RunState] = ()


async def watch_source(
    source: Source,
    view: View,
    *,
    quiet: bool,
    answer: Answer | None = None,
    page: PageContext | None = None,
    idle: float | None = None,
    dialect: str | None = None,
) -> WatchResult:
    """Show every signal of a source until it ends.

    Args:
        source: What to read.
        view: Where to show it.
        quiet: True to leave out the closing count.
        answer: Called with each `ActionRequired`; returns a source that continues the run, or ``None``.
        page: A context that shows the stream in browsers too.
        idle: Seconds without an event after which a run is interrupted, and its source ended; and seconds after which a
            source that has sent nothing fails; ``None``: never.
        dialect: The dialect of the source, and of those that continue its runs; ``None`` for the default one.
    """
    watchdogs = None
    if idle is not None:
        # A source that sends nothing has no run that could be idle: `silent` is the same limit for the source itself.
        watchdogs = Watchdogs(idle=idle, silent=idle, expiry_grace=None, end=True, close_sources=True)
    # A subscriber raises when the pipe is closed: that must end the command, not be logged. The subscriber is a plain
    # function, so that a reader that pauses (a pager) slows the sender down without a time limit.
    stream = RunStream(dialect=dialect, on_subscriber_error="raise", watchdogs=watchdogs)
    handle = stream.attach(source)
    if answer is not None:
        stream.on(ActionRequired, answer)
    return await watch_stream(
        stream, view, quiet=quiet, page=page, report=lambda: report_dialect(source.name, dialect, handle.dialect)
    )


async def watch_stream(
    stream: RunStream,
    view: View,
    *,
    quiet: bool,
    page: PageContext | None = None,
    report: Callable[[], None] | None = None,
) -> WatchResult:
    """Show every signal of a stream until it ends.

    Args:
        stream: The stream, not yet started. Its errors of subscribers are raised.
        view: Where to show it.
        quiet: True to leave out the closing count.
        page: A context that shows the stream in browsers too.
        report: Called at the end, to report further facts on standard error.
    """
    result, rejects = WatchResult(), Rejects()
    failures: dict[str, None] = {}  # the reasons of sources that failed; each is reported once, on standard error
    view.reasons = False

    def show(signal: Signal) -> None:
        result.tally.add(signal)
        if isinstance(signal, SourceError) and signal.error is None and len(failures) < _MAX_FAILURES:
            failures[": ".join(filter(None, (signal.reason, signal.server_message)))] = None
        view.show(signal)

    stream.signals.subscribe(show, on_error=_ignore_error)
    stream.rejects.subscribe(rejects.add, on_error=_ignore_error)
    try:
        # The page is the outermost context: it stays after the terminal has shown the end.
        async with stream, page(stream) if page is not None else nullcontext(), view.watching(stream):
            with suppress(IncompleteStream):
                await stream.results()
    finally:
        view.close()
    result.states = tuple(stream.latest.values())
    for reason in failures:
        complain(escape(reason))
    if report is not None:
        report()
    rejects.total()
    stats = stream.stats
    if unplaced := stats.orphans:
        complain(f"{unplaced} event{'s' if unplaced != 1 else ''} of runs that were never seen")
    if not result.tally.unconnected and (not (quiet or view.counts) or not result.tally.seen):
        unused = UnusedInput(stats.rejected, stats.unknown, rejects.first_reason)
        complain(escape(result.tally.summary(result.states, unused)))
    return result


def _ignore_error(error: Exception) -> None:
    """Do nothing: the stream raises the error from its own methods."""


def live_source(args: argparse.Namespace) -> Source:
    """The source for a URL, ``--header`` and ``--data``.

    Raises:
        UsageError: The URL names no live stream, or the body can't be read.
    """
    scheme, headers = scheme_of(args.url), dict(args.header)
    if scheme in {"nats", "tls"}:
        from runstream.cluster.source import ClusterSource  # only here: other URLs need no broker

        return ClusterSource(args.url)
    # The exit code is that of one stream. Reconnecting is for programs that continue.
    if scheme in {"ws", "wss"}:
        if args.data is not None:
            raise UsageError("--data is the body of a POST: give an http:// or https:// URL")
        return WebSocketSource(args.url, headers=headers, reconnect=None)
    try:
        if args.data is None:
            return SseSource(args.url, headers=headers, reconnect=None)
        headers = merge_headers({"Content-Type": "application/json"}, headers)
        return SseSource(args.url, method="POST", content=read_body(args.data), headers=headers, reconnect=None)
    except ImportError as error:
        raise UsageError(f"{error}, or pipe it in: curl -sN URL | runstream replay -") from error


def read_body(data: str) -> bytes:
    """The body of an option: its text, or the content of the file after ``@``, as with curl.

    Raises:
        UsageError: The file can't be read.
    """
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {clip(escape(data[1:]))}: {error.strerror or type(error).__name__}") from error


def scheme_of(url: str) -> str:
    """The scheme of a URL of a live stream. A message does not repeat a refused URL: URLs contain credentials."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the URL can't be read ({escape(str(error))}); {_ADVICE}") from error
    if parts.scheme not in {"ws", "wss", "http", "https", "nats", "tls"}:
        # The parts of `localhost:8000` are a scheme and a path.
        has_scheme = parts.scheme and "://" in url
        scheme = f"{clip(parts.scheme, 20)}:// is no live stream" if has_scheme else "the URL has no scheme"
        raise UsageError(f"{scheme}; {_ADVICE}")
    if not host:
        raise UsageError(f"the URL names no host; {_ADVICE}")
    return parts.scheme
