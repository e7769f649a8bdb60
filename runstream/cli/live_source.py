"""From the arguments of a command to the live source that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import urlsplit

from runstream.cli.exit_codes import UsageError
from runstream.cli.output import clip, escape
from runstream.sources.base import Source
from runstream.sources.credentials import merge_headers
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource

__all__ = ["live_source"]

_GIVE = "give wss://host/path, https://host/path, ws:// or http://"


def live_source(args: argparse.Namespace) -> Source:
    """The source that a URL, ``--header`` and ``--data`` name.

    Raises:
        UsageError: The URL is none that can be read, or the body can't be.
    """
    scheme, headers = _scheme_of(args.url), dict(args.header)
    # A command's exit code must say what became of this stream. Connecting again is for programs that go on.
    if scheme in {"ws", "wss"}:
        if args.data is not None:
            raise UsageError("--data is the body of a POST: give an http:// or https:// URL")
        return WebSocketSource(args.url, headers=headers, reconnect=None)
    try:
        if args.data is None:
            return SseSource(args.url, headers=headers, reconnect=None)
        headers = merge_headers({"Content-Type": "application/json"}, headers)
        return SseSource(args.url, method="POST", content=_body(args.data), headers=headers, reconnect=None)
    except ImportError as error:
        raise UsageError(f"{error}, or pipe it in: curl -sN URL | runstream replay -") from error


def _body(data: str) -> bytes:
    """What ``--data`` says, or what the file has that it names, as with curl."""
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {clip(escape(data[1:]))}: {error.strerror or type(error).__name__}") from error


def _scheme_of(url: str) -> str:
    """Refuse what is no live stream, without repeating it: URLs hold credentials."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the URL can't be read ({escape(str(error))}); {_GIVE}") from error
    if parts.scheme not in {"ws", "wss", "http", "https"}:
        scheme = f"{clip(parts.scheme, 20)}:// is no live stream" if parts.scheme else "no scheme"
        raise UsageError(f"{scheme}; {_GIVE}")
    if not host:
        raise UsageError(f"the URL names no host; {_GIVE}")
    return parts.scheme
