"""The OpenAI Agents SDK in the same process: the events of its run are a source."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.interop.environments import APPS, interop_python

ROOT = Path(__file__).parents[2]


def test_a_run_of_the_sdk_is_one_run() -> None:
    """Two responses with a tool between them: one run with its call, the output of its tool, text and tokens."""
    python = interop_python("agents", "msgspec", "reactivex", "structlog", "websockets")
    found = subprocess.run(
        [python, str(APPS / "openai_agents_run.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_AGENTS_DISABLE_TRACING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    shown = json.loads(found.stdout)
    assert shown["final"] == "Sunny in Oslo."
    assert shown["runs"] == [["resp_1", "completed", "Sunny in Oslo.", ["resp_1", "resp_2"]]]
    assert shown["tokens"] == [30]
    assert shown["results"] == [["call_1", "sunny in Oslo"]]
    assert len(set(shown["keys"])) == len(shown["keys"])
    assert "resp_1/action_required/call_1" in shown["keys"]
    assert shown["keys"][-2] == "resp_1/completed"
