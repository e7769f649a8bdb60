"""Writes docs/terminal.svg: what `runstream demo` has on the terminal after some seconds. Run from anywhere."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from runstream import demo
from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.recordings.reader import read_recording
from runstream.sinks.terminal.layout import Screen
from runstream.sinks.terminal.open_runs import OpenRuns

HERE = Path(__file__).parent
WIDTH, HEIGHT = 100, 24
GAP = 0.03  # seconds from one event to the next, as `runstream demo` has it
SECONDS = 4.9


def recording(name: str) -> list[RawEvent]:
    """The events of one of the demo's recordings."""
    return [item for item in read_recording(demo.load(name), format="sse") if isinstance(item, RawEvent)]


def show() -> Iterator[tuple[float, int, RawEvent]]:
    """The demo's events, each with its time and its source; a run that asks is answered on a second source."""
    answers: list[tuple[float, RawEvent]] = []
    now = 0.0
    for act in demo.SCRIPT:
        for raw in demo.interleave([recording(scene.files[0]) for scene in act]):
            now += GAP
            yield now, 0, raw
            while answers and answers[0][0] <= now:
                yield now, 1, answers.pop(0)[1]
            if raw.event == "thread.run.requires_action":
                files = next((scene.files for scene in act if len(scene.files) > 1), ())
                answers += [(now + GAP * n, raw) for n, raw in enumerate(recording(files[1]), 1)] if files else []


def screen() -> list[Text]:
    """The lines that stand on the terminal after `SECONDS`."""
    now = 0.0
    runs, look = OpenRuns(), Screen()
    engine = Engine(clock=lambda: now)
    engine.on_signal = runs.add_signal
    engine.on_state = lambda state: runs.update(state, now)
    intakes = [engine.intake("show"), engine.intake("answers")]
    lines: list[Text] = []
    for now, source, raw in show():
        if now > SECONDS:
            break
        intakes[source].feed(raw)
        lines += [line for state in runs.take_ended() for line in look.ended_run(state, WIDTH)]
    frame = look.frame(runs, engine.stats(), width=WIDTH, height=HEIGHT - 1, now=SECONDS, since=0.0)
    return [*lines, *frame][-HEIGHT:]


def picture() -> str:
    """The picture, as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in screen():
        console.print(line)
    svg = console.export_svg(title="runstream demo", unique_id="runstream")
    # A picture loads no fonts from elsewhere.
    return re.sub(r"\s*@font-face \{.*?\n\s*\}\n", "\n", svg, flags=re.DOTALL)


def words(svg: str) -> str:
    """What a picture says; the drawing around it is Rich's, and may differ from one release to the next."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


if __name__ == "__main__":
    (HERE / "terminal.svg").write_text(picture(), encoding="utf-8")
