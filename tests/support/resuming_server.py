"""A server with resumption in its own process: ``python -m tests.support.resuming_server SERVER SEED DIALECT``.

Each client sends its last event id. A server that ``resumes`` continues after it; one that ``replays`` sends all events
again with the same ids; one without ids (``plain``) does so too. It prints its URL, and serves until its standard input
is closed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runstream.dialects.registry import find_dialect
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.testing import Conversation, Script
from tests.support.processes import server_process
from tests.support.talks import talk

__all__ = ["conversation", "events_of_server", "resuming_process"]

_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "says", "nothing")
_ENDINGS = ("completed", "completed", "failed", "cancelled", "expired", "incomplete")


def conversation(seed: int) -> Conversation:
    """Three runs with messages, tool calls and an end."""
    chance = random.Random(seed)
    scripts = []
    for number in range(3):
        script = Script(f"run_{number}")
        for round in range(chance.randint(1, 3)):
            script.say(" ".join(chance.choices(_WORDS, k=chance.randint(1, 12))))
            if chance.random() < 0.6:
                script.call(look={"at": round, "word": chance.choice(_WORDS)}).answer("seen")
        script.say("Done.").end(chance.choice(_ENDINGS))
        scripts.append(script)
    return Conversation(scripts)


def events_of_server(server: str, seed: int, dialect: str = "assistants") -> list[RawEvent]:
    """The events of such a server, of the wire that the dialect decodes."""
    if dialect == "responses":
        return _talks(seed, numbered=server != "plain")
    return conversation(seed).raw_events(interleaved=True, seed=seed, ids=server != "plain", enveloped=True)


def _talks(seed: int, *, numbered: bool) -> list[RawEvent]:
    """Three runs of one to three responses, each with an end that an event says."""
    chance = random.Random(seed)
    runs: list[list[RawEvent]] = []
    while len(runs) < 3:
        events = [event for event in talk(chance.randrange(1000)) if event]
        for event in events:
            if not numbered:
                del event["sequence_number"]
        raws = [RawEvent(data=msgspec.json.encode(event)) for event in events]
        if events[-1]["type"] != "error" and fold(raws, dialect="responses").runs[0].is_terminal and raws not in runs:
            runs.append(raws)
    return [raw for raws in runs for raw in raws]


def _places(raws: list[RawEvent], dialect: str) -> dict[str, int]:
    """The place after each event, by the id that a client sends."""
    if dialect == "assistants":
        return {msgspec.json.decode(raw.data).get("id"): number + 1 for number, raw in enumerate(raws)}
    decoder, found = find_dialect(dialect)(), {}
    for number, raw in enumerate(raws):
        decoder.decode(raw)
        found[decoder.cursor() or ""] = number + 1
    return found


@contextmanager
def resuming_process(server: str, seed: int, dialect: str = "assistants") -> Iterator[str]:
    """Serve in another process; yields the URL."""
    with server_process(__name__, server, seed, dialect) as (url, _):
        assert url.startswith("ws://")
        yield url


async def _serve(server: str, seed: int, dialect: str) -> None:
    raws = events_of_server(server, seed, dialect)
    places = _places(raws, dialect)

    async def client(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            last = msgspec.json.decode(await connection.recv())["last_id"]
            start = places[last] if server == "resumes" and last is not None else 0
            for number, raw in enumerate(raws[start:]):
                await connection.send(raw.data, text=True)
                await asyncio.sleep(0.002 if number % 4 == 0 else 0)

    async with serve(client, "127.0.0.1", 0, compression=None, ping_interval=None) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        print(f"ws://{host}:{port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
