"""The console in a pseudo-terminal with a loop under way, killed; then the terminal, the workspace and the next start.
It holds no test; what must hold is in `problems`.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from typing import Any

import fault_kills
import pyte
from engine_world import Sample
from fault_harness import JOBS, Yard
from fault_kills import KILLED, Killed
from heal_server import Heal, HealServer

SIZE = (40, 170)  # lines, columns
SECONDS = 60.0  # until what is waited for is on the screen
# Where in the loop: (point, passing).
INSTANTS = (
    *(("state saved", 2), ("intent written", 1), ("CLI at work", 2), ("run started, not told", 1), ("run read", 2)),
    *(("run's end told", 1), ("explaining", 1), ("files written", 1), ("answer came", 1), ("verifying", 1)),
)
WAYS = {"HUP": signal.SIGHUP, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
CLOSED = "line closed"  # the terminal is gone: what happens when a connection breaks
MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
SHOWN = {b"25", b"7"}  # modes that a terminal has when it is at rest: a cursor, lines that wrap


class Eyes:
    """A console in a pseudo-terminal, and what a terminal would show of it."""

    def __init__(self, server: HealServer, place: Sample, **kill: Any) -> None:
        self.output = bytearray()
        self._screen = pyte.Screen(SIZE[1], SIZE[0])
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        self.modes = termios.tcgetattr(self._slave)
        more = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        # A person has said beforehand what may be done without being asked.
        said = {"DBOPS_AUTO": "1", "DBOPS_APPLY": "safe", "DBOPS_REQUEST_BUDGET_PER_MINUTE": "6000"}
        env = {**place.env, **more, **said}
        self.heal: Heal = server.start([str(place.root)], env=env, tty=os.ttyname(self._slave), **kill)

    def text(self) -> str:
        return "\n".join(self._screen.display)

    def read(self, seconds: float) -> bool:
        """Take what it writes; whether there was anything."""
        if self._master < 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        data = os.read(self._master, 1 << 16)
        self.output += data
        # Queries of the keyboard protocol and the like, which pyte would draw as text.
        self._stream.feed(re.sub(r"\x1b\[[<>?=][0-9;]*[u$p]+", "", self._decoder.decode(data)))
        return bool(data)

    def until(self, *wanted: str) -> bool:
        """Read until one of `wanted` stands on the screen; False where it ends before."""
        end = time.monotonic() + SECONDS
        while not any(each in self.text() for each in wanted):
            if time.monotonic() > end:
                raise TimeoutError(f"{wanted} never came; the screen:\n{self.text()}")
            if not self.read(0.05) and self.heal.over():
                return any(each in self.text() for each in wanted)
        return True

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def hang_up(self) -> None:
        """The other side of the line is gone."""
        os.close(self._master)
        self._master = -1

    def end(self) -> int:
        """Its exit status, once it has ended and all that it wrote is read."""
        end = time.monotonic() + SECONDS
        while not self.heal.over():
            if time.monotonic() > end:
                raise TimeoutError(f"it does not end; the screen:\n{self.text()}")
            self.read(0.02)
        while self.read(0):
            pass
        return self.heal.wait()

    def unrestored(self) -> Iterator[str]:
        """What of the terminal is not as it was."""
        if termios.tcgetattr(self._slave) != self.modes:
            yield "the line is not in the mode that it was in"
        last = {mode: on for modes, on in MODE.findall(bytes(self.output)) for mode in modes.split(b";")}
        left = [mode.decode() for mode, on in last.items() if (on == b"h") != (mode in SHOWN)]
        if left:
            yield f"modes of the terminal are left on or off: {', '.join(sorted(left))}"
        if b"1049" not in last:
            yield "it never drew anything"
        if self.output.count(b"\x1b[<u") < len(re.findall(rb"\x1b\[>[0-9]+u", self.output)):
            yield "the keyboard protocol is left on"

    def close(self) -> None:
        if not self.heal.over():
            self.heal.kill()
            self.heal.wait()
        for handle in (self._master, self._slave):
            if handle >= 0:
                os.close(handle)


def begin(eyes: Eyes, *, resume: bool) -> str:
    """Start the loop by its key, or take up what is offered; what does not hold."""
    if not eyes.until("takes it up" if resume else "Ready."):
        return f"it ended before it was ready: {eyes.text()}"
    if resume and not eyes.until("you@example.com"):
        return "it is not known who acts where"
    eyes.type("H")
    if not eyes.until("y yes"):
        return f"it ended before the loop began: {eyes.text()}"
    eyes.type("y")
    return ""


def killed(yard: Yard, server: HealServer, way: str, point: str, number: int) -> Killed | None:
    """Kill a console with a loop under way at one passing of a point, and start it anew; None where it is not
    passed so often."""
    place = yard.place(JOBS)
    number_of = WAYS.get(way, signal.SIGSTOP)
    eyes = Eyes(server, place, point=point, number=number, signals=(number_of,))
    problems: list[str] = []
    try:
        said = begin(eyes, resume=False)
        if said:
            problems.append(said)
        if way == CLOSED:
            if not _stands(eyes):
                return None
            eyes.hang_up()
            eyes.heal.kill(signal.SIGCONT)
        elif eyes.until("verified") and not eyes.heal.over():
            return None
        code = eyes.end()
        wanted = KILLED if way == "KILL" else 128 + signal.SIGHUP if way == CLOSED else 128 + number_of
        if code != wanted:
            problems.append(f"exit status {code} in place of {wanted}: {eyes.text()[-600:]}")
        if way in ("HUP", "TERM"):
            problems += eyes.unrestored()
    finally:
        eyes.close()
    touched = [call["path"] for call in yard.box.calls() if call["path"].endswith(("/cancel", "/cancel-all", "/stop"))]
    if touched:
        problems.append(f"what runs at the workspace was not left alone: {touched}")
    if not fault_kills.ended(place):
        problems += _taken_up(server, place)
    found = fault_kills.judged(f"{way} at {point} {number}", 1, place, JOBS, yard, [], fault_kills.wrongly_left)
    found.problems = [*problems, *found.problems]
    return found


def _stands(eyes: Eyes) -> bool:
    """Read until it stands still; False where its loop comes to its end before."""
    while not eyes.heal.stands():
        eyes.read(0.02)
        if eyes.heal.over() or "verified" in eyes.text():
            return False
    return True


def _taken_up(server: HealServer, place: Sample) -> list[str]:
    eyes = Eyes(server, place)
    try:
        said = begin(eyes, resume=True)
        if said:
            return [said]
        if not eyes.until("verified"):
            return [f"it ended before the loop did: {eyes.text()}"]
        eyes.type("q")
        eyes.until("y yes", "goes on", "q")
        eyes.type("q")
        code = eyes.end()
        return [*([f"the one that took it up ends with {code}"] if code else []), *eyes.unrestored()]
    except TimeoutError as error:
        return [str(error)]
    finally:
        eyes.close()
