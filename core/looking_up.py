"""Looks before an act and after one of unknown end: what is there already, and what of it is ours to take up.

Never starts, repeats or changes anything. Whatever cannot be seen stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from .bundle import Resource
from .journal import Operation
from .leftovers import wait_for_end
from .runs import Run
from .workspace import WorkspaceError
from .world import World

KNOWN_RUNS = 20  # of a job, or updates of a pipeline, that are written down before a start
CLI_SECONDS = 3600.0  # how long a program that outlived us is waited for: the longest that we let one run
SKEW_MS = 10 * 60_000  # clocks of here and there may differ by so much


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before a start: the newest runs (or updates) of the resource, and the one that is active."""

    id: str
    known: tuple[str, ...] = ()
    active: str = ""

    def as_data(self) -> dict[str, Any]:
        """For the intent."""
        return {"resource_id": self.id, "known": list(self.known)}


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of an operation of unknown end: done (then `run_id` where it started something), or not.

    `still_runs`: the program that was started for it goes on, and must not be started beside itself.
    """

    outcome: Literal["done", "not_done", "unknown"]
    run_id: str = ""
    url: str = ""
    reason: str = ""
    still_runs: bool = False


class Lookup:
    """Asks the workspace. Raises WorkspaceError where it cannot be asked."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def before(self, resource: Resource) -> Before:
        """What is there of a job or pipeline; nothing where it has no id yet."""
        if not resource.id:
            return Before("")
        workspace = self._world.open_workspace()
        if resource.type == "pipelines":
            updates = await workspace.updates(resource.id, KNOWN_RUNS)
            active = next((update.update_id for update in updates if not update.ended), "")
            return Before(resource.id, tuple(update.update_id for update in updates), active)
        runs = await workspace.runs_of(resource.id, KNOWN_RUNS)
        active = next((run.run_id for run in runs if run.state.active), "")
        return Before(resource.id, tuple(run.run_id for run in runs), active)

    async def deploy_mark(self) -> str:
        """When the bundle's metadata in the workspace was last written: the last thing a whole deploy does.

        Empty where there is none, or where nobody can tell: then a deploy of unknown end stays unknown.
        """
        world = self._world
        path = state_path(world.bundle.file_path)
        if not path or world.workspace is None:
            return ""
        try:
            found = await world.workspace.request("GET", "/api/2.0/workspace/get-status", {"path": path})
        except WorkspaceError as error:
            return "none" if error.kind == "not_found" else ""
        return str(found.get("modified_at") or "")

    async def after(self, operation: Operation) -> Seen:
        """What became of an operation whose end nobody wrote down. Its program, where one still runs, is waited for."""
        if not await wait_for_end(operation.token, self._world.clock, CLI_SECONDS):
            reason = f"what an earlier process had started still runs: {operation.command}"
            return Seen("unknown", reason=reason, still_runs=True)
        look = {"deploy": self._deploy, "run": self._run, "update": self._update, "repair": self._repair}
        handler = look.get(operation.kind)
        return await handler(operation) if handler else Seen("unknown")

    async def _deploy(self, operation: Operation) -> Seen:
        before, now = str(operation.intent.get("mark", "")), await self.deploy_mark()
        if not before or not now:
            return Seen("unknown", reason="the deployment's metadata cannot be read")
        return Seen("done") if now != before else Seen("not_done")

    async def new_since(self, resource: Resource, before: Before) -> Seen:
        """What a start that went wrong has begun all the same: a run (or update) that was not there before it."""
        if not before.id:
            return Seen("not_done")
        known, user = frozenset(before.known), self._world.state.identity.user
        if resource.type == "pipelines":
            return await self._new_update(before.id, known, self._world.clock.now_ms())
        return await self._new_run(before.id, known, user, self._world.clock.now_ms())

    async def _run(self, operation: Operation) -> Seen:
        job_id = str(operation.intent.get("resource_id") or "") or self._id_of(operation.key)
        if not job_id:
            return Seen("not_done")
        known, asked = _names(operation.intent, "known"), epoch_ms(operation.intent_at)
        return await self._new_run(job_id, known, operation.user, asked)

    async def _new_run(self, job_id: str, known: frozenset[str], user: str, asked_ms: int) -> Seen:
        runs = await self._world.open_workspace().runs_of(job_id, KNOWN_RUNS + 5)
        mine = [run for run in runs if run.run_id not in known and _may_be_ours(run, user, asked_ms)]
        # The oldest one that is new: whatever was started later was started by somebody who saw this one.
        return Seen("done", mine[-1].run_id, mine[-1].page_url) if mine else Seen("not_done")

    async def _update(self, operation: Operation) -> Seen:
        pipeline_id = str(operation.intent.get("resource_id") or "") or self._id_of(operation.key)
        if not pipeline_id:
            return Seen("not_done")
        known, asked = _names(operation.intent, "known"), epoch_ms(operation.intent_at)
        return await self._new_update(pipeline_id, known, asked)

    async def _new_update(self, pipeline_id: str, known: frozenset[str], asked_ms: int) -> Seen:
        updates = await self._world.open_workspace().updates(pipeline_id, KNOWN_RUNS + 5)
        mine = [
            update
            for update in updates
            if update.update_id not in known
            and update.cause in ("API_CALL", "")  # not the platform's, a job's or a schedule's
            and (not update.creation_ms or not asked_ms or update.creation_ms >= asked_ms - SKEW_MS)
        ]
        return Seen("done", mine[-1].update_id) if mine else Seen("not_done")

    async def _repair(self, operation: Operation) -> Seen:
        run_id = str(operation.intent.get("run_id", ""))
        run = await self._world.open_workspace().run(run_id)
        repairs = sum(item.kind == "REPAIR" for item in run.repairs)
        before = operation.intent.get("repairs", 0)
        grown = repairs > (before if isinstance(before, int) else 0)
        return Seen("done", run_id, run.page_url) if grown or run.state.active else Seen("not_done")

    def _id_of(self, ref: str) -> str:
        resource = self._world.resource(ref)
        return resource.id if resource else ""


def _may_be_ours(run: Run, user: str, asked_ms: int) -> bool:
    """Whether a run can be the one that this user asked for then: a schedule's runs carry its owner's name too."""
    if run.creator and user and run.creator.casefold() != user.casefold():
        return False
    if run.trigger not in ("ONE_TIME", ""):
        return False
    return not run.start_ms or not asked_ms or run.start_ms >= asked_ms - SKEW_MS


def state_path(file_path: str) -> str:
    """Where the CLI writes `metadata.json`, beside the folder of the files; empty where that is not known."""
    return f"{file_path.removesuffix('/files')}/state/metadata.json" if file_path.endswith("/files") else ""


def epoch_ms(text: str) -> int:
    """Epoch ms of an ISO 8601 time in UTC; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp() * 1000)
    except ValueError:
        return 0


def _names(data: Mapping[str, Any], key: str) -> frozenset[str]:
    value = data.get(key)
    return frozenset(map(str, value)) if isinstance(value, (list, tuple)) else frozenset()
