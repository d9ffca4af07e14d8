"""The bundle as its YAML says it: resources, targets, includes, each with file and line; then as the CLI resolves it.

Never runs a process and never needs the network; broken YAML is a `BundleProblem`, not an exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Layer = Literal["atomic", "composite", "orchestrator", ""]
ModifiedStatus = Literal["", "created", "deleted"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is declared: `file` relative to the bundle root with `/`; line and column count from 1."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class BundleProblem:
    """What is wrong with the YAML: severity, one sentence, where (None: nowhere in particular), what may help."""

    severity: Literal["error", "warning"]
    summary: str
    place: Place | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One declared resource. `type` is the plural of the YAML (jobs, pipelines, ...), `ref` is `jobs.my_job`.

    `id`, `url` and `modified_status` are known after `bundle summary`; `config` is raw YAML data, or resolved
    once `bundle validate` answered. `depends_on` are refs of other resources it mentions.
    """

    type: str
    key: str
    name: str
    place: Place
    layer: Layer = ""
    config: dict[str, Any] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    id: str = ""
    url: str = ""
    modified_status: ModifiedStatus = "created"
    task_places: dict[str, Place] = field(default_factory=dict)  # task_key -> where the task stands

    @property
    def ref(self) -> str:
        return f"{self.type}.{self.key}"


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of `targets:`; `mode` is development, production or empty; host and profile as the YAML says."""

    name: str
    default: bool = False
    mode: str = ""
    host: str = ""
    profile: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle for one target. `files` are the YAML files read, relative to root; `resolved` tells CLI truth."""

    root: Path
    name: str
    target: str
    targets: tuple[Target, ...] = ()
    resources: tuple[Resource, ...] = ()
    problems: tuple[BundleProblem, ...] = ()
    files: tuple[str, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    sync_include: tuple[str, ...] = ()
    sync_exclude: tuple[str, ...] = ()
    sync_paths: tuple[str, ...] = ()
    workspace_host: str = ""
    workspace_profile: str = ""
    file_path: str = ""  # workspace.file_path once resolved: maps workspace paths to local files
    user: str = ""
    resolved: bool = False
    include: tuple[str, ...] = ()  # the patterns of `include:` as written, for the watcher
    broken: bool = False  # a file cannot be read: what is here is the last good tree, or not the whole of it

    def resource(self, key: str) -> Resource | None:
        """The resource named `type.key`, or by bare key (jobs and pipelines first); None where there is none."""
        for res in self.resources:
            if res.ref == key:
                return res
        matches = [res for res in self.resources if res.key == key]
        matches.sort(key=lambda res: res.type not in ("jobs", "pipelines"))
        return matches[0] if matches else None

    @property
    def errors(self) -> tuple[BundleProblem, ...]:
        return tuple(p for p in self.problems if p.severity == "error")
