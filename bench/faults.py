"""What the program does when everything goes wrong: each fault is injected, and what must hold then is counted.

Loops of jobs and pipelines lose one request after the other in 25 ways; are killed at every named point and at random
instants, interrupted, suspended, taken up twice; journals, files, places, texts and secrets are hostile; a day over 300
resources passes in minutes, and what grew is told; and at the end each protection is taken away on purpose, which the
same checks have to find. It asserts no time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import fault_bytes  # noqa: E402
import fault_console  # noqa: E402
import fault_edits  # noqa: E402
import fault_files  # noqa: E402
import fault_guarded  # noqa: E402
import fault_journal  # noqa: E402
import fault_kills  # noqa: E402
import fault_plants  # noqa: E402
import fault_random  # noqa: E402
import fault_requests  # noqa: E402
import fault_secrets  # noqa: E402
import fault_soak  # noqa: E402
import fault_time  # noqa: E402
from fault_cases import Case  # noqa: E402
from fault_harness import JOBS, PIPELINES, Yard, open_yard  # noqa: E402
from heal_server import POINTS, HealServer, heal_server  # noqa: E402
from planted_faults import PLANTS  # noqa: E402

RANDOM_KILLS = 300  # of jobs and pipelines together
RACES = 54  # of two resumers, and as many of a resumer with a live owner
WALS = 1_000
ORDERS, STEPS = 2_000, 80  # of events, of each kind
TEXTS = 10_000
STORMS = 5  # of each kind of edits
SOAK = (24, 300)  # virtual hours, resources
SHORT_SOAK = (3, 60)  # where only a share is asked for
AT_ONCE = 4  # parts side by side: a loop mostly waits
OWNED = ("run started, not told", "intent written", "result written", "explaining", "files written", "verifying")
SIGNALS = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "TERM": (signal.SIGTERM,),
    "HUP": (signal.SIGHUP,),
}
SIGNAL_POINTS = (
    *(("state saved", 3), ("intent written", 1), ("CLI at work", 1), ("CLI at work", 3), ("run started, not told", 1)),
    *(("run read", 2), ("explaining", 1), ("files written", 1), ("answer came", 1), ("verifying", 1)),
)


@dataclass
class Tally:
    """What one part counted; `problems` are lines for people."""

    kinds: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    lost_events: int = 0
    kills: int = 0
    kills_resumed: int = 0
    planted: int = 0
    planted_found: int = 0
    soak_hours: int = 0
    soak_growth_mb: float = 0.0
    soak_journal_mb: float = 0.0
    problems: list[str] = field(default_factory=list)

    def case(self, case: Case) -> None:
        self.kinds[case.kind] += case.count
        if case.problem:
            self.bad[case.kind] += case.count
            self.problems.append(f"{case.kind}, {case.name}: {case.problem}")

    def faulty(self, found: fault_requests.Faulty) -> None:
        """One loop of which a request went wrong."""
        counts, jobs = found.counts, found.refs == JOBS
        name = f"{found.number} {found.request} ({'job' if jobs else 'pipeline'})"
        self.case(Case(f"request: {found.way}", name, "; ".join(found.problems)))
        most = {"runs": int(jobs), "repairs": int(jobs), "updates": 0 if jobs else 2}
        if found.problems:
            self.duplicates += sum(max(0, getattr(counts, what) - number) for what, number in most.items())

    def killed(self, kind: str, found: fault_kills.Killed, *, kill: bool = True) -> None:
        """One loop that was killed, or otherwise disturbed from outside."""
        self.case(Case(kind, found.name, "; ".join(found.problems), max(1, found.kills)))
        if kill:
            self.kills += found.kills
            self.kills_resumed += 0 if found.problems else found.kills
        jobs, counts = found.refs == JOBS, found.counts
        most = {"runs": int(jobs), "repairs": int(jobs), "updates": 0 if jobs else 2, "deploys": 2}
        self.duplicates += sum(max(0, getattr(counts, what) - number) for what, number in most.items())
        self.lost_events += found.lost

    def add(self, other: dict[str, Any]) -> None:
        """Take in what another process counted."""
        for name, value in other.items():
            held = getattr(self, name)
            if isinstance(held, Counter):
                held.update(value)
            else:
                setattr(self, name, held + value)


# --- the parts, each in a process of its own -------------------------------------------------------------------------


def requests(tally: Tally, folder: Path, share: float, refs: tuple[str, ...], ways: Iterable[str]) -> None:
    """Each request of a loop goes wrong once, in each of these ways."""

    async def play(yard: Yard) -> None:
        for number, way in enumerate(fault_requests.WAYS):
            if way not in ways:
                continue
            step = max(1, round(1 / share))
            async for found in fault_requests.each_request(yard, way, refs, step=step, first=1 + number % step):
                tally.faulty(found)

    with open_yard(folder) as yard:
        asyncio.run(play(yard))


def points(tally: Tally, folder: Path, share: float, refs: tuple[str, ...], names: Iterable[str]) -> None:
    """A kill at each passing of each of these points."""
    with _both(folder) as (yard, server):
        for number, point in enumerate(names):
            if share < 1 and number % max(1, round(0.25 / share)):
                continue
            for found in fault_kills.at_points(yard, server, (point,), refs):
                tally.killed("kill at a named point", found)
                if share < 1:
                    break


def instants(tally: Tally, folder: Path, share: float, refs: tuple[str, ...], seed: int, most: int) -> None:
    """Kills at random instants, one to three to a loop."""
    with _both(folder) as (yard, server):
        number = 0
        while tally.kills < most * share:
            chance = random.Random(f"{seed} {number}")
            tally.killed("kill at a random instant", fault_kills.at_random(yard, server, chance, 2.2, refs))
            number += 1


def signals(tally: Tally, folder: Path, share: float) -> None:
    """Signals at points, machines that sleep, and CLIs that outlive us."""
    with _both(folder) as (yard, server):
        for name, numbers in SIGNALS.items():
            for point, count in SIGNAL_POINTS[:: max(1, round(0.5 / share))]:
                found = fault_kills.at_signal(yard, server, numbers, point, count)
                if found is not None:
                    tally.killed(name, found, kill=False)
        chance = random.Random(3)
        for _ in range(max(1, round(20 * share))):
            tally.killed("machine asleep", fault_kills.suspended(yard, server, chance, 2.0), kill=False)
        for count in (2, 3, 4)[: max(1, round(3 * share))]:
            outlived = fault_kills.outlived(yard, server, count)
            if outlived is not None:
                tally.killed("CLI outlives us", outlived)


def consoles(tally: Tally, folder: Path, share: float) -> None:
    """Consoles in a terminal that are killed with a loop under way, in each way at each of these instants."""
    with open_yard(folder) as yard, heal_server(folder / "heals", console=True) as server:
        step = max(1, round(1 / share))
        for way in (*fault_console.WAYS, fault_console.CLOSED):
            for point, number in fault_console.INSTANTS[::step]:
                found = fault_console.killed(yard, server, way, point, number)
                if found is not None:
                    tally.killed(f"console: {way}", found)


def owners(tally: Tally, folder: Path, share: float, races: int) -> None:
    """Two who want the same loop at once: who wins is chance, so that each race is run many times."""
    with _both(folder) as (yard, server):
        for number in range(max(1, round(races * share))):
            point = OWNED[number % len(OWNED)]
            two = fault_kills.two_resumers(yard, server, point)
            if two is not None:
                tally.killed("two resumers", two)
            owner = fault_kills.live_owner(yard, server, point)
            if owner is not None:
                tally.killed("another owner", owner, kill=False)


def hostile(tally: Tally, folder: Path, share: float) -> None:
    """Bytes, secrets, journals, files, places and times: everything that needs no whole loop."""
    step = max(1, round(1 / share))

    async def play(yard: Yard, server: HealServer) -> None:
        async for case in fault_bytes.all_bytes(step):
            tally.case(case)
        async for case in fault_secrets.all_secrets(_own(folder, "secrets"), dict(os.environ), step):
            tally.case(case)
        async for case in fault_journal.trouble(_own(folder, "trouble")):
            tally.case(case)
        async for case in fault_journal.damaged(_own(folder, "damaged"), random.Random(5), round(WALS * share)):
            tally.case(case)
        async for case in fault_guarded.read_only(yard, step=step):
            tally.case(case)
        async for case in fault_guarded.read_only_commands(yard, server):
            tally.case(case)
        async for case in fault_guarded.other_places():
            tally.case(case)
        async for case in fault_guarded.moved_profiles(yard):
            tally.case(case)

    with _both(folder) as (yard, server):
        asyncio.run(play(yard, server))
    paths = fault_files.HOSTILE[::step]
    contents = max(1, round(len(fault_files.CONTENTS) * share))
    for case in (
        *fault_files.hostile_paths(_own(folder, "paths"), paths),
        *fault_files.patches(_own(folder, "patches"), random.Random(1), contents),
        *fault_time.all_times((1, 20, 300) if share == 1 else (1, 20)),
    ):
        tally.case(case)


def edits(tally: Tally, folder: Path, share: float) -> None:
    """Storms of edits under an engine that redeploys by itself."""

    async def play(yard: Yard) -> None:
        async for case in fault_edits.edits(yard, random.Random(9), max(1, round(STORMS * share))):
            tally.case(case)

    with open_yard(folder) as yard:
        asyncio.run(play(yard))


def by_chance(tally: Tally, folder: Path, share: float) -> None:
    """Orders of events, texts that look like markup, and hostile bundles."""

    async def play() -> None:
        async for case in fault_random.marked_up(random.Random(4), round(TEXTS * share)):
            tally.case(case)

    for case in (
        *fault_random.machine(round(ORDERS * share), STEPS),
        *fault_random.hostile_bundles(_own(folder, "bundles"), random.Random(2), max(2, round(20 * share))),
    ):
        tally.case(case)
    asyncio.run(play())


def soak(tally: Tally, folder: Path, share: float) -> None:
    """A day of the console, and a journal that is written to as in months."""
    hours, resources = SOAK if share == 1 else SHORT_SOAK
    with open_yard(folder) as yard:
        held, done = asyncio.run(fault_soak.day(yard, hours, resources))
    for case in (*fault_soak.judged(held, done), asyncio.run(fault_soak.pruned(_own(folder, "pruned")))):
        tally.case(case)
    tally.soak_hours = hours
    tally.soak_growth_mb = round(fault_soak.growth_of(held), 1)
    tally.soak_journal_mb = round(max(each.journal_mb for each in held), 1)
    print(fault_soak.curve(held), file=sys.stderr, flush=True)


def planted(tally: Tally, folder: Path, share: float) -> None:
    """Each protection is taken away: the same checks have to find that."""
    with _both(folder) as (yard, server):
        for name in PLANTS:
            tally.planted += 1
            if fault_plants.found(yard, server, name):
                tally.planted_found += 1
            else:
                tally.problems.append(f"planted and not found: {name} ({PLANTS[name].what})")


@contextlib.contextmanager
def _both(folder: Path) -> Iterator[tuple[Yard, HealServer]]:
    with open_yard(folder) as yard, heal_server(folder / "heals") as server:
        yield yard, server


def _own(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


Part = Callable[[Tally, Path, float], None]


def parts() -> dict[str, Part]:
    """All parts by name, those that take longest first."""
    ways = list(fault_requests.WAYS)
    found: dict[str, Part] = {}
    for kind, refs in (("pipeline", PIPELINES), ("job", JOBS)):
        for number in range(5):
            some = tuple(ways[number::5])
            # Of a pipeline every second request: its loop has those of the job's but for the updates.
            cut = 0.5 if kind == "pipeline" else 1.0
            found[f"requests of a {kind}, {number + 1} of 5"] = (
                lambda tally, folder, share, refs=refs, some=some, cut=cut: requests(  # type: ignore[misc]
                    tally, folder, share * cut, refs, some
                )
            )
    for kind, refs, most in (("job", JOBS, RANDOM_KILLS * 2 // 3), ("pipeline", PIPELINES, RANDOM_KILLS // 3)):
        found[f"random kills of a {kind}"] = (
            lambda tally, folder, share, refs=refs, most=most: instants(tally, folder, share, refs, 11, most)  # type: ignore[misc]
        )
        names = list(POINTS)
        for half in (0, 1):
            found[f"named kills of a {kind}, {half + 1} of 2"] = (
                lambda tally, folder, share, refs=refs, some=tuple(names[half::2]): points(  # type: ignore[misc]
                    tally, folder, share, refs, some
                )
            )
    found["soak"] = soak
    found["signals"] = signals
    found["console kills"] = consoles
    found["edits"] = edits
    found["orders, texts and bundles by chance"] = by_chance
    found["owners"] = lambda tally, folder, share: owners(tally, folder, share, RACES)
    found["planted faults"] = planted
    found["bytes, secrets, journals, files, places, times"] = hostile
    return found


def run_part(name: str, share: float) -> None:
    """Play one part in this process; its tally as one line of JSON."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="dbops-faults-") as folder:
        parts()[name](tally, Path(folder), share)
    print(json.dumps(vars(tally)))


# --- all of them ---------------------------------------------------------------------------------------------------


def run_all(names: Iterable[str], share: float, at_once: int) -> Tally:
    """Play these parts, so many at once; a part that fails is a problem of its own."""
    whole, lock = Tally(), threading.Lock()
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)

    def work() -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            began = time.perf_counter()
            words = [sys.executable, __file__, "--part", name, "--share", str(share)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            with lock:
                try:
                    whole.add(json.loads(done.stdout.splitlines()[-1]))
                except (ValueError, IndexError):
                    whole.kinds["part that failed"] += 1
                    whole.bad["part that failed"] += 1
                    whole.problems.append(f"{name} did not come to its end: {done.stderr[-300:]}")
                print(f"{time.perf_counter() - began:6.0f} s  {name}", file=sys.stderr, flush=True)
                if name == "soak":
                    print(done.stderr, end="", file=sys.stderr, flush=True)

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return whole


def show(tally: Tally) -> dict[str, int]:
    """The table for people; the figures."""
    print(f"{'fault':44}{'injected':>10}{'ended right':>14}")
    for kind, number in sorted(tally.kinds.items()):
        print(f"{kind:44}{number:10,}{number - tally.bad[kind]:14,}")
    injected = sum(tally.kinds.values())
    wrong = sum(tally.bad.values())
    print(f"{'all':44}{injected:10,}{injected - wrong:14,}")
    print(f"{tally.kills_resumed} of {tally.kills} kills were taken up to the same end.")
    print(f"{tally.planted_found} of {tally.planted} planted breaks were found.")
    for problem in tally.problems[:60]:
        print(f"- {problem[:400]}")
    leaks = {"escape": "terminal bytes", "secret": "secrets", "readonly": "read-only"}
    return {
        "injected": injected,
        "kinds": len(tally.kinds),
        "ended_right": injected - wrong,
        "duplicates": tally.duplicates,
        "lost_events": tally.lost_events,
        "kills": tally.kills,
        "kills_resumed": tally.kills_resumed,
        **{f"{name}_leaks": tally.bad[kind] for name, kind in leaks.items()},
        "leaks": sum(tally.bad[kind] for kind in leaks.values()),
        "planted": tally.planted,
        "planted_found": tally.planted_found,
        "soak_hours": tally.soak_hours,
        "soak_growth_mb": round(tally.soak_growth_mb, 1),
        "soak_journal_mb": round(tally.soak_journal_mb, 1),
    }


def main() -> int:
    """Inject, count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="how much of it: 1 is every request and every point")
    parser.add_argument("--quick", action="store_true", help="the same as --share 0.05")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="how many parts side by side")
    parser.add_argument("--only", default="", help="parts whose name holds this")
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    share = 0.05 if options.quick else min(1.0, max(0.01, options.share))
    if options.part:
        run_part(options.part, share)
        return 0
    tally = run_all([name for name in parts() if options.only in name], share, options.at_once)
    print(json.dumps({"bench": "faults", "figures": show(tally)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
