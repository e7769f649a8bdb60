"""The programs of docs/use-chat.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runstream.testing import Turn, serve_script
from tests.sinks.ui_message_stream.posting import Chat

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "use-chat.md").read_text(encoding="utf-8")
TURNS: list[Turn | str] = [
    Turn(calls={"list_notes": {"folder": "inbox"}}),
    Turn(approvals={"delete_notes": {}}),
    "Done.",
]


def block(mark: str, language: str) -> str:
    """A block of code of the page, by the comment before it."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n\n```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, mark
    return found[1]


async def test_the_server_runs_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole program, mounted as it is there."""
    async with serve_script(TURNS) as server:
        monkeypatch.setenv("MODEL_URL", server.url)
        names: dict[str, Any] = {"__name__": "app"}
        exec(
            compile(f"from __future__ import annotations\n{block('program: server', 'python')}", "app.py", "exec"),
            names,
        )

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await names["app"]({**scope, "path": "/api/chat", "query_string": b""}, receive, send)

        chat = Chat(app)
        chat.say("Tidy up my notes.")
        await chat.send()
        parts = [part for part in chat.message["parts"] if "toolCallId" in part]
        assert parts[0]["output"] == ["boat.txt", "plan.txt"]
        chat.decide(parts[1]["toolCallId"], approved=True)
        await chat.send()
        assert chat.message["parts"][-1]["text"] == "Done."
        await names["client"].aclose()


def test_the_page_is_the_one_that_is_tested() -> None:
    """The component is that of tests/interop/test_use_chat.py."""
    source = (ROOT / "tests" / "interop" / "apps" / "use_chat.jsx").read_text(encoding="utf-8")
    assert block("tests/interop/apps/use_chat.jsx", "jsx").strip() == source.strip()
