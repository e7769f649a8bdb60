"""Writes docs/logging.md: what the logging sink writes of a bundled recording, in each form. Run from anywhere."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import structlog
from reactivex import from_iterable

from runstream import demo
from runstream.engine.fold import fold
from runstream.model.signals import SIGNAL_TYPES
from runstream.recordings.reader import read_recording
from runstream.sinks.log import LEVELS, log_signals

HERE = Path(__file__).parent
RECORDING = "failed.sse"

PAGE = """\
# Logging

<!-- Written by docs/make_logging.py, which runs what it shows: change that, then run it. -->

`log_signals(stream)` writes every signal to [structlog](https://www.structlog.org), or to a logger of the standard
library, each at the level of its meaning and without message text. It returns a disposable that ends it. The
library itself configures no logging: your application does.

```python
from runstream import connect, log_signals


async def main(url: str) -> None:
    async with connect(url) as stream:
        log_signals(stream)
        await stream.results()
```

All that follows is the log of one bundled recording, a run that fails in mid sentence ([a whole
program](../examples/05_log.py)).

## On the console

```python
structlog.configure(processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()])
```

```text
{console}
```

## As JSON

```python
structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
```

```json
{json}
```

Add `structlog.processors.TimeStamper(fmt="iso")` for times. With `structlog.stdlib` processors and
`wrapper_class=structlog.stdlib.BoundLogger` the same goes through the handlers of the standard library.

## Without structlog

Give a `logging.Logger`, or a `LoggerAdapter`. The message is the event with its fields; each field is an attribute of
the record too, so that formatters which write JSON find them.

```python
logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
log_signals(stream, logging.getLogger("app.runs"))
```

```text
{standard}
```

## What a record has

The event is the signal's type; it and the names of the fields are stable.

| field | of |
|---|---|
| `run_id`, `thread_id`, `assistant_id` | all signals of a run; the assistant where it is known |
| `path` | what a subagent or a subgraph says: the names that lead to it |
| `key` | every signal; equal facts have equal keys, so repeated lines of a log are recognised |
| `scope` | every signal; "" by default |
| `model`, `status` | `run.created`; `model` also runs that ended |
| `before`, `after` | `run.status_changed`: the two statuses |
| `duration` | runs that ended (seconds from creation to end), steps that ended |
| `prompt_tokens`, `completion_tokens`, `total_tokens` | the same, where the server says |
| `error_code`, `incomplete_reason` | what failed, or ended incomplete; a text that is no short name is left out |
| `action`, `calls`, `tools`, `kinds` | `run.action_required`: what is asked for; number, tools and kinds of the calls |
| `round` | `run.paused`: the number of the request for action, from 1 |
| `reason`, `last_event_id`, `attempts`, `idle`, `limit` | `run.interrupted`, `run.stalled` |
| `message_id` | signals of a message |
| `step_id`, `step_type` | signals of a step; `step_id` also `reasoning.text` |
| `call_id`, `tool` | signals of a tool call; the name of the tool once it is known whole |
| `version`, `operations` | `document.changed`, `activity.changed`: its version, the number of operations of a patch |
| `size`, `partial` | the same: the size of the value (bytes of JSON), and whether it may miss something |
| `activity_id`, `kind` | `activity.changed`; `kind` also `reasoning.text` |
| `name`, `n` | `custom`: its name, and its number in the run |
| `source`, `reason`, `attempt` | all signals of a source |
| `run_id` | `source.error` too, where it is known which run the error concerns |
| `error_type` | `source.error`: the type of the server's error |
| `characters`, `offset`, `part` | text that grows, if it is logged: how much, where, in which part; not what |
| `characters` | `message.text_replaced`, `tool_call.result` too |

## Levels

{levels}

## What stays out

By default no message text, no tool arguments and no words of an error: these may quote the conversation. Each is a
choice of its own:

| option | adds |
|---|---|
| `progress=True` | `message.text` and `tool_call.arguments`, at debug: that something grew, and how much |
| `include_text=True` | `text`, `error_message` and `server_message` |
| `include_arguments=True` | `arguments` and `output` |

Control characters in what comes over the wire are escaped in any case: no run can forge a line of your log. URLs are
logged without their credentials.

A logger that raises, or blocks, is a subscriber like any other: see [Guarantees](guarantees.md), 8 and 9. For another
form altogether, `log_record(signal)` gives level, event and fields of one signal.

## In a shell

`runstream watch --json URL` writes each signal as a line of JSON as soon as it happens, text included, and ends when
the reader of the pipe goes away. See [The command line](cli.md#output-for-programs).

    runstream watch --json wss://host/runs | jq -r 'select(.type == "run.failed") | .run_id'
"""


def with_structlog(renderer: Any) -> str:
    """What structlog writes with a renderer."""
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out), processors=[structlog.processors.add_log_level, renderer]
    )
    return written(logger, out)


def with_the_standard_library() -> str:
    """What a logger of the standard library writes."""
    out = io.StringIO()
    logger = logging.Logger("app.runs", logging.INFO)
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    return written(logger, out)


def written(logger: Any, out: io.StringIO) -> str:
    """What the signals of the recording, but for those of its steps, become."""
    signals = fold(read_recording(demo.load(RECORDING))).signals
    log_signals(from_iterable(s for s in signals if not s.type.startswith(("step.", "source."))), logger)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def levels() -> str:
    """The table of levels, from the sink's own."""
    found: dict[str, list[str]] = {"error": [], "warning": [], "info": [], "debug": []}
    for name, kind in SIGNAL_TYPES.items():
        found[LEVELS.get(kind, "info")].append(f"`{name}`")
    rows = [f"| {level} | {', '.join(names)} |" for level, names in found.items()]
    return "\n".join(["| level | signals |", "|---|---|", *rows])


def page() -> str:
    """The whole page."""
    parts = {
        "console": with_structlog(structlog.dev.ConsoleRenderer(colors=False)),
        "json": with_structlog(structlog.processors.JSONRenderer()),
        "standard": with_the_standard_library(),
        "levels": levels(),
    }
    text = PAGE
    for name, value in parts.items():
        text = text.replace(f"{{{name}}}", value)
    return text


if __name__ == "__main__":
    (HERE / "logging.md").write_text(page(), encoding="utf-8")
