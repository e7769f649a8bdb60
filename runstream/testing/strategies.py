"""Hypothesis strategies for whole runs and conversations; the only module here that needs Hypothesis."""

from __future__ import annotations

from typing import Any

import msgspec

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import DrawFn, SearchStrategy
except ImportError as error:  # pragma: no cover - the test suite has it
    raise ImportError("runstream.testing's strategies need Hypothesis: pip install hypothesis") from error

from runstream.testing.conversation import Conversation
from runstream.testing.script import OpenCalls, OpenMessage, Script
from runstream.testing.wire import Json

__all__ = ["conversations", "scripts", "texts"]

_ENDINGS = ("completed", "failed", "cancelled", "expired", "incomplete")
_ACTS = ("say", "tools", "functions", "approval", "act", "error")
_STEP_ENDINGS = ("completed", "failed", "cancelled", "expired")


def texts(max_size: int = 40) -> SearchStrategy[str]:
    """Any text that JSON can carry."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


_names = st.sampled_from(["weather", "get_time", "buchen", "調べる", "a.b-c"])
_files = st.integers(1, 99).map("file_{}".format)
_numbers = st.integers(0, 10**6)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts(8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(4), inner, max_size=3),
    max_leaves=6,
)
_usage = st.builds(
    lambda prompt, completion, details: {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **({"prompt_token_details": {"cached_tokens": 0}} if details else {}),
    },
    _numbers,
    _numbers,
    st.booleans(),
)
_run_fields = st.fixed_dictionaries(
    {},
    optional={
        "instructions": texts(12),
        "metadata": st.dictionaries(texts(4), texts(4), max_size=2),
        "tools": st.lists(
            st.sampled_from(
                [
                    {"type": "code_interpreter"},
                    {"type": "file_search", "file_search": {"max_num_results": 5}},
                    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}},
                    {"type": "made_up", "made_up": {"depth": [1, 2]}},
                ]
            ),
            max_size=3,
        ),
        "temperature": st.floats(0, 2),
        "response_format": st.sampled_from(["auto", {"type": "json_object"}]),
        "max_prompt_tokens": _numbers,
        "x_unknown": st.dictionaries(texts(4), st.integers() | st.lists(texts(4)), max_size=2),
    },
)
_results = st.lists(
    st.fixed_dictionaries({"file_id": _files, "file_name": texts(6), "score": st.floats(0, 1)}), max_size=2
)
_outputs = st.lists(
    st.one_of(
        texts(10).map(lambda logs: {"type": "logs", "logs": logs}),
        _files.map(lambda file_id: {"type": "image", "image": {"file_id": file_id}}),
    ),
    max_size=3,
)


def _pieces(draw: DrawFn, text: str) -> list[str]:
    """The text cut into pieces, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _annotation(draw: DrawFn, start: int, marker: str) -> Json:
    kind = draw(st.sampled_from(["file_citation", "file_path", "url_citation", "made_up"]))
    inner = {"url": "https://example.org", "title": "Example"} if kind == "url_citation" else {"file_id": "file_1"}
    span = {"text": marker, "start_index": start, "end_index": start + len(marker)}
    return {"type": kind, **span, kind: inner}


def _write(draw: DrawFn, messages: list[OpenMessage], max_parts: int) -> None:
    """Write several open messages, a piece of one and then of another."""
    remaining: list[list[tuple[str, Any]]] = []
    for _ in messages:
        todo: list[tuple[str, Any]] = []
        for part in range(draw(st.integers(0, max_parts))):
            kind = draw(st.sampled_from(["text", "text", "text", "image", "refusal"]))
            if kind == "image":
                todo.append(("image", (part, draw(_files))))
                continue
            todo += [(kind, (part, piece)) for piece in _pieces(draw, draw(texts()))]
            if kind == "text" and draw(st.booleans()):
                todo.append(("note", (part, draw(st.sampled_from(["【1†a】", "[0]", "🙂"])))))
        remaining.append(todo)
    while any(remaining):
        number = draw(st.sampled_from([number for number, todo in enumerate(remaining) if todo]))
        (kind, (part, value)), message = remaining[number].pop(0), messages[number]
        if kind == "text":
            message.write(value, part=part)
        elif kind == "note":
            start = len(message.message["content"][part]["text"]["value"])
            message.write(value, part=part, annotation=_annotation(draw, start, value))
        elif kind == "refusal":
            message.refuse(value, part=part)
        else:
            message.show(value, part=part)


def _say(draw: DrawFn, script: Script, *, leave: bool) -> None:
    messages = [script.open_message() for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3])))]
    _write(draw, messages, max_parts=3)
    if leave:
        return
    for message in draw(st.permutations(messages)):
        reason = draw(st.sampled_from([None, None, "max_tokens", "content_filter"]))
        message.close(reason, step=draw(st.sampled_from(_STEP_ENDINGS)))


def _grow(draw: DrawFn, step: OpenCalls, growing: dict[int, str]) -> None:
    """Write parallel calls, a piece of one and then of another."""
    remaining = {index: _pieces(draw, text) for index, text in growing.items()}
    while any(remaining.values()):
        index = draw(st.sampled_from([index for index, pieces in remaining.items() if pieces]))
        step.grow(index, remaining[index].pop(0))


def _functions(draw: DrawFn, script: Script, *, kind: str = "function") -> OpenCalls:
    step = script.open_calls()
    growing = {}
    for index in range(draw(st.integers(1, 3))):
        step.open(index, kind, name=draw(_names))
        arguments = draw(st.dictionaries(texts(6), _json, max_size=3))
        broken = draw(st.sampled_from([False, False, False, True]))
        growing[index] = msgspec.json.encode(arguments).decode()[: -1 if broken else None]
    _grow(draw, step, growing)
    return step


def _tools(draw: DrawFn, script: Script, *, leave: bool) -> None:
    """Write one step with calls of any kind."""
    step = script.open_calls()
    growing, codes = {}, []
    for index in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["code_interpreter", "file_search", "mcp", "browser"]))
        step.open(index, kind, name="search")
        if kind in {"code_interpreter", "mcp"}:
            growing[index] = draw(texts())
        if kind == "code_interpreter":
            codes.append(index)
        if kind == "file_search":
            for found in draw(st.lists(_results, max_size=2)):
                step.find(index, found)
    _grow(draw, step, growing)
    for index in codes:
        if outputs := draw(_outputs):
            step.put_out(index, outputs)
    if not leave:
        status = draw(st.sampled_from(_STEP_ENDINGS))
        step.close(status, **({"last_error": {"code": "server_error", "message": "no"}} if status == "failed" else {}))


def scripts(run_id: str = "run_1", *, max_acts: int = 4) -> SearchStrategy[Script]:
    """Whole runs."""

    @st.composite
    def draw_script(draw: DrawFn) -> Script:
        fields: dict[str, Any] = draw(_run_fields)
        script = Script(run_id, thread_id=draw(st.sampled_from(["thread_1", "thread_2"])), **fields)
        acts = draw(st.lists(st.sampled_from(_ACTS), max_size=max_acts))
        ending = draw(st.sampled_from([*_ENDINGS, *_ENDINGS, "waiting", "cut"]))
        for place, act in enumerate(acts):
            last = place == len(acts) - 1
            if act == "say":
                _say(draw, script, leave=last and ending == "cut")
            elif act == "tools":
                _tools(draw, script, leave=last and ending == "cut")
            elif act in {"functions", "approval"}:
                step = _functions(draw, script, kind="function" if act == "functions" else "mcp")
                script.require(step)
                if last and ending in {"waiting", "cut", "expired"}:
                    break
                script.answer(*[draw(texts(12)) for _ in step.calls])
            elif act == "act":
                script.act({"type": "mcp_list_tools", "server_label": "server", "tools": {"a": {"description": "b"}}})
            else:
                script.error(draw(texts(12)))
        if ending in _ENDINGS:
            script.end(ending, **({"usage": draw(_usage)} if draw(st.booleans()) else {}))
        return script

    return draw_script()


def conversations(*, max_runs: int = 3, max_acts: int = 4) -> SearchStrategy[Conversation]:
    """Several runs."""
    return (
        st.integers(1, max_runs)
        .flatmap(
            lambda count: st.tuples(*(scripts(f"run_{number}", max_acts=max_acts) for number in range(1, count + 1)))
        )
        .map(Conversation)
    )
