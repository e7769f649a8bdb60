"""Signals as JSON and back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from runstream import TextDelta, fold
from runstream.cluster.facts import ProgressBuffer, read_facts, write_facts
from runstream.errors import ClusterError
from tests.cluster.test_partition import RECORDINGS


@pytest.mark.parametrize("name", RECORDINGS)
def test_signals_of_recordings_come_back(name: str) -> None:
    """Each signal is equal after JSON, with an equal key."""
    signals = fold(RECORDINGS[name], scope="a b", clock=lambda: 5.0).signals
    back = read_facts(write_facts(signals))
    for signal, found in zip(signals, back, strict=True):
        assert (found.key, found.to_dict()) == (signal.key, signal.to_dict())
        assert type(found) is type(signal)
    assert list(signals) == back


def test_progress_is_joined() -> None:
    """Consecutive fragments of one text are one signal, from the first offset on; a hole begins another one."""
    buffer = ProgressBuffer()
    for part, offset, delta in [(0, 0, "ab"), (0, 2, "c"), (1, 0, "x"), (1, 5, "y")]:
        buffer.add(TextDelta("r", None, "", 1.0, "m", part, offset, delta))
    ((run, data),) = buffer.take()
    assert run == "r"
    found = [(each.part, each.offset, each.delta) for each in read_facts(data) if isinstance(each, TextDelta)]
    assert found == [(0, 0, "abc"), (1, 0, "x"), (1, 5, "y")]
    assert not buffer.take()
    assert all(one != other for one, other in pairwise(found))


def test_large_progress_is_divided() -> None:
    """Progress that is too large for a message is several, with the offsets of their texts."""
    buffer = ProgressBuffer()
    text = "word\n" * 4_000
    buffer.add(TextDelta("r", None, "", 1.0, "m", 0, 7, text))
    found = buffer.take(10_000)
    assert all(len(data) <= 10_000 for _, data in found)
    deltas = [each for _, data in found for each in read_facts(data) if isinstance(each, TextDelta)]
    assert "".join([each.delta for each in deltas]) == text
    assert [each.offset for each in deltas] == [
        7 + sum(len(one.delta) for one in deltas[:at]) for at in range(len(deltas))
    ]


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'[{"type": "none"}]', b'[{"type": "run.created"}]'])
def test_other_messages_are_refused(data: bytes) -> None:
    """A message that has no facts is an error of the library."""
    with pytest.raises(ClusterError, match="no facts"):
        read_facts(data)
