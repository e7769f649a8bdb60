"""Which differences from the clean stream the contract permits, and why. All else is a failure."""

from __future__ import annotations

from runstream.core.state import RunState
from runstream.model.signals import RunCreated, SourceError, SourceResumed
from tests.faults.cases import Case, legs, resumes, slow
from tests.faults.clients import MAX_ATTEMPTS
from tests.faults.expected import Clean, texts_of
from tests.faults.runner import Seen

__all__ = ["LOSING", "Excuses"]

# What is on the way when TCP is reset never arrives, and nobody knows how much that was.
LOSING = ("reset", "kill", "cut")
_NORMAL = ("close-1000", "close-1001", "close-1005", "end")


class Excuses:
    """The excuses of one case.

    Args:
        case: The case.
        seen: What came of it.
        told: What the clean stream comes to.
    """

    def __init__(self, case: Case, seen: Seen, told: Clean) -> None:
        self._case = case
        self._seen = seen
        self._told = told
        failures = [signal for signal in seen.signals if isinstance(signal, SourceError) and signal.error is None]
        self._failure = failures[-1] if failures else None
        self._corrupt = case.has("corrupt")
        # The server never tells again what was lost; or, where it is polled, what passed between two answers.
        losing = case.has(*LOSING) or slow(case)
        self.lossy = case.server in {"onward", "fetched"} or (case.server == "back" and losing)
        if case.source == "poll":
            self.lossy = case.server == "onward" or slow(case)

        # It said that it was done, and a run that waits for action is none that is left in the middle. A body that
        # ends with its connection can't be told from a whole one, and a file ends where it ends.
        self._dismissed = self._failure is None and (
            case.has(*_NORMAL)
            or (case.source in {"sse", "post"} and case.has("drop", "half", "cut", "kill", "protocol", "http-204"))
            # What a POST started is over with `[DONE]`, where no run is live.
            or (case.source == "post" and (told.done_before or case.has("again", "twice", "junk-names")))
            or (case.source == "file" and case.has("cut"))
        )
        self._gone = self._failure is not None and self._hopeless(self._failure.reason)

    def is_cut(self, run_id: str, state: RunState | None) -> bool:
        """Whether a run was not told to its end."""
        if state is None or state.is_terminal:
            return state is None
        return self._told.runs[run_id].is_terminal or self._gone or self._dismissed

    def of_the_end(self) -> list[str]:
        """The source may be given up only where the server leaves no hope."""
        failure = self._failure
        if failure is None or self._gone or self._in_vain(failure):
            return []
        return [f"the source was given up: {failure.reason} ({failure.attempt} attempts)"]

    def _hopeless(self, reason: str) -> bool:
        """Whether the server said what ends a source for good."""
        if slow(self._case) and ("it took too long" in reason or "did not answer" in reason):
            return True  # on a busy machine
        if not resumes(self._case) and "the POST may have been carried out" in reason:
            return True
        planned = legs(self._case)
        served = next((at for at, leg in enumerate(planned) if leg.refusal is None), len(planned))
        for at, leg in enumerate(planned):
            if leg.refusal is not None:
                name = leg.refusal.name
                if name in {"http-403", "http-404", "http-204"} and f"HTTP {name[5:]}" in reason:
                    return True
                if name == "html" and ("HTTP 200" in reason or "text/html" in reason):
                    return True
                if name == "http-204" and at <= served and "gave no run" in reason:
                    return True
                # Asked for other credentials once; refused at first, or twice, it is final.
                unauthorized = sum(leg.refusal is not None and leg.refusal.name == "http-401" for leg in planned)
                if name == "http-401" and "HTTP 401" in reason and (at <= served or unauthorized > 1):
                    return True
                # Nothing but an answer tells a server that will be there later from one that never was.
                silent = "Could not connect" in reason or "did not answer" in reason
                if name in {"slam", "hush", "noise"} and at < served and silent and self._case.source in {"ws", "sse"}:
                    return True
            if leg.loss is not None and leg.loss.name in {"close-1008", "close-1009"} and leg.loss.name[6:] in reason:
                return True  # without a message before it: the server will not take what we sent
            if any(fault.name == "junk-giant" for fault in leg.content) and "max_message_bytes" in reason:
                return True
        return False

    def _in_vain(self, failure: SourceError) -> bool:
        """Whether it was tried often enough, for a run whose end the server does not tell any more."""
        left = any(not state.is_terminal and not state.run.requires_action for state in self._told.runs.values())
        if self._case.source == "poll":
            return "had not ended after" in failure.reason and any(not s.is_terminal for s in self._told.runs.values())
        return failure.attempt >= MAX_ATTEMPTS and (left or self.lossy or self._corrupt)

    def of_a_cut(self, run_id: str, state: RunState | None) -> list[str]:
        """A run may be left, or not be seen, where the source is gone, or where its server said that it was done
        while no run was live (between two runs, or while one waits).
        """
        if self._failure is not None:
            return []  # whether that was right is judged above
        live = state is not None and not state.run.requires_action and self._case.source != "file"
        if (self._dismissed or self.lossy or self._corrupt) and not live:
            return []
        return [f"run {run_id} was left {state.status if state else 'unseen'} and the source ended well"]

    def of(self, state: RunState, id: str, what: str) -> list[str]:
        """Whether one difference is excused."""
        problem = f"{id}: {what}"
        partial = id in state.partial
        cut = self.is_cut(state.run_id, state)
        lost = self.lossy or (self._corrupt and bool(self._seen.rejects))
        if self._case.server == "fetched" or self._case.source == "poll":
            lost = lost and "fact" in what  # each answer tells all of it; only what passed between two of them is lost
        if what == "made up":
            return [problem]
        if what == "missing" and self._case.server == "fetched":
            # What is open is left to its stream, and nobody fetches what was missed of a run before it was
            # known, be it that nobody heard it or that it could not be read.
            lost = lost or not self._told.whole.get(id) or self._known_late(state.run_id) or self._corrupt
        if what == "object":
            return [] if self._text_excused(state, id, cut=cut, lost=lost, partial=partial) else [problem]
        return [] if cut or lost else [problem]

    def _known_late(self, run_id: str) -> bool:
        """Whether a run was first heard of in a later connection."""
        for signal in self._seen.signals:
            if isinstance(signal, SourceResumed):
                return True
            if isinstance(signal, RunCreated) and signal.run_id == run_id:
                return False
        return True

    def _text_excused(self, state: RunState, id: str, *, cut: bool, lost: bool, partial: bool) -> bool:
        if self._twice_without_identity() and (cut or lost or not self._told.whole.get(id)):
            # "ha", "ha" is text: what comes twice in one connection and without an id counts twice, until a full
            # object says otherwise.
            return True
        if partial:
            return cut or lost or self.lossy or self._told_again() or self._case.has(*LOSING)
        if not (cut or lost):
            return False
        # What came of it so far is what the clean stream had at some time.
        return all(
            any(theirs.startswith(text) for theirs in self._told.texts.get((id, place), ("",)))
            for place, text in texts_of(state, id).items()
        )

    def _twice_without_identity(self) -> bool:
        return not self._case.identified and self._case.has("twice", "again")

    def _told_again(self) -> bool:
        """Whether a later connection tells deltas again that have no id, from the middle of their object."""
        return not self._case.identified
