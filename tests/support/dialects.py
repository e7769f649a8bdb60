"""Dialects of the tests' own: a run and its status in two words; the Assistants wire with pieces and runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import structs

from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.base import BaseDialect
from runstream.model.events import Event, MessageEvent, Reject, RunEvent, TextAppend
from runstream.model.message import Message, MessageStatus
from runstream.model.raw import RawEvent, RawItem
from runstream.model.run import Run, RunStatus
from tests.support.wire import function_call, required_action

__all__ = ["PiecesDialect", "RelativeDialect", "WordsDialect"]


class WordsDialect(BaseDialect):
    """Reads ``run_1 in_progress`` and ``run_1 requires_action call_1``.

    A ``-`` stands for the run that the source continues, else for `run_words`.
    """

    def __init__(self, *, continues: str | None = None, memory: bytes | None = None) -> None:
        super().__init__()
        self.continues = continues
        self.memory = memory

    def decode(self, raw: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if not isinstance(raw, RawEvent):
            return super().decode(raw)
        run_id, *found = raw.data.decode().split(" ")
        if not found or run_id.startswith("{"):
            return Reject(raw, "not two words")
        status, *calls = found
        if run_id == "-":
            run_id = self.continues or "run_words"
        action = required_action(*(function_call(call, "ask", "{}") for call in calls)) if calls else None
        return RunEvent(Run.from_json({"id": run_id, "status": status, "required_action": action}))


class RelativeDialect(BaseDialect):
    """Reads ``begin run_1``, ``say word`` and ``end``: only the first word names its run, so it has to be remembered.

    Each ``say`` is a message of its own, whose id has its number in the run.
    """

    def __init__(self, *, memory: bytes | None = None) -> None:
        super().__init__()
        self.run_id, self.count = json.loads(memory) if memory is not None else ("", 0)

    def dump(self) -> bytes | None:
        return json.dumps([self.run_id, self.count]).encode() if self.run_id else None

    def decode(self, raw: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if not isinstance(raw, RawEvent):
            return super().decode(raw)
        word, _, rest = raw.data.decode().partition(" ")
        if word == "begin":
            self.run_id, self.count = rest, 0
            return RunEvent(Run(id=rest, status=RunStatus.IN_PROGRESS), raw.id, created=True, name=word)
        if not self.run_id:
            return Reject(raw, "no run has begun")
        if word == "say":
            self.count += 1
            message = Message(id=f"{self.run_id}:{self.count}", role="assistant", status=MessageStatus.IN_PROGRESS)
            append = TextAppend(message.id, "text", 0, rest, raw.id, self.run_id, word)
            return MessageEvent(message, raw.id, run_id=self.run_id, created=True, name=word), append
        run_id, self.run_id = self.run_id, ""
        return RunEvent(Run(id=run_id, status=RunStatus.COMPLETED), raw.id, name=word)


class PiecesDialect(AssistantsDialect):
    """The Assistants wire with two more fields in the data: ``piece`` of a run, ``of_run`` of any object."""

    def decode(self, item: RawItem) -> Any:
        decoded: Any = super().decode(item)
        if not isinstance(item, RawEvent):
            return decoded
        fields = json.loads(item.data)
        changes = {"run_id": fields["of_run"]} if "of_run" in fields else {}
        if isinstance(decoded, RunEvent) and "piece" in fields:
            changes["piece"] = fields["piece"]
        return structs.replace(decoded, **changes) if changes else decoded
