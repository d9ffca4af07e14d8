"""The events of a pipeline, in order, with filters and pages; and a made-up past of any length that costs no memory.
It plans no event of a real update and knows no clock but the times in the events."""

from __future__ import annotations

import base64
import json
import re
import zlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .http import Json, invalid
from .updateevents import Draft, finished

EVENTS_PER_UPDATE = 1000
SPAN_MS = 21 * 24 * 3_600_000
FLOWS = ("live_orders_raw", "live_orders", "live_returns", "live_sales_by_hour")
CONDITION = re.compile(
    r"\s*(?P<column>\w+)\s*(?P<op>>=|<=|!=|<>|=|>|<|\bnot\s+in\b|\bin\b|\blike\b)\s*"
    r"(?P<value>'[^']*'|\([^()]*\)|\S+)\s*(?P<rest>.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
Key = tuple[int, int]


class Seeded:
    """A past of `count` events that ends at `end_ms`: updates of 1,000 events each, worked out by number."""

    def __init__(self, count: int, end_ms: int, names: Json, prefix: str) -> None:
        self.count = count
        self.names = names
        self.prefix = prefix
        self.step = max(1, SPAN_MS // count) if count else 1
        self.start_ms = end_ms - count * self.step

    def at_ms(self, number: int) -> int:
        """When event `number` happened. Every fifth one shares its millisecond with the one before."""
        return self.start_ms + (number - (number % 5 == 4)) * self.step

    def update_id(self, index: int) -> str:
        """The id of the update with that index."""
        low = zlib.crc32(f"{self.names['id']}:{index}".encode())
        return f"{low:08x}-5eed-4000-8000-{index:012x}"

    def index_of(self, update_id: str) -> int | None:
        """The index of a made-up update, or None."""
        tail = update_id.rsplit("-", 1)[-1]
        try:
            index = int(tail, 16)
        except ValueError:
            return None
        inside = index * EVENTS_PER_UPDATE < self.count
        return index if inside and self.update_id(index) == update_id else None

    def failed(self, index: int) -> bool:
        """Whether that update failed."""
        return index % 97 == 13

    def level(self, number: int) -> str:
        """The level of event `number`."""
        index, place = divmod(number, EVENTS_PER_UPDATE)
        if place >= EVENTS_PER_UPDATE - 2 and self.failed(index):
            return "ERROR"
        if place == 500 and index % 10 == 3:
            return "WARN"
        return "METRICS" if place % 25 == 7 else "INFO"

    def with_levels(self, levels: frozenset[str]) -> list[int] | None:
        """The numbers of the events of rare levels, sorted; None where the level INFO makes them many."""
        if "INFO" in levels:
            return None
        found: list[int] = []
        for index in range(-(-self.count // EVENTS_PER_UPDATE)):
            first = index * EVENTS_PER_UPDATE
            if "METRICS" in levels:
                found += range(first + 7, first + EVENTS_PER_UPDATE, 25)
            if "WARN" in levels and index % 10 == 3:
                found.append(first + 500)
            if "ERROR" in levels and self.failed(index):
                found += (first + EVENTS_PER_UPDATE - 2, first + EVENTS_PER_UPDATE - 1)
        return sorted(number for number in found if number < self.count)

    def updates(self, limit: int = 0) -> Iterator[Json]:
        """The made-up updates, newest first."""
        total = -(-self.count // EVENTS_PER_UPDATE)
        for index in range(total - 1, max(-1, total - 1 - limit) if limit else -1, -1):
            yield {
                "pipeline_id": self.names["id"],
                "update_id": self.update_id(index),
                "cause": "JOB_TASK",
                "state": "FAILED" if self.failed(index) else "COMPLETED",
                "creation_time": self.at_ms(index * EVENTS_PER_UPDATE),
                "full_refresh": False,
                "validate_only": False,
            }

    def event(self, number: int) -> Json:
        """Event `number` as JSON."""
        index, place = divmod(number, EVENTS_PER_UPDATE)
        update_id = self.update_id(index)
        return finished(self._draft(number, index, place, update_id), number, self.names, update_id)

    def _draft(self, number: int, index: int, place: int, update_id: str) -> Draft:
        at, level = self.at_ms(number), self.level(number)
        states = ("", "WAITING_FOR_RESOURCES", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING")
        if place == 0:
            details: Json = {"create_update": {"cause": "JOB_TASK", "run_as": "you@example.com"}}
            return Draft(at, "create_update", f"Update {update_id[:6]} started by JOB_TASK.", details)
        if place < len(states) or place == EVENTS_PER_UPDATE - 1:
            state = states[place] if place < len(states) else "FAILED" if level == "ERROR" else "COMPLETED"
            text = f"Update {update_id[:6]} is {state}."
            return Draft(at, "update_progress", text, {"update_progress": {"state": state}}, level, error=_oops(level))
        flow = f"{self.prefix}.{FLOWS[place % len(FLOWS)]}"
        origin: Json = {"flow_name": flow, "dataset_name": flow, "batch_id": number}
        if level == "METRICS":
            details = {"cluster_resources": {"task_slot_metrics": {"num_task_slots": 8, "num_executors": 2}}}
            return Draft(at, "cluster_resources", "Cluster resources.", details, level, maturity="EVOLVING")
        if level == "ERROR":
            text = f"Flow '{flow}' has FAILED fatally. An error occurred while processing streaming data."
            failed = {"flow_progress": {"status": "FAILED"}}
            return Draft(at, "flow_progress", text, failed, level, origin, _oops(level))
        if level == "WARN":
            text = f"Flow '{flow}' falls behind: its backlog grew over the last batches."
            return Draft(at, "flow_progress", text, {"flow_progress": {"status": "RUNNING"}}, level, origin)
        rows = 200 + number * 7919 % 4000
        bad = number % 13
        metrics = {"num_output_rows": rows, "backlog_bytes": number % 17 * 1000}
        rule = {"name": "valid_id", "dataset": flow, "passed_records": rows - bad, "failed_records": bad}
        quality = {"dropped_records": bad, "expectations": [rule]}
        body = {"flow_progress": {"status": "RUNNING", "metrics": metrics, "data_quality": quality}}
        return Draft(at, "flow_progress", f"Flow '{flow}' processed a micro-batch.", body, level, origin)


def _oops(level: str) -> Json | None:
    if level != "ERROR":
        return None
    text = (
        "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: Files were added to the root of the table by a "
        "concurrent update. Please try the operation again. SQLSTATE: 2D521"
    )
    kind = "io.delta.exceptions.ConcurrentAppendException"
    found = {"class_name": kind, "message": text, "error_class": "DELTA_CONCURRENT_APPEND", "sql_state": "2D521"}
    return {"fatal": True, "exceptions": [found]}


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter: bounds on time (ISO text, inclusive or not), and sets for the other columns."""

    text: str = ""
    tests: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def only(self, column: str) -> frozenset[str] | None:
        """The values a column must have one of, where the filter says so."""
        found = [frozenset(values) for name, op, values in self.tests if name == column and op in ("=", "in")]
        return frozenset.intersection(*found) if found else None

    def fits(self, event: Json) -> bool:
        """Whether an event passes."""
        return all(_holds(_column(event, name), op, values) for name, op, values in self.tests)

    def window(self) -> tuple[str, str]:
        """The earliest and latest time that can fit, as ISO text; "" for no bound."""
        low = [values[0] for name, op, values in self.tests if name == "timestamp" and op in (">", ">=", "=")]
        high = [values[0] for name, op, values in self.tests if name == "timestamp" and op in ("<", "<=", "=")]
        return max(low, default=""), min(high, default="")


def _column(event: Json, name: str) -> str:
    return str(event["origin"].get("update_id", "")) if name == "update_id" else str(event[name])


def _holds(held: str, op: str, values: tuple[str, ...]) -> bool:
    match op:
        case "=" | "in":
            return held in values
        case "!=" | "<>" | "not in":
            return held not in values
        case ">":
            return held > values[0]
        case ">=":
            return held >= values[0]
        case "<":
            return held < values[0]
    return held <= values[0]


def parse_filter(text: str) -> Filter:
    """A filter of the events API. ApiError 400 for other columns and operations, as the real one answers."""
    tests = []
    rest = text.strip()
    while rest:
        found = CONDITION.match(rest)
        if found is None:
            raise invalid(f"Failed to parse the filter: {text[:200]}")
        column, op = found["column"].lower(), " ".join(found["op"].lower().split())
        values = tuple(re.findall(r"'([^']*)'", found["value"])) or (found["value"],)
        allowed = {
            "timestamp": ("=", ">", ">=", "<", "<="),
            "level": ("=", "in", "!=", "<>", "not in"),
            "id": ("=", "in"),
            "update_id": ("=", "in"),
        }.get(column, ())
        if op not in allowed:
            raise invalid(f"Operation '{op.upper()}' not allowed on '{column}'")
        if column == "timestamp":
            values = (normal_time(values[0]),)
        tests.append((column, op, values))
        rest = found["rest"].strip()
        if rest:
            joined = re.match(r"and\b\s*(?P<rest>.+)\Z", rest, re.IGNORECASE | re.DOTALL)
            if joined is None:
                raise invalid(f"Failed to parse the filter: {text[:200]}")
            rest = joined["rest"]
    return Filter(text, tuple(tests))


def normal_time(text: str) -> str:
    """A time as the events write it, so that text compares as time does. ApiError 400."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as problem:
        raise invalid(f"Invalid timestamp in filter: {text[:60]}") from problem
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    found = found.astimezone(UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.") + f"{found.microsecond // 1000:03d}Z"


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000 + 0.5)


@dataclass(slots=True)
class PipelineLog:
    """Everything that happened in a pipeline: the made-up past, then real events sorted by time and number."""

    seeded: Seeded
    names: Json
    keys: list[tuple[int, int]] = field(default_factory=list)
    events: dict[int, Json] = field(default_factory=dict)

    def next_number(self) -> int:
        """The number of the next event; unique in the pipeline."""
        return self.seeded.count + len(self.events) + 1

    def add(self, event: Json, at_ms: int) -> None:
        """Adds an event, which may lie in the future."""
        number = self.next_number()
        self.events[number] = event
        insort(self.keys, (at_ms, number))

    def cut(self, update_id: str, at_ms: int) -> None:
        """Removes what an update would have said after `at_ms`; numbers stay taken."""
        kept = []
        for key in self.keys:
            event = self.events[key[1]]
            if key[0] > at_ms and event["origin"]["update_id"] == update_id:
                self.events[key[1]] = {}
            else:
                kept.append(key)
        self.keys = kept

    def read(
        self, chosen: Filter, now_ms: int, size: int, *, newest: bool, after: Key | None, late_ms: int = 0
    ) -> tuple[list[Json], Key | None]:
        """Up to `size` events in order, from beyond `after`; and the key of the last one where more follow."""
        found: list[Json] = []
        last: Key | None = None
        for key, event in self._walk(chosen, now_ms, newest, after, late_ms):
            if not chosen.fits(event):
                continue
            if len(found) == size:
                return found, last
            found.append(event)
            last = key
        return found, None

    def _walk(
        self, chosen: Filter, now_ms: int, newest: bool, after: Key | None, late_ms: int
    ) -> Iterator[tuple[Key, Json]]:
        parts = (self._real, self._past) if newest else (self._past, self._real)
        for part in parts:
            yield from part(chosen, now_ms, newest, after, late_ms)

    def _real(
        self, chosen: Filter, now_ms: int, newest: bool, after: Key | None, late_ms: int
    ) -> Iterator[tuple[Key, Json]]:
        low, high = chosen.window()
        first = bisect_left(self.keys, (_ms(low), -1)) if low else 0
        end = bisect_right(self.keys, (min(now_ms, _ms(high)) if high else now_ms, 2**62))
        if after is not None:
            if newest:
                end = min(end, bisect_left(self.keys, after))
            else:
                first = max(first, bisect_right(self.keys, after))
        for index in range(end - 1, first - 1, -1) if newest else range(first, end):
            key = self.keys[index]
            # A third of the events turns up late, where the quirk asks for it: after younger ones were seen.
            if late_ms and key[1] % 3 == 0 and key[0] + late_ms > now_ms:
                continue
            yield key, self.events[key[1]]

    def _past(
        self, chosen: Filter, now_ms: int, newest: bool, after: Key | None, late_ms: int
    ) -> Iterator[tuple[Key, Json]]:
        past = self.seeded
        if not past.count:
            return
        first, end = 0, past.count
        updates = chosen.only("update_id")
        if updates is not None:
            indexes = [index for item in updates if (index := past.index_of(item)) is not None]
            if not indexes:
                return
            first = min(indexes) * EVENTS_PER_UPDATE
            end = min(end, (max(indexes) + 1) * EVENTS_PER_UPDATE)
        low, high = chosen.window()
        if low:
            first = max(first, (_ms(low) - past.start_ms) // past.step - 1)
        if high:
            end = min(end, (_ms(high) - past.start_ms) // past.step + 3)
        if after is not None and after[1] <= past.count:
            if newest:
                end = min(end, after[1])
            else:
                first = max(first, after[1] + 1)
        elif after is not None and not newest:
            return
        levels = chosen.only("level")
        rare = past.with_levels(levels) if levels is not None else None
        numbers = range(first, end) if rare is None else rare[bisect_left(rare, first) : bisect_left(rare, end)]
        fits: Callable[[int], bool] = (lambda n: True) if levels is None else (lambda n: past.level(n) in levels)
        for number in reversed(numbers) if newest else numbers:
            if number >= 0 and fits(number):
                yield (past.at_ms(number), number), past.event(number)


def make_token(chosen: Filter, newest: bool, last: Key) -> str:
    """An opaque token that carries filter, order and place."""
    text = json.dumps({"f": chosen.text, "n": newest, "k": last})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str) -> tuple[Filter, bool, Key]:
    """What `make_token` packed. ApiError 400."""
    try:
        data = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return parse_filter(str(data["f"])), bool(data["n"]), (int(data["k"][0]), int(data["k"][1]))
    except (ValueError, KeyError, TypeError, IndexError, UnicodeDecodeError) as problem:
        raise invalid(f"Invalid page token: {token[:80]}") from problem
