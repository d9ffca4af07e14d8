"""From what failed to why: collects the failures of a deploy, a run or an update, diagnoses, locates and proposes.

Pure but for reading the bundle's sources; never talks to the network. One place for the console, heal and diagnose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..matrix.diagnose import diagnose
from ..matrix.group import fold
from ..matrix.matcher import Matrix
from ..matrix.model import Diagnosis, ExceptionInfo, Failure, Location
from .bundle import Bundle, Resource
from .bundle_schema import BundleSchema
from .learned_rows import matrix_for
from .locating import Clue, locate
from .pipelines import PipelineEvent, Update
from .proposals import Context, propose, wrong_name
from .propose_runs import with_safe_commands
from .runs import Outcome, Run, TaskOutput, TaskRun, newest_attempts
from .sources import local_file, one_look
from .state import Identity
from .task_sources import files_of, owners_of, task_of
from .yaml_edit import YamlFile

LOG_TAIL = 20_000
NO_CLUE = Clue()
# What stands in the error of a task whose reason is to be read in its log, as dbt's is.
_SEE_ELSEWHERE = "see run output for details"

# These are not causes: somebody else's failure explains them.
_FOLLOWERS = frozenset({Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CANCELED, Outcome.SKIPPED, Outcome.EXCLUDED})

# What of a diagnosis says where it was seen, and not what is wrong: tasks of one cause differ in it.
_OF_THE_TASK = frozenset({"task", "resource", "flow", "file", "line"})


@dataclass(frozen=True, slots=True)
class Found:
    """One failure with where it happened: `run_id` is the run or update it belongs to, `clue` helps to locate it."""

    failure: Failure
    ref: str
    run_id: str = ""
    task_key: str = ""
    task_run_id: str = ""
    url: str = ""
    clue: Clue = NO_CLUE

    @property
    def message(self) -> str:
        """The first telling line, for lists and reports."""
        return next((line.strip() for line in self.failure.text.splitlines() if line.strip()), "no message")


@dataclass(frozen=True, slots=True)
class Explained:
    """A failure with its diagnoses, root cause first."""

    found: Found
    diagnoses: tuple[Diagnosis, ...]


def latest_tasks(run: Run) -> tuple[TaskRun, ...]:
    """The newest attempt of each task of a run."""
    return newest_attempts(run.tasks)


def failed_tasks(run: Run) -> tuple[TaskRun, ...]:
    """The tasks that failed by themselves, newest attempt each; those that only followed are left out."""
    return tuple(t for t in latest_tasks(run) if t.state.failed and t.state.outcome not in _FOLLOWERS)


def of_deploy(stderr: str, ref: str = "bundle") -> list[Found]:
    """The failure of a `bundle validate` or `bundle deploy`: one text, which the matrix takes apart."""
    return [Found(Failure(text=stderr, source_kind="cli_stderr", resource_key=ref), ref)]


def of_run(
    run: Run,
    ref: str,
    outputs: Mapping[str, TaskOutput],
    child_runs: Mapping[str, Run] = {},
    depth: int = 0,
    iterations: Mapping[str, tuple[TaskRun, ...]] = {},
) -> list[Found]:
    """Every task of a run that failed by itself, nested runs and failed iterations opened as far as their outputs are
    known; the run's own message where no task has one."""
    found: list[Found] = []
    for task in failed_tasks(run):
        child = child_runs.get(task.run_id)
        if child is not None and depth < 8:
            inner = of_run(child, ref, outputs, child_runs, depth + 1, iterations)
            if inner:
                found += inner
                continue
        loops = [loop for loop in iterations.get(task.run_id, ()) if loop.state.failed and loop.run_id in outputs]
        for part in loops or [task]:
            item = _of_task(run, part, ref, outputs.get(part.run_id))
            # An iteration has a key of its own, which nobody can repair or find in the bundle's YAML.
            failure = replace(item.failure, task_key=task.task_key)
            found.append(replace(item, failure=failure, task_key=task.task_key))
    if not found and run.state.failed:
        failure = Failure(
            text=run.state.message or run.state.outcome.value,
            source_kind="job_task",
            termination_code=run.state.code,
            termination_type=run.state.type,
            result_state=run.state.result,
            resource_key=ref,
        )
        found.append(Found(failure, ref, run.run_id, url=run.page_url))
    return found


def _of_task(run: Run, task: TaskRun, ref: str, output: TaskOutput | None) -> Found:
    parts = [output.error, output.error_trace] if output else []
    if not any(part for part in parts if _SEE_ELSEWHERE not in part):
        parts.append(task.state.message)
        if task.for_each is not None:
            parts += [message for _, message in task.for_each.errors]
        if output:
            parts += [output.logs[-LOG_TAIL:], output.result]
    text = "\n".join(part for part in parts if part) or task.state.outcome.value
    failure = Failure(
        text=text,
        source_kind="job_task",
        termination_code=task.state.code,
        termination_type=task.state.type,
        result_state=task.state.result,
        resource_key=ref,
        task_key=task.task_key,
    )
    clue = Clue(source_path=task.source_path)
    return Found(failure, ref, run.run_id, task.task_key, task.run_id, task.page_url or run.page_url, clue)


def of_update(update: Update, ref: str, events: Iterable[PipelineEvent], url: str = "") -> list[Found]:
    """The ERROR events of a failed update that carry an exception, else its last word; each flow once, newest first."""
    errors = [e for e in events if e.level == "ERROR" and e.update_id in ("", update.update_id)]
    telling = [e for e in errors if e.exceptions] or errors
    found: dict[str, Found] = {}
    for event in reversed(telling):
        key = event.flow or event.dataset or event.event_type
        if key in found:
            continue
        chain = tuple(ExceptionInfo(x.class_name, x.message, x.error_class, x.sql_state) for x in event.exceptions)
        lines = [event.message, *(f"{x.class_name}: {x.message}" for x in event.exceptions)]
        lines += _frames(event)
        failure = Failure(
            text="\n".join(line for line in lines if line),
            source_kind="pipeline_event",
            exceptions=chain,
            resource_key=ref,
            task_key=event.flow,
        )
        clue = Clue(event_file=event.source_file, event_line=event.source_line)
        found[key] = Found(failure, ref, update.update_id, event.flow, url=url, clue=clue)
    flows = [item for key, item in found.items() if key != "update_progress"]
    if flows or found:
        return flows or list(found.values())
    text = update.message or f"update {update.state.lower()} without an ERROR event"
    return [Found(Failure(text=text, source_kind="pipeline_event", resource_key=ref), ref, update.update_id, url=url)]


def _frames(event: PipelineEvent) -> list[str]:
    """The Python and SQL frames of an event's stacks as a traceback writes them, so that they can be located."""
    return [
        f'  File "{file}", line {line}, in {method}'
        for exception in event.exceptions
        for _, method, file, line in exception.stack
        if line is not None and file.endswith((".py", ".sql", ".ipynb"))
    ][:20]


def explain(
    found: Iterable[Found],
    bundle: Bundle | None,
    *,
    known_fields: tuple[str, ...] = (),
    matrix: Matrix | None = None,
    schema: Mapping[str, Any] | None = None,
    identity: Identity | None = None,
) -> list[Explained]:
    """Diagnose each failure, find its place in the bundle, propose patches. Without a bundle: the diagnosis alone.

    `matrix` are the rows to go by; where none is given, the built-in ones with what the bundle and the user learned.
    `schema` is that of `databricks bundle schema`, parsed; `identity` is who commands are to act as.
    """
    matrix = matrix or matrix_for(bundle.root if bundle is not None else None)[0]
    if bundle is None:
        return [Explained(item, diagnose(item.failure, matrix=matrix)) for item in found]
    known = _Known(bundle, matrix, known_fields, BundleSchema(schema) if schema else None, identity)
    explained = []
    with one_look():
        for item in found:
            diagnoses = diagnose(item.failure, matrix=matrix)
            placed = tuple(_at_home(diagnosis, item, known, first=n == 0) for n, diagnosis in enumerate(diagnoses))
            explained.append(Explained(item, placed))
    return explained


@dataclass(frozen=True, slots=True)
class _Known:
    """What is the same for all failures of one look."""

    bundle: Bundle
    matrix: Matrix
    fields: tuple[str, ...]
    schema: BundleSchema | None
    identity: Identity | None
    documents: dict[str, YamlFile | None] = field(default_factory=dict)


def _at_home(diagnosis: Diagnosis, item: Found, known: _Known, *, first: bool) -> Diagnosis:
    if item.task_key:
        diagnosis = replace(diagnosis, task_keys=(item.task_key,))
    bundle = known.bundle
    context = Context(
        bundle,
        _resource_of(item, bundle),
        item.task_key,
        known.fields,
        known.schema,
        item.failure.text,
        known.identity,
        opened=known.documents,
    )
    if not first:
        # Lesser candidates are shown as words: only the root cause is located and mended.
        return replace(with_safe_commands(diagnosis, known.matrix, context), location=_own_place(diagnosis, bundle))
    name = wrong_name(diagnosis)
    clue = replace(
        item.clue,
        # Code often puts a table's name together: its last part stands there in any case.
        names=tuple(dict.fromkeys(filter(None, (name, name.split(".")[-1])))),
        evidence=diagnosis.evidence[0].text if diagnosis.evidence else "",
        files=files_of(bundle, context.resource, item.task_key),
    )
    location = locate(item.failure.text, bundle, clue) or _own_place(diagnosis, bundle)
    return propose(replace(diagnosis, location=location), context, known.matrix)


def _resource_of(item: Found, bundle: Bundle) -> Resource | None:
    """The resource whose task failed: of a run that another job started, it is not the one that was asked for."""
    resource = bundle.resource(item.ref) if item.ref else None
    if not item.task_key or (resource is not None and (resource.type != "jobs" or task_of(resource, item.task_key))):
        return resource
    file = local_file(bundle, item.clue.source_path) if item.clue.source_path else None
    owners = [owner.resource for owner in owners_of(bundle, file) if owner.task_key == item.task_key] if file else []
    owners = owners or [each for each in bundle.resources if each.type == "jobs" and task_of(each, item.task_key)]
    return owners[0] if len(owners) == 1 else resource


def _own_place(diagnosis: Diagnosis, bundle: Bundle) -> Location | None:
    """The place that the diagnosis itself has, where that is a file of the bundle: it came out of the text."""
    place = diagnosis.location
    file = local_file(bundle, place.file) if place is not None else None
    return replace(place, file=file) if place is not None and file else None


def root_causes(explained: Iterable[Explained], matrix: Matrix | None = None) -> tuple[Diagnosis, ...]:
    """One diagnosis per cause over several failures: causes before their consequences, those that explain most first.

    `task_keys` are the tasks that each explains.
    """
    return fold((item.diagnoses[0] for item in explained if item.diagnoses), matrix)
