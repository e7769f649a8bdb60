"""A protocol of your own: its dialect is registered under a name, and two sources of one stream use two protocols.

The wire of this example has lines such as ``job-1 started``. A second stream that goes on with a job does not name it,
so that the application says which run it continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from runstream import (
    ActionRequired,
    BaseDialect,
    Event,
    RawEvent,
    RawItem,
    Reject,
    Run,
    RunEvent,
    RunStream,
    demo,
    dialect_names,
    fold_sources,
    read_recording,
    register_dialect,
)

STATUSES = {"started": "in_progress", "asks": "requires_action", "resumed": "in_progress", "done": "completed"}


class JobDialect(BaseDialect):
    """Decodes lines of a job, a word, and the id of a question; ``-`` is the job that the source continues."""

    def __init__(self, *, continues: str | None = None) -> None:
        super().__init__()
        self.continues = continues

    def decode(self, raw: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if not isinstance(raw, RawEvent):
            return super().decode(raw)  # a fact beside the stream, such as a connection that was made
        job, word, *question = raw.data.decode(errors="replace").split()
        job = self.continues or job if job == "-" else job
        if word not in STATUSES:
            return Reject(raw, f"{word!r} is no word of this protocol")
        run: dict[str, Any] = {"id": job, "status": STATUSES[word]}
        if question:
            call = {"id": question[0], "type": "function", "function": {"name": "ask", "arguments": "{}"}}
            run["required_action"] = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
        return RunEvent(Run.from_json(run))


ASKED = [b"job-1 started", b"job-1 asks question-1"]
ANSWERED = [b"- resumed", b"- done"]


def answer(signal: ActionRequired) -> Iterator[bytes]:
    """What it returns continues the run of the signal, in the dialect in which that run came."""
    print(f"answering {signal.calls[0].id} of {signal.run_id}")
    return iter(ANSWERED)


async def main() -> None:
    register_dialect("jobs", JobDialect)
    print(f"dialects: {', '.join(dialect_names())}")

    async with RunStream(read_recording(demo.load("text.sse"))) as stream:
        stream.attach(ASKED, dialect="jobs")
        stream.on(ActionRequired, answer)
        with stream.keep_open():
            await stream.result("job-1")
            try:
                stream.attach(ANSWERED, continues="job-1")
            except ValueError as error:
                print(f"refused: {error}")
        for run in await stream.results():
            print(f"{run.id} {run.status}")

    # The same from recordings: the second one says itself which run it continues.
    folded = fold_sources([("asked", ASKED), ("answered", ANSWERED, {"continues": "job-1"})], dialect="jobs")
    (state,) = folded.runs
    print(f"folded: {state.run_id} {state.status}")

    try:
        RunStream(dialect="job")
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    asyncio.run(main())
