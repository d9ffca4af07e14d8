"""The field at the foot of the screen: filters or searches one pane while it is typed.

Never keeps the keyboard longer than it is there: Enter keeps what it found, escape takes it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

if TYPE_CHECKING:
    from .looking import Looking


class Prompt(Input):
    """One line for `pane`; `home` is what the cursor was on before."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False)]

    def __init__(self, operations: Looking, pane: str, home: str) -> None:
        super().__init__(placeholder="find" if pane == "detail" else "filter", id="prompt", select_on_focus=False)
        self.cursor_blink = False
        self.pane, self.home = pane, home
        self._operations = operations

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._operations.filter_pane(self.pane, event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._operations.end_prompt(keep=True)

    def action_leave(self) -> None:
        self._operations.end_prompt(keep=False)
