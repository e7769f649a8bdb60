"""Writes docs/statuses.md from the table of transitions, so that the two can't differ. Run from anywhere."""

from __future__ import annotations

from pathlib import Path

from runstream.core.status import TRANSITIONS

HERE = Path(__file__).parent
HEAD = """\
# How a run's status may change

<!-- Written by docs/make_statuses.py from the table in runstream/core/status.py: change that, then run it. -->

A snapshot of a run (a `thread.run.*` event, or a polled Run) is judged before it counts:

1. **A terminal status absorbs.** The first one wins and never changes. A later snapshot with the same status may
   fill in fields that were absent (the usage that a poll brings); nothing else.
2. **Old snapshots change nothing.** One is old if it asks for calls that the run was asked before and has left, or
   if its `started_at` is null or smaller where the known one is larger. A field that a snapshot *lacks* says
   nothing; null says something. A terminal snapshot is never old: a run does not come back from its end.
3. **Otherwise this table decides**: *expected*; *legal* but surprising, because something was missed (counted as
   `surprising`); or *stale* (counted, changes nothing). A larger `started_at` is newer, whatever the table says.
4. `in_progress` with the same `started_at`, for a run that waits for action or was queued again after that start, is
   the snapshot from before the request, repeated: `started_at` is kept on a re-queue and grows when the run goes on.
   Servers that send no `started_at` give no such evidence: there it counts.
5. After a repeated `thread.run.created` the source sends the run from its start again. Where no `started_at` shows
   the age, its `queued` and `in_progress` are old until it sends something newer or comes to the calls that were asked
   for last; a status that the table does not know is old too, for a run that waits, was queued again or is being
   cancelled.
6. A status that the table does not know may follow any, and any may follow it.

"""


DIAGRAM = """\
![the statuses and the changes between them; dotted: legal, but a sign of a missing event](statuses.svg)"""


def table() -> str:
    """The whole table: rows are known statuses, columns new ones."""
    columns = list(dict.fromkeys(new for _, new in TRANSITIONS))
    rows = list(dict.fromkeys(known for known, _ in TRANSITIONS))
    lines = ["| known \\ new | " + " | ".join(f"`{status.value}`" for status in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    lines += [
        f"| `{known.value}` | " + " | ".join(TRANSITIONS[known, new].value for new in columns) + " |" for known in rows
    ]
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    return f"{HEAD}{table()}\n\n{DIAGRAM}\n"


if __name__ == "__main__":
    (HERE / "statuses.md").write_text(page(), encoding="utf-8")
