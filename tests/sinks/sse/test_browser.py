"""A real `EventSource`, in headless Chromium: early, late, cut and resumed; and no request after the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from runstream import SseApp, SseRelay
from runstream.sinks.asgi import respond
from tests.sinks.page.support import Fed, fed
from tests.sinks.sse.support import Proxy, answer, serving
from tests.support.browser import Browser, Tab, browsing

TEXT = "The answer is “forty-two” 🙂, as ever."
PAGE = b"""<!doctype html><link rel=icon href="data:,"><script>
const query = new URLSearchParams(location.search);
window.seen = {runs: {}, problems: [], snapshots: 0, ends: 0, opens: 0};
function apply(signal) {
  const run = (seen.runs[signal.run_id ?? ""] ??= {texts: {}, keys: {}, types: []});
  if (signal.type === "message.text") {
    const place = signal.key.slice(0, signal.key.lastIndexOf("/"));
    const text = run.texts[place] ?? "";
    if ([...text].length !== signal.offset) seen.problems.push(`gap: ${signal.key}`);
    run.texts[place] = text + signal.delta;
  } else if (!("delta" in signal)) {
    if (run.keys[signal.key]) seen.problems.push(`twice: ${signal.key}`);
    run.keys[signal.key] = true;
    run.types.push(signal.type);
  }
}
const source = new EventSource(query.get("path"));
source.onopen = () => seen.opens++;
source.onmessage = event => apply(JSON.parse(event.data));
source.addEventListener("snapshot", event => {
  const {runs, whole} = JSON.parse(event.data);
  seen.snapshots++;
  if (whole) seen.runs = {};
  for (const run of runs) { delete seen.runs[run.run_id]; run.signals.forEach(apply); }
});
source.addEventListener("end", () => seen.ends++);
window.text = id => Object.values(seen.runs[id]?.texts ?? {}).join("");
</script>"""


class Site:
    """A page and the relay, as an application has them.

    Attributes:
        statuses: The statuses of all responses with events.
    """

    def __init__(self, relay: SseRelay) -> None:
        self.app = SseApp(relay)
        self.statuses: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            from http import HTTPStatus

            await respond(send, HTTPStatus.OK, PAGE, "text/html; charset=utf-8")
            return

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
            await send(message)

        await self.app(scope, receive, noting)


@asynccontextmanager
async def opened(source: Fed, **options: Any) -> AsyncIterator[tuple[Browser, Proxy, Site]]:
    """A browser, and the relay behind a proxy."""
    site = Site(SseRelay(source.stream, retry=0.1, **options))
    async with serving(site) as (url, _), Proxy.before(url) as proxy, browsing() as browser:
        yield browser, proxy, site
        site.app.relay.close()


async def look(browser: Browser, proxy: Proxy, path: str) -> Tab:
    """A tab with the page on these events."""
    tab = await browser.tab()
    await tab.go(f"{proxy.url}/?path={path}")
    await tab.until("window.seen?.snapshots")
    return tab


async def check(tab: Tab) -> None:
    """The text is whole, each fact came once, and the end too."""
    await tab.until("seen.ends")
    assert await tab.value("seen.problems") == []
    assert await tab.value("text('run_1')") == TEXT
    assert await tab.value("seen.ends") == 1
    types = await tab.value("seen.runs.run_1.types")
    assert (types[0], types.count("message.completed"), types.count("run.completed")) == ("run.created", 1, 1)


async def test_early_late_cut_and_resumed() -> None:
    """Four pages of one run, of which the early ones are cut twice; then no more requests."""
    raws = answer()
    third = len(raws) // 3
    async with fed() as source, opened(source) as (browser, proxy, site):
        early = await look(browser, proxy, "/runs/run_1/events")
        everything = await look(browser, proxy, "/events")
        await source.feed(raws[:third])
        middle = await look(browser, proxy, "/runs/run_1/events")
        for part in (raws[third : 2 * third], raws[2 * third : -3]):
            proxy.cut()
            await source.feed(part)  # while no browser is connected, or is just coming back
            for tab in (early, everything, middle):
                await tab.until(f"text('run_1') === {source.stream.latest['run_1'].text!r}")
        for tab in (early, everything, middle):
            assert await tab.value("seen.snapshots") == 1  # the log had what it had missed
            assert await tab.value("seen.opens") == 3 - (tab is middle) * 0
        await source.feed(raws[-3:])
        late = await look(browser, proxy, "/runs/run_1/events")
        await source.end()
        for tab in (early, middle, late, everything):
            await check(tab)
        # Each page comes once more, receives 204, and stops.
        for tab in (early, middle, late, everything):
            await tab.until("source.readyState === EventSource.CLOSED")
        served = len(site.statuses)
        assert site.statuses.count(204) == 4
        await asyncio.sleep(3)  # thirty times the time after which they would come
        assert len(site.statuses) == served
        assert site.app.relay.clients == 0


async def test_cut_for_longer_than_the_log() -> None:
    """The log does not reach back: a new snapshot replaces what the page has."""
    raws = answer()
    async with fed() as source, opened(source, history=4) as (browser, proxy, _):
        tab = await look(browser, proxy, "/runs/run_1/events")
        await source.feed(raws[:10])
        await tab.until(f"text('run_1') === {source.stream.latest['run_1'].text!r}")
        proxy.cut()
        await source.feed(raws[10:])
        await check(tab)
        assert await tab.value("seen.snapshots") >= 2
        await source.end()
