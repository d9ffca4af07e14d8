"""Drives the loop's machine: an event in, its commands carried out, the state on disk before any of them is begun.

Never decides what comes next (loop.py does) and never acts itself (loop_acts.py does).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import loop_model as machine
from .events import EngineEvent, Escalated, LoopEnded, LoopStarted, StageChanged, plain
from .guard import LOGIN, Refused
from .journal import JournalUnavailable, LoopRow
from .layers import run_order
from .loop import marks, reattach, step
from .loop_model import Begin, Command, LoopState
from .plain_json import from_plain
from .reachability import Reachability
from .report import ErrorRecord, FixRecord, LoopRecord, RoundRecord, StartRecord, to_markdown
from .stages import LoopOutcome, Stage
from .state import LoopView
from .text import clean, clip
from .tries import Tries
from .workspace import WorkspaceError
from .world import World

if TYPE_CHECKING:
    from .loop_acts import LoopActs

SIGN_IN_SECONDS = 900.0  # without a sign-in, where nobody is there to be asked
OUTAGE_SECONDS = 3 * 3600.0  # without an answer


class LoopRunner:
    """One loop at a time. `begin` or `resume`, then it runs by itself; `ended` is set at its end."""

    def __init__(self, world: World, reach: Reachability) -> None:
        self._world = world
        self._reach = reach
        self.acts: LoopActs | None = None
        self.state = LoopState()
        self.record: LoopRecord | None = None
        self.loop_id = ""
        self.confirmed = ""  # the word a person typed for this loop
        self.refusal: Refused | None = None  # who acts where could not be settled, or the guard said no
        self.retryable = False
        self.taken_up = False  # from another process: what it did last is looked at first
        self.sought = False  # what could mend this round by itself has been tried: it is for a person now
        self._again = False  # whether an earlier process was at this loop
        self.ended = asyncio.Event()
        self._turn = asyncio.Lock()
        self._redo: list[Command] = []
        self._tries = Tries(world.clock)
        self._broken = False  # by a fault of ours
        reach.on_away.append(self._away)
        reach.on_back.append(self._back)

    @property
    def running(self) -> bool:
        """Whether a loop is under way."""
        return self.state.stage is not Stage.IDLE and not self.state.ended

    # --- begin, resume, stop -----------------------------------------------------------------------------------------

    async def begin(
        self,
        refs: Sequence[str],
        *,
        deploy_first: bool = True,
        max_iterations: int = 3,
        auto: bool = False,
        confirmed: str = "",
    ) -> str:
        """Start a loop on these resources; its id. Raises Refused where one is under way."""
        if self.running:
            raise Refused("a loop is under way", exit_code=4)
        self._reset(secrets.token_hex(6), confirmed)
        world = self._world
        bundle, here = world.bundle, world.state.identity
        self.record = LoopRecord(
            self.loop_id,
            bundle.name,
            bundle.target,
            here.host,
            here.user,
            here.profile,
            tuple(refs),
            "",
            "",
            _now(),
            "",
        )
        world.emit(LoopStarted(self.loop_id, tuple(refs), bundle.target, max_iterations))
        goals = run_order(bundle, refs)
        await self.feed(Begin(goals, deploy_first, max_iterations, auto))
        return self.loop_id

    async def resume(self, row: LoopRow, *, auto: bool, confirmed: str = "") -> None:
        """Go on with a loop that an earlier process left. Raises ValueError where its state cannot be read."""
        state = from_plain(LoopState, {**row.state, "deferred": []})
        record = from_plain(LoopRecord, row.record)
        self._reset(row.loop_id, confirmed)
        self.record, self.taken_up, self._again = record, True, True
        world = self._world
        keys = tuple(goal.ref for goal in state.goals)
        world.emit(LoopStarted(self.loop_id, keys, record.target, state.max_iterations, resumed=True))
        after, commands = reattach(replace(state, auto=auto))
        await self._enter(LoopState(), after, commands)

    def _reset(self, loop_id: str, confirmed: str) -> None:
        self.state, self.loop_id, self.confirmed = LoopState(), loop_id, confirmed
        self.refusal, self.retryable, self.taken_up, self._again = None, False, False, False
        self._redo, self._broken = [], False
        self._tries.clear()
        if self._world.journal is not None:
            self._world.journal.loop_id = loop_id
        self.ended.clear()
        assert self.acts is not None
        self.acts.reset()

    # --- the machine -------------------------------------------------------------------------------------------------

    async def feed(self, event: machine.LoopEvent) -> None:
        """One event: the state it leads to is on disk before its commands begin."""
        async with self._turn:
            before = self.state
            after, commands = step(before, event)
            if after == before and not commands:
                return
            await self._enter(before, after, commands)

    async def _enter(self, before: LoopState, after: LoopState, commands: Sequence[Command]) -> None:
        if (before.stage, before.iteration) != (after.stage, after.iteration):
            self._tries.clear()
        self.state = after
        if not after.ended:
            await self.save()
        self.publish(before)
        if any(isinstance(command, machine.End) for command in commands):
            await self._finish(commands)
            return
        for command in commands:
            self._spawn(command)

    def _spawn(self, command: Command) -> None:
        self._world.spawn(self._carry_out(command), f"loop {type(command).__name__.lower()}")

    async def _carry_out(self, command: Command) -> None:
        assert self.acts is not None
        await self.attempt(command, self.acts.do(command))

    async def attempt(self, command: Command, work: Awaitable[None]) -> None:
        """Await `work`, a part of what `command` means: where it cannot be measured, the command is done again."""
        try:
            try:
                await work
            except WorkspaceError as error:
                await self._not_done(command, error)
        except Exception as error:
            # A fault of ours: the loop must not hang on it. It is told by whoever runs this, and can be taken up again.
            why = self._world.redactor.redact(f"a fault of this program: {type(error).__name__}: {clean(str(error))}")
            self._broken = True
            self._world.spawn(self.feed(machine.Interrupted(clip(why, 500))), "loop interrupted")
            raise

    async def _not_done(self, command: Command, error: WorkspaceError) -> None:
        """Nothing is known to have failed: it is done again once there is an answer, or a while later; not for ever."""
        assert self.acts is not None
        if not error.unmeasured:
            self._world.problem(f"workspace.{error.kind}", error.message)
            await self.acts.cannot(command, error.message)
            return
        await self.feed(machine.Paused(error.message))
        if not await self._reach.ask():
            self._redo.append(command)
        elif await self.try_again(command, error.message):
            await self.feed(machine.Resumed())
            self._spawn(command)
        else:
            self.retryable = True
            await self.feed(machine.Resumed())
            await self.acts.cannot(command, error.message)

    async def try_again(self, what: Hashable, reason: str) -> bool:
        """Wait until `what` may be tried again; False where it has been tried often enough."""
        seconds = self._tries.next_wait(what)
        if seconds is None:
            return False
        self._world.hold(f"{reason}: trying again in {seconds:.0f} s")
        await self._tries.wait(seconds)
        return True

    def _away(self, reason: str, signed_out: bool) -> None:
        if self.running:
            self._world.spawn(self.feed(machine.Paused(reason)), "loop paused")
            assert self.acts is not None
            if self.acts.headless:
                self._world.spawn(self._give_up(), "loop gives up")

    def _back(self) -> None:
        if self.running:
            self._world.spawn(self._go_on(), "loop resumed")

    async def _go_on(self) -> None:
        again, self._redo = self._redo, []
        await self.feed(machine.Resumed())
        for command in again:
            self._spawn(command)

    async def _give_up(self) -> None:
        """Nobody is there to wait for ever: after hours without an answer the loop is left, to be taken up again."""
        clock, loop_id = self._world.clock, self.loop_id
        since = clock.monotonic()
        while self._reach.away and self.running and self.loop_id == loop_id:
            limit = SIGN_IN_SECONDS if self._world.state.signed_out else OUTAGE_SECONDS
            if clock.monotonic() - since >= limit:
                code, flag = (3, LOGIN) if self._world.state.signed_out else (4, "")
                self.refusal = Refused(self._reach.away, exit_code=code, flag=flag)
                await self.feed(machine.Interrupted(self._reach.away))
                return
            await clock.sleep(30.0)

    # --- the record --------------------------------------------------------------------------------------------------

    def note_errors(self, errors: Sequence[ErrorRecord]) -> None:
        """Errors of the round that is under way."""
        self._note(errors=tuple(errors))

    def note_fix(self, fix: FixRecord, iteration: int = 0) -> None:
        """A fix that was tried after this round, or after the one that is named."""
        self._note(fixes=(fix,), iteration=iteration)

    def _note(
        self, errors: tuple[ErrorRecord, ...] = (), fixes: tuple[FixRecord, ...] = (), iteration: int = 0
    ) -> None:
        if self.record is None:
            return
        iteration = iteration or self.state.iteration
        rounds = {item.iteration: item for item in self.record.rounds}
        held = rounds.get(iteration, RoundRecord(iteration))
        known = {_same(error) for error in held.errors}
        new = tuple(error for error in errors if _same(error) not in known)
        rounds[iteration] = replace(held, errors=held.errors + new, fixes=held.fixes + fixes)
        self.record = replace(self.record, rounds=tuple(rounds[key] for key in sorted(rounds)))

    def note_start(self, start: StartRecord) -> None:
        """A run or update of this loop is under way."""
        if self.record is not None and start not in self.record.starts:
            self.record = replace(self.record, starts=(*self.record.starts, start))

    def note_identity(self) -> None:
        """Who acted where, once that is known."""
        if self.record is not None:
            here = self._world.state.identity
            self.record = replace(self.record, host=here.host, user=here.user, profile=here.profile)

    async def save(self, outcome: str = "", events: Sequence[EngineEvent] = ()) -> None:
        """State and record to the journal, `events` with them. A journal that cannot be written is said; what acts is
        then refused."""
        journal = self._world.journal
        if journal is None or not self.loop_id:
            return
        state = plain(replace(self.state, deferred=()))
        try:
            await journal.save_loop(
                self.loop_id,
                state,
                iterations=self.state.iteration,
                outcome=outcome,
                record=plain(self.record),
                events=[(event.name, plain(event)) for event in events],
            )
        except JournalUnavailable as error:
            self._world.store.set(journal_note=str(error))

    # --- what is shown -----------------------------------------------------------------------------------------------

    def publish(self, before: LoopState | None = None) -> None:
        """The strip, and an event where the stage or the round has changed."""
        state = self.state
        moved = before is not None and (before.stage, before.iteration) != (state.stage, state.iteration)
        if moved:
            self.sought = False
        hold = self._why(state)
        view = LoopView(state.stage, state.iteration, state.max_iterations, marks(state), hold, state.outcome)
        self._world.store.set(loop=view)
        if moved and state.stage is not Stage.IDLE and not state.ended:
            self._world.told(hold)
            self._world.emit(StageChanged(state.stage.value, state.iteration, hold))
        elif hold and (before is None or before.paused != state.paused):
            self._world.hold(hold)

    def _why(self, state: LoopState) -> str:
        """Why nothing happens, in one sentence; empty where something does."""
        if state.ended:
            return ""
        if state.paused:
            return f"paused: {state.paused}"
        if state.stage is Stage.POLL:
            waits = [f"{goal.ref.partition('.')[2]} {goal.run_id[:16]}" for goal in state.goals if goal.run_id]
            running = [text for goal, text in zip(_started(state), waits, strict=False) if goal.in_flight]
            return f"waiting for {', '.join(running[:3])} to end" if running else ""
        if state.stage is Stage.FIX:
            if self._world.state.pending_files or not self.sought:
                return ""  # which files, and what to press, stands beside it
            places = [d.location.file for d in self._world.state.diagnoses if d.location is not None]
            return f"waiting for an edit of {places[0]}" if places else "waiting for an edit"
        return ""

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _finish(self, commands: Sequence[Command]) -> None:
        reason = next((c.reason for c in commands if isinstance(c, machine.Report)), self.state.note)
        outcome = self.state.outcome or LoopOutcome.INTERRUPTED
        world = self._world
        if outcome is LoopOutcome.INTERRUPTED and not (self._again and self._broken):
            # Left in the journal as it was, to be taken up; where a fault ends it a second time, it would so for ever.
            await self._tell_end(outcome, [LoopEnded(outcome.value, self.state.iteration, True, reason, self.loop_id)])
            return
        report = ""
        events: list[EngineEvent] = []
        if outcome is LoopOutcome.VERIFIED:
            self._note()  # the round without an error is one too
        if self.record is not None:
            self.record = replace(self.record, outcome=outcome.value, reason=reason, ended=_now())
            if outcome is LoopOutcome.ESCALATED:
                report = self._report(self.record)
                events.append(Escalated(reason, report))
        events.append(LoopEnded(outcome.value, self.state.iteration, self.retryable, reason, self.loop_id))
        await self.save(outcome.value, events)
        if report:
            world.store.set(report_markdown=report)
        world.store.set(resumable="")
        await self._tell_end(outcome, events)

    def _report(self, record: LoopRecord) -> str:
        try:
            return to_markdown(record)
        except Exception as error:
            # Whoever waits for the end must get it, with or without a report.
            return f"# {record.bundle}: {record.reason}\n\nThe report could not be made: {type(error).__name__}\n"

    async def _tell_end(self, outcome: LoopOutcome, events: Sequence[EngineEvent]) -> None:
        assert self.acts is not None
        try:
            await self.acts.after_end(outcome)
        finally:
            for event in events:
                self._world.emit(event)
            if self._world.journal is not None:
                self._world.journal.loop_id = ""
            self.ended.set()


def _same(error: ErrorRecord) -> tuple[str, ...]:
    """What makes two records the same error; one that is explained again may be explained otherwise."""
    return (error.ref, error.run_id, error.task_key, error.task_run_id, error.message)


def _started(state: LoopState) -> list[machine.Goal]:
    return [goal for goal in state.goals if goal.run_id]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
