"""The engine: one for the console, `heal`, `watch` and the tests. It comes to life, sees edits, heals, and ends.

Never formats for a screen and never goes round the guard; what goes wrong is told in the State or as an event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .databricks_cli import find_cli
from .engine_acts import ActingAlone
from .events import EngineEvent, SourceChangedEvent
from .guard import Refused
from .loop_model import AutoChanged
from .patches import PatchRefused
from .report import to_markdown
from .state import State
from .store import Subscriber
from .syncrules import SyncRules
from .watcher import SourceWatcher
from .workspace import WorkspaceError

LoginProgram = Callable[[Sequence[str], Mapping[str, str]], Awaitable[None]]


class Engine(ActingAlone):
    """Made at once and without I/O; `start` brings it to life, `close` ends it without touching what runs remotely."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """As `Parts`."""
        super().__init__(*args, **more)
        self._watcher: SourceWatcher | None = None
        self._poller_task: asyncio.Task[object] | None = None
        self._closed = False
        self._redeploying = asyncio.Lock()
        self._redeploy_waits = False
        self.login_program: LoginProgram | None = None  # runs `databricks auth login` in the terminal
        self.first_wish: Callable[[], Awaitable[None]] | None = None  # done once it is known who acts where

    # --- faces -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.world.state

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(state, event or None)` on the event loop from now on; the returned function ends it."""
        return self.world.store.subscribe(subscriber)

    async def start(self, *, look: bool = True) -> None:
        """Journal, identity, watcher, CLI, workspace: each as soon as it can, none in the way of another.

        Without `look` nothing is asked of CLI or workspace yet: for commands that go about it in their own order.
        """
        world = self.world
        await self.keeping.open()
        self.subscribe(self._keep)
        if world.config.watch:
            await self._watch_sources()
        self._poller_task = world.spawn(world.poller.run(), "poller")
        await self.identifying.decide()
        await self.cleaning.look()
        if look:
            world.spawn(self._first_look(), "first look")

    async def _first_look(self) -> None:
        world = self.world
        self.jobs.on_shown = self.updates.on_shown = self.explain_shown
        if await self.truth.version():
            await self.truth.ask()
        await self.identify()
        focus = world.state.focus
        if focus:
            await self._focus(focus)
        await self.overview.begin()
        wish, self.first_wish = self.first_wish, None
        if wish is not None:
            await self._alone(wish())

    async def identify(self) -> bool:
        """Find out who acts where; whether that is known now. What stands in the way is in the State."""
        try:
            await self.identifying.resolve()
        except Refused:
            return False
        except WorkspaceError as error:
            self.reach.bad(error)
            if not error.unmeasured:
                self.world.problem(f"workspace.{error.kind}", error.message)
            return False
        self.reach.good()
        return True

    async def close(self) -> None:
        """Leave: what is in flight is brought to its end and written down; runs at the workspace go on."""
        if self._closed:
            return
        self._closed = True
        world = self.world
        await world.poller.close()
        if self._watcher is not None:
            await self._watcher.close()
        while world.state.busy and world.tasks:
            await asyncio.wait(tuple(world.tasks), return_when=asyncio.FIRST_COMPLETED)
        await world.stop()
        await self.identifying.close()
        await self.keeping.close()

    async def idle(self) -> None:
        """Wait until nothing is under way but the polling of what is watched. For tests."""
        while True:
            await self.world.poller.idle()
            others = [t for t in self.world.tasks if t is not self._poller_task and t.get_name() not in _FOR_EVER]
            if not others:
                return
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)

    # --- what comes by itself ----------------------------------------------------------------------------------------

    def _keep(self, state: State, event: EngineEvent | None) -> None:
        if event is not None:
            self.keeping.note(event)

    async def _watch_sources(self) -> None:
        world = self.world
        self._watcher = SourceWatcher(
            world.root, SyncRules.of(world.bundle), world.config.quiet_seconds, clock=world.clock
        )
        await self._watcher.start()
        if self._watcher.note:
            world.problem("watcher", self._watcher.note)
        world.spawn(self._edits(self._watcher), "watcher")

    async def _edits(self, watcher: SourceWatcher) -> None:
        async for change in watcher:
            await self.edited(change.files)
            await watcher.follow(SyncRules.of(self.world.bundle))

    async def edited(self, files: tuple[str, ...]) -> None:
        """The source has changed: show it, tell the loop, and where that is wished for, deploy by itself."""
        world = self.world
        bundle = await self.truth.reread()
        pending = tuple(dict.fromkeys((*world.state.pending_files, *files)))
        world.store.set(pending_files=pending, edits=world.state.edits + 1)
        world.emit(SourceChangedEvent(files))
        if any(name in bundle.files or name.endswith((".yml", ".yaml")) for name in files) and not bundle.broken:
            world.spawn(self.truth.ask(), "validate")
        if self.runner.running:
            await self.acts.person_edited(files)
            self.runner.publish()
        elif world.state.auto and not bundle.broken:
            world.spawn(self._deploy_by_itself(), "deploy")

    async def _deploy_by_itself(self) -> None:
        if self._redeploy_waits:
            return  # the one that waits takes along what has been edited until it begins
        self._redeploy_waits = True
        async with self._redeploying:
            self._redeploy_waits = False
            try:
                await self._deploy_alone(confirmed="", automatic=True)
            except Refused as refused:
                self.world.hold(f"not deployed by itself: {refused.reason}")

    # --- fixes and what they teach -----------------------------------------------------------------------------------

    async def apply_fix(self, index: int, *, confirmed: str = "") -> None:
        """Apply `state.fixes[index]`: a patch is written; a run of another resource is started."""
        fixes = self.world.state.fixes
        if not 0 <= index < len(fixes):
            raise Refused("there is no such fix")
        fix = fixes[index]
        if fix.patch is None and fix.starts_a_run:
            resource = self.world.resource(fix.resource_key or "")
            if resource is not None:
                await self.run(resource.ref, confirmed=confirmed)
                return
        try:
            record = await self.fixing.apply_fix(fix, self.runner.state.iteration, confirmed=confirmed)
        except PatchRefused as refused:
            raise Refused(str(refused)) from refused
        if self.runner.running:
            self.runner.note_fix(record)
        if self._watcher is None:
            await self.edited(record.files)

    async def undo_fix(self, *, confirmed: str = "") -> None:
        try:
            files = await self.fixing.undo_fix(confirmed=confirmed)
        except PatchRefused as refused:
            raise Refused(str(refused)) from refused
        if self._watcher is None:
            await self.edited(files)

    async def check(self, index: int, warehouse_id: str, *, confirmed: str = "") -> None:
        """Run the check query of `state.diagnoses[index]`."""
        await self._measured(self.querying.check(index, warehouse_id, confirmed=confirmed))

    async def learn(self) -> None:
        """Write what was learned from the last loop as a row of the bundle's own matrix."""
        await self.keeping.learn()

    async def heal(
        self, refs: Sequence[str], *, confirmed: str = "", max_iterations: int = 0, deploy_first: bool = True
    ) -> None:
        """Start the loop on these resources; one that an earlier process left on the same ones is taken up."""
        world = self.world
        if world.state.identity.resolved:
            self._refuse_early("deploy", confirmed)
        elif world.guard.read_only:
            raise Refused("read-only: no loop", flag="start without --read-only")
        left = await self.keeping.unfinished()
        auto = world.state.auto or self.acts.headless
        if left is not None and {goal.get("ref") for goal in left.state.get("goals", ())} == set(refs):
            with contextlib.suppress(ValueError):
                await self.runner.resume(left, auto=auto, confirmed=confirmed)
                return
        if left is not None:
            await self.keeping.abandon(left)
        rounds = max_iterations or world.config.max_iterations
        await self.runner.begin(
            tuple(refs), deploy_first=deploy_first, max_iterations=rounds, auto=auto, confirmed=confirmed
        )

    async def set_auto(self, auto: bool) -> None:
        """Redeploy by itself when the source is edited, or not. Raises Refused on a production target."""
        world = self.world
        if auto and world.guard.production() and not world.config.auto_in_production:
            target = world.state.identity.target
            raise Refused(f"{target} is a production target: no redeploys by itself", flag="auto_in_production")
        world.store.set(auto=auto)
        await self.runner.feed(AutoChanged(auto))
        self.runner.publish()

    # --- place -------------------------------------------------------------------------------------------------------

    async def login(self, profile: str = "") -> None:
        """Sign in again; with `profile`, act as that one from now on."""
        world = self.world
        if profile and profile != world.profile:
            await self.switch(world.bundle.target, profile)
            return
        identity = world.state.identity
        words = ["auth", "login", *(["--host", identity.host] if identity.host else [])]
        words += ["--profile", identity.profile] if identity.profile else []
        if self.login_program is not None:
            await self.login_program([find_cli(world.env), *words], world.cli.env)
        else:
            world.problem("signed_out", "sign in and press `i` again", "databricks " + " ".join(words))
        world.store.set(signed_out=False)
        await self.identifying.close()
        if await self.identify():
            world.poller.resume("signed out")
            world.poller.now()

    async def switch(self, target: str, profile: str = "") -> None:
        """Act on another target, or as another profile. What was deployed at the old place is asked about first."""
        if self.runner.running:
            raise Refused("a loop is under way: it has to end first", exit_code=4)
        await self.cleaning.switch(target, profile)
        self.diagnosing.forget()
        await self.keeping.reopen()
        await self.cleaning.look()
        self.world.spawn(self._first_look(), "first look")

    async def clean_up(self, *, confirmed: str) -> None:
        """Destroy what was deployed at the place before, after its name was typed."""
        await self.cleaning.clean_up(confirmed=confirmed)

    async def keep_deployed(self) -> None:
        """Leave what was deployed at the place before, and go on."""
        await self.cleaning.keep()

    async def arm(self) -> None:
        """Allow changes for a while in a console that was started read-only."""
        arming = self.world.arming
        if arming is None:
            raise Refused("this console was not started to be armed", flag="arm_seconds in the config")
        arming.arm()
        self.world.store.set(armed_until=self.world.clock.monotonic() + arming.seconds)

    async def report(self) -> None:
        """Put the report of this loop, or of the last one that escalated, into `state.report_markdown`."""
        record = self.runner.record or await self.keeping.last_record()
        text = to_markdown(record) if record is not None else "There is no loop to report on yet."
        self.world.store.set(report_markdown=text)


_FOR_EVER = frozenset({"poller", "watcher", "reachability", "overview"})
