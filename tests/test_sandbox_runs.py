"""Job runs in the sandbox: what a task does follows from the deployed file; states, repairs, cancels, pages.
Every moment is reached by moving the sandbox's clock; nothing waits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import advance, exit_json, get_run, job, latest, nb_task, notebook, output, put, results, start

HOUR = 3600


@pytest.fixture(scope="module")
def shared_box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def box(shared_box: SandboxBox) -> SandboxBox:
    shared_box.control("POST", "reset")
    shared_box.control("POST", "clock", {"freeze": True})
    return shared_box


def refused(box: SandboxBox, method: str, path: str, body: Any = None, **query: Any) -> str:
    reply = box.call(method, path, body, **query)
    assert reply.status == 400, reply
    return str(reply.body["message"])


class TestStates:
    def test_task_goes_from_pending_over_running_to_success_with_the_clock(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", notebook(box, "ok")), nb_task("b", notebook(box, "ok"), "a")))
        seen = []
        for _ in range(80):
            run = get_run(box, run_id)
            state = (run["state"]["life_cycle_state"], *results(run).values())
            if not seen or seen[-1] != state:
                seen.append(state)
            advance(box, 1)
        assert list(dict.fromkeys(state[1:] for state in seen)) == [
            ("PENDING", "BLOCKED"),
            ("RUNNING", "BLOCKED"),
            ("SUCCESS", "PENDING"),
            ("SUCCESS", "RUNNING"),
            ("SUCCESS", "SUCCESS"),
        ]
        assert list(dict.fromkeys(state[0] for state in seen)) == ["RUNNING", "TERMINATED"]

    def test_failed_parent_reads_internal_error_and_its_details_say_client_error(self, box: SandboxBox) -> None:
        bad, good = notebook(box, "bad", "import nowhere_to_be_found\n"), notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", bad), nb_task("b", good, "a")))
        advance(box, HOUR)
        run = get_run(box, run_id)
        assert run["state"]["life_cycle_state"] == "INTERNAL_ERROR"
        assert run["status"]["state"] == "TERMINATED"
        details = run["status"]["termination_details"]
        assert (details["code"], details["type"]) == ("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
        assert details["message"] == (
            "Task a failed with message: Workload failed, see run output for details. "
            "This caused all downstream tasks to get skipped."
        )
        assert results(run) == {"a": "FAILED", "b": "UPSTREAM_FAILED"}
        assert latest(run)["b"]["state"]["life_cycle_state"] == "SKIPPED"

    def test_end_time_and_durations_add_up(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", notebook(box, "ok"))))
        advance(box, HOUR)
        task = latest(get_run(box, run_id))["a"]
        assert task["end_time"] - task["start_time"] == task["setup_duration"] + task["execution_duration"]

    def test_failure_that_no_leaf_shares_is_success_with_failures(self, box: SandboxBox) -> None:
        bad, good = notebook(box, "bad", "import nowhere_to_be_found\n"), notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", bad), nb_task("b", good, "a", run_if="ALL_DONE")))
        advance(box, HOUR)
        assert get_run(box, run_id)["state"]["result_state"] == "SUCCESS_WITH_FAILURES"

    @pytest.mark.parametrize(
        ("run_if", "expected"),
        [
            ("ALL_SUCCESS", "UPSTREAM_FAILED"),
            ("ALL_DONE", "SUCCESS"),
            ("NONE_FAILED", "UPSTREAM_FAILED"),
            ("AT_LEAST_ONE_SUCCESS", "SUCCESS"),
            ("ALL_FAILED", "EXCLUDED"),
            ("AT_LEAST_ONE_FAILED", "SUCCESS"),
        ],
    )
    def test_run_if_decides_after_one_success_and_one_failure(
        self, box: SandboxBox, run_if: str, expected: str
    ) -> None:
        good, bad = notebook(box, "ok"), notebook(box, "bad", "x = (\n")
        last = nb_task("last", good, "good", "bad", run_if=run_if)
        run_id = start(box, job(box, nb_task("good", good), nb_task("bad", bad), last))
        advance(box, HOUR)
        assert results(get_run(box, run_id))["last"] == expected

    def test_disabled_task_is_disabled_and_does_not_hold_up_the_next(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", good, disabled=True), nb_task("b", good, "a")))
        advance(box, HOUR)
        run = get_run(box, run_id)
        assert results(run) == {"a": "DISABLED", "b": "SUCCESS"}
        assert latest(run)["a"]["status"]["termination_details"]["code"] == "DISABLED"

    def test_condition_takes_one_branch_and_excludes_the_other(self, box: SandboxBox) -> None:
        code = 'import json\ndbutils.notebook.exit(json.dumps({"rows": 12}))\n'
        good = notebook(box, "ok", code)
        check = {
            "task_key": "check",
            "depends_on": [{"task_key": "a"}],
            "condition_task": {"op": "GREATER_THAN", "left": "{{tasks.a.values.rows}}", "right": "3"},
        }
        yes, no = nb_task("yes", good), nb_task("no", good)
        yes["depends_on"] = [{"task_key": "check", "outcome": "true"}]
        no["depends_on"] = [{"task_key": "check", "outcome": "false"}]
        run_id = start(box, job(box, nb_task("a", good), check, yes, no))
        advance(box, HOUR)
        run = get_run(box, run_id)
        assert results(run) == {"a": "SUCCESS", "check": "SUCCESS", "yes": "SUCCESS", "no": "EXCLUDED"}
        assert latest(run)["check"]["condition_task"]["outcome"] == "true"
        assert run["state"]["result_state"] == "SUCCESS"

    def test_task_times_out(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", notebook(box, "ok"), timeout_seconds=5)))
        advance(box, HOUR)
        task = latest(get_run(box, run_id))["a"]
        assert task["state"]["result_state"] == "TIMEDOUT"
        assert task["end_time"] - task["start_time"] == 5000

    def test_unknown_enums_are_shown_where_the_quirk_asks_for_them(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", notebook(box, "ok"))))
        advance(box, 5)
        box.control("POST", "quirks", {"unknown_enums": True, "extra_keys": True})
        run = get_run(box, run_id)
        assert run["status"]["state"] == "HIBERNATING"
        assert "future_field" in run
        advance(box, HOUR)
        assert get_run(box, run_id)["state"]["result_state"] == "SUCCESS"


class TestDeployedFiles:
    def test_missing_notebook_is_resource_not_found(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", "/Workspace/Users/you@example.com/none")))
        advance(box, HOUR)
        task = latest(get_run(box, run_id))["a"]
        assert task["status"]["termination_details"]["code"] == "RESOURCE_NOT_FOUND"
        assert "Unable to access the notebook" in task["state"]["state_message"]

    def test_syntax_error_names_the_line_of_the_cell(self, box: SandboxBox) -> None:
        path = notebook(box, "bad", "a = 1\n\n# COMMAND ----------\n\nb = 2\nprint(b\n")
        run_id = start(box, job(box, nb_task("a", path)))
        advance(box, HOUR)
        found = output(box, latest(get_run(box, run_id))["a"]["run_id"])
        assert found["error"].startswith("SyntaxError: ")
        assert re.search(r"<command-\d+>, line 3\b", found["error_trace"])
        assert found["notebook_output"] == {}

    def test_module_is_missing_until_the_environment_lists_it(self, box: SandboxBox) -> None:
        path = put(box, "job.py", "import json\nimport pycountry\n\nprint(json.dumps({'rows': 1}))\n")
        task = {"task_key": "a", "spark_python_task": {"python_file": path}, "environment_key": "e"}
        environment = {"environment_key": "e", "spec": {"environment_version": "4"}}
        job_id = job(box, task, environments=[environment])
        run_id = start(box, job_id)
        advance(box, HOUR)
        found = output(box, latest(get_run(box, run_id))["a"]["run_id"])
        assert found["error"] == "ModuleNotFoundError: No module named 'pycountry'"
        assert f"{path}:2" in re.sub(r"\x1b\[[0-9;]*m", "", found["error_trace"])
        environment["spec"]["dependencies"] = ["pycountry==24.6.1"]  # type: ignore[index]
        settings = {"name": "a job", "tasks": [task], "environments": [environment]}
        box.post("/api/2.2/jobs/reset", {"job_id": job_id, "new_settings": settings})
        box.post("/api/2.2/jobs/runs/repair", {"run_id": run_id, "rerun_all_failed_tasks": True})
        advance(box, HOUR)
        assert results(get_run(box, run_id)) == {"a": "SUCCESS"}

    @pytest.mark.parametrize(
        "code",
        [
            "%pip install pycountry\nimport pycountry\n",
            "try:\n    import pycountry\nexcept ImportError:\n    pycountry = None\n",
            "from helpers import thing\nimport pandas\n",
        ],
    )
    def test_modules_that_are_there_in_another_way_are_found(self, box: SandboxBox, code: str) -> None:
        put(box, "helpers.py", "thing = 1\n")
        run_id = start(box, job(box, nb_task("a", notebook(box, "ok", code))))
        advance(box, HOUR)
        assert results(get_run(box, run_id)) == {"a": "SUCCESS"}

    def test_task_runs_what_was_deployed_when_it_started(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", notebook(box, "nb"))))
        advance(box, 10)
        notebook(box, "nb", "x = (\n")
        advance(box, HOUR)
        assert results(get_run(box, run_id)) == {"a": "SUCCESS"}

    def test_task_that_starts_later_sees_what_was_deployed_meanwhile(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", good), nb_task("b", notebook(box, "nb", "x = (\n"), "a")))
        advance(box, 6)
        notebook(box, "nb")
        advance(box, HOUR)
        assert results(get_run(box, run_id)) == {"a": "SUCCESS", "b": "SUCCESS"}

    def test_exit_value_comes_from_the_code_and_its_parameters(self, box: SandboxBox) -> None:
        code = (
            'import json\nregion = dbutils.widgets.get("region")\n'
            'dbutils.notebook.exit(json.dumps({"status": "SUCCESS", "region": region, "failed_items": []}))\n'
        )
        task = nb_task("a", notebook(box, "nb", code))
        task["notebook_task"]["base_parameters"] = {"region": "{{job.parameters.where}}"}
        run_id = start(
            box, job(box, task, parameters=[{"name": "where", "default": "emea"}]), job_parameters={"where": "apac"}
        )
        advance(box, HOUR)
        found = exit_json(output(box, latest(get_run(box, run_id))["a"]["run_id"]))
        assert found == {"status": "SUCCESS", "region": "apac", "failed_items": []}

    def test_logs_of_a_script_grow_while_it_runs(self, box: SandboxBox) -> None:
        lines = "".join(f'print("[Step {n}/4] step {n}")\n' for n in range(1, 5))
        path = put(box, "steps.py", lines)
        task = {"task_key": "a", "spark_python_task": {"python_file": path}, "environment_key": "e"}
        run_id = start(box, job(box, task, environments=[{"environment_key": "e", "spec": {}}]))
        counts = []
        for _ in range(60):
            task_run = latest(get_run(box, run_id))["a"]["run_id"]
            counts.append(output(box, task_run).get("logs", "").count("[Step"))
            advance(box, 1)
        assert counts[0] == 0
        assert counts[-1] == 4
        assert counts == sorted(counts)
        assert set(counts) >= {1, 2, 3}


class TestNesting:
    def test_child_run_is_found_by_the_output_and_knows_its_parent(self, box: SandboxBox) -> None:
        child = job(box, nb_task("inner", notebook(box, "bad", "x = (\n")))
        parent = job(box, {"task_key": "call", "run_job_task": {"job_id": child}})
        run_id = start(box, parent)
        advance(box, HOUR)
        run = get_run(box, run_id)
        task = latest(run)["call"]
        found = output(box, task["run_id"])
        inner = get_run(box, found["run_job_output"]["run_id"])
        assert (inner["trigger"], inner["trigger_info"]) == ("RUN_JOB_TASK", {"run_id": task["run_id"]})
        assert results(inner) == {"inner": "FAILED"}
        assert found["error"] == "Workload failed, see run output for details"
        assert run["state"]["result_state"] == "FAILED"

    def test_for_each_counts_and_pages_its_iterations(self, box: SandboxBox) -> None:
        inner = nb_task("one", notebook(box, "ok", 'n = dbutils.widgets.get("n")\ndbutils.notebook.exit(n)\n'))
        inner["notebook_task"]["base_parameters"] = {"n": "{{input}}"}
        values = str([f"i{n}" for n in range(250)]).replace("'", '"')
        task = {"task_key": "all", "for_each_task": {"inputs": values, "concurrency": 10, "task": inner}}
        run_id = start(box, job(box, task))
        advance(box, 12)
        stats = latest(get_run(box, run_id))["all"]["for_each_task"]["stats"]["task_run_stats"]
        assert stats["total_iterations"] == 250
        assert stats["active_iterations"] == 10
        advance(box, 10 * HOUR)
        task_run = latest(get_run(box, run_id))["all"]
        assert task_run["for_each_task"]["stats"]["task_run_stats"]["succeeded_iterations"] == 250
        sizes, names, token = [], [], None
        while True:
            query = {"page_token": token} if token else {}
            page = box.get("/api/2.2/jobs/runs/get", run_id=task_run["run_id"], **query)
            sizes.append(len(page["iterations"]))
            names += [i["resolved_values"]["notebook_task"]["base_parameters"]["n"] for i in page["iterations"]]
            token = page.get("next_page_token")
            if not token:
                break
        assert sizes == [100, 100, 50]
        assert names == [f"i{n}" for n in range(250)]
        assert output(box, page["iterations"][-1]["run_id"])["notebook_output"]["result"] == "i249"

    def test_pipeline_task_starts_an_update_for_the_job(self, box: SandboxBox) -> None:
        path = put(box, "dlt.py", "import dlt\n\n@dlt.table\ndef t():\n    return spark.readStream.table('src')\n")
        spec = {
            "name": "p",
            "catalog": "main",
            "schema": "s",
            "serverless": True,
            "libraries": [{"file": {"path": path}}],
        }
        pipeline = box.post("/api/2.0/pipelines", spec)["pipeline_id"]
        run_id = start(box, job(box, {"task_key": "p", "pipeline_task": {"pipeline_id": pipeline}}))
        advance(box, 5)
        updates = box.get(f"/api/2.0/pipelines/{pipeline}/updates")["updates"]
        assert [u["cause"] for u in updates] == ["JOB_TASK"]
        assert results(get_run(box, run_id)) == {"p": "RUNNING"}
        advance(box, HOUR)
        assert results(get_run(box, run_id)) == {"p": "SUCCESS"}


class TestAttemptsAndRepairs:
    def test_retries_are_separate_task_runs_with_their_own_numbers(self, box: SandboxBox) -> None:
        bad = notebook(box, "bad", "x = (\n")
        run_id = start(box, job(box, nb_task("a", bad, max_retries=2, min_retry_interval_millis=60_000)))
        get_run(box, run_id)
        advance(box, 20)
        run = get_run(box, run_id)
        assert run["tasks"][-1]["state"]["life_cycle_state"] == "WAITING_FOR_RETRY"
        assert run["tasks"][-1]["status"]["state"] == "WAITING"
        advance(box, HOUR)
        run = get_run(box, run_id)
        assert [t["attempt_number"] for t in run["tasks"]] == [0, 1, 2]
        assert len({t["run_id"] for t in run["tasks"]}) == 3
        assert run["state"]["result_state"] == "FAILED"

    def test_repair_reruns_what_failed_and_asks_for_the_latest_id_from_the_second_time_on(
        self, box: SandboxBox
    ) -> None:
        good = notebook(box, "ok")
        run_id = start(
            box,
            job(box, nb_task("a", good), nb_task("b", notebook(box, "nb", "x = (\n"), "a"), nb_task("c", good, "b")),
        )
        path = "/api/2.2/jobs/runs/repair"
        body = {"run_id": run_id, "rerun_all_failed_tasks": True}
        assert "still active" in refused(box, "POST", path, body)
        advance(box, HOUR)
        first = box.post(path, body)["repair_id"]
        advance(box, HOUR)
        needs = "The latest repair ID needs to be provided in order to create a new repair"
        assert refused(box, "POST", path, body) == needs
        assert refused(box, "POST", path, {**body, "latest_repair_id": 1}) == needs
        notebook(box, "nb")
        box.post(path, {**body, "latest_repair_id": first})
        assert get_run(box, run_id)["state"]["life_cycle_state"] in ("PENDING", "RUNNING")
        advance(box, HOUR)
        run = get_run(box, run_id)
        assert results(run) == {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}
        history = run["repair_history"]
        assert [(i["type"], i["state"]["result_state"]) for i in history] == [
            ("ORIGINAL", "FAILED"),
            ("REPAIR", "FAILED"),
            ("REPAIR", "SUCCESS"),
        ]
        assert "id" not in history[0]
        assert [len(i["task_run_ids"]) for i in history] == [3, 2, 2]
        assert run["state"]["result_state"] == "SUCCESS"

    def test_repair_of_chosen_tasks_takes_dependents_along_when_asked(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", good), nb_task("b", good, "a"), nb_task("c", good, "b")))
        advance(box, HOUR)
        path = "/api/2.2/jobs/runs/repair"
        assert "no failed tasks" in refused(box, "POST", path, {"run_id": run_id, "rerun_all_failed_tasks": True})
        assert "Exactly one" in refused(box, "POST", path, {"run_id": run_id})
        assert "does not exist" in refused(box, "POST", path, {"run_id": run_id, "rerun_tasks": ["z"]})
        box.post(path, {"run_id": run_id, "rerun_tasks": ["b"], "rerun_dependent_tasks": True})
        advance(box, HOUR)
        assert [t["task_key"] for t in get_run(box, run_id)["tasks"]] == ["a", "b", "c", "b", "c"]


class TestStartingAndStopping:
    def test_idempotency_token_gives_the_same_run(self, box: SandboxBox) -> None:
        job_id = job(box, nb_task("a", notebook(box, "ok")))
        runs = {start(box, job_id, idempotency_token="t1"), start(box, job_id, idempotency_token="t1")}
        assert len(runs) == 1
        assert start(box, job_id, idempotency_token="t2", queue={"enabled": True}) not in runs
        assert "64" in refused(box, "POST", "/api/2.2/jobs/run-now", {"job_id": job_id, "idempotency_token": "x" * 65})

    def test_run_beyond_the_limit_queues_and_starts_when_the_first_ends(self, box: SandboxBox) -> None:
        job_id = job(box, nb_task("a", notebook(box, "ok")), queue={"enabled": True}, max_concurrent_runs=1)
        first, second = start(box, job_id), start(box, job_id)
        run = get_run(box, second)
        assert run["status"]["queue_details"]["code"] == "MAX_CONCURRENT_RUNS_REACHED"
        assert run["state"]["life_cycle_state"] == "QUEUED"
        advance(box, HOUR)
        ended = get_run(box, first)["end_time"]
        run = get_run(box, second)
        assert run["start_time"] + run["queue_duration"] == ended
        advance(box, HOUR)
        assert get_run(box, second)["state"]["result_state"] == "SUCCESS"

    def test_run_beyond_the_limit_is_skipped_where_nothing_queues(self, box: SandboxBox) -> None:
        job_id = job(box, nb_task("a", notebook(box, "ok")), max_concurrent_runs=1)
        start(box, job_id)
        state = get_run(box, start(box, job_id))["state"]
        assert (state["life_cycle_state"], state["result_state"]) == ("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED")

    @pytest.mark.parametrize(
        ("only", "ran"), [(["b"], "b"), (["+b"], "ab"), (["b+"], "bc"), (["+b+"], "abc"), (["a", "c"], "ac")]
    )
    def test_only_runs_the_chosen_tasks(self, box: SandboxBox, only: list[str], ran: str) -> None:
        good = notebook(box, "ok")
        job_id = job(box, nb_task("a", good), nb_task("b", good, "a"), nb_task("c", good, "b"))
        run_id = start(box, job_id, only=only)
        advance(box, HOUR)
        assert "".join(key for key, result in results(get_run(box, run_id)).items() if result == "SUCCESS") == ran
        assert "does not exist" in refused(box, "POST", "/api/2.2/jobs/run-now", {"job_id": job_id, "only": ["z"]})

    def test_cancel_ends_what_runs_and_never_starts_the_rest(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", good), nb_task("b", good, "a")))
        advance(box, 6)
        box.post("/api/2.2/jobs/runs/cancel", {"run_id": run_id})
        assert get_run(box, run_id)["state"]["life_cycle_state"] == "TERMINATING"
        advance(box, 10)
        run = get_run(box, run_id)
        assert run["state"]["result_state"] == "CANCELED"
        assert run["status"]["termination_details"]["code"] == "USER_CANCELED"
        assert results(run) == {"a": "CANCELED", "b": "CANCELED"}

    def test_cancel_of_one_task_run_fails_its_dependents_only(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", good), nb_task("b", good, "a"), nb_task("c", good)))
        advance(box, 6)
        box.post("/api/2.2/jobs/runs/cancel", {"run_id": latest(get_run(box, run_id))["a"]["run_id"]})
        advance(box, HOUR)
        assert results(get_run(box, run_id)) == {"a": "CANCELED", "b": "UPSTREAM_CANCELED", "c": "SUCCESS"}

    def test_cancel_all_reaches_running_and_queued_runs(self, box: SandboxBox) -> None:
        job_id = job(box, nb_task("a", notebook(box, "ok")), queue={"enabled": True}, max_concurrent_runs=1)
        runs = [start(box, job_id) for _ in range(3)]
        box.post("/api/2.2/jobs/runs/cancel-all", {"job_id": job_id})
        advance(box, 60)
        assert [get_run(box, run)["state"]["result_state"] for run in runs] == ["CANCELED"] * 3

    def test_cancelling_a_parent_cancels_the_child(self, box: SandboxBox) -> None:
        child = job(box, nb_task("inner", notebook(box, "ok")))
        run_id = start(box, job(box, {"task_key": "call", "run_job_task": {"job_id": child}}))
        advance(box, 6)
        inner = output(box, latest(get_run(box, run_id))["call"]["run_id"])["run_job_output"]["run_id"]
        box.post("/api/2.2/jobs/runs/cancel", {"run_id": run_id})
        advance(box, 60)
        assert get_run(box, inner)["state"]["result_state"] == "CANCELED"

    def test_deleted_run_is_gone_and_an_active_one_is_not_deleted(self, box: SandboxBox) -> None:
        run_id = start(box, job(box, nb_task("a", notebook(box, "ok"))))
        get_run(box, run_id)
        assert "still active" in refused(box, "POST", "/api/2.2/jobs/runs/delete", {"run_id": run_id})
        advance(box, HOUR)
        box.post("/api/2.2/jobs/runs/delete", {"run_id": run_id})
        assert refused(box, "GET", "/api/2.2/jobs/runs/get", run_id=run_id) == f"Run {run_id} does not exist."


class TestReading:
    def test_output_of_a_run_with_several_tasks_is_refused(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, nb_task("a", good), nb_task("b", good)))
        text = refused(box, "GET", "/api/2.2/jobs/runs/get-output", run_id=run_id)
        assert text.startswith("Retrieving the output of runs with multiple tasks is not supported.")

    def test_run_of_150_tasks_comes_in_two_pages_and_not_at_all_over_the_old_api(self, box: SandboxBox) -> None:
        good = notebook(box, "ok")
        run_id = start(box, job(box, *(nb_task(f"t{n}", good) for n in range(150))))
        first = box.get("/api/2.2/jobs/runs/get", run_id=run_id)
        second = box.get("/api/2.2/jobs/runs/get", run_id=run_id, page_token=first["next_page_token"])
        keys = [t["task_key"] for t in first["tasks"] + second["tasks"]]
        assert (len(first["tasks"]), len(keys), len(set(keys))) == (100, 150, 150)
        assert "next_page_token" not in second
        assert "only be handled by API 2.2" in refused(box, "GET", "/api/2.1/jobs/runs/get", run_id=run_id)

    def test_listing_is_newest_first_and_pages_hold_still_while_runs_are_added(self, box: SandboxBox) -> None:
        job_id = job(box, nb_task("a", notebook(box, "ok")), max_concurrent_runs=1000)
        made = []
        for _ in range(30):
            made.append(start(box, job_id))
            advance(box, 1)
        path = "/api/2.2/jobs/runs/list"
        first = box.get(path, limit=25)
        assert [r["run_id"] for r in first["runs"]] == made[:4:-1]
        start(box, job_id)
        second = box.get(path, limit=25, page_token=first["next_page_token"])
        assert [r["run_id"] for r in second["runs"]] == made[4::-1]
        assert second["has_more"] is False
        assert "limit" in refused(box, "GET", path, limit=26)
        assert "cannot both" in refused(box, "GET", path, active_only="true", completed_only="true")

    def test_active_only_shows_what_is_not_over(self, box: SandboxBox) -> None:
        job_id = job(box, nb_task("a", notebook(box, "ok")), max_concurrent_runs=10)
        start(box, job_id)
        advance(box, HOUR)
        second = start(box, job_id)
        listed = box.get("/api/2.2/jobs/runs/list", active_only="true", job_id=job_id)
        assert [r["run_id"] for r in listed["runs"]] == [second]
        assert "tasks" not in listed["runs"][0]
        assert len(box.get("/api/2.2/jobs/runs/list", completed_only="true")["runs"]) == 1

    def test_cluster_of_a_task_is_there_with_its_events_and_goes_with_the_run(self, box: SandboxBox) -> None:
        task = nb_task("a", notebook(box, "ok"), job_cluster_key="main")
        cluster = {"spark_version": "16.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
        run_id = start(box, job(box, task, job_clusters=[{"job_cluster_key": "main", "new_cluster": cluster}]))
        get_run(box, run_id)
        advance(box, 10)
        found = latest(get_run(box, run_id))["a"]["cluster_instance"]["cluster_id"]
        assert box.get("/api/2.1/clusters/get", cluster_id=found)["state"] == "RUNNING"
        advance(box, HOUR)
        get_run(box, run_id)
        assert box.get("/api/2.1/clusters/get", cluster_id=found)["termination_reason"]["code"] == "JOB_FINISHED"
        events = box.post("/api/2.1/clusters/events", {"cluster_id": found})["events"]
        assert [e["type"] for e in events] == ["TERMINATING", "RUNNING", "CREATING"]
