"""Odd requests and odd source never break the runs and updates of the sandbox: an error in words, never a 500.
What is odd is made up by hypothesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import NOTEBOOK, advance, get_run, job, latest, nb_task, notebook, output, put, start

RELAXED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
RUN_FIELDS = st.sampled_from(
    [
        "job_parameters",
        "notebook_params",
        "only",
        "queue",
        "idempotency_token",
        "rerun_tasks",
        "rerun_all_failed_tasks",
        "rerun_dependent_tasks",
        "latest_repair_id",
        "tasks",
        "all_queued_runs",
        "performance_target",
    ]
)
UPDATE_FIELDS = st.sampled_from(
    [
        "cause",
        "full_refresh",
        "refresh_selection",
        "full_refresh_selection",
        "validate_only",
        "parameters",
        "development",
    ]
)
CODE = st.lists(
    st.sampled_from(
        [
            "import x.y as z",
            "from . import a",
            "from a import *",
            "print(f'{x!r:>{w}} {y}')",
            "print(*a, **b)",
            "dbutils.notebook.exit(json.dumps({**a, 'b': [1, *c]}))",
            "dbutils.notebook.exit()",
            "@dp.table\ndef t(): return spark.read.table('t')",
            "@dp.table(name=f'x{1}')\n@dp.expect_all(rules)\ndef u(): pass",
            "# COMMAND ----------",
            "%sql select 1",
            "CREATE MATERIALIZED VIEW v AS SELECT * FROM ((",
            "CREATE STREAMING TABLE s (CONSTRAINT c EXPECT ((x)) ON VIOLATION",
            "\u202e\x00\x1b[31m",
            "lambda: (yield)",
            "x" * 300,
            "((((((((((",
        ]
    )
    | st.text(max_size=20),
    max_size=8,
).map("\n".join)


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        running.control("POST", "clock", {"freeze": True})
        yield running


@pytest.fixture(scope="module")
def ended(box: SandboxBox) -> tuple[int, int]:
    """A job and a run of it that is over."""
    job_id = job(box, nb_task("a", notebook(box, "hostile/ok")), max_concurrent_runs=1000)
    run_id = start(box, job_id)
    advance(box, 3600)
    return job_id, run_id


@RELAXED
@given(
    body=st.dictionaries(RUN_FIELDS, VALUES, max_size=4),
    place=st.sampled_from(["run-now", "runs/repair", "runs/submit"]),
)
def test_wrong_types_in_a_run_request_are_never_a_500(
    box: SandboxBox, ended: tuple[int, int], body: dict[str, object], place: str
) -> None:
    whole = {"job_id": ended[0], "run_id": ended[1], **body}
    reply = box.call("POST", f"/api/2.2/jobs/{place}", whole)
    assert reply.status < 500, (place, body, reply)
    if reply.status == 200 and "run_id" in reply.body:
        assert box.call("GET", "/api/2.2/jobs/runs/get", run_id=reply.body["run_id"]).status == 200
    advance(box, 3600)
    assert box.call("GET", "/api/2.2/jobs/runs/list").status == 200


@RELAXED
@given(body=st.dictionaries(UPDATE_FIELDS, VALUES, max_size=4))
def test_wrong_types_in_an_update_request_are_never_a_500(box: SandboxBox, body: dict[str, object]) -> None:
    if not box.get("/api/2.0/pipelines").get("statuses"):
        box.post("/api/2.0/pipelines", {"name": "p", "libraries": []})
    pipeline = box.get("/api/2.0/pipelines")["statuses"][0]["pipeline_id"]
    reply = box.call("POST", f"/api/2.0/pipelines/{pipeline}/updates", body)
    assert reply.status < 500, (body, reply)
    advance(box, 3600)
    assert box.call("GET", f"/api/2.0/pipelines/{pipeline}/events").status == 200


@RELAXED
@given(
    text=st.text(max_size=60) | st.sampled_from(["update_id in ()", "timestamp>'9999-99-99'", "id='", "level in 'x'"])
)
def test_odd_filters_tokens_and_ids_are_never_a_500(box: SandboxBox, text: str) -> None:
    pipeline = box.call("POST", "/api/2.0/pipelines", {"name": "q", "allow_duplicate_names": True}).body["pipeline_id"]
    path = f"/api/2.0/pipelines/{pipeline}/events"
    for query in ({"filter": text}, {"page_token": text}, {"order_by": text}, {"max_results": text}):
        assert box.call("GET", path, **query).status < 500, query
    for path in ("/api/2.2/jobs/runs/get", "/api/2.2/jobs/runs/get-output", "/api/2.2/jobs/runs/export"):
        assert box.call("GET", path, run_id=text).status < 500
    assert box.call("GET", "/api/2.2/jobs/runs/list", page_token=text, limit=text).status < 500


@RELAXED
@given(code=CODE, suffix=st.sampled_from([".py", ".sql"]))
def test_any_source_runs_or_fails_in_words(box: SandboxBox, code: str, suffix: str) -> None:
    text = code.encode("utf-8", "replace").decode()
    mark = NOTEBOOK if suffix == ".py" else "-- Databricks notebook source\n"
    path = put(box, f"hostile/any{suffix}", mark + text).removesuffix(suffix)
    run_id = start(box, job(box, nb_task("a", path)))
    spec = {"name": "any", "allow_duplicate_names": True, "libraries": [{"notebook": {"path": path}}]}
    pipeline = box.post("/api/2.0/pipelines", spec)["pipeline_id"]
    box.post(f"/api/2.0/pipelines/{pipeline}/updates", {})
    advance(box, 3600)
    task = latest(get_run(box, run_id))["a"]
    assert task["state"]["result_state"] in ("SUCCESS", "FAILED")
    found = output(box, task["run_id"])
    assert bool(found.get("error")) is (task["state"]["result_state"] == "FAILED")
    update = box.get(f"/api/2.0/pipelines/{pipeline}/updates")["updates"][0]
    assert update["state"] in ("COMPLETED", "FAILED")


TASK_PARTS = st.fixed_dictionaries(
    {},
    optional={
        "max_retries": VALUES,
        "min_retry_interval_millis": VALUES,
        "timeout_seconds": VALUES,
        "depends_on": st.lists(st.fixed_dictionaries({"task_key": VALUES}), max_size=1),
        "libraries": st.lists(VALUES, max_size=2),
        "environment_key": VALUES,
        "job_cluster_key": VALUES,
        "disabled": VALUES,
        "notebook_task": st.fixed_dictionaries({"notebook_path": VALUES}, optional={"base_parameters": VALUES}),
        "condition_task": st.fixed_dictionaries(
            {"op": st.just("LESS_THAN")}, optional={"left": VALUES, "right": VALUES}
        ),
        "run_job_task": st.fixed_dictionaries({"job_id": VALUES}, optional={"job_parameters": VALUES}),
        "pipeline_task": st.fixed_dictionaries({"pipeline_id": VALUES}),
        "sql_task": st.fixed_dictionaries({"file": VALUES, "warehouse_id": VALUES}),
        "for_each_task": st.fixed_dictionaries(
            {
                "inputs": VALUES | st.just('[1, {"a": 2}, null]'),
                "task": st.fixed_dictionaries(
                    {"task_key": st.just("in"), "notebook_task": st.fixed_dictionaries({"notebook_path": VALUES})}
                ),
            },
            optional={"concurrency": VALUES},
        ),
    },
)
ENVIRONMENTS = st.lists(
    st.fixed_dictionaries(
        {"environment_key": st.just("e")}, optional={"spec": VALUES | st.fixed_dictionaries({"dependencies": VALUES})}
    ),
    max_size=1,
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    task=TASK_PARTS,
    environments=ENVIRONMENTS,
    parameters=st.lists(st.fixed_dictionaries({"name": VALUES}, optional={"default": VALUES}), max_size=1),
)
def test_any_job_that_is_accepted_runs_to_an_end(
    box: SandboxBox, task: dict[str, object], environments: list[object], parameters: list[object]
) -> None:
    body = {"name": "odd", "tasks": [{"task_key": "t", **task}], "environments": environments, "parameters": parameters}
    made = box.call("POST", "/api/2.2/jobs/create", body)
    assert made.status < 500, (body, made)
    if made.status != 200:
        return
    begun = box.call("POST", "/api/2.2/jobs/run-now", {"job_id": made.body["job_id"]})
    assert begun.status < 500, (body, begun)
    if begun.status == 200:
        advance(box, 10_000_000)
        run = get_run(box, begun.body["run_id"])
        assert run["end_time"], (body, run)
        assert box.call("GET", "/api/2.2/jobs/runs/get-output", run_id=run["run_id"]).status < 500
