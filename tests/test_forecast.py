"""Looks come where runs end; where the past says little they come evenly; and nothing is ever relied on."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest
from dbops_tui.core.forecast import Forecast
from hypothesis import given
from hypothesis import strategies as st

durations = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=40)


def lognormal(median: float, spread: float) -> Callable[[Random], float]:
    return lambda random: median * math.exp(random.gauss(0, spread))


def cost(draw: Callable[[Random], float], *, past: int, usual: float = 20.0, runs: int = 1500) -> tuple[float, float]:
    """(delay times looks, compared to even looks; looks compared to those planned) over many runs of many jobs."""
    random = Random(7)
    looks, delay, whole = 0, 0.0, 0.0
    for number in range(runs):
        if number % 10 == 0:
            forecast = Forecast.of([draw(random) for _ in range(past)])
        ends, age = draw(random), 0.0
        while age < ends:
            age += max(usual / 20, min(forecast.wait(age, usual), usual * 12))
            looks += 1
        delay, whole = delay + age - ends, whole + ends
    return delay / runs * looks / whole * 2, looks * usual / whole


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.2, 0.3])
def test_predictable_runs_are_seen_much_sooner_for_the_same_number_of_looks(spread: float) -> None:
    ratio, _ = cost(lognormal(1200, spread), past=25)
    assert ratio < 0.6


def test_ten_past_runs_are_enough() -> None:
    ratio, _ = cost(lognormal(1200, 0.3), past=10)
    assert ratio < 0.7


@pytest.mark.parametrize("past", [1, 3, 10, 25])
def test_where_nothing_can_be_predicted_nothing_is_lost(past: int) -> None:
    memoryless, _ = cost(lambda random: 1200 * random.expovariate(1), past=past)
    wide, _ = cost(lognormal(1200, 1.0), past=past)
    assert memoryless < 1.12
    assert wide < 1.06


def test_short_and_long_runs_of_one_job_are_told_apart() -> None:
    ratio, _ = cost(lambda random: (120 if random.random() < 0.6 else 2400) * math.exp(random.gauss(0, 0.2)), past=25)
    assert ratio < 0.5


@pytest.mark.parametrize("spread", [0.1, 0.3, 1.0])
def test_over_whole_runs_looks_are_as_many_as_planned(spread: float) -> None:
    _, looks = cost(lognormal(1200, spread), past=25)
    assert 0.85 < looks < 1.1


def test_looks_are_close_where_the_past_runs_ended_and_far_apart_before_and_after() -> None:
    forecast = Forecast.of([1200 * factor for factor in (0.9, 0.95, 1.0, 1.0, 1.05, 1.1)])
    early, near, late = (forecast.wait(age, 20) for age in (100, 1180, 12_000))
    assert near < 10 < 40 < early
    assert late > 20


def test_two_kinds_of_runs_have_two_places_where_looks_are_close() -> None:
    forecast = Forecast.of([118, 120, 121, 119, 122, 1190, 1200, 1210, 1205])
    short, between, long = (forecast.wait(age, 20) for age in (118, 500, 1195))
    assert short < between
    assert long < between


def test_the_mean_is_that_of_the_past() -> None:
    assert Forecast.of([600.0] * 20).mean == pytest.approx(600, rel=0.1)


def test_one_past_run_is_no_reason_to_trust_it() -> None:
    forecast = Forecast.of([1200])
    assert forecast.wait(1200, 20) > 15


def test_without_a_past_there_is_no_forecast() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Forecast.of([])


@given(durations, st.floats(0, 1e8), st.floats(0.5, 3600))
def test_a_look_always_comes(seconds: list[float], age: float, usual: float) -> None:
    assert 0 < Forecast.of(seconds).wait(age, usual) < math.inf


@given(durations, st.floats(0, 1e6), st.floats(0.5, 600))
def test_with_a_longer_usual_interval_the_look_comes_no_sooner(seconds: list[float], age: float, usual: float) -> None:
    forecast = Forecast.of(seconds)
    assert forecast.wait(age, usual) <= forecast.wait(age, usual * 2) * (1 + 1e-6) + 1e-6


@given(durations, st.floats(-10, 1e8))
def test_a_rate_of_endings_is_never_negative(seconds: list[float], age: float) -> None:
    assert 0 <= Forecast.of(seconds).rate(age) < math.inf


@given(durations)
def test_the_order_of_the_past_does_not_matter(seconds: list[float]) -> None:
    assert Forecast.of(seconds) == Forecast.of(list(reversed(seconds)))
