"""Runs in, lines out: how a live screen looks. Pure: the same board at the same time gives the same lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from rich.text import Text

from runstream.core.state import RunState
from runstream.model.limits import Stats
from runstream.sinks.run_table import Board, Row, taken
from runstream.sinks.terminal.run_names import NAME_WIDTH, Names
from runstream.sinks.terminal.text import ascii_only, columns, fitted, on_one_line, tail, tail_of_line, wrapped

__all__ = ["Screen", "duration"]

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_HUES: Final = ("cyan", "blue", "magenta", "bright_cyan", "bright_blue", "bright_magenta")
# A sign, the same where there is only ASCII, and a style.
_LOOKS: Final = {
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
_NARROW: Final = 60  # below so many columns, names have
_SHORT: Final = 12  # so many
_LABEL: Final = 15  # columns of the longest status, requires_action
_MOST_DETAILS: Final = 8
_CALLS: Final = 3


def duration(seconds: float) -> str:
    """Seconds in words that fit six columns."""
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 100 else f"{minutes // 60}h{minutes % 60:02}m"


class Screen:
    """Draws a board.

    Args:
        unicode: Whether the terminal shows more than ASCII.
        text_lines: How many lines of its text are left of a run that has ended.
    """

    def __init__(self, *, unicode: bool = True, text_lines: int = 8) -> None:
        self._unicode = unicode
        self._text_lines = text_lines
        self._names = Names()
        self._short_names = Names(_SHORT)

    def frame(self, board: Board, stats: Stats, *, width: int, height: int, now: float, since: float) -> list[Text]:
        """The lines that are drawn anew each time: the open runs, and the counts.

        Args:
            board: What to show.
            stats: The counts of the stream.
            width: Columns.
            height: Lines that there may be.
            now: The time, in seconds of the clock that the board was told.
            since: When the screen began.
        """
        foot = self.foot(board, stats, width=width, seconds=now - since)
        room = max(1, height - len(foot))
        count = len(board.rows)
        if not count:
            waiting = [self._line(Text("waiting for a run", "dim"))] if not board.seen else []
            return [*waiting, *foot][-height:]
        details = min(room // count - 1, _MOST_DETAILS)
        shown = board.pick(count if details >= 0 else room - 1, now)
        lines: list[Text] = []
        for row in shown:
            said = [] if details <= 0 else self._details(row.state, width - 2, details, open=True)
            lines.append(self._head(row.state, row.label, now - row.since, width, now, inline=details <= 0))
            lines += said
        if len(shown) < count:
            lines.append(self._rest(board, shown, width))
        return [*lines[:room], *foot][:height]

    def ended(self, state: RunState, width: int) -> list[Text]:
        """The lines that stay of a run: how it ended, its calls, and the end of its text."""
        return self._left(state, state.status.value, taken(state), width)

    def open(self, row: Row, width: int, now: float) -> list[Text]:
        """The same of a run that had not ended when the screen did."""
        return self._left(row.state, row.label, now - row.since, width)

    def _left(self, state: RunState, label: str, seconds: float | None, width: int) -> list[Text]:
        head = self._head(state, label, seconds, width, 0.0, inline=False)
        return [head, *self._reason(state, width - 2), *self._details(state, width - 2, self._text_lines, open=False)]

    def foot(self, board: Board, stats: Stats, *, width: int, seconds: float) -> list[Text]:
        """The counts, below a rule; above it what is wrong with a source."""
        lines = [
            self._line(Text(fitted(f"! {on_one_line(name)}: {on_one_line(why)}", width), "yellow"))
            for name, why in list(board.sources.items())[-3:]
        ]
        lines.append(Text(("─" if self._unicode else "-") * width, "dim"))
        left = Counter(row.note for row in board.rows.values() if row.note)  # by their source: they run no more
        waiting = sum(row.state.run.requires_action for row in board.rows.values() if not row.note)
        running = len(board.rows) - waiting - left.total()
        pieces = [Text(f"{board.seen} run{'s' if board.seen != 1 else ''}", "bold")]
        counts = {"running": running, "waiting": waiting, **left} | {name: board.counts[name] for name in _ENDINGS}
        styles = {"running": "cyan", "waiting": "bold magenta"}
        for name, count in counts.items():
            if count:
                pieces.append(Text(f"{count} {name}", styles.get(name) or _LOOKS[name][2]))
        totals = [
            Text(f"{board.tokens:,} tokens"),
            Text(f"{stats.rejected:,} rejected", "bold red" if stats.rejected else "dim"),
            Text(f"{stats.duplicates:,} duplicates", "dim"),
            Text(duration(seconds), "dim"),
        ]
        between = " · " if self._unicode else " - "
        runs, rest = _joined(pieces, width, between), _joined(totals, width, between)
        if len(runs) == len(rest) == 1 and (room := width - runs[0].cell_len - rest[0].cell_len) >= 3:
            return [*lines, runs[0].append(" " * room).append_text(rest[0])]
        return [*lines, *runs, *rest]

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
        """One line: sign, name, status, how long, tokens, and what the run is at."""
        sign, style = self._look(label, now)
        narrow = width < _NARROW
        names, size, gap = (self._short_names, _SHORT, " ") if narrow else (self._names, NAME_WIDTH, "  ")
        name, hue = names(f"{state.scope}:{state.run_id}" if state.scope else state.run_id)
        line = Text(no_wrap=True, overflow="crop", end="")
        line.append(f"{sign} ", style)
        line.append(_padded(name, size), f"bold {_HUES[hue]}")
        line.append(gap)
        line.append(_padded(on_one_line(label), _LABEL), style)
        line.append(gap)
        line.append(f"{duration(seconds) if seconds is not None else '':>6}", "dim")
        room = width - columns(line.plain) - 2
        facts = self._step(state) if not state.is_terminal else _usage(state)
        if inline and (text := tail_of_line(_text(state), room - columns(facts) - 2)):
            line.append(f"  {facts}  " if facts else "  ", "dim")
            line.append(text)
        elif facts and room >= 8:
            line.append(f"  {fitted(facts, room)}", "dim")
        return self._line(line)

    def _details(self, state: RunState, width: int, count: int, *, open: bool) -> list[Text]:
        """The calls of a run, and the end of its text."""
        calls = list(state.tool_calls)[-_CALLS:] if count > 1 or not _text(state) else []
        calls = calls[-max(1, count - 1) :]
        growing = {call.id for step in state.steps[-1:] if not step.is_terminal for call in step.tool_calls}
        if not open or state.run.requires_action:
            growing.clear()
        lines = [self._call(call, width, growing=call.id in growing) for call in calls]
        room = max(1, count - len(lines)) if open else count
        text = tail(_text(state), width - 2, room + 2) if _text(state) else []
        bar = "│ " if self._unicode else "| "
        if not open and len(text) <= room + 1:
            room += 1  # instead of the line that would say that one is missing
        elif not open:
            lines.append(self._line(Text(f"  {bar}… the last {room} lines of {len(_text(state)):,} characters", "dim")))
        lines += [self._line(Text.assemble((f"  {bar}", "dim"), shown)) for shown in text[-room:]]
        return lines[:count] if open else lines

    def _call(self, call: Any, width: int, *, growing: bool) -> Text:
        name = fitted(on_one_line(_words(call.name) or "?"), 30)
        arguments = _words(call.arguments)
        room = width - columns(name) - 4
        told = tail_of_line(arguments, room) if growing else fitted(on_one_line(arguments), room)
        arrow = "↳ " if self._unicode else "> "
        return self._line(Text.assemble((f"  {arrow}", "dim"), (name, "bold"), "  ", (told, "dim")))

    def _reason(self, state: RunState, width: int) -> list[Text]:
        """Why a run did not complete, in the server's words."""
        run = state.run
        parts = [_words(getattr(run.last_error, name, None)) for name in ("code", "message")]
        why = ": ".join(filter(None, parts)) or _words(getattr(run.incomplete_details, "reason", None))
        style = self._look(run.status.value, 0.0)[1]
        return [self._line(Text(f"  {line}", style)) for line in wrapped(on_one_line(why, 400), width)] if why else []

    def _step(self, state: RunState) -> str:
        """What the run is at: its last step, or for what it waits."""
        steps = state.steps
        if state.run.requires_action:
            calls = len(state.run.pending_tool_calls)
            return f"waits for {calls} output{'s' if calls != 1 else ''}" if calls else "waits for you"
        if not steps:
            return ""
        step = steps[-1]
        names = ", ".join(dict.fromkeys(on_one_line(_words(call.name) or "?") for call in step.tool_calls))
        kind = "message" if step.type == "message_creation" else on_one_line(_words(step.type) or "?")
        done = (" ✓" if self._unicode else " +") if step.is_terminal else ""
        return f"step {len(steps)}: {names or kind}{done}"

    def _rest(self, board: Board, shown: list[Row], width: int) -> Text:
        """How many runs there was no room for, by status."""
        counts: dict[str, int] = {}
        for row in board.rows.values():
            counts[row.label] = counts.get(row.label, 0) + 1
        for row in shown:
            counts[row.label] -= 1
        told = ", ".join(f"{count} {on_one_line(label)}" for label, count in counts.items() if count)
        return self._line(Text(fitted(f"… and {len(board.rows) - len(shown)} more: {told}", width), "dim"))

    def _look(self, label: str, now: float) -> tuple[str, str]:
        sign, plain, style = _LOOKS.get(label, _UNKNOWN)
        return (sign or _SPINNER[int(now * 10) % len(_SPINNER)]) if self._unicode else plain, style

    def _line(self, line: Text) -> Text:
        if not self._unicode and not line.plain.isascii():
            line.plain = ascii_only(line.plain.replace("…", "~"))
        return line


def _text(state: RunState) -> str:
    """What the run said last."""
    messages = state.messages
    return (messages[-1].text or messages[-1].refusal) if messages else ""


def _words(value: object) -> str:
    """A field's text. Servers put other things there too: of those, the type."""
    return value if isinstance(value, str) else "" if value is None else f"({type(value).__name__})"


def _usage(state: RunState) -> str:
    total = getattr(state.usage, "total_tokens", None)
    return f"{total:,} tokens" if isinstance(total, int) else ""


def _padded(text: str, width: int) -> str:
    text = fitted(text, width)
    return text + " " * (width - columns(text))


def _joined(pieces: Iterable[Text], width: int, between: str) -> list[Text]:
    """The pieces on as few lines as they need."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(between) + piece.cell_len <= width:
            lines[-1].append(between, "dim").append_text(piece)
        else:
            lines.append(Text(no_wrap=True, end="").append_text(piece))
    return lines
