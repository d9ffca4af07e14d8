"""Made-up events for the tests of log, filter and flows, as the API could send them; strategies for their delivery.
It holds no test and no expectation."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

FLOWS = ("main.shop.raw", "main.shop.clean", "main.shop.daily")
LEVELS = ("INFO", "WARN", "ERROR", "METRICS", "NOTICE")
TIMES = (
    *("2026-11-24T09:50:00.000Z", "2026-11-24T09:50:00.001Z", "2026-11-24T09:50:00.001Z", "2026-11-24T09:51:30.500Z"),
    *("2026-11-24T10:50:00+01:00", "2026-11-24T09:50:00Z", "2026-11-24T09:50:00.000500Z", "2026-11-24T09:50:59.999"),
    *("yesterday", None, 17),
)
# Put together here, so that no file holds anything that looks like a token.
TOKEN = "da" + "pi" + "0123456789abcdef" * 2
MESSAGES = (
    "Flow 'main.shop.raw' is RUNNING.",
    "Flow 'main.shop.raw' has processed 1,200 rows.",
    "two\nlines\tand a tab",
    "\x1b[31mred\x1b[0m and \x07 a bell",
    f"calling with {TOKEN} now",
    "password = hunter2hunter2",
    "Größe 漢字 🙂 İstanbul",
    "",
    "a\u202eb\u200bc \ud800 d\x00e",
)
NUMBERS = st.sampled_from([0, 1, 7, "12", "3.0", 2.0, None, "many", True])


@st.composite
def raw_events(draw: st.DrawFn, most: int = 25) -> list[dict[str, Any]]:
    """Events of one update, each with an id of its own, as JSON."""
    count = draw(st.integers(0, most))
    return [draw(raw_event(f"e-{number:03}")) for number in range(count)]


@st.composite
def raw_event(draw: st.DrawFn, event_id: str) -> dict[str, Any]:
    """One event; any part of it may be missing or odd."""
    flow = draw(st.sampled_from((*FLOWS, "", None)))
    origin = {"update_id": "u-1", "flow_name": flow, "dataset_name": flow}
    if draw(st.booleans()):
        origin["source_code_location"] = {"path": "/Workspace/x/etl.py", "line_number": draw(st.sampled_from([3, "4"]))}
    raw: dict[str, Any] = {
        "id": event_id,
        "timestamp": draw(st.sampled_from(TIMES)),
        "message": draw(st.sampled_from(MESSAGES)),
        "level": draw(st.sampled_from(LEVELS)),
        "event_type": "flow_progress",
        "origin": origin,
        "details": draw(details()),
    }
    number = draw(st.sampled_from([None, 1, 2, "3"]))
    if number is not None:
        raw["sequence"] = {"control_plane_seq_no": number}
    if raw["level"] == "ERROR" or draw(st.integers(0, 9)) == 0:
        raw["error"] = {
            "fatal": draw(st.booleans()),
            "exceptions": [
                {"class_name": "a.B", "message": f"[BROKEN] by {TOKEN}\x1b[2J", "stack": [{"file_name": "B.py"}]}
            ],
        }
    return raw


@st.composite
def details(draw: st.DrawFn) -> Any:
    """What stands in `details`."""
    kind = draw(st.sampled_from(["progress", "progress", "progress", "definition", "dataset", "update", "odd"]))
    if kind == "progress":
        found: dict[str, Any] = {
            "status": draw(st.sampled_from(["QUEUED", "STARTING", "RUNNING", "COMPLETED", "FAILED"]))
        }
        if draw(st.booleans()):
            names = ("num_output_rows", "num_upserted_rows", "num_deleted_rows", "backlog_bytes")
            found["metrics"] = {name: draw(NUMBERS) for name in names}
        if draw(st.booleans()):
            rule = {"name": draw(st.sampled_from(["valid_id", "has_day"])), "dataset": "main.shop.clean"}
            rule |= {"passed_records": draw(NUMBERS), "failed_records": draw(NUMBERS)}
            found["data_quality"] = {"dropped_records": draw(NUMBERS), "expectations": [rule]}
        return {"flow_progress": found}
    if kind == "definition":
        inputs = draw(st.lists(st.sampled_from(FLOWS), max_size=2))
        kind = draw(st.sampled_from(["APPEND", "VIEW"]))
        return {
            "flow_definition": {
                "output_dataset": draw(st.sampled_from(FLOWS)),
                "input_datasets": inputs,
                "flow_type": kind,
            }
        }
    if kind == "dataset":
        rules = [{"name": "valid_id", "action": draw(st.sampled_from(["DROP", "ALLOW"]))}]
        return {"dataset_definition": {"dataset_type": "STREAMING_TABLE", "expectations": rules}}
    if kind == "update":
        return {"update_progress": {"state": draw(st.sampled_from(["RUNNING", "COMPLETED", "FAILED"]))}}
    return draw(st.sampled_from([None, {}, [], "text", '{"flow_progress": {"status": "IDLE"}}', {"other": {"a": [1]}}]))


@st.composite
def deliveries(draw: st.DrawFn, raws: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The events in batches, in any order, some of them more than once."""
    again = draw(st.lists(st.sampled_from(raws), max_size=10)) if raws else []
    order = draw(st.permutations([*raws, *again]))
    batches: list[list[dict[str, Any]]] = []
    while order:
        size = draw(st.integers(1, len(order)))
        batches.append(order[:size])
        order = order[size:]
    return batches


def many(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """So many events that they fill several blocks of a log, in time order; ten share a millisecond."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        level = chance.choices(LEVELS, (80, 3, 2, 10, 5))[0]
        flow = FLOWS[number % 3]
        raw: dict[str, Any] = {
            "id": f"{chance.getrandbits(64):016x}-{number}",
            "timestamp": f"2026-11-24T{number // 36_000:02}:{number // 600 % 60:02}:{number // 10 % 60:02}.000Z",
            "sequence": {"control_plane_seq_no": number},
            "message": f"Flow '{flow}' has processed batch {number} of {chance.choice(('few', 'many'))} rows.",
            "level": level,
            "event_type": chance.choice(("flow_progress", "cluster_resources", "operation_progress")),
            "origin": {"update_id": "u-1", "flow_name": flow, "dataset_name": flow},
            "details": {"flow_progress": {"status": "RUNNING", "metrics": {"num_output_rows": number}}},
        }
        if level == "ERROR":
            raw["error"] = {
                "fatal": False,
                "exceptions": [{"class_name": "a.Gone", "message": f"[GONE] table {number}"}],
            }
        found.append(raw)
    return found
