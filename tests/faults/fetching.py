"""One HTTP request, by hand: what an application without an HTTP library gives a source that polls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from msgspec import Struct

__all__ = ["Answered", "fetch"]


class Answered(Struct, frozen=True):
    """An answer, in the form that most HTTP clients give it."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


async def fetch(url: str) -> Answered:
    """Get a URL.

    Raises:
        OSError, EOFError: The connection was lost.
        ValueError: The answer is no HTTP.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = HTTPStatus(int(head[0].split(" ")[1]))
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = 0 if status is HTTPStatus.NO_CONTENT else int(headers.get("content-length", "0"))
        return Answered(int(status), headers, await reader.readexactly(length))
    finally:
        writer.close()
