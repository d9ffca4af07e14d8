"""Patches: only the named lines change, all files or none, back to the byte; what does not fit is refused."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from dbops_tui.core import atomicfile
from dbops_tui.core.guard import Guard, Permit, Policy, Refused
from dbops_tui.core.patches import (
    MAX_BYTES,
    Applied,
    PatchRefused,
    apply_patch,
    combined,
    diff_of,
    make_patch,
    render,
    undo,
    unified,
)
from dbops_tui.core.state import Identity
from dbops_tui.matrix.model import Edit, Patch
from hypothesis import given, settings
from hypothesis import strategies as st


class Log:
    """An intent log in memory."""

    async def intent(self, act: object) -> int:
        return 1

    async def result(self, op_id: int, outcome: str, data: object) -> None:
        pass


def a_guard(*, read_only: bool = False) -> Guard:
    return Guard(lambda: Identity(host="https://x", user="u", target="dev"), Policy(read_only=read_only), Log())


async def a_permit(guard: Guard) -> Permit:
    return await guard.permit(guard.act("patch", "a fix"))


def apply(root: Path, patch: Patch) -> Applied:
    async def go() -> Applied:
        guard = a_guard()
        return await apply_patch(root, patch, guard, await a_permit(guard))

    return asyncio.run(go())


def take_back(root: Path, applied: Applied) -> None:
    async def go() -> None:
        guard = a_guard()
        await undo(root, applied, guard, await a_permit(guard))

    asyncio.run(go())


def replaced(file: str, line: int, old: str, new: str | None) -> Edit:
    return Edit(file, line, old, new)


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        (b"a\nb\nc\n", [replaced("f", 2, "b", "B")], b"a\nB\nc\n"),
        (b"a\r\nb\r\n", [replaced("f", 2, "b", "B")], b"a\r\nB\r\n"),
        (b"a\r\nb\nc\r\n", [replaced("f", 2, "b", "x\ny")], b"a\r\nx\ny\nc\r\n"),
        (b"a\nb", [replaced("f", 2, "b", "B")], b"a\nB"),
        (b"a\nb", [replaced("f", 2, "b", "x\ny")], b"a\nx\ny"),
        (b"a\r\nb", [replaced("f", 2, "b", "x\ny")], b"a\r\nx\r\ny"),
        (b"a\nb\n", [replaced("f", 1, "a", None)], b"b\n"),
        (b"a\nb", [replaced("f", 2, "b", None)], b"a"),
        (b"a\n", [replaced("f", 1, "a", None)], b""),
        (b"\xef\xbb\xbfa\nb\n", [replaced("f", 1, "a", "A")], b"\xef\xbb\xbfA\nb\n"),
        (b"\xef\xbb\xbfa\n", [Edit("f", 1, None, "first")], b"\xef\xbb\xbffirst\na\n"),
        (b"a\nb\n", [Edit("f", 3, None, "c")], b"a\nb\nc\n"),
        (b"a\r\nb", [Edit("f", 3, None, "c\nd")], b"a\r\nb\r\nc\r\nd"),
        (b"", [Edit("f", 1, None, "a")], b"a\n"),
        (b"a\nb\n", [Edit("f", 2, None, "x"), Edit("f", 2, None, "y"), replaced("f", 2, "b", "B")], b"a\nx\ny\nB\n"),
        (b"\tif x:\n\t\ty\n", [replaced("f", 2, "\t\ty", "\t\tz")], b"\tif x:\n\t\tz\n"),
        (b"a \n\nb\x0c\n", [replaced("f", 3, "b\x0c", "c")], b"a \n\nc\n"),
        (b"\xff\xfe\nb\n", [replaced("f", 2, "b", "B")], b"\xff\xfe\nB\n"),
        ("ü\nß\n".encode(), [replaced("f", 2, "ß", "ẞ")], "ü\nẞ\n".encode()),
    ],
)
def test_only_the_named_lines_change_and_undo_brings_back_every_byte(
    tmp_path: Path, before: bytes, edits: list[Edit], after: bytes
) -> None:
    (tmp_path / "f").write_bytes(before)
    applied = apply(tmp_path, make_patch(tmp_path, edits))
    assert (tmp_path / "f").read_bytes() == after
    take_back(tmp_path, applied)
    assert (tmp_path / "f").read_bytes() == before


LINE = st.text(alphabet=st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=12)


@st.composite
def files_with_edits(draw: st.DrawFn) -> tuple[bytes, list[Edit], bytes]:
    """A file, edits that fit it, and what it has to hold then."""
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    lines = draw(st.lists(LINE, min_size=1, max_size=12))
    lines[0] = lines[0].removeprefix("\ufeff")
    closed = draw(st.booleans()) or not lines[-1]
    mark = "\ufeff" if draw(st.booleans()) else ""
    data = (mark + ends.join(lines) + (ends if closed else "")).encode()
    if len(lines) == 1 and not closed:
        ends = "\n"  # nothing says which one it has
    edits: list[Edit] = []
    wanted: list[str] = []
    for number, line in enumerate(lines, start=1):
        if draw(st.booleans()) and number > 1:
            new = draw(LINE)
            edits.append(Edit("f", number, None, new))
            wanted.append(new)
        kind = draw(st.sampled_from(["keep", "keep", "set", "two", "drop"]))
        if kind == "keep" or (kind == "drop" and number == len(lines)):
            wanted.append(line)
            continue
        new_lines = draw(st.lists(LINE, min_size=1, max_size=2)) if kind == "two" else [draw(LINE)]
        new_text = None if kind == "drop" else "\n".join(new_lines)
        edits.append(Edit("f", number, line, new_text))
        wanted += [] if new_text is None else new_text.split("\n")
    return data, edits, (mark + ends.join(wanted) + (ends if closed else "")).encode()


@settings(max_examples=300, deadline=None)
@given(files_with_edits())
def test_any_edits_give_just_the_lines_that_were_asked_for(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[bytes, list[Edit], bytes]
) -> None:
    data, edits, wanted = case
    root = tmp_path_factory.mktemp("patch")
    (root / "f").write_bytes(data)
    if not edits:
        return
    applied = apply(root, make_patch(root, edits))
    assert (root / "f").read_bytes() == wanted
    take_back(root, applied)
    assert (root / "f").read_bytes() == data


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("a\n")
    file.chmod(0o751)
    owner = (os.getuid(), os.getgid())
    if os.getuid() == 0:
        owner = (12345, 12345)
        os.chown(file, *owner)
    applied = apply(tmp_path, make_patch(tmp_path, [replaced("f", 1, "a", "b")]))
    info = file.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o751, *owner)
    take_back(tmp_path, applied)
    info = file.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o751, *owner)


def test_a_file_changed_since_the_diagnosis_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\nb\n")
    patch = make_patch(tmp_path, [replaced("f", 1, "a", "A")])
    (tmp_path / "f").write_text("a\nb\nc\n")
    with pytest.raises(PatchRefused, match="changed since the diagnosis"):
        apply(tmp_path, patch)
    assert diff_of(tmp_path, patch) == ""
    assert (tmp_path / "f").read_text() == "a\nb\nc\n"


def test_a_file_changed_at_the_last_moment_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text("a\n")
    (tmp_path / "g").write_text("a\n")
    patch = make_patch(tmp_path, [replaced("f", 1, "a", "A"), replaced("g", 1, "a", "A")])
    staged = atomicfile._staged

    def an_editor_saves(target: Path, data: bytes, mode: int | None) -> str:
        name = staged(target, data, mode)
        if target.name == "g":
            (tmp_path / "f").write_text("saved by an editor\n")
        return name

    monkeypatch.setattr(atomicfile, "_staged", an_editor_saves)
    with pytest.raises(PatchRefused, match="changed meanwhile"):
        apply(tmp_path, patch)
    assert ((tmp_path / "f").read_text(), (tmp_path / "g").read_text()) == ("saved by an editor\n", "a\n")
    assert sorted(os.listdir(tmp_path)) == ["f", "g"]


def test_a_file_edited_after_the_fix_is_not_undone_over(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\n")
    applied = apply(tmp_path, make_patch(tmp_path, [replaced("f", 1, "a", "A")]))
    (tmp_path / "f").write_text("A\nmore\n")
    with pytest.raises(PatchRefused, match="undo by hand"):
        take_back(tmp_path, applied)
    assert (tmp_path / "f").read_text() == "A\nmore\n"


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_fails_on_the_way_leaves_all_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: int
) -> None:
    names = ["f", "g", "h"]
    for name in names:
        (tmp_path / name).write_text("a\n")
    patch = make_patch(tmp_path, [replaced(name, 1, "a", "A") for name in names])
    real = getattr(os, step)
    calls = []

    def breaks(*given: object, **more: object) -> object:
        calls.append(given)
        if len(calls) == at:
            raise OSError(28, "No space left on device")
        return real(*given, **more)

    monkeypatch.setattr(os, step, breaks)
    with pytest.raises(PatchRefused, match="No space left"):
        apply(tmp_path, patch)
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_text() for name in names} == dict.fromkeys(names, "a\n")
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize(
    "name",
    ["../f", "/etc/hosts", "link", "folder/../../f", "-rf", "a\nb", "$(id)", "f;g", "C:\\f", "\x00", "x" * 300, "."],
)
def test_what_leads_out_of_the_bundle_or_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "bundle"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "f").write_text("a\n")
    (root / "link").symlink_to(tmp_path / "f")
    with pytest.raises(PatchRefused):
        make_patch(root, [replaced(name, 1, "a", "b")])
    with pytest.raises(PatchRefused):
        apply(root, Patch((replaced(name, 1, "a", "b"),), ((name, "0" * 64),)))
    assert (tmp_path / "f").read_text() == "a\n"


def test_a_link_within_the_bundle_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("a\n")
    (tmp_path / "link").symlink_to("real")
    apply(tmp_path, make_patch(tmp_path, [replaced("link", 1, "a", "b")]))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "b\n"
    both = Patch(
        (replaced("link", 1, "b", "c"), replaced("real", 1, "b", "d")),
        tuple((name, make_patch(tmp_path, [replaced(name, 1, "b", "c")]).sha256[0][1]) for name in ("link", "real")),
    )
    with pytest.raises(PatchRefused):
        apply(tmp_path, both)
    assert (tmp_path / "real").read_text() == "b\n"


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_read_only_file_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "f"
    file.write_text("a\n")
    patch = make_patch(tmp_path, [replaced("f", 1, "a", "b")])
    file.chmod(mode)
    with pytest.raises(PatchRefused, match="read-only"):
        apply(tmp_path, patch)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("a\n", mode)


def test_five_megabytes_are_edited_and_more_are_refused(tmp_path: Path) -> None:
    line = b"x" * 99 + b"\n"
    (tmp_path / "f").write_bytes(line * (MAX_BYTES // 100))
    patch = make_patch(tmp_path, [replaced("f", 40_000, "x" * 99, "y")])
    assert len(diff_of(tmp_path, patch)) < 2_000
    assert "@@ -39997,7 +39997,7 @@" in diff_of(tmp_path, patch)
    applied = apply(tmp_path, patch)
    take_back(tmp_path, applied)
    assert (tmp_path / "f").read_bytes() == line * (MAX_BYTES // 100)
    (tmp_path / "f").write_bytes(line * (MAX_BYTES // 100) + b"x")
    with pytest.raises(PatchRefused, match="too large"):
        make_patch(tmp_path, [replaced("f", 1, "x" * 99, "y")])


@pytest.mark.parametrize(
    ("name", "before", "edit"),
    [
        ("f.yml", "a: 1\nb: 2\n", replaced("f.yml", 2, "b: 2", "b: [")),
        ("f.py", "x = 1\n", replaced("f.py", 1, "x = 1", "x = (")),
        ("f.ipynb", '{"cells": []}\n', replaced("f.ipynb", 1, '{"cells": []}', '{"cells": [}')),
    ],
)
def test_a_patch_that_would_break_the_file_is_none(tmp_path: Path, name: str, before: str, edit: Edit) -> None:
    (tmp_path / name).write_text(before)
    with pytest.raises(PatchRefused, match="any more"):
        make_patch(tmp_path, [edit])


def test_edits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\n")
    for edit in (
        replaced("f", 1, "b", "c"),
        replaced("f", 2, "a", "c"),
        replaced("f", 0, "a", "c"),
        Edit("f", 3, None, "c"),
        replaced("f", 1, "a", "\ud800"),
    ):
        with pytest.raises(PatchRefused):
            make_patch(tmp_path, [edit])
    with pytest.raises(PatchRefused, match="two ways"):
        make_patch(tmp_path, [replaced("f", 1, "a", "b"), replaced("f", 1, "a", "c")])
    with pytest.raises(PatchRefused, match="for which state"):
        render(tmp_path, Patch((replaced("f", 1, "a", "b"),)))


def test_several_patches_become_one_where_they_do_not_collide(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\nb\n")
    one = make_patch(tmp_path, [replaced("f", 1, "a", "A")])
    two = make_patch(tmp_path, [replaced("f", 1, "a", "A"), replaced("f", 2, "b", "B")])
    apply(tmp_path, combined(tmp_path, [one, two]))
    assert (tmp_path / "f").read_text() == "A\nB\n"
    three = make_patch(tmp_path, [replaced("f", 1, "A", "x")])
    four = make_patch(tmp_path, [replaced("f", 1, "A", "y")])
    with pytest.raises(PatchRefused, match="two ways"):
        combined(tmp_path, [three, four])


async def test_a_read_only_start_and_the_state_of_the_cli_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / ".databricks").mkdir()
    for name in ("f", ".databricks/state"):
        (tmp_path / name).write_text("a\n")
    guard = a_guard()
    with pytest.raises(Refused):
        await apply_patch(
            tmp_path, make_patch(tmp_path, [replaced(".databricks/state", 1, "a", "b")]), guard, await a_permit(guard)
        )
    with pytest.raises(Refused):
        await a_permit(a_guard(read_only=True))
    assert (tmp_path / ".databricks" / "state").read_text() == "a\n"


def test_a_diff_says_what_is_new_what_is_gone_and_what_is_no_text() -> None:
    assert unified("f", None, b"a\n").startswith("--- /dev/null\n+++ b/f\n")
    assert unified("f", b"a\n", None).startswith("--- a/f\n+++ /dev/null\n")
    assert unified("f", b"a", b"b") == (
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    )
    assert "Binary files" in unified("f", b"\x00", b"\x01")
    assert unified("f", b"a", b"a") == ""
