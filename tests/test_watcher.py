"""A burst of edits is one change, told when it is over, with the files whose bytes differ: by a clock that we turn."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.fingerprints import Ledger
from dbops_tui.core.syncrules import SyncRules
from dbops_tui.core.watcher import Burst, RawChange, SourceChange, SourceWatcher, polled
from hypothesis import given, settings
from hypothesis import strategies as st

PATIENCE = 20.0  # real seconds that a test waits for what must come; none is ever waited out


class Turned:
    """A clock that stands still until a test turns it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.slept = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        return int(self.now * 1000)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.now + seconds, future)
        self.sleepers.append(entry)
        self.slept.set()
        try:
            await future
        finally:
            self.sleepers.remove(entry)

    def turn(self, seconds: float) -> None:
        self.now += seconds
        for when, future in self.sleepers:
            if when <= self.now + 1e-9 and not future.done():
                future.set_result(None)


class Bench:
    """A watcher of a real folder, with reports made by hand and a clock turned by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Turned()
        self.reports: asyncio.Queue[RawChange] = asyncio.Queue()
        self.changes: asyncio.Queue[SourceChange] = asyncio.Queue()
        self.watcher = SourceWatcher(
            root, SyncRules.of(load_bundle(root, "", {})), clock=self.clock, source=self._source()
        )
        self._task: asyncio.Task[None] | None = None

    async def _source(self) -> AsyncIterator[RawChange]:
        while True:
            yield await self.reports.get()

    async def _collect(self) -> None:
        async for change in self.watcher:
            self.changes.put_nowait(change)

    async def __aenter__(self) -> Bench:
        await self.watcher.start()
        self._task = asyncio.create_task(self._collect())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.watcher.close()
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def report(self, *names: str) -> None:
        """The system reports these paths now; returns once that is taken in."""
        self.reports.put_nowait(RawChange(frozenset(str(self.root / name) for name in names), self.clock.now))
        await self.settled()

    async def settled(self) -> None:
        """Until the watcher waits: for the clock, or for news."""
        async with asyncio.timeout(PATIENCE):
            calm = 0
            while calm < 5:
                await asyncio.sleep(0)
                busy = not self.reports.empty() or self.watcher._looking.locked()
                waits = bool(self.clock.sleepers) or not self.watcher.pending
                calm = calm + 1 if waits and not busy else 0
                if busy:
                    await asyncio.sleep(0.001)

    async def turn(self, seconds: float) -> None:
        self.clock.turn(seconds)
        await self.settled()

    def told(self) -> list[tuple[str, ...]]:
        found = []
        while not self.changes.empty():
            found.append(self.changes.get_nowait().files)
        return found

    def put(self, name: str, text: str = "new") -> str:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")
        return name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "databricks.yml": "bundle: {name: x}\n",
        ".gitignore": "*.log\n",
        "src/a.py": "a",
        "src/b.py": "b",
        "src/deep/c.py": "c",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


# --- when -------------------------------------------------------------------------------------------------------------


async def test_a_change_is_told_after_the_quiet_time_and_not_before(root: Path) -> None:
    async with Bench(root) as bench:
        await bench.report(bench.put("src/a.py"))
        await bench.turn(0.19)
        assert bench.told() == []
        await bench.turn(0.02)
        assert bench.told() == [("src/a.py",)]


async def test_each_further_edit_starts_the_quiet_time_again_and_all_are_one_change(root: Path) -> None:
    async with Bench(root) as bench:
        for name in ("src/a.py", "src/b.py", "src/new.py"):
            await bench.report(bench.put(name))
            await bench.turn(0.15)
        assert bench.told() == []
        await bench.turn(0.1)
        assert bench.told() == [("src/a.py", "src/b.py", "src/new.py")]


async def test_edits_without_end_are_told_after_ten_seconds(root: Path) -> None:
    async with Bench(root) as bench:
        turned = 0.0
        while not (told := bench.told()):
            await bench.report(bench.put("src/a.py", str(turned)))
            await bench.turn(0.1)
            turned += 0.1
            assert turned < 11
        assert turned > 9.9
        assert told == [("src/a.py",)]


async def test_the_time_of_a_change_is_that_of_its_last_edit(root: Path) -> None:
    async with Bench(root) as bench:
        await bench.report(bench.put("src/a.py"))
        await bench.turn(0.1)
        last = bench.clock.now
        await bench.report(bench.put("src/b.py"))
        await bench.turn(0.5)
        assert (await bench.changes.get()).at == last


async def test_what_comes_while_a_change_is_told_is_the_next_change(root: Path) -> None:
    async with Bench(root) as bench:
        await bench.report(bench.put("src/a.py"))
        await bench.turn(0.3)
        await bench.report(bench.put("src/a.py", "newer"))
        await bench.turn(0.3)
        assert bench.told() == [("src/a.py",), ("src/a.py",)]


async def test_what_seems_edited_is_shown_while_edits_still_come(root: Path) -> None:
    async with Bench(root) as bench:
        assert bench.watcher.pending == ()
        await bench.report(bench.put("src/a.py"))
        assert bench.watcher.pending == ("src/a.py",)
        await bench.turn(0.3)
        assert bench.watcher.pending == ()


# --- what -------------------------------------------------------------------------------------------------------------


async def test_saving_the_same_bytes_or_changing_the_mode_is_no_edit(root: Path) -> None:
    async with Bench(root) as bench:
        bench.put("src/a.py", "a")
        os.chmod(root / "src/b.py", 0o755)
        os.utime(root / "src/deep/c.py")
        await bench.report("src/a.py", "src/b.py", "src/deep/c.py")
        await bench.turn(1)
        assert bench.told() == []


async def test_an_edit_that_is_taken_back_before_the_quiet_time_is_none(root: Path) -> None:
    async with Bench(root) as bench:
        await bench.report(bench.put("src/a.py", "other"))
        await bench.report(bench.put("src/a.py", "a"))
        await bench.turn(1)
        assert bench.told() == []


async def test_an_edit_that_is_taken_back_after_it_was_told_is_one(root: Path) -> None:
    async with Bench(root) as bench:
        for text in ("other", "a"):
            await bench.report(bench.put("src/a.py", text))
            await bench.turn(1)
        assert bench.told() == [("src/a.py",), ("src/a.py",)]


async def test_an_atomic_save_names_the_file_and_not_the_one_it_came_from(root: Path) -> None:
    async with Bench(root) as bench:
        for side in ("src/4913", "src/.a.py.swp", "src/a.py~", "src/a.tmpfile"):
            bench.put(side)
        os.replace(root / "src/a.tmpfile", root / "src/a.py")
        (root / "src/4913").unlink()
        await bench.report("src/4913", "src/.a.py.swp", "src/a.py~", "src/a.tmpfile", "src/a.py")
        await bench.turn(1)
        assert bench.told() == [("src/a.py",)]


async def test_what_is_ignored_does_not_even_keep_others_waiting(root: Path) -> None:
    async with Bench(root) as bench:
        await bench.report(bench.put("src/a.py"))
        for _ in range(5):
            await bench.turn(0.041)
            await bench.report(
                bench.put("src/run.log"), bench.put(".databricks/bundle/x.json"), bench.put(".git/index")
            )
        assert bench.told() == [("src/a.py",)]


async def test_deleted_and_new_files_are_named(root: Path) -> None:
    async with Bench(root) as bench:
        (root / "src/a.py").unlink()
        await bench.report("src/a.py", bench.put("src/new.py"))
        await bench.turn(1)
        assert bench.told() == [("src/a.py", "src/new.py")]


async def test_a_folder_that_moved_stands_for_what_was_and_is_in_it(root: Path) -> None:
    async with Bench(root) as bench:
        os.rename(root / "src", root / "lib")
        await bench.report("src", "lib")
        await bench.turn(1)
        assert bench.told() == [("lib/a.py", "lib/b.py", "lib/deep/c.py", "src/a.py", "src/b.py", "src/deep/c.py")]


async def test_a_new_folder_of_ignored_files_is_nothing(root: Path) -> None:
    async with Bench(root) as bench:
        bench.put("logs/x.log")
        bench.put("node_modules/m/index.js")
        await bench.report("logs", "node_modules", "logs/x.log", "node_modules/m")
        await bench.turn(1)
        assert bench.told() == []


async def test_a_storm_of_thousands_is_one_change_with_every_file(root: Path) -> None:
    async with Bench(root) as bench:
        names = [bench.put(f"src/many/f{number}.py", str(number)) for number in range(3000)]
        for start in range(0, 3000, 1000):
            await bench.report(*names[start : start + 1000])
            await bench.turn(0.05)
        await bench.turn(1)
        assert bench.told() == [tuple(sorted(names))]


async def test_a_checkout_there_and_back_is_no_change(root: Path) -> None:
    async with Bench(root) as bench:
        for text in ("branch", "a"):
            bench.put("src/a.py", text)
        shutil.move(root / "src/deep", root / "src/away")
        shutil.move(root / "src/away", root / "src/deep")
        await bench.report("src", "src/a.py", "src/deep", "src/away")
        await bench.turn(1)
        assert bench.told() == []


async def test_a_gitignore_is_obeyed_from_its_change_on(root: Path) -> None:
    async with Bench(root) as bench:
        await bench.report(bench.put(".gitignore", "*.log\n*.tmpdata\n"))
        await bench.turn(1)
        await bench.report(bench.put("src/x.tmpdata"))
        await bench.turn(1)
        assert bench.told() == [(".gitignore",)]


async def test_other_rules_count_from_then_on_and_take_the_rest_as_it_is(root: Path) -> None:
    async with Bench(root) as bench:
        bench.put("databricks.yml", "bundle: {name: x}\nsync: {exclude: [src/b.py], include: ['*.log']}\n")
        bench.put("old.log")
        await bench.watcher.follow(SyncRules.of(load_bundle(root, "", {})))
        await bench.report(bench.put("src/b.py"), "old.log", bench.put("new.log"))
        await bench.turn(1)
        assert bench.told() == [("new.log",)]


async def test_a_file_that_cannot_be_read_is_not_lost(root: Path) -> None:
    async with Bench(root) as bench:
        (root / "src/a.py").unlink()
        os.symlink("nowhere", root / "src/a.py")
        await bench.report("src/a.py")
        await bench.turn(1)
        assert bench.told() == [("src/a.py",)]


# --- bursts and ledgers by themselves ---------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 3), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_burst_is_never_over_before_its_quiet_time_nor_after_its_cap(gaps: list[float]) -> None:
    burst = Burst(0.2, 10.0)
    now = first = 100.0
    for gap in gaps:
        now += gap
        if burst.paths and now >= burst.due():
            assert burst.due() <= first + 10.0
            burst.take()
        if not burst.paths:
            first = now
        burst.add(frozenset({str(now)}), now)
        assert burst.due() == pytest.approx(min(now + 0.2, first + 10.0))


@given(
    st.lists(
        st.tuples(st.sampled_from(["a.py", "d/b.py", "d/e/c.py"]), st.sampled_from(["", "1", "22", None])), max_size=12
    )
)
@settings(max_examples=60, deadline=None)
def test_a_rescan_finds_what_the_reports_find(
    tmp_path_factory: pytest.TempPathFactory, edits: Iterable[tuple[str, str | None]]
) -> None:
    root = tmp_path_factory.mktemp("ledger")
    for name in ("a.py", "d/b.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("0")
    ledgers = [Ledger(SyncRules(root)) for _ in range(3)]
    for ledger in ledgers:
        ledger.baseline()
    before = {path: path.read_text() for path in root.rglob("*.py")}
    for name, text in edits:
        if text is None:
            (root / name).unlink(missing_ok=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    after = {path: path.read_text() for path in root.rglob("*.py")}
    differing = sorted(str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    assert ledgers[0].changed(str(root / name) for name, _ in edits) == tuple(differing)
    assert ledgers[1].changed([str(root)]) == tuple(path for path in differing if Path(path).exists())
    rescanned = ledgers[2].rescan()
    # Two writes of as many bytes within one tick of the file system's clock look alike to a rescan, and only to it.
    assert set(rescanned) <= set(differing)
    assert {path for path in differing if len(after.get(Path(path), "")) != 1} <= set(rescanned)


# --- the real reports -------------------------------------------------------------------------------------------------


async def following(watcher: SourceWatcher) -> SourceChange:
    async with asyncio.timeout(PATIENCE):
        return await anext(watcher)


async def test_a_real_edit_is_told_by_the_real_system(root: Path) -> None:
    async with SourceWatcher(root, SyncRules.of(load_bundle(root, "", {})), quiet=0.05) as watcher:
        assert watcher.note == ""
        (root / "src/a.py").write_text("edited")
        assert (await following(watcher)).files == ("src/a.py",)
        (root / "src/fresh").mkdir()
        (root / "src/fresh/x.py").write_text("x")
        assert (await following(watcher)).files == ("src/fresh/x.py",)
        os.replace(root / "src/b.py", root / "src/a.py")
        assert (await following(watcher)).files == ("src/a.py", "src/b.py")


async def test_a_closed_watcher_ends_its_iteration(root: Path) -> None:
    watcher = SourceWatcher(root, SyncRules.of(load_bundle(root, "", {})))
    await watcher.start()
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    await watcher.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_where_the_system_reports_nothing_the_files_are_looked_at(root: Path) -> None:
    clock = Turned()
    reports = polled(lambda: SyncRules.of(load_bundle(root, "", {})), clock)
    waiting = asyncio.ensure_future(anext(reports))
    async with asyncio.timeout(PATIENCE):
        await clock.slept.wait()
        (root / "src/a.py").write_text("edited, and longer")
        (root / "src/b.py").unlink()
        clock.turn(1.0)
        raw = await waiting
    assert raw.paths == {str(root / "src/a.py"), str(root / "src/b.py")}
    await reports.aclose()


async def test_a_system_that_cannot_watch_is_told_of_and_polled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbops_tui.core import watcher as module

    def refuse(roots: list[str]) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(module, "_Native", refuse)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    async with SourceWatcher(root, SyncRules.of(load_bundle(root, "", {})), quiet=0.01) as watcher:
        assert "watch limit" in watcher.note
        waiting = asyncio.ensure_future(following(watcher))
        number = 0
        while not waiting.done():
            number += 1
            (root / "src/a.py").write_text("x" * number)
            await asyncio.wait([waiting], timeout=0.05)
        assert (await waiting).files == ("src/a.py",)
