"""Intervals stay within what a policy says, whatever happens and whatever a server asks for."""

from __future__ import annotations

import math
from random import Random

import pytest
from dbops_tui.core.backoff import FOCUSED, JOB, LONGEST_HINT, PIPELINE, SWEEP, TRAINING, Policy, hinted, jittered
from hypothesis import given
from hypothesis import strategies as st

NAMED = (FOCUSED, JOB, TRAINING, PIPELINE, SWEEP)
policies = st.builds(
    lambda first, more, growth: Policy("any", first, first * more, growth),
    st.floats(0.1, 600),
    st.floats(1, 1000),
    st.floats(1, 10),
)


def steps(policy: Policy, count: int) -> list[float]:
    return [policy.interval(unchanged) for unchanged in range(count)]


def test_a_job_is_looked_at_after_30_60_and_then_every_120_seconds() -> None:
    assert steps(JOB, 5) == [30, 60, 120, 120, 120]


def test_a_long_training_goes_from_one_minute_to_five() -> None:
    assert steps(TRAINING, 5) == [60, 120, 240, 300, 300]


def test_a_pipeline_never_waits_longer_than_30_seconds() -> None:
    assert steps(PIPELINE, 50)[-1] == 30


def test_what_is_in_focus_starts_at_2_seconds_and_backs_off() -> None:
    found = steps(FOCUSED, 20)
    assert found[0] == 2
    assert found == sorted(found)
    assert found[-1] == 30


@given(st.one_of(st.sampled_from(NAMED), policies), st.integers(-5, 10**9))
def test_an_interval_lies_between_the_first_and_the_ceiling(policy: Policy, unchanged: int) -> None:
    assert policy.first * 0.999 <= policy.interval(unchanged) <= policy.ceiling


@given(policies, st.integers(0, 200))
def test_an_interval_never_shrinks_while_nothing_changes(policy: Policy, unchanged: int) -> None:
    assert policy.interval(unchanged) <= policy.interval(unchanged + 1)


@given(policies)
def test_the_long_run_interval_lies_within_the_policy(policy: Policy) -> None:
    assert policy.lowest * 0.999 <= policy.mean <= policy.ceiling * 1.001


@given(policies, st.floats(0.1, 5000))
def test_a_capped_policy_keeps_below_its_cap(policy: Policy, cap: float) -> None:
    capped = policy.capped(cap)
    assert all(capped.interval(unchanged) <= cap for unchanged in range(5))
    assert capped.lowest <= cap


@given(policies, st.floats(0.1, 5000))
def test_another_beginning_is_where_it_begins(policy: Policy, first: float) -> None:
    assert policy.beginning(first).interval(0) == first


@given(st.floats(0, 1e5), st.floats(0.1, 100), st.floats(1, 50), st.integers())
def test_jitter_never_leaves_the_bounds(seconds: float, low: float, times: float, seed: int) -> None:
    assert low <= jittered(seconds, low, low * times, Random(seed)) <= low * times


def test_jitter_spreads_even_at_the_bounds() -> None:
    random = Random(1)
    for seconds in (2.0, 10.0, 30.0):
        found = {jittered(seconds, 2.0, 30.0, random) for _ in range(50)}
        assert len(found) == 50
        assert max(found) - min(found) > 0.05 * seconds


@pytest.mark.parametrize(
    ("hint", "own", "expected"),
    [
        (1.0, 10.0, 10.0),  # never less than our own back-off
        (30.0, 10.0, 30.0),
        (3600.0, 10.0, LONGEST_HINT),  # never more than five minutes
        (3600.0, 600.0, 600.0),
        (None, 10.0, 10.0),
        (-1.0, 10.0, 10.0),
        (0.0, 10.0, 10.0),
        (math.nan, 10.0, 10.0),
        (math.inf, 10.0, 10.0),
    ],
)
def test_what_a_server_asks_for_is_obeyed_within_bounds(hint: float | None, own: float, expected: float) -> None:
    assert hinted(own, hint) == expected
