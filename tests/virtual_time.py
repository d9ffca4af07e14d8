"""Time for tests: a loop whose clock jumps to whatever is due next, and a clock that stands until it is turned.
It holds no test and no expectation."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH_MS = 1_760_000_000_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs without waiting: where nothing is ready, it is later at once."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for something that never comes")
        self._loop.now += max(0.0, timeout)
        return []


class VirtualClock:
    """The clock of a VirtualLoop; counts its sleeps. `away` lets the machine sleep: time passes, nothing runs."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.sleeps = 0

    def monotonic(self) -> float:
        return self._loop.now

    def now_ms(self) -> int:
        return EPOCH_MS + int(self._loop.now * 1000)

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await asyncio.sleep(max(0.0, seconds))

    def away(self, seconds: float) -> None:
        self._loop.now += seconds


def play(work: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """The result of `work`, in no time."""
    try:
        return loop.run_until_complete(asyncio.wait_for(work, 1e9))
    finally:
        loop.close()


class Turned:
    """A clock that stands still until a test turns it, for what does real I/O meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.now * 1000)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.now + seconds, future)
        self._sleepers.append(entry)
        try:
            await future
        finally:
            self._sleepers.remove(entry)

    def turn(self, seconds: float) -> None:
        self.now += seconds
        for when, future in self._sleepers:
            if when <= self.now + 1e-9 and not future.done():
                future.set_result(None)
