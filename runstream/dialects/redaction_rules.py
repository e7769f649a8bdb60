"""The rules of redaction: the keys of one wire whose texts carry its structure. All other texts are blanked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

__all__ = ["NO_RULES", "RedactionRules", "split_words"]


class RedactionRules(Struct, frozen=True, kw_only=True):
    """The keys of a wire that a redacted recording needs; see :class:`~runstream.Redaction`.

    By default, only the name of an event and its id are kept, which stand beside the data or at the top of them.

    Attributes:
        names: The names of the events (or kinds of objects) whose keys have the meaning of the wire. Of each other
            event all texts but its name and its id are blanked. ``None``: each event has keys of the wire.
        name_keys: The keys at the top that contain such a name.
        containers: The keys of objects and arrays whose keys have the meaning of the wire. Under any other key
            (metadata, parameters, documents) every text is blanked.
        open_containers: Keys of objects in which each object is a container, whatever its key.
        ids: The keys of identities, types and states: their texts are kept in containers and at the top.
        words: The keys whose texts are words of a vocabulary, with the keys of the containers in which they are kept
            (``""`` is the top); ``None`` for each container. A text with a space, or with more than 100 characters, is
            blanked nevertheless.
        counts: The keys of texts that are kept if they are a JSON object of whole numbers.
        literals: Data that are kept as they are, such as ``[DONE]``.
    """

    names: Collection[str] | None = frozenset()
    name_keys: tuple[str, ...] = ("event", "type")
    containers: frozenset[str] = frozenset()
    open_containers: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset({"id"})
    words: Mapping[str, frozenset[str] | None] = {}
    counts: frozenset[str] = frozenset()
    literals: frozenset[bytes] = frozenset()


NO_RULES: Final = RedactionRules()
"""The rules of a dialect without rules of its own."""


def split_words(words: str) -> frozenset[str]:
    """The set of the words of a text."""
    return frozenset(words.split())
