"""Damaged streams: whatever is wrong with them, fold gives states and rejects, never an exception."""

from __future__ import annotations

import json
import os
import random
import zlib

import pytest

from runstream import demo
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.recordings.reader import read_recording
from tests.conformance.mutations import mutated, read_everything
from tests.conformance.recorded import POLLED, STREAMS, body_of, exchanges

pytestmark = pytest.mark.slow

# Damaged versions of each recording; far more when somebody asks for them.
WAYS = int(os.environ.get("RUNSTREAM_MUTATIONS", "100"))


def _raws(body: bytes) -> list[RawEvent]:
    return [raw for raw in read_recording(body, format="sse") if isinstance(raw, RawEvent)]


def _fold_damaged(name: str, raws: list[RawEvent]) -> None:
    for way in range(WAYS):
        choose = random.Random(zlib.crc32(f"{name}/{way}".encode()))
        told = mutated(raws, choose)
        try:
            read_everything(fold(told))
        except Exception as error:
            error.add_note(f"{name}, way {way}")
            raise


@pytest.mark.parametrize("name", STREAMS)
def test_damaged_recordings_never_raise(name: str) -> None:
    """Names, statuses, types, fields and bytes of a real stream, each damaged in a hundred random ways."""
    _fold_damaged(name, _raws(body_of(name)))


@pytest.mark.parametrize("name", POLLED)
def test_damaged_polls_never_raise(name: str) -> None:
    """The same for bare snapshots, as polls return them."""
    bodies = [item for body in exchanges(name) for item in body.get("data", [body])]
    _fold_damaged(name, [RawEvent(data=json.dumps(body).encode()) for body in bodies])


@pytest.mark.parametrize("name", demo.recordings())
def test_damaged_demo_recordings_never_raise(name: str) -> None:
    """The same for the bundled streams."""
    _fold_damaged(name, _raws(demo.load(name)))
