"""What the lines around the panes say: header, strip of the loop, status, countdown, and the keys at the foot.

Never draws and never acts; it reads the console and gives lines for a width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..widgets.spans import Span, Spans
from ..widgets.strips import header_line, loop_line, many_requests, status_line
from .actions import Action, first_key, offered
from .layout import POLL_WIDE

if TYPE_CHECKING:
    from .app import ConsoleApp


class Chrome:
    """The makers of the bars' lines, and which action stands where at the foot."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self._hits: list[tuple[int, int, str]] = []

    def header(self, width: int) -> list[Spans]:
        return [header_line(self._app.state, width, self._app.glyphs, self._app.monotonic())]

    def loop(self, width: int) -> list[Spans]:
        return [loop_line(self._app.state, width, self._app.glyphs)]

    def status(self, width: int) -> list[Spans]:
        app = self._app
        return [status_line(app.state, width, app.glyphs, notice=app.notice, now_ms=app.now_ms)]

    def poll(self, width: int) -> list[Spans]:
        """The time to the next poll, at the right end; where there is room, the requests of the last minute too."""
        state = self._app.state
        spent, allowed = state.requests
        words = ""
        if state.next_poll_at is not None and self._app.clock_on:
            seconds = math.ceil(state.next_poll_at - self._app.monotonic())
            if seconds > 20:
                seconds = -(-seconds // 5) * 5  # far off it ticks seldom, so that little is written
            words = f"poll in {seconds} s " if seconds > 0 else "polling "
        if allowed and width >= POLL_WIDE:
            role = "warn" if many_requests(state) else "faint"
            requests = f"{spent}/{allowed} req/min  "
            return [((" " * (width - len(requests) - len(words)), ""), (requests, role), (words, "faint"))]
        return [((f"{words:>{width}}", "faint"),)] if words else [()]

    def footer(self, width: int) -> list[Spans]:
        """The keys that make sense now. Help and quit are always there; what does not fit goes from the middle."""
        entries = offered(self._app.scene(), self._app.actions)
        keep = [action for action in entries if action.foot <= 15]
        room = width - sum(_size(action) for action in keep) - 1
        shown: list[Action] = []
        for action in entries:
            if action in keep:
                shown.append(action)
            elif _size(action) <= room:
                shown.append(action)
                room -= _size(action)
            else:
                room = 0
        line: list[Span] = [(" ", "")]
        used = 1
        self._hits = []
        for action in shown:
            self._hits.append((used, used + _size(action) - 2, action.id))
            line += [(first_key(action), "accent+b"), (f" {action.label}  ", "muted")]
            used += _size(action)
        return [tuple(line)]

    def action_at(self, x: int) -> str:
        """The id of the action whose key stands at cell `x` of the foot; empty where none does."""
        return next((name for first, last, name in self._hits if first <= x < last), "")


def _size(action: Action) -> int:
    return len(first_key(action)) + len(action.label) + 3
