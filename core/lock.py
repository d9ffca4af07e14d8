"""One writer for each journal: a lock file that names its holder, taken over only when the holder is provably dead.

Never waits and never breaks a lock whose holder may live on another machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. `started` is the kernel's start time of the process, so that a reused pid is not mistaken."""

    pid: int
    host: str
    boot: str
    started: str
    since: str
    nonce: str = ""

    def words(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Held(Exception):
    """Somebody else holds the lock."""

    def __init__(self, holder: Holder | None, path: Path) -> None:
        self.holder = holder
        self.path = path
        who = holder.words() if holder else "somebody"
        super().__init__(f"held by {who} ({path})")


class Lock:
    """Take with `Lock.take(path)`, give back with `release()`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.holder = holder

    @classmethod
    def take(cls, path: Path) -> Lock:
        """The lock. Raises Held where another process has it or may have it, OSError where nothing can be written."""
        mine = Holder(
            os.getpid(),
            socket.gethostname(),
            _boot_id(),
            _started(os.getpid()),
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            secrets.token_hex(8),
        )
        for _ in range(3):
            # Written first and then linked: a lock file is never seen half written.
            draft = path.with_name(f"{path.name}.{mine.nonce}")
            draft.write_text(json.dumps(asdict(mine)), encoding="utf-8")
            draft.chmod(0o600)
            try:
                os.link(draft, path)
                return cls(path, mine)
            except FileExistsError:
                other = read_holder(path)
                if other is None and path.exists():
                    raise Held(None, path) from None
                if other is not None and not provably_dead(other):
                    raise Held(other, path) from None
                _set_aside(path, other)
            finally:
                with contextlib.suppress(OSError):
                    draft.unlink()
        raise Held(read_holder(path), path)

    def release(self) -> None:
        """Give it back; a lock that is not ours any more is left alone."""
        if read_holder(self.path) == self.holder:
            with contextlib.suppress(OSError):
                self.path.unlink()


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock; None where nobody does or the file does not say."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def provably_dead(holder: Holder) -> bool:
    """Only on the same machine can it be known: another boot, no such process, or another process with its number."""
    if holder.host != socket.gethostname():
        return False
    if holder.boot and _boot_id() and holder.boot != _boot_id():
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    now = _started(holder.pid)
    return bool(now and holder.started and now != holder.started) or _zombie(holder.pid)


def _set_aside(path: Path, dead: Holder | None) -> None:
    """Remove a dead holder's lock, unless another process did so and took it meanwhile."""
    grave = path.with_name(f"{path.name}.dead.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        os.rename(path, grave)
        if dead is not None and read_holder(grave) != dead:
            # We moved a living holder's lock: put it back where nobody took the place meanwhile.
            with contextlib.suppress(OSError):
                os.link(grave, path)
        grave.unlink()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _stat_fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _started(pid: int) -> str:
    fields = _stat_fields(pid)
    return fields[19] if len(fields) > 19 else ""


def _zombie(pid: int) -> bool:
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] == "Z"
