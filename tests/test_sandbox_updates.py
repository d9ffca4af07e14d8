"""Pipeline updates in the sandbox: a course that follows from the deployed source, events with their filters and pages.
Every moment is reached by moving the sandbox's clock; nothing waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import advance, put

HOUR = 3600
GOOD = """from pyspark import pipelines as dp


@dp.table(comment="raw")
def raw():
    return spark.readStream.format("cloudFiles").load("/Volumes/x")


@dp.table
@dp.expect_or_drop("valid_id", "id IS NOT NULL")
@dp.expect("positive", "amount > 0")
def clean():
    return spark.readStream.table("raw")


@dp.materialized_view
def daily():
    return spark.read.table("clean").groupBy("day").count()
"""


@pytest.fixture(scope="module")
def shared_box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def box(shared_box: SandboxBox) -> SandboxBox:
    shared_box.control("POST", "reset")
    shared_box.control("POST", "clock", {"freeze": True})
    return shared_box


def pipeline(box: SandboxBox, source: str = GOOD, name: str = "etl.py", **spec: Any) -> str:
    path = put(box, name, source)
    body = {
        "name": "p",
        "catalog": "main",
        "schema": "shop",
        "serverless": True,
        "libraries": [{"file": {"path": path}}],
    }
    made: str = box.post("/api/2.0/pipelines", {**body, **spec})["pipeline_id"]
    return made


def update(box: SandboxBox, pipeline_id: str, **body: Any) -> str:
    made: str = box.post(f"/api/2.0/pipelines/{pipeline_id}/updates", body)["update_id"]
    return made


def events(box: SandboxBox, pipeline_id: str, **query: Any) -> list[dict[str, Any]]:
    """Every event, page by page, as they come."""
    found: list[dict[str, Any]] = []
    path = f"/api/2.0/pipelines/{pipeline_id}/events"
    page = box.get(path, **{"max_results": 1000, **query})
    while True:
        found += page.get("events", [])
        token = page.get("next_page_token")
        if not token:
            return found
        page = box.get(
            f"/api/2.0/pipelines/{pipeline_id}/events", max_results=query.get("max_results", 1000), page_token=token
        )


def state(box: SandboxBox, pipeline_id: str, update_id: str) -> str:
    found: str = box.get(f"/api/2.0/pipelines/{pipeline_id}/updates/{update_id}")["update"]["state"]
    return found


def of_type(found: list[dict[str, Any]], event_type: str) -> list[dict[str, Any]]:
    return [event["details"][event_type] for event in reversed(found) if event["event_type"] == event_type]


class TestCourse:
    def test_states_follow_each_other_and_the_pipeline_is_idle_after(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update_id = update(box, made)
        seen = []
        for _ in range(200):
            seen.append((state(box, made, update_id), box.get(f"/api/2.0/pipelines/{made}")["state"]))
            advance(box, 1)
        assert list(dict.fromkeys(seen)) == [
            ("CREATED", "STARTING"),
            ("WAITING_FOR_RESOURCES", "STARTING"),
            ("INITIALIZING", "STARTING"),
            ("SETTING_UP_TABLES", "STARTING"),
            ("RUNNING", "RUNNING"),
            ("COMPLETED", "IDLE"),
        ]
        assert box.get(f"/api/2.0/pipelines/{made}")["health"] == "HEALTHY"

    def test_definitions_tell_the_graph_and_the_expectations_of_the_source(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update(box, made)
        advance(box, HOUR)
        found = events(box, made)
        flows = {flow["output_dataset"]: flow["input_datasets"] for flow in of_type(found, "flow_definition")}
        assert flows == {
            "main.shop.raw": [],
            "main.shop.clean": ["main.shop.raw"],
            "main.shop.daily": ["main.shop.clean"],
        }
        datasets = of_type(found, "dataset_definition")
        assert [d["dataset_type"] for d in datasets] == ["STREAMING_TABLE", "STREAMING_TABLE", "MATERIALIZED_VIEW"]
        assert datasets[1]["expectations"] == [
            {"name": "valid_id", "expression": "id IS NOT NULL", "action": "DROP"},
            {"name": "positive", "expression": "amount > 0", "action": "ALLOW"},
        ]

    def test_micro_batches_carry_rows_and_quality_that_add_up(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update(box, made)
        advance(box, HOUR)
        progress = [item for item in of_type(events(box, made), "flow_progress") if "data_quality" in item]
        assert len(progress) >= 2
        for item in progress:
            rows, quality = item["metrics"]["num_output_rows"], item["data_quality"]
            assert all(e["passed_records"] + e["failed_records"] == rows for e in quality["expectations"])
            assert quality["dropped_records"] == quality["expectations"][0]["failed_records"]

    def test_flow_starts_after_the_ones_it_reads(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update(box, made)
        advance(box, HOUR)
        times: dict[tuple[str, str], str] = {}
        for event in events(box, made):
            if event["event_type"] == "flow_progress":
                name = event["origin"]["flow_name"].rsplit(".", 1)[-1]
                times[name, event["details"]["flow_progress"]["status"]] = event["timestamp"]
        assert times["raw", "COMPLETED"] <= times["clean", "STARTING"]
        assert times["clean", "COMPLETED"] <= times["daily", "STARTING"]

    def test_sql_source_is_read_too(self, box: SandboxBox) -> None:
        source = (
            "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT ok EXPECT (x > 1) ON VIOLATION FAIL UPDATE)\n"
            "AS SELECT * FROM STREAM read_files('/Volumes/x');\n"
            "CREATE MATERIALIZED VIEW b AS SELECT count(*) FROM a JOIN main.other.c USING (id);\n"
        )
        made = pipeline(box, source, "etl.sql")
        update(box, made)
        advance(box, HOUR)
        found = events(box, made)
        flows = {flow["output_dataset"]: flow["input_datasets"] for flow in of_type(found, "flow_definition")}
        assert flows == {"main.shop.a": [], "main.shop.b": ["main.shop.a", "main.other.c"]}
        assert of_type(found, "dataset_definition")[0]["expectations"][0]["action"] == "FAIL"

    def test_refresh_selection_runs_only_the_chosen_tables(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update_id = update(box, made, refresh_selection=["daily"])
        advance(box, HOUR)
        names = {e["origin"]["flow_name"] for e in events(box, made) if e["event_type"] == "flow_progress"}
        assert names == {"main.shop.daily"}
        shown = box.get(f"/api/2.0/pipelines/{made}/updates/{update_id}")["update"]
        assert shown["refresh_selection"] == ["daily"]

    def test_validate_only_runs_no_flow(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update_id = update(box, made, validate_only=True)
        advance(box, HOUR)
        found = events(box, made)
        assert state(box, made, update_id) == "COMPLETED"
        assert not of_type(found, "flow_progress")
        assert of_type(found, "flow_definition")

    def test_full_refresh_passes_through_resetting(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update(box, made, full_refresh=True)
        advance(box, HOUR)
        assert "RESETTING" in [item["state"] for item in of_type(events(box, made), "update_progress")]

    def test_classic_compute_reports_cluster_resources(self, box: SandboxBox) -> None:
        made = pipeline(box, serverless=False)
        update(box, made)
        advance(box, HOUR)
        levels = {e["level"] for e in events(box, made) if e["event_type"] == "cluster_resources"}
        assert levels == {"METRICS"}

    def test_continuous_update_never_completes_and_can_be_stopped(self, box: SandboxBox) -> None:
        made = pipeline(box, continuous=True)
        update_id = update(box, made)
        advance(box, 3 * HOUR)
        assert state(box, made, update_id) == "RUNNING"
        box.post(f"/api/2.0/pipelines/{made}/stop", {})
        advance(box, 10)
        assert state(box, made, update_id) == "CANCELED"


class TestFailures:
    def test_slip_in_a_table_name_fails_the_flow_before_anything_runs(self, box: SandboxBox) -> None:
        made = pipeline(box, GOOD.replace('spark.readStream.table("raw")', 'spark.readStream.table("raww")'))
        update_id = update(box, made)
        advance(box, HOUR)
        assert state(box, made, update_id) == "FAILED"
        errors = events(box, made, filter="level = 'ERROR'")
        assert [e["event_type"] for e in errors] == ["update_progress", "flow_progress"]
        root = errors[0]["error"]["exceptions"][-1]
        assert (root["error_class"], root["sql_state"]) == ("TABLE_OR_VIEW_NOT_FOUND", "42P01")
        assert root["class_name"] == "org.apache.spark.sql.AnalysisException"
        assert errors[0]["error"]["exceptions"][0]["error_class"] == "UPDATE_FAILED"
        place = errors[1]["origin"]["source_code_location"]
        assert place["path"].endswith("/etl.py")
        assert GOOD.splitlines()[place["line_number"] - 1].startswith("def clean")
        assert box.get(f"/api/2.0/pipelines/{made}")["health"] == "UNHEALTHY"

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("x = (\n", "SyntaxError"),
            ("import nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
            ("x = 1\n", "NO_TABLES_IN_PIPELINE"),
        ],
    )
    def test_source_that_cannot_be_loaded_fails_the_update(self, box: SandboxBox, source: str, expected: str) -> None:
        made = pipeline(box, source)
        update_id = update(box, made)
        advance(box, HOUR)
        assert state(box, made, update_id) == "FAILED"
        chain = events(box, made, filter="level = 'ERROR'")[0]["error"]["exceptions"]
        assert expected in chain[-1]["message"]

    def test_update_reads_the_source_when_it_initializes(self, box: SandboxBox) -> None:
        made = pipeline(box, "x = (\n")
        update_id = update(box, made)
        put(box, "etl.py", GOOD)
        advance(box, HOUR)
        assert state(box, made, update_id) == "COMPLETED"

    def test_second_update_is_refused_while_one_is_active(self, box: SandboxBox) -> None:
        made = pipeline(box)
        first = update(box, made)
        reply = box.call("POST", f"/api/2.0/pipelines/{made}/updates", {})
        assert reply.status == 400
        assert f"An active update {first} already exists" in reply.body["message"]
        advance(box, HOUR)
        update(box, made)

    def test_stop_cancels_and_nothing_that_was_to_come_happens(self, box: SandboxBox) -> None:
        made = pipeline(box)
        update_id = update(box, made)
        advance(box, 20)
        box.post(f"/api/2.0/pipelines/{made}/stop", {})
        assert state(box, made, update_id) == "STOPPING"
        advance(box, HOUR)
        found = events(box, made)
        assert state(box, made, update_id) == "CANCELED"
        assert found[0]["details"]["update_progress"]["cancellation_cause"] == "USER_ACTION"
        assert "COMPLETED" not in [item["state"] for item in of_type(found, "update_progress")]

    def test_missing_pipeline_and_update_are_404(self, box: SandboxBox) -> None:
        made = pipeline(box)
        for path in ("nope/updates", "nope/events", f"{made}/updates/nope"):
            assert box.call("GET", f"/api/2.0/pipelines/{path}").status == 404


class TestEvents:
    @pytest.fixture
    def ran(self, box: SandboxBox) -> str:
        made = pipeline(box)
        for _ in range(3):
            update(box, made)
            advance(box, HOUR)
        return made

    def test_newest_first_and_pages_of_any_size_give_every_event_once(self, box: SandboxBox, ran: str) -> None:
        whole = events(box, ran)
        stamps = [event["timestamp"] for event in whole]
        assert stamps == sorted(stamps, reverse=True)
        assert len(set(stamps)) < len(stamps)
        assert len({event["id"] for event in whole}) == len(whole)
        assert [e["id"] for e in events(box, ran, max_results=7)] == [e["id"] for e in whole]

    def test_ascending_is_the_other_way_round(self, box: SandboxBox, ran: str) -> None:
        up = events(box, ran, order_by="timestamp asc", max_results=10)
        assert [e["id"] for e in up] == [e["id"] for e in events(box, ran)][::-1]

    def test_page_token_with_filter_or_order_is_refused(self, box: SandboxBox, ran: str) -> None:
        path = f"/api/2.0/pipelines/{ran}/events"
        token = box.get(path, max_results=5, filter="level = 'INFO'")["next_page_token"]
        for name, value in (("order_by", "timestamp asc"), ("filter", "level = 'INFO'")):
            reply = box.call("GET", path, page_token=token, **{name: value})
            assert reply.status == 400
            assert reply.body["message"].startswith("You can provide a page token or specify")

    @pytest.mark.parametrize("operation", ["event_type = 'x'", "event_type != 'x'", "message = 'x'"])
    def test_other_columns_are_refused(self, box: SandboxBox, ran: str, operation: str) -> None:
        reply = box.call("GET", f"/api/2.0/pipelines/{ran}/events", filter=operation)
        column, sign, _ = operation.split()
        assert (reply.status, reply.body["message"]) == (400, f"Operation '{sign}' not allowed on '{column}'")

    def test_filters_choose_what_a_reader_would_choose(self, box: SandboxBox, ran: str) -> None:
        whole = events(box, ran)
        newest = whole[0]["origin"]["update_id"]
        middle = whole[len(whole) // 2]
        stamp = middle["timestamp"]
        for text, wanted in (
            (f"update_id = '{newest}'", lambda e: e["origin"]["update_id"] == newest),
            (f"timestamp >= '{stamp}'", lambda e: e["timestamp"] >= stamp),
            (f"timestamp > '{stamp}' AND level in ('INFO', 'WARN')", lambda e: e["timestamp"] > stamp),
            (f"timestamp < '{stamp}' and level='INFO'", lambda e: e["timestamp"] < stamp),
            (f"id = '{middle['id']}'", lambda e: e["id"] == middle["id"]),
            ("level = 'ERROR'", lambda e: False),
        ):
            assert [e["id"] for e in events(box, ran, filter=text, max_results=11)] == [
                e["id"] for e in whole if wanted(e)
            ], text

    @pytest.mark.parametrize("text", ["level", "level = ", "level = 'A' OR level = 'B'", "timestamp > 'noon'", "= = ="])
    def test_broken_filters_are_400(self, box: SandboxBox, ran: str, text: str) -> None:
        assert box.call("GET", f"/api/2.0/pipelines/{ran}/events", filter=text).status == 400

    def test_broken_tokens_and_orders_are_400(self, box: SandboxBox, ran: str) -> None:
        path = f"/api/2.0/pipelines/{ran}/events"
        for query in ({"page_token": "x"}, {"page_token": "e30"}, {"order_by": "level asc"}, {"max_results": 1001}):
            assert box.call("GET", path, **query).status == 400

    def test_new_events_do_not_shift_a_reader_who_pages(self, box: SandboxBox, ran: str) -> None:
        path = f"/api/2.0/pipelines/{ran}/events"
        before = [e["id"] for e in events(box, ran)]
        page = box.get(path, max_results=10)
        update(box, ran)
        advance(box, HOUR)
        got = [e["id"] for e in page["events"]]
        while page.get("next_page_token"):
            page = box.get(path, max_results=10, page_token=page["next_page_token"])
            got += [e["id"] for e in page["events"]]
        assert got == before

    def test_late_events_turn_up_after_younger_ones(self, box: SandboxBox) -> None:
        box.control("POST", "quirks", {"late_events_ms": 30_000})
        made = pipeline(box)
        update(box, made)
        advance(box, 50)
        early = [e["id"] for e in events(box, made)]
        advance(box, HOUR)
        whole = [e["id"] for e in events(box, made)]
        place = [whole.index(item) for item in early]
        assert set(early) < set(whole)
        assert max(place) - min(place) + 1 > len(place)

    def test_events_out_of_order_where_the_quirk_asks_for_it(self, box: SandboxBox, ran: str) -> None:
        whole = [e["id"] for e in events(box, ran)]
        box.control("POST", "quirks", {"shuffle_events": True})
        mixed = [e["id"] for e in events(box, ran)]
        assert mixed != whole
        assert sorted(mixed) == sorted(whole)

    def test_updates_are_listed_newest_first_in_pages(self, box: SandboxBox, ran: str) -> None:
        path = f"/api/2.0/pipelines/{ran}/updates"
        first = box.get(path, max_results=2)
        rest = box.get(path, max_results=2, page_token=first["next_page_token"])
        times = [u["creation_time"] for u in first["updates"] + rest["updates"]]
        assert times == sorted(times, reverse=True)
        assert len(times) == 3
        shown = box.get(f"/api/2.0/pipelines/{ran}")["latest_updates"]
        assert [u["update_id"] for u in shown] == [u["update_id"] for u in first["updates"] + rest["updates"]]
        assert shown[0]["creation_time"].endswith("Z")
