"""How long to wait before each event of a recording."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.recordings.pacing import Pace


def waits(times: list[float | None], late: float = 0.0, **options: Any) -> list[float]:
    """The waits of one who does wait, and takes ``late`` seconds over each event."""
    pace, now, found = Pace(**options), 50.0, []
    for at in times:
        wait = pace.delay(at, now)
        found.append(round(wait, 6))
        now += wait + late
    return found


@pytest.mark.parametrize(
    ("times", "options", "expected"),
    [
        ([100.0, 101.0, 101.5], {}, [0, 1, 0.5]),
        ([100.0, 101.0, 101.5], {"speed": 2}, [0, 0.5, 0.25]),
        ([100.0, 101.0, 101.5], {"speed": 0.5}, [0, 2, 1]),
        ([100.0, 101.0, 101.5], {"speed": 0, "gap": 5}, [0, 0, 0]),
        ([100.0, 101.0, 101.5], {"speed": None, "gap": 5}, [0, 0, 0]),
        ([100.0, 4000.0, 4001.0], {"max_gap": 2.0}, [0, 2, 1]),
        ([100.0, 140.0], {"max_gap": 3.0, "speed": 10}, [0, 3]),
        ([100.0, 90.0, 91.0], {}, [0, 0, 1]),
        ([None, None, None], {"gap": 0.25}, [0, 0.25, 0.25]),
        ([100.0, None, 900.0, 901.0], {"gap": 0.5, "speed": 2}, [0, 0.25, 0.25, 0.5]),
        ([], {}, []),
    ],
)
def test_waits(times: list[float | None], options: dict[str, Any], expected: list[float]) -> None:
    """Recorded, scaled, bounded; by default where no time is known; never back."""
    assert waits(times, **options) == expected


def test_delays_do_not_add_up() -> None:
    """Who takes its time over an event waits the less for the next one."""
    assert waits([0.0, 1.0, 2.0], late=0.3) == [0, 0.7, 0.7]
    assert waits([0.0, 1.0, 2.0, 9.0], late=2.0) == [0, 0, 0, 3.0]


@pytest.mark.parametrize("options", [{"speed": -1}, {"speed": float("nan")}, {"gap": -1}, {"max_gap": -0.1}])
def test_numbers_that_are_none(options: dict[str, Any]) -> None:
    """Negative numbers and NaN are refused."""
    with pytest.raises(ValueError, match="must not be negative"):
        Pace(**options)
