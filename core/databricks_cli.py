"""The real `databricks` CLI as an async subprocess: the only thing that ever deploys, starts or destroys a bundle.

Success is the exit code and what is read back afterwards, never a line of text. A call that changes something needs
a permit, runs in a process group of its own, has no terminal to ask questions on, and is never retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cli_words import (
    CallOutcome,
    CliProblem,
    RunStarted,
    check_version,
    install_hint,
    judge,
    parse_started,
    parse_version,
)
from .diagnostics import CliDiagnostic, parse_diagnostics
from .guard import Guard, Permit, Refused
from .process import Ended, run_process
from .reach import unreachable
from .text import Redactor, clean

OnLine = Callable[[str, str], None]  # (stream, line)
OPERATION = "DBOPS_OPERATION"

# What a child is told, whatever the shell says: no colours, no second opinion on its version, its usual output.
_FIXED = {"NO_COLOR": "1", "DATABRICKS_CLI_DISABLE_UPDATE_CHECK": "true"}
_DROPPED = ("DATABRICKS_OUTPUT_FORMAT", "DATABRICKS_LOG_FILE", "DATABRICKS_LOG_LEVEL", "DATABRICKS_LOG_FORMAT")


@dataclass(frozen=True, slots=True)
class CliResult:
    """How a call ended. `stderr` are its cleaned lines (first and last of very many); `stdout` is as it came.

    `killed` tells that it did not end by itself, so that what it did is not known.
    """

    outcome: CallOutcome
    exit_code: int
    stdout: str
    stderr: tuple[str, ...]
    diagnostics: tuple[CliDiagnostic, ...]
    blocked_reason: str = ""
    killed: bool = False

    @property
    def text(self) -> str:
        """What it said on stderr, for the matrix."""
        return "\n".join(self.stderr)

    @property
    def summary(self) -> str:
        """The first error in one line."""
        errors = [each.summary for each in self.diagnostics if each.severity == "error"]
        return errors[0] if errors else next((line for line in reversed(self.stderr) if line.strip()), "")


def find_cli(env: Mapping[str, str]) -> str:
    """The path of the CLI: DATABRICKS_CLI_PATH, else `databricks` on PATH. Raises CliProblem."""
    named = env.get("DATABRICKS_CLI_PATH", "")
    if named:
        path = shutil.which(named, path=env.get("PATH", "")) or named
        if not os.path.isfile(path):
            raise CliProblem(f"DATABRICKS_CLI_PATH names {named}, which is not there", install_hint())
        if not os.access(path, os.X_OK):
            raise CliProblem(f"DATABRICKS_CLI_PATH names {named}, which cannot be run", f"chmod +x {named}")
        return path
    # Not the PATH of this process: the children's environment is the one that counts.
    found = shutil.which("databricks", path=env.get("PATH", ""))
    if not found:
        raise CliProblem("the Databricks CLI is not installed (no `databricks` on PATH)", install_hint())
    return found


class DatabricksCli:
    """Calls for one bundle, target and profile. `env` is the whole environment of the children."""

    def __init__(
        self,
        root: Path,
        *,
        env: Mapping[str, str],
        guard: Guard,
        target: str = "",
        profile: str = "",
        host: str = "",
        redactor: Redactor | None = None,
    ) -> None:
        """`host` is the workspace that was decided on: where it is known, nothing starts while it cannot be reached."""
        self.root = root
        self._guard = guard
        self._redactor = redactor or Redactor()
        self._schema: dict[str, Any] | None = None
        self.use(env=env, target=target, profile=profile, host=host)

    @property
    def env(self) -> Mapping[str, str]:
        return self._env

    def use(self, *, env: Mapping[str, str], target: str, profile: str, host: str = "") -> None:
        """Point the next calls at another target or profile."""
        self._env = {**{name: value for name, value in env.items() if name not in _DROPPED}, **_FIXED}
        self.target, self.profile = target, profile
        self.host = host or ("" if profile else env.get("DATABRICKS_HOST", ""))
        self._path = ""

    # --- calls that only read -----------------------------------------------------------------------------------------

    async def version(self) -> tuple[int, int, int]:
        """The CLI's version. Raises CliProblem where it is missing, too old or another program."""
        result = await self.run(["--version"], place=False, seconds=30, network=False)
        found = parse_version(clean(result.stdout) + "\n" + result.text)
        check_version(found)
        return found

    async def validate(self, on_line: OnLine | None = None) -> tuple[CliResult, dict[str, Any] | None]:
        """`bundle validate -o json`; the resolved config comes also where it fails, None where there is none."""
        result = await self.run(["bundle", "validate", "-o", "json"], on_line=on_line, seconds=180)
        return result, await _object(result.stdout)

    async def summary(self, on_line: OnLine | None = None) -> tuple[CliResult, dict[str, Any] | None]:
        """`bundle summary -o json`: ids and URLs of what is deployed."""
        result = await self.run(["bundle", "summary", "-o", "json"], on_line=on_line, seconds=180)
        return result, await _object(result.stdout)

    async def plan(self, on_line: OnLine | None = None) -> tuple[CliResult, dict[str, Any] | None]:
        """`bundle plan -o json`: what a deploy would create, change, recreate or delete."""
        result = await self.run(["bundle", "plan", "-o", "json"], on_line=on_line, seconds=600)
        return result, await _object(result.stdout)

    async def schema(self) -> dict[str, Any] | None:
        """`bundle schema`: the JSON schema of databricks.yml, asked once; None where the CLI does not answer."""
        if self._schema is None:
            result = await self.run(["bundle", "schema"], place=False, seconds=60, network=False)
            self._schema = await _object(result.stdout)
        return self._schema

    async def describe_auth(self) -> dict[str, Any] | None:
        """`auth describe -o json`; look at its `status`, the exit code says nothing."""
        words = ["auth", "describe", "-o", "json", *(["-p", self.profile] if self.profile else [])]
        result = await self.run(words, place=False, seconds=60)
        return await _object(result.stdout)

    # --- calls that change something ----------------------------------------------------------------------------------

    def deploy_command(self) -> list[str]:
        """The words of the deploy, as a person would type them."""
        return ["bundle", "deploy", *self._place()]

    async def deploy(self, permit: Permit, on_line: OnLine | None = None) -> CliResult:
        """`bundle deploy`. Never with --force-lock or --auto-approve: those are a person's to type."""
        return await self.run(["bundle", "deploy"], on_line=on_line, permit=permit, seconds=3600)

    def run_command(
        self,
        key: str,
        *,
        params: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        refresh: Sequence[str] = (),
        full_refresh: Sequence[str] = (),
        full_refresh_all: bool = False,
        validate_only: bool = False,
    ) -> list[str]:
        """The words of a start, as a person would type them. Raises CliProblem for what is no key."""
        words = ["bundle", "run", "--no-wait"]
        if params:
            words += ["--params", ",".join(f"{name}={value}" for name, value in params.items())]
        for flag, values in (("--only", only), ("--refresh", refresh), ("--full-refresh", full_refresh)):
            if values:
                words += [flag, ",".join(values)]
        words += ["--full-refresh-all"] * full_refresh_all + ["--validate-only"] * validate_only
        # Behind `--` the CLI would not look for a resource but run the word as a program on this machine.
        if not key or key.startswith("-"):
            raise CliProblem(f"{key!r} is no key of a resource")
        return [*words, *self._place(), key]

    async def run_no_wait(
        self, permit: Permit, words: Sequence[str], on_line: OnLine | None = None
    ) -> tuple[CliResult, RunStarted | None]:
        """Start a run or update with the words of `run_command`; None where nothing that was started can be named."""
        result = await self.run(list(words), on_line=on_line, permit=permit, place=False, seconds=600)
        return result, parse_started(result.text + "\n" + clean(result.stdout))

    async def destroy(self, permit: Permit, on_line: OnLine | None = None) -> CliResult:
        """`bundle destroy --auto-approve`: the guard has seen the typed word before this is called."""
        return await self.run(["bundle", "destroy", "--auto-approve"], on_line=on_line, permit=permit, seconds=3600)

    # --- the process --------------------------------------------------------------------------------------------------

    def _place(self) -> list[str]:
        words = ["-t", self.target] if self.target else []
        return [*words, "-p", self.profile] if self.profile else words

    async def run(
        self,
        words: Sequence[str],
        *,
        on_line: OnLine | None = None,
        permit: Permit | None = None,
        place: bool = True,
        seconds: float = 120,
        network: bool = True,
    ) -> CliResult:
        """Run the CLI with `words` (and target and profile, where `place`). Raises CliProblem, guard.Refused.

        Cancelling, or the time limit in seconds, ends the whole process group; the result then says `killed`.
        """
        full = [*words, *self._place()] if place else list(words)
        path = self._path = self._path or find_cli(self._env)
        away = await unreachable(self.host, self._env) if network and self.host else ""
        if away:
            return _blocked(f"the workspace cannot be reached: {away}", on_line)
        if permit is not None:
            permit.consume()
        self._guard.check_cli(full, permit, env=self._env)
        if on_line:
            on_line("cmd", "databricks " + " ".join(full))
        tell = (lambda line: on_line("err", line)) if on_line else None
        env = self._env
        if permit is not None and permit.act.token:
            # By this mark a later process of ours finds a CLI that outlived us (leftovers.py).
            env = {**env, OPERATION: permit.act.token}
        try:
            ended = await run_process(
                [path, *full], cwd=self.root, env=env, seconds=seconds, tell=tell, redactor=self._redactor
            )
        except OSError as error:
            raise CliProblem(f"{path} cannot be run: {error.strerror or error}", install_hint()) from error
        return _result(ended, seconds)


def _result(ended: Ended, seconds: float) -> CliResult:
    lines = ended.lines
    if ended.timed_out:
        reason = f"stopped after {seconds:.0f} s without an end"
        return CliResult(
            "blocked", ended.exit_code, ended.stdout, (*lines, reason), parse_diagnostics(lines), reason, True
        )
    if ended.exit_code < 0:
        reason = f"the CLI was ended by signal {-ended.exit_code}"
        return CliResult(
            "blocked", ended.exit_code, ended.stdout, (*lines, reason), parse_diagnostics(lines), reason, True
        )
    diagnostics = parse_diagnostics(lines)
    outcome, reason = judge(ended.exit_code, "\n".join(lines), diagnostics)
    return CliResult(outcome, ended.exit_code, ended.stdout, lines, diagnostics, reason)


def _blocked(reason: str, on_line: OnLine | None) -> CliResult:
    """The result of a call that was not begun."""
    if on_line:
        on_line("err", reason)
    return CliResult("blocked", -1, "", (reason,), (), reason)


async def _object(text: str) -> dict[str, Any] | None:
    """The JSON object in `text`; None for anything else. Large ones are read in a thread."""
    return await asyncio.to_thread(_parse, text) if len(text) > 200_000 else _parse(text)


def _parse(text: str) -> dict[str, Any] | None:
    # A cycle of variables nests the CLI's answer deeper than Python reads.
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    return None


__all__ = [
    "CallOutcome",
    "CliProblem",
    "CliResult",
    "DatabricksCli",
    "OnLine",
    "Refused",
    "RunStarted",
    "find_cli",
    "install_hint",
    "judge",
    "parse_started",
    "parse_version",
]
