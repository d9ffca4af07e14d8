"""How the console reaches a person outside of its screen: bell, desktop notice, clipboard, all through the terminal.

Never rings twice for the same thing, and never sends text that a terminal could obey.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from .safety import harmless

Write = Callable[[str], None]
COPY_LIMIT = 55_000  # bytes; many terminals drop an OSC 52 of more than about 75 kB of base64
_NOTICE_LIMIT = 200


def through_tmux(sequence: str, env: Mapping[str, str] = os.environ) -> str:
    """`sequence` in a passthrough for tmux or screen where we run in one, so that the outer terminal gets it."""
    if env.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if env.get("STY"):
        return "\x1bP" + sequence + "\x1b\\"
    return sequence


def desktop(title: str, text: str, kind: str) -> str:
    """The escape sequence of a desktop notice: `kind` is 9 (iTerm2, ConEmu), 777 (rxvt, foot) or 99 (kitty).

    Empty for any other kind. The texts are made harmless and short.
    """
    title, text = (harmless(" ".join(part.split()))[:_NOTICE_LIMIT] for part in (title, text))
    if kind == "9":
        # `9;4;...` would be a progress bar; a leading blank keeps a text of digits a text.
        return f"\x1b]9; {title}: {text}\x1b\\"
    if kind == "777":
        return f"\x1b]777;notify;{title.replace(';', ',')};{text.replace(';', ',')}\x1b\\"
    if kind == "99":
        return f"\x1b]99;i=dbops:d=0;{title}\x1b\\\x1b]99;i=dbops:d=1:p=body;{text}\x1b\\"
    return ""


class Notifier:
    """Rings for new things. `kind` is the desktop notice wished for; empty means a bell at most."""

    def __init__(self, write: Write, *, bell: bool = True, kind: str = "", env: Mapping[str, str] = os.environ) -> None:
        self._write = write
        self._bell = bell
        self._kind = kind
        self._env = env
        self._told: set[str] = set()

    def tell(self, what: str, title: str, text: str) -> bool:
        """Ring once for `what` (an id of the occasion); True where it was new."""
        if what in self._told:
            return False
        self._told.add(what)
        if self._bell:
            self._write("\a")
        if self._kind:
            sequence = desktop(title, text, self._kind)
            if sequence:
                self._write(through_tmux(sequence, self._env))
        return True

    def known(self, what: str) -> None:
        """Count `what` as told without ringing: it was there when the console came up."""
        self._told.add(what)


def copy(text: str, write: Write, env: Mapping[str, str] = os.environ, *, folder: Path | None = None) -> str:
    """Send `text` to the clipboard of the person's own terminal (OSC 52); says in a few words what was done.

    Nobody answers an OSC 52, so it says "sent". What is longer than COPY_LIMIT goes to a file in `folder` instead,
    and the path is copied.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > COPY_LIMIT:
        if folder is None:
            return f"too long to copy: {len(data):,} bytes"
        path = folder / "copied.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        copy(str(path), write, env)
        return f"too long for the clipboard: saved as {path}, and that was copied"
    encoded = base64.b64encode(data).decode("ascii")
    # tmux answers OSC 52 itself (set-clipboard); the passthrough would need allow-passthrough, which is off by default.
    write(f"\x1b]52;c;{encoded}\x07")
    return f"sent to the clipboard: {harmless(' '.join(text.split())[:60])}"
