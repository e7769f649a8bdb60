"""Patches (RFC 6902) against a library that copies the whole value, against the situations of the RFC, and in cost."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import jsonpointer
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.core import json_tree
from runstream.core.json_patch import JsonValue, PatchError, PatchProblem, apply_patch, make_value
from runstream.core.json_tree import depth_of
from runstream.model.frozen import FrozenList, FrozenMap, freeze, thaw

NO_PLACE, MALFORMED = PatchProblem.NO_PLACE, PatchProblem.MALFORMED


def patched(value: Any, *operations: Any, **bounds: int) -> Any:
    """The value after a patch, as JSON builtins."""
    return thaw(apply_patch(make_value(value), [*operations], **bounds).value)


def op(name: str, path: str, value: Any = ..., origin: str | None = None) -> dict[str, Any]:
    """An operation."""
    found: dict[str, Any] = {"op": name, "path": path}
    if value is not ...:
        found["value"] = value
    if origin is not None:
        found["from"] = origin
    return found


SITUATIONS: dict[str, tuple[Any, list[Any], Any]] = {
    "a member is added": ({"a": 1}, [op("add", "/b", 2)], {"a": 1, "b": 2}),
    "a member that exists is replaced by add": ({"a": 1}, [op("add", "/a", 2)], {"a": 2}),
    "an item is inserted": ([1, 3], [op("add", "/1", 2)], [1, 2, 3]),
    "an item is inserted before the first": ([1], [op("add", "/0", 0)], [0, 1]),
    "an index that is the length appends": ([1], [op("add", "/1", 2)], [1, 2]),
    "a dash appends": ([1], [op("add", "/-", [2])], [1, [2]]),
    "a dash names a member of an object": ({}, [op("add", "/-", 2)], {"-": 2}),
    "a digit names a member of an object": ({"0": 1}, [op("replace", "/0", 2)], {"0": 2}),
    "a container is added": ({}, [op("add", "/a", {"b": []}), op("add", "/a/b/-", 1)], {"a": {"b": [1]}}),
    "the whole value is added": ({"a": 1}, [op("add", "", [2])], [2]),
    "the whole value is replaced": ({"a": 1}, [op("replace", "", None)], None),
    "the whole value is removed": ({"a": 1}, [op("remove", "")], None),
    "a scalar is the whole value": (1, [op("replace", "", 2), op("test", "", 2)], 2),
    "a member is removed": ({"a": 1, "b": 2}, [op("remove", "/a")], {"b": 2}),
    "an item is removed": ([1, 2, 3], [op("remove", "/1")], [1, 3]),
    "a null is a value": ({"a": None}, [op("test", "/a", None), op("replace", "/a", 1)], {"a": 1}),
    "null is added": ({}, [op("add", "/a", None)], {"a": None}),
    "an item is replaced": ([1, 2], [op("replace", "/1", [3])], [1, [3]]),
    "a member is moved": ({"a": {"b": 1}, "c": {}}, [op("move", "/c/d", origin="/a/b")], {"a": {}, "c": {"d": 1}}),
    "an item is moved to the end": ([1, 2, 3], [op("move", "/2", origin="/0")], [2, 3, 1]),
    "an item is moved to the front": ([1, 2, 3], [op("move", "/0", origin="/2")], [3, 1, 2]),
    "a move to its own place": ({"a": 1}, [op("move", "/a", origin="/a")], {"a": 1}),
    "a part becomes the whole": ({"a": {"b": 1}}, [op("move", "", origin="/a")], {"b": 1}),
    "a move onto its own parent": ({"a": {"b": 1}}, [op("move", "/a", origin="/a/b")], {"a": 1}),
    "a similar name is no parent": ({"a": {"x": 1}}, [op("move", "/ab", origin="/a")], {"ab": {"x": 1}}),
    "a part is copied": ({"a": [1]}, [op("copy", "/b", origin="/a"), op("add", "/b/-", 2)], {"a": [1], "b": [1, 2]}),
    "the whole is copied into itself": ({"a": 1}, [op("copy", "/b", origin="")], {"a": 1, "b": {"a": 1}}),
    "an empty name": ({"": {"": 1}}, [op("replace", "//", 2)], {"": {"": 2}}),
    "escapes": ({"a/b": 1, "m~n": 2}, [op("remove", "/a~1b"), op("replace", "/m~0n", 3)], {"m~n": 3}),
    "an escape is read once": ({"~1": 1}, [op("replace", "/~01", 2)], {"~1": 2}),
    "names beyond ASCII": ({"é": {"😀": 1}}, [op("replace", "/é/😀", "ü")], {"é": {"😀": "ü"}}),
    "further members are ignored": ({}, [{**op("add", "/a", 1), "from": "/x", "more": 2}], {"a": 1}),
    "numbers are compared by value": ({"a": 1}, [op("test", "/a", 1.0)], {"a": 1}),
    "order of members does not count": ({"a": {"x": 1, "y": 2}}, [op("test", "/a", {"y": 2, "x": 1})], ...),
    "later operations see earlier ones": ({}, [op("add", "/a", []), op("add", "/a/0", 1), op("test", "/a", [1])], ...),
    "a name of JavaScript": ({}, [op("add", "/__proto__", 1), op("add", "/constructor", 2)], ...),
    "no operation": ({"a": 1}, [], {"a": 1}),
}

FAILURES: dict[str, tuple[Any, Any, PatchProblem]] = {
    "no parent": ({}, op("add", "/a/b", 1), NO_PLACE),
    "the parent is a scalar": ({"a": 1}, op("add", "/a/b", 1), NO_PLACE),
    "the parent is a text": ({"a": "bc"}, op("add", "/a/0", 1), NO_PLACE),
    "an index behind the end": ([1], op("add", "/2", 1), NO_PLACE),
    "a negative index": ([1], op("add", "/-1", 1), NO_PLACE),
    "an index with a leading zero": ([1, 2], op("replace", "/01", 1), NO_PLACE),
    "an index with a sign": ([1, 2], op("replace", "/+1", 1), NO_PLACE),
    "an index with an exponent": ([1, 2], op("test", "/1e0", 2), NO_PLACE),
    "an index that is no number": ([1], op("add", "/a", 1), NO_PLACE),
    "an index of other digits": ([1, 2], op("remove", "/١"), NO_PLACE),
    "an index of many digits": ([1], op("remove", "/" + "9" * 10_000), NO_PLACE),
    "a dash names no item": ([1], op("remove", "/-"), NO_PLACE),
    "a dash is replaced": ([1], op("replace", "/-", 2), NO_PLACE),
    "a member is removed that does not exist": ({"a": 1}, op("remove", "/b"), NO_PLACE),
    "a member is replaced that does not exist": ({"a": 1}, op("replace", "/b", 1), NO_PLACE),
    "a place is tested that does not exist": ({}, op("test", "/a", None), NO_PLACE),
    "a copy of nothing": ({}, op("copy", "/a", origin="/b"), NO_PLACE),
    "a move of nothing": ({}, op("move", "/a", origin="/b"), NO_PLACE),
    "a move into its own part": ({"a": {"b": 1}}, op("move", "/a/c", origin="/a"), PatchProblem.INTO_ITSELF),
    "the whole is moved into itself": ({"a": {}}, op("move", "/a/c", origin=""), PatchProblem.INTO_ITSELF),
    "a test of another value": ({"a": 1}, op("test", "/a", 2), PatchProblem.TEST_FAILED),
    "one is not true": ({"a": 1}, op("test", "/a", True), PatchProblem.TEST_FAILED),
    "false is not zero": ({"a": [False]}, op("test", "/a", [0]), PatchProblem.TEST_FAILED),
    "a text is no number": ({"a": "1"}, op("test", "/a", 1), PatchProblem.TEST_FAILED),
    "null is not false": ({"a": None}, op("test", "/a", False), PatchProblem.TEST_FAILED),
    "an empty array is no object": ({"a": []}, op("test", "/a", {}), PatchProblem.TEST_FAILED),
    "more members": ({"a": {"b": 1}}, op("test", "/a", {"b": 1, "c": 2}), PatchProblem.TEST_FAILED),
    "an unknown operation": ({}, op("spam", "/a", 1), MALFORMED),
    "an operation in capitals": ({}, op("Add", "/a", 1), MALFORMED),
    "no operation": ({}, {"path": "/a", "value": 1}, MALFORMED),
    "no path": ({}, {"op": "add", "value": 1}, MALFORMED),
    "a path that is null": ({}, {"op": "add", "path": None, "value": 1}, MALFORMED),
    "a path without a slash": ({}, op("add", "a", 1), MALFORMED),
    "a wrong escape": ({"a~2": 1}, op("remove", "/a~2"), MALFORMED),
    "a tilde at the end": ({"a~": 1}, op("remove", "/a~"), MALFORMED),
    "no value to add": ({}, op("add", "/a"), MALFORMED),
    "no value to replace": ({"a": 1}, op("replace", "/a"), MALFORMED),
    "no value to test": ({"a": None}, op("test", "/a"), MALFORMED),
    "nothing to copy from": ({"a": 1}, op("copy", "/b"), MALFORMED),
    "nothing to move from": ({"a": 1}, op("move", "/b"), MALFORMED),
    "an operation that is a text": ({}, "add", MALFORMED),
    "an operation that is null": ({}, None, MALFORMED),
    "an operation that is a list": ({}, ["add"], MALFORMED),
    "a value that is not JSON": ({}, op("add", "/a", object()), PatchProblem.NOT_JSON),
}


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("wide", [False, True])
def test_the_situations_of_the_rfc(name: str, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gives the value that the RFC says, in small containers and in those kept in pieces."""
    if wide:
        monkeypatch.setattr(json_tree, "WIDE_MAP", 0)
        monkeypatch.setattr(json_tree, "WIDE_LIST", 0)
    value, operations, expected = SITUATIONS[name]
    before = copy.deepcopy(value)
    found = patched(value, *operations)
    if expected is not ...:
        assert found == expected
    assert json.dumps(value) == json.dumps(before)


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("wide", [False, True])
def test_operations_that_fail(name: str, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is typed, and nothing of the patch is done, nor quoted."""
    if wide:
        monkeypatch.setattr(json_tree, "WIDE_MAP", 0)
        monkeypatch.setattr(json_tree, "WIDE_LIST", 0)
    value, operation, problem = FAILURES[name]
    before = make_value(value)
    place = "/0" if isinstance(value, list) else "/first"
    with pytest.raises(PatchError) as caught:
        apply_patch(before, [op("add", place, 1), op("remove", place), operation])
    assert (caught.value.problem, caught.value.index) == (problem, 2)
    assert thaw(before.value) == value
    assert "first" not in str(caught.value)


@pytest.mark.parametrize("operations", [None, 1, "[]", {}, {"op": "add"}, True])
def test_a_patch_that_is_no_list(operations: Any) -> None:
    """It is malformed."""
    with pytest.raises(PatchError) as caught:
        apply_patch(make_value({}), operations)
    assert caught.value.problem is MALFORMED


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, -1.0]) | st.sampled_from("ab")
NAMES = st.sampled_from(["a", "b", "c", "", "~", "/", "0", "1", "-", "é"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def places(value: Any, path: str = "") -> list[str]:
    """The pointers of all parts of a value."""
    found = [path]
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, f"{path}/{jsonpointer.escape(str(key))}")
    return found


@st.composite
def operations_on(draw: st.DrawFn, value: Any) -> dict[str, Any]:
    """An operation on a value; its places exist, or might."""
    known = places(value)
    nearby = st.sampled_from(known) | st.builds(
        lambda path, name: f"{path}/{jsonpointer.escape(name)}", st.sampled_from(known), NAMES
    )
    name = draw(st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]))
    found = {"op": name, "path": draw(nearby)}
    if name in ("add", "replace"):
        found["value"] = draw(VALUES)
    elif name == "test":
        found["value"] = draw(
            VALUES | st.sampled_from(known).map(lambda path: jsonpointer.resolve_pointer(value, path))
        )
    elif name in ("move", "copy"):
        found["from"] = draw(nearby)
    return found


def same(one: Any, other: Any) -> bool:
    """True if two values are equal as JSON: true is not 1, and 1.0 is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(item, other[name]) for name, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def by_the_library(value: Any, operation: dict[str, Any]) -> Any:
    """The value after an operation as jsonpatch has it; ``...`` if it fails."""
    name, path, origin = operation["op"], operation["path"], operation.get("from")
    if name == "remove" and not path:
        return None  # the library can't
    if name == "move" and path != origin and path.startswith(f"{origin}/"):
        return ...  # the library does it
    if name == "move" and path == origin:
        return value if path in places(value) else ...
    if name == "test" and path not in places(value):
        return ...
    if name == "test":
        return value if same(jsonpointer.resolve_pointer(value, path), operation["value"]) else ...
    try:
        return jsonpatch.apply_patch(copy.deepcopy(value), [operation], in_place=False)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError):
        return ...


@pytest.mark.parametrize("limits", [(256, 2048), (0, 0), (2, 2)])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_library_gives_the_same(limits: tuple[int, int], data: st.DataObject) -> None:
    """Any sequence of operations: the same values, the same failures, and each version stays what it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_tree, "WIDE_MAP", limits[0])
        patch.setattr(json_tree, "WIDE_LIST", limits[1])
        value = data.draw(VALUES)
        found = make_value(copy.deepcopy(value))
        versions: list[tuple[JsonValue, Any]] = [(found, value)]
        for _ in range(data.draw(st.integers(1, 8))):
            operation = data.draw(operations_on(value))
            expected = by_the_library(value, operation)
            try:
                found = apply_patch(found, [copy.deepcopy(operation)])
            except PatchError:
                assert expected is ..., operation
                continue
            assert expected is not ..., operation
            assert same(thaw(found.value), expected), operation
            assert found.depth >= depth_of(found.value)
            value = expected
            versions.append((found, value))
        for version, known in versions:
            assert same(thaw(version.value), known)
            assert same(json.loads(version.encode()), known)
            assert freeze(version.value) == known


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["insert", "remove", "replace"]), st.integers(0, 10_000), st.integers()), max_size=60
    ),
    st.integers(0, 9_000),
)
def test_long_arrays_are_lists(changes: list[tuple[str, int, int]], length: int) -> None:
    """An array in pieces has the items of a list after the same changes, whichever part changes."""
    items = [*range(length)]
    found = make_value([*items])
    for name, place, value in changes:
        index = place % (len(items) + (name == "insert")) if items or name == "insert" else 0
        if name == "insert":
            items.insert(index, value)
            found = apply_patch(found, [op("add", f"/{index}", value)])
        elif items and name == "remove":
            del items[index]
            found = apply_patch(found, [op("remove", f"/{index}")])
        elif items:
            items[index] = value
            found = apply_patch(found, [op("replace", f"/{index}", value)])
    assert thaw(found.value) == items
    view: Any = freeze(found.value)
    assert [view[index] for index in range(0, len(items), 97)] == items[::97]
    assert len(view) == len(items)


def test_many_changes_of_a_wide_object_keep_its_order() -> None:
    """Members stay where they were; a removed one that comes again is the last; memory does not grow with changes."""
    expected = {f"k{n}": n for n in range(3000)}
    found = make_value(dict(expected))
    for n in range(12_000):
        name = f"k{n * 7 % 3500}"
        if n % 3 == 0 and name in expected:
            del expected[name]
            found = apply_patch(found, [op("remove", f"/{name}")])
        else:
            expected[name] = n
            found = apply_patch(found, [op("add", f"/{name}", n)])
    assert [*thaw(found.value).items()] == [*expected.items()]
    assert found.value._changed <= 1 + max(1024, len(found.value._base))


def test_a_read_only_view_of_a_wide_container() -> None:
    """It is a mapping, or a sequence, as each other read-only value."""
    found = apply_patch(
        make_value({"map": {f"k{n}": [n] for n in range(500)}, "list": [{"n": n} for n in range(3000)]}),
        [op("replace", "/map/k7/0", -7), op("remove", "/map/k8"), op("add", "/map/new", 1), op("remove", "/list/0")],
    )
    view: Any = freeze(found.value)
    table, items = view["map"], view["list"]
    assert isinstance(table, FrozenMap)
    assert isinstance(items, FrozenList)
    assert (table["k7"], table.get("k8"), "k8" in table, "new" in table, len(table)) == ([-7], None, False, True, 500)
    assert 7 not in table
    assert [*table][-1] == "new"
    assert table == thaw(table)
    with pytest.raises(KeyError):
        table["k8"]
    assert (items[0], items[-1], len(items), items[1:3]) == ({"n": 1}, {"n": 2999}, 2999, [{"n": 2}, {"n": 3}])
    assert next(iter(items)) == {"n": 1}
    with pytest.raises(IndexError):
        items[2999]
    with pytest.raises(AttributeError):
        table._base = {}
    assert copy.deepcopy(view) == view
    assert isinstance(hash(view), int)


def test_a_patch_without_an_effect_is_no_change() -> None:
    """The value is the same object."""
    before = make_value({"a": {"b": [1, 2]}, "c": "x"})
    same_values = [
        op("replace", "/a/b", [1, 2]),
        op("add", "/c", "x"),
        op("test", "/c", "x"),
        op("replace", "/a/b/0", 1),
    ]
    assert apply_patch(before, same_values) is before
    assert apply_patch(before, [op("replace", "", {"c": "x", "a": {"b": [1, 2]}})]) is before
    assert apply_patch(before, [op("replace", "/a/b/0", True)]) is not before


def test_parts_beside_the_path_are_shared() -> None:
    """A change copies the containers of its path alone."""
    value = {"a": {"b": [1]}, "beside": {"c": [2]}}
    after = apply_patch(make_value(value), [op("add", "/a/b/-", 2)])
    assert after.value["beside"] is value["beside"]
    assert after.value["a"] is not value["a"]


def count_copies(monkeypatch: pytest.MonkeyPatch, value: JsonValue, operation: dict[str, Any]) -> int:
    """The number of entries that an operation copies: no container that it makes has more."""
    after = apply_patch(value, [operation])
    largest = 0
    todo, seen = [(value.value, after.value)], 0
    while todo and seen < 1000:
        seen += 1
        old, new = todo.pop()
        if old is new or not isinstance(new, dict | list):
            continue
        largest = max(largest, len(new))
        pairs = zip(old.values(), new.values(), strict=False) if isinstance(new, dict) else zip(old, new, strict=False)
        todo += [(one, other) for one, other in pairs if one is not other]
    return largest


@pytest.mark.parametrize("path", ["/map/k5/v", "/list/5/v", "/deep/a/b/c", "/map/k9", "/list/70000"])
def test_no_wide_container_is_copied(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands beside the path: an object of 10,000 members, an array of 100,000 items."""
    value = {
        "map": {f"k{n}": {"v": n} for n in range(10_000)},
        "list": [{"v": n} for n in range(100_000)],
        "deep": {"a": {"b": {"c": 1}}},
    }
    assert count_copies(monkeypatch, make_value(value), op("replace", path, "new")) <= 2048


def test_the_size_of_a_value_is_bounded() -> None:
    """The size counts as it is after each operation; a value that shrinks again has room."""
    before = make_value({"a": "x" * 1000})
    with pytest.raises(PatchError) as caught:
        apply_patch(before, [op("add", "/b", "y" * 1000)], max_size=1500)
    assert caught.value.problem is PatchProblem.TOO_LARGE
    found = before
    for n in range(100):
        found = apply_patch(found, [op("replace", "/a", str(n) * 500), op("copy", "/b", origin="/a")], max_size=2600)
    assert found.size < 2600
    with pytest.raises(PatchError):
        make_value("x" * 100, max_size=100)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_size_is_exact(data: st.DataObject) -> None:
    """It is that of the JSON text, however the value came about: a state that was stored and read has the same."""
    found = make_value(data.draw(VALUES | st.text()))
    for _ in range(data.draw(st.integers(1, 20))):
        operation = data.draw(operations_on(thaw(found.value)))
        if "value" in operation:
            operation["value"] = data.draw(st.just(operation["value"]) | st.text(max_size=5))
        try:
            found = apply_patch(found, [operation])
        except PatchError:
            continue
    assert found.size == len(msgspec.json.encode(thaw(found.value))) == len(found.encode())


def test_doubling_copies_are_bounded() -> None:
    """Fifty copies of the whole into itself would have 2**50 parts."""
    operations = [op("copy", f"/k{n}", origin="") for n in range(50)]
    with pytest.raises(PatchError) as caught:
        apply_patch(make_value({"a": "x" * 100}), operations, max_size=10**6)
    assert caught.value.problem is PatchProblem.TOO_LARGE
    operations = [op("copy", "/-", origin="") for _ in range(50)]
    with pytest.raises(PatchError):
        apply_patch(make_value([["x" * 100]]), operations, max_size=10**6)


def test_nesting_is_bounded() -> None:
    """A value deeper than JSON is read elsewhere is refused, whether it is sent so or made by copies."""
    deep: Any = 1
    for _ in range(128):
        deep = [deep]
    assert make_value(deep).depth == 128
    with pytest.raises(PatchError) as caught:
        make_value([deep])
    assert caught.value.problem is PatchProblem.TOO_DEEP
    with pytest.raises(PatchError):
        apply_patch(make_value({}), [op("add", "/a", deep)])
    steps = [op("copy", "/a", origin="") for _ in range(127)]
    assert depth_of(apply_patch(make_value({}), steps).value) == 128
    with pytest.raises(PatchError) as caught:
        apply_patch(make_value({}), [*steps, *steps])
    assert caught.value.problem is PatchProblem.TOO_DEEP
    extreme: Any = 1
    for _ in range(100_000):
        extreme = [extreme]
    with pytest.raises(PatchError):
        make_value(extreme)


def test_nesting_that_went_away_does_not_count() -> None:
    """A value that was deep once may be moved deeper again."""
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    found = apply_patch(make_value({"a": deep, "b": {"c": 1}}), [op("replace", "/a", 1)])
    for n in range(40):
        found = apply_patch(
            found, [op("add", "/x", {"y": {}}), op("move", "/x/y/z", origin="/b"), op("move", "/b", origin="/x/y/z")]
        )
        assert thaw(found.value) == {"a": 1, "b": {"c": 1}, "x": {"y": {}}}, n


def test_the_number_of_operations_is_bounded() -> None:
    """One more than the bound, and none is done."""
    with pytest.raises(PatchError) as caught:
        apply_patch(make_value({}), [op("add", "/a", 1)] * 11, max_operations=10)
    assert (caught.value.problem, caught.value.index) == (PatchProblem.TOO_MANY, 10)


def test_sizes_are_measured_once() -> None:
    """Copying and removing a large part again and again does not read it each time."""
    found = make_value({"big": [{"n": n, "t": "x" * 50} for n in range(20_000)]})
    cycle = [op("copy", "/b", origin="/big"), op("replace", "/b/7/n", -1), op("remove", "/b")]
    encoded = 0
    original = json_tree.encode

    def counting(value: Any) -> bytes:
        nonlocal encoded
        text = original(value)
        encoded += len(text)
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstream.core.json_patch.encode", counting)
        for _ in range(50):
            found = apply_patch(found, cycle)
    assert encoded < 3 * found.size


def test_lone_surrogates_are_replaced() -> None:
    """A value can be written to a store and sent on, whatever a server's program has cut."""
    found = apply_patch(make_value({"a": "\ud83d"}), [op("add", "/b", "\ude00")])
    assert thaw(found.value) == {"a": "\ufffd", "b": "\ufffd"}
