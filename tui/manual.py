"""The page on the command line, made from the parser, so that the two cannot differ.

Never lists a command or an option by hand. `python -m dbops_tui.tui.manual` prints the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from .cli import COMMANDS, build_parser

HEAD = """\
# The command line

Made from the parser by `python -m dbops_tui.tui.manual > docs/commands.md`; a test holds it to that.

Data goes to stdout, everything else to stderr. `--json` means JSON Lines on stdout, each object with `v`, `event` and
`at`. Every stream ends with exactly one object that has `"final": true` and, but for `diagnosis` and `report`, the
`exit_code`; a command that cannot do what was asked ends with a `problem`: `code`, `message`, `fix` (what to pass or
type) and `retryable`. Ids are strings. Nothing ever prompts.

| exit status | means |
|---|---|
| 0 | as asked; for a run: it succeeded, or in part with at least 90 % and a warning |
| 1 | the operation failed, or was escalated |
| 2 | wrong usage: no bundle, an unknown target, settings that cannot be read |
| 3 | it is not known who acts where, the sign-in fails, or it was refused |
| 4 | the deploy was blocked; it did not fail |
| 130 | interrupted |

A workspace that does not answer is 4 for `heal` (nothing was deployed), 1 for what only reads, both with `retryable`,
and 3 for `doctor`: nobody could confirm who acts where.
"""


# What the streams hold before and at their end, by command.
EVENTS = {
    "resources": "a `resource` each, then `resources.ended`",
    "diagnose": "one `diagnosis`",
    "matrix": "a `row` each (list, show), a `complaint` each (check), the `draft` (learn), then `matrix.ended`",
    "doctor": "a `check` each, then `doctor.ended`",
    "history": "a `loop` each, then `history.ended`",
    "report": "one `report`",
    "heal": "the events of the loop, then `loop.ended`; its `fix` is the command that goes on",
    "watch": "the events of the run or update, then `watch.ended`; cut short, with `code`, `fix`, `retryable`",
}


def manual() -> str:
    """The page as Markdown."""
    parser = build_parser()
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    lines = [HEAD]
    for name, (_, summary) in COMMANDS.items():
        command = " ".join(["dbops-tui", name, *_usage(choices[name])])
        lines += [f"## {name}", "", f"{summary[0].upper()}{summary[1:]}.", "", "```", command, "```", ""]
        lines += [_option(action) for action in choices[name]._actions if _told(action)]
        if name in EVENTS:
            lines += ["", f"With `--json`: {EVENTS[name]}."]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _told(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in filter(_told, parser._actions):
        words = _words(action)[0]
        yield words if action.required and not action.option_strings else f"[{words}]"


def _option(action: argparse.Action) -> str:
    return f"- {', '.join(f'`{words}`' for words in _words(action))}: {action.help}"


def _words(action: argparse.Action) -> list[str]:
    value = action.metavar if isinstance(action.metavar, str) else ""
    if not value and action.choices:
        value = "|".join(str(choice) for choice in action.choices)
    if not value and action.nargs != 0:
        value = action.dest.upper()
    if not action.option_strings:
        return [f"{value}..." if action.nargs == "+" else value]
    return [f"{name} {value}".rstrip() for name in action.option_strings]


SETTINGS_HEAD = """\
# Settings

Made from the code by `python -m dbops_tui.tui.manual settings > docs/settings.md`; a test holds it to that.

They come from, each beating the one before: the user's `config.toml` (`dbops-tui doctor` names its folder), the file
`.dbops.toml` beside `databricks.yml` (which can only make guards stricter, and names no program), `DBOPS_*` in the
environment, flags. A key that is not known, or a value that does not fit, is an error with file and line.

```toml
"""


def settings() -> str:
    """The page of all settings with their defaults, as Markdown."""
    from ..core.config import template

    return SETTINGS_HEAD + template().rstrip() + "\n```\n"


if __name__ == "__main__":
    sys.stdout.write(settings() if sys.argv[1:] == ["settings"] else manual())
