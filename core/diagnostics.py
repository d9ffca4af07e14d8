"""The diagnostics of the `databricks` CLI, taken apart: severity, summary, paths, places, detail. Pure.

It judges nothing. The grammar is that of libs/cmdio/render.go: head, `  at <path>`, `  in <file>:<line>:<col>`, detail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .bundle import Place

Severity = Literal["error", "warning", "recommendation"]

_SEVERITIES: dict[str, Severity] = {"Error": "error", "Warning": "warning", "Recommendation": "recommendation"}
_HEAD = re.compile(r"(Error|Warning|Recommendation): (.*)")
# Log lines of the CLI share stderr: `Warn: ...`, with a time at debug level (libs/log/handler/friendly.go).
_LOG = re.compile(r"(?:\d\d:\d\d:\d\d )?(?:Trace|Debug|Info|Warn|Error): ")
_AT = re.compile(r"  at (\S.*)")
_IN = re.compile(r"  in (\S.*)")
_MORE = re.compile(r"     (\S.*)")
_PLACE = re.compile(r"(?P<file>.{1,400}?):(?P<line>\d{1,7}):(?P<column>\d{1,7})")
# What the commands print behind a diagnostic and is no part of it (up to v1.12 and from v1.13).
_PROGRESS = re.compile(
    r"(?:Files: \d+ uploaded|Resources: \d+ created|Found \d+ (?:error|warning|recommendation)|Plan: \d+ to add"
    r"|Validation OK!|Run URL: |Update URL: |(?:Deployment|Destroy) (?:complete|cancelled)!|D(?:eploy|estroy): \d+ "
    r"|The following resources will be deleted:|This action will result in |No active deployment found"
    r"|All files and directories at the following location|Output from [a-z_]{1,60}\.\S{1,200}: |Migrated \d+ resource"
    r"|(?:Building|Uploading|Deploying|Updating|Deleting|Destroying) .{1,400}\.\.\.$"
    r"|(?:Created|Updated|Deleted|Recreated|Resized) [a-z_]{1,60}\.\S{1,200}$)"
)
_MOST = 1000


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
    found: dict[tuple[object, ...], CliDiagnostic] = {}
    at = 0
    while at < len(lines) and len(found) < _MOST:
        head = _HEAD.fullmatch(lines[at])
        if head is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and not (
            _HEAD.fullmatch(lines[end]) or _LOG.match(lines[end]) or _PROGRESS.match(lines[end])
        ):
            end += 1
        diagnostic = _one(head, lines[at + 1 : end])
        found.setdefault((diagnostic.severity, diagnostic.summary, diagnostic.paths, diagnostic.places), diagnostic)
        at = end
    return _without_echoes(tuple(found.values()))


def _without_echoes(found: tuple[CliDiagnostic, ...]) -> tuple[CliDiagnostic, ...]:
    """Without those that say only what another one says with paths and places."""
    fuller = {(each.severity, each.summary) for each in found if each.paths or each.places}
    return tuple(each for each in found if each.paths or each.places or (each.severity, each.summary) not in fuller)


def _one(head: re.Match[str], lines: list[str]) -> CliDiagnostic:
    paths: list[str] = []
    places: list[Place] = []
    more: list[str] = []  # a summary of several lines: the first one is the sentence
    section = ""
    rest = 0
    for line in lines:
        if not section and (match := _AT.fullmatch(line)):
            section = "at"
            paths.append(match[1])
        elif section != "in" and (match := _IN.fullmatch(line)):
            section = "in"
            _add_place(places, match[1])
        elif section and (match := _MORE.fullmatch(line)):
            if section == "at":
                paths.append(match[1])
            else:
                _add_place(places, match[1])
        elif not section and line.strip():
            more.append(line)
        else:
            break
        rest += 1
    detail = "\n".join([*more, *lines[rest:]]).strip("\n")
    return CliDiagnostic(_SEVERITIES[head[1]], head[2].strip(), tuple(paths), tuple(places), detail)


def _add_place(places: list[Place], text: str) -> None:
    match = _PLACE.fullmatch(text.strip())
    if match:
        places.append(Place(match["file"], int(match["line"]), int(match["column"])))
