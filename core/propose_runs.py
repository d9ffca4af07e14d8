"""What has to be run, and not edited: the job that makes what is missing, a wait for what passes by itself, a command.

Starts nothing. What can lose data or break somebody's work is marked as destructive, with the risk in words.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

from ..matrix.check import destroys
from ..matrix.matcher import Matrix
from ..matrix.model import Diagnosis, Fix
from ..matrix.schema import FixTemplate
from .bundle import Bundle, Resource
from .bundle_resolve import mappings
from .check_query import fill_sql
from .creators import creators_of
from .propose_context import Context, yaml_proposal
from .propose_names import wrong_name
from .task_sources import Owner, task_of
from .yaml_edit import scalar

# "run bronze_setup_job first", "run the job bronze_setup first", "please run `bronze_setup` before this one"
_RUN_FIRST = re.compile(
    r"\b(?:run|execute|start|trigger)\s+(?:the\s+)?(?:job\s+|pipeline\s+)?['\"`\[]?(?P<name>[A-Za-z][\w-]{1,100})['\"`\]]?"
    r"(?:\s+(?:job|pipeline))?\s+(?:first\b|before\b)",
    re.IGNORECASE,
)
_THINGS = ("table", "view", "dataset", "volume", "schema")
_PLACEHOLDER = re.compile(r"\{([a-z_][a-z_0-9]*)\}")
_HARMLESS = re.compile(r"[\w.@+/:,=~][\w.@+/:,=~-]{0,300}")
_SQL_WORDS = re.compile(r"(?:GRANT|REVOKE|CREATE|ALTER|DROP|SHOW|DESCRIBE|SELECT|ANALYZE|MSCK|REFRESH|OPTIMIZE)\b")
_RISKY_FLAGS = re.compile(r"--(?:force-lock|force|auto-approve|full-refresh(?:-all)?|restart)\b|\bbundle destroy\b")
# The CLI's verbs that act on the bundle's target: a command without it would go to the default one.
_OF_A_TARGET = re.compile(r"databricks bundle (?!schema|init)")

# How long to wait, in seconds, where a row says that a fault passes by itself and does not say how soon.
WAITS: Mapping[str, float] = {
    "rate_limited": 60,
    "warehouse_starting": 60,
    "spot_instance_lost": 60,
    "max_clusters_reached": 300,
    "cloud_quota_exceeded": 600,
    "instance_pool_exhausted": 300,
    "lakebase_name_soft_deleted": 300,
    "deploy_lock_held": 60,
    "max_concurrent_runs": 120,
}
_USUAL_WAIT = 60.0
_RISK = "It can lose data or state, or break what somebody else is doing."


def named_first(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A message that names a job to run first, where the bundle has one of that name."""
    text = "\n".join([*(item.text for item in diagnosis.evidence), context.text])
    names = [match["name"] for match in _RUN_FIRST.finditer(text)] + [diagnosis.entities.get("run_first", "")]
    fixes: list[Fix] = []
    for name in dict.fromkeys(filter(None, names)):
        for resource in _called(context.bundle, name)[:1]:
            if resource != context.resource:
                fixes.append(_run(context, resource, f"Run {resource.key} first", confidence=0.92))
    return list(dict.fromkeys(fixes))


def makers(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """The jobs and pipelines of the bundle that make a table that is missing, the earliest layer first."""
    names = (wrong_name(diagnosis), *(diagnosis.entities.get(key, "") for key in _THINGS))
    name = next(filter(None, names), "")
    own = Owner(context.resource, context.task_key) if context.resource else None
    owners: dict[Owner, str] = {}
    for creator in creators_of(context.bundle, name):
        for owner in creator.owners:
            if owner != own:
                owners.setdefault(owner, creator.location.file)
    alone = len({owner.resource.ref for owner in owners}) == 1
    fixes: list[Fix] = []
    for owner, file in owners.items():
        if context.resource is not None and owner.resource == context.resource:
            fixes += _depends(context, owner, name, file)
            continue
        title = f"Run {owner.resource.key}, which makes {name.split('.')[-1]} ({file})"
        fixes.append(_run(context, owner.resource, title, confidence=0.85 if alone else 0.7))
    return fixes[:3]


def _depends(context: Context, maker: Owner, name: str, file: str) -> list[Fix]:
    """Another task of the same job makes it: the one that failed has to wait for that task."""
    resource = maker.resource
    task = task_of(resource, context.task_key)
    if task is None or not maker.task_key or maker.task_key == context.task_key:
        return []
    waits, awaited = _upstream(resource, context.task_key), _upstream(resource, maker.task_key)
    if maker.task_key in waits or context.task_key in awaited:
        return []
    title = f"{context.task_key} waits for {maker.task_key}, which makes {name.split('.')[-1]} ({file})"
    entry = f"task_key: {scalar(maker.task_key)}"
    for document, spot in context.tasks(resource, context.task_key):
        held = document.at((*spot.path, "depends_on"))
        splice = document.append(held, entry) if held is not None else document.add(spot, "depends_on", f"\n- {entry}")
        return yaml_proposal(context, title, {document.file: [splice]}, confidence=0.8)
    return []


def _upstream(resource: Resource, task_key: str) -> set[str]:
    """The keys of the tasks that a task waits for, at whatever distance."""
    waits: dict[str, list[str]] = {}
    for _, task in mappings(resource.config.get("tasks")):
        needs = [str(item.get("task_key") or "") for _, item in mappings(task.get("depends_on"))]
        waits[str(task.get("task_key") or "")] = needs
    seen: set[str] = set()
    stack = [task_key]
    while stack:
        for other in waits.get(stack.pop(), ()):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen


def _run(context: Context, resource: Resource, title: str, *, confidence: float) -> Fix:
    command = at_target(f"databricks bundle run {shlex.quote(resource.key)}", context)
    return Fix(kind="run", title=title, command=command, confidence=confidence, resource_key=resource.ref)


def _called(bundle: Bundle, name: str) -> list[Resource]:
    """The jobs and pipelines of that key or name; a development target puts a prefix before the name."""
    wanted = name.casefold()
    found = [res for res in bundle.resources if res.type in ("jobs", "pipelines")]
    by_key = [res for res in found if res.key.casefold() == wanted]
    by_name = [res for res in found if re.sub(r"^\[[^\]]{1,80}\] ?", "", res.name).casefold() == wanted]
    trimmed = re.sub(r"[_-]?(?:job|pipeline)$", "", wanted)
    near = [res for res in found if re.sub(r"[_-]?(?:job|pipeline)$", "", res.key.casefold()) == trimmed]
    return by_key or by_name or (near if len(near) == 1 else [])


# --- what passes by itself --------------------------------------------------------------------------------------------


def with_retry(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis with a retry and its wait, where it is of a fault that passes by itself and names none."""
    if not diagnosis.retryable or diagnosis.destructive:
        return diagnosis
    wait = WAITS.get(diagnosis.cause, _USUAL_WAIT)
    fixes = tuple(
        replace(fix, wait_seconds=wait) if fix.kind == "retry" and fix.wait_seconds is None else fix
        for fix in diagnosis.fixes
    )
    if not any(fix.kind == "retry" for fix in fixes):
        title = f"Wait {wait:.0f} s, then try again"
        fixes = (*fixes, Fix(kind="retry", title=title, wait_seconds=wait, confidence=0.7))
    return replace(diagnosis, fixes=fixes)


# --- commands of rows -------------------------------------------------------------------------------------------------


def with_safe_commands(diagnosis: Diagnosis, matrix: Matrix, context: Context | None) -> Diagnosis:
    """The row's own commands, filled so that nothing from outside can be more than a name, and aimed at the target.

    A command whose values do not fit is left out, and what can destroy something is marked so.
    """
    row = matrix.by_id.get(diagnosis.row)
    templates = row.fixes if row is not None and len(row.fixes) == len(diagnosis.fixes) else ()
    fixes = [
        _safe(fix, template, diagnosis.entities, context)
        for fix, template in zip(diagnosis.fixes, templates or [None] * len(diagnosis.fixes), strict=True)
    ]
    return replace(diagnosis, fixes=tuple(fixes))


def _safe(fix: Fix, template: FixTemplate | None, entities: Mapping[str, str], context: Context | None) -> Fix:
    command = fix.command
    if template is not None and template.command and command:
        command = fill_command(template.command, entities)
        if command and context is not None:
            command = at_target(command, context)
        if not command:
            fix = replace(fix, title=template.title if "{" not in template.title else fix.title)
    risky = destroys(f"{fix.title} {command or ''}") or bool(_RISKY_FLAGS.search(command or ""))
    if risky and fix.kind != "destructive":
        return replace(fix, kind="destructive", command=command or None, risk=fix.risk or _RISK)
    return replace(fix, command=command or None)


def fill_command(template: str, entities: Mapping[str, str]) -> str:
    """`template` with its `{placeholders}`, each as one word or one quoted name; empty where a value does not fit."""
    if _SQL_WORDS.match(template):
        return fill_sql(template, entities)
    pieces: list[str] = []
    done = 0
    for found in _PLACEHOLDER.finditer(template):
        value = entities.get(found[1], "")
        inside = template[: found.start()].count("'") % 2 == 1 or template[: found.start()].count('"') % 2 == 1
        if not value or not value.isprintable() or value.startswith("-"):
            return ""
        if not _HARMLESS.fullmatch(value):
            if inside or not template.startswith(("databricks ", "az ", "pip ")):
                return ""
            value = shlex.quote(value)
        pieces += [template[done : found.start()], value]
        done = found.end()
    return "".join([*pieces, template[done:]])


def at_target(command: str, context: Context) -> str:
    """A CLI command with the target and the profile that we act with; whoever copies it lands in the same place."""
    bundle, identity = context.bundle, context.identity
    words = command.split()
    if command.startswith("databricks auth login"):
        more = []
        if identity is not None and identity.host and "--host" not in words:
            more += ["--host", shlex.quote(identity.host)]
        if identity is not None and identity.profile and "--profile" not in words:
            more += ["--profile", shlex.quote(identity.profile)]
        return " ".join([command, *more])
    if not _OF_A_TARGET.match(command):
        return command
    if bundle.target and "-t" not in words and "--target" not in words:
        command += f" -t {shlex.quote(bundle.target)}"
    if identity is not None and identity.profile and "-p" not in words and "--profile" not in words:
        command += f" -p {shlex.quote(identity.profile)}"
    return command
