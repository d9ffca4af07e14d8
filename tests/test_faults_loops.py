"""A loop that loses requests, is killed, interrupted or wanted twice ends as it should, and does nothing twice."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import fault_kills
import pytest
from fault_harness import JOBS, PIPELINES, Yard
from fault_kills import Killed
from fault_requests import WAYS, faulty
from heal_server import HealServer, heal_server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="heals are forked")
# One request of each fourth way: where in the loop differs from way to way, and from what it asks for.
REQUESTS = [(way, 2 + number * 2 % 48) for number, way in enumerate(WAYS) if number % 4 == 1]
POINTS_HERE = (
    *("state saved", "intent written", "CLI at work", "request sent", "result not written yet"),
    *("run started, not told", "run's end told", "files written", "fixer has ended", "end saved"),
)
STARTS = ["reset after", "504 after"]  # what became of a start nobody knows, or only we do not


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealServer]:
    with heal_server(tmp_path_factory.mktemp("heals")) as found:
        yield found


def held(found: Killed | None) -> None:
    assert found is not None, "it was not disturbed at all"
    assert found.problems == []


@pytest.mark.parametrize(("way", "number"), REQUESTS)
async def test_a_request_that_goes_wrong_ends_verified_paused_or_with_its_true_cause(
    yard: Yard, way: str, number: int
) -> None:
    found = await faulty(yard, way, number)
    assert found.problems == []


@pytest.mark.parametrize("way", STARTS)
@pytest.mark.parametrize("path", ["/api/2.2/jobs/run-now", "/api/2.2/jobs/runs/repair"])
async def test_a_start_whose_answer_is_lost_is_found_and_not_started_again(yard: Yard, way: str, path: str) -> None:
    found = await faulty(yard, way, 1, path=path)
    assert found.struck
    assert found.problems == []
    assert (found.outcome, found.counts.runs, found.counts.repairs) == ("verified", 1, 1)


async def test_a_start_that_the_cli_cannot_look_after_is_found(yard: Yard) -> None:
    # The first who asks for the run is the CLI that has just started it.
    found = await faulty(yard, "429", 1, path="/api/2.2/jobs/runs/get")
    assert found.struck
    assert found.request.endswith("by cli/1.13.")
    assert (found.outcome, found.counts.runs) == ("verified", 1)


async def test_outputs_that_cannot_be_read_are_no_failure_of_the_job_and_start_nothing(yard: Yard) -> None:
    found = await faulty(yard, "429", 1, path="/api/2.2/jobs/runs/get-output", times=1000, speed=400)
    assert found.outcome == "escalated"
    assert found.causes == ()
    assert "rate limit" in found.reason
    assert (found.counts.runs, found.counts.repairs) == (1, 0)


@pytest.mark.parametrize(("refs", "path"), [
    (JOBS, "/api/2.2/jobs/runs/get"),
    (PIPELINES, "/api/2.0/pipelines/*/updates/*"),
])  # fmt: skip
async def test_what_is_not_shown_to_us_any_more_is_not_waited_for_for_ever(
    yard: Yard, refs: tuple[str, ...], path: str
) -> None:
    found = await faulty(yard, "403", 1, refs, path=path, times=1000)
    assert found.struck
    assert found.outcome == "escalated"


async def test_a_summary_that_cannot_be_had_is_asked_for_again_before_an_update_is_started(yard: Yard) -> None:
    # The sixth time that the CLI makes its folder, it is asked what it has deployed.
    found = await faulty(yard, "reset before", 6, PIPELINES, path="/api/2.0/workspace/mkdirs")
    assert found.struck
    assert found.problems == []
    assert found.outcome == "verified"


@pytest.mark.parametrize("point", POINTS_HERE)
def test_a_killed_loop_is_taken_up_and_comes_to_the_same_end(yard: Yard, server: HealServer, point: str) -> None:
    refs = PIPELINES if point == "fixer has ended" else JOBS
    found = fault_kills.at_point(yard, server, point, 1, refs)
    held(found)


def test_a_loop_that_is_killed_at_any_instant_is_taken_up(yard: Yard, server: HealServer) -> None:
    assert fault_kills.at_random(yard, server, random.Random("test"), 1.5).problems == []


def test_a_cli_that_outlives_its_program_is_waited_for(yard: Yard, server: HealServer) -> None:
    held(fault_kills.outlived(yard, server, 2))


@pytest.mark.parametrize(("numbers", "point", "count"), [
    ((signal.SIGINT,), "CLI at work", 3),
    ((signal.SIGINT, signal.SIGINT), "CLI at work", 3),
    ((signal.SIGTERM, signal.SIGTERM), "explaining", 1),
    ((signal.SIGHUP,), "run read", 2),
])  # fmt: skip
def test_a_signal_leaves_nothing_half_done_and_the_loop_is_taken_up(
    yard: Yard, server: HealServer, numbers: tuple[int, ...], point: str, count: int
) -> None:
    held(fault_kills.at_signal(yard, server, numbers, point, count))


def test_of_two_who_take_a_loop_up_one_goes_on_and_the_other_says_who(yard: Yard, server: HealServer) -> None:
    held(fault_kills.two_resumers(yard, server, "intent written"))


def test_whoever_meets_a_loop_that_stands_still_leaves_it_alone(yard: Yard, server: HealServer) -> None:
    held(fault_kills.live_owner(yard, server, "result written"))
