"""The runs of one AG-UI source as far as its decoder must know them, and the memory of a later decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import msgspec
from msgspec import Struct, field

from runstream.dialects.base import KnownIds
from runstream.dialects.memory_codec import MemoryCodec
from runstream.model.events import Event, RunEvent, StepEvent, Target, TextAppend
from runstream.model.surrogates import has_surrogates, join_pairs, replace_surrogates

__all__ = [
    "MAX_KEPT",
    "Finish",
    "Growing",
    "Input",
    "Memory",
    "Piece",
    "dump_memory",
    "is_whole_json",
    "load_memory",
    "next_call",
    "open_ids",
]

Path: TypeAlias = tuple[str, ...]

_MAX_STRIPPED: Final = 32
_MAX_VALUES: Final = 1024
MAX_KEPT: Final = 2**20
"""The length of a text up to which it is kept, for comparison with a snapshot (characters)."""
_NEAR: Final = 16  # values within which a repetition is searched


class Growing(Struct, eq=False, dict=True):
    """A message, a reasoning message or a call whose text grows.

    Attributes:
        id: The id of its message or step.
        wire_id: Its id on the wire.
        path: The path of its subagent.
        owner: The id of its subagent's run; ``None`` for the run itself.
        role: The role of a message.
        is_open: True until its end.
        is_closed: True once its message or step was sent as ended: it takes no further text.
        size: The length of its text (characters).
        first: The first fragment.
        last: The last fragment.
        whole: The text that a snapshot of the messages had before the end of a message, or the arguments of a call that
            it had in place of damaged ones.
        whole_at: The length of the streamed text at that place (characters).
        texts: The fragments, up to :data:`MAX_KEPT`; not in the memory of a later decoder.
        name: The name of a call.
        arguments: The fragments of the arguments of a call.
        answered: True once a call has a result.
        is_damaged: True if input that was lost may have been of it.
        is_cut: True if that was between two fragments of the arguments of a call: what follows is not their rest.
        repeats: True while a call is announced again: what is said of it then is known.
        piece: The id of the piece that announced a call last.
        needs_end: True from its start event to its end event, also after the result of a call; chunks need none.
        seen: The fragments of the arguments of a call that have ids, with their ids.
        half: The first half of a surrogate pair at the end of its text, whose other half has not come; 0 for none.
    """

    id: str
    wire_id: str
    path: Path = ()
    owner: str | None = None
    role: str = "assistant"
    is_open: bool = True
    is_closed: bool = False
    size: int = 0
    first: str = ""
    last: str = ""
    whole: str = ""
    whole_at: int = 0
    name: str | None = None
    arguments: list[str] = field(default_factory=list)
    answered: bool = False
    is_damaged: bool = False
    repeats: bool = False
    piece: str = ""
    needs_end: bool = False
    is_cut: bool = False
    seen: set[str] = field(default_factory=set)
    half: int = 0

    if TYPE_CHECKING:
        texts: ClassVar[list[str]]

    def __post_init__(self) -> None:
        self.__dict__["texts"] = []

    def take(self, fragment: str) -> None:
        """Note a fragment of a text."""
        if not self.size:
            self.first = fragment
        self.last = fragment
        if self.size < MAX_KEPT:
            self.texts.append(fragment)
        self.size += len(fragment)

    def join(self, fragment: str) -> str:
        """A fragment without lone surrogates: the first half of a pair at its end is kept for the next one."""
        if self.half:
            fragment, self.half = chr(self.half) + fragment, 0
        if not has_surrogates(fragment):
            return fragment
        fragment = join_pairs(fragment)
        if "\ud800" <= fragment[-1] <= "\udbff":
            fragment, self.half = fragment[:-1], ord(fragment[-1])
        return str(replace_surrogates(fragment))

    def take_arguments(self, fragment: str, id: str | None) -> None:
        """Note a fragment of the arguments of a call. A repetition is none: the engine drops it later, by its id.

        Args:
            fragment: The fragment.
            id: The id of its event.
        """
        if id is not None:
            count = len(self.seen)
            self.seen.add(f"{id}/{fragment}")
            if len(self.seen) == count:
                return
        self.arguments.append(fragment)

    def note_damage(self, *, behind: int = 0, cuts: bool = True) -> None:
        """Note that input of it may be lost.

        A loss before the first fragment of the arguments of a call, or behind whole ones, shows in their form: only
        then is what is left an object or a list. A loss between two fragments does not.

        Args:
            behind: The number of its fragments that came after the loss.
            cuts: False if it was no fragment of arguments.
        """
        self.is_damaged = True
        text = "".join(self.arguments[: len(self.arguments) - behind])
        if cuts and text.strip() and not is_whole_json(text):
            self.is_cut = True

    def replace(self, text: str) -> None:
        """Note a text in place of the one that was streamed."""
        self.size, self.is_damaged = 0, False
        self.texts.clear()
        self.take(text)

    @property
    def text(self) -> str | None:
        """The text that was streamed; ``None`` if it is not known any more."""
        text = "".join(self.texts)
        return text if len(text) == self.size else None

    def final_text(self) -> str:
        """The text at the end, if it is another one than was streamed; else "".

        A snapshot before the end replaces what was streamed until then, unless the message reaches that text anyway.
        """
        if not self.whole:
            return ""
        text = self.text
        if not self.size or text is None:
            return "" if self.size else self.whole
        if text.strip().startswith(self.whole.strip()):
            return ""
        return self.whole + text[self.whole_at :]

    def agrees(self, text: str) -> bool | None:
        """True if a text is the one that was streamed or a beginning of it, outer white space aside; ``None`` if the
        streamed text is not known any more, and nothing shows another one.
        """
        known, text = self.text, text.strip()
        if known is not None:
            return known.strip().startswith(text)
        return None if self.has_text(text) or text.startswith(self.first.strip()[: len(text)]) else False

    def has_text(self, text: str) -> bool:
        """True if a text is the one that was streamed, as far as its length and both ends show. Servers strip it.

        Of a text that may miss a part, one end is enough.
        """
        text = text.strip()
        if self.is_damaged:
            return 0 < self.size <= len(text) + _MAX_STRIPPED and (
                text.startswith(self.first.strip()) or text.endswith(self.last.strip())
            )
        return (
            self.size > 0
            and len(text) <= self.size <= len(text) + _MAX_STRIPPED
            and text.startswith(self.first.strip())
            and text.endswith(self.last.strip())
        )


class Finish(Struct):
    """A RUN_FINISHED that the next event may contradict.

    Attributes:
        value: The event.
        followed: True if events came after it that leave the end open, such as a snapshot of the state.
    """

    value: dict[str, Any]
    followed: bool = False


class Input(Struct):
    """What the application sent to begin a run (RunAgentInput), as far as it is needed.

    Attributes:
        run_id: Its ``runId``.
        thread_id: Its ``threadId``.
        continues: The id of the run that the application continues with it.
        tools: The names of the tools that the application offers.
        history: The ids of its messages.
        state: Its state.
        has_state: True if it has one.
        answers: The ids of the interrupts and calls that it answers.
        results: The results of calls at the end of its messages: the id of the call and its output.
        calls: The names and arguments of these calls, by their ids, as far as its messages have them.
        resumes: True if it answers something without an id.
    """

    run_id: str | None = None
    thread_id: str | None = None
    continues: str | None = None
    tools: list[str] = field(default_factory=list)
    history: set[str] = field(default_factory=set)
    state: Any = None
    has_state: bool = False
    answers: list[str] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    resumes: bool = False
    calls: dict[str, tuple[str | None, str]] = field(default_factory=dict)


class Piece(Struct, eq=False, dict=True):
    """A run of the wire: a piece of the run that the application sees.

    Attributes:
        id: Its ``runId``.
        run_id: The id of the run that it is a piece of.
        thread_id: Its ``threadId``.
        phase: ``running``; ``resumed`` instead until the first event of a later connection, and until the next event
            while a half of a surrogate pair is kept; ``finishing`` after RUN_FINISHED until that is certain;
            ``waiting`` for the application; ``ended``.
        request: What the application sent to begin it; ``None`` if that is unknown.
        messages: Its messages, by their ids on the wire; of several under one id the latest.
        reasoning: Its reasoning messages, likewise.
        calls: The calls of the run, likewise, also those of earlier pieces.
        lanes: What chunks have opened, by the owner.
        labels: The steps that are open, by owner and name.
        counts: The number of objects of a name, for the ids of steps.
        subagents: The path of each subagent.
        closed_subagents: The subagents that have ended.
        interrupts: The values of ``on_interrupt`` events since its start.
        awaited: The ids of the calls and interrupts that it waits for.
        finish: The RUN_FINISHED that is not certain yet.
        usage: The entries of ``usage`` so far.
        created_at: The time of its start (Unix seconds).
        is_first: True if it began its run.
        began: True once an event other than its start was received.
        is_finished: True once a RUN_FINISHED with its id was received.
        values: The digests of the values that it has sent (custom values, states, activities), in order.
        known: Those of an earlier connection, which are not sent again; ``None`` if all are known.
        is_complete: True if its end was a success.
        contradicted: True once an event after its end was reported.
        has_lost_beginning: True if an event that could not be read may have been the first of a message or call.
        has_lost_question: True if it may have been a question to the application.
        has_lost_call: True if it began a call of which no further event was received.
        spans: The reasonings that are open; their messages are inside.
        started: The subagents whose start was received.
        is_new: True if its run had nothing of it when it began.
        own: The ids of the messages and steps that an earlier connection has sent of it.
        is_behind_gap: True from another connection until its first event there.
        earlier: Calls that were answered, under whose ids a call grows that is the same or another one, by these ids.
    """

    id: str
    run_id: str
    thread_id: str | None = None
    phase: str = "running"
    request: Input | None = None
    messages: dict[str, Growing] = field(default_factory=dict)
    reasoning: dict[str, Growing] = field(default_factory=dict)
    calls: dict[str, Growing] = field(default_factory=dict)
    lanes: dict[str | None, tuple[Target, str]] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    subagents: dict[str, Path] = field(default_factory=dict)
    closed_subagents: set[str] = field(default_factory=set)
    interrupts: list[Any] = field(default_factory=list)
    awaited: list[str] = field(default_factory=list)
    finish: Finish | None = None
    usage: list[dict[str, Any]] = field(default_factory=list)
    created_at: int | None = None
    is_first: bool = True
    began: bool = False
    is_finished: bool = False
    values: list[int] = field(default_factory=list)
    known: list[int] | None = field(default_factory=list)
    is_complete: bool = False
    contradicted: bool = False
    has_lost_beginning: bool = False
    has_lost_question: bool = False
    has_lost_call: bool = False
    spans: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    is_new: bool = False
    own: set[str] = field(default_factory=set)
    is_behind_gap: bool = False
    earlier: dict[str, Growing] = field(default_factory=dict)

    if TYPE_CHECKING:
        # What the runs have, also from other sources; not in the memory of a later decoder.
        known_ids: ClassVar[KnownIds | None]

    def __post_init__(self) -> None:
        self.__dict__["known_ids"] = None

    def name_object(self, id: str) -> str:
        """The id of a new message or step. An id that an earlier piece of the run has, which another source has sent,
        gets the piece before it.
        """
        known = self.known_ids
        if known is None:
            return id
        other = f"{self.id}:{id}"
        if known.has_object(self.run_id, other):
            return other
        is_foreign = self.is_new and id not in self.own and known.has_object(self.run_id, id)
        return other if is_foreign else id

    def latest_call(self, id: str) -> str:
        """The id of the step of the latest call under an id, which another source has sent."""
        known, found = self.known_ids, f"call/{id}"
        while known is not None and known.has_object(self.run_id, following := next_call(found, id)):
            found = following
        return found

    def table(self, target: Target) -> dict[str, Growing]:
        """The objects whose text of this kind grows, by their ids on the wire."""
        return self.messages if target == "text" else self.calls if target == "arguments" else self.reasoning

    def repeats_value(self, digest: int) -> bool:
        """Note a value; True if an earlier connection has sent it at this place. Values have no identity.

        Args:
            digest: Its digest.
        """
        if len(self.values) < _MAX_VALUES:
            self.values.append(digest)
        if self.known is None:
            return True
        near = self.known[:_NEAR]
        if digest not in near:
            return False
        del self.known[: near.index(digest) + 1]
        return True

    def count(self, name: str) -> int:
        """Count one more object of a name."""
        found = self.counts[name] = self.counts.get(name, 0) + 1
        return found

    @property
    def has_half(self) -> bool:
        """True if a half of a surrogate pair is kept."""
        return any(found.half for table in (self.messages, self.calls, self.reasoning) for found in table.values())

    def note_damage(self, name: str | None, *, cuts: bool) -> None:
        """Note an event that could not be read: what is open may miss a part of its text.

        Args:
            name: Its type, if its bytes show one.
            cuts: True if it may have been a fragment of the arguments of a call.
        """
        for table in (self.messages, self.reasoning, self.calls):
            for found in table.values():
                if not (found.is_closed or found.answered):
                    found.note_damage(cuts=cuts)
        if name is None or name.endswith(("_START", "_CHUNK", "_CONTENT", "_ARGS")):
            self.has_lost_beginning = True
        grows = any(target == "arguments" for target, _ in self.lanes.values())
        if name == "TOOL_CALL_START" or (name == "TOOL_CALL_CHUNK" and not grows):
            self.has_lost_call = True

    def note_gap(self, event: Event | None) -> None:
        """Note that events may be lost: calls that have not ended may miss a part of their arguments.

        Args:
            event: The first event behind the gap, which was decoded; ``None`` if there is none.
        """
        if isinstance(event, RunEvent):
            return  # it has begun behind the gap
        for call in self.calls.values():
            if call.is_closed or call.answered:
                continue
            if isinstance(event, StepEvent) and event.created and event.data.id == call.id:
                # It has begun behind the gap; without its start event, what came before is lost.
                call.is_damaged = call.is_damaged or not event.name.endswith("START")
                continue
            grows = isinstance(event, TextAppend) and event.target == "arguments" and event.object_id == call.id
            call.note_damage(behind=int(grows))
        self.has_lost_beginning = True

    def unanswered(self) -> list[Growing]:
        """The calls that this piece announced and that have no result, in order."""
        return [call for call in self.calls.values() if not call.answered and call.piece == self.id]


def next_call(found: str, id: str) -> str:
    """The id of the step of one more call under an id.

    Args:
        found: The id of the step of the latest one.
        id: The id of the calls on the wire.
    """
    first = f"call/{id}"
    number = found.removeprefix(first).removeprefix("~")
    return f"{first}~{int(number) + 1 if number else 2}"


def is_whole_json(text: str) -> bool:
    """True if a text is an object, an array or a text of JSON, which nothing continues."""
    text = text.rstrip()
    if not text.endswith(("}", "]", '"')):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


class Memory(Struct, array_like=True):
    """What a later decoder of the source must know.

    Attributes:
        pieces: The pieces that have not ended.
        current: The id of the piece of the latest event.
        runs: The run of each piece, by its ``runId``.
    """

    pieces: list[Piece]
    current: str | None
    runs: dict[str, str]


_codec: Final = MemoryCodec(Memory)


def dump_memory(memory: Memory) -> bytes:
    """The memory of a decoder; empty if there is nothing to remember."""
    return _codec.encode(memory) if memory.pieces or memory.runs else b""


def load_memory(memory: bytes) -> Memory | None:
    """A memory; ``None`` if it has another form."""
    try:
        return _codec.decode(memory)
    except msgspec.MsgspecError:
        return None


def open_ids(piece: Piece) -> list[str]:
    """The ids of what is open, except for what chunks have opened."""
    lanes = set(piece.lanes.values())
    tables = (("text", piece.messages), ("arguments", piece.calls), ("reasoning", piece.reasoning))
    found = [
        id
        for target, table in tables
        for id, each in table.items()
        if (each.is_open or each.needs_end) and (target, id) not in lanes and (each.piece == piece.id)
    ]
    found += [key.partition("\n")[2] for key in piece.labels]
    found += sorted(piece.spans)
    return found + [id for id in piece.subagents if id not in piece.closed_subagents]
