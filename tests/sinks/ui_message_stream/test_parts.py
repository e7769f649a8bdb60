"""Sources, files and data parts of a UI message."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from runstream.engine.fold import fold
from runstream.model.message import Message
from runstream.model.signals import RunStalled, SourceError
from runstream.sinks.ui_message_stream.data_parts import notice_chunk
from runstream.sinks.ui_message_stream.sources import file_chunks, no_url, source_chunks
from runstream.testing import script
from tests.sinks.ui_message_stream.support import encode, encoded, only


def message(*annotations: Any, more: Iterable[Any] = ()) -> Message:
    """A message with a text that has annotations, and further parts."""
    text = {"type": "text", "text": {"value": "See [1].", "annotations": list(annotations)}}
    return Message.from_json({"id": "msg_1", "role": "assistant", "content": [text, *more]})


PLACE = {"runId": "run_1", "messageId": "msg_1", "text": "[1]"}


@pytest.mark.parametrize(
    ("annotation", "chunk"),
    [
        (
            {"type": "url_citation", "text": "[1]", "url_citation": {"url": "https://a.example/", "title": "A"}},
            {
                "type": "source-url",
                "sourceId": "msg_1/1",
                "url": "https://a.example/",
                "title": "A",
                "providerMetadata": {"runstream": PLACE},
            },
        ),
        (
            {"type": "file_citation", "text": "[1]", "file_citation": {"file_id": "file_1", "quote": "so"}},
            {
                "type": "source-document",
                "sourceId": "msg_1/1",
                "mediaType": "text/plain",
                "title": "[1]",
                "providerMetadata": {"runstream": {**PLACE, "fileId": "file_1", "quote": "so"}},
            },
        ),
        (
            {"type": "odd", "start_index": 4, "end_index": 7, "url": "https://b.example/"},
            {"type": "source-url", "sourceId": "msg_1/1", "url": "https://b.example/"},
        ),
        (
            {"type": "odd", "odd": {"filename": "b.pdf"}},
            {"type": "source-document", "sourceId": "msg_1/1", "title": "b.pdf", "filename": "b.pdf"},
        ),
    ],
)
def test_citations(annotation: Any, chunk: dict[str, Any]) -> None:
    (found,) = source_chunks("run_1", message(annotation))
    assert {name: found[name] for name in chunk} == chunk


def test_a_citation_of_nothing_has_no_part() -> None:
    notes = [{"type": "url_citation", "url_citation": {}}, {"type": "file_path", "file_path": {}}]
    assert not list(source_chunks("run_1", message(*notes)))


def test_images() -> None:
    """An image at a URL is a file; one in a file of the server needs a URL from the application."""
    images = [
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png?x=1"}},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://a.example/a"}},
        {"type": "image_file", "image_file": {"file_id": "file_1"}},
    ]
    found = list(file_chunks("run_1", message(more=images), no_url))
    assert [chunk.get("mediaType") for chunk in found] == ["image/png", "image/gif", "image/*", None]
    assert found[3]["data"] == {"runId": "run_1", "messageId": "msg_1", "fileId": "file_1"}
    *_, last = file_chunks("run_1", message(more=images), "/files/{}.jpeg".format)
    assert last == {"type": "file", "url": "/files/file_1.jpeg", "mediaType": "image/jpeg"}


AG_UI: list[dict[str, Any]] = [
    {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
    {"type": "STATE_SNAPSHOT", "snapshot": {"visits": [1]}},
    {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/visits/-", "value": 2}]},
    {"type": "ACTIVITY_SNAPSHOT", "messageId": "a1", "activityType": "PLAN", "content": {"steps": ["go"]}},
    {"type": "STEP_STARTED", "stepName": "plan"},
    {"type": "CUSTOM", "name": "progress", "value": 0.5},
    {"type": "STEP_FINISHED", "stepName": "plan"},
    {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
]


def test_documents_activities_labels_and_custom_values() -> None:
    """A later part of one id replaces the earlier one; a custom value is not kept."""
    chunks = encoded([json.dumps(event) for event in AG_UI])
    documents = only(chunks, "data-document")
    assert [chunk["id"] for chunk in documents] == ["r", "r"]
    assert documents[-1]["data"] == {"runId": "r", "version": 2, "value": {"visits": [1, 2]}}
    (activity,) = only(chunks, "data-activity")
    assert activity["id"] == "r/a1"
    assert (activity["data"]["kind"], activity["data"]["value"]) == ("PLAN", {"steps": ["go"]})
    steps = only(chunks, "data-step")
    assert [chunk["data"]["status"] for chunk in steps] == ["in_progress", "completed"]
    assert {chunk["data"]["name"] for chunk in steps} == {"plan"}
    (custom,) = only(chunks, "data-custom")
    assert custom["transient"]
    assert (custom["data"]["name"], custom["data"]["value"]) == ("progress", 0.5)


def test_large_values_are_left_out() -> None:
    chunks = encode(fold([json.dumps(event) for event in AG_UI]), max_data=5)
    assert only(chunks, "data-document")[0]["data"] == {"runId": "r", "version": 1, "omitted": True, "size": 14}
    assert only(chunks, "data-custom")[0]["data"]["value"] == 0.5


def test_notices_have_no_words_of_the_server() -> None:
    run = fold(script("run_1").raw_events()).runs[0].run
    stalled = notice_chunk(RunStalled("run_1", None, "", 0.0, run, 30.0, "idle", 1))
    assert stalled["data"] == {"kind": "run.stalled", "runId": "run_1", "idle": 30.0}
    error = notice_chunk(SourceError("stream", "", 0.0, 1, "secret", 2, "secret"))
    assert error == {"type": "data-notice", "data": {"kind": "source.error", "attempt": 2}, "transient": True}
