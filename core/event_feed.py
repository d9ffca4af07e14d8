"""Reads the events of one update from the API, page by page, so that none is lost or doubled: newest first, then on.

Only asks and hands on; never sleeps, never retries. After any failure the next call goes on where this one stood.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .event_json import iso_text, microseconds
from .event_log import EventLog
from .flow_fold import FlowFold

Request = Callable[..., Awaitable[dict[str, Any]]]

PAGE_SIZE = 1000  # the most the API gives
PAGES = 8  # of one fetch
READ_ALL = 64  # of one update that is looked back on
# Events appear late, and several share a timestamp, so every look overlaps what was read before: a little each time,
# and far at times, and when the update has ended. By count too: one clock that runs ahead must not move the cursor.
NEAR = (60_000_000, 50)  # microseconds, events
FAR = (600_000_000, 400)
FAR_EVERY = 8
AT_ONCE = 250  # events that are taken in without a break: a few milliseconds
LAST_LOOKS = 4  # at an update that has ended without its last event
DOUBTS = 2
_NAME = re.compile(r"[\w.:-]{1,200}\Z")


@dataclass(slots=True)
class _Chain:
    """Pages that belong together. `at`: how far it has come, in epoch microseconds; None: from the end it begins at."""

    back: bool
    at: int | None = None
    token: str = ""
    far: bool = False
    doubts: int = 0  # times that it ended without a word where there had to be one


class EventFeed:
    """The events of one update, into a log and a fold. One call at a time; others wait for their turn."""

    def __init__(
        self,
        request: Request,
        pipeline_id: str,
        update_id: str,
        *,
        log: EventLog,
        fold: FlowFold | None = None,
        page_size: int = PAGE_SIZE,
        pages: int = PAGES,
    ) -> None:
        """`request` is `Workspace.request`. Raises ValueError for ids that could not stand in a filter."""
        if not _NAME.match(pipeline_id) or not _NAME.match(update_id):
            raise ValueError(f"not an id: {pipeline_id[:80]!r} {update_id[:80]!r}")
        self._request = request
        self._path = f"/api/2.0/pipelines/{pipeline_id}/events"
        self._update_id = update_id
        self._log = log
        self._fold = fold if fold is not None else FlowFold()
        self._page_size = page_size
        self._pages = pages
        self._turn = asyncio.Lock()
        self._older: _Chain | None = _Chain(back=True)
        self._newer: _Chain | None = None
        self._asked = False  # whether the API has answered at all
        self._looks = 0
        self._ended = False
        self._alive = False  # whether the update was read while it went on, so that late events may follow its end
        self._far_looks = 0  # since it has ended

    @property
    def complete(self) -> bool:
        """Whether all that the API has was read, back to the first event. Of an update that was followed to its end,
        two looks after it have to agree, and more where its last event has not been seen."""
        if not self._asked or self._newer is not None or (self._older is not None and len(self._log)):
            return False
        if not (self._ended or self._fold.ended):
            return True
        wanted = (2 if self._alive else 0) if self._fold.ended else LAST_LOOKS
        return self._far_looks >= wanted

    @property
    def has_older(self) -> bool:
        """Whether there are older events that have not been read."""
        return self._older is not None and len(self._log) > 0

    async def fetch(self, *, ended: bool = False) -> int:
        """Read what is new, then go on reading back; gives how many events were new. Raises what `request` raises.

        The first look at an update begins with its newest events. About `pages` pages are read: while `complete` is
        false there is more. `ended`: the update is known to have ended; its last events may still be to come.
        """
        async with self._turn:
            self._ended = self._ended or ended or self._fold.ended
            before, left = len(self._log), self._pages
            if before or (self._ended and self._asked):
                if self._newer is None:
                    self._newer = self._next_chain()
                left -= await self._read(self._newer, left)
            if self._older is not None:
                # One page of the past each time, however much is new.
                await self._read(self._older, max(1, left))
            self._alive = self._alive or not (self._ended or self._fold.ended)
            return len(self._log) - before

    async def read_all(self, *, pages: int = READ_ALL) -> bool:
        """Read an update that is looked back on, at most about `pages` pages; whether that was all of it. Raises what
        `request` raises."""
        await self.fetch()
        await self.load_older(pages - self._pages)
        return not self.has_older

    async def load_older(self, pages: int = 1) -> int:
        """Read up to `pages` pages of older events; gives how many were new. Raises what `request` raises."""
        async with self._turn:
            before = len(self._log)
            if self._older is not None:
                await self._read(self._older, pages)
            return len(self._log) - before

    # --- chains ------------------------------------------------------------------------------------------------------

    def _next_chain(self) -> _Chain:
        """What is new, with an overlap that is far at times."""
        self._looks += 1
        far = self._ended or self._looks % FAR_EVERY == 0
        span, count = FAR if far else NEAR
        known, floor = len(self._log), self._older.at if self._older is not None else None
        if known <= count:
            # What is older than the floor is read by the other chain.
            return _Chain(back=False, at=floor, far=far and floor is None)
        rows = self._log.snapshot().rows
        at = min(self._log.time(rows[known - 1]) - span, self._log.time(rows[known - count]))
        return _Chain(back=False, at=at if floor is None else max(at, floor), far=far and floor is None)

    async def _read(self, chain: _Chain, pages: int) -> int:
        """Read pages of a chain until it ends, or `pages` have been asked for; gives how many."""
        for asked in range(1, pages + 1):
            if await self._page(chain):
                return asked
        return pages

    async def _page(self, chain: _Chain) -> bool:
        """Ask for one page of a chain, and take it; True where there is nothing to be asked for now."""
        token = chain.token
        try:
            answer = await self._request("GET", self._path, self._query(chain))
        except Exception as error:
            # The token may not outlive what happened; a filter from the place that was reached does.
            chain.token = ""
            if token and not getattr(error, "unmeasured", True):
                return False
            raise
        found = answer.get("events")
        events = [raw for raw in found if isinstance(raw, dict)] if isinstance(found, list) else []
        mine = [raw for raw in events if self._is_mine(raw)]
        for first in range(0, len(mine), AT_ONCE):
            # Whoever draws has a turn in between. A page that is left half taken is read again as a whole.
            await asyncio.sleep(0)
            self._fold.take(self._log.take(mine[first : first + AT_ONCE]))
        self._advance(chain, events)
        following = answer.get("next_page_token")
        chain.token = following if isinstance(following, str) and following != token else ""
        if chain.token:
            return False
        odd = bool(following) or (not events and bool(answer))
        return self._end(chain, odd=odd, nothing=not events, known=bool(token) or len(self._log) > 0)

    def _end(self, chain: _Chain, *, odd: bool, nothing: bool, known: bool) -> bool:
        """The chain says that nothing follows; True where that is to be left at for now.

        It is asked again from the place it reached where that place itself should have been in the answer: pages that
        end in an empty one, and answers that are none, look alike.
        """
        if (odd or (nothing and known)) and chain.doubts < DOUBTS:
            chain.doubts += 1
            return odd
        self._asked = True
        if chain.back:
            if len(self._log):
                self._older = None
        else:
            self._newer = None
            if chain.far and self._ended:
                self._far_looks += 1
        return True

    def _query(self, chain: _Chain) -> dict[str, Any]:
        query: dict[str, Any] = {"max_results": self._page_size}
        if chain.token:
            # The API takes a token or a filter with an order, never both.
            return {**query, "page_token": chain.token}
        tests = [f"update_id = '{self._update_id}'"]
        if chain.at is not None:
            bound = -(-chain.at // 1000) * 1000 if chain.back else chain.at // 1000 * 1000
            tests.append(f"timestamp {'<=' if chain.back else '>='} '{iso_text(bound)}'")
        order = "timestamp desc" if chain.back else "timestamp asc"
        return {**query, "filter": " AND ".join(tests), "order_by": order}

    def _is_mine(self, raw: Mapping[str, Any]) -> bool:
        origin = raw.get("origin")
        return not isinstance(origin, dict) or origin.get("update_id") in (self._update_id, None, "")

    def _advance(self, chain: _Chain, events: list[dict[str, Any]]) -> None:
        """Remember how far the chain has come: short of the last events of the page, in case one is out of order."""
        times = sorted(at for raw in events if (at := microseconds(raw.get("timestamp"))) > 0)
        if not times:
            return
        short = len(times) // 8
        if chain.back:
            chain.at = times[short] if chain.at is None else min(chain.at, times[short])
        else:
            chain.at = times[-1 - short] if chain.at is None else max(chain.at, times[-1 - short])
