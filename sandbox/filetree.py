"""The workspace files of the sandbox: folders, files, notebooks and dashboards, with the rules of the real one.
Keeps everything in memory; it never touches the disk and never speaks HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .http import ApiError

NOTEBOOK_MARKS: dict[str, tuple[str, bytes]] = {
    ".py": ("PYTHON", b"# Databricks notebook source"),
    ".sql": ("SQL", b"-- Databricks notebook source"),
    ".scala": ("SCALA", b"// Databricks notebook source"),
    ".r": ("R", b"# Databricks notebook source"),
}
MAX_FILE_BYTES = 100 * 1024 * 1024
"""A file of the workspace is at most this large, in bytes; the real limit is 500 MB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the workspace. `path` is canonical (no `/Workspace`); times are sandbox milliseconds."""

    path: str
    object_type: str  # DIRECTORY, FILE, NOTEBOOK, DASHBOARD, REPO
    object_id: int
    created_ms: int
    modified_ms: int
    content: bytes = b""
    language: str = ""
    format: str = "SOURCE"
    resource_id: str = ""


def canonical(path: str) -> str:
    """`/Workspace/Users/you/x/` and `/Users/you/x` name the same object; returns the second form."""
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Path ({path}) must not contain '..'")
    if parts and parts[0] == "Workspace":
        parts = parts[1:]
    return "/" + "/".join(parts)


def parent_of(path: str) -> str:
    """The folder of a canonical path; `/` for the first level."""
    return path.rsplit("/", 1)[0] or "/"


def missing(path: str) -> ApiError:
    """The 404 that the workspace API answers for a path that is not there."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")


class FileTree:
    """All workspace objects by path. Every method takes paths with or without `/Workspace`."""

    before_change: Callable[[], None] | None = None
    """Called before anything changes, so that what runs is brought up to now with the files as they still are."""

    def __init__(self, now_ms: Callable[[], int], next_id: Callable[[], int]) -> None:
        self._now = now_ms
        self._next_id = next_id
        self._entries: dict[str, Entry] = {}
        self._trashed: dict[str, Entry] = {}
        self.revision = 0
        """Grows by one with every change, so that a reader can tell whether to look again."""
        for path in ("/", "/Users", "/Shared", "/Repos"):
            self._put(path, "DIRECTORY")

    def _put(
        self,
        path: str,
        object_type: str,
        content: bytes = b"",
        *,
        language: str = "",
        source_format: str = "SOURCE",
        resource_id: str = "",
    ) -> Entry:
        if self.before_change is not None:
            self.before_change()
        now = self._now()
        old = self._entries.get(path)
        entry = Entry(
            path,
            object_type,
            old.object_id if old else self._next_id(),
            old.created_ms if old else now,
            now,
            content,
            language,
            source_format,
            resource_id,
        )
        self._entries[path] = entry
        self.revision += 1
        return entry

    def exists(self, path: str) -> bool:
        """Whether anything (file, notebook, folder) stands at `path`."""
        return canonical(path) in self._entries

    def get(self, path: str) -> Entry:
        """The entry at `path`; ApiError 404 where there is none."""
        entry = self._entries.get(canonical(path))
        if entry is None:
            raise missing(path)
        return entry

    def find(self, path: str) -> Entry | None:
        """The entry at `path`, or None."""
        return self._entries.get(canonical(path))

    def by_id(self, object_id: int) -> Entry | None:
        """The entry with that numeric id, or None."""
        return next((entry for entry in self._entries.values() if entry.object_id == object_id), None)

    def read(self, path: str) -> bytes:
        """The bytes at `path`. A notebook is found with or without its extension. ApiError 404 where there is none."""
        entry = self.find_source(path)
        if entry is None:
            raise missing(path)
        return entry.content

    def find_source(self, path: str) -> Entry | None:
        """The file or notebook that a task or pipeline library names; `x.py` also finds the notebook `x`."""
        path = canonical(path)
        entry = self._entries.get(path)
        if entry is None:
            stem, dot, _ = path.rpartition(".")
            if dot and "/" not in _:
                entry = self._entries.get(stem)
                if entry is not None and entry.object_type != "NOTEBOOK":
                    entry = None
        return entry if entry is not None and entry.object_type in ("FILE", "NOTEBOOK") else None

    def children(self, path: str, *, recursive: bool = False) -> list[Entry]:
        """What stands in the folder `path`, sorted by path; with `recursive`, at any depth. ApiError 404."""
        entry = self.get(path)
        if entry.object_type not in ("DIRECTORY", "REPO"):
            return [entry]
        return sorted(self._below(entry.path, recursive), key=lambda item: item.path)

    def _below(self, folder: str, recursive: bool) -> Iterator[Entry]:
        prefix = folder.rstrip("/") + "/"
        for path, entry in self._entries.items():
            if path.startswith(prefix) and path != "/" and (recursive or "/" not in path[len(prefix) :]):
                yield entry

    def mkdirs(self, path: str) -> Entry:
        """Makes the folder and its parents; fine where it is there. ApiError 400 where a file is in the way."""
        target = canonical(path)
        walked = ""
        for part in target.strip("/").split("/"):
            walked = f"{walked}/{part}"
            entry = self._entries.get(walked)
            if entry is None:
                self._put(walked, "DIRECTORY")
            elif entry.object_type not in ("DIRECTORY", "REPO"):
                raise ApiError(
                    400, "RESOURCE_ALREADY_EXISTS", f"Cannot create directory {path}: {walked} is not a directory"
                )
        return self._entries[target]

    def write(
        self,
        path: str,
        content: bytes,
        *,
        overwrite: bool,
        object_type: str = "",
        language: str = "",
        source_format: str = "SOURCE",
        resource_id: str = "",
    ) -> Entry:
        """Stores `content`. Source that is a notebook loses its extension and is stored as NOTEBOOK.

        ApiError 404 where the folder is missing, 409 where something is there and `overwrite` is false,
        400 where a folder stands there or the content is too large.
        """
        if len(content) > MAX_FILE_BYTES:
            raise ApiError(
                400,
                "MAX_NOTEBOOK_SIZE_EXCEEDED",
                f"File size imported is ({len(content)} bytes), exceeded max size ({MAX_FILE_BYTES} bytes)",
            )
        target = canonical(path)
        if not object_type:
            target, object_type, language, source_format = sniff(target, content)
        folder = self._entries.get(parent_of(target))
        if folder is None:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder ({parent_of(target)}) does not exist.")
        if folder.object_type not in ("DIRECTORY", "REPO"):
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"{folder.path} is not a directory")
        old = self._entries.get(target)
        if old is not None:
            if old.object_type in ("DIRECTORY", "REPO"):
                raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"Cannot overwrite the directory {path}")
            if not overwrite:
                raise ApiError(
                    409,
                    "ALREADY_EXISTS",
                    f"Node with name {path} already exists. Please pass overwrite as true to update it.",
                )
            if {old.object_type, object_type} == {"FILE", "NOTEBOOK"}:
                raise ApiError(
                    400,
                    "INVALID_PARAMETER_VALUE",
                    f"Requested node type [{object_type}] is different from the existing node type [{old.object_type}]",
                )
        return self._put(
            target, object_type, content, language=language, source_format=source_format, resource_id=resource_id
        )

    def delete(self, path: str, *, recursive: bool) -> list[Entry]:
        """Removes it and returns what went. ApiError 404; 400 DIRECTORY_NOT_EMPTY without `recursive`."""
        entry = self.get(path)
        if entry.path in ("/", "/Users", "/Shared", "/Repos"):
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Folder {path} is protected")
        below = list(self._below(entry.path, True))
        if below and not recursive:
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({path}) is not empty")
        if self.before_change is not None:
            self.before_change()
        for gone in [entry, *below]:
            del self._entries[gone.path]
        self.revision += 1
        return [entry, *below]

    def move(self, source: str, target: str) -> Entry:
        """Renames one file (a dashboard that was renamed). ApiError 404/409."""
        entry = self.get(source)
        goal = canonical(target)
        if goal != entry.path and goal in self._entries:
            raise ApiError(409, "ALREADY_EXISTS", f"Node with name {target} already exists.")
        del self._entries[entry.path]
        self._entries[goal] = replace(entry, path=goal, modified_ms=self._now())
        self.revision += 1
        return self._entries[goal]


def sniff(path: str, content: bytes) -> tuple[str, str, str, str]:
    """How a raw upload is stored: (path, object_type, language, format). A notebook loses its extension."""
    stem, dot, suffix = path.rpartition(".")
    extension = f".{suffix.lower()}" if dot and "/" not in suffix else ""
    if extension == ".ipynb":
        return stem, "NOTEBOOK", "PYTHON", "JUPYTER"
    if extension in NOTEBOOK_MARKS:
        language, mark = NOTEBOOK_MARKS[extension]
        if content.removeprefix(b"\xef\xbb\xbf").startswith(mark):
            return stem, "NOTEBOOK", language, "SOURCE"
    return path, "FILE", "", "SOURCE"
