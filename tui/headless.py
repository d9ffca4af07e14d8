"""Runs an engine without a screen: events to stdout as JSON Lines or to stderr as sentences, signals, a sign of life.

Never asks a question. The first Ctrl-C lets the call in flight end, the second one leaves at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.engine import Engine
from ..core.events import Check, EngineEvent, Holding, LoopEnded, Problem
from ..core.state import State
from .coloured import words_for
from .jsonl import JsonLines

SIGN_OF_LIFE = 30.0  # seconds


class Interrupted(Exception):
    """A person wants to leave."""


class Headless:
    """The face of a command. `final` names the event that ends the stream of JSON Lines."""

    def __init__(self, engine: Engine, *, as_json: bool, deploy_lines: bool = True, plain: bool = False) -> None:
        self.engine = engine
        self.lines = JsonLines() if as_json else None
        self.words = words_for(plain, deploy_lines=deploy_lines, redactor=engine.world.redactor)
        self.ended: LoopEnded | None = None
        self._said_at = asyncio.get_running_loop().time()
        self._problem = ""
        self._stop = asyncio.Event()
        self._presses = 0
        self._twice = asyncio.Event()
        self._listening: contextlib.ExitStack | None = None  # to signals, from `until` to the end of `close`
        engine.subscribe(self._on)

    def _on(self, state: State, event: EngineEvent | None) -> None:
        if event is None or isinstance(event, Check):
            return
        self._said_at = asyncio.get_running_loop().time()
        if isinstance(event, LoopEnded):
            # Told last of all, with the exit status: `end` does that.
            self.ended = event
            return
        self.tell(event)

    def tell(self, event: EngineEvent, *, final: bool = False) -> None:
        """Write one event to wherever this command writes."""
        if self.lines is not None:
            if not self.lines.ended:
                self.lines.event(event, final=final)
        elif not (isinstance(event, Problem) and self.has_said(event.message)):
            # People read of the same trouble once, however many parts of the engine met it; a stream has each.
            self.words.event(event)
        if isinstance(event, Problem):
            self._problem = event.message

    def has_said(self, message: str) -> bool:
        """Whether the last problem that a person read of is this one."""
        return bool(message) and message == self._problem

    async def until(self, done: Awaitable[Any]) -> None:
        """Wait for `done`. Raises Interrupted at the first Ctrl-C (or TERM, or HUP)."""
        loop = asyncio.get_running_loop()
        # Without a gap until all is closed: a signal in between would end the program at once, and without a word.
        self._listening = self._listening or self._signals()
        waits = [asyncio.ensure_future(done), asyncio.ensure_future(self._stop.wait())]
        alive = loop.create_task(self._sign_of_life())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alive.cancel()
            for wait in waits:
                if not wait.done():
                    wait.cancel()
        if self._stop.is_set():
            raise Interrupted
        waits[0].result()

    async def close(self) -> None:
        """End the engine; a second Ctrl-C meanwhile leaves at once."""
        with self._listening or self._signals():
            self._listening = None
            closing = asyncio.ensure_future(self.engine.close())
            again = asyncio.ensure_future(self._twice.wait())
            await asyncio.wait([closing, again], return_when=asyncio.FIRST_COMPLETED)
            again.cancel()
            if not closing.done():
                closing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await closing

    def _press(self) -> None:
        self._presses += 1
        self._stop.set()
        if self._presses > 1:
            self._twice.set()

    def _signals(self) -> contextlib.ExitStack:
        loop, stack = asyncio.get_running_loop(), contextlib.ExitStack()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._press)
                stack.callback(_remove_handler, loop, number)
        return stack

    async def _sign_of_life(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = self._said_at + SIGN_OF_LIFE - loop.time()
            if left > 0:
                await asyncio.sleep(left)
                continue
            self.tell(Holding(self.engine.state.loop.hold or "nothing has changed"))
            self._said_at = loop.time()


def _remove_handler(loop: asyncio.AbstractEventLoop, number: int) -> None:
    with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
        loop.remove_signal_handler(number)


def run(main: Callable[[], Awaitable[int]]) -> int:
    """Run a command's coroutine to its exit status."""

    async def go() -> int:
        return await main()

    return asyncio.run(go())
