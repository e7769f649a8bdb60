"""The grammar of event streams: each rule, in any chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.checker.check import check
from runstream.checker.common import COMMON_RULES
from runstream.checker.event_stream import EventStreamChecker
from runstream.checker.findings import Findings
from runstream.checker.report import Finding


def findings(data: bytes, size: int = 2**20) -> tuple[Finding, ...]:
    """The findings in a stream that comes in chunks of a size."""
    found = Findings()
    checker = EventStreamChecker(COMMON_RULES, found)
    for at in range(0, len(data), size):
        checker.feed(data[at : at + size])
    checker.end()
    return found.result()


CASES = [
    (b"event: a\ndata: {}\n\n", {}),
    (b"\xef\xbb\xbf: comment\r\nevent: a\r\ndata: {}\r\nid: 1\r\n\r\n: heartbeat\r\n\r\n", {}),
    (b"event: a\rdata: {}\r\rdata: {}\r\r", {}),
    (b"id: 7\n\nretry: 100\n\ndata: {}\n\n", {}),
    (b"data: {}\n\nevent: a\ndata: {}\n", {"unfinished_event": (2, 3)}),
    (b"data: {}\n\ndata: {", {"unfinished_event": (2, 3)}),
    (b"event: a\ndata: {}\nevent: b\ndata: {}\n\n", {"blank_line": (1, 1)}),
    (b"data: {}\n\nevent: a\n\ndata: {}\n\n", {"event_without_data": (2, 3)}),
    (b'{"a": 1}\n\ndata: {}\n\n', {"json_without_data": (1, 1)}),
    (b"event: a\nDATA: {}\ndata: {}\n\n", {"unknown_field": (1, 1)}),
    (b"data: {}\nsize: 3\n\n", {"unknown_field": (1, 1)}),
    (b"retry: soon\ndata: {}\n\n", {"retry_value": (1, 1)}),
    (b"id: a\0b\ndata: {}\n\n", {"id_value": (1, 1)}),
    (b"data: {}\n\ndata: \xff\n\n", {"utf8": (1, 2)}),
]


@pytest.mark.parametrize(("data", "expected"), CASES)
@pytest.mark.parametrize("size", [1, 3, 2**20])
def test_the_grammar(data: bytes, expected: dict[str, tuple[int, int]], size: int) -> None:
    """Each broken rule has the number and the line of its event, in any chunks."""
    found = {finding.rule.name: finding for finding in findings(data, size)}
    assert set(found) == set(expected)
    for name, (event, line) in expected.items():
        if name != "utf8":  # it is found where the chunk ends
            assert (found[name].places[0].event, found[name].places[0].line) == (event, line)


@given(st.binary(max_size=200), st.integers(1, 7))
def test_chunks_change_nothing(data: bytes, size: int) -> None:
    """The same rules are broken as often, however the bytes come."""

    def counts(chunk: int) -> dict[str, int]:
        return {finding.rule.name: finding.count for finding in findings(data, chunk)}

    assert counts(size) == counts(2**20)


def test_a_long_line_is_not_kept() -> None:
    """A line of megabytes costs no memory."""
    found = Findings()
    checker = EventStreamChecker(COMMON_RULES, found)
    for _ in range(100):
        checker.feed(b"data: " + b"x" * 2**16)
    assert len(checker._line) <= 2**16
    checker.feed(b"\n\n")
    checker.end()
    assert found.result() == ()


def test_lines_of_json_have_no_grammar() -> None:
    """The rules of event streams are not those of JSON lines."""
    assert check(b'{"type": "RUN_STARTED", "threadId": "t", "runId": "r"}').errors[0].rule.name == "terminal_event"
