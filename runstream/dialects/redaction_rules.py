"""The rules of redaction: the keys of one wire whose texts carry its structure. All other texts are blanked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

__all__ = ["NO_RULES", "RedactionRules", "split_words"]


class RedactionRules(Struct, frozen=True, kw_only=True):
    """The keys of a wire that a redacted recording needs; see :class:`~runstream.Redaction`.

    By default only the name of an event and its id are kept, which stand beside the data or at the top of them.

    Attributes:
        names: The names of the events (or kinds of objects) whose keys have the meaning of the wire. All texts of
            another event are blanked. ``None``: each event has keys of the wire.
        name_keys: The keys at the top that contain such a name, if no name stands beside the data.
        envelope: The keys of the name and of the event in a frame around the event; ``None`` if the wire has no frame.
        unnamed: The keys of a message that has no name and is known nevertheless: it has no other keys.
        containers: The keys of objects and arrays whose keys have the meaning of the wire. Under any other key
            (metadata, parameters, documents) every text is blanked.
        lists_in: The keys of arrays that are containers in these containers alone (``""`` is the top).
        open_containers: The keys of objects in which each object is a container, whatever its key.
        narrow: The keys of values of an application, with the keys in each whose texts are kept if they are words, and
            which may be narrow themselves. All other texts in such a value are blanked.
        ids: The keys of identities, types and states: their texts are kept at the top and in containers.
        pointers: The keys of JSON Pointers (RFC 6901): their texts are kept in containers if each part is a word.
        id_lists: The keys of lists of identities: their texts are kept if they are words.
        words: The keys whose texts are words of a vocabulary, with the keys of the containers in which they are kept
            (``""`` is the top); ``None`` for all. A text with a space or with more than 100 characters is blanked.
        counts: The keys of texts that are kept if they are a JSON object of whole numbers, each after the key of the
            object that contains it.
        values: The keys of values that are content as a whole, whatever their shape, such as arguments and outputs:
            their numbers and booleans are blanked too.
        literals: Data, or texts in the place of an event, that are kept as they are, such as ``[DONE]``.
    """

    names: Collection[str] | None = None
    name_keys: tuple[str, ...] = ("type",)
    envelope: tuple[str, str] | None = None
    unnamed: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()
    lists_in: Mapping[str, frozenset[str]] = MappingProxyType({})
    open_containers: frozenset[str] = frozenset()
    narrow: Mapping[str, frozenset[str]] = MappingProxyType({})
    ids: frozenset[str] = frozenset({"id"})
    pointers: frozenset[str] = frozenset()
    id_lists: frozenset[str] = frozenset()
    words: Mapping[str, frozenset[str] | None] = MappingProxyType({"event": None, "type": None})
    counts: frozenset[tuple[str, str]] = frozenset()
    values: frozenset[str] = frozenset({"arguments", "output"})
    literals: frozenset[bytes] = frozenset()


NO_RULES: Final = RedactionRules()
"""The rules of a dialect without rules of its own."""


def split_words(words: str) -> frozenset[str]:
    """The set of the words of a text."""
    return frozenset(words.split())
