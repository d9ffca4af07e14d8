"""Lays what `bundle validate -o json` and `bundle summary -o json` say over a bundle read from YAML: it is the truth.

Never trusts the shape of that data: what does not fit is passed over, and places stay those of the YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .bundle import Bundle, BundleProblem, ModifiedStatus, Place, Resource
from .bundle_load import RESOURCE_TYPES
from .bundle_resolve import display_name, mapping
from .diagnostics import CliDiagnostic
from .layers import layers_of, references
from .text import clean

NOWHERE = Place("", 0)  # of a resource that no YAML declares: made by Python code, or left over in the workspace
_ORDER = {kind: index for index, kind in enumerate(RESOURCE_TYPES)}
_MOST_RESOURCES = 20_000


def apply_validate(bundle: Bundle, data: Mapping[str, Any] | None) -> Bundle:
    """The bundle with resolved names, configurations, variables, host, user and `file_path`; unchanged without data.

    The data comes also from a validate that failed: then it may be resolved in part (facts: exit 1, config on stdout).
    """
    if not data:
        return bundle
    section, workspace = mapping(data.get("bundle")), mapping(data.get("workspace"))
    user = mapping(workspace.get("current_user"))
    values = {
        str(name): body.get("value", body.get("default")) if isinstance(body, dict) else body
        for name, body in mapping(data.get("variables")).items()
    }
    resolved = replace(
        bundle,
        name=_text(section.get("name")) or bundle.name,
        target=_text(section.get("target")) or bundle.target,
        variables={**bundle.variables, **values},
        workspace_host=_text(workspace.get("host")) or bundle.workspace_host,
        workspace_profile=_text(workspace.get("profile")) or bundle.workspace_profile,
        file_path=_text(workspace.get("file_path")) or bundle.file_path,
        user=_text(user.get("userName")) or bundle.user,
        resolved=True,
    )
    return _with_resources(resolved, data, deployed=False)


def apply_summary(bundle: Bundle, data: Mapping[str, Any] | None) -> Bundle:
    """The bundle with ids, URLs and what is deployed; resources that are only in the workspace are added, as deleted.

    An id in `run_job_task` and the like is led back to the resource that has it.
    """
    if not data:
        return bundle
    return _with_resources(apply_validate(bundle, data), data, deployed=True)


def _with_resources(bundle: Bundle, data: Mapping[str, Any], *, deployed: bool) -> Bundle:
    said: dict[str, dict[str, Any]] = {}
    for kind, items in mapping(data.get("resources")).items():
        for key, body in mapping(items).items():
            if isinstance(body, dict) and len(said) < _MOST_RESOURCES:
                said[f"{_text(kind)}.{_text(key)}"] = body
    ids = {str(body["id"]): ref for ref, body in said.items() if deployed and body.get("id")}
    held = {resource.ref: resource for resource in bundle.resources}
    found = [_merged(resource, said.get(resource.ref), ids, deployed) for resource in bundle.resources]
    for ref, body in said.items():
        if ref not in held:
            kind, _, key = ref.partition(".")
            found.append(_merged(Resource(kind, key, key, NOWHERE), body, ids, deployed))
    # A resource that only an earlier summary knew, and that this one does not name any more, is gone.
    kept = [each for each in found if each.ref in said or each.place != NOWHERE or not deployed]
    kept.sort(key=lambda each: _ORDER.get(each.type, 99))
    return replace(bundle, resources=layers_of(tuple(kept)))


def _merged(resource: Resource, body: dict[str, Any] | None, ids: Mapping[str, str], deployed: bool) -> Resource:
    if body is None:
        return replace(resource, id="", url="", modified_status="created") if deployed else resource
    status: ModifiedStatus = resource.modified_status
    if deployed:
        word = body.get("modified_status")
        status = word if word in ("created", "deleted") else ""
    if status == "deleted" and deployed:
        # The state knows no more than id and URL of what the configuration has lost.
        return replace(resource, id=_text(body.get("id")), url=_text(body.get("url")), modified_status=status)
    depends_on = (*resource.depends_on, *references(body, resource.ref))
    depends_on += tuple(ref for value in _job_ids(body) if (ref := ids.get(value)) and ref != resource.ref)
    name = _text(display_name(body, resource.name))
    return replace(
        resource,
        # What the CLI calls a job without a name: its key says more.
        name=resource.name if name == "Untitled" else name,
        config=body,
        depends_on=tuple(dict.fromkeys(depends_on)),
        id=_text(body.get("id")) if deployed else resource.id,
        url=_text(body.get("url")) if deployed else resource.url,
        modified_status=status,
    )


def _job_ids(body: Mapping[str, Any]) -> list[str]:
    tasks = body.get("tasks")
    found = []
    for task in tasks if isinstance(tasks, list) else ():
        for kind, name in (("run_job_task", "job_id"), ("pipeline_task", "pipeline_id")):
            value = mapping(mapping(task).get(kind)).get(name)
            if isinstance(value, (int, str)):
                found.append(str(value))
    return found


def with_diagnostics(bundle: Bundle, diagnostics: tuple[CliDiagnostic, ...]) -> Bundle:
    """The bundle with the CLI's complaints as its problems; ours stay where the CLI says nothing of that place."""
    theirs = tuple(
        BundleProblem(
            "error" if each.severity == "error" else "warning",
            each.summary,
            each.places[0] if each.places else None,
            each.detail,
        )
        for each in diagnostics
        if each.severity != "recommendation"
    )
    told = {(problem.place.file, problem.place.line) for problem in theirs if problem.place}
    sentences = {problem.summary for problem in theirs}
    ours = tuple(
        problem
        for problem in bundle.problems
        if problem.summary not in sentences and not (problem.place and (problem.place.file, problem.place.line) in told)
    )
    return replace(bundle, problems=theirs + ours)


def _text(value: Any) -> str:
    return " ".join(clean(str(value)).split("\n")) if isinstance(value, (str, int, float)) else ""
