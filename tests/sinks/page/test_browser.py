"""The page as people see it: in headless Chromium, from a real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runstream import PageFeed, PageServer, serve_page
from runstream.model.raw import RawEvent
from runstream.testing import script
from tests.interop.environments import interop_node
from tests.sinks.page.support import Fed, fed, said
from tests.support.browser import Tab, browsing
from tests.support.ports import free_port

SPARE = 10  # as drawing.js has it
CONNECTED = "document.querySelector('#connection')?.dataset.state === 'live'"


@asynccontextmanager
async def opened(source: Fed, **options: Any) -> AsyncIterator[tuple[Tab, PageServer]]:
    """A tab in which the page of a stream is open; at the end there must have been no error in it."""
    feed = PageFeed(source.stream, rate=50, **options)
    async with browsing() as browser, serve_page(feed) as page:
        tab = await browser.tab()
        await tab.go(page.url)
        await tab.until(CONNECTED)
        yield tab, page
        assert tab.errors == []


def card(run_id: str) -> str:
    """An expression for a run's card."""
    return f"[...document.querySelectorAll('article')].find(e => e.querySelector('h3').textContent === '{run_id}')"


async def until_status(tab: Tab, run_id: str, status: str) -> None:
    await tab.until(f"{card(run_id)}?.querySelector('.status').textContent === '{status}'")


async def test_a_run_from_its_beginning_to_its_end() -> None:
    async with fed() as source, opened(source) as (tab, _):
        await tab.shows("#empty", ["No runs yet. They appear here as soon as the stream has one."])
        told = script("run_1", model="gpt-4o").start()
        told.call(get_time={"zone": "UTC"})
        await source.feed(asked := told.raw_events())
        await until_status(tab, "run_1", "requires action")
        await tab.shows("#open .step", ["waits for get_time"])
        await tab.shows(".call .label", ["get_time · in progress"])
        await tab.until("document.querySelector('.call .text')?.textContent.includes('UTC')")

        told.answer("noon")
        writing = told.open_message()
        writing.write("It is ").write("no")
        await source.feed((growing := told.raw_events())[len(asked) :])
        await tab.until("document.querySelector('.message .text')?.textContent === 'It is no'")
        await tab.shows("#open .step", ["writes a message"])
        await tab.shows(".output", ["→ noon"])

        writing.write("on.").close()
        told.end(usage={"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12})
        await source.feed(told.raw_events()[len(growing) :])
        await until_status(tab, "run_1", "completed")
        await tab.shows(".message .text", ["It is noon."])
        await tab.shows("#ended h3", ["run_1"])
        await tab.shows("#open article", [])
        facts = "document.querySelector('#ended .facts').textContent"
        await tab.until(f"{facts}.includes('12 (5 in, 7 out)') && {facts}.includes('gpt-4o')")
        await source.end()
        await tab.until("document.querySelector('#connection').textContent === 'Stream ended'")


async def test_time_stands_still_once_the_stream_has_ended() -> None:
    async with fed() as source, opened(source) as (tab, _):
        await source.feed(said("run_1", "Half a", end=None))
        await until_status(tab, "run_1", "in progress")
        time = "document.querySelector('.facts dd').textContent"
        await tab.until(f"{time} === '1 s'")  # it runs
        await source.end()
        await tab.until("document.querySelector('#connection').dataset.state === 'over'")
        await tab.until("document.querySelector('.note')?.checkVisibility()")
        await tab.shows(".status", ["interrupted"])
        stopped = await tab.value(time)
        await asyncio.sleep(2.5)
        assert await tab.value(time) == stopped
        await tab.call("Page.reload")
        await tab.until(f"document.querySelector('.facts dd') && {time} === '{stopped}'")


async def test_what_a_run_says_stays_text() -> None:
    """In every place where something of a run is shown."""
    evil = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"><b>bold</b>&lt;"
    async with fed() as source, opened(source) as (tab, _):
        told = script(f"run_{evil}", model=evil, thread_id=evil).start()
        told.call(**{evil: {"a": evil}})
        told.answer(evil).say(evil)
        told.end("failed", last_error={"code": evil, "message": evil})
        await source.feed(told.raw_events())
        await source.feed([RawEvent("thread.run.created", b'{"id": "run_2", "status": "<b>odd</b>"}')])
        await tab.until("document.querySelectorAll('article').length === 2")
        await tab.shows(".message .text", [evil])
        await tab.shows("#ended h3", [f"run_{evil}"])
        await tab.shows("#open .status", ["<b>odd</b>"])
        assert await tab.value("document.querySelectorAll('main script, main img, main b').length") == 0
        assert "pwned" not in await tab.value("document.title")


async def test_a_hundred_runs_at_once() -> None:
    async with fed() as source, opened(source) as (tab, _):
        runs = [said(f"run_{number}", *["word "] * 20) for number in range(100)]
        for place in range(max(map(len, runs))):
            await source.feed([events[place] for events in runs if place < len(events)])
        await tab.until("document.querySelectorAll('#ended article').length === 100")
        whole = f"[...document.querySelectorAll('.message .text')].filter(e => e.textContent === {'word ' * 20!r})"
        await tab.until(f"{whole}.length === 100")  # those out of sight are drawn one after the other
        await tab.shows("[data-count=finished]", ["100"])
        await tab.until("new Set([...document.querySelectorAll('h3')].map(e => e.textContent)).size === 100")


async def test_forgotten_runs_leave_the_page() -> None:
    async with fed() as source, opened(source, max_runs=2) as (tab, _):
        for number in range(4):
            await source.feed(said(f"run_{number}"))
            await tab.until(f"{card(f'run_{number}')} !== undefined")
        await tab.shows("h3", ["run_3", "run_2"])


async def test_it_needs_nothing_from_elsewhere_and_its_policy_holds() -> None:
    async with fed() as source, opened(source) as (tab, page):
        names: list[str] = await tab.value("performance.getEntriesByType('resource').map(e => e.name)")
        assert names
        assert all(name.startswith(page.url) for name in names)
        # An injected script would not run: the policy refuses it before anything else could.
        refused = await tab.value(
            "(() => { try { document.body.innerHTML += '<p>x'; return false } catch { return true } })()"
        )
        assert refused is True
        tab.errors.clear()  # the refusal


async def test_a_page_of_another_site_gets_nothing() -> None:
    async with fed() as source, opened(source) as (tab, page):
        await source.feed(said("run_1", "Hello."))
        async with serve_page(source.stream) as other:  # another port is another origin
            url = page.url.replace("http", "ws") + "socket"
            await tab.go(other.url)
            await tab.until(CONNECTED)
            seen = await tab.value(
                f"fetch('{page.url}page.js').then(() => 'read', () => 'refused')"  # and no reading by fetch either
            )
            assert seen == "refused"
            await tab.go("about:blank")
            got = await tab.value(
                f"new Promise(done => {{ const s = new WebSocket('{url}');"
                " s.onmessage = () => done('read'); s.onclose = () => done('refused') })"
            )
            assert got == "refused"
        tab.errors.clear()  # what was refused


async def test_a_reader_keeps_their_place_and_focus() -> None:
    """Growing text scrolls along, but not for somebody who reads further up; moving a card keeps the focus."""
    async with fed() as source, opened(source) as (tab, _):
        told = script("run_1").start()
        writing = told.open_message()
        writing.write("line\n" * 200)
        await source.feed(first := told.raw_events())
        box = "document.querySelector('.blocks')"
        await tab.until(
            f"{box} && {box}.scrollTop > 0 && {box}.scrollTop + {box}.clientHeight >= {box}.scrollHeight - 24"
        )
        await tab.value(f"{box}.focus(); {box}.scrollTop = 10")
        await tab.until(f"{box}.scrollTop === 10")
        await asyncio.sleep(0.2)  # the scroll event
        writing.write("more\n").close()
        told.end()
        await source.feed(told.raw_events()[len(first) :])
        await until_status(tab, "run_1", "completed")
        await asyncio.sleep(0.2)
        assert await tab.value(f"{box}.scrollTop") == 10
        assert await tab.value(f"document.activeElement === {box}") is True


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_nothing_is_wider_than_the_screen(width: int) -> None:
    async with fed() as source, opened(source) as (tab, _):
        await tab.size(width, 800)
        told = script("run_" + "x" * 100, model="m" * 100, thread_id="t" * 100).start()
        told.call(**{"f" * 100: {"a": "b" * 300}})
        told.answer("o" * 300).say("w" * 300)
        told.end("failed", last_error={"code": "c" * 100, "message": "e" * 300})
        await source.feed([*told.raw_events(), *said("run_2", "Hello.", end=None)])
        await tab.until("document.querySelectorAll('article .status').length === 2")
        assert await tab.value("document.documentElement.scrollWidth") <= width
        assert await tab.value("[...document.querySelectorAll('.blocks')].every(b => b.scrollWidth <= b.clientWidth)")


AUDIT = r"""
(() => {
  const channel = (value) => { const c = value / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const found = numbers(getComputedStyle(one).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".unseen, .skip, noscript")) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) poor.push(`${element.className || element.tagName}: ${contrast.toFixed(2)}`);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_everything_can_be_read(dark: bool) -> None:
    """Contrast of 4.5:1 at least (WCAG 2.2, 1.4.3), for every status."""
    async with fed() as source, opened(source) as (tab, _):
        await tab.size(1280, 800, dark=dark)
        for status in ("completed", "failed", "cancelled", "expired", "incomplete"):
            await source.feed(said(f"run_{status}", "Hello.", end=status))
        await source.feed(script("run_waits").start().call(f={"a": 1}).raw_events())
        await source.feed([*said("run_open", "Hello.", end=None), RawEvent("thread.run.created", b"junk")])
        await tab.until("document.querySelectorAll('article .status').length === 7")
        await tab.until("document.querySelector('[data-count=rejected]').textContent === '1'")
        assert await tab.value(AUDIT) == []


async def test_headings_names_and_roles() -> None:
    async with fed() as source, opened(source) as (tab, _):
        await source.feed(said("run_1", "Hello.", end=None))
        await source.feed(said("run_2", "Hello."))
        await tab.until("document.querySelectorAll('article').length === 2")
        await tab.until("document.querySelectorAll('article .blocks').length === 2")
        headings = "[...document.querySelectorAll('h1, h2, h3')].filter(e => e.checkVisibility()).map(e => e.tagName)"
        await tab.until(f"{headings}.join() === 'H1,H2,H3,H2,H3'")
        await tab.call("Accessibility.enable")
        tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        names = {(node["role"]["value"], node.get("name", {}).get("value")) for node in tree if "role" in node}
        assert {
            ("status", ""),
            ("region", "Open"),
            ("region", "Ended"),
            ("article", "run_1"),
            ("group", "What run_1 said and called"),
            ("heading", "runstream"),
        } <= names
        assert await tab.value("document.documentElement.lang") == "en"


async def test_changes_of_status_are_announced_and_words_are_not() -> None:
    async with fed() as source, opened(source) as (tab, _):
        told = script("run_1").start()
        await source.feed(first := told.raw_events())
        await until_status(tab, "run_1", "in progress")
        told.say("Hello.").end()
        await source.feed(told.raw_events()[len(first) :])
        await tab.until("document.querySelector('#news').textContent === 'run_1 is completed'")
        assert await tab.value("document.querySelector('#news').ariaLive") == "polite"
        live = "[...document.querySelectorAll('[aria-live], [role=status]')].some(e => e.querySelector('article'))"
        assert await tab.value(live) is False


@pytest.mark.parametrize("still", [False, True])
async def test_motion_only_for_those_who_like_it(still: bool) -> None:
    async with fed() as source, opened(source) as (tab, _):
        await tab.size(1280, 800, still=still)
        await source.feed(said("run_1", end=None))
        await until_status(tab, "run_1", "in progress")
        name = await tab.value("getComputedStyle(document.querySelector('.status'), '::before').animationName")
        assert name == ("none" if still else "pulse")


_SERVE = """
import asyncio, sys
from runstream import RunStream, serve_page
from runstream.testing import script

async def main():
    told = script("run_1").start().say(sys.argv[2])
    async with RunStream(told.raw_events()) as stream, serve_page(stream, port=int(sys.argv[1])) as page:
        with stream.keep_open():
            stream.start()
            print(page.url, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def _start(port: int, text: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", _SERVE, str(port), text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


async def _printed(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_it_connects_again_by_itself_when_the_server_was_killed() -> None:
    port = free_port()
    async with browsing() as browser:
        tab = await browser.tab()
        first = _start(port, "Before.")
        try:
            url = await _printed(first)
            await tab.go(url)
            await tab.until("document.querySelector('.message .text')?.textContent === 'Before.'")
        finally:
            first.kill()
            first.communicate(timeout=25)
        await tab.until("document.querySelector('#connection').dataset.state === 'lost'")
        await tab.shows(".message .text", ["Before."])  # what was known stays
        await tab.shows("#retry", ["Retry"])
        second = _start(port, "After.")
        try:
            await _printed(second)
            await tab.until("document.querySelector('.message .text')?.textContent === 'After.'")
            await tab.shows("h3", ["run_1"])
            await tab.until(CONNECTED)
            await tab.shows("#retry", [])
        finally:
            second.kill()
            second.communicate(timeout=25)


async def test_reconnecting_to_the_same_stream() -> None:
    """The page is kept, and the changes since the loss are added."""
    async with fed() as source:
        feed = PageFeed(source.stream, rate=50, max_runs=2)
        port = free_port()
        async with browsing() as browser:
            tab = await browser.tab()
            told = script("run_2").start()
            async with serve_page(feed, port=port) as page:
                await source.feed([*said("run_1", "Gone soon."), *(first := told.raw_events())])
                await tab.go(page.url)
                await until_status(tab, "run_2", "in progress")
                await tab.value(f"window.kept = {card('run_2')}; 0")
            await tab.until("document.querySelector('#connection').dataset.state === 'lost'")
            told.say("Missed.").end()
            await source.feed([*told.raw_events()[len(first) :], *said("run_3", "New.", end=None)])
            async with serve_page(feed, port=port):
                await tab.value("document.querySelector('#retry').click()")
                await until_status(tab, "run_2", "completed")
                await tab.until(f"{card('run_3')} !== undefined")
                await tab.shows("h3", ["run_3", "run_2"])
                await tab.shows(".message .text", ["New.", "Missed."])
                assert await tab.value(f"window.kept === {card('run_2')}") is True


async def many(source: Fed, count: int) -> None:
    """Runs of three models, every fifth one failed."""
    for number in range(count):
        end = "failed" if number % 5 == 0 else "completed"
        metadata = {"customer": f"c{number % 7}"}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        run = script(f"run_{number}", model=f"model-{number % 3}", metadata=metadata).start().say(f"word{number} said")
        await source.feed(run.end(end, usage=usage).raw_events())


async def visible(tab: Tab) -> list[str]:
    return await tab.text("article:not([hidden]) h3")


async def write(tab: Tab, text: str) -> None:
    """Type into the search field."""
    await tab.value(
        f"(q => {{ q.value = {text!r}; q.dispatchEvent(new Event('input')); }})(document.querySelector('#query'))"
    )


async def press(tab: Tab, key: str) -> None:
    """A key on the focused element."""
    await tab.value(
        f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: {key!r}, bubbles: true}}))"
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("run_3", ["run_3"]),
        ("MODEL-1", ["run_10", "run_7", "run_4", "run_1"]),
        ("c2 model-2", ["run_2"]),
        ("word5 said", ["run_5"]),
        ("failed", ["run_10", "run_5", "run_0"]),
        ("nothing-like-this", []),
    ],
)
async def test_runs_are_found_by_id_model_metadata_status_and_text(words: str, found: list[str]) -> None:
    """All words of a search must be in the run; the number of runs found is shown, and Escape shows all again."""
    async with fed() as source, opened(source) as (tab, _):
        await many(source, 12)
        await tab.until("document.querySelectorAll('article').length === 12")
        await write(tab, words)
        await tab.until(f"document.querySelector('#found').textContent === '{len(found)} of 12 runs'")
        assert await visible(tab) == found
        await tab.shows("h2", ["Ended"] if found else [])  # no heading above nothing
        await press(tab, "Escape")
        await tab.until("document.querySelector('#found').hidden")
        assert len(await visible(tab)) == 12


async def test_a_status_is_chosen_and_new_runs_are_filtered_too() -> None:
    """The list has the statuses that were seen; a run that comes later is filtered as it comes."""
    async with fed() as source, opened(source) as (tab, _):
        await many(source, 6)
        await tab.until("[...document.querySelectorAll('#status option')].some(o => o.value === 'failed')")
        await tab.value(
            "(s => { s.value = 'failed'; s.dispatchEvent(new Event('change')); })(document.querySelector('#status'))"
        )
        await tab.until("document.querySelector('#found').textContent === '2 of 6 runs'")
        assert await visible(tab) == ["run_5", "run_0"]
        await source.feed(said("late_good", "a"))
        await source.feed(said("late_bad", "b", end="failed"))
        await tab.until("document.querySelector('#found').textContent === '3 of 8 runs'")
        assert await visible(tab) == ["late_bad", "run_5", "run_0"]


async def test_an_address_shows_one_run() -> None:
    """The title of a run links to it alone, in this tab or another; the button shows all again."""
    async with fed() as source, opened(source) as (tab, page):
        await many(source, 3)
        await source.feed(said("odd/run #1", "a"))
        await tab.until("document.querySelectorAll('article').length === 4")
        await tab.value("document.querySelector('article h3 a').click()")
        await tab.until("document.querySelector('#found').textContent === '1 of 4 runs'")
        assert await visible(tab) == ["odd/run #1"]
        await tab.go(f"{page.url}#run=run_1")
        await tab.until("document.querySelector('#found').textContent === '1 of 4 runs'")
        assert await visible(tab) == ["run_1"]
        await tab.value("document.querySelector('#all').click()")
        await tab.until("document.querySelector('#found').hidden")
        assert await tab.value("location.hash") == ""


async def test_the_keys() -> None:
    """j and k go from run to run, a slash leads to the search, a question mark to the list of keys."""
    async with fed() as source, opened(source) as (tab, _):
        await many(source, 3)
        await tab.until("document.querySelectorAll('article').length === 3")
        focused = "document.activeElement.querySelector?.('h3')?.textContent"
        for key, run in (("j", "run_2"), ("j", "run_1"), ("k", "run_2")):
            await press(tab, key)
            assert await tab.value(focused) == run
        await press(tab, "Enter")
        await tab.until("document.querySelector('#found').textContent === '1 of 3 runs'")
        await press(tab, "/")
        assert await tab.value("document.activeElement.id") == "query"
        await press(tab, "j")  # a letter in the field
        assert await tab.value("document.activeElement.id") == "query"
        await press(tab, "Escape")
        assert len(await visible(tab)) == 3
        await press(tab, "?")
        assert await tab.value("document.querySelector('#keys').open")


async def test_totals_signals_and_problems_are_listed() -> None:
    """Tokens and failures are summed, by model too; rejects and reconnects stand in a list of their own."""
    async with fed() as source, opened(source) as (tab, _):
        await many(source, 6)
        await source.feed([RawEvent("thread.run.created", b"{")])
        await tab.until("document.querySelector('[data-count=rejected]').textContent === '1'")
        await tab.shows("[data-count=tokens], [data-count=failed]", ["2", "42"])
        await tab.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        await tab.shows(
            "#models tbody td, #models tbody th",
            ["model-0", "2", "1", "14", "model-1", "2", "0", "14", "model-2", "2", "1", "14"],
        )
        await tab.until("document.querySelectorAll('#signals .kind, #problems .kind').length > 1")
        await tab.until("document.querySelector('#signals .kind')?.textContent === 'rejected'")
        completed = "[...document.querySelectorAll('#signals .kind')].filter(e => e.textContent === 'run.completed')"
        await tab.until(f"{completed}.length === 4")
        await tab.shows("#problems .kind", ["rejected"])
        await source.feed(said("late", "a"))  # lines are added to a list that is open
        await tab.until("document.querySelector('#signals .kind').textContent === 'run.completed'")
        await tab.until("document.querySelector('#signals a').textContent === 'late'")


async def test_the_time_of_a_run_is_a_bar() -> None:
    """Its parts are as long as the run was queued, running and waiting, and are named for readers of screens."""
    async with fed() as source, opened(source) as (tab, _):
        await source.feed(script("run_1").start().wait(5).say("a").end().raw_events())
        await tab.until("document.querySelector('#ended .timeline')?.ariaLabel?.includes('running')")
        assert await tab.value("getComputedStyle(document.querySelector('.timeline .running')).flexGrow > 0")
        await tab.until("document.querySelector('#ended .facts').textContent.includes('started')")


COUNT = """
(() => {
  window.repaints = [];
  let cards = new Set(), changes = 0;
  new MutationObserver((records) => {
    for (const { target } of records) {
      const card = target.parentElement?.closest("article") ?? (target.matches?.("article") ? target : null);
      if (card) { cards.add(card); changes += 1; }
    }
  }).observe(document.querySelector("main"),
    { subtree: true, childList: true, characterData: true, attributes: true });
  const next = () => {
    repaints.push({ cards: cards.size, changes });
    cards = new Set(); changes = 0;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
  return 0;
})()
"""


async def test_a_repaint_draws_what_can_be_seen_for_any_number_of_runs() -> None:
    """Between two repaints no more cards change than those in the window and some others, though all runs grow.

    The work is counted, not timed: the changes of elements between two repaints.
    """
    count = 240
    async with fed() as source, opened(source, max_runs=count) as (tab, _):
        made = [script(f"run_{number}").start() for number in range(count)]
        writing = [run.open_message() for run in made]
        await source.feed([event for run in made for event in run.raw_events()])
        await tab.until(f"document.querySelectorAll('article .status').length === {count}")
        sent = [len(run.raw_events()) for run in made]
        await tab.value(COUNT)
        for _ in range(3):
            for one in writing:
                one.write("words ")
            await source.feed(
                [event for run, start in zip(made, sent, strict=True) for event in run.raw_events()[start:]]
            )
            sent = [len(run.raw_events()) for run in made]
        texts = "[...document.querySelectorAll('.message .text')].map(e => e.textContent)"
        await tab.until(f"{texts}.filter(text => text === 'words words words ').length === {count}")
        places = "[...document.querySelectorAll('article')].map(e => e.getBoundingClientRect())"
        seen = await tab.value(f"{places}.filter(r => r.bottom > -300 && r.top < innerHeight + 300).length")
        assert 0 < seen < count / 3
        repaints = await tab.value("repaints")
        assert sum(repaint["cards"] for repaint in repaints) >= count
        assert max(repaint["cards"] for repaint in repaints) <= seen + 2 * SPARE
        assert max(repaint["changes"] for repaint in repaints) <= 20 * (seen + 2 * SPARE)


@pytest.mark.slow
async def test_two_thousand_runs() -> None:
    """All are shown and found."""
    async with fed() as source, opened(source, max_runs=2000) as (tab, _):
        await source.feed(event for number in range(2000) for event in said(f"run_{number}", f"word{number} said"))
        await tab.until("document.querySelectorAll('article').length === 2000", within=60)
        await write(tab, "word1999")
        await tab.until("document.querySelector('#found').textContent === '1 of 2000 runs'")
        assert await visible(tab) == ["run_1999"]


SERIOUS = (
    "axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
    ".map(v => `${v.id}: ${v.nodes.map(n => n.target).join(' ')}`))"
)


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 390)], ids=["light", "dark-phone"])
async def test_nothing_serious_is_found_by_axe(dark: bool, width: int) -> None:
    """The accessibility checker finds nothing serious in any view: the empty page, the list with runs of each kind and
    all logs open, a search, one run, and the dialog of the keys."""
    _, folder = interop_node("axe-core")
    axe = (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    async with fed() as source, opened(source) as (tab, _):
        await tab.size(width, 900, dark=dark, still=True)
        await tab.value(f"{axe}; 0")
        assert await tab.value(SERIOUS) == []
        await many(source, 6)
        told = script("run_waits", model="m").start()
        told.call(get_time={"zone": "UTC"})
        for status in ("cancelled", "expired", "incomplete"):
            await source.feed(said(f"run_{status}", "a", end=status))
        await source.feed([*told.raw_events(), RawEvent("thread.run.created", b"{")])
        await tab.until("document.querySelectorAll('article .status').length === 10")
        await tab.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        await tab.until("document.querySelectorAll('#signals .kind').length > 0")
        assert await tab.value(SERIOUS) == []
        await write(tab, "model-1")
        await tab.until("document.querySelector('#found').textContent === '2 of 10 runs'")
        assert await tab.value(SERIOUS) == []
        await press(tab, "Escape")
        await tab.value("location.hash = '#run=run_waits'")
        await tab.until("document.querySelector('#found').textContent === '1 of 10 runs'")
        assert await tab.value(SERIOUS) == []
        await press(tab, "?")
        await tab.until("document.querySelector('#keys').open")
        assert await tab.value(SERIOUS) == []
