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
    """The cited file, and the quoted text if given.

    An absent or null field is ``None``.

    Attributes:
        file_id: The id of the file on the server.
        quote: The quoted text.
    """

    file_id: str | None = None
    quote: str | None = None


class FileCitationAnnotation(Tagged, frozen=True, kw_only=True, tag="file_citation"):
    """``text[start_index:end_index]`` of the part cites a file.

    An absent or null field is ``None``.

    Attributes:
        text: The text of the span: the mark that stands in the text for the citation.
        start_index: The index of the first character of the span in the text of the part, from 0.
        end_index: The index after the last character of the span.
        file_citation: The cited file.
        index: The index of the annotation in its part, from 0; sent in deltas.
    """

    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_citation: FileCitation | None = None
    index: Index | None = None


class FilePath(WireStruct, frozen=True, kw_only=True):
    """A file created by the code interpreter.

    Attributes:
        file_id: The id of the file on the server; ``None`` if absent or null.
    """

    file_id: str | None = None


class FilePathAnnotation(Tagged, frozen=True, kw_only=True, tag="file_path"):
    """``text[start_index:end_index]`` of the part is the path of a file.

    An absent or null field is ``None``.

    Attributes:
        text: The text of the span: the path.
        start_index: The index of the first character of the span in the text of the part, from 0.
        end_index: The index after the last character of the span.
        file_path: The file.
        index: The index of the annotation in its part, from 0; sent in deltas.
    """

    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_path: FilePath | None = None
    index: Index | None = None


class UrlCitation(WireStruct, frozen=True, kw_only=True):
    """The cited web page.

    An absent or null field is ``None``.

    Attributes:
        url: The URL of the page.
        title: The title of the page.
    """

    url: str | None = None
    title: str | None = None


class UrlCitationAnnotation(Tagged, frozen=True, kw_only=True, tag="url_citation"):
    """``text[start_index:end_index]`` of the part cites a web page (Azure).

    An absent or null field is ``None``.

    Attributes:
        text: The text of the span: the mark that stands in the text for the citation.
        start_index: The index of the first character of the span in the text of the part, from 0.
        end_index: The index after the last character of the span.
        url_citation: The cited page.
        index: The index of the annotation in its part, from 0; sent in deltas.
    """

    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    url_citation: UrlCitation | None = None
    index: Index | None = None


class UnknownAnnotation(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other annotation, as received."""


Annotation: TypeAlias = FileCitationAnnotation | FilePathAnnotation | UrlCitationAnnotation | UnknownAnnotation
"""An annotation of a text part, in a class by its ``type``."""


def text_content(text: str) -> dict[str, Any]:
    """The object that stands for a text in place of the ``text`` of a content part."""
    return {"value": text}


def text_part(text: str) -> dict[str, Any]:
    """The content part that stands for a text in place of a part, or of a list of parts."""
    return {"type": "text", "text": text_content(text)}


class TextContent(WireStruct, frozen=True, kw_only=True):
    """Text, and annotations of parts of it.

    An absent or null field is ``None``; an absent or null list is empty.

    Attributes:
        value: The text, as far as it has arrived.
        annotations: The citations and file paths of the text, by their indexes.
    """

    value: str | None = None
    annotations: tuple[Annotation, ...] = ABSENT_LIST

    @staticmethod
    def _of_text(text: str) -> dict[str, Any]:
        return text_content(text)


class TextPart(Tagged, frozen=True, kw_only=True, tag="text"):
    """A content part with text.

    Attributes:
        text: The text with its annotations; required.
    """

    text: TextContent

    @staticmethod
    def _of_text(text: str) -> dict[str, Any]:
        return text_part(text)


class ImageFilePart(Tagged, frozen=True, kw_only=True, tag="image_file"):
    """A content part with an image in a file.

    Attributes:
        image_file: The file with the image; required.
    """

    image_file: ImageFileRef


class ImageUrl(WireStruct, frozen=True, kw_only=True):
    """An image at a URL.

    An absent or null field is ``None``.

    Attributes:
        url: The URL of the image; it can be a ``data:`` URL.
        detail: The resolution at which the model reads the image: "auto", "low", "high", or another.
    """

    url: str | None = None
    detail: str | None = None


class ImageUrlPart(Tagged, frozen=True, kw_only=True, tag="image_url"):
    """A content part with an image at a URL.

    Attributes:
        image_url: The URL with its options; required.
    """

    image_url: ImageUrl


class RefusalPart(Tagged, frozen=True, kw_only=True, tag="refusal"):
    """A content part with a refusal by the model.

    Attributes:
        refusal: The text of the refusal, as far as it has arrived; ``None`` if absent or null.
    """

    refusal: str | None = None


class UnknownPart(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other content part, as received."""


ContentPart: TypeAlias = TextPart | ImageFilePart | ImageUrlPart | RefusalPart | UnknownPart
"""A part of the content of a message, in a class by its ``type``."""


class Attachment(WireStruct, frozen=True, kw_only=True):
    """A file attached to a message, and the tools that may use it.

    An absent or null field is ``None``.

    Attributes:
        file_id: The id of the file on the server.
        tools: The tools that may read the file, as received: a list of objects with a ``type``.
    """

    file_id: str | None = None
    tools: FrozenList | None = None


class Message(WireStruct, frozen=True, kw_only=True):
    """One message. Times are Unix seconds.

    Only ``id`` is required. An absent or null field is ``None``; an absent or null list or mapping is empty.

    Attributes:
        id: The id of the message; required.
        object: The type of the object on the wire: ``thread.message``.
        created_at: When the message was created (Unix seconds).
        thread_id: The id of the thread.
        status: The status; an unknown status is kept. Many servers send none for messages of users.
        incomplete_details: Why the message ended incomplete; ``None`` if it did not.
        completed_at: When the message was completed (Unix seconds).
        incomplete_at: When the message ended incomplete (Unix seconds).
        role: Who wrote the message: ``user``, ``assistant``, or another.
        content: The content parts, by their indexes.
        assistant_id: The id of the assistant or agent that wrote the message; ``agent_id`` on some wires.
        run_id: The id of the run that created the message; ``None`` for messages of users.
        attachments: The files attached to the message, in the order of the wire.
        file_ids: The ids of the attached files, as received; sent by servers of an early version of the API.
        metadata: Pairs of strings that the application attached.
    """

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
    """A thread: the conversation in which runs work.

    Only ``id`` is required. An absent or null field is ``None``; an absent or null mapping is empty.

    Attributes:
        id: The id of the thread; required.
        object: The type of the object on the wire: ``thread``.
        created_at: When the thread was created (Unix seconds).
        metadata: Pairs of strings that the application attached.
        tool_resources: Files and vector stores of the tools, as received.
    """

    id: str
    object: str | None = None
    created_at: Timestamp | None = None
    metadata: StringMap = ABSENT_MAP
    tool_resources: FrozenMap | None = None

    def __repr__(self) -> str:
        return f"Thread(id={self.id!r})"
