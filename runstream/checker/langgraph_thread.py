"""The checker of LangGraph's thread protocol: an event stream of a thread, or the frames of its WebSocket."""

from __future__ import annotations

from typing import Any, Final

from runstream.checker.findings import Findings, clip_name
from runstream.checker.protocol import Framing, Message, ProtocolChecker
from runstream.checker.rules import breaks, note, rule_table
from runstream.checker.values import Growth, Table, absent, as_map, as_text, count_of
from runstream.dialects.redaction_rules import split_words

__all__ = ["LANGGRAPH_THREAD_RULES", "LangGraphThreadChecker"]

LANGGRAPH_THREAD_RULES: Final = rule_table(
    "langgraph-thread",
    (
        breaks("event_form", "event", "An event has type, method, seq, event_id and params."),
        note("known_method", "event", "A method that the protocol lacks is unknown to most readers."),
        breaks("event_name", "event", "Over server-sent events, `event:` is the method and `id:` the seq."),
        note("joined_stream", "event", "A stream that begins within a run does not name it."),
        note("command_refused", "command", "An error frame answers a command; it is no end of a run."),
        breaks("seq_growth", "number", "The numbers of a connection grow."),
        note("seq_gap", "number", "The numbers have gaps; a reader can't see from them that an event was lost."),
        breaks("event_id_once", "number", "An event has an event_id of its own."),
        breaks("lifecycle_order", "lifecycle", "A run is running before it ends, and ends once."),
        breaks("terminal_event", "lifecycle", "A run has an end on its stream."),
        note("interrupted_without_input", "lifecycle", "`interrupted` without `input.requested` is a cancelled run."),
        note("late_event", "lifecycle", "Values and requests for input come after the end of their run."),
        breaks("message_open", "message", "A block belongs to a message that was started."),
        breaks("message_finish", "message", "A message is finished before its run is completed."),
        note("messages_overlap", "message", "Two open messages of one namespace: their blocks can't be assigned."),
        breaks("block_open", "block", "A delta or finish of a block comes while it is open."),
        breaks("block_finish", "block", "A block is finished before its message."),
        breaks("block_whole", "block", "A whole block is equal to its deltas."),
    ),
)

_METHODS: Final = split_words(
    "lifecycle messages input.requested values updates tools custom tasks checkpoints resume_gap"
)
_ENDS: Final = frozenset({"completed", "failed", "interrupted"})


class _OpenMessage:
    """A started message: its blocks that are open, by index."""

    __slots__ = ("blocks", "id")

    def __init__(self, id: str) -> None:
        self.id = id
        self.blocks: Table[Growth] = Table()


class LangGraphThreadChecker(ProtocolChecker):
    """Checks the rules of LangGraph's thread protocol.

    Args:
        findings: Receives the violations.
        framing: How the events were delivered.
    """

    rules = LANGGRAPH_THREAD_RULES

    def __init__(self, findings: Findings, framing: Framing) -> None:
        super().__init__(findings, framing)
        self._seq: int | None = None
        self._event_ids: Table[bool] = Table()
        self._run = ""  # the last event of the root's lifecycle
        self._asked = False
        self._has_events = False
        self._messages: Table[list[_OpenMessage]] = Table()
        self._mixed: Table[bool] = Table()  # the namespaces with several open messages

    def message(self, message: Message) -> None:
        """Check one message."""
        value = message.value
        if not isinstance(value, dict):
            return
        kind = value.get("type")
        if kind == "success":
            return
        if kind == "error":
            self.violate("command_refused")
            return
        method = as_text(value.get("method"))
        if kind != "event" or method is None or absent(value, ("seq", "event_id", "params")):
            missing = absent(value, ("type", "method", "seq", "event_id", "params"))
            self.violate("event_form", ", ".join(missing) or "the type is not `event`")
        if method is None:
            return
        self._check_numbers(message, method, value)
        if method not in _METHODS:
            self.violate("known_method", clip_name(method))
            return
        if not self._has_events:
            self._has_events = True
            if method != "lifecycle":
                self.is_joined = True
                self.violate("joined_stream", clip_name(method))
        params = as_map(value.get("params"))
        namespace = params.get("namespace")
        path = tuple(map(str, namespace)) if isinstance(namespace, list) else ()
        data = as_map(params.get("data"))
        if method == "lifecycle":
            if not path:
                self._lifecycle(as_text(data.get("event")) or "")
        elif method == "messages":
            self._message(path, data)
        elif method in ("input.requested", "values") and not path:
            self._asked = self._asked or method == "input.requested"
            if self._run in _ENDS:
                self.violate("late_event", f"{method} after {self._run}")

    def end(self) -> None:
        """Check that no run is left open."""
        if self._run and self._run not in _ENDS:
            self.violate("terminal_event", clip_name(self._run))

    def _check_numbers(self, message: Message, method: str, value: dict[str, Any]) -> None:
        seq, event_id = count_of(value.get("seq")), as_text(value.get("event_id"))
        if self.framing == "sse":
            if message.name != method:
                self.violate("event_name", "no `event:`" if not message.name else "`event:` is another one")
            elif message.raw.id is not None and message.raw.id != str(seq):
                self.violate("event_name", "`id:` is another one")
        if seq is not None:
            if self._seq is not None and seq <= self._seq:
                self.violate("seq_growth", f"{seq} after {self._seq}")
            elif self._seq is not None and seq > self._seq + 1:
                self.violate("seq_gap", f"{seq} after {self._seq}")
            self._seq = seq
        if event_id is not None:
            if event_id in self._event_ids:
                self.violate("event_id_once", object_id=event_id)
            self._event_ids[event_id] = True

    def _lifecycle(self, event: str) -> None:
        before = self._run
        if event in ("started", "running"):
            if before and before not in _ENDS and before != "started":
                self.violate("lifecycle_order", f"{event} after {before}")
            self._asked = False
            self._messages.clear()
            self._mixed.clear()
        elif event in _ENDS:
            if before in _ENDS:
                self.violate("lifecycle_order", f"{event} after {before}")
            if event == "interrupted" and not self._asked:
                self.violate("interrupted_without_input")
            if event == "completed":
                for messages in self._messages.values():
                    for each in messages:
                        self.violate("message_finish", object_id=each.id)
        else:
            self.violate("lifecycle_order", f"{clip_name(event)} is no event of a lifecycle")
            return
        self._run = event

    def _message(self, path: tuple[str, ...], data: dict[str, Any]) -> None:
        event = as_text(data.get("event")) or ""
        messages = self._messages.get(path)
        if messages is None:
            messages = self._messages[path] = []
        if event == "message-start":
            if messages:
                self.violate("messages_overlap", f"{len(messages)} open", data.get("id"))
                self._mixed[path] = True
            if len(messages) < 64:
                messages.append(_OpenMessage(as_text(data.get("id")) or ""))
            return
        if not messages:
            self.violate("message_open", clip_name(event))
            return
        # Of two open messages the events can't be assigned: nothing more is checked until both are finished.
        current = None if path in self._mixed else messages[-1]
        if event == "message-finish":
            if current is not None:
                for index in current.blocks:
                    self.violate("block_finish", f"block {index}", current.id)
            messages.pop()
            if not messages:
                self._mixed.pop(path, None)
        elif current is not None:
            self._block(current, event, data)

    def _block(self, current: _OpenMessage, event: str, data: dict[str, Any]) -> None:
        index = count_of(data.get("index")) or 0
        growth = current.blocks.get(index)
        if event == "content-block-start":
            if growth is not None:
                self.violate("block_open", f"block {index} is started again", current.id)
            growth = current.blocks[index] = Growth()
            growth.add(_text_of(as_map(data.get("content"))) or "")
        elif event in ("content-block-delta", "content-block-finish"):
            if growth is None:
                self.violate("block_open", f"block {index}", current.id)
            elif event == "content-block-delta":
                delta = as_map(data.get("delta"))
                growth.add(_text_of(delta) or "")
            else:
                whole = _text_of(as_map(data.get("content")))
                if whole is not None and growth.size and growth.differs_from(whole):
                    self.violate("block_whole", f"block {index}: {growth.difference(whole)}", current.id)
                del current.blocks[index]


def _text_of(block: dict[str, Any]) -> str | None:
    """The text, reasoning or arguments of a block or a delta."""
    for name in ("text", "reasoning", "args"):
        if isinstance(value := block.get(name), str):
            return value
    return None
