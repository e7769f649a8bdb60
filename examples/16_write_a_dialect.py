"""A dialect for a small protocol of its own, complete: text, a tool call, a question, an end, and what can go wrong.

The page docs/dialects.md explains it step by step. The protocol sends JSON lines: ``do`` says what happened, ``job``
names the run, ``n`` counts the lines of the job. A job that waits is continued by another job, which does not name it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runstream import (
    BaseDialect,
    CustomEvent,
    Event,
    Message,
    MessageEvent,
    MessageStatus,
    RawEvent,
    RawItem,
    Reject,
    Run,
    RunEvent,
    RunStatus,
    RunStep,
    StepEvent,
    StepStatus,
    TextAppend,
    UnknownEvent,
    fold_sources,
    register_dialect,
)
from runstream.model import ActionCall, CallsAction, FunctionCall, FunctionToolCall, ToolCallsDetails


class Line(msgspec.Struct):
    """One line of the protocol."""

    do: str
    job: str
    n: int
    text: str = ""
    call: str = ""
    name: str = ""


class DeskDialect(BaseDialect):
    """Decodes the lines of one source."""

    def __init__(self, *, continues: str | None = None) -> None:
        super().__init__()
        self.continues = continues  # the run that the first job of the source continues
        self.runs: dict[str, str] = {}  # the run of each job
        self.answered: str | None = None  # the job that has said its last word, if no error followed yet

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if not isinstance(item, RawEvent):
            return super().decode(item)  # connections, and input that could not be read
        try:
            line = msgspec.json.decode(item.data, type=Line)
        except msgspec.MsgspecError as error:
            return Reject(item, str(error), object_ids=None)  # it may concern each open object of the source
        if line.job not in self.runs:
            self.runs[line.job], self.continues = self.continues or line.job, None
        run = self.runs[line.job]
        id = f"{line.job}/{line.n}"  # the identity of the line: numbers count within a job
        message = f"{line.job}:answer"
        match line.do:
            case "start":
                return RunEvent(
                    Run(id=run, status=RunStatus.IN_PROGRESS), id, created=run == line.job, name="start", piece=line.job
                )
            case "say":
                return TextAppend(message, "text", 0, line.text, id, run, "say")
            case "said":
                return MessageEvent(
                    Message(id=message, status=MessageStatus.COMPLETED, role="assistant"), id, run_id=run
                )
            case "call":
                call = FunctionToolCall(id=line.call, function=FunctionCall(name=line.name, arguments=line.text))
                step = RunStep(
                    id=f"step:{line.call}",
                    type="tool_calls",
                    status=StepStatus.COMPLETED,
                    step_details=ToolCallsDetails(tool_calls=(call,)),
                )
                return StepEvent(step, id, run_id=run, name="call")
            case "wait":
                action = CallsAction(
                    calls=(ActionCall(id=line.call, kind="function", name=line.name, arguments=line.text),)
                )
                waiting = Run(id=run, status=RunStatus.REQUIRES_ACTION, required_action=action)
                return RunEvent(waiting, id, name="wait", piece=line.job)
            case "end":
                # An error may follow the end, so it is delayed until the source says what comes next.
                self.answered = line.job
                return ()
            case "error":
                self.answered = None
                return RunEvent(Run(id=run, status=RunStatus.FAILED), id, name="error", piece=line.job)
            case "note":
                return CustomEvent(line.text, id, run_id=run, name="note")
        return UnknownEvent(item.data, id, run_id=run, name=line.do)

    def end(self, clean: bool) -> Sequence[Event]:
        """The source has ended: what was delayed is certain now, unless the stream was cut."""
        if self.answered is None or not clean:
            return ()
        return (
            RunEvent(Run(id=self.runs[self.answered], status=RunStatus.COMPLETED), name="end", piece=self.answered),
        )

    def forget(self, run_id: str) -> None:
        self.runs = {job: run for job, run in self.runs.items() if run != run_id}


ASKED = b"""\
{"do": "start", "job": "j1", "n": 0}
{"do": "note", "job": "j1", "n": 1, "text": "the desk is open"}
{"do": "call", "job": "j1", "n": 2, "call": "c1", "name": "get_room", "text": "{\\"seats\\": 4}"}
{"do": "wait", "job": "j1", "n": 3, "call": "c1", "name": "get_room", "text": "{\\"seats\\": 4}"}""".splitlines()
ANSWERED = b"""\
{"do": "start", "job": "j2", "n": 0}
{"do": "say", "job": "j2", "n": 1, "text": "Room "}
{"do": "say", "job": "j2", "n": 2, "text": "7."}
{"do": "say", "job": "j2", "n": 2, "text": "7."}
{"do": "said", "job": "j2", "n": 3}
{"do": "hum", "job": "j2", "n": 4}
not a line
{"do": "end", "job": "j2", "n": 5}""".splitlines()


def main() -> None:
    register_dialect("desk", DeskDialect)
    folded = fold_sources([("asked", ASKED), ("answered", ANSWERED, {"continues": "j1"})], dialect="desk")
    for signal in folded.signals:
        print(signal.key if hasattr(signal, "run_id") else signal.type)
    (state,) = folded.runs
    print(f"{state.run_id} {state.status}: {state.text}")
    print(f"jobs: {', '.join(state.pieces)}; rejects: {len(folded.rejects)}; repeated: {folded.stats.duplicates}")


if __name__ == "__main__":
    main()
