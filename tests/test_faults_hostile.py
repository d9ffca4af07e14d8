"""Hostile texts, secrets, journals, files, places and times: a share of what bench/faults.py injects."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import fault_bytes
import fault_edits
import fault_files
import fault_guarded
import fault_journal
import fault_random
import fault_secrets
import fault_time
import pytest
from fault_cases import unheld
from fault_harness import Yard
from heal_server import HealServer, heal_server

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the sandbox of faults is forked")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealServer]:
    with heal_server(tmp_path_factory.mktemp("heals")) as found:
        yield found


def test_no_payload_drives_a_terminal_from_any_place_where_text_is_written() -> None:
    assert unheld(fault_bytes.through_sinks(fault_bytes.payloads())) == []


async def test_no_payload_comes_past_the_last_net_of_the_console_or_the_lines_of_the_cli() -> None:
    found = fault_bytes.payloads()
    assert unheld([case async for case in fault_bytes.behind_the_console(found[::6])]) == []
    assert unheld([case async for case in fault_bytes.through_cli(found[::24])]) == []


async def test_no_text_that_looks_like_markup_is_taken_for_it() -> None:
    assert unheld([case async for case in fault_random.marked_up(random.Random(6), 120)]) == []


def test_no_bundle_hangs_or_breaks_its_reader(tmp_path: Path) -> None:
    assert unheld(fault_random.hostile_bundles(tmp_path, random.Random(6), 4)) == []


@pytest.mark.parametrize("storm", ["saved while a deploy is under way", "half a file", "a checkout"])
async def test_what_is_deployed_by_itself_is_what_is_on_disk_however_it_was_written(yard: Yard, storm: str) -> None:
    assert unheld([case async for case in fault_edits.edits(yard, random.Random(6), only=(storm,))]) == []


async def test_no_secret_is_read_anywhere(tmp_path: Path) -> None:
    assert unheld([case async for case in fault_secrets.all_secrets(tmp_path, dict(os.environ), 2)]) == []


async def test_a_journal_in_trouble_refuses_the_act_and_throws_nothing_away(tmp_path: Path) -> None:
    cases = [case async for case in fault_journal.trouble(tmp_path)]
    assert unheld(cases) == []
    assert len({case.kind for case in cases}) >= 13


async def test_a_damaged_wal_leaves_a_prefix(tmp_path: Path) -> None:
    assert unheld([case async for case in fault_journal.damaged(tmp_path, random.Random(8), 200)]) == []


async def test_where_nothing_may_be_changed_no_act_by_any_way_changes_anything(yard: Yard) -> None:
    assert unheld([case async for case in fault_guarded.read_only(yard, step=2)]) == []


async def test_no_command_changes_anything_where_the_settings_say_read_only(yard: Yard, server: HealServer) -> None:
    assert unheld([case async for case in fault_guarded.read_only_commands(yard, server)]) == []


async def test_what_was_asked_in_one_place_is_done_in_no_other() -> None:
    assert unheld([case async for case in fault_guarded.other_places()]) == []


async def test_a_profile_that_moved_gets_nothing(yard: Yard) -> None:
    assert unheld([case async for case in fault_guarded.moved_profiles(yard, ("deploy", "heal"))]) == []


def test_no_hostile_path_leads_out_of_the_bundle(tmp_path: Path) -> None:
    assert unheld(fault_files.hostile_paths(tmp_path)) == []


def test_a_patch_is_written_whole_or_not_at_all_and_taken_back_to_the_byte(tmp_path: Path) -> None:
    assert unheld(fault_files.patches(tmp_path, random.Random(2), contents=4)) == []


@pytest.mark.parametrize("resources", [1, 20])
def test_outages_sleep_and_clocks_that_jump_bring_no_storm_of_requests(resources: int) -> None:
    assert unheld(fault_time.all_times((resources,))) == []
