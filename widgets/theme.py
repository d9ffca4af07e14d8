"""The colours: three themes of our own, and a way to take the same roles from any theme of Textual.

Never says anything by colour alone; every state also has a glyph and a word.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

from rich.style import Style
from textual.theme import Theme


@dataclass(frozen=True, slots=True)
class Palette:
    """The roles of colour, as `#rrggbb`. `mono`: there are no colours; `few`: sixteen at most, so that shades of the
    background cannot be told apart. In both what is chosen is drawn in reverse."""

    text: str
    muted: str
    faint: str
    rule: str
    accent: str
    ok: str
    warn: str
    error: str
    run: str
    background: str
    surface: str
    select: str
    select_faint: str
    add: str
    remove: str
    dark: bool = True
    mono: bool = False
    few: bool = False

    def styles(self) -> Styles:
        """The look-up from role to style; cached for each palette."""
        return _styles(self)


DARK = Palette(
    text="#d5dae3",
    muted="#8b95a7",
    faint="#5b6475",
    rule="#2f3745",
    accent="#7fb4e6",
    ok="#87c38a",
    warn="#e0b568",
    error="#e8817d",
    run="#6fc3c9",
    background="#12161d",
    surface="#1a202a",
    select="#2a3a52",
    select_faint="#1e2632",
    add="#1c3226",
    remove="#3b2226",
)
LIGHT = Palette(
    text="#2a2f38",
    muted="#5c6675",
    faint="#8a93a1",
    rule="#cdd2da",
    accent="#1f5fa8",
    ok="#2b7a3d",
    warn="#8f5f00",
    error="#b3302f",
    run="#0b7078",
    background="#fafaf8",
    surface="#eff0f2",
    select="#cfe0f4",
    select_faint="#e8ebf0",
    add="#dcf0e0",
    remove="#f7dedd",
    dark=False,
)
CONTRAST = Palette(
    text="#ffffff",
    muted="#dcdcdc",
    faint="#b8b8b8",
    rule="#8c8c8c",
    accent="#7fd4ff",
    ok="#6dff7c",
    warn="#ffd84d",
    error="#ff8f8f",
    run="#5ff0ff",
    background="#000000",
    surface="#101010",
    select="#1f4d8f",
    select_faint="#2a2a2a",
    add="#003d12",
    remove="#520d0d",
)

# For terminals of sixteen colours: each of these is one of them, where the soft ones above would all become grey.
SIXTEEN = Palette(
    text="#c0c0c0",
    muted="#c0c0c0",
    faint="#808080",
    rule="#808080",
    accent="#00ffff",
    ok="#00ff00",
    warn="#ffff00",
    error="#ff0000",
    run="#00ffff",
    background="#000000",
    surface="#000000",
    select="#000000",
    select_faint="#000000",
    add="#000000",
    remove="#000000",
    few=True,
)
_FLAGS = {"b": "bold", "i": "italic", "u": "underline", "r": "reverse"}
PALETTES: dict[str, Palette] = {"dbops-dark": DARK, "dbops-light": LIGHT, "dbops-contrast": CONTRAST}


@cache
def themes() -> tuple[Theme, ...]:
    """Our palettes as themes of Textual, for the widgets that are not ours (Input)."""
    return tuple(
        Theme(
            name=name,
            primary=colours.accent,
            secondary=colours.run,
            accent=colours.accent,
            foreground=colours.text,
            background=colours.background,
            surface=colours.surface,
            panel=colours.surface,
            success=colours.ok,
            warning=colours.warn,
            error=colours.error,
            dark=colours.dark,
        )
        for name, colours in PALETTES.items()
    )


def palette_of(theme: Theme) -> Palette:
    """The palette of a theme by name, or made from the colours of one that is not ours."""
    known = PALETTES.get(theme.name)
    if known is not None:
        return known
    base = DARK if theme.dark else LIGHT
    colours = theme.to_color_system().generate()

    def take(name: str, otherwise: str) -> str:
        value = colours.get(name, "")
        return value[:7] if value.startswith("#") and len(value) >= 7 else otherwise

    return Palette(
        text=take("foreground", base.text),
        muted=base.muted,
        faint=base.faint,
        rule=take("panel-lighten-1", base.rule),
        accent=take("primary", base.accent),
        ok=take("success", base.ok),
        warn=take("warning", base.warn),
        error=take("error", base.error),
        run=take("secondary", base.run),
        background=take("background", base.background),
        surface=take("surface", base.surface),
        select=take("primary-muted", base.select),
        select_faint=take("surface", base.select_faint),
        add=take("success-muted", base.add),
        remove=take("error-muted", base.remove),
        dark=theme.dark,
    )


class Styles:
    """Role → style. A role is a colour's name with parts after `+`: b bold, i italic, u underline, r reverse,
    `on.NAME` for the background; `link.URL` stands last. `""` is plain text."""

    __slots__ = ("_cache", "_colours", "mono")

    def __init__(self, palette: Palette) -> None:
        self._colours = {f.name: getattr(palette, f.name) for f in fields(palette)}
        self.mono = palette.mono or palette.few
        self._cache: dict[str, Style] = {}

    def __getitem__(self, role: str) -> Style:
        style = self._cache.get(role)
        if style is None:
            style = self._cache[role] = self._make(role)
        return style

    def _make(self, role: str) -> Style:
        role, _, link = role.partition("+link.")
        colour, background = "text", "background"
        flags: dict[str, bool] = {}
        for part in filter(None, role.split("+")):
            if part in _FLAGS:
                flags[_FLAGS[part]] = True
            elif part.startswith("on."):
                background = part[3:]
            else:
                colour = part
        if self.mono and background != "background":
            # Where colours cannot be told apart a row is marked as a whole, or not at all.
            colour, flags = "text" if background in ("select", "error", "warn") else colour, dict(flags)
            flags["reverse"] = background in ("select", "error", "warn")
            background = "background"
        colours = self._colours
        return Style(
            color=colours.get(colour, colours["text"]),
            bgcolor=colours.get(background, colours["background"]),
            link=link or None,
            bold=flags.get("bold"),
            italic=flags.get("italic"),
            underline=flags.get("underline"),
            reverse=flags.get("reverse"),
        )


@cache
def _styles(palette: Palette) -> Styles:
    return Styles(palette)


def on(role: str, background: str) -> str:
    """`role` on another background."""
    if "+on." in role:
        return role
    role, link, url = role.partition("+link.")
    return f"{role}+on.{background}{link}{url}"


def linked(role: str, url: str) -> str:
    """`role` as a hyperlink (OSC 8) where `url` is a plain web address; else `role` as it is."""
    if len(url) < 2_000 and url.isascii() and url.isprintable() and url.startswith(("https://", "http://")):
        return f"{role}+link.{url}"
    return role
