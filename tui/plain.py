"""Events as plain sentences, one a change: what `--plain`, logs and screen readers get in place of a screen.

Never decides anything, draws nothing, and lets no line break or control character of a foreign text through.
"""

from __future__ import annotations

import sys
from typing import TextIO

from ..core import events as ev
from ..core.redaction import Redactor
from ..core.text import clean
from ..matrix.model import Diagnosis, Location

LONGEST = 600  # characters of one foreign text within a sentence
_DIFF_LINES = 60


class Sentences:
    """Writes each event as its sentence, flushed, to `stream` (default: stderr as it is at that moment)."""

    def __init__(
        self, stream: TextIO | None = None, *, deploy_lines: bool = True, redactor: Redactor | None = None
    ) -> None:
        self._stream = stream
        self._deploy_lines = deploy_lines
        self._redactor = redactor

    def event(self, event: ev.EngineEvent) -> None:
        if isinstance(event, ev.DeployOutput) and not self._deploy_lines:
            return
        self.say(sentence(event))

    def say(self, text: str) -> None:
        """One sentence of any origin; nothing where it is empty."""
        if not text:
            return
        stream = self._stream or sys.stderr
        said = self._redactor.redact(text) if self._redactor else text
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(said.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()


def sentence(event: ev.EngineEvent) -> str:
    """The event in words; empty for events that only machines want. A diff follows its sentence, indented."""
    match event:
        case ev.LoopStarted():
            verb = "Going on with" if event.resumed else "Starting on"
            rounds = "1 round" if event.max_iterations == 1 else f"{event.max_iterations} rounds"
            return f"{verb} {_list(event.keys) or 'the bundle'}, target {event.target or 'default'}, at most {rounds}."
        case ev.IdentityKnown():
            profile = f" with profile {_one(event.profile)}" if event.profile else ""
            mode = f", {_one(event.mode)}" if event.mode else ""
            who = _one(event.user) or "somebody not known yet"
            return f"Acting at {_one(event.host)}{profile} as {who}, target {_one(event.target) or 'default'}{mode}."
        case ev.StageChanged():
            head = f"Round {event.iteration}, {event.stage}" if event.iteration else f"Stage {event.stage}"
            return f"{head}{_after(event.reason)}."
        case ev.DeployOutput():
            return f"  | {_one(event.line)}" if event.line.strip() else ""
        case ev.RunStartedEvent():
            verb = _STARTED.get(event.kind, "Started")
            where = event.url or event.run_id or event.update_id
            return f"{verb} {_one(event.key)}" + (f": {_one(where)}" if where else ".")
        case ev.RunChanged():
            return f"{_one(event.key)}: {_one(event.state)}{_took(event.elapsed_ms)}{_and(event.message)}."
        case ev.TaskChanged():
            again = f" (attempt {event.attempt + 1})" if event.attempt else ""
            return f"Task {_one(event.task_key)}{again}: {_one(event.state)}{_and(event.message)}."
        case ev.PipelineEventSeen():
            told = event.level in ("WARN", "ERROR") or event.flow or event.event_type == "update_progress"
            return f"{_one(event.key)} {_one(event.level)}: {_one(event.message)}" if told else ""
        case ev.FailureDiagnosed():
            where = f", task {_one(event.task_key)}" if event.task_key else ""
            return f"Diagnosis of {_one(event.key)}{where}: {diagnosis_words(event.diagnosis)}"
        case ev.FixProposed():
            return f"Proposed for {_one(event.key)}: {_bare(event.fix.title)}.{_diff(event.diff)}"
        case ev.FixAppliedEvent():
            by = f" by a {_one(event.source)}" if event.source else ""
            return f"Edited{by}: {_list(event.files)}{_after(event.title)}.{_diff(event.diff)}"
        case ev.SourceChangedEvent():
            return f"The source changed: {_list(event.files)}."
        case ev.Check():
            return f"Check of {_one(event.what)}: {'passed' if event.ok else 'not passed'}{_after(event.detail)}."
        case ev.Verified():
            return _verified(event)
        case ev.Holding():
            return f"Waiting: {_bare(event.reason)}."
        case ev.Problem():
            fix = f" To answer it: {_bare(event.fix)}." if event.fix else ""
            # Who is signed out is so until somebody signs in: trying again changes nothing.
            passing = event.retryable and not event.code.endswith("signed_out")
            return f"{_bare(event.message)}.{fix}" + (" It may pass when it is tried again." if passing else "")
        case ev.Escalated():
            return f"Escalated to a person: {_bare(event.reason)}."
        case ev.LoopEnded():
            rounds = "1 round" if event.iterations == 1 else f"{event.iterations} rounds"
            report = f" The report: dbops-tui report {_one(event.report_id)}." if event.report_id else ""
            return f"Ended {_one(event.outcome)} after {rounds}{_after(event.reason)}.{report}"
        case _:
            return ""


_STARTED = {
    "run": "Started",
    "repair": "Repairing",
    "update": "Started an update of",
    "adopted": "Following an earlier start of",
}


def diagnosis_words(diagnosis: Diagnosis) -> str:
    """A diagnosis in one line: cause, explanation, place, and the line that shows it."""
    if diagnosis.cause == "unknown":
        head = f"no known cause. {_one(diagnosis.explanation)}"
    else:
        head = f"{diagnosis.cause} ({diagnosis.confidence:.0%}). {_one(diagnosis.explanation)}"
    parts = [head]
    if diagnosis.location is not None:
        parts.append(f"It stands at {place_words(diagnosis.location)}.")
    if diagnosis.evidence:
        shown = diagnosis.evidence[0]
        parts.append(f"Line {shown.line} shows it: {_one(shown.text)}")
    return " ".join(parts)


def place_words(location: Location) -> str:
    """`file:line`, or the file where no line is known."""
    return _one(f"{location.file}:{location.line}" if location.line else location.file)


def _verified(event: ev.Verified) -> str:
    bad = [check for check in event.checks if not check.ok]
    if event.ok:
        passed = len(event.checks) - len(bad)
        checks = "1 check" if passed == 1 else f"{passed} checks"
        return f"Verified {_one(event.key)}{' in part' if event.partial else ''}: {checks} passed."
    why = "; ".join(f"{_one(check.what)}{_after(check.detail)}" for check in bad)
    return f"{_one(event.key)} did not verify{': ' + why if why else ''}."


def _after(text: str) -> str:
    """A reason behind a colon, without its own full stop; empty where there is none."""
    said = _bare(text)
    return f": {said}" if said else ""


def _and(text: str) -> str:
    """A message behind a comma; empty where there is none."""
    said = _bare(text)
    return f", {said}" if said else ""


def _bare(text: str) -> str:
    """A foreign text without its full stop, to end a sentence with one."""
    return _one(text).rstrip(".")


def _took(milliseconds: int) -> str:
    """How long something took, in the words that a person would say; empty below a second."""
    seconds = milliseconds // 1000
    if seconds < 120:
        return f" after {seconds} s" if seconds else ""
    minutes = seconds // 60
    return f" after {minutes} min {seconds % 60} s" if minutes < 60 else f" after {minutes // 60} h {minutes % 60} min"


def _list(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(_one(name) for name in names[:5]) + more


def _one(text: str) -> str:
    """A foreign text as part of a line: nothing in it that a terminal obeys, no line break, bounded."""
    line = " ".join(clean(str(text)).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _diff(diff: str) -> str:
    if not diff.strip():
        return ""
    lines = clean(diff).rstrip("\n").split("\n")
    shown = [f"    {line}" for line in lines[:_DIFF_LINES]]
    if len(lines) > _DIFF_LINES:
        shown.append(f"    and {len(lines) - _DIFF_LINES} more lines")
    return "\n" + "\n".join(shown)
