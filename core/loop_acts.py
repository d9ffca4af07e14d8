"""What each command of the loop's machine means: deploy, start, repair, follow, diagnose, seek a fix, verify.

Answers the machine with events. What an earlier process did, or what ended in the unknown, is looked at before it is
done again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from . import loop_model as machine
from .acting import Acting, Begun
from .blocked import of_sign_in, passing, unmeasured
from .bundle import Resource
from .diagnosing import Diagnosing
from .events import Check, FixAppliedEvent, IdentityKnown, RunStartedEvent, Verified
from .failures import latest_tasks
from .fixing import Fixing
from .guard import LOGIN, PROFILE, Refused
from .identifying import Identifying
from .job_runs import JobRuns
from .job_shape import has_wheels, same_shape
from .journal import Operation
from .learning import remember_lesson
from .looking_up import Lookup
from .loop_model import DEPLOY_REF, LoopState
from .loop_operations import LoopOperations
from .loop_runner import LoopRunner
from .pipeline_updates import PipelineUpdates
from .pipelines import Update
from .propose_context import SAFE_CONFIDENCE
from .reachability import Reachability
from .report import FixRecord, StartRecord
from .run_stats import partial_success
from .runs import Outcome, Run
from .snapshots import Snapshot
from .stages import LoopOutcome, Stage
from .syncrules import SyncRules
from .truth import Truth
from .verifying import Verifying
from .workspace import WorkspaceError
from .world import World

REPAIRABLE = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SUCCEEDED_WITH_FAILURES, Outcome.CANCELED})
OUTAGE_SECONDS = 3 * 3600.0


class LoopActs:
    """Carries out commands. `patience` is how long a person's edit is waited for in seconds; None: for ever."""

    def __init__(
        self,
        world: World,
        runner: LoopRunner,
        *,
        reach: Reachability,
        identifying: Identifying,
        truth: Truth,
        acting: Acting,
        lookup: Lookup,
        jobs: JobRuns,
        updates: PipelineUpdates,
        diagnosing: Diagnosing,
        fixing: Fixing,
        verifying: Verifying,
    ) -> None:
        self._world, self._runner, self._reach = world, runner, reach
        self._identifying, self._truth = identifying, truth
        self._acting, self._lookup = acting, lookup
        self._jobs, self._updates = jobs, updates
        self._diagnosing, self._fixing, self._verifying = diagnosing, fixing, verifying
        self.patience: float | None = None
        self.headless = False
        self._operations = LoopOperations(world, runner)
        self._seeking: asyncio.Task[Any] | None = None
        self._do: dict[type, Callable[[Any], Awaitable[None]]] = {
            machine.ResolveIdentity: self._identify,
            machine.Deploy: self._deploy,
            machine.StartRun: self._start,
            machine.Repair: self._repair,
            machine.LookBeforeStart: self._look_before_start,
            machine.Follow: self._follow,
            machine.Diagnose: self._diagnose,
            machine.SeekFix: self._seek,
            machine.Verify: self._verify,
        }

    @property
    def _state(self) -> LoopState:
        return self._runner.state

    @property
    def _automatic(self) -> bool:
        return not self._runner.confirmed

    def reset(self) -> None:
        """A loop begins: nothing of the one before is left."""
        self._diagnosing.forget()
        self._fixing.tried.clear()
        if self._seeking is not None:
            self._seeking.cancel()

    async def do(self, command: machine.Command) -> None:
        """Carry out one command. Raises WorkspaceError where it could not be measured: then it is done again."""
        await self._do[type(command)](command)

    def stage_left(self) -> None:
        """The loop went on without the fix that is sought: stop looking for one."""
        if self._seeking is not None and self._state.stage is not Stage.FIX:
            self._seeking.cancel()
            self._seeking = None

    async def cannot(self, command: machine.Command, reason: str) -> None:
        """It cannot be done, and trying again would not help: the machine is told so in place of its end."""
        ref = str(getattr(command, "ref", ""))
        match command:
            case machine.Deploy():
                if of_sign_in(reason):
                    self._runner.refusal = Refused(reason, exit_code=3, flag=LOGIN)
                await self._runner.feed(machine.DeployEnded("blocked", reason))
            case machine.StartRun() | machine.Repair() | machine.LookBeforeStart():
                await self._not_started(ref, reason)
            case machine.Follow(run_id=run_id):
                self._diagnosing.unread[ref] = reason
                await self._runner.feed(machine.RunEnded(ref, run_id, ok=False))
            case machine.Diagnose():
                self._diagnosing.unread[ref] = reason
                await self._diagnose(command)
            case machine.Verify():
                self._diagnosing.unverified[ref] = (Check("what it did", False, reason),)
                await self._runner.feed(machine.VerifyEnded(ref, ok=False))
            case machine.SeekFix():
                await self._runner.feed(machine.NoFix(reason))
            case _:
                await self._refuse(Refused(reason, exit_code=3, flag=PROFILE))

    # --- who acts where ----------------------------------------------------------------------------------------------

    async def _identify(self, command: machine.ResolveIdentity) -> None:
        try:
            here = await self._identifying.resolve()
        except Refused as refused:
            await self._refuse(refused)
            return
        except WorkspaceError as error:
            self._reach.bad(error)
            if not self.headless and error.unmeasured:
                raise
            code = 3 if error.kind in ("signed_out", "forbidden") else 4
            self._runner.retryable = error.unmeasured
            await self._refuse(Refused(error.message, exit_code=code, flag=PROFILE if code == 3 else ""), told=True)
            return
        self._reach.good()
        self._runner.note_identity()
        self._world.emit(IdentityKnown(here.host, here.profile, here.user, here.target, here.mode))
        left = self._world.state.cleanup
        if left:
            await self._refuse(Refused(left, exit_code=3, flag="--keep-deployed"))
            return
        await self._runner.feed(machine.IdentityResolved())

    async def _refuse(self, refused: Refused, *, told: bool = False) -> None:
        """The loop does not begin; `told`: people have read the reason already."""
        self._runner.refusal = refused
        if not told:
            self._world.refused(refused)
        await self._runner.feed(machine.IdentityRefused(refused.reason))

    # --- deploy ------------------------------------------------------------------------------------------------------

    async def _deploy(self, command: machine.Deploy) -> None:
        self.stage_left()
        known = await self._deploy_of_before(command.iteration)
        self._runner.taken_up = False
        if known is not None:
            await self._deployed(known)
            return
        await self._wait_for_wheels()
        if not self._world.bundle.file_path:
            # It was asked for before the CLI had answered: where the deploy's mark lies has to be known first.
            await self._truth.ask()
        try:
            await self._identifying.confirm()
            deployed = await self._acting.deploy(
                confirmed=self._runner.confirmed, automatic=self._automatic, iteration=command.iteration
            )
        except Refused as refused:
            self._runner.refusal = refused
            self._world.refused(refused)
            await self._runner.feed(machine.DeployEnded("blocked", refused.reason))
            return
        outcome, reason = deployed.outcome, deployed.reason
        if outcome == "blocked" and passing(reason):
            # Nothing was measured of the bundle: it waits, and is deployed again in the same round.
            raise unmeasured(reason)
        if outcome == "failed":
            self._diagnosing.deploy_text = deployed.text
            # What could be deployed was: ids and all that is known of it.
            self._world.spawn(self._truth.ask(), "summary")
        elif outcome == "ok":
            self._diagnosing.forget()
            await self._truth.ask()
        self._runner.retryable = outcome == "blocked"
        current = deployed.source is not None and deployed.source.untouched(await self._source_now())
        await self._deployed(machine.DeployEnded(outcome, reason, current))

    async def _source_now(self) -> Snapshot:
        return await asyncio.to_thread(Snapshot.take, SyncRules.of(self._world.bundle))

    async def _deployed(self, event: machine.DeployEnded) -> None:
        await self._runner.feed(event)
        if event.outcome == "unknown":
            self._look_again(machine.Deploy(self._state.iteration), event.reason)

    async def _deploy_of_before(self, iteration: int) -> machine.DeployEnded | None:
        """How the deploy of this round ended, where an earlier process, or an end in the unknown, left that open."""
        operation, taken_up = await self._operations.last(("deploy",), iteration), self._runner.taken_up
        if operation is None:
            return None
        if operation.outcome in ("done", "refused") and not taken_up:
            return None
        if operation.outcome == "done":
            return await self._found_deployed(operation)
        if operation.outcome == "refused":
            if operation.result.get("blocked") or not operation.result.get("stderr"):
                return None
            self._diagnosing.deploy_text = str(operation.result["stderr"])
            return machine.DeployEnded("failed", str(operation.result.get("reason", "")))
        self._world.hold("looking whether the last deploy came to its end")
        seen = await self._lookup.after(operation)
        if seen.outcome == "done":
            await self._operations.close(operation, "done")
            return await self._found_deployed(operation)
        if seen.still_runs:
            return machine.DeployEnded("blocked", seen.reason)
        # A deploy says the whole of what should be: where nobody can tell, it is done again, and changes nothing new.
        await self._operations.close(operation, "refused", reason=seen.reason or "it did not come to its end")
        return None

    async def _found_deployed(self, operation: Operation) -> machine.DeployEnded | None:
        """The deploy had come to its end; unless the source was edited since, that is the deploy of this round."""
        now = await self._source_now()
        if operation.intent.get("source") not in ("", None, now.digest):
            return None
        self._acting.source = now
        await self._truth.ask()
        return machine.DeployEnded("ok", current=True)

    async def _wait_for_wheels(self) -> None:
        """A deploy replaces the wheels that running jobs still read (cli#2958): wait for the runs that would break."""
        world = self._world
        jobs = {r.id: r for r in world.bundle.resources if r.type == "jobs" and r.id and has_wheels(r.config)}
        until = world.clock.monotonic() + OUTAGE_SECONDS
        while jobs and world.clock.monotonic() < until:
            active = [run for run in await world.open_workspace().active_runs() if run.job_id in jobs]
            if not active:
                return
            named = ", ".join(f"{jobs[run.job_id].key} (run {run.run_id})" for run in active[:3])
            world.hold(f"a deploy would replace the wheel that {named} still runs from: waiting for its end")
            await world.clock.sleep(15.0)

    # --- starts ------------------------------------------------------------------------------------------------------

    async def _start(self, command: machine.StartRun) -> None:
        await self._begin(command.ref)

    async def _with_id(self, ref: str) -> Resource | None:
        """The resource with its id: without that, what is started of it could neither be followed nor found again."""
        resource = self._world.resource(ref)
        if resource is None or resource.id or resource.type not in ("jobs", "pipelines"):
            return resource
        await self._truth.ask()
        resource = self._world.resource(ref)
        if resource is not None and not resource.id and self._state.deploy_first:
            raise WorkspaceError("server", f"the summary of what was deployed does not tell the id of {ref}")
        return resource

    async def _begin(self, ref: str) -> None:
        resource = await self._with_id(ref)
        if resource is None or resource.type not in ("jobs", "pipelines"):
            await self._not_started(ref, "it is no job or pipeline of this bundle")
            return
        try:
            await self._identifying.confirm()
            begun = await self._acting.start(
                resource,
                confirmed=self._runner.confirmed,
                automatic=self._automatic,
                iteration=self._state.iteration,
            )
        except Refused as refused:
            self._runner.refusal = refused
            await self._not_started(ref, refused.reason)
            return
        if begun.kind == "adopted":
            # What runs already does not have what was just deployed: it is let end, and not fought.
            self._world.hold(f"update {begun.run_id[:8]} is under way already: waiting for its end")
            ended: asyncio.Event = asyncio.Event()
            await self._updates.follow(ref, begun.run_id, lambda _: ended.set(), lambda _: ended.set())
            await ended.wait()
            await self._begin(ref)
            return
        await self._answer(ref, begun)

    async def _repair(self, command: machine.Repair) -> None:
        resource = self._world.resource(command.ref)
        if resource is None or resource.type != "jobs":
            await self._begin(command.ref)
            return
        run = self._jobs.last(command.run_id)
        if run is None:
            # It ended in an earlier process, or long ago.
            with contextlib.suppress(WorkspaceError):
                run = await self._world.open_workspace().run(command.run_id)
        if run is not None and not same_shape(run, resource.config):
            event = machine.StartFailed(command.ref, "the job has other tasks now", repair_impossible=True)
            await self._runner.feed(event)
            return
        try:
            await self._identifying.confirm()
            begun = await self._acting.repair(
                command.ref,
                command.run_id,
                confirmed=self._runner.confirmed,
                automatic=self._automatic,
                iteration=self._state.iteration,
            )
        except Refused as refused:
            self._runner.refusal = refused
            await self._not_started(command.ref, refused.reason)
            return
        await self._answer(command.ref, begun)

    async def _answer(self, ref: str, begun: Begun) -> None:
        if begun.run_id:
            await self._started(ref, begun.run_id, begun.kind, begun.url)
        elif begun.repair_impossible:
            await self._runner.feed(machine.StartFailed(ref, begun.reason, repair_impossible=True))
        elif begun.unknown:
            await self._runner.feed(machine.StartFailed(ref, begun.reason, unknown=True))
            self._look_again(machine.LookBeforeStart(ref), begun.reason)
        elif begun.blocked and (begun.passing or passing(begun.reason)):
            raise unmeasured(begun.reason)
        else:
            await self._not_started(ref, begun.reason)

    async def _started(self, ref: str, run_id: str, kind: str, url: str) -> None:
        resource = self._world.resource(ref)
        pipeline = resource is not None and resource.type == "pipelines"
        self._runner.note_start(StartRecord(ref, kind, run_id, url))
        self._world.emit(
            RunStartedEvent(
                ref,
                kind,
                run_id="" if pipeline else run_id,
                update_id=run_id if pipeline else "",
                pipeline_id=resource.id if resource is not None and pipeline else "",
                url=url,
            )
        )
        await self._runner.feed(machine.Started(ref, run_id))

    async def _not_started(self, ref: str, reason: str) -> None:
        self._diagnosing.start_problem[ref] = reason
        await self._runner.feed(machine.StartFailed(ref, reason))

    def _look_again(self, what: machine.Command, reason: str) -> None:
        """Nobody knows how it ended: a little later, and as soon as the workspace answers, it is looked for."""

        async def look() -> None:
            if not await self._runner.try_again(what, reason):
                await self._runner.feed(machine.Resumed(dropping=True))
                await self.cannot(what, reason)
            elif await self._reach.ask():
                await self._runner.feed(machine.Resumed())

        self._world.spawn(look(), "look again")

    async def _look_before_start(self, command: machine.LookBeforeStart) -> None:
        ref = command.ref
        goal = self._state.goal(ref)
        operation = await self._operations.last(("run", "update", "repair"), self._state.iteration, ref)
        if operation is not None and operation.outcome == "done":
            run_id = str(operation.result.get("run_id", ""))
            await self._started(ref, run_id, "adopted", str(operation.result.get("url", "")))
            return
        if operation is not None and operation.outcome in ("", "unknown"):
            self._world.hold(f"looking whether the start of {ref} arrived")
            seen = await self._lookup.after(operation)
            if seen.outcome == "done":
                await self._operations.close(operation, "done", run_id=seen.run_id, url=seen.url, adopted=True)
                await self._started(ref, seen.run_id, "adopted", seen.url)
                return
            if seen.outcome == "unknown":
                await self._not_started(ref, seen.reason or "nobody knows whether it was started")
                return
            await self._operations.close(operation, "refused", reason="it did not arrive")
        if goal is not None and goal.repairable and goal.run_id:
            await self._repair(machine.Repair(ref, goal.run_id))
        else:
            await self._begin(ref)

    # --- to the end of a run -----------------------------------------------------------------------------------------

    async def _follow(self, command: machine.Follow) -> None:
        ref, run_id = command.ref, command.run_id
        resource = await self._with_id(ref)
        if not self._world.state.focus:
            self._world.store.set(focus=ref)

        def told(ended: Run | Update) -> None:
            # What went wrong in it is read now; where that fails, the run is followed again, to its end.
            self._world.spawn(self._runner.attempt(command, self._run_ended(ref, run_id, ended)), "run ended")

        def gone(reason: str) -> None:
            self._world.spawn(self._runner.attempt(command, self.cannot(command, reason)), "run gone")

        if resource is not None and resource.type == "pipelines":
            await self._updates.follow(ref, run_id, told, gone)
        else:
            await self._jobs.follow(ref, run_id, told, gone)
        self._runner.publish(self._state)

    async def _run_ended(self, ref: str, run_id: str, ended: Run | Update) -> None:
        if isinstance(ended, Update):
            await self._runner.feed(machine.RunEnded(ref, run_id, ok=not ended.failed))
            return
        ok = ended.state.succeeded
        if not ok:
            await self._jobs.load_failures(ended)
            state, percent = self._world.state, self._world.config.partial_percent
            ok = partial_success(ended, state.child_runs, state.iterations, percent=percent) is not None
        repairable = ended.state.outcome in REPAIRABLE and len(latest_tasks(ended)) > 0
        await self._runner.feed(machine.RunEnded(ref, run_id, ok=ok, repairable=repairable))

    async def _verify(self, command: machine.Verify) -> None:
        ref = command.ref
        goal = self._state.goal(ref)
        resource = self._world.resource(ref)
        if goal is None or resource is None:
            await self._runner.feed(machine.VerifyEnded(ref, ok=False))
            return
        workspace = self._world.open_workspace()
        if resource.type == "pipelines":
            verdict = await self._verifying.update(
                ref, await workspace.update(resource.id, self._updates.last_of(goal.run_id))
            )
        else:
            run = self._jobs.last(goal.run_id)
            if run is None or run.state.active:
                run = await workspace.run(goal.run_id)
            verdict = await self._verifying.run(ref, run)
        self._world.emit(Verified(ref, verdict.ok, verdict.partial, verdict.checks))
        if not verdict.ok:
            self._diagnosing.unverified[ref] = verdict.checks
        else:
            self._diagnosing.forget((ref,))
        await self._runner.feed(machine.VerifyEnded(ref, verdict.ok, verdict.partial))

    # --- why, and how to mend it --------------------------------------------------------------------------------------

    async def _diagnose(self, command: machine.Diagnose) -> None:
        await self._explain(command.ref)
        await self._runner.feed(machine.Diagnosed(command.ref))

    async def _explain(self, ref: str) -> None:
        goal = self._state.goal(ref)
        if ref == DEPLOY_REF and not self._diagnosing.deploy_text:
            operation = await self._operations.last(("deploy",), self._state.iteration)
            self._diagnosing.deploy_text = str(operation.result.get("stderr", "")) if operation else ""
        await self._diagnosing.of(ref, goal.run_id if goal is not None else "")
        self._runner.note_errors(self._diagnosing.errors(ref))

    async def _seek(self, command: machine.SeekFix) -> None:
        self._diagnosing.forget(goal.ref for goal in self._state.goals if goal.settled)
        self._seeking = asyncio.current_task()
        try:
            if self._runner.taken_up and await self._edited_before(command.iteration):
                self._runner.taken_up = False
                return
            self._runner.taken_up = False
            sought = await self._fixing.seek(command.iteration)
        except Refused as refused:
            self._runner.refusal = refused
            await self._runner.feed(machine.NoFix(refused.reason))
            return
        if sought.record is not None:
            self._runner.note_fix(sought.record, command.iteration)
        self._runner.sought = True
        if sought.event is None and self.patience is not None:
            await self._wait_for_person()
            return
        if sought.event is not None:
            self._seeking = None
            await self._runner.feed(sought.event)
        else:
            self._runner.publish()

    async def _wait_for_person(self) -> None:
        assert self.patience is not None
        if self.patience > 0:
            self._runner.publish()
            await self._world.clock.sleep(self.patience)
        self._seeking = None
        await self._runner.feed(machine.NoFix(f"{self._what_is_known()}, and nobody edited the source"))

    def _what_is_known(self) -> str:
        """What is known against the failures, as the first half of a sentence."""
        found = [each for each in self._world.state.diagnoses if each.cause != "unknown"]
        if not found:
            return "no row of the matrix knows this failure"
        safe = [d for d in found if any(fix.patch is not None and fix.confidence >= SAFE_CONFIDENCE for fix in d.fixes)]
        causes = ", ".join(dict.fromkeys(each.cause for each in safe or found))
        if safe and self._fixing.apply != "safe":
            return f"a safe patch for {causes} is known, and was not asked for (--apply safe)"
        return f"no safe fix is known for {causes}"

    async def _edited_before(self, iteration: int) -> bool:
        """Whether the fix of this round was made already, by an earlier process or while none ran."""
        failed = [DEPLOY_REF] if self._state.failed_stage in (Stage.DEPLOY, Stage.REDEPLOY) else []
        failed += [goal.ref for goal in self._state.goals if goal.state is machine.GoalState.FAILED]
        for ref in failed:
            await self._explain(ref)
        deploy = await self._operations.last(("deploy",), iteration)
        edit = await self._edit_of_before(iteration)
        now = await self._source_now()
        if deploy is None or deploy.intent.get("source") in (None, "", now.digest):
            if edit is not None and edit.outcome != "done":
                await self._operations.close(edit, "refused", reason="it had changed nothing")
            return False
        if edit is None:
            await self._runner.feed(machine.SourceChanged())
            return self._state.stage is not Stage.FIX
        await self._operations.close(edit, "done")
        files = tuple(map(str, edit.result.get("files") or edit.intent.get("files") or ()))
        diff = str(edit.result.get("diff") or edit.intent.get("diff") or "")
        self._runner.note_fix(FixRecord(edit.key, edit.kind, files, diff, "before the restart"), iteration)
        if not await self._told_of(edit):
            self._world.emit(FixAppliedEvent(files, edit.key, edit.kind, diff))
        await self._runner.feed(machine.FixApplied(files))
        return True

    async def _edit_of_before(self, iteration: int) -> Operation | None:
        """The edit that an earlier process made in this round, or was at; None where it had not begun to write."""
        edit = await self._operations.last(("patch", "fixer"), iteration)
        if edit is None or edit.outcome == "refused":
            return None
        if edit.outcome == "done":
            return edit
        if edit.kind == "fixer":
            self._world.hold("waiting for the end of the fixer that an earlier process started")
            if (await self._lookup.after(edit)).still_runs:
                raise Refused(f"the fixer that an earlier process started still runs: {edit.command}")
            return edit
        if await self._fixing.left_over(edit):
            return edit
        await self._operations.close(edit, "refused", reason="nothing was written")
        return None

    async def _told_of(self, edit: Operation) -> bool:
        """Whether the earlier process came to tell of its edit."""
        journal = self._world.journal
        events = await journal.events(self._runner.loop_id, 20_000) if journal is not None else ()
        return any(name == "fix.applied" and at >= edit.intent_at for at, name, _ in events)

    async def person_edited(self, files: tuple[str, ...]) -> None:
        """The source was edited by a person (or by a fix of ours, which is written down already)."""
        source, stage = self._acting.source, self._state.stage
        if self._fixing.at_work:
            return  # whoever is at work says when it is done
        if source is not None and stage not in (Stage.DEPLOY, Stage.REDEPLOY):
            now = await self._source_now()
            if source.untouched(now):
                return  # told late: the last deploy has it
            ours = self._ours()
            names = tuple(name for name in files if name not in ours)
            if names and stage is Stage.FIX:
                diff = source.diff(now, names)
                self._runner.note_fix(FixRecord(f"edited {', '.join(names[:5])}", "person", names, diff))
        await self._runner.feed(machine.SourceChanged(files))

    def _ours(self) -> set[str]:
        record = self._runner.record
        rounds = record.rounds if record is not None else ()
        fixes = [fix for item in rounds if item.iteration == self._state.iteration for fix in item.fixes]
        return {file for fix in fixes if fix.source in ("patch", "fixer") for file in fix.files}

    async def after_end(self, outcome: LoopOutcome) -> None:
        """Leave nothing running for this loop, and keep what it taught."""
        self.stage_left()
        if outcome in (LoopOutcome.VERIFIED, LoopOutcome.PARTIAL, LoopOutcome.DEPLOYED):
            self._diagnosing.forget()
        record, journal = self._runner.record, self._world.journal
        if record is not None and journal is not None:
            offer = await remember_lesson(journal, record)
            self._world.store.set(learnable=offer)
