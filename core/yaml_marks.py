"""YAML with places: every mapping key and list item keeps its line and column, and nothing in a file can hurt.

Reads the YAML of bundles only as data: no tags are executed, aliases are shared and not copied, cycles are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

# The C parser is about eight times quicker. Both give the same events, and the depth costs neither of them a stack.
_Source: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES = 5_000_000
MAX_VALUES = 400_000  # written out, or what aliases stand for
MAX_DEPTH = 100

Mark = tuple[int, int]  # line and column, from 1
Path_ = tuple[str | int, ...]

_RESOLVED = "~nNtTfF0123456789+-."  # the first characters of plain values that may be more than text
_RESOLVED_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]{1,400}|0o[0-7_]{1,400}|0b[01_]{1,400}|[0-9][0-9_]{0,400})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,400}|[0-9]{1,400}(?:\.[0-9]{0,400})?)(?:[eE][-+]?[0-9]{1,10})?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_ODD_KEYS = "<0123456789+-.tTfFnN~"  # the first characters of plain keys that may be more than text
_SPECIAL_FLOATS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


class YamlProblem(Exception):
    """What is wrong with a YAML text, in one sentence; `mark` is (line, column) from 1 where it is known."""

    def __init__(self, summary: str, mark: Mark | None = None, detail: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.mark = mark
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Note:
    """Something odd in a text that could be read all the same. An error is what the CLI refuses."""

    severity: Literal["error", "warning"]
    summary: str
    mark: Mark


@dataclass(slots=True)
class Marked:
    """The data of a document, its text, where its parts stand, and what is odd about it."""

    data: Any = None
    text: str = ""
    notes: list[Note] = field(default_factory=list)
    _marks: dict[int, Any] = field(default_factory=dict)  # id of a mapping or list -> marks of its keys or items

    def mark(self, path: Path_) -> Mark | None:
        """Where the key or item at `path` stands; None where there is none. Follows anchors and merged mappings."""
        at, where = self.data, None
        for step in path:
            held = self._marks.get(id(at))
            try:
                where = held[step] if held is not None else None
                at = at[step]
            except (KeyError, IndexError, TypeError):
                return None
        return (where.line + 1, where.column + 1) if where is not None else None

    def mark_in(self, container: Any, step: str | int) -> Mark | None:
        """Where the key or item `step` of one mapping or list of this document stands."""
        held = self._marks.get(id(container))
        try:
            where = held[step] if held is not None else None
        except (KeyError, IndexError):
            return None
        return (where.line + 1, where.column + 1) if where is not None else None


def read(path: Path) -> Marked:
    """The document in `path`. Raises YamlProblem for anything that is not a small, well-formed YAML text."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                size = max(path.stat().st_size, len(data)) / 1e6
                raise YamlProblem(f"{size:,.0f} MB is too large for a bundle file (limit {MAX_BYTES // 1_000_000} MB)")
    except OSError as error:
        raise YamlProblem(f"cannot be read: {error.strerror or error}") from error
    if b"\x00" in data:
        raise YamlProblem("this is a binary file, not YAML", (data[: data.index(b"\x00")].count(b"\n") + 1, 1))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlProblem("this is not UTF-8 text", (data[: error.start].count(b"\n") + 1, 1)) from error
    return parse(text)


def parse(text: str) -> Marked:
    """The first document in `text`; an empty one gives None as data. Raises YamlProblem.

    Values are those of the CLI's reader (libs/dyn/yamlloader): `yes` and dates are text, `<<` takes mappings by alias
    and the last of several wins, a key that is given twice has its last value.
    """
    source = _Source(text)
    try:
        return _Builder(text).build(source)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        # A text that stops short is found wrong behind its end.
        mark = (min(at.line, text.rstrip().count("\n")) + 1, at.column + 1) if at else None
        raise YamlProblem(error.problem or str(error), mark, error.context or "") from error
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        where = (text.encode()[:position].count(b"\n") + 1, 1) if isinstance(position, int) else None
        raise YamlProblem(str(error).splitlines()[0], where) from error
    finally:
        source.dispose()


class _Open:
    """A mapping or list that has not ended yet."""

    __slots__ = ("anchor", "in_mapping", "key", "key_mark", "marks", "merged", "size", "start", "value")

    def __init__(self, value: Any, marks: Any, anchor: str | None, start: Any) -> None:
        self.value = value
        self.in_mapping = type(value) is dict
        self.marks = marks
        self.anchor = anchor
        self.start = start
        self.key: str | None = None
        self.key_mark: Any = None
        self.size = 1
        self.merged: list[Any] | None = None


class _Builder:
    """Builds data from parser events with a stack of its own, so that depth and size are counted as they grow."""

    def __init__(self, text: str) -> None:
        self._result = Marked(text=text)
        self._marks = self._result._marks
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._stack: list[_Open] = []
        self._values = 0

    def build(self, source: Any) -> Marked:
        top = _Open([], [], None, None)
        stack = self._stack
        stack.append(top)
        documents = 0
        get, scalar = source.get_event, yaml.ScalarEvent
        while (event := get()) is not None:
            kind = type(event)
            if kind is scalar:
                frame = stack[-1]
                key = frame.key
                if key is None and frame.in_mapping:
                    self._key(frame, event)
                    continue
                value = event.value if event.tag is None and not event.implicit[0] else _scalar(event)
                if event.anchor is not None:
                    self._anchors[event.anchor] = (value, 1)
                if key is None or key == "<<" or frame.size >= MAX_VALUES:
                    self._put(frame, value, 1, event.start_mark)
                else:
                    # The way that nine of ten values take, without a call.
                    frame.value[key] = value
                    frame.marks[key] = frame.key_mark
                    frame.key = None
                    frame.size += 1
                    self._values += 1
            elif kind is yaml.MappingStartEvent:
                self._start(event, {}, {})
            elif kind is yaml.SequenceStartEvent:
                self._start(event, [], [])
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._end()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    text = "only the first document of a file counts; what follows `---` is ignored"
                    self._note("warning", text, event.start_mark)
                    break
        self._result.data = top.value[0] if top.value else None
        return self._result

    def _note(self, severity: Literal["error", "warning"], summary: str, mark: Any) -> None:
        if len(self._result.notes) < 100:
            self._result.notes.append(Note(severity, summary, _place(mark)))

    def _key(self, frame: _Open, event: Any) -> None:
        key = event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = (key, 1)
        if key[:1] in _ODD_KEYS and event.implicit[0]:
            if key == "<<":
                if frame.merged is not None:
                    text = "the merge key << is given twice; to merge several mappings write `<<: [*one, *two]`"
                    self._note("error", text, event.start_mark)
                frame.merged = frame.merged or []
            elif not isinstance(resolved := resolve(key), str) and resolved is not None:
                self._note("error", f"the key {key} is not text: put it in quotes", event.start_mark)
        if key in frame.marks:
            self._note("warning", f"the key {key} is given twice; the last one counts", event.start_mark)
        frame.key, frame.key_mark = key, event.start_mark

    def _put(self, frame: _Open, value: Any, size: int, mark: Any) -> None:
        self._values += 1
        frame.size += size
        if self._values > MAX_VALUES or frame.size > MAX_VALUES:
            what = "too many values" if self._values > MAX_VALUES else "the aliases stand for too many values"
            raise YamlProblem(f"{what} for a bundle file", _place(mark))
        if not frame.in_mapping:
            frame.value.append(value)
            frame.marks.append(mark)
            return
        key = frame.key
        frame.key = None
        if key == "<<" and frame.merged is not None:
            frame.merged.extend(value if isinstance(value, list) else [value])
            if not all(isinstance(part, dict) for part in frame.merged):
                self._note("error", "the merge key << takes a mapping or a list of mappings", frame.key_mark)
            return
        frame.value[key] = value
        frame.marks[key] = frame.key_mark

    def _start(self, event: Any, value: Any, marks: Any) -> None:
        frame = self._stack[-1]
        if frame.key is None and frame.in_mapping:
            raise YamlProblem("a key has to be text, this one is a mapping or a list", _place(event.start_mark))
        if len(self._stack) > MAX_DEPTH:
            raise YamlProblem("nested too deeply", _place(event.start_mark))
        if event.anchor is not None:
            # Until it ends, nothing is to be had by its name: an alias in itself is a cycle.
            self._anchors[event.anchor] = (None, -1)
        self._stack.append(_Open(value, marks, event.anchor, event.start_mark))

    def _end(self) -> None:
        frame = self._stack.pop()
        value, marks = frame.value, frame.marks
        if frame.merged:
            all_values: dict[str, Any] = {}
            all_marks: dict[str, Any] = {}
            for part in frame.merged:
                if isinstance(part, dict):
                    all_values |= part
                    all_marks |= self._marks.get(id(part), {})
                    frame.size += len(part)
            value, marks = all_values | value, all_marks | marks
        self._marks[id(value)] = marks
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (value, frame.size)
        self._put(self._stack[-1], value, frame.size, frame.start)

    def _alias(self, event: Any) -> None:
        frame = self._stack[-1]
        if frame.key is None and frame.in_mapping:
            raise YamlProblem("a key has to be text, this one is an alias", _place(event.start_mark))
        if event.anchor not in self._anchors:
            raise YamlProblem(f"there is no anchor {event.anchor} before this alias", _place(event.start_mark))
        value, size = self._anchors[event.anchor]
        if size < 0:
            raise YamlProblem(f"the alias {event.anchor} stands within itself", _place(event.start_mark))
        self._put(frame, value, size, event.start_mark)


def _place(mark: Any) -> Mark:
    return (mark.line + 1, mark.column + 1)


def _scalar(event: Any) -> Any:
    tag, text = event.tag, event.value
    if tag is None:
        first = text[:1]
        return resolve(text) if first in _RESOLVED else text
    return resolve(text) if tag in _RESOLVED_TAGS else text


def resolve(text: str) -> Any:
    """The value of a plain scalar: None, bool, int, float or the text itself (YAML 1.2 core, as go-yaml reads it)."""
    first = text[:1]
    if first in "~nNtTfF":
        return _WORDS.get(text, text)
    if first not in "0123456789+-.":
        return text
    if _INT.fullmatch(text):
        plain = text.replace("_", "")
        try:
            return int(plain, 10)
        except ValueError:
            try:
                return int(plain, 0)
            except ValueError:
                return text
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL_FLOATS.get(text.lower())
    return float(special) if special else text
