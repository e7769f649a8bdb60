"""What applications test themselves with: made-up runs, as a server would stream them, and what must come of them.

``script`` and ``events_of`` tell a run in a few lines; ``scripts``, ``conversations`` and ``texts`` are Hypothesis
strategies (they need the ``hypothesis`` package).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstream.testing.conversation import Conversation, events_of
from runstream.testing.script import Calls, Script, Writing
from runstream.testing.wire import Json, Told

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "Calls",
    "Conversation",
    "Json",
    "Script",
    "Told",
    "Writing",
    "conversations",
    "events_of",
    "script",
    "scripts",
    "texts",
]

script = Script


def texts(max_size: int = 40) -> SearchStrategy[str]:
    """Any text that JSON can carry, lone surrogates left out.

    Args:
        max_size: Its length at most (characters).
    """
    from runstream.testing import strategies

    return strategies.texts(max_size)


def scripts(run_id: str = "run_1", *, max_acts: int = 4) -> SearchStrategy[Script]:
    """Whole runs: several messages and tool calls, also at once, several rounds, all endings and none.

    Args:
        run_id: The run's id.
        max_acts: How much happens in it at most.
    """
    from runstream.testing import strategies

    return strategies.scripts(run_id, max_acts=max_acts)


def conversations(*, max_runs: int = 3, max_acts: int = 4) -> SearchStrategy[Conversation]:
    """Several runs (see :func:`scripts`), to be told one after the other or interleaved.

    Args:
        max_runs: How many runs at most.
        max_acts: How much happens in each at most.
    """
    from runstream.testing import strategies

    return strategies.conversations(max_runs=max_runs, max_acts=max_acts)
