"""The escalation report: what failed in each round, what was tried, the best hypothesis, and how to go on.

Pure: records in, Markdown or JSON data out. Never invents; a fact that is missing is said to be missing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..matrix.model import Diagnosis
from .events import plain


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """One error of one round. `run_id` is a run or an update id, empty where the deploy itself failed."""

    ref: str
    message: str
    run_id: str = ""
    task_key: str = ""
    task_run_id: str = ""
    url: str = ""
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True, slots=True)
class FixRecord:
    """One fix that was tried: by `source` (patch, fixer, person, retry), with its diff where one is known, and why."""

    title: str
    source: str
    files: tuple[str, ...] = ()
    diff: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    iteration: int
    errors: tuple[ErrorRecord, ...] = ()
    fixes: tuple[FixRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class StartRecord:
    """One start: `kind` is run, repair, update or adopted; `run_id` is an update's id for a pipeline."""

    ref: str
    kind: str
    run_id: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """Everything a report says. Times are ISO 8601 UTC."""

    loop_id: str
    bundle: str
    target: str
    host: str
    user: str
    profile: str
    keys: tuple[str, ...]
    outcome: str
    reason: str
    started: str
    ended: str
    rounds: tuple[RoundRecord, ...] = ()
    starts: tuple[StartRecord, ...] = ()


def hypothesis(record: LoopRecord) -> tuple[str, Diagnosis | None]:
    """One sentence on the root cause, from the diagnoses of the last round that has any; None where none is known.

    The sentence is empty where nothing failed.
    """
    for round_ in reversed(record.rounds):
        found = [error.diagnosis for error in round_.errors if error.diagnosis is not None]
        known = [d for d in found if d.cause != "unknown"]
        if not known:
            continue
        weights = Counter(d.cause for d in known)
        best = max(known, key=lambda d: (weights[d.cause], d.confidence))
        earlier = {
            error.diagnosis.cause
            for other in record.rounds
            if other.iteration < round_.iteration
            for error in other.errors
            if error.diagnosis is not None
        }
        again = " It was there in an earlier round too, so what was tried did not reach it." * (best.cause in earlier)
        return f"{best.title}: {best.explanation}{again}", best
    if not any(round_.errors for round_ in record.rounds):
        return "", None
    return "No row of the matrix knows these errors; the evidence is quoted above as it came.", None


def to_markdown(record: LoopRecord) -> str:
    """The report as Markdown, for people. Texts from outside stand in code blocks only."""
    lines = [
        f"# {record.bundle}: {record.outcome} on {record.target}",
        "",
        record.reason or "",
        "",
        f"- workspace: {record.host or 'not known'} as {record.user or 'not known'}"
        + (f" (profile {record.profile})" if record.profile else ""),
        f"- resources: {', '.join(record.keys) or 'none'}",
        f"- from {record.started} to {record.ended}, {_rounds(record)}, report {record.loop_id}",
        "",
    ]
    for round_ in record.rounds:
        lines += [f"## Round {round_.iteration}", ""]
        if not round_.errors:
            lines += ["No error.", ""]
        for error in round_.errors:
            lines += _error_lines(error)
        if round_.fixes:
            lines += ["### What was tried after it", ""]
        for fix in round_.fixes:
            lines += _fix_lines(fix)
    sentence, best = hypothesis(record)
    if sentence:
        lines += ["## Root cause, as far as it is known", "", sentence, ""]
    if best is not None:
        lines += [f"Row `{best.row}`, confidence {best.confidence:.0%}.", ""]
        lines += _quote("\n".join(f"line {e.line}: {e.text}" for e in best.evidence[:3]))
    lines += ["## Run pages", ""]
    pages = {start.url: f"{start.ref}, {start.kind} {start.run_id}: " for start in record.starts if start.url}
    for round_ in record.rounds:
        for error in round_.errors:
            pages.setdefault(error.url, f"task {error.task_key}: " if error.task_key else "")
    pages.pop("", None)
    lines += [f"- {what}{url}" for url, what in pages.items()] or ["- none"]
    lines += ["", "## To go on", ""]
    lines += _quote("\n".join(commands(record)), "sh")
    return "\n".join(lines).rstrip() + "\n"


def _rounds(record: LoopRecord) -> str:
    count = len(record.rounds)
    return "1 round" if count == 1 else f"{count} rounds"


def commands(record: LoopRecord) -> tuple[str, ...]:
    """What to type to reproduce the failure and to resume, in this order."""
    at = f" -t {record.target}" + (f" -p {record.profile}" if record.profile else "")
    keys = [key.partition(".")[2] or key for key in record.keys]
    again = [f"databricks bundle run {key}{at}" for key in keys]
    return (
        f"databricks bundle deploy{at}",
        *again,
        f"dbops-tui heal {' '.join(keys)}{at}" if keys else f"dbops-tui{at}",
    )


def to_json(record: LoopRecord) -> dict[str, Any]:
    """The report as JSON data, with the hypothesis and the commands worked out."""
    sentence, best = hypothesis(record)
    return {**plain(record), "hypothesis": sentence, "root_cause": plain(best), "commands": list(commands(record))}


def _error_lines(error: ErrorRecord) -> list[str]:
    what = error.ref + (f", task `{error.task_key}`" if error.task_key else "")
    ids = ", ".join(
        f"{name} {value}" for name, value in (("run", error.run_id), ("task run", error.task_run_id)) if value
    )
    lines = [f"### {what}" + (f" ({ids})" if ids else ""), ""]
    lines += _quote(error.message or "no message")
    if error.diagnosis is not None:
        diagnosis = error.diagnosis
        place = ""
        if diagnosis.location is not None:
            place = f" at `{diagnosis.location.file}:{diagnosis.location.line or '?'}`"
        lines += [f"{diagnosis.cause} ({diagnosis.confidence:.0%}){place}: {diagnosis.explanation}", ""]
    if error.url:
        lines += [error.url, ""]
    return lines


def _fix_lines(fix: FixRecord) -> list[str]:
    files = f" ({', '.join(fix.files)})" if fix.files else ""
    lines = [f"- {fix.source}: {fix.title}{files}" + (f". Why: {fix.why}" if fix.why else ""), ""]
    return lines + _quote(fix.diff, "diff") if fix.diff else lines


def _quote(text: str, language: str = "text") -> list[str]:
    """A fenced block that the text cannot close: its fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in _backtick_runs(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.strip("\n").split("\n"), fence, ""]


def _backtick_runs(text: str) -> list[str]:
    runs, current = [], ""
    for char in text + " ":
        if char == "`":
            current += char
        elif current:
            runs.append(current)
            current = ""
    return runs
