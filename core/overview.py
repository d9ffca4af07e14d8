"""What is known of all the bundle's jobs and pipelines that nobody looks at: strips of past runs, and who starts what.

Asks little: one list of active runs covers all jobs; strips are filled one by one, and only with requests to spare.
"""

from __future__ import annotations

from .backoff import PIPELINE
from .changes import summary_of, with_summary
from .job_runs import JobRuns
from .pipeline_updates import PipelineUpdates
from .poller import Look
from .reachability import Reachability
from .runs import Run
from .watchlist import Watchlist
from .workspace import WorkspaceError
from .world import World

SPARE = 0.5  # of the budget may be spent on what nobody looks at
PAUSE = 3.0  # seconds, where there is none to spare
MOST_WATCHED = 500


class Overview:
    """`begin` after each deploy and each sign-in: it takes up what has an id by now."""

    def __init__(
        self, world: World, reach: Reachability, watchlist: Watchlist, jobs: JobRuns, updates: PipelineUpdates
    ) -> None:
        self._world, self._reach = world, reach
        self._watchlist = watchlist
        self._jobs, self._updates = jobs, updates
        self._known: dict[str, str] = {}  # ref -> id
        self._filling = False

    async def begin(self) -> None:
        """Watch every job and pipeline that is deployed, and fill their strips beside."""
        world = self._world
        now = {
            resource.ref: resource.id
            for resource in world.bundle.resources
            if resource.id and resource.type in ("jobs", "pipelines") and resource.modified_status == ""
        }
        for ref, gone in tuple(self._known.items()):
            if now.get(ref) != gone:
                self._watchlist.unwatch_job(gone)
                world.poller.remove(f"pipeline:{gone}")
                del self._known[ref]
        new = [ref for ref in list(now)[:MOST_WATCHED] if ref not in self._known]
        for ref in new:
            self._known[ref] = now[ref]
            if ref.startswith("jobs."):
                self._watchlist.watch_job(ref, now[ref])
        if new and not self._filling:
            world.spawn(self._fill(), "overview")

    async def _fill(self) -> None:
        """The strips of what nobody has looked at yet, one by one."""
        world = self._world
        self._filling = True
        try:
            for ref in tuple(self._known):
                held = world.state.statuses.get(ref)
                if held is not None and held.history:
                    continue
                while world.budget.spent() > SPARE * world.config.request_budget_per_minute or self._reach.away:
                    await world.clock.sleep(PAUSE)
                try:
                    if ref.startswith("jobs."):
                        await self._jobs.load_strip(ref)
                    else:
                        await self._look_at(ref)
                except WorkspaceError as error:
                    self._reach.bad(error)
        finally:
            self._filling = False

    async def _look_at(self, ref: str) -> None:
        updates = await self._updates.load_strip(ref)
        if updates and not updates[0].ended:
            self._watch_active(ref)

    def _watch_active(self, ref: str) -> None:
        """An update that runs, and that nobody looks at: its state from time to time."""

        async def look() -> Look:
            before = self._world.state.past_updates.get(ref, ())
            updates = await self._updates.load_strip(ref)
            return Look(changed=updates[:1] != before[:1], ended=not updates or updates[0].ended)

        self._world.poller.add(f"pipeline:{self._known[ref]}", look, PIPELINE)

    def new_run(self, ref: str, run: Run) -> None:
        """Somebody started a run of a job of this bundle: it is followed to its end, on its line at least."""
        world = self._world
        held = world.state.statuses.get(ref)
        history = with_summary(held.history if held else (), summary_of(run), max(1, world.config.history_runs))
        world.status(ref, history=history)
        shown = world.state.run if world.state.focus == ref else None
        if shown is not None and shown.state.active and shown.run_id != run.run_id:
            self._watchlist.watch(ref, run.run_id, job_id=run.job_id)
        else:
            world.spawn(self._jobs.follow(ref, run.run_id), "follow")
