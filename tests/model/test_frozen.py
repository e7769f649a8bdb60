"""Read-only containers: nothing can be written to, at any depth, and they compare and hash by value."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenList, FrozenMap, StringMap, freeze, thaw

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
DEEP: dict[str, Any] = {"a": {"b": [1, {"c": [2]}]}, "d": []}


def test_reading() -> None:
    """A frozen mapping reads like a mapping, a frozen list like a sequence."""
    deep = FrozenMap(DEEP)
    assert len(deep) == 2
    assert list(deep) == ["a", "d"]
    assert "a" in deep
    assert "x" not in deep
    assert deep.get("x", 5) == 5
    assert deep["a"]["b"][1]["c"][0] == 2
    assert list(deep["a"]["b"]) == [1, {"c": [2]}]
    assert deep["a"]["b"][-1:] == [{"c": [2]}]
    assert {"c": [2]} in deep["a"]["b"]
    assert repr(deep) == repr(DEEP)
    with pytest.raises(KeyError):
        deep["x"]
    with pytest.raises(IndexError):
        deep["d"][0]


@pytest.mark.parametrize(
    "write",
    [
        lambda deep: deep.__setitem__("a", 1),
        lambda deep: deep.__delitem__("a"),
        lambda deep: deep.update(x=1),
        lambda deep: setattr(deep, "_data", {}),
        lambda deep: delattr(deep, "_data"),
        lambda deep: setattr(deep, "x", 1),
        lambda deep: deep["a"].__setitem__("b", 1),
        lambda deep: deep["a"]["b"].append(1),
        lambda deep: deep["a"]["b"].__setitem__(0, 1),
        lambda deep: deep["a"]["b"][1]["c"].append(1),
        lambda deep: deep["a"]["b"][0:1].append(1),
        lambda deep: next(iter(deep.values())).__setitem__("b", 1),
        lambda deep: next(iter(deep["a"]["b"][1:])).__setitem__("c", 1),
    ],
)
def test_nothing_can_be_written(write: Any) -> None:
    """Every way to write, at any depth, raises and changes nothing."""
    deep = FrozenMap(copy.deepcopy(DEEP))
    with pytest.raises((TypeError, AttributeError)):
        write(deep)
    assert deep == DEEP


def test_values_made_by_hand_are_read_only_too() -> None:
    """Tuples and mappings that no decoder makes are wrapped like those it makes."""
    made = FrozenMap({"a": ({"x": []},), "b": MappingProxyType({"y": [1]})})
    assert isinstance(made["a"], FrozenList)
    assert isinstance(made["a"][0]["x"], FrozenList)
    assert isinstance(made["b"]["y"], FrozenList)
    assert StringMap({"a": []})["a"] == []  # type: ignore[comparison-overlap]


@given(JSON)
def test_freeze_and_thaw_are_inverse(value: Any) -> None:
    """Thawing what was frozen gives an equal value that shares nothing with it."""
    frozen = freeze(value)
    thawed = thaw(frozen)
    assert thawed == value
    assert type(thawed) is type(value)
    if isinstance(value, dict | list) and value:
        thawed.clear()
        assert frozen != thawed


@given(JSON, JSON)
def test_equality_and_hash(one: Any, other: Any) -> None:
    """Frozen values are equal exactly if the plain ones are, and equal ones have equal hashes."""
    a, b = freeze(one), freeze(other)
    assert (a == b) == (one == other)
    assert (a == other) == (one == other)
    assert a == freeze(copy.deepcopy(one))
    assert hash(a) == hash(freeze(copy.deepcopy(one)))
    if a == b:
        assert hash(a) == hash(b)


def test_equality_does_not_depend_on_the_kind_of_mapping() -> None:
    """The kinds of mapping and list compare by their items alone, and never with other things."""
    assert FrozenMap({"a": "b"}) == StringMap({"a": "b"}) == {"a": "b"} == MappingProxyType({"a": "b"})
    assert hash(FrozenMap({"a": "b"})) == hash(StringMap({"a": "b"}))
    assert FrozenMap({"a": 1, "b": 2}) == FrozenMap({"b": 2, "a": 1})
    assert FrozenList([1, [2]]) == [1, [2]] == FrozenList((1, [2]))
    assert FrozenList([1, 2]) == (1, 2)
    assert hash(FrozenList(["a", "b"])) == hash(("a", "b"))
    assert FrozenMap() != []
    assert FrozenList() != {}
    assert FrozenList(["a"]) != "a"


@given(JSON)
def test_copies(value: Any) -> None:
    """Copying gives the same object, pickling an equal one."""
    frozen = freeze(value)
    assert copy.copy(frozen) is frozen
    assert copy.deepcopy(frozen) is frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert type(pickle.loads(pickle.dumps(frozen))) is type(frozen)


@pytest.mark.parametrize("absent", [ABSENT_LIST, ABSENT_MAP])
def test_absent_stays_absent(absent: Any) -> None:
    """What stands for "absent" reads as empty, and stays itself when copied or pickled."""
    assert len(absent) == 0
    assert not absent
    assert absent in ((), {})
    assert hash(absent) == hash(type(absent)())
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(absent, protocol)) is absent
    assert copy.copy(absent) is absent
    assert copy.deepcopy(absent) is absent
    assert freeze(absent) is absent
