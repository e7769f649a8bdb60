"""`serve`: plays recordings over a WebSocket; and `--page`: a stream in browsers, for `serve` and `watch`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from runstream.cli import files
from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.stdio import Output, complain, escape
from runstream.errors import IncompleteStream
from runstream.model.raw import Answer, RawItem, Request
from runstream.recordings.server import serve_recording
from runstream.sinks.page.origins import is_loopback
from runstream.sinks.page.server import PageServer, serve_page
from runstream.sources.websocket import WebSocketSource
from runstream.stream.run_stream import RunStream

__all__ = ["PageContext", "page_context", "serve"]

PageContext = Callable[[RunStream], AbstractAsyncContextManager[None]]


def serve(args: argparse.Namespace) -> int:
    """Play recordings to every client that connects."""
    files.check(args.files)
    items = [item for path in args.files for item in files.read(path)]
    if items and all(isinstance(item, Answer | Request) for item in items):
        names = ", ".join(escape(files.source_name(path)) for path in args.files)
        raise UsageError(f"{names}: objects that were fetched, and no events; an event stream is .sse or .jsonl")
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
    async with serve_recording(items, host=args.host, port=args.port, speed=args.speed, gap=files.GAP) as server:
        output.line(server.url)
        complain("Ctrl-C ends it")
        if args.page:
            await _play_on_page(args, server.url, output)
        await asyncio.Event().wait()


def page_context(args: argparse.Namespace) -> PageContext:
    """A context that shows a stream on a page until Ctrl-C, also after the end of the stream."""

    @asynccontextmanager
    async def show(stream: RunStream) -> AsyncIterator[None]:
        async with _page(stream, "127.0.0.1", args) as page:
            complain(f"the page is at {page.url}")
            yield
            complain("the stream has ended; Ctrl-C ends the page")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # Ctrl-C is the expected end here: the exit code is that of the runs.
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()

    return show


async def _play_on_page(args: argparse.Namespace, url: str, output: Output) -> None:
    """Show the stream of a recording server, from the connection of the first browser on."""
    source = WebSocketSource(url, proxy=None, reconnect=None)
    async with RunStream(source, dialect=args.dialect) as stream, _page(stream, args.host, args) as page:
        if not is_loopback(args.host):
            complain(f"anyone who can reach {escape(args.host)} can read the page")
        output.line(page.url)
        await page.feed.visited()
        with suppress(IncompleteStream):
            await stream.results()
        await asyncio.Event().wait()


@asynccontextmanager
async def _page(stream: RunStream, host: str, args: argparse.Namespace) -> AsyncIterator[PageServer]:
    port = args.page_port or 0
    context = serve_page(stream, host=host, port=port, origins=args.page_origin or ())
    try:
        page = await context.__aenter__()
    except ValueError as error:
        raise UsageError(f"--page-origin: {error}") from error
    except OSError as error:
        raise UsageError(
            f"can't serve the page on {escape(host)} port {port} ({escape(error.strerror or str(error))}); "
            "--page-port 0 takes any free port"
        ) from error
    try:
        yield page
    finally:
        await context.__aexit__(None, None, None)
