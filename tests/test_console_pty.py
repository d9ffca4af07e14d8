"""The console in a real pseudo-terminal: what it writes, how it leaves, and that an editor gets the terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

pytestmark = pytest.mark.pty

HERE = Path(__file__).parent
# What Textual and we write on purpose: modes, cursor, colours, queries, keyboard protocol, and nothing else.
OURS = re.compile(
    rb"\x1b\[\??[0-9;]*[hlmHJKABCDrtqu]|\x1b\[>[0-9]*u|\x1b\[<u|\x1b\[\?[0-9;]*\$p|\x1b\[[0-9;]*n|\x1b\]22;[a-z]+(?:\x07|\x1b\\)|\x07"
)


class Session:
    """One console in a pseudo-terminal of 100 by 30."""

    def __init__(self, state: str, root: Path, **env: str) -> None:
        self.output = bytearray()
        self.status: int | None = None
        words = [sys.executable, str(HERE / "pty_console.py"), state, str(root)]
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **env}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))

    def until(self, wanted: bytes, seconds: float = 30) -> None:
        """Read until `wanted` has been written."""
        end = time.monotonic() + seconds
        while wanted not in self.output:
            assert time.monotonic() < end, f"{wanted!r} was never written: {bytes(self.output[-1500:])!r}"
            if not self._read(0.1):
                assert wanted in self.output, f"it ended without {wanted!r}: {bytes(self.output[-1500:])!r}"

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if ready:
            try:
                self.output += os.read(self.fd, 1 << 16)
            except OSError:
                return False
        return True

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def wait(self, seconds: float = 30) -> int:
        """The exit status, once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(0.05)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                while self._read(0) and select.select([self.fd], [], [], 0)[0]:
                    pass
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
        raise AssertionError("it did not end")

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def leave(session: Session) -> None:
    """Quit, and see that it went well."""
    session.type(b"q")
    session.until(b"goes on at")
    session.type(b"q")
    assert session.wait() == 0


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    made: list[Session] = []
    yield made
    for session in made:
        session.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    source = tmp_path / "src" / "silver" / "refresh.py"
    source.parent.mkdir(parents=True)
    source.write_text("\n".join(f"line {n}" for n in range(1, 61)))
    return tmp_path


def test_an_editor_gets_the_terminal_at_the_line_and_the_console_comes_back(
    sessions: list[Session], root: Path, tmp_path: Path
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "EDITING $@ $(test -t 0 && echo with a terminal)"\nexit 0\n')
    editor.chmod(0o755)
    session = Session("failed", root, EDITOR=str(editor))
    sessions.append(session)
    session.until(b"bronze_setup")
    session.type(b"3")
    session.until(b"unresolved_column")
    session.type(b"e")
    session.until(f"EDITING +42 {root}/src/silver/refresh.py with a terminal".encode())
    before = len(session.output)
    session.until(b"\x1b[?1049h")
    session.type(b"2")
    deadline = time.monotonic() + 20
    while b"bronze_setup" not in session.output[before:]:
        assert time.monotonic() < deadline
        session._read(0.1)
    leave(session)


def test_an_editor_that_cannot_be_run_leaves_the_console_as_it_was(sessions: list[Session], root: Path) -> None:
    session = Session("failed", root, EDITOR="/nowhere/editor")
    sessions.append(session)
    session.until(b"bronze_setup")
    session.type(b"3")
    session.until(b"unresolved_column")
    session.type(b"e")
    session.until(b"is not installed")
    leave(session)


def test_leaving_gives_the_terminal_back_and_says_what_goes_on(sessions: list[Session], root: Path) -> None:
    session = Session("running", root)
    sessions.append(session)
    session.until(b"silver_refresh")
    session.type(b"q")
    session.until(b"goes on at")
    session.type(b"q")
    assert session.wait() == 0
    tail = bytes(session.output)
    assert tail.rindex(b"\x1b[?1049l") > tail.rindex(b"\x1b[?1049h")
    assert tail.rindex(b"\x1b[?25h") > tail.rindex(b"\x1b[?25l")
    assert b"Still running at the workspace" in tail


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(
    sessions: list[Session], root: Path, number: signal.Signals
) -> None:
    session = Session("running", root)
    sessions.append(session)
    session.until(b"silver_refresh")
    os.kill(session.pid, number)
    assert session.wait() == 128 + number
    tail = bytes(session.output)
    assert tail.rindex(b"\x1b[?1049l") > tail.rindex(b"\x1b[?1049h")


def test_text_from_outside_writes_none_of_its_escape_codes(sessions: list[Session], root: Path) -> None:
    session = Session("poisoned", root)
    sessions.append(session)
    session.until(b"END-OF-HEADER")
    for key in (b"2", b"3", b"4", b"]", b"]", b"]", b"]", b"d"):
        session.type(key)
        for _ in range(3):
            session._read(0.1)
    while re.search(rb"\x1b[^A-Za-z\\\x07]*$", session.output):
        session._read(0.1)  # it came in the middle of a sequence
    ours = re.compile(
        OURS.pattern + rb"|\x1b\]8;[^\x1b\x07]*;(?:https://adb-123\.azuredatabricks\.net/[\w./-]*)?\x1b\\"
    )
    left = ours.sub(b"", bytes(session.output))
    assert not re.findall(rb"\x1b.{0,40}", left)
    text = left.decode("utf-8", "replace")
    assert not [char for char in text if not char.isprintable() and char not in "\r\n"]


def test_with_the_clock_off_an_idle_console_writes_nothing(sessions: list[Session], root: Path) -> None:
    session = Session("running", root, DBOPS_TEST_CLOCK="off")
    sessions.append(session)
    session.until(b"silver_refresh")
    quiet_since, seen = time.monotonic(), len(session.output)
    # Quiet for two seconds within ten: the first paintings may still come.
    deadline = time.monotonic() + 10
    while time.monotonic() - quiet_since < 2:
        assert time.monotonic() < deadline, "it never fell silent"
        session._read(0.1)
        if len(session.output) != seen:
            quiet_since, seen = time.monotonic(), len(session.output)
