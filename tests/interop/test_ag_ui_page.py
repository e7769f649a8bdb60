"""A page on the official AG-UI client, in Chromium, shows a run of the Responses API that our endpoint serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.front_ends import bundle, serve_ag_ui_page
from tests.support.browser import Tab, browsing

pytestmark = pytest.mark.slow

ASKING = "document.querySelector('#status').dataset.state === 'asking'"
READY = "document.querySelector('#status').dataset.state === 'ready'"


async def say(tab: Tab, text: str) -> None:
    """Type a message, and send it."""
    await tab.until("document.querySelector('#text') !== null && document.readyState === 'complete'")
    await tab.value(f"document.querySelector('#text').value = {text!r}; document.querySelector('#ask').requestSubmit()")


@pytest.mark.parametrize("button", ["Approve", "Decline"])
async def test_a_run_with_calls_and_an_approval(tmp_path: Path, button: str) -> None:
    """A tool of the server, one of the page, and a question: each is shown, and each text once."""
    script = bundle("ag_ui_page.mjs", tmp_path, "@ag-ui/client")
    async with serve_ag_ui_page(script) as url, browsing() as browser:
        tab = await browser.tab()
        await tab.go(url)
        await say(tab, "Two seats to Kiel today, please.")
        await tab.until(ASKING)
        await tab.shows(
            ".message.assistant",
            [
                "I look at the timetable.",
                "The Heron leaves at 14:30. Here is her way.",
                "I can book two seats for you.",
            ],
        )
        await tab.shows(".call .result", ["→ Heron, Oslo to Kiel, 14:30", "→ shown: Oslo, Heron, Kiel"])
        await tab.shows(".reasoning", ["The user needs a ferry. The timetable comes first."])
        await tab.shows(".pin", ["Oslo", "Heron", "Kiel"])
        (question,) = await tab.text(".question p")
        assert question == 'Approve book_seats({"ferry":"Heron","seats":2})?'
        await tab.value(f"[...document.querySelectorAll('button')].find(b => b.textContent === '{button}').click()")
        await tab.until(READY)
        assert (await tab.text(".message.assistant"))[-1].startswith("Booked")
        await tab.shows(".question", [])
        assert not tab.errors
