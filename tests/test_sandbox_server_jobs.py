"""Jobs in the sandbox: settings come back as the real API gives them, and are refused as the real API refuses them."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_fixture import SandboxBox, running_sandbox, sandbox_box

__all__ = ["sandbox_box"]
NOTEBOOK = {"notebook_task": {"notebook_path": "/Users/you@example.com/n"}}


@pytest.fixture
def box(sandbox_box: SandboxBox) -> SandboxBox:
    sandbox_box.control("POST", "reset")
    return sandbox_box


def create(box: SandboxBox, **settings: Any) -> int:
    job_id: int = box.post("/api/2.2/jobs/create", settings)["job_id"]
    return job_id


def refusal(box: SandboxBox, **settings: Any) -> str:
    reply = box.call("POST", "/api/2.2/jobs/create", settings)
    assert reply.status == 400, reply
    return str(reply.body["message"])


def test_settings_come_back_with_server_defaults(box: SandboxBox) -> None:
    tasks = [{"task_key": "b", "depends_on": [{"task_key": "c"}, {"task_key": "a"}], **NOTEBOOK}]
    tasks += [{"task_key": key, **NOTEBOOK} for key in ("a", "c")]
    got = box.get("/api/2.2/jobs/get", job_id=create(box, name="j", tags={"x": "y"}, tasks=tasks))
    settings = got["settings"]
    assert settings["tags"] == {"x": "y"}
    assert settings["email_notifications"] == settings["webhook_notifications"] == {}
    assert (settings["timeout_seconds"], settings["max_concurrent_runs"], settings["format"]) == (0, 1, "MULTI_TASK")
    first = settings["tasks"][0]
    assert (first["run_if"], first["timeout_seconds"], first["notebook_task"]["source"]) == (
        "ALL_SUCCESS",
        0,
        "WORKSPACE",
    )
    assert [item["task_key"] for item in first["depends_on"]] == ["a", "c"]
    assert got["creator_user_name"] == got["run_as_user_name"] == "you@example.com"


def test_reset_replaces_all_settings_but_keeps_run_as(box: SandboxBox) -> None:
    job = create(box, name="old", description="d", run_as={"user_name": "someone@example.com"})
    box.post("/api/2.2/jobs/reset", {"job_id": job, "new_settings": {"name": "new"}})
    settings = box.get("/api/2.2/jobs/get", job_id=job)["settings"]
    assert (settings["name"], "description" in settings) == ("new", False)
    assert settings["run_as"] == {"user_name": "someone@example.com"}


def test_update_merges_tasks_by_key_and_removes_fields(box: SandboxBox) -> None:
    job = create(box, name="j", description="d", tasks=[{"task_key": key, **NOTEBOOK} for key in ("a", "b")])
    change = {"tasks": [{"task_key": "b", "timeout_seconds": 9, **NOTEBOOK}, {"task_key": "c", **NOTEBOOK}]}
    box.post(
        "/api/2.2/jobs/update", {"job_id": job, "new_settings": change, "fields_to_remove": ["description", "tasks/a"]}
    )
    settings = box.get("/api/2.2/jobs/get", job_id=job)["settings"]
    assert [(task["task_key"], task["timeout_seconds"]) for task in settings["tasks"]] == [("b", 9), ("c", 0)]
    assert "description" not in settings


def test_deleted_job_is_gone_with_the_known_text(box: SandboxBox) -> None:
    job = create(box, name="j")
    box.post("/api/2.2/jobs/delete", {"job_id": job})
    reply = box.call("GET", "/api/2.2/jobs/get", job_id=job)
    assert (reply.status, reply.body["message"]) == (404, f"Job {job} does not exist.")


def test_tasks_are_paged_by_100_and_only_api_2_2_can(box: SandboxBox) -> None:
    job = create(box, name="big", tasks=[{"task_key": f"t{number:03}", **NOTEBOOK} for number in range(250)])
    keys, token, pages = [], None, 0
    while True:
        got = box.get("/api/2.2/jobs/get", job_id=job, **({"page_token": token} if token else {}))
        keys += [task["task_key"] for task in got["settings"].get("tasks", [])]
        pages, token = pages + 1, got.get("next_page_token")
        assert got.get("has_more", False) == (token is not None)
        if not token:
            break
    assert (pages, keys) == (3, [f"t{number:03}" for number in range(250)])
    assert "only be handled by API 2.2" in box.call("GET", "/api/2.1/jobs/get", job_id=job).body["message"]


def test_listing_pages_newest_first_and_finds_a_name_whatever_its_case(box: SandboxBox) -> None:
    made = [create(box, name=f"Job {number}") for number in range(5)]
    first = box.get("/api/2.2/jobs/list", limit=2)
    second = box.get("/api/2.2/jobs/list", limit=2, page_token=first["next_page_token"])
    third = box.get("/api/2.2/jobs/list", limit=2, page_token=second["next_page_token"])
    listed = [job["job_id"] for page in (first, second, third) for job in page["jobs"]]
    assert (sorted(listed), third["has_more"]) == (sorted(made), False)
    assert [job["job_id"] for job in box.get("/api/2.2/jobs/list", name="jOB 3")["jobs"]] == [made[3]]
    assert box.call("GET", "/api/2.2/jobs/list", limit=101).status == 400
    assert box.call("GET", "/api/2.2/jobs/list", page_token="made-up").status == 400


def test_big_ids_lie_above_two_to_the_53rd() -> None:
    with running_sandbox(arguments=("--big-ids",)) as box:
        job = create(box, name="j")
        assert 2**53 < job < 2**63
        assert box.get("/api/2.2/jobs/get", job_id=job)["job_id"] == job


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"job_clusters": [{"job_cluster_key": "k"}]},
            "Shared job cluster feature is only supported in multi-task jobs.",
        ),
        ({"tasks": [{"task_key": "a", "depends_on": [{"task_key": "b"}], **NOTEBOOK}]}, "non-existent task 'b'"),
        ({"tasks": [{"task_key": "a", **NOTEBOOK}, {"task_key": "a", **NOTEBOOK}]}, "Duplicate task key 'a'"),
        (
            {
                "tasks": [
                    {"task_key": "a", "depends_on": [{"task_key": "b"}], **NOTEBOOK},
                    {"task_key": "b", "depends_on": [{"task_key": "a"}], **NOTEBOOK},
                ]
            },
            "cycle detected among tasks: a, b",
        ),
        ({"tasks": [{"task_key": "a", "job_cluster_key": "nope", **NOTEBOOK}]}, "not defined in field 'job_clusters'"),
        (
            {"tasks": [{"task_key": "a", "environment_key": "nope", **NOTEBOOK}]},
            "is not defined in the job's 'environments'",
        ),
        ({"tasks": [{"task_key": "a", "run_if": "SOMETIMES", **NOTEBOOK}]}, "for run_if, but got 'SOMETIMES'"),
        ({"tasks": [{"task_key": "a", "notebook_task": {}}]}, "notebook_path"),
        (
            {"tasks": [{"task_key": "a", "run_job_task": {"job_id": 1}}]},
            "Job 1 in run_job_task of task 'a' does not exist.",
        ),
        ({"tasks": [{"task_key": "a", "max_retries": "many", **NOTEBOOK}]}, "Expected 'int' for max_retries"),
        ({"tasks": [{"task_key": "a", "sql_task": {}, **NOTEBOOK}]}, "exactly one task type"),
        ({"schedule": {"quartz_cron_expression": "0 3 * * *", "timezone_id": "UTC"}}, "Invalid quartz_cron_expression"),
        ({"schedule": {"quartz_cron_expression": "0 0 3 * * *", "timezone_id": "UTC"}}, "is not implemented"),
        ({"git_source": {"git_url": "https://example.com"}}, "git_source.git_provider must be one of"),
        ({"max_concurrent_runs": 1001}, "max_concurrent_runs"),
        (
            {"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "/x.py"}}]},
            "An environment is required for serverless task a.",
        ),
        (
            {"tasks": [{"task_key": "a", "libraries": [{"pypi": {"package": "x"}}], **NOTEBOOK}]},
            "specify libraries in environment",
        ),
    ],
)
def test_settings_are_refused_as_the_real_api_refuses_them(
    box: SandboxBox, settings: dict[str, Any], text: str
) -> None:
    assert text in refusal(box, **settings)
