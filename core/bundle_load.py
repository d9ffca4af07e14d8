"""Reads a bundle from its YAML alone, in milliseconds: first paint, and what is left where the CLI does not answer.

Never raises on what a file holds: whatever is wrong becomes a problem with its place, and the rest is still read.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .bundle import Bundle, BundleProblem, Place, Resource, Target
from .layers import layers_of, references
from .yaml_marks import Marked, Path_, YamlProblem, read

ROOT_NAMES = ("databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml")
MAX_FILES = 2000
_REFERENCE = re.compile(r"\$\{([\w.\-\[\]]{1,200})\}")

# Every type that `resources:` may hold (bundle/config/resources.go of the CLI, August 2026), in the order shown.
RESOURCE_TYPES = (
    "jobs",
    "pipelines",
    "dashboards",
    "alerts",
    "apps",
    "model_serving_endpoints",
    "schemas",
    "volumes",
    "catalogs",
    "registered_models",
    "models",
    "experiments",
    "quality_monitors",
    "genie_spaces",
    "sql_warehouses",
    "clusters",
    "instance_pools",
    "job_runs",
    "external_locations",
    "secret_scopes",
    "secrets",
    "database_instances",
    "database_catalogs",
    "synced_database_tables",
    "postgres_projects",
    "postgres_branches",
    "postgres_endpoints",
    "postgres_catalogs",
    "postgres_databases",
    "postgres_roles",
    "postgres_synced_tables",
    "vector_search_endpoints",
    "vector_search_indexes",
)

_KEYED = {
    "tasks": "task_key",
    "job_clusters": "job_cluster_key",
    "environments": "environment_key",
    "parameters": "name",
    "clusters": "label",
}


class BundleNotFound(Exception):
    """No bundle at or above a path, or two root files in one folder. The message says which and what to do."""


def find_root(path: Path) -> Path:
    """The folder of the nearest `databricks.yml` at or above `path`. Raises BundleNotFound."""
    start = path.resolve()
    if start.is_file():
        start = start.parent
    for folder in (start, *start.parents):
        found = [name for name in ROOT_NAMES if (folder / name).is_file()]
        if len(found) > 1:
            raise BundleNotFound(f"{folder} holds {' and '.join(found)}: a bundle has one root file, remove one")
        if found:
            return folder
    raise BundleNotFound(f"there is no databricks.yml in {start} or in a folder above it")


def load_bundle(root: Path, target: str = "", env: Mapping[str, str] = os.environ) -> Bundle:
    """The bundle at `root` for `target` (empty: DATABRICKS_BUNDLE_TARGET, the default target, or the only one)."""
    loader = _Load(root)
    loader.read_all()
    return loader.bundle(target or env.get("DATABRICKS_BUNDLE_TARGET", ""), env)


@dataclass(slots=True)
class _Load:
    root: Path
    problems: list[BundleProblem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    documents: list[tuple[str, Marked]] = field(default_factory=list)

    def read_all(self) -> None:
        found = [name for name in ROOT_NAMES if (self.root / name).is_file()]
        if not found:
            self.problems.append(BundleProblem("error", f"there is no databricks.yml in {self.root}"))
            return
        main = self._read(found[0])
        if main is None:
            return
        include = main.data.get("include")
        patterns = [p for p in include if isinstance(p, str)] if isinstance(include, list) else []
        seen = {found[0]}
        for index, pattern in enumerate(patterns):
            place = _place(found[0], main, ("include", index))
            for file in self._matching(pattern, place):
                if file not in seen and len(self.files) < MAX_FILES:
                    seen.add(file)
                    self._read(file, place)

    def _matching(self, pattern: str, place: Place | None) -> Iterator[str]:
        try:
            matches = sorted(glob.glob(pattern, root_dir=self.root, recursive=True))
        except (OSError, re.error, ValueError) as error:
            self.problems.append(BundleProblem("error", f"include {pattern!r}: {error}", place))
            return
        if not matches and not glob.has_magic(pattern):
            self.problems.append(
                BundleProblem("error", f"{pattern} defined in 'include' section does not match any files", place)
            )
        for match in matches:
            file = Path(match).as_posix()
            if not (self.root / file).is_file():
                continue
            if Path(file).suffix not in (".yml", ".yaml", ".json"):
                text = "Files in the 'include' configuration section must be YAML or JSON files."
                self.problems.append(BundleProblem("error", text, place, f"{file} is neither"))
                continue
            yield file

    def _read(self, file: str, place: Place | None = None) -> Marked | None:
        self.files.append(file)
        try:
            document = read(self.root / file)
        except YamlProblem as problem:
            at = Place(file, *problem.mark) if problem.mark else Place(file, 1)
            self.problems.append(BundleProblem("error", problem.summary, at, problem.detail))
            return None
        if document.data is None:
            document.data = {}
        if not isinstance(document.data, dict):
            self.problems.append(BundleProblem("error", "a bundle file is a mapping of settings", Place(file, 1)))
            return None
        self.documents.append((file, document))
        return document

    def bundle(self, wanted: str, env: Mapping[str, str]) -> Bundle:
        settings: dict[str, Any] = {}
        for _, document in self.documents:
            top = {
                key: value
                for key, value in document.data.items()
                if key not in ("resources", "targets", "environments")
            }
            settings = merge(settings, top) if settings else top
        targets, overrides = self._targets()
        target = self._choose(wanted, targets)
        override = overrides.get(target, {})
        section = _mapping(settings.get("bundle"))
        name = str(_mapping(override.get("bundle")).get("name") or section.get("name") or self.root.name)
        variables = self._variables(settings, override, env)
        known = {"bundle.name": name, "bundle.target": target, "bundle.environment": target}
        known |= {f"var.{key}": value for key, value in variables.items()} | {
            f"variables.{key}.value": value for key, value in variables.items()
        }
        workspace = merge(_mapping(settings.get("workspace")), _mapping(override.get("workspace")))
        sync = merge(_mapping(settings.get("sync")), _mapping(override.get("sync")))
        return Bundle(
            root=self.root,
            name=substitute(name, known),
            target=target,
            targets=targets,
            resources=layers_of(self._resources(_mapping(override.get("resources")), known)),
            problems=tuple(self.problems),
            files=tuple(self.files),
            variables=variables,
            sync_include=_strings(sync.get("include")),
            sync_exclude=_strings(sync.get("exclude")),
            sync_paths=_strings(sync.get("paths")),
            workspace_host=substitute(str(workspace.get("host") or ""), known),
            workspace_profile=substitute(str(workspace.get("profile") or ""), known),
        )

    def _targets(self) -> tuple[tuple[Target, ...], dict[str, dict[str, Any]]]:
        targets: dict[str, Target] = {}
        overrides: dict[str, dict[str, Any]] = {}
        for file, document in self.documents:
            for section in ("targets", "environments"):
                for key, value in _mapping(document.data.get(section)).items():
                    body = _mapping(value)
                    overrides[key] = merge(overrides[key], body) if key in overrides else body
                    workspace = _mapping(overrides[key].get("workspace"))
                    targets[key] = Target(
                        name=key,
                        default=overrides[key].get("default") is True,
                        mode=str(overrides[key].get("mode") or ""),
                        host=str(workspace.get("host") or ""),
                        profile=str(workspace.get("profile") or ""),
                        place=_place(file, document, (section, key)),
                    )
        return tuple(targets.values()), overrides

    def _choose(self, wanted: str, targets: tuple[Target, ...]) -> str:
        names = [target.name for target in targets]
        if wanted:
            if wanted not in names and (names or wanted != "default"):
                close = difflib.get_close_matches(wanted, names, n=1)
                detail = f"did you mean {close[0]}?" if close else f"available: {', '.join(names) or 'none'}"
                self.problems.append(BundleProblem("error", f"{wanted}: no such target", None, detail))
            return wanted
        defaults = [target.name for target in targets if target.default]
        if len(defaults) > 1:
            text = f"multiple targets are marked as default ({', '.join(defaults)})"
            self.problems.append(BundleProblem("error", text, targets[0].place))
        if defaults:
            return defaults[0]
        if len(names) > 1:
            self.problems.append(
                BundleProblem("error", "please specify target", targets[0].place, f"-t with one of {', '.join(names)}")
            )
            return names[0]
        return names[0] if names else "default"

    def _variables(self, settings: dict[str, Any], override: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, body in _mapping(settings.get("variables")).items():
            values[name] = body.get("default") if isinstance(body, dict) else body
        for name, body in _mapping(override.get("variables")).items():
            values[name] = body.get("default", body.get("value", values.get(name))) if isinstance(body, dict) else body
        for name in values:
            given = env.get(f"BUNDLE_VAR_{name}")
            if given is not None:
                values[name] = given
        return values

    def _resources(self, override: dict[str, Any], known: Mapping[str, Any]) -> tuple[Resource, ...]:
        found: dict[tuple[str, str], Resource] = {}
        keys: dict[str, str] = {}
        for file, document in self.documents:
            self._tell_duplicates(file, document)
            for kind, items in _mapping(document.data.get("resources")).items():
                for key, config in _mapping(items).items():
                    place = _place(file, document, ("resources", kind, key)) or Place(file, 1)
                    if (kind, key) in found:
                        other = found[(kind, key)].place
                        self._tell_twice(f"{kind}.{key}", place, other)
                        continue
                    if key in keys and keys[key] != kind:
                        other = found[(keys[key], key)].place
                        self._tell_twice(key, place, other)
                    keys[key] = kind
                    tasks = {
                        str(task.get("task_key")): at
                        for index, task in enumerate(_items(_mapping(config).get("tasks")))
                        if (at := _place(file, document, ("resources", kind, key, "tasks", index)))
                    }
                    found[(kind, key)] = Resource(kind, key, "", place, config=_mapping(config), task_places=tasks)
        for kind, items in override.items():
            for key, config in _mapping(items).items():
                held = found.get((kind, key))
                place = self._override_place(kind, key)
                if held is None:
                    found[(kind, key)] = Resource(kind, key, "", place, config=_mapping(config))
                else:
                    found[(kind, key)] = replace(held, config=merge(held.config, _mapping(config)))
        order = {kind: index for index, kind in enumerate(RESOURCE_TYPES)}
        result = []
        for (kind, key), resource in sorted(
            found.items(), key=lambda item: (order.get(item[0][0], 99), item[1].place.file, item[1].place.line)
        ):
            config = resource.config
            name = config.get("name") or config.get("display_name") or config.get("title") or key
            result.append(
                replace(resource, name=substitute(str(name), known), depends_on=references(config, f"{kind}.{key}"))
            )
        return tuple(result)

    def _override_place(self, kind: str, key: str) -> Place:
        for file, document in self.documents:
            for section in ("targets", "environments"):
                for target in _mapping(document.data.get(section)):
                    place = _place(file, document, (section, target, "resources", kind, key))
                    if place:
                        return place
        return Place(self.files[0] if self.files else ROOT_NAMES[0], 1)

    def _tell_twice(self, what: str, place: Place, other: Place) -> None:
        text = f"multiple resources or scripts have been defined with the same key: {what.rpartition('.')[2]}"
        self.problems.append(BundleProblem("error", text, place, f"also at {other.file}:{other.line}"))

    def _tell_duplicates(self, file: str, document: Marked) -> None:
        for path, (line, column) in document.duplicates[:20]:
            severity = "error" if path[:1] == ("resources",) and len(path) == 3 else "warning"
            text = f"the key {path[-1]} is given twice"
            self.problems.append(BundleProblem(severity, text, Place(file, line, column), ".".join(map(str, path))))  # type: ignore[arg-type]


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base` as the CLI does: maps deep, keyed lists by key, other lists appended, else replaced."""
    result = dict(base)
    for key, value in over.items():
        held = result.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            result[key] = merge(held, value)
        elif isinstance(held, list) and isinstance(value, list):
            result[key] = _merge_lists(held, value, _KEYED.get(key, ""))
        elif value is not None or key not in result:
            result[key] = value
    return result


def _merge_lists(base: list[Any], over: list[Any], key: str) -> list[Any]:
    if not key:
        return base + over
    result = list(base)
    for item in over:
        name = item.get(key) if isinstance(item, dict) else None
        at = next((i for i, held in enumerate(result) if isinstance(held, dict) and held.get(key) == name), None)
        if name is None or at is None:
            result.append(item)
        else:
            result[at] = merge(result[at], item)
    return result


def substitute(text: str, known: Mapping[str, Any]) -> str:
    """`text` with the references that are known filled in; others stay as they are."""
    for _ in range(5):
        after = _REFERENCE.sub(
            lambda match: (
                str(known[match[1]]) if isinstance(known.get(match[1]), (str, int, float, bool)) else match[0]
            ),
            text,
        )
        if after == text or len(after) > 10_000:
            break
        text = after
    return text


def _place(file: str, document: Marked, path: Path_) -> Place | None:
    mark = document.marks.get(path)
    return Place(file, *mark) if mark else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
