"""What a folder holds, file by file, so that what a foreign program did to it can be seen and taken back.

Never follows a link to a folder, never keeps more than it was told to, and restores only what it kept whole.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .atomicfile import write_atomic

KEEP_FILE = 8_000_000  # bytes of one file
KEEP_ALL = 256_000_000
MOST_ENTRIES = 100_000

# Made by tools as they run, and no harm done: looked at by nobody.
PASSED_OVER = frozenset(
    {
        *("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
        *(".venv", "node_modules"),
    }
)
# git adds to its objects whenever it is asked something, and never changes one.
_GIT_OBJECTS = "objects"

Kind = Literal["file", "link", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, link or other thing. `data` is None where it is no file or was not kept; `target` is a link's own text.

    `print` tells two states apart without their bytes: size, time of change, inode.
    """

    kind: Kind
    mode: int
    print: tuple[int, int, int]
    data: bytes | None = None
    target: str = ""

    def same(self, other: Entry) -> bool:
        """Whether nothing has changed, as far as it can be told."""
        if (self.kind, self.mode, self.target) != (other.kind, other.mode, other.target):
            return False
        if self.data is not None and other.data is not None:
            return self.data == other.data
        return self.print == other.print


@dataclass(frozen=True, slots=True)
class Look:
    """Which part of a folder is looked at, and how closely."""

    keep: bool
    skip: frozenset[str]
    only: tuple[str, ...]
    deep: bool
    most: int


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything below `root`, by its name relative to it with `/`; `whole` is False where there was too much."""

    root: Path
    entries: Mapping[str, Entry]
    look: Look
    whole: bool = True


def take(
    root: Path,
    *,
    keep: bool = True,
    skip: Iterable[Path] = (),
    only: Iterable[str] = (),
    deep: bool = True,
    most: int = MOST_ENTRIES,
) -> Tree:
    """The state of `root` now; with `keep` the bytes of its files too. What cannot be read is passed over.

    `skip` are folders not to enter, `only` the names to look at instead of all; not `deep`: no folder below it.
    """
    return _take(root, Look(keep, frozenset(map(str, skip)), tuple(only), deep, most))


def again(tree: Tree) -> Tree:
    """The state now of what `tree` looked at."""
    return _take(tree.root, tree.look)


def _take(root: Path, look: Look) -> Tree:
    found: dict[str, Entry] = {}
    room = KEEP_ALL if look.keep else -1
    places = ((name, str(root / name)) for name in look.only) if look.only else _walk(root, look)
    for name, path in places:
        if len(found) >= look.most:
            return Tree(root, found, look, whole=False)
        entry = _entry(path, room)
        if entry is not None:
            found[name] = entry
            room -= len(entry.data or b"")
    return Tree(root, found, look)


def changed(before: Tree, after: Tree) -> tuple[str, ...]:
    """The names that were added, changed or taken away, in order."""
    names = sorted({*before.entries, *after.entries})
    return tuple(name for name in names if not _same(before.entries.get(name), after.entries.get(name)))


def restore(before: Tree, names: Iterable[str]) -> tuple[str, ...]:
    """Bring `names` back to what they were; returns those for which that could not be done."""
    failed = []
    for name in names:
        try:
            done = _restore(before.root / name, before.entries.get(name), before.root)
        except OSError:
            done = False
        if not done:
            failed.append(name)
    return tuple(failed)


def _same(one: Entry | None, other: Entry | None) -> bool:
    return one is other if one is None or other is None else one.same(other)


def _walk(root: Path, look: Look) -> Iterator[tuple[str, str]]:
    stack = [""]
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(root / folder if folder else root) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in listed:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                objects = entry.name == _GIT_OBJECTS and os.path.basename(folder) == ".git"
                if look.deep and entry.name not in PASSED_OVER and not objects and entry.path not in look.skip:
                    stack.append(name)
            else:
                yield name, entry.path


def _entry(path: str, room: int) -> Entry | None:
    try:
        info = os.lstat(path)
        mark = (info.st_size, info.st_mtime_ns, info.st_ino)
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISLNK(info.st_mode):
            return Entry("link", 0, (0, 0, 0), target=os.readlink(path))
        if not stat.S_ISREG(info.st_mode):
            return Entry("other", mode, mark)
        data = None
        if info.st_size <= min(KEEP_FILE, room):
            with open(path, "rb") as file:
                data = file.read(KEEP_FILE + 1)
        return Entry("file", mode, mark, data)
    except OSError:
        return None


def _restore(path: Path, entry: Entry | None, root: Path) -> bool:
    """Whether `path` is as it was again."""
    if not path.parent.resolve().is_relative_to(root.resolve()):
        # A folder on the way was made a link: whatever is behind it is not ours to touch.
        _clear_way(path, root)
    if entry is None:
        if os.path.lexists(path):
            path.unlink()
        with contextlib.suppress(OSError):
            # Folders that were made for it, as far as they are empty now.
            while path.parent != root:
                path = path.parent
                path.rmdir()
        return True
    if entry.kind == "other" or (entry.kind == "file" and entry.data is None):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        return False
    if entry.kind == "link":
        if os.path.lexists(path):
            path.unlink()
        os.symlink(entry.target, path)
        return True
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.unlink()
    write_atomic(path, entry.data or b"", mode=entry.mode, root=root)
    return True


def _clear_way(path: Path, root: Path) -> None:
    for folder in reversed(path.parents):
        if folder != root and folder.is_relative_to(root) and folder.is_symlink():
            folder.unlink()
            return
