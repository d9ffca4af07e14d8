"""Looks for a fix, in this order: a safe patch, a retry of what passes by itself, an external fixer, a person's edit.

Never applies a patch that is less than certain, never the same change twice, and nothing outside of the bundle.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..matrix.model import Diagnosis, Edit, Fix, Patch
from . import fixer
from .atomicfile import clear_staged, inside
from .diagnosing import Diagnosing
from .events import FixAppliedEvent, plain
from .guard import Refused
from .journal import Operation
from .loop_model import FixApplied, LoopEvent, NoFix, RetryDue
from .patches import Applied, PatchRefused, apply_patch, combined, diff_of, undo
from .plain_json import from_plain
from .proposals import SAFE_CONFIDENCE
from .redaction import MASK
from .report import FixRecord
from .syncrules import SyncRules
from .world import World

T = TypeVar("T")
RETRY_SECONDS = 30.0  # where a row says nothing of how long to wait


@dataclass(frozen=True, slots=True)
class Sought:
    """What came of looking for a fix: the event for the loop (None: a person has to edit), and what to write down."""

    event: LoopEvent | None
    record: FixRecord | None = None


class Fixing:
    """`apply` is safe or none; `fixer` a program, empty for none. Both can be changed by a command's flags."""

    def __init__(self, world: World, diagnosing: Diagnosing) -> None:
        self._world = world
        self._diagnosing = diagnosing
        self.apply = world.config.apply
        self.fixer = world.config.fixer
        self.tried: set[str] = set()  # digests of diffs
        self.at_work = False  # edits that are seen now are ours
        self._applied: list[tuple[Fix, Applied]] = []

    async def seek(self, iteration: int) -> Sought:
        """One look for a fix of everything that failed in this round. Raises Refused."""
        diagnoses = self._diagnosing.diagnoses()
        if self.apply == "safe":
            sought = await self._working(self._safe(diagnoses, iteration))
            if sought is not None:
                return sought
        wait = retry_wait(diagnoses)
        if wait is not None:
            causes = ", ".join(dict.fromkeys(d.cause for d in diagnoses))
            self._world.hold(f"{causes} passes by itself: trying again in {wait:.0f} s")
            await self._world.clock.sleep(wait)
            record = FixRecord(f"wait {wait:.0f} s, then again", "retry", why=causes)
            return Sought(RetryDue(), record)
        if self.fixer:
            return await self._working(self._by_program(diagnoses, iteration))
        return Sought(None)

    async def _working(self, work: Awaitable[T]) -> T:
        self.at_work = True
        try:
            return await work
        finally:
            self.at_work = False

    # --- safe patches ------------------------------------------------------------------------------------------------

    async def _safe(self, diagnoses: Sequence[Diagnosis], iteration: int) -> Sought | None:
        world = self._world
        chosen = [fix for each in diagnoses if (fix := self._safe_fix(each)) is not None]
        if not chosen:
            return None
        try:
            patch = await asyncio.to_thread(together, world.root, chosen)
        except PatchRefused as refused:
            world.problem("patch", f"not applied: {refused}")
            return None
        diff = diff_of(world.root, patch)
        digest = hashlib.sha256(diff.encode()).hexdigest()
        if not diff or digest in self.tried:
            return None
        self.tried.add(digest)
        title = "; ".join(dict.fromkeys(fix.title for fix in chosen))
        applied = await self._write(Fix("edit", title, patch), iteration, diff, automatic=True)
        why = "; ".join(dict.fromkeys(d.title for d in diagnoses if self._safe_fix(d) is not None))
        self._tell(applied.files, title, "patch", diff)
        return Sought(FixApplied(applied.files), FixRecord(title, "patch", applied.files, diff, why))

    def _safe_fix(self, diagnosis: Diagnosis) -> Fix | None:
        for fix in diagnosis.fixes:
            if fix.patch is not None and fix.confidence >= SAFE_CONFIDENCE and not fix.destructive:
                return fix
        return None

    async def _write(self, fix: Fix, iteration: int, diff: str, *, automatic: bool, confirmed: str = "") -> Applied:
        world, patch = self._world, fix.patch
        assert patch is not None
        # With the edits, so that a later process can bring to its end what we leave half done.
        data = {"iteration": iteration, "files": dict(patch.sha256), "edits": plain(patch.edits), "diff": diff}
        act = world.guard.act("patch", fix.title, data=data)
        permit = await world.guard.permit(act, confirmed=confirmed, automatic=automatic)
        try:
            applied = await apply_patch(world.root, patch, world.guard, permit)
        except (PatchRefused, Refused) as error:
            await permit.ended("refused", reason=str(error))
            raise
        await permit.ended("done", files=list(applied.files), diff=diff)
        self._applied.append((fix, applied))
        world.store.set(undo_title=fix.title)
        return applied

    # --- what a person asks for ---------------------------------------------------------------------------------------

    async def apply_fix(self, fix: Fix, iteration: int, *, confirmed: str = "") -> FixRecord:
        """Apply one proposal. Raises Refused, PatchRefused."""
        world = self._world
        if fix.patch is None:
            raise PatchRefused("this fix is done by hand: " + (fix.command or fix.title))
        diff = diff_of(world.root, fix.patch)
        applied = await self._write(fix, iteration, diff, automatic=False, confirmed=confirmed)
        self._tell(applied.files, fix.title, "patch", diff)
        return FixRecord(fix.title, "patch", applied.files, diff, "applied by a person")

    async def undo_fix(self, *, confirmed: str = "") -> tuple[str, ...]:
        """Take the last applied fix back; the files. Raises Refused, PatchRefused."""
        world = self._world
        if not self._applied:
            raise PatchRefused("nothing to undo")
        fix, applied = self._applied[-1]
        act = world.guard.act("patch", f"undo: {fix.title}", data={"files": list(applied.files)})
        permit = await world.guard.permit(act, confirmed=confirmed)
        try:
            await undo(world.root, applied, world.guard, permit)
        except (PatchRefused, Refused) as error:
            await permit.ended("refused", reason=str(error))
            raise
        await permit.ended("done")
        self._applied.pop()
        world.store.set(undo_title=self._applied[-1][0].title if self._applied else "")
        self._tell(applied.files, f"undo: {fix.title}", "person", "")
        return applied.files

    # --- what an earlier process left ---------------------------------------------------------------------------------

    async def left_over(self, operation: Operation) -> tuple[str, ...]:
        """The files that a patch of an earlier process changed; what it left half done is brought to its end.

        Empty where it had not begun to write. Raises Refused.
        """
        root, held = self._world.root, operation.intent.get("files")
        before = {str(file): str(digest) for file, digest in held.items()} if isinstance(held, dict) else {}
        changed = await asyncio.to_thread(_changed, root, before)
        missing = tuple(file for file in before if file not in changed)
        if changed and missing:
            try:
                patch = _rest_of(operation, {file: before[file] for file in missing})
                iteration = int(operation.intent.get("iteration") or 0)
                await self._write(Fix("edit", operation.key, patch), iteration, "", automatic=True)
            except (PatchRefused, ValueError) as error:
                self._world.problem("patch", f"{', '.join(missing)} was not mended any more: {error}")
                return changed
        return tuple(before) if changed else ()

    # --- an external program ------------------------------------------------------------------------------------------

    async def _by_program(self, diagnoses: Sequence[Diagnosis], iteration: int) -> Sought:
        world = self._world
        act = world.guard.act(
            "fixer", self.fixer, command=self.fixer, token=secrets.token_hex(16), data={"iteration": iteration}
        )
        permit = await world.guard.permit(act, automatic=True)
        world.hold(f"the fixer is at work: {self.fixer}")
        failed = await asyncio.to_thread(
            lambda: fixer.request(self._diagnosing.failed(), world.bundle, iteration=iteration)
        )
        try:
            result = await fixer.run_fixer(
                self.fixer,
                failed,
                root=world.root,
                rules=SyncRules.of(world.bundle),
                env=world.env,
                seconds=world.config.fixer_seconds,
                permit=permit,
                guard=world.guard,
                redactor=world.redactor,
            )
        except Refused as refused:
            await permit.ended("refused", reason=refused.reason)
            raise
        except asyncio.CancelledError:
            # Its edits were taken back.
            await asyncio.shield(permit.ended("refused", reason="stopped while it was under way"))
            raise
        if result.refused or not result.files:
            reason = result.refused or "the fixer changed nothing"
            await permit.ended("refused", reason=reason)
            return Sought(NoFix(reason), FixRecord(self.fixer, "fixer", why=reason))
        digest = hashlib.sha256(result.diff.encode()).hexdigest()
        await permit.ended("done", files=list(result.files), diff=result.diff)
        record = FixRecord(self.fixer, "fixer", result.files, result.diff)
        self._tell(result.files, self.fixer, "fixer", result.diff)
        if result.applied is not None:
            self._applied.append((Fix("edit", self.fixer), result.applied))
            world.store.set(undo_title=self.fixer)
        if digest in self.tried:
            return Sought(NoFix("the fixer made the same change again"), record)
        self.tried.add(digest)
        return Sought(FixApplied(result.files), record)

    def _tell(self, files: tuple[str, ...], title: str, source: str, diff: str) -> None:
        self._world.emit(FixAppliedEvent(files, title, source, diff))


def _changed(root: Path, before: Mapping[str, str]) -> tuple[str, ...]:
    """Which files are not as they were; what a write that was cut off left beside them is removed."""
    found = []
    for file, digest in before.items():
        try:
            path = inside(root / file, root)
            clear_staged(path)
            now = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            now = ""
        if now != digest:
            found.append(file)
    return tuple(found)


def _rest_of(operation: Operation, files: Mapping[str, str]) -> Patch:
    """The part of a patch that is for these files (name -> sha256). Raises ValueError where the journal has it not."""
    held = operation.intent.get("edits")
    edits = tuple(from_plain(Edit, each) for each in held) if isinstance(held, list) else ()
    edits = tuple(edit for edit in edits if edit.file in files)
    if {edit.file for edit in edits} != files.keys():
        raise ValueError("what was to be written is not known any more")
    if any(MASK in (edit.new or "") for edit in edits):
        raise ValueError("it holds what is never written down")
    return Patch(edits, tuple(files.items()))


def together(root: Path, fixes: Sequence[Fix]) -> Patch:
    """One patch of several that were made for the same state of the files. Raises PatchRefused."""
    patches = [fix.patch for fix in fixes if fix.patch is not None]
    patch = combined(root, patches)
    held = {file: digest for each in patches for file, digest in each.sha256}
    for file, digest in patch.sha256:
        if held.get(file, digest) != digest:
            raise PatchRefused(f"{file} changed since the diagnosis")
    return patch


def retry_wait(diagnoses: Sequence[Diagnosis]) -> float | None:
    """Seconds to wait where everything that failed passes by itself; None where something does not."""
    if not diagnoses or not all(diagnosis.retryable for diagnosis in diagnoses):
        return None
    waits = [fix.wait_seconds for d in diagnoses for fix in d.fixes if fix.kind == "retry" and fix.wait_seconds]
    return max(waits, default=RETRY_SECONDS)
