"""The contract of a dialect: the decoder of one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, cast

from runstream.dialects.redaction_rules import NO_RULES, RedactionRules
from runstream.model.events import Event, Reject
from runstream.model.raw import Malformed, Oversized, RawEvent, RawItem
from runstream.model.raw_events import RawEvents
from runstream.model.text_fragments import TextFragments

__all__ = ["BaseDialect", "Dialect", "FragmentDecoder", "KnownIds", "fragment_decoder"]


class KnownIds(NamedTuple):
    """Looks up ids in the runs of a scope, for servers that use the ids of messages and steps again.

    Attributes:
        has_piece: Returns True if a run, the first argument, has a piece of the id that is the second one.
        has_object: Returns True if a run has a message or step of this id.
    """

    has_piece: Callable[[str, str], bool]
    has_object: Callable[[str, str], bool]


class Dialect(Protocol):
    """The decoder of one protocol; it keeps state, and each source has one of its own.

    The engine passes every item of the source to :meth:`decode`, in order, so that a dialect that wraps another one
    sees them all. A change of the connection is passed after the engine has processed it. :class:`BaseDialect` has all
    methods, for a dialect that needs only some of them.

    Attributes:
        connection: The number of the source's connection, from 0; the engine increments it.
    """

    connection: int

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True if a raw event is certainly one of this wire, so that ``"auto"`` may decode its source with it.

        Never raises. Its work is bounded: it reads the JSON of the event once at most. It is called with the first
        raw events of a source until one dialect recognises one, and with the data of an :class:`~runstream.Answer`.
        A dialect without this method, or whose factory is a function without this attribute, is never taken.
        """

    @property
    def expects_idle(self) -> bool:
        """True while a silence of its source would settle an event that the dialect keeps back.

        The source then delivers one :class:`~runstream.Idle` after its grace time.
        """

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one item. Never raises on input.

        All events of one raw event have the same ``id``: they are kept, or skipped as a duplicate, together. A fragment
        that is appended to one text is best returned as a :class:`~runstream.TextAppend`.

        Args:
            item: Mostly a :class:`~runstream.RawEvent`. Any other item is a fact beside the stream; a dialect that does
                not need it passes it to :meth:`BaseDialect.decode`.
        """

    def end(self, clean: bool) -> Sequence[Event | Reject]:
        """The last events, when the source ends; before its open runs are paused or interrupted.

        Args:
            clean: True if the source ended by itself, False if it failed or was removed.
        """

    def forget(self, run_id: str) -> None:
        """Note that a run was evicted: nothing of it needs to be remembered."""

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place from which a server is asked to go on, if it is another one than the transport's last event id.

        Args:
            run_id: The run that is to go on; ``None`` for the last event of the source.
        """

    def dump(self) -> bytes | None:
        """The memory that a later decoder of this source needs to go on (``memory`` of the factory); ``None`` for none.

        It is stored in one step with the states.
        """

    @property
    def redaction(self) -> RedactionRules:
        """The keys whose texts a redacted recording keeps, so that it decodes to the same events with blank texts."""


class FragmentDecoder(Dialect, Protocol):
    """A dialect that also decodes many fragments of one text at once, which saves time.

    The engine calls :meth:`decode_fragments` for raw events that arrived together, and :meth:`Dialect.decode` for all
    others. A subclass that overrides :meth:`~Dialect.decode` alone sees every raw event: see :func:`fragment_decoder`.
    """

    def decode_fragments(self, events: RawEvents, first: int) -> TextFragments | None:
        """Decode raw events if each of them is one more fragment of the text that grew last. It changes nothing.

        Args:
            events: The raw events.
            first: The index of the first one to decode; those before it were decoded.

        Returns:
            The fragments, as :meth:`Dialect.decode` would return them one by one; ``None`` if that is not certain.
        """

    def may_continue(self, raw: RawEvent) -> bool:
        """False if a raw event is certainly no further fragment of the text that grew last. It takes little time."""

    def take_fragments(self, fragments: TextFragments, count: int) -> None:
        """Note that fragments were processed, as if :meth:`Dialect.decode` had returned them.

        Args:
            fragments: The last result of :meth:`decode_fragments`.
            count: The number of its fragments that were processed, from the first one on; at least 1.
        """


def fragment_decoder(dialect: Dialect) -> FragmentDecoder | None:
    """The dialect itself if it decodes many fragments at once; ``None`` if it does not.

    A subclass that decodes in another way, and does not say how many fragments are decoded, sees every raw event.
    """
    for kind in type(dialect).__mro__:
        if "decode_fragments" in vars(kind):
            return cast(FragmentDecoder, dialect)
        if "decode" in vars(kind):
            return None
    return None


class BaseDialect:
    """A dialect that needs no facts beside the stream, and has no last events, memory and cursor: a base for others.

    A subclass defines :meth:`decode` for raw events, and passes the other items on::

        def decode(self, item):
            if not isinstance(item, RawEvent):
                return super().decode(item)
            ...
    """

    __slots__ = ("connection",)

    redaction: ClassVar[RedactionRules] = NO_RULES

    @property
    def violations(self) -> Mapping[str, int]:
        """The number of violations of each rule of the protocol, by its name; for :attr:`Stats.violations`."""
        return {}

    def __init__(self) -> None:
        self.connection = 0

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """Nothing is certainly of this wire."""
        return False

    @property
    def expects_idle(self) -> bool:
        """No event is kept back."""
        return False

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """A reject for an item that could not become a raw event; nothing for every other one.

        The reject may concern each open object: what could not be read is unknown.
        """
        if isinstance(item, Malformed):
            return Reject(RawEvent(item.event, item.data, line=item.line), item.reason, object_ids=None)
        if isinstance(item, Oversized):
            return Reject(RawEvent(item.event, line=item.line), item.reason, object_ids=None)
        return ()

    def end(self, clean: bool) -> Sequence[Event | Reject]:
        """No last events."""
        return ()

    def forget(self, run_id: str) -> None:
        """Nothing is remembered of runs."""

    def note_gap(self, run_id: str | None, event: Event | None) -> None:
        """Note that events of a run may be lost; nothing of it was made from several events.

        The engine calls it where it marks the open messages and steps of the run as partial, except for rejects.

        Args:
            run_id: The run; ``None`` for each run of the source.
            event: The first event behind the gap, which was decoded; ``None`` if there is none.
        """

    def cursor(self, run_id: str | None = None) -> str | None:
        """The last event id of the transport is the place."""
        return None

    def dump(self) -> bytes | None:
        """Nothing needs to be remembered."""
        return None
