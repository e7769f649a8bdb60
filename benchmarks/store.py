"""What a state store costs: time for each put by size of the state, and for each event of a whole stream.

Run: ``python benchmarks/store.py``. Best of several rounds; the file is in a temporary directory.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runstream import Engine, MemoryStore, RawEvent, SqliteStore, StateStore, StoredRun, decode_state, encode_state
from runstream.testing import Script


def run_events(messages: int, characters: int) -> list[RawEvent]:
    """A run that says so much, in fragments of five characters."""
    script = Script()
    for _ in range(messages):
        script.say("word " * (characters // 5))
    return script.raw_events(ids=True, enveloped=True)


def best(call: Callable[[], object], times: int, rounds: int = 5) -> float:
    """Microseconds for a call, in the best round."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            call()
        found.append(time.perf_counter() - began)
    return min(found) / times * 1e6


def sizes(path: Path) -> None:
    """Puts of states of several sizes."""
    columns = ("bytes", "encode", "decode", "first put", "put again", "a key")
    print(f"{'state':>28}" + "".join(f"  {name:>9}" for name in columns) + "   (us)")
    with SqliteStore(path) as store:
        for messages, characters in ((1, 200), (1, 5_000), (10, 1_000), (100, 1_000)):
            engine = Engine()
            engine.intake("server").feed_all(run_events(messages, characters))
            (state,) = engine.states()
            run = StoredRun(scope="", run_id=state.run_id, state=state)
            data = encode_state(state)
            numbers = iter(range(10**9))
            # What was finished at the last put is not encoded again.
            fresh = iter([StoredRun(scope="", run_id=state.run_id, state=decode_state(data)) for _ in range(100)])
            print(
                f"{messages:>4} messages of {characters:>6,} ch.  {len(data):>9,}  "
                f"{best(lambda: encode_state(state), 20):>9.0f}  {best(lambda: decode_state(data), 20):>9.0f}  "  # noqa: B023
                f"{best(lambda: store.put([next(fresh)]), 20):>9.0f}  "  # noqa: B023
                f"{best(lambda: store.put([run]), 50):>9.0f}  "  # noqa: B023
                f"{best(lambda: store.deliver('', 'run_1', str(next(numbers))), 50):>9.0f}"  # noqa: B023
            )


def streams(path: Path) -> None:
    """A whole stream without a store, and with each."""
    raws = run_events(20, 2_000)

    def run(store: StateStore | None) -> None:
        engine = Engine(store=store)
        engine.on_signal = lambda signal: None
        engine.intake("server").feed_all(raws)

    signals = 0
    engine = Engine()

    def count(signal: object) -> None:
        nonlocal signals
        signals += not type(signal).__name__.endswith("Delta")

    engine.on_signal = count
    engine.intake("server").feed_all(raws)
    print(f"\n{len(raws):,} events, {signals} signals other than progress")
    bare = best(lambda: run(None), 1)
    for name, make in (("no store", None), ("memory", MemoryStore), ("SQLite", None)):
        if name == "SQLite":
            spent = []
            for number in range(5):
                with SqliteStore(path.with_name(f"{number}.db")) as store:
                    spent.append(best(lambda: run(store), 1, 1))
            cost = min(spent)
        else:
            cost = best(lambda: run(make() if make is not None else None), 1)  # noqa: B023
        print(f"{name:>10}: {cost / len(raws):6.2f} us an event, {(cost - bare) / signals:8.1f} us more a signal")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        sizes(Path(directory) / "runs.db")
        streams(Path(directory) / "stream.db")


if __name__ == "__main__":
    main()
