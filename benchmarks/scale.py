"""How cost grows: with the number of open runs, in time and in memory; what is left of ended ones; and importing."""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from core import bare_decode
from pairing import Row, ratio_of, table
from streams import fragment, open_runs

from runstream import Engine, Limits, RawEvent

__all__ = ["import_rows", "memory_rows", "open_rows"]

MANY, FEW = 100_000, 100
EVENTS = 100_000


class Streaming:
    """An engine with so many open runs, each in the middle of its message."""

    def __init__(self, count: int) -> None:
        self.engine = Engine(limits=Limits(max_open_runs=count, max_tombstones=1))
        self.engine.on_signal = lambda signal: None
        self.intake = self.engine.intake("bench")
        self.intake.feed_all(open_runs(count))
        assert self.engine.stats().open_runs == count

    def time(self, chosen: list[int]) -> float:
        """CPU seconds for an event: a fragment of each of these runs. Messages are made one by one, as they come from a
        socket, so that their own bytes are warm whatever their run is; what making them takes is not counted.
        """
        start = time.process_time()
        for _ in map(fragment, chosen):
            pass
        middle = time.process_time()
        self.intake.feed_all(map(fragment, chosen))
        return (time.process_time() - middle - (middle - start)) / len(chosen)


def open_rows(rounds: int) -> list[Row]:
    """An event with very many runs open against one with few."""
    gc.collect()
    gc.disable()  # a full collection of so many objects is a cost of its own, and not each event's
    try:
        many, few = Streaming(MANY), Streaming(FEW)
        chance = random.Random(1)
        streaming = [number * (MANY // FEW) for number in range(FEW)] * (EVENTS // FEW)
        anywhere = [chance.randrange(MANY) for _ in range(EVENTS)]
        small = list(range(FEW)) * (EVENTS // FEW)
        rows = []
        for what, chosen, aim in (
            (f"{FEW} of them stream", streaming, "≤ 1.3"),
            ("in random order (cold memory)", anywhere, "≤ 2.5"),
        ):
            ratio = ratio_of([many.time(chosen) / few.time(small) for _ in range(rounds)])
            rows.append(Row(f"an event with {MANY:,} open runs against {FEW}: {what}", aim, ratio))
        assert many.engine.stats().rejected == few.engine.stats().rejected == 0
    finally:
        gc.enable()
    return rows


def traced(make: Callable[[], Any]) -> int:
    """Bytes that the result of a function uses."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        del made
        return used
    finally:
        tracemalloc.stop()


def memory_rows(rounds: int) -> list[Row]:
    """Bytes a run: while it is open, beyond what decoding alone uses; and after it was forgotten."""
    count = 20_000
    created = [
        f'{{"event":"thread.run.created","data":{{"id":"run_{number:06d}","status":"queued","thread_id":"t"}}}}'.encode()
        for number in range(count)
    ]

    def decoded() -> Any:
        return [bare_decode(data).data for data in created]

    def kept() -> Engine:
        engine = Engine()
        engine.intake("bench").feed_all([RawEvent(data=data, at=1.0) for data in created])
        assert engine.stats().open_runs == count
        return engine

    def ended() -> Engine:
        engine = Engine(limits=Limits(max_finished_runs=1))
        engine.intake("bench").feed_all(
            RawEvent(data=data, at=1.0) for number in range(count) for data in _whole(number)
        )
        assert engine.stats().evicted_runs == count - 1
        return engine

    fixed = traced(Engine)
    engine = [float(traced(kept) - traced(decoded) - fixed) / count for _ in range(2)]
    forgotten = [float(traced(ended) - fixed) / count for _ in range(2)]
    return [
        Row("memory of an open run beyond its decoded Structs, before text (bytes)", "≤ 450", ratio_of(engine)),
        Row("memory of a forgotten run, its step's and message's ids covered (bytes)", "≤ 300", ratio_of(forgotten)),
    ]


def _whole(number: int) -> list[bytes]:
    run, step, message = f"run_{number:06d}", f"step_{number:06d}", f"msg_{number:06d}"
    ends = f'"id":"{message}","run_id":"{run}","status":"completed","content":[]'
    return [
        f'{{"event":"thread.run.in_progress","data":{{"id":"{run}","status":"in_progress"}}}}'.encode(),
        f'{{"event":"thread.run.step.completed","data":{{"id":"{step}","run_id":"{run}","status":"completed",'
        f'"type":"message_creation","step_details":{{"type":"message_creation",'
        f'"message_creation":{{"message_id":"{message}"}}}}}}}}'.encode(),
        f'{{"event":"thread.message.completed","data":{{{ends}}}}}'.encode(),
        f'{{"event":"thread.run.completed","data":{{"id":"{run}","status":"completed"}}}}'.encode(),
    ]


# What a program that does one thing has loaded when it begins: names are loaded when they are asked for, so `import
# runstream` alone would hide what the first use costs.
USES = (
    ("`from runstream import Run`", "from runstream import Run"),
    ("`from runstream import fold`", "from runstream import fold"),
    ("`RunStream` reached", "from runstream import RunStream"),
    ("`RunStream` and `WebSocketSource` reached", "from runstream import RunStream, WebSocketSource"),
    ('a stream made, `connect("ws://...")`', "from runstream import connect; connect('ws://gateway.example/runs')"),
    ('the same, `connect("https://...")`', "from runstream import connect; connect('https://gateway.example/runs')"),
)
MADE = "openai.OpenAI(api_key='none')"
DEPENDENCIES = "import msgspec, reactivex, structlog, websockets.asyncio.client"


def import_rows(rounds: int) -> list[Row]:
    """CPU time of a process that imports the library, or reaches a part of it, less that of one that does nothing.

    Every process finds the bytecode of all modules compiled, as an installed package has it.
    """
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def spent(code: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)

        ours = ["import runstream", DEPENDENCIES, *(code for _, code in USES)]
        theirs = ["import openai", f"import openai; {MADE}"]
        times: dict[str, list[float]] = {code: [] for code in (*ours, *theirs)}
        for number in range(rounds + 1):
            nothing = spent("pass")
            for code, found in times.items():
                taken = spent(code) - nothing
                if number:  # the first round writes the bytecode
                    found.append(taken)

    def row(what: str, aim: str, one: str, other: str) -> Row:
        ratio = ratio_of(left / right for left, right in zip(times[one], times[other], strict=True))
        return Row(what, aim, ratio, f"{min(times[one]) * 1e3:.0f} ms")

    module, made = theirs
    return [
        row("`import runstream` against `import openai`", "≤ 0.27", "import runstream", module),
        row("the four dependencies alone, against the same", "", DEPENDENCIES, module),
        *(row(f"{what}, against the same", "", code, module) for what, code in USES),
        row(f"the last, against a client made (`{MADE}`)", "", USES[-1][1], made),  # both have an HTTP client then
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(table([*open_rows(rounds), *memory_rows(rounds), *import_rows(rounds)]))
