"""Everything the engine does to a workspace, one method an act: permit, intent, call, result, and what is known then.

Never decides whether an act is allowed (the guard does) nor what comes next (the loop does), and repeats nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from .bundle import Resource
from .cli_words import CliProblem
from .databricks_cli import CliResult
from .guard import Act, Permit, Refused
from .looking_up import Before, Lookup
from .snapshots import Snapshot
from .syncrules import SyncRules
from .workspace import WorkspaceError
from .world import World

T = TypeVar("T")
Outcome = Literal["ok", "failed", "blocked", "unknown"]
KEPT_STDERR = 20_000  # characters, for the diagnosis after a restart


@dataclass(frozen=True, slots=True)
class Deployed:
    """How a deploy ended. `text` is what the CLI said; `source` what of the source it took."""

    outcome: Outcome
    reason: str = ""
    text: str = ""
    source: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """How a start ended: `run_id` is the run (or update); empty where none started, or nobody knows (`unknown`).

    `passing` tells of one that was blocked that it can be tried again later.
    """

    run_id: str = ""
    reason: str = ""
    unknown: bool = False
    blocked: bool = False
    passing: bool = False
    repair_impossible: bool = False
    url: str = ""
    kind: str = "run"


class Acting:
    """The acts. Each raises guard.Refused where it is not allowed; what goes wrong later is in what it returns."""

    def __init__(self, world: World, lookup: Lookup) -> None:
        self._world = world
        self._lookup = lookup
        self._cli_turn = asyncio.Lock()
        self.source: Snapshot | None = None  # what the last deploy took

    # --- deploy and destroy ------------------------------------------------------------------------------------------

    async def deploy(self, *, confirmed: str = "", automatic: bool = False, iteration: int = 0) -> Deployed:
        """`bundle deploy`. Raises Refused."""
        world = self._world
        async with self._cli_turn:
            source = await asyncio.to_thread(Snapshot.take, SyncRules.of(world.bundle))
            data = {"source": source.digest, "iteration": iteration, "mark": await self._lookup.deploy_mark()}
            act = self._act("deploy", world.bundle.name, world.cli.deploy_command(), data=data)
            permit = await world.guard.permit(act, confirmed=confirmed, automatic=automatic)
            self._busy("bundle deploy")
            try:
                result = await self._call(permit, world.cli.deploy(permit, world.cli_line))
            finally:
                self._busy("")
            if isinstance(result, Begun):
                return Deployed("blocked", result.reason)
            outcome = await self._end_cli(permit, result)
        if outcome in ("ok", "failed"):
            self.source = source
        if outcome == "ok":
            world.store.set(pending_files=())
        return Deployed(outcome, result.blocked_reason or result.summary, result.text, source)

    async def destroy(self, *, confirmed: str) -> CliResult:
        """`bundle destroy`, after the typed word. Raises Refused, CliProblem."""
        world = self._world
        async with self._cli_turn:
            words = ["bundle", "destroy", *world.cli.deploy_command()[2:]]
            act = self._act("destroy", world.bundle.name, words)
            permit = await world.guard.permit(act, confirmed=confirmed)
            self._busy("bundle destroy")
            try:
                result = await self._call(permit, world.cli.destroy(permit, world.cli_line))
            finally:
                self._busy("")
            if isinstance(result, Begun):
                raise CliProblem(result.reason)
            await self._end_cli(permit, result)
        return result

    # --- starts ------------------------------------------------------------------------------------------------------

    async def start(
        self,
        resource: Resource,
        *,
        params: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        refresh: Sequence[str] = (),
        full_refresh: Sequence[str] = (),
        full: bool = False,
        validate_only: bool = False,
        confirmed: str = "",
        automatic: bool = False,
        iteration: int = 0,
    ) -> Begun:
        """`bundle run --no-wait` of a job or pipeline. Raises Refused."""
        world = self._world
        pipeline = resource.type == "pipelines"
        async with self._cli_turn:
            before = await self._before(resource)
            if isinstance(before, Begun):
                return before
            words = world.cli.run_command(
                resource.key,
                params=params,
                only=only,
                refresh=refresh,
                full_refresh=full_refresh,
                full_refresh_all=full,
                validate_only=validate_only,
            )
            destructive = bool(full or full_refresh)
            act = self._act(
                "update" if pipeline else "run",
                resource.ref,
                words,
                data={"iteration": iteration, **before.as_data()},
                destructive=destructive,
                confirm_word=resource.key if destructive else "",
            )
            permit = await world.guard.permit(act, confirmed=confirmed, automatic=automatic)
            self._busy(f"bundle run {resource.key}")
            try:
                called = await self._call(permit, world.cli.run_no_wait(permit, words, world.cli_line))
            finally:
                self._busy("")
            if isinstance(called, Begun):
                return called
            result, started = called
            if started is not None and (started.run_id or started.update_id):
                run_id = started.run_id or started.update_id
                await permit.ended("done", run_id=run_id, url=started.url)
                return Begun(run_id, url=started.url, kind="update" if pipeline else "run")
            return await self._not_started(permit, result, resource, before)

    async def _not_started(self, permit: Permit, result: CliResult, resource: Resource, before: Before) -> Begun:
        if result.outcome == "ok" or result.killed:
            # It ran and named nothing, or was ended by force: a run may well be under way.
            reason = result.blocked_reason or "the CLI did not say what it started"
            await permit.ended("unknown", reason=reason)
            return Begun(reason=reason, unknown=True)
        reason = result.blocked_reason or result.summary
        if result.exit_code >= 0:
            # That it failed is no proof that nothing was started: an answer can be lost in more ways than have words,
            # and what the CLI asks after the start can fail by itself.
            try:
                seen = await self._lookup.new_since(resource, before)
            except WorkspaceError:
                await permit.ended("unknown", reason=reason)
                return Begun(reason=reason, unknown=True)
            if seen.run_id:
                await permit.ended("done", run_id=seen.run_id, url=seen.url, adopted=True)
                return Begun(seen.run_id, reason, url=seen.url, kind="started")
            if _may_still_arrive(result):
                await permit.ended("unknown", reason=reason)
                return Begun(reason=reason, unknown=True)
        await permit.ended("refused", reason=reason, stderr=result.text[-KEPT_STDERR:])
        return Begun(reason=reason, blocked=result.outcome == "blocked")

    async def _before(self, resource: Resource) -> Before | Begun:
        """What is there before a start, so that a start of unknown end can be found later."""
        try:
            return await self._lookup.before(resource)
        except WorkspaceError as error:
            return Begun(reason=error.message, blocked=error.unmeasured, passing=error.unmeasured)

    # --- what goes by HTTP -------------------------------------------------------------------------------------------

    async def repair(
        self,
        ref: str,
        run_id: str,
        *,
        tasks: Sequence[str] = (),
        dependents: bool = False,
        confirmed: str = "",
        automatic: bool = False,
        iteration: int = 0,
    ) -> Begun:
        """Run failed tasks of an ended run again: all, or `tasks`. Raises Refused."""
        world = self._world
        try:
            workspace = world.open_workspace()
            run = await workspace.run(run_id)
        except WorkspaceError as error:
            gone, away = error.kind == "not_found", error.unmeasured
            return Begun(reason=error.message, repair_impossible=gone, blocked=away, passing=away)
        if run.state.active:
            return Begun(run_id, "the run is under way", kind="adopted", url=run.page_url)
        repairs = sum(item.kind == "REPAIR" for item in run.repairs)
        words = ["jobs", "repair-run", run_id, "--no-wait"]
        words += ["--rerun-tasks", ",".join(tasks)] if tasks else ["--rerun-all-failed-tasks"]
        data = {"run_id": run_id, "repairs": repairs, "iteration": iteration, "tasks": list(tasks)}
        act = self._act("repair", ref, words, data=data)
        permit = await world.guard.permit(act, confirmed=confirmed, automatic=automatic)
        request = workspace.repair(
            permit,
            run_id,
            latest_repair_id=run.latest_repair_id,
            tasks=tuple(tasks),
            dependents=dependents,
            parameters=dict(run.parameters),
        )
        try:
            repair_id = await self._sent(permit, request)
        except WorkspaceError as error:
            if error.unknown:
                return Begun(reason=error.message, unknown=True)
            if error.unmeasured:
                return Begun(reason=error.message, blocked=True, passing=True)
            return Begun(reason=error.message, repair_impossible=True)
        await permit.ended("done", run_id=run_id, repair_id=repair_id)
        return Begun(run_id, url=run.page_url, kind="repair")

    async def cancel(self, ref: str, run_id: str, *, confirmed: str = "") -> None:
        """Cancel a run or one task run. Raises Refused, WorkspaceError."""
        workspace = self._world.open_workspace()
        act = self._act("cancel", ref, ["jobs", "cancel-run", run_id, "--no-wait"], data={"run_id": run_id})
        permit = await self._world.guard.permit(act, confirmed=confirmed)
        await self._sent(permit, workspace.cancel(permit, run_id))
        await permit.ended("done")

    async def stop(self, ref: str, pipeline_id: str, *, confirmed: str = "") -> None:
        """Stop the active update of a pipeline. Raises Refused, WorkspaceError."""
        workspace = self._world.open_workspace()
        act = self._act("stop", ref, ["pipelines", "stop", pipeline_id], data={"pipeline_id": pipeline_id})
        permit = await self._world.guard.permit(act, confirmed=confirmed)
        await self._sent(permit, workspace.stop_pipeline(permit, pipeline_id))
        await permit.ended("done")

    async def _sent(self, permit: Permit, request: Awaitable[T]) -> T:
        """Await a request; where it brings no answer, how it ended is written down. Raises as the request does."""
        try:
            return await request
        except WorkspaceError as error:
            await permit.ended("unknown" if error.unknown else "refused", reason=error.message)
            raise
        except Refused as refused:
            await permit.ended("refused", reason=refused.reason)
            raise
        except asyncio.CancelledError:
            # Nobody can tell whether it was sent already.
            await asyncio.shield(permit.ended("unknown", reason="stopped while it was under way"))
            raise

    # --- shared ------------------------------------------------------------------------------------------------------

    def _act(
        self,
        kind: Literal["deploy", "run", "update", "repair", "cancel", "stop", "destroy"],
        key: str,
        words: Sequence[str],
        *,
        data: Mapping[str, object] | None = None,
        destructive: bool = False,
        confirm_word: str = "",
    ) -> Act:
        return self._world.guard.act(
            kind,
            key,
            command=shlex.join(["databricks", *words]),
            token=secrets.token_hex(16),
            data=data or {},
            destructive=destructive,
            confirm_word=confirm_word,
        )

    def _busy(self, what: str) -> None:
        self._world.store.set(busy=what)

    async def _call(self, permit: Permit, call: Awaitable[T]) -> T | Begun:
        """Await a CLI call; one that could not even begin is refused."""
        try:
            return await call
        except CliProblem as problem:
            await permit.ended("refused", reason=problem.summary)
            return Begun(reason=problem.summary, blocked=True)
        except Refused as refused:
            await permit.ended("refused", reason=refused.reason)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(permit.ended("unknown", reason="stopped while it was under way"))
            raise

    async def _end_cli(self, permit: Permit, result: CliResult) -> Outcome:
        if result.killed:
            await permit.ended("unknown", reason=result.blocked_reason)
            return "unknown"
        if result.outcome == "ok":
            await permit.ended("done")
            return "ok"
        data = {"reason": result.blocked_reason or result.summary, "blocked": result.outcome == "blocked"}
        await permit.ended("refused", **data, stderr=result.text[-KEPT_STDERR:])
        return result.outcome


def _may_still_arrive(result: CliResult) -> bool:
    """Whether a start that failed on its way may be carried out all the same, a little later."""
    text = result.text.lower()
    return result.outcome == "blocked" and any(word in text for word in _ON_THE_WAY)


_ON_THE_WAY = (
    *("connection reset", "timeout", "timed out", "deadline exceeded", " 50", "eof", "internal", "gateway"),
    *("too long", "temporarily", "unavailable"),
)
