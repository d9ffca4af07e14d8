"""The journal as the commands that only look at it need it: opened without a lock, its loops as records.

Never writes to it, and never fails on what an older version or a killed process left in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.journal import Journal, JournalUnavailable, LoopRow, Operation
from ..core.plain_json import from_plain
from ..core.report import ErrorRecord, FixRecord, LoopRecord, RoundRecord
from ..matrix.model import Diagnosis
from .exits import EXIT_FAILED
from .place import Place, Stop

OPEN = "open"  # the outcome of a loop that has not ended, or whose process was ended


@dataclass(frozen=True, slots=True)
class LoopSeen:
    """A loop of the journal: its record, whether that was kept or put together, and how many rounds it had."""

    record: LoopRecord
    iterations: int
    whole: bool


@asynccontextmanager
async def reading_journal(place: Place) -> AsyncIterator[Journal]:
    """The journal of the place, open for reading. Raises Stop where there is none or it cannot be read."""
    if place.journal_file is None:
        raise Stop(place.journal_problem, "DBOPS_STATE_DIR=/a/local/folder", code="journal", exit_code=EXIT_FAILED)
    if not place.journal_file.exists():
        if place.bundle.broken:
            # Which target is the default one stands in a file that cannot be read.
            problem = place.bundle.errors[0]
            at = f"{problem.place.file}:{problem.place.line}: " if problem.place else ""
            raise Stop(f"{at}{problem.summary}", "-t TARGET", code="target")
        raise Stop(
            f"nothing was deployed or run from here yet: there is no journal of {place.bundle.name}"
            f" for target {place.bundle.target}",
            _other_targets(place),
            code="no_journal",
            exit_code=EXIT_FAILED,
        )
    try:
        journal = await Journal.open(place.journal_file, redactor=place.redactor, read_only=True)
    except JournalUnavailable as error:
        raise Stop(f"the journal cannot be used: {error}", code="journal", exit_code=EXIT_FAILED) from error
    try:
        yield journal
    finally:
        await journal.close()


def _other_targets(place: Place) -> str:
    from ..core.journal import journal_path

    assert place.journal_file is not None
    folder = place.journal_file.parent
    names = [each.name for each in place.bundle.targets if journal_path(folder, place.root, each.name).exists()]
    return f"there is one for: -t {', -t '.join(names)}" if names else ""


async def seen(journal: Journal, row: LoopRow) -> LoopSeen:
    """The loop as a record: the one that was kept, else put together from what the journal holds of it."""
    if row.record:
        try:
            record = from_plain(LoopRecord, row.record)
            return LoopSeen(replace(record, outcome=record.outcome or OPEN), row.iterations, True)
        except (ValueError, TypeError):
            pass
    return LoopSeen(await _put_together(journal, row), row.iterations, False)


async def _put_together(journal: Journal, row: LoopRow) -> LoopRecord:
    operations = await journal.operations(row.loop_id)
    about = await journal.about()
    first = operations[0] if operations else None
    reason = "it has not ended, or its process was ended before it could say how" if not row.outcome else ""
    events = await journal.events(row.loop_id, limit=20_000)
    return LoopRecord(
        loop_id=row.loop_id,
        bundle=Path(about.get("root", "")).name or about.get("bundle", "") or "bundle",
        target=(first.target if first else "") or about.get("target", ""),
        host=(first.host if first else "") or about.get("host", ""),
        user=first.user if first else "",
        profile="",
        keys=_keys(row, operations),
        outcome=row.outcome or OPEN,
        reason=reason,
        started=row.started,
        ended=row.ended or "now",
        rounds=_rounds(events, row.iterations),
    )


def _keys(row: LoopRow, operations: tuple[Operation, ...]) -> tuple[str, ...]:
    """The resources of the loop: its goals, else what was started in it."""
    goals = row.state.get("goals")
    refs = [goal.get("ref") for goal in goals if isinstance(goal, dict)] if isinstance(goals, list) else []
    started = [each.key for each in operations if each.kind in ("run", "update", "repair")]
    return tuple(dict.fromkeys([ref for ref in refs if isinstance(ref, str)] or started))


def _rounds(events: tuple[tuple[str, str, dict[str, Any]], ...], iterations: int) -> tuple[RoundRecord, ...]:
    """The rounds as the stream of events tells them: what was diagnosed in each, and what was edited after it."""
    rounds: dict[int, RoundRecord] = {number: RoundRecord(number) for number in range(1, min(iterations, 3) + 1)}
    number = 1
    for _, name, data in events:
        held = rounds.get(number, RoundRecord(number))
        if name == "stage.changed" and isinstance(data.get("iteration"), int) and data["iteration"] > 0:
            number = data["iteration"]
        elif name == "failure.diagnosed" and (error := _error(data)) is not None:
            rounds[number] = replace(held, errors=(*held.errors, error))
        elif name == "fix.applied":
            rounds[number] = replace(held, fixes=(*held.fixes, _fix(data)))
    return tuple(rounds[each] for each in sorted(rounds))


def _error(data: dict[str, Any]) -> ErrorRecord | None:
    try:
        diagnosis = from_plain(Diagnosis, data.get("diagnosis"))
    except (ValueError, TypeError):
        return None
    message = diagnosis.evidence[0].text if diagnosis.evidence else diagnosis.title
    words = {name: str(data.get(name) or "") for name in ("run_id", "task_key")}
    return ErrorRecord(str(data.get("key") or ""), message, words["run_id"], words["task_key"], diagnosis=diagnosis)


def _fix(data: dict[str, Any]) -> FixRecord:
    files = data.get("files")
    named = tuple(str(file) for file in files) if isinstance(files, list) else ()
    words = [str(data.get(name) or "") for name in ("title", "source", "diff")]
    return FixRecord(words[0], words[1], named, words[2])
