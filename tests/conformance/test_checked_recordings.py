"""The checker on every shared recording: the anomalies that the INDEX files name, and nothing in the others.

The table is in own words: an error is a broken rule, a note a legal form that is known to break readers. Two tests read
the INDEX files themselves: the column of anomalies that a script found (Responses), and what the official client makes
of a file (AG-UI).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from runstream.checker.check import check
from runstream.checker.report import CheckReport
from tests.conformance.recorded import RECORDINGS

Expected = dict[str, tuple[str, str]]

ASSISTANTS: Final[Expected] = {
    # An error code, types of steps and an action that the description does not list; a step that is created twice.
    "azure_failed_run_2025-05.sse": ("", "unknown_value"),
    "azure_mcp_approval_requires_action_2025-08.sse": ("created_once", "unknown_value"),
    # Examples of a documentation: JSON with a brace too many, a line `...`, JSON without `data:`, shortened deltas, and
    # no blank line at the end.
    "openapi_docs_2026-08_createRun_streaming.sse": ("json text_whole unfinished_event", "unknown_field"),
    "openapi_docs_2026-08_createRun_streaming_with_functions.sse": (
        "json text_whole unfinished_event",
        "unknown_field",
    ),
    "openapi_docs_2026-08_createThreadAndRun_streaming.sse": (
        "event_without_data json_without_data terminal_event text_whole unfinished_event",
        "unknown_field",
    ),
    "openapi_docs_2026-08_createThreadAndRun_streaming_with_functions.sse": ("json unfinished_event", "unknown_field"),
    "openapi_docs_2026-08_submitToolOuputsToRun_streaming.sse": ("json text_whole unfinished_event", "unknown_field"),
    # The first version of the API, whose runs lack fields.
    "openllmetry_code_interpreter_2024-03.sse": ("", "fields_absent"),
    "openllmetry_code_interpreter_existing_2024-03_a.sse": ("", "fields_absent"),
    "ruby_message_incomplete_api_v1.sse": ("", "fields_absent message_incomplete"),
    # No blank line between events; fixtures that an editor saved without the last blank line.
    "php_text_no_blank_lines.sse": ("blank_line done_event unfinished_event", ""),
    "simple_error_midstream_2024-05.sse": ("done_event terminal_event unfinished_event", "error_form fields_absent"),
    "simple_function_deltas_v1_2024-04.sse": ("unfinished_event", "fields_absent"),
    "simple_submit_tool_outputs_2024-05.sse": ("unfinished_event", "fields_absent"),
    "simple_text_2024-05.sse": ("unfinished_event", "fields_absent"),
    # Polled runs of the first version.
    "azure_poll_cancelled_2024-02.json": ("", "fields_absent"),
    "openllmetry_poll_assistant_2024-03.json": ("", "fields_absent"),
    "ruby_run_cancelling.json": ("", "fields_absent"),
    "simple_requires_action_before_submit.json": ("", "fields_absent"),
    # Lists and errors without any object that shows their protocol.
    "ruby_runs_list_with_expired.json": ("unknown_protocol", ""),
    "ruby_submit_tool_outputs_400.json": ("unknown_protocol", ""),
    "simple_steps_unknown_tool_browser.json": ("unknown_protocol", ""),
}

RESPONSES: Final[Expected] = {
    "aimock_websocket.jsonl": ("response_fields sequence_number", "usage_absent"),
    "bedrock_counted_call_ids_1.sse": ("", "call_id_counted"),
    "bedrock_counted_call_ids_2.sse": ("", "call_id_counted"),
    "bedrock_reasoning_part.sse": ("event_name", "fractional_time known_type usage_absent"),
    "chatgpt_function_call.sse": ("output_complete", ""),
    "copilot_id_rotation.jsonl": ("item_id response_id", ""),
    # Open Responses demands [DONE].
    "fastresponses_failed.sse": ("", "done_marker error_form error_repeated"),
    "fastresponses_function_1_call.sse": ("", "done_marker"),
    "fastresponses_function_2_answer.sse": ("", "done_marker"),
    "fastresponses_websocket.jsonl": ("terminal_event", ""),
    "litellm_error.sse": ("type_missing", "done_marker"),
    "litellm_function_1_call.sse": (
        "event_name field_missing part_added response_fields",
        "done_marker items_overlap usage_absent",
    ),
    "litellm_function_2_answer.sse": (
        "event_name field_missing part_added response_fields",
        "done_marker usage_absent",
    ),
    "lmstudio_function_call.jsonl": ("", "text_without_deltas"),
    "ogx_error_only.sse": ("event_name sequence_start", ""),
    "ogx_failed.sse": ("event_name output_complete", ""),
    "ogx_function_1_call.sse": ("event_name index_shared item_done item_index output_complete", ""),
    "ogx_function_2_answer.sse": ("event_name text_done", ""),
    "open_responses_server_function_call.sse": (
        "event_name field_missing item_added item_done item_id output_streamed part_added sequence_number text_whole",
        "item_status",
    ),
    "openai_2025-03_function_1_call.sse": ("sequence_number", ""),
    "openai_2025-03_function_2_answer.sse": ("sequence_number", ""),
    "openai_apply_patch.jsonl": ("", "known_type"),
    "openai_background_2_starting_after_0.sse": ("", "resumed_stream"),
    "openai_custom_tool.jsonl": ("sequence_number text_done", ""),  # its repository shortened it
    "openai_error_then_failed.jsonl": ("", "error_form error_repeated"),
    "openai_incomplete_mid_function_call.sse": ("", "arguments_cut"),
    "openai_mcp_items_never_done.sse": ("item_done", "items_overlap"),
    "openai_programmatic_1.jsonl": ("", "item_status"),
    "openai_programmatic_2.jsonl": ("", "item_status"),
    "openai_shell_container.jsonl": ("text_whole", "item_id_absent"),  # its repository edited the values
    "openrouter_reasoning.sse": ("event_name", "done_marker items_overlap usage_absent"),
    "transformers_text.sse": ("event_name response_fields response_status", "fractional_time usage_absent"),
    "websocket_errors_SYNTHETIC.jsonl": ("terminal_event", ""),
    # The deltas were left out by the collectors, so that numbers jump.
    "xai_x_search_SHORTENED.jsonl": (
        "response_fields sequence_gap text_whole",
        "call_of_server items_overlap usage_absent",
    ),
}

AG_UI: Final[Expected] = {
    "adk_confirmation_1.sse": ("", "waiting_calls"),
    "adk_confirmation_2.sse": ("", "earlier_call"),
    "adk_reasoning.sse": ("", "reasoning_repeated"),
    "agno_confirmation_1.sse": ("", "waiting_calls"),
    "agno_confirmation_2.sse": ("", "empty_message"),
    "bench_adk_error.jsonl": ("field_value", ""),
    "bench_agno_anthropic_parallel.jsonl": ("", "empty_message"),
    "bench_anthropic_raw_usage_event.jsonl": ("field_name known_type result_message", ""),
    "bench_gemini_raw_error_open_message.jsonl": ("field_name one_terminal_event result_message", ""),
    "bench_llamaindex_anthropic.jsonl": ("", "snapshot_ids timestamp_unit waiting_calls"),
    "bench_pydantic_anthropic_parallel.jsonl": ("", "parent_message"),
    "bench_vercel_error_then_finished.jsonl": ("field_name one_terminal_event", ""),
    "bench_vercel_snake_case_tool.jsonl": ("field_name result_message", ""),
    "crewai_text_chunks.sse": ("", "snapshot_ids"),
    "dotnet_approval_1.jsonl": ("", "parent_message"),
    "dotnet_approval_2.jsonl": ("", "parent_message"),
    "dotnet_backend_tool.jsonl": ("", "parent_message"),
    "dotnet_mixed_tools_1.jsonl": ("", "parent_message waiting_calls"),
    "dotnet_mixed_tools_2.jsonl": ("", "earlier_call"),
    "dotnet_parallel_tools.jsonl": ("", "parent_message"),
    "langgraph_interrupt_default_1.sse": ("", "interrupt_form parent_message waiting_calls"),
    "langgraph_interrupt_default_2.sse": ("", "snapshot_ids"),
    "langgraph_interrupt_default_again.sse": ("", "interrupt_form"),
    "langgraph_tool.sse": ("", "snapshot_ids"),
    "langgraph_two_subagents.sse": ("", "parent_message snapshot_ids"),
    "llamaindex_error_cut.sse": ("", "timestamp_unit"),
    "llamaindex_tool.sse": ("", "snapshot_ids timestamp_unit waiting_calls"),
    "maf_approval_1.sse": ("", "empty_message"),
    "maf_approval_2.sse": ("", "earlier_call snapshot_ids"),
    "maf_predictive_state.sse": ("", "empty_message"),
    "pydantic_approval_1.sse": ("", "empty_message"),
    "pydantic_approval_2_approved.sse": ("", "earlier_call"),
    "pydantic_approval_2_cancelled.sse": ("", "earlier_call"),
    "pydantic_parallel_interleaved.sse": ("call_open", "empty_message"),
    "pydantic_state.sse": ("", "empty_message"),
    "pydantic_thinking_0_1_10.sse": ("", "older_type"),
    "strands_parallel_tools.sse": ("", "parent_message"),
    "tanstack_approval_2.sse": ("first_event", "earlier_call"),
    "tanstack_tool.sse": ("event_after_end", "waiting_calls"),
}

_SAYS_HOW_IT_ENDS: Final = ("error_in_node.sse", "old_cancel_interrupt.sse")
_NO_RUN_WIRE: Final = ("v2_", "ws_v2_", "resumable_4")

LANGGRAPH: Final[Expected] = {
    "approval_messages_only_1_asks.sse": ("", "pause_visible"),
    "approval_messages_only_2_resumed.sse": ("", "pause_visible"),
    "old_approval_1_asks.sse": ("", "interrupt_id request_headers"),
    "old_approval_2_edit_asks_again.sse": ("", "interrupt_id"),
    "old_approval_3_no.sse": ("", "request_headers"),
    "old_cancel_interrupt.sse": ("", "request_headers"),
    "resumable_2_rejoined.sse": ("", "joined_stream"),
    "resumable_4_joined_after_the_end_no_id.sse": ("no_events", ""),
    "retried_attempt_2.sse": ("", "retry"),
    "several_1_two_interrupts.sse": ("", "interrupts_apart"),
    "several_2_answered_one.sse": ("", "interrupt_left_out"),
    "text_messages_partial.sse": ("", "pause_visible"),
    "text_messages_tuple.sse": ("", "pause_visible"),
    "thread_stream_run_1.sse": ("", "id_repeated"),
    "thread_stream_run_2.sse": ("", "id_repeated"),
    "thread_stream_two_runs.sse": ("", "id_repeated"),
    "v2_approval.sse": ("", "late_event"),
    "v2_approval_replayed_since.sse": ("", "joined_stream"),
    "v2_cancelled.sse": ("", "interrupted_without_input"),
    "v2_error.sse": ("", "seq_gap"),
    "v2_timeout.sse": ("terminal_event", "seq_gap"),
    "v2_two_speak_at_once.sse": ("", "messages_overlap"),
    "ws_v2_approval.ws.jsonl": ("", "command_refused late_event"),
}
"""Beside `outcome`, which every stream of the run wire has that does not end in `error`."""

FOLDERS: Final = {"": ASSISTANTS, "responses": RESPONSES, "agui": AG_UI, "langgraph": LANGGRAPH}


def _paths() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted((RECORDINGS / folder).glob("*.*")):
            # Answers about runs of LangGraph, and requests, are no streams.
            is_stream = path.suffix in (".sse", ".jsonl") or (path.suffix == ".json" and folder != "langgraph")
            if is_stream and path.is_file():
                yield folder, path


PATHS: Final = list(_paths())


def report_of(path: Path) -> CheckReport:
    """The report on a recording; that of an error alone shows no protocol."""
    return check(path, dialect="responses" if path.name == "litellm_error.sse" else None)


def expected(folder: str, name: str) -> tuple[set[str], set[str]]:
    """The errors and notes of a recording."""
    errors, notes = FOLDERS[folder].get(name, ("", ""))
    found = set(notes.split())
    if folder == "langgraph" and name not in _SAYS_HOW_IT_ENDS and not name.startswith(_NO_RUN_WIRE):
        found.add("outcome")
    return set(errors.split()), found


@pytest.mark.skipif(not PATHS, reason=f"the shared recordings are not there: {RECORDINGS}")
def test_every_recording_has_the_findings_of_its_index() -> None:
    """The anomalies of each recording, and none in a conforming one."""
    wrong = {}
    for folder, path in PATHS:
        report = report_of(path)
        found = {each.rule.name for each in report.errors}, {each.rule.name for each in report.notes}
        if found != expected(folder, path.name):
            wrong[path.name] = found
    assert wrong == {}
    assert len(PATHS) > 200
    names = {path.name for _, path in PATHS}
    assert {name for table in FOLDERS.values() for name in table} <= names


SEVERAL_RESPONSES: Final = ("aimock_websocket.jsonl", "fastresponses_websocket.jsonl")
"""Frames of several responses: the script of the index reads a file as one, the checker each response for itself."""

ANOMALIES: Final = (
    (r"no sequence_number", {"sequence_number", "type_missing"}),
    (r"no event: line", {"event_name", "type_missing"}),
    (r"sequence_number jump", {"sequence_gap"}),
    (r"item_id never announced", {"item_id", "item_added"}),
    (r"item ids of output_index \d+: \d+ different", {"item_id", "index_shared"}),
    (r"\d+ items added, \d+ in terminal output", {"output_complete", "output_streamed"}),
    (r"response lacks \[", {"response_fields", "usage_absent"}),
    (r"float created_at", {"fractional_time"}),
    (r"item done never added", {"item_added", "item_index"}),
    (r"first sequence_number 1", {"sequence_start", "resumed_stream"}),
    (r"lacks item_id", {"item_id_absent"}),
    (r"sequence numbers of lanes mixed by design", set()),
)
"""The phrases of the column of anomalies, and the rules of which one at least reports each."""


def rows(folder: str) -> list[list[str]]:
    """The rows of the table of files in an INDEX."""
    index = RECORDINGS / folder / "INDEX.md"
    if not index.exists():
        pytest.skip(f"the shared recordings are not there: {RECORDINGS}")
    lines = [line for line in index.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r" \| ", line.strip().strip("|"))] for line in lines]


def test_each_anomaly_of_the_index_has_a_rule() -> None:
    """Every phrase of the column is known, and its rule is broken in that recording."""
    for cell, *_, anomalies in rows("responses"):
        name = cell.strip("` ")
        if name.endswith(".json"):
            continue
        errors, notes = expected("responses", name)
        for phrase in filter(None, re.split(r";\s*", anomalies.rstrip("| "))):
            if re.search(r"\[\]|item_id never|event: line|lacks|jump|never|items|sequence|float", phrase) is None:
                continue
            rules = [rules for pattern, rules in ANOMALIES if re.search(pattern, phrase)]
            assert rules, f"{name}: {phrase}"
            if name not in SEVERAL_RESPONSES and rules[0]:
                assert rules[0] & (errors | notes), f"{name}: {phrase}"


def test_what_the_official_client_rejects_breaks_a_rule() -> None:
    """The official client of AG-UI and the checker agree on which files break the protocol."""
    seen = 0
    for row in rows("agui"):
        name, client = row[0].strip("` "), row[3] if len(row) > 3 else ""
        if not (RECORDINGS / "agui" / name).exists() or len(row) < 5:
            continue
        errors, _ = expected("agui", name)
        assert bool(errors) == client.startswith("rejects"), name
        seen += 1
    assert seen == 57
