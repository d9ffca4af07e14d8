"""The bytes of a bundle's source at one moment: what a deploy took, whether that is still so, and what differs.

Never writes, and holds no more than a bounded part of it in memory: of larger files only the digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from .patches import unified
from .syncrules import SyncRules

WHOLE_FILE = 256_000  # bytes of one file that is kept for a diff
WHOLE_ALL = 32_000_000
MOST_FILES = 50_000
MOST_DIFF = 60_000  # characters


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Digest of each file, names relative to the bundle's root; `texts` are the bytes of those small enough.

    `stamps` tell a file that was written again, also where it came out the same.
    """

    digests: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict, repr=False)
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def take(cls, rules: SyncRules) -> Snapshot:
        """Read every file that a deploy takes. Blocking: for a thread. A file that cannot be read is left out."""
        digests: dict[str, str] = {}
        texts: dict[str, bytes] = {}
        stamps: dict[str, tuple[int, int]] = {}
        room = WHOLE_ALL
        for path in rules.files(most=MOST_FILES):
            try:
                found = path.stat()
                size = found.st_size
                data = path.read_bytes() if size <= WHOLE_FILE else b""
                digest = hashlib.sha256(data).hexdigest() if size <= WHOLE_FILE else _digest_of(path)
            except OSError:
                continue
            name = rules.name(path)
            digests[name] = digest
            stamps[name] = (found.st_mtime_ns, found.st_ino)
            if data and size <= room:
                texts[name] = data
                room -= size
        return cls(digests, texts, stamps)

    @property
    def digest(self) -> str:
        """One digest for all of it."""
        lines = "\n".join(f"{name} {digest}" for name, digest in sorted(self.digests.items()))
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()

    def untouched(self, after: Snapshot) -> bool:
        """Whether no file was written between the two."""
        return self.digests == after.digests and self.stamps == after.stamps

    def changed(self, after: Snapshot) -> tuple[str, ...]:
        """The files that differ, are new or are gone."""
        names = self.digests.keys() | after.digests.keys()
        return tuple(sorted(name for name in names if self.digests.get(name) != after.digests.get(name)))

    def diff(self, after: Snapshot, names: tuple[str, ...] = ()) -> str:
        """What differs as a unified diff, as far as both sides are kept, and no longer than a person reads."""
        parts = []
        for name in names or self.changed(after):
            old, new = self.texts.get(name, b""), after.texts.get(name, b"")
            if old != new and b"\0" not in old[:8000] and b"\0" not in new[:8000]:
                parts.append(unified(name, old, new))
        return "".join(parts)[:MOST_DIFF]


def _digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
