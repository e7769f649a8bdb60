"""The JSON Schema and the TypeScript types of signals, which are in the wheel: written from the classes, and true."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings

from runstream import SIGNAL_TYPES, Signal, UnknownRecordingFormat, demo, fold, read_recording
from runstream.testing import conversations
from tests.interop.environments import interop_node

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final[dict[str, Any]] = runpy.run_path(str(ROOT / "docs" / "make_schemas.py"))
VALIDATOR: Final = jsonschema.Draft202012Validator(SCRIPT["schema"]())
KINDS: Final = {
    name: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind.__name__}", "$defs": SCRIPT["schema"]()["$defs"]})
    for name, kind in SIGNAL_TYPES.items()
}


def check(signals: tuple[Signal, ...]) -> None:
    """Each signal fits the schema of its type."""
    for signal in signals:
        value = json.loads(signal.to_json())
        errors = [error.message for error in KINDS[signal.type].iter_errors(value)]
        assert not errors, (signal.type, errors)


def test_the_files_are_what_the_script_writes() -> None:
    """Both files are written from the classes."""
    assert json.loads(SCRIPT["SCHEMA"].read_text(encoding="utf-8")) == SCRIPT["schema"]()
    assert SCRIPT["TYPES"].read_text(encoding="utf-8") == SCRIPT["typescript"]()


def test_the_schema_is_a_schema() -> None:
    """A validator accepts it, and it has every kind of signal."""
    jsonschema.Draft202012Validator.check_schema(SCRIPT["schema"]())
    assert {kind.__name__ for kind in SIGNAL_TYPES.values()} <= SCRIPT["schema"]()["$defs"].keys()


@pytest.mark.parametrize("name", demo.recordings())
def test_signals_of_the_bundled_runs_fit(name: str) -> None:
    """Each line of `to_json` fits the schema of its type, and no other."""
    signals = fold(read_recording(demo.load(name))).signals
    check(signals)
    VALIDATOR.validate(json.loads(signals[0].to_json()))


@pytest.mark.slow
@given(conversations())
@settings(max_examples=50)
def test_signals_of_made_up_runs_fit(conversation: Any) -> None:
    """So do those of random conversations."""
    check(fold(conversation.raw_events()).signals)


SHARED: Final = ROOT.parent / "shared" / "recordings"
PROTOCOLS: Final = (".", "responses", "agui", "langgraph")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_signals_of_recorded_runs_fit(protocol: str) -> None:
    """Signals of every recording of real servers fit, in each protocol."""
    found = [path for path in (SHARED / protocol).glob("*") if path.suffix in {".sse", ".jsonl"}]
    if not found:
        pytest.skip(f"the shared recordings are not there: {SHARED / protocol}")
    for path in found:
        try:
            events = list(read_recording(path))
        except UnknownRecordingFormat:
            continue
        check(fold(events).signals)


def test_the_types_are_typescript(tmp_path: Path) -> None:
    """The compiler accepts the types, narrows a signal by its `type`, and refuses a wrong field."""
    node, folder = interop_node("typescript")
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    types = SCRIPT["TYPES"]
    right = tmp_path / "right.ts"
    wrong = tmp_path / "wrong.ts"
    head = f'import type {{ Signal }} from "{types.with_suffix("").with_suffix("")}.js";\n'
    right.write_text(head + 'export const f = (s: Signal): string => s.type === "message.text" ? s.delta : s.key;\n')
    wrong.write_text(head + "export const f = (s: Signal): string => s.delta;\n")
    for path, accepted in ((right, True), (wrong, False)):
        done = subprocess.run(
            [node, compiler, "--noEmit", "--strict", "--module", "nodenext", "--moduleResolution", "nodenext", path],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode == 0) is accepted, done.stdout
