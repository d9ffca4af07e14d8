"""The update that is looked at: its flows in dependency order with state, rows, expectations and the backlog.

Never sums anything itself: the model holds what the events added up to.
"""

from __future__ import annotations

import heapq
from collections.abc import Set

from ..core.pipelines import Expectation, Flow, Update
from .beam import Window, axis, beam, window_of
from .glyphs import Glyphs, pipeline_look
from .outline import Node, OutlinePage
from .page import NO_TICK, Look, Tick
from .spans import Span, Spans, cells, pad, span
from .words import duration, iso_ms, percent, shared_prefix, short_count, size

FlowItem = Flow | Expectation


class UpdatePage(OutlinePage[FlowItem]):
    """The tree of pane 2 for an update; with `timeline` the bars get all the room."""

    def __init__(self, *, timeline: bool = False) -> None:
        super().__init__()
        self.timeline = timeline
        self.update: Update | None = None
        self._held: dict[str, Node[FlowItem]] = {}
        self._label = 12
        self._window = Window(0, 60_000)
        self._prefix = ""
        self._previous: Update | None = None
        self._marked: Set[str] = frozenset()
        self._before: dict[tuple[str, str, str], Expectation] = {}

    def show(
        self, update: Update | None, now_ms: int, previous: Update | None = None, marked: Set[str] = frozenset()
    ) -> None:
        """Show `update`; flows that do not differ keep their node. `previous` is the one before, for the trend;
        `marked` are the datasets that were chosen."""
        if update is self.update and update is not None and previous is self._previous and marked is self._marked:
            return
        if (previous, marked) != (self._previous, self._marked):
            self.touch()
        self._previous, self._marked = previous, marked
        self._before = {
            (flow.name, rule.dataset, rule.name): rule
            for flow in (previous.flows if previous is not None else ())
            for rule in flow.expectations
        }
        if update is None or self.update is None or update.update_id != self.update.update_id:
            self.cursor, self.top = 0, 0
            self._choice = {}
        self.update = update
        flows = flows_in_order(update.flows) if update is not None else []
        prefix = shared_prefix(flow.name for flow in flows)
        if prefix != self._prefix:
            self._prefix = prefix
            self.touch()
        nodes: list[Node[FlowItem]] = []
        for flow in flows:
            failing = any(rule.failed for rule in flow.expectations)
            active = _active(flow) and update is not None and not update.ended
            nodes.append(self._node(flow.name, 0, flow, bool(flow.expectations), failing, active))
            for rule in flow.expectations:
                nodes.append(self._node(f"{flow.name}/{rule.dataset}/{rule.name}", 1, rule, False, False, False))
        self._held = {node.key: node for node in nodes}
        label = max((cells(self._name(node.data)) + 2 * node.depth + 4 for node in nodes), default=12)
        if label != self._label:
            self._label = label
            self.touch()
        self._set_window(now_ms)
        self.set_nodes(nodes)

    def _name(self, data: FlowItem) -> str:
        """The name without what the names of all flows begin with: the details have it in full."""
        return data.name.removeprefix(self._prefix)

    def _set_window(self, now_ms: int) -> None:
        if self.update is None:
            return
        latest = max((iso_ms(flow.end or flow.start) for flow in self.update.flows if flow.start), default=0)
        window = window_of(self.update.creation_ms, latest if self.update.ended else 0, now_ms, latest)
        if window != self._window:
            self._window = window
            self.touch()
            self.touch_head()

    def _node(self, key: str, depth: int, data: FlowItem, branch: bool, opened: bool, active: bool) -> Node[FlowItem]:
        held = self._held.get(key)
        if held is not None and (held.data, held.branch, held.opened, held.active) == (data, branch, opened, active):
            return held
        return Node(key, depth, data, branch=branch, opened=opened, active=active)

    def flow(self) -> Flow | None:
        """The flow under the cursor, or the one whose expectation is."""
        for line in range(min(self.cursor, self.count - 1), -1, -1):
            node = self.node(line)
            if node is not None and isinstance(node.data, Flow):
                return node.data
        return None

    def tick(self, now_ms: int, first: int, last: int, width: int) -> Tick:
        before = self._window
        if self.update is not None and not self.update.ended:
            self._set_window(now_ms)
        if self._window != before:
            return (True, (), (0, 0))
        return NO_TICK if self.timeline else super().tick(now_ms, first, last, width)

    def time_cells(self, width: int) -> tuple[int, int]:
        return (self._columns(width)[0], 8)

    def pinned(self, width: int, look: Look) -> list[Spans]:
        if not self.timeline or self.update is None or width < 40:
            return []
        label, bar, _ = self._columns(width)
        return [((" " * (label + 9), ""), *axis(self._window, bar, look.glyphs))]

    def empty(self, width: int) -> list[Spans]:
        if self.update is None:
            return [(("No update yet.", "muted"),)]
        return [(("No flow has been named by its events yet.", "muted"),)]

    def _columns(self, width: int) -> tuple[int, int, int]:
        if self.timeline:
            label = min(self._label, max(16, width // 3))
            bar = max(0, width - label - 11)
            return label, bar if bar >= 16 else 0, 0
        label = min(max(self._label, 18), max(16, width * 2 // 5))
        rest = width - label - 9
        bar = min(24, max(12, rest // 3)) if rest >= 48 else 0
        return label, bar, max(0, rest - bar - (2 if bar else 0))

    def draw(self, node: Node[FlowItem], width: int, look: Look) -> Spans:
        data, glyphs = node.data, look.glyphs
        label, bar, note = self._columns(width)
        if isinstance(data, Expectation):
            flow = node.key.partition("/")[0]
            return self._rule(data, self._before.get((flow, data.dataset, data.name)), label, look)
        over = self.update is not None and self.update.ended
        sign, role, word = flow_look(data, glyphs, ended=over)
        twist = (glyphs.opened if self.is_open(node) else glyphs.closed) if node.branch else " "
        start, end = iso_ms(data.start), iso_ms(data.end)
        until = end or (self._window.end_ms if over else look.now_ms)
        elapsed = duration(until - start) if start and (end or not over) else glyphs.dash
        line: list[Span] = [
            (twist, "faint"),
            (glyphs.chosen if (data.dataset or data.name) in self._marked else " ", "accent+b"),
            (f"{sign} ", role),
            (pad(span(self._name(data))[0], label - 4), ""),
            (f"{elapsed:>8} ", "muted"),
        ]
        if bar:
            line += beam(self._window, start, until if start else 0, bar, role, glyphs)
            line.append(("  ", ""))
        if note > 3:
            line += flow_note(data, word, role)
        return tuple(line)

    def _rule(self, rule: Expectation, before: Expectation | None, label: int, look: Look) -> Spans:
        total = rule.passed + rule.failed
        sign, role = (look.glyphs.partly, "warn") if rule.failed else (look.glyphs.ok, "ok")
        words = f"{short_count(rule.failed)} of {short_count(total)} failed" if rule.failed else "passed"
        words += ", dropped" if rule.dropped else ""
        return (
            ("    ", ""),
            (f"{sign} ", role),
            (pad(span(rule.name)[0], max(4, label - 6)), "muted"),
            (f" {percent(rule.passed, total):>7} ", "muted"),
            (words, role if rule.failed else "faint"),
            *trend(rule, before),
        )


def trend(rule: Expectation, before: Expectation | None) -> Spans:
    """How a rule did against the update before: better or worse, and what it was; nothing where it did the same."""
    if before is None or not before.passed + before.failed or not rule.passed + rule.failed:
        return ()
    now, then = rule.failed / (rule.passed + rule.failed), before.failed / (before.passed + before.failed)
    was = f"{short_count(before.failed)} of {short_count(before.passed + before.failed)}" if before.failed else "none"
    if abs(now - then) < 0.000_05:
        return ((", as before", "faint"),) if rule.failed else ()
    word, role = ("worse", "error") if now > then else ("better", "ok")
    return ((f"  {word}", role), (f": {was} before", "muted"))


def flow_note(flow: Flow, word: str, role: str) -> list[Span]:
    """What stands at the end of a flow's line: state in words, rows, what was dropped, and the backlog."""
    parts: list[Span] = []
    if flow.status not in ("COMPLETED",):
        parts.append(span(word, role))
    numbers = [
        (flow.rows, "rows"),
        (flow.upserted, "upserted"),
        (flow.deleted, "deleted"),
    ]
    for number, unit in numbers:
        if number:
            parts.append((("  " if parts else "") + f"{short_count(number)} {unit}", "muted"))
    if flow.dropped:
        parts.append((("  " if parts else "") + f"{short_count(flow.dropped)} dropped", "warn"))
    if flow.backlog_bytes:
        parts.append((("  " if parts else "") + f"{size(flow.backlog_bytes)} behind", "warn"))
    return parts


def flow_look(flow: Flow, glyphs: Glyphs, *, ended: bool) -> tuple[str, str, str]:
    """(sign, role, word) of a flow's state. Of an update that has `ended` no flow goes on, whatever its last event
    says: where a driver is lost, nobody is left to tell of them."""
    if ended and _active(flow):
        return glyphs.partly, "warn", "cut off"
    if ended and flow.status in ("QUEUED", "CREATED", ""):
        return glyphs.skipped, "faint", "not run"
    return pipeline_look(flow.status, glyphs)


def _active(flow: Flow) -> bool:
    return flow.status in ("STARTING", "RUNNING", "PLANNING", "STOPPING")


def flows_in_order(flows: tuple[Flow, ...]) -> list[Flow]:
    """Flows after the datasets they read, else as they came; a circle stands at the end."""
    makes: dict[str, list[int]] = {}
    for number, flow in enumerate(flows):
        for name in {flow.name, flow.dataset}:
            if name:
                makes.setdefault(name, []).append(number)
    waiting = [0] * len(flows)
    after: list[list[int]] = [[] for _ in flows]
    for number, flow in enumerate(flows):
        for above in {n for name in flow.inputs for n in makes.get(name, ()) if n != number}:
            after[above].append(number)
            waiting[number] += 1
    ready = [number for number, left in enumerate(waiting) if left == 0]
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for follower in after[number]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    placed = set(order)
    return [flows[number] for number in [*order, *(n for n in range(len(flows)) if n not in placed)]]
