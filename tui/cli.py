"""The command line: parses, then hands over to one module per command, imported only when it is asked for.

Never does the work itself and never imports Textual or the SDK: `--help` and `--version` answer at once. Whatever a
command raises ends here: in one sentence on stderr, the final event of a JSON stream, and the exit status.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from .exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

EXAMPLES = """\
examples:
  dbops-tui                         the console on the bundle here
  dbops-tui demo                    the whole loop in a simulated workspace
  dbops-tui heal nightly -t dev     deploy, run, mend and verify without a screen
  dbops-tui diagnose error.txt      what failed and why

exit status: 0 as asked, 1 failed or escalated, 2 usage, 3 identity or sign-in unresolved,
4 deploy blocked, 130 interrupted
"""

# name -> (module, one line of help); the parser of each command is filled by `_arguments_of`.
COMMANDS: dict[str, tuple[str, str]] = {
    "console": ("cmd_console", "the console on the bundle at or above PATH (the default)"),
    "demo": ("cmd_demo", "the loop on a sample bundle in a simulated workspace"),
    "sandbox": ("cmd_sandbox", "the simulated workspace alone"),
    "resources": ("cmd_resources", "what the bundle declares"),
    "watch": ("cmd_watch", "follow the latest run or update to its end"),
    "heal": ("cmd_heal", "the loop without a screen"),
    "diagnose": ("cmd_diagnose", "what failed and why"),
    "matrix": ("cmd_matrix", "the rows of known errors"),
    "doctor": ("cmd_doctor", "check the CLI, the sign-in, the workspace and this terminal"),
    "history": ("cmd_history", "what the journal holds"),
    "report": ("cmd_report", "an escalation report as Markdown"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. Raises SystemExit for wrong usage and `--help`."""
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away: no traceback, and nothing more to flush.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)


def _run(words: list[str]) -> int:
    parser = build_parser()
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help", "--version")):
        _refuse_misspelt(parser, words)
        words.insert(0, "console")
    arguments = parser.parse_args(words)
    if arguments.version:
        print(version_text())
        return EXIT_OK
    _install_crash_report(arguments)
    _take_any_text(json=getattr(arguments, "json", False))
    try:
        return int(importlib.import_module(f".{COMMANDS[arguments.command][0]}", __package__).main(arguments))
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        _tell(arguments, "interrupted", code="interrupted", exit_code=EXIT_INTERRUPTED, retryable=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        return _failed(error, arguments)


def _refuse_misspelt(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """A first word that is neither a command nor a path but nearly a command: that is what was meant."""
    if words and not words[0].startswith("-") and not Path(words[0]).exists():
        near = difflib.get_close_matches(words[0], COMMANDS, n=1, cutoff=0.7)
        if near:
            parser.error(f"{words[0]!r} is neither a command nor a folder: did you mean {near[0]}?")


def _take_any_text(*, json: bool) -> None:
    """What the terminal's alphabet lacks becomes a `?` and no failure; JSON is UTF-8 whatever the terminal speaks."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace", **({"encoding": "utf-8"} if json else {}))


def _install_crash_report(arguments: argparse.Namespace) -> None:
    """What fails in another thread, or after us, ends in a sentence and a file as well."""
    from ..core import crash
    from ..core.paths import state_dir

    crash.forbid_core_dumps()
    crash.install(state_dir, about=[f"dbops-tui {__version__}", f"command {arguments.command}"])


def _failed(error: Exception, arguments: argparse.Namespace) -> int:
    """Say what ended the command; returns the exit status that it means."""
    from .place import said, secrets_of, stop_of

    redactor = secrets_of(os.environ)
    stop = stop_of(error)
    if stop is not None:
        text = said(stop, redactor)
        body = (redactor.redact(stop.message), redactor.redact(stop.fix))
        _tell(arguments, *body, code=stop.code, exit_code=stop.exit_code, retryable=stop.retryable, text=text)
        return stop.exit_code
    from ..core import crash
    from ..core.paths import state_dir

    path = None
    with contextlib.suppress(Exception):
        about = [f"dbops-tui {__version__}", f"command {arguments.command}"]
        path = crash.write_crash(error, state_dir(), redactor=redactor, about=about)
    text = crash.sentence(error, path, redactor=redactor)
    _tell(arguments, text, code="internal", exit_code=EXIT_FAILED, text=text)
    return EXIT_FAILED


def _tell(
    arguments: argparse.Namespace,
    message: str,
    fix: str = "",
    *,
    code: str,
    exit_code: int,
    retryable: bool = False,
    text: str = "",
) -> None:
    """One sentence on stderr, and as the final event of the stream where one was asked for."""
    with contextlib.suppress(OSError, ValueError):
        print(text or f"dbops-tui: {message}", file=sys.stderr)
    if getattr(arguments, "json", False):
        from .jsonl import JsonLines

        body = {"code": code, "message": message, "fix": fix, "retryable": retryable}
        with contextlib.suppress(OSError):
            if not JsonLines.over:
                JsonLines().end("problem", body, exit_code=exit_code)


def version_text() -> str:
    """Our version with those of the packages whose versions matter, read without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    parts = []
    for name in ("textual", "databricks-sdk"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} missing")
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"dbops-tui {__version__} ({', '.join(parts)}, Python {python})"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong on stderr; a stream of JSON that was asked for has its final event all the same."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if "--json" in self._words:
            from .jsonl import JsonLines

            body = {"code": "usage", "message": message, "fix": f"{self.prog} --help", "retryable": False}
            JsonLines().end("problem", body, exit_code=EXIT_USAGE)
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, for `main`, for the docs and for tests."""
    parser = _Parser(
        prog="dbops-tui",
        description="Deploy a Databricks bundle, watch it run, see why it failed, mend it, and verify.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (_, summary) in COMMANDS.items():
        _arguments_of(name, commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + "."))
    return parser


def _arguments_of(name: str, parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.set_defaults(version=False)
    if name in ("console", "resources"):
        add("path", nargs="?", default=".", metavar="PATH", help="a folder in or below the bundle (default: here)")
    if name in ("heal", "watch", "doctor", "diagnose", "matrix", "history", "report"):
        add("--path", default=".", metavar="PATH", help="a folder in or below the bundle (default: here)")
    if name not in ("demo", "sandbox"):
        add("-t", "--target", default=None, help="the bundle's target (default: the one marked so)")
    if name in ("console", "resources", "watch", "heal", "doctor", "diagnose"):
        add("-p", "--profile", default=None, help="a profile of ~/.databrickscfg")
    if name in ("console", "demo"):
        add("--plain", action="store_true", help="no screen: one sentence for each change (also with TERM=dumb)")
    if name == "console":
        add("--read-only", action="store_true", help="nothing can be changed, by no way")
        add("--auto", action="store_true", help="redeploy by itself when the source is edited")
        add("--no-watch", action="store_true", help="do not watch the source files")
        add("--version", action="store_true", help=argparse.SUPPRESS)
    if name == "resources":
        add("--offline", action="store_true", help="what the YAML says alone: no CLI, no network")
    if name in ("demo", "sandbox"):
        add("--time-scale", type=_scale, default=None, metavar="X", help="how much faster simulated time passes")
        which = "which sample and which defects (default: retail)"
        add("--scenario", type=_scenario, default="retail", metavar="NAME", help=which)
    if name == "demo":
        add("--headless", action="store_true", help="play the whole loop without a terminal")
        add("--auto", action="store_true", help="start the loop and redeploy on each edit by itself")
        add("--into", default=None, metavar="DIR", help="where to put the sample bundle (default: a new folder)")
    if name == "sandbox":
        add("--port", type=_port, default=0, metavar="N", help="the port on 127.0.0.1 (default: a free one)")
    if name == "heal":
        add("keys", nargs="+", metavar="KEY", help="resource keys: a job or a pipeline")
        add("--max-iterations", type=_rounds, default=None, metavar="N", help="rounds at most, 1 to 3 (default: 3)")
        add("--fixer", default=None, metavar="CMD", help="a program that edits the bundle; reads the failure on stdin")
        add("--apply", choices=("safe", "none"), default=None, help="apply exact, harmless patches (default: none)")
        add("--wait-edit", type=_seconds, default=0.0, metavar="SECONDS", help="wait so long for a person's edit")
        add("--confirm", default="", metavar="TARGET", help="the target's name, to act on a production target")
        add("--keep-deployed", action="store_true", help="leave what is deployed to another workspace as it is")
        add("--plain", action="store_true", help="one sentence for each change")
    if name == "watch":
        add("key", metavar="KEY", help="a job or a pipeline")
        add("--run-id", default=None, metavar="N", help="this run (or update) and not the latest")
    if name == "diagnose":
        add(
            "file",
            nargs="?",
            default=None,
            metavar="FILE",
            help="a text with the failure, or the address of a run; - is stdin",
        )
        add("--run-id", default=None, metavar="N", help="a job run at the workspace")
        add("--pipeline-id", default=None, metavar="P", help="a pipeline at the workspace")
        add("--update-id", default=None, metavar="U", help="one of its updates (default: the latest)")
    if name == "matrix":
        add("action", choices=("list", "show", "check", "learn"), help="what to do with the rows")
        add("row", nargs="?", default=None, metavar="ROW", help="the id of a row, or a cause (show)")
        add("--top", action="store_true", help="the ten that were met most often (list)")
        add("--user", action="store_true", help="for all bundles of this user, and not only for this one (learn)")
    if name == "history":
        add("--limit", type=_positive, default=50, metavar="N", help="the newest N loops (default: 50)")
    if name == "report":
        add("id", nargs="?", default=None, metavar="ID", help="which loop (default: the latest that escalated)")
    if name not in ("console", "demo", "sandbox"):
        add("--json", action="store_true", help="JSON Lines on stdout")


def _rounds(text: str) -> int:
    return _whole(text, 1, 3)


def _positive(text: str) -> int:
    return _whole(text, 1, 1_000_000)


def _port(text: str) -> int:
    return _whole(text, 0, 65_535)


def _scale(text: str) -> float:
    return _number(text, 0.001, 1_000_000.0)


def _seconds(text: str) -> float:
    return _number(text, 0.0, 86_400.0)


def _number(text: str, low: float, high: float) -> float:
    with contextlib.suppress(ValueError):
        # Of what is no number (nan) no comparison is true.
        if low <= float(text) <= high:
            return float(text)
    raise argparse.ArgumentTypeError(f"a number from {low:g} to {high:,.0f} is needed, not {text!r}")


def _scenario(text: str) -> str:
    """The name of a scenario that is there: refused here, before a folder is made or a process is started."""
    folder = Path(__file__).resolve().parent.parent / "sandbox" / "scenarios"
    names = sorted(each.parent.name for each in folder.glob("*/scenario.yaml"))
    if text not in names:
        raise argparse.ArgumentTypeError(f"there is no scenario {text!r}; there are: {', '.join(names)}")
    return text


def _whole(text: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"a whole number from {low:,} to {high:,} is needed, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
