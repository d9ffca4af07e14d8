"""How long the events of a large update take: taking in, filtering, scrolling, and what they weigh in memory.

Never asserts: prints a table for people and, as its last line, one JSON object. Beside it stand `tl` (toolong), which
opens the same events as a file of JSON lines, and Textual's own Log and RichLog, which are given them as lines of text.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dbops_tui.core.event_feed import EventFeed
from dbops_tui.core.event_json import iso_text
from dbops_tui.core.event_log import EventLog
from dbops_tui.core.flow_fold import FlowFold
from dbops_tui.widgets.events import EventsPage
from dbops_tui.widgets.line_view import LineView
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.widgets import Log, RichLog

PAGE = 1000
SPAN_US = 21 * 24 * 3_600_000_000
START_US = 1_793_700_000_000_000
UPDATE = "0f5c1e9a-77d2-4c10-9a55-3b1d2f60a001"
FLOWS = tuple(
    f"main.shop.{name}" for name in ("orders_raw", "orders", "returns", "customers", "sales_by_hour", "stock")
)
TEXTS = {
    "level: errors": lambda page: page.set_level(3),
    "level: all": lambda page: page.set_level(0),
    "level: no metrics": lambda page: page.set_level(1),
    "type": lambda page: page.set_text("type:cluster_resources"),
    "flow": lambda page: page.set_text("flow:returns"),
    "text in many": lambda page: page.set_text("micro-batch"),
    "text in few": lambda page: page.set_text("falls behind"),
    "text in exceptions": lambda page: page.set_text("concurrentappend"),
    "text in none": lambda page: page.set_text("no such words"),
    "regex in many": lambda page: page.set_text(r"/batch \d+7 of/"),
    "no filter": lambda page: page.set_text(""),
}
# Said beside the others, for no text stands in every event that a regular expression can match: all are looked at.
HARDEST = ("regex in none", r"/no [st]uch words/")


# --- the events -------------------------------------------------------------------------------------------------------


def event_of(number: int, count: int) -> dict[str, Any]:
    """Event `number` of `count`, as the API writes it; every fifth shares its millisecond with the one before."""
    step = max(1000, SPAN_US // count // 1000 * 1000)
    at = START_US + (number - (number % 5 == 4)) * step
    flow = FLOWS[number % len(FLOWS)]
    origin: dict[str, Any] = {
        "cloud": "Azure",
        "region": "westeurope",
        "org_id": 4321432143214321,
        "pipeline_id": "5d0c6a55-0f0e-4b77-b0a4-2f5b31d7a900",
        "pipeline_name": "orders_live",
        "update_id": UPDATE,
    }
    level, kind = "INFO", "flow_progress"
    error: dict[str, Any] | None = None
    details: dict[str, Any]
    if number % 25 == 7:
        level, kind, message = "METRICS", "cluster_resources", f"Cluster resources of executor group {number % 7}."
        details = {kind: {"task_slot_metrics": {"num_task_slots": 8, "avg_task_slot_utilization": number % 100 / 100}}}
    else:
        origin |= {"flow_name": flow, "dataset_name": flow, "batch_id": number}
        rows, bad = 200 + number * 7919 % 4000, number % 13
        message = f"Flow '{flow}' has processed batch {number} of {rows} rows in a micro-batch."
        rule = {"name": "valid_id", "dataset": flow, "passed_records": rows - bad, "failed_records": bad}
        details = {
            kind: {
                "status": "RUNNING",
                "metrics": {"num_output_rows": rows, "backlog_bytes": number % 17 * 1000},
                "data_quality": {"dropped_records": bad, "expectations": [rule]},
            }
        }
        if number % 1000 == 500:
            level, message = "WARN", f"Flow '{flow}' falls behind: its backlog grew over the last batches."
        elif number % 10_000 == 9_999:
            level, message = "ERROR", f"Flow '{flow}' has FAILED; it is started again."
            text = f"[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: files were added at version {number}."
            kind_of_error = "io.delta.exceptions.ConcurrentAppendException"
            error = {"fatal": False, "exceptions": [{"class_name": kind_of_error, "message": text}]}
    raw: dict[str, Any] = {
        "id": f"{number * 2654435761 % 2**32:08x}-96b6-11f1-9a2e-{number:012x}",
        "sequence": {"control_plane_seq_no": at + number % 1000},
        "origin": origin,
        "timestamp": iso_text(at),
        "message": message,
        "level": level,
        "maturity_level": "STABLE",
        "event_type": kind,
        "details": details,
    }
    return {**raw, "error": error} if error else raw


def write_file(path: Path, count: int) -> None:
    """All events as JSON lines, oldest first."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps(event_of(number, count)) + "\n")


def pages_of(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The events of a file, parsed, a page at a time."""
    with path.open(encoding="utf-8") as file:
        while lines := list(islice(file, PAGE)):
            yield [json.loads(line) for line in lines]


# --- taking in --------------------------------------------------------------------------------------------------------


def rss_bytes() -> int:
    """Resident memory of this process (Linux; 0 elsewhere)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def take_in(path: Path, count: int) -> tuple[EventLog, FlowFold, dict[str, float]]:
    """A log and a fold of all events; events a second into the log and into both, bytes an event, worst page in ms."""
    log, fold = EventLog(), FlowFold()
    warm = EventLog()
    for page in islice(pages_of(path), 3):
        warm.take(page)
    del warm, page
    gc.collect()
    before, text = rss_bytes(), 0
    log_ms: list[float] = []
    both_ms: list[float] = []
    for page in pages_of(path):
        text += sum(len(raw["message"].encode()) for raw in page)
        started = time.process_time()
        new = log.take(page)
        logged = time.process_time()
        fold.take(new)
        both_ms.append((time.process_time() - started) * 1000)
        log_ms.append((logged - started) * 1000)
        del new, page
    gc.collect()
    fifth = max(1, len(both_ms) // 5)
    rates = {
        name: statistics.median(
            PAGE * 1000 * len(part) / sum(part)
            for part in (times[n : n + fifth] for n in range(0, fifth * 5, fifth))
            if part
        )
        for name, times in (("log", log_ms), ("both", both_ms))
    }
    weight = (rss_bytes() - before - text) / count
    return log, fold, {**rates, "bytes": weight, "text": text / count, "worst": max(both_ms)}


# --- looking ----------------------------------------------------------------------------------------------------------


class Shown(App[None]):
    """The events tab alone."""

    def __init__(self, page: EventsPage) -> None:
        super().__init__()
        self.page = page

    def compose(self) -> ComposeResult:
        yield LineView(self.page)


async def first_screen_ms(view: LineView, act: Callable[[], None]) -> float:
    """CPU milliseconds from a change of the filter until a screen of events (or all there are) is drawn."""
    page = view.page
    gc.collect()
    started = time.process_time()
    act()
    view.sync()
    while page.unfinished and page.count < view.body_height:  # noqa: ASYNC110 - what is awaited is work, not a signal
        await asyncio.sleep(0.001)
    view.render_lines(Region(0, 0, *view.size))
    return (time.process_time() - started) * 1000


async def finish(page: EventsPage) -> float:
    """Let the filter go through all events; gives the longest time, in ms, that nothing else had its turn."""
    longest, last = 0.0, time.process_time()
    while page.unfinished:
        await asyncio.sleep(0.0005)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest * 1000


async def look(log: EventLog, rounds: int) -> tuple[dict[str, list[float]], float, list[float], float]:
    """(ms to the first screen of each filter, longest slice, ms of each page scrolled, ms for all of the hardest)."""
    page = EventsPage()
    app = Shown(page)
    firsts: dict[str, list[float]] = {name: [] for name in TEXTS}
    async with app.run_test(size=(120, 40)) as pilot:
        view = app.query_one(LineView)
        page.show(log.snapshot())
        view.sync()
        await pilot.pause()
        for _ in range(rounds):
            for name, change in TEXTS.items():
                page.set_level(0)
                page.set_text("")
                view.sync()
                await pilot.pause()
                firsts[name].append(await first_screen_ms(view, lambda change=change: change(page)))  # type: ignore[misc]
        started = time.process_time()
        page.set_text(HARDEST[1])
        view.sync()
        longest = await finish(page)
        hardest = (time.process_time() - started) * 1000
        page.set_text("")
        await finish(page)
        scrolls: list[float] = []
        chance = random.Random(7)
        for number in range(20 * rounds):
            if number % 5 == 0:
                view.page.move_to(chance.randrange(page.count), view.body_height)
                view.sync()
            started = time.process_time()
            view.action_page_up() if number % 2 else view.action_page_down()
            view.render_lines(Region(0, 0, *view.size))
            scrolls.append((time.process_time() - started) * 1000)
    return firsts, longest, scrolls, hardest


# --- beside Textual's own ---------------------------------------------------------------------------------------------


class Theirs(App[None]):
    def __init__(self, kind: type[Log] | type[RichLog]) -> None:
        super().__init__()
        self.kind = kind

    def compose(self) -> ComposeResult:
        yield self.kind()


def as_line(raw: dict[str, Any]) -> str:
    return f"{raw['timestamp'][11:19]} {raw['level']:8}{raw['event_type']:20} {raw['message']}"


async def fed(app: App[None], pages: list[Any], give: Callable[[Any], Awaitable[None] | None]) -> float:
    """CPU milliseconds for `give` of every page, each painted before the next."""
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        gc.collect()
        started = time.process_time()
        for page in pages:
            give(page)
            await pilot.pause()
        return (time.process_time() - started) * 1000


def beside(path: Path, rounds: int, pages: int) -> dict[str, float]:
    """Microseconds an event, from parsed JSON or from a finished line until it is on screen, in pages of 1,000."""
    raws = list(islice(pages_of(path), pages))
    lines = [[as_line(raw) for raw in page] for page in raws]
    total = sum(map(len, raws))
    found: dict[str, list[float]] = {"dbops-tui": [], "Log": [], "RichLog": []}
    for _ in range(rounds):
        log, fold, page = EventLog(), FlowFold(), EventsPage()
        app = Shown(page)

        def ours(raw: Any, log: EventLog = log, fold: FlowFold = fold, app: Shown = app) -> None:
            fold.take(log.take(raw))
            app.page.show(log.snapshot())
            app.query_one(LineView).sync()

        found["dbops-tui"].append(asyncio.run(fed(app, raws, ours)))
        plain, rich = Theirs(Log), Theirs(RichLog)
        found["Log"].append(
            asyncio.run(fed(plain, lines, lambda page, app=plain: app.query_one(Log).write_lines(page)))
        )  # type: ignore[misc]

        def write_rich(page: Any, app: Theirs = rich) -> None:
            widget = app.query_one(RichLog)
            for line in page:
                widget.write(line)

        found["RichLog"].append(asyncio.run(fed(rich, lines, write_rich)))
    return {name: statistics.median(times) * 1000 / total for name, times in found.items()}


# --- beside toolong ---------------------------------------------------------------------------------------------------


class Opened(Shown):
    """The events tab on a file, read by the feed as from the API: newest first, page by page, until all are there."""

    def __init__(self, path: Path) -> None:
        super().__init__(EventsPage())
        self.path = path
        self.events = EventLog()
        self.feed = EventFeed(self.request, "p", UPDATE, log=self.events, fold=FlowFold(), pages=1)

    async def on_mount(self) -> None:
        self.run_worker(self.read())

    async def read(self) -> None:
        while not self.feed.complete:
            await self.feed.load_older() if len(self.events) else await self.feed.fetch()
            self.page.show(self.events.snapshot())
            self.query_one(LineView).sync()
            await asyncio.sleep(0)

    async def request(self, method: str, path: str, query: Any = None, body: Any = None) -> dict[str, Any]:
        """A page of the file from its end; the token is the byte before which it goes on."""
        end = int(query.get("page_token") or self.path.stat().st_size)
        start, lines = end, b""
        with self.path.open("rb") as file:
            while start > 0 and lines.count(b"\n") <= PAGE:
                size = min(start, 1 << 18)
                start -= size
                file.seek(start)
                lines = file.read(size) + lines
        found = lines.splitlines(keepends=True)
        found = found[-PAGE:] if start > 0 or len(found) > PAGE else found
        answer: dict[str, Any] = {"events": [json.loads(line) for line in reversed(found)]}
        rest = end - sum(map(len, found))
        return {**answer, "next_page_token": str(rest)} if rest > 0 else answer


def toolong(folder: Path) -> Path | None:
    """The `tl` of an environment of its own below `folder`; None where it cannot be installed."""
    place = folder / "toolong"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, capture_output=True, timeout=120)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "toolong"]
        subprocess.run(pip, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"toolong is left out: it could not be installed ({type(error).__name__})")
        return None
    return place / "bin" / "tl"


def open_ms(command: list[str], wanted: bytes, rounds: int) -> float | None:
    """Median milliseconds from the start of a program until `wanted` is on its screen."""
    from terminal import Terminal, environment

    times: list[float] = []
    for _ in range(rounds):
        with Terminal(command, env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", ""))) as terminal:
            try:
                times.append(terminal.until(wanted, 60))
            except TimeoutError as error:
                print(f"{command[0]}: {error}"[:300])
                return None
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many events (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--show", type=Path, help="only open this file of JSON lines, as the measurement does")
    options = parser.parse_args()
    if options.show:
        Opened(options.show).run()
        return 0
    count, rounds = options.events, options.rounds
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory(prefix="dbops-events-") as folder:
        path = Path(folder) / "events.jsonl"
        write_file(path, count)
        print(f"{count:,} events of one update, {path.stat().st_size / 1e6:,.0f} MB of JSON")
        log, fold, taken = take_in(path, count)
        print(f"{'taken in, log and flows':34} {taken['both']:12,.0f} events/s   worst page {taken['worst']:.1f} ms")
        print(f"{'taken in, log alone':34} {taken['log']:12,.0f} events/s")
        print(
            f"{'memory beyond the messages':34} {taken['bytes']:12.0f} bytes an event ({taken['text']:.0f} of message)"
        )
        figures |= {"ingest_per_s": round(taken["both"]), "bytes_per_event": round(taken["bytes"])}
        firsts, longest, scrolls, hardest = asyncio.run(look(log, rounds))
        for name, times in firsts.items():
            print(f"{'first screen, ' + name:34} {statistics.median(times):12.1f} ms   worst {max(times):.1f}")
        print(f"{'all looked at, ' + HARDEST[0]:34} {hardest:12.1f} ms   in slices of at most {longest:.1f} ms")
        print(f"{'a page of scrolling':34} {statistics.median(scrolls):12.1f} ms   worst {max(scrolls):.1f}")
        figures["filter_ms"] = round(max(statistics.median(times) for times in firsts.values()), 1)
        figures |= {"scroll_ms": round(statistics.median(scrolls), 2), "slice_ms": round(longest, 1)}
        del log, fold
        costs = beside(path, rounds, min(20, max(1, count // PAGE)))
        for name, cost in costs.items():
            print(f"{'on screen, ' + name:34} {cost:12.1f} µs an event")
        figures["ratio_vs_richlog"] = round(costs["dbops-tui"] / costs["RichLog"], 3)
        last = f"batch {count - 2} of".encode()
        ours = open_ms([sys.executable, str(Path(__file__).resolve()), "--show", str(path)], last, rounds)
        tl = toolong(Path(folder))
        last = f"{count - 1:012x}".encode()  # the end of the id: in a line of JSON the message is off the screen
        theirs = open_ms([str(tl), str(path)], last, rounds) if tl is not None else None
        for name, time_ms in (("dbops-tui", ours), ("toolong", theirs)):
            if time_ms is not None:
                print(f"{'opened, last events shown, ' + name:34} {time_ms:12.0f} ms from the start of the program")
        figures["ratio_vs_toolong_open"] = round(ours / theirs, 2) if ours and theirs else None
    print("Ratios are ours ÷ theirs: below 1 is less time than theirs.")
    print(json.dumps({"bench": "events", "figures": figures}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
