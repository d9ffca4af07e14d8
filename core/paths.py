"""Where our own files live, and on what kind of disk.

Never creates anything outside of the user's state, cache and config folders; folders are 0700.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

APP = "dbops-tui"
# What promises locks and shared memory and does not always keep it. Every `fuse.*` counts too: nobody can tell them
# apart by name, and for the price of a slower journal nothing is at risk.
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "lustre", "glusterfs", "ceph", "beegfs", "gpfs"),
        *("ncpfs", "ncp", "coda", "orangefs", "pvfs2", "ocfs2", "davfs", "fuse", "virtiofs", "vboxsf", "vmhgfs"),
        *("prl_fs", "drvfs", "wslfs", "acfs", "panfs", "webdav"),
    }
)
_LOCAL_FUSE = frozenset({"fuse.portal", "fuse.lxcfs"})
_OCTAL = re.compile(r"\\([0-7]{3})")  # how mountinfo writes blanks and backslashes (proc(5))


def state_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of journals, made where it is missing. Raises OSError, also where it belongs to somebody else."""
    named = env.get("DBOPS_STATE_DIR")
    if named:
        folder = Path(named)
    else:
        from platformdirs import user_state_path

        folder = user_state_path(APP, appauthor=False)
    return _private(folder)


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of what can be made again. Raises OSError."""
    named = env.get("DBOPS_CACHE_DIR") or (env.get("DBOPS_STATE_DIR") and str(Path(env["DBOPS_STATE_DIR"]) / "cache"))
    if named:
        return _private(Path(named))
    from platformdirs import user_cache_path

    return _private(user_cache_path(APP, appauthor=False))


def config_path(env: Mapping[str, str] = os.environ) -> Path:
    """The user's config file; it need not exist."""
    if env.get("DBOPS_CONFIG"):
        return Path(env["DBOPS_CONFIG"])
    from platformdirs import user_config_path

    return user_config_path(APP, appauthor=False) / "config.toml"


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name != "posix":
        return folder
    for info in (folder.lstat(), folder.stat()):
        # A link may stand here, but only one that we made and that leads to what is ours.
        if info.st_uid != os.getuid():
            raise PermissionError(13, "belongs to somebody else", str(folder))
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(20, "is not a folder", str(folder))
    if stat.S_IMODE(info.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def classify_filesystem(path: Path, mountinfo: str | None = None) -> Literal["local", "network"]:
    """Whether `path` is on a network file system, by the longest mount point above it (statfs lies on 9p).

    `mountinfo` is the text of /proc/self/mountinfo, for tests; systems without it count as local.
    """
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "local"
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    remote = kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
    return "network" if remote else "local"
