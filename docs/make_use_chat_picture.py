"""Takes docs/use-chat.png, the picture in docs/use-chat.md: a page with `useChat` that asks for an approval.

Run from anywhere. It needs Chromium, and the Node packages of tests/interop; where they are missing it changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.interop.chat_page import serving_page  # noqa: E402
from tests.interop.environments import NODE_VARIABLE  # noqa: E402
from tests.support.browser import browsing, chromium  # noqa: E402


async def take(*, width: int = 760, height: int = 540) -> bytes:
    """A picture of the page, in PNG."""
    async with serving_page() as page, browsing() as browser:
        tab = await browser.tab()
        await tab.size(width, height, scale=2, still=True)
        await tab.go(page.url)
        await tab.until("document.querySelector('main')?.dataset.status === 'ready'")
        await tab.value("document.querySelector('input').focus()")
        await tab.call("Input.insertText", text="Tidy up my notes.")
        await tab.value("document.querySelector('form button').click()")
        await tab.until("!!document.querySelector('.tool[data-state=approval-requested] button')")
        await tab.value("document.activeElement.blur()")
        await asyncio.sleep(0.5)  # until it is painted
        return await tab.picture()


if __name__ == "__main__":
    import os

    if chromium() is None or NODE_VARIABLE not in os.environ:
        print(f"There is no Chromium, or {NODE_VARIABLE} is not set: docs/use-chat.png stays as it is.")
    else:
        picture = asyncio.run(take())
        (ROOT / "docs" / "use-chat.png").write_bytes(picture)
        print(f"docs/use-chat.png: {len(picture)} bytes")
