"""Applies a JSON Patch (RFC 6902): a JSON value and operations in, another value out. All are done, or none.

The paths of operations are JSON Pointers (RFC 6901). Only the containers along a path are copied.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, structs

from runstream.core.json_tree import (
    MISSING,
    WideMap,
    depth_of,
    encode,
    find_member,
    get_item,
    insert_item,
    is_equal,
    length_of,
    measure,
    remove_item,
    remove_member,
    set_item,
    set_member,
    unwrap,
)
from runstream.model.frozen import FrozenList, FrozenMap
from runstream.model.jsontext import MAX_NESTING

__all__ = ["MAX_OPERATIONS", "MAX_SIZE", "JsonValue", "PatchError", "PatchProblem", "apply_patch", "make_value"]

MAX_OPERATIONS: Final = 10_000
MAX_SIZE: Final = 64 * 2**20

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")
_MAX_KNOWN: Final = 256  # containers whose size is remembered
_LONG_TEXT: Final = 1024


class PatchProblem(enum.Enum):
    """Why a value can't be used, or an operation not be done."""

    MALFORMED = "is malformed"
    NO_PLACE = "names a place that does not exist"
    TEST_FAILED = "is a test that fails"
    INTO_ITSELF = "moves a value into itself"
    TOO_LARGE = "makes the value too large"
    TOO_DEEP = "makes the value too deep"
    NOT_JSON = "has a value that is not JSON"
    TOO_MANY = "is one too many"


class PatchError(ValueError):
    """A patch can't be applied; the value stays as it was. The text has no word of the patch.

    Attributes:
        problem: Why.
        index: The index of the operation; ``None`` if the patch is no list of operations, or no patch.
    """

    def __init__(self, problem: PatchProblem, index: int | None = None) -> None:
        self.problem = problem
        self.index = index
        subject = "The value" if index is None else f"Operation {index} of the patch"
        super().__init__(f"{subject} {problem.value}")


class Sizes:
    """The sizes of containers of a value: each is measured once, also where patches copy and remove it again."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # With the container itself: while it exists, no other object has its `id`.
        self._known: dict[int, tuple[Any, int]] = {}

    def of(self, value: Any) -> int:
        """The size of a value (bytes of JSON)."""
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        size = len(encode(value))
        self.note(value, size)
        return size

    def note(self, value: Any, size: int) -> None:
        """Note the size of a value, if it is a container or a long text."""
        if isinstance(value, dict | list | FrozenMap | FrozenList) or (type(value) is str and size > _LONG_TEXT):
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[id(value)] = (value, size)

    def follow(self, before: Any, after: Any, change: int) -> None:
        """Note the size of a container after a change, if its size before is known."""
        known = self._known.get(id(before))
        if known is not None:
            self.note(after, known[1] + change)


class JsonValue(Struct, frozen=True, eq=False):
    """A JSON value that patches change.

    Attributes:
        value: The value, not wrapped.
        size: Its size (bytes of JSON).
        depth: Its levels of nesting: at most so many.
        sizes: The sizes of its containers, shared by all versions.
        text: The value as JSON text, once it was needed.
    """

    value: Any
    size: int
    depth: int
    sizes: Sizes
    text: bytes | None = None

    def encode(self) -> bytes:
        """The value as JSON text. It is kept: a store writes it again with each change of the run."""
        if self.text is None:
            structs.force_setattr(self, "text", encode(self.value))
        return self.text  # type: ignore[return-value]


def make_value(value: Any, *, max_size: int = MAX_SIZE) -> JsonValue:
    """A value that patches can change.

    Args:
        value: The value, as decoded from JSON; it must not change afterwards.
        max_size: The size that it may have (bytes of JSON).

    Raises:
        PatchError: The value is not JSON, too large, or nested too deeply.
    """
    try:
        value, size, depth = measure(value)
    except ValueError:
        raise PatchError(PatchProblem.NOT_JSON) from None
    if depth > MAX_NESTING and (depth := depth_of(value)) > MAX_NESTING:
        raise PatchError(PatchProblem.TOO_DEEP)
    if size > max_size:
        raise PatchError(PatchProblem.TOO_LARGE)
    return JsonValue(value, size, depth, Sizes())


def apply_patch(
    before: JsonValue, operations: Any, *, max_size: int = MAX_SIZE, max_operations: int = MAX_OPERATIONS
) -> JsonValue:
    """Apply the operations of a patch.

    Args:
        before: The value before.
        operations: The operations, as decoded from JSON. They are not checked before, and must not change afterwards.
        max_size: The size that the value may have after each operation (bytes of JSON).
        max_operations: The number of operations that the patch may have.

    Returns:
        The value after all operations; the same object if they change nothing.

    Raises:
        PatchError: An operation can't be done.
    """
    operations = unwrap(operations)
    if not isinstance(operations, list | tuple | FrozenList):
        raise PatchError(PatchProblem.MALFORMED, 0)
    if len(operations) > max_operations:
        raise PatchError(PatchProblem.TOO_MANY, max_operations)
    patch = _Patch(before)
    for index, operation in enumerate(operations):
        try:
            patch.apply(unwrap(operation))
        except _Failure as failure:
            raise PatchError(failure.problem, index) from None
        if patch.size > max_size and patch.size > before.size:
            raise PatchError(PatchProblem.TOO_LARGE, index)
    if patch.value is before.value:
        return before
    return JsonValue(patch.value, patch.size, patch.depth, before.sizes)


class _Failure(Exception):
    def __init__(self, problem: PatchProblem) -> None:
        self.problem = problem


class _Patch:
    """The value while the operations of one patch are done."""

    def __init__(self, before: JsonValue) -> None:
        self.value = before.value
        self.size = before.size
        self.depth = before.depth
        self._sizes = before.sizes

    def apply(self, operation: Any) -> None:
        """Do one operation."""
        if not isinstance(operation, Mapping):
            raise _Failure(PatchProblem.MALFORMED)
        keys = _keys(operation.get("path"))
        match operation.get("op"):
            case "add":
                self._add(keys, *self._operand(operation, len(keys)), compare=True)
            case "remove":
                self._remove(keys)
            case "replace":
                self._replace(keys, *self._operand(operation, len(keys)))
            case "test":
                if "value" not in operation:
                    raise _Failure(PatchProblem.MALFORMED)
                if not is_equal(self._find(keys), operation["value"]):
                    raise _Failure(PatchProblem.TEST_FAILED)
            case "copy":
                origin = _keys(operation.get("from"))
                found = self._find(origin)
                depth = self._depth_at(found, len(origin), len(keys))
                self._add(keys, found, self._sizes.of(found), depth)
            case "move":
                self._move(_keys(operation.get("from")), keys)
            case _:
                raise _Failure(PatchProblem.MALFORMED)

    def _operand(self, operation: Mapping[str, Any], level: int) -> tuple[Any, int, int]:
        """The value of an operation, its size, and the depth of the whole value with it."""
        value = operation.get("value", MISSING)
        if value is MISSING:
            raise _Failure(PatchProblem.MALFORMED)
        try:
            value, size, depth = measure(value)
        except ValueError:
            raise _Failure(PatchProblem.NOT_JSON) from None
        if level + depth > MAX_NESTING and level + (depth := depth_of(value)) > MAX_NESTING:
            raise _Failure(PatchProblem.TOO_DEEP)
        self._sizes.note(value, size)
        return value, size, level + depth

    def _depth_at(self, value: Any, origin: int, level: int) -> int:
        """The depth of the whole value, with a part of it at another level too.

        Args:
            value: The part.
            origin: Its level.
            level: Its other level.
        """
        depth = max(self.depth - origin, 0) + level  # the part is nowhere deeper than the whole
        if depth > MAX_NESTING and (depth := level + depth_of(value)) > MAX_NESTING:
            raise _Failure(PatchProblem.TOO_DEEP)
        return depth

    def _find(self, keys: list[str]) -> Any:
        value = self.value
        for key in keys:
            value = _child(value, key)
        return value

    def _change(self, keys: list[str], change: Callable[[Any, str], tuple[Any, int]]) -> None:
        """Change the container of the last key, and copy the containers above it.

        Args:
            keys: The keys; at least one.
            change: Returns the container after the change and the change of its size, from the container and the last
                key.
        """
        passed: list[tuple[Any, str]] = []
        node = self.value
        for key in keys[:-1]:
            passed.append((node, key))
            node = _child(node, key)
        changed, added = change(node, keys[-1])
        if changed is node:
            return
        self._sizes.follow(node, changed, added)
        for parent, key in reversed(passed):
            child = changed
            changed = set_member(parent, key, child) if length_of(parent) is None else set_item(parent, int(key), child)
            self._sizes.follow(parent, changed, added)
        self.value = changed
        self.size += added

    def _set_root(self, value: Any, size: int, depth: int) -> None:
        self.value, self.size, self.depth = value, size, depth

    def _add(self, keys: list[str], value: Any, size: int, depth: int, *, compare: bool = False) -> None:
        def change(node: Any, key: str) -> tuple[Any, int]:
            count = length_of(node)
            if count is not None:
                return insert_item(node, count if key == "-" else _index(key, count + 1), value), size + (count > 0)
            if not isinstance(node, dict | WideMap):
                raise _Failure(PatchProblem.NO_PLACE)
            return self._put(node, key, value, size, compare=compare)

        if keys:
            self._change(keys, change)
            self.depth = max(self.depth, depth)
        elif not (compare and is_equal(self.value, value)):
            self._set_root(value, size, depth)

    def _replace(self, keys: list[str], value: Any, size: int, depth: int) -> None:
        def change(node: Any, key: str) -> tuple[Any, int]:
            old = _child(node, key)
            if length_of(node) is None:
                return self._put(node, key, value, size, compare=True)
            if is_equal(old, value):
                return node, 0
            return set_item(node, int(key), value), size - self._sizes.of(old)

        if keys:
            self._change(keys, change)
            self.depth = max(self.depth, depth)
        elif not is_equal(self.value, value):
            self._set_root(value, size, depth)

    def _put(self, node: Any, name: str, value: Any, size: int, *, compare: bool) -> tuple[Any, int]:
        """Add or replace a member of an object; the object itself if it has the value already.

        Args:
            node: The object.
            name: The name of the member.
            value: Its value.
            size: The size of the value.
            compare: True if the value is of the patch, so that a comparison reads no more than the patch has.
        """
        old = find_member(node, name)
        if old is MISSING:
            return set_member(node, name, value), size + _name_size(name, len(node) > 0)
        if old is value or (compare and is_equal(old, value)):
            return node, 0
        return set_member(node, name, value), size - self._sizes.of(old)

    def _remove(self, keys: list[str], *, size: int | None = None) -> None:
        def change(node: Any, key: str) -> tuple[Any, int]:
            old = _child(node, key)
            removed = self._sizes.of(old) if size is None else size
            if length_of(node) is None:
                return remove_member(node, key), -removed - _name_size(key, len(node) > 1)
            return remove_item(node, int(key)), -removed - (len(node) > 1)

        if keys:
            self._change(keys, change)
        else:
            self._set_root(None, len(b"null"), 0)

    def _move(self, origin: list[str], keys: list[str]) -> None:
        moved = self._find(origin)
        if origin == keys:
            return
        if keys[: len(origin)] == origin:
            raise _Failure(PatchProblem.INTO_ITSELF)
        depth = self._depth_at(moved, len(origin), len(keys))
        size = self._sizes.of(moved)
        self._remove(origin, size=size)
        self._add(keys, moved, size, depth)


def _name_size(name: str, comma: bool) -> int:
    """The size of the name of a member with its colon, and a comma if there are other members."""
    return len(encode(name)) + 1 + comma


def _keys(pointer: Any) -> list[str]:
    """The keys of a JSON Pointer."""
    if not isinstance(pointer, str) or (pointer and pointer[0] != "/"):
        raise _Failure(PatchProblem.MALFORMED)
    keys = pointer.split("/")[1:]
    if "~" in pointer:
        if _BAD_ESCAPE.search(pointer):
            raise _Failure(PatchProblem.MALFORMED)
        keys = [key.replace("~1", "/").replace("~0", "~") for key in keys]
    return keys


def _index(key: str, end: int) -> int:
    """The index that a key names, which is less than ``end``."""
    if _INDEX.fullmatch(key) is None or (index := int(key)) >= end:
        raise _Failure(PatchProblem.NO_PLACE)
    return index


def _child(node: Any, key: str) -> Any:
    """The value under a key of a container."""
    count = length_of(node)
    found = find_member(node, key) if count is None else get_item(node, _index(key, count))
    if found is MISSING:
        raise _Failure(PatchProblem.NO_PLACE)
    return found
