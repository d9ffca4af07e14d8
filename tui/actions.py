"""The one table of actions: keys, footer, help, palette, keymap file and the documentation are all read from it.

Never does anything itself; `operations.py` holds what each action does. `python -m dbops_tui.tui.actions` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..core.runs import Run
from ..widgets.line_view import MOVES
from ..widgets.run_nodes import latest_and_older
from .scene import Scene

Confirm = Literal["none", "y", "typed"]
When = Callable[[Scene], str]

GROUPS = ("Loop", "Run", "Fix", "Look", "Panes", "Console", "Move")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can ask for.

    `keys` are names of Textual, comma-separated. `when` says why it cannot be done now, in a few words, or "".
    `mutating` changes the workspace or the source: refused by the guard where that is not allowed, and never offered
    in a read-only console. `confirm` is the least that is asked for; production asks for a typed name anyway.
    `foot` is its rank in the footer (0: not there). `where` names the place where its keys are its own (`diagnosis`,
    `events`); an action without one has the same keys everywhere else.
    """

    id: str
    keys: str
    label: str
    group: str
    description: str
    when: When = lambda scene: ""
    mutating: bool = False
    dangerous: bool = False
    confirm: Confirm = "none"
    foot: int = 0
    palette: bool = True
    where: str = ""


# --- when an action makes sense, and what is said where it does not ---------------------------------------------------


def _writable(scene: Scene) -> str:
    return _locked(scene) or scene.state.identity.problem


def _locked(scene: Scene) -> str:
    if scene.read_only:
        return "read-only" if scene.state.read_only else "read-only: A allows changes for a while"
    return ""


def _cli(scene: Scene) -> str:
    return _writable(scene) or scene.state.cli_problem


def _deployable(scene: Scene) -> str:
    if scene.state.bundle is None:
        return "no bundle is loaded"
    if scene.state.busy:
        return f"{scene.state.busy} is under way"
    return _cli(scene)


def _shippable(scene: Scene) -> str:
    return _deployable(scene) or ("what is deployed elsewhere comes first: K" if scene.state.cleanup else "")


def _runnable(scene: Scene) -> str:
    if scene.resource is None or scene.resource.type not in ("jobs", "pipelines"):
        return "choose a job or a pipeline first"
    return _cli(scene)


def _job(scene: Scene) -> str:
    if scene.resource is None or scene.resource.type != "jobs":
        return "choose a job first"
    return _cli(scene)


def _pipeline(scene: Scene) -> str:
    if scene.resource is None or scene.resource.type != "pipelines":
        return "choose a pipeline first"
    return _cli(scene)


def _repairable(scene: Scene) -> str:
    if scene.run is None:
        return "no run is on show"
    if scene.run.state.active:
        return "the run has not ended yet"
    if not scene.run.state.failed and not _left_failed(scene.run):
        return "nothing of this run has failed"
    return _writable(scene)


def _left_failed(run: Run) -> bool:
    """Whether a task has failed in its newest attempt: what a retry or a repair made good counts no more."""
    if not any(task.state.failed for task in run.tasks):
        return False
    latest, _ = latest_and_older(run.tasks)
    return any(task.state.failed for task in latest)


def _task_repairable(scene: Scene) -> str:
    if scene.task is None:
        return "choose a task first"
    return _repairable(scene)


def _cancelable(scene: Scene) -> str:
    if scene.run is not None and scene.run.state.active:
        return _writable(scene)
    if scene.update is not None and not scene.update.ended:
        return _writable(scene)
    return "nothing on show is running"


def _fixable(scene: Scene) -> str:
    fixes = scene.state.fixes
    if not fixes:
        return "there is no fix to apply"
    fix = fixes[scene.fix] if scene.fix < len(fixes) else None
    if fix is None or (fix.patch is None and not fix.starts_a_run):
        return "this fix is done by hand"
    return _locked(scene)


def _editable(scene: Scene) -> str:
    return "" if scene.place else "no place in the source is known here"


def _page(scene: Scene) -> str:
    return "" if scene.url else "no page is known here"


def _searchable(scene: Scene) -> str:
    return "" if scene.pane != "diagnosis" else "nothing to filter here"


def _healable(scene: Scene) -> str:
    return _runnable(scene) or ("the loop is under way" if scene.looping else "")


def _undoable(scene: Scene) -> str:
    return _locked(scene) or ("" if scene.state.undo_title else "nothing to undo")


def _checkable(scene: Scene) -> str:
    if scene.diagnosis is None:
        return "nothing has been diagnosed"
    if not scene.diagnosis.check_sql:
        return "there is no check query for this cause"
    if scene.state.signed_out:
        return "signed out"
    return _writable(scene)


def _learnable(scene: Scene) -> str:
    return _locked(scene) or ("" if scene.state.learnable else "nothing new was learned")


def _scheduled(scene: Scene) -> str:
    config = scene.resource.config if scene.resource is not None else {}
    if not any(config.get(name) for name in ("schedule", "trigger", "continuous")):
        return "it has no schedule"
    return ""


def _switchable(scene: Scene) -> str:
    bundle = scene.state.bundle
    if bundle is None or len(bundle.targets) < 2:
        return "the bundle has no other target"
    if scene.looping:
        return "the loop is under way"
    return f"{scene.state.busy} is under way" if scene.state.busy else ""


def _unsettled(scene: Scene) -> str:
    return _locked(scene) if scene.state.cleanup else "nothing is left elsewhere"


def _armable(scene: Scene) -> str:
    if scene.state.read_only or scene.state.armed_until is None:
        return "this console was not started to be armed"
    return ""


def _markable(scene: Scene) -> str:
    if scene.task is None and scene.flow is None:
        return "choose a task or a flow first"
    return ""


def _watchable(scene: Scene) -> str:
    going = (scene.run is not None and scene.run.state.active) or (scene.update is not None and not scene.update.ended)
    return "" if going else "nothing on show is running"


ACTIONS: tuple[Action, ...] = (
    Action(
        "apply",
        "a",
        "apply",
        "Fix",
        "apply the chosen fix to the source",
        _fixable,
        mutating=True,
        confirm="y",
        foot=90,
    ),
    Action("edit", "e", "edit", "Fix", "open the place in the source in your editor", _editable, foot=80),
    Action(
        "check",
        "c",
        "check",
        "Fix",
        "run the check query of the diagnosis on a warehouse you choose",
        _checkable,
        mutating=True,
        confirm="y",
        foot=88,
        where="diagnosis",
    ),
    Action(
        "learn",
        "L",
        "learn",
        "Fix",
        "write what the last loop taught as a row of the bundle's own matrix",
        _learnable,
        mutating=True,
        confirm="y",
        foot=55,
    ),
    Action("undo", "u", "undo", "Fix", "take the last applied fix back", _undoable, mutating=True, confirm="y"),
    Action("deploy", "d", "deploy", "Loop", "deploy the bundle", _shippable, mutating=True, confirm="y", foot=85),
    Action(
        "heal",
        "H",
        "heal",
        "Loop",
        "start the loop on the resource: deploy, run, diagnose, and verify after your fix",
        _healable,
        mutating=True,
        confirm="y",
        foot=60,
    ),
    Action("validate", "v", "validate", "Loop", "let the CLI validate the bundle", _deployable),
    Action("plan", "p", "plan", "Loop", "show what a deploy would change", _deployable),
    Action("auto", "W", "auto", "Loop", "redeploy by itself when the source is edited, on or off", _writable),
    Action(
        "destroy",
        "D",
        "destroy",
        "Loop",
        "destroy everything the bundle deployed to this target",
        _deployable,
        mutating=True,
        dangerous=True,
        confirm="typed",
    ),
    Action("run", "x", "run", "Run", "run the resource", _runnable, mutating=True, confirm="y", foot=70),
    Action(
        "run_with",
        "X",
        "run with",
        "Run",
        "run the job with other parameters, or only some of its tasks",
        _job,
        mutating=True,
        confirm="y",
    ),
    Action(
        "repair", "r", "repair", "Run", "run the failed tasks again", _repairable, mutating=True, confirm="y", foot=75
    ),
    Action(
        "repair_task",
        "R",
        "repair tasks",
        "Run",
        "run the marked tasks again, or the chosen one, with or without what depends on them",
        _task_repairable,
        mutating=True,
        confirm="y",
    ),
    Action(
        "cancel",
        "c",
        "cancel",
        "Run",
        "cancel the run or one of its tasks, or stop the update",
        _cancelable,
        mutating=True,
        confirm="y",
        foot=40,
    ),
    Action(
        "update_with",
        "U",
        "update with",
        "Run",
        "start an update of chosen tables, or only validate",
        _pipeline,
        mutating=True,
        confirm="y",
    ),
    Action(
        "full_refresh",
        "F",
        "full refresh",
        "Run",
        "refresh the whole pipeline from nothing: this can lose data",
        _pipeline,
        mutating=True,
        dangerous=True,
        confirm="typed",
    ),
    Action("watch", "w", "watch", "Run", "ring and notify when what is on show ends, on or off", _watchable),
    Action("mark", "m", "mark", "Run", "choose tasks or tables for the next repair, run or update", _markable),
    Action("schedule", "s", "schedule", "Run", "when it runs next, and the place in the YAML that says so", _scheduled),
    Action(
        "open", "o", "open page", "Look", "open the page of what is under the cursor in the browser", _page, foot=50
    ),
    Action("copy", "y", "copy", "Look", "copy what is under the cursor: id, place, command or text", foot=45),
    Action("copy_url", "Y", "copy url", "Look", "copy the address of the page", _page),
    Action("filter", "slash", "filter", "Look", "filter or search the pane; /regex/ is one", _searchable, foot=35),
    Action("next", "n", "next", "Look", "the next match, failed task, or cause: whatever the pane has", foot=30),
    Action("previous", "N", "previous", "Look", "the one before", palette=False),
    Action("level", "L", "level", "Look", "which levels of events are shown", foot=65, where="events"),
    Action("choose_events", "f", "types", "Look", "show one type of events, or one flow", foot=64, where="events"),
    Action("event_times", "t", "times", "Look", "events over time by level; Enter goes there", foot=63, where="events"),
    Action("report", "M", "report", "Look", "the escalation report as Markdown"),
    Action("pane_1", "1", "resources", "Panes", "to the resources", palette=False),
    Action("pane_2", "2", "run", "Panes", "to the run or update", palette=False),
    Action("pane_3", "3", "diagnosis", "Panes", "to the diagnosis", palette=False),
    Action("pane_4", "4", "detail", "Panes", "to the tabs", palette=False),
    Action("next_pane", "tab", "next pane", "Panes", "to the next pane", palette=False),
    Action("previous_pane", "shift+tab", "previous pane", "Panes", "to the pane before", palette=False),
    Action("next_tab", "right_square_bracket", "next tab", "Panes", "the next tab of pane 4", palette=False),
    Action("previous_tab", "left_square_bracket", "previous tab", "Panes", "the tab before", palette=False),
    Action("zoom", "z", "zoom", "Panes", "give the pane all the room, and back"),
    Action("back", "escape", "back", "Panes", "leave the filter, the zoom, or the pane", palette=False),
    Action(
        "palette", "colon,ctrl+p", "palette", "Console", "find an action or a resource by name", foot=20, palette=False
    ),
    Action("help", "question_mark,f1", "help", "Console", "all keys", foot=15),
    Action("sign_in", "i", "sign in", "Console", "sign in, or choose the profile"),
    Action("target", "T", "target", "Console", "act on another target of the bundle", _switchable),
    Action(
        "clean_up",
        "K",
        "clean up",
        "Console",
        "destroy or keep what is deployed at the place before",
        _unsettled,
        mutating=True,
        dangerous=True,
        confirm="typed",
        foot=87,
    ),
    Action("arm", "A", "arm", "Console", "allow changes for a while, where the console was started so", _armable),
    Action("refresh", "f5,ctrl+r", "refresh", "Console", "ask the workspace now"),
    Action("theme", "ctrl+t", "theme", "Console", "the next theme: dark, light, high contrast"),
    Action("clock", "C", "clock", "Console", "elapsed times and countdowns that tick, on or off"),
    Action("redraw", "ctrl+l", "redraw", "Console", "draw the whole screen again"),
    Action("quit", "q,ctrl+q,ctrl+c", "quit", "Console", "leave; what runs at the workspace goes on", foot=10),
)
BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


class KeymapError(Exception):
    """The keymap cannot be used; the message has one line for each problem."""


def with_keymap(keymap: Mapping[str, str], actions: Iterable[Action] = ACTIONS) -> tuple[Action, ...]:
    """The actions with the keys of `keymap` (id → keys). Raises KeymapError for an id that is none, or a key twice."""
    import difflib

    problems: list[str] = []
    changed: list[Action] = []
    known = tuple(actions)
    ids = [action.id for action in known]
    for name in keymap:
        if name not in ids:
            near = difflib.get_close_matches(name, ids, 1)
            problems.append(f"{name}: there is no such action" + (f", did you mean {near[0]}?" if near else ""))
    owner: dict[tuple[str, str], str] = {}
    for action in known:
        keys = keymap.get(action.id, action.keys)
        for key in keys_of(keys):
            if (key, action.where) in owner:
                problems.append(f"{key}: stands for {owner[key, action.where]} and for {action.id}")
            owner[key, action.where] = action.id
        changed.append(replace(action, keys=keys) if keys != action.keys else action)
    if problems:
        raise KeymapError("\n".join(problems))
    return tuple(changed)


def load_keymap(path: str) -> dict[str, str]:
    """The keymap file: TOML with a table `[keys]` of `action = "key,key"`. Raises KeymapError."""
    import tomllib

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise KeymapError(f"{path}: {error}") from error
    keys = table.get("keys", table)
    if not isinstance(keys, dict) or not all(isinstance(value, str) for value in keys.values()):
        raise KeymapError(f'{path}: a table [keys] with lines like  deploy = "d"  is wanted')
    return dict(keys)


def keys_of(keys: str) -> list[str]:
    """The single keys of a comma-separated list."""
    return [key.strip() for key in keys.split(",") if key.strip()]


_SHOWN = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "escape": "esc",
    "space": "space",
    "pageup": "pgup",
    "pagedown": "pgdn",
}


def shown(key: str) -> str:
    """A key as people write it."""
    return _SHOWN.get(key, key)


def first_key(action: Action) -> str:
    """The key that is shown for an action."""
    keys = keys_of(action.keys)
    return shown(keys[0]) if keys else ""


def at_key(key: str, place: str, actions: Iterable[Action] = ACTIONS) -> Action | None:
    """The action of `key` at `place`: the one whose own place that is, else the one that has the key everywhere."""
    found = [action for action in actions if key in keys_of(action.keys) and action.where in ("", place)]
    return max(found, key=lambda action: bool(action.where), default=None)


def offered(scene: Scene, actions: Iterable[Action] = ACTIONS) -> list[Action]:
    """What the footer offers here, the most useful first; the last two always."""
    known = tuple(actions)
    own = {key for action in known if action.where and action.where == scene.where for key in keys_of(action.keys)}

    def here(action: Action) -> bool:
        return action.where == scene.where if action.where else not own.intersection(keys_of(action.keys)[:1])

    return sorted(
        (a for a in known if a.foot and here(a) and (a.foot <= 20 or not a.when(scene))),
        key=lambda action: -action.foot,
    )


def rows(actions: Iterable[Action] = ACTIONS) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(group, [(keys, label, description)]) of everything, with the moves within a pane, for help and docs."""
    groups: dict[str, list[tuple[str, str, str]]] = {group: [] for group in GROUPS}
    for action in actions:
        keys = " ".join(shown(key) for key in keys_of(action.keys))
        more = {"typed": "; asks for a typed name", "y": "; asks first"}.get(action.confirm, "")
        place = {"diagnosis": " (in the diagnosis)", "events": " (in the events)"}.get(action.where, "")
        groups[action.group].append((keys, action.label, action.description + place + more))
    for _, keys, label, description in MOVES:
        groups["Move"].append((" ".join(shown(key) for key in keys_of(keys)), label, description))
    return list(groups.items())


def markdown(actions: Iterable[Action] = ACTIONS) -> str:
    """The table of keys for the documentation."""
    lines: list[str] = []
    for group, entries in rows(actions):
        lines += [f"## {group}", "", "| keys | action | what it does |", "|---|---|---|"]
        for keys, label, description in entries:
            shown_keys = " ".join(f"`{key}`" for key in keys.split())
            lines.append(f"| {shown_keys} | {label} | {description} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
