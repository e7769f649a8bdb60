"""The subscribers of a channel: whoever gets a value is found by its run, whoever comes and goes."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from runstream.stream.subscriber_set import Subscriber, SubscriberSet, name_of


class Value(NamedTuple):
    """A value of a run."""

    run_id: str
    scope: str = ""


class OfNoRun:
    """A value of a source."""


KEYS = st.tuples(st.sampled_from(["", "x", None]), st.sampled_from(["a", "b", None]))


def subscriber(scope: str | None, run_id: str | None, progress: bool) -> Subscriber[Any]:
    return Subscriber(print, run_id=run_id, scope=scope, progress=progress)


def wants(one: Subscriber[Any], value: Any) -> bool:
    """As a filter of its own would have it."""
    if one.run_id is None:
        return True
    return getattr(value, "run_id", None) == one.run_id and one.scope in (None, value.scope)


@given(st.lists(st.tuples(KEYS, st.booleans())), st.data())
def test_it_finds_whom_filters_would_find(keys: list[tuple[tuple[Any, Any], bool]], data: st.DataObject) -> None:
    """In order of subscription among equals, after some have left and runs have ended."""
    subscribers: SubscriberSet[Any] = SubscriberSet()
    held = [subscriber(scope, run_id, progress) for (scope, run_id), progress in keys]
    for one in held:
        subscribers.add(one)
    for one in data.draw(st.lists(st.sampled_from(held), unique_by=id)) if held else []:
        assert subscribers.remove(one)
        assert not subscribers.remove(one)
        held.remove(one)
    for scope, run_id in data.draw(st.lists(st.tuples(st.sampled_from(["", "x"]), st.sampled_from("ab")), max_size=2)):
        gone = [one for one in held if (one.scope, one.run_id) == (scope, run_id)]
        assert subscribers.remove_run(scope, run_id) == gone
        held = [one for one in held if one not in gone]
    everybody = [one for one in held if one.run_id is None]
    for value in (Value("a"), Value("b"), Value("a", "x"), Value("c"), OfNoRun()):
        expected = [*everybody, *(one for one in held if one.run_id is not None and wants(one, value))]
        assert list(subscribers.matching(value)) == expected
    assert len(subscribers) == len(held) == len(list(subscribers))
    assert subscribers.progress == sum(one.progress for one in held)
    assert set(subscribers.by_run) == {one.run_id for one in held} - {None}  # nobody's group is kept
    gone = subscribers.remove_all()
    assert gone[: len(everybody)] == everybody
    assert sorted(map(id, gone)) == sorted(map(id, held))
    assert (len(subscribers), subscribers.progress, list(subscribers)) == (0, 0, [])


def test_the_name_of_a_callback() -> None:
    """As a reader of a log would look for it; of an object, its class."""
    assert name_of(wants) == "tests.stream.test_subscriber_set.wants"
    assert name_of(OfNoRun()) == "tests.stream.test_subscriber_set.OfNoRun"
