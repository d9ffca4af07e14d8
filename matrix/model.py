"""The words of a diagnosis: a failure goes in, diagnoses come out. Plain data.

Never reads a file, a clock or the network; core/ builds failures and localises what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FixKind = Literal["edit", "yaml", "run", "grant", "auth", "retry", "destructive", "manual"]
_PROGRAMS = frozenset({"az", "databricks", "dbops-tui", "dbt", "git", "nc", "pip"})


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """One link of an exception chain, as pipeline events and tracebacks carry them; outermost first in a chain."""

    class_name: str = ""
    message: str = ""
    error_class: str = ""
    sql_state: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of one failure. Only `text` is required; structured facts, where known, outrank it.

    `source_kind` is one of job_task, pipeline_event, cli_stderr, cluster_event, warehouse, api, app_log, or "".
    `termination_code` / `termination_type` come from `status.termination_details` of a run,
    `error_code` from an API error body, `exceptions` from `error.exceptions[]` of a pipeline event.
    """

    text: str
    source_kind: str = ""
    termination_code: str = ""
    termination_type: str = ""
    error_code: str = ""
    http_status: int | None = None
    exceptions: tuple[ExceptionInfo, ...] = ()
    resource_key: str = ""
    task_key: str = ""
    result_state: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A line quoted from the failure's text; `line` counts from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the bundle: `file` relative to the bundle root with `/`, `line` from 1 (None: unknown)."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `old` (the exact text of `line`, without its newline) by `new` in `file`. `line` counts from 1.

    `new` may hold several lines; None deletes the line. `old` None inserts `new` before `line`.
    """

    file: str
    line: int
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Patch:
    """Edits that are applied together or not at all, with the sha256 of each file they were made for."""

    edits: tuple[Edit, ...]
    sha256: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """One proposal. `command` is what a person could type; `patch` is an exact edit; neither means advice only."""

    kind: FixKind
    title: str
    patch: Patch | None = None
    command: str | None = None
    risk: str | None = None
    confidence: float = 0.0
    wait_seconds: float | None = None
    resource_key: str | None = None

    @property
    def destructive(self) -> bool:
        """Whether it can lose data or state; such a fix is never run without a typed confirmation."""
        return self.kind == "destructive"

    @property
    def starts_a_run(self) -> bool:
        """Whether to apply it is to run another resource of the bundle."""
        return self.kind == "run" and bool(self.resource_key)

    @property
    def in_a_shell(self) -> bool:
        """Whether `command` is typed into a shell; else it is a line of code or SQL."""
        return (self.command or "").partition(" ")[0] in _PROGRAMS


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One answer to "why did it fail", root cause first in a list. `confidence` is 0..1."""

    cause: str
    row: str
    category: str
    confidence: float
    title: str
    explanation: str
    evidence: tuple[Evidence, ...] = ()
    entities: dict[str, str] = field(default_factory=dict)
    location: Location | None = None
    retryable: bool = False
    destructive: bool = False
    fixes: tuple[Fix, ...] = ()
    check_sql: str | None = None
    docs_url: str | None = None
    task_keys: tuple[str, ...] = ()
    also_at: tuple[Location, ...] = ()
