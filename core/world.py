"""What the parts of the engine share: where we are, what may be done, the one State, and the ways to the outside.

Holds, never decides: each part reads from here what it needs and writes the State through the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .budget import Budget
from .bundle import Bundle, Resource
from .clock import Clock
from .config import Config
from .databricks_cli import DatabricksCli
from .events import DeployOutput, EngineEvent, Holding, Problem
from .guard import Arming, Guard, Refused
from .identity import answer
from .journal import Journal
from .poller import Poller
from .redaction import Redactor
from .state import CliLine, ResourceStatus, State
from .store import Store
from .workspace import Workspace, WorkspaceError

KEPT_LINES = 5_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class World:
    """One bundle at one place. `workspace` and `journal` are None until they are open, or where they cannot be."""

    root: Path
    env: Mapping[str, str]
    config: Config
    clock: Clock
    redactor: Redactor
    store: Store
    guard: Guard
    cli: DatabricksCli
    budget: Budget
    poller: Poller
    target: str = ""
    profile: str = ""
    arming: Arming | None = None
    workspace: Workspace | None = None
    journal: Journal | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _said: str = ""

    @property
    def state(self) -> State:
        return self.store.state

    @property
    def bundle(self) -> Bundle:
        """The bundle on show. Raises LookupError before one was read."""
        if self.state.bundle is None:
            raise LookupError("no bundle has been read")
        return self.state.bundle

    def resource(self, ref: str) -> Resource | None:
        return self.state.bundle.resource(ref) if self.state.bundle else None

    def open_workspace(self) -> Workspace:
        """The way to the workspace. Raises WorkspaceError where nobody knows yet who acts where."""
        if self.workspace is None:
            raise WorkspaceError("signed_out", self.state.identity.problem or "it is not known yet who acts where")
        return self.workspace

    # --- writing the State -------------------------------------------------------------------------------------------

    def emit(self, event: EngineEvent) -> None:
        """Tell what happened: to every face, and to the journal."""
        self.store.emit(event)

    def problem(self, code: str, message: str, fix: str = "", *, retryable: bool = False) -> None:
        self.emit(Problem(code, message, fix, retryable))

    def refused(self, refused: Refused, before: str = "") -> None:
        """Tell what the guard refused, and what would answer it; `before` stands before the reason."""
        fix = answer(refused.flag, self.state.identity, signed_out=self.state.signed_out)
        self.problem("refused", before + refused.reason, fix)

    def hold(self, reason: str) -> None:
        """Say why nothing happens; the same sentence is said once."""
        self.store.set(loop=replace(self.state.loop, hold=reason))
        if reason and reason != self._said:
            self._said = reason
            self.emit(Holding(reason))

    def told(self, reason: str) -> None:
        """That reason was said by another event: it is not said again."""
        self._said = reason

    def status(self, ref: str, **changes: Any) -> None:
        """Replace fields of what is known of one resource."""
        held = self.state.statuses.get(ref) or ResourceStatus(ref)
        after = replace(held, **changes)
        if after != held or ref not in self.state.statuses:
            self.store.set(statuses={**self.state.statuses, ref: after})

    def cli_line(self, stream: str, text: str) -> None:
        """One line of CLI output, clean already."""
        lines = (*self.state.cli_lines, CliLine(stream, text))
        self.store.set(cli_lines=lines[-KEPT_LINES:])
        self.emit(DeployOutput(text, stream))

    # --- work beside -------------------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside; what goes wrong in it is told, never lost, and never the end of the engine."""
        task = asyncio.get_running_loop().create_task(self._kept(work, name), name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _kept(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        try:
            return await work
        except WorkspaceError as error:
            self.problem(f"workspace.{error.kind}", error.message, retryable=error.unmeasured)
        except Exception as error:
            _log.exception("%s failed", name)
            self.problem("internal", self.redactor.redact(f"{name}: {type(error).__name__}: {error}"))
        return None

    async def settle(self) -> None:
        """Wait until nothing runs beside any more."""
        while self.tasks:
            await asyncio.gather(*tuple(self.tasks), return_exceptions=True)

    async def stop(self) -> None:
        """Cancel what runs beside."""
        tasks = tuple(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
