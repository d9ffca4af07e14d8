"""Opens a place of the source in the person's own editor, at the line, with the console out of the way.

Never runs a shell, and never takes the editor from the bundle.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# How an editor is told the line: by the name of its program. `{file}` and `{line}` are filled in.
_LINE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("code", "code-insiders", "codium", "cursor", "windsurf"), ("-g", "{file}:{line}")),
    **dict.fromkeys(("subl", "zed", "hx", "helix"), ("{file}:{line}",)),
    **dict.fromkeys(("idea", "pycharm", "charm"), ("--line", "{line}", "{file}")),
    "micro": ("{file}:{line}",),
    "kak": ("+{line}", "{file}"),
}
_OWN_WINDOW = frozenset(
    {"code", "code-insiders", "codium", "cursor", "windsurf", "subl", "zed", "idea", "pycharm", "charm", "gvim", "xed"}
)


class NoEditor(Exception):
    """No editor can be run; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run. `own_window` tells that the terminal stays ours."""

    words: tuple[str, ...]
    own_window: bool = False


def command_for(file: Path, line: int | None, *, editor: str = "", env: Mapping[str, str] = os.environ) -> Command:
    """The command that opens `file` at `line`: the configured editor, $VISUAL, $EDITOR, VS Code from within its own
    terminal, else the first of vim, nano, vi. Raises NoEditor."""
    chosen = editor or env.get("VISUAL") or env.get("EDITOR") or ""
    if not chosen and env.get("TERM_PROGRAM") == "vscode" and shutil.which("code", path=env.get("PATH")):
        chosen = "code"
    if not chosen:
        chosen = next((name for name in ("vim", "nano", "vi") if shutil.which(name, path=env.get("PATH"))), "")
    if not chosen:
        raise NoEditor("no editor is set: set $EDITOR, or `editor` in the config")
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        raise NoEditor(f"the editor {chosen!r} cannot be read: {error}") from error
    if not words:
        raise NoEditor("the editor is set to nothing")
    at = str(line or 1)
    name = Path(words[0]).name.removesuffix(".exe").removesuffix(".cmd")
    if any("{file}" in word for word in words):
        filled = tuple(word.replace("{file}", str(file)).replace("{line}", at) for word in words)
        return Command(filled, name in _OWN_WINDOW)
    form = _LINE.get(name, ("+{line}", "{file}"))
    rest = tuple(word.replace("{file}", str(file)).replace("{line}", at) for word in form)
    return Command((*words, *rest), name in _OWN_WINDOW)


def run(command: Command) -> str:
    """Run it to its end; an empty text, or in a few words what went wrong. Raises nothing: the caller is suspended."""
    try:
        if command.own_window:
            done = subprocess.run(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        else:
            done = subprocess.run(command.words, check=False)
    except FileNotFoundError:
        return f"the editor {command.words[0]} is not installed"
    except Exception as error:
        return f"the editor could not be run: {error}"
    return "" if done.returncode == 0 else f"the editor ended with status {done.returncode}"
