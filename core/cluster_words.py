"""What a cluster's own events say of its end, in lines that the matrix reads. Pure.

Never tells what is usual (a resize, a start): only what ends a run or an update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .text import clean

TELLING = frozenset(
    {
        *("TERMINATING", "DRIVER_NOT_RESPONDING", "DRIVER_UNAVAILABLE", "SPARK_EXCEPTION", "NODES_LOST"),
        *("ADD_NODES_FAILED", "DBFS_DOWN", "METASTORE_DOWN", "UC_VOLUME_MISCONFIGURED"),
    }
)


def cluster_words(events: Iterable[Mapping[str, Any]]) -> str:
    """One line for each telling event of `clusters/events`, in their order: kind, reason, parameters, message."""
    lines = []
    for event in events:
        kind, details = event.get("type"), event.get("details")
        if not isinstance(kind, str) or kind not in TELLING or not isinstance(details, Mapping):
            continue
        words = [kind]
        reason = details.get("reason")
        if isinstance(reason, Mapping):
            words += [_text(reason.get("code")), _text(reason.get("type"))]
            parameters = reason.get("parameters")
            if isinstance(parameters, Mapping):
                words += [f"{_text(name)}: {_text(value)}" for name, value in parameters.items()]
        words.append(_text(details.get("cause") or details.get("driver_state_message")))
        lines.append(" ".join(word for word in words if word))
    return "\n".join(lines)


def _text(value: Any) -> str:
    return " ".join(clean(value).split()) if isinstance(value, str) else ""
