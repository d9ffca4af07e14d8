"""Paths that lead out of a bundle, and patches that are cut off, come too late or meet odd files.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.guard import Guard, Permit, Policy, Refused
from dbops_tui.core.journal import Journal
from dbops_tui.core.patches import Applied, PatchRefused, apply_patch, make_patch, undo
from dbops_tui.core.sources import existing, local_file, read_lines, written_path
from dbops_tui.core.state import Identity
from dbops_tui.matrix.model import Edit, Patch
from dbops_tui.tui.editor import command_for
from fault_cases import Case

HOSTILE = (
    *("../outside.py", "src/../../outside.py", "src/./.././../outside.py", "..", ".", "", "/", "//", "src", "src/"),
    *("/etc/passwd", "//etc/passwd", "/dev/null", "/dev/zero", "/proc/self/environ", "link.py", "away/outside.py"),
    *("pipe.py", ".git/config", ".databricks/bundle/dev/resources.json", "src/git.py", "~/x.py", "~root/x.py"),
    *("-rf", "--help", "-c:q", "+!id", "a\nb.py", "a;b.py", "$(id).py", "`id`.py", "a|b.py", "a&b.py", "a b'\".py"),
    *("C:\\x.py", "C:/x.py", "\\\\server\\share\\x.py", "//server/share/x.py", "file:///etc/passwd", "src\\..\\..\\x"),
    *("nul\0.py", "x" * 300, "x/" * 300, "../" * 200 + "etc/passwd", "\u202egnp.py", "\x1b]0;x\x07.py", "%2e%2e/x.py"),
)
CONTENTS = (
    b"a\nb\nc\n",
    b"a\r\nb\r\nc\r\n",
    b"a\nb\nc",
    b"\xef\xbb\xbfa\nb\nc\n",
    b"a\n\tb\nc\n",
    b"\xff\xfe\nb\nc\n",
    b"a\r\nb\nc\r\n",
    b"a\nb\x0c\nc\n",
    "ü\nß\n\u2028\n".encode(),
    b"a\n" * 50_000,
)


def _here() -> Identity:
    return Identity(host="https://example.com", user="you@example.com", target="dev", mode="development")


class _Edits:
    """A guard with a journal, and permits to edit."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.journal = asyncio.run(Journal.open(folder / "j.sqlite3"))
        self.guard = Guard(_here, Policy(), self.journal)

    def permit(self) -> Permit:
        return asyncio.run(self.guard.permit(self.guard.act("patch", "a fix")))

    def apply(self, root: Path, patch: Patch) -> Applied:
        permit = self.permit()
        return asyncio.run(apply_patch(root, patch, self.guard, permit))

    def undo(self, root: Path, applied: Applied) -> None:
        permit = self.permit()
        asyncio.run(undo(root, applied, self.guard, permit))

    def close(self) -> None:
        asyncio.run(self.journal.close())


def _bundle(folder: Path) -> Path:
    root = folder / "bundle"
    for name in ("src", ".git", ".databricks/bundle/dev"):
        (root / name).mkdir(parents=True)
    (root / "databricks.yml").write_text("bundle: {name: x}\ntargets: {dev: {default: true}}\n")
    (root / "src/work.py").write_text("a\n")
    for name in (".git/config", ".databricks/bundle/dev/resources.json", "../outside.py"):
        (root / name).write_text("a\n")
    (root / "link.py").symlink_to(folder / "outside.py")
    (root / "away").symlink_to(folder)
    (root / "src/git.py").symlink_to(root / ".git/config")
    os.mkfifo(root / "pipe.py")
    return root


def _all_bytes(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and "journal" not in path.parts:
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def hostile_paths(folder: Path, paths: Sequence[str] = HOSTILE) -> Iterator[Case]:
    """Each path to each door through which a path from outside comes."""
    root = _bundle(folder)
    edits = _Edits(folder / "journal")
    bundle = load_bundle(root, "", {})
    before = _all_bytes(folder)

    def patched(path: str) -> str:
        try:
            edits.apply(root, make_patch(root, [Edit(path, 1, "a", "evil")]))
        except (PatchRefused, Refused):
            return ""
        return "a patch was made and written"

    def forged(path: str) -> str:
        digest = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"  # of "a\\n"
        try:
            edits.apply(root, Patch((Edit(path, 1, "a", "evil"),), ((path, digest),)))
        except (PatchRefused, Refused):
            return ""
        return "a forged patch was written"

    def allowed(path: str) -> str:
        try:
            real = edits.guard.check_write(root / path, root, edits.permit())
        except Refused:
            return ""
        within = real.is_relative_to(root.resolve()) and {".git", ".databricks"}.isdisjoint(real.parts)
        return "" if within else f"it may be written: {real}"

    def found(path: str) -> str:
        for file in (local_file(bundle, path), existing(bundle, path), written_path(bundle, path, "databricks.yml")):
            real = (root / file).resolve() if file else None
            if real is not None and not (real.is_relative_to(root.resolve()) and real.is_file()):
                return f"it leads to {real}"
        lines = read_lines(bundle, path)
        return f"it was read: {lines[0][:20]!r}" if lines and not _within(root, path) else ""

    def edited(path: str) -> str:
        command = command_for(root / path, 3, editor="vim -n", env={})
        bad = [word for word in command.words[2:] if word.startswith(("-", "+!")) and word != "--"]
        return f"the editor takes it for a flag: {bad}" if bad else ""

    doors: dict[str, Callable[[str], str]] = {
        "a patch": patched, "a forged patch": forged, "the guard": allowed, "the source": found, "the editor": edited,
    }  # fmt: skip
    for path in paths:
        for name, door in doors.items():
            try:
                problem = door(path)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            if _all_bytes(folder) != before:
                problem = problem or "a file was changed"
            yield Case("hostile path", f"{path[:40]!r} to {name}", problem)
            if problem:
                _put_back(folder, before)
    edits.close()


def _within(root: Path, path: str) -> bool:
    try:
        return (root / path).resolve().is_relative_to(root.resolve())
    except (OSError, ValueError):
        return False


def _put_back(folder: Path, before: dict[str, bytes]) -> None:
    for name, data in before.items():
        (folder / name).write_bytes(data)


def patches(folder: Path, chance: random.Random, contents: int = len(CONTENTS)) -> Iterator[Case]:
    """Patches of several files that fail at each of their steps, meet a newer file, and are taken back; with so many
    of the kinds of contents."""
    edits = _Edits(folder / "journal")
    for number, content in enumerate(CONTENTS[:contents]):
        root = folder / f"kind{number}"
        names = ["f", "g", "h"]
        _lay(root, dict.fromkeys(names, content))
        line = chance.randrange(1, 3)
        patch = _second_line(root, names, content, line)
        yield Case("patch undone", f"content {number}", _and_back(edits, root, patch, content))
        yield Case("patch too late", f"content {number}", _too_late(edits, root, patch, content))
        for step in ("replace", "fsync", "write", "open"):
            for at in range(1, 8):
                problem, reached = _cut_off(edits, root, patch, content, step, at)
                if not reached:
                    break
                yield Case("patch cut off", f"content {number}, {step} {at}", problem)
        shutil.rmtree(root)
    yield Case("patch too late", "a file that is read-only", _closed(edits, folder / "closed"))
    edits.close()


def _lay(root: Path, files: dict[str, bytes]) -> None:
    root.mkdir(exist_ok=True)
    for name, data in files.items():
        (root / name).write_bytes(data)
        (root / name).chmod(0o640)


def _second_line(root: Path, names: list[str], content: bytes, line: int) -> Patch:
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    old = lines[1].removesuffix(b"\r").decode()
    return make_patch(root, [Edit(name, 2, old, "x\ny" if line == 1 else "x") for name in names])


def _and_back(edits: _Edits, root: Path, patch: Patch, content: bytes) -> str:
    applied = edits.apply(root, patch)
    changed = [path.name for path in root.iterdir() if path.read_bytes() != content]
    if sorted(changed) != ["f", "g", "h"]:
        return f"changed: {changed}"
    if any(path.stat().st_mode & 0o777 != 0o640 for path in root.iterdir()):
        return "the mode is another one"
    edits.undo(root, applied)
    return "" if all(path.read_bytes() == content for path in root.iterdir()) else "not the bytes from before"


def _too_late(edits: _Edits, root: Path, patch: Patch, content: bytes) -> str:
    newer = content + b"a person wrote this\n"
    (root / "g").write_bytes(newer)
    try:
        edits.apply(root, patch)
    except PatchRefused:
        left = {path.name: path.read_bytes() for path in root.iterdir()}
        problem = "" if left == {"f": content, "g": newer, "h": content} else f"changed all the same: {sorted(left)}"
    else:
        problem = "it was put onto a newer file"
    _lay(root, dict.fromkeys(("f", "g", "h"), content))
    return problem


def _cut_off(edits: _Edits, root: Path, patch: Patch, content: bytes, step: str, at: int) -> tuple[str, bool]:
    plain: Any = getattr(os, step)
    permit = edits.permit()
    calls = 0

    def breaks(*given: Any, **more: Any) -> Any:
        nonlocal calls
        if step != "open" or given[1] & (os.O_WRONLY | os.O_RDWR):
            calls += 1
            if calls == at:
                raise OSError(28, "No space left on device")
        return plain(*given, **more)

    problem, refused = "", False
    setattr(os, step, breaks)
    try:
        asyncio.run(apply_patch(root, patch, edits.guard, permit))
    except PatchRefused:
        refused = True
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        setattr(os, step, plain)
    reached = calls >= at
    left = {path.name: path.read_bytes() for path in root.iterdir()}
    whole = sum(data == content for data in left.values())
    if sorted(left) != ["f", "g", "h"]:
        problem = problem or f"left beside them: {sorted(left)}"
    elif refused and whole != 3:
        problem = problem or f"{3 - whole} of 3 files are changed"
    elif reached and not refused and whole:
        problem = problem or "told as done, and not all are"
    for path in tuple(root.iterdir()):
        if path.name not in ("f", "g", "h"):
            path.unlink()
    _lay(root, dict.fromkeys(("f", "g", "h"), content))
    return problem, reached


def _closed(edits: _Edits, root: Path) -> str:
    _lay(root, {"f": b"a\nb\n"})
    patch = make_patch(root, [Edit("f", 2, "b", "B")])
    (root / "f").chmod(0o440)
    try:
        edits.apply(root, patch)
    except PatchRefused:
        return "" if (root / "f").read_bytes() == b"a\nb\n" else "it was written"
    return "a file closed to writing was written"
