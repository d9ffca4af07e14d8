"""The engine before it is there: shows the first State at once, and is the real engine as soon as that has been made.

Its making waits for the first paint. Whatever is asked for meanwhile waits too; nothing is lost or answered by guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..core.state import State

if TYPE_CHECKING:
    from ..core.engine import Engine
    from .engine_protocol import Subscriber


class LateEngine:
    """`make` builds the real engine; it is called in a thread, because what it imports takes a while."""

    def __init__(self, first: State, make: Callable[[], Engine]) -> None:
        self._first = first
        self._make = make
        self._ready = asyncio.Event()
        self._waiting: dict[int, tuple[Subscriber, Callable[[], None] | None]] = {}
        self._failed: Exception | None = None
        self.real: Engine | None = None

    @property
    def state(self) -> State:
        return self.real.state if self.real is not None else self._first

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """As the real engine's; from before it is there."""
        number = len(self._waiting)
        self._waiting[number] = (subscriber, self.real.subscribe(subscriber) if self.real is not None else None)

        def unsubscribe() -> None:
            _, real = self._waiting.pop(number, (subscriber, None))
            if real is not None:
                real()

        return unsubscribe

    async def start(self) -> None:
        """Make the real engine and start it."""
        try:
            engine = await asyncio.to_thread(self._make)
        except Exception as error:
            self._failed = error
            self._ready.set()
            raise
        self.real = engine
        for number, (subscriber, _) in tuple(self._waiting.items()):
            self._waiting[number] = (subscriber, engine.subscribe(subscriber))
            subscriber(engine.state, None)
        self._ready.set()
        await engine.start()

    async def close(self) -> None:
        if self.real is not None:
            await self.real.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def intent(*args: Any, **more: Any) -> Any:
            await self._ready.wait()
            if self.real is None:
                raise self._failed or RuntimeError("the engine could not be made")
            asked: Callable[..., Awaitable[Any]] = getattr(self.real, name)
            return await asked(*args, **more)

        return intent
