"""A page with `useChat` in a real browser: a run of the Responses API, with a tool on the server and an approval."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream.testing import Turn
from tests.interop.chat_page import Page, serving_page
from tests.support.browser import Tab, browsing

pytestmark = pytest.mark.slow

READY = "document.querySelector('main')?.dataset.status === 'ready'"


@asynccontextmanager
async def opened(query: str = "", **options: Any) -> AsyncIterator[tuple[Tab, Page]]:
    """A tab with the page; at the end there must have been no error in it."""
    async with serving_page(**options) as page, browsing() as browser:
        tab = await browser.tab()
        await tab.go(f"{page.url}/{query}")
        await tab.until(READY)
        yield tab, page
        assert tab.errors == []


async def ask(tab: Tab, text: str) -> None:
    """Type a message and send it."""
    await tab.value("document.querySelector('input').focus()")
    await tab.call("Input.insertText", text=text)
    await tab.value("document.querySelector('form button').click()")


async def click(tab: Tab, label: str) -> None:
    """Click a button, once it is there."""
    button = f"[...document.querySelectorAll('button')].find(e => e.textContent === {json.dumps(label)})"
    await tab.until(f"!!{button}")
    await tab.value(f"{button}.click()")


@pytest.mark.parametrize(
    ("label", "approved", "state"), [("Approve", True, "output-available"), ("Decline", False, "output-denied")]
)
async def test_a_run_with_a_call_and_an_approval(label: str, approved: bool, state: str) -> None:
    """All of the run is one message; the user's decision reaches the server."""
    async with opened() as (tab, page):
        await ask(tab, "Tidy up my notes.")
        await tab.until("!!document.querySelector('.tool[data-state=approval-requested] button')")
        await tab.until(READY)
        await tab.shows(
            "article.assistant .text",
            [
                "Let me look at your notes.",
                "Two notes are older than a year. Shall I delete them?",
            ],
        )
        await tab.shows(".reasoning", ["First I look which notes there are."])
        await tab.shows(".tool h3", ["list_notes output-available", "delete_notes approval-requested"])
        await tab.until("document.querySelector('.tool output').textContent.includes('today.txt')")
        await tab.shows("footer", ["requires_action"])
        await click(tab, label)
        await tab.until(
            "[...document.querySelectorAll('article.assistant .text')].at(-1).textContent.startsWith('Done')"
        )
        await tab.until(READY)
        await tab.shows(
            "article.assistant .text",
            [
                "Let me look at your notes.",
                "Two notes are older than a year. Shall I delete them?",
                "Done: both notes are deleted.",
            ],
        )
        assert await tab.value("document.querySelectorAll('article').length") == 2
        await tab.shows(".tool h3", ["list_notes output-available", f"delete_notes {state}"])
        await tab.shows("footer", ["completed"])
        await asyncio.sleep(0.3)  # a front end that sends again and again would have done so by now
        assert [*page.server.outputs.values()][-1] == [approved]
        assert [request.method for request in page.server.requests].count("POST") == 3


async def test_a_reload_resumes() -> None:
    """The page is reloaded in the middle of a text: it shows all of it, once."""
    words = " ".join(f"word{n}" for n in range(60))
    turns = [Turn(text=words, pause=0.02)]
    async with opened(turns=turns, on_disconnect="continue") as (tab, page):
        await ask(tab, "Count.")
        await tab.until("document.querySelector('article.assistant .text')?.textContent.includes('word5')")
        await tab.go(f"{page.url}/?resume")
        await tab.until("document.querySelector('article.assistant .text')?.textContent.includes('word')")
        await tab.until(f"document.querySelector('article.assistant .text')?.textContent === {json.dumps(words)}")
        await tab.until(READY)
        await tab.shows("article.assistant .text", [words])
        await tab.shows("footer", ["completed"])
        assert [request.method for request in page.server.requests].count("POST") == 1
