"""The parts of the engine, each made once and given what it needs; and what the polling tells them.

Decides nothing: which part does what stands in the part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .acting import Acting
from .backoff import FOCUSED, JOB
from .budget import Budget
from .bundle import Bundle
from .cleaning import Cleaning
from .clock import Clock, SystemClock
from .config import Config
from .databricks_cli import DatabricksCli
from .diagnosing import Diagnosing
from .fixing import Fixing
from .guard import Arming, Guard, NoJournal
from .identifying import Identifying
from .job_runs import JobRuns
from .journal_keeping import JournalKeeping
from .looking_up import Lookup
from .loop_acts import LoopActs
from .loop_runner import LoopRunner
from .overview import Overview
from .pipeline_updates import PipelineUpdates
from .poller import Poller
from .querying import Querying
from .reachability import Reachability
from .redaction import Redactor
from .runs import Run
from .state import State
from .store import Store
from .truth import Truth
from .verifying import Verifying
from .watchlist import Watchlist
from .workspace import WorkspaceError
from .world import World


class Parts:
    """All parts of one engine. Made at once and without I/O."""

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
        poller = Poller(clock, on_error=self._poll_failed, on_look=self._count_requests, budget=budget, focused=focused)
        self.world = world = World(
            bundle.root, env, config, clock, redactor, store, guard, cli, budget, poller, target, profile, arming
        )
        self.reach = reach = Reachability(world)
        self.identifying, self.truth, self.lookup = Identifying(world), Truth(world), Lookup(world)
        self.acting = Acting(world, self.lookup)
        job = JOB.capped(config.poll_job_seconds)
        watchlist = Watchlist(
            poller,
            _Source(world),
            on_run=self._on_run,
            on_new_run=self._on_new_run,
            on_gone=lambda run_id, reason: self.jobs.gone(run_id, reason),
            job=job,
        )
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

    def _poll_failed(self, key: str, error: Exception) -> None:
        if isinstance(error, WorkspaceError):
            self.reach.bad(error)
            if not error.unmeasured:
                self.world.problem(f"workspace.{error.kind}", error.message)
        else:
            self.world.problem("internal", self.world.redactor.redact(f"{key}: {type(error).__name__}: {error}"))

    def _on_run(self, ref: str, run: Run) -> None:
        self.jobs.on_run(ref, run)

    def _on_new_run(self, ref: str, run: Run) -> None:
        self.overview.new_run(ref, run)

    def _count_requests(self) -> None:
        world = self.world
        world.store.set(
            requests=(world.budget.spent(), world.config.request_budget_per_minute), next_poll_at=world.poller.next_at()
        )


class _Source:
    """What the watchlist asks for: always of the workspace that is open now."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def active_runs(self, start_from_ms: int = 0, start_to_ms: int = 0) -> tuple[Run, ...]:
        return await self._world.open_workspace().active_runs(start_from_ms, start_to_ms)

    async def run(self, run_id: str) -> Run:
        return await self._world.open_workspace().run(run_id)
