"""Messages and threads: whole objects as servers write them, and what is asked of them."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.model import (
    Attachment,
    FileCitationAnnotation,
    FilePathAnnotation,
    ImageFilePart,
    ImageUrlPart,
    IncompleteDetails,
    Message,
    MessageStatus,
    RefusalPart,
    TextPart,
    Thread,
    UnknownPart,
    UrlCitationAnnotation,
)
from tests.support import wire

RUN = wire.run_object()


def message_of(*content: dict[str, Any], **fields: Any) -> Message:
    """A whole message, written as it came but for the nulls."""
    data = wire.message_object("msg_1", RUN, content=content, **fields)
    message = Message.from_json(data)
    assert message.to_dict() == {key: item for key, item in data.items() if item is not None}
    return message


def test_fields() -> None:
    """Every field of the reference is an attribute."""
    message = message_of(
        status="incomplete",
        incomplete_details={"reason": "max_tokens"},
        incomplete_at=1,
        completed_at=2,
        attachments=[{"file_id": "file_1", "tools": [{"type": "file_search"}]}],
        file_ids=["file_2"],
        metadata={"a": "b"},
    )
    assert (message.id, message.object, message.role) == ("msg_1", "thread.message", "assistant")
    assert (message.run_id, message.thread_id, message.assistant_id) == ("run_0001", "thread_0001", "asst_0001")
    assert message.status is MessageStatus.INCOMPLETE
    assert message.incomplete_details == IncompleteDetails(reason="max_tokens")
    assert (message.incomplete_at, message.completed_at, message.created_at) == (1, 2, RUN["created_at"])
    (attachment,) = message.attachments
    assert isinstance(attachment, Attachment)
    assert attachment.file_id == "file_1"
    assert attachment.tools == [{"type": "file_search"}]
    assert message.file_ids == ["file_2"]
    assert message.metadata == {"a": "b"}


def test_only_the_id_is_required() -> None:
    """Polled messages have no status; all but the id may be absent."""
    message = Message.from_json({"id": "m"})
    assert message.status is None
    assert (message.content, message.attachments, dict(message.metadata)) == ((), (), {})
    assert (message.text, message.refusal, message.annotations, message.image_file_ids) == ("", "", (), ())
    assert not message.is_terminal
    assert repr(message) == "Message(id='m', role=None, status=None)"


@pytest.mark.parametrize(
    ("status", "ended"), [("in_progress", False), ("incomplete", True), ("completed", True), ("new", False)]
)
def test_ending(status: str, ended: bool) -> None:
    """A message has ended when it is completed or incomplete."""
    assert message_of(status=status).is_terminal is ended


def test_parts() -> None:
    """Each part is of its class, in order."""
    message = message_of(
        wire.text_part("Look: "),
        {"type": "image_file", "image_file": {"file_id": "file_1", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://e.example/i.png"}},
        wire.text_part("nice."),
        {"type": "refusal", "refusal": "No."},
        {"type": "audio", "audio": {"data": None}},
        {"type": "image_file", "image_file": {}},
    )
    kinds = [TextPart, ImageFilePart, ImageUrlPart, TextPart, RefusalPart, UnknownPart, ImageFilePart]
    assert [type(part) for part in message.content] == kinds
    assert message.text == "Look: nice."
    assert message.refusal == "No."
    assert message.image_file_ids == ("file_1",)
    url = message.content[2]
    assert isinstance(url, ImageUrlPart)
    assert url.image_url.url == "https://e.example/i.png"


def test_annotations() -> None:
    """An annotation marks a span of its part's text."""
    text = "See [1], sandbox:/a.csv and [2]."
    notes = [
        wire.file_citation("[1]", 4, "file_1"),
        {
            "type": "file_path",
            "text": "sandbox:/a.csv",
            "start_index": 9,
            "end_index": 23,
            "file_path": {"file_id": "file_2"},
        },
        {
            "type": "url_citation",
            "text": "[2]",
            "start_index": 28,
            "end_index": 31,
            "url_citation": {"url": "https://e.example", "title": "E"},
        },
    ]
    message = message_of(wire.text_part(text, notes), wire.text_part("None here."))
    citation, path, url = message.annotations
    assert isinstance(citation, FileCitationAnnotation)
    assert citation.file_citation is not None
    assert citation.file_citation.file_id == "file_1"
    assert isinstance(path, FilePathAnnotation)
    assert path.file_path is not None
    assert path.file_path.file_id == "file_2"
    assert isinstance(url, UrlCitationAnnotation)
    assert url.url_citation is not None
    assert (url.url_citation.url, url.url_citation.title) == ("https://e.example", "E")
    for note in (citation, path, url):
        assert text[note.start_index : note.end_index] == note.text


def test_the_repr_tells_no_text() -> None:
    """The representation has id, role and status alone."""
    message = message_of(wire.text_part("s3cret"))
    assert repr(message) == "Message(id='msg_1', role='assistant', status='in_progress')"


def test_threads() -> None:
    """A thread has few fields, and needs its id alone."""
    thread = Thread.from_json(wire.thread_object("thread_1", metadata={"a": "b"}))
    assert (thread.id, thread.object, thread.created_at) == ("thread_1", "thread", wire.EPOCH)
    assert thread.metadata == {"a": "b"}
    assert thread.tool_resources == {"code_interpreter": {"file_ids": []}}
    assert thread.to_dict() == wire.thread_object("thread_1", metadata={"a": "b"})
    assert repr(Thread.from_json({"id": "t"})) == "Thread(id='t')"
