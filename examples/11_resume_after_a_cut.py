"""A connection is cut in the middle of a sentence. The source connects again, says where it was, and no subscriber who
subscribed notices: no signal is missing, none comes twice, the text is whole.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve

import runstream
from runstream import (
    RawEvent,
    Reconnect,
    Resume,
    ResumeInfo,
    Signal,
    SourceDisconnected,
    SourceResumed,
    demo,
    fold,
    read_recording,
)

RECORDED = [item for item in read_recording(demo.load("text.sse")) if isinstance(item, RawEvent)]
CUTS = {0: 20, 1: 45}  # connection: after so many events it is gone


def envelope(number: int) -> bytes:
    """An event as this gateway sends it: with an id, which is what makes resuming and deduplication exact."""
    raw = RECORDED[number]
    return msgspec.json.encode({"id": str(number), "event": raw.event, "data": msgspec.Raw(raw.data)})


class Gateway:
    """Stands for your server: it goes on after `?after=`, a little before it, and loses its first connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        after = parse_qs(urlsplit(socket.request.path).query).get("after")
        first = max(int(after[0]) - 2, 0) if after else 0  # what is sent again has the same ids
        last = CUTS.get(self.connections, len(RECORDED))
        self.connections += 1
        for number in range(first, min(last, len(RECORDED) - 1)):  # the last one is `[DONE]`
            await socket.send(envelope(number))
        if last < len(RECORDED):
            await asyncio.sleep(0.05)
            socket.transport.abort()  # no goodbye


async def main() -> None:
    async with serve(Gateway().serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/runs"

        def resume(info: ResumeInfo) -> Resume:
            print(f"\n[connecting again after event {info.last_id}]")
            return Resume(url=f"{url}?after={info.last_id}")

        keys: list[str] = []

        def note(signal: Signal) -> None:
            match signal:
                case SourceDisconnected() | SourceResumed():
                    print(f"[{signal.type}]")
                case runstream.TextDelta(delta=delta):
                    print(delta, end="")
                case _:
                    keys.append(signal.key)

        stream = runstream.connect(url, resume=resume, reconnect=Reconnect(initial=0.05))
        async with stream:
            stream.on(Signal, note)
            run = await stream.result()
            stats = stream.stats

    whole = fold(RECORDED)
    print(f"\n{run.id} {run.status}, {stats.duplicates} events came twice")
    print(f"whole: {stream.latest[run.id].text == whole.runs[0].text}, no fact twice: {len(keys) == len(set(keys))}")


if __name__ == "__main__":
    asyncio.run(main())
