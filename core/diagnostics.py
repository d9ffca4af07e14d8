"""The diagnostics of the `databricks` CLI, taken apart: severity, summary, paths, places, detail. Pure.

The grammar is that of libs/cmdio/render.go: a head line, `  at <path>`, `  in <file>:<line>:<col>`, a blank, the detail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .bundle import Place

Severity = Literal["error", "warning", "recommendation"]

_HEAD = re.compile(r"^(Error|Warning|Recommendation): (.*)$")
_LOG_HEAD = re.compile(r"^(?:\d\d:\d\d:\d\d )?(Error|Warn): (.*)$")
_AT = re.compile(r"^  at (\S.*)$")
_IN = re.compile(r"^  in (\S.*)$")
_MORE = re.compile(r"^     (\S.*)$")
_PLACE = re.compile(r"^(?P<file>.{1,400}?):(?P<line>\d{1,7}):(?P<column>\d{1,7})$")


@dataclass(frozen=True, slots=True)
class CliDiagnostic:
    """One diagnostic; `paths` like resources.jobs.foo, `places` in files relative to the bundle root."""

    severity: Severity
    summary: str
    paths: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    detail: str = ""


def parse_diagnostics(text: str | Iterable[str]) -> tuple[CliDiagnostic, ...]:
    """Every diagnostic in the CLI's stderr, in order; one that was also logged (printed twice) is given once."""
    lines = text.split("\n") if isinstance(text, str) else list(text)
    found: dict[tuple[str, str], CliDiagnostic] = {}
    at = 0
    while at < len(lines):
        head = _HEAD.match(lines[at])
        if head is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and not _HEAD.match(lines[end]) and not _LOG_HEAD.match(lines[end]):
            end += 1
        diagnostic = _one(head, lines[at + 1 : end])
        key = (diagnostic.severity, diagnostic.summary)
        held = found.get(key)
        if held is None or (not held.places and diagnostic.places) or len(held.detail) < len(diagnostic.detail):
            found[key] = diagnostic
        at = end
    return tuple(found.values())


def _one(head: re.Match[str], lines: list[str]) -> CliDiagnostic:
    paths: list[str] = []
    places: list[Place] = []
    index = 0
    section = ""
    for index, line in enumerate([*lines, ""]):
        if match := _AT.match(line):
            section = "at"
            paths.append(match[1])
        elif match := _IN.match(line):
            section = "in"
            _add_place(places, match[1])
        elif section and (match := _MORE.match(line)):
            if section == "at":
                paths.append(match[1])
            else:
                _add_place(places, match[1])
        else:
            break
    severity: Severity = {"Error": "error", "Warning": "warning"}.get(head[1], "recommendation")  # type: ignore[assignment]
    detail = "\n".join(lines[index:]).strip("\n")
    return CliDiagnostic(severity, head[2].strip(), tuple(paths), tuple(places), detail)


def _add_place(places: list[Place], text: str) -> None:
    match = _PLACE.match(text.strip())
    if match:
        places.append(Place(match["file"], int(match["line"]), int(match["column"])))
