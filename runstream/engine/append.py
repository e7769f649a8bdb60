"""Appends fragments to the text that grows: the hot path of every protocol."""

from __future__ import annotations

from runstream.core.run_record import RunRecord
from runstream.engine.outputs import Outputs
from runstream.model.events import TextAppend

__all__ = ["append_text"]


def append_text(outputs: Outputs, record: RunRecord, event: TextAppend, at: float) -> bool:
    """Append a fragment to the text that grows, and emit it. No state is built where no callback takes one.

    Args:
        outputs: The outputs of the engine.
        record: The run.
        event: The fragment.
        at: The time of its arrival (Unix seconds).

    Returns:
        False if another text grows, also of another run, or none; nothing was done then. Else the event was counted.
    """
    growing = record.growing
    if (
        growing is None
        or growing.object_id != event.object_id
        or growing.index != event.index
        or growing.target != event.target
        or (event.run_id is not None and event.run_id != growing.run_id)
    ):
        return False
    buffer, offset = growing.buffer, record.length
    if buffer.length != offset or offset > record.room:
        return False  # not the newest state of this text: the reducer forks it; or the text reaches its bound
    text = event.text
    watched, before = outputs.watched, None
    if watched and outputs._on_change is not None:
        before = record.state
    buffer.tail.write(text)
    buffer.last = text
    record.length = buffer.length = offset + len(text)
    if watched:
        after = record.build_state()
        if outputs._on_state is not None:
            outputs._on_state(after)  # which may feed more of the text, or set the callbacks
        if before is not None and outputs._on_change is not None:
            outputs._on_change(before, after, at)
    on_progress = outputs._on_progress
    if on_progress is None:
        outputs.events += 1
    else:
        outputs.progress_count += 1
        # A variable: a method call would look an attribute that is no method up in full each time.
        make = growing.signal
        if growing.part >= 0:
            signal = make(
                growing.run_id, growing.thread_id, growing.scope, at, growing.object_id, growing.part, offset, text
            )
        else:
            signal = make(
                growing.run_id,
                growing.thread_id,
                growing.scope,
                at,
                growing.call_id,
                offset,
                text,
                growing.call_key,
            )
        on_progress(signal)
    return True
