"""Holds the one State and tells whoever watches: the single writer of what every face shows.

Never does I/O. Subscribers are called on the event loop, in order; one that raises does not silence the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .events import EngineEvent
from .state import State

Subscriber = Callable[[State, EngineEvent | None], None]

_log = logging.getLogger(__name__)


class Store:
    """`set` replaces fields of the state, `emit` says that something happened; both reach every subscriber."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(state, event or None)` from now on; the returned function ends it."""
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    def set(self, **changes: Any) -> None:
        """Replace fields of the state. Nothing is told where nothing differs."""
        after = replace(self.state, **changes)
        if after == self.state:
            return
        self.state = after
        self._tell(None)

    def emit(self, event: EngineEvent) -> None:
        """Tell every subscriber what happened."""
        self._tell(event)

    def _tell(self, event: EngineEvent | None) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(self.state, event)
            except Exception:
                _log.exception("a subscriber failed")
