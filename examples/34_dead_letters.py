"""A worker with a dead-letter queue: a bill that can't be sent after three attempts is put aside, and sent later.

The queue is a table in SQLite, one row for each key, so that a repeated delivery makes no second row.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3

import runstream
from runstream import Retry, RunCompleted, SubscriberFailed, demo, read_recording, serve_recording
from runstream.testing import script


class Billing:
    """The service that receives the bills; it refuses one customer until it is repaired."""

    def __init__(self) -> None:
        self.refused = "run_2"
        self.sent: dict[str, int] = {}  # by key: a bill that arrives twice counts once

    async def send(self, key: str, run_id: str, tokens: int) -> None:
        if run_id == self.refused:
            raise ConnectionError("no answer")
        self.sent[key] = tokens


class DeadLetters:
    """Bills that could not be sent, by the key of their signal."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("create table if not exists letters (key text primary key, letter text)")

    def put(self, key: str, letter: dict[str, object]) -> None:
        with self._database:
            self._database.execute("insert or replace into letters values (?, ?)", (key, json.dumps(letter)))

    def letters(self) -> list[tuple[str, dict[str, object]]]:
        return [(key, json.loads(letter)) for key, letter in self._database.execute("select * from letters")]

    def delete(self, key: str) -> None:
        with self._database:
            self._database.execute("delete from letters where key = ?", (key,))

    def close(self) -> None:
        self._database.close()


def bill(signal: RunCompleted) -> tuple[str, int]:
    """What is sent: the id of the run, and its tokens."""
    usage = signal.run.usage
    return signal.run_id, (usage.total_tokens or 0) if usage else 0


async def work(url: str, billing: Billing, queue: DeadLetters) -> None:
    async def handle(signal: RunCompleted) -> None:
        await billing.send(signal.key, *bill(signal))

    def put_aside(failure: SubscriberFailed) -> None:
        if isinstance(failure.value, RunCompleted):
            run_id, tokens = bill(failure.value)
            letter = {"run": run_id, "tokens": tokens, "error": type(failure.error).__name__}
            queue.put(failure.value.key, letter)
            print(f"put aside after {failure.attempts} attempts: {failure.value.key}")

    async with runstream.connect(url) as stream:
        # Other runs are billed while this one waits for its next attempt.
        stream.on(RunCompleted, handle, retry=Retry(retries=2, initial=0.01), timeout=5, on_failed=put_aside)
        await stream.results()


async def send_again(billing: Billing, queue: DeadLetters) -> None:
    """Run this when the service is repaired, or from time to time."""
    for key, letter in queue.letters():
        await billing.send(key, str(letter["run"]), int(str(letter["tokens"])))
        queue.delete(key)
        print(f"sent later: {key}")


async def main() -> None:
    logging.getLogger("runstream").setLevel(logging.CRITICAL)  # it logs each failure too
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    runs = [script(f"run_{number}").start().say("Done.").end(usage=usage).raw_events() for number in (1, 2, 3)]
    billing, queue = Billing(), DeadLetters(":memory:")
    async with serve_recording(demo.interleave([*runs, list(read_recording(demo.load("text.sse")))])) as server:
        await work(server.url, billing, queue)
    print(f"{len(billing.sent)} bills sent, {len(queue.letters())} put aside")
    billing.refused = ""
    await send_again(billing, queue)
    print(f"{len(billing.sent)} bills sent, {len(queue.letters())} put aside")
    queue.close()


if __name__ == "__main__":
    asyncio.run(main())
