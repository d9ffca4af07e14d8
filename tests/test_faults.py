"""A share of the faults that `bench/faults.py` injects; and the same checks find a protection that is taken away."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import fault_bytes
import fault_files
import fault_guarded
import fault_journal
import fault_kills
import fault_requests
import fault_secrets
import fault_time
import pytest
from fault_cases import Case, unheld
from fault_harness import JOBS, Yard, open_yard
from heal_server import HealServer, heal_server
from planted_faults import PLANTS
from secret_shapes import SHAPES


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with open_yard(tmp_path_factory.mktemp("yard")) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealServer]:
    with heal_server(tmp_path_factory.mktemp("heals")) as opened:
        yield opened


async def of_guard() -> list[Case]:
    return [case async for case in fault_guarded.other_places()]


async def of_journal(folder: Path) -> list[Case]:
    return [case async for case in fault_journal.trouble(folder)]


# --- nothing that is injected comes through ---------------------------------------------------------------------------


def test_no_path_leads_outside(tmp_path: Path) -> None:
    assert not unheld(fault_files.hostile_paths(tmp_path))


def test_a_patch_is_whole_or_not_there_and_is_taken_back_to_the_byte(tmp_path: Path) -> None:
    assert not unheld(fault_files.patches(tmp_path, random.Random(7)))


async def test_trouble_with_the_journal_throws_nothing_away_and_nothing_is_done_without_an_intent(
    tmp_path: Path,
) -> None:
    assert not unheld(await of_journal(tmp_path))


async def test_of_a_damaged_journal_a_prefix_is_left(tmp_path: Path) -> None:
    assert not unheld([case async for case in fault_journal.damaged(tmp_path, random.Random(7), 24)])


def test_outages_sleep_and_clocks_that_jump_make_no_burst() -> None:
    assert not unheld(fault_time.all_times((20,)))


async def test_leave_of_before_is_no_leave_elsewhere() -> None:
    assert not unheld(await of_guard())


async def test_read_only_is_no_way_in(yard: Yard) -> None:
    assert not unheld([case async for case in fault_guarded.read_only(yard, step=3)])


async def test_terminal_bytes_reach_no_sink() -> None:
    assert not unheld([case async for case in fault_bytes.all_bytes(step=12)])


def test_secrets_reach_no_sink(tmp_path: Path) -> None:
    assert not unheld(fault_secrets.through_sinks(list(SHAPES), tmp_path))


@pytest.mark.parametrize("point", ["intent written", "CLI has ended", "run started, not told", "files written"])
def test_a_loop_that_is_killed_goes_on_where_it_was(yard: Yard, server: HealServer, point: str) -> None:
    found = fault_kills.at_point(yard, server, point, 1)
    assert found is not None
    assert not found.problems


def test_of_two_that_take_it_up_one_goes_on(yard: Yard, server: HealServer) -> None:
    found = fault_kills.two_resumers(yard, server, "run read")
    assert found is not None
    assert not found.problems


@pytest.mark.parametrize(
    ("way", "number"), [("reset after", 12), ("500", 20), ("429", 25), ("half JSON", 30), ("401", 8)]
)
async def test_a_request_that_goes_wrong_is_no_failure_of_the_bundle(yard: Yard, way: str, number: int) -> None:
    found = await fault_requests.faulty(yard, way, number, JOBS)
    assert found.struck
    assert not found.problems


# --- a protection that is taken away is missed ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["journal thrown away", "not synced", "full disk ignored", "WAL everywhere"])
async def test_a_careless_journal_is_found(name: str, tmp_path: Path) -> None:
    with PLANTS[name].planted():
        assert unheld(await of_journal(tmp_path))


@pytest.mark.parametrize("name", ["patch not atomic", "patch not fitted"])
def test_careless_patches_are_found(name: str, tmp_path: Path) -> None:
    with PLANTS[name].planted():
        assert unheld(fault_files.patches(tmp_path, random.Random(7)))


def test_a_missing_fence_is_found(tmp_path: Path) -> None:
    with PLANTS["no fence"].planted():
        assert unheld(fault_files.hostile_paths(tmp_path, ("../outside.py", "link.py", "away/outside.py")))


def test_missing_redaction_is_found(tmp_path: Path) -> None:
    with PLANTS["redaction off"].planted():
        assert unheld(fault_secrets.through_sinks(list(SHAPES), tmp_path))


async def test_an_unguarded_place_is_found() -> None:
    with PLANTS["place not checked"].planted():
        assert unheld(await of_guard())


async def test_an_ignored_read_only_is_found(yard: Yard) -> None:
    with PLANTS["read-only unguarded"].planted():
        assert unheld([case async for case in fault_guarded.read_only(yard, step=3)])


@pytest.mark.parametrize("name", ["no intent row", "state not saved"])
def test_a_loop_that_writes_nothing_down_is_found(yard: Yard, server: HealServer, name: str) -> None:
    points = ("run started, not told", "CLI has ended")
    found = [fault_kills.at_point(yard, server, point, 1, broken=(name,)) for point in points]
    assert any(each is None or each.problems for each in found)
