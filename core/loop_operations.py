"""What the journal says that a loop began, and how that ended.

Asks no workspace: where an end is open, whoever closes it has looked there first.
"""

from __future__ import annotations

from .journal import Operation
from .loop_runner import LoopRunner
from .world import World


class LoopOperations:
    """The operations of the loop that the runner has now."""

    def __init__(self, world: World, runner: LoopRunner) -> None:
        self._world, self._runner = world, runner

    async def last(self, kinds: tuple[str, ...], iteration: int, ref: str = "") -> Operation | None:
        """The last operation of this loop and round of one of these kinds; None where there is none."""
        journal = self._world.journal
        if journal is None:
            return None
        rows = await journal.operations(self._runner.loop_id)
        mine = [
            row
            for row in rows
            if row.kind in kinds and row.intent.get("iteration") == iteration and (not ref or row.key == ref)
        ]
        return mine[-1] if mine else None

    async def close(self, operation: Operation, outcome: str, **data: object) -> None:
        """Write down how it ended, as somebody found it afterwards."""
        if self._world.journal is not None:
            await self._world.journal.result(operation.op_id, outcome, {**operation.result, **data, "looked": True})
