"""The terminal that the console draws on, and its end: where the line is cut, nothing is drawn and the console leaves.

Never lets a line that is dead hold the console up: whoever waits for it would hold the journal too.
"""

from __future__ import annotations

import signal
import termios
from collections.abc import Callable
from functools import partial
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver

HUNG_UP = 128 + signal.SIGHUP


class Line:
    """What is written goes to `file`, and nowhere once that fails: `cut()` is told then, once."""

    def __init__(self, file: IO[str], cut: Callable[[], None]) -> None:
        self._file = file
        self._cut = cut
        self._open = True

    def write(self, text: str) -> None:
        self._do(partial(self._file.write, text))

    def flush(self) -> None:
        self._do(self._file.flush)

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return True

    def _do(self, work: Callable[[], object]) -> None:
        if not self._open:
            return
        try:
            work()
        except OSError:
            self._open = False
            self._cut()


class LineDriver(LinuxDriver):
    """Textual's own, but for what it does when the line is cut: there its thread that writes dies, whoever has
    something to draw waits for ever, and the SIGCONT that comes with a SIGHUP begins to draw anew (Textual 8.2)."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """As LinuxDriver."""
        super().__init__(*args, **more)
        self._file: Any = Line(self._file, self._cut)

    def _cut(self) -> None:
        # Any thread may find out; after the loop has ended it makes no difference.
        try:
            self._loop.call_soon_threadsafe(partial(self._app.exit, return_code=HUNG_UP))
        except RuntimeError:
            return

    def run_input_thread(self) -> None:
        """Read what is typed. A line that is cut is no crash."""
        try:
            super().run_input_thread()
        except OSError:
            self._cut()

    def _sigcont_application(self, *signals: Any) -> None:
        try:
            termios.tcgetattr(self.fileno)
        except termios.error:
            return
        super()._sigcont_application(*signals)
