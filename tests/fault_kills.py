"""Heals that are killed, taken up again, and judged by what the workspace and the journal hold afterwards.
It holds no test; what must hold is in `problems`.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.journal import Journal, JournalUnavailable, LoopRow, Operation, journal_path
from engine_world import Sample
from fault_harness import JOBS, MENDED, Counts, Yard, counted
from heal_server import POINTS, Heal, HealServer

KILLED = -9
INTERRUPTED, HELD = 130, 4  # exit status
MOST_STARTS = 12  # of one loop, before it counts as one that never ends
MOST_NUMBERS = 40  # passings of one point


@dataclass
class Killed:
    """A loop that was killed, and taken up until it ended: what each process said, and what is left."""

    name: str
    kills: int
    resumed: int
    refs: tuple[str, ...]
    heals: list[Heal]
    counts: Counts
    loops: tuple[LoopRow, ...]
    operations: tuple[Operation, ...]
    events: tuple[tuple[str, str, dict[str, Any]], ...]
    source: dict[str, str]
    lost: int = 0
    problems: list[str] = field(default_factory=list)


def words(place: Sample, refs: tuple[str, ...], yard: Yard) -> list[str]:
    """The command line of the loop: safe patches for a job, a fixer for a pipeline."""
    keys = [ref.partition(".")[2] for ref in refs]
    by = ["--apply", "safe"] if refs == JOBS else ["--fixer", yard.fixer]
    return ["heal", *keys, "--json", *by, "--path", str(place.root)]


def at_point(
    yard: Yard,
    server: HealServer,
    point: str,
    number: int,
    refs: tuple[str, ...] = JOBS,
    broken: tuple[str, ...] = (),
    rule: Mapping[str, Any] | None = None,
) -> Killed | None:
    """Kill a loop at one passing of a point, and take it up; None where it ended before that.

    `rule` is one of the sandbox, that holds from the start.
    """
    place = yard.place(refs)
    if rule is not None:
        yard.box.control("POST", "faults", dict(rule))
    heals = [server.start(words(place, refs, yard), env=place.env, point=point, number=number, broken=broken)]
    if heals[0].wait() != KILLED:
        return None
    if not ended(place):
        heals += _to_the_end(yard, server, place, refs, broken)
    return judged(f"{point} {number}", 1, place, refs, yard, heals)


def outlived(
    yard: Yard, server: HealServer, number: int, refs: tuple[str, ...] = JOBS, broken: tuple[str, ...] = ()
) -> Killed | None:
    """Kill a loop while its CLI is at work, that goes on for a while: whoever takes it up has to wait for that one."""
    rule = {"kind": "slow", "seconds": 4.0, "path": "/api/2.0/workspace-files/import-file/*metadata.json", "times": 1}
    found = at_point(yard, server, "CLI at work", number, refs, broken, rule)
    if found is not None:
        begun = sum(
            "import-file" in call["path"] and call["path"].endswith("metadata.json") for call in found.counts.calls
        )
        if begun > 2:
            found.problems.append(f"{begun} deploys in place of 2, one of them beside another")
    return found


def at_points(
    yard: Yard, server: HealServer, points: tuple[str, ...] = tuple(POINTS), refs: tuple[str, ...] = JOBS
) -> Iterator[Killed]:
    """Kill a loop at the first passing of each point, the second, and so on until it is not passed so often."""
    for point in points:
        for number in range(1, MOST_NUMBERS):
            found = at_point(yard, server, point, number, refs)
            if found is None:
                break
            yield found


def at_random(
    yard: Yard, server: HealServer, random_: random.Random, seconds: float, refs: tuple[str, ...] = JOBS
) -> Killed:
    """Kill a loop at one to three instants, now and then the CLI with it, and take it up until it ends."""
    place = yard.place(refs)
    heals: list[Heal] = []
    kills = 0
    for _ in range(random_.randint(1, 3)):
        heal = server.start(words(place, refs, yard), env=place.env)
        heals.append(heal)
        time.sleep(random_.uniform(0.02, seconds))
        all_of_it = random_.random() < 0.3
        heal.kill(with_children=all_of_it)
        if heal.wait() != KILLED:
            break
        kills += 1
        if all_of_it:
            break_lock(yard)
        if ended(place):
            break
    else:
        heals += _to_the_end(yard, server, place, refs)
    return judged(f"random, {kills} kills", kills, place, refs, yard, heals)


def at_signal(
    yard: Yard,
    server: HealServer,
    signals: tuple[int, ...],
    point: str,
    number: int = 1,
    refs: tuple[str, ...] = JOBS,
    broken: tuple[str, ...] = (),
) -> Killed | None:
    """Send a loop signals at one passing of a point, and take it up; None where it ended before that."""
    place = yard.place(refs)
    asked = words(place, refs, yard)
    first = server.start(asked, env=place.env, point=point, number=number, signals=signals, broken=broken)
    code = first.wait()
    if code == 0:
        return None
    cut_off = []
    if len(signals) > 1:
        break_lock(yard)
    else:
        _, operations, _ = asyncio.run(_read(place))
        cut_off = [row.kind for row in operations if row.command.startswith("databricks bundle") and not _known(row)]
    heals = [first] if ended(place) else [first, *_to_the_end(yard, server, place, refs)]
    found = judged(f"{'+'.join(map(str, signals))} at {point} {number}", 1, place, refs, yard, heals)
    ends = first.of("loop.ended")
    if cut_off:
        found.problems.append(f"the call in flight did not come to its end: {', '.join(cut_off)}")
    if code != INTERRUPTED:
        found.problems.append(f"exit status {code} in place of {INTERRUPTED}")
    if len(ends) != 1 or ends[0].get("outcome") != "interrupted" or not ends[0].get("final"):
        found.problems.append(f"the stream ends with {ends}")
    elif "To go on: dbops-tui heal" not in first.err.read_text("utf-8", "replace"):
        found.problems.append("it is not said how to go on")
    return found


def suspended(
    yard: Yard, server: HealServer, random_: random.Random, seconds: float, refs: tuple[str, ...] = JOBS
) -> Killed:
    """Let a loop sleep at an instant, as a laptop does that is closed, and wake it up."""
    place = yard.place(refs)
    heal = server.start(words(place, refs, yard), env=place.env)
    time.sleep(random_.uniform(0.02, seconds))
    heal.kill(signal.SIGSTOP)
    time.sleep(0.4)
    heal.kill(signal.SIGCONT)
    heal.wait()
    return judged("suspended", 1, place, refs, yard, [heal])


def two_resumers(yard: Yard, server: HealServer, point: str, broken: tuple[str, ...] = ()) -> Killed | None:
    """Kill a loop at a point, and take it up twice at once: one goes on, the other says who does."""
    place = yard.place(JOBS)
    asked = words(place, JOBS, yard)
    first = server.start(asked, env=place.env, point=point, number=1, broken=broken)
    if first.wait() != KILLED:
        return None
    both = [server.start(asked, env=place.env, broken=broken) for _ in range(2)]
    codes = [each.wait() for each in both]
    won = next((each for each, code in zip(both, codes, strict=True) if code == 0), both[0])
    lost_ = next(each for each in both if each is not won)
    found = judged(f"two resumers after {point}", 1, place, JOBS, yard, [first, won])
    if sorted(codes) != [0, HELD]:
        found.problems.append(f"the two end with {codes}")
    elif str(won.pid) not in lost_.out.read_text() + lost_.err.read_text():
        found.problems.append("the one that leaves does not say who goes on")
    return found


def live_owner(yard: Yard, server: HealServer, point: str, broken: tuple[str, ...] = ()) -> Killed | None:
    """A second heal while the first one stands still at a point: it says who has the journal, and changes nothing."""
    place = yard.place(JOBS)
    asked = words(place, JOBS, yard)
    stop = (signal.SIGSTOP,)
    first = server.start(asked, env=place.env, point=point, number=1, broken=broken, signals=stop)
    if not first.stopped():
        first.wait()
        return None
    second = server.start(asked, env=place.env, broken=broken)
    code = second.wait()
    first.kill(signal.SIGCONT)
    first.wait()
    found = judged(f"an owner that stands at {point}", 1, place, JOBS, yard, [first])
    if code != HELD or str(first.pid) not in second.out.read_text() + second.err.read_text():
        found.problems.append(f"the second ends with {code}: {second.err.read_text()[-300:]}")
    return found


def _known(row: Operation) -> bool:
    return row.outcome in ("done", "refused")


def break_lock(yard: Yard) -> None:
    """What a person does who looked at the lock that a killed deploy left."""
    path = "/Workspace/Users/you@example.com/.bundle/retail_lakehouse/dev/state"
    yard.box.call("DELETE", "/sandbox/lock", state_path=path)


def ended(place: Sample) -> bool:
    """Whether the loop had ended when its process was killed: then there is nothing to take up."""
    loops, _, _ = asyncio.run(_read(place))
    return bool(loops and loops[0].outcome)


def _to_the_end(
    yard: Yard, server: HealServer, place: Sample, refs: tuple[str, ...], broken: tuple[str, ...] = ()
) -> list[Heal]:
    heal = server.start(words(place, refs, yard), env=place.env, broken=broken)
    heal.wait()
    return [heal]


def judged(
    name: str,
    kills: int,
    place: Sample,
    refs: tuple[str, ...],
    yard: Yard,
    heals: list[Heal],
    holds: Callable[[Killed], Iterator[str]] | None = None,
) -> Killed:
    """What was left; `holds` tells what does not hold of it, `problems` where it is not given."""
    loops, operations, events = asyncio.run(_read(place))
    found = Killed(
        name,
        kills,
        0,
        refs,
        heals,
        counted(yard.box),
        loops,
        operations,
        events,
        _edited(place.root),
    )
    found.problems = list((holds or problems)(found))
    found.resumed = 0 if found.problems else kills
    if not found.problems:
        yard.forget(place)
    return found


def _edited(root: Path) -> dict[str, str]:
    """The files that are mended, and everything else that lies beside them."""
    found = {}
    for path in sorted((root / "src").rglob("*")):
        if path.is_file() and path.name != "customers.py":
            found[path.relative_to(root).as_posix()] = path.read_text()
    return found


async def _read(
    place: Sample,
) -> tuple[tuple[LoopRow, ...], tuple[Operation, ...], tuple[tuple[str, str, dict[str, Any]], ...]]:
    path = journal_path(Path(place.env["DBOPS_STATE_DIR"]), place.root, load_bundle(place.root, "", place.env).target)
    try:
        journal = await Journal.open(path, read_only=True)
    except JournalUnavailable:
        return (), (), ()
    try:
        loops = await journal.loops()
        operations = [row for loop in loops for row in await journal.operations(loop.loop_id)]
        # A console that has just been opened looks at the run before it takes up the loop.
        ids = ("", *(loop.loop_id for loop in loops)) if loops else ()
        events = [row for loop_id in ids for row in await journal.events(loop_id, 20_000)]
        return loops, tuple(operations), tuple(events)
    finally:
        await journal.close()


def problems(found: Killed) -> Iterator[str]:
    """What does not hold: the same end, nothing done twice, nothing lost, nothing left open, the report complete."""
    last = found.heals[-1]
    ends = last.of("loop.ended")
    done = last.wait() == 0 and bool(ends) and ends[-1].get("outcome") == "verified"
    if not done and last.wait() != KILLED:
        said = ends[-1] if ends else last.err.read_text("utf-8", "replace")[-600:]
        yield f"ended with {last.wait()}: {said}"
    for heal in found.heals:
        if "Traceback" in heal.err.read_text("utf-8", "replace"):
            yield f"traceback: {heal.err.read_text()[-600:]}"
    yield from wrongly_left(found)


def wrongly_left(found: Killed) -> Iterator[str]:
    """What does not hold of what the workspace, the source and the journal hold afterwards, whoever healed."""
    counts = found.counts
    jobs = found.refs == JOBS
    wanted = {"runs": int(jobs), "repairs": int(jobs), "updates": 0 if jobs else 2, "deploys": 2}
    for what, number in wanted.items():
        seen = getattr(counts, what)
        if seen != number:
            yield f"{seen} {what} in place of {number}"
    if any(found.source[file] != MENDED.get(file) for file in found.source):
        yield f"the source is not edited as it should be: {sorted(found.source)}"
    if len(found.loops) != 1:
        yield f"{len(found.loops)} loops in the journal"
        return
    loop = found.loops[0]
    if loop.outcome != "verified" or loop.iterations != 2:
        yield f"the journal has the loop as {loop.outcome!r} after {loop.iterations} rounds"
    left = [f"{row.kind} {row.outcome or 'open'}" for row in found.operations if row.outcome not in ("done", "refused")]
    if left:
        yield f"left open: {', '.join(left)}"
    rounds = loop.record.get("rounds") or []
    errors, fixes = (len((rounds[0] if rounds else {}).get(name) or []) for name in ("errors", "fixes"))
    if (errors, fixes) != (1, 1):
        yield f"the report of round 1 has {errors} errors and {fixes} fixes"
    found.lost = len(list(lost(found)))
    yield from lost(found)


def lost(found: Killed) -> Iterator[str]:
    """Facts that the journal's stream of events does not hold."""
    names = [name for _, name, _ in found.events]
    for name, least in (("loop.started", 1), ("identity.resolved", 1), ("run.started", 2), ("failure.diagnosed", 1)):
        if names.count(name) < least:
            yield f"lost: {least - names.count(name)} of {name}"
    if "verified" not in names:
        yield "lost: that it was verified"
    for name in ("fix.applied", "loop.ended"):
        if names.count(name) != 1:
            yield f"{names.count(name)} times {name} in the journal"
    ends = [data.get("state") for _, name, data in found.events if name == "run.changed"]
    if not any(str(state) in ("failed", "terminated_failed") or "fail" in str(state) for state in ends):
        yield f"lost: that a run failed ({ends})"
