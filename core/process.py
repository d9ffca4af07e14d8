"""One child process: its lines cleaned and redacted as they come, its memory and time bounded, its whole group ended.

Gives it no terminal, no input but what it is handed, and decides nothing about what it said.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .text import Cleaner, LineRedactor, Redactor

KEEP_FIRST = 200_000  # characters of stderr: the first error is mostly the cause
KEEP_LAST = 1_000_000
KEEP_STDOUT = 64_000_000  # bytes
LONG_LINE = 20_000  # characters
TELL_LINES = 50_000
GRACE_SECONDS = 3.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended. `exit_code` is negative for a signal; `timed_out` tells that we ended it.

    `stdout` is as it came, decoded; `lines` are those of stderr, clean and without secrets, the middle left out of
    very much; `whole` is False where stdout was more than is kept.
    """

    exit_code: int
    stdout: str
    lines: tuple[str, ...]
    timed_out: bool = False
    whole: bool = True


class Ring:
    """The first and the last lines of a stream, bounded in characters, with a note of what was left out between."""

    def __init__(self, first: int = KEEP_FIRST, last: int = KEEP_LAST) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._room = first
        self._limit = last
        self._size = 0
        self._left_out = 0

    def add(self, line: str) -> None:
        """Keep one line more."""
        cost = len(line) + 1
        if self._room >= cost and not self._last:
            self._room -= cost
            self._first.append(line)
            return
        self._last.append(line)
        self._size += cost
        while self._size > self._limit and self._last:
            self._size -= len(self._last.popleft()) + 1
            self._left_out += 1

    def lines(self) -> tuple[str, ...]:
        """What is kept."""
        note = [f"[... {self._left_out:,} lines left out ...]"] if self._left_out else []
        return (*self._first, *note, *self._last)


async def run_process(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    seconds: float,
    tell: Tell | None = None,
    redactor: Redactor | None = None,
    stdin: bytes | None = None,
) -> Ended:
    """Run `command` to its end, `seconds` at most; `tell` gets each line of stderr. Raises OSError where none starts.

    `stdin` is all that it can read. When this call is cancelled, or the time is over, the process and everything it
    started is ended.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: _Watched(loop),
        *command,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=os.name == "posix",
    )
    process = asyncio.subprocess.Process(transport, protocol, loop)
    kept, stdout = Ring(), bytearray()
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        asyncio.ensure_future(_collect(process.stdout, stdout)),
        asyncio.ensure_future(_read_lines(process.stderr, kept, tell, LineRedactor(redactor))),
    ]
    writer = asyncio.ensure_future(_write(process.stdin, stdin or b""))
    timed_out = False
    try:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(protocol.exited)
        except TimeoutError:
            timed_out = True
            await _end(process, protocol)
        # A grandchild may hold the pipes open for as long as it lives: what it says later belongs to nobody.
        await asyncio.wait(readers, timeout=GRACE_SECONDS)
    finally:
        _kill_group(process)
        for each in (*readers, writer):
            each.cancel()
        await asyncio.gather(*readers, writer, return_exceptions=True)
        await _reap(protocol)
        transport.close()
    code = process.returncode if process.returncode is not None else -1
    return Ended(code, stdout.decode("utf-8", "replace"), kept.lines(), timed_out, len(stdout) < KEEP_STDOUT)


async def _write(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _collect(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(65536):
        into += chunk[: max(0, KEEP_STDOUT - len(into))]


async def _read_lines(stream: asyncio.StreamReader, kept: Ring, tell: Tell | None, redactor: LineRedactor) -> None:
    cleaner = Cleaner()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    count = 0

    def take(line: str) -> None:
        nonlocal count
        count += 1
        line = redactor.line(line[:LONG_LINE])
        kept.add(line)
        if tell is not None and count <= TELL_LINES:
            tell(line if count < TELL_LINES else "[... more than can be shown ...]")

    while chunk := await stream.read(65536):
        *whole, rest = (rest + cleaner.feed(decoder.decode(chunk))).split("\n")
        for line in whole:
            take(line)
        if len(rest) > LONG_LINE:
            take(rest)
            rest = ""
        # A flood never keeps the event loop to itself: the stream's buffer may be full again at once.
        await asyncio.sleep(0)
    rest += cleaner.feed(decoder.decode(b"", True)) + cleaner.finish()
    for line in rest.split("\n") if rest else ():
        take(line)


class _Watched(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells when the process itself has ended: `Process.wait` also waits for whoever else holds its pipes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=2**16, loop=loop)
        self.exited: asyncio.Future[None] = loop.create_future()

    def process_exited(self) -> None:
        super().process_exited()
        if not self.exited.done():
            self.exited.set_result(None)


async def _end(process: asyncio.subprocess.Process, protocol: _Watched) -> None:
    """Ask it to end, then make it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()
    await _reap(protocol)
    _kill_group(process)
    await _reap(protocol)


def _kill_group(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()


async def _reap(protocol: _Watched) -> None:
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(GRACE_SECONDS):
            await asyncio.shield(protocol.exited)
