"""Each scenario plays as it promises: with the stand-in CLI always, and with the real one where it is found.
A fix is verified by what was really uploaded: before it the run fails at the defect, after it the run succeeds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from quick import quick
from sandbox_fixture import SandboxBox, real_cli, running_sandbox
from sandbox_work import advance, get_run, latest, output, results

HOUR = 3600
CLIS = [pytest.param("standin", id="standin"), pytest.param("real", id="real", marks=pytest.mark.real_cli)]


@dataclass
class Played:
    """A scenario in play: its sandbox, its bundle, and the CLI."""

    box: SandboxBox
    told: dict[str, Any]
    env: dict[str, str]
    command: list[str]

    @property
    def root(self) -> Path:
        return Path(self.told["bundle_dir"])

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command, *arguments, "-t", self.told["target"]]
        return subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=120)

    def deploy(self) -> subprocess.CompletedProcess[str]:
        return self.cli("bundle", "deploy")

    def mend(self, fix: dict[str, str]) -> None:
        path = self.root / fix["file"]
        text = path.read_text()
        assert fix["find"] in text, fix
        path.write_text(text.replace(fix["find"], fix["replace"]))

    def id_of(self, kind: str, key: str) -> str:
        done = self.cli("bundle", "summary", "-o", "json")
        assert done.returncode == 0, done.stderr
        found: str = json.loads(done.stdout)["resources"][kind][key]["id"]
        return found

    def run(self, key: str) -> int:
        """Starts a job and lets its time pass; returns the run id."""
        done = self.cli("bundle", "run", key, "--no-wait")
        assert done.returncode == 0, done.stderr
        advance(self.box, HOUR)
        return int(done.stderr.partition("/runs/")[2].partition("?")[0])

    def repair(self, run_id: int) -> dict[str, Any]:
        run = get_run(self.box, run_id)
        body = {"run_id": run_id, "rerun_all_failed_tasks": True}
        ids = [item["id"] for item in run["repair_history"] if "id" in item]
        self.box.post("/api/2.2/jobs/runs/repair", {**body, **({"latest_repair_id": ids[-1]} if ids else {})})
        get_run(self.box, run_id)
        advance(self.box, HOUR)
        return get_run(self.box, run_id)

    def leaves(self, run: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(task, output) of every failed task that calls no other job, nested runs opened."""
        found = []
        for task in latest(run).values():
            if task["state"].get("result_state") != "FAILED":
                continue
            told = output(self.box, task["run_id"])
            child = told.get("run_job_output", {}).get("run_id")
            found += self.leaves(get_run(self.box, child)) if child else [(task, told)]
        return found


@contextmanager
def playing(name: str, tmp_path: Path, cli: str) -> Iterator[Played]:
    command = [*quick("dbops_tui.sandbox"), "cli"] if cli == "standin" else [real_cli()]
    with running_sandbox(scenario=name) as box:
        box.control("POST", "clock", {"freeze": True})
        done = subprocess.run(
            [*quick("dbops_tui.sandbox"), "scenario", name, "--into", str(tmp_path / "bundle")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        yield Played(box, json.loads(done.stdout), box.env(tmp_path / "env"), command)


@pytest.fixture(params=CLIS)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Any]:
    return lambda name: playing(name, tmp_path, request.param)


def assert_verified(run: dict[str, Any]) -> None:
    assert run["state"]["result_state"] == "SUCCESS"
    assert set(results(run).values()) == {"SUCCESS"}


class TestRetail:
    def test_deploy_refuses_a_field_then_a_column_fails_then_all_is_well(self, play: Callable[[str], Any]) -> None:
        with play("retail") as played:
            first, second = played.told["fixes"]
            assert [fix["after"] for fix in played.told["fixes"]] == ["deploy", "run"]
            rejected = played.deploy()
            assert rejected.returncode == 1
            assert "Error: cannot create resources.jobs.orchestrator" in rejected.stderr
            assert "in resources/orchestrator.job.yml:9:23" in rejected.stderr
            played.mend(first)
            assert played.deploy().returncode == 0
            run_id = played.run("orchestrator")
            run = get_run(played.box, run_id)
            assert results(run) == {"bronze": "SUCCESS", "silver": "FAILED", "gold": "UPSTREAM_FAILED"}
            ((task, told),) = played.leaves(run)
            assert task["task_key"] == "refresh_orders"
            assert "`customer_idd` cannot be resolved" in told["error"]
            assert "`customer_id`" in told["error"]
            broken = next(
                line for line in (played.root / second["file"]).read_text().splitlines() if "customer_idd" in line
            )
            assert broken.strip() in told["error_trace"]
            played.mend(second)
            assert played.deploy().returncode == 0
            assert_verified(played.repair(run_id))

    def test_another_wrong_column_is_no_fix(self, play: Callable[[str], Any]) -> None:
        with play("retail") as played:
            first, second = played.told["fixes"]
            played.mend(first)
            played.mend({**second, "replace": second["replace"].replace("customer_id", "client_id")})
            played.deploy()
            ((_, told),) = played.leaves(get_run(played.box, played.run("orchestrator")))
            assert "`client_id` cannot be resolved" in told["error"]

    def test_mended_bundle_shows_no_drift_and_is_destroyed_whole(self, play: Callable[[str], Any]) -> None:
        with play("retail") as played:
            played.mend(played.told["fixes"][0])
            assert played.deploy().returncode == 0
            plan = played.cli("bundle", "plan")
            assert "Plan: 0 to add, 0 to change, 0 to delete, 8 unchanged" in plan.stdout
            assert played.cli("bundle", "destroy", "--auto-approve").returncode == 0
            left = played.box.control("GET", "state")
            assert (left["jobs"], left["pipelines"]) == ([], [])
            assert not {"schemas", "volumes"} & set(left["kinds"])

    def test_pipeline_of_the_bundle_runs(self, play: Callable[[str], Any]) -> None:
        with play("retail") as played:
            played.mend(played.told["fixes"][0])
            played.deploy()
            assert played.cli("bundle", "run", "orders_live", "--no-wait").returncode == 0
            advance(played.box, HOUR)
            found = played.box.get(f"/api/2.0/pipelines/{played.id_of('pipelines', 'orders_live')}")
            assert found["latest_updates"][0]["state"] == "COMPLETED"


@pytest.mark.parametrize(
    ("name", "task", "error", "rounds"),
    [
        ("missing-module", "ingest_customers", "No module named 'pycountry'", 1),
        ("merge-duplicates", "merge_customers", "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", 1),
        ("same-class", "refresh_orders", "`customer_idd` cannot be resolved", 2),
    ],
)
def test_defect_fails_its_task_until_it_is_mended(
    play: Callable[[str], Any], name: str, task: str, error: str, rounds: int
) -> None:
    with play(name) as played:
        assert played.deploy().returncode == 0
        run_id = played.run("orchestrator")
        ((failed, told),) = played.leaves(get_run(played.box, run_id))
        assert failed["task_key"] == task
        assert error in told["error"]
        assert len(played.told["fixes"]) == rounds
        for number, fix in enumerate(played.told["fixes"], start=1):
            played.mend(fix)
            assert played.deploy().returncode == 0
            run = played.repair(run_id)
            assert (run["state"]["result_state"] == "SUCCESS") is (number == rounds)
        assert_verified(run)


def test_third_of_three_defects_is_left_when_three_rounds_are_over(play: Callable[[str], Any]) -> None:
    with play("three-defects") as played:
        first, second = played.told["fixes"]
        assert played.deploy().returncode == 1
        played.mend(first)
        assert played.deploy().returncode == 0
        run_id = played.run("orchestrator")
        assert played.leaves(get_run(played.box, run_id))[0][0]["task_key"] == "refresh_orders"
        played.mend(second)
        assert played.deploy().returncode == 0
        ((task, told),) = played.leaves(played.repair(run_id))
        assert task["task_key"] == "merge_customers"
        assert "DELTA_MULTIPLE_SOURCE_ROW" in told["error"]
        assert played.told["unmended"]


def test_lost_spot_nodes_are_the_clouds_fault_and_do_not_come_twice(play: Callable[[str], Any]) -> None:
    with play("spot-loss") as played:
        assert played.deploy().returncode == 0
        run_id = played.run("orchestrator")
        ((task, _),) = played.leaves(get_run(played.box, run_id))
        details = task["status"]["termination_details"]
        assert (details["code"], details["type"]) == ("CLOUD_FAILURE", "CLOUD_FAILURE")
        assert "SPOT_INSTANCE_TERMINATION" in task["state"]["state_message"]
        cluster = played.box.get("/api/2.1/clusters/get", cluster_id=task["cluster_instance"]["cluster_id"])
        assert cluster["termination_reason"]["code"] == "SPOT_INSTANCE_TERMINATION"
        assert_verified(played.repair(run_id))


def last_update(played: Played) -> tuple[str, dict[str, Any]]:
    pipeline = played.id_of("pipelines", "orders_live")
    found: list[dict[str, Any]] = played.box.get(f"/api/2.0/pipelines/{pipeline}/updates")["updates"]
    return pipeline, found[0]


def test_schema_change_fails_the_stream_at_its_place_until_it_is_mended(play: Callable[[str], Any]) -> None:
    with play("pipeline-schema-change") as played:
        assert played.deploy().returncode == 0
        played.cli("bundle", "run", "orders_live", "--no-wait")
        advance(played.box, HOUR)
        pipeline, update = last_update(played)
        assert update["state"] == "FAILED"
        errors = played.box.get(f"/api/2.0/pipelines/{pipeline}/events", filter="level = 'ERROR'")["events"]
        flow = next(e for e in errors if e["event_type"] == "flow_progress")
        chain = flow["error"]["exceptions"]
        assert [e["error_class"] for e in chain] == [
            "STREAM_FAILED",
            "UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_RECORD_WITH_FILE_PATH",
        ]
        place = flow["origin"]["source_code_location"]
        lines = (played.root / "src/pipeline/orders.py").read_text().splitlines()
        assert place["path"].endswith("/files/src/pipeline/orders.py")
        assert "failOnNewColumns" in lines[place["line_number"] - 1]
        played.mend(played.told["fixes"][0])
        played.deploy()
        played.cli("bundle", "run", "orders_live", "--no-wait")
        advance(played.box, HOUR)
        assert last_update(played)[1]["state"] == "COMPLETED"


def test_production_pipeline_retries_by_itself_and_the_retry_succeeds(play: Callable[[str], Any]) -> None:
    with play("pipeline-retry") as played:
        deployed = played.deploy()
        assert deployed.returncode == 0, deployed.stderr
        assert not any(f["path"].endswith("deploy.lock") for f in played.box.control("GET", "files")["files"])
        played.cli("bundle", "run", "orders_live", "--no-wait")
        advance(played.box, HOUR)
        pipeline, newest = last_update(played)
        assert newest["cause"] == "RETRY_ON_FAILURE"
        advance(played.box, HOUR)
        updates = played.box.get(f"/api/2.0/pipelines/{pipeline}/updates")["updates"]
        assert [(u["cause"], u["state"]) for u in updates] == [
            ("RETRY_ON_FAILURE", "COMPLETED"),
            ("API_CALL", "FAILED"),
        ]


def test_lost_driver_fails_an_update_without_any_error_event(play: Callable[[str], Any]) -> None:
    with play("pipeline-driver-lost") as played:
        assert played.deploy().returncode == 0
        played.cli("bundle", "run", "orders_live", "--no-wait")
        advance(played.box, HOUR)
        pipeline, update = last_update(played)
        assert update["state"] == "FAILED"
        path = f"/api/2.0/pipelines/{pipeline}/events"
        assert played.box.get(path, filter="level = 'ERROR'").get("events", []) == []
        events = played.box.post("/api/2.1/clusters/events", {"cluster_id": update["cluster_id"]})["events"]
        assert "DRIVER_UNREACHABLE" in [e["details"].get("reason", {}).get("code") for e in events]


class TestSizes:
    def test_thousand_tasks_fail_in_two_and_one_repair_mends_them(self, tmp_path: Path) -> None:
        with playing("scale-1000-tasks", tmp_path, "standin") as played:
            assert played.deploy().returncode == 0
            run_id = played.run("thousand_tasks")
            run = get_run(played.box, run_id)
            failed = [key for key, result in results(run).items() if result == "FAILED"]
            assert (len(run["tasks"]), failed) == (1000, ["t0955", "t0987"])
            assert_verified(played.repair(run_id))

    def test_five_of_5000_iterations_fail(self, tmp_path: Path) -> None:
        with playing("for-each-5000", tmp_path, "standin") as played:
            assert played.deploy().returncode == 0
            task = get_run(played.box, played.run("five_thousand"))["tasks"][0]
            stats = task["for_each_task"]["stats"]
            assert stats["task_run_stats"]["failed_iterations"] == 5
            assert stats["task_run_stats"]["total_iterations"] == 5000
            assert len(stats["error_message_stats"]) == 3

    def test_million_events_are_there_and_any_part_is_read_alone(self, tmp_path: Path) -> None:
        with playing("events-1m", tmp_path, "standin") as played:
            assert played.deploy().returncode == 0
            pipeline = played.id_of("pipelines", "orders_live")
            path = f"/api/2.0/pipelines/{pipeline}/events"
            newest = played.box.get(path, max_results=1000)
            oldest = played.box.get(path, max_results=1000, order_by="timestamp asc")
            number = [int(page["events"][0]["id"].rsplit("-", 1)[1], 16) for page in (newest, oldest)]
            assert number == [999_999, 0]
            errors = played.box.get(path, max_results=1000, filter="level = 'ERROR'")["events"]
            assert len(errors) == 22
            update = errors[0]["origin"]["update_id"]
            ours = played.box.get(path, max_results=1000, filter=f"update_id = '{update}'")["events"]
            assert len(ours) == 1000
            assert {e["origin"]["update_id"] for e in ours} == {update}
            shown = played.box.get(f"/api/2.0/pipelines/{pipeline}/updates/{update}")["update"]
            assert shown["state"] == "FAILED"


class TestCommand:
    def scenario(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*quick("dbops_tui.sandbox"), "scenario", *arguments], capture_output=True, text=True, timeout=60
        )

    def test_list_names_every_scenario_the_default_first(self) -> None:
        listed = json.loads(self.scenario("--list").stdout)
        assert listed[0]["name"] == "retail"
        assert {"missing-module", "pipeline-schema-change", "merge-duplicates", "three-defects"} <= {
            item["name"] for item in listed
        }
        assert all(item["title"] for item in listed)

    def test_unknown_scenario_names_those_there_are(self, tmp_path: Path) -> None:
        done = self.scenario("nothing", "--into", str(tmp_path / "x"))
        assert done.returncode == 2
        assert "retail" in done.stderr
        assert "Traceback" not in done.stderr

    def test_folder_that_is_not_empty_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        assert self.scenario("retail", "--into", str(tmp_path)).returncode == 2
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_bundle_names_no_workspace_and_no_profile(self, tmp_path: Path) -> None:
        for item in json.loads(self.scenario("--list").stdout):
            into = tmp_path / item["name"]
            assert self.scenario(item["name"], "--into", str(into)).returncode == 0
            text = "\n".join(path.read_text() for path in into.rglob("*.yml"))
            assert "host:" not in text
            assert "profile:" not in text
