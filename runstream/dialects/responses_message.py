"""Message items of the Responses wire as messages: their parts and annotations."""

from __future__ import annotations

from runstream.dialects.responses_wire import Json, integer_of, list_of, text_of
from runstream.model.deltas import MessageDelta, MessageDeltaBody, TextContentDelta, TextPartDelta
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, StringMap, freeze
from runstream.model.lenient import read
from runstream.model.message import (
    Annotation,
    ContentPart,
    FileCitationAnnotation,
    FilePathAnnotation,
    Message,
    MessageStatus,
    RefusalPart,
    TextContent,
    TextPart,
    UnknownAnnotation,
    UnknownPart,
    UrlCitationAnnotation,
)

__all__ = ["annotation_delta", "message_of", "parts_of"]


def message_of(item: Json, id: str, run_id: str, status: str) -> Message:
    """The message that an item shows. Content that is absent or empty is absent: it erases nothing.

    Args:
        item: The output item.
        id: The id of the message.
        run_id: The id of its run.
        status: The status of the message.
    """
    phase = text_of(item.get("phase"))
    return Message(
        id=id,
        run_id=run_id,
        role=text_of(item.get("role")) or "assistant",
        status=MessageStatus(status),
        content=tuple(map(_part_of, parts_of(item))) or ABSENT_LIST,
        metadata=StringMap({"phase": phase}) if phase is not None else ABSENT_MAP,
    )


def parts_of(item: Json) -> list[Json]:
    """The parts of the content of an item; content that is a text is one part."""
    content = item.get("content")
    return [{"type": "output_text", "text": content}] if isinstance(content, str) and content else list_of(content)


def _part_of(part: Json) -> ContentPart:
    match part.get("type"):
        case "refusal":
            return RefusalPart(refusal=text_of(part.get("refusal")))
        case "output_text" | "text" | None:
            annotations = tuple(map(_annotation_of, list_of(part.get("annotations"))))
            return TextPart(text=TextContent(value=text_of(part.get("text")) or "", annotations=annotations))
    return UnknownPart(raw=freeze(dict(part)))


def _annotation_of(value: Json) -> Annotation:
    """An annotation. Fields without a place in its class are kept beside the others."""
    fields = {key: item for key, item in value.items() if item is not None}
    found: Annotation | None = None
    place = integer_of(fields.pop("index", None))  # of a citation: its place in the text, not in a list
    if place is not None:
        fields = {"start_index": place, "end_index": place, **fields}
    match value.get("type"):
        case "url_citation":
            citation = {name: fields.pop(name) for name in ("url", "title") if name in fields}
            found = read(UrlCitationAnnotation, {**fields, "url_citation": citation}, [])
        case "file_citation" | "container_file_citation":
            names = ("file_id", "filename", "container_id")
            file = {name: fields.pop(name) for name in names if name in fields}
            found = read(FileCitationAnnotation, {**fields, "type": "file_citation", "file_citation": file}, [])
        case "file_path":
            file = {name: fields.pop(name) for name in ("file_id",) if name in fields}
            found = read(FilePathAnnotation, {**fields, "file_path": file}, [])
    return found or UnknownAnnotation(raw=freeze(dict(value)))


def annotation_delta(event: Json, id: str) -> MessageDelta | None:
    """The delta that adds the annotation of an event to a message; ``None`` if it has none.

    Args:
        event: The event.
        id: The id of the message.
    """
    value = event.get("annotation")
    part, index = integer_of(event.get("content_index")), integer_of(event.get("annotation_index"))
    if not isinstance(value, dict):
        return None
    annotation = _annotation_of(value)
    if index is not None:
        annotation = _placed(annotation, index)
    content = TextPartDelta(index=part or 0, text=TextContentDelta(annotations=(annotation,)))
    return MessageDelta(id=id, delta=MessageDeltaBody(content=(content,)))


def _placed(annotation: Annotation, index: int) -> Annotation:
    """An annotation with its index in the list."""
    if isinstance(annotation, UnknownAnnotation):
        return UnknownAnnotation(raw=freeze({**annotation.to_dict(), "index": index}))
    return annotation.replace(index=index)
