"""The command line's grammar."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from importlib import metadata
from typing import Final

from runstream.cli.texts import COMMANDS, MAIN, MAIN_END

__all__ = ["build_parser", "parse"]

_OF_THE_PAGE: Final = ("page_port", "page_origin")
"""Options that say how ``--page`` serves."""


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


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable():
        # Not repeated in the message: what was meant for a header may be a secret.
        raise argparse.ArgumentTypeError("a header is written 'Name: value'")
    return name.strip(), value.strip()


def _version() -> str:
    return f"runstream {metadata.version('runstream')}"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, understood; ``None`` for those of the process.

    Raises:
        SystemExit: Help was asked for (0), or the arguments are wrong (2); it was printed.
    """
    args = build_parser().parse_args(argv)
    for name in _OF_THE_PAGE:
        if getattr(args, name, None) is not None and not args.page:
            option = f"--{name.replace('_', '-')}"
            args.parser.error(f"{option} is of use with --page only: add --page, or leave {option} out")
    return args


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; ``args.command`` names the command, ``args.parser`` is its own one."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "runstream", description=MAIN, epilog=MAIN_END, formatter_class=raw, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=_version(), help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    made = {
        name: commands.add_parser(
            name, help=brief, description=text, epilog=end, formatter_class=raw, allow_abbrev=False
        )
        for name, (brief, text, end) in COMMANDS.items()
    }
    for command in made.values():
        command.set_defaults(parser=command)
    for name in ("replay", "fold", "serve"):
        made[name].add_argument("files", nargs="+", metavar="FILE", help="a recording, or - for standard input")
    for name in ("demo", "watch", "replay"):
        form = made[name].add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one signal a line, as JSON")
        form.add_argument(
            "--plain", action="store_true", help="one signal a line, on a terminal too, instead of the live view"
        )
    made["fold"].add_argument("--json", action="store_true", help="one run a line, as JSON")
    made["demo"].add_argument(
        "--pace",
        type=_factor,
        default=1.0,
        metavar="N",
        help="N times as fast; 0 as fast as it goes (default: 1, about 12 s)",
    )
    for name in ("watch", "record"):
        made[name].add_argument("url", metavar="URL", help="wss://, https://, ws:// or http://")
        made[name].add_argument(
            "-H",
            "--header",
            action="append",
            type=_header,
            default=[],
            metavar="'NAME: VALUE'",
            help="a header for the opening request; may be given several times",
        )
        made[name].add_argument(
            "-d",
            "--data",
            metavar="BODY",
            help="send a POST with this body, of JSON unless -H 'Content-Type: ...' says otherwise; @FILE reads a file",
        )
    made["record"].add_argument("-o", "--output", required=True, metavar="FILE", help="where to write: .jsonl or .sse")
    made["record"].add_argument("--force", action="store_true", help="replace FILE if it exists")
    made["record"].add_argument(
        "--redact", action="store_true", help="blank what people and tools said; ids, statuses and lengths stay"
    )
    made["replay"].add_argument(
        "--speed",
        type=_factor,
        default=0.0,
        metavar="N",
        help="N times as fast as recorded; 0 as fast as it goes (default: 0)",
    )
    made["serve"].add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    made["serve"].add_argument(
        "--port", type=_port, default=0, metavar="N", help="port to listen on (default: 0, any free one)"
    )
    made["serve"].add_argument(
        "--speed",
        type=_factor,
        default=1.0,
        metavar="N",
        help="N times as fast as recorded; 0 as fast as it goes (default: 1)",
    )
    for name in ("watch", "record"):
        made[name].add_argument(
            "--idle",
            type=_seconds,
            metavar="SECONDS",
            help="give a run up if nothing comes of it for so long, unless it waits for action (default: never)",
        )
    for name in ("watch", "serve"):
        made[name].add_argument("--page", action="store_true", help="show it in browsers too, live; prints the URL")
        made[name].add_argument(
            "--page-port", type=_port, metavar="N", help="port of the page (default: 0, any free one)"
        )
        made[name].add_argument(
            "--page-origin",
            action="append",
            metavar="https://HOST",
            help="where browsers reach the page through a proxy; may be given several times",
        )
    return parser
