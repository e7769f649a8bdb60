"""Takes docs/page.png, the picture in docs/browser.md: the demo's runs on the page, half-way. Run from anywhere.

It needs Chromium, and changes nothing where there is none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import runstream
from runstream import RawEvent, demo, serve_page

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


def half_the_show() -> list[RawEvent]:
    """One run that has ended, one that waits, and three at work."""
    text, call, *others = (
        [item for item in runstream.read_recording(demo.load(name)) if isinstance(item, RawEvent)]
        for name in ("text.sse", "function_call_1.sse", "code_interpreter.sse", "file_search.sse", "failed.sse")
    )
    last = len(others[0]) - 25  # in the middle of its message
    return [*text[:-1], *call[:-1], *demo.interleave([other[:last] for other in others])]


async def _slowly(items: list[RawEvent]) -> AsyncIterator[RawEvent]:
    for item in items:
        yield item
        await asyncio.sleep(0.02)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if chromium() is None:
        print("There is no Chromium on this machine: docs/page.png stays as it is.")
    else:
        picture = asyncio.run(take(dark="--dark" in sys.argv))
        (ROOT / "docs" / "page.png").write_bytes(picture)
        print(f"docs/page.png: {len(picture)} bytes")
