"""An outline: a tree shown as lines. New data is compared by key, so cursor, open branches and scroll stay.

Never rebuilds what did not change, and never asks for children that nobody opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .page import NO_TICK, Look, Page, Tick
from .spans import Spans

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Node(Generic[T]):
    """One line of an outline, in the order of a walk from the top. `lazy` can be opened though it has no children yet.

    Two looks at the same thing share the node object where nothing differs: that is how change is told.
    """

    key: str
    depth: int
    data: T
    branch: bool = False
    lazy: bool = False
    opened: bool = True  # until a person says otherwise
    active: bool = False  # shows elapsed time
    rest: bool = True  # the cursor may rest here


class OutlinePage(Page, Generic[T]):
    """A page over nodes; `draw` of the subclass makes the line of one."""

    keeps_cursor = True

    def __init__(self, title: Spans = ()) -> None:
        super().__init__(title, cursor=True)
        self.nodes: list[Node[T]] = []
        self.visible: list[int] = []
        self._choice: dict[str, bool] = {}
        self._at: dict[int, int] = {}
        self._filter: Callable[[Node[T]], bool] | None = None
        self._ticked_at = 0
        self._drawn_at = 0

    # --- data --------------------------------------------------------------------------------------------------------

    def set_nodes(self, nodes: Sequence[Node[T]]) -> None:
        """Show `nodes`. Where only looks differ, only those lines are redrawn."""
        before, self.nodes = self.nodes, list(nodes)
        if len(before) == len(nodes):
            changed: list[int] = []
            for index, (old, new) in enumerate(zip(before, nodes, strict=True)):
                if old is new:
                    continue
                if old.key != new.key or old.depth != new.depth or _shape(old) != _shape(new):
                    break
                changed.append(index)
            else:
                if self._filter is None:
                    if changed:
                        self.touch(self._at[index] for index in changed if index in self._at)
                    return
        self._relist(before)

    def _relist(self, before: Sequence[Node[T]]) -> None:
        """Work out which nodes are on show, and keep the cursor on what it was on, at the same height."""
        held = [before[i].key for i in self.visible if i < len(before)]
        cursor_key = held[self.cursor] if 0 <= self.cursor < len(held) else ""
        above = self.cursor - self.top
        self.visible = list(self._listed())
        self._at = {node: line for line, node in enumerate(self.visible)}
        self.touch()
        if not cursor_key:
            return
        lines = {self.nodes[node].key: line for line, node in enumerate(self.visible)}
        # What the cursor was on may be gone: then the nearest line above it that is still there.
        for key in reversed(held[: self.cursor + 1]):
            if key in lines:
                self.cursor = lines[key]
                self.top = max(0, self.cursor - above)
                return
        self.cursor = 0

    def _listed(self) -> Iterable[int]:
        keep = self._kept()
        closed_at = -1
        for index, node in enumerate(self.nodes):
            if 0 <= closed_at < node.depth:
                continue
            closed_at = -1
            if keep is not None:
                if index in keep:
                    yield index
                continue
            yield index
            if node.branch and not self.is_open(node):
                closed_at = node.depth

    def _kept(self) -> set[int] | None:
        """With a filter: the nodes that match, with everything above them."""
        if self._filter is None:
            return None
        keep: set[int] = set()
        path: list[int] = []
        for index, node in enumerate(self.nodes):
            while path and self.nodes[path[-1]].depth >= node.depth:
                path.pop()
            path.append(index)
            if self._filter(node):
                keep.update(path)
        return keep

    def set_filter(self, keep: Callable[[Node[T]], bool] | None) -> None:
        """Show only the nodes that `keep` takes, with what is above them; None shows all."""
        self._filter = keep
        self._relist(self.nodes)
        if keep is not None:
            first = next((line for line, node in enumerate(self.visible) if keep(self.nodes[node])), 0)
            self.cursor = first
        self.touch_head()

    @property
    def filtered(self) -> bool:
        """Whether only some nodes are on show."""
        return self._filter is not None

    # --- lines -------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return len(self.visible)

    def node(self, line: int) -> Node[T] | None:
        """The node on `line`, None where there is none."""
        return self.nodes[self.visible[line]] if 0 <= line < len(self.visible) else None

    def key(self, index: int) -> str:
        return self.nodes[self.visible[index]].key

    def selectable(self, index: int) -> bool:
        return self.nodes[self.visible[index]].rest

    def line(self, index: int, width: int, look: Look) -> Spans:
        return self.draw(self.nodes[self.visible[index]], width, look)

    def draw(self, node: Node[T], width: int, look: Look) -> Spans:
        """The line of `node`."""
        return ()

    def tick(self, now_ms: int, first: int, last: int, width: int) -> Tick:
        """One running line ticks every two seconds, more of them more seldom: little is written however many there are.

        Every half minute whole lines are drawn, so that bars grow too.
        """
        active = tuple(line for line in range(first, last) if self.nodes[self.visible[line]].active)
        if not active or now_ms - self._ticked_at < 1_900 * len(active):
            return NO_TICK
        self._ticked_at = now_ms
        if now_ms - self._drawn_at >= 30_000 * len(active):
            self._drawn_at = now_ms
            return (False, active, (0, 0))
        return (False, active, self.time_cells(width))

    def time_cells(self, width: int) -> tuple[int, int]:
        """(first cell, cells) of what shows elapsed time in a line of `width` cells."""
        return (0, 0)

    # --- open and close ----------------------------------------------------------------------------------------------

    def is_open(self, node: Node[T]) -> bool:
        """Whether the children of `node` are on show: as a person said, else as the node says."""
        return self._choice.get(node.key, node.opened and not node.lazy)

    def toggle(self, index: int, *, opened: bool | None = None) -> bool:
        node = self.node(index)
        if node is None:
            return False
        if not node.branch and opened is not False:
            return False
        if opened is False and (not node.branch or not self.is_open(node)):
            return self._to_parent(index)
        now = self.is_open(node)
        if opened is None:
            opened = not now
        if opened == now:
            return False
        self._choice[node.key] = opened
        self._relist(self.nodes)
        return True

    def _to_parent(self, line: int) -> bool:
        depth = self.nodes[self.visible[line]].depth
        for above in range(line - 1, -1, -1):
            node = self.nodes[self.visible[above]]
            if node.depth < depth and node.rest:
                self.touch((line, above))
                self.cursor = above
                return True
        return False

    def go_to(self, key: str, height: int) -> bool:
        """Put the cursor on `key`, opening what is above it; False where it is not there."""
        index = next((i for i, node in enumerate(self.nodes) if node.key == key), -1)
        if index < 0:
            return False
        if index not in self._at:
            depth = self.nodes[index].depth
            for above in range(index - 1, -1, -1):
                node = self.nodes[above]
                if node.depth < depth:
                    self._choice[node.key] = True
                    depth = node.depth
            self._relist(self.nodes)
        line = self._at.get(index)
        if line is None:
            return False
        self.move_to(line, height)
        return True

    def find(self, wanted: Callable[[Node[T]], bool], *, back: bool = False) -> str:
        """The key of the next node after the cursor that is `wanted`, going round; empty where there is none."""
        start = self.visible[self.cursor] if 0 <= self.cursor < len(self.visible) else 0
        order = range(len(self.nodes))
        turned = [*order[start + 1 :], *order[: start + 1]]
        if back:
            turned = [*reversed(order[:start]), *reversed(order[start:])]
        return next((self.nodes[i].key for i in turned if self.nodes[i].rest and wanted(self.nodes[i])), "")


def _shape(node: Node[T]) -> tuple[bool, bool, bool, bool]:
    return (node.branch, node.lazy, node.opened, node.rest)
