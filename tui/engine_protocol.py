"""What the console asks of the engine. The real engine, and the scripted one of the tests, are both this.

Never imported by the engine: it is a shape, not a base class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..core.state import State

Subscriber = Callable[[State, Any], None]


class Engine(Protocol):
    """One engine, many faces. Intents that change something take what a person typed as `confirmed`.

    Each intent returns when it was taken up, not when what it started has ended. It raises `core.guard.Refused`
    where the guard says no; anything else that goes wrong is told in the State.
    """

    @property
    def state(self) -> State: ...

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(state, event or None)` on the event loop from now on; the returned function ends it."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def refresh(self) -> None:
        """Poll now."""

    async def focus(self, ref: str) -> None:
        """Follow this resource: its run or update fills the State."""

    async def deploy(self, *, confirmed: str = "") -> None: ...

    async def validate(self) -> None: ...

    async def plan(self) -> None: ...

    async def run(
        self,
        ref: str,
        params: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        *,
        confirmed: str = "",
    ) -> None: ...

    async def repair(
        self, run_id: str, tasks: Sequence[str] = (), dependents: bool = False, *, confirmed: str = ""
    ) -> None:
        """Run failed tasks of a run again: all of them, or `tasks` (keys), with what depends on them."""

    async def cancel(self, run_id: str, *, confirmed: str = "") -> None: ...

    async def stop_update(self, *, confirmed: str = "") -> None: ...

    async def start_update(
        self,
        ref: str,
        refresh: Sequence[str] = (),
        full_refresh: Sequence[str] = (),
        full: bool = False,
        validate_only: bool = False,
        *,
        confirmed: str = "",
    ) -> None: ...

    async def apply_fix(self, index: int, *, confirmed: str = "") -> None:
        """Apply `state.fixes[index]`."""

    async def undo_fix(self, *, confirmed: str = "") -> None: ...

    async def heal(self, refs: Sequence[str], *, confirmed: str = "") -> None:
        """Start the loop on these resources."""

    async def expand(self, task_run_id: str) -> None:
        """Load the nested run of a `run_job` task, the update of a `pipeline` task, or the first iterations of a
        `for_each` task; its id with `/more` behind it: the next page of them."""

    async def load_output(self, task_run_id: str) -> None:
        """Fill `state.outputs`; of a task that still runs with what there is so far."""

    async def show_run(self, ref: str, run_id: str) -> None:
        """Put this run of the job on show, and the job in focus; `focus` brings the newest one back."""

    async def load_history(self, ref: str) -> None:
        """Fill `state.past_runs[ref]` (with their tasks) or `state.past_updates[ref]`."""

    async def load_warehouses(self) -> None:
        """Fill `state.warehouses`, for the choice of where a check query runs."""

    async def check(self, index: int, warehouse_id: str, *, confirmed: str = "") -> None:
        """Run the check query of `state.diagnoses[index]`; its answer is `state.check`."""

    async def learn(self) -> None:
        """Write what was learned from the last loop as a row of the bundle's own matrix (`.dbops/matrix/`)."""

    async def switch(self, target: str, profile: str = "") -> None:
        """Act on another target (or as another profile) from now on. What was deployed elsewhere: `state.cleanup`."""

    async def clean_up(self, *, confirmed: str) -> None:
        """Destroy what was deployed at the place before, and forget its local state."""

    async def keep_deployed(self) -> None:
        """Leave what was deployed at the place before as it is, and go on."""

    async def arm(self) -> None:
        """Allow changes for a while in a console that was started read-only."""

    async def touch(self) -> None:
        """A key was pressed, or the terminal has the focus again: look sooner."""

    async def away(self, away: bool) -> None:
        """The terminal lost the focus, or has it again."""

    async def set_auto(self, auto: bool) -> None: ...

    async def login(self, profile: str = "") -> None:
        """Sign in again; with `profile`, act as that one from now on. May use the terminal: the app is suspended."""

    async def destroy(self, *, confirmed: str) -> None: ...

    async def report(self) -> None:
        """Put the escalation report into `state.report_markdown`."""
