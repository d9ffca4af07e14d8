"""The real `databricks` CLI as an async subprocess: the only thing that ever deploys, starts or destroys a bundle.

Success is the exit code and what is read back afterwards, never a line of text. A call that changes something needs
a permit, runs in a process group of its own, has no terminal to ask questions on, and is never retried.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .diagnostics import CliDiagnostic, parse_diagnostics
from .guard import Guard, Permit, Refused
from .text import Cleaner, Redactor

MINIMUM = (0, 278)
KEEP_LINES = 5_000
KEEP_STDOUT = 64_000_000
LONG_LINE = 20_000

OnLine = Callable[[str, str], None]  # (stream, line)
CallOutcome = Literal["ok", "failed", "blocked"]

# Texts that say the surroundings, and not the bundle, are in the way: nothing was judged, nothing was changed.
_BLOCKED: tuple[tuple[str, str], ...] = (
    (r"Failed to acquire deployment lock|deploy lock acquired by", "another deployment holds the lock"),
    (r"cannot configure default credentials|default auth: cannot|no configuration file found|has no .{0,40} profile configured", "not signed in"),
    (r"multiple profiles matched", "several profiles fit: choose one"),
    (r"[Rr]efresh token is invalid|INVALID_REFRESH_TOKEN|token (?:is|has) expired|Invalid (?:access )?[Tt]oken|reauthenticate|databricks auth login", "the sign-in ran out"),
    (r"\b401\b.{0,40}(?:Unauthorized|UNAUTHENTICATED)|Credential was not sent", "the workspace does not accept the sign-in"),
    (r"connection refused|no such host|network is unreachable|i/o timeout|TLS handshake|certificate signed by unknown|context deadline exceeded|no route to host|connection reset by peer", "the workspace cannot be reached"),
    (r"error downloading Terraform|unable to verify checksums signature|terraform download", "Terraform could not be downloaded"),
    (r"requires destructive actions|current console does not support prompting|To proceed, use --auto-approve", "it would delete or recreate resources: a person has to approve that"),
    (r"Source IP address.{0,60}blocked", "this address is not on the workspace's access list"),
)  # fmt: skip
_BLOCKED_RE = [(re.compile(pattern), reason) for pattern, reason in _BLOCKED]


@dataclass(frozen=True, slots=True)
class CliProblem(Exception):
    """The CLI cannot be used: missing, too old, or not the one that knows bundles; `install` says what to do."""

    summary: str
    install: str

    def __str__(self) -> str:
        return self.summary


@dataclass(frozen=True, slots=True)
class CliResult:
    """How a call ended. `stderr` are the last cleaned lines; `killed` tells that its end is not known."""

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
        errors = [d.summary for d in self.diagnostics if d.severity == "error"]
        return errors[0] if errors else next((line for line in reversed(self.stderr) if line.strip()), "")


@dataclass(frozen=True, slots=True)
class RunStarted:
    """What `bundle run --no-wait` started: a run of a job or an update of a pipeline. Ids are strings."""

    kind: Literal["job", "pipeline"]
    job_id: str = ""
    run_id: str = ""
    pipeline_id: str = ""
    update_id: str = ""
    url: str = ""


def install_hint(platform: str = sys.platform) -> str:
    """What to type to get the CLI, by platform (from the CLI's own install page)."""
    if platform == "darwin":
        return "brew tap databricks/tap && brew install databricks"
    if platform == "win32":
        return "winget install Databricks.DatabricksCLI"
    return "https://docs.databricks.com/dev-tools/cli/install.html (install.sh, or a package of the releases page)"


def find_cli(env: Mapping[str, str]) -> str:
    """The path of the CLI: DATABRICKS_CLI_PATH, else `databricks` on PATH. Raises CliProblem."""
    named = env.get("DATABRICKS_CLI_PATH", "")
    if named:
        if not os.access(named, os.X_OK):
            raise CliProblem(f"DATABRICKS_CLI_PATH names {named}, which cannot be run", install_hint())
        return named
    found = shutil.which("databricks", path=env.get("PATH"))
    if not found:
        raise CliProblem("the Databricks CLI is not installed (no `databricks` on PATH)", install_hint())
    return found


def parse_version(text: str) -> tuple[int, int, int]:
    """(major, minor, patch) of what `databricks --version` printed. Raises CliProblem for the archived CLI or nonsense."""
    match = re.search(r"Databricks CLI v(\d+)\.(\d+)\.(\d+)", text)
    if match:
        return (int(match[1]), int(match[2]), int(match[3]))
    if re.search(r"^Version 0\.1\d", text.strip()):
        raise CliProblem(
            "this `databricks` is the archived CLI, which knows no bundles (PyPI databricks-cli)", install_hint()
        )
    raise CliProblem(f"this `databricks` does not tell its version: {text.strip()[:80]!r}", install_hint())


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
        redactor: Redactor | None = None,
    ) -> None:
        self.root = root
        self.target = target
        self.profile = profile
        self._env = {**env, "NO_COLOR": "1", "DATABRICKS_CLI_DISABLE_UPDATE_CHECK": "true"}
        self._guard = guard
        self._redactor = redactor or Redactor()
        self._path = ""

    @property
    def env(self) -> Mapping[str, str]:
        return self._env

    def use(self, *, env: Mapping[str, str], target: str, profile: str) -> None:
        """Point the next calls at another target or profile."""
        self._env = {**env, "NO_COLOR": "1", "DATABRICKS_CLI_DISABLE_UPDATE_CHECK": "true"}
        self.target, self.profile = target, profile

    # --- calls that only read -----------------------------------------------------------------------------------------

    async def version(self) -> tuple[int, int, int]:
        """The CLI's version. Raises CliProblem where it is missing, too old or another program."""
        result = await self.run(["--version"], place=False, timeout=30)
        found = parse_version(result.stdout + "\n" + result.text)
        if found[:2] < MINIMUM:
            was = ".".join(map(str, found))
            raise CliProblem(
                f"the Databricks CLI {was} is too old: {MINIMUM[0]}.{MINIMUM[1]} or newer is needed", install_hint()
            )
        return found

    async def validate(self, on_line: OnLine | None = None) -> tuple[CliResult, dict[str, Any] | None]:
        """`bundle validate -o json`; the resolved config comes also where it fails, None where there is none."""
        result = await self.run(["bundle", "validate", "-o", "json"], on_line=on_line, timeout=180)
        return result, _object(result.stdout)

    async def summary(self, on_line: OnLine | None = None) -> tuple[CliResult, dict[str, Any] | None]:
        """`bundle summary -o json`: ids and URLs of what is deployed."""
        result = await self.run(["bundle", "summary", "-o", "json"], on_line=on_line, timeout=180)
        return result, _object(result.stdout)

    async def plan(self, on_line: OnLine | None = None) -> tuple[CliResult, dict[str, Any] | None]:
        """`bundle plan -o json`: what a deploy would create, change, recreate or delete."""
        result = await self.run(["bundle", "plan", "-o", "json"], on_line=on_line, timeout=300)
        return result, _object(result.stdout)

    async def schema(self) -> dict[str, Any] | None:
        """`bundle schema`: the JSON schema of databricks.yml; None where the CLI does not answer."""
        result = await self.run(["bundle", "schema"], place=False, timeout=60)
        return _object(result.stdout)

    async def describe_auth(self) -> dict[str, Any] | None:
        """`auth describe -o json`; look at its `status`, the exit code says nothing."""
        words = ["auth", "describe", "-o", "json"] + (["-p", self.profile] if self.profile else [])
        result = await self.run(words, place=False, timeout=60)
        return _object(result.stdout)

    # --- calls that change something ----------------------------------------------------------------------------------

    def deploy_command(self) -> list[str]:
        """The words of the deploy, as a person would type them."""
        return ["bundle", "deploy", *self._place()]

    async def deploy(self, permit: Permit, on_line: OnLine | None = None) -> CliResult:
        """`bundle deploy`. Never with --force-lock or --auto-approve: those are a person's to type."""
        return await self.run(["bundle", "deploy"], on_line=on_line, permit=permit, timeout=3600)

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
        """The words of a start, as a person would type them."""
        words = ["bundle", "run", "--no-wait"]
        if params:
            words += ["--params", ",".join(f"{name}={value}" for name, value in params.items())]
        for flag, values in (("--only", only), ("--refresh", refresh), ("--full-refresh", full_refresh)):
            if values:
                words += [flag, ",".join(values)]
        words += ["--full-refresh-all"] * full_refresh_all + ["--validate-only"] * validate_only
        return [*words, *self._place(), "--", key] if key.startswith("-") else [*words, *self._place(), key]

    async def run_no_wait(
        self, permit: Permit, words: Sequence[str], on_line: OnLine | None = None
    ) -> tuple[CliResult, RunStarted | None]:
        """Start a run or update with the words of `run_command`; None where nothing that was started can be named."""
        result = await self.run(list(words), on_line=on_line, permit=permit, place=False, timeout=600)
        return result, parse_started(result.text + "\n" + result.stdout)

    async def destroy(self, permit: Permit, on_line: OnLine | None = None) -> CliResult:
        """`bundle destroy --auto-approve`: the guard has seen the typed word before this is called."""
        return await self.run(["bundle", "destroy", "--auto-approve"], on_line=on_line, permit=permit, timeout=3600)

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
        timeout: float = 120,
    ) -> CliResult:
        """Run the CLI with `words` (and target and profile, where `place`). Raises CliProblem, guard.Refused.

        Cancelling, or the time limit in seconds, ends the whole process group; the result then says `killed`.
        """
        full = [*words, *self._place()] if place else list(words)
        path = self._path = self._path or find_cli(self._env)
        if permit is not None:
            permit.consume()
        self._guard.check_cli(full, permit)
        if on_line:
            on_line("cmd", "databricks " + " ".join(full))
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                *full,
                cwd=self.root,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise CliProblem(f"{path} cannot be run: {error.strerror or error}", install_hint()) from error
        return await self._finish(process, on_line, timeout)

    async def _finish(self, process: asyncio.subprocess.Process, on_line: OnLine | None, timeout: float) -> CliResult:
        stderr: deque[str] = deque(maxlen=KEEP_LINES)
        stdout = bytearray()
        assert process.stdout is not None
        assert process.stderr is not None
        readers = asyncio.gather(
            _collect(process.stdout, stdout), self._lines(process.stderr, stderr, on_line), process.wait()
        )
        killed = False
        try:
            await asyncio.wait_for(readers, timeout)
        except asyncio.TimeoutError:
            killed = True
            stderr.append(f"stopped after {timeout:.0f} s without an end")
            await _kill(process)
        except asyncio.CancelledError:
            await _kill(process)
            raise
        code = process.returncode if process.returncode is not None else -1
        text = stdout.decode("utf-8", "replace")
        diagnostics = parse_diagnostics(stderr)
        outcome, reason = judge(code, "\n".join(stderr), diagnostics)
        return CliResult(outcome, code, text, tuple(stderr), diagnostics, reason, killed or code < 0)

    async def _lines(self, stream: asyncio.StreamReader, kept: deque[str], on_line: OnLine | None) -> None:
        cleaner = Cleaner()
        rest = ""

        def tell(line: str) -> None:
            line = self._redactor.redact(line[:LONG_LINE])
            kept.append(line)
            if on_line:
                on_line("err", line)

        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := await stream.read(65536):
            rest += cleaner.feed(decoder.decode(chunk))
            *whole, rest = rest.split("\n")
            for line in whole:
                tell(line)
            if len(rest) > LONG_LINE:
                tell(rest)
                rest = ""
        rest += cleaner.feed(decoder.decode(b"", True)) + cleaner.finish()
        for line in rest.split("\n"):
            if line:
                tell(line)


def judge(exit_code: int, stderr: str, diagnostics: Sequence[CliDiagnostic] = ()) -> tuple[CallOutcome, str]:
    """ok, failed, or blocked with its reason. Only the errors are read: a warning never blocks anything."""
    if exit_code == 0:
        return "ok", ""
    errors = [f"{d.summary}\n{d.detail}" for d in diagnostics if d.severity == "error"]
    for text in errors or [stderr]:
        for pattern, reason in _BLOCKED_RE:
            if pattern.search(text):
                return "blocked", reason
    return "failed", ""


def parse_started(text: str) -> RunStarted | None:
    """The run or update that the CLI's output names, in the path form and in the older fragment form of its URL."""
    for match in re.finditer(r"https?://\S+", text):
        url = match.group().rstrip(".,)")
        job = re.search(r"(?:#job|/jobs)/(\d+)/(?:runs?)/(\d+)", url)
        if job:
            return RunStarted("job", job_id=job[1], run_id=job[2], url=url)
        pipeline = re.search(r"pipelines/([0-9a-fA-F-]{8,64})/updates/([0-9a-fA-F-]{8,64})", url)
        if pipeline:
            return RunStarted("pipeline", pipeline_id=pipeline[1], update_id=pipeline[2], url=url)
    return None


async def _collect(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(65536):
        if len(into) < KEEP_STDOUT:
            into += chunk


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the process and everything it started: politely, then not."""
    for how in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(process.pid, how)
            else:
                process.terminate()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 3)
            return


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


__all__ = [
    "CliProblem",
    "CliResult",
    "DatabricksCli",
    "Refused",
    "RunStarted",
    "find_cli",
    "judge",
    "parse_started",
    "parse_version",
]
