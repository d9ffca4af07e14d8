"""`dbops-tui` as processes that start at once: a server that has the program loaded forks one for each call.
It holds no test and no expectation; each is a process of its own, with the program's own code but for its clock.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLOCK = 20.0  # the speed of the clock of every heal


@dataclass(frozen=True)
class Point:
    """A place in the program: a call of `where` (module:object), and whether the kill comes before it or after it."""

    where: str
    before: bool = True
    fits: str = ""


# Where a heal is killed: name -> the function around which it happens.
POINTS: Mapping[str, Point] = {
    "identity known": Point("core.identifying:Identifying.resolve", before=False),
    "state not saved yet": Point("core.journal:Journal.save_loop"),
    "state saved": Point("core.journal:Journal.save_loop", before=False),
    "intent not written yet": Point("core.journal:Journal.intent"),
    "intent written": Point("core.journal:Journal.intent", before=False),
    "CLI begun": Point("core.process:_write"),
    "CLI at work": Point("core.world:World.cli_line"),
    "CLI has ended": Point("core.databricks_cli:run_process", before=False),
    "request sent": Point("core.transport:Call.watch", fits="changes"),
    "answer came": Point("core.transport:Transport.send", before=False, fits="changes"),
    "result not written yet": Point("core.journal:Journal.result"),
    "result written": Point("core.journal:Journal.result", before=False),
    "run started, not told": Point("core.loop_acts:LoopActs._started"),
    "run read": Point("core.workspace:Workspace.run", before=False),
    "update read": Point("core.workspace:Workspace.update", before=False),
    "run's end told": Point("core.loop_acts:LoopActs._run_ended"),
    "explaining": Point("core.diagnosing:explain"),
    "explained": Point("core.diagnosing:explain", before=False),
    "file staged": Point("core.atomicfile:_staged", before=False),
    "files written": Point("core.fixing:apply_patch", before=False),
    "fixer at work": Point("core.fixer:run_process"),
    "fixer has ended": Point("core.fixer:run_process", before=False),
    "verifying": Point("core.loop_acts:LoopActs._verify"),
    "verified": Point("core.verifying:judged", before=False),
    "report begun": Point("core.loop_runner:to_markdown"),
    "end saved": Point("core.loop_acts:LoopActs.after_end"),
    "looked for what was left": Point("core.looking_up:Lookup.after", before=False),
}


@dataclass
class Heal:
    """One heal: its process, and the files that its streams went to."""

    pid: int
    out: Path
    err: Path
    server: HealServer

    def wait(self) -> int:
        """Its exit status; negative where a signal ended it."""
        return self.server.ended(self.pid)

    def stopped(self) -> bool:
        """Wait until it stands still; False where it ended before."""
        while not (self.stands() or self.over()):
            time.sleep(0.005)
        return not self.over()

    def stands(self) -> bool:
        """Whether it stands still."""
        return self._state() == "T"

    def over(self) -> bool:
        """Whether it has ended."""
        return self._state() in ("", "Z", "X")

    def _state(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    def kill(self, number: int = signal.SIGKILL, *, with_children: bool = False) -> None:
        """Send it a signal; `with_children` ends also the CLI that it is waiting for."""
        children: list[str] = []
        if with_children:
            try:
                children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            except OSError:
                children = []
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue

    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines that it wrote; half a line at the end of a killed one is left out."""
        found = []
        for line in self.out.read_text("utf-8", "replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("event") == event]


class HealServer:
    """Starts heals. One request a line on its standard input, one answer a line on its standard output."""

    def __init__(self, folder: Path, *, console: bool = False) -> None:
        """With `console`, what draws is loaded too."""
        self._folder = folder
        self._count = 0
        self._codes: dict[int, int] = {}
        self._answers = threading.Condition()
        self._pids: list[int] = []
        self._process = subprocess.Popen(
            [sys.executable, __file__, *["console"] * console], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def start(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str],
        point: str = "",
        number: int = 0,
        broken: Sequence[str] = (),
        signals: Sequence[int] = (signal.SIGKILL,),
        tty: str = "",
    ) -> Heal:
        """`dbops-tui` with `words`; at the `number`-th passing of `point` it gets `signals`. `broken` are plants.

        With a `tty` that is its terminal, and no file has its streams."""
        self._count += 1
        out, err = self._folder / f"out{self._count}", self._folder / f"err{self._count}"
        asked = {
            "words": list(words),
            "env": dict(env),
            "point": point,
            "number": number,
            "broken": list(broken),
            "signals": [int(number) for number in signals],
            "tty": tty,
            "out": str(out),
            "err": str(err),
        }
        assert self._process.stdin is not None
        with self._answers:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            self._answers.wait_for(lambda: self._pids)
            return Heal(self._pids.pop(), out, err, self)

    def ended(self, pid: int, seconds: float = 120.0) -> int:
        """Wait for the end of a heal."""
        with self._answers:
            if not self._answers.wait_for(lambda: pid in self._codes, seconds):
                raise TimeoutError(f"process {pid} does not end")
            return self._codes[pid]

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            told = json.loads(line)
            with self._answers:
                if "code" in told:
                    self._codes[told["pid"]] = told["code"]
                else:
                    self._codes.pop(told["pid"], None)  # numbers come again
                    self._pids.append(told["pid"])
                self._answers.notify_all()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def heal_server(folder: Path, *, console: bool = False) -> Iterator[HealServer]:
    """A server that is gone at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = HealServer(folder, console=console)
    try:
        yield server
    finally:
        server.close()


# --- in the server --------------------------------------------------------------------------------------------------


def serve() -> None:
    """Fork a heal for each line; say its process, and later how it ended."""
    import databricks.sdk.core  # noqa: F401
    import dbops_tui.core.transport
    import requests  # noqa: F401
    from dbops_tui.tui import cli, cmd_heal  # noqa: F401

    if "console" in sys.argv:
        import dbops_tui.core.engine
        import dbops_tui.tui.app
        import dbops_tui.tui.cmd_console  # noqa: F401

    # No thread here: a fork would take over whatever lock another one holds.
    ended, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    rest = b""
    while True:
        ready = select.select([0, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            _reap()
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _heal(json.loads(line))
                _say(pid=pid)


def _say(**told: int) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(pid=pid, code=os.waitstatus_to_exitcode(status))


def _heal(asked: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        _take_streams(asked)
        os.environ.clear()
        os.environ.update(asked["env"])
        from dbops_tui.core.clock import ScaledClock
        from dbops_tui.tui import cli, cmd_console, cmd_heal

        clock = ScaledClock(CLOCK)
        cmd_console.run_console = functools.partial(cmd_console.run_console, clock=clock)  # type: ignore[misc, assignment]
        cmd_heal.Engine = functools.partial(cmd_heal.Engine, clock=clock)  # type: ignore[misc, assignment]
        if asked["broken"]:
            import planted_faults

            for name in asked["broken"]:
                planted_faults.PLANTS[name].plant()
        if asked["point"]:
            install(POINTS[asked["point"]], asked["number"], asked["signals"])
        code = cli.main(asked["words"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _take_streams(asked: dict[str, Any]) -> None:
    if asked["tty"]:
        # The first terminal that the leader of a session opens is its own.
        handle = os.open(asked["tty"], os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(handle, number)
        os.close(handle)
        return
    for number, name in ((1, asked["out"]), (2, asked["err"])):
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def install(point: Point, number: int, signals: Sequence[int]) -> None:
    """Send this process the signals at the `number`-th call that fits."""
    import asyncio
    import importlib

    module, _, path = point.where.partition(":")
    owner: Any = importlib.import_module(f"dbops_tui.{module}")
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    plain: Callable[..., Any] = getattr(owner, name)
    left = [number]
    lock = threading.Lock()

    def passes(arguments: tuple[Any, ...]) -> bool:
        if point.fits and not any(getattr(item, point.fits, False) for item in arguments):
            return False
        if path == "Call.watch" and arguments[1] is None:
            return False
        with lock:
            left[0] -= 1
            return left[0] == 0

    def die() -> None:
        for each in signals:
            os.kill(os.getpid(), each)

    if asyncio.iscoroutinefunction(plain):

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            due = passes(arguments)
            if due and point.before:
                die()
            result = await plain(*arguments, **named)
            if due and not point.before:
                die()
            return result

    else:

        def wrapped(*arguments: Any, **named: Any) -> Any:  # type: ignore[misc]
            due = passes(arguments)
            if due and point.before:
                die()
            result = plain(*arguments, **named)
            if due and not point.before:
                die()
            return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    serve()
