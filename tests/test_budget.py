"""No minute has more requests than the budget allows, whoever asks and however many at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from dbops_tui.core.budget import FOCUS, Allowance, Budget, Shares
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import VirtualClock, VirtualLoop, play


@dataclass
class Thing:
    focused: bool = False
    load: float = 0.0


def most_in(times: list[float], span: float) -> int:
    return max((sum(1 for at in times if start <= at < start + span) for start in times), default=0)


async def asked(budget: Budget, clock: VirtualClock, arrivals: list[float]) -> list[tuple[int, float]]:
    """(who, when) of each request in the order in which they were let through."""
    passed: list[tuple[int, float]] = []

    async def one(number: int, at: float) -> None:
        await clock.sleep(at)
        await budget.take()
        passed.append((number, clock.monotonic()))

    await asyncio.gather(*(one(number, at) for number, at in enumerate(arrivals)))
    return passed


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.lists(st.floats(0, 400), max_size=80))
def test_no_minute_has_more_than_the_budget(per_minute: int, arrivals: list[float]) -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    passed = play(asked(Budget(per_minute, clock), clock, arrivals), loop)
    assert len(passed) == len(arrivals)
    assert most_in([at for _, at in passed], 59.999) <= per_minute


def test_a_request_within_the_budget_does_not_wait() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    passed = play(asked(Budget(10, clock), clock, [float(at) for at in range(10)]), loop)
    assert [at for _, at in passed] == pytest.approx(list(range(10)))


def test_first_come_is_first_served() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    passed = play(asked(Budget(3, clock), clock, [number * 0.1 for number in range(12)]), loop)
    assert [number for number, _ in passed] == list(range(12))


def test_one_that_gives_up_waiting_holds_nobody_back() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    budget = Budget(1, clock)

    async def work() -> float:
        await budget.take()
        gives_up = asyncio.ensure_future(budget.take())
        other = asyncio.ensure_future(budget.take())
        await asyncio.sleep(1)
        gives_up.cancel()
        await other
        return clock.monotonic()

    assert play(work(), loop) == pytest.approx(60)


def test_what_was_spent_is_of_the_last_minute() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    budget = Budget(100, clock)

    async def work() -> list[int]:
        found = []
        for _ in range(3):
            await budget.take()
            found.append(budget.spent())
            await clock.sleep(25)
        await clock.sleep(60)
        return [*found, budget.spent()]

    assert play(work(), loop) == [1, 2, 3, 0]


def test_a_budget_of_less_than_one_a_minute_is_kept_over_its_span() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    passed = play(asked(Budget(0.5, clock, span=3600), clock, [0.0] * 65), loop)
    assert most_in([at for _, at in passed], 3599) == 30


# --- what may be spent unasked ----------------------------------------------------------------------------------------


def spend_all(budget: Budget, allowance: Allowance, clock: VirtualClock, seconds: float, loop: VirtualLoop) -> int:
    async def work() -> int:
        count = 0
        while clock.monotonic() < seconds:
            await clock.sleep(allowance.free_at() - clock.monotonic())
            allowance.promise()
            await budget.take()
            count += 1
        return count

    return play(work(), loop)


def test_an_allowance_comes_in_evenly() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    budget = Budget(120, clock)
    count = spend_all(budget, Allowance(budget, 0.75, clock), clock, 3600, loop)
    assert 5400 <= count <= 5400 + 30  # 90 a minute, and what was there in the beginning


def test_requests_of_others_use_up_the_allowance_but_never_for_long() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    budget = Budget(120, clock)
    allowance = Allowance(budget, 0.75, clock)

    async def work() -> float:
        for _ in range(110):
            await budget.take()
        return allowance.free_at() - clock.monotonic()

    waits = play(work(), loop)
    assert 0 < waits <= 25


def shares_of(per_minute: float) -> Shares:
    clock = VirtualClock(VirtualLoop())
    return Shares(Allowance(Budget(per_minute, clock), 0.75, clock), clock)


def test_nothing_is_stretched_while_the_budget_reaches() -> None:
    shares = shares_of(120)
    for _ in range(10):
        shares.weigh(Thing(), 1 / 30)
    shares.weigh(Thing(focused=True), 1 / 8)
    assert shares.stretch(False) == shares.stretch(True) == 1.0


def test_intervals_are_stretched_until_the_budget_reaches() -> None:
    shares = shares_of(120)
    for _ in range(1000):
        shares.weigh(Thing(), 1 / 30)
    assert 1000 / 30 / shares.stretch(False) == pytest.approx(1.5)


def test_what_is_in_focus_is_stretched_last() -> None:
    shares = shares_of(120)
    for _ in range(1000):
        shares.weigh(Thing(), 1 / 30)
    shares.weigh(Thing(focused=True), 1 / 8)
    assert shares.stretch(True) == 1.0
    assert shares.stretch(False) > 20


def test_what_is_in_focus_never_takes_everything() -> None:
    shares = shares_of(120)
    shares.weigh(Thing(), 1)
    for _ in range(10):
        shares.weigh(Thing(focused=True), 1)
    assert 10 / shares.stretch(True) == pytest.approx(1.5 * FOCUS)


def test_what_is_gone_weighs_nothing() -> None:
    shares = shares_of(120)
    things = [Thing() for _ in range(1000)]
    for thing in things:
        shares.weigh(thing, 1 / 30)
    for thing in things[1:]:
        shares.weigh(thing, 0.0)
    assert shares.stretch(False) == 1.0
