"""The workspace as the engine reads and changes it, against the sandbox over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.guard import Policy, Refused
from dbops_tui.core.runs import Outcome
from dbops_tui.core.workspace import WorkspaceError
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import advance, job, nb_task, notebook, put, start
from workspace_work import Counting, Desk, answer, desk_at, other_host, raw_host

HOUR = 3600
REPAIR = "/api/2.2/jobs/runs/repair"
BROKEN = "import nowhere_to_be_found\n"


@pytest.fixture(scope="module")
def shared_box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def box(shared_box: SandboxBox) -> SandboxBox:
    shared_box.control("POST", "reset")
    shared_box.control("POST", "clock", {"freeze": True})
    shared_box.control("POST", "quirks", {"unknown_enums": False, "extra_keys": False})
    return shared_box


@pytest.fixture
async def desk(box: SandboxBox, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(box, tmp_path) as found:
        yield found


def failed_run(box: SandboxBox, **settings: Any) -> str:
    """A run whose first task failed, over."""
    bad, good = notebook(box, "bad", BROKEN), notebook(box, "ok")
    run_id = start(box, job(box, nb_task("a", bad), nb_task("b", good, "a"), **settings))
    advance(box, HOUR)
    return str(run_id)


class TestReading:
    async def test_says_who_we_are(self, desk: Desk) -> None:
        assert await desk.workspace.me() == "you@example.com"

    async def test_the_client_says_who_it_is(self, desk: Desk) -> None:
        await desk.workspace.me()
        assert desk.box.calls(path="*/Me")[-1]["user_agent"].startswith("dbops-tui/")

    async def test_active_runs_come_from_all_pages_each_once(self, desk: Desk) -> None:
        job_id = job(desk.box, nb_task("a", notebook(desk.box, "ok")), max_concurrent_runs=100)
        started = [str(start(desk.box, job_id)) for _ in range(60)]
        found = await desk.workspace.active_runs()
        assert sorted(run.run_id for run in found) == sorted(started)
        assert all(run.state.active and run.job_id == str(job_id) for run in found)
        assert len(desk.box.calls(path="*/runs/list")) == 3

    async def test_only_what_is_under_way_is_active(self, desk: Desk) -> None:
        failed_run(desk.box)
        assert await desk.workspace.active_runs() == ()

    async def test_runs_of_a_job_are_its_own_newest_first_with_their_tasks(self, desk: Desk) -> None:
        failed_run(desk.box)
        job_id = job(desk.box, nb_task("a", notebook(desk.box, "ok")), max_concurrent_runs=100)
        started = [str(start(desk.box, job_id)) for _ in range(30)]
        found = await desk.workspace.runs_of(str(job_id), 27)
        assert {run.run_id for run in found} <= set(started)
        assert len(found) == 27
        assert [run.start_ms for run in found] == sorted((run.start_ms for run in found), reverse=True)
        assert [task.task_key for run in found for task in run.tasks] == ["a"] * 27
        assert len(await desk.workspace.runs_of(str(job_id), 2)) == 2

    async def test_a_queued_run_says_what_it_waits_for(self, desk: Desk) -> None:
        settings = {"max_concurrent_runs": 1, "queue": {"enabled": True}}
        job_id = job(desk.box, nb_task("a", notebook(desk.box, "ok")), **settings)
        start(desk.box, job_id)
        run = await desk.workspace.run(str(start(desk.box, job_id)))
        assert (run.state.outcome, run.state.active) == (Outcome.QUEUED, True)
        assert "maximum concurrent runs" in run.state.queue_reason

    async def test_a_run_has_the_tasks_of_all_its_pages_each_once(self, desk: Desk) -> None:
        path = notebook(desk.box, "ok")
        keys = [f"t{number:03}" for number in range(230)]
        run_id = start(desk.box, job(desk.box, *(nb_task(key, path) for key in keys)))
        run = await desk.workspace.run(str(run_id))
        assert sorted(task.task_key for task in run.tasks) == keys
        assert len({task.run_id for task in run.tasks}) == len(keys)
        calls = desk.box.calls(path="*/runs/get")
        assert len(calls) == 3
        assert all("include_history=true" in call["query"] for call in calls)

    async def test_every_attempt_and_repair_stays_in_the_run(self, desk: Desk) -> None:
        box = desk.box
        bad = notebook(box, "bad", BROKEN)
        run_id = str(start(box, job(box, nb_task("a", bad, max_retries=1, min_retry_interval_millis=0))))
        advance(box, HOUR)
        notebook(box, "bad")
        box.post(REPAIR, {"run_id": int(run_id), "rerun_all_failed_tasks": True})
        advance(box, HOUR)
        run = await desk.workspace.run(run_id)
        assert [task.task_key for task in run.tasks] == ["a", "a", "a"]
        assert [task.state.outcome for task in run.tasks].count(Outcome.FAILED) == 2
        assert [item.kind for item in run.repairs] == ["ORIGINAL", "REPAIR"]
        assert run.repairs[-1].task_run_ids == (run.tasks[-1].run_id,)
        assert run.state.succeeded

    async def test_a_failed_run_is_no_fault_of_the_platform(self, desk: Desk) -> None:
        run = await desk.workspace.run(failed_run(desk.box))
        assert (run.state.outcome, run.state.life, run.state.type) == (Outcome.FAILED, "TERMINATED", "CLIENT_ERROR")
        assert [task.state.outcome for task in run.tasks] == [Outcome.FAILED, Outcome.UPSTREAM_FAILED]

    async def test_unknown_words_and_keys_are_shown_as_they_come(self, desk: Desk) -> None:
        box = desk.box
        box.control("POST", "quirks", {"unknown_enums": True, "extra_keys": True})
        good, bad = notebook(box, "ok"), notebook(box, "bad", BROKEN)
        run_id = str(start(box, job(box, nb_task("a", good), nb_task("b", bad, "a"))))
        advance(box, 10)
        under_way = await desk.workspace.run(run_id)
        assert (under_way.state.outcome, under_way.state.life) == (Outcome.UNKNOWN, "HIBERNATING")
        assert under_way.state.active
        assert [run.run_id for run in await desk.workspace.active_runs()] == [run_id]
        advance(box, HOUR)
        over = await desk.workspace.run(run_id)
        assert (over.state.outcome, over.state.code, over.state.active) == (Outcome.FAILED, "SOLAR_FLARE", False)

    async def test_iterations_come_page_by_page(self, desk: Desk) -> None:
        inner = nb_task("one", notebook(desk.box, "ok"))
        inner["notebook_task"]["base_parameters"] = {"n": "{{input}}"}
        values = str([f"i{n}" for n in range(250)]).replace("'", '"')
        task = {"task_key": "all", "for_each_task": {"inputs": values, "concurrency": 10, "task": inner}}
        run_id = start(desk.box, job(desk.box, task))
        advance(desk.box, 10 * HOUR)
        each = (await desk.workspace.run(str(run_id))).tasks[0]
        assert each.for_each is not None
        assert (each.for_each.total, each.for_each.succeeded) == (250, 250)
        seen, token = [], ""
        while True:
            part, token = await desk.workspace.iterations(each.run_id, token)
            seen.append([dict(item.parameters)["n"] for item in part])
            if not token:
                break
        assert [len(part) for part in seen] == [100, 100, 50]
        assert [name for part in seen for name in part] == [f"i{n}" for n in range(250)]

    async def test_an_output_has_the_error_and_the_nested_run(self, desk: Desk) -> None:
        box = desk.box
        child = job(box, nb_task("inner", notebook(box, "bad", BROKEN)))
        run_id = start(box, job(box, {"task_key": "call", "run_job_task": {"job_id": child}}))
        advance(box, HOUR)
        run = await desk.workspace.run(str(run_id))
        assert run.tasks[0].job_id == str(child)
        nested = await desk.workspace.run((await desk.workspace.output(run.tasks[0].run_id)).child_run_id)
        assert nested.parent_task_run_id == run.tasks[0].run_id
        output = await desk.workspace.output(nested.tasks[0].run_id)
        assert "nowhere_to_be_found" in output.error
        assert "Traceback" in output.error_trace
        assert "\x1b" not in output.error + output.error_trace
        assert "<span" not in output.error

    async def test_the_output_of_a_run_with_several_tasks_is_refused_in_words(self, desk: Desk) -> None:
        with pytest.raises(WorkspaceError, match="multiple tasks is not supported") as caught:
            await desk.workspace.output(failed_run(desk.box))
        assert (caught.value.kind, caught.value.error_code) == ("refused", "INVALID_PARAMETER_VALUE")
        assert not caught.value.unmeasured

    async def test_pipelines_and_updates(self, desk: Desk) -> None:
        box = desk.box
        path = put(box, "etl.py", "from pyspark import pipelines as dp\n\n\n@dp.table\ndef raw():\n    return 1\n")
        libraries = [{"file": {"path": path}}]
        spec = {"name": "etl", "catalog": "main", "schema": "shop", "serverless": True, "libraries": libraries}
        pipeline_id = box.post("/api/2.0/pipelines", spec)["pipeline_id"]
        ids = []
        for _ in range(3):
            ids.append(box.post(f"/api/2.0/pipelines/{pipeline_id}/updates", {})["update_id"])
            advance(box, HOUR)
        pipeline = await desk.workspace.pipeline(pipeline_id)
        assert (pipeline.name, pipeline.serverless, pipeline.latest_updates[0]) == ("etl", True, (ids[-1], "COMPLETED"))
        updates = await desk.workspace.updates(pipeline_id)
        assert [update.update_id for update in updates] == ids[::-1]
        assert [update.update_id for update in await desk.workspace.updates(pipeline_id, 2)] == ids[:0:-1]
        update = await desk.workspace.update(pipeline_id, ids[0])
        assert (update.state, update.ended, update.pipeline_id) == ("COMPLETED", True, pipeline_id)
        assert update.creation_ms == updates[-1].creation_ms > 1_600_000_000_000

    async def test_warehouses_and_the_events_of_a_cluster_that_is_gone(self, desk: Desk) -> None:
        (warehouse,) = await desk.workspace.warehouses()
        assert (warehouse.name, warehouse.state) == ("Serverless Starter Warehouse", "STOPPED")
        with pytest.raises(WorkspaceError) as caught:
            await desk.workspace.cluster_events("0000-000000-nothere")
        assert (caught.value.kind, caught.value.unknown) == ("not_found", False)

    async def test_cluster_events_are_asked_without_a_permit_and_come_clean(self, desk: Desk) -> None:
        event = {
            "type": "TERMINATING",
            "timestamp": 7,
            "details": {"reason": {"code": "\x1b[31mINIT", "n": [None, 1.5]}},
        }
        clean = {**event, "details": {"reason": {"code": "INIT", "n": [None, 1.5]}}}

        async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(answer("200 OK", json.dumps({"events": [event, event, "odd", event]}).encode()))

        async with raw_host(behave) as (host, requests), other_host(desk, host) as workspace:
            assert await workspace.cluster_events("0921-030015-ab3cde45", 2) == [clean, clean]
        assert json.loads(requests[0].rpartition(b"\r\n")[2]) == {
            "cluster_id": "0921-030015-ab3cde45",
            "order": "DESC",
            "page_size": 2,
        }

    @pytest.mark.parametrize("run_id", ["1", "999999999999", "9223372036854775807"])
    async def test_a_run_that_is_gone_is_not_found(self, desk: Desk, run_id: str) -> None:
        with pytest.raises(WorkspaceError, match=f"Run {run_id} does not exist") as caught:
            await desk.workspace.run(run_id)
        assert (caught.value.kind, caught.value.status, caught.value.unmeasured) == ("not_found", 400, False)

    @pytest.mark.parametrize("odd", ["", "x", "-1", "1.5", "9223372036854775808", "1&a=b", "١٢", "1" * 5000])
    async def test_what_is_no_id_is_never_sent(self, desk: Desk, odd: str) -> None:
        for ask in (desk.workspace.run, desk.workspace.output, desk.workspace.runs_of, desk.workspace.iterations):
            with pytest.raises(WorkspaceError) as caught:
                await ask(odd)
            assert caught.value.kind == "not_found"
        assert desk.box.calls(path="/api/*") == []

    @pytest.mark.parametrize("odd", ["../../2.2/jobs/list", "a/b", "a?b=c", "a b", "ä", "%2e%2e"])
    async def test_an_id_in_a_path_is_quoted(self, desk: Desk, odd: str) -> None:
        with pytest.raises(WorkspaceError) as caught:
            await desk.workspace.pipeline(odd)
        assert caught.value.kind in ("not_found", "refused")
        assert not desk.box.calls(path="*/jobs/list")

    @pytest.mark.parametrize(
        "path", ["/api/2.0/../x", "/apx", "https://elsewhere.example.com/api", "/api/x?a=b", "/api/a b"]
    )
    async def test_a_path_that_could_lead_elsewhere_is_refused(self, desk: Desk, path: str) -> None:
        with pytest.raises(WorkspaceError) as caught:
            await desk.workspace.request("GET", path)
        assert caught.value.kind == "refused"
        assert desk.box.calls(path="/api/*") == []


class TestChanging:
    async def test_a_repair_runs_what_failed_and_knows_the_one_before(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        for number in (1, 2):
            run = await desk.workspace.run(run_id)
            permit = await desk.permit("repair")
            repair_id = await desk.workspace.repair(permit, run_id, latest_repair_id=run.latest_repair_id)
            after = await desk.workspace.run(run_id)
            assert after.latest_repair_id == repair_id
            assert [item.kind for item in after.repairs] == ["ORIGINAL", *["REPAIR"] * number]
            advance(desk.box, HOUR)

    async def test_a_repair_that_has_not_seen_the_last_is_refused_and_nothing_is_unknown(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        desk.box.post(REPAIR, {"run_id": int(run_id), "rerun_all_failed_tasks": True})
        advance(desk.box, HOUR)
        with pytest.raises(WorkspaceError, match="latest repair ID") as caught:
            await desk.workspace.repair(await desk.permit("repair"), run_id, latest_repair_id=None)
        assert (caught.value.kind, caught.value.unknown, caught.value.status) == ("refused", False, 400)

    async def test_a_repair_of_named_tasks_takes_those_only(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        notebook(desk.box, "bad")
        permit = await desk.permit("repair")
        await desk.workspace.repair(permit, run_id, latest_repair_id=None, tasks=("a",))
        advance(desk.box, HOUR)
        run = await desk.workspace.run(run_id)
        assert [task.task_key for task in run.tasks] == ["a", "b", "a"]

    async def test_a_repair_with_its_dependents_runs_them_too(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        notebook(desk.box, "bad")
        permit = await desk.permit("repair")
        await desk.workspace.repair(permit, run_id, latest_repair_id=None, tasks=("a",), dependents=True)
        advance(desk.box, HOUR)
        assert [task.task_key for task in (await desk.workspace.run(run_id)).tasks] == ["a", "b", "a", "b"]

    async def test_a_repair_gives_the_parameters_again_exactly_also_those_that_are_masked(self, desk: Desk) -> None:
        secret = "dapi" + "0123456789abcdef" * 2
        parameters = [{"name": "day", "default": "1"}, {"name": "key", "default": f"{secret}\x1b[31m"}]
        run_id = failed_run(desk.box, parameters=parameters)
        run = await desk.workspace.run(run_id)
        assert secret not in str(run)
        permit = await desk.permit("repair")
        await desk.workspace.repair(
            permit, run_id, latest_repair_id=None, parameters={**dict(run.parameters), "day": "2"}
        )
        told = desk.box.get("/api/2.2/jobs/runs/get", run_id=run_id)["job_parameters"]
        assert {item["name"]: item["value"] for item in told} == {"day": "2", "key": f"{secret}\x1b[31m"}

    async def test_a_masked_parameter_that_nobody_remembers_is_never_sent(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        with pytest.raises(WorkspaceError, match="the parameter key holds a secret") as caught:
            await desk.workspace.repair(
                await desk.permit("repair"), run_id, latest_repair_id=None, parameters={"key": "[redacted]"}
            )
        assert not caught.value.unknown
        assert desk.box.calls(path=REPAIR) == []

    async def test_cancel_ends_a_run(self, desk: Desk) -> None:
        run_id = str(start(desk.box, job(desk.box, nb_task("a", notebook(desk.box, "ok")))))
        await desk.workspace.cancel(await desk.permit("cancel"), run_id)
        advance(desk.box, HOUR)
        assert (await desk.workspace.run(run_id)).state.outcome is Outcome.CANCELED

    async def test_stop_ends_the_update_of_a_pipeline(self, desk: Desk) -> None:
        box = desk.box
        path = put(box, "etl.py", "from pyspark import pipelines as dp\n\n\n@dp.table\ndef raw():\n    return 1\n")
        libraries = [{"file": {"path": path}}]
        spec = {"name": "etl", "catalog": "main", "schema": "shop", "serverless": True, "libraries": libraries}
        pipeline_id = box.post("/api/2.0/pipelines", spec)["pipeline_id"]
        update_id = box.post(f"/api/2.0/pipelines/{pipeline_id}/updates", {})["update_id"]
        await desk.workspace.stop_pipeline(await desk.permit("stop"), pipeline_id)
        advance(box, HOUR)
        assert (await desk.workspace.update(pipeline_id, update_id)).state == "CANCELED"

    async def test_the_permitted_statement_runs_and_no_other(self, desk: Desk) -> None:
        (warehouse,) = await desk.workspace.warehouses()
        permit = await desk.permit("sql", statement="SELECT 1")
        with pytest.raises(WorkspaceError, match="another statement") as caught:
            await desk.workspace.statement(permit, warehouse.id, "SELECT 2", 10)
        assert not caught.value.unknown
        assert desk.box.calls(path="*/statements") == []
        result = await desk.workspace.statement(permit, warehouse.id, "SELECT 1", 10)
        assert (result.succeeded, result.state) == (True, "SUCCEEDED")
        (warehouse,) = await desk.workspace.warehouses()
        assert warehouse.state == "RUNNING"

    async def test_a_call_of_the_other_kind_does_not_pass_with_this_permit(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        with pytest.raises(Refused):
            await desk.workspace.cancel(await desk.permit("repair"), run_id)
        assert desk.box.calls(path="*/runs/cancel") == []

    async def test_nothing_changes_without_a_permit_or_with_a_used_one(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        body = {"run_id": int(run_id), "rerun_all_failed_tasks": True}
        with pytest.raises(Refused):
            await desk.workspace.request("POST", REPAIR, body=body)
        with pytest.raises(Refused):
            await desk.workspace.request("POST", "/api/2.2/jobs/create", body={"name": "x"})
        with pytest.raises(Refused):
            await desk.workspace.request("DELETE", "/api/2.0/pipelines/x")
        permit = await desk.permit("repair")
        await desk.workspace.repair(permit, run_id, latest_repair_id=None)
        with pytest.raises(Refused, match="used already"):
            await desk.workspace.repair(permit, run_id, latest_repair_id=None)
        assert len(desk.box.calls(path=REPAIR)) == 1
        assert [call["method"] for call in desk.box.calls() if call["method"] not in ("GET", "POST")] == []

    async def test_nothing_changes_at_another_host_than_was_permitted(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        permit = await desk.permit("repair")
        desk.identity.append(replace(desk.identity[0], host="https://other.example.com"))
        with pytest.raises(Refused):
            await desk.workspace.repair(permit, run_id, latest_repair_id=None)
        other = await desk.permit("repair")
        with pytest.raises(Refused, match="was permitted"):
            await desk.workspace.repair(other, run_id, latest_repair_id=None)
        assert desk.box.calls(path=REPAIR) == []

    async def test_read_only_is_asked_again_at_the_last_moment(self, desk: Desk) -> None:
        run_id = failed_run(desk.box)
        permit = await desk.permit("repair")
        desk.guard.policy = Policy(read_only=True)
        with pytest.raises(Refused, match="read-only"):
            await desk.workspace.repair(permit, run_id, latest_repair_id=None)
        assert desk.box.calls(path=REPAIR) == []


async def test_every_request_is_taken_from_the_budget(box: SandboxBox, tmp_path: Path) -> None:
    budget = Counting()
    async with desk_at(box, tmp_path, budget=budget) as desk:
        path = notebook(box, "ok")
        run_id = start(box, job(box, *(nb_task(f"t{number}", path) for number in range(150))))
        await desk.workspace.run(str(run_id))
        await desk.workspace.me()
        assert budget.taken == 3
        budget.gate.clear()
        waiting = asyncio.ensure_future(desk.workspace.me())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert len(box.calls(path="*/Me")) == 1
        budget.gate.set()
        await waiting
