"""The feed of events against the sandbox over HTTP: pages, cuts, late and shuffled events, weeks of history.
Time moves by the sandbox's clock; nothing waits."""

from __future__ import annotations

import asyncio
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
        except OSError as error:
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
