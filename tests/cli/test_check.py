"""`check`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runstream.cli.exit_codes import ExitCode
from tests.checker.streams import ag_ui_events, blocks_of, responses_events
from tests.cli.support import call_cli
from tests.cli.test_watch_http import answering


def stream(*, broken: bool) -> bytes:
    """A response as an event stream."""
    events = responses_events()
    if broken:
        events[4]["sequence_number"] = 0
        events[0]["response"].pop("usage")
    return blocks_of([(event["type"], event, None) for event in events])


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """A conforming recording and a broken one."""
    good, bad = tmp_path / "good.sse", tmp_path / "bad.sse"
    good.write_bytes(stream(broken=False))
    bad.write_bytes(stream(broken=True))
    return good, bad


def test_the_exit_code_says_whether_a_rule_is_broken(paths: tuple[Path, Path]) -> None:
    """0 for none, 1 for any."""
    good, bad = paths
    assert call_cli("check", str(good)).code == ExitCode.COMPLETED
    assert call_cli("check", str(bad)).code == ExitCode.NOT_COMPLETED


def test_a_recording_of_another_protocol_breaks_a_rule(tmp_path: Path) -> None:
    """The exit code is 1, and the line counts the events."""
    path = tmp_path / "run.jsonl"
    path.write_text("".join(f"{json.dumps(event)}\n" for event in ag_ui_events()))
    assert call_cli("check", str(path)).code == ExitCode.COMPLETED
    found = call_cli("check", "--dialect", "responses", str(path))
    assert found.code == ExitCode.NOT_COMPLETED
    assert "broken  unknown_protocol x1: An event shows the protocol of its stream." in found.out
    assert f"end of the stream: {len(ag_ui_events())} events, none of responses" in found.out


def test_the_report_in_words(paths: tuple[Path, Path]) -> None:
    """The rules with their places, and what a tolerant reader made of the stream."""
    result = call_cli("check", str(paths[1]))
    assert result.out.splitlines() == [
        f"{paths[1]}  responses, 14 events; rules: 2 broken, 1 noted",
        "broken  sequence_growth x1: The numbers of a response grow.",
        "          event 5, line 13, response.output_text.delta, resp_1: 0 after 3",
        "broken  sequence_gap x1: The numbers of a response have no gap.",
        "          event 6, line 16, response.output_text.delta, resp_1: 5 after 0",
        "note    usage_absent x1: A response object without `usage` breaks readers that expect a null.",
        "          event 1, line 1, response.created, resp_1",
        "read as  resp_1  requires_action  1 message, 11 characters, 1 step, 1 call, 1 awaited call",
    ]


def test_the_report_as_json(paths: tuple[Path, Path]) -> None:
    """One line with the whole report."""
    result = call_cli("check", "--json", str(paths[1]))
    report = json.loads(result.out)
    assert result.code == 1
    assert result.out.count("\n") == 1
    assert (report["ok"], report["dialect"], report["events"]) == (False, "responses", 14)
    assert [(each["rule"], each["severity"], each["count"]) for each in report["findings"]] == [
        ("sequence_growth", "error", 1),
        ("sequence_gap", "error", 1),
        ("usage_absent", "note", 1),
    ]
    assert report["findings"][0]["places"] == [
        {"event": 5, "line": 13, "name": "response.output_text.delta", "object_id": "resp_1", "detail": "0 after 3"}
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["absent.sse"], "there is no such file"),
        (["gopher://host/"], "is no live stream"),
        (["http://[::1/"], "can't be read"),
        (["https:///path"], "names no host"),
        (["ws://host/", "-d", "{}"], "body of a POST"),
        (["run.sse", "-H", "A: b"], "are for a URL"),
        (["run.sse", "--timeout", "3"], "are for a URL"),
        (["run.sse", "--timeout", "0"], "above 0"),
        (["run.sse", "--dialect", "odd"], "is not a dialect"),
        (["https://host/", "-d", "@absent.json"], "can't read"),
    ],
)
def test_usage_errors(args: list[str], message: str) -> None:
    """Exit code 2, and a message that says what is wrong."""
    result = call_cli("check", *args)
    assert result.code == ExitCode.USAGE
    assert message in result.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "ws://127.0.0.1:9/"])
def test_a_server_that_is_not_there(url: str) -> None:
    """Exit code 5, as for every command that connects."""
    result = call_cli("check", url)
    assert result.code == ExitCode.NO_CONNECTION
    assert "Could not connect" in result.err
    assert result.out == ""


@pytest.mark.slow
def test_a_live_stream() -> None:
    """A POST to a server; its status is a finding."""
    with answering(stream(broken=False), answers=[None, (500, {}, b"no")]) as peer:
        result = call_cli("check", peer.url, "-d", "{}", "-H", "X-Own: 1")
        assert (result.code, peer.requests[0].method, peer.requests[0].body) == (0, "POST", b"{}")
        assert peer.requests[0].header("content-type") == "application/json"
        result = call_cli("check", peer.url)
        assert result.code == 1
        assert "http_status" in result.out
