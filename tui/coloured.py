"""Sentences with colour, for people who watch a command in a terminal; the words are those of `plain.py`.

Never writes where nobody looks: without a terminal, with NO_COLOR or `--plain` there is no colour.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from ..core.events import EngineEvent
from ..core.redaction import Redactor
from .plain import Sentences, sentence

STYLES = {
    "stage.changed": "bold cyan",
    "deploy.output": "dim",
    "run.changed": "bold",
    "failure.diagnosed": "red",
    "fix.proposed": "yellow",
    "fix.applied": "yellow",
    "verified": "green",
    "waiting": "dim",
    "problem": "magenta",
    "escalated": "bold red",
}
ENDS = {"verified": "bold green", "partial": "bold yellow", "deployed": "bold green"}


class Coloured(Sentences):
    """Writes to stderr with rich; a line that is long wraps where the terminal ends."""

    def __init__(self, *, deploy_lines: bool = True, redactor: Redactor | None = None) -> None:
        super().__init__(sys.stderr, deploy_lines=deploy_lines, redactor=redactor)
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def event(self, event: EngineEvent) -> None:
        if event.name == "deploy.output" and not self._deploy_lines:
            return
        style = STYLES.get(event.name, "")
        if event.name == "loop.ended":
            style = ENDS.get(str(getattr(event, "outcome", "")), "bold red")
        self._print(sentence(event), style)

    def say(self, text: str) -> None:
        self._print(text, "")

    def _print(self, text: str, style: str) -> None:
        if text:
            said = self._redactor.redact(text) if self._redactor else text
            self._console.print(Text(said, style=style))


def words_for(plain: bool, *, deploy_lines: bool = True, redactor: Redactor | None = None) -> Sentences:
    """With colour where a person looks and did not ask for plain text."""
    if plain or not sys.stderr.isatty():
        return Sentences(sys.stderr, deploy_lines=deploy_lines, redactor=redactor)
    return Coloured(deploy_lines=deploy_lines, redactor=redactor)
