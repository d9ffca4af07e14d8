"""`dbops-tui history`: the loops that the journal of this bundle and target holds, newest first.

Never writes to the journal and never waits for who does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from ..core.text import clean
from ..widgets.words import plural
from .journal_view import OPEN, LoopSeen, reading_journal, seen
from .jsonl import JsonLines
from .place import Place, Stop, open_place, said
from .table import print_table


def main(arguments: argparse.Namespace) -> int:
    """Print the loops. Raises Stop where the journal cannot be read."""
    place = open_place(arguments)
    try:
        loops = asyncio.run(read_loops(place, arguments.limit))
    except Stop as stop:
        if stop.code != "no_journal":
            raise
        # Nothing has happened yet: that is an answer, and no failure.
        print(said(stop, place.redactor), file=sys.stderr)
        return _print_json(place, []) if arguments.json else 0
    if arguments.json:
        return _print_json(place, loops)
    if not loops:
        print(f"no loop was started for target {place.bundle.target} yet", file=sys.stderr)
        return 0
    print_table(
        ("ID", "STARTED", "ENDED", "RESOURCES", "TARGET", "ROUNDS", "OUTCOME", "REASON"), map(_row, loops), roomy=7
    )
    open_ones = sum(_open(loop) for loop in loops)
    if open_ones:
        # Only the newest is ever taken up: who starts another one leaves those before it behind.
        then = "the console or heal goes on with the newest" if _open(loops[0]) else "a newer one came after"
        print(f"{plural(open_ones, 'loop')} without an end: {then}", file=sys.stderr)
    return 0


async def read_loops(place: Place, limit: int) -> list[LoopSeen]:
    """The newest loops. Raises Stop."""
    async with reading_journal(place) as journal:
        return [await seen(journal, row) for row in await journal.loops(limit)]


def _row(loop: LoopSeen) -> tuple[str, ...]:
    record = loop.record
    return (
        *(record.loop_id, record.started, "" if _open(loop) else record.ended, ", ".join(record.keys)),
        *(record.target, str(loop.iterations), record.outcome or OPEN, record.reason),
    )


def _open(loop: LoopSeen) -> bool:
    """Whether the loop has no end: its process was ended, or left it to be taken up again."""
    return loop.record.outcome in ("", OPEN)


def _print_json(place: Place, loops: list[LoopSeen]) -> int:
    out = JsonLines()
    for loop in loops:
        record = loop.record
        body: dict[str, Any] = {
            "id": record.loop_id,
            "started": record.started,
            "ended": None if _open(loop) else record.ended,
            "keys": list(record.keys),
            "target": record.target,
            "host": record.host,
            "user": record.user,
            "iterations": loop.iterations,
            "outcome": record.outcome or OPEN,
            "reason": clean(record.reason),
            "causes": sorted({e.diagnosis.cause for r in record.rounds for e in r.errors if e.diagnosis is not None}),
        }
        out.write("loop", body)
    about = {"count": len(loops), "bundle": place.bundle.name, "target": place.bundle.target}
    return out.end("history.ended", about)
