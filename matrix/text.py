"""A failure's text made comparable: gutters, stamps, line ends gone, levels known, each place traceable to its line.

Never decides what failed, and never changes what is quoted as evidence beyond clipping it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .model import Evidence

Level = Literal["", "debug", "info", "warning", "error"]
LOW_LEVELS: Final = frozenset(("debug", "info", "warning"))
_EVIDENCE_CHARS: Final = 400
_EVIDENCE_LINES: Final = 4
_LINE_CHARS: Final = 40_000

_LEVELS: Final[dict[str, Level]] = {
    "TRACE": "debug",
    "DEBUG": "debug",
    "INFO": "info",
    "NOTICE": "info",
    "WARN": "warning",
    "WARNING": "warning",
    "ERROR": "error",
    "FATAL": "error",
    "CRITICAL": "error",
    "SEVERE": "error",
}
_LEVEL_WORD: Final = re.compile(
    r"(?<![A-Za-z_])(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|FATAL|CRITICAL|SEVERE)(?![A-Za-z_])"
)
_LEVEL_KEY: Final = re.compile(r"\blevel=\"?(trace|debug|info|warn|warning|error|fatal)\b", re.IGNORECASE)
# Tools that write the level of a line in small letters and brackets; they repeat errors of others at any level.
_SMALL_LEVEL: Final = re.compile(
    r"[\d:.,\-TZ\s/]{0,40}\[(debug|info|warn|warning|error) {0,2}\](?!.{0,200}(?:rror|xception|FAIL))"
)
_CLI_LEVEL: Final = re.compile(r"[\d:.,\-TZ\s/]{0,40}(Warning(?!: Error in )|Warn|Debug|Info|Error|Recommendation):\s")
_STAMPED: Final = re.compile(r"[\d\-/]{6,10}[ T][\d:.,]{5,15}Z? (?:TRACE|DEBUG|INFO|WARN) ")
# What a runner repeats of another program at level INFO is as loud as it was there.
_RELAYED: Final = re.compile(
    r"[\s\-:\]|]{1,6}(?:\d\d:\d\d:\d\d\s{1,6})?(?:Traceback \(most recent call|Caused by: "
    r"|(?:Database|Runtime) Error in |(?:[a-z_][\w$]{0,40}\.){0,10}[A-Z]\w{2,60}(?:Error|Exception): "
    r"|.{0,80}?Error during request to server: \{"
    r"|.{0,90}?[->] (?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?"
    r"(?:ERROR |FATAL |(?:[a-z]\w{1,40}\.){1,10}[A-Z]\w{2,60}Exception: ))"
)
#: A scheduler that passes on what a program prints, each line at level INFO: the line is the program's own.
_PASSED_ON: Final = re.compile(
    r"\[[^\]]{8,60}\] \{(?:subprocess|bash|docker|spark_submit|logging_mixin|pod_manager|kubernetes_pod|ssh)\.py:"
    r"\d{1,6}\} INFO - "
)
#: What boxes, quotations, containers and colours put before a line of a log.
_LEAD: Final = re.compile(
    r"(?:\x1b\[[\d;]{0,12}m|[│┃║|>#•] ?|[a-z][\w.\-]{0,40}\s{0,20}\| )(?:\x1b\[[\d;]{0,12}m|[│┃║|>•] ?){0,3}"
)
_ANSI: Final = re.compile(r"\x1b\[[\d;]{0,12}[A-Za-z]")
_ENTITY: Final = re.compile(r"&(?:quot|apos|lt|gt|amp|nbsp|#0?3[49]|#x2[27]);")
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "nbsp": " ", "quot": '"', "#34": '"', "#034": '"', "#x22": '"'}
_PYTHON_WARNING: Final = re.compile(
    r"\S{1,300}:\d{1,7}: \w{0,40}Warning: |\s{0,8}(?:User|Deprecation|Future|Import|Resource|InsecureRequest)Warning: "
)
_BRACKETED: Final = re.compile(r"\[[^\]]{0,80}\]|\([^)]{0,80}\)")
_NOT_LETTERS: Final = re.compile(r"[\W\d_]+")
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z ?(?:##\[\w{1,12}\])?")
_GUTTER: Final = re.compile(r"^[\s│╷╵┃║╭╰╮╯─|]{1,80}|[\s│┃║╮╯]{1,80}$")
_SPACES: Final = re.compile(r"\s+")
# Of a run of backslashes the first few, from its start on only: a line may be nothing else.
# `\n` inside a JSON string or a Python repr, but not the start of a folder in a Windows path.
_ESCAPED_BREAK: Final = re.compile(
    r"\\(?<!\\\\)\\{0,11}[nrt](?![a-z0-9_]{2})|(?<=[.:;,)}\]\s])\\{1,12}[nrt]|\\(?<!\\\\)\\{0,11}t(?=at )"
)
_LOG_BREAK: Final = re.compile(
    r"\\(?<!\\\\)\\{0,11}r?\\{0,4}n(?=[\d\[]|[A-Z]{4,8}[ :\[]|Traceback \(most|Caused by: |Error: "
    r"|[\w.$]{3,120}(?:Error|Exception): )"
)
_ESCAPED_QUOTE: Final = re.compile(r"\\(?<!\\\\)\\{0,11}(?=[\"'])")
_ONE_TO_ONE: Final = str.maketrans({"‘": "'", "’": "'", "´": "'", "“": '"', "”": '"', "\u00a0": " "})
_FRESH: Final = (
    "Error:",
    "error:",
    "Traceback (most recent call last)",
    "panic:",
    "Exception in thread",
    "Error ",
    "diagnostics: User class threw",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number in the original (from 1), what it says, its log level, its start in the flat text."""

    number: int
    text: str
    level: Level
    start: int


class Passage:
    """A text seen twice: `flat`, in which each run of white space is one blank, and the lines it came from.

    `folded` is `flat` as lower-case ASCII bytes of the same length, for the literal prefilter.
    """

    __slots__ = ("_starts", "flat", "folded", "lines")

    def __init__(self, numbered: Iterable[tuple[int, str]]) -> None:
        lines: list[Line] = []
        parts: list[str] = []
        length = 0
        level: Level = ""
        previous = ""
        for number, raw in _pieces(numbered):
            level = _level(raw, level, previous)
            text = normalise(raw)
            if text and parts and text[0] in "'\"" and parts[-1].endswith(text[0]) and _is_split_literal(previous, raw):
                # A Python literal broken over lines: '...the current ' 'quota is...'
                parts[-1] = parts[-1][:-1]
                text = text[1:]
                length -= 1
            elif parts and text:
                parts.append(" ")
                length += 1
            lines.append(Line(number, raw, level, length))
            parts.append(text)
            length += len(text)
            if not text:
                parts.pop()
            previous = raw
        self.lines: tuple[Line, ...] = tuple(lines)
        self.flat: str = "".join(parts)
        self.folded: bytes = self.flat.encode("ascii", "replace").lower()
        self._starts = [line.start for line in lines]

    def index_at(self, offset: int) -> int:
        """Index into `lines` of the line that holds the flat offset."""
        return max(0, bisect_right(self._starts, offset) - 1)

    def level_at(self, offset: int) -> Level:
        """Log level of the line at the flat offset."""
        return self.lines[self.index_at(offset)].level if self.lines else ""

    def line_bounds(self, offset: int) -> tuple[int, int]:
        """Flat start and end of the line that holds the offset."""
        index = self.index_at(offset)
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self.flat)
        return self._starts[index], end

    def evidence(self, start: int, end: int) -> tuple[Evidence, ...]:
        """The lines of a flat span, at most four, each clipped around what matched."""
        if not self.lines:
            return ()
        first, last = self.index_at(start), self.index_at(max(start, end - 1))
        quoted: list[Evidence] = []
        for index in range(first, last + 1):
            line = self.lines[index]
            column = max(0, start - line.start) if index == first else 0
            text = clip_around(_GUTTER.sub("", line.text), column, end - start)
            if text and len(quoted) < _EVIDENCE_LINES:
                quoted.append(Evidence(max(1, line.number), text))
        return tuple(quoted)


def normalise(raw: str) -> str:
    """One line without box gutters, CI stamps and escapes, with every run of white space as one blank."""
    text = raw.translate(_ONE_TO_ONE)
    if "&" in text:
        text = _ENTITY.sub(lambda found: _ENTITIES.get(found[0][1:-1], "'"), text)
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\\" in text:
        text = _ESCAPED_BREAK.sub(" ", text)
        text = _ESCAPED_QUOTE.sub("", text)
    text = _STAMP.sub("", text)
    text = _GUTTER.sub("", text)
    return _SPACES.sub(" ", text).strip()


def _pieces(numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines, those that hold a whole log within a JSON string or a repr broken where that log breaks."""
    for number, raw in numbered:
        raw = raw[:_LINE_CHARS]
        if "INFO - " in raw:
            raw = _PASSED_ON.sub("", raw, count=1)
        if "\\n" not in raw or not _LEVEL_WORD.search(raw):
            yield number, raw
            continue
        for piece in _LOG_BREAK.split(raw):
            yield number, piece


def numbered(text: str) -> list[tuple[int, str]]:
    """The lines of a text with their numbers, counted as editors count them."""
    return list(enumerate(text.replace("\r\n", "\n").split("\n"), start=1))


def clip_around(text: str, column: int, width: int) -> str:
    """At most 400 characters of a line, kept around `column`; cuts are marked by an ellipsis."""
    text = text.rstrip()
    if len(text) <= _EVIDENCE_CHARS:
        return text
    start = max(0, min(column - 60, len(text) - _EVIDENCE_CHARS))
    if width < _EVIDENCE_CHARS and column + width > start + _EVIDENCE_CHARS:
        start = column + width - _EVIDENCE_CHARS
    end = start + _EVIDENCE_CHARS
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def is_low_level(head: str) -> bool:
    """Whether the first characters of a log line show a level below error."""
    # Almost every line that is asked for is one of log4j or logging, whose stamp and level tell at once.
    return _STAMPED.match(head) is not None or _own_level(head) in LOW_LEVELS


def _level(raw: str, before: Level, previous: str) -> Level:
    lead = _LEAD.match(raw)
    if lead is not None:
        raw = raw[lead.end() :]
    own = _own_level(raw[:160])
    if own:
        return own
    stripped = raw.strip()
    if not stripped or before not in LOW_LEVELS or stripped.startswith(_FRESH):
        return ""
    # What hangs below a log line belongs to it: stack frames, HTTP dumps, indented detail.
    if raw[0] in " \t<>}" or stripped.startswith("Caused by:"):
        return before
    return ""


def _own_level(head: str) -> Level:
    found = _CLI_LEVEL.match(head)
    if found:
        word = found[1]
        if word == "Error":
            return "error"
        if word == "Recommendation":
            return "info"
        return _LEVELS[word.upper()]
    small = _SMALL_LEVEL.match(head)
    if small:
        return _LEVELS[small[1].upper()]
    keyed = _LEVEL_KEY.search(head)
    if keyed:
        return _LEVELS[keyed[1].upper()]
    for word_found in _LEVEL_WORD.finditer(head):
        prefix = head[: word_found.start()]
        bare = _BRACKETED.sub("", prefix)
        if len(_NOT_LETTERS.sub("", bare)) > 12:
            break
        after = head[word_found.end() : word_found.end() + 1]
        if after in ("", " ", ":", "]", ";", "|", ",", "\t", ")", "-", '"') and "=" not in bare:
            level = _LEVELS[word_found[1]]
            relayed = level in ("debug", "info") and _RELAYED.match(head, word_found.end())
            return "" if relayed else level
    if _PYTHON_WARNING.match(head):
        return "warning"
    return ""


def _is_split_literal(previous: str, raw: str) -> bool:
    before, after = previous.rstrip(), raw.strip()
    return (
        len(before) > 1
        and len(after) > 1
        and before[-1] == after[0]
        and not before.endswith(("=" + before[-1], "\\" + before[-1]))
    )
