"""Gives the terminal to `databricks auth login` while the console waits, and takes it back after.

Never sees a password: what is typed goes to the CLI alone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.app import App, SuspendNotSupported

if TYPE_CHECKING:
    from ..core.engine import LoginProgram


def in_terminal(app: App[int]) -> LoginProgram:
    """How the engine runs the sign-in from within `app`."""

    async def run(words: Sequence[str], env: Mapping[str, str]) -> None:
        step_away = getattr(app, "step_away", None)
        if step_away is not None:
            step_away()
        try:
            with app.suspend():
                await asyncio.to_thread(_run, list(words), env)
        except SuspendNotSupported:
            await asyncio.to_thread(_run, list(words), env)
        finally:
            come_back = getattr(app, "come_back", None)
            if come_back is not None:
                come_back()

    return run


def _run(words: list[str], env: Mapping[str, str]) -> None:
    subprocess.run(words, env={**os.environ, **env}, check=False)
