"""Tools and turns that the tests of clients share."""

from __future__ import annotations

from runstream.testing.turns import ScriptedCall, Turn

__all__ = ["PARALLEL", "get_weather", "multiply"]


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
