"""Why it failed: cause, confidence, evidence, the place with the source around it, and the fixes with their diffs.

Never judges; it shows what the matrix said, and says so where nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.state import CheckResult
from .glyphs import Glyphs
from .page import TextLine, TextPage
from .spans import Span, Spans, cells, crop, pad, paragraphs, span
from .words import plural

if TYPE_CHECKING:
    from ..matrix.model import Diagnosis, Edit, Evidence, Fix, Location

LABEL = 10
_VERDICTS = {
    "running": ("the check query runs", "run"),
    "confirmed": ("the check query confirmed it", "ok"),
    "refuted": ("the check query speaks against it", "warn"),
    "unclear": ("the check query leaves it unclear", "muted"),
}


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
        self._first: dict[str, float] = {}  # the confidence of each as it was first shown

    def show(
        self,
        diagnoses: tuple[Diagnosis, ...],
        fixes: tuple[Fix, ...],
        excerpt: Excerpt | None,
        glyphs: Glyphs,
        *,
        reason: str = "",
        check: CheckResult | None = None,
    ) -> None:
        """Show the diagnoses (root cause first) and the fixes that can be applied by number; `reason` stands where
        there is no diagnosis, `check` is what a check query said of one of them."""
        seen = (diagnoses, fixes, excerpt, glyphs, reason, self.current, check)
        if seen == self._seen:
            return
        new = [_same_as(d) for d in self.diagnoses] != [_same_as(d) for d in diagnoses]
        self._seen = seen
        self.diagnoses, self.fixes = diagnoses, fixes
        if new:
            # The same ones with another confidence are no news: then the place is kept.
            self.current = 0
            self.top, self.cursor = 0, 0
            self._first = {diagnosis.row: diagnosis.confidence for diagnosis in diagnoses}
        self.current = min(self.current, max(0, len(diagnoses) - 1))
        if not diagnoses:
            self.set_head((("Diagnosis", ""),))
            self.set_lines([], empty=[((reason or "Nothing has failed.", "muted"),)])
            return
        diagnosis = diagnoses[self.current]
        many = f"{self.current + 1} of {len(diagnoses)}" if len(diagnoses) > 1 else ""
        self.set_head((("Diagnosis", ""),), ((many, "muted"),) if many else ())
        self.set_lines(
            [
                *cause_lines(diagnoses, self.current, glyphs),
                *diagnosis_lines(
                    diagnosis,
                    fixes if self.current == 0 else (),
                    excerpt,
                    glyphs,
                    was=self._first.get(diagnosis.row),
                    check=check if check is not None and check.row == diagnosis.row else None,
                ),
            ]
        )

    def turn(self, delta: int) -> bool:
        """Show the next or previous diagnosis; True where there is another."""
        if len(self.diagnoses) < 2:
            return False
        self.go_to_cause((self.current + delta) % len(self.diagnoses))
        return True

    def go_to_cause(self, number: int) -> None:
        """Show the diagnosis of this number, from 0."""
        self.current = number
        self.top, self.cursor = 0, 0

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


def _same_as(diagnosis: Diagnosis) -> tuple[object, ...]:
    return (diagnosis.row, diagnosis.cause, diagnosis.location, diagnosis.task_keys)


def cause_lines(diagnoses: Sequence[Diagnosis], current: int, glyphs: Glyphs) -> list[TextLine]:
    """Where there are several causes: each with how many tasks it explains; Enter shows it."""
    if len(diagnoses) < 2:
        return []
    lines = [TextLine(((plural(len(diagnoses), "cause"), "b"), ("; n goes from one to the next", "muted")))]
    for number, diagnosis in enumerate(diagnoses[:8]):
        here = number == current
        explains = f"explains {plural(len(diagnosis.task_keys), 'task')}" if diagnosis.task_keys else diagnosis.category
        lines.append(
            TextLine(
                (
                    (f"{glyphs.into if here else ' '} ", "accent+b"),
                    span(diagnosis.cause if diagnosis.cause != "unknown" else "unknown cause", "b" if here else ""),
                    span(f"  {explains}", "muted"),
                    span(f"  {diagnosis.title}", "faint"),
                ),
                key=f"cause:{number}",
                indent=4,
            )
        )
    if len(diagnoses) > 8:
        lines.append(TextLine(((f"  and {len(diagnoses) - 8} more", "faint"),)))
    return [*lines, TextLine()]


def check_lines(check: CheckResult) -> list[TextLine]:
    """What a check query said: its verdict, then the first of its rows as a table."""
    words, role = _VERDICTS.get(check.verdict, (check.verdict, "warn"))
    lines = [TextLine(((f"{'check':<{LABEL}}", "muted"), span(words, f"{role}+b")), indent=LABEL)]
    columns = check.columns[:8]
    if not columns:
        return lines
    rows = [[span(cell)[0] for cell in row[: len(columns)]] for row in check.rows[:8]]
    widths = [
        min(28, max([cells(span(name)[0]), *(cells(row[n]) for row in rows if n < len(row))]))
        for n, name in enumerate(columns)
    ]
    head = [(pad(span(name)[0], width) + "  ", "muted+u") for name, width in zip(columns, widths, strict=True)]
    lines.append(TextLine(((" " * LABEL, ""), *head), wraps=False))
    for row in rows:
        spans: list[Span] = [(pad(text, width) + "  ", "") for text, width in zip(row, widths, strict=False)]
        lines.append(TextLine(((" " * LABEL, ""), *spans), wraps=False))
    if len(check.rows) > len(rows):
        lines.append(TextLine(((f"{'':<{LABEL}}{len(check.rows) - len(rows):,} more rows", "faint"),)))
    return lines


def diagnosis_lines(
    diagnosis: Diagnosis,
    fixes: Sequence[Fix],
    excerpt: Excerpt | None,
    glyphs: Glyphs,
    *,
    was: float | None = None,
    check: CheckResult | None = None,
) -> list[TextLine]:
    """All lines of one diagnosis. `was` is its confidence before the check query whose answer is `check`."""
    known = diagnosis.cause != "unknown"
    head: list[Span] = [span(diagnosis.cause if known else "unknown cause", "error+b" if known else "warn+b")]
    if known:
        head.append((f"  {diagnosis.confidence * 100:.0f} %", "muted"))
        if was is not None and f"{was:.2f}" != f"{diagnosis.confidence:.2f}":
            head.append((f" (was {was * 100:.0f} %)", "warn" if diagnosis.confidence < was else "ok"))
    head.append(span(f"  {diagnosis.title}", "b"))
    if diagnosis.task_keys:
        head.append(span(f"  in {', '.join(diagnosis.task_keys[:4])}", "muted"))
    lines = [TextLine(tuple(head), indent=2)]
    lines += [TextLine(line) for line in paragraphs(diagnosis.explanation, limit=8)]
    lines += check_lines(check) if check is not None else []
    lines += [_evidence(evidence, number) for number, evidence in enumerate(diagnosis.evidence[:3])]
    lines += _source(diagnosis, excerpt)
    shown = tuple(fixes) or diagnosis.fixes
    if shown:
        for number, fix in enumerate(shown):
            lines += fix_lines(fix, number, glyphs)
    if diagnosis.check_sql:
        lines += [
            TextLine(),
            TextLine((("query     ", "muted"), span(diagnosis.check_sql), ("  c runs it", "faint")), indent=LABEL),
        ]
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
            TextLine(((" " * LABEL, ""), ("$ " if fix.in_a_shell else "  ", "faint"), *line), indent=LABEL + 2)
            for line in paragraphs(fix.command)
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
    for number, other in enumerate(diagnosis.also_at[:8]):
        label = "also in" if number == 0 else ""
        place = place_of(other)
        spans = (
            (f"{label:<{LABEL}}", "muted"),
            span(place, "accent"),
            ("  the same mistake" if not number else "", "faint"),
        )
        lines.append(TextLine(spans, key=f"place:{place}", indent=LABEL))
    if len(diagnosis.also_at) > 8:
        lines.append(TextLine(((f"{'':<{LABEL}}and {len(diagnosis.also_at) - 8} more", "faint"),)))
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
