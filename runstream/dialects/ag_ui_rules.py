"""The rules of the AG-UI protocol, and the counts of their violations.

A violation ends no run and drops nothing that was received before: it is counted under the name of its rule.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

__all__ = ["RULES", "Rule", "Violation", "Violations"]


class Rule(Struct, frozen=True):
    """A rule of the protocol.

    Attributes:
        name: Its name, under which violations are counted.
        text: What it demands, in one sentence.
        place: The part of the protocol that it belongs to: ``stream``, ``event``, ``run``, ``message``, ``call``,
            ``reasoning``, ``step``, ``subagent``, ``chunk`` or ``state``.
    """

    name: str
    text: str
    place: str


_TABLE: Final = (
    Rule("first_event", "A stream begins with RUN_STARTED or RUN_ERROR.", "stream"),
    Rule("terminal_event", "A stream ends after RUN_FINISHED or RUN_ERROR.", "stream"),
    Rule("done_marker", "A stream has no [DONE].", "stream"),
    Rule("known_type", "An event has a type of the protocol.", "event"),
    Rule("field_name", "Names of fields are in camelCase.", "event"),
    Rule("field_value", "A field has a value of its type, and required fields are present.", "event"),
    Rule("delta_name", "The fragment of a text, or of arguments, is in delta.", "event"),
    Rule("older_type", "THINKING events were replaced by REASONING events.", "event"),
    Rule("run_started_once", "RUN_STARTED does not occur in an open run.", "run"),
    Rule("run_id", "The boundary events of a run have one runId, and no other run has it.", "run"),
    Rule("event_after_end", "Only RUN_STARTED follows the end of a run, or RUN_ERROR after RUN_FINISHED.", "run"),
    Rule("one_terminal_event", "A run has one terminal event.", "run"),
    Rule("known_outcome", "An outcome is success, interrupt with interrupts, or cancelled.", "run"),
    Rule("closed_at_finish", "All that was opened is closed before RUN_FINISHED.", "run"),
    Rule("message_opened_once", "A message is not opened while it is open.", "message"),
    Rule("message_open", "Content and end of a message come while it is open.", "message"),
    Rule("snapshot_text", "A snapshot of the messages has the texts that were streamed.", "message"),
    Rule("call_opened_once", "A call is not opened while it is open.", "call"),
    Rule("call_open", "Arguments and end of a call come while it is open.", "call"),
    Rule("call_announced_again", "A run that continues another one does not repeat its calls.", "call"),
    Rule("result_once", "A call has one result.", "call"),
    Rule("result_of_known_call", "A result is that of a call of this run, or of one that was waited for.", "call"),
    Rule("result_message", "A result names its message.", "call"),
    Rule("reasoning_opened_once", "A reasoning, or a message of it, is not opened while it is open.", "reasoning"),
    Rule(
        "reasoning_open", "Content and end of a reasoning, or of a message of it, come while it is open.", "reasoning"
    ),
    Rule("step_opened_once", "A step of a name is not opened while one is open under its owner.", "step"),
    Rule("step_open", "A step is finished while it is open.", "step"),
    Rule("subagent_once", "A subagent is started once.", "subagent"),
    Rule("subagent_open", "A subagent ends while it is open.", "subagent"),
    Rule("subagent_known", "A subagent is started before an event names it, and its parent before it.", "subagent"),
    Rule("subagent_of_opener", "The events of a message or call have the subagent of its opener.", "subagent"),
    Rule("chunk_has_id", "The first chunk of a lane has an id; that of a call a name too.", "chunk"),
    Rule("chunk_agrees", "Repeated roles, names and parents in chunks are equal.", "chunk"),
    Rule("patch_form", "A state or activity delta is a list of operations.", "state"),
)
RULES: Final[Mapping[str, Rule]] = {rule.name: rule for rule in _TABLE}
"""All rules whose violations are counted, by name."""

_MAX_PLACES: Final = 256


class Violation(Struct, frozen=True):
    """One violation, with its place.

    Attributes:
        rule: The name of the rule.
        event: The type of the event.
        run_id: The ``runId`` of the run on the wire; ``None`` outside of a run.
        line: The line of the event in its stream, from 1; 0 if there are no lines.
        object_id: The id of the message, call, step or subagent that it concerns; "" if there is none.
    """

    rule: str
    event: str
    run_id: str | None = None
    line: int = 0
    object_id: str = ""


class Violations:
    """The violations in one source.

    Attributes:
        counts: The number of violations of each rule.
        latest: The latest ones, with their places.
    """

    __slots__ = ("counts", "latest")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latest: deque[Violation] = deque(maxlen=_MAX_PLACES)

    def add(self, rule: str, event: str, run_id: str | None, line: int, object_id: str = "") -> None:
        """Count a violation.

        Args:
            rule: The name of the rule.
            event: The type of the event.
            run_id: See :class:`Violation`.
            line: See :class:`Violation`.
            object_id: See :class:`Violation`.

        Raises:
            KeyError: No rule has this name.
        """
        self.counts[RULES[rule].name] += 1
        self.latest.append(Violation(rule, event, run_id, line, object_id))
