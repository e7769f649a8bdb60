"""The servers that several modules of tests start: each with a scripted model, or a skip where a package is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.environments import APPS, interop_command, interop_python
from tests.interop.servers import Server, run_server

__all__ = ["OFFLINE", "fastresponses_server", "langgraph_over_ag_ui", "langgraph_server", "pydantic_agent"]

OFFLINE = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true", "LANGSMITH_TRACING": "false"}
"""The environment variables that keep LangGraph on this machine."""


@contextmanager
def pydantic_agent() -> Iterator[Server]:
    """An agent of Pydantic AI behind AG-UI."""
    python = interop_python("pydantic_ai", "ag_ui", "starlette", "uvicorn")
    with run_server([python, APPS / "ag_ui_agent.py", "{port}"]) as server:
        yield server


@contextmanager
def langgraph_over_ag_ui() -> Iterator[Server]:
    """A graph of LangGraph behind AG-UI."""
    python = interop_python("ag_ui_langgraph", "langgraph", "fastapi", "uvicorn")
    with run_server([python, APPS / "ag_ui_graph.py", "{port}"], ready="/docs") as server:
        yield server


@contextmanager
def langgraph_server(folder: Path, **environ: str) -> Iterator[Server]:
    """A LangGraph server.

    Args:
        folder: A folder that does not exist yet; the server writes beside the copied graphs.
        environ: Further environment variables.
    """
    interop_python("langgraph_api", "langgraph_cli")
    command = [interop_command("langgraph"), "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1"]
    shutil.copytree(APPS / "langgraph_app", folder)
    with run_server(
        [*command, "--port", "{port}"], ready="/ok", cwd=folder, environ={**OFFLINE, **environ}, timeout=120
    ) as server:
        yield server


@contextmanager
def fastresponses_server() -> Iterator[Server]:
    """A fastresponses server with a scripted agent."""
    interop_python("fastresponses")
    command = [interop_command("fastresponses"), "serve", f"{APPS / 'responses_agent.py'}:agent"]
    with run_server([*command, "--host", "127.0.0.1", "--port", "{port}"], ready="/docs") as server:
        yield server
