"""Keeps the bundle on show in step: with its YAML at once, and with what the CLI makes of it when that has answered.

Never empties a tree because a file is half saved, and never waits for the CLI where the YAML is enough.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from .bundle import Bundle
from .bundle_load import reload
from .bundle_truth import apply_summary, apply_validate, with_diagnostics
from .cli_words import CliProblem
from .databricks_cli import CliResult
from .world import World


class Truth:
    """`reread` is the YAML alone, `ask` the CLI; both write `bundle` and `bundle_note`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._turn = asyncio.Lock()
        self._asked = 0

    async def reread(self) -> Bundle:
        """The YAML as it is now, over what is known already."""
        world = self._world
        held = world.state.bundle
        found = await asyncio.to_thread(reload, held, world.root, world.target, world.env)
        self._show(found)
        return found

    def _show(self, bundle: Bundle) -> None:
        note = ""
        if bundle.broken and bundle.errors:
            first = bundle.errors[0]
            place = f"{first.place.file}:{first.place.line}: " if first.place else ""
            note = f"{place}{first.summary} (showing the last good version)"
        self._world.store.set(bundle=bundle, bundle_note=note)

    async def version(self) -> bool:
        """Whether there is a CLI that can be used; what is wrong goes to `cli_problem`."""
        world = self._world
        try:
            found = await world.cli.version()
        except CliProblem as problem:
            text = problem.summary + (f"\n{problem.install}" if problem.install else "")
            world.store.set(cli_problem=text, cli_version="")
            return False
        world.store.set(cli_version=".".join(map(str, found)), cli_problem="")
        return True

    async def ask(self, *, tell: bool = False) -> CliResult | None:
        """What `validate` and `summary` say, laid over the YAML; None where there is no CLI. `tell` shows their lines.

        Several that ask while an answer is on its way get one more answer, not one each.
        """
        world = self._world
        self._asked += 1
        ticket = self._asked
        async with self._turn:
            if ticket < self._asked and not tell:
                return None
            on_line = world.cli_line if tell else None
            try:
                result, data = await world.cli.validate(on_line)
                summary = None
                if result.outcome == "ok":
                    _, summary = await world.cli.summary()
            except CliProblem as problem:
                world.store.set(cli_problem=problem.summary, cli_version="")
                return None
            held = world.bundle
            found = apply_summary(held, summary) if summary is not None else apply_validate(held, data)
            if result.outcome != "blocked":
                fresh = await asyncio.to_thread(reload, held, world.root, world.target, world.env)
                found = with_diagnostics(replace(found, problems=fresh.problems), result.diagnostics)
            self._show(found)
            return result
