"""Appends fragments to the text that grows, and commits the change."""

from __future__ import annotations

from runstream.core.derive import progress_signal
from runstream.core.object_deltas import append_fragment
from runstream.core.run_record import RunRecord
from runstream.core.state import GrowingText, RunState
from runstream.dialects.assistants_wire import ArgumentsFragment
from runstream.engine.outputs import Outputs
from runstream.model.signals import TextDelta

__all__ = ["append_arguments", "append_text", "commit_append"]


def append_text(outputs: Outputs, record: RunRecord, growing: GrowingText, text: str, at: float) -> None:
    """Append to the text that grows, and emit it. :mod:`runstream.engine.feed` contains the same, inlined.

    Args:
        outputs: The outputs of the engine.
        record: The run.
        growing: Its text, of which the record has the newest length.
        text: The fragment; not empty.
        at: The time of its arrival (Unix seconds).
    """
    buffer, offset = growing.buffer, record.length
    # The attributes behind the properties: a property costs a call, and this runs for every fragment.
    on_state, on_change = outputs._on_state, outputs._on_change
    before = record.state if on_change is not None else None
    buffer.tail.write(text)
    buffer.last = text
    record.length = buffer.length = offset + len(text)
    if on_state is not None:
        after = record.build_state()
        on_state(after)  # the callback may feed further fragments, or set the other callbacks
        if on_change is not None and (on_change := outputs._on_change) is not None:
            on_change(before, after, at)
    elif on_change is not None:
        on_change(before, record.build_state(), at)
    on_progress = outputs._on_progress
    if on_progress is not None:
        outputs.signals += 1
        on_progress(
            TextDelta(
                growing.run_id, growing.thread_id, growing.scope, at, growing.object_id, growing.part, offset, text
            )
        )


def append_arguments(outputs: Outputs, record: RunRecord, fragment: ArgumentsFragment, at: float) -> bool:
    """Append a plain fragment to the arguments that grow, and emit it.

    Args:
        outputs: The outputs of the engine.
        record: The run.
        fragment: The fragment, without an id.
        at: The time of its arrival (Unix seconds).

    Returns:
        False if these arguments do not grow; nothing was done then.
    """
    call = fragment.delta.step_details.tool_calls[0]
    before = record.state
    after = append_fragment(before, fragment.id, False, call.index, call.function.arguments)
    if after is None:
        return False
    outputs.events += 1
    if not record.unidentified:
        record.source.mark_unidentified(record)
    commit_append(outputs, record, before, after, at)
    return True


def commit_append(outputs: Outputs, record: RunRecord, before: RunState, after: RunState, at: float) -> None:
    """Store the state after a plain fragment, and emit the change and its one signal."""
    record.state = after
    if outputs.watched:
        outputs.publish_state(before, after, at)
    if outputs._on_progress is not None:
        outputs.signals += 1
        outputs._on_progress(progress_signal(after, before._length, at))
