"""The actions that only look: copy, open, filter, go from pane to pane, help, palette, leave.

Never changes anything at the workspace or in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.bundle import Resource
from ..core.runs import TaskRun
from ..core.search import pattern_of
from ..core.sources import local_file
from ..widgets.line_view import LineView
from ..widgets.outline import OutlinePage
from ..widgets.output import LogPage
from ..widgets.page import Page, TextLine
from ..widgets.spans import span
from ..widgets.theme import PALETTES
from ..widgets.words import host_name
from .actions import rows
from .layout import PANES
from .looking_events import LookingAtEvents
from .panes import TABS
from .plans import Plan

if TYPE_CHECKING:
    from .app import ConsoleApp
    from .screens import Dialog

Work = Coroutine[Any, Any, Any]


class Looking(LookingAtEvents):
    """Half of the operations; `operations.py` has those that change something."""

    def __init__(self, app: ConsoleApp) -> None:
        self.app = app

    # --- asking ------------------------------------------------------------------------------------------------------

    def open_dialog(self, dialog: Dialog[Any], answer: Callable[[Any], None]) -> None:
        """Show a dialog; `answer` gets what it gives, unless it was left."""

        def given(value: Any) -> None:
            if value is not None and value is not False:
                answer(value)

        self.app.push_screen(dialog, given)

    def ask(self, plan: Plan, work: Callable[[str], Work]) -> None:
        """Ask, then do `work(confirmed)`."""
        self.ask_either(plan, lambda _, confirmed: work(confirmed))

    def ask_either(self, plan: Plan, work: Callable[[Plan, str], Work]) -> None:
        """Ask for `plan` or for the one beside it, then do `work(which, confirmed)`."""
        from .screens import ConfirmDialog

        dialog = ConfirmDialog(plan)
        self.open_dialog(dialog, lambda confirmed: self.app.spawn(work(dialog.plan, confirmed), "intent"))

    @property
    def engine(self) -> Any:
        return self.app.engine

    # --- editing ----------------------------------------------------------------------------------------------------

    def do_edit(self) -> None:
        scene = self.app.scene()
        event = scene.event
        # Of an event its own place, also where only its exceptions tell it.
        told = self.place_of(event) if event is not None and event.level in ("ERROR", "WARN") else ""
        self.edit(told or scene.place)

    def edit(self, place: str) -> None:
        """Open `file:line` below the bundle's folder in the editor."""
        bundle = self.app.state.bundle
        if bundle is None or not place:
            return
        file, _, number = place.rpartition(":")
        if not number.isdigit():
            file, number = place, ""
        # A path in the workspace, as events and frames have it, leads to the file that was deployed there.
        path = (bundle.root / (local_file(bundle, file) or file)).resolve()
        if not path.is_relative_to(bundle.root.resolve()) or not path.is_file():
            self.app.say(f"{file} is not a file of this bundle", "warn")
            return
        self.app.spawn(self._edit(path, int(number) if number else None), "editor")

    async def _edit(self, path: Path, line: int | None) -> None:
        import asyncio

        from textual.app import SuspendNotSupported

        from . import editor

        app = self.app
        try:
            command = editor.command_for(path, line, editor=app.options.editor)
        except editor.NoEditor as error:
            app.say(str(error), "warn")
            return
        if command.own_window:
            problem = await asyncio.to_thread(editor.run, command)
            app.say(problem or f"opened {path.name}", "warn" if problem else "")
            return
        problem = ""
        app.step_away()
        try:
            # What is raised inside of the block would leave the terminal suspended for good, so nothing is.
            with app.batch_update(), app.suspend():
                problem = await asyncio.to_thread(editor.run, command)
        except SuspendNotSupported:
            problem = "this terminal cannot be handed to an editor"
        finally:
            app.come_back()
        if problem:
            app.say(problem, "warn")

    # --- looking -----------------------------------------------------------------------------------------------------

    def do_open(self) -> None:
        self.open_url(self.app.scene().url)

    def open_url(self, url: str) -> None:
        """Open a web address; over SSH there is often no browser, so it is on the status line too."""
        if url.startswith(("https://", "http://")):
            self.app.open_url(url)
            self.app.say(url, "accent", seconds=30)

    def do_copy(self) -> None:
        scene, view = self.app.scene(), self.app.views[self.app.pane]
        key = view.page.home()
        if scene.event is not None:
            text = scene.event.message
        elif key.startswith(("place:", "url:", "text:")):
            text = key.partition(":")[2]
        elif key.startswith("fix:"):
            fix = scene.state.fixes[scene.fix] if scene.fix < len(scene.state.fixes) else None
            text = (fix.command or fix.title) if fix is not None else ""
        elif scene.pane == "detail" and scene.tab in ("output", "cli"):
            page = view.page
            text = (
                "\n".join("".join(t for t, _ in line.spans) for line in page.source)
                if isinstance(page, LogPage)
                else ""
            )
        elif scene.pane == "diagnosis" and scene.state.diagnoses:
            diagnosis = scene.state.diagnoses[0]
            evidence = "\n".join(item.text for item in diagnosis.evidence)
            text = f"{diagnosis.cause}: {diagnosis.title}\n{diagnosis.explanation}\n{evidence}"
        elif scene.pane in ("run", "detail"):
            text = (scene.task.run_id if scene.task else "") or (scene.run.run_id if scene.run else "")
            text = text or (scene.update.update_id if scene.update else "")
        else:
            text = (scene.resource.id or scene.resource.ref) if scene.resource else ""
        if text:
            self.app.copy_text(text)
        else:
            self.app.say("copy: nothing is chosen", "warn")

    def do_copy_url(self) -> None:
        self.app.copy_text(self.app.scene().url)

    def do_report(self) -> None:
        if self.app.state.report_markdown:
            self.show_report()
        else:
            self.app.spawn(self.engine.report(), "report")

    def show_report(self) -> None:
        """Show the escalation report."""
        from .screens import TextDialog

        text = self.app.state.report_markdown
        lines = []
        for line in text.split("\n"):
            role = "accent+b" if line.startswith("#") else "muted" if line.startswith(("```", "- ")) else ""
            lines.append(TextLine((span(line, role),), indent=2))
        self.open_dialog(TextDialog("Report", lines, copyable=text), lambda key: None)

    def do_next(self, *, back: bool = False) -> None:
        app = self.app
        view = app.views[app.pane]
        page = view.page
        if isinstance(page, LogPage) and page.needle is not None:
            self._search(page, page.needle, back=back)
        elif app.pane == "diagnosis" and page is app.panes.diagnosis and app.state.diagnoses:
            app.panes.diagnosis.turn(-1 if back else 1)
            app.refresh_scene()
        elif app.pane == "detail" and app.panes.tab == "events":
            self.next_event(back=back)
        else:
            ways = [self._next_failed_task, self._next_failed_resource]
            entry = app.panes.resources.entry()
            if app.pane == "resources" and entry is not None and entry.resource.ref != app.state.focus:
                ways.reverse()  # what is pointed at is not what is on show
            if not any(way(back=back) for way in ways):
                app.say("nothing has failed here")

    def _next_failed_task(self, *, back: bool) -> bool:
        app, tree = self.app, self.app.panes.run
        key = tree.find(_failed_node, back=back)
        if not key or app.panes.is_pipeline(app.state):
            return False
        app.go_to_pane("run")
        tree.go_to(key, app.views["run"].body_height)
        app.views["run"].sync()
        return True

    def _next_failed_resource(self, *, back: bool) -> bool:
        """The next resource whose last run failed, with its run; not the one that is on show already."""
        app, tree = self.app, self.app.panes.resources
        ref = tree.next_failing(back=back)
        if not ref or ref == app.state.focus:
            return False
        app.go_to_pane("resources")
        tree.go_to(ref, app.views["resources"].body_height)
        app.views["resources"].sync()
        app.follow(ref)
        return True

    def do_previous(self) -> None:
        self.do_next(back=True)

    def do_filter(self) -> None:
        """Open the field at the foot; it filters the pane while it is typed."""
        from .prompt import Prompt

        app = self.app
        if app.query("#prompt"):
            app.query_one("#prompt").focus()
            return
        field = Prompt(self, app.pane, app.views[app.pane].page.home())
        app.screen.mount(field)
        app.call_after_refresh(app._arrange)
        field.call_after_refresh(field.focus)

    def filter_pane(self, pane: str, text: str) -> None:
        """Filter or search what `pane` shows."""
        app = self.app
        view = app.views[pane]
        page = view.page
        pattern = pattern_of(text)
        if page is app.panes.events:
            app.panes.events.set_text(text)
        elif isinstance(page, LogPage):
            self._search(page, pattern)
        elif page is app.panes.resources:
            app.panes.resources.set_filter(
                (
                    lambda node: bool(
                        pattern.search(f"{node.key} {getattr(getattr(node.data, 'resource', None), 'name', '')}")
                    )
                )
                if pattern is not None
                else None
            )
        elif page is app.panes.run:
            app.panes.run.set_filter(
                (lambda node: bool(pattern.search(_task_text(node)))) if pattern is not None else None
            )
        elif page is app.panes.update:
            app.panes.update.set_filter((lambda node: bool(pattern.search(node.key))) if pattern is not None else None)
        view.sync()

    def _search(self, page: LogPage, pattern: Any, *, back: bool = False) -> None:
        view = self.app.views["detail"]
        at, total = page.search(pattern, view.body_height, back=back)
        view.sync()
        if pattern is not None:
            self.app.say(f"{at} of {total}" if total else "not found", "" if total else "warn")

    def end_prompt(self, *, keep: bool) -> None:
        """Take the field away; without `keep` what it filtered comes back."""
        app = self.app
        prompt = app.query("#prompt")
        if not prompt:
            return
        field = prompt.first()
        pane = getattr(field, "pane", app.pane)
        view = app.views[pane]
        if not keep:
            self.filter_pane(pane, "")
            if isinstance(view.page, OutlinePage):
                view.page.go_to(getattr(field, "home", ""), view.body_height)
                view.sync()
        # First the focus, then the field: else the focus would go wherever the field stood.
        app.screen.set_focus(view)
        field.remove()
        app.call_after_refresh(app._arrange)

    # --- panes -------------------------------------------------------------------------------------------------------

    def do_pane_1(self) -> None:
        self.app.go_to_pane("resources")

    def do_pane_2(self) -> None:
        self.app.go_to_pane("run")

    def do_pane_3(self) -> None:
        self.app.go_to_pane("diagnosis")

    def do_pane_4(self) -> None:
        self.app.go_to_pane("detail")

    def do_next_pane(self, step: int = 1) -> None:
        app = self.app
        order = [pane for pane in PANES if app.layout_now.shows(pane)] if app.layout_now.wide else list(PANES)
        order = order or list(PANES)
        at = order.index(app.pane) if app.pane in order else 0
        app.go_to_pane(order[(at + step) % len(order)])

    def do_previous_pane(self) -> None:
        self.do_next_pane(-1)

    def do_next_tab(self, step: int = 1) -> None:
        names = [name for name, _ in TABS]
        self.app.go_to_tab(names[(names.index(self.app.panes.tab) + step) % len(names)])
        if not self.app.layout_now.shows("detail"):
            self.app.go_to_pane("detail")

    def do_previous_tab(self) -> None:
        self.do_next_tab(-1)

    def do_zoom(self) -> None:
        self.app.zoomed = not self.app.zoomed
        self.app.go_to_pane(self.app.pane)

    def do_back(self) -> None:
        app = self.app
        page = app.views[app.pane].page
        if app.query("#prompt"):
            self.end_prompt(keep=False)
        elif self._filtered(page):
            self.filter_pane(app.pane, "")
        elif app.zoomed:
            self.do_zoom()
        elif app.notice is not None:
            app.notice = None
        elif app.panes.marked:
            app.panes.marked = frozenset()
            app.refresh_scene()
        elif app.pane != "resources":
            app.go_to_pane("resources")

    def _filtered(self, page: Page) -> bool:
        if page is self.app.panes.events:
            return bool(self.app.panes.events.text)
        if isinstance(page, LogPage):
            return page.needle is not None
        return isinstance(page, OutlinePage) and page.filtered

    # --- console -----------------------------------------------------------------------------------------------------

    def do_palette(self) -> None:
        from .palette import choices, choose
        from .screens import PickDialog

        self.open_dialog(PickDialog("Go to or do", choices(self.app)), lambda name: choose(self.app, name))

    def do_help(self) -> None:
        from .screens import TextDialog

        lines: list[TextLine] = []
        for group, entries in rows(self.app.actions):
            lines += [TextLine()] if lines else []
            lines.append(TextLine(((group, "accent+b"),)))
            for keys, label, description in entries:
                lines.append(
                    TextLine(((f"  {keys:<12}", "b"), (f"{label:<14}", ""), span(description, "muted")), indent=28)
                )
        self.open_dialog(TextDialog("Keys", lines), lambda key: None)

    def do_refresh(self) -> None:
        self.app.spawn(self.engine.refresh(), "refresh")
        self.app.say("asking the workspace")

    def do_theme(self) -> None:
        names = list(PALETTES)
        at = names.index(self.app.theme) if self.app.theme in names else -1
        self.app.theme = names[(at + 1) % len(names)]
        self.app.say(f"theme: {self.app.theme}")

    def do_clock(self) -> None:
        app = self.app
        app.clock_on = not app.clock_on
        timer = getattr(app, "_clock_timer", None)
        if app.clock_on and timer is None:
            app._clock_timer = app.set_interval(1.0, app._tick)
        elif timer is not None:
            if app.clock_on:
                timer.resume()
            else:
                timer.pause()
        app.say(f"clock {'on' if app.clock_on else 'off: an idle console writes nothing'}")

    def do_redraw(self) -> None:
        self.app.refresh(layout=True)

    def do_quit(self) -> None:
        from .screens import QuitDialog

        app = self.app
        running = app.scene().in_flight
        if not running and not app.scene().looping:
            app.exit(0)
            return
        host = host_name(app.state.identity.host) or "the workspace"
        self.open_dialog(QuitDialog(running, host), lambda yes: app.exit(0, message=_goes_on(running)))

    # --- Enter -------------------------------------------------------------------------------------------------------

    def chosen(self, view: LineView, key: str) -> None:
        """Enter on a line: what a person would expect of it."""
        app = self.app
        if key.startswith("place:"):
            self.edit(key[6:])
        elif view.page is app.panes.history and app.panes.history is not None and app.panes.history.chosen:
            self._show_run(app.panes.history.chosen.run_id)
        elif key.startswith("url:"):
            self.open_url(key[4:])
        elif key.startswith("text:"):
            app.copy_text(key[5:])
        elif key.startswith("fix:"):
            app.action_act("apply")
        elif key.startswith("cause:"):
            app.panes.diagnosis.go_to_cause(int(key[6:]))
            app.refresh_scene()
        elif view.id == "resources":
            entry = app.panes.resources.entry()
            if entry is None:
                app.panes.resources.toggle(app.panes.resources.cursor)
                view.sync()
            elif entry.resource.type in ("jobs", "pipelines"):
                app.follow(entry.resource.ref)
                app.go_to_pane("run")
            else:
                app.go_to_pane("detail")
        elif key.endswith("/more"):
            app.spawn(self.engine.expand(key), "expand")
        elif view.id == "run":
            self._open_task(view)
        elif view.page is app.panes.events:
            self.open_event()
        elif view.page is app.panes.graph and app.panes.go_to_task(key, app.views["run"].body_height):
            app.go_to_pane("run")

    def _show_run(self, run_id: str) -> None:
        """A run of the past into the run's pane: its page in a browser is what `o` opens."""
        app, resource = self.app, self.app.resource()
        if resource is None:
            return
        # The history may be that of a resource which is only pointed at.
        app.focus_wish = resource.ref
        app.asked.add(resource.ref)
        app.spawn(self.engine.show_run(resource.ref, run_id), "show run")
        app.go_to_pane("run")

    def _open_task(self, view: LineView) -> None:
        app = self.app
        page = app.panes.run
        node = page.node(page.cursor)
        if view.page is page and node is not None and node.branch and not page.is_open(node):
            view.action_inwards()
            return
        task: TaskRun | None = app.panes.chosen_task(app.state)
        if task is not None:
            app.panes.tab = "output" if not task.state.active and task.start_ms else "task"
        app.go_to_pane("detail")

    def _resource(self) -> Resource | None:
        return self.app.scene().resource


def _failed_node(node: Any) -> bool:
    task = getattr(node.data, "task", None)
    return isinstance(task, TaskRun) and task.state.failed and not node.data.because and not node.data.attempt


def _task_text(node: Any) -> str:
    task = getattr(node.data, "task", None)
    if not isinstance(task, TaskRun):
        return ""
    return f"{task.task_key} {node.data.name} {task.state.outcome.value} {node.data.note}"


def _goes_on(running: tuple[str, ...]) -> Any:
    from rich.text import Text

    return Text("Still running at the workspace: " + "; ".join(span(item)[0] for item in running[:5]))
