"""What the CLI's words mean: its version, whether a call failed or was kept from working, what a run is called. Pure.

Success is never read from words: it is the exit code, and what is read back from the workspace afterwards.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .diagnostics import CliDiagnostic

CallOutcome = Literal["ok", "failed", "blocked"]
MINIMUM = (0, 278)

# What says that the surroundings, and not the bundle, are in the way: nothing was judged, and an edit would not help.
_BLOCKED: tuple[tuple[str, str], ...] = (
    (
        r"deployment lock: access denied|access denied: /(?:Workspace|Users|Shared)/"
        r"|unable to deploy to .{1,400}? as |possible permission error",
        "no permission to write the bundle's folder in the workspace",
    ),
    (r"Failed to acquire deployment lock|deploy lock (?:force[- ])?acquired by", "another deployment holds the lock"),
    (
        r"cannot configure default credentials|no configuration file found|profile configured"
        r"|no profiles? (?:configured|specified)|OAuth is not configured|no cached credentials",
        "not signed in",
    ),
    (r"multiple profiles matched", "several profiles fit: choose one"),
    (
        r"doesn['’]t match the host configured in the bundle|config host mismatch: ",
        "the profile is for another workspace than the bundle",
    ),
    (r"more than one authorization method configured", "two ways to sign in are set up: leave one of them"),
    (
        r"refresh token is invalid|INVALID_REFRESH_TOKEN|token (?:is|has) expired|Invalid (?:access )?token"
        r"|reauthenticate|databricks auth login|error getting token|oauth2: |cannot get access token|az login",
        "the sign-in ran out: databricks auth login",
    ),
    (r"\b401\b.{0,60}Unauthor|UNAUTHENTICATED|Credential was not sent", "the workspace does not accept the sign-in"),
    (
        r"connection refused|no such host|network is unreachable|i/o timeout|TLS handshake"
        r"|certificate signed by unknown|x509: |context deadline exceeded"
        r"|no route to host|connection reset by peer|server misbehaving|unexpected EOF"
        r"|proxyconnect|Proxy Authentication Required|request timed out after|TEMPORARILY_UNAVAILABLE"
        r"|\b50[34]\b.{0,40}(?:Service Unavailable|Gateway Time-?out)",
        "the workspace cannot be reached",
    ),
    (
        r"REQUEST_LIMIT_EXCEEDED|exceeded the rate limit|\b429\b.{0,40}Too Many Requests",
        "the workspace asks us to slow down",
    ),
    (
        r"INTERNAL_ERROR|an internal error occurred\b|\b500\b.{0,40}Internal Server Error|502 Bad Gateway"
        r"|is temporarily unavailable|is taking too long to process your request",
        "the workspace has trouble of its own",
    ),
    (
        r"error downloading Terraform|unable to verify checksums signature|terraform download|registry\.terraform\.io"
        r"|Failed to (?:query available provider packages|install provider)",
        "Terraform could not be downloaded",
    ),
    (
        r"requires destructive actions|current console does not support prompting|To proceed, use --auto-approve",
        "it would delete or recreate resources: a person has to approve that",
    ),
    (r"Source IP address.{0,80}blocked|IP access list", "this address is not on the workspace's access list"),
    (
        r"lineage mismatch|WAL recovery failed|same serial number in terraform and direct|requires features this CLI",
        "the deployment state does not fit: somebody else deployed, or it is damaged",
    ),
    (r"No space left on device|read-only file system|too many open files", "this machine is out of room"),
    # Whatever else keeps the CLI from signing in; last, for most of the above can be the cause.
    (r"cannot resolve bundle auth configuration", "the sign-in cannot be used"),
)  # fmt: skip
_BLOCKED_RE = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), reason) for pattern, reason in _BLOCKED]
_FOLLOWS = re.compile(r"dependency failed: ")

_URL = re.compile(r"https?://\S{1,2000}")
_JOB_RUN = re.compile(r"(?:#job|/jobs)/(\d{1,20})/(?:runs?)/(\d{1,20})")
_UPDATE = re.compile(r"pipelines/([0-9A-Za-z-]{8,64})/updates/([0-9A-Za-z-]{8,64})")
_UPDATE_ID = re.compile(r"^Update ID: ([0-9A-Za-z-]{8,64})\s*$", re.MULTILINE)
_UPDATE_JSON = re.compile(r'"update_id":\s*"([0-9A-Za-z-]{8,64})"')


class CliProblem(Exception):
    """The CLI cannot be used: missing, too old, or not the one that knows bundles; `install` says what to do."""

    def __init__(self, summary: str, install: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.install = install


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
    """What to type to get the CLI, by platform (docs.databricks.com/dev-tools/cli/install)."""
    if platform == "darwin":
        return "brew tap databricks/tap && brew install databricks"
    if platform == "win32":
        return "winget install Databricks.DatabricksCLI"
    return "curl -fsSL https://raw.githubusercontent.com/databricks/setup-cli/main/install.sh | sudo sh"


def parse_version(text: str) -> tuple[int, int, int]:
    """(major, minor, patch) of what `databricks --version` printed. Raises CliProblem for another program of that name.

    A CLI built from source says `v1.14.0-dev`; one without version information, `v0.0.0-dev`, counts as new enough.
    """
    match = re.search(r"Databricks CLI v(\d{1,6})\.(\d{1,6})\.(\d{1,6})(-dev)?", text)
    if match:
        found = (int(match[1]), int(match[2]), int(match[3]))
        return (*MINIMUM, 0) if match[4] and found[:2] == (0, 0) else found
    if re.match(r"\s*Version 0\.\d", text):
        raise CliProblem(
            "this `databricks` is the archived CLI, which knows no bundles (PyPI databricks-cli)",
            f"pip uninstall databricks-cli; then {install_hint()}",
        )
    raise CliProblem(f"this `databricks` does not tell its version: {text.strip()[:80]!r}", install_hint())


def check_version(found: tuple[int, int, int]) -> None:
    """Raises CliProblem for a version that is too old."""
    if found[:2] < MINIMUM:
        have, need = ".".join(map(str, found)), ".".join(map(str, MINIMUM))
        raise CliProblem(f"the Databricks CLI {have} is too old: {need} or newer is needed", install_hint())


def judge(exit_code: int, stderr: str, diagnostics: Sequence[CliDiagnostic] = ()) -> tuple[CallOutcome, str]:
    """ok, failed, or blocked with its reason. Only errors are read: a warning, or a word in passing, blocks nothing.

    Blocked is a call whose every error is of the surroundings: one that the API refused for its content is enough
    for `failed`. What only follows from another error does not count.
    """
    if exit_code == 0:
        return "ok", ""
    errors = [
        f"{d.summary}\n{d.detail}" for d in diagnostics if d.severity == "error" and not _FOLLOWS.search(d.summary)
    ]
    reasons = [_blocked_reason(text) for text in errors or [stderr[-20_000:]]]
    return ("blocked", reasons[0]) if all(reasons) else ("failed", "")


def _blocked_reason(text: str) -> str:
    return next((reason for pattern, reason in _BLOCKED_RE if pattern.search(text)), "")


def parse_started(text: str) -> RunStarted | None:
    """The run or update that the output of `bundle run --no-wait` names; None where it names none.

    Both forms of the URLs are known: `/jobs/J/runs/R` and `#job/J/run/R`, `#joblist/pipelines/P/updates/U` and
    `/pipelines/P/updates/U`; an update also by `Update ID:` alone.
    """
    for match in _URL.finditer(text):
        url = match.group().rstrip(".,)'\"")
        if job := _JOB_RUN.search(url):
            return RunStarted("job", job_id=job[1], run_id=job[2], url=url)
        if update := _UPDATE.search(url):
            return RunStarted("pipeline", pipeline_id=update[1], update_id=update[2], url=url)
    alone = _UPDATE_ID.search(text) or _UPDATE_JSON.search(text)
    return RunStarted("pipeline", update_id=alone[1]) if alone else None
