"""The golden dumps: what the library makes of many fixed streams, as digests that no refactoring may change.

Each case is a fixed stream: a shared recording, a bundled demo recording, or a generated conversation. Each case gives
one dump of plain JSON, in sections:

- ``input``: what goes in. A difference here means other cases, and the sections after it prove nothing.
- ``states``: the final states, and each source's place in its stream.
- ``signals``: all signals, in order, with all their fields.
- ``rejects``: input that could not be used, and why.
- ``orphans``: events of runs that were never seen.
- ``counts``: the counts of ``stats()``.
- ``trace``: the order of the callbacks of an engine, with a summary of what each one got.

``golden.json`` has a digest of each section, and no text of any recording. Commands, from the root of the repository::

    python -m tests.golden                # compare: name each case and section that differs
    python -m tests.golden --dump DIR     # write the full dumps, a file per case
    python -m tests.golden --write        # replace golden.json

``tests/golden/test_golden.py`` is the same comparison, a test per case.

A difference is found by two dumps, one of the last good commit and one of the present code, and ``diff -r``.

``golden.json`` may be written anew for two reasons only: a change of behaviour that is intended, and that CHANGELOG.md
lists; or new cases. A renaming, a move or a change of speed is no reason.

The dumps use public names alone. The words of ``msgspec`` about text that is not JSON are left out, because another
release may have other words.
"""

from __future__ import annotations
