"""Layout of the live view: runs in, lines out. Pure: the same runs at the same time produce the same lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from runstream.core.state import RunState
from runstream.model.actions import kind_of_call
from runstream.model.limits import Stats
from runstream.sinks.run_table import Row
from runstream.sinks.terminal.controls import HELP, Controls
from runstream.sinks.terminal.open_runs import OpenRun, OpenRuns, total_duration
from runstream.sinks.terminal.run_names import NAME_WIDTH, RunNames
from runstream.sinks.terminal.text import ascii_only, columns, fit, on_one_line, tail, tail_of_line, wrap

__all__ = ["Screen", "duration"]

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_HUES: Final = ("cyan", "blue", "magenta", "bright_cyan", "bright_blue", "bright_magenta")
# A sign, its form in ASCII, and a style.
_SIGNS: Final = {
    "queued": ("·", ".", "dim"),
    "in_progress": ("", "*", "cyan"),
    "requires_action": ("?", "?", "bold magenta"),
    "cancelling": ("-", "-", "yellow"),
    "completed": ("✓", "+", "green"),
    "failed": ("✗", "x", "bold red"),
    "cancelled": ("-", "-", "yellow"),
    "expired": ("!", "!", "yellow"),
    "incomplete": ("!", "!", "yellow"),
    "interrupted": ("✗", "x", "yellow"),
    "stalled": ("!", "!", "yellow"),
}
_UNKNOWN: Final = ("•", "*", "cyan")
_ENDINGS: Final = ("completed", "failed", "expired", "cancelled", "incomplete")
_NARROW: Final = 60  # columns below which names are short
_SHORT: Final = 12  # columns of a short name
_LABEL: Final = 15  # columns of the longest status, requires_action
_MAX_DETAILS: Final = 8
_CALLS: Final = 3
_NAMES: Final = 5  # names in a document


def duration(seconds: float) -> str:
    """Seconds as text of at most six columns."""
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 100 else f"{minutes // 60}h{minutes % 60:02}m"


class Screen:
    """Lays out the runs of a live view.

    Args:
        unicode: True if the terminal shows more than ASCII.
        text_lines: How many lines of text are left of a run that has ended.
    """

    def __init__(self, *, unicode: bool = True, text_lines: int = 8) -> None:
        self._unicode = unicode
        self._text_lines = text_lines
        self._names = RunNames()
        self._short_names = RunNames(_SHORT)

    def frame(
        self,
        runs: OpenRuns,
        stats: Stats,
        *,
        width: int,
        height: int,
        now: float,
        since: float,
        controls: Controls | None = None,
    ) -> list[Text]:
        """The lines that are drawn again each time: the open runs, and the counts.

        Args:
            runs: The runs to show.
            controls: What was chosen with keys; ``None`` where no keys are read.
            stats: The counts of the stream.
            width: Columns.
            height: The highest number of lines.
            now: The time (seconds of the clock by which the runs were updated).
            since: When the view began (same clock).
        """
        footer = self.footer(runs, stats, width=width, seconds=now - since)
        if controls is not None:
            footer += self._choices(controls, runs, width)
        room = max(1, height - len(footer))
        if controls is not None and controls.full and (row := runs.rows.get(controls.selected or ("", ""))) is not None:
            return [*self._full_run(row, width, room, now, controls), *footer][:height]
        rows = list(runs.rows.values()) if controls is None else controls.shown(runs)
        count = len(rows)
        if not count:
            waiting = [self._line(Text("waiting for a run", "dim"))] if not runs.total else []
            return [*waiting, *footer][-height:]
        details = min(room // count - 1, _MAX_DETAILS)
        shown = runs.pick(count if details >= 0 else room - 1, now, rows)
        lines: list[Text] = []
        for row in shown:
            below = [] if details <= 0 else self._details(row.state, width - 2, details, open=True)
            head = self._head(row.state, row.label, now - row.since, width, now, inline=details <= 0)
            if controls is not None and controls.selected == (row.state.scope, row.state.run_id):
                head.stylize("reverse")
            lines += [head, *below]
        if len(shown) < count:
            lines.append(self._rest(rows, shown, width))
        return [*lines[:room], *footer][:height]

    def _full_run(self, row: OpenRun, width: int, room: int, now: float, controls: Controls) -> list[Text]:
        """One run in full: its id, calls, reasoning and texts; the end of them, or as far up as was scrolled."""
        state = row.state
        lines = [self._call(call, width - 2, growing=False) for call in state.tool_calls]
        bar = "│ " if self._unicode else "| "
        for text, style in ((state.reasoning, "dim italic"), (state.text, "")):
            shown = wrap(text, max(1, width - 4)) if text else []
            lines += [self._line(Text.assemble((f"  {bar}", "dim"), (line, style))) for line in shown]
        head = self._head(state, row.label, now - row.since, width, now, inline=False)
        # The id of a run is cut in its first line; here is room for it.
        id = wrap(f"id {state.run_id}", max(1, width - 2))
        lines = [*(self._line(Text(f"  {part}", "dim")) for part in id), *lines]
        space = max(0, room - 1)
        controls.scroll = min(controls.scroll, max(0, len(lines) - space))
        end = len(lines) - controls.scroll
        return [head, *lines[max(0, end - space) : end]]

    def _choices(self, controls: Controls, runs: OpenRuns, width: int) -> list[Text]:
        """The line below the counts: the words that are typed, what is chosen, or the keys."""
        parts = []
        if controls.paused:
            parts.append("paused")
        if controls.typing or controls.words:
            count = len(controls.shown(runs))
            parts.append(f"/{on_one_line(controls.words)}{'▏' if controls.typing else ''} {count} of {len(runs.rows)}")
        if controls.full:
            parts.append(f"{controls.scroll} lines below" if controls.scroll else "the end")
            parts.append("up down scroll" if not self._unicode else "↑ ↓ scroll")
            parts.append("esc back")
        parts.append(HELP if controls.help or not parts else "? keys")
        between = " · " if self._unicode else " - "
        return [self._line(Text(fit(between.join(parts), width), "dim"))]

    def ended_run(self, state: RunState, width: int) -> list[Text]:
        """The lines that stay of an ended run: its status, its calls, and the end of its text."""
        return self._run(state, state.status.value, total_duration(state), width)

    def open_run(self, row: Row, width: int, now: float) -> list[Text]:
        """The same lines of a run that had not ended when the view did."""
        return self._run(row.state, row.label, now - row.since, width)

    def _run(self, state: RunState, label: str, seconds: float | None, width: int) -> list[Text]:
        head = self._head(state, label, seconds, width, 0.0, inline=False)
        return [head, *self._reason(state, width - 2), *self._details(state, width - 2, self._text_lines, open=False)]

    def footer(self, runs: OpenRuns, stats: Stats, *, width: int, seconds: float) -> list[Text]:
        """The counts, below a rule; above it the sources with errors."""
        lines = [
            self._line(Text(fit(f"! {on_one_line(name)}: {on_one_line(why)}", width), "yellow"))
            for name, why in list(runs.sources.items())[-3:]
        ]
        lines.append(Text(("─" if self._unicode else "-") * width, "dim"))
        # Runs without a source that sends: they do not run now.
        stopped = Counter(row.source_status for row in runs.rows.values() if row.source_status)
        waiting = sum(row.state.run.requires_action for row in runs.rows.values() if not row.source_status)
        running = len(runs.rows) - waiting - stopped.total()
        pieces = [Text(f"{runs.total} run{'s' if runs.total != 1 else ''}", "bold")]
        counts = {"running": running, "waiting": waiting, **stopped} | {name: runs.counts[name] for name in _ENDINGS}
        styles = {"running": "cyan", "waiting": "bold magenta"}
        for name, count in counts.items():
            if count:
                pieces.append(Text(f"{count} {name}", styles.get(name) or _SIGNS[name][2]))
        totals = [
            Text(f"{runs.tokens:,} tokens"),
            Text(f"{stats.rejected:,} rejected", "bold red" if stats.rejected else "dim"),
            Text(f"{stats.duplicates:,} duplicates", "dim"),
            Text(duration(seconds), "dim"),
        ]
        between = " · " if self._unicode else " - "
        first, second = _join(pieces, width, between), _join(totals, width, between)
        if len(first) == len(second) == 1 and (room := width - first[0].cell_len - second[0].cell_len) >= 3:
            return [*lines, first[0].append(" " * room).append_text(second[0])]
        return [*lines, *first, *second]

    def _head(
        self,
        state: RunState,
        label: str,
        seconds: float | None,
        width: int,
        now: float,
        *,
        inline: bool,
    ) -> Text:
        """One line: sign, name, status, duration, and the present step, or the tokens of an ended run."""
        sign, style = self._sign_and_style(label, now)
        narrow = width < _NARROW
        names, size, gap = (self._short_names, _SHORT, " ") if narrow else (self._names, NAME_WIDTH, "  ")
        name, hue = names(f"{state.scope}:{state.run_id}" if state.scope else state.run_id)
        line = Text(no_wrap=True, overflow="crop", end="")
        line.append(f"{sign} ", style)
        line.append(_pad(name, size), f"bold {_HUES[hue]}")
        line.append(gap)
        line.append(_pad(on_one_line(label), _LABEL), style)
        line.append(gap)
        line.append(f"{duration(seconds) if seconds is not None else '':>6}", "dim")
        room = width - columns(line.plain) - 2
        facts = self._step(state) if not state.is_terminal else _usage(state)
        if inline and (text := tail_of_line(_text(state), room - columns(facts) - 2)):
            line.append(f"  {facts}  " if facts else "  ", "dim")
            line.append(text)
        elif facts and room >= 8:
            line.append(f"  {fit(facts, room)}", "dim")
        return self._line(line)

    def _details(self, state: RunState, width: int, count: int, *, open: bool) -> list[Text]:
        """The calls of a run, and the end of its text."""
        calls = list(state.tool_calls)[-_CALLS:] if count > 1 or not _text(state) else []
        calls = calls[-max(1, count - 1) :]
        growing = {id(call) for step in state.steps[-1:] if not step.is_terminal for call in step.tool_calls}
        if not open or state.run.requires_action:
            growing.clear()
        lines = [self._call(call, width, growing=id(call) in growing) for call in calls]
        if count - len(lines) > 2:
            lines = [*self._values(state, width), *lines][: count - 1]
        room = max(1, count - len(lines)) if open else count
        style = ""
        text = tail(_text(state), width - 2, room + 2) if _text(state) else []
        if open and not text and (reasoning := state.reasoning):
            style, text = "dim italic", tail(reasoning, width - 2, room + 2)  # until there is an answer
        bar = "│ " if self._unicode else "| "
        if not open and len(text) <= room + 1:
            room += 1  # instead of a line with the note that one is missing
        elif not open:
            lines.append(self._line(Text(f"  {bar}… the last {room} lines of {len(_text(state)):,} characters", "dim")))
        lines += [self._line(Text.assemble((f"  {bar}", "dim"), (shown, style))) for shown in text[-room:]]
        return lines[:count] if open else lines

    def _call(self, call: Any, width: int, *, growing: bool) -> Text:
        name = fit(on_one_line(_words(call.name) or "?"), 30)
        arguments = _words(call.arguments)
        room = width - columns(name) - 4
        shown = tail_of_line(arguments, room) if growing else fit(on_one_line(arguments), room)
        arrow = "↳ " if self._unicode else "> "
        return self._line(Text.assemble((f"  {arrow}", "dim"), (name, "bold"), "  ", (shown, "dim")))

    def _values(self, state: RunState, width: int) -> list[Text]:
        """The document and the last activity of a run: names and sizes."""
        lines = []
        documents, activities = state._head.documents, state._head.activities
        if () in documents.values:
            value, size = state.document, documents.size_of(())
            names = ", ".join(on_one_line(name) for name in [*value][:_NAMES]) if isinstance(value, Mapping) else ""
            mark = ", a change is missing" if state.document_partial else ""
            shown = f"version {documents.version}, {size:,} bytes{mark}{': ' if names else ''}{names}"
            lines.append(self._named("document", shown, width))
        activity = activities.find(activities.changed) if activities.count else None
        if activity is not None:
            mark = ", a change is missing" if activity.partial else ""
            shown = f"version {activity.version}, {activity.content.size:,} bytes{mark}"
            lines.append(self._named(on_one_line(activity.kind) or "activity", shown, width))
        return lines

    def _named(self, name: str, shown: str, width: int) -> Text:
        name = fit(name, 30)
        sign = "▪ " if self._unicode else "# "
        shown = fit(shown, max(1, width - columns(name) - 4))
        return self._line(Text.assemble((f"  {sign}", "dim"), (name, "bold"), "  ", (shown, "dim")))

    def _reason(self, state: RunState, width: int) -> list[Text]:
        """The server's reason why a run did not complete."""
        run = state.run
        parts = [_words(getattr(run.last_error, name, None)) for name in ("code", "message")]
        why = ": ".join(filter(None, parts)) or _words(getattr(run.incomplete_details, "reason", None))
        style = self._sign_and_style(run.status.value, 0.0)[1]
        return [self._line(Text(f"  {line}", style)) for line in wrap(on_one_line(why, 400), width)] if why else []

    def _step(self, state: RunState) -> str:
        """The last step of the run, or the outputs that it waits for."""
        steps = state.steps
        if state.run.requires_action:
            calls = state.run.pending_tool_calls
            kinds = {kind_of_call(state.run.required_action, call) for call in calls}
            what = "output" if kinds <= {"function", "custom"} else "answer"
            return f"waits for {len(calls)} {what}{'s' if len(calls) != 1 else ''}" if calls else "waits for you"
        if not steps:
            return ""
        step = steps[-1]
        names = ", ".join(dict.fromkeys(on_one_line(_words(call.name) or "?") for call in step.tool_calls))
        kind = "message" if step.type == "message_creation" else on_one_line(_words(step.type) or "?")
        if label := on_one_line(_words(step.name)):
            kind = f"{kind} {label}"
        done = (" ✓" if self._unicode else " +") if step.is_terminal else ""
        place = [*map(on_one_line, state.path_of(step.id)), names or kind]
        return f"step {len(steps)}: {(' › ' if self._unicode else ' > ').join(place)}{done}"

    def _rest(self, rows: Sequence[Row], shown: Sequence[Row], width: int) -> Text:
        """The number of runs that are not shown, by status."""
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.label] = counts.get(row.label, 0) + 1
        for visible in shown:
            counts[visible.label] -= 1
        rest = ", ".join(f"{count} {on_one_line(label)}" for label, count in counts.items() if count)
        return self._line(Text(fit(f"… and {len(rows) - len(shown)} more: {rest}", width), "dim"))

    def _sign_and_style(self, label: str, now: float) -> tuple[str, str]:
        sign, plain, style = _SIGNS.get(label, _UNKNOWN)
        return (sign or _SPINNER[int(now * 10) % len(_SPINNER)]) if self._unicode else plain, style

    def _line(self, line: Text) -> Text:
        if not self._unicode and not line.plain.isascii():
            line.plain = ascii_only(line.plain.replace("…", "~"))
        return line


def _text(state: RunState) -> str:
    """The text of the last message, or its refusal: of the run itself, where it has one."""
    messages = state.messages
    if not messages:
        return ""
    last = next((message for message in reversed(messages) if not state.path_of(message.id)), messages[-1])
    return last.text or last.refusal


def _words(value: object) -> str:
    """The text of a field; the name of the type for a value of another type, which servers send too."""
    return value if isinstance(value, str) else "" if value is None else f"({type(value).__name__})"


def _usage(state: RunState) -> str:
    total = getattr(state.usage, "total_tokens", None)
    return f"{total:,} tokens" if isinstance(total, int) else ""


def _pad(text: str, width: int) -> str:
    text = fit(text, width)
    return text + " " * (width - columns(text))


def _join(pieces: Iterable[Text], width: int, between: str) -> list[Text]:
    """The pieces on as few lines as they need."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(between) + piece.cell_len <= width:
            lines[-1].append(between, "dim").append_text(piece)
        else:
            lines.append(Text(no_wrap=True, end="").append_text(piece))
    return lines
