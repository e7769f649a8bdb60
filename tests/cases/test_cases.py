"""Programs that stand for what people met in public, and for broken promises: those that are expected to hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(os.environ.get("RUNSTREAM_CASES", ROOT.parent / "shared" / "cases"))
EXPECTED = [
    "assistants/brotli_that_nobody_asked_for.py",
    "assistants/call_ids_reused_across_rounds.py",
    "assistants/equal_keys_of_two_messages.py",
    "assistants/equal_keys_of_two_runs.py",
    "assistants/json_error_as_event_stream.py",
    "assistants/status_of_a_content_network.py",
    "faults/a_callback_that_raises_generatorexit.py",
    "faults/a_response_head_that_never_ends.py",
    "faults/a_store_of_an_odd_version.py",
    "faults/brackets_hold_the_loop.py",
    "faults/event_ids_of_any_length_are_held.py",
    "faults/first_messages_echoed.py",
    "faults/half_a_run_cut_elsewhere_each_time.py",
    "faults/keys_of_a_run_and_its_message_with_one_id.py",
    "faults/keys_of_two_scopes.py",
    "faults/post_body_echoed.py",
    "faults/recordings_are_readable_by_everybody.py",
    "faults/retry_after_of_many_digits.py",
    "faults/second_round_same_call_ids.py",
    "faults/url_credentials_echoed_as_basic.py",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_holds(name: str) -> None:
    """Each program ends within 30 seconds, and exits with 0 if the behaviour is right."""
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{CASES} has no {name}: the cases are not part of this repository (RUNSTREAM_CASES names them)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(path)], check=False, capture_output=True, text=True, timeout=30, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
