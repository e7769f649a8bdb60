"""The live page in Chromium while all of its runs grow: how long the browser is kept from painting.

    python benchmarks/page.py [--runs 2000] [--seconds 10]

Each run receives a piece of text a second; the page takes ten frames a second. Two pages are compared, one with twenty
runs and one with all of them. A *long task* keeps the page from painting for more than 50 ms
(https://www.w3.org/TR/longtasks-1/); the time of a frame is that between two repaints. Needs Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runstream import PageFeed, RawEvent, RunStream, serve_page
from runstream.testing import script
from tests.support.browser import Tab, browsing

WATCH = """
(() => {
  window.tasks = [];
  window.repaints = [];
  const add = (list) => tasks.push(...list.getEntries().map((entry) => entry.duration));
  new PerformanceObserver(add).observe({type: "longtask"});
  let last = performance.now();
  const next = (now) => { repaints.push(now - last); last = now; requestAnimationFrame(next); };
  requestAnimationFrame(next);
  return 0;
})()
"""


async def growing(count: int, begun: asyncio.Event) -> AsyncIterator[RawEvent]:
    """The beginnings of all runs, and from `begun` on a piece of text for each of them a second."""
    made = []
    for number in range(count):
        run = script(f"run_{number}", model=f"model-{number % 3}").start()
        made.append((run, run.open_message(), 0))
    for run, _, _ in made:
        for event in run.raw_events():
            yield event
        await asyncio.sleep(0)
    await begun.wait()
    piece = RawEvent(
        "thread.message.delta",
        b'{"id": "%s", "object": "thread.message.delta", '
        b'"delta": {"content": [{"index": 0, "type": "text", "text": {"value": "some words more, "}}]}}',
    )
    ids = [writing.id.encode() for _, writing, _ in made]
    step = max(1, count // 100)
    while True:
        for start in range(0, count, step):
            for id in ids[start : start + step]:
                yield RawEvent(piece.event, piece.data % id)
            await asyncio.sleep(0.01)


async def metrics(tab: Tab) -> dict[str, float]:
    """The counters of the page's main thread, in seconds of its processor time."""
    found = await tab.call("Performance.getMetrics")
    return {one["name"]: one["value"] for one in found["metrics"]}


async def measure(count: int, seconds: float) -> dict[str, float]:
    """The long tasks and repaints of a page with so many growing runs."""
    begun = asyncio.Event()
    async with RunStream(growing(count, begun)) as stream, browsing() as browser:
        feed = PageFeed(stream, max_runs=count)
        async with serve_page(feed) as page:
            tab = await browser.tab()
            await tab.go(page.url)
            await tab.until("document.querySelector('#connection')?.dataset.state === 'live'")
            stream.start()
            await tab.until(f"document.querySelectorAll('article').length === {count}", within=120)
            await asyncio.sleep(2)
            begun.set()
            await asyncio.sleep(1)
            await tab.call("Performance.enable", timeDomain="threadTicks")
            before = await metrics(tab)
            await tab.value(WATCH)
            await asyncio.sleep(seconds)
            after = await metrics(tab)
            found: dict[str, Any] = await tab.value("({tasks, repaints, errors: 0})")
    tasks, repaints = found["tasks"], sorted(found["repaints"])
    assert tab.errors == [], tab.errors
    work = {
        f"{name.removesuffix('Duration').lower()}, % of a core": 100 * (after[name] - before[name]) / seconds
        for name in ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
    }
    return {
        **work,
        "long tasks": len(tasks),
        "longest task, ms": max(tasks, default=0.0),
        "time in long tasks, %": 100 * sum(tasks) / (1000 * seconds),
        "median frame, ms": repaints[len(repaints) // 2],
        "99th of 100 frames, ms": repaints[len(repaints) * 99 // 100],
        "longest frame, ms": repaints[-1],
    }


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=2000)
    options.add_argument("--seconds", type=float, default=10.0)
    chosen = options.parse_args()
    few, many = [await measure(count, chosen.seconds) for count in (20, chosen.runs)]
    print(f"{'':26}{20:>8} runs{chosen.runs:>8} runs")
    for name, value in few.items():
        print(f"{name:26}{value:>13.1f}{many[name]:>13.1f}")


if __name__ == "__main__":
    asyncio.run(main())
