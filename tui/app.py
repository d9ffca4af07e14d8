"""The console: puts panes on the screen, keeps them in step with the engine's State, and passes keys to actions.

Never talks to the workspace and never imports what the first paint does not need.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, ComposeResult
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen

from ..core.runs import TaskRun
from ..core.state import State
from ..widgets.bars import Bar
from ..widgets.glyphs import ASCII, choose
from ..widgets.line_view import Frame, LineView
from ..widgets.page import Page
from ..widgets.spans import Span, span
from ..widgets.theme import PALETTES, SIXTEEN, Palette, palette_of, themes
from .actions import ACTIONS, Action, at_key, keys_of, load_keymap, with_keymap
from .chrome import Chrome
from .engine_protocol import Engine
from .layout import PANES, Layout, Pane, arrange
from .panes import TABS, Panes
from .safety import InertFilter
from .scene import Scene

if TYPE_CHECKING:
    from ..core.redaction import Redactor
    from .notify import Notifier

PAINT_EVERY = 0.08  # seconds between two looks at a new State
FOCUS_AFTER = 0.3  # seconds the cursor rests on a resource before the engine follows it
NOTICE_FOR = 8.0  # seconds a notice stays
LOGGING = frozenset({"spark_python", "python_wheel", "spark_jar", "dbt"})  # kinds of tasks that write a log
WALKED = ("timeline", "graph", "history")  # tabs that stay when another resource is followed
TOUCH_EVERY = 1.0  # seconds between two times the engine is told that keys are pressed
CLOSE_WITHIN = 15.0  # seconds the engine has to finish what is in flight


@dataclass(frozen=True, slots=True)
class Options:
    """How the console looks and behaves; the settings of the same names."""

    clock: bool = True
    bell: bool = True
    notify: str = ""
    theme: str = ""
    ascii: bool = False
    editor: str = ""
    keymap: Mapping[str, str] = field(default_factory=dict)
    redactor: Redactor | None = None

    @classmethod
    def of(cls, config: Any, *, redactor: Redactor | None = None) -> Options:
        """From the settings (`core.config.Config`). Raises KeymapError where the keymap cannot be used."""
        keymap = load_keymap(config.keymap) if config.keymap else {}
        with_keymap(keymap)
        return cls(
            clock=config.clock,
            bell=config.bell,
            notify=getattr(config, "notify", ""),
            theme=config.theme,
            ascii=config.ascii,
            editor=config.editor,
            keymap=keymap,
            redactor=redactor,
        )


class Main(Screen[None], inherit_bindings=False):
    """The one screen under the dialogs. It has no keys of its own: all of them are in the table of actions."""


class ConsoleApp(App[int], inherit_bindings=False):
    """The whole console on one screen. It paints `first_state` before the engine is started."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; overflow: hidden; }
    Dialog { background: $background 60%; }
    Screen > LineView, Screen > Bar { position: absolute; }
    Input#prompt { position: absolute; border: none; height: 1; padding: 0 1; background: $surface; }
    Input#prompt:focus { border: none; }
    """

    def __init__(
        self,
        engine: Engine,
        first_state: State,
        options: Options | None = None,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.options = options or Options()
        self.state = first_state
        self.glyphs = choose(ascii_only=self.options.ascii)
        self.panes = Panes(self.glyphs)
        self.pane: Pane = "resources"
        self.zoomed = False
        self.clock_on = self.options.clock
        self.palette: Palette = PALETTES["dbops-dark"]
        self.watched: set[str] = set()
        self.notice: Span | None = None
        self.actions: tuple[Action, ...] = ACTIONS
        self._now, self.monotonic = now, monotonic
        self._newest = first_state
        self._painted_at = -1.0
        self._paint_due = False
        self._away = 0  # how often the terminal was given to another program
        self._layout = Layout()
        self._terminal: Size | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._notifier: Notifier | None = None
        self._notice_until = 0.0
        self._touched_at = float("-inf")
        self._minute = int(now() // 60)
        self._focus_wish = ""
        self._asked: set[str] = set()
        self._loaded: set[str] = set()
        self._log_of: object = None  # the run as it was when the log of its running task was asked for
        self._growing: set[str] = set()  # task runs whose output was asked for while they ran
        self._trend_of: set[str] = set()  # updates for which the one before was asked for
        self._history_of: dict[str, str] = {}  # ref -> the newest run when its history was asked for
        self._excerpt_of: object = None
        self.chrome = Chrome(self)
        self._resumed = False
        for ours in themes():
            self.register_theme(ours)
        theme = self.options.theme if self.options.theme in self.available_themes else "dbops-dark"
        # Set before the style sheet is first parsed: setting it later would parse everything a second time.
        self.set_reactive(App.theme, theme)
        self.stylesheet.set_variables(self.get_css_variables())
        self._styled_as = theme
        self.palette = palette_of(self.current_theme)
        self._bind_actions()

    def _bind_actions(self) -> None:
        self.actions = with_keymap(self.options.keymap)
        keys = [key for action in self.actions for key in keys_of(action.keys)]
        for action in self.actions:
            own = [key for key in keys_of(action.keys) if keys.count(key) == 1]
            if own:
                self.bind(",".join(own), f"act('{action.id}')", description=action.label, show=False)
        for key in {key for key in keys if keys.count(key) > 1}:
            self.bind(key, f"press('{key}')", show=False)

    def get_default_screen(self) -> Screen[None]:
        return Main(id="_default")

    # --- composing ---------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        self.panes.show(self.state, self.now_ms)
        self.panes.resources.go_to(self.state.focus, self.size.height)
        self._focus_wish = self.state.focus
        self.panes.show_chosen(self.state, self._resource(), self.now_ms, of_resource=True)
        yield Bar(self.chrome.header, id="header")
        yield Bar(self.chrome.loop, id="loop")
        yield self._view(self.panes.resources, "resources")
        yield self._view(self.panes.run_page(self.state), "run")
        yield self._view(self.panes.detail_page(self.state), "detail")
        yield self._view(self.panes.lower_page(self.state), "diagnosis")
        yield Bar(self.chrome.status, id="status")
        yield Bar(self.chrome.poll, id="poll")
        yield Bar(self.chrome.footer, id="footer")

    def _view(self, page: Page, name: str) -> LineView:
        view = LineView(page, glyphs=self.glyphs, id=name)
        view.now_ms = self.now_ms
        return view

    def on_mount(self) -> None:
        self.views: dict[str, LineView] = {view.id or "": view for view in self.query(LineView)}
        self.bars: dict[str, Bar] = {bar.id or "": bar for bar in self.query(Bar)}
        self._take_theme()
        self.theme_changed_signal.subscribe(self, lambda _: self._take_theme())
        self._arrange()
        self.views["resources"].focus()
        self._unsubscribe = self.engine.subscribe(self._on_state)
        self._leave_on_signals()
        self.call_after_refresh(self._after_first_paint)

    def _after_first_paint(self) -> None:
        if self.clock_on:
            self._clock_timer = self.set_interval(1.0, self._tick)
        self.spawn(self._start_engine(), "engine")
        self.refresh_scene()

    async def _start_engine(self) -> None:
        await self.engine.start()
        entry = self.panes.resources.entry()
        if not self._newest.focus and entry is not None and entry.resource.type in ("jobs", "pipelines"):
            self.follow(entry.resource.ref)

    def _leave_on_signals(self) -> None:
        """A closed line or a `kill` ends the console the usual way: the engine closed, the terminal given back."""
        if self.is_headless or threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                    loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))

    def refresh_css(self, animate: bool = True) -> None:
        """Apply the theme; not at the start, when the style sheet has just been parsed with it."""
        if self.theme != self._styled_as:
            self._styled_as = self.theme
            super().refresh_css(animate=animate)

    def _take_theme(self) -> None:
        from dataclasses import replace

        palette = palette_of(self.current_theme)
        if self.no_color:
            palette = replace(palette, mono=True)
        elif not self.is_headless and self.console.color_system in ("standard", "windows"):
            palette = SIXTEEN
        self.palette = palette
        for widget in (*self.query(LineView), *self.query(Bar)):
            widget.set_palette(palette)

    async def on_unmount(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        # What is in flight may be brought to its end and written down, but a dead line must not keep the console.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.engine.close(), CLOSE_WITHIN)

    # --- state in, paint out -----------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Epoch ms by the injected clock."""
        return int(self._now() * 1000)

    def _on_state(self, state: State, event: Any) -> None:
        """Called by the engine, on the event loop. Keeps the newest state; paints at most every PAINT_EVERY."""
        self._newest = state
        if event is not None:
            self._on_event(event)
        if self.watched:
            self._ring_for_watched(state)
        if self._paint_due or not self.is_running:
            return
        self._paint_due = True
        wait = self._painted_at + PAINT_EVERY - self.monotonic()
        if wait <= 0:
            self.call_later(self._paint)
        else:
            self.set_timer(wait, self._paint)

    def _paint(self) -> None:
        self._paint_due = False
        self._painted_at = self.monotonic()
        if self._away:
            return
        before, self.state = self.state, self._newest
        self._follow_changes(before, self.state)
        self.refresh_scene()

    def refresh_scene(self) -> None:
        """Bring every pane in step with the state and the cursor."""
        if not hasattr(self, "views"):
            return
        state = self.state
        self.panes.show(state, self.now_ms)
        self.panes.show_chosen(state, self._resource(), self.now_ms, of_resource=self.pane == "resources")
        self._arrange()
        self.views["run"].show(self.panes.run_page(state))
        self.views["detail"].show(self.panes.detail_page(state))
        self.views["diagnosis"].show(self.panes.lower_page(state))
        self.views["resources"].sync()
        self._sync_bars()
        self._load_what_is_on_show()

    def _sync_bars(self) -> None:
        for bar in self.bars.values():
            bar.sync()

    def _tick(self) -> None:
        if self._away:
            return
        now_ms = self.now_ms
        for name, view in self.views.items():
            if self._layout.shows(name):
                view.tick(now_ms)
        if self.panes.tick(self.state, now_ms):
            self.views["run"].sync()
        if now_ms // 60_000 != self._minute:
            # What is said in minutes (how long ago, when next) is worked out anew once a minute.
            self._minute = now_ms // 60_000
            self.refresh_scene()
        if self.notice is not None and self.monotonic() >= self._notice_until:
            self.notice = None
        self.bars["status"].sync()
        self.bars["poll"].sync()
        if self.state.armed_until:
            self.bars["header"].sync()

    def _follow_changes(self, before: State, after: State) -> None:
        if after.busy and not before.busy and self.pane != "detail":
            self.panes.tab = "cli"
        # The graph, the history or the timeline was chosen for every resource that is walked over.
        if after.focus != before.focus and self.pane != "detail" and self.panes.tab not in WALKED:
            self.panes.tab = "events" if after.focus.startswith("pipelines.") else "task"
        if after.focus != before.focus and after.focus not in self._asked:
            # The engine went there by itself: then the cursor goes along. What a person asked for may come late.
            self._focus_wish = after.focus
            self.panes.resources.show(after.bundle, after.statuses, after.focus)
            self.panes.resources.go_to(after.focus, self.views["resources"].body_height)
        started = after.run is not None and (before.run is None or before.run.run_id != after.run.run_id)
        if (
            started
            and after.run is not None
            and after.run.state.active
            and self.panes.tab == "cli"
            and self.pane != "detail"
        ):
            self.panes.tab = "task"
        if after.diagnoses and after.diagnoses != before.diagnoses:
            self._go_to_failure()
        if after.resumable and not self._resumed:
            self._resumed = True
            self.say(after.resumable, "accent", seconds=60)
        if after.cleanup and after.cleanup != before.cleanup and len(self.screen_stack) == 1:
            self.action_act("clean_up")
        if after.focus != before.focus or (after.run and before.run and after.run.run_id != before.run.run_id):
            self.panes.marked = frozenset()
        if after.report_markdown and after.report_markdown != before.report_markdown:
            self.operations.show_report()

    def _go_to_failure(self) -> None:
        """Put the cursor of the run on the task that is the root cause, unless somebody is reading the run."""
        keys = self.state.diagnoses[0].task_keys
        if not keys or self.pane in ("run", "detail"):
            return
        page = self.panes.run
        key = page.find(lambda node: getattr(getattr(node.data, "task", None), "task_key", "") in keys)
        if key:
            page.go_to(key, 10)

    def _on_event(self, event: Any) -> None:
        name = getattr(event, "name", "")
        if name == "failure.diagnosed":
            what = f"failed {event.key} {event.run_id} {event.diagnosis.cause}"
            self.notifier.tell(what, "dbops: failed", f"{event.key}: {event.diagnosis.title}")
        elif name == "loop.ended":
            self.notifier.tell(
                f"ended {event.outcome} {event.iterations} {event.report_id}", "dbops", f"loop {event.outcome}"
            )
        elif name == "problem":
            self.say(event.message + (f" ({event.fix})" if event.fix else ""), "warn")

    def _ring_for_watched(self, state: State) -> None:
        """Ring for each watched run or update that has ended."""
        ended: dict[str, str] = {}
        for ref, status in state.statuses.items():
            ended |= {past.id: f"{ref} {past.state.outcome.value}" for past in status.history if not past.state.active}
        if state.run is not None and not state.run.state.active:
            ended[state.run.run_id] = f"{state.focus or state.run.name} {state.run.state.outcome.value}"
        if state.update is not None and state.update.ended:
            ended[state.update.update_id] = f"{state.focus} {state.update.state.lower()}"
        for id_ in self.watched & ended.keys():
            self.watched.discard(id_)
            self.notifier.tell(f"watched {id_}", "dbops", ended[id_])

    @property
    def notifier(self) -> Notifier:
        """Bell and desktop notices; made when first needed."""
        if self._notifier is None:
            from .notify import Notifier

            self._notifier = Notifier(self.write_terminal, bell=self.options.bell, kind=self.options.notify)
        return self._notifier

    def write_terminal(self, sequence: str) -> None:
        """Send a sequence that draws nothing (bell, notice, clipboard) to the terminal."""
        if self._driver is not None and not self.is_headless and not self._away:
            self._driver.write(sequence)

    # --- what is on show needs loading -------------------------------------------------------------------------------

    def _load_what_is_on_show(self) -> None:
        task = self.panes.chosen_task(self.state)
        if (
            task is not None
            and task.run_id not in self._loaded
            and (task.run_id not in self.state.outputs or task.run_id in self._growing)
            and not task.state.active
            and task.start_ms
            and (task.state.failed or self.panes.tab == "output")
        ):
            self._loaded.add(task.run_id)
            self.spawn(self.engine.load_output(task.run_id), "output")
        self._load_growing_output(task)
        self._load_history()
        self._load_trend()
        diagnosis = self.panes.diagnosis.diagnosis
        location = diagnosis.location if diagnosis is not None else None
        bundle = self.state.bundle
        wanted = (
            (bundle.root, location, self.state.pending_files) if bundle is not None and location is not None else None
        )
        if wanted != self._excerpt_of:
            self._excerpt_of = wanted
            if bundle is not None and location is not None:
                self.spawn(self._load_excerpt(bundle.root, location.file, location.line), "excerpt")

    def _load_growing_output(self, task: TaskRun | None) -> None:
        """Ask for the log of a running task that is being read, once for each look at its run."""
        if (
            task is not None
            and task.state.active
            and task.start_ms
            and task.kind in LOGGING
            and self.panes.tab == "output"
            and self._layout.shows("detail")
            and self._log_of is not self.state.run
        ):
            self._log_of = self.state.run
            self._growing.add(task.run_id)
            self.spawn(self.engine.load_output(task.run_id), "output")

    def _load_history(self) -> None:
        """Ask for past runs or updates where they are looked at, and again when there is a newer one."""
        resource = self._resource()
        if self.panes.tab != "history" or not self._layout.shows("detail") or resource is None:
            return
        if resource.type in ("jobs", "pipelines"):
            status = self.state.statuses.get(resource.ref)
            newest = status.history[0] if status is not None and status.history else None
            seen = f"{newest.id} {newest.state.active}" if newest is not None else ""
            if self._history_of.get(resource.ref) != seen:
                self._history_of[resource.ref] = seen
                self.spawn(self.engine.load_history(resource.ref), "history")

    def _load_trend(self) -> None:
        """Ask for the update before the one on show, once there are rules to compare."""
        update, before = self.state.update, self.state.previous_update
        if update is None or update.update_id in self._trend_of or not self._layout.shows("run"):
            return
        if any(flow.expectations for flow in update.flows) and (before is None or not before.flows):
            self._trend_of.add(update.update_id)
            self.spawn(self.engine.load_history(self.state.focus), "history")

    async def _load_excerpt(self, root: Any, file: str, line: int | None) -> None:
        from .excerpts import read_excerpt

        self.panes.excerpt = await asyncio.to_thread(read_excerpt, root, file, line)
        self.refresh_scene()

    # --- layout ------------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        # The app's own size is still the old one here: its handler comes after this one.
        self._terminal = event.size
        self._arrange()
        self.refresh_scene()

    def _arrange(self) -> None:
        """Place the panes for the size of the terminal and for what there is to show."""
        if not hasattr(self, "views"):
            return
        from ..widgets.resource_tree import name_width

        prompt = self.query("#prompt")
        size = self._terminal or self.size
        layout = arrange(
            size.width,
            size.height,
            pane=self.pane,
            zoomed=self.zoomed,
            diagnosis_lines=self.panes.lower_wanted(self.state),
            resource_width=name_width(self.state.bundle),
            prompt=bool(prompt),
        )
        if layout == self._layout:
            return
        self._layout = layout
        detail = layout.boxes.get("detail")
        self.panes.room = detail.width if detail is not None else 0
        for name, widget in (*self.views.items(), *self.bars.items(), *(("prompt", found) for found in prompt)):
            box = layout.boxes.get(name)
            widget.display = box is not None
            if box is not None:
                widget.styles.offset = (box.x, box.y)
                widget.styles.width = box.width
                widget.styles.height = box.height
        self._frame(layout)
        focused = self.views.get(self.pane)
        if focused is not None and not prompt and self.screen is self.screen_stack[0] and layout.shows(self.pane):
            focused.focus()

    def _frame(self, layout: Layout) -> None:
        glyphs = self.glyphs
        split = layout.boxes["run" if layout.shows("run") else "detail"].x if layout.wide else 0
        for number, name in enumerate(PANES, 1):
            frame = Frame()
            if layout.wide:
                lower = layout.shows("run") and layout.shows("detail")
                frame = {
                    "resources": Frame(),
                    "run": Frame(side=True, corner=glyphs.tee),
                    "detail": Frame(side=True, corner=glyphs.tee_left if lower else glyphs.tee),
                    "diagnosis": Frame(crossings=((split, glyphs.tee_up),)),
                }[name]
            self.views[name].set_frame(frame, str(number))

    def go_to_pane(self, pane: Pane) -> None:
        """Use another pane; in a narrow terminal it takes the place of the one on show."""
        self.pane = pane
        self._arrange()
        if self._layout.shows(pane):
            self.views[pane].focus()
        self.refresh_scene()

    def on_descendant_focus(self, event: Any) -> None:
        name = event.widget.id
        if name in PANES and name != self.pane:
            self.pane = name
            self.refresh_scene()

    def go_to_tab(self, tab: str) -> None:
        """Show another tab of pane 4."""
        if tab in dict(TABS):
            self.panes.tab = tab
            self.refresh_scene()

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        if event.bar.id == "footer":
            name = self.chrome.action_at(event.x)
            if name:
                self.action_act(name)

    # --- cursor and choice -------------------------------------------------------------------------------------------

    def _resource(self) -> Any:
        bundle = self.state.bundle
        if bundle is None:
            return None
        entry = self.panes.resources.entry()
        if self.pane == "resources":
            return entry.resource if entry is not None else None
        return bundle.resource(self.state.focus) if self.state.focus else (entry.resource if entry else None)

    def scene(self) -> Scene:
        """What the actions look at now."""
        state, panes = self.state, self.panes
        resource, task = self._resource(), panes.chosen_task(state)
        key = self.views[self.pane].page.home() if hasattr(self, "views") else ""
        place, url = "", ""
        diagnosis = panes.diagnosis.diagnosis
        if key.startswith("place:"):
            place = key[6:]
        elif self.pane != "resources" and diagnosis is not None and diagnosis.location is not None:
            place = f"{diagnosis.location.file}:{diagnosis.location.line or 1}"
        elif resource is not None:
            place = f"{resource.place.file}:{resource.place.line}"
            task_place = resource.task_places.get(task.task_key) if task is not None and self.pane == "run" else None
            if task_place is not None:
                place = f"{task_place.file}:{task_place.line}"
        if diagnosis is not None and diagnosis.location is not None and self.pane == "resources" and state.diagnoses:
            place = f"{diagnosis.location.file}:{diagnosis.location.line or 1}"
        event = panes.events.event() if self.pane == "detail" and panes.tab == "events" else None
        if event is not None and event.level in ("ERROR", "WARN") and event.source_file:
            place = f"{event.source_file}:{event.source_line or 1}"
        if key.startswith("url:"):
            url = key[4:]
        elif self.pane in ("run", "detail", "diagnosis"):
            url = (task.page_url if task is not None else "") or (state.run.page_url if state.run else "")
        url = url or (resource.url if resource is not None else "")
        return Scene(
            state,
            self.pane,
            panes.tab,
            resource,
            task,
            panes.update.flow() if panes.is_pipeline(state) else None,
            event,
            place,
            url,
            panes.diagnosis.chosen_fix(),
            panes.diagnosis.current,
            panes.marked,
            self.monotonic(),
        )

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        if event.view.screen is not self.screen_stack[0]:
            return
        if event.page is self.panes.graph and event.key:
            self.panes.go_to_task(event.key, self.views["run"].body_height)
        if event.view.id == "resources":
            entry = self.panes.resources.entry()
            ref = entry.resource.ref if entry is not None else ""
            if entry is not None and entry.resource.type in ("jobs", "pipelines") and ref != self._focus_wish:
                self._focus_wish = ref
                self.set_timer(FOCUS_AFTER, lambda: self._focus_rested(ref))
        self.refresh_scene()

    def _focus_rested(self, ref: str) -> None:
        if ref == self._focus_wish and ref != self.state.focus:
            self.follow(ref)

    def follow(self, ref: str) -> None:
        """Ask the engine to follow this resource."""
        self._focus_wish = ref
        self._asked.add(ref)
        self.spawn(self.engine.focus(ref), "focus")

    def on_line_view_toggled(self, event: LineView.Toggled) -> None:
        if event.page is self.panes.run and event.opened:
            node = next((n for n in self.panes.run.nodes if n.key == event.key), None)
            if node is not None and node.lazy:
                self.spawn(self.engine.expand(event.key), "expand")

    def on_line_view_chosen(self, event: LineView.Chosen) -> None:
        if event.view.screen is self.screen_stack[0]:
            self.operations.chosen(event.view, event.key)

    def on_line_view_title_pressed(self, event: LineView.TitlePressed) -> None:
        if event.view.id == "detail":
            tab = self.panes.tab_at(event.x)
            if tab:
                self.go_to_tab(tab)
        elif event.view.id in PANES:
            self.go_to_pane(event.view.id)

    # --- actions -----------------------------------------------------------------------------------------------------

    @property
    def operations(self) -> Any:
        """What the actions do; imported when the first is asked for."""
        held = getattr(self, "_operations", None)
        if held is None:
            from .operations import Operations

            held = self._operations = Operations(self)
        return held

    def action_press(self, key: str) -> None:
        """Do what a key stands for here, where it stands for something else elsewhere."""
        action = at_key(key, self.scene().where, self.actions)
        if action is not None:
            self.action_act(action.id)

    def action_act(self, name: str) -> None:
        """Do the action of this id, or say why it cannot be done."""
        action = next((action for action in self.actions if action.id == name), None)
        if action is None:
            return
        why_not = action.when(self.scene())
        if why_not:
            self.say(f"{action.label}: {why_not}", "warn")
            return
        if self.notice is not None:
            self.notice = None
        self.operations.do(action.id)
        if hasattr(self, "bars"):
            self._sync_bars()

    def say(self, text: str, role: str = "", *, seconds: float = NOTICE_FOR) -> None:
        """Put a notice into the status line; it goes with the next action, or after a while."""
        self.notice = span(text, role)
        self._notice_until = self.monotonic() + seconds
        if hasattr(self, "bars"):
            self.bars["status"].sync()

    def copy_text(self, text: str) -> None:
        """Copy through the terminal, and say so."""
        from ..core.paths import state_dir
        from .notify import copy

        try:
            folder = state_dir()
        except OSError:
            folder = None
        self.say(copy(text, self.write_terminal, folder=folder))

    def spawn(self, work: Coroutine[Any, Any, Any], group: str) -> None:
        """Run `work` beside the console; what goes wrong becomes a notice, never the end."""
        self.run_worker(self._kept_alive(work), group=group, exit_on_error=False, exclusive=False)

    async def _kept_alive(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except Exception as error:
            from ..core.guard import Refused

            if isinstance(error, Refused):
                self.say(f"not done: {error.reason}", "warn", seconds=30)
            elif type(error).__name__ == "WorkspaceError":
                # By its name, because the class stands beside the SDK, which is not to be imported for this.
                self.say(str(error), "warn", seconds=30)
            else:
                from .safety import crash_sentence

                self.say(crash_sentence(error, self.options.redactor), "error", seconds=60)

    # --- somebody is there, or not ------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and self.monotonic() >= self._touched_at + TOUCH_EVERY:
            self._touched_at = self.monotonic()
            self.spawn(self.engine.touch(), "touch")
        await super().on_event(event)

    def on_app_blur(self) -> None:
        """The terminal lost the focus: nobody looks."""
        self.spawn(self.engine.away(True), "away")

    def on_app_focus(self) -> None:
        self.spawn(self.engine.away(False), "away")

    # --- the terminal ------------------------------------------------------------------------------------------------

    def get_line_filters(self) -> Sequence[LineFilter]:
        """The filters of Textual, and last the net that lets no control character through."""
        return [*super().get_line_filters(), InertFilter(ascii_only=self.glyphs is ASCII)]

    def _fatal_error(self) -> None:
        # Textual's own would print the local variables of every frame, tokens and all.
        from rich.text import Text

        from .safety import crash_sentence

        if not self._exit_renderables:
            self._exit_renderables.append(Text(crash_sentence(self._exception, self.options.redactor)))
        self._close_messages_no_wait()

    def step_away(self) -> None:
        """Another program has the terminal: draw nothing until `come_back`. Counted, so that it nests."""
        self._away += 1

    def come_back(self) -> None:
        self._away -= 1
        if not self._away:
            self._paint()
            self.refresh()
