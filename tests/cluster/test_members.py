"""The share of a worker, by the signs of life of the others."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from runstream.cluster.members import LifeSign, Members


def sign(name: str, *partitions: int, leaving: bool = False) -> bytes:
    return msgspec.json.encode(LifeSign(name, list(partitions), leaving))


def test_alone_it_takes_all() -> None:
    """Without others, all partitions are its share."""
    members = Members("a", 4, 1.0, lambda: 0.0)
    assert sorted(members.claimable([])) == [0, 1, 2, 3]
    assert members.surplus([0, 1, 2, 3]) is None


def test_it_claims_what_is_free_up_to_its_share() -> None:
    """With two workers for four partitions, two are the share, and owned ones are left alone."""
    members = Members("a", 4, 1.0, lambda: 0.0)
    members.receive(sign("b", 0, 1))
    assert sorted(members.claimable([])) == [2, 3]
    assert members.claimable([2, 3]) == []


def test_the_silent_are_gone() -> None:
    """A worker without a sign for the time-out, or with its last one, has no partitions."""
    now = [0.0]
    members = Members("a", 4, 1.0, lambda: now[0])
    members.receive(sign("b", 0, 1))
    members.receive(sign("c", 2))
    members.receive(sign("c", leaving=True))
    members.receive(b"no sign")
    assert members.others() == {"b": [0, 1]}
    now[0] = 1.5
    assert members.others() == {}


def test_what_is_free_for_long_is_anybodys() -> None:
    """A partition whose turn it is for a worker that does not take it is beyond the shares after the time-out."""
    now = [0.0]
    members = Members("a", 4, 1.0, lambda: now[0])
    for _ in range(3):
        members.receive(sign("b", 0))
        members.receive(sign("c"))  # alive, and it takes nothing
        found = members.claimable([1, 2])
        now[0] += 0.6
    assert found == [3]


def test_a_worker_that_was_stopped_counts_the_others_as_alive() -> None:
    """It has not received their signs, and that says nothing about them."""
    now = [0.0]
    members = Members("a", 4, 1.0, lambda: now[0])
    members.receive(sign("b", 0, 1))
    now[0] = 10.0
    members.resume()
    assert members.others() == {"b": [0, 1]}
    now[0] = 11.5
    assert members.others() == {}


@given(st.integers(1, 32), st.lists(st.integers(0, 5), min_size=2, max_size=6))
def test_it_becomes_even(partitions: int, sizes: list[int]) -> None:
    """Whatever the beginning, releases and claims end with all owned, and shares that differ by one at most."""
    names = [f"w{number}" for number in range(len(sizes))]
    owned: dict[str, list[int]] = {name: [] for name in names}
    for partition in range(partitions):
        owned[names[sizes[partition % len(sizes)] % len(names)]].append(partition)
    for _ in range(4 * partitions + 8):
        for name in names:
            members = Members(name, partitions, 1.0, lambda: 0.0)
            for other in names:
                if other != name:
                    members.receive(sign(other, *owned[other]))
            surplus = members.surplus(owned[name])
            if surplus is not None:
                owned[name].remove(surplus)
            else:
                owned[name] += members.claimable(owned[name])
    counts = sorted(len(each) for each in owned.values())
    assert sum(counts) == partitions
    assert counts[-1] - counts[0] <= 1
