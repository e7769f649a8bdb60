"""The differences from the clean stream that the contract permits, with the reasons. Any other is a failure."""

from __future__ import annotations

import json

from runstream.core.state import RunState
from runstream.model.signals import RunCreated, SourceError, SourceResumed
from tests.faults.cases import LOSES_DATA, Case, can_resume, connection_plans, has_timeouts
from tests.faults.clients import MAX_ATTEMPTS
from tests.faults.expected import Expected, Place, texts_of
from tests.faults.runner import Observation

__all__ = ["Permitted", "is_nameless"]

_NORMAL = ("close-1000", "close-1001", "close-1005", "end")


def is_nameless(id: str) -> bool:
    """Whether an id of a step is that of a call of LangGraph without an id: its message, and its index."""
    return id.rpartition(":")[2].isdigit()


class Permitted:
    """The permitted differences of one case.

    Args:
        case: The case.
        observed: Its result.
        expected: The result of the clean stream.
    """

    def __init__(self, case: Case, observed: Observation, expected: Expected) -> None:
        self._case = case
        self._observed = observed
        self._expected = expected
        failures = [signal for signal in observed.signals if isinstance(signal, SourceError) and signal.error is None]
        self._failure = failures[-1] if failures else None
        self._corrupt = case.has("corrupt")
        # Lost events are never repeated; of a polled run, changes between two answers are never sent.
        losing = case.has(*LOSES_DATA) or has_timeouts(case)
        self.lossy = case.server in {"onward", "fetched"} or (case.server == "back" and losing)
        if case.source == "poll":
            self.lossy = case.server == "onward" or has_timeouts(case)

        # The server reported the end, and a run that requires action is not interrupted. A body that ends with its
        # connection can't be distinguished from a complete one, nor a truncated file from a complete one.
        self._ended_normally = self._failure is None and (
            case.has(*_NORMAL)
            or (case.source in {"sse", "post"} and case.has("drop", "half", "cut", "kill", "protocol", "http-204"))
            # The stream of a POST is complete after `[DONE]` if no run is active.
            or (case.source == "post" and expected.done and case.protocol == "responses" and case.has("reorder"))
            or (case.source == "post" and (expected.done_before or case.has("again", "twice", "junk-names")))
            or (case.source == "file" and case.has("cut"))
        )
        self._ended_for_good = self._failure is not None and self._is_final(self._failure.reason)

    def is_cut(self, run_id: str, state: RunState | None) -> bool:
        """Whether the end of a run was not received."""
        if state is None or state.is_terminal:
            return state is None
        return self._expected.runs[run_id].is_terminal or self._ended_for_good or self._ended_normally

    def check_end(self) -> list[str]:
        """The problems of the source's end: it may fail only if a further attempt would be useless."""
        failure = self._failure
        if failure is None or self._ended_for_good or self._attempts_exhausted(failure):
            return []
        return [f"the source failed: {failure.reason} ({failure.attempt} attempts)"]

    def _is_final(self, reason: str) -> bool:
        """Whether an answer of the server ends a source for good."""
        if has_timeouts(self._case) and ("it took too long" in reason or "did not answer" in reason):
            return True  # on a busy machine
        if has_timeouts(self._case) and self._case.protocol == "langgraph-thread" and "nothing came" in reason:
            return True  # likewise: its stream is quiet while the server is asked
        posts = (
            not can_resume(self._case) or self._case.protocol == "langgraph"
        )  # whose run is unknown until its answer
        if posts and "the POST may have been carried out" in reason:
            return True
        planned = connection_plans(self._case)
        served = next((at for at, plan in enumerate(planned) if plan.refusal is None), len(planned))
        for at, plan in enumerate(planned):
            if plan.refusal is not None:
                name = plan.refusal.name
                if name in {"http-403", "http-404", "http-204"} and f"HTTP {name[5:]}" in reason:
                    return True
                if name == "html" and ("HTTP 200" in reason or "text/html" in reason):
                    return True
                if name == "error" and "that is no event stream" in reason:
                    return True
                if name == "coding" and "which was not asked for" in reason:
                    return True
                if name == "http-204" and at <= served and "gave no run" in reason:
                    return True
                # New credentials are requested once; a 401 at the first connection, or a second one, is final.
                unauthorized = sum(plan.refusal is not None and plan.refusal.name == "http-401" for plan in planned)
                if name == "http-401" and "HTTP 401" in reason and (at <= served or unauthorized > 1):
                    return True
                # Without any answer, a server that is late can't be distinguished from one that never existed.
                silent = "Could not connect" in reason or "did not answer" in reason
                if (
                    name in {"slam", "hush", "noise", "head"}
                    and at < served
                    and silent
                    and self._case.source in {"ws", "sse"}
                ):
                    return True
            if (
                plan.loss is not None
                and plan.loss.name in {"close-1008", "close-1009"}
                and plan.loss.name[6:] in reason
            ):
                return True  # without a message before it: the server rejects the request
            if plan.loss is not None and plan.loss.name == "protocol" and "text that is no event stream" in reason:
                return True  # nothing else was in the body
            if any(fault.name == "junk-giant" for fault in plan.content) and "max_message_bytes" in reason:
                return True
        return False

    def _attempts_exhausted(self, failure: SourceError) -> bool:
        """Whether all attempts were used, for a run whose end the server does not send any more."""
        left = bool(self._expected.held) or any(
            not state.is_terminal and not state.run.requires_action for state in self._expected.runs.values()
        )
        if self._case.source == "poll":
            return "had not ended after" in failure.reason and any(
                not s.is_terminal for s in self._expected.runs.values()
            )
        return failure.attempt >= MAX_ATTEMPTS and (left or self.lossy or self._corrupt)

    def check_cut(self, run_id: str, state: RunState | None) -> list[str]:
        """The problems of a run without its end: it may be interrupted or unseen if the source failed, or if the server
        reported the end while no run was active (between two runs, or while one waits).
        """
        if self._failure is not None:
            return []  # `check_end` judges the failure
        live = state is not None and not state.run.requires_action and self._case.source != "file"
        # The protocol has no resumption: the end of its response ends a source, and its open run is interrupted.
        live = live and not (self._case.protocol == "ag-ui" and self._case.source == "post")
        if (self._ended_normally or self.lossy or self._corrupt) and not live:
            return []
        return [f"run {run_id} was left {state.status if state else 'unseen'} and the source ended well"]

    def check(self, state: RunState, id: str, what: str) -> list[str]:
        """The problem of one difference; none if it is permitted."""
        problem = f"{id}: {what}"
        partial = id in state.partial
        cut = self.is_cut(state.run_id, state)
        lost = self.lossy or (self._corrupt and bool(self._observed.rejects))
        if self._case.server == "fetched" or self._case.source == "poll":
            lost = lost and "fact" in what  # each answer is complete; only changes between two answers are lost
        if what == "made up":
            # An event names no run: if a start is unreadable, what follows is of the run before it, or repeats nothing.
            others = (run for run in self._expected.runs.values() if run.run_id != state.run_id)
            moved = any(run._find(id) for run in others) or "~" in id
            moved = moved and self._case.protocol == "ag-ui" and self._corrupt
            # Only the first fragment of a call has its id (LangGraph): the others are of a call without one.
            nameless = self._case.protocol == "langgraph" and (self.lossy or self._corrupt) and is_nameless(id)
            return [] if moved or nameless else [problem]
        if id == state.run_id and (what == "run" or what.endswith("/failed")) and self._has_only_error(state):
            return []
        if id == state.run_id and self._has_other_word(state, what):
            return []
        if what == "missing" and self._case.server == "fetched":
            # Open objects are completed by their stream. Events before the first known event of a run are never
            # fetched, whether they were lost or unreadable.
            lost = (
                lost or not self._expected.whole.get(id) or self._created_after_reconnect(state.run_id) or self._corrupt
            )
        if what == "object" and self._case.server == "fetched":
            # A snapshot of an open object is not merged into what a stream has sent of it.
            lost = lost or not self._expected.whole.get(id)
        if what == "object":
            return [] if self._text_permitted(state, id, cut=cut, lost=lost, partial=partial) else [problem]
        if what.startswith("fact") and what.endswith("/completed") and self._duplicated_without_ids():
            # The signal has the object, whose texts no full object replaces: none was sent, or none that is readable.
            return [] if self._observed.sent.isdisjoint(self._expected.whole.get(id, ())) else [problem]
        return [] if cut or lost else [problem]

    def _has_other_word(self, state: RunState, what: str) -> bool:
        """Whether a run of the thread protocol has the times and the reason of its stream alone, since nobody could be
        asked, or of the server's answer alone, since it was asked when the stream was quiet.
        """
        alone = self._failure is not None or has_timeouts(self._case)
        ends = what == "run" or what.endswith(f"/{state.status}")
        return self._case.protocol == "langgraph-thread" and alone and ends

    def _has_only_error(self, state: RunState) -> bool:
        """Whether the end of a failed run was not sent, but the error before it, which may be the only end."""
        ends = self._observed.sent & self._expected.terminal.get(state.run_id, frozenset())
        return state.status == "failed" and bool(ends) and ends <= self._expected.errors

    def _created_after_reconnect(self, run_id: str) -> bool:
        """Whether the first event of a run was received after a reconnect."""
        for signal in self._observed.signals:
            if isinstance(signal, SourceResumed):
                return True
            if isinstance(signal, RunCreated) and signal.run_id == run_id:
                return False
        return True

    def _text_permitted(self, state: RunState, id: str, *, cut: bool, lost: bool, partial: bool) -> bool:
        if self._duplicated_without_ids() and (cut or lost or not self._expected.whole.get(id)):
            # "ha", "ha" is text: a delta that is repeated in one connection without an id counts twice, until a full
            # object replaces the text.
            return True
        if partial:
            return cut or lost or self.lossy or self._repeated_without_ids() or self._case.has(*LOSES_DATA)
        if not (cut or lost):
            return False
        if self._has_unreadable_start(state.run_id):
            # Its messages wait for their run; a fragment that is unreadable meanwhile is a reject, and marks none.
            return True
        if self._is_known_by_result(state.run_id, id):
            return True
        # The text so far is one that the clean stream had at some time; whole arguments may be written in another form.
        return all(
            any(theirs.startswith(text) for theirs in self._expected.texts.get((id, place), ("",)))
            or (place[0] == "arguments" and self._is_same_value(id, place, text))
            for place, text in texts_of(state, id).items()
        )

    def _is_same_value(self, id: str, place: Place, text: str) -> bool:
        """Whether a text is JSON, and the last one of the clean stream at its place is the same value."""
        try:
            return bool(json.loads(text) == json.loads(self._expected.texts.get((id, place), ("",))[-1]))
        except ValueError:
            return False

    def _has_unreadable_start(self, run_id: str) -> bool:
        """Whether the start of a run of AG-UI, whose messages name no run, was unreadable."""
        return self._case.protocol == "ag-ui" and any(
            b'"RUN_STARTED"' in (data := getattr(reject.raw, "data", b""))
            and (run_id.encode() in data or b'"runId"' not in data)
            for reject in self._observed.rejects
        )

    def _is_known_by_result(self, run_id: str, id: str) -> bool:
        """Whether the clean run has only the result of a call of AG-UI, which an earlier run announced.

        Where the result was unreadable, the call that a snapshot of the messages has is new.
        """
        step = self._expected.runs[run_id].step(id) if run_id in self._expected.runs else None
        return self._case.protocol == "ag-ui" and step is not None and any(not call.name for call in step.tool_calls)

    def _duplicated_without_ids(self) -> bool:
        return not self._case.has_all_ids and self._case.has("twice", "again")

    def _repeated_without_ids(self) -> bool:
        """Whether a later connection may repeat deltas without ids, from the middle of their object."""
        return not self._case.has_all_ids
