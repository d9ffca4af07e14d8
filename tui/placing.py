"""Puts the widgets where a layout says, and joins the panes to their neighbours by lines.

Never decides what stands where: `layout.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.widget import Widget

from ..widgets.glyphs import Glyphs
from ..widgets.line_view import Frame, LineView
from .layout import PANES, Layout


def place(layout: Layout, widgets: Mapping[str, Widget]) -> None:
    """Show each widget in its box; one without a box is hidden."""
    for name, widget in widgets.items():
        box = layout.boxes.get(name)
        widget.display = box is not None
        if box is not None:
            widget.styles.offset = (box.x, box.y)
            widget.styles.width = box.width
            widget.styles.height = box.height


def frame(layout: Layout, views: Mapping[str, LineView], glyphs: Glyphs) -> None:
    """Number the panes, and draw the lines between those that stand together."""
    split = layout.boxes["run" if layout.shows("run") else "detail"].x if layout.wide else 0
    for number, name in enumerate(PANES, 1):
        joined = Frame()
        if layout.wide:
            lower = layout.shows("run") and layout.shows("detail")
            joined = {
                "resources": Frame(),
                "run": Frame(side=True, corner=glyphs.tee),
                "detail": Frame(side=True, corner=glyphs.tee_left if lower else glyphs.tee),
                "diagnosis": Frame(crossings=((split, glyphs.tee_up),)),
            }[name]
        views[name].set_frame(joined, str(number))
