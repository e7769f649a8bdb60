"""Fixtures of the tests of the stream."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest


@pytest.fixture
async def _leaves_nothing_behind() -> AsyncIterator[None]:
    """The test ends without a pending task, and without a coroutine that was never awaited."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()
    gc.freeze()  # what is left lives on: the next collection does not go through it again
    assert not left
