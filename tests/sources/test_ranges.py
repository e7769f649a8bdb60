"""What is out of range is refused at once, by every source, and by the stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from runstream import PollSource, RunStream, SseChunks, SseSource, WebSocketSource

WS: Callable[..., Any] = partial(WebSocketSource, "ws://127.0.0.1:1/")
SSE: Callable[..., Any] = partial(SseSource, "http://127.0.0.1:1/")
POLL: Callable[..., Any] = partial(PollSource, lambda: None)
CHUNKS: Callable[..., Any] = partial(SseChunks, [])
TIMES = [
    (WS, "open_timeout"), (WS, "ping_interval"), (WS, "ping_timeout"), (WS, "close_timeout"),
    (SSE, "open_timeout"), (SSE, "read_timeout"), (POLL, "deadline"), (POLL, "call_timeout"),
]  # fmt: skip
COUNTS = [
    (WS, "max_message_bytes"), (WS, "max_queue"), (SSE, "max_message_bytes"), (CHUNKS, "max_message_bytes"),
    (RunStream, "buffer"), (RunStream, "max_connections"),
]  # fmt: skip


@pytest.mark.parametrize("value", [0, -1.0, math.nan])
@pytest.mark.parametrize(("make", "option"), TIMES)
def test_times_that_are_none(make: Callable[..., Any], option: str, value: float) -> None:
    """No time at all would be a ping, or a request, after the other."""
    with pytest.raises(ValueError, match=f"{option} must be a positive number of seconds"):
        make(**{option: value})
    for fine in (0.01, math.inf, None):
        make(**{option: fine})


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(("make", "option"), COUNTS)
def test_counts_that_leave_no_room(make: Callable[..., Any], option: str, value: int) -> None:
    """Nothing could ever come through."""
    with pytest.raises(ValueError, match=f"{option} must be 1 or more"):
        make(**{option: value})
    make(**{option: 1})
