"""Every example runs, offline and within seconds, and prints what it promises."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

EXPECTED = {
    "28_use_chat.py": [
        'Let me look.\n< list_notes: ["boat.txt", "plan.txt"]\nShall I delete both?\n[tool-calls]\n',
        '? delete_notes {"names": ["boat.txt", "plan.txt"]}: yes\nBoth notes are deleted.\n[stop]\n',
    ],
    "31_check_a_server.py": [
        "message_open (event 4, msg_2)",
        "terminal_event (end of the stream, run_1)",
        "read as in_progress, interrupted, 15 characters",
        "ag-ui, 5 events: no rule is broken\n  read as completed, 15 characters",
    ],
    "20_client.py": ["  the tool is called for Rome\n", "resp_1 completed, 30 tokens", "run_1 completed, 15 tokens"],
    "21_approve.py": [
        "resp_1 wants read_file {'path': 'notes.txt'}\nby a function: completed",
        "the stream ended; resp_3 waits for action (no answer to mcpr_3_1)\nby a person: completed",
        "received [True, False]",
    ],
    "23_first_run.py": ["completed It is sunny in Oslo.\n"],
    "24_ag_ui_client.py": [
        "  the mill is on the map\n  the quay is on the map\n  book_table {'seats': 2} is approved\n",
        "  not sent: $.name 7 is not of type 'string'\ncompleted: Let me see. See you tonight.",
    ],
    "25_langgraph_client.py": [
        "  high water at Elm at nine\n  high water at Oak at nine\n  the graph asks about book: yes\n  Heron is booked",
        "(the connection broke off)",
        "completed: Let me look. See you on Sunday.\non the server: completed",
    ],
    "26_blocking_client.py": [
        "run_1 waits for action (no answer to call_step_run_1_1_1)\ncompleted: 42 euros.\non the server: completed",
    ],
    "27_websocket_client.py": [
        "Elm: High water is at nine.\nOak: High water is at ten.\nthe run was cancelled here\nrequests over HTTP: []",
    ],
    "01_watch.py": [
        "run_demo_text_0001 is in_progress",
        "the book need not.\n",
        "run_demo_text_0001 completed, 99 tok",
    ],
    "02_callbacks.py": [
        "calling get_forecast({'city': 'Ghent', 'day': 'Saturday'})",
        "submitting 2 outputs for run_demo_call_0001",
        "assistant: Saturday starts dry in Ghent",
        "billing 569 tokens under run_demo_call_0001/completed",
        "run_demo_call_0001 completed",
    ],
    "29_ag_ui_endpoint.py": [
        "I look at the timetable. \n[Heron, Oslo to Kiel, 14:30]\nHere is her way. \n[map: Oslo, Kiel]",
        'Approve book_seats({"ferry":"Heron","seats":2})? yes\nTwo seats are booked.\ncompleted',
    ],
    "03_fold_a_file.py": ["after one stream: requires_action", "waits for get_forecast", "after both: completed, 569"],
    "04_plain_rx.py": [
        "{'run_demo_text_0001': 227, 'run_demo_failed_0001': 100}",
        "run_demo_text_0001 completed, 99 tokens",
        "run_demo_failed_0001 failed, 57 tokens",
    ],
    "05_log.py": ['"event": "run.failed"', '"error_code": "rate_limit_exceeded"'],
    "06_record_and_replay.py": [
        "run_demo_text_0001 completed, and said 'Pack for a rainy wee'",
        "run_demo_text_0001 completed, and said 'xxxxxxxxxxxxxxxxxxxx'",
        "equal: True",
    ],
    "07_poll.py": [
        "status: in_progress\nasked for get_time\nstatus: queued",
        "run_1 incomplete: max_completion_tokens",
    ],
    "08_live_terminal.py": [
        "run_demo_failed_0001 failed: look at its error",
        "…search_0001      completed",
        "4 runs · 3 completed · 1 failed",
    ],
    "09_live_page.py": ["open http://127.0.0.1:", "run_demo_call_0001 completed", "run_demo_failed_0001 failed"],
    "10_relay_asgi.py": [
        "run_demo_text_0001 completed, cut after 40 events, 2 connections",
        "both have it: Pack for a rainy weekend",
        "one more request: 204",
    ],
    "11_resume_after_a_cut.py": [
        "[source.disconnected]",
        "[connecting again after event 19]",
        "[connecting again after event 44]",
        "run_demo_text_0001 completed, 6 events came twice",
        "whole: True, no fact twice: True",
    ],
    "12_resume_after_restart.py": [
        "run_demo_text_0001/message/msg_demo_text_0001/created\nexit code 9\n",
        "a process that goes on\n  run_demo_text_0001/message/msg_demo_text_0001/created\n",
        "  run_demo_text_0001/message/msg_demo_text_0001/completed",
        "a process that has nothing to do\nrun_demo_text_0001 completed: 227 characters, whole\nexit code 0",
    ],
    "13_blocking.py": [
        "answering get_forecast, find_trains",
        "run_demo_call_0001 completed: Saturday starts dry in Ghent",
    ],
    "14_many_runs.py": [
        "500 runs: 300 completed, 100 cancelled, 100 failed",
        "each user read all of the own run, 12890 characters together",
        "167 runs of one assistant drawn",
        "customer 3 is billed for 42 completed runs",
        "0 failures",
    ],
    "16_write_a_dialect.py": [
        "j1/action_required/c1",
        "j1/custom/1",
        "j1 completed: Room 7.",
        "jobs: j1, j2; rejects: 1; repeated: 1",
    ],
    "19_langgraph.py": [
        "I can book it. [2 messages]\n\n? book: Book this boat? yes\nSee you on Sunday. [4 messages]",
        "run-1 completed\nruns of the server: run-1, run-2; tokens: 48",
    ],
    "18_ag_ui.py": [
        "(Winter hours.) ",
        "[state {'visits': ['hours']}]",
        "We close at five.\n[completed]",
        '> show_on_map {"place": "the old mill"}\n< the old mill is shown\nThere it is.\n[completed]',
        "? Book a table for 2? yes",
        "< table 7\nTable 7 is yours.\n[completed]",
        "[failed: The kitchen is on fire]",
        "The soup of the day is\n[no end: ",
    ],
    "17_responses.py": [
        'function get_weather({"city": "Ghent"}), executed once as resp_1/call/call_1',
        "It rains in Ghent.\nresp_1 completed: resp_1 and resp_2, 50 tokens",
    ],
    "32_cluster.py": [
        "the first worker has stopped; another one goes on",
        "billing 99 tokens under run_demo_text_0001/completed",
        "run_demo_text_0001 is completed\nrun_demo_failed_0001 is failed",
    ],
    "33_textual.py": [
        "run_demo_code_0001 completed\nrun_demo_search_0001 completed\nrun_demo_failed_0001 failed\n",
    ],
    "34_dead_letters.py": [
        "put aside after 3 attempts: run_2/completed\n3 bills sent, 1 put aside\n",
        "sent later: run_2/completed\n4 bills sent, 0 put aside\n",
    ],
    "22_responses_socket.py": [
        "> When is high tide?\n> Hello.\n> 09:00",
        "resp_1 completed: High tide is at nine. (resp_1 and resp_2)\nresp_3 completed: Hello too. (resp_3)",
    ],
    "30_traces.py": [
        "invoke_agent",
        "step tool_calls, a child of invoke_agent",
        "execute_tool get_weather, a child of invoke_agent",
        "query the weather, a child of execute_tool get_weather",
    ],
    "15_a_dialect_by_name.py": [
        "dialects: ag-ui, assistants, auto, jobs, langgraph, langgraph-thread, responses\n"
        "answering question-1 of job-1",
        "refused: run job-1 has ended (completed) and can't be continued",
        "run_demo_text_0001 completed\njob-1 completed\nfolded: job-1 completed",
        "'job' is not a registered dialect. Registered: "
        "'ag-ui', 'assistants', 'auto', 'jobs', 'langgraph', 'langgraph-thread', 'responses'.",
    ],
}


@cache
def run(name: str) -> str:
    """Run an example as a reader would, and return what it prints."""
    found = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    # A machine that does other things at the same time may stop the loop for a second; the log then says so.
    assert [line for line in found.stderr.splitlines() if not line.startswith("loop_stalled ")] == []
    return found.stdout


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name: str) -> None:
    """It ends by itself, says nothing on standard error, and prints the lines that make its point."""
    printed = run(name)
    for text in EXPECTED[name]:
        assert text in printed


def test_all_examples_are_run() -> None:
    """An example that no test runs does not stay true."""
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(EXPECTED)


def test_the_list_of_examples_is_whole() -> None:
    """examples/README.md has each in its place, and says what its first sentence says."""
    listed = re.findall(
        r"^\| \[(\S+\.py)\]\((\S+)\) \|", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [name for name, _ in listed] == [target for _, target in listed] == sorted(EXPECTED)


PAGES = sorted((EXAMPLES.parent / "docs").glob("*.md"))
PRINTS = re.compile(r"<!-- prints: examples/(\S+) -->\n\n```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    ("name", "text"), [found for page in PAGES for found in PRINTS.findall(page.read_text("utf-8"))]
)
def test_what_the_docs_show_is_printed(name: str, text: str) -> None:
    """Line by line, in order."""
    printed = iter(run(name).splitlines())
    for line in text.splitlines():
        assert line in printed  # an iterator: it goes on from the line before


def test_the_log_says_no_word_of_the_text() -> None:
    """The log example's lines are JSON, without the message."""
    records = [json.loads(line) for line in run("05_log.py").splitlines()]
    assert records[-1]["event"] == "source.ended"
    assert {"run_id", "thread_id", "level", "key"} <= records[1].keys()
    assert "print museum" not in json.dumps(records)
