"""Which files a deploy takes: sync paths, includes and excludes, every .gitignore, and the bundle's own YAML.

Decides by path alone, as the CLI does (libs/sync, libs/git); it never looks into a file that it is asked about.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .bundle import Bundle
from .bundle_files import ROOT_NAMES, SUFFIXES

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

NEVER = frozenset({".databricks", ".git"})
# Made by tools, not by hands. Where no .gitignore names them the CLI uploads them, but nobody deploys for their sake.
# `.dbops` holds the rows that were learned here.
GENERATED = frozenset(
    {
        *("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
        *(".venv", "node_modules", ".idea", ".DS_Store", ".dbops"),
    }
)
# What editors write beside a file while they save it: vim, emacs, JetBrains, GNOME, kate, our own atomic writes.
_EDITOR = re.compile(
    r"(?:4913|.*\.sw[a-z]|.*~|#.*#|\.#.*|\.goutputstream-.*|.*___jb_(?:tmp|old|bak)___|.*\.kate-swp|\..*\.tmp"
    r"|.*\.crswap|\.~lock\..*#|\.nfs[0-9a-f]{8,})"
)
_BYTECODE = (".pyc", ".pyo")
_MAX_IGNORE_BYTES = 1_000_000


class SyncRules:
    """The rules of one bundle. Paths asked about are absolute; names given back are relative to the bundle's root."""

    def __init__(
        self,
        root: Path,
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        paths: Iterable[str] = (),
        config: Iterable[str] = (),
        config_patterns: Iterable[str] = (),
    ) -> None:
        """`paths` empty is the whole root; `config` are YAML files read, `config_patterns` where new ones may come."""
        self.root = Path(os.path.abspath(root))
        self._paths = tuple(self._below(path) for path in (tuple(paths) or (".",)))
        self.sync_root = Path(os.path.commonpath([self.root, *(p for p in self._paths if _inside_home(p, self.root))]))
        self._include = self._patterns(include)
        self._exclude = self._patterns(exclude)
        self._config = {str(self._below(name)) for name in config}
        self._config_patterns = tuple(_glob_to_regex(str(self._below(entry))) for entry in config_patterns)
        self._top = _worktree(self.sync_root)
        self._ignores: dict[str, tuple[GitIgnoreSpec, ...]] = {}

    @classmethod
    def of(cls, bundle: Bundle) -> SyncRules:
        """The rules of `bundle`, as its YAML gives them."""
        return cls(
            bundle.root,
            include=bundle.sync_include,
            exclude=bundle.sync_exclude,
            paths=bundle.sync_paths,
            config=bundle.files,
            config_patterns=bundle.include,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SyncRules) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key()[:3])

    def _key(self) -> tuple[object, ...]:
        lists = (self._include_text, self._exclude_text)
        return (self.root, self._paths, lists, frozenset(self._config), self._config_patterns)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders to watch: the bundle's root, and what it takes from outside of it, as far as they exist."""
        found: list[Path] = [self.root]
        outside = [*self._paths, *(Path(name).parent for name in sorted(self._config))]
        for path in sorted(outside, key=lambda each: len(each.parts)):
            folder = path if path.is_dir() else path.parent
            if folder.is_dir() and not any(folder.is_relative_to(held) for held in found):
                found.append(folder)
        return tuple(found)

    def name(self, path: Path | str) -> str:
        """`path` relative to the bundle's root, with `/`."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def counts(self, path: Path | str) -> bool:
        """Whether a change of the file at `path` changes what a deploy does."""
        text = str(path)
        relative = _relative(text, str(self.sync_root))
        parts = (relative if relative is not None else text).split("/")
        if not NEVER.isdisjoint(parts) or _EDITOR.fullmatch(parts[-1]):
            return False
        if text in self._config or (os.path.dirname(text) == str(self.root) and parts[-1] in ROOT_NAMES):
            return True
        if parts[-1].endswith(SUFFIXES) and any(pattern.fullmatch(text) for pattern in self._config_patterns):
            return True
        if relative is None or (self._exclude and self._exclude.match_file(relative)):
            return False
        if self._include and self._include.match_file(relative):
            return True
        if not GENERATED.isdisjoint(parts) or parts[-1].endswith(_BYTECODE):
            return False
        return self._synced(text) and not self._ignored(text, folder=False)

    def enters(self, folder: Path | str) -> bool:
        """Whether files that count may lie below `folder`."""
        text = str(folder)
        relative = _relative(text, str(self.sync_root))
        parts = (relative if relative is not None else os.path.basename(text)).split("/")
        if not NEVER.isdisjoint(parts):
            return False
        if self._include or relative is None or text == str(self.sync_root):
            return True
        if not GENERATED.isdisjoint(parts):
            return False
        return not self._ignored(text, folder=True)

    def files(self, below: Path | None = None, most: int = 200_000) -> Iterator[Path]:
        """The files that count, below the watched folders or one of them, at most `most`; no links to folders."""
        stack = [str(below)] if below is not None else [str(root) for root in self.roots]
        while stack:
            try:
                with os.scandir(stack.pop()) as entries:
                    listed = list(entries)
            except OSError:
                continue
            for entry in listed:
                if entry.is_dir(follow_symlinks=False):
                    if self.enters(entry.path):
                        stack.append(entry.path)
                elif self.counts(entry.path):
                    most -= 1
                    if most < 0:
                        return
                    yield Path(entry.path)

    def forget_ignores(self) -> None:
        """Read every .gitignore again when it is next needed."""
        self._ignores.clear()

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _below(self, name: str) -> Path:
        return Path(os.path.normpath(os.path.join(self.root, name)))

    def _patterns(self, entries: Iterable[str]) -> GitIgnoreSpec | None:
        """Patterns in .gitignore's language, anchored at the sync root where that lies above the bundle's root."""
        prefix = os.path.relpath(self.root, self.sync_root).replace(os.sep, "/")
        lines = []
        for entry in entries:
            folder = entry.endswith("/") and entry != "/"
            joined = os.path.normpath(os.path.join(prefix, entry)).replace(os.sep, "/")
            lines.append(f"{joined}/**" if folder else joined)
        return _spec(lines)

    @property
    def _include_text(self) -> tuple[str, ...]:
        return _texts(self._include)

    @property
    def _exclude_text(self) -> tuple[str, ...]:
        return _texts(self._exclude)

    def _synced(self, path: str) -> bool:
        return any(
            path == str(held) or path.startswith(f"{held}{os.sep}") or str(held) == os.sep for held in self._paths
        )

    def _ignored(self, path: str, *, folder: bool) -> bool:
        """By any .gitignore from the worktree's top down. As in the CLI, a deeper `!` does not undo a higher rule."""
        relative = _relative(path, str(self._top))
        if relative is None:
            return False
        parts = relative.split("/")
        at = str(self._top)
        for index, part in enumerate(parts):
            rest = "/".join(parts[index:]) + ("/" if folder else "")
            if any(spec.match_file(rest) for spec in self._ignores_in(at)):
                return True
            at = os.path.join(at, part)
        return False

    def _ignores_in(self, folder: str) -> tuple[GitIgnoreSpec, ...]:
        held = self._ignores.get(folder)
        if held is None:
            files = [os.path.join(folder, ".gitignore")]
            if folder == str(self._top):
                files += [os.path.join(folder, ".git", "info", "exclude"), *_global_excludes()]
            specs = (_spec(_lines(file)) for file in files)
            held = self._ignores[folder] = tuple(spec for spec in specs if spec is not None)
        return held


def _spec(lines: list[str]) -> GitIgnoreSpec | None:
    if not any(line.strip() and not line.startswith("#") for line in lines):
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        good = []
        for line in lines:
            try:
                GitIgnoreSpec.from_lines([line])
            except ValueError:
                continue
            good.append(line)
        return GitIgnoreSpec.from_lines(good)


def _texts(spec: GitIgnoreSpec | None) -> tuple[str, ...]:
    return tuple(str(getattr(pattern, "pattern", pattern)) for pattern in spec.patterns) if spec else ()


def _lines(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            return stream.read(_MAX_IGNORE_BYTES).splitlines()
    except OSError:
        return []


def _global_excludes() -> list[str]:
    """The user's own ignore file: core.excludesFile of ~/.gitconfig, else the place git has for it."""
    home = os.path.expanduser("~")
    config = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git")
    for file in (os.path.join(home, ".gitconfig"), os.path.join(config, "config")):
        match = re.search(r"^\s*excludesfile\s*=\s*\"?([^\"\n]{1,1000}?)\"?\s*$", "\n".join(_lines(file)), re.I | re.M)
        if match:
            return [os.path.expanduser(match[1])]
    return [os.path.join(config, "ignore")]


def _worktree(folder: Path) -> Path:
    """The nearest folder at or above with a `.git`; the folder itself where there is none."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def _relative(path: str, root: str) -> str | None:
    prefix = root if root.endswith(os.sep) else root + os.sep
    return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else None


def _inside_home(path: Path, root: Path) -> bool:
    """Whether a sync path leaves something of the file system above it: `/` as a sync root would watch everything."""
    return len(Path(os.path.commonpath([path, root])).parts) > 1


def _glob_to_regex(pattern: str) -> re.Pattern[str]:
    """A path with Go's wildcards as a regular expression: none of them crosses a `/`."""
    out = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        close = pattern.find("]", index + 2) if char == "[" else -1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif close > 0:
            body = pattern[index + 1 : close].replace("\\", "\\\\")
            out.append(f"[{body}]")
            index = close
        else:
            out.append(re.escape(char))
        index += 1
    try:
        return re.compile("".join(out))
    except re.error:
        return re.compile(re.escape(pattern))
