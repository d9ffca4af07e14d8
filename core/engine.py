"""The engine: one for the console, `heal`, `watch` and the tests. Puts the parts together and takes intents.

Never formats for a screen and never goes round the guard; what goes wrong is told in the State or as an event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from .acting import Acting, Begun
from .backoff import FOCUSED, JOB
from .budget import Budget
from .bundle import Bundle
from .cleaning import Cleaning
from .clock import Clock, SystemClock
from .config import Config
from .databricks_cli import DatabricksCli
from .diagnosing import Diagnosing
from .events import EngineEvent, RunStartedEvent, SourceChangedEvent
from .fixing import Fixing
from .guard import Arming, Guard, NoJournal, Refused
from .identifying import Identifying
from .job_runs import JobRuns
from .journal_keeping import JournalKeeping
from .looking_up import Lookup
from .loop import DEPLOY_REF, DeployAsked
from .loop_acts import LoopActs
from .loop_runner import LoopRunner
from .overview import Overview
from .patches import PatchRefused
from .pipeline_updates import PipelineUpdates
from .pipelines import Update
from .poller import Poller
from .querying import Querying
from .reachability import Reachability
from .redaction import Redactor
from .runs import Run
from .stages import Stage
from .state import State
from .store import Store, Subscriber
from .syncrules import SyncRules
from .truth import Truth
from .verifying import Verifying
from .watcher import SourceWatcher
from .watchlist import Watchlist
from .workspace import WorkspaceError
from .world import World

LoginProgram = Callable[[Sequence[str], Mapping[str, str]], Awaitable[None]]


class Engine:
    """Made at once and without I/O; `start` brings it to life, `close` ends it without touching what runs remotely."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        env: Mapping[str, str],
        config: Config | None = None,
        target: str = "",
        profile: str = "",
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        state_dir: Path | None = None,
        journal: bool = True,
    ) -> None:
        """`bundle` as its YAML says it. `state_dir`: where the journal goes; `journal=False` for what only watches."""
        config, clock, redactor = config or Config(), clock or SystemClock(), redactor or Redactor()
        store = Store(State(bundle=bundle, read_only=config.read_only, auto=config.auto, watching=config.watch))
        arming = Arming(config.arm_seconds, clock.monotonic) if config.arm_seconds and not config.read_only else None
        store.set(armed_until=0.0 if arming is not None else None)
        guard = Guard(
            lambda: store.state.identity,
            config.policy,
            NoJournal("it is not open yet"),
            armed=arming,
            clock=clock.monotonic,
        )
        cli = DatabricksCli(bundle.root, env=env, guard=guard, target=bundle.target, redactor=redactor)
        budget = Budget(config.request_budget_per_minute, clock)
        focused = FOCUSED.beginning(config.poll_focused_seconds)
        poller = Poller(clock, on_error=self._poll_failed, budget=budget, focused=focused)
        self.world = world = World(
            bundle.root, env, config, clock, redactor, store, guard, cli, budget, poller, target, profile, arming
        )
        self.reach = reach = Reachability(world)
        self.identifying, self.truth, self.lookup = Identifying(world), Truth(world), Lookup(world)
        self.acting = Acting(world, self.lookup)
        job = JOB.capped(config.poll_job_seconds)
        watchlist = Watchlist(poller, _Source(world), on_run=self._on_run, on_new_run=self._on_new_run, job=job)
        self.jobs, self.updates = JobRuns(world, reach, watchlist), PipelineUpdates(world, reach)
        self.overview = Overview(world, reach, watchlist, self.jobs, self.updates)
        self.diagnosing = Diagnosing(world, self.jobs, self.updates)
        self.fixing = Fixing(world, self.diagnosing)
        self.verifying = Verifying(world, self.jobs, self.updates)
        self.querying, self.cleaning = Querying(world), Cleaning(world, self.acting, self.identifying, self.truth)
        self.keeping = JournalKeeping(world, state_dir, wanted=journal)
        self.runner = LoopRunner(world, reach)
        self.acts = self.runner.acts = LoopActs(
            world,
            self.runner,
            reach=reach,
            identifying=self.identifying,
            truth=self.truth,
            acting=self.acting,
            lookup=self.lookup,
            jobs=self.jobs,
            updates=self.updates,
            diagnosing=self.diagnosing,
            fixing=self.fixing,
            verifying=self.verifying,
        )
        self._watcher: SourceWatcher | None = None
        self._poller_task: asyncio.Task[object] | None = None
        self._closed = False
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

    def _poll_failed(self, key: str, error: Exception) -> None:
        if isinstance(error, WorkspaceError):
            self.reach.bad(error)
            if not error.unmeasured:
                self.world.problem(f"workspace.{error.kind}", error.message)
        else:
            self.world.problem("internal", self.world.redactor.redact(f"{key}: {type(error).__name__}: {error}"))

    def _on_run(self, ref: str, run: Run) -> None:
        self.jobs.on_run(ref, run)
        self._count_requests()

    def _on_new_run(self, ref: str, run: Run) -> None:
        self.overview.new_run(ref, run)

    def _count_requests(self) -> None:
        world = self.world
        world.store.set(
            requests=(world.budget.spent(), world.config.request_budget_per_minute), next_poll_at=world.poller.next_at()
        )

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
        world.store.set(pending_files=pending)
        world.emit(SourceChangedEvent(files))
        if any(name in bundle.files or name.endswith((".yml", ".yaml")) for name in files) and not bundle.broken:
            world.spawn(self.truth.ask(), "validate")
        if self.runner.running:
            await self.acts.person_edited(files)
            self.runner.publish()
        elif world.state.auto and not bundle.broken:
            world.spawn(self._deploy_by_itself(), "deploy")

    async def _deploy_by_itself(self) -> None:
        try:
            await self._deploy_alone(confirmed="", automatic=True)
        except Refused as refused:
            self.world.hold(f"not deployed by itself: {refused.reason}")

    # --- looking -----------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Poll now."""
        if self.reach.away:
            await self.reach.ask()
        self.world.poller.now()
        self._count_requests()

    async def touch(self) -> None:
        """A key was pressed: look sooner."""
        self.world.poller.touch()
        self._count_requests()

    async def away(self, away: bool) -> None:
        """The terminal lost the focus, or has it again: with nothing to wait for, nothing is asked meanwhile."""
        poller = self.world.poller
        if away and not self.runner.running and not self.jobs.waited_for and not self.updates.waited_for:
            poller.pause("the terminal is not in use")
        elif not away:
            poller.resume("the terminal is not in use")

    async def focus(self, ref: str) -> None:
        """Follow this resource: its run or update fills the State."""
        self.world.store.set(focus=ref)
        if self.world.workspace is not None and self.world.state.identity.user:
            await self._measured(self._focus(ref))

    async def _focus(self, ref: str) -> None:
        if ref.startswith("pipelines."):
            self.jobs.blur()
            await self.updates.focus(ref)
        else:
            self.updates.blur()
            await self.jobs.focus(ref)
        self._count_requests()

    async def expand(self, task_run_id: str) -> None:
        """Load the nested run of a `run_job` task, the (next) iterations of a `for_each`, or a pipeline's update."""
        run_id, _, more = task_run_id.partition("/")
        task = self.jobs.task(run_id)
        if task is None:
            return
        if task.for_each is not None:
            await self._measured(self.jobs.load_iterations(task, more=bool(more)))
        elif task.pipeline_id:
            await self._measured(self.updates.update_of_task(task))
        else:
            await self._measured(self.jobs.load_child(task))

    async def load_output(self, task_run_id: str) -> None:
        task = self.jobs.task(task_run_id)
        if task is not None and task.start_ms:
            load = self.jobs.load_so_far if task.state.active else self.jobs.load_output
            await self._measured(load(task))

    async def load_history(self, ref: str) -> None:
        """Past runs with their tasks, or past updates."""
        loader = self.updates.load_history if ref.startswith("pipelines.") else self.jobs.load_history
        await self._measured(loader(ref))

    async def load_warehouses(self) -> None:
        await self._measured(self.querying.load_warehouses())

    async def _measured(self, work: Awaitable[object]) -> None:
        """Reads for a person: what does not answer is said, and what is on show stays."""
        try:
            await work
        except WorkspaceError as error:
            self.reach.bad(error)
            if not error.unmeasured:
                self.world.problem(f"workspace.{error.kind}", error.message)

    async def validate(self) -> None:
        self.world.spawn(self._told(self.truth.ask(tell=True), "bundle validate"), "validate")

    async def plan(self) -> None:
        self.world.spawn(self._told(self.world.cli.plan(self.world.cli_line), "bundle plan"), "plan")

    async def _told(self, work: Awaitable[object], what: str) -> None:
        from .cli_words import CliProblem

        world = self.world
        world.store.set(busy=what)
        try:
            found = await work
        except CliProblem as problem:
            world.cli_line("err", problem.summary)
            return
        finally:
            world.store.set(busy="")
        if isinstance(found, tuple) and found[1] is not None:
            for line in plan_lines(found[1]):
                world.cli_line("out", line)

    # --- acting: alone, or on behalf of the loop ---------------------------------------------------------------------

    async def deploy(self, *, confirmed: str = "") -> None:
        """Deploy: of a loop that waits for an edit this is the next round, else the deploy alone."""
        if self.runner.running:
            if self.runner.state.stage is not Stage.FIX:
                raise Refused("the loop is under way: it deploys when it waits for an edit", exit_code=4)
            self._ask(confirmed)
            self.acts.stage_left()
            await self.runner.feed(DeployAsked())
            return
        self._refuse_early("deploy", confirmed)
        self.world.spawn(self._alone(self._deploy_alone(confirmed=confirmed, automatic=False)), "deploy")

    def _ask(self, confirmed: str) -> None:
        if confirmed:
            self.runner.confirmed = confirmed
        self._refuse_early("deploy", confirmed or self.runner.confirmed)

    def _refuse_early(self, kind: str, confirmed: str, key: str = "") -> None:
        """Say no at once where the guard will, so that the face that asks can say why. Raises Refused."""
        world = self.world
        if world.state.cleanup and kind in ("deploy", "run", "update"):
            raise Refused(world.state.cleanup)
        guard = world.guard
        act = guard.act(kind, key or world.bundle.name)  # type: ignore[arg-type]
        reason = guard.refusal(act)
        word = guard.confirm_word(act)
        if reason:
            raise Refused(reason)
        if word and confirmed != word:
            raise Refused(f"type {word!r} to confirm", flag=f"--confirm {word}")

    async def _alone(self, work: Awaitable[object]) -> None:
        try:
            await work
        except Refused as refused:
            self.world.problem("refused", f"not done: {refused.reason}", refused.flag)
        except WorkspaceError as error:
            self.reach.bad(error)
            self.world.problem(f"workspace.{error.kind}", error.message)

    async def _deploy_alone(self, *, confirmed: str, automatic: bool) -> None:
        await self.identifying.confirm()
        deployed = await self.acting.deploy(confirmed=confirmed, automatic=automatic)
        if deployed.outcome == "ok":
            self.diagnosing.forget((DEPLOY_REF,))
            await self.truth.ask()
            await self.overview.begin()
        elif deployed.outcome == "failed":
            self.diagnosing.deploy_text = deployed.text
            await self.diagnosing.of(DEPLOY_REF)
        else:
            self.world.problem("deploy.blocked", f"the deploy was {deployed.outcome}: {deployed.reason}")

    async def run(
        self, ref: str, params: Mapping[str, str] | None = None, only: Sequence[str] = (), *, confirmed: str = ""
    ) -> None:
        """Start a run of a job, by itself and outside of any loop."""
        self._refuse_early("run", confirmed, ref)
        self.world.spawn(self._alone(self._run_alone(ref, params, only, confirmed)), "run")

    async def _run_alone(self, ref: str, params: Mapping[str, str] | None, only: Sequence[str], confirmed: str) -> None:
        resource = self.world.resource(ref)
        if resource is None:
            raise Refused(f"there is no {ref}")
        await self.identifying.confirm()
        begun = await self.acting.start(resource, params=params, only=only, confirmed=confirmed)
        await self._begun(ref, begun)

    async def start_update(
        self,
        ref: str,
        refresh: Sequence[str] = (),
        full_refresh: Sequence[str] = (),
        full: bool = False,
        validate_only: bool = False,
        *,
        confirmed: str = "",
    ) -> None:
        """Start an update of a pipeline; one that is under way is attached to."""
        resource = self.world.resource(ref)
        if resource is None:
            raise Refused(f"there is no {ref}")
        if not (full or full_refresh):
            self._refuse_early("update", confirmed, ref)
        elif confirmed != resource.key:
            raise Refused(f"type {resource.key!r} to confirm: a full refresh can lose data")

        async def start() -> None:
            await self.identifying.confirm()
            begun = await self.acting.start(
                resource,
                refresh=refresh,
                full_refresh=full_refresh,
                full=full,
                validate_only=validate_only,
                confirmed=confirmed,
            )
            await self._begun(ref, begun)

        self.world.spawn(self._alone(start()), "update")

    async def repair(
        self, run_id: str, tasks: Sequence[str] = (), dependents: bool = False, *, confirmed: str = ""
    ) -> None:
        """Run failed tasks of a run again."""
        ref = self.world.state.focus
        self._refuse_early("repair", confirmed, ref)

        async def start() -> None:
            await self.identifying.confirm()
            begun = await self.acting.repair(ref, run_id, tasks=tasks, dependents=dependents, confirmed=confirmed)
            await self._begun(ref, begun)

        self.world.spawn(self._alone(start()), "repair")

    async def _begun(self, ref: str, begun: Begun) -> None:
        if not begun.run_id:
            word = "nobody knows whether it started" if begun.unknown else "not started"
            self.world.problem("start", f"{ref}: {word}: {begun.reason}", retryable=begun.unknown or begun.blocked)
            if begun.unknown:
                await self._focus(ref)
            return
        pipeline = ref.startswith("pipelines.")
        ids = {"update_id": begun.run_id} if pipeline else {"run_id": begun.run_id}
        self.world.emit(RunStartedEvent(ref, begun.kind, url=begun.url, **ids))
        self.world.store.set(focus=ref)

        def told(ended: Run | Update) -> None:
            self._ended_alone(ref, begun.run_id, ended)

        if pipeline:
            await self.updates.follow(ref, begun.run_id, told)
        else:
            await self.jobs.follow(ref, begun.run_id, told)
        await self._focus(ref)

    def _ended_alone(self, ref: str, run_id: str, ended: Run | Update) -> None:
        if ended.failed if isinstance(ended, Update) else ended.state.failed:
            self.world.spawn(self._measured(self.diagnosing.of(ref, run_id)), "diagnosis")
        else:
            self.diagnosing.forget((ref,))

    async def cancel(self, run_id: str, *, confirmed: str = "") -> None:
        self._refuse_early("cancel", confirmed, self.world.state.focus)
        await self._measured(self.acting.cancel(self.world.state.focus, run_id, confirmed=confirmed))
        self.world.poller.now()

    async def stop_update(self, *, confirmed: str = "") -> None:
        self._refuse_early("stop", confirmed, self.world.state.focus)
        resource = self.world.resource(self.world.state.focus)
        if resource is not None and resource.id:
            await self._measured(self.acting.stop(resource.ref, resource.id, confirmed=confirmed))
            self.world.poller.now()

    # --- fixes and what they teach -----------------------------------------------------------------------------------

    async def apply_fix(self, index: int, *, confirmed: str = "") -> None:
        """Apply `state.fixes[index]`: a patch is written; a run of another resource is started."""
        fixes = self.world.state.fixes
        if not 0 <= index < len(fixes):
            raise Refused("there is no such fix")
        fix = fixes[index]
        if fix.patch is None and fix.kind == "run" and fix.resource_key:
            resource = self.world.resource(fix.resource_key)
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
        rounds = max_iterations or world.config.max_iterations
        await self.runner.begin(
            tuple(refs), deploy_first=deploy_first, max_iterations=rounds, auto=auto, confirmed=confirmed
        )

    async def set_auto(self, auto: bool) -> None:
        """Redeploy by itself when the source is edited, or not. Raises Refused on a production target."""
        from .loop import AutoChanged

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
            from .databricks_cli import find_cli

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

    async def destroy(self, *, confirmed: str) -> None:
        self._refuse_early("destroy", confirmed)

        async def work() -> None:
            await self.identifying.confirm()
            result = await self.acting.destroy(confirmed=confirmed)
            if result.outcome != "ok":
                self.world.problem("destroy", f"not destroyed: {result.blocked_reason or result.summary}")
            await self.truth.ask()

        self.world.spawn(self._alone(work()), "destroy")

    async def arm(self) -> None:
        """Allow changes for a while in a console that was started read-only."""
        arming = self.world.arming
        if arming is None:
            raise Refused("this console was not started to be armed", flag="arm_seconds in the config")
        arming.arm()
        self.world.store.set(armed_until=self.world.clock.monotonic() + arming.seconds)

    async def report(self) -> None:
        """Put the report of this loop, or of the last one that escalated, into `state.report_markdown`."""
        from .report import to_markdown

        record = self.runner.record or await self.keeping.last_record()
        text = to_markdown(record) if record is not None else "There is no loop to report on yet."
        self.world.store.set(report_markdown=text)


class _Source:
    """What the watchlist asks for: always of the workspace that is open now."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def active_runs(self, start_from_ms: int = 0, start_to_ms: int = 0) -> tuple[Run, ...]:
        return await self._world.open_workspace().active_runs(start_from_ms, start_to_ms)

    async def run(self, run_id: str) -> Run:
        return await self._world.open_workspace().run(run_id)


_FOR_EVER = frozenset({"poller", "watcher", "reachability", "overview"})


def plan_lines(plan: Mapping[str, object]) -> list[str]:
    """The plan as the CLI's text form has it: an action and a resource a line, skips left out, then the sums."""
    entries = plan.get("plan")
    lines, counts = [], {"create": 0, "update": 0, "delete": 0, "skip": 0}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        action = str(entry.get("action", "")) if isinstance(entry, dict) else ""
        kind = {"recreate": "create", "resize": "update"}.get(action, action)
        counts[kind] = counts.get(kind, 0) + 1
        if action != "skip":
            lines.append(f"{action} {str(name).removeprefix('resources.')}")
    sums = f"{counts['create']} to add, {counts['update']} to change, {counts['delete']} to delete"
    return [*lines, f"Plan: {sums}, {counts['skip']} unchanged"]
