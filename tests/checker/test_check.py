"""`check`: every input gives a report, which is bounded and has no text of a message."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runstream
from runstream import CHECK_RULES, CheckReport, demo, register_dialect
from runstream.checker.findings import MAX_PLACES
from runstream.dialects import registry
from runstream.dialects.base import BaseDialect
from runstream.model.raw import Malformed, Oversized, RawEvent
from tests.checker.streams import (
    ag_ui_events,
    assistants_events,
    blocks_of,
    check_blocks,
    check_lines,
    errors,
    langgraph_events,
    notes,
    responses_events,
    thread_events,
)

DATA = Path(demo.__file__).parent
SECRET = "Sesame 4711"


def test_every_form_of_a_recording(tmp_path: Path) -> None:
    """A path, bytes, and a file; a list of raw events; all with one report but for its name."""
    data = blocks_of([(event["event"], event["data"], None) for event in assistants_events()])
    path = tmp_path / "run.sse"
    path.write_bytes(data)
    reports = [
        runstream.check(path),
        runstream.check(str(path)),
        runstream.check(data),
        runstream.check(io.BytesIO(data)),
    ]
    with path.open("rb") as file:
        reports.append(runstream.check(file))
    raws = [RawEvent(event["event"], json.dumps(event["data"]).encode()) for event in assistants_events()[:-1]]
    reports.append(runstream.check([*raws, RawEvent("done", b"[DONE]")]))
    for report in reports:
        assert report.ok
        assert report.dialect == "assistants"
        assert report.events == 15
        assert [(run.id, run.status, run.characters, run.calls) for run in report.runs] == [
            ("run_1", "completed", 6, 1)
        ]
    assert reports[0].name == str(path)
    assert reports[2].name == "<bytes>"


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.sse")))
def test_the_bundled_recordings_break_no_rule(name: str) -> None:
    """What the demo plays is conforming."""
    assert runstream.check(demo.load(name), name=name).ok


def test_a_place_says_where() -> None:
    """Number and line of the event, its name and id, the object and the fact."""
    events = langgraph_events()
    events[5] = ("updates", [], "5-0")
    place = check_blocks(events).errors[0].places[0]
    assert (place.event, place.line, place.name, place.id, place.detail) == (6, 21, "updates", "5-0", "updates")


def test_places_are_bounded_and_counts_are_not() -> None:
    """Of a rule that every event breaks the first places are kept."""
    events = responses_events()
    many = [*events[:5], *({**events[4], "delta": "x"} for _ in range(500)), *events[5:]]
    finding = next(each for each in check_lines(many).findings if each.rule.name == "sequence_growth")
    assert finding.count == 500
    assert [place.event for place in finding.places] == list(range(6, 6 + MAX_PLACES))


def test_errors_come_before_notes() -> None:
    """The report is in the order in which it is read."""
    events = responses_events()
    events[0]["response"].pop("usage")
    events[4].pop("sequence_number")
    events.pop()
    report = check_lines(events)
    assert [finding.rule.name for finding in report.findings] == [
        "sequence_number",
        "sequence_gap",
        "terminal_event",
        "usage_absent",
    ]


def test_json_that_is_none() -> None:
    """Data that are not JSON, not an object, JSON within JSON, and `data:` twice."""
    events = [(event["type"], event, None) for event in responses_events()]
    for data, rule in (
        ("{", "json"),
        ("[1]", "json_object"),
        ('"{\\"a\\": 1}"', "double_encoding"),
        ('data: {"type": "response.in_progress"}', "double_encoding"),
        ("{" * 300, "message_size"),
    ):
        report = check_blocks([*events[:2], ("response.in_progress", data, None), *events[2:]])
        assert (errors(report) | notes(report)) - {"unreadable_event"} == {rule}
        assert report.rejected == 1


def test_bytes_that_are_no_utf8_are_found_in_each_framing() -> None:
    """Readers replace them, and what was said is lost."""
    lines = [json.dumps(event).encode() for event in ag_ui_events()]
    lines[7] = lines[7].replace(b"Hello", b"Hell\xff")
    assert errors(runstream.check(b"\n".join(lines), format="jsonl")) == {"utf8"}
    assert errors(runstream.check(b"".join(b"data: %b\n\n" % line for line in lines), format="sse")) == {"utf8"}


def test_damage_of_the_input_itself() -> None:
    """Items that are no events give no finding of their own but for their size."""
    raws = [RawEvent(data=json.dumps(event).encode()) for event in ag_ui_events()]
    damaged = [Malformed(line=3, reason="not a field", data=b"x"), Oversized(line=4, size=9, limit=8)]
    report = runstream.check([*raws[:3], *damaged, *raws[3:]])
    assert errors(report) == set()
    assert notes(report) == {"message_size"}
    assert report.rejected == 2


def test_no_protocol_and_no_event() -> None:
    """An empty stream, and one that no dialect recognises, are findings."""
    assert errors(runstream.check(b"")) == {"no_events"}
    assert errors(runstream.check([])) == {"no_events"}
    report = check_lines([{"a": 1}, {"b": 2}])
    assert errors(report) == {"unknown_protocol"}
    assert (report.dialect, report.rejected, report.runs) == (None, 2, ())


STREAMS = {
    "assistants": lambda: [(event["event"], event["data"], None) for event in assistants_events()],
    "responses": lambda: [(event["type"], event, None) for event in responses_events()],
    "ag-ui": lambda: [(None, event, None) for event in ag_ui_events()],
    "langgraph": langgraph_events,
    "langgraph-thread": lambda: [(event["method"], event, str(event["seq"])) for event in thread_events()],
}


@pytest.mark.parametrize("dialect", STREAMS)
@pytest.mark.parametrize("protocol", STREAMS)
@pytest.mark.parametrize("form", ["blocks", "lines", "events"])
def test_a_stream_of_another_protocol_breaks_a_rule(form: str, protocol: str, dialect: str) -> None:
    """A stream that is checked by the rules of another protocol is not conforming, in any framing."""
    events = STREAMS[protocol]()
    raws = [RawEvent(name, (data if isinstance(data, str) else json.dumps(data)).encode()) for name, data, _ in events]
    if form == "blocks":
        report = check_blocks(events, dialect)
    elif form == "events":
        report = runstream.check(raws, dialect=dialect)
    elif protocol in ("assistants", "langgraph"):
        report = check_lines([{"event": name, "data": data} for name, data, _ in events], dialect)
    else:
        report = check_lines([data for _, data, _ in events], dialect)
    assert report.ok is (protocol == dialect)


def test_only_unknown_events_show_no_protocol() -> None:
    """The finding counts the events; one that the protocol has is enough, and so is an error before any run."""
    report = check_lines(ag_ui_events(), "responses")
    assert errors(report) == {"unknown_protocol"}
    assert report.errors[0].places[0].detail == f"{len(ag_ui_events())} events, none of responses"
    assert "unknown_protocol" not in errors(check_lines([{"type": "x.private"}, *responses_events()], "responses"))
    error = {"type": "error", "code": "server_error", "message": SECRET, "param": None, "sequence_number": 0}
    assert "unknown_protocol" not in errors(check_lines([{"type": "x.private"}, error], "responses"))


def test_a_dialect_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another dialect the rules of every stream are checked."""

    class Own(BaseDialect):
        @classmethod
        def recognises(cls, raw: RawEvent) -> bool:
            return b"own" in raw.data

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    register_dialect("own", Own)
    report = check_blocks([("a", {"own": 1}, None), ("b", "{", None)])
    assert report.dialect == "own"
    assert errors(report) == {"json"}
    assert check_blocks([("a", {"x": 1}, None)], "own").ok


def test_wrong_arguments() -> None:
    """A URL, text files and unknown dialects are errors of the caller."""
    with pytest.raises(ValueError, match="check_url"):
        runstream.check("https://host/run")
    with pytest.raises(TypeError, match="binary"):
        runstream.check(io.StringIO("x"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int is no stream"):
        runstream.check(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a registered dialect"):
        runstream.check(b"", dialect="unheard")
    with pytest.raises(FileNotFoundError):
        runstream.check("absent.sse")
    with pytest.raises(runstream.UnknownRecordingFormat):
        runstream.check(b"hello\n")


def hidden(value: Any, at: int) -> Any:
    """The value with a secret in each text that is no name, id or type."""
    if isinstance(value, dict):
        free = {"delta", "text", "content", "arguments", "message", "value", "output", "payload", "args", "input"}
        return {
            key: f"{SECRET} {each}" if key in free and isinstance(each, str) else hidden(each, at)
            for key, each in value.items()
        }
    return [hidden(each, at) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("events", [responses_events(), assistants_events(), ag_ui_events(), thread_events()])
def test_no_text_of_a_message_is_in_a_report(events: list[Any]) -> None:
    """Whatever is wrong with a stream, its texts stay out of the report."""
    for place in range(len(events)):
        for damaged in (events[:place] + events[place + 1 :], [*events[:place], *events[place:], events[place]]):
            report = check_lines([hidden(event, place) for event in damaged])
            assert SECRET not in str(report)
            assert SECRET not in msgspec.json.encode(report.to_dict()).decode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ALL = {
    "responses": responses_events(),
    "assistants": assistants_events(),
    "ag-ui": ag_ui_events(),
    "langgraph-thread": thread_events(),
    "langgraph": [{"event": name, "data": data} for name, data, _ in langgraph_events()],
}


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_every_input_gives_a_report(data: st.DataObject) -> None:
    """Fields of any value, events in any order, left out or repeated: nothing raises, and the report has its form."""
    dialect = data.draw(st.sampled_from(sorted(ALL)))
    events = data.draw(st.lists(st.sampled_from(ALL[dialect]), max_size=20))
    damaged = []
    for event in events:
        copy = json.loads(json.dumps(event))
        target = copy
        for _ in range(data.draw(st.integers(0, 3))):
            inner = [each for each in target.values() if isinstance(each, dict) and each]
            target = data.draw(st.sampled_from(inner)) if inner else target
        target[data.draw(st.sampled_from(sorted(target)))] = data.draw(JSON)
        damaged.append(copy)
    report = check_lines(damaged, dialect)
    assert msgspec.json.decode(msgspec.json.encode(report.to_dict()))["ok"] == report.ok


@given(st.binary(max_size=300), st.sampled_from(["sse", "jsonl"]), st.sampled_from([None, *sorted(ALL)]))
def test_any_bytes_give_a_report(data: bytes, format: Any, dialect: str | None) -> None:
    """Bytes that are no stream are findings, and no exception."""
    assert isinstance(runstream.check(data, format=format, dialect=dialect), CheckReport)


def test_the_rules_have_names_and_texts() -> None:
    """Names are unique in a protocol and differ from those of every stream; texts are sentences."""
    common = {rule.name for rule in CHECK_RULES["all"]}
    for protocol, rules in CHECK_RULES.items():
        names = [rule.name for rule in rules]
        assert len(names) == len(set(names))
        assert all(rule.protocol == protocol and rule.text.endswith(".") for rule in rules)
        assert protocol == "all" or not common & set(names)


def test_a_report_is_bounded() -> None:
    """Long names and ids are cut, and many runs are left out."""
    events = ag_ui_events()
    events[7]["messageId"] = "m" * 10_000
    events.pop(8)
    assert len(str(check_lines(events))) < 5_000
    runs = [
        event
        for number in range(150)
        for event in ({**events[0], "runId": f"r{number}"}, {**events[-1], "runId": f"r{number}"})
    ]
    assert len(check_lines(runs).runs) == 100
