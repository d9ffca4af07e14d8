"""What the console costs while nothing changes: a hundred runs under way, looked at in a pseudo-terminal.

Never asserts: prints a table for people and, as its last line, one JSON object. The workspace is quiet here: what
polling costs is measured by `polling.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from terminal import Terminal, environment

SETTLE = 3.0


def child(clock: bool) -> int:
    """The console with a hundred active runs, the SDK loaded as it is in real use, and an engine that is silent."""
    from dbops_tui.core.bundle import Bundle, Place, Resource
    from dbops_tui.core.runs import Outcome, Run, RunState, TaskRun
    from dbops_tui.core.state import Identity, ResourceStatus, RunSummary, State
    from dbops_tui.tui.app import ConsoleApp, Options

    running = RunState(Outcome.RUNNING, "RUNNING")
    now = int(time.time() * 1000)
    names = [f"job_{number:03}" for number in range(100)]
    resources = tuple(Resource("jobs", name, name, Place("databricks.yml", 1), id="1") for name in names)
    summary = RunSummary("1", running, now - 60_000)
    statuses = {f"jobs.{name}": ResourceStatus(f"jobs.{name}", (summary,), (1, 3), "tasks") for name in names}
    tasks = (TaskRun("11", "extract", running, start_ms=now - 50_000), TaskRun("12", "load", replace(running)))
    run = Run("1", "1", names[0], running, now - 60_000, tasks=tasks)
    state = State(
        bundle=Bundle(Path("."), "idle", "dev", resources=resources),
        identity=Identity("https://adb-1.azuredatabricks.net", "p", "you@example.com", "dev", "development"),
        statuses=statuses,
        focus=f"jobs.{names[0]}",
        run=run,
        next_poll_at=time.monotonic() + 86_400,
    )

    class Silent:
        def __init__(self) -> None:
            self.state = state

        def subscribe(self, subscriber: Callable[..., None]) -> Callable[[], None]:
            return lambda: None

        async def start(self) -> None:
            import asyncio

            await asyncio.to_thread(__import__, "databricks.sdk")

        def __getattr__(self, name: str) -> Any:
            async def nothing(*args: object, **more: object) -> None:
                return None

            return nothing

    ConsoleApp(Silent(), state, Options(clock=clock)).run()
    return 0


def watch(seconds: float, *, clock: bool) -> dict[str, float]:
    """CPU percent of a core, bytes a second, MB and growth in MB over `seconds`, once it has settled."""
    command = [sys.executable, __file__, "--child", "on" if clock else "off"]
    with Terminal(command, env=environment()) as terminal:
        terminal.until(b"job_000")
        settle(terminal, SETTLE)
        cpu, memory, started = terminal.cpu_seconds(), terminal.rss_mb(), time.perf_counter()
        written = settle(terminal, seconds)
        passed = time.perf_counter() - started
        return {
            "cpu_percent": round((terminal.cpu_seconds() - cpu) / passed * 100, 2),
            "bytes_per_s": round(written / passed, 1),
            "rss_mb": round(terminal.rss_mb(), 1),
            "rss_growth_mb": round(terminal.rss_mb() - memory, 2),
        }


def settle(terminal: Terminal, seconds: float) -> int:
    """Read for `seconds`; returns how many bytes came."""
    end, total = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        total += terminal.read(min(0.5, max(0.01, end - time.perf_counter())))
        terminal.output.clear()
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is watched (default: 60)")
    parser.add_argument("--child", choices=("on", "off"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.child == "on")
    ticking, still = (watch(arguments.seconds, clock=clock) for clock in (True, False))
    print(f"{'clock':6} {'CPU %':>7} {'bytes/s':>9} {'MB':>7} {'growth MB':>10}")
    for name, row in (("on", ticking), ("off", still)):
        print(
            f"{name:6} {row['cpu_percent']:7.2f} {row['bytes_per_s']:9.1f} "
            f"{row['rss_mb']:7.1f} {row['rss_growth_mb']:10.2f}"
        )
    figures = {**ticking, "bytes_per_s_clock_off": still["bytes_per_s"]}
    print(json.dumps({"bench": "idle", "figures": figures}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
