"""All events of one update in time order, each once, in a few hundred bytes apiece: columns, kinds, packed texts.

Never talks to the network; makes an event object only of what is looked at. Any order of arrival gives the same log.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from .event_blocks import BLOCK, BLOCK_BITS, Blocks
from .event_json import (
    Keyed,
    Kind,
    error_text,
    event_of,
    extras_of,
    is_usual,
    iso_text,
    keyed,
    kind_key,
    kind_of,
    timestamp_text,
    words,
)
from .pipelines import PipelineEvent
from .redaction import Redactor
from .text import clean

Rows = array  # of unsigned numbers: rows of a log, in some order
Key = tuple[int, int, str]
RARE = ("ERROR", "WARN")


class EventLog:
    """Rows are numbered as they arrive and never change; `order` has them by time, then sequence, then id."""

    def __init__(self, *, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()
        # A dict of text and numbers, and tuples of text, are nothing that the garbage collector has to walk through: a
        # set or a list of a million would hold up the console each time it does.
        self._known: dict[str, int] = {}
        self._ids: list[tuple[str, ...]] = []
        self._open_ids: list[str] = []
        self._times = array("q")
        self._sequences = array("q")
        self._kinds = array("I")
        self._block_kinds: list[tuple[int, ...]] = []
        self._odd_times: dict[int, str] = {}
        self._error_texts: dict[int, str] = {}
        self._blocks = Blocks()
        self._kind_of: dict[tuple[Any, ...], int] = {}
        self._order: array[int] = array("I")
        self.arrived = array("I")  # the rows as they are numbered: what `order` is while nothing comes late
        self._rare: dict[str, array[int]] = {level: array("I") for level in RARE}
        self._errors: array[int] = array("I")
        self._snapshot: EventView | None = None
        self.kinds: list[Kind] = []
        self.counts: list[int] = []  # events of each kind

    def __len__(self) -> int:
        return len(self._times)

    def __bool__(self) -> bool:
        return True

    # --- taking in ---------------------------------------------------------------------------------------------------

    def add(self, raws: Iterable[Mapping[str, Any]]) -> EventView:
        """Take events as the API sends them; gives those that are new, in time order. What is no object is left out."""
        first = len(self)
        self.take(raws)
        return EventView(self, array("I", range(first, len(self))), len(self) - first)

    def take(self, raws: Iterable[Mapping[str, Any]]) -> list[Keyed]:
        """As `add`, but gives the new events as they came, with what orders them: for whoever adds them up."""
        known = self._known
        new: list[Keyed] = []
        for item in keyed(raws):
            if item[2] not in known:
                known[item[2]] = 1
                new.append(item)
        if new:
            # No two ids are the same, so the events themselves are never compared.
            new.sort()
            self._append(new)
        return new

    def _append(self, new: list[Keyed]) -> None:
        first = len(self)
        times, sequences, ids, raws = zip(*new, strict=True)
        messages = self._messages(raws)
        kinds = self._kinds_of(raws)
        self._blocks.add(messages, extras_of(raws))
        self._times.extend(times)
        self._sequences.extend(sequences)
        self._open_ids.extend(ids)
        while len(self._open_ids) >= BLOCK:
            self._ids.append(tuple(self._open_ids[:BLOCK]))
            del self._open_ids[:BLOCK]
        self._kinds.extend(kinds)
        while (len(self._block_kinds) + 1) << BLOCK_BITS <= len(self._kinds):
            begin = len(self._block_kinds) << BLOCK_BITS
            self._block_kinds.append(tuple(set(self._kinds[begin : begin + BLOCK])))
        for row, (at, raw) in enumerate(zip(times, raws, strict=True), first):
            if not at or not is_usual(raw["timestamp"]):
                self._odd_times[row] = timestamp_text(raw)
            if "error" in raw:
                self._error_texts[row] = error_text(raw)
        batch = array("I", range(first, len(self)))
        self.arrived.extend(batch)
        self._order = merged(self._order, batch, self.key)
        self._file_rare(batch, kinds)

    def _messages(self, raws: tuple[dict[str, Any], ...]) -> list[str]:
        """The messages, safe. Many are the same, and one that was met before needs no second look."""
        texts = [text if type(text := raw.get("message")) is str else words(text) for raw in raws]
        known = dict.fromkeys(texts)
        distinct = list(known)
        made = inert_texts(distinct, self._safe)
        if made is distinct:
            return texts
        known.update(zip(distinct, made, strict=True))
        return [known[text] or "" for text in texts]

    def _file_rare(self, batch: array[int], kinds: array[int]) -> None:
        by_kind = Counter(kinds)
        for number, count in by_kind.items():
            self.counts[number] += count
        wanted: dict[str, set[int]] = {}
        errors: set[int] = set()
        for number in by_kind:
            kind = self.kinds[number]
            if kind.level in self._rare:
                wanted.setdefault(kind.level, set()).add(number)
            if is_error(kind):
                errors.add(number)
        for level, numbers in wanted.items():
            rows = array("I", [row for row, number in zip(batch, kinds, strict=True) if number in numbers])
            self._rare[level] = merged(self._rare[level], rows, self.key)
        if errors:
            rows = array("I", [row for row, number in zip(batch, kinds, strict=True) if number in errors])
            self._errors = merged(self._errors, rows, self.key)

    def _kinds_of(self, raws: tuple[dict[str, Any], ...]) -> array[int]:
        keys = list(map(kind_key, raws))
        try:
            return array("I", map(self._kind_of.__getitem__, keys))
        except (KeyError, TypeError):
            return array("I", map(self._kind, keys))

    def _kind(self, key: tuple[Any, ...]) -> int:
        try:
            return self._kind_of[key]
        except (KeyError, TypeError):
            kind = kind_of(key, self._safe)
        number = self._kind_of.get(tuple(kind))
        if number is None:
            number = self._kind_of[tuple(kind)] = len(self.kinds)
            self.kinds.append(kind)
            self.counts.append(0)
        with contextlib.suppress(TypeError):
            self._kind_of[key] = number
        return number

    def _safe(self, text: str) -> str:
        return self._redactor.redact(clean(text))

    # --- looking up --------------------------------------------------------------------------------------------------

    def snapshot(self) -> EventView:
        """All events so far, oldest first, as they are now: what comes later does not change it."""
        held = self._snapshot
        if held is None or len(held) != len(self._order):
            held = self._snapshot = EventView(self, self._order, len(self._order))
        return held

    def errors(self) -> EventView:
        """The events of level ERROR, and others that tell of a fatal error, oldest first."""
        return EventView(self, self._errors, len(self._errors))

    def of_level(self, level: str) -> EventView:
        """The events of a rare level, ERROR or WARN, oldest first."""
        return EventView(self, self._rare[level], len(self._rare[level]))

    def since(self, count: int) -> EventView:
        """The events that arrived after the first `count` of them, in time order."""
        rows = array("I", sorted(range(max(0, count), len(self)), key=self.key))
        return EventView(self, rows, len(rows))

    def levels(self) -> dict[str, int]:
        """How many events there are of each level."""
        found: Counter[str] = Counter()
        for kind, count in zip(self.kinds, self.counts, strict=True):
            found[kind.level] += count
        return dict(found)

    def key(self, row: int) -> Key:
        """What the events are ordered by: time in epoch microseconds, sequence number, id."""
        return (self._times[row], self._sequences[row], self._raw_id(row))

    def _raw_id(self, row: int) -> str:
        block = row >> BLOCK_BITS
        return self._ids[block][row & (BLOCK - 1)] if block < len(self._ids) else self._open_ids[row & (BLOCK - 1)]

    def time(self, row: int) -> int:
        """Epoch microseconds; 0 where the event has no time."""
        return self._times[row]

    def timestamp(self, row: int) -> str:
        """The time as it came."""
        odd = self._odd_times.get(row) if self._odd_times else None
        return iso_text(self._times[row]) if odd is None else odd

    def kind(self, row: int) -> Kind:
        return self.kinds[self._kinds[row]]

    @property
    def kind_numbers(self) -> array[int]:
        """The number in `kinds` of every row; not to be changed."""
        return self._kinds

    def kinds_of_block(self, block: int) -> Collection[int]:
        """The numbers of the kinds that stand in a block of rows."""
        if block < len(self._block_kinds):
            return self._block_kinds[block]
        return frozenset(self._kinds[block << BLOCK_BITS : (block + 1) << BLOCK_BITS])

    @property
    def blocks(self) -> Blocks:
        """The texts, for searches."""
        return self._blocks

    def message(self, row: int) -> str:
        return self._blocks.message(row)

    def error_text(self, row: int) -> str:
        """What the exceptions of an event say, for searches."""
        return self._error_texts.get(row, "")

    def id(self, row: int) -> str:
        """The id of the event, clean."""
        return self._safe(self._raw_id(row))

    def event(self, row: int) -> PipelineEvent:
        """The whole event."""
        kind = self.kinds[self._kinds[row]]
        return event_of(
            kind, self.id(row), self.timestamp(row), self._blocks.message(row), self._blocks.extras(row), self._safe
        )


class EventView(Sequence[PipelineEvent]):
    """Some events of a log in time order, each made when it is looked at. Equal views show the same events."""

    __slots__ = ("_length", "log", "rows")

    def __init__(self, log: EventLog, rows: array[int], length: int) -> None:
        self.log = log
        self.rows = rows  # may grow at its end; only the first `length` are of this view
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> PipelineEvent: ...
    @overload
    def __getitem__(self, index: slice) -> EventView: ...
    def __getitem__(self, index: int | slice) -> PipelineEvent | EventView:
        if isinstance(index, slice):
            chosen = range(self._length)[index]
            if chosen.step == 1:
                rows = self.rows[chosen.start : chosen.stop] if chosen else array("I")
            else:
                rows = array("I", [self.rows[place] for place in chosen])
            return EventView(self.log, rows, len(rows))
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError("no such event")
        return self.log.event(self.rows[index])

    def __iter__(self) -> Iterator[PipelineEvent]:
        event, rows = self.log.event, self.rows
        for index in range(self._length):
            yield event(rows[index])

    def __reversed__(self) -> Iterator[PipelineEvent]:
        event, rows = self.log.event, self.rows
        for index in range(self._length - 1, -1, -1):
            yield event(rows[index])

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, EventView):
            return NotImplemented
        if self.log is not other.log or self._length != other._length:
            return False
        return self.rows is other.rows or self.rows[: self._length] == other.rows[: self._length]

    def __hash__(self) -> int:
        return hash((id(self.log), self._length))

    def __repr__(self) -> str:
        return f"EventView({self._length} events)"

    def errors(self) -> EventView:
        """Those of them that tell of an error."""
        if self.rows is self.log._order and self._length == len(self.log):
            return self.log.errors()
        kinds = [is_error(kind) for kind in self.log.kinds]
        numbers = self.log.kind_numbers
        rows = array("I", [row for row in self.rows[: self._length] if kinds[numbers[row]]])
        return EventView(self.log, rows, len(rows))


def is_error(kind: Kind) -> bool:
    """Whether events of this kind tell of an error."""
    return kind.level == "ERROR" or kind.fatal


def merged(rows: array[int], batch: array[int], key: Callable[[int], Any]) -> array[int]:
    """`rows` with `batch` put in, both in order: `rows` itself where all of it goes to the end, else another array."""
    if not batch:
        return rows
    if not rows or key(rows[-1]) < key(batch[0]):
        rows.extend(batch)
        return rows
    low = bisect_left(rows, key(batch[0]), key=key)
    behind = len(rows) - low
    if len(batch) * 16 > behind:
        return rows[:low] + array("I", sorted((*rows[low:], *batch), key=key))
    result, done, place = array("I"), 0, low
    for row in batch:
        place = bisect_left(rows, key(row), lo=place, key=key)
        if place > done:
            result += rows[done:place]
            done = place
        result.append(row)
    return result + rows[done:]


def inert_texts(texts: list[str], make_safe: Callable[[str], str]) -> list[str]:
    """Every text made safe. Most are so already, and looking at many at once costs little: only the others are taken
    apart. What `make_safe` finds nothing in when joined by line ends, it finds nothing in one by one."""
    joined = "\n".join(texts)
    made = make_safe(joined)
    if made == joined:
        return texts
    if len(texts) == 1:
        return [made]
    size = -(-len(texts) // 8)
    return [t for at in range(0, len(texts), size) for t in inert_texts(texts[at : at + size], make_safe)]
