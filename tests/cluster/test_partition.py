"""Packs through the engine of a partition: takeovers, duplicates, unloading; compared with the fold."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from runstream import Signal, SourceConnected, demo, fold, read_recording
from runstream.model.progress_signals import PROGRESS
from runstream.model.raw import RawItem
from runstream.testing import script
from tests.cluster.simulation import LIMITS, Simulation, ingest, interleave

SHARED = Path(__file__).resolve().parents[3] / "shared" / "recordings"


def recordings() -> dict[str, list[RawItem]]:
    """The bundled recordings, and those of other protocols where they are."""
    found = {}
    for act in demo.SCRIPT:
        for scene in act:
            for name in scene.files[:1]:
                found[name] = list(read_recording(demo.load(name), format="sse"))
    if SHARED.exists():
        for path in sorted(SHARED.rglob("*.sse")):
            try:
                found[f"{path.parent.name}/{path.name}"] = list(read_recording(path))
            except Exception:
                continue
    return found


RECORDINGS = recordings()


def keys(signals: Iterable[Signal]) -> Counter[str]:
    """The keys of the facts. A fold of a recording without connection events does not say that it was connected."""
    return Counter(
        signal.key for signal in signals if type(signal) not in PROGRESS and not isinstance(signal, SourceConnected)
    )


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_as_its_fold(name: str) -> None:
    """States and facts of a recording through packs are those of its fold, with a takeover after each pack."""
    items = RECORDINGS[name]
    expected = fold(items, name="s", clock=lambda: 1e9, limits=LIMITS)
    simulation = Simulation()
    for sections in ingest("s", items, every=7):
        simulation.publish(sections)
        simulation.take_over()
        simulation.work()
    states = simulation.final()
    assert states == {(state.scope, state.run_id): state for state in expected.runs}
    assert keys(simulation.facts) == keys(expected.signals)


@pytest.mark.parametrize("seed", range(12))
def test_takeovers_at_any_place(seed: int) -> None:
    """Workers that die between a pack and its commit, cold sources, and packs that come twice change nothing."""
    rng = random.Random(seed)
    names = rng.sample(sorted(RECORDINGS), 8)
    expected = {name: fold(RECORDINGS[name], name=name, scope=name, clock=lambda: 1e9, limits=LIMITS) for name in names}
    streams = [ingest(name, RECORDINGS[name], scope=name, every=rng.randint(1, 30)) for name in names]
    simulation = Simulation(max_hot=rng.choice([2, 20_000]), checkpoint=rng.choice([1, 8, 64]))
    for pack in interleave(streams, rng):
        simulation.publish(pack)
        if rng.random() < 0.2:
            simulation.publish(pack)
        while simulation.position < len(simulation.packs):
            chance = rng.random()
            simulation.work(commit=chance < 0.6)
            if chance > 0.8:
                simulation.take_over()
    simulation.take_over()
    states = simulation.final()
    assert states == {(state.scope, state.run_id): state for folded in expected.values() for state in folded.runs}
    assert keys(simulation.facts) == keys([signal for folded in expected.values() for signal in folded.signals])


def test_a_worker_that_stops_while_it_reads_again_loses_nothing() -> None:
    """The place of a worker that has not read all again that an earlier one had read says so."""
    names = ["text.sse", "failed.sse", "cancelled.sse"]
    streams = [ingest(name, RECORDINGS[name], scope=name, every=1) for name in names]
    longest = max(map(len, streams))
    packs = [stream[at] for at in range(longest) for stream in streams if at < len(stream)]
    simulation, lost = Simulation(), list[int]()
    simulation.options["on_lost"] = lambda scope, name, count: lost.append(count)
    for number, pack in enumerate(packs):
        simulation.publish(pack)
        simulation.work()
        if number % 12:
            continue
        simulation.take_over()
        simulation.work(commit=False)  # one pack of those that have to be read again
        simulation.commit(everything=True)  # as at a release
        simulation.take_over()
        while simulation.work():
            pass
    states = simulation.final()
    expected = {name: fold(RECORDINGS[name], name=name, scope=name, clock=lambda: 1e9, limits=LIMITS) for name in names}
    assert states == {(state.scope, state.run_id): state for folded in expected.values() for state in folded.runs}
    assert keys(simulation.facts) == keys([signal for folded in expected.values() for signal in folded.signals])
    assert not lost


def test_a_full_memory_asks_for_a_checkpoint() -> None:
    """Open runs without facts leave the memory too: when it is full they are stored, though no replay gets long."""
    runs = [script(f"run_{number}").start().say("a b", pieces=["a ", "b"]).raw_events() for number in range(40)]
    streams = [ingest(f"s{number}", items, every=4) for number, items in enumerate(runs)]
    simulation = Simulation(max_hot=8, checkpoint=1_000)
    sizes = []
    for pack in interleave(streams, random.Random(1)):
        simulation.publish(pack)
        simulation.work(commit=False)
        if simulation.partition.needs_checkpoint:
            simulation.commit()
        simulation.partition.unload_cold()
        registry = simulation.partition.engine.registry
        sizes.append(registry.open + registry.finished)
    assert max(sizes) <= 8
    states = simulation.final()
    assert len(states) == 40
