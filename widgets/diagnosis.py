"""Why it failed: cause, confidence, evidence, the place with the source around it, and the fixes with their diffs.

Never judges; it shows what the matrix said, and says so where nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..matrix.model import Diagnosis, Edit, Evidence, Fix, Location
from .glyphs import Glyphs
from .page import TextLine, TextPage
from .spans import Span, Spans, crop, paragraphs, span

LABEL = 10


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Source lines around a place: `first` is the number of the first of `lines`, counting from 1."""

    file: str
    first: int
    lines: tuple[str, ...]


class DiagnosisPage(TextPage):
    """The page of pane 3. The cursor goes from fix to fix and to the places."""

    def __init__(self) -> None:
        super().__init__((("Diagnosis", ""),), cursor=True)
        self.diagnoses: tuple[Diagnosis, ...] = ()
        self.fixes: tuple[Fix, ...] = ()
        self.current = 0
        self._seen: tuple[object, ...] = ()

    def show(
        self,
        diagnoses: tuple[Diagnosis, ...],
        fixes: tuple[Fix, ...],
        excerpt: Excerpt | None,
        glyphs: Glyphs,
        *,
        reason: str = "",
    ) -> None:
        """Show the diagnoses (root cause first) and the fixes that can be applied by number; `reason` stands where
        there is no diagnosis."""
        seen = (diagnoses, fixes, excerpt, glyphs, reason, self.current)
        if seen == self._seen:
            return
        new = not self._seen or self._seen[0] != diagnoses
        self._seen = seen
        self.diagnoses, self.fixes = diagnoses, fixes
        if new:
            self.current = 0
            self.top, self.cursor = 0, 0
        self.current = min(self.current, max(0, len(diagnoses) - 1))
        if not diagnoses:
            self.set_head((("Diagnosis", ""),))
            self.set_lines([], empty=[((reason or "Nothing has failed.", "muted"),)])
            return
        diagnosis = diagnoses[self.current]
        many = f"{self.current + 1} of {len(diagnoses)}" if len(diagnoses) > 1 else ""
        self.set_head((("Diagnosis", ""),), ((many, "muted"),) if many else ())
        self.set_lines(diagnosis_lines(diagnosis, fixes if self.current == 0 else (), excerpt, glyphs))

    def turn(self, delta: int) -> bool:
        """Show the next or previous diagnosis; True where there is another."""
        if len(self.diagnoses) < 2:
            return False
        self.current = (self.current + delta) % len(self.diagnoses)
        self.top, self.cursor = 0, 0
        return True

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis on show."""
        return self.diagnoses[self.current] if self.diagnoses else None

    def chosen_fix(self) -> int:
        """The number (from 0) of the fix under the cursor; elsewhere of the first that can be applied, else 0."""
        kind, _, number = self.home().partition(":")
        if kind == "fix":
            return int(number)
        return next((i for i, fix in enumerate(self.fixes) if fix.patch is not None), 0)


def diagnosis_lines(
    diagnosis: Diagnosis, fixes: Sequence[Fix], excerpt: Excerpt | None, glyphs: Glyphs
) -> list[TextLine]:
    """All lines of one diagnosis."""
    known = diagnosis.cause != "unknown"
    head: list[Span] = [span(diagnosis.cause if known else "unknown cause", "error+b" if known else "warn+b")]
    if known:
        head.append((f"  {diagnosis.confidence * 100:.0f} %", "muted"))
    head.append(span(f"  {diagnosis.title}", "b"))
    if diagnosis.task_keys:
        head.append(span(f"  in {', '.join(diagnosis.task_keys[:4])}", "muted"))
    lines = [TextLine(tuple(head), indent=2)]
    lines += [TextLine(line) for line in paragraphs(diagnosis.explanation, limit=8)]
    lines += [_evidence(evidence, number) for number, evidence in enumerate(diagnosis.evidence[:3])]
    lines += _source(diagnosis, excerpt)
    shown = tuple(fixes) or diagnosis.fixes
    if shown:
        for number, fix in enumerate(shown):
            lines += fix_lines(fix, number, glyphs)
    if diagnosis.check_sql:
        lines += [TextLine(), TextLine((("check     ", "muted"), span(diagnosis.check_sql)), indent=LABEL)]
    if diagnosis.retryable:
        lines.append(TextLine((("retry     ", "muted"), ("it may pass when it is run again", ""))))
    if diagnosis.docs_url:
        lines.append(
            TextLine((("docs      ", "muted"), span(diagnosis.docs_url, "accent")), key=f"url:{diagnosis.docs_url}")
        )
    return lines


def place_of(location: Location) -> str:
    """`file:line`, or the file where no line is known."""
    return f"{location.file}:{location.line}" if location.line else location.file


def fix_lines(fix: Fix, number: int, glyphs: Glyphs) -> list[TextLine]:
    """One fix: what it is, then its diff or its command."""
    role = "warn" if fix.destructive else "accent"
    head: list[Span] = [(f"{f'fix {number + 1}':<{LABEL}}", role), span(fix.title)]
    if fix.patch is None and fix.kind in ("manual", "grant", "auth"):
        head.append((f"  {'by hand' if fix.kind == 'manual' else fix.kind}", "faint"))
    if fix.destructive:
        head.append(("  loses data: the name has to be typed", "error"))
    if fix.wait_seconds:
        head.append((f"  wait {fix.wait_seconds:.0f} s", "muted"))
    lines = [TextLine(tuple(head), key=f"fix:{number}", indent=LABEL)]
    if fix.risk:
        lines.append(TextLine(((" " * LABEL, ""), span(fix.risk, "muted")), indent=LABEL))
    if fix.patch is not None:
        for edit in fix.patch.edits:
            lines += edit_lines(edit, several=len({e.file for e in fix.patch.edits}) > 1)
    if fix.command:
        lines += [
            TextLine(((" " * LABEL, ""), ("$ ", "faint"), *line), indent=LABEL + 2) for line in paragraphs(fix.command)
        ]
    return lines


def edit_lines(edit: Edit, *, several: bool = False) -> list[TextLine]:
    """A change as a diff: `-` and `+` stand in front, so that it reads without colour too."""
    lines: list[TextLine] = []
    blank = " " * LABEL
    if several:
        lines.append(TextLine(((blank, ""), span(f"{edit.file}:{edit.line}", "muted"))))
    for sign, text, tint, role in (("-", edit.old, "remove", "error"), ("+", edit.new, "add", "ok")):
        if text is None:
            continue
        for line in text.split("\n"):
            lines.append(
                TextLine(((blank, ""), (f"{sign} ", f"{role}+b"), span(line, role)), indent=LABEL + 2, tint=tint)
            )
    return lines


def _evidence(evidence: Evidence, number: int) -> TextLine:
    label = "evidence" if number == 0 else ""
    where = f"line {evidence.line}: " if evidence.line else ""
    return TextLine(
        ((f"{label:<{LABEL}}", "muted"), (where, "faint"), span(crop(evidence.text.strip(), 240), "")), indent=LABEL
    )


def _source(diagnosis: Diagnosis, excerpt: Excerpt | None) -> list[TextLine]:
    location = diagnosis.location
    if location is None:
        return []
    place = place_of(location)
    head: list[Span] = [(f"{'source':<{LABEL}}", "muted"), span(place, "accent")]
    if diagnosis.also_at:
        others = ", ".join(place_of(other) for other in diagnosis.also_at[:3])
        head.append(span(f"  also in {others}", "muted"))
    lines = [TextLine(tuple(head), key=f"place:{place}", indent=LABEL)]
    if excerpt is not None and excerpt.file == location.file:
        wide = len(str(excerpt.first + len(excerpt.lines)))
        for number, text in enumerate(excerpt.lines, excerpt.first):
            here = number == location.line
            lines.append(
                TextLine(
                    (
                        (" " * LABEL, ""),
                        (f"{number:>{wide}} ", "error+b" if here else "faint"),
                        (">" if here else " ", "error+b"),
                        span(" " + text.replace("\t", "    "), "" if here else "muted"),
                    ),
                    indent=LABEL + wide + 3,
                )
            )
    return lines


def short_note(diagnosis: Diagnosis) -> str:
    """The cause in a few words, for the line of a task: the cause and what it is about."""
    about = next(
        (diagnosis.entities[k] for k in ("column", "table", "module", "field", "name") if k in diagnosis.entities), ""
    )
    return f"{diagnosis.cause} {about}".strip() if diagnosis.cause != "unknown" else ""


def one_line(diagnosis: Diagnosis) -> Spans:
    """The diagnosis for a screen of a few lines."""
    return (span(diagnosis.cause, "error+b"), span(f"  {diagnosis.title}"))
