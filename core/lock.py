"""One writer for each journal: a lock file that names its holder, taken over only when the holder is provably dead.

Never waits for a holder and never breaks a lock whose holder may live on another machine or in another container.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .paths import classify_filesystem


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. `since` is for people only: no clock decides anything.

    `started` is the kernel's start time of the process, so that a reused pid is not mistaken; `machine` and `pids`
    (the pid namespace) tell in which world the pid means something.
    """

    pid: int
    host: str
    boot: str = ""
    started: str = ""
    since: str = ""
    nonce: str = ""
    machine: str = ""
    pids: str = ""

    def words(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Held(Exception):
    """Somebody else holds the lock. `advice` is the command that breaks it, for a person who knows better."""

    def __init__(self, holder: Holder | None, path: Path) -> None:
        self.holder = holder
        self.path = path
        self.advice = f"if you know that it is gone: rm {shlex.quote(str(path))}"
        who = holder.words() if holder else "somebody (the lock file does not say who)"
        super().__init__(f"held by {who}")


class Lock:
    """Take with `Lock.take(path)`, give back with `release()`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.holder = holder

    @classmethod
    def take(cls, path: Path, *, mountinfo: str | None = None) -> Lock:
        """The lock. Raises Held where another process has it or may have it, OSError where nothing can be written."""
        mine = this_process()
        if _create(path, mine):
            return cls(path, mine)
        local = classify_filesystem(path.parent, mountinfo) == "local"
        with _taking_over(path):
            # Judged and removed by one process at a time: else a slow one would remove the lock of the quick one.
            other = read_holder(path)
            if other is not None and provably_dead(other, local=local):
                path.unlink(missing_ok=True)
            if _create(path, mine):
                return cls(path, mine)
        raise Held(read_holder(path), path)

    def release(self) -> None:
        """Give it back; a lock that is not ours any more is left alone."""
        if read_holder(self.path) == self.holder:
            with contextlib.suppress(OSError):
                self.path.unlink()


def this_process() -> Holder:
    """How this process names itself in a lock."""
    return Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        boot=_read("/proc/sys/kernel/random/boot_id"),
        started=_started(os.getpid()),
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        nonce=secrets.token_hex(8),
        machine=_read("/etc/machine-id"),
        pids=_pid_namespace(),
    )


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock; None where nobody does or the file does not say."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Holder)}
        holder = Holder(**{name: value for name, value in data.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return holder if isinstance(holder.pid, int) and holder.pid > 0 else None


def provably_dead(holder: Holder, *, local: bool = True) -> bool:
    """Whether the holder cannot be alive any more; a doubt counts as alive.

    It can be known only of this machine: another boot of it, no such process in our own pid namespace, a zombie, or
    another process with its number. `local` says that the lock is on a disk that no other machine shares.
    """
    here = this_process()
    if os.name != "posix" or holder.host != here.host:
        return False
    if holder.machine != here.machine or not (here.machine or local):
        # Same name, other machine: images of virtual machines and home folders on the network bring that about.
        return False
    if holder.boot and here.boot and holder.boot != here.boot:
        return True
    if holder.pids != here.pids:
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    started = _started(holder.pid)
    return bool(started and holder.started and started != holder.started) or _zombie(holder.pid)


def _create(path: Path, mine: Holder) -> bool:
    """Make the lock file, whole from the first moment on; False where there is one."""
    draft = path.with_name(f"{path.name}.{mine.nonce}")
    data = json.dumps(asdict(mine)).encode()
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:
            return _create_without_link(path, data)
        return True
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _create_without_link(path: Path, data: bytes) -> bool:
    # Some file systems know no hard links; whoever reads the half of it takes it for held by somebody.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return True


@contextlib.contextmanager
def _taking_over(path: Path) -> Iterator[None]:
    """Held by one process at a time, and freed by the kernel when that one dies. Raises Held where it is taken."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(
        path.with_name(f"{path.name}.takeover"), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600
    )
    try:
        for _ in range(100):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Whoever judges a stale lock does so in a moment; then its name can be told.
                time.sleep(0.01)
        else:
            raise Held(read_holder(path), path)
        yield
    finally:
        os.close(handle)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _stat_fields(pid: int) -> list[str]:
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _started(pid: int) -> str:
    columns = _stat_fields(pid)
    return columns[19] if len(columns) > 19 else ""


def _zombie(pid: int) -> bool:
    return _stat_fields(pid)[:1] == ["Z"]
