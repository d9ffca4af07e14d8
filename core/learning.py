"""What a loop taught: an error, what it was first taken for, what mended it; and the row of the matrix made of that.

Never keeps a name, an id, a number or a secret in a row where a pattern will do, and writes no file.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from ..matrix.check import destroys
from ..matrix.diagnose import diagnose
from ..matrix.matcher import Matrix, load_matrix
from ..matrix.model import Failure
from ..matrix.patterns import PatternError, derive_literal, expand_macros, unsafe
from ..matrix.schema import FixTemplate, SchemaError, parse_rows
from .redaction import MASK, redact
from .report import ErrorRecord, LoopRecord, RoundRecord
from .text import clean

UNKNOWN = "unknown"
RESOLVED = frozenset({"verified", "partial", "deployed"})
MAX_LINE = 240  # characters of an evidence line that a pattern is made of
MAX_FIX = 300
MOST_GAPS = 8  # a regex of a row takes twelve wide repeats at most
_ENOUGH_LETTERS = 12  # of fixed text, besides the class of the error: less would answer to anything


class Journal(Protocol):
    """Where lessons are kept."""

    async def learn(self, cause: str, row: str, evidence: str, fix: str, outcome: str, iterations: int) -> None: ...

    async def learned(self) -> tuple[dict[str, Any], ...]: ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """One error over the rounds of a loop. `first_cause` is what it was taken for in the first one.

    `fix` is what was done before it ended well (or what was tried in vain); `wrong_first` tells that what followed from
    the first diagnosis did not mend it.
    """

    evidence: str
    cause: str
    row: str
    fix: str
    outcome: str
    iterations: int
    first_cause: str = ""
    wrong_first: bool = False
    ref: str = ""
    task_key: str = ""

    @property
    def resolved(self) -> bool:
        return self.outcome in RESOLVED


def lessons_of(record: LoopRecord) -> tuple[Lesson, ...]:
    """What each failure of a finished loop teaches, in the order in which they came; none where nothing failed."""
    found: dict[tuple[str, str, str], Lesson] = {}
    for (ref, task_key), rounds in _by_task(record).items():
        lesson = _lesson(record, ref, task_key, rounds)
        if lesson is not None:
            found.setdefault((lesson.cause, lesson.evidence, lesson.fix), lesson)
    return tuple(found.values())


def lesson_of(row: Mapping[str, Any]) -> Lesson:
    """A lesson as the journal keeps it."""
    evidence, cause, known, fix, outcome = (
        str(row.get(name) or "") for name in ("evidence", "cause", "row", "fix", "outcome")
    )
    iterations = row.get("iterations")
    rounds = iterations if isinstance(iterations, int) else 0
    return Lesson(evidence, cause, known, fix, outcome, rounds, first_cause=cause)


async def remember_lesson(journal: Journal, record: LoopRecord) -> str:
    """Keep what the loop taught in the journal; returns the offer to make rows of it, empty where there is none."""
    lessons = lessons_of(record)
    for lesson in lessons:
        await journal.learn(lesson.cause, lesson.row, lesson.evidence, lesson.fix, lesson.outcome, lesson.iterations)
    return offer(lessons)


def offered(lessons: Iterable[Lesson]) -> tuple[Lesson, ...]:
    """Those worth a row: after two rounds, an escalation, a wrong first diagnosis, or where no row knew the error."""
    return tuple(
        each
        for each in lessons
        if each.iterations >= 2 or not each.resolved or each.wrong_first or (each.cause == UNKNOWN and each.fix)
    )


def offer(lessons: Iterable[Lesson]) -> str:
    """One sentence that offers to learn, and says why; empty where there is nothing to offer."""
    chosen = [lesson for lesson in offered(lessons) if draft_row(lesson)]
    if not chosen:
        return ""
    reasons = list(dict.fromkeys(_reason(lesson) for lesson in chosen))
    what = "a row" if len(chosen) == 1 else f"{len(chosen)} rows"
    return f"{'; '.join(reasons[:3])}: L makes {what} of the matrix of it"


def draft_row(lesson: Lesson) -> str:
    """The YAML of a row that knows this error again; empty where too little of it could be told from other errors.

    Of an error that a row knew already it keeps that row's words and proposals, behind what mended it here.
    """
    pattern = generalise(lesson.evidence)
    if pattern is None:
        return ""
    regex, example = pattern
    known = load_matrix().by_id.get(lesson.row)
    label = lesson.cause if lesson.cause not in ("", UNKNOWN) else _label_of(lesson.evidence)
    cause = lesson.cause if label == lesson.cause else f"learned_{label}"
    row: dict[str, Any] = {
        "id": f"learned.{label}_{zlib.crc32(regex.encode()):08x}",
        "cause": cause,
        "category": "learned",
        "title": known.title if known else f"Seen before: {label.replace('_', ' ')}",
        "explanation": f"{known.explanation} {_explanation(lesson)}" if known else _explanation(lesson),
        "match": {"patterns": [{"regex": regex, "literal": derive_literal(expand_macros(regex)), "strength": "exact"}]},
        "fixes": [_fix(lesson), *(_template(fix) for fix in (known.fixes if known else ()))],
        "examples": [{"text": example}],
    }
    if known is not None:
        more = {"retryable": known.retryable, "check_sql": known.check_sql, "docs": known.docs}
        row |= {name: value for name, value in more.items() if value}
    if any(fix["kind"] == "destructive" for fix in row["fixes"]):
        row["destructive"] = True
    text = yaml.safe_dump([row], sort_keys=False, allow_unicode=True, width=110)
    head = f"# Learned from a failure that {_ended(lesson)}. Say in your own words what it is and what mends it.\n"
    return head + text if _knows_its_example(text, example) else ""


def _fix(lesson: Lesson) -> dict[str, Any]:
    words = _fix_words(lesson)
    if destroys(words):
        return {"kind": "destructive", "title": words, "risk": "It destroyed data or state when it was done before."}
    return {"kind": "edit" if lesson.resolved and lesson.fix else "manual", "title": words}


def _template(fix: FixTemplate) -> dict[str, Any]:
    given = {"kind": fix.kind, "title": fix.title, "command": fix.command, "risk": fix.risk}
    return {name: value for name, value in {**given, "wait_seconds": fix.wait_seconds}.items() if value is not None}


def top_ten(learned: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, int, int, str], ...]:
    """(cause, how often, how often it was mended, what mended it last) of the ten most common in the journal."""
    lessons = [lesson_of(row) for row in learned]
    counts = Counter(lesson.cause for lesson in lessons if lesson.cause)
    mended = Counter(lesson.cause for lesson in lessons if lesson.resolved)
    fixes = {lesson.cause: lesson.fix for lesson in lessons if lesson.resolved and lesson.fix}
    return tuple((cause, count, mended[cause], fixes.get(cause, "")) for cause, count in counts.most_common(10))


# --- from the record of a loop to lessons -----------------------------------------------------------------------------


def _by_task(record: LoopRecord) -> dict[tuple[str, str], list[tuple[RoundRecord, ErrorRecord]]]:
    found: dict[tuple[str, str], list[tuple[RoundRecord, ErrorRecord]]] = {}
    for round_ in record.rounds:
        for error in round_.errors:
            held = found.setdefault((error.ref, error.task_key), [])
            if not held or held[-1][0] is not round_:
                held.append((round_, error))
    return found


def _lesson(
    record: LoopRecord, ref: str, task_key: str, rounds: list[tuple[RoundRecord, ErrorRecord]]
) -> Lesson | None:
    first_round, first = rounds[0]
    last_round, last = rounds[-1]
    evidence = _evidence(last)
    if not evidence:
        return None
    tried = "; ".join(dict.fromkeys(fix.title for fix in last_round.fixes))
    again = [error for _, error in rounds[1:] if _shape(_evidence(error)) == _shape(_evidence(first))]
    acted = any(fix.source != "retry" for fix in first_round.fixes)
    return Lesson(
        evidence=evidence,
        cause=_cause(last),
        row=last.diagnosis.row if last.diagnosis else UNKNOWN,
        fix=_line(tried, MAX_FIX),
        outcome=record.outcome,
        iterations=len(record.rounds),
        first_cause=_cause(first),
        wrong_first=bool(again) and acted and _cause(first) != UNKNOWN,
        ref=ref,
        task_key=task_key,
    )


def _cause(error: ErrorRecord) -> str:
    return error.diagnosis.cause if error.diagnosis is not None else UNKNOWN


def _evidence(error: ErrorRecord) -> str:
    quoted = error.diagnosis.evidence if error.diagnosis is not None else ()
    lines = [item.text for item in quoted] or error.message.splitlines()
    return _line(next((line for line in lines if line.strip()), ""), MAX_LINE)


def _line(text: str, limit: int) -> str:
    """The text as one clean line without secrets, cut at a blank."""
    words = " ".join(redact(clean(text)).split())
    return words if len(words) <= limit else words[:limit].rsplit(" ", 1)[0]


def _shape(text: str) -> str:
    """What stays of a line where its numbers, names and ids differ: to know an error again within one loop."""
    return re.sub(r"`[^`]{0,300}`|'[^']{0,300}'|\"[^\"]{0,300}\"|[\w.-]*\d[\w.-]*", "#", text)


def _reason(lesson: Lesson) -> str:
    name = lesson.cause.replace("_", " ")
    if lesson.wrong_first:
        return f"the first diagnosis ({lesson.first_cause.replace('_', ' ')}) was wrong"
    if not lesson.resolved:
        return f"{name} was not mended here"
    if lesson.cause == UNKNOWN:
        return "no row knew this error, and it was mended"
    return f"it took {lesson.iterations} rounds to mend ({name})"


# --- from a lesson to a row -------------------------------------------------------------------------------------------


_PIECES = re.compile(
    r"(?P<mask>" + re.escape(MASK) + r")"
    r"|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?|\d{4}-\d\d-\d\d)"
    r"|(?P<uuid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{10,40})"
    r"|(?P<url>[a-z][a-z0-9+]{1,12}://[^\s`'\",;()<>|\\]{1,200})"
    r"|(?P<mail>[\w.+-]{1,80}@[\w.-]{2,120}\w)"
    r"|(?P<parts>`[\w$-]{1,200}`(?:\.`[\w$-]{1,200}`){1,4})"
    r"|(?P<quoted>`[^`]{1,200}`|(?<!\w)'[^']{1,200}'|\"[^\"]{1,200}\")"
    r"|(?P<path>(?<![\w.])(?:\.{0,2}/|[a-z]{2,10}:/)[^\s`'\",;()<>|\\]{1,300}[^\s`'\",;()<>|\\.:])"
    r"|(?P<dotted>(?<![\w.])[a-z_]\w{0,80}(?:\.[a-z_]\w{0,80}){1,6}(?![\w.]))"
    r"|(?P<id>(?<![\w.])(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{2,100}(?![\w]))"
    r"|(?P<num>(?<![\w])(?<!SQLSTATE: )\d{1,20}(?:[.,]\d{1,12})?(?![\w]))"
)
# What stands for each kind of piece in the regex, and in the example that is shown instead of the real text.
_MACROS = {
    "mask": ("<<gap>>", "***"),
    "time": (r"\d{4}-\d{2}-\d{2}[\dT:.,Z+ -]{0,30}?", "2026-01-31 10:20:30"),
    "uuid": ("<<id>>", "00000000-0000-0000-0000-000000000000"),
    "url": ("<<value>>", "https://example.com/x"),
    "mail": ("<<value>>", "you@example.com"),
    "parts": ("<<name>>", "`main`.`schema`.`name`"),
    "quoted": ("<<quoted>>", "name"),
    "path": ("<<path>>", "/path/to/file"),
    "dotted": ("<<name>>", "main.schema.name"),
    "id": ("<<id>>", "id-1"),
    "num": (r"\d{1,20}(?:[.,]\d{1,12})?", "1"),
}
_CLASS_OF = re.compile(r"\[([A-Z][A-Z0-9_.]{3,80})\]|\b([A-Z]\w{2,60}(?:Error|Exception))\b")
_CLASS_WORDS = re.compile(r"\[[A-Z0-9_.]+\]|\b[\w.$]*(?:Error|Exception)\b|SQLSTATE: \w{5}|\b[A-Z][A-Z0-9_.]{4,}\b")


def generalise(line: str) -> tuple[str, str] | None:
    """(regex, example) of an evidence line: what differs from run to run becomes a bounded pattern, the rest stays.

    Names in quotes go too where enough is left without them. None where the line says too little to be known again.
    """
    # The time of a log line says nothing of the error.
    line = re.sub(r"^\W{0,3}\d{4}-\d\d-\d\d[T ][\d:.,]{5,18}(?:Z|[+-]\d\d:?\d\d)?\W{0,3}", "", _line(line, MAX_LINE))
    for names in (True, False):
        regex, example, fixed = _generalised(line, names=names)
        letters = sum(char.isalpha() for char in _CLASS_WORDS.sub(" ", fixed))
        enough = letters >= _ENOUGH_LETTERS if names else sum(char.isalpha() for char in fixed) >= _ENOUGH_LETTERS
        if enough and _usable(regex):
            return regex, example
    return None


def _generalised(line: str, *, names: bool) -> tuple[str, str, str]:
    regex: list[str] = []
    example: list[str] = []
    fixed: list[str] = []
    done = gaps = 0
    for found in _PIECES.finditer(line):
        kind = found.lastgroup or ""
        text = found.group()
        macro, shown = _MACROS[kind]
        before = line[done : found.start()]
        done = found.end()
        regex.append(_literally(before))
        example.append(before)
        fixed.append(before)
        if kind in ("parts", "quoted", "dotted") and not names:
            regex.append(_literally(text, quotes=True))
            example.append(text)
            fixed.append(text)
            continue
        regex.append(macro)
        example.append(f"{text[0]}{shown}{text[0]}" if kind == "quoted" else shown)
        gaps += 1
        if gaps == MOST_GAPS:
            return "".join(regex), "".join(example), " ".join(fixed)
    rest = line[done:]
    return "".join([*regex, _literally(rest)]).strip(), "".join([*example, rest]), " ".join([*fixed, rest])


def _literally(text: str, *, quotes: bool = False) -> str:
    """The text as a regex; quotes may be of any kind, what is not ASCII or was escaped may be any character."""
    out = []
    # Texts are matched with their escapes undone: what stands for a backslash and its letter is one character, or two.
    for char in re.findall(r"\\.?|.", text, re.DOTALL):
        if quotes and char in "`'\"":
            out.append("<<q>>")
        elif char[0] == "\\":
            out.append(".{1,2}")
        elif not char.isascii():
            out.append(".")
        elif char in " _-/,:;\"'`=<>@%&!~#" or char.isalnum():
            out.append(char)
        else:
            out.append("\\" + char)
    return "".join(out)


def _usable(regex: str) -> bool:
    try:
        expanded = expand_macros(regex)
        derive_literal(expanded)
    except (PatternError, re.error):
        return False
    return not unsafe(expanded)


def _knows_its_example(text: str, example: str) -> bool:
    try:
        matrix = Matrix(parse_rows(text, file="draft", learned=True))
    except SchemaError:
        return False
    found = diagnose(Failure(text=example), matrix=matrix)
    return bool(found) and found[0].row in matrix.by_id


def _label_of(evidence: str) -> str:
    """A label for an error that no row knows: the class of it, in the words of a label."""
    found = _CLASS_OF.search(evidence)
    name = (found[1] or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found[2])) if found else "failure"
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60].rstrip("_")


def _fix_words(lesson: Lesson) -> str:
    fix = _plain(lesson.fix)
    if lesson.resolved and fix:
        return f"What mended it before: {fix}"
    if lesson.resolved:
        return "It was mended by hand before; write down here how"
    return "It was not mended before; write down here what did it" + (f" (tried in vain: {fix})" if fix else "")


def _explanation(lesson: Lesson) -> str:
    rounds = "one round" if lesson.iterations == 1 else f"{lesson.iterations} rounds"
    words = f"This failure was met before and {_ended(lesson)} after {rounds}."
    if lesson.wrong_first:
        words += f" At first it was taken for {lesson.first_cause.replace('_', ' ')}, which it was not."
    return words


def _ended(lesson: Lesson) -> str:
    return "was mended" if lesson.resolved else "went to a person"


def _plain(text: str) -> str:
    """Words that a row can hold: braces would be taken for names of entities."""
    return _line(text, MAX_FIX).replace("{", "(").replace("}", ")")
