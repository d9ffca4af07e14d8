"""What the program survives: faults injected on purpose, and whether the same checks find a broken protection.

Prints a table for people and, as its last line, one JSON object. The tests have a smaller share of the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import fault_bytes
import fault_files
import fault_guarded
import fault_journal
import fault_kills
import fault_requests
import fault_secrets
import fault_time
from fault_cases import Case
from fault_harness import JOBS, PIPELINES, Yard, open_yard
from heal_server import HealServer, heal_server
from planted_faults import PLANTS
from secret_shapes import SHAPES

LEADING_OUT = ("../outside.py", "src/../../outside.py", "link.py", "away/outside.py")
SECONDS = 2.5  # of a loop that an instant of a kill is chosen from


class Totals:
    """Counts over all cases; tells each that did not hold."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.lost = self.doubled = self.kills = self.resumed = 0

    def take(self, cases: Iterable[Case]) -> None:
        for case in cases:
            self.kinds[case.kind] += case.count
            if case.problem:
                self.bad[case.kind] += case.count
                print(f"  {case.kind}, {case.name}: {case.problem}"[:400], file=sys.stderr)


async def collected(cases: AsyncIterator[Case]) -> list[Case]:
    return [case async for case in cases]


# --- the groups -------------------------------------------------------------------------------------------------------


async def requests(yard: Yard, totals: Totals, step: int) -> None:
    """Each `step`-th request of a loop goes wrong, in each way."""
    for first, way in enumerate(fault_requests.WAYS):
        for refs in (JOBS, PIPELINES):
            async for found in fault_requests.each_request(yard, way, refs, step=step, first=1 + first % step):
                totals.take([Case(way, f"{refs[0]} {found.number} {found.request}", "; ".join(found.problems))])
                totals.doubled += any(" in place of " in each for each in found.problems)


def kills(yard: Yard, server: HealServer, totals: Totals, most: int, chance: random.Random) -> None:
    """At every named point, then at random instants, until there were so many."""
    for found in _killed(yard, server, chance):
        totals.kills += found.kills
        totals.resumed += found.resumed
        totals.lost += found.lost
        totals.doubled += any(" in place of " in each for each in found.problems)
        totals.take([Case("kill", found.name, "; ".join(found.problems), found.kills)])
        if totals.kills >= most:
            return


def _killed(yard: Yard, server: HealServer, chance: random.Random) -> Iterator[fault_kills.Killed]:
    for refs in (JOBS, PIPELINES):
        yield from fault_kills.at_points(yard, server, refs=refs)
    while True:
        yield fault_kills.at_random(yard, server, chance, SECONDS, chance.choice((JOBS, PIPELINES)))


async def the_rest(yard: Yard, server: HealServer, folder: Path, totals: Totals, chance: random.Random) -> None:
    """Everything that needs no loop of its own."""
    places = [folder / name for name in ("files", "patches", "journal", "damaged", "secrets")]
    for place in places:
        place.mkdir()
    totals.take(await asyncio.to_thread(lambda: list(fault_files.hostile_paths(places[0]))))
    totals.take(await asyncio.to_thread(lambda: list(fault_files.patches(places[1], chance))))
    totals.take(await collected(fault_journal.trouble(places[2])))
    totals.take(await collected(fault_journal.damaged(places[3], chance, 200)))
    totals.take(await asyncio.to_thread(lambda: list(fault_time.all_times())))
    totals.take(await collected(fault_guarded.other_places()))
    totals.take(await collected(fault_guarded.moved_profiles(yard)))
    totals.take(await collected(fault_guarded.read_only(yard)))
    totals.take(await collected(fault_guarded.read_only_commands(yard, server)))
    totals.take(await collected(fault_bytes.all_bytes()))
    totals.take(await collected(fault_secrets.all_secrets(places[4], yard.place().env)))


# --- protections taken away -------------------------------------------------------------------------------------------


async def planted(yard: Yard, server: HealServer, folder: Path, chance: random.Random) -> dict[str, bool]:
    """Which of the broken protections were found by the same checks."""

    def place(name: str) -> Path:
        path = folder / name.replace(" ", "_")
        path.mkdir(parents=True, exist_ok=True)
        return path

    async def in_process(name: str) -> list[Case]:
        with PLANTS[name].planted():
            match name:
                case "journal thrown away" | "not synced" | "full disk ignored" | "WAL everywhere":
                    return await collected(fault_journal.trouble(place(name)))
                case "no back-off":
                    return await asyncio.to_thread(lambda: list(fault_time.all_times((20,))))
                case "no line filter" | "text not cleaned":
                    return await collected(fault_bytes.all_bytes(step=12))
                case "redaction off":
                    return await asyncio.to_thread(fault_secrets.through_sinks, list(SHAPES), place(name))
                case "read-only unguarded":
                    return await collected(fault_guarded.read_only(yard, step=3))
                case "place not checked":
                    return await collected(fault_guarded.other_places())
                case "patch not atomic" | "patch not fitted":
                    return await asyncio.to_thread(lambda: list(fault_files.patches(place(name), chance)))
                case _:
                    return await asyncio.to_thread(lambda: list(fault_files.hostile_paths(place(name), LEADING_OUT)))

    def killed(name: str) -> bool:
        broken = (name,)
        tries: tuple[Callable[[], fault_kills.Killed | None], ...] = (
            lambda: fault_kills.at_point(yard, server, "CLI has ended", 2, broken=broken),
            lambda: fault_kills.at_point(yard, server, "run started, not told", 1, broken=broken),
            lambda: fault_kills.two_resumers(yard, server, "run read", broken),
            lambda: fault_kills.live_owner(yard, server, "run read", broken),
        )
        return any(found is None or found.problems for found in (each() for each in tries))

    by_kills = ("no intent row", "never looked for", "lock ignored", "state not saved")
    by_checks = [
        *("journal thrown away", "not synced", "full disk ignored", "WAL everywhere", "no back-off"),
        *("no line filter", "text not cleaned", "redaction off", "read-only unguarded", "place not checked"),
        *("patch not atomic", "patch not fitted", "no fence"),
    ]
    found: dict[str, bool] = {}
    for name in by_checks:
        try:
            found[name] = any(case.problem for case in await in_process(name))
        except Exception as error:  # a check that cannot go on has found it too
            print(f"  {name}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
            found[name] = True
    for name in by_kills:
        found[name] = await asyncio.to_thread(killed, name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=330, help="how many kills (default: 330)")
    parser.add_argument("--step", type=int, default=12, help="which share of the requests goes wrong (default: 12)")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    chance, totals, started = random.Random(arguments.seed), Totals(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dbops-faults-") as name:
        folder = Path(name)
        (folder / "yard").mkdir()
        with open_yard(folder / "yard") as yard, heal_server(folder / "heals") as server:
            for what, do in (
                ("the rest", lambda: asyncio.run(the_rest(yard, server, folder, totals, chance))),
                ("requests", lambda: asyncio.run(requests(yard, totals, arguments.step))),
                ("kills", lambda: kills(yard, server, totals, arguments.kills, chance)),
            ):
                do()
                print(f"{what}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            plants = asyncio.run(planted(yard, server, folder / "planted", chance))
    print(f"{'kind':32} {'injected':>9} {'not held':>9}")
    for kind, count in totals.kinds.most_common():
        print(f"{kind:32} {count:9,} {totals.bad[kind]:9,}")
    for name, seen in plants.items():
        print(f"protection taken away: {name:28} {'found' if seen else 'NOT FOUND'}")
    injected = sum(totals.kinds.values())
    figures = {
        "injected": injected,
        "kinds": len(totals.kinds),
        "ended_right": injected - sum(totals.bad.values()),
        "duplicates": totals.doubled,
        "lost_events": totals.lost,
        "kills": totals.kills,
        "kills_resumed": totals.resumed,
        "escape_leaks": totals.bad["terminal bytes"],
        "secret_leaks": totals.bad["secrets"],
        "readonly_leaks": totals.bad["read-only"],
        "planted_found": sum(plants.values()),
        "planted": len(plants),
    }
    print(json.dumps({"bench": "faults", "figures": figures}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
