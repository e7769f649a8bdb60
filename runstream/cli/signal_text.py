"""Formats a signal for people: the style of its name, and its facts in words."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runstream.cli.stdio import clip
from runstream.model.base import to_wire
from runstream.model.run import Run
from runstream.model.signals import (
    ActionRequired,
    ActivityChanged,
    CustomReceived,
    DocumentChanged,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunPaused,
    RunStalled,
    RunStatusChanged,
    Signal,
    SourceError,
    SourceSignal,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextReplaced,
    ToolCallCompleted,
    ToolCallResult,
)
from runstream.sinks.facts import Facts, facts, run_end_facts

__all__ = ["format_run_end", "format_signal", "style_of"]

_STYLES: Final[dict[type, str]] = {
    RunCreated: "bold",
    RunStatusChanged: "bold",
    RunCompleted: "good",
    RunFailed: "bad",
    RunCancelled: "warn",
    RunExpired: "warn",
    RunIncomplete: "warn",
    RunInterrupted: "warn",
    RunStalled: "warn",
    RunPaused: "ask",
    ActionRequired: "ask",
    StepFailed: "bad",
    MessageIncomplete: "warn",
    TextReplaced: "warn",
    SourceError: "bad",
}


_MAX_PATH: Final = 4


def style_of(signal: Signal) -> str:
    """The style in which the signal's name is shown."""
    return _STYLES.get(type(signal), "dim")


def format_signal(signal: Signal, *, duration: float | None = None, without: str | None = None) -> str:
    """The facts of a signal beyond its name and its run; safe to print.

    Args:
        signal: The signal.
        duration: The duration of the run that it ends (seconds), in place of the signal's own.
        without: A reason that is reported elsewhere.
    """
    found = facts(signal)
    if duration is not None:
        found = {**found, "duration": duration}
    if without is not None and found.get("reason") == without:
        found = {**found, "reason": "", "server_message": ""}
    path = found.get("path")
    outer = ["…"] if path and len(path) > _MAX_PATH else []
    of_path = f"[{' › '.join([*outer, *(clip(name, 40) for name in path[-_MAX_PATH:])])}]" if path else ""
    return f"{of_path} {_own(signal, found)}".strip()


def _own(signal: Signal, found: Facts) -> str:
    """The facts that depend on the type, in words."""
    match signal:
        case RunCreated():
            return _join(_text(found, "model", 60), _text(found, "thread_id", 60), _text(found, "assistant_id", 60))
        case RunStatusChanged():
            after = clip(found["after"], 40)
            return f"{clip(found['before'], 40)} → {after}" if found["before"] else after
        case ActionRequired():
            return _action(found)
        case RunCompleted() | RunFailed() | RunCancelled() | RunExpired() | RunIncomplete():
            return _run_end(found)
        case RunPaused():
            return f"its stream ended; it waits for {_count(found['pending_calls'], 'call')}"
        case RunInterrupted():
            left = ": ".join(filter(None, (f"left {clip(found['status'], 40)}", clip(found["reason"], 160))))
            return _join(left, _said(found))
        case RunStalled():
            return f"nothing received for {_seconds(found['idle'])} ({clip(found['limit'])})"
        case MessageCreated():
            return _join(_text(found, "role", 60), _text(found, "message_id", 60))
        case MessageCompleted() | MessageIncomplete():
            return _message(found)
        case StepCreated() | StepCompleted() | StepFailed() | StepCancelled() | StepExpired():
            tools = ", ".join(clip(name or "?", 40) for name in found["tools"])
            return _join(_text(found, "step_type"), tools, _error(found), _tokens(found))
        case ToolCallCompleted():
            return _call(found["tool"], found["arguments"], found["call_id"])
        case ToolCallResult():
            size = _count(found["characters"], "character")
            return f"{clip(found['tool'] or '?', 40)} gave {size}: {clip(found['output'], 60)}"
        case DocumentChanged(operations=operations):
            return _change(found, operations)
        case ActivityChanged(operations=operations):
            return _join(_text(found, "kind", 60), _text(found, "activity_id", 60), _change(found, operations))
        case CustomReceived(value=value):
            shown = value if isinstance(value, str) else msgspec.json.encode(to_wire(value)).decode()
            return _join(clip(found["name"], 60), clip(shown, 120))
        case SourceError(error=error) if error is not None:
            return _join(_text(found, "source", 60), _error(found) or clip(found["reason"], 160))
        case SourceSignal():
            attempt = f"attempt {found['attempt']}" if found["attempt"] else None
            return _join(_text(found, "source", 60), _text(found, "reason", 160), _said(found), attempt)
        case _:
            return ""  # text and arguments are shown as they grow, by the view


def format_run_end(run: Run, duration: float | None) -> str:
    """The end of a run: its error or reason, its duration (seconds), its tokens; safe to print."""
    return _run_end(run_end_facts(run, duration))


def _join(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part)


def _text(found: Facts, name: str, length: int = 80) -> str | None:
    value = found.get(name)
    return clip(value, length) if value else None


def _said(found: Facts) -> str | None:
    """The server's words about the cause of a signal."""
    return _text(found, "server_message", 160)


def _seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 120 else f"{value / 60:.0f}min" if value < 7200 else f"{value / 3600:.1f}h"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _action(found: Facts) -> str:
    kind = found["action"]
    if not found["calls"]:
        return f"asks for {clip(kind)}"
    head = "" if kind in ("submit_tool_outputs", "action") else f"{clip(kind)}: "
    calls = zip(found["tools"], found["arguments"], found["call_ids"], found["kinds"], strict=True)
    # The type of any other action is the kind of all its calls.
    return head + ", ".join(
        _call(*call) if kind != "action" or what == "function" else f"{clip(what, 40)}: {_call(*call)}"
        for *call, what in calls
    )


def _change(found: Facts, operations: Any) -> str:
    """A change of a document or an activity: the operations of its patch, its size."""
    shown = None
    if operations is not None:
        shown = ", ".join(clip(f"{each.get('op')} {each.get('path')}", 60) for each in operations[:3])
        shown += ", …" if len(operations) > 3 else ""
    return _join(
        f"version {found['version']}",
        shown if operations is not None else "whole value",
        _count(found["size"], "byte"),
        "partial" if found["partial"] else None,
    )


def _call(name: str | None, arguments: str | None, id: str) -> str:
    tool = clip(name or "?", 40)
    text = clip(arguments or "", 60)
    shown = text if text.startswith("{") else f"({text})"
    return f"{tool} {shown} as {clip(id, 40)}" if id else f"{tool} {shown}"


def _error(found: Facts) -> str | None:
    parts = (found.get("error_code"), found.get("error_message"))
    return ": ".join(clip(part, 160) for part in parts if part) or None


def _tokens(found: Facts) -> str | None:
    total, prompt, completion = (found.get(f"{name}_tokens") for name in ("total", "prompt", "completion"))
    if total is None:
        return None
    count = _count(total, "token")
    return count if prompt is None or completion is None else f"{count} ({prompt} in, {completion} out)"


def _run_end(found: Facts) -> str:
    duration = found["duration"]
    return _join(
        _error(found),
        _text(found, "incomplete_reason"),
        # A shorter duration, as observed, is the time in which a file was read.
        _seconds(duration) if duration is not None and duration >= 0.05 else None,
        _tokens(found),
    )


def _message(found: Facts) -> str:
    return _join(
        _text(found, "incomplete_reason"),
        _count(found["characters"], "character"),
        _count(found["citations"], "citation") if found["citations"] else None,
        _count(found["images"], "image") if found["images"] else None,
        "a refusal" if found["refused"] else None,
    )
