"""The settings: one typed field each with what it means, read from the user's file, the project's, environment, flags.

Never lets a project's file loosen what guards the user, or name a program to run; never ignores a key it does not know.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from .guard import Policy
from .paths import config_path

PROJECT_FILE = ".dbops.toml"
_MAX_BYTES = 1_000_000
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")

# What a project's file may do with a key: nothing, set it, add to it, or only make it stricter.
Project = Literal["no", "yes", "add", "tighten"]


class ConfigError(Exception):
    """The settings cannot be read; the message has one line for each problem, with file, line and key."""


def _key(
    default: Any,
    doc: str,
    *,
    project: Project = "no",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    meta = {"doc": doc, "project": project, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=meta)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. Durations in seconds. `sources` tells for each key that was set where that was."""

    read_only: bool = _key(False, "Nothing can be changed, by no way.", project="tighten")
    arm_seconds: float = _key(
        0.0, "Start read-only; `A` allows changes for so long. 0: no arming.", project="tighten", low=0, high=86_400
    )
    production_targets: tuple[str, ...] = _key(
        ("prod", "production"), "Targets that count as production, besides `mode: production`.", project="add"
    )
    auto_in_production: bool = _key(False, "The loop may act on a production target by itself.")
    auto: bool = _key(False, "Redeploy by itself when the source is edited.")
    apply: str = _key("none", "Which patches are applied without asking.", choices=("none", "safe"))
    fixer: str = _key("", "A program that edits the bundle; it reads the failure on stdin.")
    fixer_seconds: float = _key(600.0, "How long the fixer may take.", low=1, high=86_400)
    max_iterations: int = _key(3, "Rounds of the loop before a person is asked.", project="tighten", low=1, high=3)
    partial_percent: float = _key(
        90.0, "From how many percent of tasks on a partial success is good enough.", project="yes", low=50, high=100
    )
    watch: bool = _key(True, "Watch the source files.", project="yes")
    quiet_seconds: float = _key(
        0.2, "How long the source has to be quiet before a change counts.", project="yes", low=0.05, high=60
    )
    request_budget_per_minute: int = _key(
        120, "Requests to one workspace in a minute, at most.", project="tighten", low=6, high=6_000
    )
    poll_focused_seconds: float = _key(2.0, "First interval for the run that is looked at.", low=1, high=60)
    poll_job_seconds: float = _key(120.0, "Longest interval for a job run.", project="yes", low=5, high=3_600)
    poll_training_seconds: float = _key(
        300.0, "Longest interval for a run that takes hours.", project="yes", low=5, high=3_600
    )
    poll_pipeline_seconds: float = _key(
        30.0, "Longest interval for an update of a pipeline.", project="yes", low=5, high=3_600
    )
    history_runs: int = _key(10, "Past runs shown for each resource.", project="yes", low=0, high=25)
    clock: bool = _key(True, "Show elapsed times that tick. Off, an idle console writes nothing at all.")
    bell: bool = _key(True, "Ring on a new failure, or when a watched run has ended.")
    theme: str = _key("", "A theme of Textual by its name.")
    ascii: bool = _key(False, "Draw with ASCII only.")
    editor: str = _key("", "The editor, in place of $VISUAL and $EDITOR. `{file}` and `{line}` are filled in.")
    keymap: str = _key("", "A file with keys of your own.")
    matrix: str = _key("", "A folder with rows of your own.")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def policy(self) -> Policy:
        """What the guard has to know."""
        return Policy(self.read_only, self.production_targets, self.auto_in_production)


KEYS: Mapping[str, Field[Any]] = {entry.name: entry for entry in fields(Config) if entry.metadata}


def load_config(
    root: Path | None = None, env: Mapping[str, str] = os.environ, flags: Mapping[str, Any] | None = None
) -> Config:
    """The settings: defaults, the user's file, the project's beside `databricks.yml` in `root`, DBOPS_*, flags.

    A flag of None counts as not given. Raises ConfigError with every problem at once.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    user = config_path(env)
    files: list[tuple[Path, bool]] = [(user, False)] + ([(root / PROJECT_FILE, True)] if root else [])
    for path, is_project in files:
        for key, raw, place in _read(path, problems):
            _take(values, sources, key, raw, place, problems, project=is_project, base=path.parent)
    for key in KEYS:
        raw = env.get(f"DBOPS_{key.upper()}")
        if raw is not None:
            _take(values, sources, key, _from_text(key, raw), f"DBOPS_{key.upper()}", problems, base=Path.cwd())
    for key, raw in (flags or {}).items():
        if raw is not None:
            _take(values, sources, key, raw, f"--{key.replace('_', '-')}", problems, base=Path.cwd())
    if problems:
        raise ConfigError("\n".join(problems))
    return Config(**values, sources=sources)


def template() -> str:
    """A config file with every key, its meaning and its default, all commented out."""
    lines = ["# Settings of dbops-tui. Each can also be given as DBOPS_<KEY> in the environment.", ""]
    for key, entry in KEYS.items():
        meta = entry.metadata
        more = [f"{meta['low']:g} to {meta['high']:g}"] if meta["low"] is not None else []
        more += [" or ".join(meta["choices"])] if meta["choices"] else []
        more += [f"a project's {PROJECT_FILE} may {_MAY[meta['project']]}"] if meta["project"] != "no" else []
        lines.append(f"# {meta['doc']}" + (f" ({'; '.join(more)})" if more else ""))
        lines += [f"# {key} = {_toml(entry.default)}", ""]
    return "\n".join(lines)


_MAY = {"yes": "set it", "add": "add to it", "tighten": "make it stricter"}


def _read(path: Path, problems: list[str]) -> list[tuple[str, Any, str]]:
    """(key, value, file:line) of one file; none where there is no file."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError("is too large")
        text = data.decode("utf-8")
        table = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except UnicodeDecodeError:
        problems.append(f"{path}: is no text in UTF-8")
        return []
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at line (\d+)", str(error))
        problems.append(f"{path}:{match.group(1) if match else 1}: {str(error).partition(' (at')[0]}")
        return []
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror or error}")
        return []
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: {error}")
        return []
    return [(key, value, f"{path}:{_line_of(key, text)}") for key, value in table.items()]


def _line_of(key: str, text: str) -> int:
    pattern = re.compile(rf"^\s*(?:\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*(?:=|\.|\])", re.MULTILINE)
    match = pattern.search(text)
    return text.count("\n", 0, match.start() + len(match.group()) - 1) + 1 if match else 1


def _take(
    values: dict[str, Any],
    sources: dict[str, str],
    key: str,
    raw: Any,
    place: str,
    problems: list[str],
    *,
    project: bool = False,
    base: Path,
) -> None:
    entry = KEYS.get(key)
    if entry is None:
        near = difflib.get_close_matches(key, KEYS, 1, 0.6)
        problems.append(f"{place}: {key!r} is no setting" + (f": did you mean {near[0]!r}?" if near else ""))
        return
    try:
        value = _checked(entry, raw)
        if project:
            value = _from_project(entry, value, values.get(key, entry.default))
    except ValueError as error:
        problems.append(f"{place}: {key} {error}")
        return
    if key in ("keymap", "matrix") and value:
        value = str(base / Path(value).expanduser())
    values[key] = value
    sources[key] = place


def _from_project(entry: Field[Any], value: Any, now: Any) -> Any:
    """What a project's file may make of it. Raises ValueError where it may not."""
    rule: Project = entry.metadata["project"]
    if rule == "no":
        raise ValueError(f"is read from your own config only, not from {PROJECT_FILE}")
    if rule == "add":
        return tuple(dict.fromkeys((*now, *value)))
    if rule == "tighten":
        if entry.name == "arm_seconds":
            # 0 is the loosest: no arming at all. The shorter span is the stricter one.
            return min((seconds for seconds in (value, now) if seconds), default=0.0)
        return (value or now) if isinstance(value, bool) else min(value, now)
    return value


def _checked(entry: Field[Any], raw: Any) -> Any:
    """The value in the field's type. Raises ValueError with what is wrong, to be said after the key."""
    default = entry.default
    assert default is not MISSING
    if isinstance(default, bool):
        if not isinstance(raw, bool):
            raise ValueError(f"has to be true or false, not {raw!r}")
        return raw
    if isinstance(default, (int, float)):
        if isinstance(raw, bool) or not isinstance(raw, (int, float) if isinstance(default, float) else int):
            raise ValueError(f"has to be {'a' if isinstance(default, float) else 'a whole'} number, not {raw!r}")
        low, high = entry.metadata["low"], entry.metadata["high"]
        if not low <= raw <= high:
            raise ValueError(f"has to be between {low:g} and {high:g}, not {raw!r}")
        return type(default)(raw)
    if isinstance(default, tuple):
        if not isinstance(raw, (list, tuple)) or not all(isinstance(word, str) and word for word in raw):
            raise ValueError(f"has to be a list of names, not {raw!r}")
        return tuple(raw)
    if not isinstance(raw, str) or any(ord(char) < 0x20 for char in raw):
        raise ValueError(f"has to be one line of text, not {raw!r}")
    choices = entry.metadata["choices"]
    if choices and raw not in choices:
        raise ValueError(f"has to be {' or '.join(choices)}, not {raw!r}")
    return raw


def _from_text(key: str, raw: str) -> Any:
    """What a variable of the environment says, in the field's type; the text itself where it does not fit."""
    default = KEYS[key].default
    text = raw.strip()
    if isinstance(default, bool):
        return True if text.lower() in _ON else False if text.lower() in _OFF else raw
    if isinstance(default, tuple):
        return [word for word in re.split(r"[,\s]+", text) if word]
    if isinstance(default, (int, float)):
        try:
            return int(text) if isinstance(default, int) else float(text)
        except ValueError:
            return raw
    return raw


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{word}"' for word in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, int) else repr(value)
