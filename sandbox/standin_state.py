"""What a deployment left behind: the state file (local and remote), the files uploaded, the deploy lock.
The layout is the real CLI's; nothing here creates a resource."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .standin_bundle import Bundle, is_notebook
from .standin_client import ApiFailure, Client, CliError

VERSION = "1.13.0"
SKIPPED = (".databricks", ".git")


@dataclass(slots=True)
class State:
    """The resources that a deployment made: `resources.jobs.a` -> {"__id__", "state"}."""

    lineage: str = ""
    serial: int = 0
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "state_version": 2,
            "cli_version": VERSION,
            "lineage": self.lineage or str(uuid.uuid4()),
            "serial": self.serial,
            "state": self.resources,
        }

    def id_of(self, path: str) -> str:
        """The id of a resource, or ""."""
        return str((self.resources.get(path) or {}).get("__id__") or "")


def _parse(data: bytes | None) -> State | None:
    if not data:
        return None
    try:
        found = json.loads(data)
        return State(str(found["lineage"]), int(found["serial"]), dict(found["state"]))
    except (ValueError, KeyError, TypeError):
        return None


class Deployment:
    """State and files of one bundle and target, local below `.databricks` and remote below the root path."""

    def __init__(self, bundle: Bundle, client: Client) -> None:
        self.bundle = bundle
        self.client = client
        self.folder = bundle.root / ".databricks" / "bundle" / bundle.target
        self.files_path = str(bundle.workspace["file_path"])
        self.state_path = str(bundle.workspace["state_path"])

    # --- state ------------------------------------------------------------------------------------------------

    def local(self) -> State | None:
        """The local state, or None."""
        file = self.folder / "resources.json"
        return _parse(file.read_bytes()) if file.is_file() else None

    def remote(self) -> State | None:
        """The remote state, or None."""
        return _parse(self.client.download(f"{self.state_path}/resources.json"))

    def current(self) -> State:
        """The newer of both; empty where nothing was deployed."""
        remote, local = self.remote(), self.local()
        if remote is None:
            # The workspace is the truth: a local state without a remote one is of another life.
            return State()
        return local if local is not None and local.serial > remote.serial else remote

    def write(self, state: State, *, whole: bool = True) -> None:
        """Stores the state on both sides, and beside the remote one the metadata, where all of it was deployed."""
        state.serial += 1
        data = state.as_json()
        state.lineage = data["lineage"]
        text = json.dumps(data, indent=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.bundle.root / ".databricks" / ".gitignore").write_text("*\n", encoding="utf-8")
        (self.folder / "resources.json").write_text(text, encoding="utf-8")
        self.client.upload(f"{self.state_path}/resources.json", text.encode())
        if whole:
            self.client.upload(f"{self.state_path}/metadata.json", json.dumps(self._metadata(state)).encode())

    def _metadata(self, state: State) -> dict[str, Any]:
        resources: dict[str, dict[str, Any]] = {}
        for kind, key, _ in self.bundle.resources():
            path = f"resources.{kind}.{key}"
            if kind in ("jobs", "pipelines", "dashboards") and state.id_of(path):
                file = self.bundle.tree.bases.get(path, "")
                resources.setdefault(kind, {})[key] = {"id": state.id_of(path), "relative_path": file}
        settings = self.bundle.config["bundle"]
        about = {name: settings[name] for name in ("name", "target", "mode", "git") if name in settings}
        workspace = {"file_path": self.files_path}
        return {
            "version": 1,
            "config": {"bundle": about, "workspace": workspace, "resources": resources},
            "extra": {},
        }

    def forget(self) -> None:
        """Removes the local state after everything is destroyed."""
        for file in self.folder.glob("*.json"):
            file.unlink()

    # --- lock -------------------------------------------------------------------------------------------------

    def lock(self, *, force: bool) -> str:
        """Takes the deploy lock; returns its id, "" where this target has none. CliError where another one holds it."""
        settings = (self.bundle.config["bundle"].get("deployment") or {}).get("lock") or {}
        if settings.get("enabled") is False:
            return ""
        lock_id = str(uuid.uuid4())
        lock = {
            "ID": lock_id,
            "AcquisitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "IsForced": force,
            "User": str(self.bundle.workspace["current_user"].get("userName")),
        }
        path = f"{self.state_path}/deploy.lock"
        try:
            self.client.upload(path, json.dumps(lock).encode(), overwrite=force)
        except ApiFailure as problem:
            if problem.status != 409:
                raise
            held = json.loads(self.client.download(path) or b"{}")
            when = str(held.get("AcquisitionTime", "")).replace("T", " ").removesuffix("Z")
            word = "force-acquired" if held.get("IsForced") else "acquired"
            text = (
                f"Failed to acquire deployment lock: deploy lock {word} by {held.get('User')} at {when} +0000 UTC.\n"
                "Another deployment may be in progress. Use --force-lock to override, but this may\n"
                "conflict with the other deployment if it is still active"
            )
            print(f"Error: {text}", file=sys.stderr)
            raise CliError(text) from problem
        return lock_id

    def unlock(self, lock_id: str) -> None:
        """Lets go of the lock; fine where it is gone."""
        if not lock_id:
            return
        try:
            self.client.call("POST", "/api/2.0/workspace/delete", {"path": f"{self.state_path}/deploy.lock"})
        except ApiFailure as problem:
            if problem.status != 404:
                raise

    # --- files ------------------------------------------------------------------------------------------------

    def files(self) -> list[str]:
        """What belongs to the deployment, relative to the root: all but what git ignores and what sync excludes."""
        sync = self.bundle.config.get("sync") or {}
        ignored = _patterns(self.bundle.root / ".gitignore")
        excluded = [str(item) for item in sync.get("exclude") or []]
        included = [str(item) for item in sync.get("include") or []]
        found = []
        for relative in _walk(self.bundle.root):
            wanted = not _matches(relative, ignored)
            if any(_glob(relative, pattern) for pattern in included):
                wanted = True
            if wanted and not any(_glob(relative, pattern) for pattern in excluded):
                found.append(relative)
        return sorted(found)

    def sync(self) -> tuple[int, int]:
        """Uploads what changed and deletes what is gone; returns both counts."""
        snapshot = self.folder / "sync-snapshots" / "standin.json"
        before: dict[str, str] = {}
        if snapshot.is_file() and self.client.exists(self.files_path):
            held = json.loads(snapshot.read_text(encoding="utf-8"))
            before = held["files"] if held.get("host") == self.client.host else {}
        self.client.call("POST", "/api/2.0/workspace/mkdirs", {"path": self.files_path})
        now: dict[str, str] = {}
        uploaded = 0
        for relative in self.files():
            path = self.bundle.root / relative
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest() + ("n" if is_notebook(path) else "f")
            now[relative] = digest
            if before.get(relative) != digest:
                if relative in before and before[relative][-1] != digest[-1]:
                    self._remove(relative, notebook=before[relative].endswith("n"))
                self.client.upload(f"{self.files_path}/{relative}", content)
                uploaded += 1
        gone = [relative for relative in before if relative not in now]
        for relative in gone:
            self._remove(relative, notebook=before[relative].endswith("n"))
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        snapshot.write_text(json.dumps({"host": self.client.host, "files": now}), encoding="utf-8")
        return uploaded, len(gone)

    def _remove(self, relative: str, *, notebook: bool) -> None:
        path = f"{self.files_path}/{relative}"
        path = path.rsplit(".", 1)[0] if notebook else path
        try:
            self.client.call("POST", "/api/2.0/workspace/delete", {"path": path})
        except ApiFailure as problem:
            if problem.status != 404:
                raise


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield path.relative_to(root).as_posix()


def _patterns(file: Path) -> list[str]:
    if not file.is_file():
        return []
    lines = (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _matches(relative: str, patterns: list[str]) -> bool:
    """A small reading of .gitignore: names, folders, globs, anchors and negation; the last one that fits decides."""
    ignored = False
    parts = relative.split("/")
    for pattern in patterns:
        wanted = not pattern.startswith("!")
        text = pattern.lstrip("!").rstrip("/")
        anchored = "/" in text
        text = text.lstrip("/")
        if anchored:
            prefixes = ("/".join(parts[: i + 1]) for i in range(len(parts)))
            hit = any(_glob(prefix, text) for prefix in prefixes)
        else:
            candidates = parts[:-1] if pattern.endswith("/") else parts
            hit = any(fnmatch.fnmatchcase(part, text) for part in candidates)
        if hit:
            ignored = wanted
    return ignored


def _glob(relative: str, pattern: str) -> bool:
    pattern = pattern.removeprefix("./").lstrip("/")
    return fnmatch.fnmatchcase(relative, pattern) or fnmatch.fnmatchcase(relative, pattern.replace("**/", ""))
