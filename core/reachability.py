"""Whether the workspace answers and takes our sign-in: what is stale since when, and when it is tried again.

Never treats silence as a failure of a run, and asks no more often than the quiet rate while nothing answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from .identity import flag, sign_in
from .state import Stale
from .workspace import WorkspaceError
from .world import World

FIRST, LONGEST = 5.0, 60.0  # seconds between two tries


class Reachability:
    """`good()` after each answer, `bad(error)` after each call that could not be measured."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._probe: asyncio.Task[object] | None = None
        self._last_good_ms = 0
        self.on_away: list[Callable[[str, bool], None]] = []  # (reason, signed out)
        self.on_back: list[Callable[[], None]] = []
        self.away = ""  # why nothing can be measured, in one sentence

    def good(self) -> None:
        """The workspace answered."""
        world = self._world
        self._last_good_ms = world.clock.now_ms()
        if not self.away:
            return
        self.away = ""
        world.store.set(stale=None, signed_out=False)
        world.poller.resume("signed out")
        for told in tuple(self.on_back):
            told()

    def bad(self, error: WorkspaceError) -> None:
        """A call was not answered, or not with what it should be. An error of the request itself changes nothing."""
        if not error.unmeasured:
            return
        world = self._world
        signed_out = error.kind == "signed_out"
        since = self._last_good_ms or world.clock.now_ms()
        first = not self.away or (signed_out and not world.state.signed_out)
        self.away = error.message
        world.store.set(stale=Stale(since, error.message), signed_out=signed_out or world.state.signed_out)
        if signed_out:
            world.poller.pause("signed out")
        if self._probe is None or self._probe.done():
            self._probe = world.spawn(self._try_again(error.retry_after), "reachability")
        if first:
            fix = sign_in(world.state.identity) if signed_out else ""
            world.problem(f"workspace.{error.kind}", error.message, fix, retryable=True)
            for told in tuple(self.on_away):
                told(error.message, signed_out)

    async def ask(self) -> bool:
        """One question to the workspace; whether it answered."""
        world = self._world
        try:
            user = await world.open_workspace().me()
        except WorkspaceError as error:
            if not error.unmeasured:
                self.good()
                return True
            self.bad(error)
            return False
        self._same_user(user)
        self.good()
        return True

    def _same_user(self, user: str) -> None:
        """Somebody may have signed in again, elsewhere and as another one: then nothing is changed any more."""
        world, held = self._world, self._world.state.identity
        if held.user and user and held.user.casefold() != user.casefold() and not held.problem:
            problem = f"signed in as {user} now, and not as {held.user} any more"
            world.store.set(identity=replace(held, problem=problem))
            world.problem("identity", problem, flag(world.state.identity))

    async def _try_again(self, hint: float | None) -> None:
        wait = FIRST
        while self.away:
            await self._world.clock.sleep(min(300.0, max(wait, hint or 0.0)))
            hint = None
            if not self.away or await self.ask():
                return
            wait = min(LONGEST, wait * 2)
