"""Executes the calls of tools: each once, a bounded number at a time, over all runs of a client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from runstream.clients.outputs import FailureKind, ToolErrorPolicy, ToolFailed, encode_output, failure_output
from runstream.clients.tools import LocalTool, ToolArgumentsError, ToolContext
from runstream.logs import LOG
from runstream.model.run import RunKey
from runstream.model.signal_base import AwaitedCall
from runstream.model.validation import check_counts
from runstream.sources.user_calls import call_in_thread
from runstream.store.calls import CallStore

__all__ = ["CONCURRENCY", "ToolRunner"]

CONCURRENCY: Final = 128
"""How many calls are executed at a time, by default."""


class ToolRunner:
    """Executes calls, each once per call key while its run is open.

    A call that is requested again, in this process or after a restart with a store, gets the output of its first
    execution. A call that was being executed when the process was killed is executed again.

    Args:
        concurrency: How many calls are executed at a time. A plain function runs in a thread of its own.
        timeout: The longest time of one call (seconds) of a tool that has none of its own; ``None``: unlimited. A
            thread can't be stopped: after the time-out its result is ignored.
        on_error: The policy for calls that failed.
        store: Stores the outputs until their run has ended.
    """

    def __init__(
        self,
        *,
        concurrency: int = CONCURRENCY,
        timeout: float | None = None,
        on_error: ToolErrorPolicy = failure_output,
        store: CallStore | None = None,
    ) -> None:
        check_counts(concurrency=concurrency)
        if timeout is not None and not 0 < timeout < float("inf"):
            raise ValueError("timeout must be a positive number of seconds")
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout = timeout
        self._on_error = on_error
        self._store = store
        self._tasks: dict[RunKey, dict[str, asyncio.Task[str]]] = {}

    @property
    def running(self) -> int:
        """The number of calls that are being executed, or wait for a place."""
        return sum(not task.done() for tasks in self._tasks.values() for task in tasks.values())

    async def run(self, run: RunKey, tool: LocalTool, call: AwaitedCall, context: ToolContext) -> str:
        """The output of a call: of this execution, or of an earlier one under its key.

        Args:
            run: The scope and id of the run.
            tool: The tool.
            call: The call.
            context: What the function gets if it asks for it.

        Raises:
            ToolFailed: It failed, and the policy gives no output for it. A further request executes it again.
            asyncio.CancelledError: The run has ended, or the caller was cancelled.
        """
        tasks = self._tasks.setdefault(run, {})
        task = tasks.get(call.key)
        if task is None:
            if self._store is not None and (output := self._store.get_output(*run, call.key)) is not None:
                return output
            task = tasks[call.key] = asyncio.create_task(self._execute(run, tool, call, context))
        try:
            return await asyncio.shield(task)
        except ToolFailed:
            if tasks.get(call.key) is task:
                del tasks[call.key]
            raise

    def cancel(self, run: RunKey, keys: Iterable[str] | None = None) -> None:
        """Cancel the calls of a run that are being executed, and forget all of its outputs.

        Args:
            run: The scope and id of the run.
            keys: The keys of calls that are cancelled, while the rest is kept; ``None``: all.
        """
        tasks = self._tasks.get(run, {})
        for key in list(tasks) if keys is None else keys:
            if (task := tasks.pop(key, None)) is not None:
                task.cancel()
        if keys is None:
            self._tasks.pop(run, None)
            if self._store is not None:
                self._store.forget_outputs(*run)

    def close(self) -> None:
        """Cancel all calls. Stored outputs stay."""
        for tasks in self._tasks.values():
            for task in tasks.values():
                task.cancel()
        self._tasks.clear()

    async def _execute(self, run: RunKey, tool: LocalTool, call: AwaitedCall, context: ToolContext) -> str:
        async with self._slots:
            try:
                output = encode_result(await self._call(tool, call, context))
            except _Failure as failure:
                failed = ToolFailed(tool.name, call.key, failure.kind, failure.error)
                LOG.warning("tool_failed", tool=tool.name, key=call.key, kind=failure.kind, error=_class(failure.error))
                answer = self._on_error(failed)
                if answer is None:
                    raise failed from failure.error
                output = answer
        if self._store is not None:
            self._store.put_output(*run, call.key, output)
        return output

    async def _call(self, tool: LocalTool, call: AwaitedCall, context: ToolContext) -> Any:
        try:
            if call.error is not None and not call.arguments:
                raise ToolArgumentsError(call.error)  # they have a gap: a tool without arguments is another call
            arguments = tool.bind(tool.decode(call.arguments, text=call.kind == "custom"), context)
        except ToolArgumentsError as error:
            raise _Failure("arguments", error) from error
        seconds = tool.timeout if tool.timeout is not None else self._timeout
        try:
            async with asyncio.timeout(seconds) as limit:
                call_tool = partial(tool, **arguments)
                result: Any = call_tool() if tool.is_async else await call_in_thread(call_tool, name="runstream tool")
                return await result if inspect.isawaitable(result) else result
        except TimeoutError as error:
            raise _Failure("timeout" if limit.expired() else "exception", error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _Failure("exception", RuntimeError("the tool was cancelled by itself")) from None
        except Exception as error:
            raise _Failure("exception", error) from error


class _Failure(Exception):
    """A call failed; the policy decides."""

    def __init__(self, kind: FailureKind, error: BaseException) -> None:
        super().__init__(kind)
        self.kind: FailureKind = kind
        self.error = error


def encode_result(value: Any) -> str:
    """The result of a tool as text.

    Raises:
        _Failure: It can't be encoded.
    """
    try:
        return encode_output(value)
    except Exception as error:
        # A property or hook of the application's own objects may raise anything.
        raise _Failure("result", error) from error


def _class(error: BaseException) -> str:
    return type(error).__name__
