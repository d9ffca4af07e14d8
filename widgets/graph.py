"""A graph in the order of its dependencies: one line for each node, rails at its left lead to what comes after it.

Never lays out more than one line a node, so that it scrolls, filters and keeps its place like every other list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .glyphs import Glyphs
from .page import Look, Page
from .spans import Span, Spans, cells, pad, span, width_of
from .words import plural

_MOST_RAILS = 40


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One thing: `needs` are the keys of what has to come before it; keys that are not there are left out."""

    key: str
    name: str
    sign: str
    role: str
    note: Spans = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rail:
    """What a rail does at one line: whether it goes on upwards, downwards, to the left and to the right.

    `here` is where the node itself stands; `joins` tells a rail that takes something in from one that is crossed.
    """

    up: bool = False
    down: bool = False
    left: bool = False
    right: bool = False
    here: bool = False
    joins: bool = False


def in_order_of(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys so that each stands after what it needs, a chain as close together as can be; a circle at the end."""
    after: dict[str, list[str]] = {key: [] for key in needs}
    waiting = dict.fromkeys(needs, 0)
    for key, before in needs.items():
        for name in dict.fromkeys(before):
            if name in needs and name != key:
                after[name].append(key)
                waiting[key] += 1
    ready = [key for key in reversed(list(needs)) if not waiting[key]]
    order: list[str] = []
    while ready:
        key = ready.pop()
        order.append(key)
        for follower in reversed(after[key]):
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    placed = set(order)
    return order + [key for key in needs if key not in placed]


def rails_of(order: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[list[Rail]]:
    """The rails of each line. One rail leads to each node that is still to come and already waited for.

    Edges that would lead upwards (of a circle) are left out.
    """
    place = {key: number for number, key in enumerate(order)}
    after: dict[str, list[str]] = {key: [] for key in order}
    for key in order:
        for name in dict.fromkeys(needs[key]):
            if place.get(name, len(order)) < place[key]:
                after[name].append(key)
    columns: list[str] = []
    lines: list[list[Rail]] = []
    for key in order:
        fed = key in columns
        at = columns.index(key) if fed else _free(columns, 0)
        before = columns.copy()
        columns[at] = ""
        joined: set[int] = set()
        opened: set[int] = set()
        for target in after[key]:
            if target in columns:
                joined.add(columns.index(target))
            else:
                slot = at if not columns[at] else _free(columns, at)
                columns[slot] = target
                opened.add(slot)
        lines.append(_line(at, fed, before, columns, joined, opened))
        while columns and not columns[-1]:
            columns.pop()
    return lines


def _free(columns: list[str], least: int) -> int:
    slot = next((n for n in range(least, len(columns)) if not columns[n]), len(columns))
    if slot == len(columns):
        columns.append("")
    return slot


def _line(at: int, fed: bool, before: list[str], after: list[str], joined: set[int], opened: set[int]) -> list[Rail]:
    ends = joined | opened | {at}
    first, last = min(ends), max(ends)
    rails = []
    for column in range(len(after)):
        above = column < len(before) and bool(before[column]) and (column != at or fed)
        rails.append(
            Rail(
                up=above,
                down=bool(after[column]),
                left=first < column <= last,
                right=first <= column < last,
                here=column == at,
                joins=column in joined,
            )
        )
    return rails


def rail_spans(rails: Sequence[Rail], sign: Span, glyphs: Glyphs, most: int = _MOST_RAILS) -> Spans:
    """The rails of one line as text, two cells each; no more than `most` of them, but always the node's own sign."""
    shown = list(rails[:most])
    line: list[Span] = []
    for rail in shown:
        line.append(sign if rail.here else (_sign(rail, glyphs), "faint"))
        line.append((glyphs.rule if rail.right else " ", "faint"))
    if not any(rail.here for rail in shown):
        line = [*line[:-2], sign, (" ", "")]
    return tuple(line)


def _sign(rail: Rail, glyphs: Glyphs) -> str:
    up, down, left, right = rail.up, rail.down, rail.left, rail.right
    top_left, top_right, bottom_right, bottom_left = tuple(glyphs.corners)
    if up and down:
        if left and right:
            return glyphs.cross if rail.joins else glyphs.side
        return glyphs.tee_left if right else glyphs.tee_right if left else glyphs.side
    if down:
        return glyphs.tee if left and right else top_right if left else top_left if right else glyphs.side
    if up:
        return glyphs.tee_up if left and right else bottom_right if left else bottom_left if right else glyphs.side
    return glyphs.rule if left or right else " "


class GraphPage(Page):
    """The graph of a run's tasks or of an update's flows. What the node under the cursor needs and feeds is marked."""

    keeps_cursor = True

    def __init__(self) -> None:
        super().__init__(cursor=True)
        self._nodes: tuple[GraphNode, ...] = ()
        self._rails: list[list[Rail]] = []
        self._needs: dict[str, tuple[str, ...]] = {}
        self._feeds: dict[str, list[str]] = {}
        self._shape: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self._steps = 0
        self._reach: tuple[str, frozenset[str], frozenset[str]] = ("", frozenset(), frozenset())
        self._nothing = ""

    def show(self, nodes: Iterable[GraphNode], *, nothing: str = "") -> None:
        """Show `nodes`; the cursor stays on its node, and nothing is laid out anew where only looks differ."""
        given = {node.key: node for node in nodes}
        if nothing != self._nothing:
            self._nothing = nothing
            self.touch()
        shape = tuple((node.key, node.needs) for node in given.values())
        if shape != self._shape:
            held = self.home()
            self._lay_out(shape)
            self._nodes = tuple(given[key] for key in self._needs)
            self.cursor = next((n for n, node in enumerate(self._nodes) if node.key == held), 0)
            self.touch()
            self.touch_head()
            return
        after = tuple(given[key] for key in self._needs)
        self.touch(number for number, (a, b) in enumerate(zip(self._nodes, after, strict=True)) if a != b)
        self._nodes = after

    def _lay_out(self, shape: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        self._shape = shape
        needs = dict(shape)
        order = in_order_of(needs)
        self._rails = rails_of(order, needs)
        self._needs = {key: tuple(name for name in needs[key] if name in needs and name != key) for key in order}
        self._feeds = {key: [] for key in order}
        depth: dict[str, int] = {}
        for key in order:
            for name in self._needs[key]:
                self._feeds[name].append(key)
            depth[key] = 1 + max((depth.get(name, 0) for name in self._needs[key]), default=0)
        self._steps = max(depth.values(), default=0)

    @property
    def count(self) -> int:
        return len(self._nodes)

    def key(self, index: int) -> str:
        return self._nodes[index].key

    def go_to(self, key: str, height: int) -> bool:
        """Put the cursor on the node `key`; False where it is not there."""
        at = next((n for n, node in enumerate(self._nodes) if node.key == key), -1)
        if at < 0:
            return False
        self.move_to(at, height)
        return True

    def move_to(self, index: int, height: int, *, down: bool = True) -> None:
        before = self.cursor
        super().move_to(index, height, down=down)
        if self.cursor != before:
            self.touch(range(self.top, self.top + height))  # what is marked is another set now

    def empty(self, width: int) -> list[Spans]:
        return [((self._nothing, "muted"),)]

    def pinned(self, width: int, look: Look) -> list[Spans]:
        if not self._nodes:
            return []
        return [
            (
                (f"{plural(len(self._nodes), 'node')} in {plural(self._steps, 'step')}", "muted"),
                (f"   {_UP} needed by the line with the cursor   {_DOWN} needs it", "faint"),
            )
        ]

    def line(self, index: int, width: int, look: Look) -> Spans:
        node = self._nodes[index]
        _, above, below = self._around(self.home())
        most = max(2, (width // 2) // 2)
        rails = rail_spans(self._rails[index], (node.sign, node.role), look.glyphs, most)
        widest = min(most, max(len(line) for line in self._rails)) * 2
        mark = _UP if node.key in above else _DOWN if node.key in below else " "
        near = node.key == self.home() or mark != " "
        room = max(8, min(self._name_width(), width - widest - 4 - 12))
        return (
            *rails,
            (" " * max(0, widest - width_of(rails)), ""),
            (f"{mark} ", "accent+b"),
            (pad(span(node.name)[0], room), "" if near else "muted"),
            ("  ", ""),
            *node.note,
        )

    def _name_width(self) -> int:
        return max((cells(span(node.name)[0]) for node in self._nodes), default=8)

    def _around(self, key: str) -> tuple[str, frozenset[str], frozenset[str]]:
        """(the key, all that it needs, all that needs it), nearest and farthest."""
        if self._reach[0] != key or not key:
            self._reach = (key, _reached(key, self._needs), _reached(key, self._feeds))
        return self._reach


_UP, _DOWN = "^", "v"


def _reached(key: str, ways: Mapping[str, Sequence[str]]) -> frozenset[str]:
    seen: set[str] = set()
    path = list(ways.get(key, ()))
    while path:
        name = path.pop()
        if name not in seen:
            seen.add(name)
            path.extend(ways.get(name, ()))
    return frozenset(seen - {key})
