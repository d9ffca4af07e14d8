"""A file is written whole or not at all, keeps its mode, and a link never leads out of the root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dbops_tui.core import atomicfile
from dbops_tui.core.atomicfile import Outside, inside, write_atomic


def test_the_bytes_are_replaced_and_the_mode_stays(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_bytes(b"old\r\n")
    file.chmod(0o750)
    write_atomic(file, b"new\xff\r\nno end")
    assert file.read_bytes() == b"new\xff\r\nno end"
    assert file.stat().st_mode & 0o777 == 0o750
    assert os.listdir(tmp_path) == ["run.sh"]


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_atomic(tmp_path / "a", b"x")
        write_atomic(tmp_path / "b", b"x", mode=0o644)
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_what_fails_on_the_way_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomicfile.os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_inside_of_the_root_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new", root=tmp_path)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_link_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "a").write_bytes(b"old")
    (root / "file").symlink_to(outside / "a")
    (root / "folder").symlink_to(outside)
    for path in (root / "file", root / "folder" / "a", root / "folder" / "new", root / ".." / "outside" / "a"):
        with pytest.raises(Outside):
            write_atomic(path, b"new", root=root)
    assert (outside / "a").read_bytes() == b"old"
    assert os.listdir(outside) == ["a"]


def test_only_plain_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "folder", tmp_path / "pipe", tmp_path, tmp_path / "loop", tmp_path / "nul\0"):
        with pytest.raises(Outside):
            inside(path, tmp_path)
