"""Scenarios as data: a sample bundle, the defects put into it, and the rules by which its deployed files run.
Reads the package's own folder; it never looks at a workspace, and never runs what a bundle holds."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from .http import Json
from .samples import GENERATED

FOLDER = Path(__file__).with_name("scenarios")
DEFAULT = "retail"


class ScenarioError(Exception):
    """A scenario that is not there or not well formed; the message names file and field."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When deployed source makes a task or flow fail, and how.

    path: glob on the workspace path's end. contains, unless: regexes on the source; `line` is the one to blame, else
    what `contains` matched. columns: known column names, where any other one in the source is the fault.
    inputs: regex on the for_each input. times: strikes the first N executions with the same input, 0 for always.
    error: message template with {name}, {suggestions}, {input}, {path}. code, type: termination details.
    state_message: the fault is one of the platform, without an error of its own; `cluster` describes its end.
    seconds: simulated seconds until it strikes. retryable: a production pipeline tries again.
    """

    id: str
    path: str
    error: str = ""
    contains: str = ""
    unless: str = ""
    line: str = ""
    columns: tuple[str, ...] = ()
    inputs: str = ""
    exception: str = "AnalysisException"
    class_name: str = ""
    wrapper: str = ""
    code: str = "RUN_EXECUTION_ERROR"
    type: str = "CLIENT_ERROR"
    state_message: str = ""
    cluster: tuple[tuple[str, str], ...] = ()
    times: int = 0
    seconds: float = 0.0
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Usual:
    """How a healthy execution of the files under `path` goes: seconds, rows it reports, and its result if scripted."""

    path: str
    seconds: float = 0.0
    setup_seconds: float = -1.0
    rows: int = 0
    result: str = ""


@dataclass(frozen=True, slots=True)
class Defect:
    """One edit that breaks the healthy bundle. `surfaces`: deploy or run. `mended`: whether the demo mends it."""

    surfaces: str
    file: str
    healthy: str
    broken: str
    why: str
    mended: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, its base's rules included."""

    name: str
    title: str
    about: str = ""
    bundle: str = ""
    target: str = "dev"
    run: tuple[str, ...] = ("orchestrator",)
    time_scale: float = 20.0
    defects: tuple[Defect, ...] = ()
    rules: tuple[Rule, ...] = ()
    usual: tuple[Usual, ...] = ()
    seed_events: int = 0
    tables: tuple[tuple[str, str], ...] = ()
    """(name, "column type, column type") of the tables in the bundle's schemas, for whoever asks a warehouse."""
    options: Json = field(default_factory=dict)


def names() -> list[str]:
    """Every scenario, the default first."""
    found = sorted(path.parent.name for path in FOLDER.glob("*/scenario.yaml"))
    return sorted(found, key=lambda name: (name != DEFAULT, name))


def load(name: str) -> Scenario:
    """The scenario called `name`. ScenarioError for one that is not there or is wrong."""
    path = FOLDER / name / "scenario.yaml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or not path.is_file():
        raise ScenarioError(f"there is no scenario {name!r}; there are: {', '.join(names())}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise ScenarioError(f"{path}: {problem}") from problem
    base = load(data.pop("extends")) if "extends" in data else None
    return _merged(name, data, base, path)


def _merged(name: str, data: Json, base: Scenario | None, path: Path) -> Scenario:
    known = {item.name for item in fields(Scenario)} - {"name"}
    for key in data:
        if key not in known:
            raise ScenarioError(f"{path}: unknown field {key!r}")
    rules = _records(Rule, data.get("rules"), path)
    usual = _records(Usual, data.get("usual"), path)
    defects = _records(Defect, data.get("defects"), path)
    settled: Json = {key: value for key, value in data.items() if key not in ("rules", "usual", "defects", "run")}
    if "tables" in settled:
        settled["tables"] = tuple((str(key), str(value)) for key, value in dict(settled["tables"]).items())
    if "run" in data or base is None:
        settled["run"] = tuple(data.get("run") or ("orchestrator",))
    if base is not None:
        kept = ("bundle", "target", "run", "time_scale", "tables")
        settled = {**{key: getattr(base, key) for key in kept}, **settled}
        # A scenario's own rules come first: the first that matches decides.
        rules, usual = (*rules, *base.rules), (*usual, *base.usual)
    settled.setdefault("bundle", name)
    return Scenario(name=name, rules=rules, usual=usual, defects=defects, **settled)


def _records(kind: type[Any], items: Any, path: Path) -> tuple[Any, ...]:
    made = []
    for item in items or ():
        values = dict(item)
        for key, value in values.items():
            if isinstance(value, list):
                values[key] = tuple(value)
            elif isinstance(value, dict):
                values[key] = tuple((str(k), str(v)) for k, v in value.items())
        try:
            made.append(kind(**values))
        except TypeError as problem:
            raise ScenarioError(f"{path}: {problem}") from problem
    return tuple(made)


def copy_bundle(scenario: Scenario, into: Path) -> None:
    """Writes the scenario's bundle, defects included, into the new or empty folder `into`. ScenarioError, OSError."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ScenarioError(f"{into} is not empty")
    into.mkdir(parents=True, exist_ok=True)
    make = GENERATED.get(scenario.bundle)
    if make is not None:
        for file, text in make(scenario.options).items():
            target = into / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
    else:
        shutil.copytree(
            FOLDER / scenario.bundle / "bundle", into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for defect in scenario.defects:
        target = into / defect.file
        text = target.read_text(encoding="utf-8")
        if defect.healthy not in text:
            raise ScenarioError(f"{scenario.name}: {defect.file} does not hold {defect.healthy!r}")
        target.write_text(text.replace(defect.healthy, defect.broken, 1), encoding="utf-8", newline="\n")


def described(scenario: Scenario, into: Path) -> Json:
    """What a demo needs to play the scenario: where the bundle is, what to run, and who mends what when."""
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "about": scenario.about,
        "bundle_dir": str(into),
        "target": scenario.target,
        "run": list(scenario.run),
        "time_scale": scenario.time_scale,
        "fixes": [
            {
                "after": defect.surfaces,
                "file": defect.file,
                "find": defect.broken,
                "replace": defect.healthy,
                "why": defect.why,
            }
            for defect in scenario.defects
            if defect.mended
        ],
        "unmended": [defect.why for defect in scenario.defects if not defect.mended],
    }


def main(argv: Sequence[str]) -> int:
    """`scenario NAME --into DIR` copies the bundle and prints JSON; `scenario --list` prints what there is."""
    parser = argparse.ArgumentParser(prog="dbops-tui sandbox scenario", description="Copies a sample bundle.")
    parser.add_argument("name", nargs="?", default=DEFAULT)
    parser.add_argument("--into", type=Path, help="new or empty folder for the bundle")
    parser.add_argument("--healthy", action="store_true", help="leave the defects out")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    options = parser.parse_args(list(argv))
    try:
        if options.list:
            listed = [{"name": name, "title": load(name).title} for name in names()]
            print(json.dumps(listed, ensure_ascii=False, indent=2))
            return 0
        if options.into is None:
            parser.error("--into is needed")
        scenario = load(options.name or DEFAULT)
        if options.healthy:
            scenario = Scenario(**{f.name: getattr(scenario, f.name) for f in fields(Scenario)} | {"defects": ()})
        into = options.into.resolve()
        copy_bundle(scenario, into)
    except (ScenarioError, OSError) as problem:
        print(f"scenario: {problem}", file=sys.stderr)
        return 2
    print(json.dumps(described(scenario, into), ensure_ascii=False))
    return 0
