"""Pipelines and updates from the raw JSON of the Pipelines API 2.0.

Never raises, whatever comes: unknown words are kept as they are, and an update with one counts as active.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .json_values import flag, ident, mapping, message, objects, text, texts, whole
from .pipelines import Pipeline, Update


def parse_pipeline(raw: Any) -> Pipeline:
    """`pipelines/get`, or an entry of the list."""
    raw = mapping(raw)
    spec = mapping(raw.get("spec"))
    return Pipeline(
        pipeline_id=ident(raw.get("pipeline_id")),
        name=text(raw.get("name")) or text(spec.get("name")),
        state=text(raw.get("state")),
        health=text(raw.get("health")),
        continuous=flag(spec.get("continuous")),
        serverless=flag(spec.get("serverless")),
        development=flag(spec.get("development")),
        cluster_id=text(raw.get("cluster_id")),
        latest_updates=tuple(
            (ident(item.get("update_id")), text(item.get("state"))) for item in objects(raw.get("latest_updates"))
        ),
    )


def parse_update(raw: Any) -> Update:
    """One update: the answer of get-update, which wraps it, or an entry of the list."""
    raw = mapping(raw)
    raw = mapping(raw.get("update")) or raw
    selected = (*texts(raw.get("refresh_selection")), *texts(raw.get("full_refresh_selection")))
    return Update(
        update_id=ident(raw.get("update_id")),
        pipeline_id=ident(raw.get("pipeline_id")),
        state=text(raw.get("state")),
        cause=text(raw.get("cause")),
        creation_ms=epoch_ms(raw.get("creation_time")),
        full_refresh=flag(raw.get("full_refresh")),
        validate_only=flag(raw.get("validate_only")),
        refresh_selection=tuple(dict.fromkeys(selected)),
        message=message(raw.get("message")),
        cluster_id=ident(raw.get("cluster_id")),
    )


def epoch_ms(value: Any) -> int:
    """Epoch ms of a time that comes as a number or as ISO 8601 (both occur); 0 where it is none."""
    if isinstance(value, str) and "-" in value.lstrip()[1:]:
        try:
            moment = datetime.fromisoformat(value.strip())
            # Without a zone it is UTC, like all times of the API.
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return max(0, round(aware.timestamp() * 1000))
        except (ValueError, OverflowError):
            return 0
    return whole(value)
