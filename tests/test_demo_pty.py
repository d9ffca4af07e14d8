"""The installed program in a real pseudo-terminal, with a real terminal's eyes (pyte): the whole loop by keys."""

from __future__ import annotations

import codecs
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
pyte = pytest.importorskip("pyte")
termios = pytest.importorskip("termios")

pytestmark = pytest.mark.pty

PROGRAM = Path(sys.executable).with_name("dbops-tui")


class Eyes:
    """`dbops-tui` in a pseudo-terminal, and the screen that a terminal would show."""

    def __init__(self, words: list[str], env: dict[str, str], columns: int = 130, lines: int = 40) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        # A character may be cut by the end of a read.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, env)
        self.resize(columns, lines)
        self.status: int | None = None

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            return False
        # Queries of the keyboard protocol and the like, which pyte would draw as text.
        self._stream.feed(re.sub(r"\x1b\[[<>?=][0-9;]*[u$p]+", "", self._decoder.decode(data)))
        return bool(data)

    def until(self, *wanted: str, seconds: float = 60) -> None:
        """Read until all of `wanted` stand on the screen."""
        end = time.monotonic() + seconds
        while not all(each in self.text() for each in wanted):
            assert time.monotonic() < end, f"{wanted} never came; the screen:\n{self.text()}"
            assert self.read(0.2), f"it ended without {wanted}; the screen:\n{self.text()}"

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def ended(self, seconds: float = 30) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.05)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
        raise AssertionError(f"it did not end; the screen:\n{self.text()}")

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@contextmanager
def demo(folder: Path, *more: str) -> Iterator[Eyes]:
    home = folder / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    env = {**kept, "HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    eyes = Eyes([str(PROGRAM), "demo", "--into", str(folder / "demo"), "--time-scale", "60", *more], env)
    try:
        yield eyes
    finally:
        eyes.close()


@pytest.fixture(autouse=True)
def installed() -> None:
    if not PROGRAM.exists():
        pytest.skip("dbops-tui is not installed beside this Python")


def edit(path: Path, old: str, new: str) -> None:
    """What an editor of another process does: a new file renamed over the old one."""
    text = path.read_text()
    assert old in text
    other = path.with_suffix(".swp")
    other.write_text(text.replace(old, new))
    subprocess.run(["mv", str(other), str(path)], check=True)


def test_the_whole_loop_by_keys_with_edits_by_another_process(tmp_path: Path) -> None:
    with demo(tmp_path) as eyes:
        bundle = tmp_path / "demo" / "bundle"
        eyes.until("orchestrator", "you@example.com", "Ready.")
        eyes.type("H")
        eyes.until("Deploy, run jobs.orchestrator", "y yes")
        eyes.type("y")
        eyes.until("1/3", "pause_status", "resources/orchestrator.job.yml:9", "waiting for an edit")
        edit(bundle / "resources/orchestrator.job.yml", "UNPAUSE\n", "UNPAUSED\n")
        eyes.until("1 file changed")
        eyes.type("d")
        eyes.until("Deploy the bundle.")
        eyes.type("y")
        eyes.until("2/3", "unresolved_column", "customer_idd", "src/silver/refresh_orders.py:23", "waiting for an edit")
        edit(bundle / "src/silver/refresh_orders.py", "customer_idd", "customer_id")
        eyes.until("1 file changed")
        eyes.type("d")
        eyes.until("Deploy the bundle.")
        eyes.type("y")
        eyes.until("3/3", "verified", "repair 1")
        eyes.type("q")
        eyes.until("q")
        eyes.type("q")
        assert eyes.ended() == 0


def test_a_patch_is_applied_by_a_key_and_taken_back_to_the_byte(tmp_path: Path) -> None:
    with demo(tmp_path, "--scenario", "same-class") as eyes:
        bundle = tmp_path / "demo" / "bundle"
        eyes.until("you@example.com", "Ready.")
        before = {path: path.read_bytes() for path in bundle.rglob("*.py")}
        assert before
        eyes.type("H")
        eyes.until("y yes")
        eyes.type("y")
        eyes.until("1/3", "unresolved_column", "fix 1", "waiting for an edit")
        eyes.type("a")
        eyes.until("Apply", "edits")
        eyes.type("y")
        eyes.until("changed, d to redeploy")
        assert {path: path.read_bytes() for path in before} != before
        eyes.type("u")
        eyes.until("Undo")
        eyes.type("y")
        end = time.monotonic() + 20
        while {path: path.read_bytes() for path in before} != before:
            assert time.monotonic() < end
            eyes.read(0.05)


def test_a_terminal_of_20_by_5_breaks_nothing_and_a_closed_line_leaves_the_loop_to_be_taken_up(tmp_path: Path) -> None:
    with demo(tmp_path) as eyes:
        eyes.until("you@example.com", "Ready.")
        eyes.resize(20, 5)
        eyes.until("Resources")
        eyes.resize(130, 40)
        eyes.until("orchestrator", "Ready.")
        eyes.type("H")
        eyes.until("y yes")
        eyes.type("y")
        eyes.until("1/3", "waiting for an edit")
        os.kill(eyes.pid, signal.SIGHUP)
        assert eyes.ended() == 128 + signal.SIGHUP
        state = list((tmp_path / "demo" / "state").glob("*.sqlite3"))
        assert state
        lock = state[0].with_suffix(".lock")
        assert not lock.exists()
    shutil.rmtree(tmp_path / "demo", ignore_errors=True)


def test_a_killed_demo_leaves_no_workspace_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as eyes:
        eyes.until("you@example.com", "127.0.0.1:", "Ready.")
        place = re.search(r"127\.0\.0\.1:(\d+)", eyes.text())
        assert place is not None
        line = socket.create_connection(("127.0.0.1", int(place[1])), 30)
    # The console has been killed, as for want of memory; the workspace hangs up when it ends.
    with line, suppress(ConnectionResetError):
        assert line.recv(1) == b""


def test_headless_the_demo_ends_verified(tmp_path: Path) -> None:
    words = [str(PROGRAM), "demo", "--headless", "--into", str(tmp_path / "demo")]
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {"HOME": str(tmp_path)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verified jobs.orchestrator" in done.stderr
    assert done.stderr.count("A person edits") == 2
