"""Citations and images of a message as parts of a UI message: a complete message in, chunks out. Pure."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from runstream.model.message import (
    Annotation,
    FileCitationAnnotation,
    FilePathAnnotation,
    ImageFilePart,
    ImageUrlPart,
    Message,
    UnknownAnnotation,
    UrlCitationAnnotation,
)
from runstream.sinks.ui_message_stream.chunks import NAMESPACE, UiMessageChunk, readable

__all__ = ["FileUrl", "file_chunks", "no_url", "source_chunks"]

FileUrl: TypeAlias = Callable[[str], str | None]
"""Returns the URL under which a browser gets a file of the server, by the id of the file; ``None``: there is none."""


def no_url(file_id: str) -> None:
    """No URL for any file."""


def source_chunks(run_id: str, message: Message) -> Iterator[UiMessageChunk]:
    """The chunks of the citations of a message: web pages, and files as documents.

    Args:
        run_id: The id of its run.
        message: The message.
    """
    for number, (note, text) in enumerate(message.marked, 1):
        place = {"runId": run_id, "messageId": message.id, "text": text}
        source_id = f"{message.id}/{number}"
        if isinstance(note, UrlCitationAnnotation) and note.url_citation is not None and note.url_citation.url:
            yield _url(source_id, note.url_citation.url, note.url_citation.title, place)
        elif isinstance(note, UnknownAnnotation):
            yield from _unknown(source_id, note, place)
        elif (file_id := _file_id(note)) is not None:
            quote = (
                note.file_citation.quote if isinstance(note, FileCitationAnnotation) and note.file_citation else None
            )
            yield _document(source_id, text or file_id, None, {**place, "fileId": file_id, "quote": quote})


def file_chunks(run_id: str, message: Message, file_url: FileUrl) -> Iterator[UiMessageChunk]:
    """The chunks of the images of a message.

    Args:
        run_id: The id of its run.
        message: The message.
        file_url: Finds the URL of an image in a file of the server; without one, the image is a data part.
    """
    for part in message.content:
        if isinstance(part, ImageUrlPart) and part.image_url.url:
            yield _image(part.image_url.url)
        elif isinstance(part, ImageFilePart) and part.image_file.file_id:
            file_id = part.image_file.file_id
            if url := file_url(file_id):
                yield _image(url)
            else:
                data = {"runId": run_id, "messageId": message.id, "fileId": file_id}
                yield {"type": "data-image-file", "id": f"{run_id}/{file_id}", "data": data}


def _image(url: str) -> UiMessageChunk:
    if url.startswith("data:"):
        kind = url[5:].partition(",")[0].partition(";")[0]
    else:
        kind = mimetypes.guess_type(urlsplit(url).path)[0] or ""
    return {"type": "file", "url": url, "mediaType": kind if kind.startswith("image/") else "image/*"}


def _url(id: str, url: str, title: str | None, place: UiMessageChunk) -> UiMessageChunk:
    named = {"title": title} if title else {}
    return {"type": "source-url", "sourceId": id, "url": url, **named, **_metadata(place)}


def _document(id: str, title: str, filename: str | None, place: UiMessageChunk) -> UiMessageChunk:
    # Providers do not say of which type a file is; the package `ai` names the same type then.
    found = {"type": "source-document", "sourceId": id, "mediaType": "text/plain", "title": title}
    return {**found, **({"filename": filename} if filename else {}), **_metadata(place)}


def _unknown(id: str, note: UnknownAnnotation, place: UiMessageChunk) -> Iterator[UiMessageChunk]:
    """A citation of another type: by its URL or its file, where it has one in a usual place."""
    raw = note.to_dict()
    inner = raw.get(note.type)
    fields = {**raw, **(inner if isinstance(inner, dict) else {})}
    url, title, filename, file_id = (_text(fields.get(name)) for name in ("url", "title", "filename", "file_id"))
    place = {**place, "annotation": readable(raw)}
    if url:
        yield _url(id, url, title, place)
    else:
        yield _document(id, title or filename or place["text"] or file_id or note.type, filename, place)


def _file_id(note: Annotation) -> str | None:
    if isinstance(note, FileCitationAnnotation):
        return note.file_citation.file_id if note.file_citation is not None else None
    if isinstance(note, FilePathAnnotation):
        return note.file_path.file_id if note.file_path is not None else None
    return None


def _metadata(place: UiMessageChunk) -> UiMessageChunk:
    return {"providerMetadata": {NAMESPACE: {name: value for name, value in place.items() if value not in (None, "")}}}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
