"""The typed events of the engine: one definition for the console, the journal, the JSON stream and the plain text.

Never formats for a screen. Field names are those of the JSON contract; `to_json` adds version, name and time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar

from ..matrix.model import Diagnosis, Fix

VERSION = 1


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Base of all events. `name` is the word in the JSON stream."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class LoopStarted(EngineEvent):
    name: ClassVar[str] = "loop.started"
    loop_id: str
    keys: tuple[str, ...]
    target: str
    max_iterations: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class IdentityKnown(EngineEvent):
    name: ClassVar[str] = "identity.resolved"
    host: str
    profile: str
    user: str
    target: str
    mode: str = ""


@dataclass(frozen=True, slots=True)
class StageChanged(EngineEvent):
    name: ClassVar[str] = "stage.changed"
    stage: str
    iteration: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeployOutput(EngineEvent):
    name: ClassVar[str] = "deploy.output"
    line: str
    stream: str = "err"


@dataclass(frozen=True, slots=True)
class RunStartedEvent(EngineEvent):
    """`kind` is run, repair, update, or adopted. Ids are strings."""

    name: ClassVar[str] = "run.started"
    key: str
    kind: str
    run_id: str = ""
    update_id: str = ""
    pipeline_id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class RunChanged(EngineEvent):
    name: ClassVar[str] = "run.changed"
    key: str
    run_id: str
    state: str
    message: str = ""
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class TaskChanged(EngineEvent):
    name: ClassVar[str] = "task.changed"
    key: str
    run_id: str
    task_key: str
    task_run_id: str
    state: str
    attempt: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class PipelineEventSeen(EngineEvent):
    name: ClassVar[str] = "pipeline.event"
    key: str
    update_id: str
    level: str
    event_type: str
    message: str
    timestamp: str
    flow: str = ""


@dataclass(frozen=True, slots=True)
class FailureDiagnosed(EngineEvent):
    name: ClassVar[str] = "failure.diagnosed"
    key: str
    diagnosis: Diagnosis
    run_id: str = ""
    task_key: str = ""


@dataclass(frozen=True, slots=True)
class FixProposed(EngineEvent):
    name: ClassVar[str] = "fix.proposed"
    key: str
    fix: Fix
    diff: str = ""


@dataclass(frozen=True, slots=True)
class FixAppliedEvent(EngineEvent):
    name: ClassVar[str] = "fix.applied"
    files: tuple[str, ...]
    title: str = ""
    source: str = ""  # patch | fixer | person
    diff: str = ""


@dataclass(frozen=True, slots=True)
class SourceChangedEvent(EngineEvent):
    name: ClassVar[str] = "source.changed"
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check(EngineEvent):
    """One thing that verification looked at."""

    name: ClassVar[str] = "check"
    what: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verified(EngineEvent):
    name: ClassVar[str] = "verified"
    key: str
    ok: bool
    partial: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Holding(EngineEvent):
    """Says why nothing happens; also the sign of life while a stream waits."""

    name: ClassVar[str] = "waiting"
    reason: str


@dataclass(frozen=True, slots=True)
class Problem(EngineEvent):
    name: ClassVar[str] = "problem"
    code: str
    message: str
    fix: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Escalated(EngineEvent):
    name: ClassVar[str] = "escalated"
    reason: str
    report: str


@dataclass(frozen=True, slots=True)
class LoopEnded(EngineEvent):
    name: ClassVar[str] = "loop.ended"
    outcome: str
    iterations: int
    retryable: bool = False
    reason: str = ""
    report_id: str = ""


def to_json(event: EngineEvent, *, at: datetime | None = None) -> dict[str, Any]:
    """The event as one JSON object of the contract: v, event, at (ISO 8601 UTC), then its fields."""
    moment = (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body: dict[str, Any] = {"v": VERSION, "event": event.name, "at": moment}
    for item in fields(event):
        body[item.name] = plain(getattr(event, item.name))
    return body


def plain(value: Any) -> Any:
    """`value` as JSON data: dataclasses become objects, tuples lists, sets sorted lists."""
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    return value
