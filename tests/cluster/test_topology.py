"""Names in the broker."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.cluster.topology import Retention, Topology, partition_of, token

NAMES = st.text(max_size=40)


@given(NAMES, NAMES, NAMES, NAMES)
def test_tokens_are_one_token_each(scope: str, id: str, other_scope: str, other_id: str) -> None:
    """Any scope and id make one token of a subject; different ones make different tokens."""
    found = token(scope, id)
    assert re.fullmatch(r"[^\s.*>]{1,160}", found)
    assert (found == token(other_scope, other_id)) is ((scope, id) == (other_scope, other_id))


def test_long_ids_are_digests() -> None:
    """A long id has a token of bounded length."""
    assert len(token("", "x" * 10_000)) < 64
    assert token("", "x" * 10_000) != token("", "x" * 10_001)


def test_partitions_are_the_same_everywhere() -> None:
    """The partition of a name is a fixed number, and all are used."""
    assert partition_of("", "gateway", 8) == 2
    assert {partition_of("", f"run_{n}", 8) for n in range(200)} == set(range(8))


@pytest.mark.parametrize("prefix", ["", "a.b", "a b", "a>", "x" * 65])
def test_a_prefix_is_plain(prefix: str) -> None:
    """A prefix that would be several tokens is refused."""
    with pytest.raises(ValueError, match="prefix"):
        Topology(prefix=prefix)


@pytest.mark.parametrize("partitions", [0, 1025])
def test_the_number_of_partitions_is_bounded(partitions: int) -> None:
    """There is one partition at least."""
    with pytest.raises(ValueError, match="within 1 and 1024"):
        Topology(partitions=partitions)


def test_streams_have_the_retention() -> None:
    """Both streams keep what the retention says, in nanoseconds, and remember the number of partitions."""
    events, results = Topology(partitions=3).stream_configs(
        Retention(packs_age=1, facts_age=2, max_bytes=9, replicas=3)
    )
    assert (events["max_age"], results["max_age"]) == (10**9, 2 * 10**9)
    assert events["max_bytes"] == 9
    assert results["num_replicas"] == 3
    assert events["metadata"]["runstream.partitions"] == "3"
