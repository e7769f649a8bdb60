"""Sources and events for the tests of `RunStream`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from runstream.model.raw import RawEvent
from runstream.sources.base import Receiver
from tests.support.scripts import LabelledScript, stream_of, streams_of
from tests.support.wire import Event, envelope


class ScriptedSource:
    """A source that delivers raw events, then returns, fails with an error, or waits to be cancelled."""

    def __init__(
        self,
        events: Iterable[Event | RawEvent] = (),
        *,
        name: str = "told",
        error: BaseException | None = None,
        stays: bool = False,
    ) -> None:
        self.name = name
        self.items = [item if isinstance(item, RawEvent) else raw(item) for item in events]
        self.error = error
        self.stays = stays
        self.fed = 0
        self.more = asyncio.Event()
        self.closed = False

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        try:
            for item in self.items:
                receiver.feed(item)
                self.fed += 1
                await receiver.ready()
            if self.stays:
                await self.more.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def raw(event: Event) -> RawEvent:
    return RawEvent(data=envelope(event).encode())


def completed(label: str = "a", text: str = "Hello there, friend.") -> list[Event]:
    return stream_of(LabelledScript(label).write_message(text, prompt=5).finish("completed"))


def failed(label: str = "a") -> list[Event]:
    script = LabelledScript(label)
    script.start()
    return stream_of(script.finish("failed", last_error={"code": "server_error", "message": "sorry"}))


def two_streams(label: str = "f") -> tuple[list[Event], list[Event]]:
    """A function call: the stream up to the action, and the one after the outputs were submitted."""
    script = LabelledScript(label)
    step = script.call_functions(("weather", {"city": "Oslo"}))
    script.require(step)
    script.submit(step, "4 degrees", prompt=7, after=1).write_message("It is cold.", prompt=9).finish("completed")
    first, second = streams_of(script)
    return first, second


def cut_short(label: str = "c") -> list[Event]:
    return completed(label)[:5]


def kinds(signals: Iterable[Any]) -> list[str]:
    return [signal.type for signal in signals]
