"""What the loop's machine knows, hears and wants: its memory, the events that go in, the commands that come out.

No moves: what follows from an event is in `loop.py`. All of it is plain data, and goes into the journal as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from .stages import LoopOutcome, Stage


class GoalState(StrEnum):
    """What became of one resource in the loop. HELD waits for another goal; SUCCEEDED still has to be verified."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    HELD = "held"
    SUCCEEDED = "succeeded"
    VERIFIED = "verified"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Goal:
    """One resource that has to end well. `run_id` is the run (or update) of the latest start; `after` are refs."""

    ref: str
    after: tuple[str, ...] = ()
    state: GoalState = GoalState.WAITING
    run_id: str = ""
    repairable: bool = False

    @property
    def settled(self) -> bool:
        return self.state in (GoalState.VERIFIED, GoalState.PARTIAL)

    @property
    def in_flight(self) -> bool:
        return self.state in (GoalState.STARTING, GoalState.RUNNING)


@dataclass(frozen=True, slots=True)
class LoopState:
    """The whole memory of the loop: everything needed to go on after a crash is in here."""

    goals: tuple[Goal, ...] = ()
    stage: Stage = Stage.IDLE
    iteration: int = 0
    max_iterations: int = 3
    deploy_first: bool = True
    auto: bool = False
    identified: bool = False
    undiagnosed: tuple[str, ...] = ()  # refs, or DEPLOY, whose failure of this round has no diagnosis yet
    pending_edit: bool = False
    paused: str = ""
    deferred: tuple[Command, ...] = ()
    reached: tuple[Stage, ...] = ()
    failed_stage: Stage | None = None
    note: str = ""
    outcome: LoopOutcome | None = None

    def goal(self, ref: str) -> Goal | None:
        return next((goal for goal in self.goals if goal.ref == ref), None)

    @property
    def ended(self) -> bool:
        return self.outcome is not None


DEPLOY_REF = "bundle"  # stands for the deploy itself where a failure is named


# --- what happened ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """A person or a script asked for the loop. `goals` are (ref, refs it waits for), in an order that may be run."""

    goals: tuple[tuple[str, tuple[str, ...]], ...] = ()
    deploy_first: bool = True
    max_iterations: int = 3
    auto: bool = False


@dataclass(frozen=True, slots=True)
class IdentityResolved:
    pass


@dataclass(frozen=True, slots=True)
class IdentityRefused:
    reason: str


@dataclass(frozen=True, slots=True)
class DeployEnded:
    """`blocked` is not a failure of the bundle; `unknown` could not be measured. Neither uses up a round.

    `current`: no file was written since the deploy began, so that an edit that was told meanwhile is in it.
    """

    outcome: Literal["ok", "failed", "blocked", "unknown"]
    reason: str = ""
    current: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A run or update is under way: started, repaired or adopted."""

    ref: str
    run_id: str


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The start was refused, or nobody knows (`unknown`): then look first. `repair_impossible` asks for a fresh run."""

    ref: str
    reason: str
    unknown: bool = False
    repair_impossible: bool = False


@dataclass(frozen=True, slots=True)
class RunEnded:
    ref: str
    run_id: str
    ok: bool
    repairable: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosed:
    ref: str


@dataclass(frozen=True, slots=True)
class FixApplied:
    """The source was edited by a patch, a fixer, or a person who also asked to go on."""

    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A passing fault has been waited out: the next round needs no deploy."""


@dataclass(frozen=True, slots=True)
class NoFix:
    """Nobody and nothing here can mend it: report to a person now."""

    reason: str


@dataclass(frozen=True, slots=True)
class SourceChanged:
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployAsked:
    """A person pressed the key: go on with what is on disk."""


@dataclass(frozen=True, slots=True)
class VerifyEnded:
    ref: str
    ok: bool
    partial: bool = False


@dataclass(frozen=True, slots=True)
class AutoChanged:
    auto: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """The workspace cannot be reached or the sign-in ran out: nothing is known to have failed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """There is an answer again. `dropping`: what was kept back is not to be done any more."""

    dropping: bool = False


@dataclass(frozen=True, slots=True)
class Interrupted:
    reason: str = ""


LoopEvent = (
    Begin
    | IdentityResolved
    | IdentityRefused
    | DeployEnded
    | Started
    | StartFailed
    | RunEnded
    | Diagnosed
    | FixApplied
    | RetryDue
    | NoFix
    | SourceChanged
    | DeployAsked
    | VerifyEnded
    | AutoChanged
    | Paused
    | Resumed
    | Interrupted
)


# --- what is wanted --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResolveIdentity:
    pass


@dataclass(frozen=True, slots=True)
class Deploy:
    iteration: int


@dataclass(frozen=True, slots=True)
class StartRun:
    ref: str


@dataclass(frozen=True, slots=True)
class Repair:
    ref: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Follow:
    ref: str
    run_id: str


@dataclass(frozen=True, slots=True)
class LookBeforeStart:
    """Nobody knows whether the start arrived: find the run at the workspace and adopt it, or start."""

    ref: str


@dataclass(frozen=True, slots=True)
class Diagnose:
    ref: str


@dataclass(frozen=True, slots=True)
class SeekFix:
    """Find a fix: a safe patch, a retry, a fixer, a person. Answered by FixApplied, RetryDue, NoFix or an edit."""

    iteration: int


@dataclass(frozen=True, slots=True)
class Verify:
    ref: str


@dataclass(frozen=True, slots=True)
class Report:
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    outcome: LoopOutcome


Command = (
    ResolveIdentity | Deploy | StartRun | Repair | Follow | LookBeforeStart | Diagnose | SeekFix | Verify | Report | End
)
MUTATING: tuple[type, ...] = (Deploy, StartRun, Repair, LookBeforeStart, SeekFix)

Step = tuple[LoopState, tuple[Command, ...]]
