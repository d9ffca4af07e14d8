"""The resources of the bundle: grouped by type, each with state, the strip of its last runs, and how far it is.

Never asks the workspace; what is not known yet is simply not shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.bundle import Bundle, Resource
from ..core.runs import Outcome
from ..core.state import ResourceStatus, RunSummary
from .glyphs import Glyphs, state_look, state_words
from .outline import Node, OutlinePage
from .page import Look
from .spans import Span, Spans, cells, crop, pad, span
from .words import brief

STRIP = 6  # runs in the strip
_FIRST = ("jobs", "pipelines")
_NAMES = {
    "mlops_stacks": "MLOps stacks",
    "sql_warehouses": "SQL warehouses",
    "registered_models": "Registered models",
    "apps": "Apps",
}
_LAYERS = {"orchestrator": "orchestrates", "composite": "composite"}


@dataclass(frozen=True, slots=True)
class Group:
    """A type of resource with how many there are."""

    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource with its status; `focused` is what the console follows. `partly` are the ids of those of its runs
    that failed in few of their items."""

    resource: Resource
    status: ResourceStatus | None
    focused: bool = False
    partly: frozenset[str] = frozenset()


Item = Group | Entry


def group_name(type_: str) -> str:
    """`model_serving_endpoints` → `Model serving endpoints`."""
    words = type_.replace("_", " ")
    return _NAMES.get(type_, words[:1].upper() + words[1:])


class ResourcePage(OutlinePage[Item]):
    """The tree of pane 1."""

    def __init__(self) -> None:
        super().__init__((("Resources", ""),))
        self._held: dict[str, Node[Item]] = {}
        self._seen: tuple[object, ...] = ()

    def show(
        self,
        bundle: Bundle | None,
        statuses: dict[str, ResourceStatus],
        focus: str,
        partly: frozenset[str] = frozenset(),
    ) -> None:
        """Show the resources of `bundle`; entries that do not differ keep their node. `partly` are the ids of runs
        that failed in so few of their items that it is a warning."""
        seen = (bundle, statuses, focus, partly)
        if len(self._seen) == 4 and all(a is b for a, b in zip(seen, self._seen, strict=True)):
            return
        self._seen = seen
        nodes: list[Node[Item]] = []
        for type_, members in _grouped(bundle):
            nodes.append(self._node(f"@{type_}", 0, Group(type_, len(members)), branch=True))
            for resource in members:
                status = statuses.get(resource.ref)
                few = partly.intersection(run.id for run in status.history) if partly and status is not None else ()
                entry = Entry(resource, status, resource.ref == focus, frozenset(few))
                nodes.append(self._node(resource.ref, 1, entry))
        self._held = {node.key: node for node in nodes}
        self.set_nodes(nodes)
        if self.cursor == 0 and len(nodes) > 1 and self.visible and isinstance(self.nodes[self.visible[0]].data, Group):
            self.cursor = 1 if len(self.visible) > 1 else 0
        self._set_title(bundle)

    def _set_title(self, bundle: Bundle | None) -> None:
        total = len(bundle.resources) if bundle else 0
        failing = len(self.failing)
        aside: Spans = ((f"{failing} failed", "error"),) if failing else ((f"{total}", "faint"),)
        self.set_head((("Resources", ""),), aside)

    @property
    def failing(self) -> tuple[str, ...]:
        """The refs of those whose last run or update failed, from the top."""
        return tuple(node.key for node in self.nodes if _fails(node))

    def next_failing(self, *, back: bool = False) -> str:
        """The ref of the one after the cursor, going round; empty where none has failed."""
        return self.find(_fails, back=back)

    def _node(self, key: str, depth: int, data: Item, *, branch: bool = False) -> Node[Item]:
        held = self._held.get(key)
        if held is not None and _same(held.data, data):
            return held
        return Node(key, depth, data, branch=branch)

    def entry(self) -> Entry | None:
        """The resource under the cursor."""
        node = self.node(self.cursor)
        return node.data if node is not None and isinstance(node.data, Entry) else None

    def empty(self, width: int) -> list[Spans]:
        return [(("No resource is declared in this bundle.", "muted"),)]

    def draw(self, node: Node[Item], width: int, look: Look) -> Spans:
        data, glyphs = node.data, look.glyphs
        if isinstance(data, Group):
            twist = glyphs.opened if self.is_open(node) else glyphs.closed
            count = "" if self.is_open(node) else f"  {data.count}"
            return ((f"{twist} ", "faint"), (group_name(data.type), "muted+b"), (count, "faint"))
        sign, role, right = self._state(data, look)
        strip = history_strip(data.status.history if data.status else (), glyphs, mono=look.mono, partly=data.partly)
        right_width = 12 if width >= 34 else 8 if width >= 26 else 0
        strip_width = STRIP if width >= 34 and any(text.strip() for text, _ in strip) else STRIP * (width >= 34)
        room = width - 4 - (right_width + 1 if right_width else 0) - (strip_width + 1 if strip_width else 0)
        name = data.resource.key
        line: list[Span] = [("  ", ""), (sign + " ", role), (pad(span(name)[0], max(4, room)), _name_role(data))]
        if strip_width:
            line += [(" ", ""), *strip]
        if right_width:
            text, right_role = right
            line += [(" ", ""), (pad(crop(text, right_width), right_width, right=True), right_role)]
        return tuple(line)

    def _state(self, entry: Entry, look: Look) -> tuple[str, str, Span]:
        """(sign, its role, what stands at the right end)."""
        glyphs, status, resource = look.glyphs, entry.status, entry.resource
        last = _last(entry)
        if last is None:
            if status is not None and status.note:
                return glyphs.quiet, "faint", span(status.note, "muted")
            word = {"created": "not deployed", "deleted": "to delete"}.get(resource.modified_status, "")
            if resource.id or not word:
                word = ""
            elif resource.modified_status == "created" and not resource.id:
                word = "not deployed"
            layer = _LAYERS.get(resource.layer, "")
            return glyphs.quiet, "faint", (word or layer, "faint")
        sign, role = state_look(last.state, glyphs)
        running = last.state.active and last.state.outcome is not Outcome.QUEUED
        elapsed = last.duration_ms
        if last.state.active and last.start_ms:
            elapsed = max(0, look.now_ms - last.start_ms)
        usual = status.usual if status is not None and last.state.active and elapsed >= 60_000 else None
        if usual is not None:
            from ..core.run_stats import longer_than_usual  # here, because the first paint needs none

            if longer_than_usual(elapsed, usual):
                return sign, role, (f"{_slow(elapsed)}, slow", "warn")
        if running and status is not None and status.progress is not None and status.progress[1]:
            done, total = status.progress
            return sign, role, (f"{done}/{total} {status.progress_unit}".strip(), role)
        if last.state.active:
            if usual is not None:
                return sign, role, (f"{_slow(elapsed)} of ~{brief(usual.median_ms)}", role)
            # Why it is queued has no room here: the run says it.
            words = state_words(last.state) if running else str(last.state.outcome.value)
            return sign, role, (f"{words} {_slow(elapsed)}".strip(), role)
        if last.id in entry.partly:
            return glyphs.partly, "warn", ("partly", "warn")
        if last.state.succeeded:
            return sign, role, (brief(elapsed) if elapsed else "", "muted")
        return sign, role, span(state_words(last.state), role)


def history_strip(
    history: tuple[RunSummary, ...], glyphs: Glyphs, *, mono: bool = False, partly: frozenset[str] = frozenset()
) -> Spans:
    """The last runs, oldest first, in exactly STRIP cells: height is the duration against the longest, colour the
    state; where colours cannot be told apart a failed run is drawn as its sign."""
    shown = history[:STRIP][::-1]
    times = [run.duration_ms for run in shown]
    longest = max(times, default=0) or 1
    line: list[Span] = [(" " * (STRIP - len(shown)), "")]
    for run, ms in zip(shown, times, strict=True):
        sign, role = (glyphs.partly, "warn") if run.id in partly else state_look(run.state, glyphs)
        if run.state.active or (mono and run.state.failed):
            line.append((sign, role))
        else:
            step = min(len(glyphs.bars) - 1, round(ms / longest * (len(glyphs.bars) - 1)))
            line.append((glyphs.bars[step], role if not run.state.succeeded else "ok"))
    return tuple(line)


def _grouped(bundle: Bundle | None) -> list[tuple[str, list[Resource]]]:
    groups: dict[str, list[Resource]] = {}
    for resource in bundle.resources if bundle else ():
        groups.setdefault(resource.type, []).append(resource)
    order = sorted(groups, key=lambda type_: (_FIRST.index(type_) if type_ in _FIRST else len(_FIRST), type_))
    return [(type_, groups[type_]) for type_ in order]


def _same(a: Item, b: Item) -> bool:
    if isinstance(a, Entry) and isinstance(b, Entry):
        same = (a.focused, a.partly) == (b.focused, b.partly)
        return same and a.resource is b.resource and (a.status is b.status or a.status == b.status)
    return a == b


def _fails(node: Node[Item]) -> bool:
    last = _last(node.data) if isinstance(node.data, Entry) else None
    return last is not None and last.state.failed and last.id not in node.data.partly  # type: ignore[union-attr]


def _last(entry: Entry) -> RunSummary | None:
    return entry.status.history[0] if entry.status and entry.status.history else None


def _name_role(entry: Entry) -> str:
    return "accent+b" if entry.focused else ""


def _slow(ms: int) -> str:
    """Elapsed time that changes once a minute, so that many running jobs do not keep the terminal busy."""
    return brief(ms) if ms >= 7_200_000 else f"{ms // 60_000}m" if ms >= 60_000 else ""


def name_width(bundle: Bundle | None) -> int:
    """Cells of the longest key, for the width of the pane."""
    return max((cells(resource.key) for resource in bundle.resources), default=0) if bundle else 0
