"""Which of the checks has to find which broken protection, and what it finds.
It holds no test; a check that finds nothing where something was planted proves nothing where nothing was.
"""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import fault_bytes
import fault_files
import fault_guarded
import fault_journal
import fault_kills
import fault_requests
import fault_secrets
import fault_soak
import fault_time
from fault_cases import Case, unheld
from fault_harness import Yard
from heal_server import HealServer
from planted_faults import PLANTS

Check = Callable[[Yard, HealServer, str], list[str]]  # what did not hold, with this plant


def _killed(*points: tuple[str, int]) -> Check:
    """Kills at points of a heal that is broken from its start on, until one of them is not made good."""

    def check(yard: Yard, server: HealServer, plant: str) -> list[str]:
        for point, number in points:
            found = fault_kills.at_point(yard, server, point, number, broken=(plant,))
            if found is not None and found.problems:
                return found.problems
        return []

    return check


def _faulty(way: str, path: str) -> Check:
    """One request of this path goes wrong, in this process."""

    def check(yard: Yard, server: HealServer, plant: str) -> list[str]:
        with PLANTS[plant].planted():
            return asyncio.run(fault_requests.faulty(yard, way, 1, path=path)).problems

    return check


def _interrupted(yard: Yard, server: HealServer, plant: str) -> list[str]:
    found = fault_kills.at_signal(yard, server, (signal.SIGINT,), "CLI at work", 3, broken=(plant,))
    return found.problems if found is not None else []


def _outlived(yard: Yard, server: HealServer, plant: str) -> list[str]:
    made = (fault_kills.outlived(yard, server, number, broken=(plant,)) for number in (2, 3))
    return next((found.problems for found in made if found is not None and found.problems), [])


def _owner(yard: Yard, server: HealServer, plant: str) -> list[str]:
    found = fault_kills.live_owner(yard, server, "run started, not told", broken=(plant,))
    return found.problems if found is not None else []


def _cases(make: Callable[[Yard, Path], AsyncIterator[Case] | Iterable[Case]]) -> Check:
    """The cases of a harness, in this process."""

    def check(yard: Yard, server: HealServer, plant: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder, PLANTS[plant].planted():
            made = make(yard, Path(folder))
            return unheld(asyncio.run(_all(made)) if isinstance(made, AsyncIterator) else made)

    return check


def _soaked(yard: Yard, server: HealServer, plant: str) -> list[str]:
    """Some hours of the console, in this process."""
    with PLANTS[plant].planted():
        held, done = asyncio.run(fault_soak.day(yard, 3, 10))
    return unheld(fault_soak.judged(held, done))


def _pruned(yard: Yard, server: HealServer, plant: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, PLANTS[plant].planted():
        return unheld([asyncio.run(fault_soak.pruned(Path(folder)))])


async def _all(cases: AsyncIterator[Case]) -> list[Case]:
    return [case async for case in cases]


_JOURNAL = _cases(lambda yard, folder: fault_journal.trouble(folder))
_BYTES = _cases(lambda yard, folder: fault_bytes.all_bytes(8))
_PATCHES = _cases(lambda yard, folder: fault_files.patches(folder, random.Random(1), contents=1))

CHECKS: Mapping[str, Check] = {
    "no intent row": _killed(("result not written yet", 1), ("CLI has ended", 4)),
    "never looked for": _killed(("result not written yet", 1), ("result not written yet", 2)),
    "no mark on children": _outlived,
    "state not saved": _killed(("run started, not told", 1), ("explaining", 1)),
    "lock ignored": _owner,
    "stop kills": _interrupted,
    "retries x10": _faulty("reset after", "/api/2.2/jobs/runs/repair"),
    "silence is failure": _faulty("503", "/api/2.2/jobs/get"),
    "journal thrown away": _JOURNAL,
    "not synced": _JOURNAL,
    "full disk ignored": _JOURNAL,
    "WAL everywhere": _JOURNAL,
    "no line filter": _BYTES,
    "text not cleaned": _BYTES,
    "redaction off": _cases(lambda yard, folder: fault_secrets.all_secrets(folder, {}, 6)),
    "read-only unguarded": _cases(lambda yard, folder: fault_guarded.read_only(yard, step=8)),
    "place not checked": _cases(lambda yard, folder: fault_guarded.other_places()),
    "patch not atomic": _PATCHES,
    "patch not fitted": _PATCHES,
    "no fence": _cases(lambda yard, folder: fault_files.hostile_paths(folder, ("../outside.py", "link.py"))),
    "runs kept": _soaked,
    "connections kept": _soaked,
    "tasks kept": _soaked,
    "journal not pruned": _pruned,
    "no back-off": _cases(lambda yard, folder: fault_time.all_times((1,))),
}


def found(yard: Yard, server: HealServer, plant: str) -> list[str]:
    """What the check of this plant finds; empty where it overlooks it."""
    return CHECKS[plant](yard, server, plant)
