"""Messages with their content parts and annotations; threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Index, OpenStrEnum, Tagged, Timestamp
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenList, FrozenMap, StringMap
from runstream.model.run import IncompleteDetails
from runstream.model.tool_calls import ImageFileRef

__all__ = [
    "Annotation",
    "Attachment",
    "ContentPart",
    "FileCitation",
    "FileCitationAnnotation",
    "FilePath",
    "FilePathAnnotation",
    "ImageFilePart",
    "ImageUrl",
    "ImageUrlPart",
    "Message",
    "MessageStatus",
    "RefusalPart",
    "TextContent",
    "TextPart",
    "Thread",
    "UnknownAnnotation",
    "UnknownPart",
    "UrlCitation",
    "UrlCitationAnnotation",
]


class MessageStatus(OpenStrEnum):
    """The statuses of a message; any other string is an unknown status, not an error."""

    IN_PROGRESS = "in_progress"
    INCOMPLETE = "incomplete"
    COMPLETED = "completed"


MessageStatus._ends_with(MessageStatus.INCOMPLETE, MessageStatus.COMPLETED)


class FileCitation(WireStruct, frozen=True, kw_only=True):
    """The cited file, and the quoted text if given."""

    file_id: str | None = None
    quote: str | None = None


class FileCitationAnnotation(Tagged, frozen=True, kw_only=True, tag="file_citation"):
    """``text[start_index:end_index]`` of the part cites a file."""

    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_citation: FileCitation | None = None
    index: Index | None = None


class FilePath(WireStruct, frozen=True, kw_only=True):
    """A file created by the code interpreter."""

    file_id: str | None = None


class FilePathAnnotation(Tagged, frozen=True, kw_only=True, tag="file_path"):
    """``text[start_index:end_index]`` of the part is the path of a file."""

    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_path: FilePath | None = None
    index: Index | None = None


class UrlCitation(WireStruct, frozen=True, kw_only=True):
    """The cited web page."""

    url: str | None = None
    title: str | None = None


class UrlCitationAnnotation(Tagged, frozen=True, kw_only=True, tag="url_citation"):
    """``text[start_index:end_index]`` of the part cites a web page (Azure)."""

    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    url_citation: UrlCitation | None = None
    index: Index | None = None


class UnknownAnnotation(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other annotation, as received."""


Annotation: TypeAlias = FileCitationAnnotation | FilePathAnnotation | UrlCitationAnnotation | UnknownAnnotation


def text_content(text: str) -> dict[str, Any]:
    """The object that stands for a text in place of the ``text`` of a content part."""
    return {"value": text}


def text_part(text: str) -> dict[str, Any]:
    """The content part that stands for a text in place of a part, or of a list of parts."""
    return {"type": "text", "text": text_content(text)}


class TextContent(WireStruct, frozen=True, kw_only=True):
    """Text, and annotations of parts of it."""

    value: str | None = None
    annotations: tuple[Annotation, ...] = ABSENT_LIST

    @staticmethod
    def _of_text(text: str) -> dict[str, Any]:
        return text_content(text)


class TextPart(Tagged, frozen=True, kw_only=True, tag="text"):
    """A content part with text."""

    text: TextContent

    @staticmethod
    def _of_text(text: str) -> dict[str, Any]:
        return text_part(text)


class ImageFilePart(Tagged, frozen=True, kw_only=True, tag="image_file"):
    """A content part with an image in a file."""

    image_file: ImageFileRef


class ImageUrl(WireStruct, frozen=True, kw_only=True):
    """An image at a URL."""

    url: str | None = None
    detail: str | None = None


class ImageUrlPart(Tagged, frozen=True, kw_only=True, tag="image_url"):
    """A content part with an image at a URL."""

    image_url: ImageUrl


class RefusalPart(Tagged, frozen=True, kw_only=True, tag="refusal"):
    """A content part with a refusal by the model."""

    refusal: str | None = None


class UnknownPart(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other content part, as received."""


ContentPart: TypeAlias = TextPart | ImageFilePart | ImageUrlPart | RefusalPart | UnknownPart


class Attachment(WireStruct, frozen=True, kw_only=True):
    """A file attached to a message, and the tools that may use it."""

    file_id: str | None = None
    tools: FrozenList | None = None


class Message(WireStruct, frozen=True, kw_only=True):
    """One message. Times are Unix seconds. Only ``id`` is required."""

    id: str
    object: str | None = None
    created_at: Timestamp | None = None
    thread_id: str | None = None
    status: MessageStatus | None = None
    incomplete_details: IncompleteDetails | None = None
    completed_at: Timestamp | None = None
    incomplete_at: Timestamp | None = None
    role: str | None = None
    content: tuple[ContentPart, ...] = ABSENT_LIST
    assistant_id: str | None = None
    run_id: str | None = None
    attachments: tuple[Attachment, ...] = ABSENT_LIST
    file_ids: FrozenList | None = None
    metadata: StringMap = ABSENT_MAP

    _aliases: ClassVar[Mapping[str, str]] = {"agent_id": "assistant_id"}

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, role={self.role!r}, status={self.status and self.status.value!r})"

    @property
    def is_terminal(self) -> bool:
        """True if the message has ended."""
        return self.status is not None and self.status.is_terminal

    @property
    def text(self) -> str:
        """The text of all text parts, concatenated."""
        return "".join(part.text.value or "" for part in self.content if isinstance(part, TextPart))

    @property
    def refusal(self) -> str:
        """The text of all refusals, concatenated."""
        return "".join(part.refusal or "" for part in self.content if isinstance(part, RefusalPart))

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """The annotations of all text parts."""
        return tuple(note for part in self.content if isinstance(part, TextPart) for note in part.text.annotations)

    @property
    def marked(self) -> tuple[tuple[Annotation, str], ...]:
        """The annotations of all text parts, each with its text.

        The text is the one in the annotation itself, else the part's text between its indexes (characters); it is
        empty if the annotation has neither.
        """
        return tuple(
            (note, _marked_text(part.text.value or "", note))
            for part in self.content
            if isinstance(part, TextPart)
            for note in part.text.annotations
        )

    @property
    def image_file_ids(self) -> tuple[str, ...]:
        """The ids of the image files in the message."""
        return tuple(
            part.image_file.file_id
            for part in self.content
            if isinstance(part, ImageFilePart) and part.image_file.file_id
        )


def _marked_text(value: str, note: Annotation) -> str:
    raw = note.raw if isinstance(note, UnknownAnnotation) else None
    text, start, end = (
        raw.get(name) if raw is not None else getattr(note, name) for name in ("text", "start_index", "end_index")
    )
    if isinstance(text, str) and text:
        return text
    if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end:
        return value[start:end]
    return ""


class Thread(WireStruct, frozen=True, kw_only=True):
    """A thread: the conversation in which runs work."""

    id: str
    object: str | None = None
    created_at: Timestamp | None = None
    metadata: StringMap = ABSENT_MAP
    tool_resources: FrozenMap | None = None

    def __repr__(self) -> str:
        return f"Thread(id={self.id!r})"
