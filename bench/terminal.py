"""Runs a program in a pseudo-terminal of its own and looks at it from outside: what it draws when, and what it costs.

Never answers the terminal's queries, as a slow link would not in time; never judges.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SIZE = (120, 40)


class Terminal:
    """One program in a pseudo-terminal. Use as a context manager; the program is ended with it."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, size: tuple[int, int] = SIZE
    ) -> None:
        self.started = time.perf_counter()
        self.output = bytearray()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(command[0], list(command), dict(env if env is not None else environment()))
            finally:
                os._exit(127)
        width, height = size
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            self.read(0.02)
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def read(self, seconds: float) -> int:
        """Take what the program writes for `seconds`; returns how many bytes that was."""
        before, end = len(self.output), time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            ready, _, _ = select.select([self._fd], [], [], left)
            if not ready:
                break
            try:
                chunk = os.read(self._fd, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            self.output += chunk
        return len(self.output) - before

    def until(self, wanted: bytes, seconds: float = 20.0) -> float:
        """Milliseconds from the start of the process until `wanted` has been drawn. Raises TimeoutError."""
        end = self.started + seconds
        while wanted not in self.output:
            if time.perf_counter() > end:
                raise TimeoutError(f"{wanted!r} was not drawn within {seconds} s: {bytes(self.output[-2000:])!r}")
            ready, _, _ = select.select([self._fd], [], [], 0.05)
            if ready:
                try:
                    self.output += os.read(self._fd, 1 << 16)
                except OSError as error:
                    text = bytes(self.output[-2000:]).decode("utf-8", "replace")
                    raise TimeoutError(f"the program ended before {wanted!r} was drawn: {text}") from error
        return (time.perf_counter() - self.started) * 1000

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def cpu_seconds(self) -> float:
        """User and system time of the program so far (Linux; 0 elsewhere)."""
        try:
            parts = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory of the program (Linux; 0 elsewhere)."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def environment(**more: str) -> dict[str, str]:
    """An environment in which every program draws the same way."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **more}
