"""Exact edits of files: made for one state of a file, shown as a diff, applied all or nothing, undone to the byte.

Never formats or rewrites: only the named lines change, line ends and everything else stay as they are.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..matrix.model import Edit, Patch
from .atomicfile import write_atomic
from .guard import Guard, Permit

MAX_BYTES = 5_000_000


class PatchRefused(Exception):
    """The patch does not fit what is on disk; nothing was changed. The message says which file and why."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an applied patch changed, with the bytes before and after, for the undo."""

    patch: Patch
    before: tuple[tuple[str, bytes], ...]
    after: tuple[tuple[str, bytes], ...]

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for file, _ in self.after)


def make_patch(root: Path, edits: tuple[Edit, ...]) -> Patch:
    """A patch for the files as they are now. Raises PatchRefused where an edit does not fit already."""
    hashes = tuple((file, _digest(_read(root, file))) for file in dict.fromkeys(edit.file for edit in edits))
    patch = Patch(edits=edits, sha256=hashes)
    render(root, patch)
    return patch


def render(root: Path, patch: Patch) -> dict[str, tuple[bytes, bytes]]:
    """Bytes before and after for each file, without writing. Raises PatchRefused where the files changed meanwhile."""
    result: dict[str, tuple[bytes, bytes]] = {}
    for file, digest in patch.sha256:
        data = _read(root, file)
        if _digest(data) != digest:
            raise PatchRefused(f"{file} changed since the diagnosis")
        result[file] = (data, _edited(data, [edit for edit in patch.edits if edit.file == file]))
    return result


def diff_of(root: Path, patch: Patch) -> str:
    """The patch as a unified diff; empty where it no longer fits."""
    try:
        rendered = render(root, patch)
    except PatchRefused:
        return ""
    return "".join(unified(file, before, after) for file, (before, after) in rendered.items())


def unified(file: str, before: bytes, after: bytes) -> str:
    """One file's change as a unified diff with three lines of context."""
    old = before.decode("utf-8", "replace").splitlines(keepends=True)
    new = after.decode("utf-8", "replace").splitlines(keepends=True)
    lines = difflib.unified_diff(old, new, f"a/{file}", f"b/{file}")
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


async def apply_patch(root: Path, patch: Patch, guard: Guard, permit: Permit) -> Applied:
    """Write the patch, all files or none. Raises PatchRefused (nothing changed) or guard.Refused."""
    rendered = render(root, patch)
    _write_all(root, {file: after for file, (_, after) in rendered.items()}, guard, permit)
    return Applied(
        patch,
        before=tuple((file, before) for file, (before, _) in rendered.items()),
        after=tuple((file, after) for file, (_, after) in rendered.items()),
    )


async def undo(root: Path, applied: Applied, guard: Guard, permit: Permit) -> None:
    """Restore the bytes from before. Raises PatchRefused where a file was edited after the patch."""
    for file, after in applied.after:
        if _read(root, file) != after:
            raise PatchRefused(f"{file} was edited after the fix: undo by hand")
    _write_all(root, dict(applied.before), guard, permit)


def _write_all(root: Path, contents: dict[str, bytes], guard: Guard, permit: Permit) -> None:
    for file in contents:
        guard.check_write(root / file, root, permit)
    permit.consume()
    written: list[tuple[str, bytes]] = []
    for file, data in contents.items():
        before = (root / file).read_bytes()
        try:
            write_atomic(root / file, data)
        except OSError as error:
            for done, old in written:
                write_atomic(root / done, old)
            raise PatchRefused(f"{file} cannot be written: {error.strerror or error}") from error
        written.append((file, before))


def _read(root: Path, file: str) -> bytes:
    path = root / file
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            raise PatchRefused(f"{file} leads out of the bundle")
        if path.stat().st_size > MAX_BYTES:
            raise PatchRefused(f"{file} is too large to edit")
        return path.read_bytes()
    except OSError as error:
        raise PatchRefused(f"{file} cannot be read: {error.strerror or error}") from error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _edited(data: bytes, edits: list[Edit]) -> bytes:
    lines = data.split(b"\n")
    newline = b"\r\n" if sum(line.endswith(b"\r") for line in lines) * 2 > len(lines) else b"\n"
    for edit in sorted(edits, key=lambda edit: edit.line, reverse=True):
        index = edit.line - 1
        new = [] if edit.new is None else [line.encode() for line in edit.new.split("\n")]
        if edit.old is None:
            if not 0 <= index <= len(lines):
                raise PatchRefused(f"{edit.file} has no line {edit.line}")
            if index == len(lines) - 1 and lines[-1] == b"":
                # The file ends with a line end: what is inserted "after the last line" gets its own.
                lines[index:index] = [line + newline[:-1] for line in new]
            elif index == len(lines):
                lines[-1] += newline[:-1]
                lines += new
            else:
                lines[index:index] = [line + newline[:-1] for line in new]
            continue
        if not 0 <= index < len(lines):
            raise PatchRefused(f"{edit.file} has no line {edit.line}")
        old = lines[index]
        ending = b"\r" if old.endswith(b"\r") else b""
        if old.removesuffix(b"\r") != edit.old.encode():
            raise PatchRefused(f"{edit.file}:{edit.line} is not what the fix was made for")
        lines[index : index + 1] = [line + ending for line in new]
    return b"\n".join(lines)
