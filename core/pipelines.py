"""Pipelines, updates and their events as this program sees them, parsed once from raw JSON (the SDK drops `details`).

Never talks to the network. Late, doubled and out-of-order events are the normal case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FLOW_DONE = frozenset({"COMPLETED", "EXCLUDED", "IDLE"})  # nothing is left to do and nothing went wrong
UPDATE_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class PipelineException:
    """One link of `error.exceptions[]`; the root cause is usually the last."""

    class_name: str
    message: str
    error_class: str = ""
    sql_state: str = ""
    stack: tuple[tuple[str, str, str, int | None], ...] = ()  # class, method, file, line


@dataclass(frozen=True, slots=True)
class PipelineEvent:
    """One event. `timestamp` is the ISO text as it came (sorts as text), `details` the object under the event type."""

    id: str
    timestamp: str
    level: str  # INFO | WARN | ERROR | METRICS, or as it came
    event_type: str
    message: str
    update_id: str = ""
    flow: str = ""
    dataset: str = ""
    source_file: str = ""
    source_line: int | None = None
    exceptions: tuple[PipelineException, ...] = ()
    fatal: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """A data quality rule, summed over the micro-batches of one update."""

    name: str
    dataset: str
    passed: int = 0
    failed: int = 0
    action: str = ""  # what is done with a record that fails, as the dataset's definition says: ALLOW | DROP | FAIL

    @property
    def dropped(self) -> int:
        """Records that were left out for this rule."""
        return self.failed if self.action == "DROP" else 0


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of one update as its flow_progress events tell it; counts are sums over micro-batches."""

    name: str
    status: str = "QUEUED"
    dataset: str = ""
    inputs: tuple[str, ...] = ()
    rows: int | None = None
    upserted: int | None = None
    deleted: int | None = None
    dropped: int = 0
    backlog_bytes: int | None = None
    start: str = ""
    end: str = ""
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """One update of a pipeline with the flows its events named so far. Times are epoch ms."""

    update_id: str
    pipeline_id: str
    state: str
    cause: str = ""
    creation_ms: int = 0
    full_refresh: bool = False
    validate_only: bool = False
    refresh_selection: tuple[str, ...] = ()
    flows: tuple[Flow, ...] = ()
    message: str = ""
    cluster_id: str = ""  # empty on serverless compute

    @property
    def ended(self) -> bool:
        return self.state in UPDATE_ENDED

    @property
    def failed(self) -> bool:
        return self.state in {"FAILED", "CANCELED"}

    @property
    def progress(self) -> tuple[int, int]:
        """(flows that have done their work, flows)."""
        return sum(flow.status in FLOW_DONE for flow in self.flows), len(self.flows)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`pipelines/get`, as far as the console shows it."""

    pipeline_id: str
    name: str
    state: str
    health: str = ""
    continuous: bool = False
    serverless: bool = False
    development: bool = False  # then the platform retries no update by itself
    cluster_id: str = ""
    latest_updates: tuple[tuple[str, str], ...] = ()  # (update_id, state), newest first
