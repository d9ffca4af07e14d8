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
_KNOWN_TAGS = _RESOLVED_TAGS | {"!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}
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


class _Builder:
    """Builds data from parser events with a stack of its own, so that depth and size are counted as they grow.

    The innermost mapping or list is kept in local names of `build`: that loop is most of what a first paint costs.
    """

    def __init__(self, text: str) -> None:
        self._result = Marked(text=text)
        self._marks = self._result._marks
        self._anchors: dict[str, tuple[Any, int]] = {}

    def build(self, source: Any) -> Marked:
        get, scalar_event, anchors, all_marks = source.get_event, yaml.ScalarEvent, self._anchors, self._marks
        stack: list[tuple[Any, ...]] = []
        documents = total = 0
        # value | its marks | pending key and its mark | what `<<` gave | anchor | own mark | values in it
        value: Any = []
        marks: Any = []
        key: str | None = None
        key_mark: Any = None
        merged: list[Any] | None = None
        anchor: str | None = None
        start: Any = None
        size = 0
        in_mapping = False
        while (event := get()) is not None:
            kind = type(event)
            if kind is scalar_event:
                item = event.value
                if in_mapping and key is None:
                    key, key_mark = item, event.start_mark
                    if event.anchor is not None:
                        anchors[event.anchor] = (item, 1)
                    if item[:1] in _ODD_KEYS and event.implicit[0]:
                        merged = self._odd_key(item, key_mark, merged)
                    if item in marks:
                        self._note("warning", f"the key {item} is given twice; the last one counts", key_mark)
                    continue
                if event.tag is not None or (event.implicit[0] and item[:1] in _RESOLVED):
                    item = self._tagged(item, event) if event.tag is not None else resolve(item)
                if event.anchor is not None:
                    anchors[event.anchor] = (item, 1)
                item_mark, item_size, aliased = event.start_mark, 1, False
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if in_mapping and key is None:
                    text = "a key has to be text, this one is a mapping or a list"
                    raise YamlProblem(text, _place(event.start_mark))
                if len(stack) >= MAX_DEPTH:
                    raise YamlProblem("nested too deeply", _place(event.start_mark))
                stack.append((value, marks, key, key_mark, merged, anchor, start, size, in_mapping))
                in_mapping = kind is yaml.MappingStartEvent
                value, marks = ({}, {}) if in_mapping else ([], [])
                key, merged, anchor, start, size = None, None, event.anchor, event.start_mark, 1
                if anchor is not None:
                    # Until it ends, nothing is to be had by its name: an alias in itself is a cycle.
                    anchors[anchor] = (None, -1)
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                if merged:
                    value, marks, size = self._with_merged(value, marks, merged, size)
                all_marks[id(value)] = marks
                if anchor is not None:
                    anchors[anchor] = (value, size)
                item, item_mark, item_size, aliased = value, start, size, in_mapping is False
                value, marks, key, key_mark, merged, anchor, start, size, in_mapping = stack.pop()
            elif kind is yaml.AliasEvent:
                item_mark = event.start_mark
                if in_mapping and key is None:
                    raise YamlProblem("a key has to be text, this one is an alias", _place(item_mark))
                item, item_size = self._aliased(event.anchor, item_mark)
                aliased = True
            else:
                documents += kind is yaml.DocumentStartEvent
                if documents > 1:
                    text = "only the first document of a file counts; what follows `---` is ignored"
                    self._note("warning", text, event.start_mark)
                    break
                continue
            # One value more, for the list or the key that waits for it.
            total += 1
            size += item_size
            if total > MAX_VALUES or size > MAX_VALUES:
                what = "too many values" if total > MAX_VALUES else "the aliases stand for too many values"
                raise YamlProblem(f"{what} for a bundle file", _place(item_mark))
            if not in_mapping:
                value.append(item)
                marks.append(item_mark)
            elif key == "<<" and merged is not None:
                self._merge_key(merged, item, key_mark, aliased)
                key = None
            else:
                value[key] = item
                marks[key] = key_mark
                key = None
        self._result.data = value[0] if value and not stack else None
        return self._result

    def _note(self, severity: Literal["error", "warning"], summary: str, mark: Any) -> None:
        if len(self._result.notes) < 100:
            self._result.notes.append(Note(severity, summary, _place(mark)))

    def _odd_key(self, key: str, mark: Any, merged: list[Any] | None) -> list[Any] | None:
        if key == "<<":
            if merged is not None:
                text = "the merge key << is given twice; to merge several mappings write `<<: [*one, *two]`"
                self._note("error", text, mark)
            return merged or []
        if not isinstance(value := resolve(key), str) and value is not None:
            self._note("error", f"the key {key} is not text: put it in quotes", mark)
        return merged

    def _merge_key(self, merged: list[Any], value: Any, mark: Any, aliased: bool) -> None:
        merged.extend(value if isinstance(value, list) else [value])
        if not aliased or not all(isinstance(part, dict) for part in merged):
            self._note("error", "the merge key << takes an alias of a mapping, or a list of such", mark)

    def _tagged(self, text: str, event: Any) -> Any:
        if event.tag not in _KNOWN_TAGS:
            self._note("error", f"unknown tag: {event.tag}", event.start_mark)
        return resolve(text) if event.tag in _RESOLVED_TAGS else text

    def _with_merged(self, value: Any, marks: Any, merged: list[Any], size: int) -> tuple[Any, Any, int]:
        values: dict[str, Any] = {}
        places: dict[str, Any] = {}
        for part in merged:
            if isinstance(part, dict):
                values |= part
                places |= self._marks.get(id(part), {})
                size += len(part)
        return values | value, places | marks, size

    def _aliased(self, name: str, mark: Any) -> tuple[Any, int]:
        if name not in self._anchors:
            raise YamlProblem(f"there is no anchor {name} before this alias", _place(mark))
        value, size = self._anchors[name]
        if size < 0:
            raise YamlProblem(f"the alias {name} stands within itself", _place(mark))
        return value, size


def _place(mark: Any) -> Mark:
    return (mark.line + 1, mark.column + 1)


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
