"""The state of a run in, the content of the page for it out: facts, and blocks of text in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import Struct

from runstream.core.activities import ActivityState
from runstream.core.state import RunState, call_names, stepless_calls
from runstream.model.message import Message
from runstream.model.run import Run
from runstream.model.step import ReasoningDetails, RunStep
from runstream.model.tool_calls import CodeInterpreterToolCall, LogsOutput, ToolCall
from runstream.sinks.excerpt import excerpt
from runstream.sinks.status_tones import tone_of

__all__ = ["ContentBlock", "Fact", "RunContent", "content_of", "last_part"]

Fact: TypeAlias = str | int | float | bool | None

MAX_FACT: Final = 500
"""Characters of a fact (an id, a name, the message of an error); longer ones are cut, with an ellipsis."""

MAX_OUTPUT: Final = 2_000
"""Characters of a tool's output, or of the JSON of a document or activity; a longer one is cut, with an ellipsis."""

MAX_VALUES: Final = 8
"""Documents of a run that are shown, the first ones, and activities, the last ones."""


class ContentBlock(Struct, frozen=True):
    """A text of a run: a message, a refusal, a reasoning, a tool call with its arguments, a document, an activity.

    Attributes:
        id: Its id within the run.
        facts: The other facts: ``kind``, and those of that kind.
        text: The text, or the end of a long text.
        skipped: The number of characters that are left out at the beginning.
    """

    id: str
    facts: dict[str, Fact]
    text: str
    skipped: int = 0


class RunContent(Struct, frozen=True):
    """The content of the page for a run.

    Attributes:
        facts: Names and short values.
        blocks: The documents and activities, then the texts in reading order.
    """

    facts: dict[str, Fact]
    blocks: tuple[ContentBlock, ...] = ()


def content_of(state: RunState, *, max_text: int, max_blocks: int, **more: Fact) -> RunContent:
    """The content of the page for a run.

    Args:
        state: The state of the run.
        max_text: Characters of one block that are shown: the last ones.
        max_blocks: Blocks that are shown: the last ones.
        more: Further facts.
    """
    run = state.run
    # A run of many hours has thousands of texts; only those that are shown are built.
    values = list(_values(state))
    texts = list(_texts(state))
    room = max(1, max_blocks - len(values))
    facts: dict[str, Fact] = {
        "run": run.id,
        "scope": state.scope,
        "thread": run.thread_id,
        "assistant": run.assistant_id,
        "model": run.model,
        "status": run.status.value,
        "tone": tone_of(run.status),
        "ended": state.is_terminal,
        "step": _step(state),
        "error": _error(run),
        "total_tokens": run.usage.total_tokens if run.usage is not None else None,
        "prompt_tokens": run.usage.prompt_tokens if run.usage is not None else None,
        "completion_tokens": run.usage.completion_tokens if run.usage is not None else None,
        "left_out": max(0, len(texts) - room),
        "metadata": _metadata(run),
        "queued": state.timings.queued,
        "running": state.timings.running,
        "waiting": state.timings.waiting,
        **more,
    }
    return RunContent(
        {name: _fact(value) for name, value in facts.items()},
        tuple(_block(id, build(), max_text) for id, build in _distinct([*values, *texts[-room:]])),
    )


def last_part(text: str, size: int) -> tuple[str, int]:
    """The end of a text, and the number of characters before it: between half of ``size`` characters and ``size``.

    The beginning of that end moves rarely, so that most changes of a growing text are at its end.
    """
    if len(text) <= size:
        return text, 0
    stride = max(1, size // 2)
    start = -(-(len(text) - size) // stride) * stride
    return text[start:], start


# The facts and the text of a block; the id of a block, and the function that builds the rest.
_Parts: TypeAlias = tuple[dict[str, Any], str]
_Builder: TypeAlias = tuple[str, Callable[[], _Parts]]


def _values(state: RunState) -> Iterator[_Builder]:
    """The documents and the last activities."""
    for path in [*state._head.documents.values][:MAX_VALUES]:
        yield f"document {' '.join(path)}".strip(), partial(_document, state, path)
    for activity in state.activities[-MAX_VALUES:]:
        yield f"activity {activity.id}", partial(_activity, activity)


def _document(state: RunState, path: tuple[str, ...]) -> _Parts:
    documents = state._head.documents
    facts = {
        "kind": "document",
        "path": _path(path),
        "bytes": documents.size_of(path),
        "partial": path in documents.partial,
    }
    return facts, excerpt(documents.get(path), MAX_OUTPUT)


def _activity(activity: ActivityState) -> _Parts:
    facts = {
        "kind": "activity",
        "name": activity.kind,
        "path": _path(activity.path),
        "version": activity.version,
        "bytes": activity.content.size,
        "partial": activity.partial,
    }
    return facts, excerpt(activity.value, MAX_OUTPUT)


def _path(path: tuple[str, ...]) -> str | None:
    """A path in words; ``None`` for the run itself."""
    return " › ".join(path) or None


def _texts(state: RunState) -> Iterator[_Builder]:
    """The texts in the order of the steps that made them; texts without a step come last."""
    messages = {message.id: message for message in state.messages}
    for step in state.steps:
        message = messages.pop(step.message_id, None) if step.message_id is not None else None
        path = state.path_of(step.id)
        if message is not None:
            yield from _of_message(message, state.path_of(message.id))
        if isinstance(step.step_details, ReasoningDetails):
            yield f"reasoning {step.id}", partial(_reasoning, step.step_details, path)
        for call, name in zip(step.tool_calls, call_names(state, step.id), strict=False):
            yield f"call {name}", partial(_call, call, step, path)
    for rest in messages.values():
        yield from _of_message(rest, state.path_of(rest.id))
    for call, name in stepless_calls(state):
        yield f"call {name}", partial(_call, call, None, ())


def _of_message(message: Message, path: tuple[str, ...]) -> Iterator[_Builder]:
    yield f"message {message.id}", partial(_message, message, path)
    if message.refusal:
        yield f"refusal {message.id}", partial(_refusal, message, path)


def _message(message: Message, path: tuple[str, ...]) -> _Parts:
    facts = {
        "kind": "message",
        "path": _path(path),
        "role": message.role,
        "status": message.status.value if message.status is not None else None,
        "citations": len(message.annotations),
        "images": len(message.image_file_ids),
    }
    return facts, message.text


def _refusal(message: Message, path: tuple[str, ...]) -> _Parts:
    return {"kind": "refusal", "path": _path(path)}, message.refusal


def _reasoning(details: ReasoningDetails, path: tuple[str, ...]) -> _Parts:
    whole = any(part.text for part in details.content)
    return {"kind": "reasoning", "path": _path(path), "summary": not whole}, details.text


def _call(call: ToolCall, step: RunStep | None, path: tuple[str, ...]) -> _Parts:
    output = _output(call)
    facts = {
        "kind": "call",
        "path": _path(path),
        "name": call.name or call.type,
        "status": step.status.value if step is not None and step.status is not None else None,
        "output": _cut(output, MAX_OUTPUT),
        "output_size": len(output) if output is not None else None,
    }
    return facts, call.arguments or ""


def _output(call: ToolCall) -> str | None:
    if isinstance(call, CodeInterpreterToolCall):
        logs = [one.logs for one in call.code_interpreter.outputs if isinstance(one, LogsOutput) and one.logs]
        return "\n".join(logs) or None
    return call.output


def _block(id: str, parts: _Parts, max_text: int) -> ContentBlock:
    facts, text = parts
    if facts["kind"] in ("document", "activity"):
        shown, skipped = _cut(text, max_text) or "", 0  # of JSON, the beginning says more
    else:
        shown, skipped = last_part(text, max_text)
    clean = {name: value if name == "output" else _fact(value) for name, value in facts.items()}
    return ContentBlock(id, clean, shown, skipped)


def _distinct(texts: Iterable[_Builder]) -> Iterator[_Builder]:
    """The same with distinct ids: servers repeat ids, or leave them empty."""
    counts: dict[str, int] = {}
    for id, build in texts:
        counts[id] = count = counts.get(id, 0) + 1
        yield (id if count == 1 else f"{id} #{count}"), build


def _step(state: RunState) -> str | None:
    """The present activity of the run, in words."""
    if state.is_terminal:
        return None
    run = state.run
    if run.requires_action:
        names = [call.name or call.type for call in run.pending_tool_calls]
        return f"waits for {', '.join(names)}" if names else "waits for action"
    step = next((step for step in reversed(state.steps) if not step.is_terminal), None)
    if step is None:
        return None
    if step.message_id is not None or step.type == "message_creation":
        return "writes a message"
    names = [call.name or call.type for call in step.tool_calls]
    if names:
        return f"calls {', '.join(names)}"
    return f"{step.type} {step.name}" if step.name else step.type


def _metadata(run: Run) -> str | None:
    """The metadata of a run in words."""
    found = run.metadata
    return (
        ", ".join(f"{name}: {value}" for name, value in found.items()) or None if isinstance(found, Mapping) else None
    )


def _error(run: Run) -> str | None:
    error, details = run.last_error, run.incomplete_details
    parts = [error.code, error.message] if error is not None else []
    text = ": ".join(part for part in parts if isinstance(part, str) and part)
    return text or (details.reason if details is not None else None)


def _cut(text: str | None, size: int) -> str | None:
    return text if text is None or len(text) <= size else f"{text[: size - 1]}…"


def _fact(value: Any) -> Fact:
    """The value in a form that a page can show; a field of an unexpected type may contain anything."""
    if isinstance(value, str):
        return _cut(str(value), MAX_FACT)
    return value if value is None or isinstance(value, bool | int | float) else f"({type(value).__name__})"
