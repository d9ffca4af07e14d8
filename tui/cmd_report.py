"""`dbops-tui report`: one loop of the journal as Markdown, to hand over: what failed, what was tried, how to go on.

Never invents: what the journal does not hold is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from ..core.journal import LoopRow
from ..core.report import to_json, to_markdown
from ..core.text import clean
from .exits import EXIT_FAILED
from .journal_view import LoopSeen, reading_journal, seen
from .jsonl import JsonLines
from .place import Place, Stop, open_place

_LOOKED_AT = 500  # loops


def main(arguments: argparse.Namespace) -> int:
    """Print the report. Raises Stop where there is no such loop."""
    place = open_place(arguments)
    loop, note = asyncio.run(find_loop(place, arguments.id or ""))
    if note:
        print(note, file=sys.stderr)
    if not loop.whole:
        print("no whole record of this loop was kept: put together from its events", file=sys.stderr)
    if arguments.json:
        out = JsonLines()
        body = {**to_json(loop.record), "whole": loop.whole, "iterations": loop.iterations}
        out.write("report", body, final=True)
        return 0
    print(place.redactor.redact(clean(to_markdown(loop.record))), end="")
    return 0


async def find_loop(place: Place, wanted: str) -> tuple[LoopSeen, str]:
    """The loop whose id begins with `wanted`, else the latest escalated one, else the latest; a note. Raises Stop."""
    async with reading_journal(place) as journal:
        rows = await journal.loops(_LOOKED_AT, wanted)
        if not rows:
            if wanted:
                raise Stop(
                    f"the journal holds no loop {wanted}", "dbops-tui history", code="no_loop", exit_code=EXIT_FAILED
                )
            raise Stop("the journal holds no loop yet", code="no_loop", exit_code=EXIT_FAILED)
        row, note = _chosen(rows, wanted)
        return await seen(journal, row), note


def _chosen(rows: tuple[LoopRow, ...], wanted: str) -> tuple[LoopRow, str]:
    if wanted:
        exact = [row for row in rows if row.loop_id == wanted]
        if len(rows) > 1 and not exact:
            names = ", ".join(row.loop_id for row in rows[:5])
            raise Stop(f"{len(rows)} loops begin with {wanted}: {names}", "more of the id", code="no_loop")
        return (exact or list(rows))[0], ""
    escalated = next((row for row in rows if row.outcome == "escalated"), None)
    if escalated is not None:
        return escalated, ""
    return rows[0], f"no loop was escalated: this is the latest, {rows[0].outcome or 'without an end yet'}"
