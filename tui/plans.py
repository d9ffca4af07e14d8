"""What an action will do, where, and with which command: the text of each confirmation.

Never decides whether it may be done; the guard does.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.bundle import Resource
from ..core.runs import TaskRun
from ..core.state import Warehouse
from ..matrix.model import Diagnosis
from ..widgets.diagnosis import fix_lines
from ..widgets.glyphs import Glyphs
from ..widgets.page import TextLine
from ..widgets.spans import paragraphs, span
from ..widgets.words import host_name, plural
from .scene import Scene

LABEL = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """A question: `word` has to be typed for it; empty means that `y` is enough.

    `other` is what can be asked instead with one key, `other_words` says what that is; `name` tells the two apart.
    """

    title: str
    lines: tuple[TextLine, ...]
    word: str = ""
    command: str = ""
    name: str = ""
    other: Plan | None = None
    other_words: str = ""


def either(first: Plan, first_words: str, second: Plan, second_words: str) -> Plan:
    """`first`, with `second` one key away and back; the words say what each would do."""
    return replace(first, other=replace(second, other_words=first_words), other_words=second_words)


def _plan(
    scene: Scene,
    title: str,
    what: Sequence[TextLine],
    command: str = "",
    *,
    destructive: bool = False,
    name: str = "",
    word: str = "",
) -> Plan:
    """`word` is what has to be typed for what is destructive, where that is not the target."""
    state = scene.state
    identity = state.identity
    target = identity.target or (state.bundle.target if state.bundle else "")
    where = host_name(identity.host) or "the workspace is not known yet"
    who = " ".join(part for part in (identity.user, f"({identity.profile})" if identity.profile else "") if part)
    role = "error+b" if scene.production else ""
    lines = [
        *what,
        TextLine(),
        TextLine(((f"{'at':<{LABEL}}", "muted"), span(where, "b")), indent=LABEL),
        TextLine(
            (
                (f"{'target':<{LABEL}}", "muted"),
                span(target or "default", role or "b"),
                ("  production" if scene.production else "", "error+b"),
            )
        ),
    ]
    if who:
        lines.append(TextLine(((f"{'as':<{LABEL}}", "muted"), span(who)), indent=LABEL))
    if command:
        lines.append(TextLine(((f"{'command':<{LABEL}}", "muted"), span(command, "accent")), indent=LABEL))
    here = target or (state.bundle.name if state.bundle else "")
    typed = (word or here) if destructive else here if scene.production else ""
    return Plan(title, tuple(lines), typed, command, name)


def _text(*parts: str, role: str = "") -> list[TextLine]:
    return [TextLine((span(part, role),)) for part in parts]


def cli(scene: Scene, *words: str) -> str:
    """The command as a person would type it."""
    identity, bundle = scene.state.identity, scene.state.bundle
    target = identity.target or (bundle.target if bundle else "")
    place = [*(["-t", target] if target else []), *(["-p", identity.profile] if identity.profile else [])]
    return shlex.join(["databricks", *words, *place])


def deploy(scene: Scene) -> Plan:
    files = scene.state.pending_files
    what = _text("Deploy the bundle.")
    if files:
        shown = ", ".join(files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
        what += [TextLine(((f"{plural(len(files), 'file')} changed: ", "muted"), span(shown)), indent=2)]
    return _plan(scene, "Deploy", what, cli(scene, "bundle", "deploy"))


def destroy(scene: Scene) -> Plan:
    bundle = scene.state.bundle
    count = len(bundle.resources) if bundle else 0
    what = _text(
        f"Destroy {plural(count, 'resource')} of this bundle, with the data of its pipelines, schemas and volumes.",
        "This cannot be undone.",
        role="error",
    )
    command = cli(scene, "bundle", "destroy", "--auto-approve")
    return _plan(scene, "Destroy", what, command, destructive=True)


def heal(scene: Scene, resource: Resource) -> Plan:
    rounds = scene.state.loop.max_iterations
    what = _text(
        f"Deploy, run {resource.ref}, and follow it to its end.",
        f"Where it fails: say why, wait for the fix, redeploy and repair; {rounds} rounds at most.",
    )
    return _plan(scene, "Heal", what, cli(scene, "bundle", "deploy"))


def run(scene: Scene, resource: Resource, params: Mapping[str, str], only: Sequence[str]) -> Plan:
    words = ["bundle", "run", resource.key, "--no-wait"]
    if only:
        words += ["--only", ",".join(only)]
    # A parameter's value goes into the text as one quoted word; the engine passes it as one argument.
    for name, value in params.items():
        words += ["--params", f"{name}={value}"]
    what = _text(f"Run {resource.ref}." if not only else f"Run only {', '.join(only)} of {resource.ref}.")
    return _plan(scene, "Run", what, cli(scene, *words))


def update(
    scene: Scene,
    resource: Resource,
    refresh: Sequence[str] = (),
    *,
    full_refresh: Sequence[str] = (),
    full: bool = False,
    validate_only: bool = False,
) -> Plan:
    words = ["bundle", "run", resource.key, "--no-wait"]
    if validate_only:
        words.append("--validate-only")
    if full:
        words.append("--full-refresh-all")
    if full_refresh:
        words += ["--full-refresh", ",".join(full_refresh)]
    if refresh:
        words += ["--refresh", ",".join(refresh)]
    tables = [*refresh, *full_refresh]
    if validate_only:
        what = _text(f"Check the code of {resource.ref}: nothing is written.")
    elif tables:
        shown = ", ".join(tables[:8]) + (f" and {len(tables) - 8} more" if len(tables) > 8 else "")
        what = _text(f"Start an update of {resource.ref}, of these alone: {shown}.")
    else:
        what = _text(f"Start an update of {resource.ref}.")
    if full or full_refresh:
        what += _text(
            "A full refresh throws the tables' data and checkpoints away and reads everything again.", role="error"
        )
    risky = full or bool(full_refresh)
    return _plan(scene, "Update", what, cli(scene, *words), destructive=risky, word=resource.key)


def repair(scene: Scene, tasks: Sequence[TaskRun], *, dependents: bool) -> Plan:
    shown = scene.run
    run_id = shown.run_id if shown else ""
    names = [task.task_key for task in tasks]
    what = _text(
        f"Run {', '.join(names)} of run {run_id} again" + (", with what depends on it." if dependents else ".")
        if names
        else f"Run every failed task of run {run_id} again."
    )
    body = f'"rerun_tasks": {names}'.replace("'", '"') if names else '"rerun_all_failed_tasks": true'
    if dependents:
        body += ', "rerun_dependent_tasks": true'
    command = f'POST /api/2.2/jobs/runs/repair {{"run_id": {run_id}, {body}}}'
    return _plan(scene, "Repair", what, command, name="dependents" if dependents else "alone")


def cancel(scene: Scene, task: TaskRun | None = None) -> Plan:
    """Cancel the run on show, or only `task` of it, or stop the update."""
    run = scene.run
    if task is not None:
        what = _text(f"Cancel only the task {task.task_key} of run {run.run_id if run else ''}; the others go on.")
        return _plan(scene, "Cancel", what, cli(scene, "jobs", "cancel-run", task.run_id), name=task.run_id)
    if run is not None and run.state.active:
        what = _text(f"Cancel run {run.run_id} of {run.name}.")
        return _plan(scene, "Cancel", what, cli(scene, "jobs", "cancel-run", run.run_id), name=run.run_id)
    update_ = scene.update
    pipeline = update_.pipeline_id if update_ else ""
    what = _text(f"Stop update {update_.update_id if update_ else ''}.")
    return _plan(scene, "Stop", what, cli(scene, "pipelines", "stop", pipeline))


def check(scene: Scene, diagnosis: Diagnosis, warehouse: Warehouse) -> Plan:
    """Run the check query of `diagnosis` on `warehouse`; said before: whether that starts it."""
    what = _text(f"Ask the warehouse {warehouse.name} whether it is {diagnosis.cause}.")
    if starts(warehouse):
        now = warehouse.state.lower() or "not known to run"
        what += _text(f"It is {now}: the query starts it, which takes a while and costs.", role="warn")
    else:
        what += _text("It runs already: nothing is started.", role="muted")
    what.append(TextLine())
    what += [TextLine((("  ", ""), *line), indent=2) for line in paragraphs(diagnosis.check_sql or "", "accent")]
    return _plan(scene, "Check query", what, "POST /api/2.0/sql/statements")


def starts(warehouse: Warehouse) -> bool:
    """Whether a statement would start the warehouse."""
    return warehouse.state.upper() not in ("RUNNING", "STARTING")


def learn(scene: Scene) -> Plan:
    lines = [
        *_text(scene.state.learnable),
        TextLine(),
        TextLine((("Written as a row below ", "muted"), (".dbops/matrix/", "accent"), (" of the bundle.", "muted"))),
    ]
    return Plan("Learn", tuple(lines))


def clean_up(scene: Scene) -> Plan:
    """Destroy what is deployed at the place before; the word is the name of the target there."""
    state = scene.state
    word = state.cleanup_word or (state.bundle.name if state.bundle else "")
    lines = [
        *_text(state.cleanup),
        TextLine(),
        *_text("Destroying takes all of that away, with the data of its pipelines, schemas and volumes.", role="error"),
        *_text("This cannot be undone.", role="error"),
        TextLine(),
        TextLine(((f"{'command':<{LABEL}}", "muted"), span(cli_at(word, "bundle", "destroy"), "accent")), indent=LABEL),
    ]
    return Plan("Destroy what is deployed elsewhere", tuple(lines), word)


def cli_at(target: str, *words: str) -> str:
    """The command for another target than the one in use."""
    return shlex.join(["databricks", *words, *(["-t", target] if target else [])])


def apply_fix(scene: Scene, glyphs: Glyphs) -> Plan:
    fix = scene.state.fixes[scene.fix]
    bundle = scene.state.bundle
    files = sorted({edit.file for edit in fix.patch.edits}) if fix.patch else []
    what = [TextLine((span(fix.title, "b"),)), *fix_lines(fix, scene.fix, glyphs)[1:]]
    lines = [*what, TextLine()]
    if files:
        lines.append(TextLine(((f"{'edits':<{LABEL}}", "muted"), span(", ".join(files))), indent=LABEL))
        lines.append(
            TextLine(((f"{'below':<{LABEL}}", "muted"), span(str(bundle.root) if bundle else "")), indent=LABEL)
        )
    if fix.patch is None or fix.destructive:
        plan = _plan(scene, "Apply", what, fix.command or "", destructive=fix.destructive)
        return plan
    return Plan("Apply", tuple(lines), "", fix.command or "")


def undo(scene: Scene) -> Plan:
    title = scene.state.undo_title
    lines = [
        *([TextLine((span(title, "b"),)), TextLine()] if title else []),
        TextLine((span("Take the last applied fix back, where the files are as it left them."),)),
    ]
    return Plan("Undo", tuple(lines))
