"""From a failure that the sandbox really has to the patch that really mends it: every scenario with a defect.
The texts are those that the stand-in CLI and the API say; nothing here is written down beforehand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.failures import Explained, explain, of_deploy, of_run, of_update, root_causes
from dbops_tui.core.patches import render
from dbops_tui.core.pipeline_json import parse_update
from dbops_tui.core.redaction import Redactor
from dbops_tui.core.run_json import parse_output, parse_run
from dbops_tui.core.runs import Run, TaskOutput
from dbops_tui.matrix.model import Fix
from quick import quick
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import advance, get_run, output

HOUR = 3600


@dataclass
class Play:
    """A scenario: its sandbox, its bundle on disk, and how a defect is mended by hand."""

    box: SandboxBox
    told: dict[str, Any]
    env: dict[str, str]

    @property
    def root(self) -> Path:
        return Path(self.told["bundle_dir"])

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*quick("dbops_tui.sandbox"), "cli", *arguments, "-t", self.told["target"]]
        return subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=120)

    def apply(self, fix: Fix) -> None:
        assert fix.patch is not None
        for file, (_, after) in render(self.root, fix.patch).items():
            (self.root / file).write_bytes(after)

    def run(self, key: str) -> Run:
        done = self.cli("bundle", "run", key, "--no-wait")
        assert done.returncode == 0, done.stderr
        advance(self.box, HOUR)
        return parse_run(get_run(self.box, int(done.stderr.partition("/runs/")[2].partition("?")[0])))

    def explain_run(self, run: Run, ref: str) -> list[Explained]:
        outputs: dict[str, TaskOutput] = {}
        children: dict[str, Run] = {}
        self._read(run, outputs, children)
        return explain(of_run(run, ref, outputs, children), load_bundle(self.root, self.told["target"]))

    def _read(self, run: Run, outputs: dict[str, TaskOutput], children: dict[str, Run]) -> None:
        for task in run.tasks:
            told = parse_output(output(self.box, int(task.run_id)), Redactor())
            outputs[task.run_id] = told
            if told.child_run_id:
                children[task.run_id] = parse_run(get_run(self.box, int(told.child_run_id)))
                self._read(children[task.run_id], outputs, children)


@contextmanager
def playing(name: str, tmp_path: Path) -> Iterator[Play]:
    with running_sandbox(scenario=name) as box:
        box.control("POST", "clock", {"freeze": True})
        command = [*quick("dbops_tui.sandbox"), "scenario", name, "--into", str(tmp_path / "bundle")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        yield Play(box, json.loads(done.stdout), box.env(tmp_path / "env"))


@pytest.fixture
def play(tmp_path: Path) -> Callable[[str], Any]:
    return lambda name: playing(name, tmp_path)


def best(explained: list[Explained]) -> Fix:
    (root, *_) = root_causes(explained)
    assert root.fixes, root
    return root.fixes[0]


def healthy(play: Play) -> bool:
    """Whether every file stands as it would with the scenario's own fixes."""
    return all(
        fix["replace"].strip() in text for fix in play.told["fixes"] for text in [(play.root / fix["file"]).read_text()]
    )


def test_retail_is_mended_by_two_safe_patches_and_then_runs(play: Callable[[str], Any]) -> None:
    with play("retail") as played:
        refused = played.cli("bundle", "deploy")
        assert refused.returncode == 1
        explained = explain(of_deploy(refused.stderr), load_bundle(played.root))
        assert explained[0].diagnoses[0].location is not None
        assert explained[0].diagnoses[0].location.file == "resources/orchestrator.job.yml"
        fix = best(explained)
        assert (fix.title, fix.kind) == ("pause_status: UNPAUSE → UNPAUSED", "yaml")
        assert fix.confidence >= 0.9
        played.apply(fix)
        assert played.cli("bundle", "deploy").returncode == 0
        run = played.run("orchestrator")
        explained = played.explain_run(run, "jobs.orchestrator")
        place = root_causes(explained)[0].location
        assert place is not None
        assert place.file == "src/silver/refresh_orders.py"
        assert "customer_idd" in (played.root / place.file).read_text().splitlines()[(place.line or 0) - 1]
        fix = best(explained)
        assert fix.title == "customer_idd → customer_id"
        assert fix.confidence >= 0.9
        played.apply(fix)
        assert healthy(played)
        assert played.cli("bundle", "deploy").returncode == 0
        assert not played.run("orchestrator").state.failed


def test_a_misspelt_field_becomes_the_nearest_that_the_cli_knows_there(play: Callable[[str], Any]) -> None:
    with play("same-class") as played:
        file = next(path for path in sorted(played.root.rglob("*.yml")) if "notebook_path" in path.read_text())
        before = file.read_text()
        file.write_text(before.replace("notebook_path", "notebok_path", 1))
        refused = played.cli("bundle", "deploy")
        assert refused.returncode == 1
        schema = json.loads(played.cli("bundle", "schema").stdout)
        fix = best(explain(of_deploy(refused.stderr), load_bundle(played.root), schema=schema))
        assert fix.title == "notebok_path → notebook_path"
        played.apply(fix)
        assert file.read_text() == before
        assert played.cli("bundle", "deploy").returncode == 0


def test_the_same_mistake_in_a_sibling_is_mended_in_one_change_set(play: Callable[[str], Any]) -> None:
    with play("same-class") as played:
        assert played.cli("bundle", "deploy").returncode == 0
        explained = played.explain_run(played.run("orchestrator"), "jobs.orchestrator")
        (root,) = root_causes(explained)
        assert [place.file for place in root.also_at] == ["src/silver/refresh_returns.py"]
        fix = best(explained)
        assert fix.title == "customer_idd → customer_id in 2 lines of 2 files"
        assert fix.confidence >= 0.9
        played.apply(fix)
        assert healthy(played)
        assert played.cli("bundle", "deploy").returncode == 0
        assert not played.run("orchestrator").state.failed


def test_a_missing_module_is_added_to_the_environment_of_its_task(play: Callable[[str], Any]) -> None:
    with play("missing-module") as played:
        assert played.cli("bundle", "deploy").returncode == 0
        explained = played.explain_run(played.run("orchestrator"), "jobs.orchestrator")
        place = root_causes(explained)[0].location
        assert place is not None
        assert (place.file, place.line) == ("src/bronze/ingest_customers.py", 6)
        fix = best(explained)
        assert fix.title == "pycountry → environment default of bronze_ingest"
        assert fix.confidence >= 0.9
        played.apply(fix)
        assert played.cli("bundle", "deploy").returncode == 0
        assert not played.run("orchestrator").state.failed


def test_duplicates_of_a_merge_are_located_and_left_to_a_person(play: Callable[[str], Any]) -> None:
    with play("merge-duplicates") as played:
        assert played.cli("bundle", "deploy").returncode == 0
        (root,) = root_causes(played.explain_run(played.run("orchestrator"), "jobs.orchestrator"))
        assert root.cause == "merge_multiple_source_rows"
        assert root.location is not None
        lines = (played.root / root.location.file).read_text().splitlines()
        assert "spark.sql" in lines[(root.location.line or 0) - 1]
        assert all(fix.patch is None for fix in root.fixes)


def test_lost_spot_nodes_are_waited_out(play: Callable[[str], Any]) -> None:
    with play("spot-loss") as played:
        assert played.cli("bundle", "deploy").returncode == 0
        (root,) = root_causes(played.explain_run(played.run("orchestrator"), "jobs.orchestrator"))
        assert root.retryable
        retries = [fix for fix in root.fixes if fix.kind == "retry"]
        assert retries
        assert all(fix.wait_seconds for fix in retries)


def test_a_pipeline_is_located_by_what_its_events_say(play: Callable[[str], Any]) -> None:
    with play("pipeline-schema-change") as played:
        assert played.cli("bundle", "deploy").returncode == 0
        done = played.cli("bundle", "summary", "-o", "json")
        pipeline = json.loads(done.stdout)["resources"]["pipelines"]["orders_live"]["id"]
        started = played.box.post(f"/api/2.0/pipelines/{pipeline}/updates", {})["update_id"]
        advance(played.box, HOUR)
        update = parse_update(played.box.get(f"/api/2.0/pipelines/{pipeline}/updates/{started}"))
        raw = played.box.get(f"/api/2.0/pipelines/{pipeline}/events", max_results=250)["events"]
        from dbops_tui.core.event_json import parse_event

        events = [parse_event(event) for event in reversed(raw)]
        bundle = load_bundle(played.root)
        explained = explain(of_update(update, "pipelines.orders_live", events), bundle)
        (root, *_) = root_causes(explained)
        assert root.location is not None
        assert root.location.file == "src/pipeline/orders.py"
