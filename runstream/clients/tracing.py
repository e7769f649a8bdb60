"""The trace contexts of a client: its requests and tools belong to the spans of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, Protocol

from runstream.sources.base import Receiver, Source
from runstream.sources.credentials import Credentials, merge_headers, resolve_headers
from runstream.stream.run_stream import RunStream

__all__ = ["RunTracing", "TracedSource", "in_call", "traced_credentials"]

_RUN: Final[ContextVar[Callable[[], str] | None]] = ContextVar("runstream_traced_run", default=None)
"""Returns the id of the run that the current requests are about, "" if it is not known yet."""


class RunTracing(Protocol):
    """What a client needs of a tracer; :class:`~runstream.RunTracer` has it."""

    def observe(self, stream: RunStream) -> object:
        """Record the runs of a stream.

        Args:
            stream: The stream.
        """

    def request_headers(self, run_id: str = "") -> Mapping[str, str]:
        """The headers that carry the trace context of a run, or the current one, to a server.

        Args:
            run_id: The id of the run, "" for none.
        """

    def in_run(self, run_id: str, call_key: str = "", *, scope: str = "") -> AbstractContextManager[None]:
        """Make the span of a run, or of one of its calls, the current one.

        Args:
            run_id: The id of the run.
            call_key: The key of a call; "" for the run itself.
            scope: The scope of the run's source.
        """


class TracedSource:
    """A source whose requests carry the trace context of its run.

    Args:
        source: The source.
        run_id: Returns the id of the run, "" while it is not known.
    """

    def __init__(self, source: Source, run_id: Callable[[], str]) -> None:
        self.name = source.name
        self._source = source
        self._run_id = run_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`."""
        _RUN.set(self._run_id)  # the task of a source is its own
        await self._source.run(receiver)


def in_call(
    tracer: RunTracing | None, run_id: str, call_key: str = "", *, scope: str = ""
) -> AbstractContextManager[None]:
    """Make the span of a call the current one; without a tracer nothing is done.

    Args:
        tracer: The tracer of the client.
        run_id: The id of the run.
        call_key: The key of the call.
        scope: The scope of the run.
    """
    return nullcontext() if tracer is None else tracer.in_run(run_id, call_key, scope=scope)


def traced_credentials(auth: Credentials | None, tracer: RunTracing) -> Credentials:
    """Credentials with the trace context: they are the headers that are made for each request.

    Args:
        auth: The credentials of the client.
        tracer: The tracer of the client.
    """

    async def headers() -> Mapping[str, str]:
        run_id = _RUN.get()
        return merge_headers(
            tracer.request_headers(run_id() if run_id is not None else ""), await resolve_headers(auth)
        )

    return headers
