"""The console: puts panes on the screen, keeps them in step with the engine's State, and passes keys to actions.

Never talks to the workspace and never imports what the first paint does not need.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, ComposeResult
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen

from ..core.bundle import Resource
from ..core.state import State
from ..widgets.bars import Bar
from ..widgets.glyphs import ASCII, choose
from ..widgets.line_view import LineView
from ..widgets.page import Page
from ..widgets.resource_tree import name_width
from ..widgets.spans import Span, span
from ..widgets.theme import PALETTES, SIXTEEN, Palette, palette_of, themes
from .actions import ACTIONS, Action, at_key, keys_of, load_keymap, with_keymap
from .chrome import Chrome
from .engine_protocol import Engine
from .layout import PANES, Layout, Pane, arrange
from .panes import TABS, Panes
from .placing import frame, place
from .safety import InertFilter
from .scene import Scene, scene_of

if TYPE_CHECKING:
    from textual.driver import Driver

    from ..core.redaction import Redactor
    from .loading import Loading
    from .noticing import Noticing

PAINT_EVERY = 0.08  # seconds between two looks at a new State
FOCUS_AFTER = 0.3  # seconds the cursor rests on a resource before the engine follows it
NOTICE_FOR = 8.0  # seconds a notice stays
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
        self.in_sight = True  # whether the terminal has the focus, as far as it tells
        self.notice: Span | None = None
        self.actions: tuple[Action, ...] = ACTIONS
        self._now, self.monotonic = now, monotonic
        self._newest = first_state
        self._painted_at = -1.0
        self._paint_due = False
        self._away = 0  # how often the terminal was given to another program
        self.layout_now = Layout()
        self._terminal: Size | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._notice_until = 0.0
        self._touched_at = float("-inf")
        self._minute = int(now() // 60)
        self.focus_wish = ""  # the resource that the cursor went to last
        self.asked: set[str] = set()  # resources that a person wanted to follow
        self.chrome = Chrome(self)
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

    def get_driver_class(self) -> type[Driver]:
        """Textual's for this platform, or ours, which outlives its line."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from .line import LineDriver

        return LineDriver

    def get_default_screen(self) -> Screen[None]:
        return Main(id="_default")

    # --- composing ---------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        self.panes.show(self.state, self.now_ms)
        self.panes.resources.go_to(self.state.focus, self.size.height)
        self.focus_wish = self.state.focus
        self.panes.show_chosen(self.state, self.resource(), self.now_ms, of_resource=True)
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
        if not gc.isenabled():
            gc.freeze()  # what the program itself is made of is never looked through
            gc.enable()
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
            self.noticing.happened(event)
        if self.watched:
            self.noticing.ring_for_watched(state)
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
        self.noticing.changed(before, self.state)
        self.refresh_scene()

    @property
    def _drawn(self) -> bool:
        """Whether there is something to draw on: not before the first paint, and not once the console is being left."""
        return hasattr(self, "views") and bool(self.screen_stack)

    def refresh_scene(self) -> None:
        """Bring every pane in step with the state and the cursor."""
        if not self._drawn:
            return
        state = self.state
        self.panes.show(state, self.now_ms)
        self.panes.show_chosen(state, self.resource(), self.now_ms, of_resource=self.pane == "resources")
        self._arrange()
        self.views["run"].show(self.panes.run_page(state))
        self.views["detail"].show(self.panes.detail_page(state))
        self.views["diagnosis"].show(self.panes.lower_page(state))
        self.views["resources"].sync()
        self._sync_bars()
        self.loads.look()

    def _sync_bars(self) -> None:
        for bar in self.bars.values():
            bar.sync()

    def _tick(self) -> None:
        if self._away:
            return
        now_ms = self.now_ms
        for name, view in self.views.items():
            if self.layout_now.shows(name):
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

    @cached_property
    def loads(self) -> Loading:
        """Asks the engine for what is on show and not there yet; imported after the first paint, like the next."""
        from .loading import Loading

        return Loading(self)

    @cached_property
    def noticing(self) -> Noticing:
        """Does what is due when something has changed: follows, rings, says."""
        from .noticing import Noticing

        return Noticing(self)

    def write_terminal(self, sequence: str) -> None:
        """Send a sequence that draws nothing (bell, notice, clipboard) to the terminal."""
        if self._driver is not None and not self.is_headless and not self._away:
            self._driver.write(sequence)

    # --- layout ------------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        # The app's own size is still the old one here: its handler comes after this one.
        self._terminal = event.size
        self._arrange()
        self.refresh_scene()

    def _arrange(self) -> None:
        """Place the panes for the size of the terminal and for what there is to show."""
        if not self._drawn:
            return
        prompt = list(self.query("#prompt"))
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
        if layout == self.layout_now:
            return
        self.layout_now = layout
        detail = layout.boxes.get("detail")
        self.panes.room = detail.width if detail is not None else 0
        place(layout, {**self.views, **self.bars, **({"prompt": prompt[0]} if prompt else {})})
        frame(layout, self.views, self.glyphs)
        focused = self.views.get(self.pane)
        if focused is not None and not prompt and self.screen is self.screen_stack[0] and layout.shows(self.pane):
            focused.focus()

    def go_to_pane(self, pane: Pane) -> None:
        """Use another pane; in a narrow terminal it takes the place of the one on show."""
        self.pane = pane
        self._arrange()
        if self.layout_now.shows(pane):
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
            self.panes.open_tab(tab)
            self.refresh_scene()

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        if event.bar.id == "footer":
            name = self.chrome.action_at(event.x)
            if name:
                self.action_act(name)

    # --- cursor and choice -------------------------------------------------------------------------------------------

    def resource(self) -> Resource | None:
        """The resource under the cursor of pane 1, where that is in use; else the one that is followed."""
        bundle = self.state.bundle
        if bundle is None:
            return None
        entry = self.panes.resources.entry()
        if self.pane == "resources":
            return entry.resource if entry is not None else None
        return bundle.resource(self.state.focus) if self.state.focus else (entry.resource if entry else None)

    def scene(self) -> Scene:
        """What the actions look at now."""
        return scene_of(self)

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        if event.view.screen is not self.screen_stack[0]:
            return
        if event.page is self.panes.graph and event.key:
            self.panes.go_to_task(event.key, self.views["run"].body_height)
        if event.view.id == "resources":
            entry = self.panes.resources.entry()
            ref = entry.resource.ref if entry is not None else ""
            if entry is not None and entry.resource.type in ("jobs", "pipelines") and ref != self.focus_wish:
                self.focus_wish = ref
                self.set_timer(FOCUS_AFTER, lambda: self._focus_rested(ref))
        self.refresh_scene()

    def _focus_rested(self, ref: str) -> None:
        if ref == self.focus_wish and ref != self.state.focus:
            self.follow(ref)

    def follow(self, ref: str) -> None:
        """Ask the engine to follow this resource."""
        self.focus_wish = ref
        self.asked.add(ref)
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
        """The terminal lost the focus: nobody looks, unless somebody waits for the bell."""
        self.in_sight = False
        self.nobody_waits()

    def on_app_focus(self) -> None:
        self.in_sight = True
        self.spawn(self.engine.away(False), "away")

    def nobody_waits(self) -> None:
        """Tell the engine that nobody looks, where that is so and nothing is watched to its end."""
        if not self.in_sight and not self.watched:
            self.spawn(self.engine.away(True), "away")

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
