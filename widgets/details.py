"""The facts of what is under the cursor: a resource, a task run, or a flow, in a few labelled lines.

Never fetches; a fact that is not known has no line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..core.bundle import Resource
from ..core.runs import Run, TaskRun
from ..core.state import ResourceStatus, Usual
from .glyphs import Glyphs, pipeline_look, state_look, state_words
from .page import TextLine
from .run_nodes import never_ran
from .spans import Spans, paragraphs, span
from .theme import linked
from .update_tree import flow_look, trend
from .words import ago, brief, count, duration, iso_clock, moment, size, until

if TYPE_CHECKING:
    from ..core.pipelines import Flow, Update
    from ..core.run_stats import Share
    from ..core.schedules import Trigger

LABEL = 12


def fact(name: str, value: str, role: str = "", *, key: str = "") -> TextLine:
    """One labelled line; an address or a place gets a key, so that Enter can go there."""
    return TextLine(((f"{name:<{LABEL}}", "muted"), span(value, role)), key=key, indent=LABEL)


def resource_lines(resource: Resource, status: ResourceStatus | None, now_ms: int, glyphs: Glyphs) -> list[TextLine]:
    """What the bundle says of a resource, and its last runs."""
    place = f"{resource.place.file}:{resource.place.line}"
    facts = [
        TextLine((span(resource.ref, "b"), (f"  {resource.layer}" if resource.layer else "", "muted"))),
        TextLine(),
        fact("name", resource.name) if resource.name and resource.name != resource.key else None,
        fact("declared", place, "accent", key=f"place:{place}"),
        fact("id", resource.id) if resource.id else None,
        fact("page", resource.url, linked("accent", resource.url), key=f"url:{resource.url}") if resource.url else None,
        fact("needs", ", ".join(resource.depends_on)) if resource.depends_on else None,
        fact("status", "not deployed yet") if not resource.id and resource.modified_status == "created" else None,
        *schedule_lines(resource, status, now_ms),
        fact("parameters", ", ".join(f"{k}={v}" for k, v in parameters_of(resource)))
        if parameters_of(resource)
        else None,
    ]
    lines = _known(facts)
    tasks = resource.config.get("tasks")
    if isinstance(tasks, list):
        lines.append(fact("tasks", f"{len(tasks)}"))
    if status is not None and status.history:
        lines += [TextLine(), TextLine((("last runs", "muted+b"),))]
        for run in status.history[:12]:
            sign, role = state_look(run.state, glyphs)
            took = duration(run.duration_ms) if run.duration_ms else ""
            lines.append(
                TextLine(
                    (
                        (f"{sign} ", role),
                        span(f"{state_words(run.state):<24}", role if not run.state.succeeded else ""),
                        (f"{took:>8}  ", "muted"),
                        (f"{ago(run.start_ms, now_ms) if run.start_ms else '':<12}", "muted"),
                        span(run.id, "faint"),
                    ),
                    key=f"url:{run.page_url}" if run.page_url else "",
                )
            )
    if status is not None and status.usual is not None:
        lines.append(TextLine((span(usual_text(status.usual), "muted"),)))
    return lines


def run_lines(
    run: Run, now_ms: int, glyphs: Glyphs, *, share: Share | None = None, usual: Usual | None = None
) -> list[TextLine]:
    """The run itself: state, times, trigger, repairs. `share` is what succeeded of one that failed in few."""
    sign, role = state_look(run.state, glyphs)
    lines: list[TextLine] = [
        TextLine(((f"{sign} ", role), span(state_words(run.state), f"{role}+b"), span(f"  run {run.run_id}", "muted"))),
        TextLine(),
    ]
    lines += share_lines(share) if share is not None else []
    lines += _state_lines(run.state.message, run.state.code, run.state.life, run.state.result)
    lines += [
        fact("job", run.name) if run.name else TextLine(),
        fact("started", moment(run.start_ms)) if run.start_ms else TextLine(),
        fact("took", _time_words(run.elapsed_ms(now_ms), run.queue_ms, run.setup_ms, run.execution_ms)),
        fact("usually", usual_text(usual).removeprefix("usually ")) if usual is not None else TextLine(),
        fact("trigger", run.trigger.lower().replace("_", " ")) if run.trigger else TextLine(),
        fact("by", run.creator) if run.creator else TextLine(),
        fact("parameters", ", ".join(f"{k}={v}" for k, v in run.parameters)) if run.parameters else TextLine(),
        fact("page", run.page_url, linked("accent", run.page_url), key=f"url:{run.page_url}")
        if run.page_url
        else TextLine(),
    ]
    if len(run.repairs) > 1:
        lines.append(TextLine((("repairs", "muted+b"),)))
        for number, item in enumerate(run.repairs):
            sign, role = state_look(item.state, glyphs)
            name = "original" if item.kind == "ORIGINAL" else f"repair {number}"
            took = duration(item.end_ms - item.start_ms) if item.end_ms else ""
            words = state_words(item.state)
            lines.append(
                TextLine(((f"{sign} ", role), (f"{name:<12}", ""), span(f"{words:<24}", role), (took, "muted")))
            )
    return [line for line in lines if line.spans or line is lines[1]]


def task_lines(
    task: TaskRun,
    glyphs: Glyphs,
    now_ms: int,
    *,
    usual: Usual | None = None,
    iterations: Sequence[TaskRun] = (),
    update: Update | None = None,
) -> list[TextLine]:
    """One task run: what it is, what became of it, and why. `update` is the one that a pipeline task started."""
    sign, role = state_look(task.state, glyphs)
    lines: list[TextLine] = [
        TextLine(
            (
                (f"{sign} ", role),
                span(task.task_key, "b"),
                span(f"  {state_words(task.state)}", role),
                (f"  {task.kind.replace('_', ' ')}" if task.kind else "", "muted"),
            )
        ),
        TextLine(),
    ]
    if task.for_each is not None and task.state.failed:
        from ..core.run_stats import share_of_task  # here, because the first paint needs none

        share = share_of_task(task, iterations)
        lines += share_lines(share) if share is not None and share.enough() else []
    lines += _state_lines(task.state.message, task.state.code, task.state.life, task.state.result)
    if task.start_ms and not never_ran(task):
        lines.append(fact("started", moment(task.start_ms)))
        elapsed = task.elapsed_ms(now_ms)
        lines.append(fact("took", _time_words(elapsed, task.queue_ms, task.setup_ms, task.execution_ms)))
    if usual is not None:
        lines.append(fact("usually", usual_text(usual).removeprefix("usually ")))
    if task.attempt:
        lines.append(fact("attempt", str(task.attempt + 1)))
    if update is not None:
        sign, role, word = pipeline_look(update.state, glyphs)
        done = sum(flow.status == "COMPLETED" for flow in update.flows)
        flows = f", {done} of {len(update.flows)} flows completed" if update.flows else ""
        lines.append(fact("update", f"{update.update_id}: {sign} {word}{flows}", role))
        lines += [
            TextLine(((" " * LABEL, ""), *line), indent=LABEL)
            for line in paragraphs(update.message, limit=4)
            if line[0][0]
        ]
    if task.depends_on:
        needs = ", ".join(key + (f" is {outcome}" if outcome else "") for key, outcome in task.depends_on)
        rule = "" if task.run_if in ("", "ALL_SUCCESS") else f"  ({task.run_if.lower().replace('_', ' ')})"
        lines.append(fact("after", needs + rule))
    if task.for_each is not None:
        stats = task.for_each
        lines.append(
            fact(
                "iterations",
                f"{stats.completed:,} of {stats.total:,} ended, {stats.failed:,} failed, {stats.active:,} run",
            )
        )
        for number, text in stats.errors:
            lines.append(TextLine(((f"{'':<{LABEL}}{number:,} x ", "muted"), span(text, "error")), indent=LABEL))
    for name, value in (
        ("source", task.source_path),
        ("compute", task.cluster_id or task.environment_key),
        ("task run", task.run_id),
    ):
        if value:
            lines.append(fact(name, value))
    if task.parameters:
        lines.append(fact("parameters", ", ".join(f"{k}={v}" for k, v in task.parameters)))
    if task.page_url:
        lines.append(fact("page", task.page_url, linked("accent", task.page_url), key=f"url:{task.page_url}"))
    return lines


def update_lines(update: Update, glyphs: Glyphs) -> list[TextLine]:
    """The update itself."""
    sign, role, word = pipeline_look(update.state, glyphs)
    kind = [
        "full refresh" if update.full_refresh else "",
        "validation only" if update.validate_only else "",
        "retried after a failure" if update.cause == "RETRY_ON_FAILURE" else "",
    ]
    lines = [
        TextLine(((f"{sign} ", role), span(word, f"{role}+b"), span(f"  update {update.update_id}", "muted"))),
        TextLine(),
        *(
            TextLine(line)
            for line in (paragraphs(update.message, "error" if update.failed else "") if update.message else [])
        ),
        fact("cause", update.cause.lower().replace("_", " ")) if update.cause else None,
        fact("started", moment(update.creation_ms)) if update.creation_ms else None,
        fact("kind", ", ".join(k for k in kind if k)) if any(kind) else None,
        fact("tables", ", ".join(update.refresh_selection)) if update.refresh_selection else None,
    ]
    return _known(lines)


def flow_lines(flow: Flow, glyphs: Glyphs, before: Flow | None = None, *, ended: bool = False) -> list[TextLine]:
    """One flow of an update: what it reads, how much it wrote, and its rules of data quality; `before` is the same
    flow in the update before, and `ended` tells that its update has."""
    rules = {(rule.dataset, rule.name): rule for rule in before.expectations} if before is not None else {}
    sign, role, word = flow_look(flow, glyphs, ended=ended)
    lines = [
        TextLine(((f"{sign} ", role), span(flow.name, "b"), span(f"  {word}", role))),
        TextLine(),
        fact("dataset", flow.dataset) if flow.dataset and flow.dataset != flow.name else None,
        fact("reads", ", ".join(flow.inputs)) if flow.inputs else None,
        fact("rows", count(flow.rows) + _was(flow.rows, before.rows if before else None))
        if flow.rows is not None
        else None,
        fact("upserted", count(flow.upserted)) if flow.upserted is not None else None,
        fact("deleted", count(flow.deleted)) if flow.deleted is not None else None,
        fact("dropped", count(flow.dropped), "warn") if flow.dropped else None,
        fact("backlog", size(flow.backlog_bytes)) if flow.backlog_bytes is not None else None,
        fact("from", iso_clock(flow.start)) if flow.start else None,
        fact("to", iso_clock(flow.end)) if flow.end else None,
    ]
    for rule in flow.expectations:
        total = rule.passed + rule.failed
        words = f"{rule.failed:,} of {total:,} failed" if rule.failed else f"{total:,} passed"
        words += ", dropped" if rule.dropped else ""
        sign, role = (glyphs.partly, "warn") if rule.failed else (glyphs.ok, "ok")
        lines.append(
            TextLine(
                (
                    (f"{sign} ", role),
                    span(f"{rule.name}  ", ""),
                    (words, role if rule.failed else "muted"),
                    *trend(rule, rules.get((rule.dataset, rule.name))),
                )
            )
        )
    return _known(lines)


def _was(now: int | None, before: int | None) -> str:
    return f"  ({count(before)} in the update before)" if before is not None and before != now else ""


def parameters_of(resource: Resource) -> tuple[tuple[str, str], ...]:
    """The job parameters a resource declares, with their defaults."""
    declared = resource.config.get("parameters")
    if isinstance(declared, list):
        return tuple(
            (str(item.get("name", "")), str(item.get("default", "")))
            for item in declared
            if isinstance(item, dict) and item.get("name")
        )
    return ()


def schedule_lines(resource: Resource, status: ResourceStatus | None, now_ms: int) -> list[TextLine]:
    """When it runs by itself and when next, as its YAML says; nothing where it does not."""
    config = resource.config
    if not any(config.get(name) for name in ("schedule", "trigger", "continuous")):
        return []
    from ..core.schedules import next_runs, trigger_of  # here, because the first paint needs none

    trigger = trigger_of(config)
    if trigger is None:
        return []
    words = f"{trigger.words}  (paused)" if trigger.paused else trigger.words
    lines = [fact("schedule", words, "warn" if trigger.paused else "")]
    last = status.history[0].start_ms if status is not None and status.history else 0
    for at in next_runs(trigger, now_ms, 1, last_start_ms=last):
        lines.append(fact("next run", f"in {until(at, now_ms)}, {moment(at)}"))
    return lines


def schedule_page(
    trigger: Trigger, status: ResourceStatus | None, place: str, now_ms: int, *, development: bool
) -> list[TextLine]:
    """All about a schedule: its next times, and where the YAML says it, because that is where it is changed."""
    from ..core.schedules import next_runs, zone_known

    last = status.history[0].start_ms if status is not None and status.history else 0
    lines = [
        fact("runs", trigger.words),
        fact("state", "paused" if trigger.paused else "not paused", "warn" if trigger.paused else "ok"),
        fact("expression", trigger.expression) if trigger.expression else None,
    ]
    times = next_runs(trigger, now_ms, 5, last_start_ms=last)
    for number, at in enumerate(times):
        lines.append(fact("next runs" if not number else "", f"{moment(at)}  in {until(at, now_ms)}"))
    if trigger.kind == "cron" and not times and not trigger.paused:
        why = "" if zone_known(trigger.zone) else f": the time zone {trigger.zone} is not known on this machine"
        lines.append(fact("next runs", f"cannot be told{why}", "warn"))
    lines += [TextLine(), fact("declared", place, "accent", key=f"place:{place}"), TextLine()]
    if development:
        words = "A target in development mode deploys a schedule paused, unless its pause_status says UNPAUSED."
        lines.append(TextLine(((words, "warn"),)))
    words = "To pause it or let it go on, edit pause_status there and deploy."
    lines.append(TextLine(((words, ""), (" It is never changed live: the next deploy would undo that.", "muted"))))
    return _known(lines)


def usual_text(usual: Usual) -> str:
    """`usually 2:24, 9 of 10 within 2:35, of 9 good runs`."""
    runs = f"{usual.runs} good runs"
    return f"usually {duration(usual.median_ms)}, 9 of 10 within {duration(usual.p90_ms)}, of {runs}"


def share_lines(share: Share) -> list[TextLine]:
    """That a failure is a warning, because nearly all succeeded, with those that did not."""
    lines = [
        fact("partly", share.words, "warn"),
        TextLine((((" " * LABEL), ""), ("counts as a warning: 90 % and more did well", "muted")), indent=LABEL),
    ]
    if share.failed:
        shown = ", ".join(share.failed[:20]) + (f" and {len(share.failed) - 20} more" if len(share.failed) > 20 else "")
        lines.append(fact("failed", shown, "error"))
    return lines


def _state_lines(message: str, code: str, life: str, result: str) -> list[TextLine]:
    lines = [TextLine(line) for line in paragraphs(message)] if message else []
    words = " ".join(word for word in (code, result if result != code else "") if word)
    if words and words not in ("SUCCESS", "SUCCEEDED"):
        lines.append(fact("platform", f"{words}{f' ({life})' if life else ''}"))
    return lines


def _time_words(elapsed: int, queue: int, setup: int, execution: int) -> str:
    parts = [f"{name} {brief(ms)}" for name, ms in (("queue", queue), ("setup", setup), ("execution", execution)) if ms]
    return duration(elapsed) + (f"  ({', '.join(parts)})" if parts else "")


def _known(lines: Iterable[TextLine | None]) -> list[TextLine]:
    return [line for line in lines if line is not None]


def as_lines(spans: Iterable[Spans]) -> list[TextLine]:
    return [TextLine(line) for line in spans]
