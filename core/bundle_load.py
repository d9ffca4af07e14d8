"""Reads a bundle from its YAML alone, in milliseconds: first paint, and what is left where the CLI does not answer.

Never raises on what a file holds: whatever is wrong becomes a problem with its place, and the rest is still read.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .bundle import Bundle, BundleProblem, Place, Resource, Target
from .bundle_files import ROOT_NAMES, Document, read_documents
from .bundle_resolve import (
    collapse,
    display_name,
    look_up,
    mapping,
    mappings,
    merge,
    strings,
    substitute,
    variable_values,
)
from .layers import layers_of, references
from .text import clean
from .yaml_marks import Path_, YamlProblem, read

# Every type that `resources:` may hold (bundle/config/resources.go of the CLI, August 2026), in the order shown.
RESOURCE_TYPES = (
    *("jobs", "pipelines", "dashboards", "alerts", "apps", "model_serving_endpoints", "schemas", "volumes", "catalogs"),
    *("registered_models", "models", "experiments", "quality_monitors", "genie_spaces", "sql_warehouses", "clusters"),
    *("instance_pools", "job_runs", "external_locations", "secret_scopes", "secrets", "database_instances"),
    *("database_catalogs", "synced_database_tables", "postgres_projects", "postgres_branches", "postgres_endpoints"),
    *("postgres_catalogs", "postgres_databases", "postgres_roles", "postgres_synced_tables"),
    *("vector_search_endpoints", "vector_search_indexes"),
)
_ORDER = {kind: index for index, kind in enumerate(RESOURCE_TYPES)}
_PER_TARGET = ("resources", "targets", "environments")
_VARIABLE = re.compile(r"\$\{(?:var|variables)\.([A-Za-z_][\w-]{0,200})")
_RESOURCE = re.compile(r"\$\{resources\.(\w{1,60})\.([\w-]{1,200})[.\[}]")
_COMMENT = re.compile(r"(?:^|\s)#")
_MOST_PROBLEMS = 200


class BundleNotFound(Exception):
    """No bundle at or above a path, or two root files in one folder. The message says which and what to do."""


def find_bundle_root(path: Path) -> Path:
    """The folder of the nearest `databricks.yml` at or above `path`. Raises BundleNotFound."""
    start = path.resolve()
    if not start.exists():
        raise BundleNotFound(f"{path} does not exist")
    if start.is_file():
        start = start.parent
    for folder in (start, *start.parents):
        found = [name for name in ROOT_NAMES if (folder / name).is_file()]
        if len(found) > 1:
            raise BundleNotFound(
                f"{folder} holds {' and '.join(found)}: a bundle has one root file, rename or remove one"
            )
        if found:
            return folder
    raise BundleNotFound(f"there is no databricks.yml in {start} or in a folder above it")


def load_bundle(root: Path, target: str | None = "", env: Mapping[str, str] | None = None) -> Bundle:
    """The bundle at `root` for `target` (empty: DATABRICKS_BUNDLE_TARGET, the default target, or the only one).

    `env` is where variables (`BUNDLE_VAR_x`) come from. Raises nothing; what is wrong is in `problems`.
    """
    env = os.environ if env is None else env
    loader = _Load(root, env)
    wanted = target or env.get("DATABRICKS_BUNDLE_TARGET") or env.get("DATABRICKS_BUNDLE_ENV") or ""
    return loader.bundle(wanted)


def reload(
    previous: Bundle | None, root: Path, target: str | None = "", env: Mapping[str, str] | None = None
) -> Bundle:
    """The bundle as it is now; where a file cannot be read, the `previous` one with the problems of now.

    So a half-saved file empties no tree. Resources that are still declared keep the ids and URLs they had.
    """
    now = load_bundle(root, target, env)
    if previous is None or previous.root != now.root:
        return now
    if now.broken:
        files = tuple(dict.fromkeys((*now.files, *previous.files)))
        return replace(previous, problems=now.problems, files=files, broken=True)
    if previous.target != now.target:
        return now
    held = {resource.ref: resource for resource in previous.resources}
    resources = [
        replace(new, id=old.id, url=old.url, modified_status=old.modified_status) if old is not None else new
        for new, old in ((new, held.get(new.ref)) for new in now.resources)
    ]
    return replace(now, resources=tuple(resources), user=previous.user, file_path=previous.file_path)


@dataclass(slots=True)
class _Load:
    root: Path
    env: Mapping[str, str]
    problems: list[BundleProblem] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)

    def bundle(self, wanted: str) -> Bundle:
        read_files = read_documents(self.root)
        self.documents = list(read_files.documents)
        self.problems.extend(read_files.problems)
        settings: dict[str, Any] = {}
        for document in self.documents:
            top = {key: value for key, value in document.data.items() if key not in _PER_TARGET}
            settings = self._merge(settings, top, document) if settings else top
        targets, overrides = self._targets()
        target = self._choose(wanted, targets)
        override = overrides.get(target, {})
        chosen = next((entry for entry in targets if entry.name == target), None)
        bundle = merge(mapping(settings.get("bundle")), mapping(override.get("bundle")))
        workspace = merge(mapping(settings.get("workspace")), mapping(override.get("workspace")))
        name = _words(bundle.get("name") or self.root.name)
        if not bundle.get("name") and not read_files.broken:
            place = self._place_of(("bundle",)) or Place(read_files.files[0], 1)
            self._tell("error", "bundle name not defined", place, "bundle:\n  name: ...")
        variables = self._variables(mapping(settings.get("variables")), mapping(override.get("variables")), target)
        facts = {**bundle, "name": name, "target": target, "environment": target, "mode": chosen.mode if chosen else ""}
        known = {"bundle": facts, "var": variables, "workspace": workspace}
        resources = self._resources(mapping(override.get("resources")), target, known)
        self._check_scripts(mapping(settings.get("scripts")), resources)
        self._check_references(variables, resources, "python" in settings or "experimental" in settings)
        sync = self._sync(target)
        return Bundle(
            root=self.root,
            name=_words(substitute(name, known)),
            target=target,
            targets=targets,
            resources=layers_of(resources),
            problems=tuple(self.problems[:_MOST_PROBLEMS]),
            files=read_files.files,
            variables={key: _filled(value, known) for key, value in variables.items()},
            sync_include=tuple(_filled(entry, known) for entry in sync["include"]),
            sync_exclude=tuple(_filled(entry, known) for entry in sync["exclude"]),
            sync_paths=tuple(_filled(entry, known) for entry in sync["paths"]),
            workspace_host=_words(substitute(str(workspace.get("host") or ""), known)),
            workspace_profile=_words(substitute(str(workspace.get("profile") or ""), known)),
            include=read_files.include,
            broken=read_files.broken,
        )

    # --- targets ------------------------------------------------------------------------------------------------------

    def _merge(self, base: dict[str, Any], over: dict[str, Any], document: Document, at: Path_ = ()) -> dict[str, Any]:
        conflicts: list[tuple[tuple[str, ...], str]] = []
        result = merge(base, over, conflicts)
        for path, sentence in conflicts:
            self._tell("error", sentence, document.place((*at, *path)), ".".join(map(str, path)))
        return result

    def _targets(self) -> tuple[tuple[Target, ...], dict[str, dict[str, Any]]]:
        places: dict[str, Place | None] = {}
        overrides: dict[str, dict[str, Any]] = {}
        for document in self.documents:
            for section in ("targets", "environments"):
                for key, value in mapping(document.data.get(section)).items():
                    body = mapping(value)
                    held = overrides.get(key)
                    overrides[key] = body if held is None else self._merge(held, body, document, (section, key))
                    places.setdefault(key, document.place((section, key)))
        targets = []
        for key, body in overrides.items():
            workspace = mapping(body.get("workspace"))
            said = (body.get("mode"), workspace.get("host"), workspace.get("profile"))
            mode, host, profile = (_words(value or "") for value in said)
            targets.append(Target(key, body.get("default") is True, mode, host, profile, places[key]))
        return tuple(targets), overrides

    def _choose(self, wanted: str, targets: tuple[Target, ...]) -> str:
        names = [target.name for target in targets]
        if wanted:
            if wanted not in names and (names or wanted != "default"):
                close = difflib.get_close_matches(wanted, names, n=1)
                meant = f"did you mean {close[0]}? " if close else ""
                self._tell(
                    "error",
                    f"{wanted}: no such target",
                    None,
                    f"{meant}Available targets: {', '.join(names) or 'none'}",
                )
            return wanted
        defaults = [target for target in targets if target.default]
        if len(defaults) > 1:
            marked = ", ".join(target.name for target in defaults)
            self._tell("error", f"multiple targets are marked as default ({marked})", defaults[1].place)
        if defaults:
            return defaults[0].name
        if len(names) > 1:
            self._tell("error", "please specify target", targets[0].place, f"-t with one of {', '.join(names)}")
        return names[0] if names else "default"

    # --- variables ----------------------------------------------------------------------------------------------------

    def _variables(self, definitions: dict[str, Any], overrides: dict[str, Any], target: str) -> dict[str, Any]:
        saved: dict[str, Any] = {}
        if re.fullmatch(r"[\w.-]{1,200}", target):
            file = self.root / ".databricks" / "bundle" / target / "variable-overrides.json"
            try:
                saved = mapping(read(file).data) if file.is_file() else {}
            except (YamlProblem, OSError) as error:
                self._tell("error", f"variable-overrides.json of target {target}: {error}", None)
        values, missing = variable_values(definitions, overrides, saved, self.env)
        for name in missing:
            where = self._place_of(("variables", name))
            text = f"no value assigned to required variable {name}"
            self._tell("error", text, where, f"set BUNDLE_VAR_{name}, or give it a default")
        for name in overrides.keys() - definitions.keys():
            where = self._place_of(("targets", target, "variables", name))
            self._tell("error", f"variable {name} is not defined but is assigned a value", where)
        return values

    # --- resources ----------------------------------------------------------------------------------------------------

    def _resources(self, override: dict[str, Any], target: str, known: Mapping[str, Any]) -> tuple[Resource, ...]:
        found: dict[tuple[str, str], Resource] = {}
        empty: dict[tuple[str, str], Place] = {}
        by_key: dict[str, Resource] = {}
        for document in self.documents:
            self._check_types(document)
            for kind, key, body, path in _declared(document, ("resources",)):
                place = document.place(path) or Place(document.file, 1)
                if self._is_no_resource(kind, key, body, place):
                    continue
                held = found.get((kind, key)) or by_key.get(key)
                if held is not None:
                    self._tell_twice(key, place, held.place)
                    if (kind, key) in found:
                        continue
                found[(kind, key)] = by_key[key] = self._declare(document, kind, key, body, place, path)
                if body is None:
                    empty[(kind, key)] = place
        for document in self.documents:
            for section in ("targets", "environments"):
                for kind, key, body, path in _declared(document, (section, target, "resources")):
                    held = found.get((kind, key))
                    place = document.place(path) or Place(document.file, 1)
                    if self._is_no_resource(kind, key, body, place):
                        continue
                    fresh = self._declare(document, kind, key, body, place, path)
                    if body is not None:
                        empty.pop((kind, key), None)
                    if held is None:
                        found[(kind, key)] = fresh
                    else:
                        config = self._merge(held.config, fresh.config, document, path)
                        tasks = {**fresh.task_places, **held.task_places}
                        found[(kind, key)] = replace(held, config=config, task_places=tasks)
        for (kind, key), place in empty.items():
            self._tell("error", f"{kind.removesuffix('s')} {key} is not defined", place)
        tree: dict[str, dict[str, Any]] = {}
        for (kind, key), resource in found.items():
            tree.setdefault(kind, {})[key] = resource.config
        known = {**known, "resources": tree}
        order = sorted(found.values(), key=lambda each: (_ORDER.get(each.type, 99), each.place.file, each.place.line))
        referring = {document.file for document in self.documents if "${resources." in document.text}
        return tuple(
            self._finished(resource, known, bool(override) or resource.place.file in referring) for resource in order
        )

    def _is_no_resource(self, kind: str, key: str, body: Any, place: Place) -> bool:
        """What is neither settings nor a reference to some: the CLI passes it over with a warning."""
        if body is None or isinstance(body, dict) or (isinstance(body, str) and body.startswith("${")):
            return False
        self._tell("warning", f"{kind}.{key} has to be a mapping of settings", place)
        return True

    def _check_types(self, document: Document) -> None:
        for kind in mapping(document.data.get("resources")):
            if kind not in _ORDER:
                close = difflib.get_close_matches(kind, RESOURCE_TYPES, n=1)
                place = document.place(("resources", kind))
                self._tell("warning", f"unknown field: {kind}", place, f"did you mean {close[0]}?" if close else "")

    def _declare(self, document: Document, kind: str, key: str, body: Any, place: Place, path: Path_) -> Resource:
        config = mapping(body)
        tasks = {
            _words(task["task_key"]): at
            for index, task in mappings(config.get("tasks"))
            if "task_key" in task and (at := document.place((*path, "tasks", index)))
        }
        return Resource(kind, key, key, place, config=config, task_places=tasks)

    def _finished(self, resource: Resource, known: Mapping[str, Any], refers: bool) -> Resource:
        config = resource.config
        # Whole parts may come out of a variable: `tasks: ${var.tasks}`.
        parts = {
            key: found
            for key, value in config.items()
            if isinstance(value, str) and value.startswith("${") and value.endswith("}")
            if isinstance(found := look_up(known, value[2:-1]), (dict, list))
        }
        config = collapse(resource.type, {**config, **parts} if parts else config)
        name = _words(substitute(display_name(config, resource.key), known))
        depends_on = references(config, resource.ref) if refers or parts else ()
        return replace(resource, name=name, config=config, depends_on=depends_on)

    def _sync(self, target: str) -> dict[str, list[str]]:
        """The sync rules of the files, relative to the root: each is written relative to the file it stands in."""
        found: dict[str, list[str]] = {"include": [], "exclude": [], "paths": []}
        for section in (("sync",), ("targets", target, "sync"), ("environments", target, "sync")):
            for document in self.documents:
                if document.data.get(section[0]) is None:
                    continue
                at, folder = mapping(_at(document, section)), os.path.dirname(document.file)
                for name, entries in found.items():
                    entries += [_from_root(folder, entry) for entry in strings(at.get(name))]
        return found

    # --- what is wrong ------------------------------------------------------------------------------------------------

    def _tell(self, severity: Literal["error", "warning"], summary: str, place: Place | None, detail: str = "") -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(BundleProblem(severity, _words(summary), place, _words(detail)))

    def _tell_twice(self, key: str, place: Place, other: Place) -> None:
        text = f"multiple resources or scripts have been defined with the same key: {key}"
        self._tell("error", text, place, f"also at {other.file}:{other.line}")

    def _check_scripts(self, scripts: dict[str, Any], resources: tuple[Resource, ...]) -> None:
        for resource in resources if scripts else ():
            if resource.key in scripts:
                place = self._place_of(("scripts", resource.key)) or resource.place
                self._tell_twice(resource.key, place, resource.place)

    def _check_references(
        self, variables: Mapping[str, Any], resources: tuple[Resource, ...], may_be_python: bool
    ) -> None:
        """References that lead nowhere: the CLI tells of them without a place, and of resources only at the deploy."""
        refs = {resource.ref for resource in resources}
        for document in self.documents:
            text = document.text
            if "${" not in text:
                continue
            for match in _VARIABLE.finditer(text):
                if match[1] not in variables:
                    self._tell_reference("error", document, match, match[0][2:], [f"var.{name}" for name in variables])
            for match in _RESOURCE.finditer(text) if not may_be_python else ():
                if f"{match[1]}.{match[2]}" not in refs and match[1] in _ORDER:
                    meant = f"resources.{match[1]}.{match[2]}"
                    self._tell_reference("warning", document, match, meant, [f"resources.{ref}" for ref in refs])

    def _tell_reference(
        self,
        severity: Literal["error", "warning"],
        document: Document,
        match: re.Match[str],
        name: str,
        known: list[str],
    ) -> None:
        start = document.text.rfind("\n", 0, match.start()) + 1
        if _COMMENT.search(document.text[start : match.start()]):
            return
        place = Place(document.file, document.text.count("\n", 0, start) + 1, match.start() - start + 1)
        close = difflib.get_close_matches(name.replace("variables.", "var."), known, n=1, cutoff=0.7)
        detail = f"did you mean ${{{close[0]}}}?" if close else ""
        self._tell(severity, f"reference does not exist: ${{{name}}}", place, detail)

    def _place_of(self, path: Path_) -> Place | None:
        return next((place for document in self.documents if (place := document.place(path))), None)


def _declared(document: Document, section: Path_) -> Iterator[tuple[str, str, Any, Path_]]:
    """(type, key, body, path) of each resource that a section of a document declares."""
    for kind, items in mapping(_at(document, section)).items():
        for key, body in mapping(items).items():
            yield _words(kind), _words(key), body, (*section, kind, key)


def _at(document: Document, path: Path_) -> Any:
    at: Any = document.data
    for step in path:
        at = at.get(step) if isinstance(at, dict) else None
    return at


def _from_root(folder: str, pattern: str) -> str:
    if not folder:
        return pattern
    joined = os.path.normpath(os.path.join(folder, pattern)).replace(os.sep, "/")
    return joined + "/" if pattern.endswith("/") else joined


def _filled(value: Any, known: Mapping[str, Any]) -> Any:
    return substitute(value, known) if isinstance(value, str) else value


def _words(value: Any) -> str:
    """Text from a file as one line that a terminal can show."""
    text = clean(str(value))
    return " ".join(text.split()) if "\n" in text or "\t" in text else text
