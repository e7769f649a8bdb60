"""A stream in, its signals shown as they come: what `watch` and `demo` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from runstream.cli.lines import View
from runstream.cli.output import complain, escape
from runstream.cli.report import Rejects
from runstream.cli.tally import Tally
from runstream.core.state import RunState
from runstream.engine.watchdogs import Watchdogs
from runstream.errors import IncompleteStream, SourceFailed
from runstream.model.signals import ActionRequired, Signal
from runstream.sources.base import Source
from runstream.stream.run_stream import RunStream

__all__ = ["Seen", "watch_source"]

Answer = Callable[[ActionRequired], Source | None]
PageDoor = Callable[[RunStream], AbstractAsyncContextManager[None]]


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
