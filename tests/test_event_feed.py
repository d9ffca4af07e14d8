"""The feed of events against the sandbox over HTTP: pages, cuts, late and shuffled events, weeks of history.
Time moves by the sandbox's clock; nothing waits."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
from collections.abc import Iterator
from typing import Any

import pytest
from dbops_tui.core.event_feed import EventFeed
from dbops_tui.core.event_log import EventLog
from dbops_tui.core.flow_fold import FlowFold
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import advance, put

HOUR = 3600
SOURCE = """from pyspark import pipelines as dp


@dp.table
def raw():
    return spark.readStream.format("cloudFiles").load("/Volumes/x")


@dp.table
@dp.expect_or_drop("valid_id", "id IS NOT NULL")
def clean():
    return spark.readStream.table("raw")


@dp.materialized_view
def daily():
    return spark.read.table("clean").groupBy("day").count()
"""


class Refused(Exception):
    """An answer other than 200, as the client of the workspace tells it: not measured, or refused."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.unmeasured = status in (0, 429, 500, 502, 503, 504)


class Asker:
    """`Workspace.request` over plain HTTP, one attempt, with the queries kept."""

    def __init__(self, box: SandboxBox) -> None:
        self.box = box
        self.queries: list[dict[str, Any]] = []

    async def __call__(self, method: str, path: str, query: Any = None, body: Any = None) -> dict[str, Any]:
        self.queries.append(dict(query))
        try:
            reply = await asyncio.to_thread(self.box.call, method, path, body, **query)
        except (OSError, http.client.HTTPException) as error:
            raise Refused(0) from error
        if reply.status != 200 or not isinstance(reply.body, dict):
            raise Refused(reply.status if reply.status != 200 else 0)
        return reply.body


@pytest.fixture(scope="module")
def shared_box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def box(shared_box: SandboxBox) -> SandboxBox:
    shared_box.control("POST", "reset")
    shared_box.control("POST", "clock", {"freeze": True})
    return shared_box


def start(box: SandboxBox, source: str = SOURCE, **spec: Any) -> tuple[str, str]:
    path = put(box, "etl.py", source)
    body = {"name": "p", "catalog": "main", "schema": "shop", "libraries": [{"file": {"path": path}}]}
    pipeline_id: str = box.post("/api/2.0/pipelines", {**body, "serverless": True, **spec})["pipeline_id"]
    return pipeline_id, box.post(f"/api/2.0/pipelines/{pipeline_id}/updates", {})["update_id"]


def truth(box: SandboxBox, pipeline_id: str, update_id: str) -> list[str]:
    """The ids of all events of an update, oldest first, asked for in the plainest way."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"filter": f"update_id = '{update_id}'", "order_by": "timestamp asc"}
    while True:
        page = box.get(f"/api/2.0/pipelines/{pipeline_id}/events", max_results=1000, **query)
        found += page.get("events", [])
        if not page.get("next_page_token"):
            return [
                raw["id"]
                for raw in sorted(
                    found, key=lambda raw: (raw["timestamp"], raw["sequence"]["control_plane_seq_no"], raw["id"])
                )
            ]
        query = {"page_token": page["next_page_token"]}


def feed_of(box: SandboxBox, made: tuple[str, str], **options: Any) -> tuple[EventFeed, EventLog, FlowFold, Asker]:
    log, fold, asker = EventLog(), FlowFold(), Asker(box)
    return EventFeed(asker, *made, log=log, fold=fold, **options), log, fold, asker


def ids(log: EventLog) -> list[str]:
    return [event.id for event in log.snapshot()]


async def read_all(feed: EventFeed, *, ended: bool = True) -> None:
    """Fetch until the feed says that it has all; at most as often as any test here needs."""
    for _ in range(200):
        await feed.fetch(ended=ended)
        if feed.complete:
            return
    raise AssertionError("the feed never became complete")


async def test_everything_is_read_in_small_pages_without_filter_beside_a_token(box: SandboxBox) -> None:
    made = start(box)
    advance(box, HOUR)
    feed, log, fold, asker = feed_of(box, made, page_size=7, pages=3)
    await read_all(feed)
    assert ids(log) == truth(box, *made)
    assert fold.ended
    assert [flow.name for flow in fold.flows()] == ["main.shop.raw", "main.shop.clean", "main.shop.daily"]
    assert any("page_token" in query for query in asker.queries)
    assert all(set(query) == {"page_token", "max_results"} for query in asker.queries if "page_token" in query)


KINDS = ("cut", "reset", "half_json", "500", "502", "503", "429", "wrong_type", "wrong_shape", "empty", "504")


async def stubborn(feed: EventFeed, *, ended: bool = True, most: int = 400) -> int:
    """Fetch until the feed has all, whatever fails on the way; gives how often it failed."""
    failed = 0
    for _ in range(most):
        try:
            await feed.fetch(ended=ended)
        except Refused:
            failed += 1
            continue
        if feed.complete:
            return failed
    raise AssertionError("the feed never became complete")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_that_breaks_loses_and_doubles_nothing(box: SandboxBox, kind: str) -> None:
    made = start(box)
    advance(box, HOUR)
    wanted = truth(box, *made)
    box.control("POST", "faults", {"rules": [{"kind": kind, "path": "*/events", "skip": skip} for skip in (1, 2, 4)]})
    feed, log, fold, _ = feed_of(box, made, page_size=6, pages=4)
    failed = await stubborn(feed)
    assert failed >= 1
    assert ids(log) == wanted
    calm, _, calm_fold, _ = feed_of(box, made)
    await read_all(calm)
    assert fold.flows() == calm_fold.flows()


@pytest.mark.parametrize("seed", range(6))
async def test_connections_that_break_all_the_time_lose_nothing(box: SandboxBox, seed: int) -> None:
    chance = random.Random(seed)
    made = start(box)
    rules = [
        {"kind": chance.choice(KINDS), "path": "*/events", "skip": chance.randrange(6), "times": chance.randrange(1, 3)}
        for _ in range(8)
    ]
    box.control("POST", "faults", {"rules": rules})
    feed, log, _, _ = feed_of(box, made, page_size=chance.choice((3, 7, 1000)), pages=chance.choice((1, 3, 8)))
    for _ in range(60):
        advance(box, chance.choice((1, 5, 20)))
        try:
            await feed.fetch()
        except Refused:
            continue
    advance(box, HOUR)
    await stubborn(feed)
    box.control("DELETE", "faults")
    assert ids(log) == truth(box, *made)


async def test_a_token_that_is_refused_is_replaced_by_a_filter_from_the_place_reached(box: SandboxBox) -> None:
    made = start(box)
    advance(box, HOUR)
    rule = {"kind": "404", "path": "*/events", "query": "page_token", "skip": 1, "times": 2}
    box.control("POST", "faults", rule)
    feed, log, _, asker = feed_of(box, made, page_size=5, pages=50)
    await read_all(feed)
    assert ids(log) == truth(box, *made)
    bounded = [query["filter"] for query in asker.queries if "timestamp <=" in query.get("filter", "")]
    assert len(bounded) >= 2


async def test_what_is_refused_without_a_token_is_told(box: SandboxBox) -> None:
    made = start(box)
    box.control("POST", "faults", {"kind": "403", "path": "*/events"})
    feed, log, _, _ = feed_of(box, made)
    with pytest.raises(Refused):
        await feed.fetch()
    assert not feed.complete
    assert len(log) == 0


@pytest.mark.parametrize("late_ms", [3_000, 45_000, 400_000])
async def test_events_that_turn_up_late_are_read_all_the_same(box: SandboxBox, late_ms: int) -> None:
    made = start(box, pipeline_source(40))
    box.control("POST", "quirks", {"late_events_ms": late_ms, "shuffle_events": True})
    feed, log, fold, _ = feed_of(box, made, page_size=50)
    seen: list[str] = []
    late = 0
    for _ in range(150):
        advance(box, 5)
        before = len(log)
        newest = max((log.time(row) for row in range(before)), default=0)
        await feed.fetch()
        new = list(log.since(before))
        late += sum(log.time(row) < newest for row in range(before, len(log)))
        seen += [event.id for event in new]
    advance(box, late_ms // 1000 + 1)
    await read_all(feed)
    assert late > 10, "nothing came late, so nothing was proven"
    assert len(set(ids(log))) == len(log)
    assert len(set(seen)) == len(seen)
    assert ids(log) == truth(box, *made)
    assert fold.ended


def pipeline_source(tables: int) -> str:
    """The source of a pipeline with so many streaming tables, one after the other."""
    lines = ["from pyspark import pipelines as dp", ""]
    for number in range(tables):
        read = (
            f'spark.readStream.table("t{number - 1}")' if number else 'spark.readStream.format("cloudFiles").load("/x")'
        )
        lines += ["", "", "@dp.table", f"def t{number}():", f"    return {read}"]
    return "\n".join(lines) + "\n"


async def test_an_update_that_was_followed_is_complete_only_after_its_end_was_looked_at_again(box: SandboxBox) -> None:
    made = start(box)
    feed, log, fold, _ = feed_of(box, made)
    while not fold.ended:
        advance(box, 20)
        await feed.fetch()
    assert not feed.complete
    await feed.fetch()
    assert not feed.complete
    await feed.fetch()
    assert feed.complete
    assert ids(log) == truth(box, *made)


async def test_an_update_that_ended_long_ago_is_complete_at_the_first_look(box: SandboxBox) -> None:
    made = start(box)
    advance(box, HOUR)
    feed, _, _, asker = feed_of(box, made)
    await feed.fetch(ended=True)
    assert feed.complete
    assert len(asker.queries) == 1


async def test_an_update_without_any_event_becomes_complete_too(box: SandboxBox) -> None:
    pipeline_id, _ = start(box)
    feed, log, _, _ = feed_of(box, (pipeline_id, "no-such-update"))
    await feed.fetch()
    assert feed.complete, "it was asked, and there is nothing yet"
    await read_all(feed)
    assert len(log) == 0


async def test_while_nothing_happens_one_request_is_enough(box: SandboxBox) -> None:
    made = start(box)
    advance(box, 60)
    feed, _, _, asker = feed_of(box, made)
    await feed.fetch()
    await feed.fetch()
    asker.queries.clear()
    for _ in range(5):
        assert await feed.fetch() == 0
    assert len(asker.queries) == 5


async def test_a_clock_that_runs_ahead_does_not_move_the_cursor(box: SandboxBox) -> None:
    """One event dated next year; what comes after it is dated today all the same."""
    made = start(box, pipeline_source(60))
    advance(box, 100)
    feed, log, _, _ = feed_of(box, made)
    await feed.fetch()
    odd = {"id": "ahead", "timestamp": "2027-12-31T00:00:00.000Z", "origin": {"update_id": made[1]}}
    log.add([odd])
    advance(box, HOUR)
    await read_all(feed)
    assert [event_id for event_id in ids(log) if event_id != "ahead"] == truth(box, *made)


async def test_being_interrupted_in_the_middle_of_a_page_loses_nothing(box: SandboxBox) -> None:
    made = start(box)
    advance(box, HOUR)
    feed, log, fold, _ = feed_of(box, made, page_size=9, pages=6)
    for steps in range(1, 30):
        task = asyncio.create_task(feed.fetch(ended=True))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await read_all(feed)
    assert ids(log) == truth(box, *made)
    calm, _, calm_fold, _ = feed_of(box, made)
    await read_all(calm)
    assert fold.flows() == calm_fold.flows()


async def test_events_of_other_updates_are_left_out(box: SandboxBox) -> None:
    pipeline_id, first = start(box)
    advance(box, HOUR)
    second = box.post(f"/api/2.0/pipelines/{pipeline_id}/updates", {})["update_id"]
    advance(box, HOUR)

    class Deaf(Asker):
        """A server that does not know the filter on update_id."""

        async def __call__(self, method: str, path: str, query: Any = None, body: Any = None) -> dict[str, Any]:
            query = {name: value for name, value in query.items() if name != "filter"}
            return await super().__call__(method, path, query, body)

    log = EventLog()
    feed = EventFeed(Deaf(box), pipeline_id, second, log=log)
    await read_all(feed)
    assert ids(log) == truth(box, pipeline_id, second)
    assert first not in {event.update_id for event in log.snapshot()}


@pytest.mark.parametrize("bad", ["", "a' OR level = 'INFO", "../x", "a b", "x" * 300])
def test_an_id_that_could_change_the_filter_is_refused(bad: str) -> None:
    async def never(*_: Any) -> dict[str, Any]:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match="not an id"):
        EventFeed(never, "p", bad, log=EventLog())
    with pytest.raises(ValueError, match="not an id"):
        EventFeed(never, bad, "u", log=EventLog())


@pytest.fixture(scope="module")
def weeks() -> Iterator[tuple[SandboxBox, str, str]]:
    """A sandbox whose pipeline looks back on 40,000 events, with the id of one of its past updates of 1,000."""
    with running_sandbox(scenario="events-1m") as running:
        running.control("POST", "clock", {"freeze": True})
        path = put(running, "etl.py", SOURCE)
        body = {"name": "orders_live", "catalog": "main", "libraries": [{"file": {"path": path}}], "serverless": True}
        pipeline_id = running.post("/api/2.0/pipelines", body)["pipeline_id"]
        updates = running.get(f"/api/2.0/pipelines/{pipeline_id}/updates", max_results=20)["updates"]
        yield running, pipeline_id, updates[15]["update_id"]


async def test_a_long_history_is_shown_from_its_newest_end_and_then_read_back(
    weeks: tuple[SandboxBox, str, str],
) -> None:
    box, pipeline_id, update_id = weeks
    wanted = truth(box, pipeline_id, update_id)
    assert len(wanted) == 1000
    feed, log, _, asker = feed_of(box, (pipeline_id, update_id), page_size=40, pages=2)
    assert await feed.fetch(ended=True) == 80
    assert ids(log) == wanted[-80:]
    assert feed.has_older
    assert not feed.complete
    assert await feed.load_older(pages=5) == 200
    assert ids(log) == wanted[-280:]
    asked = len(asker.queries)
    await feed.fetch(ended=True)
    assert len(asker.queries) - asked <= 3, "a fetch reads at most as many pages as it may"
    await read_all(feed)
    assert ids(log) == wanted


async def test_an_update_that_is_looked_back_on_is_read_whole_or_said_to_be_more(
    weeks: tuple[SandboxBox, str, str],
) -> None:
    box, pipeline_id, update_id = weeks
    feed, log, _, asker = feed_of(box, (pipeline_id, update_id), page_size=100, pages=2)
    assert not await feed.read_all(pages=4)
    assert 400 <= len(log) < 1000
    assert await feed.read_all(pages=40)
    assert ids(log) == truth(box, pipeline_id, update_id)
    assert len(asker.queries) < 30


@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
async def test_pages_that_end_between_events_of_the_same_time(
    weeks: tuple[SandboxBox, str, str], page_size: int
) -> None:
    """Every fifth event shares its millisecond with the one before; pages break off everywhere, and so do chains."""
    box, pipeline_id, update_id = weeks
    box.control("POST", "faults", {"kind": "404", "path": "*/events", "query": "page_token", "skip": 3, "times": 40})
    feed, log, _, _ = feed_of(box, (pipeline_id, update_id), page_size=page_size, pages=60)
    try:
        for _ in range(3):
            await feed.fetch(ended=True)
    finally:
        box.control("DELETE", "faults")
    wanted = truth(box, pipeline_id, update_id)
    assert len(log) >= 40 * page_size
    assert ids(log) == wanted[-len(log) :]
