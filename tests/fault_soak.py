"""A day of the console over a workspace of 300 jobs and pipelines, in minutes: what grows, and what is left behind.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import heapq
import math
import os
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.config import Config
from dbops_tui.core.engine import Engine
from dbops_tui.core.guard import Act
from dbops_tui.core.journal import Journal, journal_path
from dbops_tui.tui.app import ConsoleApp, Options
from dbops_tui.tui.panes import TABS
from engine_world import Sample
from fault_cases import Case
from fault_harness import FLOW, HEAD, NOTEBOOK, Yard
from sandbox_fixture import SandboxBox
from virtual_time import Turned

HOUR = 3600.0
SIZE = (140, 48)
CONFIG = Config(watch=False)  # nobody edits; the rest as the product is set
STEP = 4.0  # seconds that time moves on at least; less than what counts as a machine that slept
PATIENCE = 1.0  # seconds of the machine, for what itself waits for the clock
CONNECTIONS = 8  # to the workspace, that may be kept open
PAST = 11  # runs of each before
MOST_GROWTH_MB = 5.0  # after the first hour
MOST_JOURNAL_MB = 50.0
EVENTS = 60_000  # of 2.4 kB


class SteppedClock(Turned):
    """Stands still until it is turned, at the time that the simulated workspace has."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self._first, self._first_ms = self.now, now_ms

    def now_ms(self) -> int:
        return self._first_ms + int((self.now - self._first) * 1000)

    @property
    def passed(self) -> float:
        """Seconds since it was made."""
        return self.now - self._first

    def due(self) -> float:
        """Seconds until the first who sleeps wakes up; infinity where nobody does."""
        return min((when for when, _ in self._sleepers), default=math.inf) - self.now


@dataclass(frozen=True, slots=True)
class Held:
    """What the process held at one time, once everything was at rest. Descriptors without sockets; names of threads
    and tasks without their numbers."""

    hour: int
    rss_mb: float
    descriptors: int
    sockets: int
    threads: tuple[str, ...]
    tasks: tuple[str, ...]
    timers: int
    journal_mb: float


def rest_of(hour: int, journal: Path) -> Held:
    """Resident memory after a whole collection, with what the allocator keeps given back to the machine."""
    for _ in range(3):
        gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    tasks, timers = at_work()
    opened = descriptors()
    return Held(
        hour,
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        sum(not name.startswith("socket:") for name in opened),
        sum(name.startswith("socket:") for name in opened),
        tuple(sorted(thread.name.rpartition("_")[0] or thread.name for thread in threading.enumerate())),
        tasks,
        timers,
        megabytes(journal),
    )


def megabytes(journal: Path) -> float:
    """What a journal takes of the disk."""
    parts = (journal, *(journal.with_name(journal.name + suffix) for suffix in ("-wal", "-shm")))
    return sum(part.stat().st_size for part in parts if part.exists()) / 1e6


def at_work() -> tuple[tuple[str, ...], int]:
    """What the tasks of the event loop do, and how many of its timers have not come."""
    loop: Any = asyncio.get_running_loop()
    tasks = (task for task in asyncio.all_tasks(loop) if not task.done())
    return tuple(sorted(map(name_of, tasks))), sum(not handle.cancelled() for handle in loop._scheduled)


def descriptors() -> list[str]:
    """What is open in this process."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
    return found


def name_of(task: asyncio.Task[Any]) -> str:
    """What a task does, without the number that it has."""
    coroutine: Any = task.get_coro()
    return str(getattr(coroutine, "__qualname__", coroutine))


# --- what runs -------------------------------------------------------------------------------------------------------


def bundle_of(jobs: int, pipelines: int) -> dict[str, str]:
    """A bundle of so many; each eighth job has a defect, each tenth starts another, each twelfth is wide; each sixth
    pipeline has a defect."""
    lines = ["resources:", "  jobs:"]
    for number in range(jobs):
        source = "orders" if number % 8 == 1 else "customers"
        lines += [f"    job_{number:03}:", f"      name: job_{number:03}", "      tasks:"]
        tasks = 25 if number % 12 == 2 else 3
        for task in range(tasks):
            lines += [f"        - task_key: step_{task:02}"]
            if task:
                lines += [f"          depends_on: [{{task_key: step_{task // 2:02}}}]"]
            if task == 2 and number % 10 == 0:
                lines += [f"          run_job_task: {{job_id: '${{resources.jobs.job_{number + 1:03}.id}}'}}"]
            else:
                path = source if task == tasks - 1 else "customers"
                lines += [f"          notebook_task: {{notebook_path: ../src/silver/{path}.py}}"]
    lines += ["  pipelines:"]
    for number in range(pipelines):
        flows = "broken" if number % 6 == 1 else "flows"
        lines += [
            *(f"    live_{number:03}:", f"      name: live_{number:03}", "      catalog: main"),
            *(f"      schema: shop_{number:03}", "      serverless: true", "      libraries:"),
            f"        - glob: {{include: ../src/silver/{flows}/**}}",
        ]
    good, bad = FLOW.replace("COLUMN", "region"), FLOW.replace("COLUMN", "regionn")
    return {
        "databricks.yml": HEAD,
        "resources/all.yml": "\n".join(lines) + "\n",
        "src/silver/customers.py": NOTEBOOK.replace("COLUMN", "country"),
        "src/silver/orders.py": NOTEBOOK.replace("COLUMN", "regionn"),
        "src/silver/broken/orders.py": bad,
        **{f"src/silver/flows/table_{n}.py": good.replace("clean_orders", f"clean_{n}") for n in range(6)},
    }


# --- who does what ---------------------------------------------------------------------------------------------------


@dataclass
class Day:
    """The console with its engine, others who start things at the workspace, and somebody who looks around."""

    box: SandboxBox
    clock: SteppedClock
    engine: Engine
    app: ConsoleApp
    pilot: Any
    chance: random.Random
    hours: int
    done: Counter[str] = field(default_factory=Counter)
    _plan: list[tuple[float, int, Callable[[], Any]]] = field(default_factory=list)
    _planned: int = 0

    def at(self, seconds: float, what: Callable[[], Any]) -> None:
        """Do this at that time, in seconds since the day began."""
        self._planned += 1
        if seconds < self.hours * HOUR:
            heapq.heappush(self._plan, (seconds, self._planned, what))

    def again(self, first: float, every: float, what: Callable[[], Any]) -> None:
        """Do this first then, and again and again, never quite as regularly as a clock."""

        async def turn() -> None:
            self.at(self.clock.passed + every * self.chance.uniform(0.8, 1.2), turn)
            found = what()
            if asyncio.iscoroutine(found):
                await found

        self.at(first, turn)

    async def until(self, seconds: float) -> None:
        """Let time pass until then."""
        while self.clock.passed < seconds:
            await self.calm()
            while self._plan and self._plan[0][0] <= self.clock.passed + 0.001:
                found = heapq.heappop(self._plan)[2]()
                if asyncio.iscoroutine(found):
                    await found
            ahead = self._plan[0][0] if self._plan else math.inf
            step = min(max(self.clock.due(), STEP), max(ahead - self.clock.passed, 0.01), seconds - self.clock.passed)
            self.box.control("POST", "clock", {"advance_ms": step * 1000})
            self.clock.turn(step)

    async def calm(self) -> None:
        """Until nothing is under way but what waits for time to pass."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.engine.idle(), PATIENCE)
        await asyncio.sleep(0)

    async def rest(self, before: Held | None) -> None:
        """Until nothing is under way; what a picture still waits for is no leak, so that it gets its time."""
        for _ in range(100):
            await self.calm()
            await self.pilot.pause(0.02)
            tasks, timers = at_work()
            as_before = before is None or (len(tasks) <= len(before.tasks) and timers <= before.timers)
            if as_before and not self.app._paint_due:
                return

    async def wait_for(self, true: Callable[[], bool]) -> None:
        """Let both work until this holds; time goes on. Raises TimeoutError."""
        for _ in range(2_000):
            if true():
                return
            await self.until(self.clock.passed + 0.1)
            await self.pilot.pause(0.02)
        raise TimeoutError(f"that never came: {self.engine.state.loop.hold} {self.engine.state.journal_note}")

    # --- others at the workspace --------------------------------------------------------------------------------------

    def start(self, job_id: str) -> None:
        """A schedule, or somebody else, starts a job."""
        self.done["runs"] += self.box.call("POST", "/api/2.2/jobs/run-now", {"job_id": int(job_id)}).status == 200

    def update(self, pipeline_id: str) -> None:
        """As `start`, of a pipeline."""
        path = f"/api/2.0/pipelines/{pipeline_id}/updates"
        self.done["updates"] += self.box.call("POST", path, {}).status == 200

    def cancel(self) -> None:
        """Somebody cancels a run."""
        for run in self.box.get("/api/2.2/jobs/runs/list", active_only="true").get("runs", ())[:1]:
            self.box.call("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run["run_id"]})
            self.done["cancelled"] += 1

    # --- the one at the keys ------------------------------------------------------------------------------------------

    async def look_at(self, ref: str) -> None:
        """Go to a resource, and through all that is told of it."""
        pilot, app = self.pilot, self.app
        await pilot.press("escape", "1")
        app.panes.resources.go_to(ref, 20)
        app.views["resources"].sync()
        await pilot.press("enter")
        await self.calm()
        for tab, _ in TABS:
            app.go_to_tab(tab)
            await self.calm()
        await pilot.press("2", "n", "enter", "g", "g", "3", "j", "4")
        await self.calm()
        self.done["looks"] += 1

    async def act(self, ref: str) -> None:
        """Run what is looked at, from here."""
        if self.engine.state.busy or self.engine.runner.running:
            return
        self.done["own runs"] += 1
        await (self.engine.start_update(ref) if ref.startswith("pipelines.") else self.engine.run(ref))


async def day(yard: Yard, hours: int, resources: int) -> tuple[list[Held], Counter[str]]:
    """So many hours over so many resources: what was held at the end of each hour, before and after; what was done."""
    pipelines = resources // 5
    place = yard.lay(bundle_of(resources - pipelines, pipelines))
    box = yard.box
    box.control("POST", "clock", {"freeze": True})
    past(place)
    clock = SteppedClock(box.control("GET", "clock")["now_ms"])
    held = [await at_rest(0, place)]
    engine = Engine(load_bundle(place.root, "", place.env), env=place.env, config=CONFIG, clock=clock)
    app = ConsoleApp(engine, engine.state, Options(clock=False), now=lambda: clock.now_ms() / 1000)
    async with app.run_test(size=SIZE) as pilot:
        one = Day(box, clock, engine, app, pilot, random.Random(7), hours)
        await one.wait_for(lambda: engine.state.identity.resolved)
        await one.wait_for(lambda: all(r.id for r in engine.world.bundle.resources) and not engine.state.busy)
        plan(one)
        for hour in range(1, hours + 1):
            await one.until(hour * HOUR)
            await one.rest(held[-1] if hour > 1 else None)
            held.append(await at_rest(hour, place))
        one.done["requests"] = engine.world.budget.taken
    await asyncio.get_running_loop().shutdown_default_executor()
    held.append(await at_rest(hours + 1, place))
    box.control("POST", "clock", {"freeze": False})
    return held, one.done


def past(place: Sample) -> None:
    """The bundle is deployed, and everything in it has run several times before the console is opened."""
    box = place.box
    words = [place.env["DATABRICKS_CLI_PATH"], "bundle", "deploy", "-t", "dev"]
    subprocess.run(words, cwd=place.root, env=place.env, check=True, capture_output=True)
    found = box.control("GET", "state")
    for _ in range(PAST):
        for job_id in found["jobs"]:
            box.call("POST", "/api/2.2/jobs/run-now", {"job_id": job_id})
        for pipeline_id in found["pipelines"]:
            box.call("POST", f"/api/2.0/pipelines/{pipeline_id}/updates", {})
        for _ in range(4):
            box.control("POST", "clock", {"advance_ms": 900_000})
            box.get("/api/2.2/jobs/runs/list", limit=1)


def plan(one: Day) -> None:
    """Who does what in a day: most jobs every one to three hours, pipelines too, and a person who looks around."""
    chance = one.chance
    found = [r for r in one.engine.state.bundle.resources if r.id] if one.engine.state.bundle else []
    for resource in found:
        every = chance.uniform(1.0, 3.0) * HOUR
        begin = chance.uniform(60.0, every)
        if resource.type == "jobs":
            one.again(begin, every, lambda job_id=resource.id: one.start(job_id))
        elif resource.type == "pipelines":
            one.again(begin, every, lambda pipeline_id=resource.id: one.update(pipeline_id))
    jobs = [r.ref for r in found if r.type == "jobs"]
    pipelines = [r.ref for r in found if r.type == "pipelines"]
    # In the first hour somebody looks at everything that there is, so that all of the program is there.
    for number, each in enumerate((*jobs[:26], *pipelines[:14])):
        one.at(200.0 + number * 80.0, lambda each=each: one.look_at(each))
    one.again(300.0, 900.0, lambda: one.look_at(chance.choice((*jobs, *pipelines))))
    one.again(1000.0, HOUR, lambda: one.act(chance.choice((*jobs, *pipelines))))
    one.again(HOUR, HOUR, one.cancel)


async def at_rest(hour: int, place: Sample) -> Held:
    """What is held now."""
    return rest_of(hour, journal_path(Path(place.env["DBOPS_STATE_DIR"]), place.root, "dev"))


# --- what must hold --------------------------------------------------------------------------------------------------


def growth_of(held: Sequence[Held]) -> float:
    """Megabytes from the end of the first hour to that of the last one."""
    return held[-2].rss_mb - held[1].rss_mb


def curve(held: Sequence[Held]) -> str:
    """Resident megabytes at the end of each hour, for people."""
    return "resident MB by the hour: " + " ".join(f"{each.rss_mb:.1f}" for each in held[1:-1])


def judged(held: Sequence[Held], done: Counter[str]) -> Iterator[Case]:
    """What must hold of a day: the first of `held` is from before the console was opened, the last from after it."""
    before, after, open_ = held[0], held[-1], held[1:-1]
    kind = f"soak of {len(open_)} hours"
    few = [name for name in ("runs", "updates", "looks", "own runs", "requests") if not done[name]]
    yield Case(kind, "what was done", f"no {', no '.join(few)}" if few else "")
    growth = growth_of(held)
    yield Case(kind, "memory", f"{growth:.1f} MB more than after an hour" if growth > MOST_GROWTH_MB else "")
    most = max(each.sockets for each in open_) - before.sockets
    yield Case(kind, "sockets", f"{most} are open" if most > CONNECTIONS + 2 else "")
    counts: dict[str, Callable[[Held], Counter[str]]] = {
        "descriptors": lambda each: Counter({"": each.descriptors}),
        "threads": lambda each: Counter(name for name in each.threads if name != "asyncio"),
        "tasks": lambda each: Counter(each.tasks),
        "timers": lambda each: Counter({"": each.timers}),
    }
    for name, count in counts.items():
        yield Case(kind, f"{name} while it is open", _more([count(each) for each in open_]))
        left = count(after) - count(before)
        yield Case(kind, f"{name} once it is closed", f"left: {dict(left)}" if left else "")
    still = after.sockets - before.sockets
    yield Case(kind, "sockets once it is closed", f"left: {still}" if still > 0 else "")
    size = max(each.journal_mb for each in held)
    yield Case(kind, "journal", f"{size:.1f} MB" if size > MOST_JOURNAL_MB else "")


def _more(counts: Sequence[Counter[str]]) -> str:
    """Of what there was always more in the last hours than ever in the first ones."""
    some = max(1, len(counts) // 3)
    names = {name for count in counts for name in count}
    first = {name: max(count[name] for count in counts[:some]) for name in names}
    last = {name: min(count[name] for count in counts[-some:]) for name in names}
    return ", ".join(f"{first[name]} {name}, later {last[name]}" for name in sorted(names) if last[name] > first[name])


async def pruned(folder: Path) -> Case:
    """A journal that is written to as in months: it stays small, and what is open stays in it."""
    path = folder / "j.sqlite3"
    journal = await Journal.open(path)
    await journal.intent(Act("run", "jobs.nightly", token="t"))
    most, left = 0.0, 1
    for _ in range(EVENTS // 1_000):
        for number in range(1_000):
            journal.append("task.changed", lambda number=number: {"n": number, "text": "x y z " * 400})  # type: ignore[misc]
        left = min(left, len(await journal.open_operations()))
        most = max(most, megabytes(path))
    await journal.close()
    problem = f"{most:.1f} MB" if most > MOST_JOURNAL_MB else ""
    return Case("journal pruned", f"{EVENTS} events", problem or ("" if left else "an open intent is gone"))
