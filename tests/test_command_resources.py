"""`resources` lists what the bundle declares: ids and last runs where the workspace answers, the YAML where not."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_box import Deployed, Program, alone, deployed, with_bundle
from dbops_tui.tui import cmd_resources
from dbops_tui.tui.place import open_place

LAYERS = """\
bundle:
  name: shop
include:
  - resources/*.yml
targets:
  dev: {default: true}
"""
JOBS = """\
resources:
  jobs:
    load:
      name: load [bold]orders[/bold]
      tasks:
        - task_key: work
          notebook_task: {notebook_path: ../src/work.py}
    all:
      tasks:
        - task_key: load
          run_job_task: {job_id: "${resources.jobs.load.id}"}
"""
HOSTILE = 'bundle: {name: x}\nresources:\n  jobs:\n    a:\n      name: "\\e]0;owned\\a\\e[2J\\u202Eevil\\nnext"\n'


def rows(program: Program, *words: str, **env: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any], str]:
    """(resources by ref, the final event, stderr) of one call that must succeed."""
    ended = program("resources", *words, "--json", **env)
    *found, last = ended.events
    assert last["event"] == "resources.ended", ended
    assert [event["event"] for event in found] == ["resource"] * last["count"]
    assert [event for event in ended.events if event.get("final")] == [last]
    return {event["ref"]: event for event in found}, last, ended.err


@pytest.fixture
def program(tmp_path: Path) -> Program:
    made = with_bundle(tmp_path, LAYERS)
    made.write("resources/jobs.yml", JOBS)
    return made


def test_without_cli_and_workspace_the_yaml_is_the_answer_and_stderr_says_why(program: Program) -> None:
    found, last, err = rows(program)
    assert list(found) == ["jobs.load", "jobs.all"]
    load = found["jobs.load"]
    assert (load["type"], load["key"], load["name"]) == ("jobs", "load", "load [bold]orders[/bold]")
    assert (load["file"], load["line"]) == ("resources/jobs.yml", 3)
    assert found["jobs.all"]["layer"] == "orchestrator"
    assert found["jobs.all"]["depends_on"] == ["jobs.load"]
    assert (load["id"], load["url"], load["last_run"], load["state"]) == (None, None, None, None)
    assert (last["exit_code"], last["source"], last["bundle"], last["target"]) == (0, "yaml", "shop", "dev")
    assert "from the YAML alone: neither the bundle nor the environment names a workspace" in err


def test_offline_asks_nobody_and_says_nothing(program: Program) -> None:
    _, last, err = rows(program, "--offline", DATABRICKS_HOST="https://nowhere.invalid", DATABRICKS_TOKEN="t" * 20)
    assert (last["source"], last["notes"], err) == ("yaml", [], "")


def test_a_cli_that_is_missing_is_said_with_how_to_get_it(program: Program) -> None:
    _, last, err = rows(program, DATABRICKS_HOST="https://nowhere.invalid", DATABRICKS_TOKEN="t" * 20)
    assert last["source"] == "yaml"
    assert "the Databricks CLI is not installed" in err
    assert "setup-cli" in err


def test_a_host_that_is_not_there_is_told_in_seconds(program: Program, tmp_path: Path) -> None:
    script = tmp_path / "databricks"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    # Port 9 of this machine: nobody listens there.
    env = {"DATABRICKS_HOST": "http://127.0.0.1:9", "DATABRICKS_TOKEN": "t" * 20, "DATABRICKS_CLI_PATH": str(script)}
    _, last, err = rows(program, **env)
    assert last["source"] == "yaml"
    assert "the workspace cannot be reached: 127.0.0.1:9 cannot be connected to: connection refused" in err


def test_a_profile_that_is_named_and_not_there_ends_with_3(program: Program) -> None:
    program.write("../home/databrickscfg", "[dev]\nhost = https://dev.example.com\ntoken = abcdefgh12345678\n")
    ended = program("resources", "-p", "nosuch", "--json")
    assert ended.code == 3
    assert (ended.last["code"], ended.last["exit_code"]) == ("identity", 3)
    assert "nosuch" in ended.last["message"]
    assert ended.last["fix"] == "--profile dev"
    assert "abcdefgh12345678" not in ended.out + ended.err


def test_the_table_reads_no_markup_and_is_neither_cut_nor_coloured_in_a_pipe(program: Program) -> None:
    ended = program("resources", "--offline")
    assert ended.code == 0
    head, first, second = ended.out.splitlines()
    assert head.split() == ["TYPE", "KEY", "NAME", "PLACE", "LAYER"]
    assert "load [bold]orders[/bold]" in first
    assert first.index("resources/jobs.yml:3") == second.index("resources/jobs.yml:8") == head.index("PLACE")
    assert "\x1b" not in ended.out


def test_names_cannot_reach_the_terminal(tmp_path: Path) -> None:
    ended = with_bundle(tmp_path, HOSTILE)("resources", "--offline")
    assert len(ended.out.splitlines()) == 2
    for bad in ("\x1b", "\x07", "\u202e", "owned"):
        assert bad not in ended.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"bundle:\n  name: x\nresources:\n  jobs:\n    a: {name: [", "databricks.yml:5"),
        (b"bundle: {name: x}\n\x00\x01\x02", "this is a binary file, not YAML"),
        (b"a: &a [*a]\nbundle: {name: x}\n", "databricks.yml:1"),
        (b"#" + b"x" * 5_100_000, "MB is too large"),
        (b"bundle: {name: \xff\xfe}\n", "not UTF-8"),
        (b"- a list\n", "mapping of settings"),
        (b"", "the file is empty"),
    ],
)
def test_yaml_that_cannot_be_read_ends_with_1_and_its_place(tmp_path: Path, text: bytes, said: str) -> None:
    program = alone(tmp_path)
    program.write("databricks.yml", text)
    ended = program("resources", "--json")
    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert ended.last["event"] == "resources.ended"
    assert ended.last["exit_code"] == 1
    assert any(problem["severity"] == "error" for problem in ended.last["problems"])


def test_of_a_half_saved_include_the_rest_is_still_shown(program: Program) -> None:
    program.write("resources/other.yml", "resources:\n  jobs:\n    late: {name: [\n")
    ended = program("resources", "--json")
    assert ended.code == 1
    assert [event["ref"] for event in ended.events[:-1]] == ["jobs.load", "jobs.all"]
    assert "resources/other.yml:" in ended.err


def test_a_bundle_without_resources_is_an_answer(tmp_path: Path) -> None:
    ended = with_bundle(tmp_path, "bundle: {name: bare}\n")("resources", "--offline")
    assert (ended.code, ended.out) == (0, "")
    assert "declares no resources" in ended.err


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("live")) as held:
        yield held


def test_what_is_deployed_has_ids_pages_and_its_last_run(live: Deployed) -> None:
    run_id = live.run("bronze_ingest")
    found, last, err = rows(live.program)
    assert (last["source"], last["exit_code"], err) == ("cli", 0, "")
    assert last["host"] == live.box.host
    job = found["jobs.bronze_ingest"]
    assert job["state"] == "deployed"
    assert job["id"].isdigit()
    assert job["url"].startswith(f"{live.box.host}/jobs/{job['id']}")
    assert (job["last_run"]["id"], job["last_run"]["state"]) == (run_id, "succeeded")
    assert job["last_run"]["end_ms"] > job["last_run"]["start_ms"] > 0
    assert (job["file"], job["line"]) == ("resources/bronze_ingest.job.yml", 4)
    assert found["jobs.gold_publish"]["last_run"] is None
    assert found["schemas.retail"]["id"] == "main.dev_you_retail"


def test_what_is_declared_but_not_deployed_says_so(live: Deployed) -> None:
    extra = live.program.write("resources/new.job.yml", "resources: {jobs: {brand_new: {name: brand_new}}}\n")
    try:
        found, last, _ = rows(live.program)
    finally:
        extra.unlink()
    assert last["source"] == "cli"
    assert (found["jobs.brand_new"]["state"], found["jobs.brand_new"]["id"]) == ("not deployed", None)


def test_a_workspace_that_stops_to_answer_leaves_the_rest(live: Deployed) -> None:
    fault = live.box.control("POST", "faults", {"kind": "503", "path": "*/jobs/runs/list", "times": -1})
    try:
        found, last, err = rows(live.program)
    finally:
        live.box.control("DELETE", "faults")
    assert fault
    assert last["exit_code"] == 0
    assert found["jobs.bronze_ingest"]["id"]
    assert found["jobs.bronze_ingest"]["last_run"] is None
    assert "the last runs of 4 resources are not known" in err


def test_no_token_is_ever_printed(live: Deployed) -> None:
    ended = live.program("resources", "--json")
    assert live.box.token not in ended.out + ended.err


async def test_a_cli_that_never_answers_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmd_resources, "SUMMARY_SECONDS", 1.0)
    program = with_bundle(tmp_path)
    script = program.write("../databricks", f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    script.chmod(0o755)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        env = {
            **program.env,
            "DATABRICKS_HOST": f"http://127.0.0.1:{port}",
            "DATABRICKS_TOKEN": "t" * 20,
            "DATABRICKS_CLI_PATH": str(script),
        }
        place = open_place(argparse.Namespace(path=str(program.root)), env=env)
        listing = await cmd_resources.gather(place)
    assert listing.source == "yaml"
    assert listing.notes == ["from the YAML alone: no answer from the CLI within 1 s"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_in(tmp_path / "pid")), 0)


def pid_in(file: Path) -> str:
    return file.read_text()


async def test_last_runs_that_take_too_long_are_left_out_and_said(
    live: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cmd_resources, "RUNS_SECONDS", 1.0)
    live.box.control("POST", "faults", {"kind": "slow", "path": "*/jobs/runs/list", "times": -1, "seconds": 60})
    try:
        place = open_place(argparse.Namespace(path=str(live.root)), env=live.program.env)
        listing = await cmd_resources.gather(place)
    finally:
        live.box.control("DELETE", "faults")
    assert listing.source == "cli"
    (note,) = listing.notes
    assert re.fullmatch(r"the last runs of [45] resources were not told within 1 s", note)
    assert not [ref for ref in listing.last_runs if ref.startswith("jobs.")]
    assert all(resource.id for resource in listing.bundle.resources)
