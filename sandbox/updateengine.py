"""Drives pipeline updates: start, course by the clock, stop, automatic retry; worked out when somebody asks.
It speaks no HTTP; eventlog.py answers questions about the events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .eventlog import PipelineLog, Seeded
from .http import ApiError, Json, not_found
from .pipelineplan import plan_of
from .scenario import Rule, Scenario
from .store import PipelineRecord, Store
from .updateevents import Course, Draft, Timeline, finished, iso, opening, progress

FINAL = ("COMPLETED", "FAILED", "CANCELED")
RETRY_LIMIT = 2
SERVERLESS_WAIT_MS = 6000
CLASSIC_WAIT_MS = 45_000
STARTING = ("CREATED", "QUEUED", "WAITING_FOR_RESOURCES", "INITIALIZING", "SETTING_UP_TABLES")


@dataclass(slots=True)
class Update:
    """One update. `states` are (ms, state) in order; `end_ms` is 0 while the end is not known."""

    update_id: str
    pipeline_id: str
    cause: str
    created_ms: int
    options: Json
    spec: Json
    init_ms: int
    cluster_id: str = ""
    states: list[tuple[int, str]] = field(default_factory=list)
    planned: bool = False
    end_ms: int = 0
    message: str = ""
    retryable: bool = False
    retry: int = 0
    retried: bool = False

    def state(self, now_ms: int) -> str:
        """The state at a time."""
        return next((state for at, state in reversed(self.states) if at <= now_ms), self.states[0][1])

    def ended(self, now_ms: int) -> bool:
        """Whether it is over at a time."""
        return bool(self.end_ms) and self.end_ms <= now_ms


class UpdateEngine:
    """All updates of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.logs: dict[str, PipelineLog] = {}
        self.strikes: dict[tuple[str, str], int] = {}

    @property
    def all(self) -> dict[str, Update]:
        found: dict[str, Update] = self.store.updates
        return found

    def record(self, pipeline_id: str) -> PipelineRecord:
        """The pipeline; ApiError 404."""
        record = self.store.pipelines.get(pipeline_id)
        if record is None:
            raise not_found(f"The specified pipeline {pipeline_id} was not found.")
        return record

    def log(self, pipeline_id: str) -> PipelineLog:
        """The events of a pipeline, with its made-up past where the scenario asks for one."""
        held = self.logs.get(pipeline_id)
        if held is None:
            record = self.record(pipeline_id)
            scenario: Scenario | None = self.store.scenario
            past = scenario.seed_events if scenario else 0
            names = {"id": pipeline_id, "name": str(record.spec.get("name") or "")}
            prefix = ".".join(str(record.spec[key]) for key in ("catalog", "schema") if record.spec.get(key))
            seeded = Seeded(past, record.created_ms - 3_600_000, names, prefix or "main.default")
            held = self.logs[pipeline_id] = PipelineLog(seeded, names)
        return held

    def _add(self, update: Update, drafts: list[Draft]) -> None:
        log = self.log(update.pipeline_id)
        for draft in drafts:
            log.add(finished(draft, log.next_number(), log.names, update.update_id), draft.at_ms)

    # --- starting ---------------------------------------------------------------------------------------------

    def active(self, pipeline_id: str, now: int) -> Update | None:
        """The update that is not over, or None."""
        for update in reversed(self.of(pipeline_id)):
            self.advance(update, now)
            if not update.ended(now):
                return update
        return None

    def of(self, pipeline_id: str) -> list[Update]:
        """The updates of a pipeline, oldest first."""
        record = self.store.pipelines.get(pipeline_id)
        return [self.all[uid] for uid in record.update_ids if uid in self.all] if record else []

    def start(self, pipeline_id: str, body: Json, at_ms: int, *, retry: int = 0) -> Update:
        """A new update at `at_ms`. ApiError 404, or 400 while another one is active."""
        record = self.record(pipeline_id)
        other = self.active(pipeline_id, at_ms)
        if other is not None:
            text = f"An active update {other.update_id} already exists for pipeline {pipeline_id}."
            raise ApiError(400, "INVALID_STATE", text)
        spec = record.spec
        serverless = bool(spec.get("serverless"))
        wait = SERVERLESS_WAIT_MS if serverless else CLASSIC_WAIT_MS
        update = Update(
            self.store.ids.uuid(),
            pipeline_id,
            str(body.get("cause") or "API_CALL"),
            at_ms,
            {**body, "continuous": bool(spec.get("continuous"))},
            dict(spec),
            at_ms + wait,
            cluster_id="" if serverless else f"0824-{self.store.ids.number() % 1_000_000:06d}-{self.store.ids.hex(8)}",
            retry=retry,
        )
        first = opening(update.update_id, update.cause, self.store.identity.user_name, at_ms, wait)
        update.states = first.states
        self.all[update.update_id] = update
        record.update_ids.append(update.update_id)
        self._add(update, first.drafts)
        if update.cluster_id:
            self.store.execution.compute.of_update(update.cluster_id, str(spec.get("name")), at_ms)
        return update

    # --- advancing --------------------------------------------------------------------------------------------

    def settle(self, now: int) -> None:
        """Brings every update to `now`: reads the source where its time has come, starts retries that are due."""
        for update in list(self.all.values()):
            self.advance(update, now)

    def _may_strike(self, rule: Rule, given: str) -> bool:
        place = (rule.id, given)
        held = self.strikes.get(place, 0)
        if held >= rule.times:
            return False
        self.strikes[place] = held + 1
        return True

    def advance(self, update: Update, now: int) -> None:
        """Plans the course once INITIALIZING began, and retries after a failure on a production pipeline."""
        if not update.planned and not update.end_ms and now >= update.init_ms:
            update.planned = True
            plan = plan_of(update.spec, self.store.files, self.store.scenario, self._may_strike)
            course = Course(update.update_id, plan, update.init_ms, update.options, cluster_id=update.cluster_id).run()
            self._take(update, course)
        if update.ended(now) and not update.retried:
            update.retried = True
            self._maybe_retry(update, now)

    def _take(self, update: Update, course: Timeline) -> None:
        update.states = [*update.states, *course.states]
        update.end_ms, update.message, update.retryable = course.end_ms, course.message, course.retryable
        self._add(update, course.drafts)
        if course.lost is not None and update.cluster_id:
            self.store.execution.compute.lose(update.cluster_id, course.lost[0], dict(course.lost[1]))

    def _maybe_retry(self, update: Update, now: int) -> None:
        state = update.state(now)
        development = bool(update.options.get("development", update.spec.get("development")))
        wanted = state == "FAILED" and update.retryable and not development and update.retry < RETRY_LIMIT
        if not wanted or update.pipeline_id not in self.store.pipelines:
            return
        body = {name: value for name, value in update.options.items() if name.endswith(("selection", "refresh"))}
        try:
            following = self.start(
                update.pipeline_id, {**body, "cause": "RETRY_ON_FAILURE"}, update.end_ms + 5000, retry=update.retry + 1
            )
        except ApiError:
            return
        self.advance(following, now)

    # --- stopping ---------------------------------------------------------------------------------------------

    def stop_update(self, update_id: str, at_ms: int) -> None:
        """Stops an update: STOPPING at once, CANCELED seconds later; what was planned after that never happens."""
        update = self.all.get(update_id)
        if update is None or update.ended(at_ms) or update.state(at_ms) == "STOPPING":
            return
        self.log(update.pipeline_id).cut(update_id, at_ms)
        update.states = [item for item in update.states if item[0] <= at_ms]
        update.states += [(at_ms, "STOPPING"), (at_ms + 3000, "CANCELED")]
        update.planned, update.end_ms, update.message = True, at_ms + 3000, "The update was stopped."
        short = update.update_id
        stop = progress(at_ms, short, "STOPPING", cancellation_cause="USER_ACTION")
        done = progress(at_ms + 3000, short, "CANCELED", cancellation_cause="USER_ACTION")
        self._add(update, [stop, done])

    def stop(self, pipeline_id: str, at_ms: int) -> None:
        """Stops whatever is active in a pipeline."""
        self.record(pipeline_id)
        update = self.active(pipeline_id, at_ms)
        if update is not None:
            self.stop_update(update.update_id, at_ms)

    def ended(self, update_id: str, now: int) -> tuple[int, str, str] | None:
        """(end in ms, state, message) of an update that is over, its retries included; None while it goes on."""
        update = self.all.get(update_id)
        if update is None:
            return now, "CANCELED", "The update is gone."
        self.advance(update, now)
        for other in self.of(update.pipeline_id):
            later = other.created_ms > update.created_ms and other.cause == "RETRY_ON_FAILURE"
            if later and other.retry == update.retry + 1:
                update = other
                self.advance(update, now)
        return (update.end_ms, update.state(now), update.message) if update.ended(now) else None

    # --- showing ----------------------------------------------------------------------------------------------

    def shown_state(self, update: Update, now: int) -> str:
        """The state's word, one that nobody knows where the quirk asks for it."""
        state = update.state(now)
        return "REWINDING" if self.store.quirks.unknown_enums and state == "RUNNING" else state

    def latest(self, pipeline_id: str, now: int) -> list[Json]:
        """`latest_updates` of a pipeline, newest first, with ISO times."""
        self.settle(now)
        real = [
            {
                "update_id": update.update_id,
                "state": self.shown_state(update, now),
                "creation_time": iso(update.created_ms),
            }
            for update in reversed(self.of(pipeline_id))
        ]
        if len(real) < 5 and pipeline_id in self.store.pipelines:
            for item in self.log(pipeline_id).seeded.updates(5 - len(real)):
                short = {"update_id": item["update_id"], "state": item["state"]}
                real.append({**short, "creation_time": iso(item["creation_time"])})
        return real

    def pipeline_state(self, pipeline_id: str, now: int) -> str:
        """IDLE, STARTING, RUNNING, RESETTING or STOPPING."""
        update = self.active(pipeline_id, now)
        if update is None:
            return "IDLE"
        state = update.state(now)
        return state if state in ("STOPPING", "RESETTING") else "STARTING" if state in STARTING else "RUNNING"

    def shapes(self, pipeline_id: str, now: int) -> Iterator[Json]:
        """Every update as `updates` lists it, newest first; the made-up past after the real ones."""
        for update in reversed(self.of(pipeline_id)):
            yield self.shape(update, now)
        yield from self.log(pipeline_id).seeded.updates()

    def shape(self, update: Update, now: int) -> Json:
        """One update as JSON."""
        options = update.options
        shown: Json = {
            "pipeline_id": update.pipeline_id,
            "update_id": update.update_id,
            "cause": update.cause,
            "state": self.shown_state(update, now),
            "creation_time": update.created_ms,
            "full_refresh": bool(options.get("full_refresh")),
            "validate_only": bool(options.get("validate_only")),
        }
        if update.cluster_id:
            shown["cluster_id"] = update.cluster_id
        for name in ("refresh_selection", "full_refresh_selection", "parameters"):
            if options.get(name):
                shown[name] = options[name]
        if self.store.quirks.extra_keys:
            shown["future_field"] = {"kind": "UNHEARD_OF"}
        return shown
