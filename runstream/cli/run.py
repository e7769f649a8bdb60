"""`run`: starts a run by a client, executes its tools, and shows its signals as they happen."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from runstream.cli.exit_codes import UsageError
from runstream.cli.lines import View
from runstream.cli.parser import CLIENTS
from runstream.cli.screen import make_view
from runstream.cli.stdio import clip, escape
from runstream.cli.watch import WatchResult, read_body, watch_stream
from runstream.clients.answers import Approve, ApproveFunction, CallAnswer, Decline
from runstream.clients.base import BaseClient
from runstream.clients.tools import LocalTool
from runstream.model.run import Run
from runstream.model.signal_base import AwaitedCall

__all__ = ["load_tool", "run"]

_SOCKET_SCHEMES: Final = {"ws": "http", "wss": "https"}
_JSON_BEGINS: Final = '{["'
_MAX_SHOWN: Final = 2_000  # characters of the arguments that a question shows


def run(args: argparse.Namespace) -> int:
    """Start a run and show its signals; the exit code is that of `watch`."""
    tools = [load_tool(text) for text in args.tools]
    body = _body_of(args)
    view = make_view(json=args.json, plain=args.plain)
    try:
        client = _client(args, tools)
    except ImportError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(escape(str(error))) from error
    result = asyncio.run(_run(client, body, args, view))
    return result.tally.code(result.states)


async def _run(client: BaseClient, body: dict[str, Any], args: argparse.Namespace, view: View) -> WatchResult:
    async with client:
        stream = client.run(body, approve=_APPROVE[args.approve], timeout=args.timeout)
        return await watch_stream(stream, view, quiet=args.json)


def _client(args: argparse.Namespace, tools: list[LocalTool]) -> BaseClient:
    module, name = CLIENTS[args.dialect]
    url, is_socket = _http_url(args.url)
    options: dict[str, Any] = {}
    if is_socket or args.websocket:
        if args.dialect != "responses":
            raise UsageError(f"--dialect {args.dialect} has no WebSocket: only responses has one; use an https:// URL")
        options["websocket"] = True
    made: BaseClient = getattr(importlib.import_module(module), name)(
        url,
        **options,
        api_key=_key(args.key_env),
        headers=dict(args.header),
        tools=tools,
        on_subscriber_error="raise",  # as in `watch`: a closed pipe ends the command
    )
    return made


def _http_url(url: str) -> tuple[str, bool]:
    """The URL of the requests over HTTP, and True if it was that of a WebSocket."""
    scheme, separator, rest = url.partition("://")
    found = _SOCKET_SCHEMES.get(scheme.lower())
    return (url, False) if found is None else (f"{found}{separator}{rest}", True)


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"--key-env: the environment variable {clip(escape(name))} is not set")
    return value


def _body_of(args: argparse.Namespace) -> dict[str, Any]:
    """The body of ``--body``: the text if it begins as JSON does, else the content of the file that it names.

    Raises:
        UsageError: It is no JSON object, or the file can't be read.
    """
    text: str | None = args.body
    if text is None:
        return {}
    is_file = text.strip() != "" and text.lstrip()[0] not in _JSON_BEGINS
    file = text.removeprefix("@")
    try:
        data = read_body(f"@{file}" if is_file else text)
    except UsageError as error:
        raise UsageError(f"--body: {error}; give a JSON object, or a file that contains one") from error
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        what = f"--body: {clip(escape(file))} contains" if is_file else "--body is"
        raise UsageError(f"{what} no JSON object: {clip(escape(str(error)), 200)}") from error


def load_tool(text: str) -> LocalTool:
    """The tool of ``module:function`` or ``file.py:function``.

    Raises:
        UsageError: There is no such function, or it can't be a tool.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"--tools: {clip(escape(text))} is not module:function or file.py:function")
    try:
        module = _load_file(place) if place.endswith(".py") else _load_module(place)
        found = getattr(module, name)
    except FileNotFoundError as error:
        raise UsageError(f"--tools: there is no file {clip(escape(place))}") from error
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--tools: {clip(escape(text))} can't be loaded: {clip(escape(str(error)), 200)}") from error
    try:
        return found if isinstance(found, LocalTool) else LocalTool(found)
    except (TypeError, ValueError) as error:
        raise UsageError(f"--tools: {clip(escape(str(error)), 200)}") from error


def _load_module(name: str) -> Any:
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it
    return importlib.import_module(name)


def _load_file(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that annotations of its functions are found
    spec.loader.exec_module(module)
    return module


async def _ask(call: AwaitedCall, run: Run) -> CallAnswer | None:
    """Ask at the terminal about one call. Without a terminal, the run waits."""
    if not sys.stdin.isatty():
        return None
    shown = clip(escape(call.arguments or ""), _MAX_SHOWN)
    question = f"\n{run.id} wants to call {escape(call.name or call.kind)} with {shown}\napprove? [y/N] "

    def ask() -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline()

    reply = (await asyncio.to_thread(ask)).strip().lower()
    return Approve() if reply in ("y", "yes") else Decline("declined by the user")


def _approve_all(call: AwaitedCall, run: Run) -> CallAnswer:
    return Approve()


_APPROVE: Final[Mapping[str, ApproveFunction | None]] = {"ask": _ask, "all": _approve_all, "none": None}
