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
from runstream.cli.exit_codes import Tally, UsageError
from runstream.cli.lines import View
from runstream.cli.screen import make_view
from runstream.cli.signal_text import format_run_end, format_signal
from runstream.cli.stdio import Output, Rejects, clip, complain, escape, escape_json, report_dialect, report_orphans
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.limits import Limits
from runstream.model.raw import Answer, ConnectionEvent, RawEvent
from runstream.model.signals import Signal, SourceError
from runstream.recordings.pacing import Pace
from runstream.sinks.terminal.open_runs import total_duration

__all__ = ["fold", "replay"]

# A file ends, so all its runs can be kept until the last one is shown.
_KEEP_ALL: Final = Limits(max_finished_runs=sys.maxsize, max_finished_age=float("inf"))
_NO_LOCK: Final = nullcontext()


def replay(args: argparse.Namespace) -> int:
    """Show the signals of recordings."""
    files.check(args.files)
    answers = files.read_answers(args.answers, args.files)
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
            pace = Pace(args.speed, gap=files.GAP)
            rejects = _feed(engine, args.files, clock, args.dialect, answers, view=view, lock=lock, pace=pace)
    finally:
        view.close()
    rejects.total()
    report_orphans(engine.orphans())
    if not (args.json or view.counts) or not tally.seen:
        complain(escape(tally.summary(engine.states(), engine.unused)))
    return tally.code(engine.states())


def fold(args: argparse.Namespace) -> int:
    """Show the runs of recordings as they are at the end."""
    files.check(args.files)
    answers = files.read_answers(args.answers, args.files)
    output = Output(json=args.json)
    tally = Tally()
    clock = _Clock()
    engine = Engine(limits=_KEEP_ALL, clock=clock.now, progress=False)

    def note(signal: Signal) -> None:
        tally.add(signal)
        if isinstance(signal, SourceError):  # it is in no run
            complain(f"an error of the source: {format_signal(signal)}")

    engine.on_signal = note
    rejects = _feed(engine, args.files, clock, args.dialect, answers, continues=args.continues)
    show: Callable[[Output, RunState], None] = _show_json if args.json else _show_plain
    states = engine.states()
    for state in states:
        show(output, state)
    output.flush()
    rejects.total()
    report_orphans(engine.orphans())
    if not args.json or not tally.seen:
        complain(escape(tally.summary(states, engine.unused)))
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
    dialect: str | None,
    answers: Sequence[Answer],
    *,
    continues: bool = False,
    view: View | None = None,
    lock: AbstractContextManager[object] = _NO_LOCK,
    pace: Pace | None = None,
) -> Rejects:
    """Feed the files into the engine, one after the other, each as a source of its own.

    Args:
        engine: The engine.
        paths: The files.
        clock: Set to the time of each event.
        dialect: The dialect of the files.
        answers: The answers for the first files, in order.
        continues: True if each file but the first continues the run that waits for action.
        view: Where the signals are shown.
        lock: A context for each event.
        pace: When each event is fed; ``None`` for at once.

    Raises:
        UsageError: A file can't be read, or is to continue a run and not exactly one waits.
    """
    rejects = Rejects()
    engine.on_reject = rejects.add
    for number, path in enumerate(paths):
        run_id = _waiting_run(engine, paths[:number], path) if continues and number else None
        intake = engine.intake(files.source_name(path), dialect=dialect, continues=run_id)
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
            if number < len(answers):
                with lock:
                    intake.feed(answers[number])
        finally:
            # Also after a failure: the runs that are left open are reported.
            with lock:
                intake.end("the recording ended")
        report_dialect(files.source_name(path), dialect, intake.dialect)
    return rejects


def _waiting_run(engine: Engine, before: Sequence[str], path: str) -> str:
    """The id of the run of the files before this one that waits for action, if exactly one does."""
    waiting = [state.run_id for state in engine.states() if state.run.requires_action]
    if len(waiting) == 1:
        return waiting[0]
    name, names = escape(files.source_name(path)), ", ".join(escape(files.source_name(one)) for one in before)
    if not waiting:
        raise UsageError(f"--continue: {name} has no run to continue: none of {names} waits for action")
    runs = ", ".join(clip(run_id) for run_id in waiting)
    raise UsageError(f"--continue: {name} can continue one run only, but {len(waiting)} of {names} wait: {runs}")


def _show_json(output: Output, state: RunState) -> None:
    output.line(escape_json(msgspec.json.encode(state.to_dict()).decode()))


def _show_plain(output: Output, state: RunState) -> None:
    run = state.run
    style = "good" if run.is_complete else "ask" if run.requires_action else "bad" if run.is_failed else "warn"
    facts = format_run_end(run, total_duration(state))
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
