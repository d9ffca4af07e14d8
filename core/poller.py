"""One scheduler for all that is watched: what is due next, how many looks at once, and how the budget is shared out.

Never decides what an answer means; never looks while paused, twice at once at one thing, or in a burst.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from random import Random
from typing import Literal

from .backoff import FOCUSED, Policy, hinted, jittered
from .budget import Allowance, Budget, Shares
from .clock import Clock
from .poll_queue import Fetch, Item, Look, Pace, Queue

__all__ = ["Begin", "Fetch", "Look", "Pace", "Poller"]

AT_ONCE = 8  # looks in flight
SHARE = 0.75  # of the budget; the rest is for what a person asks for
OVERSLEPT = 10.0  # seconds; a sleep that took so much longer than asked was the machine's, not ours
_EARLY = 0.001  # seconds; a clock may wake us so much too soon
# Errors that say something of the workspace and nothing of what was looked at: everything waits.
_FOR_ALL = frozenset({"throttled", "unreachable", "signed_out"})


Begin = Literal["now", "after", "within"]


class Poller:
    """Looks at each thing by its policy, one sleep until the earliest that is due. Times are monotonic seconds.

    `on_error(key, error)` hears of each look that failed; it is repeated by its own back-off, and where the error says
    that the workspace is unreachable, throttles or wants a sign-in, everything waits for one thing that tries.
    `on_look()` hears of the end of each look, once it is known when the next one is due.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int | None = None,
        on_error: Callable[[str, Exception], None] | None = None,
        on_look: Callable[[], None] | None = None,
        budget: Budget | None = None,
        share: float = SHARE,
        focused: Policy = FOCUSED,
        at_once: int = AT_ONCE,
    ) -> None:
        self.clock = clock
        self._random = Random(seed)
        self._on_error = on_error
        self._on_look = on_look
        self._allowance = Allowance(budget, share, clock) if budget is not None else None
        self._shares = Shares(self._allowance, clock)
        self._focused_policy = focused
        self._at_once = at_once
        self._queue = Queue()
        self._focus: frozenset[str] = frozenset()
        self._flights: dict[Item, asyncio.Task[None]] = {}
        self._pauses: dict[str, None] = {}
        self._news = asyncio.Event()
        self._calm = asyncio.Event()
        self._resting = False
        self._running = False
        self._closed = False
        self._down = ""  # the kind of error for which everything waits
        self._hold_until = -math.inf
        self._probe = ""  # what alone is looked at until the workspace answers again

    # --- what is watched ----------------------------------------------------------------------------------------------

    def add(
        self, key: str, fetch: Fetch, policy: Policy, forecast: Pace | None = None, *, begin: Begin = "now"
    ) -> None:
        """Look at this by `policy`, within it when `forecast` says. A known key is replaced.

        The first look comes now, or where it was seen just now `after` an interval, or at any time `within` one.
        """
        known = self._queue.get(key)
        if known is None or known.once:
            item = self._insert(key, fetch, policy, forecast, once=False)
            if begin == "after":
                self._queue_at(item, self._now() + self._interval(item))
            elif begin == "within":
                self._spread([item])
            return
        known.fetch, known.policy, known.pace = fetch, policy, forecast
        known.in_focus = self._focused(policy)
        if not known.flying:
            self._queue_at(known, min(known.due, max(self._now(), known.looked + self._interval(known))))

    def once(self, key: str, fetch: Fetch) -> None:
        """Look at this as soon as the budget allows, until it was seen once. Nothing where the key is known already."""
        known = self._queue.get(key)
        if known is None:
            self._insert(key, fetch, self._focused_policy, None, once=True)
        elif not known.flying:
            self.now(key)

    def remove(self, key: str) -> None:
        """Look at it no more. A look in flight ends by itself."""
        item = self._queue.remove(key)
        if item is None:
            return
        self._shares.weigh(item, 0.0)
        self._tell()

    def focus(self, keys: Iterable[str]) -> None:
        """These are what somebody looks at; whatever comes newly into focus begins anew."""
        self._focus = frozenset(keys)
        for item in list(self._queue.items()):
            focused = item.key in self._focus
            if focused == item.focused:
                continue
            self._shares.weigh(item, 0.0)
            item.focused = focused
            if focused:
                self._begin_anew(item, soon=True)
            elif not item.flying:
                self._queue_at(item, max(item.due, item.looked + self._interval(item)))

    def touch(self, key: str = "") -> None:
        """Somebody is here: this, or everything, is looked at as often as after a change."""
        for item in self._named(key):
            self._begin_anew(item)

    def now(self, key: str = "") -> None:
        """Look now at this, or at everything: first what is in focus, the rest spread over its interval."""
        if self._down != "throttled":
            self._hold_until = -math.inf
        for item in self._named(key):
            if item.flying:
                item.again = True
            elif key or item.focused:
                self._queue_at(item, self._now())
        if not key:
            self._spread(item for item in self._queue.items() if not item.focused)

    def _named(self, key: str) -> list[Item]:
        if not key:
            return list(self._queue.items())
        item = self._queue.get(key)
        return [item] if item is not None else []

    # --- pauses -------------------------------------------------------------------------------------------------------

    def pause(self, reason: str) -> None:
        """Look at nothing from now on. Pauses for several reasons add up."""
        self._pauses[reason] = None
        self._tell()

    def resume(self, reason: str = "") -> None:
        """This reason is gone, or all are. What became due meanwhile is looked at in good order, not at once."""
        if not self._pauses:
            return
        if reason:
            self._pauses.pop(reason, None)
        else:
            self._pauses.clear()
        if not self._pauses:
            self._catch_up()

    @property
    def paused(self) -> str:
        """Why nothing is looked at; empty where it is."""
        return ", ".join(self._pauses)

    @property
    def short(self) -> bool:
        """Whether the budget does not reach for everything as often as it should be looked at."""
        return self._shares.stretch(False) > 1.0

    def next_at(self, key: str = "") -> float | None:
        """When the next look is due, at this or at anything; None while paused and where nothing is watched."""
        if self._pauses:
            return None
        item = self._queue.get(key) if key else self._queue.top()
        if item is None:
            return None
        at = max(item.due, self._hold_until) if self._down else item.due
        return max(at, self._allowance.free_at()) if self._allowance is not None and at <= self._now() else at

    # --- the one task -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at what is due, until `close`."""
        self._running = True
        try:
            while not self._closed:
                self._news.clear()
                wait = self._start_due()
                await self._rest(wait)
        finally:
            self._running = False
            await self._land()

    async def close(self) -> None:
        """End `run`; looks in flight are given up."""
        self._closed = True
        self._tell()
        await self._land()

    async def idle(self) -> None:
        """Return once nothing is in flight and nothing is due that could be looked at now."""
        while not self._is_idle():
            self._calm.clear()
            await self._calm.wait()

    def _is_idle(self) -> bool:
        if self._flights:
            return False
        if not self._running or self._closed:
            return True
        return self._resting and not self._news.is_set() and self._ready_in() != 0.0

    async def _land(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        self._calm.set()

    async def _rest(self, seconds: float | None) -> None:
        """Until news, or so many seconds."""
        sleeper: asyncio.Future[None] | None = None
        until = math.inf
        if seconds is not None:
            until = self._now() + seconds
            sleeper = asyncio.ensure_future(self.clock.sleep(seconds))
            sleeper.add_done_callback(self._slept)
            await asyncio.sleep(0)  # it sleeps from now on
        self._resting = True
        self._calm.set()
        try:
            await self._news.wait()
        finally:
            self._resting = False
            if sleeper is not None:
                sleeper.remove_done_callback(self._slept)
                sleeper.cancel()
        if self._now() - until > OVERSLEPT:
            self._catch_up()

    def _slept(self, _: asyncio.Future[None]) -> None:
        self._news.set()

    def _start_due(self) -> float | None:
        """Start what may be started; seconds until more may be, None where only news can tell."""
        while True:
            wait = self._ready_in()
            if wait != 0.0:
                return wait
            item = self._foremost()
            assert item is not None
            self._start(item)

    def _ready_in(self) -> float | None:
        """Seconds until a look may start, 0.0 for at once, None where only news can tell."""
        if self._pauses or self._closed or len(self._flights) >= self._at_once:
            return None
        item = self._foremost()
        if item is None or item.flying:
            return None
        at = max(item.due, self._hold_until) if self._down else item.due
        now = self._now()
        if self._allowance is not None and at <= now + _EARLY:
            at = max(at, self._allowance.free_at())
        return at - now if at > now + _EARLY else 0.0

    def _start(self, item: Item) -> None:
        self._queue.take(item)
        item.flying = True
        item.again = False
        item.looked = self._now()
        if item.once:
            self._shares.count_single()
        if self._allowance is not None:
            self._allowance.promise()
        self._flights[item] = asyncio.ensure_future(self._look(item))

    async def _look(self, item: Item) -> None:
        try:
            try:
                look = await item.fetch()
            except Exception as error:
                self._failed(item, error)
            else:
                self._saw(item, look)
        finally:
            item.flying = False
            self._flights.pop(item, None)
            self._tell()
            if self._on_look is not None:
                self._on_look()

    def _saw(self, item: Item, look: Look) -> None:
        self._answered()
        if item.removed:
            return
        if look.ended or item.once:
            item.flying = False
            self.remove(item.key)
            return
        item.unchanged = 0 if look.changed else item.unchanged + 1
        own = self._interval(item)
        wait = hinted(own, look.retry_after)
        if wait > own:
            self._queue_at(item, self._now() + wait)
        elif item.again:
            self._queue_at(item, self._now())
        else:
            # From look to look; yet a workspace that answers slowly is not asked all the time.
            self._queue_at(item, max(item.looked + own, self._now() + own / 2))

    def _failed(self, item: Item, error: Exception) -> None:
        kind = getattr(error, "kind", "")
        hint = getattr(error, "retry_after", None)
        item.unchanged += 1
        wait = hinted(self._interval(item, failed=True), hint)
        if not item.removed:
            self._queue_at(item, self._now() + wait)
        if kind in _FOR_ALL:
            self._down = kind
            probe = self._probing()
            own = wait if probe is None or probe is item else min(wait, self._interval(probe, failed=True))
            self._hold_until = max(self._hold_until, self._now() + hinted(own, hint))
        else:
            self._answered()
        if self._on_error is not None:
            self._on_error(item.key, error)

    # --- the workspace as a whole -------------------------------------------------------------------------------------

    def _foremost(self) -> Item | None:
        return self._probing() if self._down else self._queue.top()

    def _probing(self) -> Item | None:
        """The one that tries while the workspace does not answer: what would be looked at most often anyway."""
        known = self._queue.get(self._probe)
        if known is not None:
            return known
        found = min(
            self._queue.items(), key=lambda item: (not item.focused, item.ruling.ceiling, item.order), default=None
        )
        self._probe = found.key if found is not None else ""
        if found is not None and not found.flying:
            self._queue_at(found, min(found.due, max(self._now(), self._hold_until)))
        return found

    def _answered(self) -> None:
        if self._down:
            self._down = self._probe = ""
            self._hold_until = -math.inf
            self._catch_up()

    def _catch_up(self) -> None:
        """What became due while nothing could be looked at: the first at once, the rest spread over its interval."""
        now = self._now()
        late = [item for item in self._queue.items() if not item.flying and item.due <= now]
        late.sort(key=lambda item: (not item.focused, item.due, item.order))
        for item in late[:1]:
            self._queue_at(item, now)
        self._spread(late[1:])
        self._tell()

    def _spread(self, items: Iterable[Item]) -> None:
        for item in list(items):
            if not item.flying:
                self._queue_at(item, self._now() + self._random.uniform(0.0, self._interval(item)))

    # --- when ---------------------------------------------------------------------------------------------------------

    def _focused(self, policy: Policy) -> Policy:
        """That of the focus, but nowhere slower than its own."""
        return self._focused_policy.capped(min(self._focused_policy.ceiling, policy.ceiling))

    def _interval(self, item: Item, *, failed: bool = False) -> float:
        """Seconds to its next look, within its policy; more only where the budget does not reach."""
        policy = item.ruling
        plain = policy.interval(item.unchanged)
        paced = item.pace is not None and not failed
        self._shares.weigh(item, 0.0 if item.once else 1.0 / (policy.mean if paced else plain))
        stretch = self._shares.stretch(item.focused)
        seconds = plain * stretch
        if item.pace is not None and paced:
            wished = item.pace(self._now(), policy.mean * stretch)
            seconds = min(seconds, wished) if policy.eager else wished
        return jittered(seconds, policy.lowest, policy.ceiling * stretch, self._random)

    def _begin_anew(self, item: Item, *, soon: bool = False) -> None:
        if self._down:
            return
        item.unchanged = 0
        if item.flying or item.once:
            return
        first = self._interval(item)
        at = item.looked + (min(first, item.ruling.lowest) if soon else first)
        self._queue_at(item, min(item.due, max(self._now(), at)))

    def _insert(self, key: str, fetch: Fetch, policy: Policy, pace: Pace | None, *, once: bool) -> Item:
        self.remove(key)
        item = Item(key, fetch, policy, self._focused(policy), pace, once, focused=key in self._focus)
        self._queue.add(item)
        self._interval(item)
        self._queue_at(item, self._now())
        return item

    def _queue_at(self, item: Item, due: float) -> None:
        self._queue.put(item, due)
        self._tell()

    def _now(self) -> float:
        return self.clock.monotonic()

    def _tell(self) -> None:
        self._news.set()
        self._calm.set()
