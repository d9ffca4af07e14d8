"""Job runs as they go: the one in focus with its tasks, outputs, nested runs and iterations; all watched ones as lines.

Reads only. What a run came to is told to whoever follows it; an output is asked for once, because it never changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from .bounded import newest
from .changes import progress_of, run_changes, summary_of, with_summary
from .events import plain
from .failures import failed_tasks, latest_tasks
from .forecast import Forecast
from .plain_json import from_plain
from .reachability import Reachability
from .run_stats import usual_of, usual_of_runs, usual_of_tasks
from .runs import Run, TaskOutput, TaskRun
from .state import RunSummary, Usual
from .watchlist import Shown, Watchlist
from .workspace import WorkspaceError
from .world import World

T = TypeVar("T")
OnEnd = Callable[[Run], None]
OnGone = Callable[[str], None]  # (why nobody can tell how it ends)
NESTED = 8  # how deep nested runs are opened
KEPT_OUTPUTS = 2_000
KEPT_TEXT = 20_000_000  # characters of them
KEPT_RUNS = 100  # that have ended, as they were last read
KEPT_RECORDED = 5_000  # more than the strips of all jobs hold
KEPT_HISTORIES = 16  # jobs whose past runs are held with their tasks; more than the console takes for granted
KEPT_NESTED = 300
KEPT_ITERATIONS = 20_000  # of all tasks together
SOUGHT_PAGES = 10  # of a hundred iterations each, for the first one that failed
RENEWED = 1_000  # iterations of one task that are read again while they go on


class JobRuns:
    """Feeds `run`, `child_runs`, `iterations`, `outputs` and `statuses` of the State."""

    def __init__(self, world: World, reach: Reachability, watchlist: Watchlist) -> None:
        self._world = world
        self._reach = reach
        self._watchlist = watchlist
        self._waiting: dict[str, list[OnEnd]] = {}
        self._gone: dict[str, list[OnGone]] = {}
        self._last: dict[str, Run] = {}
        self._recorded: dict[str, None] = {}
        self._growing: set[str] = set()  # task run ids whose output in the State is that of a task that still ran
        self._focused = ""  # run id
        self._refs: dict[str, str] = {}  # run id -> ref
        self._turns: dict[str, asyncio.Lock] = {}
        self.on_shown: Shown | None = None  # told of each look at a run on show that has ended and nobody waits for

    # --- what is watched ---------------------------------------------------------------------------------------------

    async def follow(self, ref: str, run_id: str, on_end: OnEnd | None = None, on_gone: OnGone | None = None) -> None:
        """Watch a run to its end; `on_end` is told then, once, or `on_gone` where it is not to be seen any more."""
        world = self._world
        self._refs[run_id] = ref
        if on_end is not None:
            self._waiting.setdefault(run_id, []).append(on_end)
        if on_gone is not None:
            self._gone.setdefault(run_id, []).append(on_gone)
        resource = world.resource(ref)
        self._watchlist.watch(ref, run_id, job_id=resource.id if resource else "", forecast=await self._forecast(ref))
        if world.state.focus == ref:
            self._focus_run(run_id)

    def forget(self, run_id: str) -> None:
        """Tell nobody of this run's end any more."""
        self._waiting.pop(run_id, None)
        self._gone.pop(run_id, None)

    def gone(self, run_id: str, reason: str) -> None:
        """The workspace has this run no more, or does not show it to us."""
        self._waiting.pop(run_id, None)
        for told in self._gone.pop(run_id, ()):
            told(reason)

    async def focus(self, ref: str) -> None:
        """Show the latest run of this job, and keep it up to date."""
        world = self._world
        resource = world.resource(ref)
        # The one that was started last, where a job may run several times at once, or queues.
        followed = next((run_id for run_id in reversed(self._waiting) if self._ref_of(run_id) == ref), "")
        world.store.set(run=None, update=None, previous_update=None, events=(), task_usual={})
        if followed:
            self._focus_run(followed)
            await self._load_usual(ref)
            return
        self._focus_run("")
        if resource is None or not resource.id:
            return
        runs = await self.load_strip(ref)
        await self._load_usual(ref)
        if world.state.focus == ref and runs:
            self._watchlist.watch(ref, runs[0].run_id, job_id=resource.id, forecast=await self._forecast(ref))
            self._focus_run(runs[0].run_id)

    async def show(self, ref: str, run_id: str) -> None:
        """Show this run of the job in focus, a past one too. Raises WorkspaceError."""
        world = self._world
        held = self._last.get(run_id)
        run = held if held is not None and not held.state.active else await world.open_workspace().run(run_id)
        self._refs[run_id] = ref
        if world.state.focus != ref:
            return
        self._keep(run)
        self._focus_run(run_id)
        if run.state.active:
            self._watchlist.watch(ref, run_id, job_id=run.job_id, forecast=await self._forecast(ref))
            return
        await self._load_for_show(run)
        self._tell_shown(ref, run)

    def _tell_shown(self, ref: str, run: Run) -> None:
        if self.on_shown is not None and run.run_id == self._focused and not run.state.active:
            self.on_shown(ref, run.run_id, run.state.failed)

    def blur(self) -> None:
        """No run is looked at."""
        self._focus_run("")

    def _focus_run(self, run_id: str) -> None:
        self._focused = run_id
        self._watchlist.focus(run_id or None)
        held = self._last.get(run_id)
        if held is not None:
            self._world.store.set(run=held)

    def _ref_of(self, run_id: str) -> str:
        return self._refs.get(run_id, "")

    async def load_strip(self, ref: str) -> tuple[Run, ...]:
        """The latest runs of a job as the strip of its line; how long it usually takes."""
        world = self._world
        resource = world.resource(ref)
        if resource is None or not resource.id:
            return ()
        limit = max(1, world.config.history_runs)
        runs = await world.open_workspace().runs_of(resource.id, limit)
        self._reach.good()
        history = tuple(summary_of(run) for run in runs)
        usual = await self._usual(ref) or usual_of_runs(runs)
        world.status(ref, history=history, usual=usual, **_progress(runs))
        for run in runs:
            await self._record(ref, run)
        return runs

    async def _usual(self, ref: str) -> Usual | None:
        """How long a job usually takes, by the journal."""
        journal = self._world.journal
        return usual_of(await journal.durations(ref)) if journal is not None else None

    async def _load_usual(self, ref: str) -> None:
        """How long each task of a job usually takes, by the journal and the past runs that are loaded."""
        world = self._world
        usual = usual_of_tasks(world.state.past_runs.get(ref, ()))
        for key, times in (await world.journal.task_durations(ref) if world.journal is not None else {}).items():
            known = usual_of(times)
            if known is not None and (key not in usual or known.runs >= usual[key].runs):
                usual[key] = known
        if world.state.focus == ref:
            world.store.set(task_usual=usual)

    async def load_history(self, ref: str, count: int = 10) -> None:
        """Past runs with their tasks, for the grid."""
        world = self._world
        resource = world.resource(ref)
        if resource is None or not resource.id:
            return
        workspace = world.open_workspace()
        found: list[Run] = []
        for run in (await workspace.runs_of(resource.id, count))[:count]:
            held = self._last.get(run.run_id)
            whole = held if held is not None and not held.state.active else await workspace.run(run.run_id)
            found.append(whole)
            if held is None:
                self._keep(whole)
            self._show_history(ref, tuple(found))
            await self._record(ref, whole)
        if not found:
            self._show_history(ref, ())
        await self._load_usual(ref)

    def _show_history(self, ref: str, runs: tuple[Run, ...]) -> None:
        """The past runs of a job; those of the jobs that were looked at longest ago go."""
        past = {**self._world.state.past_runs}
        past.pop(ref, None)
        newest(past, KEPT_HISTORIES - 1)
        self._world.store.set(past_runs={**past, ref: runs})

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for the end of a run."""
        return bool(self._waiting)

    async def _forecast(self, ref: str) -> Forecast | None:
        journal = self._world.journal
        past = await journal.durations(ref) if journal is not None else ()
        history = self._world.state.statuses.get(ref)
        if not past and history is not None:
            past = tuple(s.duration_ms for s in history.history if s.state.succeeded and s.duration_ms)
        return Forecast.of([ms / 1000 for ms in past]) if past else None

    def _with(self, ref: str, run: Run) -> tuple[RunSummary, ...]:
        """The strip of a job with this run in it."""
        world = self._world
        held = world.state.statuses.get(ref)
        return with_summary(held.history if held else (), summary_of(run), max(1, world.config.history_runs))

    # --- what came ---------------------------------------------------------------------------------------------------

    def on_run(self, ref: str, run: Run) -> None:
        """A run was read again."""
        self._world.spawn(self._on_run(ref, run), "run seen")

    async def _on_run(self, ref: str, run: Run) -> None:
        # In the order in which they came: outputs of an older look must not be shown over those of a newer one.
        turn = self._turns.setdefault(run.run_id, asyncio.Lock())
        async with turn:
            await self._take_in(ref, run)
        if not turn.locked() and self._turns.get(run.run_id) is turn:
            del self._turns[run.run_id]

    async def _take_in(self, ref: str, run: Run) -> None:
        world = self._world
        self._reach.good()
        before = self._last.get(run.run_id)
        self._keep(run)
        for event in run_changes(ref, before, run, world.clock.now_ms()):
            world.emit(event)
        history = self._with(ref, run)
        progress = progress_of(run) if run.state.active else None
        world.status(ref, history=history, progress=progress, progress_unit="tasks" if progress else "")
        if run.run_id == self._focused:
            world.store.set(run=run)
            await self._load_for_show(run)
        if not run.state.active:
            if before is None or before.state.active:
                world.spawn(self._catch_up_nested(run), "nested runs")
            await self._record(ref, run)
            if (usual := await self._usual(ref)) is not None:
                world.status(ref, usual=usual)
            self._gone.pop(run.run_id, None)
            waiting = self._waiting.pop(run.run_id, ())
            for told in waiting:
                told(run)
            if not waiting:
                self._tell_shown(ref, run)

    async def _load_for_show(self, run: Run) -> None:
        """As `load_failures`; what cannot be had now must not keep the end of the run from whoever waits for it."""
        try:
            await self.load_failures(run)
        except WorkspaceError as error:
            self._reach.bad(error)

    async def _catch_up_nested(self, run: Run, depth: int = 0) -> None:
        """The lines of jobs whose nested runs began and ended between two lists of active runs: nobody saw those."""
        world = self._world
        refs = {r.id: r.ref for r in world.bundle.resources if r.type == "jobs" and r.id}
        for task in latest_tasks(run):
            ref = refs.get(task.job_id, "")
            if task.kind != "run_job" or not task.start_ms or not ref or ref == self._ref_of(run.run_id):
                continue
            held = world.state.statuses.get(ref)
            if held is not None and any(past.start_ms >= task.start_ms for past in held.history):
                continue
            try:
                runs = await self.load_strip(ref)
            except WorkspaceError as error:
                return self._reach.bad(error)
            nested = next((past for past in runs if past.start_ms >= task.start_ms), None)
            if nested is not None and depth < NESTED:
                await self._catch_up_nested(nested, depth + 1)

    async def load_failures(self, run: Run, depth: int = 0) -> None:
        """Outputs of the tasks that failed by themselves, the nested runs they started, and what is going on in those.

        Raises WorkspaceError where the workspace does not answer; what it has not is left out.
        """
        latest = latest_tasks(run)
        for task in latest:
            if task.for_each is not None:
                await self._renew_iterations(task)
        nested = [task for task in latest if task.kind == "run_job" and task.start_ms]
        active = [task for task in nested if task.state.active or self._is_behind(task)]
        failed = failed_tasks(run)
        for task in (*failed, *(task for task in active if task not in failed)):
            if task.kind == "run_job" and depth < NESTED:
                child = await self.load_child(task)
                if child is not None:
                    await self.load_failures(child, depth + 1)
                continue
            if task.for_each is not None and task.for_each.failed:
                await self._load_failed_iterations(task)
            if not task.state.active:
                await self.load_output(task)

    def _is_behind(self, task: TaskRun) -> bool:
        """Whether the nested run on show still goes on, though the task has ended."""
        held = self._world.state.child_runs.get(task.run_id)
        return held is not None and held.state.active and not task.state.active

    async def load_child(self, task: TaskRun) -> Run | None:
        """The nested run of a `run_job` task into the State; None where it has none yet."""
        world = self._world
        held = world.state.child_runs.get(task.run_id)
        if held is not None and not held.state.active:
            return held
        child_id = held.run_id if held is not None else ""
        if not child_id:
            output = await self.load_output(task, keep=not task.state.active)
            child_id = output.child_run_id if output is not None else ""
        if not child_id:
            return None
        child = await self._measured(lambda: world.open_workspace().run(child_id))
        if child is not None and child != held:
            world.store.set(child_runs=newest({**world.state.child_runs, task.run_id: child}, KEPT_NESTED))
            # One that began and ended between two lists of active runs is known from here alone.
            ref = next((r.ref for r in world.bundle.resources if r.type == "jobs" and r.id == child.job_id), "")
            if ref:
                world.status(ref, history=self._with(ref, child))
        return child

    async def load_output(self, task: TaskRun, *, keep: bool = True) -> TaskOutput | None:
        """The output of a task run: from the State, the journal, else asked for; kept once the task has ended."""
        world = self._world
        held = world.state.outputs.get(task.run_id)
        if held is not None and task.run_id not in self._growing:
            return held
        journal = world.journal
        if journal is not None and keep:
            data = await journal.output(task.run_id)
            if data is not None:
                try:
                    return self._show(from_plain(TaskOutput, data))
                except ValueError:
                    pass
        output = await self._measured(lambda: world.open_workspace().output(task.run_id))
        if output is None or not keep:
            return output
        self._growing.discard(task.run_id)
        if journal is not None:
            await journal.save_output(task.run_id, plain(output))
        return self._show(output)

    async def load_so_far(self, task: TaskRun) -> None:
        """What a task that still runs has put out; asked for again at its end."""
        output = await self._measured(lambda: self._world.open_workspace().output(task.run_id))
        if output is not None and (task.run_id in self._growing or task.run_id not in self._world.state.outputs):
            self._growing.add(task.run_id)
            self._show(output)

    def _show(self, output: TaskOutput) -> TaskOutput:
        outputs = newest({**self._world.state.outputs, output.run_id: output}, KEPT_OUTPUTS)
        self._world.store.set(outputs=newest(outputs, KEPT_TEXT, _length))
        return output

    async def load_iterations(self, task: TaskRun, *, more: bool = False) -> None:
        """The first page of the iterations of a `for_each` task, or the next one; those that failed stand first.

        With `more`, and while some that failed have not been met, as many pages as it takes to meet another.
        """
        world = self._world
        met = len(self._failed_iterations(task))
        for _ in range(SOUGHT_PAGES):
            token = world.state.iterations_more.get(task.run_id, "") if more else ""
            held = world.state.iterations.get(task.run_id, ())
            if (more and not token) or (held and not more):
                return
            page, after = await world.open_workspace().iterations(task.run_id, token)
            self._show_iterations(task, (*held, *page), after)
            failed = task.for_each.failed if task.for_each is not None else 0
            if not more or failed <= met or len(self._failed_iterations(task)) > met:
                return

    async def _load_failed_iterations(self, task: TaskRun) -> None:
        """As many pages as it takes to meet one that failed, and the outputs of the first few that did."""
        await self.load_iterations(task)
        if not self._failed_iterations(task):
            await self.load_iterations(task, more=True)
        for item in self._failed_iterations(task)[:3]:
            await self.load_output(item)

    def _failed_iterations(self, task: TaskRun) -> list[TaskRun]:
        return [item for item in self._world.state.iterations.get(task.run_id, ()) if item.state.failed]

    async def _renew_iterations(self, task: TaskRun) -> None:
        """Read the pages that somebody opened again, while an iteration in them was still to end."""
        world = self._world
        held = world.state.iterations.get(task.run_id, ())
        if not any(item.state.active for item in held):
            return
        found: list[TaskRun] = []
        token = ""
        while len(found) < len(held):
            page, token = await world.open_workspace().iterations(task.run_id, token)
            found += page
            if not token or len(found) >= RENEWED:
                break
        self._show_iterations(task, (*held, *found), token if len(found) >= len(held) else None)

    def _show_iterations(self, task: TaskRun, iterations: Iterable[TaskRun], more: str | None) -> None:
        """Those that failed first, each as it was read last; `more` is the token of the next page, None: as it was."""
        world = self._world
        merged = {item.run_id: item for item in iterations}
        ordered = tuple(sorted(merged.values(), key=lambda item: not item.state.failed))
        held = newest({**world.state.iterations, task.run_id: ordered}, KEPT_ITERATIONS, len)
        tokens = {name: token for name, token in world.state.iterations_more.items() if name in held}
        world.store.set(iterations=held, iterations_more=tokens if more is None else {**tokens, task.run_id: more})

    # --- shared ------------------------------------------------------------------------------------------------------

    def _keep(self, run: Run) -> None:
        """Hold a run as it was read. Of those that have ended and that nobody waits for, the oldest go."""
        self._last.pop(run.run_id, None)
        self._last[run.run_id] = run
        if run.state.active:
            return
        ended = [old for old, held in self._last.items() if not held.state.active and old not in self._waiting]
        for old in ended[:-KEPT_RUNS]:
            if old != self._focused:
                del self._last[old]
                self._refs.pop(old, None)

    def task(self, task_run_id: str) -> TaskRun | None:
        """A task run of the run in focus, of a nested run, or an iteration."""
        state = self._world.state
        runs = [run for run in (state.run, *state.child_runs.values()) if run is not None]
        pools = [*(run.tasks for run in runs), *state.iterations.values()]
        return next((task for pool in pools for task in pool if task.run_id == task_run_id), None)

    def last(self, run_id: str) -> Run | None:
        """The run as it was last read."""
        return self._last.get(run_id)

    async def _record(self, ref: str, run: Run) -> None:
        journal = self._world.journal
        if journal is None or run.state.active or run.run_id in self._recorded or not run.end_ms:
            return
        self._recorded[run.run_id] = None
        newest(self._recorded, KEPT_RECORDED)
        outcome = run.state.outcome.value
        await journal.add_duration(ref, "", run.run_id, run.elapsed_ms(run.end_ms), outcome, run.end_ms)
        for task in run.tasks:
            if task.end_ms and task.start_ms:
                took = task.end_ms - task.start_ms
                word = task.state.outcome.value
                await journal.add_duration(ref, task.task_key, task.run_id, took, word, task.end_ms)

    async def _measured(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What was asked for; None where the workspace has it not. Raises WorkspaceError where it cannot be asked."""
        try:
            found = await ask()
        except WorkspaceError as error:
            if error.unmeasured:
                raise
            return None
        self._reach.good()
        return found


def _length(output: TaskOutput) -> int:
    return len(output.logs) + len(output.error) + len(output.error_trace) + len(output.result)


def _progress(runs: tuple[Run, ...]) -> dict[str, object]:
    """Nothing that is known of tasks: a list tells states only."""
    return {} if runs and runs[0].state.active else {"progress": None, "progress_unit": ""}
