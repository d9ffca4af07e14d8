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

    state: State

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
        """Load the nested run of a `run_job` task, or the next page of the iterations of a `for_each` task."""

    async def load_output(self, task_run_id: str) -> None: ...

    async def set_auto(self, auto: bool) -> None: ...

    async def login(self, profile: str = "") -> None:
        """Sign in again; with `profile`, act as that one from now on. May use the terminal: the app is suspended."""

    async def destroy(self, *, confirmed: str) -> None: ...

    async def report(self) -> None:
        """Put the escalation report into `state.report_markdown`."""
