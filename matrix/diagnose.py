"""From a failure to its causes: signals ranked, the root before its wrappers, evidence and entities quoted.

Never guesses: a text without a failure has no diagnosis; a failure that no row knows is `unknown` with its best line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from . import facts, words
from .excerpt import passage_of
from .matcher import STRENGTH_RANK, Hit, Matrix, Signal, load_matrix
from .model import Diagnosis, Evidence, Failure, Fix, Location
from .schema import Row
from .text import LOW_LEVELS, Passage

UNKNOWN: Final = "unknown"
_FIELD_RANK: Final = 6
_LONG: Final = 20_000
_MESSAGE: Final = 1_500
_LEARNED_RANK: Final = 100
_FAILED_STATES: Final = frozenset(("FAILED", "TIMEDOUT", "INTERNAL_ERROR", "UPSTREAM_FAILED", "ERROR"))
#: Codes with which things end as they should, or were never to run.
_NO_FAILURE_CODES: Final = frozenset(
    (
        "",
        "SUCCESS",
        "RUN_EXECUTION_SUCCESS",
        "SKIPPED",
        "DISABLED",
        "EXCLUDED",
        "INACTIVITY",
        "JOB_FINISHED",
        "USER_REQUEST",
        "WORKSPACE_UPDATE",
    )
)
_HANDLING: Final = "During handling of the above exception, another exception occurred"
#: What a handler raises that asks the exception it has caught, or an answer that never came, for what they lack.
_BROKEN_HANDLER: Final = re.compile(
    r"AttributeError: '(?:NoneType|\w{0,60}(?:Error|Exception|Response))' object has no attribute"
)
_NUMBERED: Final = re.compile(r"_\d$")
_RELATIVE_FILE: Final = re.compile(
    r"(?!\[|<|[A-Za-z]:|/)[\w.\-/ ]{1,300}\.(?:ya?ml|py|sql|ipynb|json|r|scala)", re.IGNORECASE
)


@dataclass(slots=True)
class _Candidate:
    """A row with its best hit and everything its other hits add."""

    row: Row
    rank: int
    start: int
    end: int
    groups: dict[str, str]
    located: bool
    warned: bool = False


def diagnose(failure: Failure, *, limit: int = 5, matrix: Matrix | None = None) -> tuple[Diagnosis, ...]:
    """Why it failed, root cause first, at most `limit` causes; () where the text shows no failure.

    Structured facts outrank prose, a row outranks what it supersedes, a cascade comes last. A failure that no row
    knows gives one diagnosis with cause "unknown" and its best evidence line. Takes texts of any size.
    """
    matrix = matrix or load_matrix()
    passage = passage_of(failure, matrix)
    candidates, benign = _candidates(failure, passage, matrix)
    ordered = _order(candidates)
    diagnoses: list[Diagnosis] = []
    seen: set[str] = set()
    for position, candidate in enumerate(ordered):
        if candidate.row.cause not in seen and len(diagnoses) < limit:
            seen.add(candidate.row.cause)
            ceiling = diagnoses[-1].confidence if diagnoses else 1.0
            diagnoses.append(_diagnosis(candidate, passage, failure, ceiling, ordered[position + 1 :]))
    if not ordered or ordered[0].row.cascade:
        spans = tuple((each.start, each.end) for each in ordered if each.located)
        unknown = _unknown(failure, passage, (*spans, *benign), bool(ordered))
        if unknown is not None:
            return (unknown, *diagnoses)[:limit]
    return tuple(diagnoses)


def _candidates(
    failure: Failure, passage: Passage, matrix: Matrix
) -> tuple[list[_Candidate], tuple[tuple[int, int], ...]]:
    """The rows that answer, and the flat spans that a benign row or a cascade claims."""
    hits = [hit for hit in matrix.hits(passage) if _allowed(hit.signal.row, failure, passage)]
    benign = [
        (passage.line_bounds(hit.start)[0], passage.line_bounds(max(hit.start, hit.end - 1))[1])
        for hit in hits
        if hit.signal.row.benign
    ]
    cascades = [(hit.start, hit.end) for hit in hits if hit.signal.row.cascade]
    by_row: dict[str, _Candidate] = {}
    quiet: dict[str, _Candidate] = {}
    foreign = _unnamed_classes(passage, hits)
    broken = _broken_handlers(passage)
    for hit in hits:
        row = hit.signal.row
        if row.benign or any(low <= hit.start < high for low, high in benign):
            continue
        if _is_vague(hit.signal) and any(low <= hit.start < high for low, high in foreign):
            continue
        level = passage.level_at(hit.start)
        heard = level not in LOW_LEVELS or (row.warning and level == "warning") or row.learned
        rank = _rank(hit.signal, passage, hit.start)
        if any(low <= hit.start < high for low, high in broken):
            rank = min(rank, 1)
        _merge(by_row if heard else quiet, hit, rank, warned=level == "warning")
    for signal in matrix.structured(failure):
        if _allowed(signal.row, failure, passage) and not signal.row.benign:
            _merge_structured(by_row, signal, passage)
    if not by_row and _known_to_fail(failure):
        # Nothing at error level, yet the run failed: what was only warned of is the best there is.
        by_row = {key: found for key, found in quiet.items() if found.rank >= STRENGTH_RANK["specific"]}
    lost = _lost_task(passage)
    if not by_row and lost is not None:
        by_row = {key: found for key, found in quiet.items() if found.warned or found.start >= lost.start}
    found = list(by_row.values())
    strong = [each for each in found if each.rank % _LEARNED_RANK > STRENGTH_RANK["hint"] + 4 and not each.row.cascade]
    if strong:
        found = [each for each in found if each in strong or each.row.cascade or each.row.learned]
    return found, (*benign, *cascades)


def _unnamed_classes(passage: Passage, hits: list[Hit]) -> list[tuple[int, int]]:
    """Flat spans of messages whose Spark error class no row names: prose that is not exact says nothing sure there."""
    named = [(hit.start, hit.end) for hit in hits if hit.signal.kind == "class"]
    spans: list[tuple[int, int]] = []
    for name, start, end in facts.error_classes(passage):
        if name.partition(".")[0] in facts.WRAPPER_CLASSES:
            continue
        state = facts.SQL_STATE.search(passage.flat, end, end + _MESSAGE)
        if state is not None and not any(low < end and high > start for low, high in named):
            spans.append((start, state.end()))
    return spans


def _broken_handlers(passage: Passage) -> list[tuple[int, int]]:
    """Flat spans of errors that were raised over the one that was handled, which is the cause."""
    first = passage.flat.find(_HANDLING)
    if first < 0:
        return []
    return [
        (found.start(), passage.line_bounds(found.start())[1])
        for found in _BROKEN_HANDLER.finditer(passage.flat, first)
    ]


def _is_vague(signal: Signal) -> bool:
    return signal.kind == "pattern" and signal.rank < STRENGTH_RANK["exact"]


def _rank(signal: Signal, passage: Passage, start: int) -> int:
    rank = signal.rank + (_LEARNED_RANK if signal.row.learned else 0)
    before = passage.flat.count("Caused by:", max(0, start - 20_000), start)
    return rank + min(before, 3)


def _merge(by_row: dict[str, _Candidate], hit: Hit, rank: int, *, warned: bool) -> None:
    row = hit.signal.row
    known = by_row.get(row.id)
    groups = _groups(hit.groups)
    if known is None:
        by_row[row.id] = _Candidate(row, rank, hit.start, hit.end, groups, True, warned)
        return
    known.warned = known.warned and warned
    better = rank > known.rank or (rank == known.rank and (len(groups), -hit.start) > (len(known.groups), -known.start))
    if better:
        known.groups = {**known.groups, **groups}
        known.start, known.end = hit.start, hit.end
    else:
        known.groups = {**groups, **known.groups}
    known.rank = max(known.rank, rank)


def _merge_structured(by_row: dict[str, _Candidate], signal: Signal, passage: Passage) -> None:
    rank = signal.rank + _FIELD_RANK + (_LEARNED_RANK if signal.row.learned else 0)
    known = by_row.get(signal.row.id)
    if known is not None:
        known.rank = max(known.rank, rank)
        return
    sign = facts.best_sign(passage)
    start, end = (sign.start, sign.end) if sign else (0, min(200, len(passage.flat)))
    by_row[signal.row.id] = _Candidate(signal.row, rank, start, end, {}, sign is not None)


def _groups(groups: Iterable[tuple[str, str]]) -> dict[str, str]:
    tidy: dict[str, str] = {}
    for name, value in sorted(groups):
        value = value.replace("`", "").strip().strip("\"'").strip()
        if value:
            tidy.setdefault(_NUMBERED.sub("", name), value)
    return tidy


def _allowed(row: Row, failure: Failure, passage: Passage) -> bool:
    match = row.match
    if match.source_kinds and failure.source_kind and failure.source_kind not in match.source_kinds:
        return False
    if any(literal.lower().encode("ascii", "replace") not in passage.folded for literal in match.all):
        return False
    return not any(literal.lower().encode("ascii", "replace") in passage.folded for literal in match.none)


def _order(candidates: list[_Candidate]) -> list[_Candidate]:
    behind: set[str] = set()
    for above in candidates:
        for below in candidates:
            if (
                below.row is not above.row
                and _supersedes(above.row, below.row)
                and not _supersedes(below.row, above.row)
            ):
                behind.add(below.row.id)
    return sorted(
        candidates,
        key=lambda each: (
            not each.row.learned,
            each.row.cascade,
            # What was only warned of explains nothing where something is called an error.
            each.warned,
            each.row.id in behind,
            -each.rank,
            each.start,
            each.row.id,
        ),
    )


def _supersedes(above: Row, below: Row) -> bool:
    return below.id in above.supersedes or (below.cause in above.supersedes and below.cause != above.cause)


def _known_to_fail(failure: Failure) -> bool:
    return (
        failure.termination_code not in _NO_FAILURE_CODES
        or bool(failure.error_code)
        or bool(failure.exceptions)
        or failure.result_state in _FAILED_STATES
        or (failure.http_status or 0) >= 400
    )


def _lost_task(passage: Passage) -> facts.Sign | None:
    """The lost task that a short text is about; in a long log Spark has most often run it again."""
    return facts.lost_task(passage) if len(passage.flat) < _LONG else None


def _diagnosis(
    candidate: _Candidate, passage: Passage, failure: Failure, ceiling: float, others: list[_Candidate]
) -> Diagnosis:
    row = candidate.row
    found = dict(candidate.groups)
    for other in others:
        if other.row.cause == row.cause:
            for name, value in other.groups.items():
                found.setdefault(name, value)
    closely = ceiling == 1.0 or len(passage.flat) < _LONG
    for name, value in _all_facts(failure, passage, candidate.start, candidate.end, closely).items():
        found.setdefault(name, value)
    for name, template in row.entities.items():
        value = words.fill(template, found)
        if value:
            found.setdefault(name, value)
    return Diagnosis(
        cause=row.cause,
        row=row.id,
        category=row.category,
        confidence=min(ceiling, _confidence(candidate.rank)),
        title=words.title(row.title, found),
        explanation=words.sentences(row.explanation, found),
        evidence=passage.evidence(candidate.start, candidate.end),
        entities=found,
        location=_location(found),
        retryable=row.retryable,
        destructive=row.destructive,
        fixes=tuple(_fixes(row, found)),
        check_sql=words.fill(row.check_sql, found) if row.check_sql else None,
        docs_url=row.docs,
        task_keys=(failure.task_key,) if failure.task_key else (),
    )


def _unknown(
    failure: Failure, passage: Passage, spans: tuple[tuple[int, int], ...], behind_cascade: bool
) -> Diagnosis | None:
    sign = facts.best_sign(passage, spans)
    if behind_cascade and (sign is None or sign.weight < 50 or _wraps(passage, sign, spans)):
        return None
    sign = sign or _lost_task(passage)
    if sign is None and not _known_to_fail(failure):
        return None
    evidence: tuple[Evidence, ...] = ()
    start = end = 0
    if sign is not None:
        start, end = sign.start, sign.end
        evidence = passage.evidence(start, end)
    elif passage.lines:
        last = next((line for line in reversed(passage.lines) if line.text.strip()), passage.lines[-1])
        start, end = last.start, last.start + len(last.text)
        evidence = passage.evidence(start, min(end, len(passage.flat)))
    found = _all_facts(failure, passage, start, end)
    name = found.get("error_class") or found.get("exception") or failure.error_code or failure.termination_code
    return Diagnosis(
        cause=UNKNOWN,
        row=UNKNOWN,
        category=UNKNOWN,
        confidence=0.2 if sign else 0.1,
        title=f"Unknown failure: {name}" if name else "Unknown failure",
        explanation=_unknown_words(found),
        evidence=evidence,
        entities=found,
        location=_location(found),
        fixes=tuple(_suggested(found)),
        task_keys=(failure.task_key,) if failure.task_key else (),
    )


def _wraps(passage: Passage, sign: facts.Sign, spans: tuple[tuple[int, int], ...]) -> bool:
    """Whether the sign only repeats what a cascade's lines say, so that it is no cause of its own."""
    low, high = passage.line_bounds(sign.start)
    return any(start < high and end > low for start, end in spans)


def _unknown_words(found: dict[str, str]) -> str:
    words = ["No row of the matrix knows this failure."]
    if "error_class" in found:
        words.append(f"Spark calls it {found['error_class']}.")
    if "suggestion" in found:
        words.append(f"It suggests {found['suggestion']}.")
    return " ".join(words)


def _suggested(found: dict[str, str]) -> Iterator[Fix]:
    if "suggestion" in found:
        yield Fix(kind="edit", title=f"Use what the message suggests: {found['suggestion']}", confidence=0.4)


def _all_facts(failure: Failure, passage: Passage, start: int, end: int, closely: bool = True) -> dict[str, str]:
    given: dict[str, str] = {}
    for link in failure.exceptions:
        if link.error_class:
            given["error_class"] = link.error_class
        if link.sql_state:
            given["sqlstate"] = link.sql_state
        if link.class_name:
            given["exception"] = link.class_name
    for name, value in (
        ("error_code", failure.error_code),
        ("code", failure.termination_code),
        ("type", failure.termination_type),
        ("task", failure.task_key),
        ("resource", failure.resource_key),
        ("status", str(failure.http_status) if failure.http_status else ""),
    ):
        if value:
            given[name] = value
    return {**facts.entities(passage, start, end, closely=closely), **given}


def _location(found: dict[str, str]) -> Location | None:
    file = found.get("file", "")
    if not _RELATIVE_FILE.fullmatch(file):
        return None
    line, column = found.get("line", ""), found.get("column", "")
    return Location(file, int(line) if line.isdigit() else None, int(column) if column.isdigit() else None)


def _fixes(row: Row, found: dict[str, str]) -> Iterator[Fix]:
    for template in row.fixes:
        command = words.fill(template.command, found) if template.command else ""
        title = words.step(template.title, found)
        if template.command and not command:
            # A command with a gap must not be runnable: it is shown as words.
            title = f"{title}: {words.with_gaps(template.command, found)}"
        yield Fix(
            kind=template.kind,
            title=title,
            command=command or None,
            risk=words.sentences(template.risk, found) if template.risk else None,
            wait_seconds=template.wait_seconds,
        )


def _confidence(rank: int) -> float:
    return round(min(0.98, 0.3 + 0.7 * min(rank % _LEARNED_RANK if rank < 2 * _LEARNED_RANK else rank, 98) / 100), 2)
