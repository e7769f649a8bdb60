"""`runstream fold`: the final runs, as JSON and for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runstream import demo
from runstream.cli.exit_codes import ExitCode
from runstream.engine.fold import fold
from runstream.recordings.reader import read_recording
from tests.cli.support import ENDINGS, asked_and_answered, body, ended, lines, run_cli, waiting
from tests.support.wire import Event


def without_nulls(value: Any) -> Any:
    """Absent and null are one, and not written."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def test_without_a_run_it_says_why(cli: Callable, tmp_path: Path) -> None:
    """Events of another protocol, and input that no dialect recognises, are counted, in both forms of output."""
    events = [
        {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
        {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
    ]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    for options in ((), ("--json",)):
        found = cli("fold", "--dialect", "responses", *options, str(path))
        assert found.code == ExitCode.NOT_COMPLETED
        expected = "runstream: no run was seen: 2 events are unknown in the dialect of their source"
        assert found.err.splitlines()[-1] == expected
    path.write_text('{"id": "c1", "choices": []}\n' * 2)
    for command in ("fold", "replay"):
        told = cli(command, str(path)).err.splitlines()[-1]
        assert told.startswith(
            "runstream: no run was seen: 2 inputs were rejected, the first: No dialect recognises it"
        )


def test_json(cli: Callable, recording: Callable) -> None:
    """One object a run, in order of appearance, each part as on the wire."""
    path = recording(*(ended(status, status) for status in ENDINGS))
    found = lines(cli("fold", "--json", path).out)
    assert [list(run) for run in found] == [["run", "steps", "messages"]] * 5
    assert [run["run"]["id"] for run in found] == [f"run_{status}_0001" for status in ENDINGS]
    assert [run["run"]["status"] for run in found] == list(ENDINGS)
    last = next(event.data for event in ended("failed", "failed") if event.name == "thread.run.failed")
    assert found[1]["run"] == without_nulls(last)
    assert found[0]["messages"][0]["content"][0]["text"]["value"] == "Hello there, friend."
    assert found[0]["steps"][0]["status"] == "completed"


def test_json_of_two_streams(cli: Callable, recording: Callable) -> None:
    """The streams of one run are folded into one object."""
    first, second = asked_and_answered("pair")
    (run,) = lines(cli("fold", "--json", recording(first, name="1.sse"), recording(second, name="2.sse")).out)
    assert run["run"]["status"] == "completed"
    assert [step["type"] for step in run["steps"]] == ["tool_calls", "message_creation"]


def test_equals_the_library(cli: Callable, recording: Callable) -> None:
    """The command shows what `fold` returns."""
    path = recording(ended("a"), waiting("b"))
    assert lines(cli("fold", "--json", path).out) == [state.to_dict() for state in fold(read_recording(path)).runs]


def test_plain(cli: Callable, recording: Callable) -> None:
    """For people: the run, its steps, what it said, what it waits for."""
    found = cli("fold", recording(ended("a", text="One.\nTwo."), waiting("b")))
    assert found.out.splitlines() == [
        "run_a_0001  completed  2.0s · 8 tokens (3 in, 5 out)",
        "  step      message_creation  completed",
        "  assistant One.",
        "            Two.",
        "run_b_0001  requires_action",
        "  step      tool_calls  in_progress  get_time",
        '  awaited   get_time {"zone":"UTC"} as call_b_0001',
    ]
    assert found.err == "runstream: 2 runs: 1 completed, 1 waiting for action\n"
    assert found.code == 3


@pytest.mark.slow
def test_standard_input() -> None:
    """A stream can be piped in."""
    found = run_cli("fold", "--json", "-", input=body(ended("a")))
    assert (found.returncode, found.stderr) == (0, "")
    assert lines(found.stdout)[0]["run"]["id"] == "run_a_0001"


def test_the_demo_recordings(cli: Callable, tmp_path: Path) -> None:
    """Every bundled recording folds into the outcome that the script promises, and through a pipe into the same."""
    path = tmp_path / "scene.sse"
    for scene in (scene for act in demo.SCRIPT for scene in act):
        path.write_bytes(b"".join(demo.load(name) for name in scene.files))
        found = cli("fold", "--json", str(path))
        assert [(run["run"]["id"], run["run"]["status"]) for run in lines(found.out)] == [(scene.run_id, scene.outcome)]
    assert run_cli("fold", "--json", "-", input=path.read_bytes()).stdout == found.out


def words(path: Path, *items: str) -> str:
    """A file of the tests' own dialect."""
    path.write_text("".join(f"data: {item}\n\n" for item in items))
    return str(path)


def test_a_dialect_by_name(cli: Callable, recording: Callable, tmp_path: Path, words_dialect: str) -> None:
    path = words(tmp_path / "1.sse", "run_1 in_progress", "run_1 completed")
    found = cli("fold", "--dialect", "words", path)
    assert (found.code, found.out) == (0, "run_1  completed\n")
    assert cli("fold", path).code == 1
    assert cli("fold", "--dialect", "assistants", recording(ended("a"))) == cli("fold", recording(ended("a")))


def test_continue(cli: Callable, tmp_path: Path, words_dialect: str) -> None:
    """Each file continues the run that waits then; without the option the wire alone counts."""
    files = (
        words(tmp_path / "1.sse", "run_0 completed", "run_1 in_progress", "run_1 requires_action call_1"),
        words(tmp_path / "2.sse", "- in_progress", "- requires_action call_2"),
        words(tmp_path / "3.sse", "- in_progress", "- completed"),
    )
    found = cli("fold", "--continue", "--dialect", "words", *files)
    assert found.code == 0
    assert found.out.splitlines() == ["run_0  completed", "run_1  completed"]
    assert found.err == "runstream: 2 runs: 2 completed\n"
    apart = cli("fold", "--dialect", "words", *files)
    assert [line.split()[0] for line in apart.out.splitlines() if line.startswith("run")] == [
        "run_0",
        "run_1",
        "run_words",
    ]


def test_continue_with_messages_that_name_no_run(cli: Callable, recording: Callable) -> None:
    first, second = asked_and_answered("pair")
    unnamed = [
        Event(event.name, {**event.data, "run_id": None}) if "run_id" in (event.data or ()) else event
        for event in second
    ]
    files = (recording(first, name="1.sse"), recording(unnamed, name="2.sse"))
    (run,) = lines(cli("fold", "--json", "--continue", *files).out)
    assert [message["content"][0]["text"]["value"] for message in run["messages"]] == ["It is noon."]
    # The second file names one run only: its messages belong to that run, also without the option.
    (run,) = lines(cli("fold", "--json", *files).out)
    assert [message["content"][0]["text"]["value"] for message in run["messages"]] == ["It is noon."]


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (ended("a"), "2.sse has no run to continue: none of {1} waits for action"),
        (
            [*waiting("a"), *ended("b"), *waiting("c")],
            "2.sse can continue one run only, but 2 of {1} wait: run_a_0001, run_c_0001",
        ),
    ],
    ids=["none", "two"],
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["plain", "json"])
def test_what_can_not_be_continued(
    cli: Callable, recording: Callable, runs: list[Event], reason: str, form: tuple[str, ...]
) -> None:
    """A usage error that says which runs wait; nothing is shown."""
    one, two = recording(runs, name="1.sse"), recording(ended("d"), name="2.sse")
    found = cli("fold", *form, "--continue", one, two)
    assert (found.code, found.out) == (2, "")
    assert reason.replace("{1}", one) in found.err.replace(two, "2.sse")
    assert "try: runstream fold --help" in found.err


def test_the_dialect_is_found_and_reported(cli: Any, recording: Any, tmp_path: Path) -> None:
    """Not where it is the usual one, and not where the command line names it."""
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"type": "response.completed", "response": response}) + "\n")
    found = cli("fold", str(path))
    assert found.out == "resp_1  completed\n"
    assert "talk.jsonl: the dialect is responses" in found.err
    assert "dialect" not in cli("fold", "--dialect", "responses", str(path)).err
    assert "dialect" not in cli("fold", recording(ended("a"))).err


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("dialect", ["auto", "responses"])
@pytest.mark.parametrize(
    "error",
    [{"error": {"message": "bad\x1bkey", "code": "no_key"}}, {"type": "error", "message": "no", "code": "no_key"}],
)
def test_an_error_of_no_run_is_reported(cli: Any, tmp_path: Path, error: Any, dialect: str, form: list[str]) -> None:
    """A refused request changes no run: without this line, nothing would say why there is none."""
    path = tmp_path / "refused.jsonl"
    path.write_text(json.dumps(error) + "\n")
    found = cli("fold", *form, "--dialect", dialect, str(path))
    assert (found.out, found.code) == ("", 1)
    assert "an error of the source: " in found.err
    assert "no_key" in found.err
    assert "\x1b" not in found.err
