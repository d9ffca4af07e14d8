"""What each action does: asks where something would be changed, then hands the wish to the engine.

Never decides whether a thing may be done, and never changes anything itself.
"""

from __future__ import annotations

import shlex

from ..widgets.details import parameters_of
from ..widgets.page import TextLine
from ..widgets.spans import inert, span
from . import plans
from .looking import Looking
from .plans import Plan


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
        fields.append(
            Field("only tasks", "", "task keys, comma-separated; +key with what it needs, key+ with what follows")
        )
        note = "" if declared else "The job declares no parameters."

        def filled(values: dict[str, str]) -> None:
            only = tuple(part.strip() for part in values.pop("only tasks").split(",") if part.strip())
            changed = {name: values[name] for name, value in declared if values[name] != inert(value)}
            plan = plans.run(self.app.scene(), resource, changed, only)
            self.ask(plan, lambda word: self.engine.run(resource.ref, changed or None, only, confirmed=word))

        self.open_dialog(FormDialog(f"Run {resource.key} with", fields, note), filled)

    def do_update_with(self) -> None:
        from .screens import Field, FormDialog

        resource = self._resource()
        if resource is None:
            return
        fields = [
            Field("tables", "", "refresh only these, comma-separated"),
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
                lambda word: self.engine.start_update(
                    resource.ref, refresh=tables, full_refresh=full, validate_only=only, confirmed=word
                ),
            )

        self.open_dialog(FormDialog(f"Update {resource.key} with", fields), filled)

    def do_full_refresh(self) -> None:
        resource = self._resource()
        if resource is not None:
            plan = plans.update(self.app.scene(), resource, full=True)
            self.ask(plan, lambda word: self.engine.start_update(resource.ref, full=True, confirmed=word))

    def do_repair(self) -> None:
        run = self.app.scene().run
        if run is not None:
            plan = plans.repair(self.app.scene(), (), dependents=False)
            self.ask(plan, lambda word: self.engine.repair(run.run_id, confirmed=word))

    def do_repair_task(self) -> None:
        scene = self.app.scene()
        run, task = scene.run, scene.task
        if run is not None and task is not None:
            keys = (task.task_key,)
            plan = plans.repair(scene, (task,), dependents=True)
            self.ask(plan, lambda word: self.engine.repair(run.run_id, keys, True, confirmed=word))

    def do_cancel(self) -> None:
        scene = self.app.scene()
        plan = plans.cancel(scene)
        if scene.run is not None and scene.run.state.active:
            run_id = scene.run.run_id
            self.ask(plan, lambda word: self.engine.cancel(run_id, confirmed=word))
        else:
            self.ask(plan, lambda word: self.engine.stop_update(confirmed=word))

    def do_watch(self) -> None:
        run = self.app.state.run
        if run is None or not run.state.active:
            self.app.say("watch: no run on show is running", "warn")
        elif run.run_id in self.app.watched:
            self.app.watched.discard(run.run_id)
            self.app.say(f"run {run.run_id} is not watched any more")
        else:
            self.app.watched.add(run.run_id)
            self.app.say(f"run {run.run_id}: rings when it ends")

    # --- fixes -------------------------------------------------------------------------------------------------------

    def do_apply(self) -> None:
        scene = self.app.scene()
        plan = plans.apply_fix(scene, self.app.glyphs)
        self.ask(plan, lambda word: self.engine.apply_fix(scene.fix, confirmed=word))

    def do_undo(self) -> None:
        self.ask(plans.undo(self.app.scene()), lambda word: self.engine.undo_fix(confirmed=word))

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
        arm = self.app.options.arm
        self.app.say(arm() if arm is not None else "arm: this console was not started read-only for a while", "warn")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
