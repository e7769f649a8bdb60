"""`BlockingClient`: a client for programs without an event loop, with plain calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from runstream.clients.answers import ApproveFunction, CallAnswer
from runstream.clients.base import BaseClient
from runstream.clients.tools import ToolLike
from runstream.model.run import Run
from runstream.stream.blocking import BlockingStream
from runstream.stream.blocking_loop import BlockingLoop
from runstream.stream.run_stream import RunStream

__all__ = ["BlockingClient"]


class BlockingClient:
    """A client in a synchronous program: a script, a worker, a notebook cell, a test.

    ::

        with BlockingClient(ResponsesClient(url, api_key=key, tools=[get_weather])) as client:
            with client.run(model="small", input="How is the weather in Oslo?") as stream:
                run = stream.result()

    It has the methods of its client, as plain calls; their streams are :class:`BlockingStream` objects, which share its
    event loop. The loop runs **in the calling thread, while one of them waits**, and only then: streams are read and
    tools are executed in the meantime. A program with several threads has a client for each. Leaving the context
    closes the client and the loop.

    Tools and handlers may be plain functions. A handler may call :meth:`answer`, :meth:`approve` and :meth:`decline`.

    Args:
        client: The client.

    Attributes:
        client: The client.
    """

    def __init__(self, client: BaseClient) -> None:
        self.client = client
        self._loop = BlockingLoop("BlockingClient")
        # By the id of the stream, which cannot be that of another one while the BlockingStream has it.
        self._streams: WeakValueDictionary[int, BlockingStream] = WeakValueDictionary()

    def __enter__(self) -> BlockingClient:
        self._loop.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._loop.is_open:
            return
        try:
            self._loop.wait(self.client.aclose())
        finally:
            self._loop.close()

    def run(
        self,
        body: Mapping[str, Any] | None = None,
        *,
        tools: Iterable[ToolLike] = (),
        approve: ApproveFunction | None = None,
        timeout: float | None = None,
        **fields: Any,
    ) -> BlockingStream:
        """Start a run: :meth:`BaseClient.run`.

        Args:
            body: The body of the request, as the protocol has it.
            tools: Tools of this run, in addition to those of the client.
            approve: Decides about approvals and interrupts of this run, in place of that of the client.
            timeout: The longest time until the end of the run (seconds), waiting included.
            fields: Fields of the body.

        Raises:
            ValueError: A field of the body that the client needs is missing, or the time-out is outside its range.
            RuntimeError: Outside ``with``, or inside an event loop.
        """
        return self._stream(lambda: self.client.run(body, tools=tools, approve=approve, timeout=timeout, **fields))

    def rejoin(
        self,
        run_id: str,
        *,
        tools: Iterable[ToolLike] = (),
        approve: ApproveFunction | None = None,
        timeout: float | None = None,
        **place: Any,
    ) -> BlockingStream:
        """Follow a run that goes on without a stream here: :meth:`BaseClient.rejoin`.

        Args:
            run_id: The id of the run.
            tools: See :meth:`run`.
            approve: See :meth:`run`.
            timeout: The longest time until the end of the run (seconds), waiting included.
            place: Where the run is, if this client has not seen it; see the client.

        Raises:
            LookupError: The place of the run is not known.
            ValueError: The run has ended, as the client or its store knows.
            UnsupportedRequest: The protocol has no way to do it.
            RuntimeError: See :meth:`run`.
        """
        return self._stream(lambda: self.client.rejoin(run_id, tools=tools, approve=approve, timeout=timeout, **place))

    def fetch(self, run_id: str, **place: Any) -> Run:
        """The run as it is on the server: :meth:`BaseClient.fetch`.

        Raises:
            RequestFailed: The server refused the request, or has no such run.
            LookupError: The place of the run is not known.
            UnsupportedRequest: The protocol has no way to do it.
            RuntimeError: See :meth:`run`.
        """
        return self._loop.wait(self.client.fetch(run_id, **place))

    def cancel(self, run_id: str, **place: Any) -> Run | None:
        """Ask the server to cancel a run: :meth:`BaseClient.cancel`.

        Raises:
            RequestFailed: The server refused it, as it does for a run that has ended.
            LookupError: The place of the run is not known.
            RuntimeError: See :meth:`run`.
        """
        return self._loop.wait(self.client.cancel(run_id, **place))

    def answer(self, run_id: str, answers: Mapping[str, Any]) -> BlockingStream:
        """Answer calls of a run that waits: :meth:`BaseClient.answer`.

        Returns:
            The stream of the run: the open one, or a new one if it has ended.

        Raises:
            LookupError: The run does not wait here, or not for such a call.
            AnswerNotValid: An answer does not fit the schema of its interrupt; nothing was noted or sent.
            TypeError: An output can't be encoded.
            RuntimeError: See :meth:`run`.
        """
        return self._stream(lambda: self.client.answer(run_id, answers))

    def submitted(self, run_id: str) -> Mapping[str, CallAnswer]:
        """The answers that were submitted for a run: :meth:`BaseClient.submitted`.

        Args:
            run_id: The id of the run.

        Returns:
            The answers by the keys of the calls.
        """
        return self.client.submitted(run_id)

    def approve(self, run_id: str, *call_ids: str, value: Any = None) -> BlockingStream:
        """Approve calls of a run that waits, or answer its interrupts: :meth:`BaseClient.approve`.

        Raises:
            LookupError: See :meth:`answer`.
            AnswerNotValid: See :meth:`answer`.
            RuntimeError: See :meth:`run`.
        """
        return self._stream(lambda: self.client.approve(run_id, *call_ids, value=value))

    def decline(self, run_id: str, *call_ids: str, reason: str = "") -> BlockingStream:
        """Decline calls of a run that waits, or answer its interrupts with "no": :meth:`BaseClient.decline`.

        Raises:
            LookupError: See :meth:`answer`.
            AnswerNotValid: See :meth:`answer`.
            RuntimeError: See :meth:`run`.
        """
        return self._stream(lambda: self.client.decline(run_id, *call_ids, reason=reason))

    def _stream(self, make: Callable[[], RunStream]) -> BlockingStream:
        """The stream that a method of the client returns: the same object for the same stream."""
        stream = self._loop.call(make)
        found = self._streams.get(id(stream))
        if found is None:
            found = self._streams[id(stream)] = BlockingStream(stream, loop=self._loop)
        return found
