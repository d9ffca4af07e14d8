"""What the databricks CLI said: each command with its output, as it came, coloured by what the lines say.

Never runs anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.state import CliLine
from .output import LogPage
from .page import TextLine
from .spans import span


class CliPage(LogPage):
    """The page of the CLI tab: grows at the end, follows it unless somebody reads further up."""

    def __init__(self) -> None:
        super().__init__((("CLI", ""),), wraps=True)
        self._cli: Sequence[CliLine] = ()
        self._made: list[TextLine] = []

    def show(self, lines: Sequence[CliLine]) -> None:
        """Show `lines`; only those that are new are looked at, where they go on from the last call."""
        before, self._cli = self._cli, lines
        if lines is before:
            return
        known = len(before)
        if known > len(lines) or (known and lines[known - 1] is not before[-1]):
            self._made, known = [], 0
        self._made += [_line(line) for line in lines[known:]]
        self.set_lines(self._made, empty=[(("No command has been run yet.", "muted"),)])


def _line(line: CliLine) -> TextLine:
    if line.stream == "cmd":
        return TextLine((("$ ", "accent"), span(line.text, "accent+b")), indent=4)
    text = line.text.lstrip()
    role = "error" if text.startswith("Error") else "warn" if text.startswith("Warning") else ""
    if text.startswith(("at ", "in ")):
        role = "muted"
    return TextLine((("  ", ""), span(line.text, role)), indent=4)
