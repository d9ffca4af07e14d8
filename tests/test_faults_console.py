"""A console that is killed with a loop under way gives the terminal back, and the next one takes the loop up."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fault_harness import Yard
from heal_server import HealServer, heal_server

pytest.importorskip("pty")
pytest.importorskip("pyte")
fault_console = pytest.importorskip("fault_console")

pytestmark = [pytest.mark.pty, pytest.mark.skipif(not hasattr(os, "fork"), reason="consoles are forked")]
HERE = (("run started, not told", 1), ("files written", 1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealServer]:
    with heal_server(tmp_path_factory.mktemp("heals"), console=True) as found:
        yield found


@pytest.mark.parametrize(("point", "number"), HERE)
@pytest.mark.parametrize("way", fault_console.WAYS)
def test_a_console_that_is_killed_leaves_a_whole_terminal_and_the_next_one_takes_its_loop_up(
    yard: Yard, server: HealServer, way: str, point: str, number: int
) -> None:
    found = fault_console.killed(yard, server, way, point, number)
    assert found is not None
    assert found.problems == []


def test_a_console_whose_line_is_cut_ends_and_gives_its_journal_back(yard: Yard, server: HealServer) -> None:
    found = fault_console.killed(yard, server, fault_console.CLOSED, "run read", 1)
    assert found is not None
    assert found.problems == []
