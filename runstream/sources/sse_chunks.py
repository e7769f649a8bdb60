"""The source of server-sent events from chunks of bytes: the response body of any HTTP client, a file, a pipe."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import TypeAlias

from runstream.errors import SourceFailed
from runstream.model.raw import Malformed
from runstream.model.validation import check_counts
from runstream.sources.base import Receiver
from runstream.sources.http_errors import read_error
from runstream.sources.sent_values import NOTHING_SENT
from runstream.sources.sse_parser import MAX_EVENT_BYTES, ParsedItem, SSEParser
from runstream.sources.stray_text import no_stream_reason

__all__ = ["Chunks", "SseChunks"]

Chunk: TypeAlias = bytes | bytearray | memoryview
Chunks: TypeAlias = AsyncIterable[Chunk] | Iterable[Chunk]


class SseChunks:
    """Reads an event stream (WHATWG HTML 9.2) from its bytes, in pieces of any size.

    ::

        async with client.stream("POST", url, json=body) as response:      # httpx, httpx2
            async with RunStream(SseChunks(response.aiter_bytes())) as stream:
                run = await stream.result()

    ``response.content.iter_any()`` of aiohttp and an ``asyncio.StreamReader`` work as well, and so do synchronous
    iterables, such as an open binary file. The chunks are read as fast as the pipeline accepts them. Their end is the
    source's end; reconnecting is left to the owner of the chunks, or to :class:`~runstream.SseSource`.

    Args:
        chunks: The bytes of the body, decompressed. A synchronous iterable that blocks also blocks the event loop.
            A generator is closed at the end and on cancellation.
        name: The source's name.
        max_message_bytes: Size of one event (bytes). A larger one is rejected and not kept in memory; later events are
            read.

    Raises:
        TypeError: ``chunks`` is a single piece, or can't be iterated.
        ValueError: ``max_message_bytes`` is less than 1.
    """

    def __init__(self, chunks: Chunks, *, name: str = "event stream", max_message_bytes: int = MAX_EVENT_BYTES) -> None:
        if isinstance(chunks, bytes | bytearray | memoryview | str) or not isinstance(chunks, AsyncIterable | Iterable):
            raise TypeError(f"chunks must be an iterable or async iterable of bytes, not {type(chunks).__name__}")
        check_counts(max_message_bytes=max_message_bytes)
        self.name = name
        self._chunks = chunks
        self._max_bytes = max_message_bytes

    def __repr__(self) -> str:
        return f"SseChunks({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more.

        Raises:
            TypeError: A chunk is not of bytes.
            SourceFailed: The chunks are no event stream: a body of JSON, such as an error, or other text.
            Exception: The iterable's own error.
        """
        receiver.connected()
        events = 0
        last: ParsedItem | None = None
        parser = SSEParser(max_event_bytes=self._max_bytes)
        chunks = _iterate(self._chunks)
        try:
            async for chunk in chunks:
                if not isinstance(chunk, bytes | bytearray | memoryview):
                    raise TypeError(f"a chunk of an event stream is bytes, not {type(chunk).__name__}")
                parser.at = time.time()
                items = parser.feed(bytes(chunk))
                if items:
                    last = items[-1]
                    events += sum(type(item) is not Malformed for item in items)
                    await receiver.feed_all(items)
        finally:
            await chunks.aclose()
        items = parser.close()
        await receiver.feed_all(items)
        last = items[-1] if items else last
        if isinstance(last, Malformed) and not events:
            error = read_error(last.data)
            code = error.code_for(NOTHING_SENT)
            raise SourceFailed(
                no_stream_reason(last) + (f" ({code})" if code else ""),
                message=error.message_for(NOTHING_SENT),
                server_message=NOTHING_SENT.redact(error.text),
            )


async def _iterate(chunks: Chunks) -> AsyncGenerator[Chunk, None]:
    if isinstance(chunks, AsyncIterable):
        async_iterator = aiter(chunks)
        try:
            async for chunk in async_iterator:
                yield chunk
        finally:
            if inspect.isasyncgen(async_iterator):
                await async_iterator.aclose()
        return
    iterator = iter(chunks)
    try:
        for chunk in iterator:
            yield chunk
    finally:
        if inspect.isgenerator(iterator):
            iterator.close()
