"""What a person wants to see: which resource is followed, what of it is loaded, and what the CLI says of the bundle.

Changes nothing at a workspace; what does not answer is said, and what is on show stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from .cli_words import CliProblem
from .engine_parts import Parts
from .workspace import WorkspaceError


class Looking(Parts):
    """The intents that only read."""

    _looked_into = ""  # the resource that is explained only because its failure is on show

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
        if ref != self._looked_into:
            self._forget_shown()
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

    async def show_run(self, ref: str, run_id: str) -> None:
        """Put one run of the job on show, a past one too, until another is asked for or begins."""
        if ref != self.world.state.focus:
            await self.focus(ref)
        self._forget_shown()
        if not self.runner.running:
            self.diagnosing.forget((ref,))
        await self._measured(self.jobs.show(ref, run_id))
        self._count_requests()

    def explain_shown(self, ref: str, run_id: str, failed: bool) -> None:
        """What is on show has ended, and nobody here waited for it: say why it failed, as for one's own runs."""
        if self.runner.running:
            return
        known = any(item.found.run_id == run_id for item in self.diagnosing.explained(ref))
        if not failed:
            if ref == self._looked_into:
                self._forget_shown()
        elif not known:
            self._looked_into = ref
            self.world.spawn(self._measured(self.diagnosing.of(ref, run_id, told=False)), "diagnosis")

    def _forget_shown(self) -> None:
        ref, self._looked_into = self._looked_into, ""
        if ref and not self.runner.running:
            self.diagnosing.forget((ref,))

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
