"""The stand-in `databricks`: refuses every host but a sandbox, and says what the real CLI says about the same bundle.
Tests marked `real_cli` compare it with the real one in the same folder."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_fixture import SandboxBox, real_cli, running_sandbox

STANDIN = [sys.executable, "-m", "dbops_tui.sandbox", "cli"]
HOME = "/Users/you@example.com/.bundle/small/dev"
SMALL = """bundle:
  name: small

variables:
  region:
    default: emea
  parts:
    type: complex
    default: {team: sales, area: "${var.region}"}

targets:
  dev:
    mode: development
    default: true
  prod:
    mode: production
    workspace:
      root_path: /Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}
    variables:
      region: apac
    resources:
      jobs:
        nightly:
          max_concurrent_runs: 7
          tasks:
            - task_key: work
              timeout_seconds: 900

resources:
  jobs:
    nightly:
      name: nightly ${var.region}
      tags: ${var.parts}
      tasks:
        - task_key: work
          notebook_task:
            notebook_path: src/work.py
        - task_key: child
          run_job_task:
            job_id: ${resources.jobs.other.id}
    other:
      name: other in ${bundle.target}
      schedule:
        quartz_cron_expression: 0 0 3 * * ?
        timezone_id: UTC
      tasks:
        - task_key: script
          spark_python_task:
            python_file: ./src/script.py
          environment_key: e
      environments:
        - environment_key: e
          spec:
            environment_version: "4"
"""


class Cli:
    """One CLI in one folder against one sandbox."""

    def __init__(self, command: list[str], root: Path, env: dict[str, str]) -> None:
        self.command, self.root, self.env = command, root, env

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command, *arguments]
        return subprocess.run(
            command, cwd=self.root, env={**self.env, **env}, capture_output=True, text=True, timeout=120
        )

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shared_box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def box(shared_box: SandboxBox) -> SandboxBox:
    shared_box.control("POST", "reset")
    shared_box.control("POST", "clock", {"freeze": True})
    return shared_box


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "src").mkdir(parents=True)
    (folder / "databricks.yml").write_text(SMALL)
    (folder / "src/work.py").write_text("# Databricks notebook source\nx = 1\n")
    (folder / "src/script.py").write_text("print('hello')\n")
    return folder


@pytest.fixture
def cli(box: SandboxBox, root: Path, tmp_path: Path) -> Cli:
    return Cli(STANDIN, root, box.env(tmp_path / "env"))


def edit(root: Path, old: str, new: str, file: str = "databricks.yml") -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))


def uploaded(box: SandboxBox) -> dict[str, str]:
    files = box.get("/sandbox/files", content="true")["files"]
    files = [item for item in files if item["path"].startswith(f"{HOME}/files/")]
    return {f["path"].removeprefix(f"{HOME}/files/"): f["content"] for f in files if f["type"] != "DIRECTORY"}


class TestRefusals:
    @pytest.mark.parametrize(
        "host",
        [
            "https://adb-1.azuredatabricks.net",
            "http://10.0.0.1:80",
            "https://127.0.0.1:1",
            "127.0.0.1",
            "http://127.0.0.1.example.com",
            "http://user@example.com:80",
        ],
    )
    def test_host_that_is_not_this_machine_is_refused_before_anything_is_sent(self, cli: Cli, host: str) -> None:
        done = cli("bundle", "deploy", DATABRICKS_HOST=host)
        assert done.returncode == 1
        assert "sandbox on this machine only" in done.stderr

    def test_host_in_the_bundle_is_refused_too(self, cli: Cli, box: SandboxBox, root: Path) -> None:
        edit(root, "bundle:\n", "workspace:\n  host: https://adb-1.azuredatabricks.net\nbundle:\n")
        done = cli("bundle", "deploy")
        assert done.returncode == 1
        assert "sandbox on this machine only" in done.stderr
        assert box.control("GET", "state")["jobs"] == []

    def test_server_on_this_machine_that_is_no_sandbox_never_sees_the_token(self, cli: Cli) -> None:
        seen = []

        class Other(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.headers.get("Authorization"))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Other)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = cli("bundle", "deploy", DATABRICKS_HOST=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        server.server_close()
        assert done.returncode == 1
        assert "does not answer as a sandbox" in done.stderr
        assert seen == [None]

    def test_wrong_token_missing_token_and_dead_host_are_errors_without_a_traceback(
        self, cli: Cli, box: SandboxBox
    ) -> None:
        for env in ({"DATABRICKS_TOKEN": "x"}, {"DATABRICKS_TOKEN": ""}, {"DATABRICKS_HOST": "http://127.0.0.1:9"}):
            done = cli("bundle", "deploy", **env)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith("Error: ")
            assert "Traceback" not in done.stderr
            assert box.token not in done.stderr

    def test_profile_is_refused(self, cli: Cli) -> None:
        done = cli("bundle", "deploy", "-p", "work")
        assert (done.returncode, "knows no profiles" in done.stderr) == (1, True)

    def test_kind_that_it_cannot_deploy_is_named_and_nothing_is_made(
        self, cli: Cli, box: SandboxBox, root: Path
    ) -> None:
        edit(
            root,
            "resources:\n  jobs:\n    nightly:\n      name:",
            "resources:\n  apps:\n    a:\n      name: a\n  jobs:\n    nightly:\n      name:",
        )
        done = cli("bundle", "deploy")
        assert done.returncode == 1
        assert "resources.apps.a: this stand-in deploys" in done.stderr
        assert box.control("GET", "state")["jobs"] == []

    @pytest.mark.parametrize(
        "arguments", [["bundle", "frob"], ["jobs", "list"], ["bundle", "deploy", "--frob"], ["bundle", "run"], ["-t"]]
    )
    def test_what_it_does_not_know_is_an_error(self, cli: Cli, arguments: list[str]) -> None:
        done = cli(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")


class TestDeploy:
    def test_second_deploy_uploads_what_changed_and_removes_what_went(
        self, cli: Cli, box: SandboxBox, root: Path
    ) -> None:
        first = cli("bundle", "deploy")
        assert first.returncode == 0, first.stderr
        assert first.stdout == ""
        assert first.stderr.splitlines()[-2:] == [
            "Files: 3 uploaded, 0 deleted",
            "Resources: 2 created, 0 changed, 0 deleted, 0 unchanged",
        ]
        assert set(uploaded(box)) == {"databricks.yml", "src/script.py", "src/work"}
        (root / "src/work.py").write_text("# Databricks notebook source\nx = 2\n")
        (root / "src/more.txt").write_text("more")
        second = cli("bundle", "deploy")
        assert "Files: 2 uploaded, 0 deleted" in second.stderr
        (root / "src/more.txt").unlink()
        third = cli("bundle", "deploy")
        assert "Files: 0 uploaded, 1 deleted" in third.stderr
        assert uploaded(box)["src/work"].endswith("x = 2\n")
        assert "src/more.txt" not in uploaded(box)

    def test_file_that_becomes_a_notebook_takes_the_place_of_the_file(
        self, cli: Cli, box: SandboxBox, root: Path
    ) -> None:
        (root / "src/extra.py").write_text("y = 1\n")
        cli("bundle", "deploy")
        (root / "src/extra.py").write_text("# Databricks notebook source\ny = 1\n")
        assert cli("bundle", "deploy").returncode == 0
        assert {"src/extra"} == {path for path in uploaded(box) if "extra" in path}

    def test_everything_is_uploaded_again_to_a_workspace_that_lost_it(self, cli: Cli, box: SandboxBox) -> None:
        cli("bundle", "deploy")
        box.control("POST", "reset")
        done = cli("bundle", "deploy")
        assert "Files: 3 uploaded" in done.stderr
        assert "2 created" in done.stderr

    def test_ignored_files_stay_at_home(self, cli: Cli, box: SandboxBox, root: Path) -> None:
        (root / ".gitignore").write_text("*.log\n/build/\nsecrets/\n!keep.log\n")
        for name in ("a.log", "src/b.log", "keep.log", "build/x", "src/secrets/y", "src/build/z"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("x")
        cli("bundle", "deploy")
        assert set(uploaded(box)) == {
            ".gitignore",
            "databricks.yml",
            "keep.log",
            "src/build/z",
            "src/script.py",
            "src/work",
        }

    def test_one_resource_fails_and_the_others_are_made(self, cli: Cli, box: SandboxBox, root: Path) -> None:
        edit(root, "0 0 3 * * ?", "0 0 3 * * *")
        done = cli("bundle", "deploy")
        assert done.returncode == 1
        assert "Error: cannot create resources.jobs.other: Invalid quartz_cron_expression" in done.stderr
        assert "API error_code: INVALID_PARAMETER_VALUE" in done.stderr
        assert "Error: cannot create resources.jobs.nightly: dependency failed: resources.jobs.other" in done.stderr
        assert "Resources:" not in done.stderr
        edit(root, "0 0 3 * * *", "0 0 3 * * ?")
        assert cli("bundle", "deploy").returncode == 0

    def test_resource_taken_out_of_the_bundle_is_deleted(self, cli: Cli, box: SandboxBox, root: Path) -> None:
        cli("bundle", "deploy")
        text = (root / "databricks.yml").read_text()
        start, end = text.index("        - task_key: child"), text.index("    other:\n")
        (root / "databricks.yml").write_text(text[:start] + text[end:].partition("    other:\n")[0])
        done = cli("bundle", "deploy")
        assert done.returncode == 0, done.stderr
        assert "Deleted jobs.other" in done.stderr
        assert len(box.control("GET", "state")["jobs"]) == 1

    def test_held_lock_stops_production_and_force_takes_it(self, cli: Cli, box: SandboxBox) -> None:
        state = "/Workspace/Users/you@example.com/.bundle/small/prod/state"
        box.control("POST", "lock", {"state_path": state, "holder": "someone.else@example.com"})
        done = cli("bundle", "deploy", "-t", "prod")
        assert done.returncode == 1
        text = "deploy lock acquired by someone.else@example.com at 2026-08-24 09:00:00"
        assert done.stderr.count(text) == 2
        assert cli("bundle", "deploy", "-t", "prod", "--force-lock").returncode == 0
        assert cli("bundle", "deploy", "-t", "prod").returncode == 0

    def test_target_overrides_are_deployed(self, cli: Cli, box: SandboxBox) -> None:
        assert cli("bundle", "deploy", "-t", "prod").returncode == 0
        jobs = box.get("/api/2.2/jobs/list", expand_tasks="true")["jobs"]
        nightly = next(job["settings"] for job in jobs if job["settings"]["name"].startswith("nightly"))
        assert nightly["name"] == "nightly apac"
        assert nightly["max_concurrent_runs"] == 7
        work = next(task for task in nightly["tasks"] if task["task_key"] == "work")
        assert work["timeout_seconds"] == 900
        assert work["notebook_task"]["notebook_path"].endswith("/small/prod/files/src/work")

    def test_active_run_stops_a_deploy_that_minds(self, cli: Cli, box: SandboxBox) -> None:
        cli("bundle", "deploy")
        assert cli("bundle", "run", "other", "--no-wait").returncode == 0
        done = cli("bundle", "deploy", "--fail-on-active-runs")
        assert done.returncode == 1
        assert re.search(r"Error: job \d+ is running", done.stderr)

    def test_destroy_needs_approval_and_leaves_nothing(self, cli: Cli, box: SandboxBox) -> None:
        assert "No active deployment found to destroy!" in cli("bundle", "destroy", "--auto-approve").stderr
        cli("bundle", "deploy")
        assert "--auto-approve" in cli("bundle", "destroy").stderr
        assert len(box.control("GET", "state")["jobs"]) == 2
        done = cli("bundle", "destroy", "--auto-approve")
        assert done.returncode == 0
        assert "Destroy: 2 deleted" in done.stderr
        assert box.control("GET", "state")["jobs"] == []
        assert cli.json("bundle", "summary")["resources"]["jobs"]["other"]["modified_status"] == "created"

    def test_select_deploys_one_resource(self, cli: Cli, box: SandboxBox) -> None:
        assert cli("bundle", "deploy", "--select", "other").returncode == 0
        assert len(box.control("GET", "state")["jobs"]) == 1


class TestRun:
    def test_run_without_waiting_prints_the_url_alone(self, cli: Cli, box: SandboxBox) -> None:
        assert "not yet deployed" in cli("bundle", "run", "other").stderr
        cli("bundle", "deploy")
        done = cli("bundle", "run", "other", "--no-wait")
        assert (done.returncode, done.stdout) == (0, "")
        assert re.fullmatch(r"Run URL: http://127\.0\.0\.1:\d+/jobs/\d+/runs/\d+\?o=900800700600\n\n", done.stderr)

    def test_waiting_prints_states_and_outputs(self, cli: Cli, box: SandboxBox) -> None:
        cli("bundle", "deploy")
        box.control("POST", "clock", {"freeze": False, "scale": 600})
        done = cli("bundle", "run", "other")
        assert done.returncode == 0, done.stderr
        assert re.search(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "\[dev you\] other in dev" TERMINATED SUCCESS', done.stderr)
        assert done.stdout.strip() == "hello"

    def test_failure_is_told_as_the_real_one_tells_it(self, cli: Cli, box: SandboxBox, root: Path) -> None:
        (root / "src/script.py").write_text("import nowhere_to_be_found\n")
        cli("bundle", "deploy")
        box.control("POST", "clock", {"freeze": False, "scale": 600})
        done = cli("bundle", "run", "other")
        assert done.returncode == 1
        assert "Task script FAILED:\nModuleNotFoundError: No module named 'nowhere_to_be_found'" in done.stderr
        assert "Error: failed to reach TERMINATED or SKIPPED, got INTERNAL_ERROR: Task script failed" in done.stderr

    def test_parameters_reach_the_run(self, cli: Cli, box: SandboxBox, root: Path) -> None:
        edit(root, "      name: other in", "      parameters: [{name: day, default: today}]\n      name: other in")
        cli("bundle", "deploy")
        cli("bundle", "run", "jobs.other", "--no-wait", "--params", "day=monday")
        run = box.get("/api/2.2/jobs/runs/list")["runs"][0]
        assert run["job_parameters"] == [{"name": "day", "default": "today", "value": "monday"}]


class TestBadBundles:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"\x00\xff\xfe binary", "failed to load"),
            (b"bundle: [", "failed to load"),
            (b"a: &a [*a]", "failed to load"),
            (b"- a\n", "failed to load"),
            (b"", "bundle name is not defined"),
            (b"bundle: {name: x}\ninclude: [missing.yml]\n", "does not match any files"),
            (b"bundle: {name: x}\ninclude: ['*.py']\n", "must be YAML or JSON files"),
            (b"bundle: {name: x}\nvariables: {a: {}}\n", "no value assigned to required variable a"),
            (b"bundle: {name: x}\nvariables: {a: {default: '${var.b}'}, b: {default: '${var.a}'}}\n", "cycle detected"),
            (b"bundle: {name: x}\nresources: {jobs: {a: null}}\n", "jobs a is not defined"),
        ],
    )
    def test_each_is_an_error_in_words(self, cli: Cli, root: Path, content: bytes, expected: str) -> None:
        (root / "databricks.yml").write_bytes(content)
        (root / "x.py").write_text("")
        done = cli("bundle", "deploy")
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr

    def test_anchors_that_unfold_to_billions_end_early(self, cli: Cli, root: Path) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
        (root / "databricks.yml").write_text("\n".join(lines))
        assert "unfold to too much" in cli("bundle", "validate").stderr

    def test_reference_typo_names_what_was_meant(self, cli: Cli, root: Path) -> None:
        edit(root, "nightly ${var.region}", "nightly ${var.regoin}")
        done = cli("bundle", "validate")
        assert done.returncode == 1
        assert done.stderr == "Error: reference does not exist: ${var.regoin}\n\ndid you mean:\n  ${var.region}\n\n"
        assert done.stdout.endswith("Found 1 error\n")

    def test_same_key_twice_names_both_places(self, cli: Cli, root: Path) -> None:
        edit(root, "targets:\n  dev:", "include: ['*.more.yml']\n\ntargets:\n  dev:")
        (root / "a.more.yml").write_text("resources:\n  pipelines:\n    other:\n      name: x\n")
        done = cli("bundle", "validate")
        assert "Error: multiple resources or scripts have been defined with the same key: other" in done.stderr
        assert "  at resources.jobs.other\n     resources.pipelines.other\n" in done.stderr
        assert "     a.more.yml:4:7\n" in done.stderr

    def test_no_bundle_is_told_where_to_go(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        cli.root = tmp_path / "empty"
        assert "Unable to locate the bundle root: databricks.yml not found." in cli("bundle", "deploy").stderr


class TestAgainstTheRealOne:
    pytestmark = pytest.mark.real_cli

    @pytest.fixture
    def both(self, cli: Cli) -> tuple[Cli, Cli]:
        return cli, Cli([real_cli()], cli.root, cli.env)

    @pytest.mark.parametrize("target", ["dev", "prod"])
    def test_validate_resolves_to_the_same(self, both: tuple[Cli, Cli], target: str) -> None:
        ours, theirs = (one.json("bundle", "validate", "-t", target) for one in both)
        assert ours == theirs

    def test_summary_after_its_deploy_is_the_same(self, both: tuple[Cli, Cli]) -> None:
        assert both[0]("bundle", "deploy").returncode == 0
        ours, theirs = (one.json("bundle", "summary") for one in both)
        assert ours == theirs

    def test_real_one_sees_no_drift_after_its_deploy(self, both: tuple[Cli, Cli]) -> None:
        assert both[0]("bundle", "deploy").returncode == 0
        assert "0 to add, 0 to change, 0 to delete, 2 unchanged" in both[1]("bundle", "plan").stdout

    def test_both_leave_the_same_jobs_and_files(self, both: tuple[Cli, Cli], box: SandboxBox) -> None:
        seen = []
        for one in both:
            box.control("POST", "reset")
            shutil.rmtree(one.root / ".databricks", ignore_errors=True)
            assert one("bundle", "deploy").returncode == 0
            jobs = box.get("/api/2.2/jobs/list", expand_tasks="true")["jobs"]
            ids = {job["job_id"]: job["settings"]["name"] for job in jobs}
            text = json.dumps(sorted((job["settings"] for job in jobs), key=lambda s: s["name"]), sort_keys=True)
            for number, name in ids.items():
                text = text.replace(str(number), name)
            seen.append((text, uploaded(box)))
        assert seen[0] == seen[1]

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("src/work.py", "src/gone.py"),
            ("src/work.py", "../src/work.py"),
            ("src/work.py", "src/script.py"),
            ("python_file: ./src/script.py", "python_file: ./src/work.py"),
            ("notebook_path: src/work.py", "notebook_path: src/work"),
            ("./src/script.py", "./src/gone.py"),
            ("notebook_task:", "notebok_task:"),
            ("task_key: child", "task_key: child\n          run_if: ALL"),
            ("timezone_id: UTC", "timezone_id: UTC\n        pause_status: PAUSE"),
            ("            job_id: ${resources.jobs.other.id}\n", "            job_parameters: {a: b}\n"),
        ],
    )
    def test_diagnostics_of_a_defect_are_the_same(self, both: tuple[Cli, Cli], root: Path, old: str, new: str) -> None:
        edit(root, old, new)
        ours, theirs = (one("bundle", "validate") for one in both)
        assert ours.stderr.split() == theirs.stderr.split()
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)

    def test_unknown_target_is_refused_in_the_same_words(self, both: tuple[Cli, Cli]) -> None:
        ours, theirs = (one("bundle", "validate", "-t", "nosuch") for one in both)
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
        # The real one lists the targets in any order.
        assert sorted(re.findall(r"\w+", ours.stderr)) == sorted(re.findall(r"\w+", theirs.stderr))
