"""Tools for tests of applications: scripted runs, as a server would stream them, with the expected final states.

``script`` and ``events_of`` build a run in a few lines. ``serve_script`` is a server of the Assistants API, the
Responses API, AG-UI and LangGraph with a scripted model (it needs the extra ``testing``). ``scripts``,
``conversations``, ``texts``, ``json_values`` and ``value_events`` are Hypothesis strategies (they need the
``hypothesis`` package).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstream.testing.cassettes import Cassette, CassetteMode
from runstream.testing.conversation import Conversation, events_of
from runstream.testing.script import OpenCalls, OpenMessage, Script
from runstream.testing.server import ScriptedApi, ScriptedServer, serve_script
from runstream.testing.turns import Model, Question, ScriptedCall, ScriptedRequest, Turn
from runstream.testing.wire import Json, WireEvent

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "Cassette",
    "CassetteMode",
    "Conversation",
    "Json",
    "Model",
    "OpenCalls",
    "OpenMessage",
    "Question",
    "Script",
    "ScriptedApi",
    "ScriptedCall",
    "ScriptedRequest",
    "ScriptedServer",
    "Turn",
    "WireEvent",
    "conversations",
    "events_of",
    "json_values",
    "script",
    "scripts",
    "serve_script",
    "texts",
    "value_events",
]

script = Script


def texts(max_size: int = 40) -> SearchStrategy[str]:
    """Any text that JSON can represent, without lone surrogates.

    Args:
        max_size: Maximum length (characters).
    """
    from runstream.testing import strategies

    return strategies.texts(max_size)


def scripts(run_id: str = "run_1", *, max_acts: int = 4) -> SearchStrategy[Script]:
    """Whole runs: several messages and tool calls, also in parallel, several rounds, any final status or none.

    Args:
        run_id: The id of the run.
        max_acts: Maximum number of messages, steps and errors.
    """
    from runstream.testing import strategies

    return strategies.scripts(run_id, max_acts=max_acts)


def conversations(*, max_runs: int = 3, max_acts: int = 4) -> SearchStrategy[Conversation]:
    """Several runs (see :func:`scripts`), to be streamed one after the other or interleaved.

    Args:
        max_runs: Maximum number of runs.
        max_acts: Maximum number of messages, steps and errors in each.
    """
    from runstream.testing import strategies

    return strategies.conversations(max_runs=max_runs, max_acts=max_acts)


def json_values() -> SearchStrategy[Any]:
    """Any JSON value, small."""
    from runstream.testing import value_strategies

    return value_strategies.json_values()


def value_events(run_id: str = "run_1") -> SearchStrategy[list[Any]]:
    """Canonical events of documents and activities, with ids, as a dialect makes them; some of the patches fail.

    Args:
        run_id: The id of their run.
    """
    from runstream.testing import value_strategies

    return value_strategies.value_events(run_id)
