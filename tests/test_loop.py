"""The loop machine: told stories first, then any order of events that hypothesis can think of."""

from __future__ import annotations

from dataclasses import replace

from dbops_tui.core import loop_model as L
from dbops_tui.core.loop import marks, reattach, step
from dbops_tui.core.stages import LoopOutcome, Stage
from hypothesis import given, settings
from hypothesis import strategies as st

A, B = "jobs.a", "jobs.b"


def play(*events: L.LoopEvent, state: L.LoopState | None = None) -> tuple[L.LoopState, list[L.Command]]:
    state = state or L.LoopState()
    commands: list[L.Command] = []
    for event in events:
        state, new = step(state, event)
        commands.extend(new)
    return state, commands


def begin(*goals: tuple[str, tuple[str, ...]], **options: object) -> L.Begin:
    return L.Begin(goals=goals or ((A, ()),), **options)  # type: ignore[arg-type]


FAIL_ROUND = (L.DeployEnded("ok"), L.Started(A, "1"), L.RunEnded(A, "1", ok=False, repairable=True), L.Diagnosed(A))


def test_a_clean_deploy_and_run_are_verified_in_one_round() -> None:
    state, commands = play(
        begin(),
        L.IdentityResolved(),
        L.DeployEnded("ok"),
        L.Started(A, "7"),
        L.RunEnded(A, "7", ok=True),
        L.VerifyEnded(A, ok=True),
    )
    assert commands == [
        L.ResolveIdentity(),
        L.Deploy(1),
        L.StartRun(A),
        L.Follow(A, "7"),
        L.Verify(A),
        L.End(LoopOutcome.VERIFIED),
    ]
    assert state.iteration == 1


def test_a_failed_deploy_then_a_failed_run_are_mended_and_repaired_within_three_rounds() -> None:
    state, commands = play(
        begin(),
        L.IdentityResolved(),
        L.DeployEnded("failed"),
        L.Diagnosed(L.DEPLOY_REF),
        L.SourceChanged(("databricks.yml",)),
        L.DeployAsked(),
        L.DeployEnded("ok"),
        L.Started(A, "1"),
        L.RunEnded(A, "1", ok=False, repairable=True),
        L.Diagnosed(A),
        L.FixApplied(("src/a.py",)),
        L.DeployEnded("ok"),
    )
    assert commands[-1] == L.Repair(A, "1")
    state, commands = play(L.Started(A, "1"), L.RunEnded(A, "1", ok=True), L.VerifyEnded(A, ok=True), state=state)
    assert state.outcome is LoopOutcome.VERIFIED
    assert state.iteration == 3


def test_the_failure_of_the_third_round_escalates_with_a_report() -> None:
    events: list[L.LoopEvent] = [begin(), L.IdentityResolved()]
    for _ in range(3):
        events += [*FAIL_ROUND, L.FixApplied()]
    state, commands = play(*events)
    assert state.outcome is LoopOutcome.ESCALATED
    assert sum(isinstance(c, L.Deploy) for c in commands) == 3
    assert any(isinstance(c, L.Report) for c in commands)


def test_a_repair_that_cannot_be_done_becomes_a_fresh_run() -> None:
    state, _ = play(begin(), L.IdentityResolved(), *FAIL_ROUND, L.FixApplied(), L.DeployEnded("ok"))
    state, commands = play(L.StartFailed(A, "the job's shape changed", repair_impossible=True), state=state)
    assert commands == [L.StartRun(A)]


def test_an_edit_during_a_deploy_queues_exactly_one_more() -> None:
    _, commands = play(
        begin(auto=True),
        L.IdentityResolved(),
        L.SourceChanged(("a",)),
        L.SourceChanged(("b",)),
        L.DeployEnded("ok"),
        L.DeployEnded("ok"),
    )
    assert [c for c in commands if isinstance(c, L.Deploy)] == [L.Deploy(1), L.Deploy(1)]
    assert commands[-1] == L.StartRun(A)


def test_an_edit_waits_for_the_key_unless_auto_is_on() -> None:
    state, commands = play(begin(), L.IdentityResolved(), *FAIL_ROUND, L.SourceChanged(("a",)))
    assert not isinstance(commands[-1], L.Deploy)
    _, commands = play(L.AutoChanged(True), state=state)
    assert commands == [L.Deploy(2)]


def test_an_unreachable_workspace_pauses_and_uses_up_no_round() -> None:
    state, _ = play(begin(), L.IdentityResolved(), *FAIL_ROUND, L.Paused("signed out"))
    state, commands = play(L.FixApplied(), state=state)
    assert commands == []
    state, commands = play(L.Resumed(), state=state)
    assert commands == [L.Deploy(2)]


def test_a_blocked_deploy_ends_blocked_and_not_failed() -> None:
    state, commands = play(begin(), L.IdentityResolved(), L.DeployEnded("blocked", "lock held"))
    assert commands[-1] == L.End(LoopOutcome.BLOCKED)
    assert state.note == "lock held"


def test_a_start_whose_end_is_unknown_is_looked_for_before_it_is_repeated() -> None:
    state, _ = play(begin(), L.IdentityResolved(), L.DeployEnded("ok"))
    state, commands = play(L.StartFailed(A, "reply lost", unknown=True), L.Resumed(), state=state)
    assert commands == [L.LookBeforeStart(A)]


def test_one_failing_resource_does_not_stop_an_independent_one_and_holds_the_dependent_one() -> None:
    state, commands = play(
        L.Begin(goals=((A, ()), (B, ()), ("jobs.c", (A,)))),
        L.IdentityResolved(),
        L.DeployEnded("ok"),
        L.Started(A, "1"),
        L.Started(B, "2"),
        L.RunEnded(A, "1", ok=False, repairable=True),
    )
    assert L.Diagnose(A) not in commands
    state, commands = play(L.RunEnded(B, "2", ok=True), L.VerifyEnded(B, ok=True), state=state)
    assert commands == [L.Verify(B), L.Diagnose(A)]
    state, commands = play(L.Diagnosed(A), L.FixApplied(), L.DeployEnded("ok"), state=state)
    assert commands == [L.SeekFix(1), L.Deploy(2), L.Repair(A, "1")]
    state, commands = play(L.Started(A, "1"), L.RunEnded(A, "1", ok=True), L.VerifyEnded(A, ok=True), state=state)
    assert commands[-1] == L.StartRun("jobs.c")


def test_a_loop_left_behind_asks_who_acts_where_and_attaches() -> None:
    state, _ = play(begin(), L.IdentityResolved(), L.DeployEnded("ok"), L.Started(A, "9"))
    state, commands = reattach(state)
    assert commands == (L.ResolveIdentity(),)
    state, commands = step(state, L.IdentityResolved())
    assert commands == (L.Follow(A, "9"),)
    assert state.iteration == 1


def test_a_retry_of_a_passing_fault_repairs_without_a_deploy_and_counts() -> None:
    state, commands = play(begin(), L.IdentityResolved(), *FAIL_ROUND, L.RetryDue())
    assert commands[-1] == L.Repair(A, "1")
    assert state.iteration == 2


REFS = st.sampled_from([A, B, "jobs.c", L.DEPLOY_REF])
IDS = st.sampled_from(["1", "2", "3"])
TEXT = st.sampled_from(["", "why"])
EVENTS = st.one_of(
    st.builds(
        L.Begin,
        goals=st.sampled_from([(), ((A, ()),), ((A, ()), (B, (A,))), ((A, (B,)), (B, (A,)))]),
        deploy_first=st.booleans(),
        max_iterations=st.integers(0, 4),
        auto=st.booleans(),
    ),
    st.builds(L.IdentityResolved),
    st.builds(L.IdentityRefused, TEXT),
    st.builds(L.DeployEnded, st.sampled_from(["ok", "failed", "blocked", "unknown"]), TEXT),
    st.builds(L.Started, REFS, IDS),
    st.builds(L.StartFailed, REFS, TEXT, st.booleans(), st.booleans()),
    st.builds(L.RunEnded, REFS, IDS, st.booleans(), st.booleans()),
    st.builds(L.Diagnosed, REFS),
    st.builds(L.FixApplied),
    st.builds(L.RetryDue),
    st.builds(L.NoFix, TEXT),
    st.builds(L.SourceChanged),
    st.builds(L.DeployAsked),
    st.builds(L.VerifyEnded, REFS, st.booleans(), st.booleans()),
    st.builds(L.AutoChanged, st.booleans()),
    st.builds(L.Paused, st.just("away")),
    st.builds(L.Resumed),
    st.builds(L.Interrupted),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_no_order_of_events_breaks_the_promises_of_the_loop(events: list[L.LoopEvent]) -> None:
    state = L.LoopState()
    for event in events:
        before = state
        state, commands = step(state, event)
        assert state.iteration <= state.max_iterations
        for command in commands:
            if isinstance(command, L.MUTATING):
                assert state.identified, "changed something before it knew where"
                assert not state.paused, "changed something while paused"
                assert not before.ended, "changed something after the end"
            if isinstance(command, L.Deploy):
                assert command.iteration == state.iteration <= state.max_iterations
        if before.ended:
            assert state == before
            assert commands == ()
        if state.ended and not before.ended:
            assert commands[-1] == L.End(state.outcome)  # type: ignore[arg-type]


def answer(command: L.Command, good: bool) -> L.LoopEvent | None:
    """What the world says to a command, on a day when everything works or nothing does."""
    match command:
        case L.ResolveIdentity():
            return L.IdentityResolved()
        case L.Deploy():
            return L.DeployEnded("ok" if good else "failed")
        case L.StartRun(ref) | L.LookBeforeStart(ref):
            return L.Started(ref, "5")
        case L.Repair(ref, run_id):
            return L.Started(ref, run_id)
        case L.Follow(ref, run_id):
            return L.RunEnded(ref, run_id, ok=good, repairable=True)
        case L.Diagnose(ref):
            return L.Diagnosed(ref)
        case L.SeekFix():
            return L.FixApplied()
        case L.Verify(ref):
            return L.VerifyEnded(ref, ok=good)
        case _:
            return None


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=40), st.booleans())
def test_from_anywhere_a_world_that_answers_brings_the_loop_to_an_end(events: list[L.LoopEvent], good: bool) -> None:
    state, _ = play(begin(), *events)
    state, commands = reattach(state)
    todo = list(commands)
    for _ in range(200):
        if state.ended or not todo:
            break
        event = answer(todo.pop(0), good)
        if event is not None:
            state, more = step(state, event)
            todo.extend(more)
    assert state.ended


def test_the_strip_marks_what_is_done_what_runs_and_what_failed() -> None:
    state, _ = play(begin(), L.IdentityResolved(), *FAIL_ROUND)
    shown = dict(marks(state))
    assert shown[Stage.DEPLOY] == "done"
    assert shown[Stage.POLL] == "failed"
    assert shown[Stage.FIX] == "active"
    assert shown[Stage.VERIFY] == ""
    assert replace(state, stage=Stage.VERIFY).stage is Stage.VERIFY
