"""Short names of runs: they fit a column, and differ."""

from __future__ import annotations

import pytest

from runstream.sinks.terminal.run_names import HUES, NAME_WIDTH, RunNames, short_id


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [
        ("run_1", "run_1"),
        ("run_of_16_letters"[:16], "run_of_16_letter"),
        ("run_demo_text_0001", "…demo_text_0001"),
        ("run_demo_incomplete_0001", "…incomplete_0001"),
        ("run_AbCdEfGhIjKlMnOpQrStUvWx", "…jKlMnOpQrStUvWx"),
        ("\x1b[2Jrun_1", "\\x1b[2Jrun_1"),
        ("\x1b\x1b\x1b\x1b\x1brun_1", "…1b\\x1b\\x1brun_1"),
        ("run_", "run_"),
        ("ordinary", "ordinary"),
    ],
)
def test_short_ids(run_id: str, expected: str) -> None:
    """The whole id, or a mark and its end, at a word where there is one."""
    assert short_id(run_id) == expected
    assert len(short_id(run_id)) <= NAME_WIDTH


def test_equal_short_ids_get_numbers_and_keep_them() -> None:
    names = RunNames()
    found = [names(f"{start}_0123456789abcdef") for start in ("abcd", "efgh", "ijkl", "abcd")]
    assert [name for name, _ in found[:3]] == ["…123456789abcdef", "…3456789abcdef~2", "…3456789abcdef~3"]
    assert found[3] == found[0]
    assert all(len(name) <= NAME_WIDTH for name, _ in found)


def test_colours_are_in_rotation() -> None:
    names = RunNames()
    assert [names(f"run_{number}")[1] for number in range(HUES + 1)] == [*range(HUES), 0]
