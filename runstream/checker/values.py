"""Values of a wire, read without any assumption, and what a checker remembers of texts and objects: bounded."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, TypeVar

from runstream.dialects.json_message import parse_json

__all__ = ["Growth", "Table", "absent", "as_list", "as_map", "as_text", "count_of", "has_json"]

_MAX_OBJECTS: Final = 4096

V = TypeVar("V")


def as_text(value: object) -> str | None:
    """The value if it is a text that is not empty."""
    return value if isinstance(value, str) and value else None


def as_map(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[dict[str, Any]]:
    """The objects in a value that is a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def count_of(value: object) -> int | None:
    """The value if it is a whole number; ``None`` for a fraction, a text or a boolean."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def absent(value: dict[str, Any], names: Iterable[str]) -> list[str]:
    """The names of the fields that an object lacks."""
    return [name for name in names if name not in value]


def has_json(text: str) -> bool:
    """True if a text is one JSON value."""
    try:
        parse_json(text.encode(errors="replace"))
    except (ValueError, RecursionError):
        return False
    return True


class Table(dict[Any, V]):
    """A dictionary of the latest 4,096 objects: a new one evicts the oldest."""

    def __setitem__(self, key: Any, value: V) -> None:
        if key not in self and len(self) >= _MAX_OBJECTS:
            del self[next(iter(self))]
        super().__setitem__(key, value)


class Growth:
    """A text that grows by fragments: its length and digest, and no character of it.

    Attributes:
        size: The number of its characters.
        fragments: The number of its fragments.
        is_done: True once the server has sent the whole text.
    """

    __slots__ = ("_digest", "fragments", "is_done", "size")

    def __init__(self) -> None:
        self.size = 0
        self.fragments = 0
        self.is_done = False
        self._digest = blake2b(digest_size=16)

    def add(self, fragment: str) -> None:
        """Append a fragment."""
        self.size += len(fragment)
        self.fragments += 1
        self._digest.update(fragment.encode(errors="surrogatepass"))

    def differs_from(self, whole: str) -> bool:
        """True if the fragments do not make up a whole text."""
        if len(whole) != self.size:
            return True
        return blake2b(whole.encode(errors="surrogatepass"), digest_size=16).digest() != self.digest

    @property
    def digest(self) -> bytes:
        """The digest of the fragments."""
        return self._digest.digest()

    def difference(self, whole: str) -> str:
        """The sizes of both texts."""
        return f"{len(whole)} characters, {self.size} in {self.fragments} fragments"
