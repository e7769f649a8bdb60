"""`replay` and `fold`: recordings in, their signals or their final runs out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import msgspec

from runstream.cli import files
from runstream.cli.exit_codes import Tally
from runstream.cli.lines import View
from runstream.cli.output import Output, Rejects, clip, complain, escape, escape_json, report_orphans
from runstream.cli.screen import make_view
from runstream.cli.words import format_run_end
from runstream.core.derive import run_duration
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.limits import Limits
from runstream.model.raw import ConnectionEvent, RawEvent
from runstream.model.signals import Signal
from runstream.recordings.pacing import Pace

__all__ = ["fold", "replay"]

# A file ends, so all its runs can be kept until the last one is shown.
_KEEP_ALL: Final = Limits(max_finished_runs=sys.maxsize, max_finished_age=float("inf"))
_NO_LOCK: Final = nullcontext()


def replay(args: argparse.Namespace) -> int:
    """Show the signals of recordings."""
    files.check(args.files)
    view = make_view(json=args.json, plain=args.plain)
    tally = Tally()
    clock = _Clock()
    engine = Engine(limits=Limits(), clock=clock.now)

    def show(signal: Signal) -> None:
        tally.add(signal)
        view.show(signal)

    engine.on_signal = show
    try:
        with view.reading(engine) as lock:
            rejects = _feed(engine, args.files, clock, view, lock, Pace(args.speed, gap=files.GAP))
    finally:
        view.close()
    rejects.total()
    report_orphans(engine.orphans())
    if not (args.json or view.counts) or not tally.seen:
        complain(tally.summary(engine.states()))
    return tally.code(engine.states())


def fold(args: argparse.Namespace) -> int:
    """Show the runs of recordings as they are at the end."""
    files.check(args.files)
    output = Output(json=args.json)
    tally = Tally()
    clock = _Clock()
    engine = Engine(limits=_KEEP_ALL, clock=clock.now, progress=False)
    engine.on_signal = tally.add
    rejects = _feed(engine, args.files, clock)
    show: Callable[[Output, RunState], None] = _show_json if args.json else _show_plain
    states = engine.states()
    for state in states:
        show(output, state)
    output.flush()
    rejects.total()
    report_orphans(engine.orphans())
    if not args.json or not tally.seen:
        complain(tally.summary(states))
    return tally.code(states)


class _Clock:
    """The time in a recording: the arrival of its latest event, or the present time where it has none."""

    def __init__(self) -> None:
        self.at: float | None = None

    def now(self) -> float:
        """Unix seconds."""
        return time.time() if self.at is None else self.at


def _feed(
    engine: Engine,
    paths: Sequence[str],
    clock: _Clock,
    view: View | None = None,
    lock: AbstractContextManager[object] = _NO_LOCK,
    pace: Pace | None = None,
) -> Rejects:
    """Feed the files into the engine, one after the other, each as a source of its own."""
    rejects = Rejects()
    engine.on_reject = rejects.add
    for path in paths:
        intake = engine.intake(files.source_name(path))
        try:
            for item in files.read(path):
                if isinstance(item, RawEvent | ConnectionEvent):
                    if pace is not None and (pause := pace.delay(item.at, time.monotonic())) > 0:
                        time.sleep(pause)
                    clock.at = item.at
                    if view is not None:
                        # Without times of arrival, times would only show how fast the file was read.
                        view.times = item.at is not None
                with lock:
                    intake.feed(item)
        finally:
            # Also after a failure: the runs that are left open are reported.
            with lock:
                intake.end("the recording ended")
    return rejects


def _show_json(output: Output, state: RunState) -> None:
    output.line(escape_json(msgspec.json.encode(state.to_dict()).decode()))


def _show_plain(output: Output, state: RunState) -> None:
    run = state.run
    style = "good" if run.is_complete else "ask" if run.requires_action else "bad" if run.is_failed else "warn"
    facts = format_run_end(run, run_duration(state))
    name, status = output.paint("bold", clip(run.id, 80)), output.paint(style, clip(run.status.value, 40))
    output.line(f"{name}  {status}  {facts}".rstrip())
    for step in state.steps:
        names = ", ".join(clip(call.name or "?", 40) for call in step.tool_calls)
        status = clip(step.status.value, 40) if step.status is not None else "?"
        output.line(f"  step      {clip(step.type or '?', 40)}  {status}  {names}".rstrip())
    for message in state.messages:
        role = clip(message.role or "message", 9)
        for number, line in enumerate(message.text.splitlines() or [""]):
            output.line(f"  {role if not number else '':<9} {escape(line.expandtabs(4))}".rstrip())
    for call in run.pending_tool_calls if run.requires_action else ():
        output.line(f"  awaited   {clip(call.name or '?', 40)} {clip(call.arguments or '')} as {clip(call.id, 40)}")
