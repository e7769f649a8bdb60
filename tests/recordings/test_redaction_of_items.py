"""Redaction of the items beside the raw events, and by the rules of a dialect."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from runstream import BaseDialect, RawEvent, RecordingWriter, Redaction, RedactionRules, read_recording
from runstream.dialects.assistants import AssistantsDialect
from runstream.model.raw import (
    Answer,
    ConnectionEvent,
    Idle,
    Malformed,
    Oversized,
    RawItem,
    Request,
    ResponseHead,
)
from tests.support.raws import raw_items

redact = Redaction()
WORDS = "the words of a person"
ITEMS: list[RawItem] = [
    ConnectionEvent(connected=False, reason=WORDS),
    Request(body=json.dumps({"assistant_id": "asst_1", "stream": True, "instructions": WORDS}).encode(), continues="r"),
    Request(body=WORDS.encode()),
    ResponseHead(status=200, headers=(("location", f"https://me:{WORDS}@h/runs/run_1?q={WORDS}"),)),
    Answer(data=json.dumps({"id": "run_1", "object": "thread.run", "status": "x", "instructions": WORDS}).encode()),
    Answer(data=WORDS.encode(), status=500),
    Malformed(line=0, reason="no event", data=WORDS.encode(), event=WORDS),
    Oversized(line=0, size=9, limit=8, event=WORDS),
    Idle(seconds=1.0),
]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_no_words_of_an_item_are_left(item: RawItem) -> None:
    redacted = redact(item)
    assert type(redacted) is type(item)
    assert "words" not in repr(redacted)


def test_the_structure_of_an_item_is_kept() -> None:
    request, head, answer = redact(ITEMS[1]), redact(ITEMS[3]), redact(ITEMS[4])
    assert isinstance(request, Request)
    assert json.loads(request.body) == {"assistant_id": "asst_1", "stream": True, "instructions": "x" * len(WORDS)}
    assert request.continues == "r"
    assert isinstance(head, ResponseHead)
    ((name, value),) = head.headers
    assert name == "location"
    assert value.startswith("https://xxx")
    assert "@h/runs/run_1?xx" in value
    assert isinstance(answer, Answer)
    assert json.loads(answer.data)["id"] == "run_1"
    assert json.loads(answer.data)["status"] == "x"


def test_outputs_in_a_request_keep_the_ids_of_their_calls() -> None:
    body = {"tool_outputs": [{"tool_call_id": "call_1", "output": WORDS}]}
    redacted = redact(Request(body=json.dumps(body).encode()))
    assert json.loads(redacted.body) == {"tool_outputs": [{"tool_call_id": "call_1", "output": "x" * len(WORDS)}]}


@given(raw_items())
def test_any_item_keeps_its_shape(item: RawItem) -> None:
    """With the rules of each dialect: the same kind of item, with data of the same structure."""
    for redaction in (redact, Redaction(dialect=BaseDialect)):
        again = redaction(item)
        assert type(again) is type(item)
        assert getattr(again, "at", None) == getattr(item, "at", None)


class Flat(BaseDialect):
    """A wire whose events have their name and fields in one object."""

    redaction = RedactionRules(
        names=frozenset({"said"}), containers=frozenset({"item"}), ids=frozenset({"id", "item_id", "type"})
    )


def blanked(value: object, dialect: type[BaseDialect], event: str | None = None) -> object:
    return json.loads(Redaction(dialect=dialect)(RawEvent(event, json.dumps(value).encode())).data)


def test_the_rules_of_a_dialect_are_used() -> None:
    said = {"type": "said", "item_id": "item_1", "item": {"id": "i", "text": "hush"}, "state": {"id": "hush"}}
    kept = {"type": "said", "item_id": "item_1", "item": {"id": "i", "text": "xxxx"}, "state": {"id": "xxxx"}}
    assert blanked(said, Flat) == kept
    assert blanked(said, Flat, "said") == kept
    assert blanked({"type": "other", "item_id": "hush"}, Flat) == {"type": "xxxxx", "item_id": "xxxx"}


def test_without_rules_only_the_name_and_the_id_are_kept() -> None:
    value = {"id": "e_1", "type": "said", "text": "hush", "item": {"id": "hush", "n": 1}}
    assert blanked(value, BaseDialect) == {
        "id": "e_1",
        "type": "said",
        "text": "xxxx",
        "item": {"id": "xxxx", "n": 1},
    }
    assert blanked({"type": "some words"}, BaseDialect) == {"type": "xxxxxxxxxx"}
    raw = Redaction(dialect=BaseDialect)(RawEvent("said", b'"hush"', "7", "7"))
    assert raw == RawEvent("said", b'"xxxx"', "7", "7")


def test_a_registered_name_is_a_dialect() -> None:
    assert Redaction(dialect="assistants")(ITEMS[4]) == redact(ITEMS[4])
    assert Redaction(dialect=AssistantsDialect)(ITEMS[4]) == redact(ITEMS[4])
    with pytest.raises(ValueError, match="not a registered dialect"):
        Redaction(dialect="none such")


@pytest.mark.parametrize("own", [False, True], ids=["redaction", "function"])
@pytest.mark.parametrize("suffix", ["jsonl", "sse"])
def test_a_recording_has_none_of_the_words(tmp_path: Path, suffix: str, own: bool) -> None:
    """A function of the application, which knows raw events, serves requests and answers too."""

    def hide(raw: RawEvent) -> RawEvent:
        return msgspec.structs.replace(raw, data=b"{}")

    path = tmp_path / f"run.{suffix}"
    with RecordingWriter(path, redact=hide if own else Redaction()) as writer:
        writer.write_all(ITEMS)
    assert b"words" not in path.read_bytes()
    assert [type(item) for item in read_recording(path)] == [type(item) for item in ITEMS]
