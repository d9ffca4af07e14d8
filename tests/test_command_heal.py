"""`heal` and `watch` as a script sees them: processes, JSON Lines, exit statuses, signals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.tui.cli import build_parser
from dbops_tui.tui.cmd_heal import resume_command
from engine_world import SCALE, Sample, mutating, sample
from quick import quick
from sandbox_fixture import SandboxBox, running_sandbox


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    with running_sandbox(time_scale=SCALE, scenario="retail") as found:
        yield found


@pytest.fixture(autouse=True)
def empty(box: SandboxBox) -> None:
    box.control("POST", "reset")
    box.control("DELETE", "calls")


def command(place: Sample, *words: str) -> list[str]:
    return [sys.executable, "-m", "dbops_tui.tui.cli", *words, "--path", str(place.root)]


def call(place: Sample, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    start = [*quick("dbops_tui"), *command(place, *words)[3:]]
    return subprocess.run(start, env=env or place.env, capture_output=True, text=True, timeout=120, check=False)


def lines(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert all(item["v"] == 1 and item["event"] and item["at"].endswith("Z") for item in found)
    assert [bool(item.get("final")) for item in found] == [False] * (len(found) - 1) + [True]
    return found


def test_heal_mends_by_safe_patches_and_ends_verified(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestrator", "--apply", "safe", "--json")
    told = lines(done.stdout)
    names = [item["event"] for item in told]
    assert done.returncode == 0, done.stderr
    assert told[-1]["event"] == "loop.ended"
    assert told[-1]["outcome"] == "verified"
    assert told[-1]["exit_code"] == 0
    for name in ("loop.started", "identity.resolved", "stage.changed", "deploy.output", "run.started", "run.changed"):
        assert name in names
    for name in ("task.changed", "failure.diagnosed", "fix.proposed", "fix.applied", "verified"):
        assert name in names
    assert place.box.token not in done.stdout + done.stderr


def test_with_nobody_to_mend_it_heal_escalates_prints_the_report_and_report_prints_it_again(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestrator")
    assert done.returncode == 1
    assert done.stdout.startswith("# retail_lakehouse: escalated on dev")
    again = call(place, "report")
    assert again.stdout == done.stdout
    history = call(place, "history", "--json")
    assert any(item.get("outcome") == "escalated" for item in lines(history.stdout))


def test_a_key_that_is_not_there_is_answered_with_those_that_are(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestratr")
    assert done.returncode == 2
    assert "orchestrator" in done.stderr
    assert call(place, "heal", "sales").returncode == 2


def test_no_profile_and_no_host_is_status_3_with_what_to_pass(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    env = {name: value for name, value in place.env.items() if name not in ("DATABRICKS_HOST", "DATABRICKS_TOKEN")}
    done = call(place, "heal", "orchestrator", "--json", env=env)
    told = lines(done.stdout)
    assert done.returncode == told[-1]["exit_code"] == 3
    assert mutating(box) == []


def test_a_workspace_that_is_gone_is_status_4_and_can_be_tried_again(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestrator", "--json", env={**place.env, "DATABRICKS_HOST": "http://127.0.0.1:9"})
    told = lines(done.stdout)
    assert done.returncode == told[-1]["exit_code"] == 4
    assert told[-1]["retryable"] is True


def test_no_cli_is_status_4_with_what_to_install(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    env = {**place.env, "PATH": str(tmp_path / "nothing")}
    del env["DATABRICKS_CLI_PATH"]
    done = call(place, "heal", "orchestrator", env=env)
    assert done.returncode == 4
    assert "install" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are told differently there")
def test_ctrl_c_says_what_goes_on_and_how_to_come_back_and_the_next_heal_takes_it_up(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    box.control("POST", "clock", {"scale": 1})
    try:
        process = subprocess.Popen(
            command(place, "heal", "orchestrator", "--json"),
            env=place.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(json.loads(line))
            if seen[-1]["event"] == "run.started":
                os.kill(process.pid, signal.SIGINT)
                break
        rest, errors = process.communicate(timeout=60)
    finally:
        box.control("POST", "clock", {"scale": SCALE})
    assert process.returncode == 130
    last = json.loads(rest.splitlines()[-1])
    assert last["event"] == "loop.ended"
    assert last["outcome"] == "interrupted"
    assert "Still running" in errors
    assert "dbops-tui heal orchestrator" in errors
    done = call(place, "heal", "orchestrator", "--json")
    told = lines(done.stdout)
    assert done.returncode == 0, done.stderr
    assert told[0]["event"] == "loop.started"
    assert told[0]["resumed"] is True
    assert [item for item in mutating(box) if "run-now" in item] == ["POST /api/2.2/jobs/run-now"]


def test_watch_follows_the_latest_run_to_its_end_and_its_status_is_that_of_the_run(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    never = call(place, "watch", "orchestrator")
    assert never.returncode == 1
    assert "not deployed" in never.stderr
    assert never.stderr.splitlines() == [
        "dbops-tui: jobs.orchestrator is not deployed to this target",
        "  dbops-tui heal orchestrator -t dev",
    ]
    call(place, "heal", "orchestrator")
    gone = call(place, "watch", "orchestrator", "--run-id", "5", "--json")
    assert gone.returncode == 1, "a run that is not there is not waited for"
    assert lines(gone.stdout)[-1]["code"] == "no_run"
    good = call(place, "watch", "orchestrator", "--json")
    told = lines(good.stdout)
    assert good.returncode == 0, good.stderr
    assert told[-1]["event"] == "watch.ended"
    assert told[-1]["outcome"] == "succeeded"


def test_watch_without_a_valid_sign_in_is_status_3_said_once_and_what_is_to_be_mended(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path)
    env = {**place.env, "DATABRICKS_TOKEN": "dapi" + "0" * 32}
    done = call(place, "watch", "orchestrator", env=env)
    assert done.returncode == 3
    assert done.stderr.count("Invalid access token") == 1
    assert "renew DATABRICKS_TOKEN of the environment" in done.stderr
    told = lines(call(place, "watch", "orchestrator", "--json", env=env).stdout)
    assert told[-1]["exit_code"] == 3
    assert told[-1]["code"] == "workspace.signed_out"
    assert "DATABRICKS_TOKEN" in told[-1]["fix"]


def test_watch_of_a_workspace_that_is_gone_can_be_tried_again(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "watch", "orchestrator", "--json", env={**place.env, "DATABRICKS_HOST": "http://127.0.0.1:9"})
    last = lines(done.stdout)[-1]
    assert done.returncode == last["exit_code"] == 1
    assert (last["code"], last["retryable"]) == ("workspace.unreachable", True)


def test_heal_without_a_valid_sign_in_says_so_once_and_what_is_to_be_mended(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestrator", env={**place.env, "DATABRICKS_TOKEN": "dapi" + "0" * 32})
    assert done.returncode == 3
    said = done.stderr.splitlines()
    assert len([line for line in said if line.startswith("Invalid access token")]) == 1
    assert said[-1] == "To go on: renew DATABRICKS_TOKEN of the environment, or unset it and pass --profile NAME"


def test_heal_by_who_may_not_asks_for_who_may(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    box.control("POST", "faults", {"path": "/api/*", "kind": "403", "times": -1})
    done = call(place, "heal", "orchestrator")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "To go on: --profile NAME of who may"


@pytest.mark.parametrize("given", [[], ["--confirm", "dev"]])
def test_a_production_target_is_refused_with_the_whole_command_that_confirms_it(
    box: SandboxBox, tmp_path: Path, given: list[str]
) -> None:
    place = sample(box, tmp_path, healthy=True)
    words = ["heal", "orchestrator", "-t", "prod", "--max-iterations", "1", *given]
    done = call(place, *words)
    wanted = f"dbops-tui heal orchestrator -t prod --max-iterations 1 --path {place.root} --confirm prod"
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == f"To go on: {wanted}"
    told = lines(call(place, *words, "--json").stdout)
    assert told[-1]["fix"] == wanted.replace(" --confirm prod", " --json --confirm prod")
    problem = next(line for line in told if line["event"] == "problem")
    answer = "--confirm prod" if given else "auto_in_production in the config"
    assert (problem["code"], problem["fix"]) == ("refused", answer)
    assert mutating(box) == []
    if not given:
        assert call(place, *words, "--confirm", "prod").returncode == 0


def test_what_is_deployed_to_another_workspace_is_settled_first_and_both_ways_are_named(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    assert call(place, "heal", "orchestrator").returncode == 0
    with running_sandbox(time_scale=SCALE, scenario="retail") as other:
        env = {**place.env, "DATABRICKS_HOST": other.host, "DATABRICKS_TOKEN": other.token}
        done = call(place, "heal", "orchestrator", env=env)
        said = done.stderr.splitlines()[-1]
        assert done.returncode == 3
        assert f"dbops-tui heal orchestrator --path {place.root} --keep-deployed" in said
        assert f"dbops-tui {place.root} -t dev" in said
        assert mutating(other) == []


def test_where_a_safe_patch_was_not_allowed_the_flag_that_allows_it_is_named(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestrator", "-t", "dev")
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told == f"To go on: dbops-tui heal orchestrator -t dev --path {place.root} --apply safe"


def test_heal_that_may_change_nothing_names_the_setting(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    done = call(place, "heal", "orchestrator", env={**place.env, "DBOPS_READ_ONLY": "true"})
    assert done.returncode == 3
    assert "DBOPS_READ_ONLY" in done.stderr
    assert mutating(box) == []


def test_the_command_to_go_on_holds_all_that_was_asked(tmp_path: Path) -> None:
    words = "-t prod -p work --max-iterations 2 --apply safe --wait-edit 30 --confirm prod --keep-deployed --json"
    given = build_parser().parse_args(["heal", "a", *words.split(), "--fixer", "mend it"])
    again = build_parser().parse_args(shlex.split(resume_command(("jobs.a",), given))[1:])
    assert vars(again) == vars(given)


def test_a_second_heal_says_who_has_the_journal_and_leaves_with_4(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    box.control("POST", "clock", {"scale": 1})
    try:
        first = subprocess.Popen(
            command(place, "heal", "orchestrator", "--json"),
            env=place.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert first.stdout is not None
        for line in first.stdout:
            if json.loads(line)["event"] == "run.started":
                break
        second = call(place, "heal", "orchestrator")
        assert second.returncode == 4
        assert str(first.pid) in second.stderr
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    finally:
        box.control("POST", "clock", {"scale": SCALE})
