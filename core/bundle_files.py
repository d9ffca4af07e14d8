"""The YAML files of a bundle: the root file and what it includes, each parsed once, each complaint with its place.

Never follows an `include` of an included file, as the CLI does not, and reads no more files than a bundle can have.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from .bundle import BundleProblem, Place
from .text import clean
from .yaml_marks import Marked, Path_, YamlProblem, read

ROOT_NAMES = ("databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml")
SUFFIXES = (".yml", ".yaml", ".json")
MAX_FILES = 2000


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its name relative to the bundle root with `/`, its mapping, and where things stand in it."""

    file: str
    data: dict[str, Any]
    marked: Marked

    @property
    def text(self) -> str:
        return self.marked.text

    def place(self, path: Path_) -> Place | None:
        """Where the key or item at `path` stands."""
        mark = self.marked.mark(path)
        return Place(self.file, *mark) if mark else None


@dataclass(slots=True)
class ReadFiles:
    """What was found; `broken` tells that a file could not be read, so that what is here is not the whole bundle."""

    documents: tuple[Document, ...] = ()
    files: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    problems: tuple[BundleProblem, ...] = ()
    broken: bool = False


def read_documents(root: Path) -> ReadFiles:
    """The files of the bundle at `root`, root file first, then includes in the CLI's order. Raises nothing."""
    reader = _Reader(root)
    reader.read_all()
    return ReadFiles(
        tuple(reader.documents), tuple(reader.files), tuple(reader.include), tuple(reader.problems), reader.broken
    )


@dataclass(slots=True)
class _Reader:
    root: Path
    documents: list[Document] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    problems: list[BundleProblem] = field(default_factory=list)
    broken: bool = False

    def read_all(self) -> None:
        found = [name for name in ROOT_NAMES if (self.root / name).is_file()]
        if not found:
            self._tell("error", f"there is no databricks.yml in {self.root}")
            self.broken = True
            return
        if len(found) > 1:
            text = f"multiple bundle root configuration files found: {' and '.join(found)}"
            self._tell("error", text, Place(found[1], 1), "rename or remove all but one")
        # The CLI takes the folder's own name for a pattern (loader/process_root_includes.go).
        odd = re.search(r"[*?\[\]^]", str(self.root))
        if odd:
            text = "Bundle root path contains glob pattern characters"
            self._tell("error", text, None, f"{self.root} contains {odd.group()}: rename the folder")
        main = self._read(found[0])
        if main is None:
            return
        if not main.data:
            self._tell("error", "the file is empty", Place(found[0], 1))
            self.broken = True
        entries = main.data.get("include")
        if entries is not None and not isinstance(entries, list):
            self._tell("warning", "include has to be a list of paths", main.place(("include",)))
        seen = set(ROOT_NAMES)
        for index, pattern in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(pattern, str):
                self.include.append(pattern)
                self._read_matching(pattern, main.place(("include", index)), seen)

    def _read_matching(self, pattern: str, place: Place | None, seen: set[str]) -> None:
        for file in self._matching(pattern, place):
            if file in seen:
                continue
            seen.add(file)
            if len(self.files) >= MAX_FILES:
                self._tell("error", f"more than {MAX_FILES:,} files are included; the rest is not shown", place)
                return
            document = self._read(file)
            if document is not None and "include" in document.data:
                text = "Include section is defined outside root file"
                self._tell("warning", text, document.place(("include",)), "only includes in databricks.yml count")

    def _matching(self, pattern: str, place: Place | None) -> Iterator[str]:
        if PurePath(pattern).is_absolute():
            self._tell("error", f"{pattern}: includes must be relative paths", place)
            return
        try:
            # As Go's filepath.Glob: `**` is one level, `*` matches hidden files, `[^a]` is any but a.
            matches = sorted(glob.glob(pattern.replace("[^", "[!"), root_dir=self.root, include_hidden=True))
        except (OSError, re.error, ValueError) as error:
            self._tell("error", f"include {pattern!r}: {error}", place)
            return
        if not matches and not re.search(r"[*?\[]", pattern):
            self._tell("error", f"{pattern} defined in 'include' section does not match any files", place)
        for match in matches:
            file = os.path.normpath(match).replace(os.sep, "/")
            if not file.endswith(SUFFIXES):
                text = "Files in the 'include' configuration section must be YAML or JSON files."
                self._tell("error", text, place, f"{file} is neither; files to upload belong into sync.include")
                continue
            if (self.root / file).is_file():
                yield file

    def _read(self, file: str) -> Document | None:
        self.files.append(file)
        try:
            marked = read(self.root / file)
        except YamlProblem as problem:
            at = Place(file, *problem.mark) if problem.mark else Place(file, 1)
            self._tell("error", problem.summary, at, problem.detail)
            self.broken = True
            return None
        for note in marked.notes:
            self._tell(note.severity, note.summary, Place(file, *note.mark))
        data = {} if marked.data is None else marked.data
        if not isinstance(data, dict):
            self._tell("error", "a bundle file is a mapping of settings, this one is not", Place(file, 1))
            self.broken = True
            return None
        document = Document(file, data, marked)
        self.documents.append(document)
        return document

    def _tell(
        self, severity: Literal["error", "warning"], summary: str, place: Place | None = None, detail: str = ""
    ) -> None:
        self.problems.append(BundleProblem(severity, clean(summary), place, clean(detail)))
