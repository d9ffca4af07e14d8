"""From the YAML of a bundle to its resolved configuration: includes, target, variables, presets, paths.
It reads files below the bundle root and deploys nothing."""

from __future__ import annotations

import difflib
import json
import os
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import standin_schema
from .standin_client import Client, CliError
from .standin_yaml import Diagnostic, Stop, Tree, below, included, load, merge, sort_list

FILES = ("databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml")
REFERENCE = re.compile(r"\$\{([^\W\d_]+(?:[-_]?[^\W_]+)*(?:\.[^\W\d_]+(?:[-_]?[^\W_]+)*(?:\[\d+\])*)*)\}")
NO_ROOT = (
    "Run this command from a directory that contains a bundle, or set the DATABRICKS_BUNDLE_ROOT environment variable "
    "to the bundle root directory.\nAlternatively, create a new bundle with 'databricks bundle init'."
)
NOTEBOOK = {".py": b"# Databricks notebook source", ".sql": b"-- Databricks notebook source", ".ipynb": b""}


@dataclass(slots=True)
class Bundle:
    """A bundle for one target. `config` is what `validate -o json` shows; `warnings` come in the order found."""

    root: Path
    target: str
    config: dict[str, Any] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree)
    warnings: list[Diagnostic] = field(default_factory=list)
    errors: list[CliError] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.config.get("bundle", {}).get("name") or "")

    @property
    def workspace(self) -> dict[str, Any]:
        found: dict[str, Any] = self.config["workspace"]
        return found

    @property
    def development(self) -> bool:
        return bool(self.config["bundle"].get("mode") == "development")

    def resources(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(type, key, settings) of every resource."""
        kinds = self.config.get("resources") or {}
        return [(kind, key, value) for kind, records in kinds.items() for key, value in (records or {}).items()]


def find_root() -> Path:
    """The folder at or above the working directory that holds a bundle. CliError."""
    named = os.environ.get("DATABRICKS_BUNDLE_ROOT")
    start = Path(named) if named else Path.cwd()
    for folder in [start] if named else [start, *start.parents]:
        if any((folder / name).is_file() for name in FILES):
            return folder.resolve()
    raise CliError("Unable to locate the bundle root: databricks.yml not found.", NO_ROOT)


def read(root: Path, target: str, variables: Mapping[str, str], client: Callable[[], Client]) -> Bundle:
    """Loads and resolves. What can still be shown after an error is in the bundle, with the error in `errors`."""
    bundle = Bundle(root, "")
    steps: tuple[Callable[[], None], ...] = (
        lambda: _load(bundle),
        lambda: _select(bundle, target),
        lambda: _assign(bundle, variables),
        lambda: _workspace(bundle, client()),
        lambda: _settle(bundle),
    )
    for step in steps:
        try:
            step()
        except CliError as problem:
            bundle.errors.append(problem)
            break
    return bundle


def _load(bundle: Bundle) -> None:
    found = [name for name in FILES if (bundle.root / name).is_file()]
    if len(found) > 1:
        raise CliError(f"multiple bundle root configuration files found in {bundle.root}")
    if set("*?[") & set(str(bundle.root)):
        raise CliError("Bundle root path contains glob pattern characters")
    tree = load(bundle.root, found[0])
    bundle.tree = tree
    _check_twice(Tree(), tree)
    bundle.config = {"bundle": dict(tree.value.get("bundle") or {})}
    names = included(bundle.root, tree.value.get("include") or [], tree)
    for name in names:
        other = load(bundle.root, name)
        _check_twice(tree, other)
        merge(tree, other)
    tree.value["include"] = names
    bundle.warnings += [*standin_schema.fields_of(tree), *standin_schema.unknown_in_resources(tree)]
    if not (tree.value.get("bundle") or {}).get("name"):
        raise CliError("bundle name is not defined. Please add a 'bundle.name' field to the bundle configuration")
    bundle.config = {"bundle": dict(tree.value["bundle"])}


def _named(tree: Tree) -> list[tuple[str, str]]:
    kinds = tree.value.get("resources") or {}
    found = [(key, f"resources.{kind}.{key}") for kind, records in kinds.items() for key in records or {}]
    return [*found, *((key, f"scripts.{key}") for key in tree.value.get("scripts") or {})]


def _check_twice(tree: Tree, other: Tree) -> None:
    held: dict[str, list[tuple[str, Tree]]] = {}
    for source in (tree, other):
        for key, path in _named(source):
            held.setdefault(key, []).append((path, source))
    for key, found in held.items():
        if len(found) > 1:
            paths = tuple(dict.fromkeys(path for path, _ in found))
            places = tuple(place for path, source in found for place in source.place(path))
            text = f"multiple resources or scripts have been defined with the same key: {key}"
            raise Stop(Diagnostic("Error", text, paths, places))


def _select(bundle: Bundle, wanted: str) -> None:
    targets = bundle.tree.value.get("targets") or {}
    if not targets:
        targets = {"default": {"default": True}}
    defaults = [name for name, item in targets.items() if isinstance(item, dict) and item.get("default")]
    if len(defaults) > 1 and not wanted:
        raise CliError(f"multiple targets are marked as default ({', '.join(defaults)})")
    name = wanted or (defaults[0] if defaults else next(iter(targets)) if len(targets) == 1 else "")
    if not name:
        raise CliError("please specify target")
    if name not in targets:
        raise CliError(f"{name}: no such target. Available targets: {', '.join(sorted(targets))}")
    over = below(bundle.tree, f"targets.{name}")
    mode = over.value.pop("mode", None)
    over.value.pop("default", None)
    for key, value in (over.value.get("variables") or {}).items():
        # A target gives a variable its value directly, or overrides parts of its definition.
        if not isinstance(value, dict) or not set(value) & {"default", "value", "lookup", "type", "description"}:
            over.value["variables"][key] = {"default": value}
    merge(bundle.tree, over)
    bundle.tree.value.pop("targets", None)
    bundle.target = name
    settings = bundle.tree.value.setdefault("bundle", {})
    settings.update({"target": name, "environment": name, "git": {"bundle_root_path": "."}})
    if mode:
        settings["mode"] = mode
    bundle.config = {"bundle": dict(settings)}


def _assign(bundle: Bundle, given: Mapping[str, str]) -> None:
    held = bundle.tree.value.setdefault("variables", {}) or {}
    file = bundle.root / ".databricks" / "bundle" / bundle.target / "variable-overrides.json"
    overrides: dict[str, Any] = {}
    if file.is_file():
        overrides = json.loads(file.read_text(encoding="utf-8"))
    for name in given:
        if name not in held:
            raise CliError(f"variable {name} has not been defined")
    for name, item in held.items():
        definition = item if isinstance(item, dict) else {"default": item}
        held[name] = definition
        if name in given:
            definition["value"] = given[name]
        elif f"BUNDLE_VAR_{name}" in os.environ:
            definition["value"] = os.environ[f"BUNDLE_VAR_{name}"]
        elif name in overrides:
            definition["value"] = overrides[name]
        elif "lookup" in definition:
            raise CliError(f"variable {name}: this stand-in cannot look up ids; give --var={name}=...")
        elif "default" in definition:
            definition["value"] = definition["default"]
        else:
            text = (
                f"no value assigned to required variable {name}. Variables are usually assigned in databricks.yml, "
                f'and they can be overridden using "--var", the BUNDLE_VAR_{name} environment variable, or '
                f".databricks/bundle/<target>/variable-overrides.json"
            )
            raise CliError(text)
    bundle.tree.value["variables"] = held


def _workspace(bundle: Bundle, client: Client) -> None:
    workspace = bundle.tree.value.get("workspace") or {}
    engine = bundle.tree.value["bundle"].get("engine")
    if engine not in (None, "direct", "terraform"):
        text = f'invalid value "{engine}" for bundle.engine (expected "terraform" or "direct")'
        raise Stop(Diagnostic("Error", text, (), bundle.tree.place("bundle.engine")))
    host = str(workspace.get("host") or "")
    if host and "${" not in host and host.rstrip("/") != client.host:
        Client(host, "-")
    me = client.call("GET", "/api/2.0/preview/scim/v2/Me")
    name = str(me.get("userName") or "")
    short = re.sub(r"[^A-Za-z0-9]+", "_", name.split("@")[0]).strip("_").lower()
    workspace["current_user"] = {**me, "short_name": short, "domain_friendly_name": short.replace("_", "-")}
    root = str(workspace.get("root_path") or "~/.bundle/${bundle.name}/${bundle.target}")
    if root.startswith("~"):
        root = f"/Workspace/Users/{name}{root[1:]}"
    for prefix in ("/Users/", "/Shared/"):
        if root.startswith(prefix):
            root = f"/Workspace{root}"
    workspace["root_path"] = root
    for key in ("file", "artifact", "state", "resource"):
        folder = {"file": "files", "artifact": "artifacts", "resource": "resources"}.get(key, key)
        workspace.setdefault(f"{key}_path", f"{root}/{folder}")
    bundle.tree.value["workspace"] = workspace


def _settle(bundle: Bundle) -> None:
    # Every `${...}` but those of resources, whose ids are not known before the deployment.
    tree = bundle.tree
    resolver = Resolver(tree.value)
    tree.value = {key: value if key == "variables" else resolver.walk(value) for key, value in tree.value.items()}
    tree.value["variables"] = {
        name: {key: resolver.walk(value) for key, value in item.items()}
        for name, item in tree.value["variables"].items()
    }
    if not tree.value["variables"]:
        del tree.value["variables"]
    bundle.config = tree.value
    _sort_tasks(tree)
    bundle.warnings += standin_schema.values_of_resources(tree)
    Shaper(bundle).run()
    for key in ("targets", "experimental"):
        bundle.config.pop(key, None)
    bundle.config["sync"] = {"paths": ["."], **(bundle.config.get("sync") or {})}


def _sort_tasks(tree: Tree) -> None:
    for key, record in ((tree.value.get("resources") or {}).get("jobs") or {}).items():
        if isinstance(record, dict) and isinstance(record.get("tasks"), list):
            record["tasks"] = sort_list(tree, f"resources.jobs.{key}.tasks", record["tasks"], "task_key")


class Resolver:
    """Replaces references by what they stand for; complex variables keep their shape. CliError on cycles and slips."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.stack: list[str] = []

    def walk(self, value: Any) -> Any:
        """`value` with its references replaced."""
        if isinstance(value, dict):
            return {key: self.walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.walk(item) for item in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = REFERENCE.fullmatch(value)
        if whole:
            return self.look_up(whole[1], value)
        return REFERENCE.sub(lambda found: _text(self.look_up(found[1], found[0])), value)

    def look_up(self, path: str, text: str) -> Any:
        """What `${path}` stands for; `text` itself for a resource."""
        if path.startswith("resources."):
            return text
        if path in self.stack:
            chain = " -> ".join([*self.stack[self.stack.index(path) :], path])
            raise CliError(f"cycle detected in field resolution: {chain}")
        plain = re.sub(r"^var\.([^.\[]+)", r"variables.\1.value", path)
        found: Any = self.config
        for part in re.findall(r"[^.\[\]]+", plain):
            if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            elif path.startswith("bundle.git."):
                # Outside of a repository the real one has no branch, commit or origin either: they are empty.
                return ""
            else:
                raise CliError(f"reference does not exist: ${{{path}}}", self._meant(path))
        self.stack.append(path)
        try:
            return self.walk(found)
        finally:
            self.stack.pop()

    def _meant(self, path: str) -> str:
        names = [f"var.{name}" for name in self.config.get("variables") or {}]
        names += [f"bundle.{name}" for name in self.config.get("bundle") or {}]
        names += [f"workspace.{name}" for name in self.config.get("workspace") or {}]
        near = difflib.get_close_matches(path, names, n=1, cutoff=0.8)
        return f"did you mean:\n  ${{{near[0]}}}\n" if near else ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise CliError("complex variables cannot be used inside text")
    return str(value)


class Shaper:
    """Presets of the mode, defaults of each kind of resource, and paths from local to workspace."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.workspace = bundle.config["workspace"]
        self.presets: dict[str, Any] = bundle.config.get("presets") or {}

    def run(self) -> None:
        """Shapes every resource in place."""
        bundle = self.bundle
        user = self.workspace["current_user"]["short_name"]
        if bundle.development:
            self.presets = {
                "jobs_max_concurrent_runs": 4,
                "name_prefix": f"[dev {user}] ",
                "pipelines_development": True,
                "tags": {"dev": user},
                "trigger_pause_status": "PAUSED",
                **self.presets,
            }
            lock = bundle.config["bundle"].setdefault("deployment", {}).setdefault("lock", {})
            lock.setdefault("enabled", False)
        elif bundle.config["bundle"].get("mode") == "production":
            own = f"/Users/{self.workspace['current_user']['userName']}/" in self.workspace["root_path"]
            if not own and "/Shared/" not in self.workspace["root_path"] and not bundle.config.get("run_as"):
                raise CliError(
                    "target with 'mode: production' must set 'workspace.root_path' "
                    "to make sure only one copy is deployed."
                )
        if self.presets:
            bundle.config["presets"] = self.presets
        # Schemas first: the path of a volume holds the name that its schema gets.
        for kind, key, record in sorted(bundle.resources(), key=lambda item: item[0] != "schemas"):
            if not isinstance(record, dict):
                raise CliError(f"{kind} {key} is not defined")
            shape = getattr(self, f"_{kind}", None)
            if shape is not None:
                shape(record, f"resources.{kind}.{key}")

    def _base(self, record: dict[str, Any]) -> None:
        prefix = str(self.presets.get("name_prefix") or "")
        if prefix and not str(record.get("name", "")).startswith(prefix):
            record["name"] = prefix + str(record.get("name", ""))
        tags = self.presets.get("tags")
        if tags:
            record["tags"] = {**(record.get("tags") or {}), **tags}
        state = f"{self.workspace['state_path']}/metadata.json"
        record["deployment"] = {"kind": "BUNDLE", "metadata_file_path": state}

    def _jobs(self, record: dict[str, Any], path: str) -> None:
        record.setdefault("name", "Untitled")
        self._base(record)
        record["edit_mode"], record["format"] = "UI_LOCKED", "MULTI_TASK"
        record.setdefault("queue", {"enabled": True})
        record.setdefault("max_concurrent_runs", self.presets.get("jobs_max_concurrent_runs") or 1)
        paused = self.presets.get("trigger_pause_status") or "UNPAUSED"
        for name in ("schedule", "continuous", "trigger"):
            if isinstance(record.get(name), dict):
                record[name].setdefault("pause_status", paused)
        git = bool(record.get("git_source"))
        for number, environment in enumerate(record.get("environments") or []):
            spec = environment.get("spec") if isinstance(environment, dict) else None
            listed = (spec.get("dependencies") if isinstance(spec, dict) else None) or []
            for index, item in enumerate(listed):
                where = f"{path}.environments[{number}].spec.dependencies[{index}]"
                listed[index] = self._dependency(item, where)
        for number, task in enumerate(record.get("tasks") or []):
            place = f"{path}.tasks[{number}]"
            self._task(task, place, git)
            inner = (task.get("for_each_task") or {}).get("task")
            if isinstance(inner, dict):
                self._task(inner, f"{place}.for_each_task.task", git)

    def _task(self, task: dict[str, Any], path: str, git: bool) -> None:
        for kind, name in (("notebook_task", "notebook_path"), ("spark_python_task", "python_file")):
            holder = task.get(kind)
            if isinstance(holder, dict) and isinstance(holder.get(name), str):
                if holder.get("source") == "GIT" or (git and not holder.get("source")):
                    continue
                where = f"{path}.{kind}.{name}"
                holder[name] = self._remote(holder[name], where, "notebook" if kind == "notebook_task" else "file")
        project = task.get("dbt_task")
        if isinstance(project, dict) and not git and isinstance(project.get("project_directory"), str):
            where = f"{path}.dbt_task.project_directory"
            project["project_directory"] = self._remote(project["project_directory"], where, "folder")
        file = (task.get("sql_task") or {}).get("file")
        if isinstance(file, dict) and isinstance(file.get("path"), str):
            file["path"] = self._remote(file["path"], f"{path}.sql_task.file.path", "file")

    def _pipelines(self, record: dict[str, Any], path: str) -> None:
        self._base(record)
        record.setdefault("channel", "CURRENT")
        record.setdefault("edition", "ADVANCED")
        if self.presets.get("pipelines_development"):
            record.setdefault("development", True)
        for number, library in enumerate(record.get("libraries") or []):
            for kind, name in (("notebook", "path"), ("file", "path"), ("glob", "include")):
                holder = library.get(kind)
                if isinstance(holder, dict) and isinstance(holder.get(name), str):
                    where = f"{path}.libraries[{number}].{kind}.{name}"
                    holder[name] = self._remote(holder[name], where, kind)
        if isinstance(record.get("root_path"), str):
            record["root_path"] = self._remote(record["root_path"], f"{path}.root_path", "folder")

    def _schemas(self, record: dict[str, Any], path: str) -> None:
        prefix = re.sub(r"[^a-z0-9]+", "_", str(self.presets.get("name_prefix") or "").lower()).strip("_")
        if prefix:
            record["name"] = f"{prefix}_{record.get('name')}"

    def _volumes(self, record: dict[str, Any], path: str) -> None:
        record.setdefault("volume_type", "MANAGED")
        schema = str(record.get("schema_name") or "")
        found = re.fullmatch(r"\$\{resources\.schemas\.([\w-]+)\.name\}", schema)
        if found:
            held = (self.bundle.config["resources"].get("schemas") or {}).get(found[1]) or {}
            schema = str(held.get("name") or schema)
        record["volume_path"] = f"/Volumes/{record.get('catalog_name')}/{schema}/{record.get('name')}"

    def _dashboards(self, record: dict[str, Any], path: str) -> None:
        record["display_name"] = f"{self.presets.get('name_prefix') or ''}{record.get('display_name', '')}"
        record.setdefault("embed_credentials", False)
        record.setdefault("parent_path", self.workspace["resource_path"])
        if isinstance(record.get("file_path"), str):
            local = self._local(record["file_path"], f"{path}.file_path")
            source = self.bundle.root / local
            if not source.is_file():
                raise CliError(
                    f"failed to read serialized dashboard from file_path {record['file_path']}: no such file"
                )
            record["file_path"] = local
            record["serialized_dashboard"] = source.read_text(encoding="utf-8")

    def _dependency(self, value: Any, path: str) -> Any:
        """A pip requirement; one that names a local file by `-r`, `-e` or a path gets its place in the workspace."""
        if not isinstance(value, str):
            return value
        flag, _, rest = value.partition(" ")
        if flag in ("-r", "-e", "--requirement", "--editable") and rest.strip():
            return f"{flag} {self._remote(rest.strip(), path, 'folder')}"
        return self._remote(value, path, "folder") if value.startswith(("./", "../")) and "*" not in value else value

    def _local(self, value: str, path: str) -> str:
        base = posixpath.dirname(self.bundle.tree.bases.get(path, ""))
        local = posixpath.normpath(posixpath.join(base, value))
        if local == ".." or local.startswith("../"):
            whole = posixpath.normpath(posixpath.join(str(self.bundle.root), base, value))
            raise CliError(f"path {whole} is not contained in sync root path")
        return local

    def _remote(self, value: str, path: str, kind: str) -> str:
        if value.startswith(("/", "~/")) or re.match(r"[a-z0-9]+:/", value) or "${" in value:
            return value
        local = self._local(value, path)
        remote = f"{self.workspace['file_path']}/{local}" if local != "." else str(self.workspace["file_path"])
        source = self.bundle.root / local
        if kind in ("glob", "folder"):
            return remote
        if not source.is_file():
            near = [local + suffix for suffix in NOTEBOOK if (self.bundle.root / (local + suffix)).is_file()]
            if kind == "notebook" and near:
                raise CliError(
                    f'notebook "{local}" not found. Did you mean "{near[0]}"?\n'
                    "Local notebook references are expected to contain one of the following\n"
                    "file extensions: [.py, .r, .scala, .sql, .ipynb]"
                )
            raise CliError(f"{kind} {local} not found")
        notebook = is_notebook(source)
        if kind == "notebook" and not notebook:
            raise CliError(f'expected a notebook for "{path}" but got a file: file at {source} is not a notebook')
        if kind == "file" and notebook:
            raise CliError(f'expected a file for "{path}" but got a notebook: file at {source} is a notebook')
        return remote.rsplit(".", 1)[0] if kind == "notebook" else remote


def is_notebook(path: Path) -> bool:
    """Whether the workspace will store a local file as a notebook."""
    mark = NOTEBOOK.get(path.suffix.lower())
    if mark is None:
        return False
    with path.open("rb") as file:
        return file.read(len(mark) + 3).removeprefix(b"\xef\xbb\xbf").startswith(mark)
