"""Tools and turns that the tests of clients share."""

from __future__ import annotations

from typing import Any

from runstream.stream.run_stream import RunStream
from runstream.testing.server import ScriptedServer
from runstream.testing.turns import ScriptedCall, Turn

__all__ = ["PARALLEL", "answered", "get_weather", "multiply", "only_run"]


async def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def multiply(a: int, b: int) -> int:
    """The product of two numbers."""
    return a * b


PARALLEL = Turn(
    text="Let me see.",
    calls=[
        ScriptedCall("get_weather", {"city": "Oslo"}),
        ScriptedCall("get_weather", {"city": "Rome"}),
        ScriptedCall("multiply", {"a": 6, "b": 7}),
    ],
)
"""A turn with three calls, two of them of one tool."""


def answered(server: ScriptedServer) -> list[Any]:
    """The answers that the server accepted; each call has exactly one."""
    assert all(len(answers) == 1 for answers in server.outputs.values())
    return [answers[0] for answers in server.outputs.values()]


def only_run(stream: RunStream) -> str:
    """The id of the only run of a stream."""
    (state,) = stream.latest.values()
    return state.run_id
