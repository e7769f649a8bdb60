"""What a page shows of a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from runstream import fold
from runstream.model.events import ActivityEvent, DocumentPatch, DocumentSnapshot, StepEvent
from runstream.model.raw import RawEvent
from runstream.model.step import LabelDetails, RunStep, StepStatus
from runstream.sinks.page.views import MAX_FACT, MAX_OUTPUT, RunContent, content_of, last_part
from runstream.testing import Script, script
from tests.sinks.page.support import said
from tests.support.canonical import append, message, play, run


def view(items: list[RawEvent], *, max_text: int = 1000, max_blocks: int = 50, **more: Any) -> RunContent:
    (state,) = fold(items).runs
    return content_of(state, max_text=max_text, max_blocks=max_blocks, **more)


def content_of_script(told: Script, **options: Any) -> RunContent:
    return view(told.raw_events(), **options)


def test_a_run_that_ended_with_its_message() -> None:
    shown = view(said("run_1", "Hello ", "there."), took=1.5)
    assert {"run": "run_1", "status": "completed", "tone": "good", "ended": True, "took": 1.5}.items() <= (
        shown.facts.items()
    )
    assert shown.facts["step"] is None
    (block,) = shown.blocks
    assert (block.text, block.skipped, block.facts["role"]) == ("Hello there.", 0, "assistant")


@pytest.mark.parametrize(
    ("status", "tone"),
    [("failed", "bad"), ("cancelled", "warn"), ("expired", "warn"), ("incomplete", "warn"), ("completed", "good")],
)
def test_each_ending_has_its_tone(status: str, tone: str) -> None:
    assert view(said("run_1", end=status)).facts["tone"] == tone


def test_what_it_does_now() -> None:
    told = script().start()
    assert content_of_script(told).facts["step"] is None
    told.open_message()
    assert content_of_script(told).facts["step"] == "writes a message"


def test_a_call_is_shown_with_its_arguments_and_then_its_output() -> None:
    told = script().start()
    told.call(get_time={"zone": "UTC"})
    waiting = content_of_script(told)
    assert waiting.facts["step"] == "waits for get_time"
    assert waiting.facts["tone"] == "ask"
    (call,) = waiting.blocks
    assert (call.facts["kind"], call.facts["name"], call.facts["output"]) == ("call", "get_time", None)
    assert "UTC" in call.text
    told.answer("noon").say("It is noon.").end()
    call, message = content_of_script(told).blocks
    assert call.facts["output"] == "noon"
    assert message.text == "It is noon."


def test_a_reasoning_stands_apart_from_the_text() -> None:
    """Each reasoning is a block of its own, in the order of the steps; a summary stands in for it, and says so."""
    told = script().start().reason("Hard to say.", summary="Hard.").reason(summary="Harder.").say("42").end()
    whole, summary, message = content_of_script(told).blocks
    assert (whole.facts["kind"], whole.facts["summary"], whole.text) == ("reasoning", False, "Hard to say.")
    assert (summary.facts["kind"], summary.facts["summary"], summary.text) == ("reasoning", True, "Harder.")
    assert (message.facts["kind"], message.text) == ("message", "42")


def test_a_result_is_shown_with_its_size() -> None:
    """The size is that of the whole output, of which the page may show a part."""
    told = script().start().use("web_search", "search", '{"q": 1}', "x" * 10_000).end()
    (block,) = content_of_script(told).blocks
    assert (block.facts["name"], block.text, block.facts["output_size"]) == ("search", '{"q": 1}', 10_000)
    assert len(str(block.facts["output"])) == MAX_OUTPUT


def test_the_logs_of_code_are_its_output() -> None:
    told = script().start().run_code("print(1)", logs="1\n").end()
    (block,) = content_of_script(told).blocks
    assert (block.facts["name"], block.text, block.facts["output"]) == ("code_interpreter", "print(1)", "1\n")


def test_why_a_run_failed() -> None:
    told = script().start().end("failed", last_error={"code": "server_error", "message": "Out of luck."})
    assert content_of_script(told).facts["error"] == "server_error: Out of luck."


def test_long_facts_and_outputs_are_cut() -> None:
    told = script(model="m" * 10_000).start()
    told.call(f={})
    told.answer("x" * 10_000).end()
    shown = content_of_script(told)
    model, output = shown.facts["model"], shown.blocks[0].facts["output"]
    assert isinstance(model, str)
    assert isinstance(output, str)
    assert (len(model), len(output)) == (MAX_FACT, MAX_OUTPUT)
    assert model[-1] == output[-1] == "…"


def test_of_many_texts_the_last_are_shown() -> None:
    told = script().start()
    for number in range(7):
        told.say(f"Message {number}.")
    shown = content_of_script(told, max_blocks=3)
    assert [block.text for block in shown.blocks] == ["Message 4.", "Message 5.", "Message 6."]
    assert shown.facts["left_out"] == 4


def test_fields_of_an_unexpected_type_are_no_trouble() -> None:
    event = b'{"id": "run_1", "status": "odd", "model": {"a": 1}, "last_error": [1], "usage": "much"}'
    shown = view([RawEvent("thread.run.created", event)])
    assert shown.facts["status"] == "odd"
    assert all(value is None or isinstance(value, str | int | float | bool) for value in shown.facts.values())


def test_calls_without_an_id_of_their_own_are_all_shown() -> None:
    event = (
        b'{"id": "step_1", "run_id": "run_1", "step_details": {"type": "tool_calls", "tool_calls": ['
        b'{"id": "", "type": "function", "function": {"name": "a"}},'
        b'{"id": "", "type": "function", "function": {"name": "b"}}]}}'
    )
    shown = view([*said("run_1", end=None), RawEvent("thread.run.step.created", event)])
    assert [block.facts["name"] for block in shown.blocks] == ["a", "b"]
    assert len({block.id for block in shown.blocks}) == 2


@given(st.text(max_size=200), st.integers(2, 50))
def test_a_window_is_the_end_of_its_text(text: str, size: int) -> None:
    found, skipped = last_part(text, size)
    assert text[skipped:] == found
    assert len(found) <= size
    assert len(found) >= min(len(text), size // 2)


@given(st.integers(2, 50), st.integers(0, 500))
def test_a_window_moves_seldom(size: int, length: int) -> None:
    """A text that grows by a character at a time is sent whole once per half window, no oftener."""
    starts = {last_part("x" * count, size)[1] for count in range(length)}
    assert len(starts) <= length / max(1, size // 2) + 1


def shown_of(*events: Any, **options: Any) -> RunContent:
    """The content for a run with these canonical events."""
    engine, _ = play([run("in_progress"), *events])
    return content_of(engine.states()[0], max_text=1000, max_blocks=options.get("max_blocks", 50))


def test_a_document_and_activities_are_blocks_before_the_texts() -> None:
    """Each with its size, its version, its mark, and the beginning of its JSON."""
    document = DocumentSnapshot({"todo": ["milk"], "n": None, "ok": True}, run_id="run_1")
    failed = DocumentPatch([{"op": "remove", "path": "/x"}], run_id="run_1")
    plan = ActivityEvent({"steps": 2.5}, run_id="run_1", activity_id="p1", kind="PLAN", path=("helper", "search"))
    first, second, text = shown_of(message(), append("msg_1", "text", "Hi"), document, failed, plan).blocks
    assert (first.id, first.text) == ("document", '{"todo": ["milk"], "n": null, "ok": true}')
    assert {"kind": "document", "path": None, "bytes": 36, "partial": True}.items() <= first.facts.items()
    assert (second.id, second.text) == ("activity p1", '{"steps": 2.5}')
    assert {"name": "PLAN", "path": "helper › search", "version": 1, "partial": False}.items() <= second.facts.items()
    assert text.text == "Hi"


def test_a_large_document_is_cut() -> None:
    """The page receives its beginning alone, however large it is."""
    (block,) = shown_of(DocumentSnapshot({f"key {n}": "x" * 50 for n in range(10_000)}, run_id="run_1")).blocks
    assert (len(block.text), block.skipped) == (1000, 0)
    assert block.text.startswith('{"key 0": "xxx')
    assert block.text.endswith("…")


def test_values_leave_room_for_texts() -> None:
    """A run with many activities still shows its last text."""
    plans = [ActivityEvent(n, run_id="run_1", activity_id=f"p{n}", kind="PLAN") for n in range(100)]
    blocks = shown_of(*plans, message(), append("msg_1", "text", "Hi"), max_blocks=4).blocks
    assert blocks[-1].text == "Hi"
    assert len(blocks) == 9


def test_a_message_of_a_subagent_names_its_path() -> None:
    """And the present step its label."""
    label = RunStep(id="s1", type="label", status=StepStatus.IN_PROGRESS, step_details=LabelDetails(name="search"))
    found = shown_of(
        structs.replace(message(), path=("helper",)), append("msg_1", "text", "in"), StepEvent(label, run_id="run_1")
    )
    assert found.blocks[0].facts["path"] == "helper"
    assert found.facts["step"] == "label search"
