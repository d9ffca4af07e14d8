"""Exact edits of a YAML file by the marks of its parser: a key renamed, a value set, an entry added or taken out.

Never dumps and rewrites: whatever is not named stays as it is, comments, quotes, anchors and blank lines included.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..matrix.model import Edit
from .yaml_marks import Path_, YamlProblem, parse, resolve

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Plain text that stays text, also within brackets: no indicator at its start, no `: ` or ` #` in it.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_/.(]|\$\{[\w.\[\]-]{1,200}\})(?:[^\n\r\t,\[\]{}]|\$\{[\w.\[\]-]{1,200}\})*")
_NOT_PLAIN = re.compile(r":(?:\s|$)|\s#|\s$")
_OTHER_TYPE = re.compile(r"true|false|null|yes|no|on|off|~|[-+.]?[\d.]+([eE][-+]?\d+)?|0x[\da-fA-F]+", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s)#")


@dataclass(frozen=True, slots=True)
class Spot:
    """One entry of a mapping or a list: its path, the key's node (None in a list) and the value's node."""

    path: Path_
    key: Any
    value: Any

    @property
    def line(self) -> int:
        """The line, from 1, on which the entry starts."""
        return int((self.key or self.value).start_mark.line) + 1


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace the text from `start` to `end` (offsets) by `new`."""

    start: int
    end: int
    new: str


@dataclass(slots=True)
class YamlFile:
    """A YAML file as its text and its nodes. `lines` are without line ends, as sources.read_lines gives them."""

    file: str
    lines: Sequence[str]
    text: str = ""
    root: Any = None
    _starts: list[int] = field(default_factory=list)
    _spots: list[Spot] | None = None

    @classmethod
    def of(cls, file: str, lines: Sequence[str]) -> YamlFile | None:
        """The file as nodes; None where it is no YAML that can be edited."""
        text = "\n".join(lines)
        try:
            parse(text)  # bounds its size and depth first: what follows recurses
            root = yaml.compose(text, Loader=_LOADER)
        except (YamlProblem, yaml.YAMLError, RecursionError):
            return None
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        return cls(file, lines, text, root, starts)

    # --- looking ------------------------------------------------------------------------------------------------------

    def spots(self) -> list[Spot]:
        """Every entry of every mapping and list, in the order of the text; what an alias repeats stands there once."""
        if self._spots is None:
            self._spots = list(self._walk())
        return self._spots

    def at(self, path: Path_) -> Spot | None:
        """The entry at `path`."""
        node: Any = self.root
        spot = Spot((), None, node) if node is not None else None
        for step in path:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in reversed(node.value) if getattr(k, "value", None) == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
                found = (None, node.value[step])
            if found is None:
                return None
            node = found[1]
            spot = Spot((*spot.path, step) if spot else (step,), *found)
        return spot

    def keys_on(self, line: int, name: str) -> list[Spot]:
        """The entries called `name` whose key stands on `line` (from 1)."""
        return [spot for spot in self.named(name) if spot.line == line]

    def named(self, name: str) -> list[Spot]:
        """Every entry called `name`."""
        return [spot for spot in self.spots() if spot.key is not None and spot.key.value == name]

    def scalars(self) -> Iterator[Spot]:
        """Every entry whose value is one plain or quoted text."""
        return (spot for spot in self.spots() if isinstance(spot.value, yaml.ScalarNode))

    def _walk(self) -> Iterator[Spot]:
        seen: set[int] = set()
        stack: list[Spot] = [Spot((), None, self.root)] if self.root is not None else []
        while stack:
            spot = stack.pop()
            if spot.path:
                yield spot
            node = spot.value
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.MappingNode):
                inner = [
                    Spot((*spot.path, str(k.value)), k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode)
                ]
                stack.extend(reversed(inner))
            elif isinstance(node, yaml.SequenceNode):
                stack.extend(reversed([Spot((*spot.path, n), None, v) for n, v in enumerate(node.value)]))

    # --- editing ------------------------------------------------------------------------------------------------------

    def rename(self, spot: Spot, name: str) -> Splice:
        """Call the entry `name`; quotes around the key stay."""
        return self._set(spot.key, name)

    def set_value(self, spot: Spot, text: str) -> Splice | None:
        """Give the entry another text as its value, in the quotes that it has; None where it is no single line."""
        node = spot.value
        if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
            return None
        if node.start_mark.line != node.end_mark.line:
            return None
        return self._set(node, text)

    def set_number(self, spot: Spot, number: str) -> Splice | None:
        """Give the entry another number as its value; None where it is none now."""
        node = spot.value
        if not isinstance(node, yaml.ScalarNode) or node.style or not str(node.value).isdigit():
            return None
        return Splice(self._offset(node.start_mark), self._offset(node.end_mark), number)

    def append(self, spot: Spot, entry: str) -> Splice | None:
        """Add `entry` (the text behind the dash, lines indented from there) at the end of the list at `spot`."""
        node = spot.value
        if not isinstance(node, yaml.SequenceNode):
            return None
        if node.flow_style:
            return self._append_flow(node, entry) if "\n" not in entry else None
        if not node.value:
            return None
        column = node.start_mark.column
        return self._insert_after(self._last_line(node), _item(entry, column))

    def add(self, spot: Spot, key: str, body: str) -> Splice | None:
        """Add an entry to the mapping at `spot`: `key: body`, or `key:` and the lines of `body` indented below it."""
        node = spot.value
        if isinstance(node, yaml.ScalarNode) and not node.value and spot.key is not None:
            # A key without a value: what is added becomes its mapping.
            column = spot.key.start_mark.column + 2
            return self._insert_after(spot.key.start_mark.line, _entry(key, body, column))
        if not isinstance(node, yaml.MappingNode):
            return None
        if node.flow_style:
            return self._append_flow(node, f"{key}: {body}") if "\n" not in body else None
        if not node.value:
            return None
        return self._insert_after(self._last_line(node), _entry(key, body, node.start_mark.column))

    def remove(self, spot: Spot) -> Splice | None:
        """Take the entry out with all its lines, and with it whatever would hold nothing else any more."""
        spot = self._outermost_alone(spot)
        parent = self.at(spot.path[:-1]) if len(spot.path) > 1 else Spot((), None, self.root)
        if parent is None or getattr(parent.value, "flow_style", False):
            return None
        first = spot.line - 1
        last = self._last_line(spot.value, (spot.key or spot.value).start_mark.line)
        start = self._starts[first]
        head = self.lines[first][: (spot.key or spot.value).start_mark.column]
        if head.strip() != ("" if spot.key is not None else "-"):
            # The first entry of a mapping that stands behind a dash, or a list in a list: the line is not its own.
            return None
        return Splice(start, self._starts[last + 1] if last + 1 < len(self._starts) else len(self.text), "")

    def replace_value(self, spot: Spot, body: str) -> Splice | None:
        """Give the entry `body` as its value: lines that stand below its key, indented by two.

        None where something would be lost with the value that it had: a comment, an anchor.
        """
        if spot.key is None or spot.key.start_mark.line != spot.key.end_mark.line:
            return None
        line = spot.key.start_mark.line
        column = spot.key.start_mark.column + 2
        start = self.text.index(":", self._offset(spot.key.end_mark)) + 1
        last = self._last_line(spot.value, line)
        end = self._starts[last] + len(self.lines[last])
        if spot.value.start_mark.line > line:
            start = self._starts[line] + len(self.lines[line])
        elif self.text[start : self._offset(spot.value.start_mark)].strip():
            return None
        if _COMMENT.search(self.text[start:end]):
            return None
        return Splice(start, end, "".join("\n" + " " * column + text for text in body.split("\n")))

    def edits(self, splices: Iterable[Splice | None]) -> tuple[Edit, ...]:
        """The splices as edits of whole lines; splices of None are left out. Raises ValueError where two overlap."""
        ordered = sorted((s for s in splices if s is not None), key=lambda s: (s.start, s.end))
        groups: list[list[Splice]] = []
        for splice in ordered:
            if groups and splice.start < groups[-1][-1].end:
                raise ValueError("two edits of one place")
            if groups and self._line_of(splice.start) <= self._last_touched(groups[-1][-1]):
                groups[-1].append(splice)
            else:
                groups.append([splice])
        return tuple(edit for group in groups for edit in self._line_edits(group))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _set(self, node: Any, text: str) -> Splice:
        start, end = self._offset(node.start_mark), self._offset(node.end_mark)
        if node.style == "'":
            return Splice(start, end, "'" + text.replace("'", "''") + "'")
        if node.style == '"' or not _stays_text(text):
            return Splice(start, end, quoted(text))
        return Splice(start, end, text)

    def _append_flow(self, node: Any, entry: str) -> Splice | None:
        end = self._offset(node.end_mark) - 1
        body = self.text[self._offset(node.start_mark) + 1 : end]
        if "#" in body and "\n" in body:
            # What is added could land in a comment.
            return None
        kept = end - (len(body) - len(body.rstrip()))
        if not node.value:
            return Splice(kept, kept, entry)
        comma = "" if body.rstrip().endswith(",") else ","
        return Splice(kept, kept, f"{comma} {entry}")

    def _insert_after(self, line: int, text: str) -> Splice:
        at = self._starts[line] + len(self.lines[line])
        return Splice(at, at, "\n" + text)

    def _last_line(self, node: Any, default: int = 0) -> int:
        """The last line (from 0) that belongs to a node; comments and blank lines after it do not."""
        while True:
            if isinstance(node, yaml.ScalarNode):
                return max(default, self._last_line_of_scalar(node))
            if node.flow_style or not node.value:
                return int(max(default, node.end_mark.line))
            last = node.value[-1]
            if isinstance(last, tuple):
                default, node = max(default, last[0].start_mark.line), last[1]
            else:
                default, node = max(default, last.start_mark.line), last
            if node.start_mark.line < default:
                # An alias: the node itself stands somewhere above.
                return default

    def _last_line_of_scalar(self, node: Any) -> int:
        if node.style not in ("|", ">"):
            return int(node.end_mark.line)
        last = node.end_mark.line - (
            1 if node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line else 0
        )
        last = min(last, len(self.lines) - 1)
        while last > node.start_mark.line and not self.lines[last].strip():
            last -= 1
        return int(last)

    def _outermost_alone(self, spot: Spot) -> Spot:
        while len(spot.path) > 1:
            parent = self.at(spot.path[:-1])
            if parent is None or len(parent.value.value) != 1:
                break
            spot = parent
        return spot

    def _offset(self, mark: Any) -> int:
        return int(self._starts[min(mark.line, len(self._starts) - 1)] + mark.column)

    def _line_of(self, offset: int) -> int:
        return max(0, bisect.bisect_right(self._starts, offset) - 1)

    def _last_touched(self, splice: Splice) -> int:
        whole = splice.end > splice.start and splice.end in self._starts[1:] and self.text[splice.end - 1 :][:1] == "\n"
        return self._line_of(splice.end - 1 if whole and not splice.new else splice.end)

    def _line_edits(self, group: list[Splice]) -> Iterator[Edit]:
        first, last = self._line_of(group[0].start), min(self._last_touched(group[-1]), len(self.lines) - 1)
        start = self._starts[first]
        end = self._starts[last] + len(self.lines[last])
        taken_out = len(group) == 1 and not group[0].new and group[0].start == start and group[0].end > end
        pieces: list[str] = []
        at = start
        for splice in group:
            pieces += [self.text[at : splice.start], splice.new]
            at = splice.end
        new = None if taken_out else "".join([*pieces, self.text[at:end]])
        yield Edit(self.file, first + 1, self.lines[first], new)
        for line in range(first + 1, last + 1):
            yield Edit(self.file, line + 1, self.lines[line], None)


def source_of(document: YamlFile, node: Any) -> str:
    """The text of a scalar as it is written, with its quotes."""
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:
        return quoted(str(node.value))
    return str(document.lines[start.line][start.column : end.column])


def quoted(text: str) -> str:
    """The text in double quotes, as YAML reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def scalar(text: str) -> str:
    """The text as YAML reads it back as text: plain where that is safe, in quotes otherwise."""
    return text if _stays_text(text) else quoted(text)


def _stays_text(text: str) -> bool:
    return (
        bool(_PLAIN.fullmatch(text))
        and text.isprintable()
        and not _NOT_PLAIN.search(text)
        and not _OTHER_TYPE.fullmatch(text)
        and isinstance(resolve(text), str)
    )


def _item(entry: str, column: int) -> str:
    head, *rest = entry.split("\n")
    return "\n".join([" " * column + "- " + head, *(" " * (column + 2) + line for line in rest)])


def _entry(key: str, body: str, column: int) -> str:
    if not body.startswith("\n"):
        return " " * column + f"{key}: {body}"
    return "\n".join([" " * column + f"{key}:", *(" " * (column + 2) + line for line in body[1:].split("\n"))])
