"""Takes docs/ag-ui-page.png, the picture in docs/ag-ui-out.md: a page on the official AG-UI client. Run from anywhere.

It needs Chromium, Node and the packages of tests/interop (RUNSTREAM_INTEROP_NODE), and changes nothing without them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.interop.front_ends import bundle, serve_ag_ui_page  # noqa: E402
from tests.support.browser import browsing  # noqa: E402

_ASKING = "document.querySelector('#status').dataset.state === 'asking'"


async def take_ag_ui(*, width: int = 1120, height: int = 720) -> bytes:
    """A picture of the page while it asks its user, in PNG."""
    with tempfile.TemporaryDirectory() as folder:
        script = bundle("ag_ui_page.mjs", Path(folder), "@ag-ui/client")
    async with serve_ag_ui_page(script) as url, browsing() as browser:
        tab = await browser.tab()
        await tab.size(width, height, still=True)
        await tab.go(url)
        await tab.until("document.readyState === 'complete'")
        await tab.value("document.querySelector('#text').value = 'Two seats to Kiel today, please.'")
        await tab.value("document.querySelector('#ask').requestSubmit()")
        await tab.until(_ASKING)
        await asyncio.sleep(0.5)  # until it is painted
        return await tab.picture()


if __name__ == "__main__":
    try:
        picture = asyncio.run(take_ag_ui())
    except pytest.skip.Exception as reason:
        print(f"The pictures stay as they are: {reason}")
    else:
        (ROOT / "docs" / "ag-ui-page.png").write_bytes(picture)
        print(f"docs/ag-ui-page.png: {len(picture)} bytes")
