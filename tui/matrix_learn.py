"""`dbops-tui matrix learn`: a row of the matrix made of what the last loop taught, shown and kept.

Never replaces a row that is there already, for somebody may have put it into better words; and it asks nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.guard import Refused
from ..core.learned_rows import NotSaved, bundle_folder, save_row, user_folder
from ..core.learning import Lesson, draft_row, lessons_of, offered
from ..matrix.schema import parse_rows
from .exits import EXIT_FAILED, EXIT_OK
from .journal_view import LoopSeen, reading_journal, seen
from .jsonl import JsonLines
from .place import Place, Stop


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one draft: where it was written, or why it was not. `known` tells that it is there already."""

    lesson: Lesson
    text: str
    id: str
    file: Path | None = None
    known: bool = False
    problem: str = ""


def learn(place: Place, arguments: argparse.Namespace) -> int:
    """Draft, print and keep the rows; 1 where none of them could be kept. Raises Stop, Refused."""
    if place.bundle_problem:
        raise Stop(place.bundle_problem, "--path FOLDER", code="no_bundle")
    if place.config.read_only:
        raise Refused("read-only: no row is written", flag="start without read_only in the settings")
    loop = asyncio.run(_last_loop(place))
    lessons = lessons_of(loop.record)
    drafts = [(lesson, text) for lesson in offered(lessons) if (text := draft_row(lesson))]
    if not drafts:
        why = "what failed says too little to be known again" if offered(lessons) else "its rows knew what to do"
        why = why if lessons else "nothing failed in it"
        text = f"there is nothing to learn from loop {loop.record.loop_id}: {why}"
        raise Stop(text, code="nothing_learned", exit_code=EXIT_FAILED)
    folder = user_folder(place.env, place.config.matrix) if arguments.user else bundle_folder(place.root)
    kept = [_keep(lesson, text, folder, None if arguments.user else place.root) for lesson, text in drafts]
    status = EXIT_OK if any(each.file for each in kept) else EXIT_FAILED
    if arguments.json:
        out = JsonLines()
        for each in kept:
            out.write("draft", _json(each))
        return out.end("matrix.ended", {"count": len(kept), "loop": loop.record.loop_id}, exit_code=status)
    for each in kept:
        print(each.text, end="")
        print(_said(each), file=sys.stderr)
    return status


async def _last_loop(place: Place) -> LoopSeen:
    """The newest loop that has ended. Raises Stop where there is none."""
    async with reading_journal(place) as journal:
        for row in await journal.loops(50):
            if row.outcome:
                return await seen(journal, row)
    raise Stop("no loop has ended yet: nothing is to be learned", code="no_loop", exit_code=EXIT_FAILED)


def _keep(lesson: Lesson, text: str, folder: Path, base: Path | None) -> Kept:
    identity = parse_rows(text, file="draft", learned=True)[0].id
    path = folder / f"{identity.partition('.')[2]}.yaml"
    if path.exists():
        return Kept(lesson, text, identity, path, known=True)
    try:
        return Kept(lesson, text, identity, save_row(folder, text, base=base))
    except NotSaved as refused:
        return Kept(lesson, text, identity, problem=str(refused))


def _json(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "cause": kept.lesson.cause,
        "yaml": kept.text,
        "file": str(kept.file) if kept.file else None,
        "written": kept.file is not None and not kept.known,
        "problem": kept.problem or None,
    }


def _said(kept: Kept) -> str:
    if kept.problem:
        return f"not written: {kept.problem}"
    if kept.known:
        return f"known already, and left as it is: {kept.file}"
    return f"written to {kept.file}: say there in your own words what it is and what mends it"
