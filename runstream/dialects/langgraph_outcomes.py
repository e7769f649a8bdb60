"""The outcome of a run of the LangGraph server: what it says when it is asked in, a status and its reason out.

No stream says how its run ended, except for an error. A run that waits for a human has the status of a success.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from runstream.dialects.langgraph_wire import Json, mapping_of, mappings_of, text_of
from runstream.model.actions import ActionCall, CallsAction
from runstream.model.common import LastError
from runstream.model.frozen import freeze

__all__ = ["NOT_ON_THIS_WIRE", "Answers", "Interrupts", "Outcome", "decide", "decide_at_end", "error_status"]

NOT_ON_THIS_WIRE: Final = "the outcome of the run is not on this wire, and the server was not asked"
_GOES_ON: Final = "the stream ended while the server says that the run goes on"
_UNKNOWN_STATUS: Final = "the server gives the run a status that is unknown"
_GONE: Final = "the server does not have the run any more: its outcome is unknown"
_OVERWRITTEN: Final = "a later run of the thread has replaced the state that says whether this one waits"
_UNKNOWN_WAIT: Final = "the server says that the run ended well, and not whether it waits"

_ROLLBACK: Final = "UserRollback"
_CANCELS: Final = frozenset({"UserInterrupt", _ROLLBACK})


class Outcome(Struct, frozen=True):
    """How a run ended, or why this is unknown.

    Attributes:
        status: The status of the run; ``None`` if it is unknown for ever.
        error: The error of a run that failed, expired or was cancelled.
        reason: Why the status is unknown.
        nodes: The nodes at which the run waits without an interrupt.
    """

    status: str | None
    error: LastError | None = None
    reason: str = ""
    nodes: tuple[str, ...] = ()


class Interrupts(Struct):
    """What a run asks: the union of its interrupts, and the nodes at which it waits without one.

    Attributes:
        calls: The interrupts, by id.
        waits: True if the run waits, maybe at a breakpoint, which has no interrupt.
        nodes: The nodes at which it waits without an interrupt.
    """

    calls: dict[str, ActionCall] = field(default_factory=dict)
    waits: bool = False
    nodes: tuple[str, ...] = ()

    def add(self, values: object, names: Json) -> bool:
        """Add a list of interrupts.

        Args:
            values: The list as it was sent; an empty one is a breakpoint.
            names: The names of the tools by the ids of their calls.

        Returns:
            True if anything is new.
        """
        if not isinstance(values, list):
            return False
        is_new = not self.waits
        self.waits = True
        for value in mappings_of(values):
            call = _interrupt_of(value, names)
            is_new = is_new or self.calls.get(call.id) != call
            self.calls[call.id] = call
        return is_new

    def action(self) -> CallsAction:
        """The action that the run waits for. A breakpoint asks for each of its nodes."""
        calls = tuple(self.calls.values())
        if not calls:
            calls = tuple(ActionCall(id=f"breakpoint:{node}", kind="interrupt", name=node) for node in self.nodes)
        return CallsAction(calls=calls)


def _interrupt_of(value: Json, names: Json) -> ActionCall:
    payload = value.get("value", value.get("payload"))
    id = text_of(value.get("id")) or text_of(value.get("interrupt_id"))
    if id is None and isinstance(value.get("ns"), list):
        id = "|".join(map(str, value["ns"]))  # as servers of 2025 do, which have no ids
    if id is None:
        id = f"interrupt:{binascii.crc32(msgspec.json.encode(payload)):08x}"
    return ActionCall(
        id=id,
        kind="interrupt",
        name=_name_of(payload, names),
        data=freeze(payload),
        response_schema=mapping_of(value.get("response_schema")) or None,
    )


def _name_of(payload: object, names: Json) -> str | None:
    """The name of the call that an interrupt asks about."""
    found = mapping_of(payload)
    name = text_of(names.get(text_of(found.get("tool_call_id")) or ""))
    if name is None and isinstance(payload, dict | list):
        requests = found.get(
            "action_requests", found.get("action_request", payload if isinstance(payload, list) else None)
        )
        actions = mappings_of(requests if isinstance(requests, list) else [requests])
        if len(actions) == 1:
            inner = mapping_of(actions[0].get("action_request")) or actions[0]
            name = text_of(inner.get("name")) or text_of(inner.get("action"))
    return name


class Answers(Struct):
    """What the server said about one run when it was asked. Each is ``None`` until it was.

    Attributes:
        run: The run; empty if the server does not have it.
        state: The state of its thread; empty if the server does not have it.
        thread: Its thread; empty if the server does not have it.
    """

    run: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    thread: dict[str, Any] | None = None

    def add(self, value: object, status: int) -> None:
        """Add an answer.

        Args:
            value: The object that the server sent; or an object with several answers under ``run``, ``state`` and
                ``thread``, each as ``{"http": status, "body": object}``.
            status: The HTTP status.
        """
        found = mapping_of(value)
        composed = {name: found[name] for name in ("run", "state", "thread") if "http" in mapping_of(found.get(name))}
        if composed:
            for name, part in composed.items():
                self._set(name, part.get("body"), part["http"])
        elif status < 300:
            self._set(_kind_of(found), found, status)
        elif status == 404:
            self._set("run" if self.run is None else "state", {}, status)

    def _set(self, name: str | None, body: object, status: object) -> None:
        if name is None or not isinstance(status, int):
            return
        if status < 300 and isinstance(body, dict):
            setattr(self, name, body)
        elif status == 404:
            setattr(self, name, {})


def _kind_of(body: Json) -> str | None:
    if isinstance(body.get("run_id"), str) and "status" in body:
        return "run"
    if "next" in body and "tasks" in body:
        return "state"
    return "thread" if isinstance(body.get("thread_id"), str) and "status" in body else None


def decide(answers: Answers, run_id: str, interrupts: Interrupts, names: Json, *, visible: bool) -> Outcome | None:
    """The outcome of a run.

    Args:
        answers: What the server said.
        run_id: The server's id of the run.
        interrupts: The interrupts of the stream; those that the server names are added.
        names: The names of the tools by the ids of their calls.
        visible: True if the stream would have shown an interrupt.

    Returns:
        ``None`` if the server has not said enough.
    """
    run = answers.run
    if run is None:
        return None
    error = _error_of(answers.thread)
    if not run:
        if answers.thread is None:
            return None
        if error is not None and error.code == _ROLLBACK:
            return Outcome("cancelled", error)
        return Outcome(None, reason=_GONE)
    match run.get("status"):
        case "pending":
            return Outcome("queued")
        case "running":
            return Outcome("in_progress")
        case "error":
            return None if answers.thread is None else Outcome("failed", error)
        case "timeout":
            return Outcome("expired", LastError(code="TimeoutError", message=error.message if error else None))
        case "interrupted":
            if answers.thread is None:
                return None
            if error is None or error.code not in _CANCELS:
                error = LastError(code=text_of(run.get("cancel_reason")) or "interrupted")
            return Outcome("cancelled", error)
        case "cancelled":  # of other servers
            return Outcome("cancelled", error or LastError(code="cancelled"))
        case "success":
            return _decide_success(answers, run_id, interrupts, names, visible=visible)
    return None


def _decide_success(
    answers: Answers, run_id: str, interrupts: Interrupts, names: Json, *, visible: bool
) -> Outcome | None:
    if answers.state is None:
        return _decide_by_thread(answers.thread, interrupts, names)
    if not answers.state or _is_of_later(answers, run_id):
        if interrupts.waits:
            return Outcome("requires_action")
        return Outcome("completed") if visible else Outcome(None, reason=_OVERWRITTEN)
    for task in mappings_of(answers.state.get("tasks")):
        if found := task.get("interrupts"):
            interrupts.add(found, names)
    waiting = answers.state.get("next")
    nodes = tuple(filter(None, map(text_of, waiting))) if isinstance(waiting, list) else ()
    if nodes or any(task.get("interrupts") for task in mappings_of(answers.state.get("tasks"))):
        interrupts.waits = True
        interrupts.nodes = nodes
        return Outcome("requires_action", nodes=nodes)
    return Outcome("completed")


def _is_of_later(answers: Answers, run_id: str) -> bool:
    """True if a later run has written the state. One that asks again writes none: its state is older than itself."""
    state, run = mapping_of(answers.state), mapping_of(answers.run)
    owner = mapping_of(state.get("metadata")).get("run_id")
    if not isinstance(owner, str) or owner == run_id:
        return False
    written, created = text_of(state.get("created_at")), text_of(run.get("created_at"))
    return written is None or created is None or written >= created


def _decide_by_thread(thread: Json | None, interrupts: Interrupts, names: Json) -> Outcome | None:
    match mapping_of(thread).get("status"):
        case "idle":
            return Outcome("completed")
        case "interrupted":
            for found in mapping_of(mapping_of(thread).get("interrupts")).values():
                interrupts.add(found, names)
            interrupts.waits = True
            return Outcome("requires_action")
    return None


def decide_at_end(answers: Answers, interrupts: Interrupts, *, visible: bool) -> Outcome:
    """The outcome of a run whose stream has ended, if the server has not said enough."""
    if interrupts.waits:
        return Outcome("requires_action")
    if answers.run is None:
        return Outcome(None, reason=NOT_ON_THIS_WIRE)
    status = answers.run.get("status")
    if not answers.run:
        return Outcome(None, reason=_GONE)
    if status == "success":
        return Outcome("completed") if visible else Outcome(None, reason=_UNKNOWN_WAIT)
    if status == "error":
        return Outcome("failed")
    if status == "interrupted":
        return Outcome("cancelled", LastError(code=text_of(answers.run.get("cancel_reason")) or "interrupted"))
    if status in ("pending", "running"):
        return Outcome(None, reason=_GOES_ON)
    return Outcome(None, reason=_UNKNOWN_STATUS)


def error_status(code: str | None) -> str:
    """The status of a run whose stream ended with an error of this class."""
    return "cancelled" if code in _CANCELS else "failed"


def _error_of(thread: Json | None) -> LastError | None:
    """The error of a thread; servers of 2025 send it as Base64 text."""
    error: Any = mapping_of(thread).get("error")
    if isinstance(error, str):
        try:
            error = msgspec.json.decode(base64.b64decode(error, validate=True))
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            return LastError(message=error)
    found = mapping_of(error)
    if not found:
        return None
    return LastError(code=text_of(found.get("error")), message=text_of(found.get("message")))
