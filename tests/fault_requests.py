"""Loops of which one request is not answered as it should be, in each of many ways, and how they have to end.
It holds no test; what must hold is in `problems`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbops_tui.core import identifying, transport
from dbops_tui.core.clock import ScaledClock
from dbops_tui.core.workspace import Workspace
from engine_world import CLOCK, Played, Sample, heal, running
from fault_harness import JOBS, MENDED, PIPELINES, Counts, Yard, counted

SECONDS = 1.5  # of real time that a request of ours may take here
STUCK = 90.0  # seconds of real time after which a loop counts as one that never ends
REFUSED = "refused"  # at the client's side: a sandbox that serves cannot refuse a connection


@dataclass(frozen=True)
class Way:
    """How one request goes wrong: a rule of the sandbox, and the words of which a true cause has at least one."""

    rule: Mapping[str, Any]
    words: str
    acts: bool = False  # whether the workspace did what was asked for all the same


_BROKEN = r"broke|reset|cannot be reached|unexpected|EOF|Remote end|closed|IncompleteRead|aborted"
_SERVER = r"internal error|temporarily|unavailable|INTERNAL_ERROR|gateway|server|50\d"
_SIGN_IN = r"sign|credential|UNAUTHENTICATED|401|token|login"
_ANSWER = r"no JSON|half|nothing|shape|page|unmarshal|JSON|Sign in|parse|answered|invalid character"
WAYS: Mapping[str, Way] = {
    REFUSED: Way({}, r"refused|cannot be reached|connected"),
    "reset before": Way({"kind": "reset"}, _BROKEN),
    "reset after": Way({"kind": "reset", "after": True}, _BROKEN, acts=True),
    "silence before": Way({"kind": "reset", "seconds": 2 * SECONDS}, _BROKEN + "|does not answer"),
    "silence after": Way({"kind": "reset", "after": True, "seconds": 2 * SECONDS}, _BROKEN + "|does not answer", True),
    "slow": Way({"kind": "slow", "seconds": SECONDS / 2}, "nothing is wrong", acts=True),
    "429": Way({"kind": "429"}, r"rate limit|429|REQUEST_LIMIT"),
    "429, wait 2": Way({"kind": "429", "retry_after": "2"}, r"rate limit|429|REQUEST_LIMIT"),
    "429, nonsense": Way({"kind": "429", "retry_after": "soon"}, r"rate limit|429|REQUEST_LIMIT"),
    "429, -1": Way({"kind": "429", "retry_after": "-1"}, r"rate limit|429|REQUEST_LIMIT"),
    "500": Way({"kind": "500"}, _SERVER),
    "500 after": Way({"kind": "500", "after": True}, _SERVER, acts=True),
    "502": Way({"kind": "502"}, _SERVER + "|Bad Gateway"),
    "503": Way({"kind": "503"}, _SERVER),
    "504": Way({"kind": "504"}, _SERVER + "|too long"),
    "504 after": Way({"kind": "504", "after": True}, _SERVER + "|too long", acts=True),
    "401": Way({"kind": "401"}, _SIGN_IN),
    "403": Way({"kind": "403"}, r"permission|403|does not have"),
    "half JSON": Way({"kind": "half_json"}, _ANSWER, acts=True),
    "empty": Way({"kind": "empty"}, _ANSWER),
    "empty after": Way({"kind": "empty", "after": True}, _ANSWER, acts=True),
    "wrong type": Way({"kind": "wrong_type"}, _ANSWER),
    "wrong shape": Way({"kind": "wrong_shape"}, _ANSWER, acts=True),
    "huge": Way({"kind": "huge", "size": 5_000_000}, "nothing is wrong", acts=True),
    "cut": Way({"kind": "cut"}, _BROKEN + "|" + _ANSWER, acts=True),
}


@dataclass
class Faulty:
    """A loop of which the `number`-th request went wrong in one `way`, and what is left of it."""

    way: str
    number: int
    refs: tuple[str, ...]
    struck: bool
    outcome: str
    reason: str
    iterations: int
    causes: tuple[str, ...]
    counts: Counts
    operations: tuple[Any, ...]
    source: Mapping[str, str]
    said: tuple[str, ...]
    request: str = ""
    problems: list[str] = field(default_factory=list)


async def faulty(
    yard: Yard,
    way: str,
    number: int,
    refs: tuple[str, ...] = JOBS,
    *,
    path: str = "/api/*",
    times: int = 1,
    speed: float = CLOCK,
) -> Faulty:
    """Play a loop whose `number`-th request (to `path`) goes wrong, so many `times`; its clock runs at `speed`."""
    place = yard.place(refs)
    rule = WAYS[way].rule
    if rule:
        yard.box.control("POST", "faults", {"path": path, **rule, "skip": number - 1, "times": times})
    edits = {"apply": "safe"} if refs == JOBS else {"fixer": yard.fixer}
    refusing = _Refusing(number if way == REFUSED else 0, times)
    with refusing.installed(), _hasty():
        async with running(place, clock=ScaledClock(speed), **edits) as played:
            outcome = await _ended(played, refs)
            engine = played.engine
            journal = engine.world.journal
            operations = (
                await journal.operations(engine.runner.record.loop_id) if journal and engine.runner.record else ()
            )
    rules = yard.box.control("GET", "faults")["faults"] if rule else []
    struck = any(each["struck"] for each in rules) or refusing.struck
    yard.box.control("DELETE", "faults")
    counts = counted(yard.box)
    found = Faulty(
        way,
        number,
        refs,
        struck,
        outcome,
        _reason(played),
        played.engine.runner.state.iteration,
        tuple(event.diagnosis.cause for event in played.of("failure.diagnosed")),
        counts,
        operations,
        {name: (place.root / name).read_text() for name in MENDED if (place.root / name).exists()},
        tuple(f"{e.code}: {e.message}" for e in played.of("problem")),
        next(
            (f"{call['method']} {call['path']} by {call['user_agent'][:9]}" for call in counts.calls if call["fault"]),
            "",
        ),
    )
    found.problems = list(problems(found))
    yard.forget(place)
    return found


async def _ended(played: Played, refs: tuple[str, ...]) -> str:
    try:
        async with asyncio.timeout(STUCK):
            return await heal(played, *refs)
    except TimeoutError:
        state = played.engine.runner.state
        return f"stuck in {state.stage}: {state.paused or played.engine.state.loop.hold}"


def _reason(played: Played) -> str:
    ended = played.of("loop.ended")
    refusal = played.engine.runner.refusal
    reasons = [ended[-1].reason if ended else "", refusal.reason if refusal else ""]
    reasons += [event.report for event in played.of("escalated")]
    return "\n".join(reason for reason in reasons if reason)


def problems(found: Faulty) -> Iterator[str]:
    """What does not hold: ended verified, paused or escalated with the true cause; nothing done twice."""
    way, counts, jobs = WAYS[found.way], found.counts, found.refs == JOBS
    if not found.struck:
        return
    if found.outcome == "verified":
        if found.iterations != 2:
            yield f"verified in {found.iterations} rounds"
        if any(text != MENDED[name] for name, text in found.source.items()):
            yield "the source is not mended"
    elif found.outcome in ("blocked", "escalated"):
        # A deploy that was cut off between creating a pipeline and noting that down is in its own way ever after.
        in_its_way = "pipeline_name_conflict" in found.causes and not jobs and "by cli" in found.request
        if not in_its_way and not re.search(way.words, found.reason, re.IGNORECASE):
            yield f"{found.outcome} without the true cause: {found.reason[:300]}"
    else:
        yield found.outcome
    most = {"runs": int(jobs), "repairs": int(jobs), "updates": 0 if jobs else 2}
    if jobs and way.rule.get("kind") == "403" and "runs/repair" in found.request:
        most |= {"runs": 2, "repairs": 0}  # where nobody may repair, the job is run afresh
    for what, number in most.items():
        seen = getattr(counts, what)
        # A fixer mends what was never run, where what failed came before the first start.
        least = number if jobs else min(number, 1)
        if seen > number or (seen < least and found.outcome == "verified"):
            yield f"{seen} {what} in place of {number}"
    # A deploy of which only the last answer was lost is made again: it says the whole of what should be.
    again = way.acts and "metadata.json" in found.request
    if counts.deploys > 2 + (found.outcome != "verified" or again):
        yield f"{counts.deploys} deploys"
    yield from (f"internal: {line}" for line in found.said if line.startswith("internal"))
    left = [f"{row.kind} {row.outcome or 'open'}" for row in found.operations if row.outcome not in ("done", "refused")]
    if left and found.outcome == "verified":
        yield f"left open: {', '.join(left)}"


@contextlib.contextmanager
def _hasty() -> Iterator[None]:
    """A request that is not answered is given up soon."""
    plain = identifying.Workspace
    identifying.Workspace = functools.partial(Workspace, seconds=SECONDS)  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        identifying.Workspace = plain  # type: ignore[misc]


class _Refusing:
    """Sends the `number`-th request of ours to a port where nobody listens, and the next ones, so many `times`."""

    def __init__(self, number: int, times: int) -> None:
        self.number, self.times, self.seen, self.struck = number, times, 0, False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        if not self.number:
            yield
            return
        plain = transport.Transport.send
        refusing = self

        def send(self: transport.Transport, call: transport.Call, headers: Mapping[str, str]) -> transport.Answer:
            refusing.seen += 1
            if not refusing.number <= refusing.seen < refusing.number + refusing.times:
                return plain(self, call, headers)
            refusing.struck = True
            host, self._host = self._host, "http://127.0.0.1:9"
            try:
                return plain(self, call, headers)
            finally:
                self._host = host

        transport.Transport.send = send  # type: ignore[method-assign]
        try:
            yield
        finally:
            transport.Transport.send = plain  # type: ignore[method-assign]


async def each_request(
    yard: Yard, way: str, refs: tuple[str, ...] = JOBS, *, step: int = 1, first: int = 1
) -> AsyncIterator[Faulty]:
    """The first request goes wrong, then the second, and so on until there are no more; every `step`-th of them."""
    number = first
    while True:
        found = await faulty(yard, way, number, refs)
        if not found.struck:
            return
        yield found
        number += step


__all__ = ["JOBS", "PIPELINES", "REFUSED", "WAYS", "Faulty", "Sample", "each_request", "faulty", "problems"]
