"""Our folders are private, follow the environment, and network file systems are known for what they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dbops_tui.core.paths import cache_dir, classify_filesystem, config_path, state_dir

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:26 / /home/you/scratch rw - xfs /dev/vdb rw
32 22 0:27 / /mnt/c rw - 9p drvfs rw
33 22 0:28 / /mnt/my\\040share rw - cifs //server/share rw
34 22 0:29 / /mnt/ssh rw - fuse.sshfs you@host:/ rw
35 22 0:30 / /mnt/odd rw - fuse.somethingnew x rw
36 22 0:31 / /tmp rw - tmpfs tmpfs rw
37 22 0:32 / /mnt/over rw - ext4 /dev/vdc rw
38 22 0:33 / /mnt/over rw - nfs server:/over rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "local"),
        ("/home/you/.local/state", "network"),
        ("/home/you/scratch/state", "local"),
        ("/homework", "local"),
        ("/mnt/c/Users", "network"),
        ("/mnt/my share/x", "network"),
        ("/mnt/ssh", "network"),
        ("/mnt/odd/x", "network"),
        ("/tmp/x", "local"),
        ("/mnt/over/x", "network"),  # the later mount covers the earlier one
    ],
)
def test_the_longest_mount_point_tells_the_kind(path: str, kind: str) -> None:
    assert classify_filesystem(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3 - \n", "- - - - - - -\n"])
def test_a_mount_table_that_says_nothing_means_local(text: str) -> None:
    assert classify_filesystem(Path("/x"), text) == "local"


def test_folders_are_made_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        env = {"DBOPS_STATE_DIR": str(tmp_path / "a" / "state")}
        folders = (state_dir(env), cache_dir(env))
    finally:
        os.umask(old)
    assert folders == (tmp_path / "a" / "state", tmp_path / "a" / "state" / "cache")
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o777)
    (tmp_path / "s").chmod(0o777)
    assert state_dir({"DBOPS_STATE_DIR": str(tmp_path / "s")}).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, -1)
    (tmp_path / "ours").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    os.lchown(tmp_path / "link", 12345, -1)
    for name in ("theirs", "link"):
        with pytest.raises(PermissionError, match="somebody else"):
            state_dir({"DBOPS_STATE_DIR": str(tmp_path / name)})


def test_the_config_file_is_where_the_environment_says(tmp_path: Path) -> None:
    assert config_path({"DBOPS_CONFIG": str(tmp_path / "c.toml")}) == tmp_path / "c.toml"
    assert config_path({}).name == "config.toml"
