"""The loop as a pure state machine: step(state, event) -> (state, commands).

No clock, no I/O, no randomness: everything it knows came in an event, everything it wants goes out as a command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .loop_model import (
    DEPLOY_REF,
    MUTATING,
    AutoChanged,
    Begin,
    Command,
    Deploy,
    DeployAsked,
    DeployEnded,
    Diagnose,
    Diagnosed,
    End,
    FixApplied,
    Follow,
    Goal,
    GoalState,
    IdentityRefused,
    IdentityResolved,
    Interrupted,
    LookBeforeStart,
    LoopEvent,
    LoopState,
    NoFix,
    Paused,
    Repair,
    Report,
    ResolveIdentity,
    Resumed,
    RetryDue,
    RunEnded,
    SeekFix,
    SourceChanged,
    Started,
    StartFailed,
    StartRun,
    Step,
    Verify,
    VerifyEnded,
)
from .stages import LoopOutcome, Stage


def step(state: LoopState, event: LoopEvent) -> Step:
    """The next state and what is to be done, in order. An event that does not fit the state changes nothing.

    While the loop is paused, commands that change something are kept back and come out with `Resumed`.
    """
    if state.ended:
        return state, ()
    handler = _HANDLERS.get(type(event))
    if handler is None:
        return state, ()
    after, commands = handler(state, event)
    if after.paused and not after.ended:
        held = tuple(c for c in commands if isinstance(c, MUTATING))
        after = replace(after, deferred=after.deferred + held)
        commands = tuple(c for c in commands if not isinstance(c, MUTATING))
    return after, commands


def reattach(state: LoopState) -> Step:
    """Go on with a loop that another process left behind: who acts where is asked again before anything else."""
    if state.ended or state.stage is Stage.IDLE:
        return state, ()
    return replace(state, identified=False, paused="", deferred=()), (ResolveIdentity(),)


def marks(state: LoopState) -> tuple[tuple[Stage, str], ...]:
    """What the strip shows for each stage: done, active, failed or empty."""
    shown = []
    for stage in (Stage.DEPLOY, Stage.POLL, Stage.DIAGNOSE, Stage.FIX, Stage.REDEPLOY, Stage.VERIFY):
        if stage == state.failed_stage and stage != state.stage:
            mark = "failed"
        elif stage == state.stage:
            mark = "active"
        elif stage in state.reached:
            mark = "done"
        else:
            mark = ""
        shown.append((stage, mark))
    return tuple(shown)


def _begin(state: LoopState, event: Begin) -> Step:
    if state.stage is not Stage.IDLE:
        return state, ()
    goals = tuple(Goal(ref, after) for ref, after in event.goals)
    after = replace(
        state,
        goals=goals,
        stage=Stage.DEPLOY if event.deploy_first or not goals else Stage.POLL,
        max_iterations=max(1, event.max_iterations),
        deploy_first=event.deploy_first or not goals,
        auto=event.auto,
    )
    return after, (ResolveIdentity(),)


def _identified(state: LoopState, event: IdentityResolved) -> Step:
    if state.stage is Stage.IDLE or state.identified:
        return state, ()
    if state.iteration:
        return _take_up(replace(state, identified=True))
    after = replace(state, identified=True, iteration=1)
    if state.deploy_first:
        return after, (Deploy(1),)
    return _start_goals(_enter(after, Stage.POLL))


def _refused(state: LoopState, event: IdentityRefused) -> Step:
    if state.identified or state.stage is Stage.IDLE:
        return state, ()
    return _end(replace(state, note=event.reason), LoopOutcome.BLOCKED)


def _deployed(state: LoopState, event: DeployEnded) -> Step:
    if state.stage not in (Stage.DEPLOY, Stage.REDEPLOY) or not state.identified:
        return state, ()
    stage = state.stage
    if event.outcome == "blocked":
        return _end(replace(state, note=event.reason, failed_stage=stage), LoopOutcome.BLOCKED)
    if event.outcome == "unknown":
        # Not measured is not failed: the same round deploys again once the way is clear.
        after = replace(state, paused=event.reason or "the deploy's end is not known")
        return after, (Deploy(state.iteration),)
    if event.current:
        state = replace(state, pending_edit=False)
    if event.outcome == "failed":
        after = replace(state, failed_stage=stage)
        return _fail_round(after, (DEPLOY_REF,))
    if state.pending_edit and state.auto:
        # A newer edit supersedes what was just deployed: exactly one more, still the same round.
        return replace(state, pending_edit=False), (Deploy(state.iteration),)
    after = replace(_reach(state, stage), failed_stage=None)
    if not after.goals:
        return _end(after, LoopOutcome.DEPLOYED)
    return _start_goals(_enter(after, Stage.POLL))


def _started(state: LoopState, event: Started) -> Step:
    goal = state.goal(event.ref)
    if goal is None or goal.state is not GoalState.STARTING:
        return state, ()
    after = _put(state, replace(goal, state=GoalState.RUNNING, run_id=event.run_id))
    return after, (Follow(event.ref, event.run_id),)


def _start_failed(state: LoopState, event: StartFailed) -> Step:
    goal = state.goal(event.ref)
    if goal is None or goal.state is not GoalState.STARTING:
        return state, ()
    if event.repair_impossible and goal.repairable:
        return _put(state, replace(goal, repairable=False)), (StartRun(event.ref),)
    if event.unknown:
        return replace(state, paused=event.reason), (LookBeforeStart(event.ref),)
    return _settle_round(_put(state, replace(goal, state=GoalState.FAILED)))


def _run_ended(state: LoopState, event: RunEnded) -> Step:
    goal = state.goal(event.ref)
    if goal is None or goal.state is not GoalState.RUNNING or goal.run_id != event.run_id:
        return state, ()
    if event.ok:
        after = _put(state, replace(goal, state=GoalState.SUCCEEDED))
        if not any(g.in_flight for g in after.goals):
            after = _enter(_reach(after, Stage.POLL), Stage.VERIFY)
        return after, (Verify(event.ref),)
    return _settle_round(_put(state, replace(goal, state=GoalState.FAILED, repairable=event.repairable)))


def _verified(state: LoopState, event: VerifyEnded) -> Step:
    goal = state.goal(event.ref)
    if goal is None or goal.state is not GoalState.SUCCEEDED:
        return state, ()
    if not event.ok:
        return _settle_round(_put(state, replace(goal, state=GoalState.FAILED, repairable=False)))
    after = _put(state, replace(goal, state=GoalState.PARTIAL if event.partial else GoalState.VERIFIED))
    after, started = _start_goals(after)
    return (after, started) if started else _settle_round(after)


def _diagnosed(state: LoopState, event: Diagnosed) -> Step:
    if state.stage is not Stage.DIAGNOSE or event.ref not in state.undiagnosed:
        return state, ()
    left = tuple(ref for ref in state.undiagnosed if ref != event.ref)
    after = replace(state, undiagnosed=left)
    if left:
        return after, ()
    after = _reach(after, Stage.DIAGNOSE)
    if after.iteration >= after.max_iterations:
        return _escalate(after, f"round {after.iteration} of {after.max_iterations} failed")
    after = replace(_enter(after, Stage.FIX), deferred=())
    if after.pending_edit and after.auto:
        return _next_round(after, deploy=True)
    return after, (SeekFix(after.iteration),)


def _fix_applied(state: LoopState, event: FixApplied) -> Step:
    return _next_round(state, deploy=True) if state.stage is Stage.FIX else (state, ())


def _retry_due(state: LoopState, event: RetryDue) -> Step:
    if state.stage is not Stage.FIX:
        return state, ()
    return _next_round(state, deploy=state.failed_stage in (Stage.DEPLOY, Stage.REDEPLOY))


def _no_fix(state: LoopState, event: NoFix) -> Step:
    return _escalate(state, event.reason) if state.stage is Stage.FIX else (state, ())


def _source_changed(state: LoopState, event: SourceChanged) -> Step:
    after = replace(state, pending_edit=True)
    if state.stage is Stage.FIX and state.auto and not state.paused:
        return _next_round(after, deploy=True)
    return after, ()


def _deploy_asked(state: LoopState, event: DeployAsked) -> Step:
    return _next_round(state, deploy=True) if state.stage is Stage.FIX and not state.paused else (state, ())


def _auto_changed(state: LoopState, event: AutoChanged) -> Step:
    after = replace(state, auto=event.auto)
    if event.auto and state.pending_edit and state.stage is Stage.FIX and not state.paused:
        return _next_round(after, deploy=True)
    return after, ()


def _paused(state: LoopState, event: Paused) -> Step:
    return (state, ()) if state.stage is Stage.IDLE else (replace(state, paused=event.reason), ())


def _resumed(state: LoopState, event: Resumed) -> Step:
    if not state.paused:
        return state, ()
    after = replace(state, paused="", deferred=())
    commands = () if event.dropping else state.deferred
    if after.stage is Stage.FIX and after.pending_edit and after.auto:
        return _next_round(after, deploy=True)
    return after, commands


def _interrupted(state: LoopState, event: Interrupted) -> Step:
    if state.stage is Stage.IDLE:
        return state, ()
    return _end(replace(state, note=event.reason or state.note), LoopOutcome.INTERRUPTED)


_HANDLERS: dict[type, Callable[[LoopState, Any], Step]] = {
    Begin: _begin,
    IdentityResolved: _identified,
    IdentityRefused: _refused,
    DeployEnded: _deployed,
    Started: _started,
    StartFailed: _start_failed,
    RunEnded: _run_ended,
    Diagnosed: _diagnosed,
    FixApplied: _fix_applied,
    RetryDue: _retry_due,
    NoFix: _no_fix,
    SourceChanged: _source_changed,
    DeployAsked: _deploy_asked,
    VerifyEnded: _verified,
    AutoChanged: _auto_changed,
    Paused: _paused,
    Resumed: _resumed,
    Interrupted: _interrupted,
}


def _take_up(state: LoopState) -> Step:
    """What is to be done first where the state came from a journal: starts of unknown end are looked for first."""
    if state.stage in (Stage.DEPLOY, Stage.REDEPLOY):
        return state, (Deploy(state.iteration),)
    if state.stage is Stage.DIAGNOSE:
        return state, tuple(Diagnose(ref) for ref in state.undiagnosed)
    if state.stage is Stage.FIX:
        return state, (SeekFix(state.iteration),)
    by_state: dict[GoalState, Callable[[Goal], Command]] = {
        GoalState.STARTING: lambda goal: LookBeforeStart(goal.ref),
        GoalState.RUNNING: lambda goal: Follow(goal.ref, goal.run_id),
        GoalState.SUCCEEDED: lambda goal: Verify(goal.ref),
    }
    commands = tuple(by_state[goal.state](goal) for goal in state.goals if goal.state in by_state)
    return (state, commands) if commands else _settle_round(state)


# --- the moves the handlers share ------------------------------------------------------------------------------------


def _put(state: LoopState, goal: Goal) -> LoopState:
    return replace(state, goals=tuple(goal if g.ref == goal.ref else g for g in state.goals))


def _reach(state: LoopState, stage: Stage) -> LoopState:
    return state if stage in state.reached else replace(state, reached=(*state.reached, stage))


def _enter(state: LoopState, stage: Stage) -> LoopState:
    return replace(state, stage=stage)


def _end(state: LoopState, outcome: LoopOutcome) -> Step:
    after = replace(state, stage=Stage.ENDED, outcome=outcome, paused="", deferred=(), undiagnosed=())
    return after, (End(outcome),)


def _escalate(state: LoopState, reason: str) -> Step:
    after, commands = _end(replace(state, note=reason), LoopOutcome.ESCALATED)
    return after, (Report(reason), *commands)


def _start_goals(state: LoopState) -> Step:
    """Start (or repair) every goal whose predecessors ended well; hold the others."""
    settled = {goal.ref for goal in state.goals if goal.settled}
    known = {goal.ref for goal in state.goals}
    commands: list[Command] = []
    for goal in state.goals:
        if goal.state not in (GoalState.WAITING, GoalState.HELD):
            continue
        if not all(ref in settled or ref not in known for ref in goal.after):
            state = _put(state, replace(goal, state=GoalState.HELD))
            continue
        state = _put(state, replace(goal, state=GoalState.STARTING))
        commands.append(Repair(goal.ref, goal.run_id) if goal.repairable else StartRun(goal.ref))
    return (_enter(state, Stage.POLL) if commands else state), tuple(commands)


def _settle_round(state: LoopState) -> Step:
    """Nothing more can move in this round? Then it is over: verified, or failed and to be diagnosed."""
    if any(goal.in_flight or goal.state is GoalState.SUCCEEDED for goal in state.goals):
        return state, ()
    state, started = _start_goals(state)
    if started:
        return state, started
    failed = tuple(goal.ref for goal in state.goals if goal.state is GoalState.FAILED)
    if failed:
        return _fail_round(replace(state, failed_stage=state.stage), failed)
    if all(goal.settled for goal in state.goals):
        after = _reach(_reach(state, Stage.POLL), Stage.VERIFY)
        partial = any(goal.state is GoalState.PARTIAL for goal in state.goals)
        return _end(after, LoopOutcome.PARTIAL if partial else LoopOutcome.VERIFIED)
    # Only goals that wait for each other are left: nobody can start any of them.
    return _escalate(state, "the resources wait for each other")


def _fail_round(state: LoopState, failed: tuple[str, ...]) -> Step:
    after = replace(_enter(state, Stage.DIAGNOSE), undiagnosed=failed)
    return after, tuple(Diagnose(ref) for ref in failed)


def _next_round(state: LoopState, *, deploy: bool) -> Step:
    if state.iteration >= state.max_iterations:
        return _escalate(state, f"round {state.iteration} of {state.max_iterations} failed")
    goals = tuple(
        replace(goal, state=GoalState.WAITING) if goal.state in (GoalState.FAILED, GoalState.HELD) else goal
        for goal in state.goals
    )
    after = replace(
        _reach(state, Stage.FIX),
        goals=goals,
        iteration=state.iteration + 1,
        undiagnosed=(),
        deferred=(),
    )
    if deploy:
        after = replace(_enter(after, Stage.REDEPLOY), pending_edit=False)
        return after, (Deploy(after.iteration),)
    return _start_goals(_enter(after, Stage.POLL))
