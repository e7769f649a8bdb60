"""Merging deltas, rule by rule of the wire reference ("Accumulation rules that the SDKs got wrong")."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runstream.core.merge import IndexOutOfBounds, UnreadableIndex, make_node, merge, to_builtins


def built(*deltas: dict[str, Any], limit: int = 10, node: Any = None) -> Any:
    """What the deltas make, as JSON builtins."""
    for delta in deltas:
        node = merge(node, delta, limit)
    return to_builtins(node)


def part(index: int, value: Any, **text: Any) -> dict[str, Any]:
    """A delta with a text part."""
    return {"content": [{"index": index, "type": "text", "text": {"value": value, **text}}]}


def call(index: int, **function: Any) -> dict[str, Any]:
    """A delta with a function call."""
    return {"type": "tool_calls", "tool_calls": [{"index": index, "type": "function", "function": function}]}


def test_content_is_appended() -> None:
    """Text, arguments, code, logs and refusals grow."""
    assert built(part(0, "a"), part(0, "b"))["content"][0]["text"]["value"] == "ab"
    assert built(call(0, arguments="{"), call(0, arguments="}"))["tool_calls"][0]["function"]["arguments"] == "{}"
    code = [{"tool_calls": [{"index": 0, "code_interpreter": {"input": text}}]} for text in ("1+", "1")]
    assert built(*code)["tool_calls"][0]["code_interpreter"]["input"] == "1+1"
    logs = [{"outputs": [{"index": 0, "type": "logs", "logs": text}]} for text in ("2", "\n")]
    assert built(*logs)["outputs"] == [{"type": "logs", "logs": "2\n"}]
    refusal = [{"content": [{"index": 0, "type": "refusal", "refusal": text}]} for text in ("I", " can't")]
    assert built(*refusal)["content"] == [{"type": "refusal", "refusal": "I can't"}]


def test_equal_deltas_are_two() -> None:
    """Two equal consecutive deltas are legitimate text."""
    assert built(part(0, "ha"), part(0, "ha"))["content"][0]["text"]["value"] == "haha"


def test_index_is_a_key_and_no_position() -> None:
    """Items come in any order, with gaps; they are listed by their index, which is not written."""
    content = built(part(4, "e"), part(1, "b"), part(4, "!"))["content"]
    assert content == [{"type": "text", "text": {"value": "b"}}, {"type": "text", "text": {"value": "e!"}}]


def test_several_items_in_one_delta() -> None:
    """One delta may carry several items, the same one twice too; without an index their position counts."""
    both = {"content": [*part(1, "b")["content"], *part(0, "a")["content"], *part(1, "c")["content"]]}
    assert [item["text"]["value"] for item in built(both)["content"]] == ["a", "bc"]
    assert [item["x"] for item in built({"content": [{"x": 1}, {"x": 2}]}, {"content": [{"x": 3}]})["content"]] == [
        3,
        2,
    ]


def test_an_index_may_be_a_whole_float() -> None:
    """JSON knows one kind of number: 1.0 is 1."""
    assert built(part(0, "a"), {"content": [{"index": 1.0, "text": {"value": "b"}}]})["content"][1]["text"] == {
        "value": "b"
    }


@pytest.mark.parametrize("index", [-1, 11, 10**12, 1e300])
def test_an_index_is_bounded(index: Any) -> None:
    """A huge or negative index was a denial of service: it is refused, at any depth."""
    with pytest.raises(IndexOutOfBounds, match="max_index"):
        built(part(index, "a"))
    with pytest.raises(IndexOutOfBounds):
        built(part(0, "a", annotations=[{"index": index}]))


def test_more_items_without_index_than_allowed() -> None:
    """Positions are bounded as indices are."""
    with pytest.raises(IndexOutOfBounds):
        built({"content": [{"x": 1}] * 12})


@pytest.mark.parametrize("index", [float("nan"), float("inf"), 0.5, "one", "", " 1", "1.0", "²", True, {}, []])
def test_an_index_that_is_no_number_is_refused(index: Any) -> None:
    """A wrong place would be worse than none."""
    with pytest.raises(UnreadableIndex):
        built({"content": [{"index": index, "x": 1}]})


@pytest.mark.parametrize(("index", "at"), [("1", 1), ("01", 1), (1.0, 1), (None, 0)])
def test_an_index_may_be_written_as_text(index: Any, at: int) -> None:
    """A string of digits is that number; null is no index, and the position counts."""
    assert merge(None, {"content": [{"index": index, "x": 1}]}, 10)["content"] == {at: {"x": 1}}


@pytest.mark.parametrize("name", ["id", "type", "name", "role", "object"])
def test_identity_is_set_once(name: str) -> None:
    """The first id, type, name, role and object stay."""
    for later in ("b", {"b": 1}, ["b"], 1):
        assert built({name: "a"}, {name: later}) == {name: "a"}


def test_numbers_and_booleans_replace() -> None:
    """They never add up."""
    assert built({"n": 1, "f": 0.5, "b": True}, {"n": 2, "f": 0.25, "b": False}) == {"n": 2, "f": 0.25, "b": False}


def test_outputs_and_reasoning_are_appended() -> None:
    """The output of a call grows, and so does each part of a reasoning and of its summary."""
    assert built(call(0, output="a"), call(0, output="b"))["tool_calls"][0]["function"] == {"output": "ab"}
    for name in ("content", "summary"):
        pieces = [{"step_details": {name: [{"index": 1, "text": text}]}} for text in "ab"]
        assert built(*pieces) == {"step_details": {name: [{"text": "ab"}]}}


def test_other_strings_and_lists_replace() -> None:
    """The text of an annotation, a file search's results: the later one counts."""
    notes = [{"content": [{"annotations": [{"index": 0, "text": text}]}]} for text in "ab"]
    assert built(*notes)["content"] == [{"annotations": [{"text": "b"}]}]
    others = [{"content": [{"annotations": [{"text": text}]}]} for text in "abb"]
    assert built(*others)["content"] == [{"annotations": [{"text": "a"}, {"text": "b"}]}]  # without an index: one more
    results = [{"file_search": {"results": [{"score": score}]}} for score in (0.5, 0.75)]
    assert built(*results)["file_search"]["results"] == [{"score": 0.75}]


def test_null_changes_nothing() -> None:
    """A null anywhere in a delta leaves what is there."""
    node = merge(None, {**call(0, name="f", arguments="{}"), "n": 1}, 10)
    assert merge(node, {"tool_calls": None, "n": None, "x": None}, 10) is node
    assert merge(node, call(0, name=None, arguments=None), 10) is node


def test_what_says_nothing_new_gives_the_same_node() -> None:
    """Empty fragments and known values copy nothing."""
    node = merge(None, {**call(0, name="f", arguments="{"), "n": 1, "empty": {}}, 10)
    deltas: list[dict[str, Any]] = [{}, {"n": 1}, {"tool_calls": []}, {"empty": {}}]
    for delta in (*deltas, call(0, arguments=""), call(0, name="g")):
        assert merge(node, delta, 10) is node
    empty = merge(None, {"tool_calls": [], "content": [{"text": {"value": "", "annotations": []}}]}, 10)
    assert merge(empty, {"tool_calls": []}, 10) is empty
    assert merge(empty, {"content": [{"text": {"annotations": []}}]}, 10) is empty
    assert to_builtins(merge(empty, {"tool_calls": [{"id": "a"}]}, 10))["tool_calls"] == [{"id": "a"}]


def test_unknown_kinds_are_merged_as_they_come() -> None:
    """Parts of a type that nobody knows are kept, by their index too."""
    unknown = {"content": [{"index": 0, "type": "made_up", "made_up": {"a": [1, {"b": 2}], "c": "x"}}]}
    more = {"content": [{"index": 0, "type": "made_up", "made_up": {"c": "y", "d": None}}]}
    assert built(unknown, more)["content"] == [{"type": "made_up", "made_up": {"a": [1, {"b": 2}], "c": "y"}}]


def test_what_grows_keeps_its_shape() -> None:
    """A text that comes as something else, a list that comes as a word: neither changes what is there."""
    node = merge(None, part(0, "a"), 10)
    for odd in ({"content": "x"}, {"content": {"x": 1}}, part(0, [1]), {"content": ["x"]}, {"content": [None]}):
        assert built(odd, node=node) == built(part(0, "a"))


def test_nothing_is_written_to() -> None:
    """Neither the node nor the delta changes, and what comes out shares nothing that could."""
    first, second = part(0, "a", annotations=[{"index": 0, "x": {"y": 1}}]), {"results": [1], **part(0, "b")}
    copies = copy.deepcopy((first, second))
    node = merge(None, first, 10)
    before = to_builtins(node)
    after = merge(node, second, 10)
    merge(node, part(0, "other"), 10)
    assert (first, second) == copies
    assert to_builtins(node) == before
    out = to_builtins(after)
    out["content"][0]["text"]["annotations"][0]["x"]["y"] = 2
    assert to_builtins(after)["content"][0]["text"]["annotations"][0]["x"]["y"] == 1


def test_full_objects_can_be_gone_on_from() -> None:
    """A seeded full object takes deltas as if it had grown from deltas; its own indices are not kept."""
    full = {"content": [{"type": "text", "text": {"value": "ab", "annotations": [{"index": 0, "text": "a"}]}}], "n": 1}
    node = make_node(full)
    delta = part(0, "c", annotations=[{"index": 1, "text": "c"}])
    text = built(delta, node=node)["content"][0]["text"]
    assert text == {"value": "abc", "annotations": [{"text": "a"}, {"text": "c"}]}
    assert to_builtins(make_node({"content": []})) == {"content": []}
    assert to_builtins(make_node({"tool_calls": ["x", 1, None], "type": "t"})) == {
        "tool_calls": ["x", 1, None],
        "type": "t",
    }
