"""`dbops-tui doctor`: what stands between this machine and a deploy, each finding with what to do about it.

Never changes anything and never prompts; it goes on where a part of it cannot be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..core.doctor import Check, Subject, Terminal, examine, exit_code
from ..core.paths import state_dir
from .jsonl import JsonLines
from .place import open_place
from .table import print_table

if TYPE_CHECKING:
    from ..core.workspace import Workspace

_WORDS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "skipped": "skipped"}


def main(arguments: argparse.Namespace) -> int:
    """Print the findings; 3 where it is who acts where, 1 for any other problem, else 0."""
    checks = asyncio.run(examined(arguments))
    status = exit_code(checks)
    if arguments.json:
        out = JsonLines()
        for check in checks:
            out.write("check", check.to_json())
        counts = {word: sum(check.status == word for check in checks) for word in _WORDS}
        return out.end("doctor.ended", counts, exit_code=status)
    _print(checks)
    return status


async def examined(arguments: argparse.Namespace) -> tuple[Check, ...]:
    """All findings. Raises nothing that a finding can say."""
    place = open_place(arguments, tolerant=True)
    workspace: Workspace | None = None
    reach: Callable[[], Awaitable[str]] | None = None
    if not place.identity.problem:
        try:
            workspace = place.reading_workspace()
            reach = workspace.me
        except Exception as error:
            reach = _failing(error)

    cli = place.reading_cli()
    try:
        return await examine(
            Subject(
                env=place.env,
                identity=place.identity,
                terminal=Terminal.here(place.env),
                state_dir=lambda: state_dir(place.env),
                bundle=None if place.bundle_problem else place.bundle,
                bundle_problem=place.bundle_problem,
                config_problem=place.config_problem,
                journal=place.journal_file,
                cli=cli.version,
                describe=cli.describe_auth,
                reach=reach,
                redactor=place.redactor,
            )
        )
    finally:
        if workspace is not None:
            await workspace.close()


def _failing(error: Exception) -> Callable[[], Awaitable[str]]:
    """What keeps a client from being made is a finding of the check that would have used it."""

    async def reach() -> str:
        raise error

    return reach


def _print(checks: tuple[Check, ...]) -> None:
    rows = []
    for check in checks:
        rows.append((_WORDS[check.status], check.title, check.text))
        if check.hint:
            rows.append(("", "", f"→ {check.hint}"))
    print_table(("", "CHECK", "FOUND"), rows, roomy=2)
