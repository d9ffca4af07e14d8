"""What a person asks for outside of the loop: deploy, run, update, repair, cancel, stop, destroy. All by the guard.

Refuses at once what the guard would refuse, so that the face that asked can say why; then acts beside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

from .acting import Begun
from .engine_looking import Looking
from .events import RunStartedEvent
from .guard import Refused
from .loop_model import DEPLOY_REF, DeployAsked
from .pipelines import Update
from .runs import Run
from .stages import Stage
from .workspace import WorkspaceError


class ActingAlone(Looking):
    """The intents that change something at the workspace. Each raises Refused."""

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
            self.world.refused(refused, "not done: ")
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
            self._forget_shown()  # what just failed is what is to be read
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

    async def destroy(self, *, confirmed: str) -> None:
        self._refuse_early("destroy", confirmed)

        async def work() -> None:
            await self.identifying.confirm()
            result = await self.acting.destroy(confirmed=confirmed)
            if result.outcome != "ok":
                self.world.problem("destroy", f"not destroyed: {result.blocked_reason or result.summary}")
            await self.truth.ask()

        self.world.spawn(self._alone(work()), "destroy")
