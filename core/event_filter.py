"""Which events of a log are to be shown, found a chunk at a time from where a person looks: nothing waits for all.

Never looks at an event twice, and never makes an event object; a log that grows is followed, not read again.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from itertools import compress

from .event_blocks import BLOCK, BLOCK_BITS, SEPARATOR
from .event_json import Kind
from .event_log import EventLog, EventView, merged
from .search import pattern_of, regex_in

CHUNK = 8192  # rows of one chunk, where only kinds decide
TEXT_CHUNK = 2 * BLOCK  # and where messages are searched
SCREEN = 128  # events that are looked for on either side of the place first
_RESTART = 50_000  # so many events at once that to begin anew is quicker than to sort them in
_TOKEN = re.compile(r"(?P<name>type|flow|dataset|level):(?P<value>\S*)\s*", re.IGNORECASE)

# What a kind decides: no; the message does; yes; the message or the exceptions do.
NO, BY_MESSAGE, YES, BY_ERROR = range(4)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is shown: levels that are not hidden, of these types, flows or datasets (empty: of any), and with `text`.

    Types and flows are names, or globs; a flow is also known by the last part of its name.
    """

    hidden: frozenset[str] = frozenset()
    levels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    text: str = ""

    @property
    def everything(self) -> bool:
        return not (self.hidden or self.levels or self.types or self.flows or self.text)

    def with_text(self, text: str) -> Wanted:
        """The same with what a person typed: `type:`, `flow:` or `level:` before a name, the rest is what to find."""
        found: dict[str, list[str]] = {"type": [], "flow": [], "level": []}
        while (token := _TOKEN.match(text)) is not None:
            name = token["name"].lower()
            if token["value"]:
                found["flow" if name == "dataset" else name].append(token["value"])
            text = text[token.end() :]
        return replace(
            self, levels=tuple(found["level"]), types=tuple(found["type"]), flows=tuple(found["flow"]), text=text
        )


def kind_test(wanted: Wanted) -> Callable[[Kind], int]:
    """What a kind decides about its events: NO, YES, or that the message has to be looked at."""
    levels, types, flows = _globs(wanted.levels), _globs(wanted.types), _globs(wanted.flows)
    pattern = pattern_of(wanted.text)

    def test(kind: Kind) -> int:
        if kind.level in wanted.hidden or (levels and not levels(kind.level)) or (types and not types(kind.event_type)):
            return NO
        if flows and not any(
            name and (flows(name) or flows(name.rpartition(".")[2])) for name in (kind.flow, kind.dataset)
        ):
            return NO
        if pattern is None or any(pattern.search(word) for word in (kind.event_type, kind.flow, kind.dataset) if word):
            return YES
        return BY_ERROR if kind.broken else BY_MESSAGE

    return test


def _globs(names: tuple[str, ...]) -> Callable[[str], object] | None:
    if not names:
        return None
    return re.compile("|".join(translate(name) for name in names), re.IGNORECASE).match


class _Verdicts(dict[int, int]):
    """What each kind decides, by its number, found out when it is first asked for."""

    def __init__(self, kinds: list[Kind], test: Callable[[Kind], int]) -> None:
        super().__init__()
        self._kinds, self._test = kinds, test

    def __missing__(self, number: int) -> int:
        verdict = self[number] = self._test(self._kinds[number])
        return verdict


class Sieve:
    """The rows of a view that are wanted, in time order. What lies between `low` and `high` has been looked at."""

    def __init__(self, view: EventView, wanted: Wanted, at: int) -> None:
        """Begins at position `at` of the view, from where it goes both ways."""
        self.log: EventLog = view.log
        self.wanted = wanted
        self._verdicts = _Verdicts(view.log.kinds, kind_test(wanted))
        self._pattern = pattern_of(wanted.text)
        self._needle, self._folded = _needle_of(wanted.text)
        self._may: dict[int, bool] = {}
        self._found_in: dict[int, bytes] = {}  # the last block only
        self._begin(view, at)

    def _begin(self, view: EventView, at: int) -> None:
        self.view = view
        self._low = self._high = min(max(at, 0), len(view))
        self._found = array("I")
        self._above = self._below = 0  # found on either side of where it began
        if self.wanted.everything:
            self._low, self._high = 0, len(view)

    @property
    def rows(self) -> array[int]:
        """The rows found so far; only the first `len()` of them are of this sieve."""
        return self.view.rows if self.wanted.everything else self._found

    def __len__(self) -> int:
        return len(self.view) if self.wanted.everything else len(self._found)

    @property
    def finished(self) -> bool:
        """Whether all of the view has been looked at."""
        return self._low == 0 and self._high == len(self.view)

    @property
    def looked_at(self) -> int:
        """How many events have been looked at."""
        return self._high - self._low

    def position(self, row: int) -> int:
        """Where a row of the log stands among those found, or would stand."""
        return bisect_left(self.rows, self.log.key(row), hi=len(self), key=self.log.key)

    def step(self) -> int:
        """Look at one chunk more: around the place first, then on to the end, then back to the start.

        Gives how many were found before all others, by which the place of those moves.
        """
        down = self._high < len(self.view)
        if down and not (self._below >= SCREEN and self._above < SCREEN and self._low > 0):
            return self._forward()
        return self._backward() if self._low > 0 else 0

    def follow(self, view: EventView) -> int:
        """Go on with a longer view of the same log; gives how many of the new were put before all others found."""
        old, self.view = self.view, view
        if self.wanted.everything:
            self._low, self._high = 0, len(view)
            return 0
        if old.rows is view.rows:
            return 0
        if len(view) - len(old) > _RESTART or not len(old):
            self._begin(view, self._place(old.rows[min(self._low, len(old) - 1)]) if len(old) else len(view))
            return 0
        return self._sort_in(old, range(len(old), len(view)))

    # --- the log has grown -------------------------------------------------------------------------------------------

    def _place(self, row: int) -> int:
        return bisect_left(self.view.rows, self.log.key(row), hi=len(self.view), key=self.log.key)

    def _sort_in(self, old: EventView, arrived: range) -> int:
        """New events lie between the old ones: those within what was looked at are looked at now."""
        if self._low == self._high:
            self._low = self._high = self._place(old.rows[self._low]) if self._low < len(old) else len(self.view)
            return 0
        key = self.log.key
        first, last = old.rows[self._low], old.rows[self._high - 1]
        self._low, self._high = self._place(first), self._place(last) + 1
        inside = array("I", sorted((row for row in arrived if key(first) < key(row) < key(last)), key=key))
        wanted = self._passing(inside)
        before = bisect_left(wanted, key(self._found[0]), key=key) if self._found else len(wanted)
        self._found = merged(self._found, wanted, key)
        return before

    # --- one chunk ---------------------------------------------------------------------------------------------------

    @property
    def _chunk(self) -> int:
        return CHUNK if self._pattern is None else TEXT_CHUNK

    def _forward(self) -> int:
        last = min(len(self.view), self._high + self._chunk)
        found = self._passing(self.view.rows[self._high : last])
        self._high = last
        self._found.extend(found)
        self._below += len(found)
        return 0

    def _backward(self) -> int:
        first = max(0, self._low - self._chunk)
        found = self._passing(self.view.rows[first : self._low])
        self._low = first
        if found:
            self._found = found + self._found
            self._above += len(found)
        return len(found)

    def _passing(self, rows: array[int]) -> array[int]:
        """Those of some rows that are wanted, in the same order. Most stand as they arrived, a block behind the other,
        and of a block it is often clear at once that all or none of it is wanted."""
        found = array("I")
        place, total = 0, len(rows)
        while place < total:
            first = rows[place]
            length = self._run_length(rows, place, min(total - place, BLOCK - (first & (BLOCK - 1))))
            piece = rows[place : place + length]
            found.extend(self._passing_of_block(piece, first >> BLOCK_BITS) if length > 1 else self._each(piece))
            place += length
        return found

    def _run_length(self, rows: array[int], place: int, most: int) -> int:
        """How many of the rows from `place` on, at most `most`, follow each other without a gap; at least 1."""
        first = rows[place]
        if rows[place + most - 1] != first + most - 1:
            low, high = 1, most
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if rows[place + middle - 1] == first + middle - 1 else (low, middle - 1)
            most = low
        # The ends being right says little of what is between them.
        return most if rows[place : place + most] == self.log.arrived[first : first + most] else 1

    def _passing_of_block(self, rows: array[int], block: int) -> array[int]:
        verdicts = {self._verdicts[number] for number in self.log.kinds_of_block(block)}
        if verdicts == {YES}:
            return rows
        if verdicts == {NO}:
            return array("I")
        if YES not in verdicts and self._needle and not self._may_hold(block):
            return self._by_error(rows) if BY_ERROR in verdicts else array("I")
        if verdicts == {BY_MESSAGE}:
            place = rows[0] & (BLOCK - 1)
            return array("I", compress(rows, self._hits(block)[place : place + len(rows)]))
        return self._each(rows)

    def _by_error(self, rows: array[int]) -> array[int]:
        """Those whose exceptions have the text."""
        verdicts, numbers = self._verdicts, self.log.kind_numbers
        texts, pattern = self.log.error_text, self._pattern
        assert pattern is not None
        first = rows[0]
        held = numbers[first : first + len(rows)]
        return array(
            "I",
            [
                row
                for row, number in zip(rows, held, strict=True)
                if verdicts[number] == BY_ERROR and pattern.search(texts(row))
            ],
        )

    def _each(self, rows: array[int]) -> array[int]:
        verdicts = bytes(map(self._verdicts.__getitem__, map(self.log.kind_numbers.__getitem__, rows)))
        if self._pattern is None or not (verdicts.count(BY_MESSAGE) or verdicts.count(BY_ERROR)):
            return array("I", compress(rows, verdicts))
        search = self._pattern.search
        found = array("I")
        block = -1
        hits: Sequence[object] = ()
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict == NO:
                continue
            if verdict != YES:
                if row >> BLOCK_BITS != block:
                    block = row >> BLOCK_BITS
                    hits = self._hits(block)
                if not hits[row & (BLOCK - 1)] and not (verdict == BY_ERROR and search(self.log.error_text(row))):
                    continue
            found.append(row)
        return found

    def _hits(self, block: int) -> Sequence[object]:
        """For each message of a block whether it has the text."""
        held = self._found_in.get(block)
        if held is None:
            text, needle = self.log.blocks.text(block), self._needle
            if needle and not self._may_hold(block):
                held = bytes(BLOCK)
            elif needle and not (self._folded and not text.isascii()):
                text = text.lower() if self._folded else text
                held = bytes([needle in message for message in text.split(SEPARATOR.encode())])
            else:
                assert self._pattern is not None
                search = self._pattern.search
                held = bytes([search(message) is not None for message in self.log.blocks.messages(block)])
            if self.log.blocks.sealed(block):
                self._found_in = {block: held}
        return held

    def _may_hold(self, block: int) -> bool:
        """Whether any message of a block can have the text: one search in all of it spares a thousand."""
        if not self._needle:
            return True
        held = self._may.get(block)
        if held is None:
            text = self.log.blocks.text(block)
            held = self._needle in (text.lower() if self._folded else text) or (self._folded and not text.isascii())
            if self.log.blocks.sealed(block):
                self._may[block] = held
        return held


def _needle_of(text: str) -> tuple[bytes, bool]:
    """(what must stand in a message for it to have `text`, whether in lower case); empty where that cannot be said."""
    if not text or regex_in(text):
        return b"", False
    folded = text == text.lower()
    return (b"", False) if folded and not text.isascii() else (text.encode("utf-8", "replace"), folded)
