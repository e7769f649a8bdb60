"""The grammar of event streams (WHATWG HTML, section 9.2.5): bytes in any chunks in, violations out.

The parsers of the library are tolerant; this one only observes. It keeps one line of at most 64 KiB.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Final

from runstream.checker.findings import Findings, clip_name
from runstream.checker.report import Place
from runstream.checker.rules import CheckRule

__all__ = ["EventStreamChecker"]

_MAX_LINE: Final = 64 * 1024
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry"})


class EventStreamChecker:
    """Checks the grammar of one event stream.

    Args:
        rules: The common rules, by name.
        findings: Receives the violations.
    """

    def __init__(self, rules: Mapping[str, CheckRule], findings: Findings) -> None:
        self._rules = rules
        self._findings = findings
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._is_utf8 = True
        self._line = bytearray()
        self._after_cr = False
        self._number = 0
        self._events = 0
        self._start = 0  # the line at which the block begins, 0 between blocks
        self._name: str | None = None
        self._has_name = self._has_data = self._has_id = False

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes."""
        if not chunk:
            return
        self._check_utf8(chunk, final=False)
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop()
        for line in lines:
            self._keep(line)
            self._end_line()
        self._keep(rest)

    def end(self) -> None:
        """Check the end of the stream."""
        self._check_utf8(b"", final=True)
        if self._line:
            self._end_line()
        if self._start:
            self._violate("unfinished_event")

    def _check_utf8(self, chunk: bytes, *, final: bool) -> None:
        if self._is_utf8:
            try:
                self._utf8.decode(chunk, final)
            except UnicodeDecodeError:
                self._is_utf8 = False  # one finding: what follows may be in any encoding
                self._violate("utf8")

    def _keep(self, piece: bytes) -> None:
        self._line += piece[: max(0, _MAX_LINE - len(self._line))]

    def _violate(self, rule: str, detail: str = "") -> None:
        place = Place(
            event=self._events + 1,
            line=self._start or self._number or 1,
            name=clip_name(self._name or ""),
        )
        self._findings.add(self._rules[rule], detail, place=place)

    def _end_line(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line:
            self._end_block()
        elif not line.startswith(b":"):
            self._field(*line.partition(b":"))

    def _field(self, field: bytes, colon: bytes, value: bytes) -> None:
        if field not in _FIELDS:
            if field.lstrip().startswith((b"{", b"[")):
                self._violate("json_without_data", f"line {self._number}")
            else:
                known = field.strip().lower() in _FIELDS
                self._violate("unknown_field", f"line {self._number}" + (": in another case or indented" * known))
            return
        if field == b"retry":
            if not value.strip().isdigit():
                self._violate("retry_value", f"line {self._number}")
            return
        self._start = self._start or self._number
        if field == b"event":
            if self._has_name:
                self._violate("blank_line", f"line {self._number}")
            self._has_name = True
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")
        elif field == b"data":
            self._has_data = True
        else:
            if b"\0" in value:
                self._violate("id_value", f"line {self._number}")
            self._has_id = True

    def _end_block(self) -> None:
        if self._has_name and not self._has_data:
            self._violate("event_without_data")
        self._events += self._has_data
        self._start, self._name = 0, None
        self._has_name = self._has_data = self._has_id = False
