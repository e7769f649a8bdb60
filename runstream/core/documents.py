"""The documents of a run: a snapshot or a patch in, the documents after it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

from runstream.core.json_patch import MAX_OPERATIONS, MAX_SIZE, JsonValue, PatchError, apply_patch, make_value
from runstream.core.json_tree import encode, is_equal
from runstream.model.events import DocumentPatch, DocumentSnapshot
from runstream.model.frozen import freeze

__all__ = ["NO_DOCUMENTS", "Documents", "change_document", "is_same"]

_Path: TypeAlias = tuple[str, ...]


class Documents(Struct, frozen=True, eq=False):
    """The documents of a run: its own, and those of its subagents or subgraphs.

    Attributes:
        values: The documents by path; that of the run has the empty path.
        partial: The paths of the documents that miss a change, until a snapshot.
        version: The number of changes so far, of all of them.
        size: The size of all of them (bytes of JSON).
        path: The path of the last change.
        operations: The operations of the last change; ``None`` for a snapshot.
    """

    values: Mapping[_Path, JsonValue] = {}
    partial: frozenset[_Path] = frozenset()
    version: int = 0
    size: int = 0
    path: _Path = ()
    operations: Any = None

    def get(self, path: _Path) -> Any:
        """The document of a path (read-only); ``None`` if there is none."""
        found = self.values.get(path)
        return None if found is None else freeze(found.value)

    def size_of(self, path: _Path) -> int:
        """The size of the document of a path (bytes of JSON)."""
        found = self.values.get(path)
        return 0 if found is None else found.size

    def equals(self, other: Documents) -> bool:
        """True if the documents have equal values and versions."""
        return self is other or (
            self.version == other.version
            and self.partial == other.partial
            and self.values.keys() == other.values.keys()
            and all(is_same(value, other.values[path]) for path, value in self.values.items())
        )


NO_DOCUMENTS: Final = Documents()


def change_document(
    documents: Documents,
    event: DocumentSnapshot | DocumentPatch,
    *,
    max_size: int = MAX_SIZE,
    max_operations: int = MAX_OPERATIONS,
) -> tuple[Documents, PatchError | None]:
    """Apply a snapshot or a patch.

    Args:
        documents: The documents before.
        event: The event. A patch of a document that is unknown changes ``{}``.
        max_size: The size that its document may have (bytes of JSON).
        max_operations: The number of operations that a patch may have.

    Returns:
        The documents, which are the same object if nothing changed; and the reason if the event can't be applied: the
        document is then partial.
    """
    path = event.path
    before = documents.values.get(path)
    operations = None
    try:
        if isinstance(event, DocumentSnapshot):
            after = make_value(event.data, max_size=max_size)
            if before is not None and is_same(before, after):
                if path not in documents.partial:
                    return documents, None
                return structs.replace(documents, partial=documents.partial - {path}), None
            partial = documents.partial - {path}
        else:
            operations, partial = event.data, documents.partial
            known = before if before is not None else make_value({})
            after = apply_patch(known, operations, max_size=max_size, max_operations=max_operations)
            if after is known:
                return documents, None
    except PatchError as error:
        if path in documents.partial:
            return documents, error
        return structs.replace(documents, partial=documents.partial | {path}), error
    values = {**documents.values, path: after}
    size = documents.size + after.size - (before.size if before is not None else 0)
    return Documents(values, partial, documents.version + 1, size, path, operations), None


def is_same(one: JsonValue, other: JsonValue) -> bool:
    """True if two values are equal as JSON values. Differences are found fast, also in large values."""
    if one.value is other.value:
        return True
    # For Python, true is 1: so equal values are compared once more.
    return bool(one.value == other.value) and (
        encode(one.value) == encode(other.value) or is_equal(one.value, other.value)
    )
