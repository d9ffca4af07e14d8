"""From a resource that failed to its causes on show: collects what failed, explains it in a thread, tells and keeps it.

Never mends anything; what it found is on the State, in the events, and in the record of the round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..matrix.model import Diagnosis, Failure, Fix
from .bundle import Bundle
from .cli_words import CliProblem
from .events import Check, FailureDiagnosed, FixProposed
from .failures import Explained, Found, explain, of_deploy, of_run, root_causes
from .job_runs import JobRuns
from .learned_rows import matrix_for
from .loop_model import DEPLOY_REF
from .patches import diff_of
from .pipeline_updates import PipelineUpdates
from .report import ErrorRecord
from .state import Identity
from .world import World

MOST_ERRORS = 200  # kept of one round


class Diagnosing:
    """`of(ref)` explains the latest failure of a resource, or of the deploy."""

    def __init__(self, world: World, jobs: JobRuns, updates: PipelineUpdates) -> None:
        self._world = world
        self._jobs = jobs
        self._updates = updates
        self._by_ref: dict[str, list[Explained]] = {}
        self.deploy_text = ""  # what the CLI said of the deploy that failed last
        self.unverified: dict[str, tuple[Check, ...]] = {}  # ref -> the checks of a run that ended well but is not
        self.start_problem: dict[str, str] = {}  # ref -> why it could not be started
        self.unread: dict[str, str] = {}  # ref -> why it cannot be read what it failed of

    async def of(self, ref: str, run_id: str = "", *, told: bool = True) -> list[Explained]:
        """Explain and show, and tell it as what happened now. Raises WorkspaceError where it cannot be read."""
        found = await self.collect(ref, run_id)
        schema = await self._schema() if ref == DEPLOY_REF else None
        bundle, identity = self._world.state.bundle, self._world.state.identity
        explained = await asyncio.to_thread(lambda: self._explain(found, bundle, schema, identity))
        if ref in self.unread:
            # What kept us from reading may pass; what failed there does not pass with it, and is not started again.
            explained = [replace(e, diagnoses=tuple(d for d in e.diagnoses if not d.retryable)) for e in explained]
        self._by_ref[ref] = explained
        self._show()
        for diagnosis in root_causes(explained) if told else ():
            task = diagnosis.task_keys[0] if diagnosis.task_keys else ""
            where = next((e.found for e in explained if e.diagnoses and e.diagnoses[0].cause == diagnosis.cause), None)
            self._world.emit(FailureDiagnosed(ref, diagnosis, where.run_id if where else run_id, task))
            for fix in diagnosis.fixes:
                diff = diff_of(bundle.root, fix.patch) if bundle is not None and fix.patch is not None else ""
                self._world.emit(FixProposed(ref, fix, diff))
        return explained

    async def collect(self, ref: str, run_id: str = "") -> list[Found]:
        """What failed, with everything that is needed to say why."""
        if ref == DEPLOY_REF:
            return of_deploy(self.deploy_text)
        if ref in self.unread:
            text = f"what {ref} failed of cannot be read: {self.unread[ref]}"
            return [Found(Failure(text, "cli_stderr", resource_key=ref), ref, run_id)]
        if ref in self.start_problem:
            return [Found(Failure(self.start_problem[ref], "cli_stderr", resource_key=ref), ref)]
        resource = self._world.resource(ref)
        if resource is not None and resource.type == "pipelines":
            found = await self._updates.failures(ref, run_id)
        else:
            found = await self._of_job(ref, run_id)
        return found or self._of_checks(ref, run_id)

    async def _of_job(self, ref: str, run_id: str) -> list[Found]:
        run = self._jobs.last(run_id) or await self._world.open_workspace().run(run_id)
        if not run.state.failed:
            return []
        await self._jobs.load_failures(run)
        state = self._world.state
        found = of_run(run, ref, state.outputs, state.child_runs, iterations=state.iterations)
        pipelines = {r.id: r for r in self._world.bundle.resources if r.type == "pipelines" and r.id}
        for index, item in enumerate(found):
            task = self._jobs.task(item.task_run_id)
            pipeline = pipelines.get(task.pipeline_id) if task is not None else None
            if task is None or pipeline is None:
                continue
            # What a pipeline task failed of stands in the events of the update that it started.
            await self._updates.update_of_task(task)
            update = self._world.state.child_updates.get(task.run_id)
            if update is not None:
                inner = await self._updates.failures(pipeline.ref, update.update_id)
                found[index : index + 1] = inner or [item]
        return found

    def _of_checks(self, ref: str, run_id: str) -> list[Found]:
        bad = [check for check in self.unverified.get(ref, ()) if not check.ok]
        if not bad:
            return []
        text = "\n".join(f"not verified: {check.what}: {check.detail}" for check in bad)
        return [Found(Failure(text, resource_key=ref), ref, run_id)]

    def _explain(
        self, found: list[Found], bundle: Bundle | None, schema: dict[str, Any] | None, identity: Identity
    ) -> list[Explained]:
        world = self._world
        matrix, _ = matrix_for(bundle.root if bundle is not None else None, world.env, world.config.matrix)
        fields = field_names(schema) if schema else ()
        return explain(found, bundle, known_fields=fields, matrix=matrix, schema=schema, identity=identity)

    async def _schema(self) -> dict[str, Any] | None:
        """What the CLI says of the fields that a bundle may have; None where it does not answer."""
        try:
            return await self._world.cli.schema()
        except CliProblem:
            return None

    # --- what is on show ----------------------------------------------------------------------------------------------

    def _show(self) -> None:
        diagnoses = root_causes(item for explained in self._by_ref.values() for item in explained)
        self._world.store.set(diagnoses=diagnoses, fixes=diagnoses[0].fixes if diagnoses else (), check=None)

    def forget(self, refs: Iterable[str] | None = None) -> None:
        """Nothing is wrong with these any more (with none named: with any)."""
        every = {*self._by_ref, *self.unverified, *self.start_problem, *self.unread}
        for ref in every if refs is None else tuple(refs):
            self._by_ref.pop(ref, None)
            self.unverified.pop(ref, None)
            self.start_problem.pop(ref, None)
            self.unread.pop(ref, None)
        self._show()

    def explained(self, ref: str) -> tuple[Explained, ...]:
        """What was found of one resource."""
        return tuple(self._by_ref.get(ref, ()))

    def failed(self) -> tuple[Explained, ...]:
        """Everything that is explained, resource by resource."""
        return tuple(item for explained in self._by_ref.values() for item in explained)

    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """The root causes of everything that failed, those that explain most first."""
        return self._world.state.diagnoses

    def fixes(self) -> tuple[Fix, ...]:
        """The proposals for all root causes, in their order."""
        return tuple(fix for diagnosis in self.diagnoses() for fix in diagnosis.fixes)

    def errors(self, ref: str) -> tuple[ErrorRecord, ...]:
        """For the record of the round."""
        return tuple(
            ErrorRecord(
                ref=item.found.ref,
                message=item.found.failure.text[:4_000] or item.found.message,
                run_id=item.found.run_id,
                task_key=item.found.task_key,
                task_run_id=item.found.task_run_id,
                url=item.found.url,
                diagnosis=item.diagnoses[0] if item.diagnoses else None,
            )
            for item in self._by_ref.get(ref, ())[:MOST_ERRORS]
        )


def field_names(schema: object) -> tuple[str, ...]:
    """The names of all properties in a JSON schema, each once."""
    found: dict[str, None] = {}
    stack: list[object] = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            properties = value.get("properties")
            if isinstance(properties, dict):
                found |= dict.fromkeys(map(str, properties))
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return tuple(found)
