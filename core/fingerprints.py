"""What the watched files held when they were last looked at, so that only a change of their bytes is a change.

Reads and hashes in the caller's thread, bounded in files and bytes; it writes nothing and remembers no content.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .syncrules import SyncRules

HASHED_BYTES = 8_000_000  # of one file; a larger one is told apart by time and size
BASELINE_FILES = 20_000
BASELINE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Print:
    """A file as it was: size, time in ns, and the digest of its bytes (empty where it was not read)."""

    size: int
    mtime_ns: int
    digest: bytes = b""


class Ledger:
    """The prints of all files that count. Not for two threads at once."""

    def __init__(self, rules: SyncRules) -> None:
        self.rules = rules
        self._known: dict[str, Print] = {}
        self._folders: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def knows_folder(self, path: str) -> bool:
        """Whether files below `path` were seen."""
        return path in self._folders

    def baseline(self) -> None:
        """Remember every file that is not known yet as it is now."""
        room = BASELINE_BYTES
        for count, file in enumerate(self.rules.files()):
            path = str(file)
            if path in self._known:
                continue
            found = take_print(path, read=count < BASELINE_FILES and room > 0)
            if found is not None:
                room -= found.size if found.digest else 0
                self._remember(path, found)

    def follow(self, rules: SyncRules) -> None:
        """Go by other rules: forget what counts no more, and take what newly counts as it is."""
        self.rules = rules
        self._known = {path: found for path, found in self._known.items() if rules.counts(path)}
        self.baseline()

    def changed(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those files of `paths` whose bytes differ from what was known, sorted; they are known from now on.

        A folder stands for what is, or was, in it. A file that came and went since the last look is none.
        """
        looked: set[str] = set()
        for path in paths:
            if _is_folder(path):
                looked.update(str(file) for file in self.rules.files(Path(path)))
            elif self.knows_folder(path):
                prefix = path + os.sep
                looked.update(known for known in self._known if known.startswith(prefix))
            else:
                looked.add(path)
        return tuple(sorted(path for path in looked if self._differs(path)))

    def rescan(self) -> tuple[str, ...]:
        """As `changed`, for everything: what is on the disk now against what was known."""
        present = {str(file) for file in self.rules.files()}
        found = [path for path in sorted(present) if self._moved(path) and self._differs(path)]
        gone = [path for path in self._known.keys() - present if self.rules.counts(path) and self._differs(path)]
        return tuple(sorted(found + gone))

    def _moved(self, path: str) -> bool:
        known, now = self._known.get(path), take_print(path, read=False)
        return known is None or now is None or (known.size, known.mtime_ns) != (now.size, now.mtime_ns)

    def _differs(self, path: str) -> bool:
        known = self._known.get(path)
        now = take_print(path, read=True)
        if now is None:
            self._known.pop(path, None)
            return known is not None
        self._remember(path, now)
        if known is None:
            return True
        if known.digest and now.digest:
            return known.digest != now.digest
        return (known.size, known.mtime_ns) != (now.size, now.mtime_ns)

    def _remember(self, path: str, found: Print) -> None:
        self._known[path] = found
        folder = os.path.dirname(path)
        while folder not in self._folders and len(folder) > 1:
            self._folders.add(folder)
            folder = os.path.dirname(folder)


def take_print(path: str, *, read: bool) -> Print | None:
    """The print of the regular file at `path`; None where there is none. Nothing that could block is opened."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return None
        digest = b""
        if read and found.st_size <= HASHED_BYTES:
            with open(path, "rb") as stream:
                digest = hashlib.blake2b(stream.read(HASHED_BYTES + 1), digest_size=16).digest()
        return Print(found.st_size, found.st_mtime_ns, digest)
    except OSError:
        return None


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
