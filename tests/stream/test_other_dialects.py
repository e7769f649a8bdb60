"""Polling and repairs of another protocol: its dialect says what a run is, and what has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runstream import (
    Answer,
    BaseDialect,
    Event,
    PollSource,
    RawEvent,
    RecordingSource,
    Reject,
    Run,
    RunCompleted,
    RunEvent,
    RunStream,
    TextDelta,
    read_recording,
    record,
)
from runstream.model.events import MessageEvent
from runstream.model.message import Message, MessageStatus
from runstream.model.raw import ConnectionEvent, RawItem
from runstream.model.run import RunStatus

STATES = {"open": RunStatus.IN_PROGRESS, "shut": RunStatus.COMPLETED}


class JobDialect(BaseDialect):
    """Decodes ``{"job": "j", "state": "open", "says": "text"}``, sent or polled: a run, and its message."""

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if not isinstance(item, RawEvent | Answer):
            return super().decode(item)
        if not item.data:
            return ()
        job = json.loads(item.data)
        if "job" not in job:
            return Reject(RawEvent(None, item.data), "no job")
        run = RunEvent(Run(id=job["job"], status=STATES[job["state"]]), name="job", piece=job["job"])
        ended = job["state"] == "shut"
        message = Message.from_json(
            {
                "id": f"{job['job']}:answer",
                "role": "assistant",
                "status": MessageStatus.COMPLETED if ended else MessageStatus.IN_PROGRESS,
                "content": [{"type": "text", "text": {"value": job.get("says", ""), "annotations": []}}],
            }
        )
        said = MessageEvent(message, run_id=job["job"])
        return (said, run) if ended else (run, said)


def facts(signals: list[Any]) -> list[str]:
    """The keys of a run's signals but progress, which may be conflated."""
    return [signal.key for signal in signals if "job_1" in signal.key and not isinstance(signal, TextDelta)]


def job(state: str, says: str = "") -> dict[str, Any]:
    return {"job": "job_1", "state": state, "says": says}


async def test_polling_ends_with_the_run_of_the_dialect(tmp_path: Path) -> None:
    """What was polled is recorded as answers, and a replay gives the same."""
    answers = iter([job("open", "He"), [job("open", "Hello")], {"note": "no job"}, job("shut", "Hello.")])
    path = tmp_path / "run.jsonl"
    source = record(PollSource(lambda: next(answers), interval=0.01), path)
    async with RunStream(source, dialect=JobDialect) as stream:
        signals = [signal async for signal in stream]
    assert next(answers, None) is None
    (state,) = stream.latest.values()
    assert (state.status, state.text) == ("completed", "Hello.")
    kinds = [type(item) for item in read_recording(path) if not isinstance(item, ConnectionEvent)]
    assert kinds == [Answer] * 4
    async with RunStream(RecordingSource(path, speed=None), dialect=JobDialect) as again:
        repeated = [signal async for signal in again]
    assert facts(repeated) == facts(signals)
    assert again.latest["job_1"].text == state.text


async def test_a_run_is_fetched_in_the_dialect_of_its_source() -> None:
    """The source ends early; what is fetched is decoded as its source's wire, though the stream has another one."""
    asked: list[str] = []

    def fetch(state: Any) -> dict[str, Any]:
        asked.append(state.run_id)
        return job("shut", "Hello.")

    async with RunStream(fetch_run=fetch) as stream:
        with stream.keep_open():
            stream.attach([json.dumps(job("open", "He")).encode()], dialect=JobDialect)
            ended = await stream.when(RunCompleted)
    assert asked == ["job_1"]
    assert ended.run_id == "job_1"
    assert stream.latest["job_1"].text == "Hello."
    assert stream.stats.repairs == 1


@pytest.mark.parametrize("found", [{"job": "job_2", "state": "shut"}, {"note": 1}], ids=["another", "nothing"])
async def test_what_is_not_of_the_run_repairs_nothing(found: dict[str, Any]) -> None:
    async with RunStream(fetch_run=lambda state: found) as stream:
        stream.attach([json.dumps(job("open")).encode()], dialect=JobDialect)
        assert [signal async for signal in stream]
    assert (stream.stats.repairs, stream.stats.failed_repairs) == (0, 1)
    assert stream.latest["job_1"].status == "in_progress"
