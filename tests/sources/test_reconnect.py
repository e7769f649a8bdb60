"""The reconnect policy: pure, so tested by numbers; what sources make of it is tested with the sources."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.sources.reconnect import Reconnect

chances = st.floats(0, 1)
policies = st.builds(
    lambda initial, more, factor, jitter: Reconnect(
        initial=initial, maximum=initial * more, factor=factor, jitter=jitter
    ),
    st.floats(1e-3, 100),
    st.floats(1, 1e4),
    st.one_of(st.just(1.0), st.floats(1, 1e300)),
    st.floats(0, 1),
)


@given(policies, st.integers(1, 10**9), chances)
def test_a_delay_is_never_negative_and_never_beyond_the_maximum(policy: Reconnect, attempt: int, roll: float) -> None:
    assert 0 <= policy.delay(attempt, chance=lambda: roll) <= policy.maximum


@given(policies, st.integers(1, 10_000))
def test_delays_grow_from_the_initial_one(policy: Reconnect, attempt: int) -> None:
    def longest(attempt: int) -> float:
        return policy.delay(attempt, chance=lambda: 0.0)

    assert longest(1) == pytest.approx(policy.initial)
    assert longest(attempt) <= longest(attempt + 1) * (1 + 1e-9)


@given(policies, st.integers(1, 100), chances)
def test_jitter_takes_its_share_at_most(policy: Reconnect, attempt: int, roll: float) -> None:
    full = policy.delay(attempt, chance=lambda: 0.0)
    assert policy.delay(attempt, chance=lambda: roll) == pytest.approx(full * (1 - policy.jitter * roll))


def test_the_defaults_double_up_to_half_a_minute() -> None:
    policy = Reconnect()
    assert [policy.delay(n, chance=lambda: 0.0) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert policy.delay(3, chance=lambda: 0.5) == 1.0
    assert policy.delay(8, chance=lambda: 1.0) == 0.0


def test_a_slow_growth_reaches_its_maximum_too() -> None:
    assert Reconnect(factor=1.01).delay(10_000, chance=lambda: 0.0) == 30.0
    assert Reconnect(factor=1.0).delay(10_000, chance=lambda: 0.0) == 0.5


def test_what_the_server_asks_for_is_a_least_wait_within_a_bound() -> None:
    policy = Reconnect(jitter=0.0)
    assert policy.delay(1, asked=7.0) == 7.0
    assert policy.delay(5, asked=7.0) == 8.0
    assert policy.delay(1, asked=86_400.0) == 300.0
    assert policy.delay(1, asked=0.0) == 0.5


@given(policies, st.integers(1, 100), chances, st.floats(0, 1e9))
def test_the_time_that_the_server_set_is_where_delays_begin(
    policy: Reconnect, attempt: int, roll: float, base: float
) -> None:
    """Never less than that, never more than it may ask for; and zero makes no storm."""
    delay = policy.delay(attempt, base=base, chance=lambda: roll)
    assert delay >= min(base, policy.max_retry_after)
    assert delay >= min(policy.initial, 0.1) * (1 - 1e-9)
    assert delay <= max(policy.maximum, policy.max_retry_after)


def test_delays_grow_from_the_time_that_the_server_set() -> None:
    policy = Reconnect(jitter=0.0, maximum=10.0)
    assert [policy.delay(n, base=3.0) for n in (1, 2, 3)] == [3.0, 6.0, 10.0]
    assert policy.delay(5, base=20.0) == 20.0
    assert policy.delay(1, base=3.0, asked=7.0) == 7.0
    assert Reconnect(jitter=1.0).delay(1, base=3.0, chance=lambda: 1.0) == 3.0


def test_it_gives_up_after_its_attempts_or_never() -> None:
    policy = Reconnect(max_attempts=3)
    assert [policy.is_exhausted(n) for n in (1, 3, 4)] == [False, False, True]
    assert Reconnect(max_attempts=0).is_exhausted(1)
    assert not Reconnect(max_attempts=None).is_exhausted(10**9)
    assert Reconnect().max_attempts is not None


@given(chances)
def test_an_age_is_a_tenth_early_at_most(roll: float) -> None:
    age = Reconnect(max_connection_age=100.0).age(lambda: roll)
    assert age is not None
    assert 90.0 <= age <= 100.0
    assert Reconnect().age() is None


@pytest.mark.parametrize(
    "values",
    [
        {"initial": 0},
        {"initial": math.nan},
        {"initial": -1},
        {"maximum": 0.1},
        {"maximum": math.inf},
        {"factor": 0.5},
        {"factor": math.inf},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"max_attempts": -1},
        {"max_connection_age": 0},
        {"max_retry_after": -1},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Reconnect(**values)
