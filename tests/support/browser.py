"""Headless Chromium, driven over the DevTools protocol: just what tests of a page need.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

__all__ = ["Browser", "Tab", "browsing", "chromium"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE: Final = 30.0  # seconds; machines that run tests are slow


def chromium() -> str | None:
    """Where the browser is on this machine, if it has one."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page in a browser.

    Attributes:
        errors: What went wrong in it: exceptions of scripts, errors on its console, what its policy refused.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.errors: list[str] = []

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol."""
        return await self._browser.call(method, session=self._session, **params)

    async def size(self, width: int, height: int, *, scale: float = 1, dark: bool = False, still: bool = False) -> None:
        """Set the viewport (CSS pixels) and what the user prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def go(self, url: str) -> None:
        """Open a page."""
        await self.call("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What an expression gives in the page.

        Raises:
            RuntimeError: It throws.
        """
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    async def text(self, selector: str) -> list[str]:
        """The text of all elements that are shown and match a selector."""
        name = msgspec.json.encode(selector).decode()
        found: list[str] = await self.value(
            f"[...document.querySelectorAll({name})].filter(e => e.checkVisibility()).map(e => e.textContent)"
        )
        return found

    async def shows(self, selector: str, expected: list[str]) -> None:
        """Wait until the text of all elements that are shown and match a selector is as expected.

        Raises:
            AssertionError: It is not, within the time that a test waits.
        """
        found: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while (found := await self.text(selector)) != expected:
                    await asyncio.sleep(0.05)
        assert found == expected

    async def until(self, expression: str, within: float = _PATIENCE) -> Any:
        """Wait until an expression is true in the page, and return what it gives.

        Raises:
            TimeoutError: It is not, within so many seconds.
        """
        async with asyncio.timeout(within):
            while True:
                with suppress(RuntimeError):  # the page is just being left
                    if found := await self.value(expression):
                        return found
                await asyncio.sleep(0.05)

    async def picture(self) -> bytes:
        """A PNG of the viewport."""
        found = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])


class Browser:
    """A running browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tabs: dict[str, Tab] = {}

    async def call(self, method: str, *, session: str | None = None, **params: Any) -> Any:
        """Call a method of the protocol and wait for its result.

        Raises:
            RuntimeError: The browser refuses.
            TimeoutError: It does not answer.
        """
        id = next(self._ids)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        message = {"id": id, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self._connection.send(msgspec.json.encode(message), text=True)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await answer
        finally:
            del self._answers[id]

    async def tab(self) -> Tab:
        """A new tab, with nothing in it yet; a desktop's by its size."""
        target = await self.call("Target.createTarget", url="about:blank")
        found = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = self._tabs[found["sessionId"]] = Tab(self, found["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await tab.call(f"{domain}.enable")
        await tab.size(1280, 800)
        return tab

    async def listen(self) -> None:
        """Take in what the browser says, until it leaves."""
        async for text in self._connection:
            message = msgspec.json.decode(text)
            if "id" in message:
                answer = self._answers.get(message["id"])
                if answer is not None and not answer.done():
                    if "error" in message:
                        answer.set_exception(RuntimeError(str(message["error"])))
                    else:
                        answer.set_result(message["result"])
            elif (tab := self._tabs.get(message.get("sessionId", ""))) is not None:
                self._note(tab, message["method"], message["params"])

    def _note(self, tab: Tab, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            tab.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            tab.errors.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "assert"}:
            tab.errors.append(str(params["args"]))


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser in a process of its own; the test is skipped where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            path,
            "--headless=new",
            "--no-sandbox",  # in a container there is none to be had, and it shows our own page only
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            url = await _endpoint(Path(profile) / "DevToolsActivePort")
            async with connect(url, max_size=None, proxy=None, ping_interval=None, compression=None) as connection:
                browser = Browser(connection)
                listening = asyncio.create_task(browser.listen())
                try:
                    yield browser
                finally:
                    with suppress(RuntimeError, TimeoutError):
                        await browser.call("Browser.close")
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        finally:
            try:
                async with asyncio.timeout(25):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _endpoint(file: Path) -> str:
    """The address that the browser writes down once it listens."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            written = await asyncio.to_thread(_lines, file)
            if len(written) >= 2:
                return f"ws://127.0.0.1:{written[0]}{written[1]}"
            await asyncio.sleep(0.05)


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
