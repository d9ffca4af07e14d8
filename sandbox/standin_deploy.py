"""Plan, deploy and destroy of the stand-in CLI: compares the bundle with its state and calls the sandbox's API.
It knows jobs, pipelines, dashboards, schemas and volumes; for anything else it says so and stops."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .standin_bundle import Bundle
from .standin_client import ApiFailure, Client, CliError
from .standin_state import Deployment, State

Json = dict[str, Any]
RESOURCE = re.compile(r"\$\{resources\.(\w+)\.([\w-]+)\.([\w.\[\]]+)\}")
CATALOG = "/api/2.1/unity-catalog"
DASHBOARDS = "/api/2.0/lakeview/dashboards"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of resource is made, changed, looked at and removed. `fixed`: a change of these makes a new one."""

    create: Callable[[Client, Json], str]
    update: Callable[[Client, str, Json], None]
    read: Callable[[Client, str], Json]
    delete: Callable[[Client, str], None]
    local: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def _only(settings: Json, *names: str) -> Json:
    return {name: settings[name] for name in names if settings.get(name) is not None}


def _create_dashboard(client: Client, settings: Json) -> str:
    client.call("POST", "/api/2.0/workspace/mkdirs", {"path": settings["parent_path"]})
    body = _only(settings, "display_name", "parent_path", "warehouse_id", "serialized_dashboard")
    found = str(client.call("POST", DASHBOARDS, body)["dashboard_id"])
    _publish(client, found, settings)
    return found


def _publish(client: Client, dashboard_id: str, settings: Json) -> None:
    body = _only(settings, "embed_credentials", "warehouse_id")
    client.call("POST", f"{DASHBOARDS}/{dashboard_id}/published", body)


def _update_dashboard(client: Client, dashboard_id: str, settings: Json) -> None:
    body = _only(settings, "display_name", "warehouse_id", "serialized_dashboard")
    client.call("PATCH", f"{DASHBOARDS}/{dashboard_id}", body)
    _publish(client, dashboard_id, settings)


def _catalog(word: str, changeable: tuple[str, ...], fixed: tuple[str, ...]) -> Kind:
    place = f"{CATALOG}/{word}"
    return Kind(
        create=lambda client, settings: str(client.call("POST", place, settings)["full_name"]),
        update=lambda client, name, settings: _ignore(
            client.call("PATCH", f"{place}/{name}", _only(settings, *changeable))
        ),
        read=lambda client, name: dict(client.call("GET", f"{place}/{name}")),
        delete=lambda client, name: _ignore(client.call("DELETE", f"{place}/{name}", force="true")),
        local=("grants", "lifecycle", "volume_path"),
        fixed=fixed,
    )


def _ignore(_: Any) -> None:
    return None


KINDS: dict[str, Kind] = {
    "jobs": Kind(
        create=lambda client, settings: str(client.call("POST", "/api/2.2/jobs/create", settings)["job_id"]),
        update=lambda client, found, settings: _ignore(
            client.call("POST", "/api/2.2/jobs/reset", {"job_id": int(found), "new_settings": settings})
        ),
        read=lambda client, found: dict(client.call("GET", "/api/2.2/jobs/get", job_id=found)),
        delete=lambda client, found: _ignore(client.call("POST", "/api/2.2/jobs/delete", {"job_id": int(found)})),
        local=("permissions", "lifecycle"),
    ),
    "pipelines": Kind(
        create=lambda client, settings: str(client.call("POST", "/api/2.0/pipelines", settings)["pipeline_id"]),
        update=lambda client, found, settings: _ignore(client.call("PUT", f"/api/2.0/pipelines/{found}", settings)),
        read=lambda client, found: dict(client.call("GET", f"/api/2.0/pipelines/{found}")),
        delete=lambda client, found: _ignore(client.call("DELETE", f"/api/2.0/pipelines/{found}")),
        local=("permissions", "lifecycle", "cascade_on_destroy"),
        fixed=("catalog", "storage"),
    ),
    "dashboards": Kind(
        create=_create_dashboard,
        update=_update_dashboard,
        read=lambda client, found: dict(client.call("GET", f"{DASHBOARDS}/{found}")),
        delete=lambda client, found: _ignore(client.call("DELETE", f"{DASHBOARDS}/{found}")),
        local=("permissions", "lifecycle", "file_path"),
        fixed=("parent_path",),
    ),
    "schemas": _catalog("schemas", ("comment", "properties"), ("name", "catalog_name")),
    "volumes": _catalog("volumes", ("comment",), ("name", "catalog_name", "schema_name", "volume_type")),
}


@dataclass(slots=True)
class Step:
    """What is to be done with one resource: create, update, recreate, delete or skip."""

    path: str
    action: str
    settings: Json = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`jobs.a`."""
        return self.path.removeprefix("resources.")

    @property
    def kind(self) -> Kind:
        return KINDS[self.path.split(".")[1]]


def references(value: Any) -> list[str]:
    """Paths of the resources that a value refers to."""
    found = RESOURCE.findall(json.dumps(value))
    return list(dict.fromkeys(f"resources.{kind}.{key}" for kind, key, _ in found))


def planned(bundle: Bundle, state: State, client: Client, only: list[str]) -> list[Step]:
    """The steps in an order in which each comes after what it needs. CliError for kinds it does not know."""
    steps: dict[str, Step] = {}
    for kind, key, settings in bundle.resources():
        path = f"resources.{kind}.{key}"
        if kind not in KINDS:
            raise CliError(
                f"{path}: this stand-in deploys {', '.join(KINDS)} only",
                "Install the Databricks CLI to deploy other kinds of resources.",
            )
        if only and key not in only and f"{kind}.{key}" not in only:
            continue
        steps[path] = Step(path, _action(path, settings, state, client), settings, references(settings))
    for item in only:
        if not any(step.name in (item, *[f"{k}.{item}" for k in KINDS]) for step in steps.values()):
            raise CliError(f'resource with key "{item}" not found')
    for step in steps.values():
        for need in step.needs:
            if need not in steps and not only:
                raise CliError(f"reference does not exist: ${{{need}.id}}")
    gone = [path for path in state.resources if path not in steps and not only]
    removed = [Step(path, "delete") for path in reversed(gone) if path.split(".")[1] in KINDS]
    return [*removed, *_ordered(steps)]


def _action(path: str, settings: Json, state: State, client: Client) -> str:
    held = state.resources.get(path)
    if held is None:
        return "create"
    kind = KINDS[path.split(".")[1]]
    try:
        kind.read(client, str(held["__id__"]))
    except ApiFailure as problem:
        if problem.status in (400, 404):
            return "create"
        raise
    old = held.get("config") or held.get("state") or {}
    if any(old.get(name) != settings.get(name) for name in kind.fixed if name in old):
        return "recreate"
    return "skip" if old == settings else "update"


def _ordered(steps: dict[str, Step]) -> list[Step]:
    done: list[Step] = []
    placed: set[str] = set()
    left = dict(sorted(steps.items()))
    while left:
        ready = [path for path, step in left.items() if all(n in placed or n not in steps for n in step.needs)]
        if not ready:
            path, step = next(iter(left.items()))
            other = next(need for need in step.needs if need in left)
            label = f"${{{other}.id}}"
            raise CliError(f"cycle detected: {path} refers to {other} via {label}")
        for path in ready:
            placed.add(path)
            done.append(left.pop(path))
    return done


def settled(settings: Json, state: State, kind: Kind) -> Json:
    """The settings with ids and fields of other resources filled in, ready for the API."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if not isinstance(value, str):
            return value
        whole = RESOURCE.fullmatch(value)
        if whole:
            found = _field(state, whole)
            return int(found) if str(found).isdigit() and whole[1] == "jobs" and whole[3] == "id" else found
        return RESOURCE.sub(lambda match: str(_field(state, match)), value)

    filled: Json = fill({name: value for name, value in settings.items() if name not in kind.local})
    return filled


def _field(state: State, match: re.Match[str]) -> Any:
    path = f"resources.{match[1]}.{match[2]}"
    held = state.resources.get(path)
    if held is None:
        raise CliError(f"dependency failed: {path}")
    if match[3] == "id":
        return held["__id__"]
    found: Any = held.get("state") or {}
    for part in match[3].split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if found is None:
        raise CliError(f"cannot resolve ${{{path}.{match[3]}}}")
    return found


@dataclass(slots=True)
class Report:
    """What a deployment did: the words it prints at its end, in order, and the errors."""

    lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    errors: list[CliError] = field(default_factory=list)


WORDS = {"create": "Created", "update": "Updated", "recreate": "Recreated", "delete": "Deleted"}


def apply(steps: list[Step], state: State, client: Client) -> Report:
    """Carries out the steps; one that fails fails those that need it, and the others go on."""
    report = Report()
    failed: set[str] = set()
    for step in steps:
        if step.action == "skip":
            report.counts["skip"] = report.counts.get("skip", 0) + 1
            continue
        verb = {"recreate": "recreate"}.get(step.action, step.action)
        blocked = next((need for need in step.needs if need in failed), "")
        try:
            if blocked:
                raise CliError(f"dependency failed: {blocked}")
            _carry_out(step, state, client)
        except CliError as problem:
            failed.add(step.path)
            text = f"cannot {verb} {step.path}: "
            if step.action == "update":
                text += f"updating id={state.id_of(step.path)}: "
            report.errors.append(CliError(f"{text}{problem}", problem.detail))
            continue
        report.counts[step.action] = report.counts.get(step.action, 0) + 1
        report.lines.append(f"{WORDS[step.action]} {step.name}")
    return report


def _carry_out(step: Step, state: State, client: Client) -> None:
    held = state.id_of(step.path)
    if step.action in ("delete", "recreate"):
        _delete(step, held, client)
        state.resources.pop(step.path, None)
    if step.action == "delete":
        return
    body = settled(step.settings, state, step.kind)
    if step.action == "update":
        step.kind.update(client, held, body)
    else:
        held = step.kind.create(client, body)
    state.resources[step.path] = {"__id__": held, "state": body, "config": step.settings}


def _delete(step: Step, held: str, client: Client) -> None:
    try:
        step.kind.delete(client, held)
    except ApiFailure as problem:
        if problem.status not in (400, 404):
            raise


def deploy(
    bundle: Bundle, client: Client, *, force_lock: bool, approved: bool, only: list[str], active: bool
) -> Report:
    """`bundle deploy`: files, then resources, then state. Prints progress on stderr; raises CliError before changes."""
    deployment = Deployment(bundle, client)
    state = deployment.current()
    if active:
        _refuse_active(state, client)
    lock_id = deployment.lock(force=force_lock)
    try:
        steps = planned(bundle, state, client, only)
        risky = [s for s in steps if s.action in ("delete", "recreate") and s.name.split(".")[0] != "jobs"]
        if risky and not approved:
            for step in risky:
                print(f"  {step.action} {step.path}", file=sys.stderr)
            raise CliError(
                "the deployment requires destructive actions, but the current console does not support prompting.\n"
                "To proceed, use --auto-approve after reviewing the plan above."
            )
        print(f"Uploading bundle files to {deployment.files_path}...", file=sys.stderr)
        uploaded, deleted = deployment.sync()
        report = apply(steps, state, client)
        deployment.write(state, whole=not report.errors)
    finally:
        deployment.unlock(lock_id)
    if not report.errors:
        for line in report.lines:
            print(line, file=sys.stderr)
    for error in report.errors:
        print(f"Error: {error}\n" + (f"\n{error.detail}\n" if error.detail else ""), file=sys.stderr)
    print(f"Files: {uploaded} uploaded, {deleted} deleted", file=sys.stderr)
    if not report.errors:
        count = report.counts.get
        changed = count("update", 0) + count("recreate", 0)
        text = f"{count('create', 0)} created, {changed} changed, {count('delete', 0)} deleted"
        print(f"Resources: {text}, {count('skip', 0)} unchanged", file=sys.stderr)
    return report


def _refuse_active(state: State, client: Client) -> None:
    for path in state.resources:
        kind, held = path.split(".")[1], state.id_of(path)
        if kind == "jobs":
            found = client.call("GET", "/api/2.2/jobs/runs/list", active_only="true", job_id=held)
            if found.get("runs"):
                raise CliError(f"job {held} is running")
        elif kind == "pipelines":
            found = client.call("GET", f"/api/2.0/pipelines/{held}")
            if found.get("state") not in ("IDLE", "FAILED", "DELETED"):
                raise CliError(f"pipeline {held} is running")


def destroy(bundle: Bundle, client: Client, *, approved: bool, force_lock: bool) -> None:
    """`bundle destroy`: every resource of the state, then the files. CliError."""
    if not approved:
        raise CliError(
            "this command will destroy all resources deployed by this bundle, but the current console does not "
            "support prompting. To proceed, use --auto-approve."
        )
    deployment = Deployment(bundle, client)
    state = deployment.current()
    root = str(bundle.workspace["root_path"])
    if not client.exists(root):
        print("No active deployment found to destroy!", file=sys.stderr)
        return
    lock_id = deployment.lock(force=force_lock)
    steps = [Step(path, "delete") for path in reversed(list(state.resources)) if path.split(".")[1] in KINDS]
    if steps:
        print("The following resources will be deleted:", file=sys.stderr)
        for path in sorted(step.path for step in steps):
            print(f"  delete {path}", file=sys.stderr)
        print(file=sys.stderr)
    print(f"All files and directories at the following location will be deleted: {root}\n", file=sys.stderr)
    report = apply(steps, state, client)
    if report.errors:
        deployment.unlock(lock_id)
        raise report.errors[0]
    client.call("POST", "/api/2.0/workspace/delete", {"path": root, "recursive": True})
    deployment.forget()
    print(f"Destroy: {len(steps)} deleted", file=sys.stderr)
