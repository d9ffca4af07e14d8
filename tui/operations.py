"""What each action does: asks where something would be changed, then hands the wish to the engine.

Never decides whether a thing may be done, and never changes anything itself.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ..core.bundle import Resource
from ..core.runs import TaskRun
from ..widgets.details import parameters_of
from ..widgets.page import TextLine
from ..widgets.spans import inert, span
from ..widgets.words import host_name
from . import plans
from .looking import Looking, Work
from .plans import Plan

if TYPE_CHECKING:
    from ..core.state import Warehouse


class Operations(Looking):
    """One method `do_ID` for each action of the table."""

    def do(self, name: str) -> None:
        """Do the action `name`."""
        getattr(self, f"do_{name}")()

    # --- loop --------------------------------------------------------------------------------------------------------

    def do_deploy(self) -> None:
        self.ask(plans.deploy(self.app.scene()), lambda word: self.engine.deploy(confirmed=word))

    def do_validate(self) -> None:
        self.app.spawn(self.engine.validate(), "intent")

    def do_plan(self) -> None:
        self.app.spawn(self.engine.plan(), "intent")

    def do_heal(self) -> None:
        resource = self._resource()
        if resource is not None:
            plan = plans.heal(self.app.scene(), resource)
            self.ask(plan, lambda word: self.engine.heal((resource.ref,), confirmed=word))

    def do_auto(self) -> None:
        self.app.spawn(self.engine.set_auto(not self.app.state.auto), "intent")

    def do_destroy(self) -> None:
        self.ask(plans.destroy(self.app.scene()), lambda word: self.engine.destroy(confirmed=word))

    # --- runs and updates --------------------------------------------------------------------------------------------

    def do_run(self) -> None:
        resource = self._resource()
        if resource is None:
            return
        if resource.type == "pipelines":
            if self._attached(resource):
                return
            plan = plans.update(self.app.scene(), resource)
            self.ask(plan, lambda word: self.engine.start_update(resource.ref, confirmed=word))
        else:
            plan = plans.run(self.app.scene(), resource, {}, ())
            self.ask(plan, lambda word: self.engine.run(resource.ref, confirmed=word))

    def do_run_with(self) -> None:
        from .screens import Field, FormDialog

        resource = self._resource()
        if resource is None:
            return
        declared = parameters_of(resource)
        fields = [Field(name, value, f"default {value}" if value else "") for name, value in declared]
        marked = ", ".join(self._marked_tasks()) if resource.ref == self.app.state.focus else ""
        hint = "comma-separated; +key also what it needs, key+ what follows"
        fields.append(Field("only tasks", marked, hint))
        note = "" if declared else "The job declares no parameters."

        def filled(values: dict[str, str]) -> None:
            only = tuple(part.strip() for part in values.pop("only tasks").split(",") if part.strip())
            known = self._task_keys(resource)
            unknown = [key for key in only if key.strip("+") not in known] if known else []
            if unknown:
                self.app.say(f"{resource.key} has no task {', '.join(unknown)}", "warn")
                return
            changed = {name: values[name] for name, value in declared if values[name] != inert(value)}
            plan = plans.run(self.app.scene(), resource, changed, only)
            self.ask(
                plan,
                lambda word: self._then_unmark(self.engine.run(resource.ref, changed or None, only, confirmed=word)),
            )

        self.open_dialog(FormDialog(f"Run {resource.key} with", fields, note), filled)

    def do_update_with(self) -> None:
        from .screens import Field, FormDialog

        resource = self._resource()
        if resource is None:
            return
        if self._attached(resource):
            return
        marked = ", ".join(sorted(self.app.panes.marked)) if resource.ref == self.app.state.focus else ""
        fields = [
            Field("tables", marked, "refresh only these, comma-separated"),
            Field("full refresh of", "", "these from nothing: loses what is in them"),
            Field("validate only", "no", "yes: check the code and change nothing"),
        ]

        def filled(values: dict[str, str]) -> None:
            tables = _names(values["tables"])
            full = _names(values["full refresh of"])
            only = values["validate only"].strip().lower() in ("y", "yes", "true", "1")
            plan = plans.update(self.app.scene(), resource, tables, full_refresh=full, validate_only=only)
            self.ask(
                plan,
                lambda word: self._then_unmark(
                    self.engine.start_update(
                        resource.ref, refresh=tables, full_refresh=full, validate_only=only, confirmed=word
                    )
                ),
            )

        self.open_dialog(FormDialog(f"Update {resource.key} with", fields), filled)

    def do_full_refresh(self) -> None:
        resource = self._resource()
        if resource is not None and not self._attached(resource):
            plan = plans.update(self.app.scene(), resource, full=True)
            self.ask(plan, lambda word: self.engine.start_update(resource.ref, full=True, confirmed=word))

    def do_repair(self) -> None:
        run = self.app.scene().run
        if run is not None:
            plan = plans.repair(self.app.scene(), (), dependents=False)
            self.ask(plan, lambda word: self.engine.repair(run.run_id, confirmed=word))

    def do_repair_task(self) -> None:
        scene = self.app.scene()
        run = scene.run
        tasks = self._chosen_tasks()
        if run is None or not tasks:
            return
        keys = tuple(task.task_key for task in tasks)
        plan = plans.either(
            plans.repair(scene, tasks, dependents=True),
            "with what depends on it",
            plans.repair(scene, tasks, dependents=False),
            "only that",
        )
        self.ask_either(
            plan,
            lambda asked, word: self._then_unmark(
                self.engine.repair(run.run_id, keys, asked.name == "dependents", confirmed=word)
            ),
        )

    def _task_keys(self, resource: Resource) -> set[str]:
        """The tasks of a job as its YAML declares them, and as the run on show has them."""
        declared = resource.config.get("tasks")
        tasks = declared if isinstance(declared, list) else []
        keys = {str(task["task_key"]) for task in tasks if isinstance(task, dict) and task.get("task_key")}
        run = self.app.state.run if resource.ref == self.app.state.focus else None
        return keys.union(task.task_key for task in run.tasks) if run is not None else keys

    def _chosen_tasks(self) -> list[TaskRun]:
        """The marked tasks of the run on show, in their order; without any the one under the cursor.

        A task of a nested run stands for the task of this run that started it: that is what can be repaired.
        """
        run = self.app.state.run
        marked = self._marked_tasks()
        if run is not None and marked:
            newest = {task.task_key: task for task in run.tasks}
            return [newest[key] for key in marked if key in newest]
        task = self.app.panes.task_of_run(self.app.state)
        return [task] if task is not None else []

    def _marked_tasks(self) -> list[str]:
        run = self.app.state.run
        keys = dict.fromkeys(task.task_key for task in run.tasks) if run is not None else {}
        return [key for key in keys if key in self.app.panes.marked]

    async def _then_unmark(self, work: Work) -> None:
        """Do it; what was marked for it is marked no more, unless it was refused."""
        await work
        self.app.panes.marked = frozenset()
        self.app.refresh_scene()

    def do_mark(self) -> None:
        app = self.app
        flow, task = app.scene().flow, app.panes.task_of_run(app.state)
        name = (flow.dataset or flow.name) if flow is not None else task.task_key if task is not None else ""
        if not name:
            return
        app.panes.marked ^= {name}
        view = app.views["run"]
        if app.pane == "run":
            view.action_line_down()
        app.refresh_scene()
        marked = len(app.panes.marked)
        app.say(f"{marked} marked" if marked else "nothing is marked")

    def _attached(self, resource: Resource) -> bool:
        """Whether an update of it is under way already: then that one is followed, and no other is started."""
        state = self.app.state
        status = state.statuses.get(resource.ref)
        active = (
            status.history[0].id if status is not None and status.history and status.history[0].state.active else ""
        )
        if state.focus == resource.ref and state.update is not None:
            active = "" if state.update.ended else state.update.update_id
        if not active:
            return False
        self.app.follow(resource.ref)
        self.app.say(f"update {active[:8]} is under way: it is followed; c stops it", "accent")
        return True

    def do_cancel(self) -> None:
        scene = self.app.scene()
        plan = plans.cancel(scene)
        if scene.run is None or not scene.run.state.active:
            self.ask(plan, lambda word: self.engine.stop_update(confirmed=word))
            return
        task = scene.task
        if task is not None and task.state.active and task.start_ms and task.run_id:
            only = plans.cancel(scene, task)
            plan = plans.either(plan, "the whole run", only, f"only {task.task_key}")
        self.ask_either(plan, lambda asked, word: self.engine.cancel(asked.name, confirmed=word))

    def do_watch(self) -> None:
        run, update = self.app.state.run, self.app.state.update
        what, id_ = "", ""
        if run is not None and run.state.active:
            what, id_ = "run", run.run_id
        elif update is not None and not update.ended:
            what, id_ = "update", update.update_id
        if id_ in self.app.watched:
            self.app.watched.discard(id_)
            self.app.say(f"{what} {id_} is not watched any more")
        elif id_:
            self.app.watched.add(id_)
            self.app.say(f"{what} {id_}: rings when it ends")

    def do_schedule(self) -> None:
        resource = self._resource()
        if resource is not None:
            self.app.spawn(self._show_schedule(resource), "schedule")

    async def _show_schedule(self, resource: Resource) -> None:
        import asyncio

        from ..core.schedules import trigger_of
        from ..widgets.details import schedule_page
        from .excerpts import line_below
        from .screens import TextDialog

        state = self.app.state
        trigger, bundle = trigger_of(resource.config), state.bundle
        if trigger is None or bundle is None:
            self.app.say("it has no schedule", "warn")
            return
        names = ("pause_status", trigger.section)
        place = resource.place
        line = await asyncio.to_thread(line_below, bundle.root, place.file, place.line, trigger.section, names)
        lines = schedule_page(
            trigger,
            state.statuses.get(resource.ref),
            f"{place.file}:{line or place.line}",
            self.app.now_ms,
            development=state.identity.mode == "development",
        )
        dialog = TextDialog(f"Schedule of {resource.key}", lines, enter="edit there")
        self.open_dialog(dialog, lambda key: self.edit(key[6:]) if key.startswith("place:") else None)

    # --- fixes -------------------------------------------------------------------------------------------------------

    def do_apply(self) -> None:
        scene = self.app.scene()
        plan = plans.apply_fix(scene, self.app.glyphs)
        self.ask(plan, lambda word: self.engine.apply_fix(scene.fix, confirmed=word))

    def do_undo(self) -> None:
        self.ask(plans.undo(self.app.scene()), lambda word: self.engine.undo_fix(confirmed=word))

    def do_check(self) -> None:
        self.app.say("asking which warehouses there are")
        self.app.spawn(self._choose_warehouse(), "check")

    async def _choose_warehouse(self) -> None:
        from .screens import Choice, PickDialog

        await self.engine.load_warehouses()
        warehouses = self.engine.state.warehouses
        if not warehouses:
            self.app.say("check: there is no SQL warehouse that answers to you", "warn")
            return
        self.app.notice = None
        running_first = sorted(warehouses, key=plans.starts)
        choices = [
            Choice(
                warehouse.id,
                warehouse.name or warehouse.id,
                f"{warehouse.state.lower() or 'unknown'}: would be started by it"
                if plans.starts(warehouse)
                else "runs",
            )
            for warehouse in running_first
        ]
        by_id = {warehouse.id: warehouse for warehouse in warehouses}
        dialog = PickDialog("Run the check query on which warehouse", choices, hint="choose")
        self.open_dialog(dialog, lambda id_: self._check_on(by_id[id_]))

    def _check_on(self, warehouse: Warehouse) -> None:
        scene = self.app.scene()
        if scene.diagnosis is not None:
            plan = plans.check(scene, scene.diagnosis, warehouse)
            self.ask(plan, lambda word: self.engine.check(scene.cause, warehouse.id, confirmed=word))

    def do_learn(self) -> None:
        self.ask(plans.learn(self.app.scene()), lambda word: self.engine.learn())

    # --- who and whether ---------------------------------------------------------------------------------------------

    def do_sign_in(self) -> None:
        from .screens import Choice, PickDialog

        identity = self.app.state.identity
        if identity.candidates:
            picks = [Choice(name, name, "use this profile", "") for name in identity.candidates]
            self.open_dialog(PickDialog("Profile", picks, hint="use"), lambda name: self._login(name))
            return
        host = identity.host or (self.app.state.bundle.workspace_host if self.app.state.bundle else "")
        words = ["databricks", "auth", "login", *(["--host", host] if host else [])]
        words += ["--profile", identity.profile] if identity.profile else []
        lines = (
            TextLine((span("Sign in: the CLI takes the terminal, or opens a browser, until that is done."),)),
            TextLine(),
            TextLine((("command   ", "muted"), span(shlex.join(words), "accent")), indent=10),
        )
        self.ask(Plan("Sign in", lines), lambda word: self.engine.login())

    def _login(self, profile: str) -> None:
        self.app.spawn(self.engine.login(profile), "login")

    def do_arm(self) -> None:
        self.app.spawn(self.engine.arm(), "intent")

    def do_target(self) -> None:
        from .screens import Choice, PickDialog

        bundle = self.app.state.bundle
        if bundle is None:
            return
        choices = []
        for target in bundle.targets:
            facts = ["in use now" if target.name == bundle.target else "", target.mode, host_name(target.host)]
            facts.append(f"profile {target.profile}" if target.profile else "")
            choices.append(Choice(target.name, target.name, "  ".join(fact for fact in facts if fact)))
        self.open_dialog(PickDialog("Act on which target", choices, hint="use"), self._switch)

    def _switch(self, target: str) -> None:
        bundle = self.app.state.bundle
        if bundle is not None and target == bundle.target:
            self.app.say(f"{target} is in use already")
        else:
            self.app.say(f"to target {target}")
            self.app.spawn(self.engine.switch(target), "intent")

    def do_clean_up(self) -> None:
        from .screens import KeysDialog

        scene = self.app.scene()
        lines = [
            TextLine((span(scene.state.cleanup),)),
            TextLine(),
            TextLine((("Until that is settled nothing is deployed or run here.", "muted"),)),
        ]
        keys = [("k", "keep", "keep it"), ("d", "destroy", "destroy it: asks for its name")]
        self.open_dialog(KeysDialog("Deployed elsewhere", lines, keys), self._clean_up)

    def _clean_up(self, choice: str) -> None:
        if choice == "keep":
            self.app.spawn(self.engine.keep_deployed(), "intent")
        else:
            self.ask(plans.clean_up(self.app.scene()), lambda word: self.engine.clean_up(confirmed=word))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
