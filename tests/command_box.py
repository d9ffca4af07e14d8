"""Runs commands of the program as a user would: a process of its own, a clean environment, a bundle in a folder.
It holds no test and no expectation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quick import quick, quick_cli
from sandbox_fixture import INHERITED, SandboxBox, running_sandbox
from sandbox_work import advance

PROGRAM = [sys.executable, "-m", "dbops_tui"]
SMALL = """\
bundle:
  name: shop
targets:
  dev:
    mode: development
    default: true
  prod:
    mode: production
resources:
  jobs:
    nightly:
      name: nightly
      tasks:
        - task_key: work
          notebook_task:
            notebook_path: src/work.py
"""


@dataclass
class Ended:
    """How a command ended; `events` are the objects of a JSON stream."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]


@dataclass
class Program:
    """The program in one folder with one environment; no way leads from it to the machine's own settings."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, stdin: str | bytes | None = None, cwd: Path | None = None, **env: str) -> Ended:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        # What an interpreter is told at its start needs one that starts.
        start = PROGRAM if any(name.startswith("PYTHON") for name in env) else quick("dbops_tui")
        done = subprocess.run(
            [*start, *words],
            cwd=cwd or self.root,
            env={**self.env, **env},
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=120,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def write(self, name: str, text: str | bytes) -> Path:
        """A file below the folder."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path


def alone(folder: Path) -> Program:
    """The program in an empty folder: no bundle, no CLI, no profile, no network."""
    for name in ("work", "home", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    env = {name: os.environ[name] for name in INHERITED if name in os.environ and name != "PATH"}
    env |= {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "DATABRICKS_CONFIG_FILE": str(folder / "home" / "databrickscfg"),
        "DBOPS_STATE_DIR": str(folder / "state"),
        "DBOPS_CONFIG": str(folder / "home" / "config.toml"),
        "NO_COLOR": "1",
    }
    return Program(folder / "work", env)


def with_bundle(folder: Path, text: str = SMALL) -> Program:
    """The program in a bundle with one job."""
    program = alone(folder)
    program.write("databricks.yml", text)
    program.write("src/work.py", "# Databricks notebook source\nx = 1\n")
    return program


@dataclass
class Deployed:
    """A sample bundle, deployed to a sandbox by the stand-in CLI."""

    box: SandboxBox
    program: Program
    told: dict[str, Any]

    @property
    def root(self) -> Path:
        return self.program.root

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self.program.env["DATABRICKS_CLI_PATH"], *words, "-t", self.told["target"]]
        return subprocess.run(command, cwd=self.root, env=self.program.env, capture_output=True, text=True, timeout=120)

    def mend(self, after: str) -> None:
        """Make the planned edits of one stage."""
        for fix in self.told["fixes"]:
            if fix["after"] == after:
                path = self.root / fix["file"]
                path.write_text(path.read_text().replace(fix["find"], fix["replace"]))

    def run(self, key: str) -> str:
        """Start a job and let its time pass; returns the run id."""
        done = self.cli("bundle", "run", key, "--no-wait")
        assert done.returncode == 0, done.stderr
        advance(self.box, 3600)
        return done.stderr.partition("/runs/")[2].partition("?")[0].split()[0]


@contextmanager
def deployed(folder: Path, scenario: str = "retail") -> Iterator[Deployed]:
    """The scenario's bundle, its defects of the deploy mended and deployed, with a frozen clock."""
    program = alone(folder)
    root = folder / "bundle"
    made = subprocess.run(
        [*quick("dbops_tui.sandbox"), "scenario", scenario, "--into", str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = json.loads(made.stdout)
    with running_sandbox(scenario=scenario) as box:
        box.control("POST", "clock", {"freeze": True})
        env = {**program.env, **box.env(folder / "env"), "DATABRICKS_CLI_PATH": str(quick_cli(folder))}
        held = Deployed(box, Program(root, env), told)
        held.mend("deploy")
        done = held.cli("bundle", "deploy")
        assert done.returncode == 0, done.stderr
        yield held
