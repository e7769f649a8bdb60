"""Takes pictures of the built site, to be looked at: ``python docs/make_site_pictures.py site /tmp/pictures``.

Home page, a tutorial and a page of the API reference: light, dark, and as wide as a phone. Needs Chromium. The pictures
are not part of the documentation.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import browsing  # noqa: E402

PAGES: Final = {"home": "index.html", "tutorial": "tutorial-watch.html", "reference": "reference/signals.html"}
LOOKS: Final = {"light": (1280, False), "dark": (1280, True), "phone": (390, False)}


async def take(site: Path, folder: Path) -> None:
    """Take all pictures of a site, and name the pages that are wider than their window."""
    async with browsing() as browser:
        for look, (width, dark) in LOOKS.items():
            tab = await browser.tab()
            await tab.size(width, 900, dark=dark, still=True)
            for name, page in PAGES.items():
                await tab.go((site / page).as_uri())
                await tab.until("document.readyState === 'complete' && !!document.querySelector('article h1')")
                await asyncio.sleep(0.5)  # until it is painted
                (folder / f"{name}-{look}.png").write_bytes(await tab.picture())
                wide = await tab.value("document.documentElement.scrollWidth")
                print(f"{name}-{look}.png{f': {wide} pixels wide' if wide > width else ''}", *tab.errors)


if __name__ == "__main__":
    pictures = Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(Path(sys.argv[1]).resolve(), pictures))
