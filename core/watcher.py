"""Watches what a bundle deploys and says, once a burst of edits is over, which files are other than they were.

Deploys nothing. Saves that change no byte, editors' side files and what is ignored are no edits; a storm is one.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clock import Clock, SystemClock
from .fingerprints import Ledger
from .paths import classify_filesystem
from .syncrules import SyncRules

QUIET_SECONDS = 0.2
CAP_SECONDS = 10.0
STORM = 2_000  # raw paths in one burst: from here on the disk is asked what changed, and not the events
POLL_SECONDS = 1.0
# Detection is quick enough while 50 looks a second cost nothing that could be measured (facts of watchfiles: step 20).
_STEP_MS = 20
_GROUP_MS = 100
_WAKE_MS = 60_000


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One burst of edits that is over: files relative to the bundle's root, sorted, and the clock's time of the last.

    `at` are seconds of the watcher's clock (monotonic); a deleted file is named too.
    """

    files: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class RawChange:
    """What the system reported: absolute paths of files or folders, and when the last of it was written."""

    paths: frozenset[str]
    at: float


@dataclass(slots=True)
class Burst:
    """Edits that are still coming: over after `quiet` seconds without one, or `cap` seconds after the first. Pure."""

    quiet: float
    cap: float
    paths: set[str] = field(default_factory=set)
    first: float = 0.0
    last: float = 0.0

    def add(self, paths: frozenset[str], at: float) -> None:
        """More edits, made at `at`."""
        self.first = min(self.first, at) if self.paths else at
        self.last = max(self.last, at) if self.paths else at
        self.paths |= paths

    def due(self) -> float:
        """When it is over, should nothing more come."""
        return min(self.last + self.quiet, self.first + self.cap)

    def take(self) -> set[str]:
        """What came; the next burst begins."""
        paths, self.paths = self.paths, set()
        return paths


class SourceWatcher:
    """`async with SourceWatcher(root, rules) as watcher: async for change in watcher: ...`

    What it compares with is the disk at the end of `start` (or of entering): an edit before that is none, one after
    it is never missed. `note` says in one sentence when it has to watch in a slower way, empty otherwise.
    """

    def __init__(
        self,
        root: Path,
        rules: SyncRules,
        quiet: float = QUIET_SECONDS,
        cap: float = CAP_SECONDS,
        *,
        clock: Clock | None = None,
        source: AsyncIterator[RawChange] | None = None,
    ) -> None:
        """`source` stands in for the system's reports, `clock` for its time: both for tests that do not wait."""
        self.root = root
        self.note = ""
        self._rules = rules
        self._clock = clock or SystemClock()
        self._burst = Burst(quiet, cap)
        self._ledger = Ledger(rules)
        self._given = source
        self._news = asyncio.Event()
        self._feeds: list[asyncio.Task[None]] = []
        self._started = False
        self._ended = False
        self._looking = asyncio.Lock()

    @property
    def rules(self) -> SyncRules:
        return self._rules

    @property
    def pending(self) -> tuple[str, ...]:
        """What seems to be edited, and is not told yet because edits still come."""
        return tuple(sorted(self._rules.name(path) for path in list(self._burst.paths)[:1000]))

    async def start(self) -> None:
        """Begin to watch, then remember what is there. From now on no edit is missed."""
        if self._started:
            return
        self._started = True
        await self._listen()
        async with self._looking:
            await asyncio.to_thread(self._ledger.baseline)

    async def follow(self, rules: SyncRules) -> None:
        """Watch by these rules from now on; what they newly let count is taken as it is."""
        if rules == self._rules:
            return
        other_roots = rules.roots != self._rules.roots
        async with self._looking:
            self._rules = rules
            if self._started:
                await asyncio.to_thread(self._ledger.follow, rules)
                if other_roots and self._given is None:
                    await self._stop_feeds()
                    await self._listen()
                    self._suspect_everything()

    async def close(self) -> None:
        """Stop watching; the iteration ends."""
        self._ended = True
        self._news.set()
        await self._stop_feeds()

    async def __aenter__(self) -> SourceWatcher:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[SourceChange]:
        return self

    async def __anext__(self) -> SourceChange:
        await self.start()
        while True:
            await self._news.wait()
            while self._burst.paths and not self._ended:
                left = self._burst.due() - self._clock.monotonic()
                if left <= 0:
                    change = await self._settle()
                    if change is not None:
                        return change
                    continue
                self._news.clear()
                await self._sleep_or_news(left)
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            if self._burst.paths:
                self._news.set()

    async def _sleep_or_news(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._news.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _settle(self) -> SourceChange | None:
        """What of the burst differs from what was known; None where nothing does."""
        async with self._looking:
            at, paths = self._burst.last, self._burst.take()
            if any(os.path.basename(path) == ".gitignore" for path in paths):
                self._rules.forget_ignores()
            if len(paths) >= STORM:
                found = await asyncio.to_thread(self._ledger.rescan)
            else:
                found = await asyncio.to_thread(self._ledger.changed, paths)
        return SourceChange(tuple(sorted(self._rules.name(path) for path in found)), at) if found else None

    # --- what the system reports --------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        if self._given is not None:
            self._feed(self._given)
            return
        roots = [str(root) for root in self._rules.roots]
        remote = [root for root in roots if classify_filesystem(Path(root)) == "network"]
        if not remote:
            try:
                native = await asyncio.to_thread(_Native, roots)
            except (OSError, RuntimeError) as error:
                # Mostly: more folders than fs.inotify.max_user_watches allows.
                self._poll(f"the system does not report changes ({error})")
                return
            self._feed(native.changes(self._clock))
        else:
            self._poll(f"{remote[0]} is on a network file system")

    def _poll(self, why: str) -> None:
        self.note = f"{why}: files are looked at every {POLL_SECONDS:.0f} s"
        self._feed(polled(lambda: self._rules, self._clock))

    def _feed(self, source: AsyncIterator[RawChange]) -> None:
        self._feeds.append(asyncio.ensure_future(self._consume(source)))

    async def _consume(self, source: AsyncIterator[RawChange]) -> None:
        try:
            async for raw in source:
                self._notice(raw) if len(raw.paths) < 500 else await self._notice_many(raw)
        except OSError as error:
            self._poll(f"the system stopped reporting changes ({error})")
            self._suspect_everything()
        finally:
            if isinstance(source, AsyncGenerator):
                with suppress(RuntimeError):
                    await source.aclose()

    def _suspect_everything(self) -> None:
        """For when edits may have been seen by nobody: a folder in a burst stands for all that is in it."""
        self._take_in(frozenset(map(str, self._rules.roots)), self._clock.monotonic())

    def _notice(self, raw: RawChange) -> None:
        self._take_in(frozenset(path for path in raw.paths if self._matters(path)), raw.at)

    async def _notice_many(self, raw: RawChange) -> None:
        relevant = await asyncio.to_thread(lambda: frozenset(path for path in raw.paths if self._matters(path)))
        self._take_in(relevant, raw.at)

    def _take_in(self, relevant: frozenset[str], at: float) -> None:
        if relevant:
            self._burst.add(relevant, at)
            self._news.set()

    def _matters(self, path: str) -> bool:
        if self._ledger.knows_folder(path) or os.path.isdir(path):
            return self._rules.enters(path)
        return self._rules.counts(path)

    async def _stop_feeds(self) -> None:
        feeds, self._feeds = self._feeds, []
        for feed in feeds:
            feed.cancel()
        await asyncio.gather(*feeds, return_exceptions=True)


class _Native:
    """The system's own reports by watchfiles' backend, in a thread of its own. Watching begins when it is made."""

    def __init__(self, roots: list[str]) -> None:
        from watchfiles._rust_notify import RustNotify

        # Not `awatch`: it begins at its first step, and an edit before that would be seen by nobody.
        self._notify: Any = RustNotify(roots, False, False, 0, True, True)
        self._stop = threading.Event()

    async def changes(self, clock: Clock) -> AsyncGenerator[RawChange, None]:
        """Batches as they come. Raises OSError where watching breaks."""
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(1, thread_name_prefix="watch")
        try:
            while not self._stop.is_set():
                found = await loop.run_in_executor(pool, self._notify.watch, _GROUP_MS, _STEP_MS, _WAKE_MS, self._stop)
                if not isinstance(found, set):
                    continue
                paths = _telling(found)
                if paths:
                    yield RawChange(paths, clock.monotonic() - _age(paths))
        except RuntimeError as error:
            raise OSError(str(error)) from error
        finally:
            self._stop.set()
            pool.shutdown(wait=False)


def _telling(found: set[tuple[int, str]]) -> frozenset[str]:
    """Without modified folders: they only say that something in them came or went, which is told by itself."""
    modified = 2
    return frozenset(path for kind, path in found if not (kind == modified and os.path.isdir(path)))


def _age(paths: frozenset[str]) -> float:
    """Seconds since the last of these files was written, as far as the report came late for it."""
    newest = 0.0
    for path in list(paths)[:20]:
        with suppress(OSError):
            newest = max(newest, os.stat(path).st_mtime)
    late = time.time() - newest
    return late if 0.0 <= late <= (_GROUP_MS + 2 * _STEP_MS) / 1000 else 0.0


async def polled(
    rules: Callable[[], SyncRules], clock: Clock, every: float = POLL_SECONDS
) -> AsyncGenerator[RawChange, None]:
    """Reports by looking at each file's time and size every so many seconds, where the system gives none."""
    before: dict[str, tuple[int, int, int]] | None = None
    while True:
        now = await asyncio.to_thread(_stats, rules())
        if before is not None:
            paths = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
            if paths:
                yield RawChange(frozenset(paths), clock.monotonic())
        before = now
        await clock.sleep(every)


def _stats(rules: SyncRules) -> dict[str, tuple[int, int, int]]:
    found = {}
    for file in rules.files():
        with suppress(OSError):
            about = os.stat(file)
            found[str(file)] = (about.st_mtime_ns, about.st_size, about.st_ino)
    return found
