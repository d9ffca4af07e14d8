"""The engine's side of the journal: opened where it can be, told why where it cannot, every event kept, loops found.

Without a journal nothing is changed (the guard refuses), and watching goes on.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from .events import DeployOutput, EngineEvent, Escalated, LoopEnded, plain
from .guard import NoJournal, Refused
from .journal import Journal, JournalUnavailable, LoopRow, journal_path
from .learned_rows import NotSaved, bundle_folder, save_row
from .learning import draft_row, lessons_of, offered
from .lock import Held
from .paths import state_dir
from .plain_json import from_plain
from .report import LoopRecord
from .world import World


class JournalKeeping:
    """`open` and `close` with the engine; `note` for each event."""

    def __init__(self, world: World, folder: Path | None, *, wanted: bool) -> None:
        self._world = world
        self._folder = folder
        self._wanted = wanted
        self.held: Held | None = None  # who has the journal

    async def open(self) -> None:
        """Open the journal of this bundle and target, or say why there is none. Raises nothing."""
        world = self._world
        if not self._wanted:
            world.guard.log = NoJournal("this command only watches")
            return
        try:
            folder = self._folder if self._folder is not None else await asyncio.to_thread(state_dir, world.env)
            path = journal_path(folder, world.root, world.bundle.target)
            about = {"bundle": world.bundle.name, "root": str(world.root), "target": world.bundle.target}
            journal = await Journal.open(path, redactor=world.redactor, about=about)
        except Held as held:
            self.held = held
            self._without(f"another dbops-tui has it ({held}); {held.advice}", 4)
            await self._read_only(held.path.with_suffix(""))
            return
        except (JournalUnavailable, OSError) as error:
            self._without(str(error), 1)
            return
        world.journal, world.guard.log = journal, journal
        world.store.set(journal_note=journal.note)
        left = await self.unfinished()
        if left is not None:
            world.store.set(resumable=sentence(left))

    def _without(self, reason: str, exit_code: int) -> None:
        self._world.guard.log = NoJournal(reason, exit_code)
        self._world.store.set(journal_note=f"journal off: {reason}")
        self._world.problem("journal", f"nothing can be changed: {reason}")

    async def _read_only(self, path: Path) -> None:
        """What another process left or is at, to look at."""
        try:
            reader = await Journal.open(path, redactor=self._world.redactor, read_only=True)
            left = await reader.last_loop()
            await reader.close()
        except (JournalUnavailable, OSError):
            return
        if left is not None and not left.outcome:
            self._world.store.set(resumable=f"another process is at it: {sentence(left)}")

    async def reopen(self) -> None:
        """The journal of another target."""
        await self.close()
        await self.open()

    async def close(self) -> None:
        """Write what is left, and give the journal back."""
        journal, self._world.journal = self._world.journal, None
        self._world.guard.log = NoJournal("it is closed")
        if journal is None:
            return
        await journal.close()

    def note(self, event: EngineEvent) -> None:
        """Keep an event; lines of the CLI are kept with what they belong to, and the end of a loop with the loop."""
        journal = self._world.journal
        if journal is not None and not isinstance(event, (DeployOutput, Escalated, LoopEnded)):
            journal.append(event.name, lambda: plain(event))

    async def unfinished(self) -> LoopRow | None:
        """The loop that an earlier process left; None where there is none."""
        journal = self._world.journal
        if journal is None:
            return None
        row = await journal.last_loop()
        return row if row is not None and not row.outcome and row.state.get("goals") is not None else None

    async def abandon(self, row: LoopRow) -> None:
        """Nobody goes on with that loop any more: another one begins."""
        journal = self._world.journal
        if journal is not None:
            await journal.save_loop(
                row.loop_id, row.state, iterations=row.iterations, outcome="interrupted", record=row.record
            )

    async def last_record(self) -> LoopRecord | None:
        """The record of the newest loop that has one."""
        journal = self._world.journal
        for row in await journal.loops(20) if journal is not None else ():
            try:
                return from_plain(LoopRecord, row.record)
            except ValueError:
                continue
        return None

    async def learn(self) -> None:
        """Write what the last loop taught as a row of the bundle's own matrix. Raises Refused."""
        record = await self.last_record()
        if record is None:
            raise Refused("no loop has taught anything yet")
        if self._world.guard.read_only:
            raise Refused("read-only: no row is written", flag="start without --read-only")
        root = self._world.root
        drafts = [text for lesson in offered(lessons_of(record)) if (text := draft_row(lesson))]
        if not drafts:
            raise Refused("the last loop taught nothing that could be known again")
        try:
            saved = [await asyncio.to_thread(save_row, bundle_folder(root), text, base=root) for text in drafts]
        except NotSaved as error:
            raise Refused(str(error)) from error
        self._world.store.set(learnable="")
        names = ", ".join(str(path.relative_to(root)) for path in saved)
        self._world.problem("learned", f"learned: {names}; commit it to share it")


def sentence(row: LoopRow) -> str:
    """What was left, in one sentence."""
    goals = row.state.get("goals") or []
    names = ", ".join(str(goal.get("ref", "")).partition(".")[2] for goal in goals[:4] if isinstance(goal, dict))
    runs = [str(goal.get("run_id")) for goal in goals if isinstance(goal, dict) and goal.get("run_id")]
    what = f", run {runs[0]}" if runs else ""
    rounds = row.state.get("max_iterations", 3)
    stage = row.state.get("stage", "")
    left = f"was left in round {row.iterations} of {rounds} ({stage}{what})"
    return f"a loop on {names or 'the bundle'} {left}: H takes it up"
