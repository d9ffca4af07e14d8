"""What the palette offers: every action that makes sense now, every resource, every tab and theme.

Never runs anything by itself; what is chosen goes the way of the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..widgets.theme import PALETTES
from .actions import first_key
from .panes import TABS
from .screens import Choice

if TYPE_CHECKING:
    from .app import ConsoleApp


def choices(app: ConsoleApp) -> list[Choice]:
    """All choices, those that can be done now first."""
    scene = app.scene()
    now: list[Choice] = []
    later: list[Choice] = []
    for action in app.actions:
        if not action.palette:
            continue
        why_not = action.when(scene)
        hint = f"{action.description}" if not why_not else f"not now: {why_not}"
        choice = Choice(f"act:{action.id}", f"{action.group}: {action.label}", hint, first_key(action))
        (later if why_not else now).append(choice)
    bundle = app.state.bundle
    for resource in bundle.resources if bundle else ():
        name = resource.name if resource.name != resource.key else ""
        now.append(Choice(f"go:{resource.ref}", resource.ref, name or f"{resource.place.file}:{resource.place.line}"))
    now += [Choice(f"tab:{name}", f"Tab: {word}", "show it in pane 4") for name, word in TABS]
    now += [Choice(f"theme:{name}", f"Theme: {name}", "colours") for name in PALETTES]
    return now + later


def choose(app: ConsoleApp, name: str) -> None:
    """Do what was chosen."""
    kind, _, what = name.partition(":")
    if kind == "act":
        app.action_act(what)
    elif kind == "go":
        page, view = app.panes.resources, app.views["resources"]
        app.go_to_pane("resources")
        page.go_to(what, view.body_height)
        view.sync()
    elif kind == "tab":
        app.go_to_tab(what)
        app.go_to_pane("detail")
    elif kind == "theme":
        app.theme = what
