"""How events leave the program without a screen: JSON Lines on stdout, or one plain sentence a change.

Never decides anything. Data goes to stdout, talk to stderr; external text is cleaned before it gets here.
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from ..core import events as ev
from ..matrix.model import Diagnosis


class JsonLines:
    """Writes each event as one JSON object a line, flushed, so that a reader at the other end of a pipe sees it now."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def event(self, event: ev.EngineEvent) -> None:
        self.write(ev.to_json(event))

    def write(self, body: dict[str, Any]) -> None:
        self._stream.write(json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._stream.flush()


class Sentences:
    """One sentence for each change, for logs, screen readers and terminals that cannot do more."""

    def __init__(self, stream: TextIO | None = None, *, deploy_lines: bool = True) -> None:
        self._stream = stream or sys.stderr
        self._deploy_lines = deploy_lines

    def event(self, event: ev.EngineEvent) -> None:
        if isinstance(event, ev.DeployOutput) and not self._deploy_lines:
            return
        text = sentence(event)
        if text:
            self._stream.write(text + "\n")
            self._stream.flush()


def sentence(event: ev.EngineEvent) -> str:
    """The event in words; empty for events that only machines want."""
    match event:
        case ev.LoopStarted():
            what = ", ".join(event.keys) or "the bundle"
            verb = "Going on with" if event.resumed else "Starting on"
            return f"{verb} {what}, target {event.target or 'default'}, at most {event.max_iterations} rounds."
        case ev.IdentityKnown():
            profile = f" (profile {event.profile})" if event.profile else ""
            mode = f", {event.mode}" if event.mode else ""
            return f"Acting at {event.host}{profile} as {event.user}, target {event.target}{mode}."
        case ev.StageChanged():
            reason = f": {event.reason}" if event.reason else ""
            return f"[round {event.iteration}] {event.stage}{reason}"
        case ev.DeployOutput():
            return f"  | {event.line}"
        case ev.RunStartedEvent():
            verb = {"repair": "Repairing", "adopted": "Attached to", "update": "Started update of"}
            return f"{verb.get(event.kind, 'Started')} {event.key}: {event.url or event.run_id or event.update_id}"
        case ev.RunChanged():
            message = f" - {event.message}" if event.message else ""
            return f"  {event.key} {event.state}{message}"
        case ev.TaskChanged():
            message = f" - {event.message}" if event.message else ""
            return f"    {event.task_key} {event.state}{message}"
        case ev.PipelineEventSeen():
            return f"    {event.level} {event.message}" if event.level in ("WARN", "ERROR") or event.flow else ""
        case ev.FailureDiagnosed():
            where = f" in task {event.task_key}" if event.task_key else ""
            return f"Diagnosis of {event.key}{where}: " + diagnosis_words(event.diagnosis)
        case ev.FixProposed():
            return f"Proposed: {event.fix.title}" + (f"\n{_indent(event.diff)}" if event.diff else "")
        case ev.FixAppliedEvent():
            by = f" by a {event.source}" if event.source else ""
            diff = f"\n{_indent(event.diff)}" if event.diff else ""
            return f"Edited{by}: {', '.join(event.files)}{' - ' + event.title if event.title else ''}{diff}"
        case ev.SourceChangedEvent():
            shown = ", ".join(event.files[:5]) + (f" and {len(event.files) - 5} more" if len(event.files) > 5 else "")
            return f"Source changed: {shown}."
        case ev.Verified():
            bad = [check for check in event.checks if not check.ok]
            if event.ok:
                partly = " (partially)" if event.partial else ""
                return f"Verified {event.key}{partly}: {len(event.checks)} checks passed."
            return f"{event.key} did not verify: " + "; ".join(f"{c.what}: {c.detail}" for c in bad)
        case ev.Holding():
            return f"Waiting: {event.reason}"
        case ev.Problem():
            return f"{event.message}" + (f" ({event.fix})" if event.fix else "")
        case ev.Escalated():
            return f"Escalated: {event.reason}"
        case ev.LoopEnded():
            reason = f": {event.reason}" if event.reason else ""
            rounds = "round" if event.iterations == 1 else "rounds"
            return f"Ended {event.outcome} after {event.iterations} {rounds}{reason}."
        case _:
            return ""


def diagnosis_words(diagnosis: Diagnosis) -> str:
    """A diagnosis in one paragraph: cause, explanation, place, evidence."""
    lines = [f"{diagnosis.cause} ({diagnosis.confidence:.0%}). {diagnosis.explanation}"]
    if diagnosis.location is not None:
        at = (
            f"{diagnosis.location.file}:{diagnosis.location.line}"
            if diagnosis.location.line
            else diagnosis.location.file
        )
        lines.append(f"  at {at}")
    lines += [f"  evidence, line {e.line}: {e.text}" for e in diagnosis.evidence[:2]]
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join("    " + line for line in text.rstrip("\n").split("\n"))
