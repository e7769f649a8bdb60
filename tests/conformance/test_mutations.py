"""Damaged streams: whatever is wrong with them, fold gives states and rejects, never an exception."""

from __future__ import annotations

import os
import random
import zlib

import pytest

from runstream import demo
from runstream.fold import fold
from runstream.raw import RawEvent
from runstream.sources.recording_reader import read_recording
from tests.conformance.mutations import mutated, read_everything
from tests.conformance.recorded import STREAMS, body_of

# Damaged versions of each recording; far more when somebody asks for them.
WAYS = int(os.environ.get("RUNSTREAM_MUTATIONS", "200"))


def _raws(body: bytes) -> list[RawEvent]:
    return [raw for raw in read_recording(body, format="sse") if isinstance(raw, RawEvent)]


def _fold_damaged(name: str, body: bytes) -> None:
    raws = _raws(body)
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
    """Names, statuses, types, fields and bytes of a real stream, damaged in hundreds of ways."""
    _fold_damaged(name, body_of(name))


@pytest.mark.parametrize("name", demo.recordings())
def test_damaged_demo_recordings_never_raise(name: str) -> None:
    """The same for the bundled streams."""
    _fold_damaged(name, demo.load(name))
