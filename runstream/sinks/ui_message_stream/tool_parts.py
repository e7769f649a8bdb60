"""Tool calls as parts of a UI message: growing and complete calls, outputs and requests in, chunks out. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from runstream.clients.answers import CallAnswer, Decline, Output
from runstream.model.keys import escape_id
from runstream.model.signals import AwaitedCall
from runstream.model.tool_calls import FunctionToolCall, GenericToolCall, ToolCall
from runstream.sinks.ui_message_stream.chunks import UiMessageChunk, readable
from runstream.sinks.ui_message_stream.tool_calls import (
    approval_of,
    awaited_input,
    failure_of,
    has_text_input,
    input_error,
    input_of,
    is_run_by_server,
    output_of,
    output_value,
    tool_call_id,
)

__all__ = ["DECIDED", "SdkVersion", "ToolPart", "ToolParts"]

SdkVersion: TypeAlias = Literal[5, 6]
"""The oldest version of the package `ai` that reads a stream."""

DECIDED: Final = frozenset({"approval", "interrupt"})
"""The kinds of calls that a person decides about."""

_DECLINED: Final = "The call was declined."
_FAILED: Final = "The call failed."
_LOOK_UPS: Final = 3  # of the name of a call: it stands in the first fragment, or in none


class _Stage(enum.IntEnum):
    NEW = 0  # no chunk was sent, for want of a name
    GROWING = 1  # the input is streamed
    WHOLE = 2  # the input is available
    ENDED = 3  # the output is available


# The states of posted parts, but for those whose input is whole.
_POSTED: Final = {"input-streaming": _Stage.NEW, "output-denied": _Stage.ENDED}
# The states of posted parts with an output. One that the browser made is no end here: the server may report it too.
_OUTPUTS: Final = frozenset({"output-available", "output-error"})


class ToolPart:
    """One call.

    Attributes:
        id: Its ``toolCallId``.
        name: Its ``toolName``; "" so far.
        dynamic: True if the front end has no type for the tool.
        server: True if the server executes it.
        stage: What was sent of it.
    """

    __slots__ = (
        "_output_length",
        "_output_sent",
        "asked",
        "decided",
        "dynamic",
        "id",
        "look_ups",
        "name",
        "output",
        "pending",
        "server",
        "stage",
    )

    def __init__(self, id: str) -> None:
        self.id = id
        self.name = ""
        self.dynamic = False
        self.server = False
        self.stage = _Stage.NEW
        self.asked = False  # a request for an approval was sent
        self.decided = False  # it is a question, which has no output of its own
        self.look_ups = 0
        self.pending: list[str] = []  # arguments that came before the name
        self.output: list[str] = []  # the pieces of an output that grows
        self._output_length = self._output_sent = 0  # characters

    def flags(self) -> UiMessageChunk:
        """The optional fields that are true; version 5 needs ``dynamic`` in each chunk of a dynamic tool."""
        return {**({"dynamic": True} if self.dynamic else {}), **({"providerExecuted": True} if self.server else {})}

    def preliminary(self, *, all: bool) -> list[UiMessageChunk]:
        """The output so far, as a chunk.

        Args:
            all: False to send it only if it has doubled, so that the whole costs no more than its length.
        """
        length = self._output_length
        if not length or length == self._output_sent or (not all and length < 2 * self._output_sent):
            return []
        text = "".join(self.output)
        self.output, self._output_sent = [text], length
        return [{"type": "tool-output-available", **self._place(), "output": text, "preliminary": True}]

    def add_output(self, text: str) -> None:
        """Note a piece of an output that grows."""
        self.output.append(text)
        self._output_length += len(text)

    def available(self, value: Any) -> UiMessageChunk:
        """The chunk with the whole input."""
        self.stage, self.pending = _Stage.WHOLE, []
        return {"type": "tool-input-available", **self._place(), "toolName": self.name, "input": value}

    def invalid(self, text: str | None) -> UiMessageChunk:
        """The chunk of an input that can't be read."""
        self.stage, self.pending = _Stage.WHOLE, []
        error = "The arguments are not JSON."
        place = {**self._place(), "toolName": self.name}
        return {"type": "tool-input-error", **place, "input": text, "errorText": error}

    def ended(self, value: Any) -> UiMessageChunk:
        """The chunk with the output. No browser has to execute the call."""
        self.stage, self.output = _Stage.ENDED, []
        return {"type": "tool-output-available", **self._place(), "output": value, "providerExecuted": True}

    def failed(self, text: str) -> UiMessageChunk:
        """The chunk of a call without output."""
        self.stage, self.output = _Stage.ENDED, []
        return {"type": "tool-output-error", **self._place(), "errorText": text, "providerExecuted": True}

    def _place(self) -> UiMessageChunk:
        return {"toolCallId": self.id, **self.flags()}


class ToolParts:
    """The tool calls of a UI message.

    Args:
        sdk: The version of the reader.
        typed_tools: The names of the tools that the front end has types for; ``None``: all functions.
        posted: The tool parts that the browser has already, by ``toolCallId``.

    Attributes:
        has_output: True if a call that the server does not run has ended since this was set to false.
    """

    def __init__(self, sdk: SdkVersion, typed_tools: Collection[str] | None, posted: Mapping[str, Any]) -> None:
        self._sdk = sdk
        self._typed = None if typed_tools is None else frozenset(typed_tools)
        self._posted = posted
        self._parts: dict[str, ToolPart] = {}  # by call key
        self._ids: dict[str, str] = {}  # call keys by `toolCallId`
        self._growing = 0
        self._declined: set[str] = set()
        self.has_output = False

    @property
    def is_growing(self) -> bool:
        """True if the input of any call is being streamed: a step can't end then."""
        return self._growing > 0

    def part(self, key: str) -> ToolPart:
        """The part of a call.

        Args:
            key: The key of the call.
        """
        part = self._parts.get(key)
        if part is None:
            id = tool_call_id(key)
            if id in self._ids:
                id = key  # an equal id in another run
            self._ids[id] = key
            part = self._parts[key] = ToolPart(id)
            if (posted := self._posted.get(id)) is not None:
                self._read_posted(part, posted)
        return part

    def is_known(self, key: str) -> bool:
        """True if there is a part of a call.

        Args:
            key: The key of the call.
        """
        return key in self._parts

    def open_keys(self, run_key: str) -> list[str]:
        """The keys of the calls of a run whose input is whole, and that have no output.

        Args:
            run_key: The key of the run.
        """
        start = f"{run_key}/call/"
        return [key for key, part in self._parts.items() if part.stage is _Stage.WHOLE and key.startswith(start)]

    def keys(self) -> Mapping[str, str]:
        """The keys of the calls by ``toolCallId``."""
        return self._ids

    def begin(self, key: str, call: ToolCall) -> Iterator[UiMessageChunk]:
        """The chunks of a call that was announced: the beginning of its input, if it has a name."""
        if (asked := approval_of(call)) is not None and key not in self._parts:
            approval = f"{key.rpartition('/')[0]}/{escape_id(asked)}"
            if approval in self._parts or asked in self._posted:
                self._parts[key] = self.part(approval)  # one part shows both the question and the call
                return
        part = self.part(key)
        if part.stage is _Stage.NEW and (call.name or not isinstance(call, FunctionToolCall)):
            yield from self._start(part, call)

    def grow(self, key: str, text: str, look_up: Callable[[], ToolCall | None]) -> Iterator[UiMessageChunk]:
        """The chunks that append to the input of a call.

        Args:
            key: The key of the call.
            text: The text.
            look_up: Finds the call, if nothing but its arguments was received so far.
        """
        part = self.part(key)
        if part.stage > _Stage.GROWING:
            return
        if part.stage is _Stage.NEW and part.look_ups < _LOOK_UPS:
            part.look_ups += 1
            call = look_up()
            if call is not None and (call.name or not isinstance(call, FunctionToolCall)):
                yield from self._start(part, call)
        if part.stage is _Stage.NEW:
            part.pending.append(text)
        elif text:
            yield {"type": "tool-input-delta", "toolCallId": part.id, "inputTextDelta": text}

    def complete(self, key: str, call: ToolCall) -> Iterator[UiMessageChunk]:
        """The chunk of the whole input of a call."""
        part = self.part(key)
        if part.stage > _Stage.GROWING:
            return
        self._describe(part, call)
        yield part.invalid(call.arguments) if input_error(call) else part.available(input_of(call))

    def grow_output(self, key: str, text: str, look_up: Callable[[], ToolCall | None]) -> Iterator[UiMessageChunk]:
        """The chunks that append to the output of a call, as far as they are due.

        Args:
            key: The key of the call.
            text: The text.
            look_up: Finds the call, whose input is whole now: a call with an output is not asked for any more.
        """
        part = self.part(key)
        if part.stage <= _Stage.GROWING and (call := look_up()) is not None:
            yield from self.complete(key, call)
        if part.stage is _Stage.WHOLE:
            yield from part.preliminary(all=False)
            part.add_output(text)

    def result(self, key: str, call: ToolCall, output: str) -> Iterator[UiMessageChunk]:
        """The chunks of the output of a call."""
        part = self.part(key)
        yield from self.complete(key, call)
        if part.stage is _Stage.ENDED:
            return
        self.has_output |= not part.server
        yield part.failed(output or _FAILED) if failure_of(call) else part.ended(output_value(output))

    def answer(self, key: str, answer: CallAnswer) -> Iterator[UiMessageChunk]:
        """The chunks of an answer that the application has submitted, if the protocol has not reported it.

        An approval has no chunk: the call that it permits has an output. Of a part that shows the user's own decision
        the browser knows it.
        """
        part = self.part(key)
        if part.stage is not _Stage.WHOLE:
            return
        if isinstance(answer, Output):
            value = answer.value
            self.has_output |= not part.server
            yield part.ended(output_value(value) if isinstance(value, str) else readable(value))
        elif isinstance(answer, Decline) and part.id not in self._posted:
            part.stage = _Stage.ENDED
            if self._sdk >= 6:
                yield {"type": "tool-approval-request", "approvalId": part.id, "toolCallId": part.id}
                yield {"type": "tool-output-denied", "toolCallId": part.id}
            else:
                yield part.failed(_DECLINED)

    def end_by_step(self, key: str, call: ToolCall, error: str | None) -> Iterator[UiMessageChunk]:
        """The chunks of a call whose step has ended: of one that the server runs, the end.

        Args:
            key: The key of the call.
            call: The call.
            error: Why the step has not completed; ``None`` if it has.
        """
        part = self.part(key)
        if part.stage is _Stage.ENDED:
            return
        if error is None and not is_run_by_server(call):
            yield from part.preliminary(all=True)
            return
        yield from self.complete(key, call)
        self.has_output |= not part.server
        if error is not None or failure_of(call):
            yield part.failed(error or _FAILED)
        else:
            yield part.ended(output_of(call))

    def request(self, call: AwaitedCall) -> Iterator[UiMessageChunk]:
        """The chunks of a call that the run waits for: its input."""
        part = self.part(call.key)
        part.decided = isinstance(call.call, GenericToolCall) and call.kind in DECIDED
        if part.stage <= _Stage.GROWING:
            self._describe(part, call.call)
            is_broken = call.kind == "function" and input_error(call.call)
            yield part.invalid(call.arguments) if is_broken else part.available(awaited_input(call))

    def ask(self, call: AwaitedCall) -> Iterator[UiMessageChunk]:
        """The chunk that asks the user about a call, once."""
        part = self.part(call.key)
        if call.kind not in DECIDED or part.asked:
            return
        part.asked = True
        if self._sdk >= 6:
            yield {"type": "tool-approval-request", "approvalId": part.id, "toolCallId": part.id}
            return
        data = {"toolCallId": part.id, "toolName": part.name, "kind": call.kind, "input": awaited_input(call)}
        yield {"type": "data-approval", "id": part.id, "data": data}

    def decline(self, ids: Collection[str]) -> Iterator[UiMessageChunk]:
        """The chunks of posted calls that the user has declined."""
        if self._sdk >= 6:  # version 5 knows neither approvals nor their denial
            for id in ids:
                self._declined.add(id)
                yield {"type": "tool-output-denied", "toolCallId": id}

    def flush(self, waiting: Collection[str]) -> Iterator[UiMessageChunk]:
        """The chunks of outputs that have grown, and of questions that were answered.

        Args:
            waiting: The keys of the calls that runs wait for.
        """
        for key, part in self._parts.items():
            if part.decided and part.stage is _Stage.WHOLE and key not in waiting:
                yield part.ended(None)
            elif part.output:
                yield from part.preliminary(all=True)

    def _start(self, part: ToolPart, call: ToolCall) -> Iterator[UiMessageChunk]:
        self._describe(part, call)
        part.stage = _Stage.GROWING
        self._growing += 1
        encoding = {"inputEncoding": "text"} if has_text_input(call) else {}
        yield {
            "type": "tool-input-start",
            "toolCallId": part.id,
            "toolName": part.name,
            **part.flags(),
            **encoding,
        }
        if part.pending:
            yield {"type": "tool-input-delta", "toolCallId": part.id, "inputTextDelta": "".join(part.pending)}
            part.pending = []

    def _describe(self, part: ToolPart, call: ToolCall) -> None:
        if part.stage is _Stage.GROWING:
            self._growing -= 1  # its input becomes whole now
            return
        part.name = call.name or call.type
        part.server = is_run_by_server(call)
        typed = isinstance(call, FunctionToolCall) if self._typed is None else part.name in self._typed
        part.dynamic = not typed

    def _read_posted(self, part: ToolPart, posted: Any) -> None:
        type = posted["type"]
        part.dynamic = type == "dynamic-tool"
        part.name = posted.get("toolName", "") if part.dynamic else type.partition("-")[2]
        part.server = posted.get("providerExecuted") is True
        state = str(posted.get("state"))
        part.stage = _POSTED.get(state, _Stage.WHOLE)
        if part.id in self._declined or (part.server and state in _OUTPUTS):
            part.stage = _Stage.ENDED
        part.asked = isinstance(posted.get("approval"), Mapping)
