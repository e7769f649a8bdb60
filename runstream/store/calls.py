"""The contract of a store for the outputs of executed calls, so that a restart executes no call again."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["CallStore"]


@runtime_checkable
class CallStore(Protocol):
    """The storage for the outputs of calls that were executed, and perhaps not submitted yet.

    :class:`MemoryStore` and :class:`SqliteStore` are two. A :class:`StateStore` that has these methods too is used by
    clients for both. All methods are called in the loop's thread.
    """

    def get_output(self, scope: str, run_id: str, call_key: str) -> str | None:
        """The output of a call; ``None`` if it is not stored."""

    def put_output(self, scope: str, run_id: str, call_key: str, output: str) -> None:
        """Store the output of a call, durably."""

    def forget_outputs(self, scope: str, run_id: str) -> None:
        """Remove the outputs of a run."""
