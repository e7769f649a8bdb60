"""The grammar of the command line, and the texts of its help."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from importlib import metadata
from typing import Final

from runstream.cli.cluster_parser import CLUSTER_COMMANDS, add_cluster_arguments

__all__ = ["CLIENTS", "EXIT_CODES", "build_parser", "parse"]

CLIENTS: Final = {
    "ag-ui": ("runstream.clients.ag_ui", "AgUiClient"),
    "assistants": ("runstream.clients.assistants", "AssistantsClient"),
    "langgraph": ("runstream.clients.langgraph", "LangGraphClient"),
    "responses": ("runstream.clients.responses", "ResponsesClient"),
}
"""The module and the name of the client of each protocol that `run` serves; it is loaded when it is used."""

EXIT_CODES: Final = """\
exit codes (of several that apply, the first in this list):
  2    usage: a wrong argument, a file that can't be read or written, an unknown format
  5    no connection: the server can't be reached, or refused the connection
  4    a run was left live: cut off, or in an unknown status, even after `done`
  1    a run ended otherwise than completed, or no run was seen
  3    a run waits for action (tool outputs, an approval)
  0    all runs completed
  130  ended by Ctrl-C      141  the reader of the output has gone away
Rejected input is reported on standard error and changes no exit code."""

MAIN: Final = """\
Turn the streamed events of agent runs into runs and signals that can be relied on:
the latest state of every run, and each fact (completed, failed, waits for a tool
output, ...) exactly once.

Start with `runstream demo`. It needs nothing but this machine."""

MAIN_END: Final = f"""\
examples:
  runstream demo                          see it work, offline, in a few seconds
  runstream watch wss://host/runs         what happens on a live stream, as it happens
  runstream record wss://host/runs -o run.jsonl   write it down as it happens
  runstream replay run.sse                what happened in a recording
  runstream replay --json run.sse | jq 'select(.type == "run.failed")'
  runstream fold --json part1.sse part2.sse   the runs as they were at the end
  runstream check run.sse                 which rules of its protocol a stream breaks
  curl -sN $URL | runstream replay -      any event stream, piped in

{EXIT_CODES}"""

_FILES: Final = """\
FILE is an event stream (.sse), or JSON lines with one {"event": ..., "data": {...}}
each (.jsonl, .ndjson), or - for standard input. Where the suffix does not say, the
first line that is not blank does. Several files are successive streams: the next one
goes on with the runs that the last one left open, as when tool outputs were submitted
in between."""

COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "demo": (
        "play recorded runs over a real WebSocket and show what happens",
        "Start a server on a free port of this machine, play bundled recordings through it over a\n"
        "WebSocket, several runs interleaved, and show every signal. Ends by itself in under 20 s.\n\n"
        "With --dialect a client of that protocol starts runs on a scripted server of this machine: calls\n"
        "are executed by tools, one is approved, a connection breaks off. Needs the extras: pip install\n"
        "'runstream[http,testing]'.",
        "examples:\n  runstream demo\n  runstream demo --pace 3\n  runstream demo --dialect responses\n"
        '  runstream demo --json | jq -r "[.type, .run_id] | @tsv"\n\n'
        "exit codes:\n  0    every run ended as the script has it\n  1    something did not\n"
        "  2    usage\n  130  ended by Ctrl-C      141  the reader of the output has gone away",
    ),
    "run": (
        "start a run, execute its tools, and show what happens",
        "Start a run on a server, answer its calls with functions of your own, and show every signal until\n"
        "the run has ended. URL is the base URL of the API (https://host/v1). Needs the extra: pip install\n"
        "'runstream[http]'. A run whose calls are not all answered is left waiting (exit code 3).",
        "examples:\n"
        "  runstream run --dialect responses https://host/v1 --key-env API_KEY \\\n"
        '    --body \'{"model": "small", "input": "How is the weather in Oslo?"}\' --tools tools.py:get_weather\n'
        "  runstream run --dialect responses wss://host/v1 --key-env API_KEY --body request.json\n"
        "  runstream run --dialect assistants https://host/v1 --key-env API_KEY --body request.json --approve ask\n\n"
        + EXIT_CODES,
    ),
    "watch": (
        "show the signals of a live stream",
        "Connect to a stream of run events, and show every signal until the server closes it: server-sent\n"
        "events over https:// (needs the extra: pip install 'runstream[http]'), or a WebSocket, each message\n"
        'of which is one {"event": ..., "data": {...}}, optionally with an "id".',
        "examples:\n  runstream watch ws://127.0.0.1:8765\n"
        '  runstream watch wss://host/runs -H "Authorization: Bearer $TOKEN"\n'
        '  runstream watch https://host/runs -H "Authorization: Bearer $TOKEN" -d @request.json\n'
        "  runstream watch --json wss://host/runs >> signals.jsonl\n"
        "  runstream watch --page wss://host/runs     the same in a browser, until Ctrl-C\n\n" + EXIT_CODES,
    ),
    "record": (
        "write a live stream into a file",
        "Connect as watch does, and write every event into FILE with its time of arrival, until the server\n"
        "closes the stream. FILE is whole after each event, also where the command is killed; replay, fold\n"
        "and serve read it. A name in .sse makes it an event stream, .jsonl or .ndjson JSON lines.\n"
        "Progress is shown on standard error.",
        "examples:\n  runstream record wss://host/runs -o run.jsonl\n"
        '  runstream record wss://host/runs -o run.sse -H "Authorization: Bearer $TOKEN"\n'
        "  runstream record --redact wss://host/runs -o run.jsonl && runstream replay --speed 10 run.jsonl\n\n"
        + EXIT_CODES,
    ),
    "replay": (
        "show the signals of recordings",
        "Read recordings and show every signal, in order: at once, or with --speed when they came. A terminal\n"
        "shows the runs as they are instead, at once as they ended, if Rich is there; --plain the signals.\n\n"
        + _FILES,
        "examples:\n  runstream replay run.sse\n  runstream replay --speed 1 run.jsonl\n"
        "  runstream replay --json asked.sse answered.sse\n"
        "  curl -sN $URL | runstream replay -\n\n" + EXIT_CODES,
    ),
    "fold": (
        "show the runs of recordings as they are at the end",
        "Read recordings and show the final state of each run, in order of appearance.\nWith --json each is one "
        'line, {"run": {...}, "steps": [...], "messages": [...]},\nevery object as on the wire.\n\n' + _FILES,
        "examples:\n  runstream fold run.sse\n"
        '  runstream fold --json run.sse | jq -r "[.run.id, .run.status] | @tsv"\n'
        "  runstream fold --continue asked.sse answered.sse   where the second does not name the run\n\n" + EXIT_CODES,
    ),
    "check": (
        "show which rules of its protocol a stream breaks",
        "Read a recording or a live stream, check it against the rules of its protocol, and show the rules that it\n"
        "breaks, where, and what a tolerant reader made of it. For people who build servers. A note is a legal form\n"
        "that is known to break readers; it changes no exit code. The report has names, ids and sizes, and no text.\n\n"
        "SOURCE is a recording (.sse, .jsonl, - for standard input) or a URL: https:// and http:// for server-sent\n"
        "events (needs the extra: pip install 'runstream[http]'), wss:// and ws:// for a WebSocket.",
        "examples:\n  runstream check run.sse\n"
        "  runstream check --dialect responses http://127.0.0.1:8000/v1/responses -d @request.json\n"
        '  runstream check --json run.sse | jq -r ".findings[] | [.severity, .rule, .count] | @tsv"\n'
        "  curl -sN $URL | runstream check -\n\n"
        "exit codes:\n  0    no rule is broken\n  1    a rule is broken\n"
        "  2    usage: a wrong argument, a file that can't be read\n"
        "  5    no connection: the server can't be reached\n"
        "  130  ended by Ctrl-C      141  the reader of the output has gone away",
    ),
    "serve": (
        "serve recordings over a WebSocket",
        "Play recordings to every client that connects, as WebSocket messages, then close (1000).\n"
        "Events without a time of arrival are sent 30 ms apart, before --speed.\n"
        "The URL is the first line of the output. Ctrl-C ends it.\n\n" + _FILES,
        "examples:\n  runstream serve run.sse\n  runstream serve --port 8765 --speed 2 run.jsonl\n"
        "  runstream serve --speed 0 asked.sse answered.sse\n"
        "  runstream serve --page run.sse     and a page that shows it, from when it is opened\n\n"
        "exit codes:\n  0    ended by Ctrl-C\n  2    usage, or a port that is taken\n"
        "  141  the reader of the output has gone away",
    ),
    **CLUSTER_COMMANDS,
}
"""For each command: a line for the list of commands, its description, and examples."""

_PAGE_OPTIONS: Final = ("page_port", "page_origin")
"""Options that are valid with ``--page`` only."""

_SERVE_PAGE_OPTIONS: Final = ("dialect",)
"""Further ones of ``serve``: it sends recordings as they are, and only the page reads them."""


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more, such as 0.5, 1 or 10")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, such as 30 or 0.5")
    return value


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 (any free one) to 65535")
    return int(text)


def _dialect(text: str) -> str:
    from runstream.dialects.registry import dialect_names  # only here: help and usage errors load no model

    if text not in dialect_names():
        raise argparse.ArgumentTypeError(f"{text!r} is not a dialect; there is: {', '.join(dialect_names())}")
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable():
        # Not repeated in the message: the text may contain a secret.
        raise argparse.ArgumentTypeError("a header is written 'Name: value'")
    return name.strip(), value.strip()


def _version() -> str:
    return f"runstream {metadata.version('runstream')}"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The parsed arguments; for ``None``, those of the process.

    Raises:
        SystemExit: Help was requested (0), or the arguments are wrong (2); the text was printed.
    """
    args = build_parser().parse_args(argv)
    for name in (*_PAGE_OPTIONS, *(_SERVE_PAGE_OPTIONS if args.command == "serve" else ())):
        if getattr(args, name, None) is not None and not args.page:
            option = f"--{name.replace('_', '-')}"
            args.parser.error(f"{option} is of use with --page only: add --page, or leave {option} out")
    if getattr(args, "continues", False) and len(args.files) < 2:
        args.parser.error("--continue needs two files or more: the first asks for action, the next goes on")
    return args


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; ``args.command`` names the command, ``args.parser`` is its own one."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "runstream", description=MAIN, epilog=MAIN_END, formatter_class=raw, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=_version(), help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    subparsers = {
        name: commands.add_parser(
            name, help=brief, description=text, epilog=end, formatter_class=raw, allow_abbrev=False
        )
        for name, (brief, text, end) in COMMANDS.items()
    }
    for command in subparsers.values():
        command.set_defaults(parser=command)
    for name in ("replay", "fold", "serve"):
        subparsers[name].add_argument("files", nargs="+", metavar="FILE", help="a recording, or - for standard input")
    for name in ("demo", "run", "watch", "replay"):
        form = subparsers[name].add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one signal a line, as JSON")
        form.add_argument(
            "--plain", action="store_true", help="one signal a line, on a terminal too, instead of the live view"
        )
    subparsers["fold"].add_argument("--json", action="store_true", help="one run a line, as JSON")
    subparsers["check"].add_argument("source", metavar="SOURCE", help="a recording, - for standard input, or a URL")
    subparsers["check"].add_argument("--json", action="store_true", help="the report as one line of JSON")
    subparsers["check"].add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="stop a check of a URL after so long (default: never)"
    )
    subparsers["fold"].add_argument(
        "--continue",
        action="store_true",
        dest="continues",
        help="each FILE but the first continues the run of those before it that waits for action",
    )
    for name in ("replay", "fold"):
        subparsers[name].add_argument(
            "--answer",
            action="append",
            default=[],
            dest="answers",
            metavar="FILE.json",
            help="what the server says about the run of a FILE when it is asked after the stream; the first answer is "
            "for the first FILE, and so on",
        )
    for name in ("watch", "record", "replay", "fold", "check", "serve"):
        subparsers[name].add_argument(
            "--dialect",
            type=_dialect,
            metavar="NAME",
            help="the protocol of the events (default: auto, by the first event)",
        )
    subparsers["demo"].add_argument(
        "--pace",
        type=_factor,
        default=1.0,
        metavar="N",
        help="N times as fast; 0 as fast as it goes (default: 1, about 12 s)",
    )
    subparsers["demo"].add_argument(
        "--dialect",
        choices=tuple(CLIENTS),
        help="start runs by the client of this protocol, in place of the recordings",
    )
    _add_run_arguments(subparsers["run"])
    for name in ("watch", "record"):
        subparsers[name].add_argument("url", metavar="URL", help="wss://, https://, ws:// or http://")
    for name in ("run", "watch", "record", "check"):
        subparsers[name].add_argument(
            "-H",
            "--header",
            action="append",
            type=_header,
            default=[],
            metavar="'NAME: VALUE'",
            help="a header for each request; may be given several times",
        )
    for name in ("watch", "record", "check"):
        subparsers[name].add_argument(
            "-d",
            "--data",
            metavar="BODY",
            help="send a POST with this body, of JSON unless -H 'Content-Type: ...' says otherwise; @FILE reads a file",
        )
    subparsers["record"].add_argument(
        "-o", "--output", required=True, metavar="FILE", help="where to write: .jsonl or .sse"
    )
    subparsers["record"].add_argument("--force", action="store_true", help="replace FILE if it exists")
    subparsers["record"].add_argument(
        "--redact", action="store_true", help="blank what people and tools said; ids, statuses and lengths stay"
    )
    subparsers["replay"].add_argument(
        "--speed",
        type=_factor,
        default=0.0,
        metavar="N",
        help="N times as fast as recorded; 0 as fast as it goes (default: 0)",
    )
    subparsers["serve"].add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    subparsers["serve"].add_argument(
        "--port", type=_port, default=0, metavar="N", help="port to listen on (default: 0, any free one)"
    )
    subparsers["serve"].add_argument(
        "--speed",
        type=_factor,
        default=1.0,
        metavar="N",
        help="N times as fast as recorded; 0 as fast as it goes (default: 1)",
    )
    for name in ("watch", "record"):
        subparsers[name].add_argument(
            "--idle",
            type=_seconds,
            metavar="SECONDS",
            help="end a server that sends nothing, or a run without events, after so long, unless the run waits for "
            "action (default: never)",
        )
    for name in ("watch", "serve"):
        subparsers[name].add_argument(
            "--page", action="store_true", help="show it in browsers too, live; prints the URL"
        )
        subparsers[name].add_argument(
            "--page-port", type=_port, metavar="N", help="port of the page (default: 0, any free one)"
        )
        subparsers[name].add_argument(
            "--page-origin",
            action="append",
            metavar="https://HOST",
            help="where browsers reach the page through a proxy; may be given several times",
        )
    add_cluster_arguments(subparsers, header=_header, dialect=_dialect, seconds=_seconds)
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        metavar="URL",
        help="the base URL of the API, https:// or http://; wss:// or ws:// for the WebSocket of the Responses API",
    )
    parser.add_argument(
        "--dialect",
        required=True,
        choices=tuple(CLIENTS),
        help="the protocol of the server",
    )
    parser.add_argument(
        "--body", metavar="JSON|FILE", help="the body of the request, as the protocol has it: a JSON object, or a file"
    )
    parser.add_argument(
        "--tools",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="a function that the model may call, of a module or of a file (tools.py:get_weather); repeatable",
    )
    parser.add_argument(
        "--approve",
        choices=("ask", "all", "none"),
        default="ask",
        help="calls that wait for an approval: ask at the terminal, approve all, or leave them (default: ask)",
    )
    parser.add_argument(
        "--websocket",
        action="store_true",
        help="send all requests of the run over one WebSocket (--dialect responses; as with a wss:// URL)",
    )
    parser.add_argument("--key-env", metavar="NAME", help="the environment variable that has the API key")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="cancel the run after so long (default: never)"
    )
