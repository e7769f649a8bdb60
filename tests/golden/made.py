"""Generated runs: chance in, scripts out. The only module that knows how scripts are written."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from runstream.testing import Conversation, OpenCalls, OpenMessage, Script, WireEvent, events_of

__all__ = ["conversation", "frame", "is_run", "line", "numbered", "ordered", "pieces", "script", "streams_of", "text"]

_WORDS: Final = (
    *("The", "answer", "is", "a", "sum", "of", "parts", "and", "every", "part", "has", "its", "own", "place"),
    *("Größe", "naïve", "e\u0301tat", "日本語", "🙂", "👩\u200d👧", "\u2028", "\x7f"),
    *('"quoted"', "back\\slash", "tab\tnew\nline", "<b>"),
)
_ENDINGS: Final = (*["completed"] * 3, "failed", "cancelled", "expired", "incomplete", "open", "open")
_STEP_ENDINGS: Final = ("completed", "completed", "completed", "failed", "cancelled", "expired")
_ACTS: Final = ("say", "say", "say", "functions", "functions", "tools", "approval", "act", "error", "code", "search")
_NAMES: Final = ("weather", "get_time", "buchen", "調べる", "a.b-c")
_FIELDS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {"instructions": "Be brief."},
    {"metadata": {"user": "u_1", "größe": "5"}},
    {"tools": [{"type": "code_interpreter"}, {"type": "file_search", "file_search": {"max_num_results": 5}}]},
    {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]},
    {"tools": [{"type": "made_up", "made_up": {"depth": [1, 2]}}], "x_unknown": {"a": [1, None, {"b": 2}]}},
    {"temperature": 0.5, "response_format": {"type": "json_object"}, "max_prompt_tokens": 1000},
    {"created_at": 1_790_000_000_000, "agent_id": "asst_2"},
)


def text(chance: random.Random, most: int = 12) -> str:
    """Some words."""
    return " ".join(chance.choice(_WORDS) for _ in range(chance.randrange(most + 1)))


def pieces(chance: random.Random, whole: str) -> list[str]:
    """The text in pieces of a few characters, the first one and some others empty."""
    out = [""]
    place = 0
    while place < len(whole):
        size = chance.choice((0, 1, 2, 3, 5, 8))
        out.append(whole[place : place + size])
        place += size
    return out


def _annotation(chance: random.Random, start: int, marker: str) -> dict[str, Any]:
    kind = chance.choice(("file_citation", "file_path", "url_citation", "made_up"))
    inner = {"url": "https://example.org", "title": "Example"} if kind == "url_citation" else {"file_id": "file_1"}
    return {"type": kind, "text": marker, "start_index": start, "end_index": start + len(marker), kind: inner}


def _parts(chance: random.Random) -> list[tuple[str, int, str]]:
    """What comes of one message, in order: the kind, the index of the part, the piece."""
    out: list[tuple[str, int, str]] = []
    for part in range(chance.choice((0, 1, 1, 1, 1, 2, 3))):
        kind = chance.choice(("text", "text", "text", "text", "image", "refusal"))
        if kind == "image":
            out.append((kind, part, f"file_{chance.randrange(9)}"))
            continue
        out += [(kind, part, piece) for piece in pieces(chance, text(chance, 40))]
        if kind == "text" and chance.random() < 0.3:
            out.append(("note", part, chance.choice(("【1†a】", "[0]", "🙂"))))
    return out


def _write(message: OpenMessage, kind: str, part: int, piece: str, chance: random.Random) -> None:
    if kind == "text":
        message.write(piece, part=part)
    elif kind == "refusal":
        message.refuse(piece, part=part)
    elif kind == "image":
        message.show(piece, part=part)
    else:
        content = message.message["content"]
        if part < len(content) and content[part]["type"] == "text":
            start = len(content[part]["text"]["value"])
            message.write(piece, part=part, annotation=_annotation(chance, start, piece))


def _write_two(script: Script, message: OpenMessage) -> None:
    """The first fragment of a message has two parts."""
    parts = [{"type": "text", "text": {"value": value, "annotations": []}} for value in ("One. ", "Two. ")]
    message.message["content"] += parts
    content = [{"index": index, **part} for index, part in enumerate(parts)]
    data = {"id": message.id, "object": "thread.message.delta", "delta": {"content": content}}
    script.emit("thread.message.delta", data)


def _messages(chance: random.Random, script: Script, *, leave: bool) -> None:
    """Some messages that are open at once."""
    messages = [script.open_message() for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    left = [_parts(chance) for _ in messages]
    for number, message in enumerate(messages):
        if chance.random() < 0.1:
            _write_two(script, message)
            left[number] = [part for part in left[number] if part[0] == "text"]
    while any(left):
        number = chance.choice([number for number, parts in enumerate(left) if parts])
        for _ in range(chance.choice((1, 1, 6, 12))):
            if left[number]:
                _write(messages[number], *left[number].pop(0), chance)
    if leave:
        return
    chance.shuffle(messages)
    for message in messages:
        message.close(chance.choice((None, None, None, "max_tokens")), step=chance.choice(_STEP_ENDINGS))


def _grow(chance: random.Random, step: OpenCalls, growing: dict[int, str]) -> None:
    """Texts of calls that grow at once."""
    left = {index: pieces(chance, whole) for index, whole in growing.items()}
    while any(left.values()):
        index = chance.choice([index for index, parts in left.items() if parts])
        for _ in range(chance.choice((1, 1, 4))):
            if left[index]:
                step.grow(index, left[index].pop(0))


def _functions(chance: random.Random, script: Script, kind: str) -> OpenCalls:
    step = script.open_calls()
    growing = {}
    for index in range(chance.randint(1, 3)):
        step.open(index, kind, name=chance.choice(_NAMES))
        arguments = json.dumps({"city": text(chance, 1), "days": [1, 2.5, None][: chance.randrange(4)]})
        growing[index] = arguments[: chance.choice((None, None, None, -1))]
    _grow(chance, step, growing)
    return step


def _tools(chance: random.Random, script: Script, *, leave: bool) -> None:
    """One step with calls of any kind."""
    step = script.open_calls()
    growing, codes = {}, []
    for index in range(chance.randint(1, 3)):
        kind = chance.choice(("code_interpreter", "file_search", "mcp", "browser"))
        step.open(index, kind, name="search")
        if kind in ("code_interpreter", "mcp"):
            growing[index] = text(chance)
        if kind == "code_interpreter":
            codes.append(index)
        if kind == "file_search":
            step.find(index, [{"file_id": "file_1", "file_name": "a.txt", "score": 0.25}] * chance.randrange(3))
    _grow(chance, step, growing)
    for index in codes:
        outputs = ({"type": "logs", "logs": text(chance)}, {"type": "image", "image": {"file_id": "file_2"}})
        step.put_out(index, outputs[: chance.randrange(3)])
    if not leave:
        status = chance.choice(_STEP_ENDINGS)
        step.close(status, **({"last_error": {"code": "server_error", "message": "no"}} if status == "failed" else {}))


def script(chance: random.Random, run_id: str = "run_1", most: int = 4) -> Script:
    """A whole run: several acts, in one or more rounds, with any ending or none.

    Args:
        chance: Decides everything.
        run_id: The run's id.
        most: The number of acts at most.
    """
    made = Script(run_id, thread_id=chance.choice(("thread_1", "thread_2")), **chance.choice(_FIELDS))
    ending = chance.choice(_ENDINGS)
    acts = [chance.choice(_ACTS) for _ in range(chance.randint(1, most))]
    for number, act in enumerate(acts):
        leave = ending == "open" and number == len(acts) - 1
        made.wait(chance.choice((0, 0, 1, 3)))
        if act == "say":
            _messages(chance, made, leave=leave)
        elif act == "tools":
            _tools(chance, made, leave=leave)
        elif act in ("functions", "approval"):
            step = _functions(chance, made, "function" if act == "functions" else "mcp")
            made.require(step)
            if leave:
                return made
            made.wait(chance.choice((1, 5)))
            made.answer(*(text(chance, 3) for _ in step.calls))
        elif act == "act":
            made.act({"type": "mcp_list_tools", "server_label": "server", "tools": {"a": {"description": "b"}}})
        elif act == "code":
            made.run_code(text(chance), logs=chance.choice((None, "1\n2")), image=chance.choice((None, "file_3")))
        elif act == "search":
            made.search({"file_id": "file_1", "file_name": "a.txt", "score": 0.5})
        else:
            made.error(text(chance, 3), chance.choice((None, "rate_limit_exceeded")))
    if ending != "open":
        usage = {"prompt_tokens": 10, "completion_tokens": chance.randrange(100), "total_tokens": 110}
        made.end(ending, **chance.choice(({}, {"usage": usage}, {"usage": {**usage, "prompt_token_details": {}}})))
    return made


def conversation(chance: random.Random, count: int, *, prefix: str = "run", most: int = 3) -> Conversation:
    """Several runs.

    Args:
        chance: Decides everything.
        count: The number of runs.
        prefix: What each run's id begins with.
        most: The number of acts of each run at most.
    """
    return Conversation([script(chance, f"{prefix}_{number}", most) for number in range(1, count + 1)])


def ordered(chance: random.Random, runs: Conversation, *, interleaved: bool) -> list[WireEvent]:
    """All events of a conversation, in one order."""
    return runs.events(interleaved=interleaved, seed=chance.randrange(1000))


def streams_of(made: Script) -> list[list[WireEvent]]:
    """The events of a run, stream by stream."""
    return [list(stream) for stream in made.streams if stream]


def is_run(event: WireEvent) -> bool:
    """Whether an event is a snapshot of a run."""
    return isinstance(event.data, dict) and event.data.get("object") == "thread.run"


def numbered(events: Sequence[WireEvent]) -> list[WireEvent]:
    """The events with whole numbers in a row as ids."""
    return [event._replace(id=str(number)) for number, event in enumerate(events, 1)]


def line(chance: random.Random, *, ids: bool) -> list[Any]:
    """One of the runs that applications write in a line, as raw events."""
    return chance.choice(
        (
            lambda: events_of("Hello there, this is the answer.", ids=ids),
            lambda: events_of("It is sunny.", calls={"weather": {"city": "Oslo"}}, outputs=["sunny"], ids=ids),
            lambda: events_of(calls={"weather": {"city": "Oslo"}, "get_time": {}}, ids=ids),
            lambda: events_of("I'm afraid", ends="failed", ids=ids),
            lambda: events_of("And then", ends=None, ids=ids),
        )
    )()


def frame(event: WireEvent, framing: str, *, ids: bool) -> Any:
    """An event as input: ``sse``, ``envelope``, ``text`` or ``mapping``."""
    if framing in ("sse", "envelope"):
        return event.raw(ids=ids, enveloped=framing == "envelope")
    envelope = {**({"id": event.id} if ids else {}), "event": event.name, "data": event.data}
    return json.dumps(envelope, ensure_ascii=False) if framing == "text" else {**envelope, "at": event.at}
