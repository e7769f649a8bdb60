"""`check`: a recording or a live stream in, the rules of its protocol that it breaks out."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from runstream.checker.check import check as check_recording
from runstream.checker.report import CheckedRun, CheckReport, Finding, Place
from runstream.cli import files
from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.stdio import Output, clip, complain, escape, escape_json
from runstream.cli.watch import read_body, scheme_of
from runstream.errors import SourceFailed
from runstream.recordings.reader import UnknownRecordingFormat
from runstream.sources.credentials import merge_headers

__all__ = ["check"]


def check(args: argparse.Namespace) -> int:
    """Show which rules of its protocol a stream breaks."""
    output = Output(json=args.json)
    try:
        report = _check_live(args) if "://" in args.source else _check_file(args)
    except SourceFailed as error:
        complain(escape(str(error)))
        return ExitCode.NO_CONNECTION
    if args.json:
        output.line(escape_json(msgspec.json.encode(report.to_dict()).decode()))
    else:
        _show(output, report)
    output.flush()
    return ExitCode.COMPLETED if report.ok else ExitCode.NOT_COMPLETED


def _check_file(args: argparse.Namespace) -> CheckReport:
    if args.header or args.data is not None or args.timeout is not None:
        raise UsageError("--header, --data and --timeout are for a URL: leave them out for a file")
    try:
        return check_recording(args.source, dialect=args.dialect)
    except (OSError, UnknownRecordingFormat) as error:
        raise files.unreadable(args.source, error) from error


def _check_live(args: argparse.Namespace) -> CheckReport:
    scheme, headers = scheme_of(args.source), dict(args.header)
    content = read_body(args.data) if args.data is not None else None
    if content is not None and scheme in ("ws", "wss"):
        raise UsageError("--data is the body of a POST: give an http:// or https:// URL")
    if content is not None:
        headers = merge_headers({"Content-Type": "application/json"}, headers)
    from runstream.checker.live import check_url  # only here: a file needs no transport

    try:
        return asyncio.run(
            check_url(
                args.source,
                dialect=args.dialect,
                headers=headers,
                method="GET" if content is None else "POST",
                content=content,
                timeout=args.timeout,
            )
        )
    except ImportError as error:
        raise UsageError(f"{error}, or pipe it in: curl -sN URL | runstream check -") from error


def _show(output: Output, report: CheckReport) -> None:
    counts = f"{len(report.errors)} broken, {len(report.notes)} noted"
    stopped = ", stopped by --timeout" if report.stopped else ""
    dialect = report.dialect or "no known protocol"
    name = output.paint("bold", clip(report.name, 200))
    output.line(f"{name}  {dialect}, {report.events} events{stopped}; rules: {counts}")
    for finding in report.findings:
        _show_finding(output, finding)
    for run in report.runs:
        output.line(f"read as  {_describe_run(run)}")
    if not report.runs:
        output.line("read as  no run")
    if report.rejected:
        output.line(f"         {report.rejected} rejected input{'s' if report.rejected != 1 else ''}")


def _show_finding(output: Output, finding: Finding) -> None:
    style, word = ("bad", "broken") if finding.rule.severity == "error" else ("warn", "note")
    output.line(f"{output.paint(style, f'{word:<6}')}  {finding.rule.name} x{finding.count}: {finding.rule.text}")
    for place in finding.places[:3]:
        output.line(f"          {_describe_place(place)}")
    if finding.count > 3:
        output.line(f"          and {finding.count - 3} more")


def _describe_place(place: Place) -> str:
    where = [f"event {place.event}"] if place.event else ["end of the stream"] if not place.line else []
    if place.line:
        where.append(f"line {place.line}")
    where += [escape(text) for text in (place.name, place.id and f"id {place.id}", place.object_id) if text]
    return ", ".join(where) + (f": {escape(place.detail)}" if place.detail else "")


def _describe_run(run: CheckedRun) -> str:
    counts = {
        "message": run.messages,
        "character": run.characters,
        "step": run.steps,
        "call": run.calls,
        "awaited call": run.awaited,
    }
    parts = [f"{count} {name}{'s' if count != 1 else ''}" for name, count in counts.items() if count]
    status = f"{run.status}, interrupted" if run.interrupted else run.status
    return f"{escape(run.id)}  {escape(status)}  {', '.join(parts)}".rstrip()
