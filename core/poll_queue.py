"""What the poller looks at, and in which order it becomes due.

Never starts a look and never decides when one is due; a thing stands in the queue at most once.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from .backoff import Policy


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw: something new, or the end; `retry_after` is how long the server wants to be left alone."""

    changed: bool = False
    ended: bool = False
    retry_after: float | None = None


Fetch = Callable[[], Awaitable[Look]]
# From the present (monotonic seconds) and the usual interval to the seconds until the next look is worth it.
Pace = Callable[[float, float], float]


@dataclass(slots=True, eq=False)
class Item:
    """One thing that is looked at. Times are monotonic seconds."""

    key: str
    fetch: Fetch
    policy: Policy
    in_focus: Policy  # which it has while somebody looks at it
    pace: Pace | None
    once: bool
    due: float = 0.0
    looked: float = -math.inf
    unchanged: int = -1  # what is seen first is no sign that nothing changes
    focused: bool = False
    flying: bool = False
    again: bool = False  # asked for while it was in flight
    removed: bool = False
    load: float = 0.0  # looks a second it would have without regard to the budget
    order: int = 0  # in which things came
    ticket: int = 0  # only its newest place in the queue counts

    @property
    def ruling(self) -> Policy:
        """The policy that goes now."""
        return self.in_focus if self.focused else self.policy


class Queue:
    """All things by their key, and those that wait by when they are due."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._tickets = itertools.count(1)

    def items(self) -> Iterable[Item]:
        """All of them, as they came."""
        return self._items.values()

    def get(self, key: str) -> Item | None:
        return self._items.get(key)

    def add(self, item: Item) -> None:
        """One more; it waits for nothing yet."""
        item.order = next(self._tickets)
        self._items[item.key] = item

    def remove(self, key: str) -> Item | None:
        """One less; None where there was none."""
        item = self._items.pop(key, None)
        if item is not None:
            item.removed = True
        return item

    def put(self, item: Item, due: float) -> None:
        """From now on it waits until then, wherever it stood before."""
        item.due = due
        item.ticket = next(self._tickets)
        heapq.heappush(self._heap, (due, item.ticket, item.key))
        if len(self._heap) > 4 * len(self._items) + 64:
            self._heap = [place for place in self._heap if self._stands(place)]
            heapq.heapify(self._heap)

    def take(self, item: Item) -> None:
        """It waits no more."""
        item.ticket = 0

    def top(self) -> Item | None:
        """What is due first of all that wait."""
        while self._heap and not self._stands(self._heap[0]):
            heapq.heappop(self._heap)
        return self._items[self._heap[0][2]] if self._heap else None

    def _stands(self, place: tuple[float, int, str]) -> bool:
        item = self._items.get(place[2])
        return item is not None and item.ticket == place[1]
