"""Each protection of the program is taken away, and the checks of faults find it: they can fail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import fault_plants
import pytest
from fault_harness import Yard
from heal_server import HealServer, heal_server
from planted_faults import PLANTS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="heals are forked")
# Those that take a few loops each are left to bench/faults.py.
LONG = (
    *("no intent row", "no mark on children", "state not saved", "stop kills", "silence is failure", "no back-off"),
    *("runs kept", "connections kept", "tasks kept", "journal not pruned"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealServer]:
    with heal_server(tmp_path_factory.mktemp("heals")) as found:
        yield found


def test_every_plant_has_its_check() -> None:
    assert fault_plants.CHECKS.keys() == PLANTS.keys()
    assert len(PLANTS) >= 12


@pytest.mark.parametrize("name", [name for name in PLANTS if name not in LONG])
def test_a_protection_that_is_taken_away_is_missed(name: str, yard: Yard, server: HealServer) -> None:
    assert fault_plants.found(yard, server, name), PLANTS[name].what
