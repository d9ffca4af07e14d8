"""Exact edits of files: made for one state of a file, shown as a diff, applied all or nothing, undone to the byte.

Never formats or rewrites: only the named lines change; line ends, a byte order mark and everything else stay.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..matrix.model import Edit, Patch
from .atomicfile import Changed, Outside, inside, write_all
from .guard import Guard, Permit
from .yaml_marks import YamlProblem, parse

MAX_BYTES = 5_000_000
_BOM = b"\xef\xbb\xbf"
_DIFF_BYTES = 400_000  # a diff of more is not looked for line by line: it takes minutes


class PatchRefused(Exception):
    """The patch does not fit what is on disk; nothing was changed. The message says which file and why."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was changed, with the bytes before and after for the undo; None is a file that was not there."""

    patch: Patch
    before: tuple[tuple[str, bytes | None], ...]
    after: tuple[tuple[str, bytes | None], ...]

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for file, _ in self.after)

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        held = dict(self.before)
        return "".join(unified(file, held.get(file), after) for file, after in self.after)


def make_patch(root: Path, edits: Iterable[Edit]) -> Patch:
    """A patch for the files as they are now. Raises PatchRefused where an edit does not fit, or would break a file."""
    edits = tuple(edits)
    files = list(dict.fromkeys(edit.file for edit in edits))
    patch = Patch(edits=edits, sha256=tuple((file, _digest(_read(root, file))) for file in files))
    for file, (before, after) in render(root, patch).items():
        broken = breaks(file, before, after)
        if broken:
            raise PatchRefused(f"{file} would not be {broken} any more")
    return patch


def combined(root: Path, patches: Iterable[Patch]) -> Patch:
    """One patch of several that were made for the same state of the files, each edit once.

    Raises PatchRefused where two of them want to change one line in different ways.
    """
    edits: dict[tuple[str, int, str | None], Edit] = {}
    for edit in (edit for patch in patches for edit in patch.edits):
        held = edits.setdefault((edit.file, edit.line, edit.old), edit)
        if held != edit:
            raise PatchRefused(f"{edit.file}:{edit.line} would be changed in two ways")
    return make_patch(root, edits.values())


def render(root: Path, patch: Patch) -> dict[str, tuple[bytes, bytes]]:
    """Bytes before and after for each file, without writing. Raises PatchRefused where the files changed meanwhile."""
    unhashed = {edit.file for edit in patch.edits} - {file for file, _ in patch.sha256}
    if unhashed:
        raise PatchRefused(f"it is not known for which state of {', '.join(sorted(unhashed))} the patch was made")
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


def unified(file: str, before: bytes | None, after: bytes | None) -> str:
    """One file's change as a unified diff with three lines of context; None is a file that is not there."""
    if before == after:
        return ""
    heads = (f"a/{file}" if before is not None else "/dev/null", f"b/{file}" if after is not None else "/dev/null")
    if b"\x00" in (before or b"")[:8192] or b"\x00" in (after or b"")[:8192]:
        return f"Binary files {heads[0]} and {heads[1]} differ\n"
    old, new = (_shown(data) for data in (before, after))
    first = 0
    if len(before or b"") + len(after or b"") > _DIFF_BYTES:
        old, new, first = _narrowed(old, new)
    lines = (_renumbered(line, first) for line in difflib.unified_diff(old, new, *heads))
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


async def apply_patch(root: Path, patch: Patch, guard: Guard, permit: Permit) -> Applied:
    """Write the patch, all files or none. Raises PatchRefused (nothing changed) or guard.Refused."""
    rendered = render(root, patch)
    _write(root, {file: (before, after) for file, (before, after) in rendered.items()}, guard, permit)
    return Applied(
        patch,
        before=tuple((file, before) for file, (before, _) in rendered.items()),
        after=tuple((file, after) for file, (_, after) in rendered.items()),
    )


async def undo(root: Path, applied: Applied, guard: Guard, permit: Permit) -> None:
    """Restore the bytes from before. Raises PatchRefused where a file was edited after the patch."""
    after = dict(applied.after)
    try:
        _write(root, {file: (after.get(file), data) for file, data in applied.before}, guard, permit)
    except PatchRefused as refused:
        if isinstance(refused.__cause__, Changed):
            raise PatchRefused(f"{refused.__cause__.args[0]} after the fix: undo by hand") from refused
        raise


def breaks(file: str, before: bytes, after: bytes) -> str:
    """What `file` was and is not any more: the kind of text that no longer parses; empty where all is well."""
    suffix = PurePosixPath(file).suffix.lower()
    if suffix in (".yml", ".yaml"):
        return "YAML" if _is_yaml(before) and not _is_yaml(after) else ""
    if suffix in (".ipynb", ".json"):
        return "JSON" if _is_json(before) and not _is_json(after) else ""
    if suffix == ".py":
        return "Python" if _is_python(before) and not _is_python(after) else ""
    return ""


def _write(root: Path, contents: dict[str, tuple[bytes | None, bytes | None]], guard: Guard, permit: Permit) -> None:
    for file in contents:
        guard.check_write(root / file, root, permit)
    for file in contents:
        _refuse_read_only(root, file)
    permit.consume()
    try:
        write_all({root / file: change for file, change in contents.items()}, root=root, new_mode=0o644)
    except Changed as error:
        raise PatchRefused(str(error)) from error
    except OSError as error:
        raise PatchRefused(f"{', '.join(contents)} cannot be written: {error.strerror or error}") from error


def _refuse_read_only(root: Path, file: str) -> None:
    """A file that is closed to writing stays as it is, although a rename could replace it."""
    try:
        mode = (root / file).stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise PatchRefused(f"{file} cannot be read: {error.strerror or error}") from error
    if not stat.S_IMODE(mode) & 0o222 or not os.access(root / file, os.W_OK):
        raise PatchRefused(f"{file} is read-only")


def _read(root: Path, file: str) -> bytes:
    try:
        path = inside(root / file, root)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PatchRefused(f"{file} is too large to edit ({size:,} bytes, the limit is {MAX_BYTES:,})")
        return path.read_bytes()
    except Outside as error:
        raise PatchRefused(f"{file} leads out of the bundle, or is no plain file") from error
    except (OSError, ValueError) as error:
        raise PatchRefused(f"{file} cannot be read: {error}") from error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _edited(data: bytes, edits: list[Edit]) -> bytes:
    mark = _BOM if data.startswith(_BOM) else b""
    lines = _split(data[len(mark) :])
    ends = [_ended(line)[1] for line in lines]
    usual = b"\r\n" if ends.count(b"\r\n") > ends.count(b"\n") else b"\n"
    # From the end, so that the numbers of the lines above stay; what is inserted before a line comes after its change.
    order = sorted(enumerate(edits), key=lambda each: (each[1].line, each[1].old is not None, each[0]), reverse=True)
    changed: set[int] = set()
    for _, edit in order:
        index = edit.line - 1
        new = [] if edit.new is None else [_encoded(edit, line) for line in edit.new.split("\n")]
        if edit.old is None:
            if not 0 <= index <= len(lines):
                raise PatchRefused(f"{edit.file} has no line {edit.line}")
            _insert(lines, index, new, usual)
            continue
        if not 0 <= index < len(lines):
            raise PatchRefused(f"{edit.file} has no line {edit.line}")
        if index in changed:
            raise PatchRefused(f"{edit.file}:{edit.line} would be changed in two ways")
        changed.add(index)
        text, end = _ended(lines[index])
        if text != _encoded(edit, edit.old):
            raise PatchRefused(f"{edit.file}:{edit.line} is not what the fix was made for")
        _replace(lines, index, new, end, usual)
    return mark + b"".join(lines)


def _split(data: bytes) -> list[bytes]:
    """Lines that end with LF or CRLF; a lone CR, or another sign that Python takes for an end, belongs to its line."""
    parts = data.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _insert(lines: list[bytes], index: int, new: list[bytes], usual: bytes) -> None:
    if index < len(lines):
        end = _ended(lines[index])[1] or usual
        lines[index:index] = [line + end for line in new]
        return
    last = _ended(lines[-1])[1] if lines else usual
    if lines and not last:
        # The file ends without a line end, and goes on doing so.
        lines[-1] += usual
        lines += [line + usual for line in new[:-1]] + new[-1:]
    else:
        lines += [line + last for line in new]


def _replace(lines: list[bytes], index: int, new: list[bytes], end: bytes, usual: bytes) -> None:
    inner = end or usual
    lines[index : index + 1] = [line + inner for line in new[:-1]] + [line + end for line in new[-1:]]
    if not new and not end and lines and index == len(lines):
        lines[-1] = _ended(lines[-1])[0]


def _ended(line: bytes) -> tuple[bytes, bytes]:
    for end in (b"\r\n", b"\n"):
        if line.endswith(end):
            return line.removesuffix(end), end
    return line, b""


def _encoded(edit: Edit, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise PatchRefused(f"{edit.file}:{edit.line} holds what is not text") from error


def _shown(data: bytes | None) -> list[str]:
    return [line.decode("utf-8", "replace") for line in _split(data or b"")]


def _narrowed(old: list[str], new: list[str]) -> tuple[list[str], list[str], int]:
    """The two without the lines that they share at both ends, but for three, and how many were left out above."""
    low = 0
    while low < min(len(old), len(new)) and old[low] == new[low]:
        low += 1
    high = 0
    while high < min(len(old), len(new)) - low and old[-1 - high] == new[-1 - high]:
        high += 1
    low, high = max(0, low - 3), max(0, high - 3)
    return old[low : len(old) - high], new[low : len(new) - high], low


def _renumbered(line: str, first: int) -> str:
    if not first or not line.startswith("@@ -"):
        return line
    return re.sub(r"(?<= [-+])\d+", lambda number: str(int(number[0]) + first), line)


def _is_yaml(data: bytes) -> bool:
    try:
        parse(data.decode("utf-8-sig"))
    except (YamlProblem, UnicodeDecodeError):
        return False
    return True


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _is_python(data: bytes) -> bool:
    try:
        ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
