"""Finds the signals of all rows in a passage at once: one literal prefilter, then a confirming look around each hit.

Never runs a row's regex over a whole text, and never ranks: what a hit means is decided in diagnose.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from .model import Failure
from .patterns import expand_macros
from .schema import ROWS_FOLDER, Pattern, Row, Strength, load_rows
from .text import LOW_LEVELS, Passage

SignalKind = Literal["code", "error_code", "class", "exception", "sqlstate", "pattern"]
_BEFORE: Final = 400
_AFTER: Final = 1000
_CONFIRMS: Final = 6
_SEARCHES: Final = 4

#: How far each kind of signal can be trusted where the row does not say; higher is surer.
KIND_RANK: Final[dict[SignalKind, int]] = {
    "class": 95,
    "code": 90,
    "exception": 65,
    "sqlstate": 45,
    "error_code": 30,
    "pattern": 70,
}
STRENGTH_RANK: Final[dict[Strength, int]] = {"exact": 85, "specific": 70, "general": 45, "hint": 15}

_CLASS_TAIL: Final = re.compile(r"\.[A-Z][A-Z0-9]{1,40}(?:_[A-Z0-9]{1,40}){0,12}")
_NAMED: Final = frozenset(("code", "error_code"))
_PLAIN_WORD: Final = re.compile(r"[a-z]{1,13}")
_MENTION: Final = re.compile(r"(?:\braise|\bexcept|\bimport|\bcatch|\bthrows|\bnew) \(?(?:[\w$]{1,60}\.){0,12}$")
_EXCEPTION_TAIL: Final = re.compile(r"[:('\"`\],;]|\s(?!as \w)|$|\\")
#: A code as pages write it: `Cluster terminated. Reason: Cloud Provider Launch Failure`, or as a line's headline.
_SPOKEN: Final = re.compile(
    r"[Tt]erminat(?:ed|ion)\.? ?Reason ?[:=] ?(?P<reason>[A-Z][\w\-]{1,30}(?: [\w\-]{1,30}){1,8})"
    r"|(?P<headline>(?<![\w.:] )\b[A-Z][a-z]{2,20}(?: [A-Z][a-z]{2,20}){2,8})(?=: )"
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing to look for on behalf of a row. `token` is the exact name for all kinds but patterns."""

    row: Row
    kind: SignalKind
    rank: int
    token: str = ""
    pattern: Pattern | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A confirmed signal at a flat span, with what its named groups caught."""

    signal: Signal
    start: int
    end: int
    groups: tuple[tuple[str, str], ...] = ()


class Matrix:
    """The rows with their index; built once, then shared. Rows of `learned` folders stand before the built-in ones."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: tuple[Row, ...] = tuple(rows)
        self.by_id: dict[str, Row] = {row.id: row for row in self.rows}

    @cached_property
    def signals(self) -> dict[str, tuple[Signal, ...]]:
        """Signals by the lower-case literal that must be in the text."""
        found: defaultdict[str, list[Signal]] = defaultdict(list)
        for row in self.rows:
            for signal, literals in _signals_of(row):
                for literal in literals:
                    found[literal.lower()].append(signal)
        return {literal: tuple(signals) for literal, signals in found.items()}

    @cached_property
    def literals(self) -> tuple[bytes, ...]:
        """All prefilter literals; the scanner's indexes refer to this order."""
        return tuple(literal.encode("ascii", "replace") for literal in self.signals)

    @cached_property
    def telling_literals(self) -> tuple[bytes, ...]:
        """Those literals that are rare in a healthy log: not a plain word (`task`, `file`) that any line may hold.

        What a team has learned is always looked for.
        """
        return tuple(
            literal.encode("ascii", "replace")
            for literal in self.signals
            if not _PLAIN_WORD.fullmatch(literal.strip()) or literal in self._names
        )

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(
            literal.lower()
            for row in self.rows
            for signal, literals in _signals_of(row)
            for literal in literals
            if signal.kind != "pattern" or row.learned or not literal.islower()
        )

    @cached_property
    def scanner(self) -> Scanner:
        """The prefilter over `literals`."""
        return Scanner(self.literals)

    @cached_property
    def _signals_by_index(self) -> tuple[tuple[Signal, ...], ...]:
        return tuple(self.signals.values())

    def signals_at(self, index: int) -> tuple[Signal, ...]:
        """The signals behind the literal with this index."""
        return self._signals_by_index[index]

    def hits(self, passage: Passage) -> Iterator[Hit]:
        """Every confirmed signal of the passage; at most six a signal at error level and six below."""
        spots: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for index, start, end in self.scanner.find(passage.folded):
            spots[index].append((start, end))
        for index, places in spots.items():
            chosen = places if len(places) <= _CONFIRMS * 4 else _worth_a_look(passage, places)
            for signal in self._signals_by_index[index]:
                left = {True: _CONFIRMS, False: _CONFIRMS}
                last = -1
                for start, end in chosen:
                    quiet = passage.level_at(start) in LOW_LEVELS
                    if start < last or not left[quiet]:
                        continue
                    hit = _confirm(signal, passage, start, end)
                    if hit is not None:
                        yield hit
                        last = hit.end
                        left[quiet] -= 1
        yield from self._spoken(passage)

    def _spoken(self, passage: Passage) -> Iterator[Hit]:
        """Codes written as words; the longest run of words that is a code counts."""
        for found in _SPOKEN.finditer(passage.flat):
            kind = found.lastgroup or ""
            start = found.start(kind)
            if kind == "headline" and start != passage.line_bounds(start)[0]:
                continue
            words = found[kind].replace("-", " ").split(" ")
            for count in range(len(words), 1, -1):
                code = "_".join(words[:count]).upper()
                for signal in self._codes.get(code, ()):
                    yield Hit(signal, start, start + len(" ".join(words[:count])), (("code", code),))
                if code in self._codes:
                    break

    @cached_property
    def _codes(self) -> dict[str, tuple[Signal, ...]]:
        found: defaultdict[str, list[Signal]] = defaultdict(list)
        for signals in self.signals.values():
            for signal in signals:
                if signal.kind == "code" and not signal.token.endswith("*"):
                    found[signal.token].append(signal)
        return {token: tuple(signals) for token, signals in found.items()}

    def structured(self, failure: Failure) -> Iterator[Signal]:
        """Signals that the structured facts of a failure name outright."""
        tokens: list[tuple[str, frozenset[str]]] = [
            (failure.termination_code, frozenset(("code", "error_code"))),
            (failure.error_code, frozenset(("error_code", "code", "class"))),
            (failure.result_state, frozenset(("code",))),
        ]
        for link in failure.exceptions:
            tokens.append((link.error_class, frozenset(("class",))))
            tokens.append((link.sql_state, frozenset(("sqlstate",))))
            tokens.append((link.class_name, frozenset(("exception",))))
        for token, kinds in tokens:
            if not token:
                continue
            if "code" in kinds:
                yield from self._facts.get(token, ())
            for signals in self._by_prefix(token):
                for signal in signals:
                    if signal.kind in kinds and _names(signal, token):
                        yield signal

    @cached_property
    def _facts(self) -> dict[str, tuple[Signal, ...]]:
        """Signals of codes that count only where a structured fact gives them."""
        found: defaultdict[str, list[Signal]] = defaultdict(list)
        for row in self.rows:
            rank = STRENGTH_RANK[row.strength] if row.strength else KIND_RANK["code"]
            for token in row.match.facts:
                found[token].append(Signal(row, "code", rank, token))
        return {token: tuple(signals) for token, signals in found.items()}

    def _by_prefix(self, token: str) -> Iterator[tuple[Signal, ...]]:
        lowered = token.lower()
        last = lowered.rsplit(".", 1)[-1].rsplit("$", 1)[-1]
        for literal, signals in self.signals.items():
            if lowered.startswith(literal) or literal == last:
                yield signals


class Scanner:
    """Finds which of many literals stand where in lower-case bytes; Aho-Corasick, or `re` without it."""

    def __init__(self, literals: Iterable[bytes]) -> None:
        self.literals = tuple(literals)
        self._automaton: Any = None
        self._regex: re.Pattern[bytes] | None = None
        self._by_text: dict[bytes, int] = {literal: index for index, literal in enumerate(self.literals)}
        if not self.literals:
            return
        try:
            from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind
        except ImportError:
            # Alternatives sharing prefixes are nested in other literals too, so each start offset yields the longest.
            ordered = sorted(self.literals, key=len, reverse=True)
            self._regex = re.compile(b"(?=(" + b"|".join(re.escape(literal) for literal in ordered) + b"))")
            self._shorter = {
                literal: [other for other in self.literals if other != literal and literal.startswith(other)]
                for literal in self.literals
            }
        else:
            self._automaton = BytesAhoCorasick(
                list(self.literals), matchkind=MatchKind.Standard, implementation=Implementation.DFA
            )

    def find(self, folded: bytes) -> Iterable[tuple[int, int, int]]:
        """All (literal index, start, end), overlapping ones included, in lower-case ASCII bytes."""
        if self._automaton is not None:
            found: list[tuple[int, int, int]] = self._automaton.find_matches_as_indexes(folded, overlapping=True)
            return found
        if self._regex is None:
            return ()
        return self._find_by_regex(folded)

    def _find_by_regex(self, folded: bytes) -> Iterator[tuple[int, int, int]]:
        assert self._regex is not None
        for found in self._regex.finditer(folded):
            literal = found[1]
            for each in (literal, *self._shorter[literal]):
                yield self._by_text[each], found.start(), found.start() + len(each)


@lru_cache(maxsize=8)
def load_matrix(extra: Path | None = None) -> Matrix:
    """The built-in rows, and before them those of the folder `extra` (same schema, marked as learned).

    Raises SchemaError with every complaint, file and line. A folder that does not exist adds nothing.
    """
    rows = load_rows(ROWS_FOLDER)
    if extra is not None and extra.is_dir():
        learned = load_rows(extra, learned=True)
        taken = {row.id for row in learned}
        rows = learned + tuple(row for row in rows if row.id not in taken)
    return Matrix(rows)


@lru_cache(maxsize=4096)
def compiled(regex: str) -> re.Pattern[str]:
    """The compiled form of a row's regex, without case; rows are compiled only when their literal was seen."""
    return re.compile(expand_macros(regex), re.IGNORECASE)


def _signals_of(row: Row) -> Iterator[tuple[Signal, tuple[str, ...]]]:
    override = STRENGTH_RANK[row.strength] if row.strength else None
    named: tuple[tuple[SignalKind, tuple[str, ...]], ...] = (
        ("code", row.match.codes),
        ("error_code", row.match.error_codes),
        ("class", row.match.error_classes),
        ("exception", row.match.exceptions),
        ("sqlstate", row.match.sqlstates),
    )
    for kind, tokens in named:
        for token in tokens:
            rank = KIND_RANK[kind] if override is None else override
            if kind == "class" and "." in token:
                rank += 3
            if token.endswith("*"):
                # A family is less sure than a name, a longer prefix surer than a short one.
                rank -= 10 - min(len(token) // 10, 5)
            literal = token.rstrip("*")
            if kind == "exception":
                literal = literal.rsplit(".", 1)[-1].rsplit("$", 1)[-1]
            yield Signal(row, kind, rank, token), (literal,)
            if kind == "code" and "_" in token:
                # Pages of the workspace write the code in words: "Reason: Driver Unreachable".
                words = Pattern(literals=(f"reason: {literal.rstrip('_').replace('_', ' ').lower()}",))
                yield Signal(row, "pattern", rank, pattern=words), words.literals
    for pattern in row.match.patterns:
        yield Signal(row, "pattern", STRENGTH_RANK[pattern.strength], pattern=pattern), pattern.literals


def _worth_a_look(passage: Passage, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of many places the first and last few at error level, and a few that only warn."""
    loud = [place for place in places if passage.level_at(place[0]) not in LOW_LEVELS]
    chosen = {*places[:_CONFIRMS], *loud[: _CONFIRMS * 3], *loud[-_CONFIRMS:]}
    return sorted(chosen)


def _names(signal: Signal, token: str) -> bool:
    wanted = signal.token
    if wanted.endswith("*"):
        return token.startswith(wanted[:-1])
    if signal.kind == "class":
        return token == wanted or token.startswith(wanted + ".")
    if signal.kind == "exception":
        return token == wanted or token.endswith(("." + wanted, "$" + wanted))
    return token == wanted


def _confirm(signal: Signal, passage: Passage, start: int, end: int) -> Hit | None:
    text = passage.flat
    if signal.pattern is not None:
        return _confirm_pattern(signal, signal.pattern, passage, start, end)
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if signal.kind == "sqlstate":
        near = text[max(0, start - 24) : start].lower().replace(" ", "").replace("-", "")
        good = not after.isalnum() and ("sqlstate" in near)
        return Hit(signal, start, end) if good else None
    if signal.kind == "exception":
        literal = signal.token.rsplit(".", 1)[-1].rsplit("$", 1)[-1]
        sentence_end = after == "." and text[end + 1 : end + 2] in ("", " ")
        if text[start:end] != literal or before.isalnum() or before == "_":
            return None
        if after.isalnum() or (after in "_$.<" and not sentence_end):
            return None
        # Code that raises or catches it only mentions it; the line of the failure itself has nothing before it.
        if _MENTION.search(text, max(passage.line_bounds(start)[0], start - 160), start):
            return None
        return Hit(signal, start, end) if sentence_end or _EXCEPTION_TAIL.match(text, end) else None
    token = signal.token.rstrip("*")
    if text[start:end] != token or before.isalnum() or before in "_.$/":
        return None
    if signal.token.endswith("*"):
        while end < len(text) and (text[end].isupper() or text[end].isdigit() or text[end] in "_."):
            end += 1
        return Hit(signal, start, end)
    if after.isalnum() or after == "_":
        return None
    if signal.kind != "class":
        return Hit(signal, start, end, ((signal.kind, text[start:end]),) if signal.kind in _NAMED else ())
    if after == "." and text[end + 1 : end + 2].islower():
        return None
    whole = _CLASS_TAIL.match(text, end)
    return Hit(signal, start, end, (("error_class", text[start : whole.end() if whole else end]),))


def _begins_quietly(passage: Passage, start: int, literal: int) -> bool:
    """Whether a match begins on an earlier line below error level although its literal is on one that is not."""
    line = passage.line_bounds(literal)[0]
    return start < line and passage.level_at(start) in LOW_LEVELS and passage.level_at(literal) not in LOW_LEVELS


def _confirm_pattern(signal: Signal, pattern: Pattern, passage: Passage, start: int, end: int) -> Hit | None:
    text = passage.flat
    low, high = max(0, start - _BEFORE), min(len(text), end + _AFTER)
    if pattern.all or pattern.none:
        near = passage.folded[low:high]
        if not all(literal.lower().encode() in near for literal in pattern.all):
            return None
        if any(literal.lower().encode() in near for literal in pattern.none):
            return None
    if not pattern.regex:
        return Hit(signal, start, end)
    regex = compiled(pattern.regex)
    # A match over the literal that was seen is preferred: an earlier one in the window is another hit's business.
    position = low
    chosen: re.Match[str] | None = None
    for _ in range(_SEARCHES):
        found = regex.search(text, position, high)
        if found is None:
            break
        chosen = chosen or found
        # Where it began on a debug line and ran on, the error line behind it may say it all by itself.
        quiet = _begins_quietly(passage, found.start(), start)
        if found.end() > start and not quiet:
            chosen = found
            break
        position = passage.line_bounds(found.start())[1] if quiet else found.start() + 1
    if chosen is None:
        return None
    groups = tuple((name, value) for name, value in chosen.groupdict().items() if value)
    return Hit(signal, chosen.start(), chosen.end(), groups)
