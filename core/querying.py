"""Check queries: the statement that would confirm or refute a diagnosis, run on a warehouse that a person chose.

Sends one statement that only reads, through the guard, and never starts a warehouse by itself.
"""

from __future__ import annotations

from .check_query import judge, not_run, refusal, statement_for, weigh
from .guard import Refused
from .learned_rows import matrix_for
from .state import CheckResult
from .workspace import WorkspaceError
from .world import World

SECONDS = 50.0


class Querying:
    """Feeds `warehouses` and `check` of the State."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def load_warehouses(self) -> None:
        """The warehouses with their states. Raises WorkspaceError."""
        self._world.store.set(warehouses=await self._world.open_workspace().warehouses())

    async def check(self, index: int, warehouse_id: str, *, confirmed: str = "") -> None:
        """Run the check query of `state.diagnoses[index]`. Raises Refused, WorkspaceError."""
        world = self._world
        diagnoses = world.state.diagnoses
        if not 0 <= index < len(diagnoses):
            raise Refused("there is no such diagnosis")
        diagnosis = diagnoses[index]
        matrix, _ = matrix_for(world.root, world.env, world.config.matrix)
        why_not = refusal(diagnosis, matrix)
        if why_not:
            raise Refused(why_not)
        statement = statement_for(diagnosis, matrix)
        act = world.guard.act(
            "sql", diagnosis.row, command=statement, data={"statement": statement, "warehouse": warehouse_id}
        )
        permit = await world.guard.permit(act, confirmed=confirmed)
        world.store.set(check=CheckResult(diagnosis.row, statement, "running"), busy="check query")
        try:
            found = await world.open_workspace().statement(permit, warehouse_id, statement, SECONDS)
        except WorkspaceError as error:
            await permit.ended("unknown" if error.unknown else "refused", reason=error.message)
            world.store.set(check=not_run(diagnosis, f"not run: {error.message}", statement))
            raise
        finally:
            world.store.set(busy="")
        await permit.ended("done")
        result = judge(diagnosis, found.columns, found.rows, found.message, statement=statement)
        world.store.set(check=result, diagnoses=weigh(world.state.diagnoses, result))
