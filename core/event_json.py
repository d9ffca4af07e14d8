"""The JSON of pipeline events as the API sends it, taken apart: time, order, kind, exceptions and details.

Never trusts a shape: what is missing or of another type is left out. Nothing here raises; no text leaves it unclean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .pipelines import PipelineEvent, PipelineException
from .redaction import redact
from .text import clean

Json = dict[str, Any]
Safe = Callable[[str], str]
Keyed = tuple[int, int, str, Json]  # an event with what orders it: epoch microseconds, sequence number, id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MAX_EXCEPTIONS = 50
MAX_FRAMES = 200
MAX_DEPTH = 12
_INT64 = 2**63 - 1


class Kind(NamedTuple):
    """What many events of an update have in common, so that it is held once. `broken`: it carries exceptions."""

    level: str
    event_type: str
    flow: str = ""
    dataset: str = ""
    update_id: str = ""
    source_file: str = ""
    source_line: int | None = None
    fatal: bool = False
    broken: bool = False


def safe(text: str) -> str:
    """`text` without terminal sequences and without anything that looks like a secret."""
    return redact(clean(text))


def parse_event(raw: Mapping[str, Any], make_safe: Safe = safe) -> PipelineEvent:
    """One event of `GET pipelines/{id}/events`."""
    body = dict(raw)
    kind = kind_of(kind_key(body), make_safe)
    return event_of(
        kind, make_safe(event_id(body)), timestamp_text(body), make_safe(words(body.get("message"))), extras(body),
        make_safe,
    )  # fmt: skip


def event_of(kind: Kind, event_id: str, timestamp: str, message: str, more: Any, make_safe: Safe) -> PipelineEvent:
    """The event of its parts; `more` is what `extras` took from the JSON, still as it came."""
    body, errors, truncated = more if type(more) is tuple else (more, None, None)
    exceptions = exceptions_of(errors, make_safe)
    details = details_of(body, kind.event_type, make_safe) if body else {}
    if truncated:
        details["truncated_fields"] = [make_safe(words(name)) for name in truncated]
    return PipelineEvent(
        event_id,
        timestamp,
        kind.level,
        kind.event_type,
        message,
        kind.update_id,
        kind.flow,
        kind.dataset,
        kind.source_file,
        kind.source_line,
        exceptions,
        kind.fatal,
        details,
    )


def raw_of(event: PipelineEvent) -> Json:
    """The JSON that `parse_event` makes `event` of."""
    origin: Json = {"update_id": event.update_id, "flow_name": event.flow, "dataset_name": event.dataset}
    raw: Json = {
        "id": event.id,
        "timestamp": event.timestamp,
        "level": event.level,
        "event_type": event.event_type,
        "message": event.message,
        "origin": origin,
        "details": {event.event_type: event.details} if event.details else {},
    }
    if event.source_file or event.source_line:
        origin["source_code_location"] = {"path": event.source_file, "line_number": event.source_line}
    if event.exceptions or event.fatal:
        raw["error"] = {"fatal": event.fatal, "exceptions": [_raw_exception(item) for item in event.exceptions]}
    return raw


def _raw_exception(error: PipelineException) -> Json:
    names = ("declaring_class", "method_name", "file_name", "line_number")
    return {
        "class_name": error.class_name,
        "message": error.message,
        "error_class": error.error_class,
        "sql_state": error.sql_state,
        "stack": [dict(zip(names, frame, strict=True)) for frame in error.stack],
    }


# --- what orders events and tells them apart --------------------------------------------------------------------------


def event_id(raw: Mapping[str, Any]) -> str:
    """The id; where there is none, one made of the content, so that the same event twice is still one."""
    held = raw.get("id")
    if isinstance(held, str) and held:
        return held
    if isinstance(held, int) and not isinstance(held, bool):
        return str(held)
    text = json.dumps(raw, sort_keys=True, default=str)
    return "no-id-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def keyed(raws: Iterable[Any]) -> Iterator[Keyed]:
    """The events with what orders them; what is no object is left out."""
    time_of = datetime.fromisoformat
    for raw in raws:
        try:
            number, place = raw["id"], raw["sequence"]["control_plane_seq_no"]
            at = (time_of(raw["timestamp"]) - EPOCH) // MICROSECOND
        except (ValueError, TypeError, KeyError, IndexError, OverflowError):
            number = place = None
        if type(number) is str and number and type(place) is int and -_INT64 <= place <= _INT64:
            yield (at, place, number, raw)
        elif isinstance(raw, dict):
            yield (microseconds(raw.get("timestamp")), sequence_of(raw), event_id(raw), raw)


def microseconds(timestamp: object) -> int:
    """Epoch microseconds of an ISO text (without a zone it is UTC); 0 where it is none."""
    try:
        return (datetime.fromisoformat(timestamp) - EPOCH) // MICROSECOND  # type: ignore[arg-type]
    except TypeError:
        # Without a zone, or no text at all.
        if not isinstance(timestamp, str):
            return 0
    except (ValueError, OverflowError):
        return 0
    return (datetime.fromisoformat(timestamp).replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def iso_text(microseconds: int) -> str:
    """Epoch microseconds as the API writes times: 2026-11-24T09:50:07.120Z."""
    moment = EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds" if microseconds % 1000 else "milliseconds")[:-6] + "Z"


def is_usual(text: str) -> bool:
    """Whether `iso_text` of the time in `text` gives `text` again, so that the text need not be kept."""
    return len(text) == 24 and text[23] == "Z" and text[19] == "." and text[10] == "T" and text[5] != "W"


def timestamp_text(raw: Mapping[str, Any]) -> str:
    """The time as it came."""
    return safe(words(raw.get("timestamp")))


def sequence_of(raw: Mapping[str, Any]) -> int:
    """What orders events of the same time: the number the control plane gave, else that of the data plane, else 0."""
    sequence = raw.get("sequence")
    if not isinstance(sequence, dict):
        return 0
    number = sequence.get("control_plane_seq_no")
    plane = sequence.get("data_plane_id")
    found = whole(number) or (whole(plane.get("seq_no")) if isinstance(plane, dict) else None) or 0
    return min(max(found, -_INT64), _INT64)


# --- kinds ------------------------------------------------------------------------------------------------------------

_NOTHING: Json = {}


def kind_key(raw: Json) -> tuple[Any, ...]:
    """What the kind of an event is made of, as it came; cheap, because it is done for every event."""
    origin = raw.get("origin")
    if type(origin) is not dict:
        origin = _NOTHING
    find = origin.get
    if "error" not in raw and "source_code_location" not in origin:
        return (raw.get("level"), raw.get("event_type"), find("flow_name"), find("dataset_name"), find("update_id"))
    error, place = raw.get("error"), origin.get("source_code_location")
    if not isinstance(error, dict):
        error = _NOTHING
    if not isinstance(place, dict):
        place = _NOTHING
    return (
        raw.get("level"),
        raw.get("event_type"),
        find("flow_name"),
        find("dataset_name"),
        find("update_id"),
        place.get("path"),
        place.get("line_number"),
        bool(error.get("fatal")),
        bool(error.get("exceptions")),
    )


def kind_of(key: tuple[Any, ...], make_safe: Safe) -> Kind:
    """The kind that a key of `kind_key` stands for, in clean text."""
    level, event_type, flow, dataset, update_id = (make_safe(words(value)) for value in key[:5])
    if len(key) == 5:
        return Kind(level, event_type, flow, dataset, update_id)
    path, line, fatal, broken = key[5:]
    number = whole(line)
    place = make_safe(words(path))
    return Kind(
        level, event_type, flow, dataset, update_id, place, number if number and number > 0 else None, fatal, broken
    )


# --- errors and details -----------------------------------------------------------------------------------------------


def extras_of(raws: Iterable[Json]) -> list[Any]:
    """What events have besides, as it came: details alone, or a tuple of details, exceptions, truncated fields."""
    return [raw.get("details") if "error" not in raw and "truncation" not in raw else extras(raw) for raw in raws]


def extras(raw: Json) -> Any:
    """What one event has besides."""
    if "error" not in raw and "truncation" not in raw:
        return raw.get("details")
    error, truncation = raw.get("error"), raw.get("truncation")
    exceptions = error.get("exceptions") if isinstance(error, dict) else None
    return (raw.get("details"), exceptions, _truncated(truncation) if truncation else None)


def _truncated(truncation: object) -> list[Any]:
    fields = truncation.get("truncated_fields") if isinstance(truncation, dict) else None
    if not isinstance(fields, list):
        return []
    return [item.get("field_name") for item in fields[:50] if isinstance(item, dict)]


def error_text(raw: Json) -> str:
    """What the exceptions of an event say in one text, as it came: for searches, not to be shown."""
    error = raw.get("error")
    found = error.get("exceptions") if isinstance(error, dict) else None
    return "\n".join(
        " ".join(words(item.get(name)) for name in ("class_name", "error_class", "sql_state", "message"))
        for item in (found[:MAX_EXCEPTIONS] if isinstance(found, list) else ())
        if isinstance(item, dict)
    )


def exceptions_of(found: object, make_safe: Safe) -> tuple[PipelineException, ...]:
    """`error.exceptions` as they came: the root cause is usually the last."""
    if not isinstance(found, list):
        return ()
    return tuple(_exception(item, make_safe) for item in found[:MAX_EXCEPTIONS] if isinstance(item, dict))


def _exception(raw: Json, make_safe: Safe) -> PipelineException:
    stack = raw.get("stack")
    frames = [item for item in stack[:MAX_FRAMES] if isinstance(item, dict)] if isinstance(stack, list) else []
    return PipelineException(
        make_safe(words(raw.get("class_name"))),
        make_safe(words(raw.get("message"))),
        make_safe(words(raw.get("error_class"))),
        make_safe(words(raw.get("sql_state"))),
        tuple(
            (
                make_safe(words(frame.get("declaring_class"))),
                make_safe(words(frame.get("method_name"))),
                make_safe(words(frame.get("file_name"))),
                whole(frame.get("line_number")),
            )
            for frame in frames
        ),
    )


def details_object(details: object) -> Json:
    """`details` as an object; in the event log's own table it is JSON text."""
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except (ValueError, RecursionError):
            return {"text": details}
    return details if isinstance(details, dict) else {}


def details_of(details: object, event_type: str, make_safe: Safe) -> Json:
    """What stands under the event type in `details`, clean; under the only name there is where that is another."""
    whole_object = details_object(details)
    found = whole_object.get(event_type)
    if not isinstance(found, dict):
        values = list(whole_object.values())
        found = values[0] if len(values) == 1 and isinstance(values[0], dict) else whole_object
    made = _clean_value("", found, make_safe, 0)
    return made if isinstance(made, dict) else {}


def _clean_value(name: str, value: Any, make_safe: Safe, depth: int) -> Any:
    if isinstance(value, str):
        # A secret is often known by its name alone, so both are looked at together.
        head = f"{name}: " if name else ""
        text = make_safe(head + value)
        return text[len(head) :] if text.startswith(head) else make_safe(value)
    if depth >= MAX_DEPTH:
        return "[...]" if isinstance(value, (dict, list)) else value
    if isinstance(value, dict):
        return {
            make_safe(str(key)): _clean_value(make_safe(str(key)), item, make_safe, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_clean_value(name, item, make_safe, depth + 1) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else make_safe(str(value))


# --- plain values -----------------------------------------------------------------------------------------------------


def words(value: object) -> str:
    """Text from a JSON value: text as it is, nothing for null, else what Python writes."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)[:1000]


def whole(value: object) -> int | None:
    """A whole number from a JSON value, which may come as text or with a point; None where it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, (str, float)) or (isinstance(value, str) and len(value) > 40):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        pass
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None
