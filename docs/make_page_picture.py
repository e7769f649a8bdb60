"""Takes the pictures in docs/browser.md: the demo's runs on the page, half-way, and two thousand runs.

``page.png`` is light, ``page-dark.png`` dark, ``page-phone.png`` as wide as a phone, and ``page-many.png`` has two
thousand runs, of which a search finds some. Run from anywhere. It needs Chromium, and changes nothing where there is
none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import runstream
from runstream import RawEvent, demo, serve_page
from runstream.testing import script

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import browsing, chromium  # noqa: E402


async def take(*, width: int = 1120, height: int = 640, dark: bool = False) -> bytes:
    """A picture of the page, in PNG."""
    show = half_the_show()
    async with runstream.RunStream(_slowly(show)) as stream, browsing() as browser, serve_page(stream) as page:
        tab = await browser.tab()
        await tab.size(width, height, dark=dark, still=True)
        await tab.go(page.url)
        await tab.until("document.querySelector('#connection').dataset.state === 'live'")
        stream.start()
        await tab.until(f"document.querySelector('[data-count=events]').textContent === '{len(show)}'")
        await asyncio.sleep(0.5)  # until it is painted
        return await tab.picture()


async def take_many(*, runs: int = 2000, width: int = 1120, height: int = 640) -> bytes:
    """A picture of a page with many runs and a search, in PNG."""
    events = [event for number in range(runs) for event in _short(number)]
    async with (
        runstream.RunStream(_slowly(events, 0)) as stream,
        browsing() as browser,
        serve_page(runstream.PageFeed(stream, max_runs=runs)) as page,
    ):
        tab = await browser.tab()
        await tab.size(width, height, still=True)
        await tab.go(page.url)
        await tab.until("document.querySelector('#connection').dataset.state === 'live'")
        stream.start()
        await tab.until(f"document.querySelector('[data-count=events]').textContent === '{len(events):,}'", 60)
        await tab.until(f"document.querySelectorAll('article').length === {runs}")
        await tab.value(
            "(q => { q.value = 'customer: c3 harbour'; q.dispatchEvent(new Event('input')); })"
            "(document.querySelector('#query'))"
        )
        await tab.until("!document.querySelector('#found').hidden")
        await asyncio.sleep(0.5)  # until it is painted
        return await tab.picture()


def _short(number: int) -> list[RawEvent]:
    """A run that says one sentence; some fail, some still wait for their tools."""
    place = ("harbour", "station", "market", "library")[number % 4]
    run = script(
        f"run_{number:04}",
        model=("gpt-4o", "gpt-4o-mini", "o4-mini")[number % 3],
        metadata={"customer": f"c{number % 7}"},
    ).start()
    if number % 50 == 3:
        return run.call(find_opening_hours={"place": place}).raw_events()
    run.say(f"The {place} is open until six.")
    usage = {"prompt_tokens": 20 + number % 9, "completion_tokens": 8, "total_tokens": 28 + number % 9}
    return run.end("failed" if number % 25 == 10 else "completed", usage=usage).raw_events()


def half_the_show() -> list[RawEvent]:
    """One run that has ended, one that waits, and three at work."""
    text, call, *others = (
        [item for item in runstream.read_recording(demo.load(name)) if isinstance(item, RawEvent)]
        for name in ("text.sse", "function_call_1.sse", "code_interpreter.sse", "file_search.sse", "failed.sse")
    )
    last = len(others[0]) - 25  # in the middle of its message
    return [*text[:-1], *call[:-1], *demo.interleave([other[:last] for other in others])]


async def _slowly(items: list[RawEvent], gap: float = 0.02) -> AsyncIterator[RawEvent]:
    for item in items:
        yield item
        await asyncio.sleep(gap)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if chromium() is None:
        print("There is no Chromium on this machine: the pictures stay as they are.")
    else:
        for name, picture in {
            "page": take,
            "page-dark": lambda: take(dark=True),
            "page-phone": lambda: take(width=390, height=844),
            "page-many": take_many,
        }.items():
            taken = asyncio.run(picture())
            (ROOT / "docs" / f"{name}.png").write_bytes(taken)
            print(f"docs/{name}.png: {len(taken)} bytes")
