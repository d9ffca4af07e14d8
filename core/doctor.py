"""What stands between this machine and a deploy: each check is data, with what was found and what to do about it.

Never changes anything, never prompts, and goes on when a check itself fails.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .bundle import Bundle, BundleProblem
from .identity import flag, sign_in
from .lock import provably_dead, read_holder
from .paths import classify_filesystem
from .profiles import config_file
from .state import Identity
from .text import Redactor, clean

Status = Literal["ok", "warning", "problem", "skipped"]
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `text` is one sentence; `hint` what to type or read, where something is not as it should be."""

    id: str
    title: str
    status: Status
    text: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """For the JSON stream."""
        return {"id": self.id, "title": self.title, "status": self.status, "text": self.text, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class Terminal:
    """What is known of the terminal; sizes in cells, 0 where there is none."""

    tty: bool
    term: str
    columns: int
    lines: int
    encoding: str
    colours: str  # truecolor | 256 | 16 | none

    @classmethod
    def here(cls, env: Mapping[str, str] = os.environ) -> Terminal:
        """The terminal of this process."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except (OSError, ValueError, AttributeError):
            columns, lines = 0, 0
        tty = columns > 0 and sys.stdin is not None and sys.stdin.isatty()
        return cls(tty, env.get("TERM", ""), columns, lines, sys.stdout.encoding or "", colours(env))


def colours(env: Mapping[str, str]) -> str:
    """How many colours the environment promises."""
    term = env.get("TERM", "")
    if env.get("NO_COLOR") or term in ("", "dumb"):
        return "none"
    if env.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if "256" in term else "16"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined. The callables reach outside and are given, so that nothing here does; None skips a check.

    `cli` answers with the CLI's version, `describe` with the data of `auth describe -o json`, `reach` with the user
    that the workspace names. Each raises with a sentence where it cannot.
    """

    env: Mapping[str, str]
    identity: Identity
    terminal: Terminal
    state_dir: Callable[[], Path]
    bundle: Bundle | None = None
    bundle_problem: str = ""
    config_problem: str = ""
    journal: Path | None = None
    cli: Callable[[], Awaitable[tuple[int, ...]]] | None = None
    describe: Callable[[], Awaitable[Mapping[str, object] | None]] | None = None
    reach: Callable[[], Awaitable[str]] | None = None
    mountinfo: str | None = None
    redactor: Redactor | None = None


Finding = tuple[Status, str, str]


async def examine(subject: Subject) -> tuple[Check, ...]:
    """All checks, side by side, in their order. Raises nothing."""
    return tuple(await asyncio.gather(*(_one(entry, subject) for entry in CHECKS)))


def exit_code(checks: tuple[Check, ...]) -> int:
    """0 where nothing is a problem, 3 where it is who acts where, 1 for any other problem."""
    bad = {check.id for check in checks if check.status == "problem"}
    return 3 if bad & {"identity", "sign-in", "workspace"} else 1 if bad else 0


async def _one(entry: _Entry, subject: Subject) -> Check:
    name, title, look = entry
    redactor = subject.redactor or Redactor()
    try:
        # What only looks at this machine may still hang on a home folder of the network: not on the event loop.
        found = look(subject) if inspect.iscoroutinefunction(look) else asyncio.to_thread(look, subject)
        status, text, hint = await asyncio.wait_for(found, SECONDS)
    except TimeoutError:
        status, text, hint = "problem", f"no answer within {SECONDS:.0f} s", ""
    except Exception as error:
        status, text, hint = "problem", str(error) or type(error).__name__, str(getattr(error, "install", ""))
    said, help_ = (redactor.redact(" ".join(clean(words).split())) for words in (text, hint))
    return Check(name, title, status, said, help_)


def _python(subject: Subject) -> Finding:
    from importlib.metadata import PackageNotFoundError, requires, version

    found = f"Python {sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}"
    wrong = []
    try:
        needed = [line.partition(";") for line in requires("dbops-tui") or []]
        pinned = [line.split("==") for line, _, when in needed if "==" in line and "extra" not in when]
        for name, wanted in pinned:
            if version(name.strip()) != wanted.strip():
                wrong.append(f"{name.strip()} {version(name.strip())} in place of {wanted.strip()}")
    except PackageNotFoundError as error:
        return "warning", f"{found}; {error.name} is not installed as a package", "pip install dbops-tui"
    if wrong:
        return "warning", f"{found}; {', '.join(wrong)}", "pip install --force-reinstall dbops-tui"
    return "ok", found, ""


def _matcher(subject: Subject) -> Finding:
    try:
        import ahocorasick_rs
    except ImportError as error:
        return "problem", f"ahocorasick_rs cannot be loaded: {error}", "pip install --only-binary :all: ahocorasick_rs"
    found = len(ahocorasick_rs.AhoCorasick(["works"]).find_matches_as_indexes("it works"))
    return ("ok", "ahocorasick_rs works", "") if found else ("problem", "ahocorasick_rs finds nothing", "")


def _config(subject: Subject) -> Finding:
    return ("problem", subject.config_problem, "") if subject.config_problem else ("ok", "no mistakes", "")


async def _cli(subject: Subject) -> Finding:
    if subject.cli is None:
        return "skipped", "not asked", ""
    version = await subject.cli()
    return "ok", f"databricks {'.'.join(map(str, version))}", ""


def _bundle(subject: Subject) -> Finding:
    if subject.bundle_problem or subject.bundle is None:
        problem = subject.bundle_problem or "there is no databricks.yml here or above"
        # Of two root files the problem says itself what to do: another folder would not mend it.
        return "problem", problem, "" if "rename or remove" in problem else "--path FOLDER"
    bundle = subject.bundle
    if bundle.errors:
        first = bundle.errors[0]
        place = f"{first.place.file}:{first.place.line}: " if first.place else ""
        return "problem", f"{place}{first.summary}", _answer(bundle, first)
    count = len(bundle.resources)
    return "ok", f"{bundle.name}, target {bundle.target or 'none'}, {count} resource{'' if count == 1 else 's'}", ""


def _answer(bundle: Bundle, problem: BundleProblem) -> str:
    """What to do about a problem of the bundle: a target to name, a place to edit, or who knows more."""
    names = ", ".join(target.name for target in bundle.targets)
    if not bundle.broken and names and problem.summary.endswith(": no such target"):
        return f"-t with one of: {names}"
    return f"edit {problem.place.file}" if bundle.broken and problem.place else "databricks bundle validate"


def _identity(subject: Subject) -> Finding:
    here = subject.identity
    if here.problem:
        return "problem", here.problem, flag(here)
    who = f"profile {here.profile}" if here.profile else "no profile"
    text = f"{f'target {here.target}' if here.target else 'no target'} goes to {here.host} with {who} ({here.source})"
    if here.mode == "production":
        return "warning", f"{text}: a production target", ""
    return "ok", text, ""


def _environment(subject: Subject) -> Finding:
    """Variables that would lead another program, started from the same shell, elsewhere."""
    here, env = subject.identity, subject.env
    astray = []
    host = env.get("DATABRICKS_HOST", "").rstrip("/")
    if host and here.host and host.lower() != here.host:
        astray.append(f"DATABRICKS_HOST is {host}")
    profile = env.get("DATABRICKS_CONFIG_PROFILE", "")
    if profile and here.profile and profile != here.profile:
        astray.append(f"DATABRICKS_CONFIG_PROFILE is {profile}")
    target = env.get("DATABRICKS_BUNDLE_TARGET", "")
    if target and here.target and target != here.target:
        astray.append(f"DATABRICKS_BUNDLE_TARGET is {target}")
    if env.get("DATABRICKS_BUNDLE_ROOT"):
        astray.append("DATABRICKS_BUNDLE_ROOT names another bundle")
    if here.profile and env.get("DATABRICKS_TOKEN"):
        astray.append("DATABRICKS_TOKEN is set and is not used")
    if astray:
        return "warning", "; ".join(astray), "a `databricks` typed in this shell would act elsewhere: unset them"
    return "ok", "nothing in it leads elsewhere", ""


async def _sign_in(subject: Subject) -> Finding:
    if subject.describe is None or subject.identity.problem:
        return "skipped", "not asked", ""
    data = await subject.describe()
    if not data:
        return "warning", "the CLI does not describe it", "databricks auth describe"
    details = data.get("details")
    kind = details.get("auth_type", "") if isinstance(details, Mapping) else ""
    if data.get("status") == "success":
        return "ok", f"{data.get('username') or 'signed in'} by {kind or 'an unnamed way'}", ""
    return "problem", f"not signed in ({kind or 'nothing fits'})", sign_in(subject.identity)


async def _workspace(subject: Subject) -> Finding:
    if subject.reach is None or subject.identity.problem:
        return "skipped", "not asked", ""
    user = await subject.reach()
    if subject.identity.user and user != subject.identity.user:
        return "problem", f"the workspace calls us {user}, not {subject.identity.user}", flag(subject.identity)
    return "ok", f"{subject.identity.host} answers {user}", ""


def _terminal(subject: Subject) -> Finding:
    found = subject.terminal
    if not found.tty:
        return "warning", "there is no terminal: no console, only the commands that print", "--plain, heal, watch"
    if found.term in ("", "dumb"):
        return "warning", f"TERM is {found.term or 'not set'}", "export TERM=xterm-256color, or --plain"
    text = f"{found.term}, {found.columns}×{found.lines}, {found.colours} colours, {found.encoding}"
    if "utf" not in found.encoding.lower():
        return (
            "warning",
            f"{text}: lines and marks need UTF-8",
            "export LC_ALL=C.UTF-8, or `ascii = true`",
        )
    if found.columns < 40 or found.lines < 10:
        return "warning", f"{text}: smaller than 40×10", ""
    return "ok", text, ""


def _journal(subject: Subject) -> Finding:
    try:
        folder = subject.state_dir()
        probe = folder / f".probe-{os.getpid()}"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()
    except OSError as error:
        text = f"the state folder cannot be written: {error.strerror or error}"
        return "problem", f"{text}; nothing can be deployed from here", "DBOPS_STATE_DIR=/a/local/folder"
    if subject.journal is not None:
        holder = read_holder(subject.journal.with_suffix(".lock"))
        if holder is not None and not provably_dead(holder):
            return "warning", f"the journal of this bundle is held by {holder.words()}", ""
    if classify_filesystem(folder, subject.mountinfo) == "network":
        text = f"{folder} is on a network file system: the journal runs without WAL, slower"
        return "warning", text, "DBOPS_STATE_DIR=/a/local/folder"
    return "ok", f"{folder} is on a local disk", ""


def _config_file(subject: Subject) -> Finding:
    path = config_file(subject.env)
    try:
        mode = path.stat().st_mode
    except OSError:
        return "ok", f"{path.name}: none", ""
    if os.name == "posix" and mode & 0o077:
        return "warning", f"{path} can be read by others", f"chmod 600 {path}"
    return "ok", f"{path} is private", ""


def _watches(subject: Subject) -> Finding:
    try:
        limit = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return "ok", "the system has no limit of its own", ""
    if limit < 16_384:
        hint = "sysctl fs.inotify.max_user_watches=524288"
        return "warning", f"only {limit} folders can be watched", hint
    return "ok", f"{limit} folders can be watched", ""


_Entry = tuple[str, str, Callable[[Subject], Any]]  # id, title, a function or coroutine function to a Finding

CHECKS: tuple[_Entry, ...] = (
    ("python", "Python and packages", _python),
    ("matcher", "Matcher", _matcher),
    ("config", "Settings", _config),
    ("cli", "Databricks CLI", _cli),
    ("bundle", "Bundle", _bundle),
    ("identity", "Profile, host and target", _identity),
    ("environment", "Environment", _environment),
    ("profiles", "Profile file", _config_file),
    ("sign-in", "Sign-in", _sign_in),
    ("workspace", "Workspace", _workspace),
    ("terminal", "Terminal", _terminal),
    ("journal", "Journal", _journal),
    ("watches", "File watching", _watches),
)
