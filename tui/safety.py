"""The last net between text from outside and the terminal, and what is left on it when the program fails.

Never lets a control character of a segment through, and never prints a local variable.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.filter import LineFilter

if TYPE_CHECKING:
    from textual.color import Color

    from ..core.redaction import Redactor


def harmless(text: str) -> str:
    """`text` with everything a terminal could obey replaced by one visible character each; its width stays."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


# Signs of our own that stand in texts; where the terminal has ASCII only they get a stand-in of the same width.
_ASCII = str.maketrans({"…": "~", "↵": "/", "–": "-", "\ufffd": "?"})


class InertFilter(LineFilter):
    """Replaces C0, C1, bidi and other unprintable characters in every segment that is about to be drawn."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.ascii_only = ascii_only

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments, the same list where all of them are harmless."""
        if self.ascii_only and not all(segment.text.isascii() for segment in segments):
            segments = [Segment(s.text.translate(_ASCII), s.style, s.control) for s in segments]
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            segment if segment.control or segment.text.isprintable() else Segment(harmless(segment.text), segment.style)
            for segment in segments
        ]


def crash_sentence(error: BaseException | None, redactor: Redactor | None = None) -> str:
    """Write the redacted report of `error` to the state folder; what a person is told. Raises nothing."""
    from ..core import crash
    from ..core.paths import state_dir

    shown = error or sys.exc_info()[1] or RuntimeError("an unknown failure")
    folder: Path | None
    try:
        folder = state_dir()
    except Exception:
        folder = None
    path = crash.write_crash(shown, folder, redactor=redactor) if folder is not None else None
    return crash.sentence(shown, path, redactor=redactor)
