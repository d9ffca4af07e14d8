"""The flows of one update, added up from its events: state, rows, backlog, expectations, and what reads what.

Never asks for anything. Each event counts once, whenever and however often it comes: sums over micro-batches, else the
word of the latest by time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from .event_json import Keyed, details_object, iso_text, keyed, whole, words
from .pipelines import UPDATE_ENDED, Expectation, Flow
from .redaction import Redactor
from .text import clean

Key = tuple[int, int, str]
NEVER: Key = (-(2**63), 0, "")
FLOW_ENDED = frozenset({"COMPLETED", "FAILED", "SKIPPED", "STOPPED", "EXCLUDED"})
FLOW_BEGUN = frozenset({"STARTING", "RUNNING"})
_COUNTED = {"num_output_rows": 0, "num_upserted_rows": 1, "num_deleted_rows": 2}


class _FlowSum:
    """What is known of one flow so far."""

    __slots__ = (
        *("backlog", "backlog_at", "begun", "counts", "dataset", "defined", "dropped", "first", "flow_type"),
        *("inputs", "made", "name", "rules", "spoken_of", "status", "status_at"),
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.status, self.status_at = "", NEVER
        self.first: Key | None = None
        self.spoken_of: tuple[Key, str] | None = None  # the dataset in the earliest event that names one
        self.begun: Key | None = None
        self.counts: list[int | None] = [None, None, None]
        self.dropped = 0
        self.backlog: int | None = None
        self.backlog_at = NEVER
        self.dataset, self.flow_type, self.defined = "", "", NEVER
        self.inputs: tuple[str, ...] = ()
        self.rules: dict[tuple[str, str], list[int]] = {}
        self.made: Flow | None = None


class FlowFold:
    """Add raw events; `flows()` is what they come to. A flow that did not change is the same object as before."""

    def __init__(self, *, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()
        self._seen: dict[str, None] = {}
        self._flows: dict[str, _FlowSum] = {}
        self._actions: dict[tuple[str, str], tuple[Key, str]] = {}
        self._state, self._state_at = "", NEVER
        self._result: tuple[Flow, ...] | None = ()

    @property
    def state(self) -> str:
        """The state of the update as its events tell it; empty while none did."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether an event told of the update's end."""
        return self._state in UPDATE_ENDED

    def add(self, raws: Iterable[Mapping[str, Any]]) -> None:
        """Take events as the API sends them, in any order; those that were taken before are passed over."""
        new: list[Keyed] = []
        for item in keyed(raws):
            if item[2] not in self._seen:
                self._seen[item[2]] = None
                new.append(item)
        self.take(new)

    def take(self, new: Iterable[Keyed]) -> None:
        """Take events of which none was taken before, as `EventLog.take` gives them."""
        for at, sequence, number, raw in new:
            details = raw.get("details")
            if type(details) is not dict:
                details = details_object(details)
            if not details:
                continue
            origin = raw.get("origin")
            if type(origin) is not dict:
                origin = {}
            key = (at, sequence, number)
            # By what it holds, not by the event type: a type that nobody knows yet may still carry the progress.
            if "flow_progress" in details and type(found := details["flow_progress"]) is dict:
                self._progress(key, origin, found)
            elif type(found := details.get("flow_definition")) is dict:
                self._definition(key, origin, found)
            elif type(found := details.get("dataset_definition")) is dict:
                self._dataset(key, origin, found)
            elif type(found := details.get("update_progress")) is dict:
                self._update(key, found)

    def _safe(self, text: str) -> str:
        return self._redactor.redact(clean(text))

    # --- one event ---------------------------------------------------------------------------------------------------

    def _flow(self, name: object, key: Key) -> _FlowSum:
        held = self._flows.get(name) if type(name) is str else None
        if held is None:
            clean_name = self._safe(words(name))
            held = self._flows.setdefault(clean_name, _FlowSum(clean_name))
        first = held.first
        if first is None or key < first:
            held.first = key
            self._result = None
        return held

    def _progress(self, key: Key, origin: dict[str, Any], progress: dict[str, Any]) -> None:
        dataset = origin.get("dataset_name")
        name = origin.get("flow_name") or dataset
        if not name:
            return
        flow = self._flow(name, key)
        flow.made = self._result = None
        spoken_of = flow.spoken_of
        if dataset and (spoken_of is None or key < spoken_of[0]):
            flow.spoken_of = (key, self._safe(words(dataset)))
        status = progress.get("status")
        if type(status) is not str:
            status = words(status)
        if status:
            if key > flow.status_at:
                flow.status_at = key
                if flow.status != status:
                    flow.status = self._safe(status)
            if status in FLOW_BEGUN:
                begun = flow.begun
                if begun is None or key < begun:
                    flow.begun = key
        metrics = progress.get("metrics")
        if type(metrics) is dict:
            self._metrics(flow, key, metrics)
        quality = progress.get("data_quality")
        if type(quality) is dict:
            self._quality(flow, quality)

    def _metrics(self, flow: _FlowSum, key: Key, metrics: dict[str, Any]) -> None:
        for name, number in metrics.items():
            if type(number) is not int:
                number = whole(number)
                if number is None:
                    continue
            if name in _COUNTED:
                place = _COUNTED[name]
                flow.counts[place] = (flow.counts[place] or 0) + number
            elif name == "backlog_bytes" and key > flow.backlog_at:
                flow.backlog, flow.backlog_at = number, key

    def _quality(self, flow: _FlowSum, quality: dict[str, Any]) -> None:
        if "dropped_records" in quality:
            dropped = quality["dropped_records"]
            flow.dropped += dropped if type(dropped) is int else whole(dropped) or 0
        rules = quality.get("expectations")
        for rule in rules if type(rules) is list else ():
            if type(rule) is not dict:
                continue
            name, dataset = rule.get("name"), rule.get("dataset")
            try:
                sums = flow.rules[name, dataset]  # type: ignore[index]  # as it came: most are texts, and met before
            except (KeyError, TypeError):
                sums = flow.rules.setdefault((words(name), words(dataset)), [0, 0])
            passed, failed = rule.get("passed_records"), rule.get("failed_records")
            sums[0] += passed if type(passed) is int else whole(passed) or 0
            sums[1] += failed if type(failed) is int else whole(failed) or 0

    def _definition(self, key: Key, origin: dict[str, Any], found: dict[str, Any]) -> None:
        output = found.get("output_dataset") or _name_of(found.get("output_sink"))
        name = origin.get("flow_name") or origin.get("dataset_name") or output
        if not name:
            return
        flow = self._flow(name, key)
        if key < flow.defined:
            return
        flow.made = self._result = None
        flow.defined = key
        flow.flow_type = words(found.get("flow_type"))
        flow.dataset = self._safe(words(output or origin.get("dataset_name")))
        inputs = found.get("input_datasets")
        names = [self._safe(_name_of(item)) for item in inputs] if isinstance(inputs, list) else []
        flow.inputs = tuple(dict.fromkeys(item for item in names if item))

    def _dataset(self, key: Key, origin: dict[str, Any], found: dict[str, Any]) -> None:
        dataset, rules = words(origin.get("dataset_name")), found.get("expectations")
        for rule in rules if isinstance(rules, list) else ():
            if isinstance(rule, dict):
                place = (words(rule.get("name")), dataset)
                if key > self._actions.get(place, (NEVER, ""))[0]:
                    self._actions[place] = (key, words(rule.get("action")).upper())
                    for flow in self._flows.values():
                        if place in flow.rules:
                            flow.made = self._result = None

    def _update(self, key: Key, found: dict[str, Any]) -> None:
        state = words(found.get("state"))
        if state and key > self._state_at:
            self._state, self._state_at = self._safe(state), key

    # --- what it comes to --------------------------------------------------------------------------------------------

    def flows(self) -> tuple[Flow, ...]:
        """The flows in dependency order, else in the order in which events first named them.

        A view that nothing was heard of but its definition runs by itself in no update: what reads it is shown as
        reading what it reads.
        """
        if self._result is None:
            named = sorted(self._flows.values(), key=lambda flow: (flow.first or NEVER, flow.name))
            views = {f.dataset or f.name: f.inputs for f in named if f.flow_type == "VIEW" and not f.status}
            shown = [flow for flow in named if not (flow.flow_type == "VIEW" and not flow.status)]
            self._result = in_order([self._made(flow, views) for flow in shown])
        return self._result

    def _made(self, flow: _FlowSum, views: Mapping[str, tuple[str, ...]]) -> Flow:
        inputs = _through(flow.inputs, views)
        held = flow.made
        if held is not None and held.inputs == inputs:
            return held
        rows, upserted, deleted = flow.counts
        ended = flow.status in FLOW_ENDED
        flow.made = Flow(
            flow.name,
            flow.status or "QUEUED",
            flow.dataset or (flow.spoken_of[1] if flow.spoken_of else ""),
            inputs,
            rows,
            upserted,
            deleted,
            flow.dropped,
            flow.backlog,
            _text(flow.begun),
            _text(flow.status_at) if ended else "",
            tuple(self._expectation(name, sums) for name, sums in sorted(flow.rules.items())),
        )
        return flow.made

    def _expectation(self, name: tuple[str, str], sums: list[int]) -> Expectation:
        return Expectation(
            self._safe(name[0]), self._safe(name[1]), sums[0], sums[1], self._actions.get(name, (NEVER, ""))[1]
        )


def in_order(flows: Iterable[Flow]) -> tuple[Flow, ...]:
    """Flows after the datasets they read, else as they come; those of a circle stand at the end."""
    held = list(flows)
    makes: dict[str, list[int]] = {}
    for number, flow in enumerate(held):
        for name in {flow.name, flow.dataset}:
            if name:
                makes.setdefault(name, []).append(number)
    waiting = [0] * len(held)
    after: list[list[int]] = [[] for _ in held]
    for number, flow in enumerate(held):
        for above in {n for name in flow.inputs for n in makes.get(name, ()) if n != number}:
            after[above].append(number)
            waiting[number] += 1
    ready = [number for number, left in enumerate(waiting) if left == 0]
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for follower in after[number]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    placed = set(order)
    return tuple(held[number] for number in [*order, *(n for n in range(len(held)) if n not in placed)])


def _through(inputs: tuple[str, ...], views: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """`inputs` with every view replaced by what it reads."""
    if not any(name in views for name in inputs):
        return inputs
    found: dict[str, None] = {}
    met: set[str] = set()
    todo = list(reversed(inputs))
    while todo:
        name = todo.pop()
        if name in met:
            continue
        met.add(name)
        if name in views:
            todo += reversed(views[name])
        else:
            found[name] = None
    return tuple(found)


def _name_of(value: object) -> str:
    if isinstance(value, dict):
        parts = [value.get("catalog"), value.get("schema"), value.get("name") or value.get("table")]
        return ".".join(words(part) for part in parts if part)
    return words(value)


def _text(key: Key | None) -> str:
    return iso_text(key[0]) if key is not None and key[0] > 0 else ""
