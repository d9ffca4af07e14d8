"""The actions on events: which are shown, when there were how many, one of them in full, and its place in the bundle.

Never asks the workspace for anything; all of it is in the log that the State carries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..widgets.words import short_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..core.pipelines import PipelineEvent
    from .app import ConsoleApp
    from .screens import Dialog

LIST_LIMIT = 400  # names in a list; a pipeline has at most a thousand tables


class LookingAtEvents:
    """What the tab of events adds to the operations."""

    app: ConsoleApp
    open_dialog: Callable[[Dialog[Any], Callable[[Any], None]], None]
    edit: Callable[[str], None]

    def do_level(self) -> None:
        from ..widgets.events import LEVELS

        events = self.app.panes.events
        events.set_level(events.level + 1)
        self._show_events()
        self.app.say(f"events: {LEVELS[events.level][0]}")

    def do_choose_events(self) -> None:
        """Choose an event type, a flow or a dataset from those there are; what else was typed stays."""
        from ..core.event_filter import Wanted
        from .screens import Choice, PickDialog

        events = self.app.panes.events
        types, flows = events.names()
        if not types:
            self.app.say("there are no events to choose from")
            return
        rest = Wanted().with_text(events.text).text
        choices = [Choice("all", "all", "no type and no flow is left out")]
        for head, names in (("type", types), ("flow", flows)):
            for name, number in names.most_common(LIST_LIMIT):
                if " " not in name:
                    choices.append(
                        Choice(f"{head}:{name} ", name, f"{head}, {short_count(number)} event{'s' * (number != 1)}")
                    )

        def chosen(typed: str) -> None:
            typed = "" if typed == "all" else typed
            events.set_text(typed + rest)
            self._show_events()
            self.app.say(f"events: {typed.strip() or 'all types and flows'}")

        self.open_dialog(PickDialog("Show events of", choices, hint="show"), chosen)

    def do_event_times(self) -> None:
        """Events over time by level; Enter goes to the first one of a span."""
        from ..widgets.event_times import time_lines
        from .screens import TextDialog

        events, view = self.app.panes.events, self.app.views["detail"]
        lines = time_lines(events.events, self.app.panes.glyphs)
        if not lines:
            self.app.say("there are no events yet")
            return

        def chosen(key: str) -> None:
            events.go_to_time(int(key.removeprefix("at:")), view.body_height)
            self._show_events()

        self.open_dialog(TextDialog("Events over time", lines, enter="go there"), chosen)

    def next_event(self, *, back: bool) -> None:
        """Go to the next error or warning that is shown."""
        view = self.app.views["detail"]
        if self.app.panes.events.next_problem(view.body_height, back=back):
            view.sync()
        else:
            self.app.say(f"no error or warning {'before' if back else 'after'} this one")

    def open_event(self) -> None:
        """Show the event under the cursor in full; Enter or `e` on a place opens it in the editor."""
        from ..widgets.events import event_lines
        from .screens import TextDialog

        event = self.app.panes.events.event()
        if event is None:
            return
        lines = event_lines(event, self.place_of(event))
        text = "\n".join("".join(t for t, _ in line.spans) for line in lines)
        enter = "edit the place" if any(line.key for line in lines) else ""
        dialog = TextDialog(f"{event.level} {event.event_type}", lines, copyable=text, enter=enter)
        self.open_dialog(dialog, lambda key: self.edit(key[6:]) if key.startswith("place:") else None)

    def place_of(self, event: PipelineEvent) -> str:
        """`file:line` below the bundle's folder that an event tells of, or its exceptions do; empty for none."""
        from ..core.locating import Clue, locate

        bundle = self.app.state.bundle
        if bundle is None or not (event.source_file or event.exceptions):
            return ""
        text = "\n".join([event.message, *(error.message for error in event.exceptions)])
        found = locate(text, bundle, Clue(event_file=event.source_file, event_line=event.source_line))
        return f"{found.file}:{found.line or 1}" if found is not None else ""

    def _show_events(self) -> None:
        if self.app.panes.tab != "events":
            self.app.go_to_tab("events")
        self.app.views["detail"].sync()
