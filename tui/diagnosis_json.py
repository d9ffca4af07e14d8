"""A diagnosis as the JSON of the contract and as text for people: one shape for `diagnose` and whoever else shows one.

Never diagnoses and never applies a patch: a patch is shown as the unified diff that it would make.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.patches import diff_of
from ..core.redaction import Redactor
from ..core.text import clean
from ..matrix.model import Diagnosis, Fix, Location
from .plain import place_words

_LABEL = 10
_EVIDENCE = 4  # lines shown to people
_DIFF_LINES = 40


def diagnosis_json(diagnosis: Diagnosis, root: Path, redactor: Redactor) -> dict[str, Any]:
    """The object of the contract, with the tasks it explains and the other places of the same class besides."""
    return {
        "cause": diagnosis.cause,
        "row": diagnosis.row,
        "category": diagnosis.category,
        "confidence": round(diagnosis.confidence, 4),
        "title": _safe(diagnosis.title, redactor),
        "explanation": _safe(diagnosis.explanation, redactor),
        "evidence": [{"line": each.line, "text": _safe(each.text, redactor)} for each in diagnosis.evidence],
        "entities": {name: _safe(value, redactor) for name, value in diagnosis.entities.items()},
        "location": _location(diagnosis.location),
        "also_at": [_location(place) for place in diagnosis.also_at],
        "tasks": list(diagnosis.task_keys),
        "retryable": diagnosis.retryable,
        "destructive": diagnosis.destructive,
        "fixes": [fix_json(fix, root, redactor) for fix in diagnosis.fixes],
        "check_sql": _safe(diagnosis.check_sql, redactor) if diagnosis.check_sql else None,
        "docs_url": diagnosis.docs_url,
    }


def fix_json(fix: Fix, root: Path, redactor: Redactor) -> dict[str, Any]:
    """One fix; `patch` is a unified diff, or null where there is none or it does not fit any more."""
    diff = diff_of(root, fix.patch) if fix.patch is not None else ""
    return {
        "kind": fix.kind,
        "title": _safe(fix.title, redactor),
        "patch": _safe(diff, redactor) or None,
        "command": _safe(fix.command, redactor) if fix.command else None,
        "risk": _safe(fix.risk, redactor) if fix.risk else None,
        "wait_seconds": fix.wait_seconds,
    }


def diagnosis_lines(diagnosis: Diagnosis, root: Path, *, width: int) -> Iterator[str]:
    """All of a diagnosis for people, `width` columns wide where a line can be folded."""
    known = diagnosis.cause != "unknown"
    sure = f"  {diagnosis.confidence:.0%}" if known else ""
    yield f"{diagnosis.cause if known else 'unknown cause'}{sure}  {_line(diagnosis.title)}"
    if diagnosis.task_keys:
        yield f"{'tasks':<{_LABEL}}{', '.join(map(_line, diagnosis.task_keys))}"
    yield from _folded("why", diagnosis.explanation, width)
    for number, each in enumerate(diagnosis.evidence[:_EVIDENCE]):
        yield f"{'evidence' if not number else '':<{_LABEL}}line {each.line}: {_line(each.text)}"
    if diagnosis.location is not None:
        others = ", ".join(place_words(place) for place in diagnosis.also_at[:3])
        yield f"{'source':<{_LABEL}}{place_words(diagnosis.location)}" + (f"  also in {others}" if others else "")
    for number, fix in enumerate(diagnosis.fixes, 1):
        yield from _fix_lines(fix, number, root, width)
    if diagnosis.check_sql:
        yield from _folded("check", diagnosis.check_sql, width)
    if diagnosis.retryable:
        yield f"{'retry':<{_LABEL}}it may pass when it is run again"
    if diagnosis.docs_url:
        yield f"{'docs':<{_LABEL}}{_line(diagnosis.docs_url)}"


def short_lines(diagnoses: Sequence[Diagnosis]) -> Iterator[str]:
    """Lesser candidates, one line each."""
    for diagnosis in diagnoses:
        yield f"  {diagnosis.cause}  {diagnosis.confidence:.0%}  {_line(diagnosis.title)}"


def _fix_lines(fix: Fix, number: int, root: Path, width: int) -> Iterator[str]:
    kind = "loses data: never without a typed confirmation" if fix.destructive else ""
    wait = f"wait {fix.wait_seconds:.0f} s" if fix.wait_seconds else ""
    more = "; ".join(each for each in (kind, wait) if each)
    yield from _folded(f"fix {number}", _line(fix.title) + (f" ({more})" if more else ""), width)
    if fix.risk:
        yield from _folded("", f"risk: {fix.risk}", width)
    if fix.patch is not None:
        lines = clean(diff_of(root, fix.patch)).rstrip("\n").split("\n")
        yield from (" " * _LABEL + line for line in lines[:_DIFF_LINES])
        if len(lines) > _DIFF_LINES:
            yield " " * _LABEL + f"and {len(lines) - _DIFF_LINES} more lines"
    if fix.command:
        yield from (" " * _LABEL + f"$ {line}" for line in clean(fix.command).strip().split("\n"))


def _folded(label: str, text: str, width: int) -> Iterator[str]:
    room = max(20, width - _LABEL)
    lines = textwrap.wrap(_line(text), room, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"{label if not number else '':<{_LABEL}}{line}"


def _location(location: Location | None) -> dict[str, Any] | None:
    return {"file": location.file, "line": location.line} if location is not None else None


def _line(text: str) -> str:
    return " ".join(clean(text).split())


def _safe(text: str, redactor: Redactor) -> str:
    return redactor.redact(clean(text))
