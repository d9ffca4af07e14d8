"""Updates of pipelines as they go: state, events, flows summed over their micro-batches, and the update before.

Reads only. An update that the platform retries by itself is followed on; whoever waits is told of the last one's end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .backoff import JOB, PIPELINE
from .bounded import newest
from .cluster_words import cluster_words
from .event_feed import EventFeed
from .event_log import EventLog
from .events import PipelineEventSeen, RunChanged
from .failures import Found, of_update
from .flow_fold import FlowFold
from .pipelines import PipelineEvent, Update
from .poller import Look
from .reachability import Reachability
from .runs import Outcome, RunState, TaskRun
from .state import RunSummary
from .watchlist import LOST, Shown
from .workspace import WorkspaceError
from .world import World

OnEnd = Callable[[Update], None]
OnGone = Callable[[str], None]  # (why nobody can tell how it ends)
RETRY = "RETRY_ON_FAILURE"
RETRY_GRACE = 12.0  # seconds after a failure in which the platform's own retry is waited for
TOLD_EVENTS = 200  # of one look; more than a person or a script wants to be told one by one
CLUSTER_EVENTS = 50
KEPT_ENDED = 2  # updates that are looked at no more; each has all of its events
KEPT_NESTED = 300


@dataclass(slots=True)
class Watched:
    """One update that is followed: its events, its flows, and who waits for its end."""

    ref: str
    pipeline_id: str
    update_id: str
    log: EventLog
    fold: FlowFold
    feed: EventFeed
    update: Update | None = None
    waiting: list[OnEnd] = field(default_factory=list)
    gone: list[OnGone] = field(default_factory=list)
    missed: int = 0  # times in a row that it was not found
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> str:
        return f"update:{self.update_id}"


class PipelineUpdates:
    """Feeds `update`, `events`, `previous_update`, `past_updates`, `pipelines` and `statuses` of the State."""

    def __init__(self, world: World, reach: Reachability) -> None:
        self._world = world
        self._reach = reach
        self._watched: dict[str, Watched] = {}
        self._focused = ""  # update id
        self.on_shown: Shown | None = None  # told of the update on show that has ended and nobody waits for
        self._next_of = ""  # the pipeline whose update on show has ended, so that the next one is waited for
        self._retries: dict[str, str] = {}  # update id -> the update by which the platform tried again

    # --- what is watched ---------------------------------------------------------------------------------------------

    async def follow(
        self, ref: str, update_id: str, on_end: OnEnd | None = None, on_gone: OnGone | None = None
    ) -> None:
        """Watch an update to its end; `on_end` is told then, once, with the last of its retries; `on_gone` where it is
        not to be seen any more."""
        watched = self._watch(ref, update_id)
        if watched is None:
            return
        if on_gone is not None:
            watched.gone.append(on_gone)
        if on_end is not None:
            watched.waiting.append(on_end)
            if watched.update is not None and watched.update.ended:
                self._look_at(watched)  # else nobody would look at it any more
        if self._world.state.focus == ref:
            self._focus_update(watched)

    def _watch(self, ref: str, update_id: str) -> Watched | None:
        held = self._watched.get(update_id)
        resource = self._world.resource(ref)
        if held is not None:
            self._world.poller.now(held.key)
            return held
        if resource is None or not resource.id or self._world.workspace is None:
            return None
        log, fold = EventLog(redactor=self._world.redactor), FlowFold(redactor=self._world.redactor)
        feed = EventFeed(self._world.workspace.request, resource.id, update_id, log=log, fold=fold)
        watched = Watched(ref, resource.id, update_id, log, fold, feed)
        self._watched[update_id] = watched
        self._look_at(watched)
        self._let_go(KEPT_ENDED)
        return watched

    def _look_at(self, watched: Watched) -> None:
        policy = PIPELINE.capped(self._world.config.poll_pipeline_seconds)
        self._world.poller.add(watched.key, lambda: self.look(watched), policy)

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for the end of an update."""
        return any(watched.waiting for watched in self._watched.values())

    def forget(self, update_id: str) -> None:
        """Tell nobody of this update's end any more."""
        held = self._watched.get(update_id)
        if held is not None:
            held.waiting.clear()
            held.gone.clear()

    async def focus(self, ref: str) -> None:
        """Show the latest update of this pipeline, and keep it up to date."""
        world = self._world
        world.store.set(run=None, update=None, previous_update=None, events=(), task_usual={})
        followed = next((w for w in self._watched.values() if w.ref == ref and w.waiting), None)
        if followed is not None:
            self._focus_update(followed)
            return
        updates = await self.load_strip(ref)
        if world.state.focus == ref and updates:
            watched = self._watch(ref, updates[0].update_id)
            if watched is not None:
                self._focus_update(watched)

    def blur(self) -> None:
        """No update is looked at; one that has ended and that nobody waits for is let go."""
        self._wait_for_next(None)
        self._focused = ""
        self._let_go(0)

    def _let_go(self, keep: int) -> None:
        """Of the updates that have ended, and that nobody looks at or waits for, only the newest so many stay."""
        ended = [
            update_id
            for update_id, watched in self._watched.items()
            if watched.update is not None
            and watched.update.ended
            and not watched.waiting
            and update_id != self._focused
        ]
        for update_id in ended[: max(0, len(ended) - keep)]:
            self._drop(update_id)

    def _drop(self, update_id: str) -> None:
        watched = self._watched.pop(update_id, None)
        if watched is not None:
            self._world.poller.remove(watched.key)

    def _focus_update(self, watched: Watched) -> None:
        self._focused = watched.update_id
        self._world.poller.focus([watched.key])
        self._wait_for_next(watched if watched.update is not None and watched.update.ended else None)
        self._show(watched)

    def _wait_for_next(self, ended: Watched | None) -> None:
        """While the update on show has ended, the next one is looked for: anybody may start it, the platform too."""
        if self._next_of and (ended is None or self._next_of != ended.pipeline_id):
            self._world.poller.remove(f"next:{self._next_of}")
            self._next_of = ""
        if ended is None or self._next_of:
            return
        ref, self._next_of = ended.ref, ended.pipeline_id

        async def look() -> Look:
            updates = await self.load_strip(ref)
            shown = self._watched.get(self._focused)
            if shown is None or shown.ref != ref or shown.update is None or not updates:
                return Look()
            if updates[0].update_id == shown.update_id or updates[0].creation_ms < shown.update.creation_ms:
                return Look()
            newer = self._watch(ref, updates[0].update_id)
            if newer is not None:
                self._focus_update(newer)
            return Look(changed=True)

        self._world.poller.add(f"next:{self._next_of}", look, JOB, begin="after")

    def _show(self, watched: Watched) -> None:
        if watched.update_id != self._focused or watched.update is None:
            return
        past = self._world.state.past_updates.get(watched.ref, ())
        before = [u for u in past if u.update_id != watched.update_id and u.creation_ms < watched.update.creation_ms]
        held = self._world.state.previous_update
        previous = before[0] if before else None
        if previous is not None and held is not None and held.update_id == previous.update_id and held.flows:
            previous = held
        self._world.store.set(update=watched.update, events=watched.log.snapshot(), previous_update=previous)

    async def load_strip(self, ref: str) -> tuple[Update, ...]:
        """The latest updates of a pipeline as the strip of its line."""
        world = self._world
        resource = world.resource(ref)
        if resource is None or not resource.id:
            return ()
        updates = await world.open_workspace().updates(resource.id, max(1, world.config.history_runs))
        self._reach.good()
        world.store.set(past_updates={**world.state.past_updates, ref: updates})
        world.status(ref, history=tuple(summary_of(update) for update in updates))
        return updates

    async def load_history(self, ref: str) -> None:
        """Past updates, and the flows of the one before the update in focus, for the trend."""
        await self.load_strip(ref)
        watched = self._watched.get(self._focused)
        if watched is not None and watched.ref == ref:
            self._show(watched)
        await self.load_previous()

    async def load_previous(self) -> Update | None:
        """The flows of the update before the focused one, from its events."""
        world = self._world
        previous = world.state.previous_update
        if previous is None or previous.flows or world.workspace is None:
            return previous
        fold = FlowFold()
        feed = EventFeed(world.workspace.request, previous.pipeline_id, previous.update_id, log=EventLog(), fold=fold)
        if not await feed.read_all():
            # Sums over a part of it would be compared with sums over all of the other.
            return previous
        whole = replace(previous, flows=fold.flows())
        held = world.state.previous_update
        if held is not None and held.update_id == previous.update_id:
            world.store.set(previous_update=whole)
        return whole

    def last_of(self, update_id: str) -> str:
        """The last update by which the platform tried this one again; itself where it did not."""
        while update_id in self._retries:
            update_id = self._retries[update_id]
        return update_id

    async def flows_of(self, pipeline_id: str, update_id: str) -> Update:
        """An update with its flows. Raises WorkspaceError."""
        held = self._watched.get(update_id)
        if held is not None and held.update is not None and held.feed.complete:
            return held.update
        workspace = self._world.open_workspace()
        update = await workspace.update(pipeline_id, update_id)
        fold = FlowFold()
        feed = EventFeed(workspace.request, pipeline_id, update_id, log=EventLog(), fold=fold)
        await feed.read_all()
        return replace(update, flows=fold.flows())

    # --- what came ---------------------------------------------------------------------------------------------------

    async def look(self, watched: Watched) -> Look:
        """One look at an update and at what is new in its events. Raises WorkspaceError."""
        try:
            look = await self._look(watched)
        except WorkspaceError as error:
            watched.missed = watched.missed + 1 if error.kind in ("not_found", "forbidden") else 0
            if watched.missed >= LOST:
                self._drop(watched.update_id)
                gone, watched.gone, watched.waiting = watched.gone, [], []
                for told in gone:
                    told(error.message)
            raise
        watched.missed = 0
        return look

    async def _look(self, watched: Watched) -> Look:
        async with watched.turn:
            workspace = self._world.open_workspace()
            before = watched.update
            update = await workspace.update(watched.pipeline_id, watched.update_id)
            known = len(watched.log)
            await watched.feed.fetch(ended=update.ended)
            if update.ended and not watched.feed.complete:
                await watched.feed.fetch(ended=True)
            new = watched.log.since(known)
            self._reach.good()
            update = replace(update, flows=watched.fold.flows())
            if update.failed and not update.message:
                update = replace(update, message=_last_word(watched.log))
            watched.update = update
            self._tell(watched, before, new)
            ended = update.ended and watched.feed.complete
            if ended and not await self._retried(watched, update):
                waiting, watched.waiting, watched.gone = watched.waiting, [], []
                for told in waiting:
                    told(update)
                if not waiting and watched.update_id == self._focused and self.on_shown is not None:
                    self.on_shown(watched.ref, update.update_id, update.failed)
            if ended and watched.update_id == self._focused:
                self._wait_for_next(watched)
            return Look(changed=bool(new) or before is None or before.state != update.state, ended=ended)

    def _tell(self, watched: Watched, before: Update | None, new: Sequence[PipelineEvent]) -> None:
        world, update = self._world, watched.update
        assert update is not None
        if before is None or before.state != update.state:
            took = max(0, world.clock.now_ms() - update.creation_ms) if update.creation_ms else 0
            world.emit(RunChanged(watched.ref, update.update_id, update.state.lower(), update.message, took))
        # Not the last of the log: what came late stands further up in it.
        for event in new[max(0, len(new) - TOLD_EVENTS) :]:
            if event.level != "METRICS":
                world.emit(_seen(watched.ref, event))
        progress = update.progress if update.flows and not update.ended else None
        held = world.state.statuses.get(watched.ref)
        others = tuple(item for item in (held.history if held else ()) if item.id != update.update_id)
        keep = max(1, world.config.history_runs)
        history = tuple(sorted((summary_of(update), *others), key=lambda item: -item.start_ms))[:keep]
        world.status(watched.ref, history=history, progress=progress, progress_unit="flows" if progress else "")
        self._show(watched)

    async def _retried(self, watched: Watched, update: Update) -> bool:
        """Whether the platform starts this update again by itself: then that one is followed instead."""
        if not watched.waiting or update.state != "FAILED":
            return False
        retry = await self._retry_of(watched, update)
        if retry is None:
            return False
        self._world.hold(f"update {update.update_id[:8]} failed; the platform retries it as {retry.update_id[:8]}")
        followed = self._watch(watched.ref, retry.update_id)
        if followed is None:
            return False
        self._retries[update.update_id] = retry.update_id
        followed.waiting += watched.waiting
        followed.gone += watched.gone
        watched.waiting, watched.gone = [], []
        if self._focused == watched.update_id:
            self._focus_update(followed)
        return True

    async def _retry_of(self, watched: Watched, update: Update) -> Update | None:
        """The update that the platform started after this one failed; it takes some seconds to do so, or does not."""
        world = self._world
        workspace = world.open_workspace()
        until = world.clock.monotonic() + RETRY_GRACE
        while True:
            updates = await workspace.updates(watched.pipeline_id, 5)
            later = [u for u in updates if u.cause == RETRY and u.creation_ms >= update.creation_ms]
            later = [u for u in later if u.update_id != update.update_id]
            if later:
                return later[-1]
            pipeline = await workspace.pipeline(watched.pipeline_id)
            world.store.set(pipelines={**world.state.pipelines, watched.ref: pipeline})
            if pipeline.development or world.clock.monotonic() >= until:
                return None
            world.hold(f"update {update.update_id[:8]} failed: looking whether the platform retries it")
            await world.clock.sleep(RETRY_GRACE / 3)

    # --- for the diagnosis --------------------------------------------------------------------------------------------

    async def failures(self, ref: str, update_id: str) -> list[Found]:
        """What failed in an update: its ERROR events, else its cluster's events, else its last progress."""
        world = self._world
        watched = self._watch(ref, self.last_of(update_id))
        resource = world.resource(ref)
        if watched is None or resource is None:
            return []
        if watched.update is None:
            await self.look(watched)
        update = watched.update
        assert update is not None
        errors = watched.log.errors()
        if not errors:
            update = replace(update, message=await self._without_error(update, watched.log))
        return of_update(update, ref, errors, resource.url)

    async def _without_error(self, update: Update, log: EventLog) -> str:
        """Why an update failed that has no ERROR event: what its cluster says, then how far it came."""
        lines = [f"update {update.update_id} failed without an ERROR event"]
        if update.cluster_id:
            try:
                events = await self._world.open_workspace().cluster_events(update.cluster_id, CLUSTER_EVENTS)
            except WorkspaceError as error:
                if error.unmeasured:
                    raise
                events = []
            lines.append(self._world.redactor.redact(cluster_words(events)))
        progress = [event.message for event in log.snapshot() if event.event_type == "update_progress"]
        lines += [f"its last progress: {progress[-1]}"] if progress else []
        return "\n".join(line for line in lines if line)

    async def update_of_task(self, task: TaskRun) -> None:
        """The update that a pipeline task started, into `child_updates`: by cause and time, because no API names it."""
        world = self._world
        if not task.pipeline_id or not task.start_ms:
            return
        updates = await world.open_workspace().updates(task.pipeline_id, 25)
        mine = [u for u in updates if u.cause == "JOB_TASK" and u.creation_ms >= task.start_ms - 5_000]
        mine = [u for u in mine if not task.end_ms or u.creation_ms <= task.end_ms]
        if mine:
            whole = await self.flows_of(task.pipeline_id, mine[-1].update_id)
            held = newest({**world.state.child_updates, task.run_id: whole}, KEPT_NESTED)
            world.store.set(child_updates=held)


def summary_of(update: Update) -> RunSummary:
    """The update as one bar of the strip."""
    return RunSummary(update.update_id, state_of(update), update.creation_ms)


def state_of(update: Update) -> RunState:
    """An update's state in the words of runs."""
    outcome = {
        "COMPLETED": Outcome.SUCCEEDED,
        "FAILED": Outcome.FAILED,
        "CANCELED": Outcome.CANCELED,
        "QUEUED": Outcome.QUEUED,
        "STOPPING": Outcome.TERMINATING,
        "CREATED": Outcome.PENDING,
        "WAITING_FOR_RESOURCES": Outcome.PENDING,
    }.get(update.state, Outcome.RUNNING)
    return RunState(outcome, update.state, message=update.message)


def _last_word(log: EventLog) -> str:
    errors = log.errors()
    return errors[-1].message if errors else ""


def _seen(ref: str, event: PipelineEvent) -> PipelineEventSeen:
    return PipelineEventSeen(
        ref, event.update_id, event.level, event.event_type, event.message, event.timestamp, event.flow
    )
