"""The CLI as a subprocess: found, bounded, ended whole, changing nothing without leave, and rightly judged."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.bundle_truth import apply_summary, apply_validate
from dbops_tui.core.cli_words import install_hint, judge, parse_started, parse_version
from dbops_tui.core.databricks_cli import CliProblem, CliResult, DatabricksCli, RunStarted, find_cli
from dbops_tui.core.diagnostics import parse_diagnostics
from dbops_tui.core.guard import Act, Guard, Permit, Policy, Refused
from dbops_tui.core.process import KEEP_FIRST, KEEP_LAST, LONG_LINE, Ring, run_process
from dbops_tui.core.reach import unreachable
from dbops_tui.core.state import Identity
from dbops_tui.core.text import Redactor
from sandbox_fixture import SandboxBox, real_cli, running_sandbox
from shared_data import shared

posix_only = pytest.mark.skipif(os.name != "posix", reason="process groups and signals")
HERE = Identity(host="https://example.com", user="you@example.com", target="dev", mode="development", source="test")


class Notes:
    """An intent log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def intent(self, act: Act) -> int:
        self.told.append(act.kind)
        return len(self.told)

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None:
        self.told.append(outcome)


def guard_of(identity: Identity = HERE) -> Guard:
    return Guard(lambda: identity, Policy(), Notes())


def script(folder: Path, body: str, name: str = "databricks") -> Path:
    """An executable Python program that stands where the CLI would."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f"#!{sys.executable} -S\nimport os, sys, time, json, subprocess, signal\n{body}\n", encoding="utf-8"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def cli_of(tmp_path: Path, body: str, **more: Any) -> DatabricksCli:
    script(tmp_path / "bin", body)
    root = tmp_path / "bundle"
    root.mkdir(exist_ok=True)
    env = {"PATH": str(tmp_path / "bin"), **more.pop("env", {})}
    return DatabricksCli(root, env=env, guard=more.pop("guard", guard_of()), **more)


async def run(cli: DatabricksCli, *words: str, **more: Any) -> CliResult:
    return await cli.run(list(words) or ["bundle", "validate"], place=False, **more)


# --- found, and new enough --------------------------------------------------------------------------------------------


def test_the_named_cli_is_taken_before_the_one_on_the_path(tmp_path: Path) -> None:
    on_path, named = script(tmp_path / "a", ""), script(tmp_path / "b", "", "other")
    assert find_cli({"PATH": str(tmp_path / "a")}) == str(on_path)
    assert find_cli({"PATH": str(tmp_path / "a"), "DATABRICKS_CLI_PATH": str(named)}) == str(named)


@pytest.mark.parametrize("env", [{"PATH": "/nowhere"}, {}, {"DATABRICKS_CLI_PATH": "/nowhere/databricks"}])
def test_without_a_cli_the_problem_says_how_to_get_it(env: dict[str, str]) -> None:
    with pytest.raises(CliProblem) as caught:
        find_cli(env)
    assert caught.value.install


def test_a_file_that_cannot_be_run_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "databricks").write_text("x")
    with pytest.raises(CliProblem, match="cannot be run"):
        find_cli({"DATABRICKS_CLI_PATH": str(tmp_path / "databricks")})


def test_each_platform_is_told_its_own_way_to_install() -> None:
    assert "brew" in install_hint("darwin")
    assert "winget" in install_hint("win32")
    assert "install.sh" in install_hint("linux")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Databricks CLI v1.14.0-dev\n", (1, 14, 0)),
        ("Warn: something\nDatabricks CLI v0.278.0", (0, 278, 0)),
        ("Databricks CLI v1.13.0", (1, 13, 0)),
        ("Databricks CLI v0.0.0-dev+06b169284737", (0, 278, 0)),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("printed", "words"), [("Version 0.18.0", "archived"), ("hello", "does not tell"), ("", "does not tell")]
)
async def test_another_program_of_that_name_is_found_out(tmp_path: Path, printed: str, words: str) -> None:
    with pytest.raises(CliProblem, match=words) as caught:
        await cli_of(tmp_path, f"print({printed!r})").version()
    assert caught.value.install


async def test_an_old_cli_is_refused_and_a_new_one_taken(tmp_path: Path) -> None:
    with pytest.raises(CliProblem, match=r"0\.277\.3 is too old: 0\.278"):
        await cli_of(tmp_path, "print('Databricks CLI v0.277.3')").version()
    assert await cli_of(tmp_path, "print('Databricks CLI v0.278.0')").version() == (0, 278, 0)


async def test_a_cli_of_another_machine_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    cli = cli_of(tmp_path, "")
    (tmp_path / "bin" / "databricks").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(CliProblem, match="cannot be run"):
        await cli.version()


def test_a_problem_can_be_raised_from_within_context_managers() -> None:
    from contextlib import contextmanager

    @contextmanager
    def passing() -> Iterator[None]:
        yield

    with pytest.raises(CliProblem), passing():
        raise CliProblem("gone", "get it")


# --- what it is told --------------------------------------------------------------------------------------------------


async def test_target_and_profile_are_said_outright_and_the_environment_is_only_the_given_one(tmp_path: Path) -> None:
    body = (
        "said = {'argv': sys.argv[1:], 'env': dict(os.environ), 'cwd': os.getcwd(), 'stdin': sys.stdin.read()}\n"
        "print(json.dumps(said))"
    )
    env = {"DATABRICKS_LOG_LEVEL": "debug", "DATABRICKS_OUTPUT_FORMAT": "json", "DATABRICKS_BUNDLE_ENGINE": "direct"}
    cli = cli_of(tmp_path, body, target="dev", profile="mine", env=env)
    _, said = await cli.validate()
    assert said is not None
    assert said["argv"] == ["bundle", "validate", "-o", "json", "-t", "dev", "-p", "mine"]
    assert Path(said["cwd"]) == (tmp_path / "bundle").resolve()
    assert said["stdin"] == ""
    assert said["env"]["NO_COLOR"] == "1"
    assert said["env"]["DATABRICKS_BUNDLE_ENGINE"] == "direct"
    assert not {"DATABRICKS_LOG_LEVEL", "DATABRICKS_OUTPUT_FORMAT", "HOME"} & said["env"].keys()


def test_a_start_is_worded_as_a_person_would_type_it(tmp_path: Path) -> None:
    cli = cli_of(tmp_path, "", target="dev")
    words = cli.run_command("jobs.a", params={"day": "1", "x": "a b"}, only=["t1", "+t2"], full_refresh_all=True)
    assert words == [
        *("bundle", "run", "--no-wait", "--params", "day=1,x=a b", "--only", "t1,+t2", "--full-refresh-all"),
        *("-t", "dev", "jobs.a"),
    ]


@pytest.mark.parametrize("key", ["--", "-x", "", "--profile=other"])
def test_a_key_that_the_cli_would_take_for_a_flag_or_a_program_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(CliProblem, match="no key"):
        cli_of(tmp_path, "").run_command(key)


# --- what it says -----------------------------------------------------------------------------------------------------


async def test_lines_come_one_by_one_clean_and_without_secrets(tmp_path: Path) -> None:
    token = "dapi" + "0123456789abcdef" * 2
    body = (
        "w = sys.stderr.buffer.write\n"
        f"w(b'\\x1b[31mred\\x1b[0m one\\r\\n'); w(b'two \\xff\\xfe bad\\n'); w(b'token {token}\\n'); w(b'no end')"
    )
    lines: list[tuple[str, str]] = []
    result = await run(cli_of(tmp_path, body), on_line=lambda stream, line: lines.append((stream, line)))
    assert lines[0] == ("cmd", "databricks bundle validate")
    assert [line for _, line in lines[1:]] == list(result.stderr)
    assert result.stderr[0] == "red one"
    assert result.stderr[1].startswith("two ")
    assert token not in result.text
    assert result.stderr[3] == "no end"


async def test_a_secret_we_hold_is_not_shown_in_any_line(tmp_path: Path) -> None:
    result = await run(
        cli_of(tmp_path, "print('hunter2 hunter2', file=sys.stderr)", redactor=Redactor(["hunter2 hunter2"]))
    )
    assert "hunter2" not in result.text


async def test_a_flood_of_text_is_kept_by_its_beginning_and_end(tmp_path: Path) -> None:
    body = (
        "print('Error: the cause', file=sys.stderr)\n"
        "line = 'x' * 999 + '\\n'\nfor i in range(30_000): sys.stderr.write(line)\n"
        "print('the end', file=sys.stderr); sys.exit(1)"
    )
    told = 0

    def count(stream: str, line: str) -> None:
        nonlocal told
        told += 1

    result = await run(cli_of(tmp_path, body), on_line=count)
    assert result.summary.startswith("the cause")
    assert result.stderr[-1] == "the end"
    assert sum(map(len, result.stderr)) < KEEP_FIRST + KEEP_LAST + 1000
    assert told >= 30_000


async def test_a_line_without_end_is_cut_into_pieces(tmp_path: Path) -> None:
    result = await run(cli_of(tmp_path, "sys.stderr.write('y' * 3_000_000)"))
    assert max(map(len, result.stderr)) <= LONG_LINE


def test_the_ring_says_how_much_it_left_out() -> None:
    ring = Ring(first=20, last=20)
    for number in range(100):
        ring.add(f"line {number}")
    kept = ring.lines()
    assert kept[:2] == ("line 0", "line 1")
    assert kept[-2:] == ("line 98", "line 99")
    assert "96 lines left out" in kept[2]


@pytest.mark.parametrize("printed", ["'not json'", "'[1]'", "'{'", "'{\"a\":' * 100_000", "''"])
async def test_an_answer_that_is_no_json_object_is_none(tmp_path: Path, printed: str) -> None:
    result, data = await cli_of(tmp_path, f"print({printed})").validate()
    assert (result.outcome, data) == ("ok", None)


async def test_the_config_comes_also_where_validate_fails(tmp_path: Path) -> None:
    result, data = await cli_of(
        tmp_path, "print('{\"bundle\": {}}'); print('Error: x', file=sys.stderr); sys.exit(1)"
    ).validate()
    assert (result.outcome, data) == ("failed", {"bundle": {}})


async def test_the_schema_is_asked_once(tmp_path: Path) -> None:
    cli = cli_of(tmp_path, "open('asked', 'a').write('x'); print('{\"a\": 1}')")
    assert await cli.schema() == await cli.schema() == {"a": 1}
    assert (tmp_path / "bundle" / "asked").read_text() == "x"


# --- how it ends ------------------------------------------------------------------------------------------------------


async def test_the_exit_code_decides_and_not_what_was_said(tmp_path: Path) -> None:
    result = await run(cli_of(tmp_path, "print('Error: terrible', file=sys.stderr)"))
    assert result.outcome == "ok"
    result = await run(cli_of(tmp_path, "print('Deployment complete!', file=sys.stderr); sys.exit(1)"))
    assert result.outcome == "failed"


FAMILY = """
child = subprocess.Popen([sys.executable, '-S', '-c',
    'import signal, time, os; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b"ready"); time.sleep(600)'],
    stdout=subprocess.PIPE)
child.stdout.read(5)
open('pids', 'w').write(f'{os.getpid()} {child.pid}')
print('started', file=sys.stderr, flush=True)
"""


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has waited for yet has."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.parent.parent.is_dir() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def all_gone(tmp_path: Path) -> bool:
    """Whether the family that wrote `pids` ends, as it does at once when it was killed."""
    pids = [int(word) for word in (tmp_path / "bundle" / "pids").read_text().split()]
    for _ in range(500):
        if not any(map(alive, pids)):
            return True
        await asyncio.sleep(0.01)
    return False


@posix_only
async def test_after_the_time_limit_the_whole_family_is_gone_and_the_end_is_not_known(tmp_path: Path) -> None:
    cli = cli_of(tmp_path, FAMILY + "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    result = await run(cli, seconds=1.0)
    assert (result.outcome, result.killed) == ("blocked", True)
    assert "started" in result.stderr
    assert await all_gone(tmp_path)


@posix_only
async def test_a_cancelled_call_leaves_nobody_behind(tmp_path: Path) -> None:
    cli = cli_of(tmp_path, FAMILY + "time.sleep(600)")
    started = asyncio.Event()
    task = asyncio.create_task(run(cli, on_line=lambda stream, line: started.set() if line == "started" else None))
    async with asyncio.timeout(20):
        await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await all_gone(tmp_path)


@posix_only
async def test_a_child_that_keeps_the_pipes_open_does_not_keep_us(tmp_path: Path) -> None:
    body = (
        "subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']); print('done', file=sys.stderr)"
    )
    async with asyncio.timeout(30):
        result = await run(cli_of(tmp_path, body))
    assert (result.outcome, result.stderr) == ("ok", ("done",))


@posix_only
async def test_a_cli_that_somebody_killed_did_not_fail_its_end_is_not_known(tmp_path: Path) -> None:
    result = await run(cli_of(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert (result.outcome, result.killed, result.exit_code) == ("blocked", True, -9)
    assert "signal 9" in result.blocked_reason


async def test_a_process_that_cannot_start_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        await run_process(["/nowhere"], cwd=tmp_path, env={}, seconds=1)


# --- leave ------------------------------------------------------------------------------------------------------------

TRACE = "open('ran', 'a').write(' '.join(sys.argv[1:]) + '\\n')"


async def leave(guard: Guard, kind: Any = "deploy", confirmed: str = "") -> Permit:
    return await guard.permit(guard.act(kind, "jobs.a"), confirmed=confirmed)


def ran(tmp_path: Path) -> list[str]:
    path = tmp_path / "bundle" / "ran"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "words", [["bundle", "deploy"], ["bundle", "run", "a"], ["bundle", "destroy"], ["fs", "rm", "/"]]
)
async def test_nothing_that_changes_something_runs_without_leave(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(Refused):
        await run(cli_of(tmp_path, TRACE), *words)
    assert ran(tmp_path) == []


async def test_leave_is_good_for_one_call_of_its_kind(tmp_path: Path) -> None:
    guard = guard_of()
    cli = cli_of(tmp_path, TRACE, guard=guard, target="dev", env={"DATABRICKS_HOST": HERE.host})
    cli.host = ""
    permit = await leave(guard)
    assert (await cli.deploy(permit)).outcome == "ok"
    with pytest.raises(Refused, match="used already"):
        await cli.deploy(permit)
    with pytest.raises(Refused):
        await cli.run_no_wait(await leave(guard), cli.run_command("a"))
    assert ran(tmp_path) == ["bundle deploy -t dev"]


async def test_destroy_needs_the_typed_word(tmp_path: Path) -> None:
    guard = guard_of()
    cli = cli_of(tmp_path, TRACE, guard=guard, target="dev", env={"DATABRICKS_HOST": HERE.host})
    cli.host = ""
    with pytest.raises(Refused):
        await leave(guard, "destroy")
    assert (await cli.destroy(await leave(guard, "destroy", "dev"))).outcome == "ok"
    assert ran(tmp_path) == ["bundle destroy --auto-approve -t dev"]


# --- a workspace that is not there ------------------------------------------------------------------------------------


async def closed_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_nothing_is_started_while_the_workspace_cannot_be_reached(tmp_path: Path) -> None:
    guard = guard_of()
    cli = cli_of(tmp_path, TRACE, guard=guard, target="dev", host=f"http://127.0.0.1:{await closed_port()}")
    permit = await leave(guard)
    result = await cli.deploy(permit)
    assert result.outcome == "blocked"
    assert "connection refused" in result.blocked_reason
    assert not permit.consumed
    assert ran(tmp_path) == []


async def test_what_needs_no_workspace_runs_without_one(tmp_path: Path) -> None:
    host = f"http://127.0.0.1:{await closed_port()}"
    assert await cli_of(tmp_path, "print('Databricks CLI v1.0.0')", host=host).version() == (1, 0, 0)


async def test_a_host_is_reached_or_not_and_a_proxy_keeps_us_from_knowing() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await unreachable(f"http://127.0.0.1:{port}", {}) == ""
    server.close()
    await server.wait_closed()
    gone_host = f"http://127.0.0.1:{port}"
    assert "refused" in await unreachable(gone_host, {})
    assert await unreachable(gone_host, {"http_proxy": "http://proxy:1"}) == ""
    assert "refused" in await unreachable(
        gone_host, {"HTTP_PROXY": "http://proxy:1", "NO_PROXY": "localhost, 127.0.0.1"}
    )
    assert "no host" in await unreachable("https://nowhere.invalid", {})
    assert await unreachable("", {}) == ""
    assert "no address" in await unreachable("http://x:99999999", {})


# --- what words mean --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Error: Failed to acquire deployment lock: deploy lock acquired by you@example.com at 2026", "lock"),
        ("Error: deploy lock force-acquired by you@example.com at 2026", "lock"),
        ("Error: deploy lock force acquired by you@example.com at 2026", "lock"),
        ("Error: Failed to acquire deployment lock: access denied: /Workspace/x/deploy.lock", "permission"),
        ("Error: access denied: /Workspace/Users/somebody/.bundle/x/state/resources.json", "permission"),
        (
            "Error: unable to deploy to /Workspace/Users/you@example.com/.bundle/x/state as you@example.com.",
            "permission",
        ),
        ("Error: default auth: cannot configure default credentials, please check https://docs", "not signed in"),
        (
            "Error: resolve: /home/you/.databrickscfg has no mine profile configured. Config: profile=mine",
            "not signed in",
        ),
        (
            "Error: cache: databricks OAuth is not configured for this host. no cached credentials; run x",
            "not signed in",
        ),
        ("Error: resolve: https://x: multiple profiles matched: a, b: please set", "several profiles"),
        (
            "Error: config host mismatch: profile uses host https://a, but CLI configured to use https://b",
            "another workspace",
        ),
        (
            "Error: cannot resolve bundle auth configuration: validate: more than one authorization method configured:"
            " oauth and pat. Config: host=https://a, token=***",
            "two ways to sign in",
        ),
        ("Error: cannot resolve bundle auth configuration: something that is new", "sign-in cannot be used"),
        ("Error: cannot resolve bundle auth configuration: https://x: multiple profiles matched: a, b", "several"),
        ("Error: cannot resolve bundle auth configuration: dial tcp 10.0.0.1:443: i/o timeout", "cannot be reached"),
        ("Error: cannot get access token: ERROR: Please run 'az login' to set up an account.", "sign-in ran out"),
        ("Error: A new access token could not be retrieved because the refresh token is invalid.", "sign-in ran out"),
        ("Error: Invalid access token.", "sign-in ran out"),
        ('Error: Get "http://x/api/2.0/preview/scim/v2/Me?": dial tcp: lookup x: no such host', "cannot be reached"),
        ("Error: Get: dial tcp 10.0.0.1:443: i/o timeout", "cannot be reached"),
        (
            "Error: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "cannot be reached",
        ),
        ("Error: proxyconnect tcp: dial tcp: refused", "cannot be reached"),
        ("Error: error downloading Terraform: unable to verify checksums signature", "Terraform"),
        (
            "Error: the deployment requires destructive actions, but the current console does not support prompting.",
            "approve",
        ),
        ("Error: lineage mismatch in state files", "state"),
        ("Error: Source IP address: 10.1.2.3 is blocked by Databricks IP ACL for workspace: 1", "access list"),
    ],
)
def test_what_is_in_the_way_of_any_deploy_is_blocked(text: str, reason: str) -> None:
    outcome, why = judge(1, text, parse_diagnostics(text))
    assert (outcome, reason in why) == ("blocked", True), why


@pytest.mark.parametrize(
    "text",
    [
        "Error: cannot create resources.jobs.foo: Shared job cluster feature. (400 INVALID_PARAMETER_VALUE)",
        "Error: reference does not exist: ${var.hst}",
        "Error: dev2: no such target. Available targets: dev",
        "Error: job 123 is running",
        "Error: cannot create resources.volumes.v: access denied: catalog main (403 PERMISSION_DENIED)",
        "Warning: connection refused once\n\nError: cannot create resources.jobs.foo: x (400 BAD)",
        "Error: cannot create resources.jobs.a: x (400 BAD)\n\nError: cannot create resources.jobs.b: i/o timeout",
        "something without the grammar",
        "",
    ],
)
def test_what_the_bundle_or_the_api_refuses_has_failed(text: str) -> None:
    assert judge(1, text, parse_diagnostics(text)) == ("failed", "")


def test_what_follows_from_a_blocked_error_changes_nothing() -> None:
    text = "Error: cannot create jobs.a: i/o timeout\n\nError: cannot create jobs.b: dependency failed: jobs.a\n\n"
    assert judge(1, text, parse_diagnostics(text))[0] == "blocked"


def test_success_is_the_exit_code_alone() -> None:
    assert judge(0, "Error: Failed to acquire deployment lock", ()) == ("ok", "")


def test_recorded_refusals_of_bundles_are_failures_and_those_of_sign_in_blocked() -> None:
    for path in sorted(shared("bundles").glob("*/expected.txt")):
        errors = [each for each in parse_diagnostics(path.read_text()) if each.severity == "error"]
        for error in errors:
            wanted = "blocked" if "multi_profile" in str(path) else "failed"
            assert judge(1, "", [error])[0] == wanted, (path.parent.name, error.summary)


UPDATE = "0123abcd-0000-4000-8000-0123456789ab"


@pytest.mark.parametrize(
    ("text", "started"),
    [
        (
            "Run URL: https://x.net/jobs/11/runs/22?o=3\n",
            RunStarted("job", "11", "22", url="https://x.net/jobs/11/runs/22?o=3"),
        ),
        (
            "Run URL: https://x.net/?o=3#job/11/run/22\n",
            RunStarted("job", "11", "22", url="https://x.net/?o=3#job/11/run/22"),
        ),
        (
            f"Update URL: https://x.net/#joblist/pipelines/{UPDATE}/updates/{UPDATE}\n\nUpdate ID: {UPDATE}",
            RunStarted(
                "pipeline", "", "", UPDATE, UPDATE, f"https://x.net/#joblist/pipelines/{UPDATE}/updates/{UPDATE}"
            ),
        ),
        (
            f"https://x.net/pipelines/{UPDATE}/updates/{UPDATE}",
            RunStarted("pipeline", "", "", UPDATE, UPDATE, f"https://x.net/pipelines/{UPDATE}/updates/{UPDATE}"),
        ),
        (f"Update ID: {UPDATE}\n", RunStarted("pipeline", update_id=UPDATE)),
        (f'{{"update_id": "{UPDATE}"}}', RunStarted("pipeline", update_id=UPDATE)),
        ("Run URL: https://x.net/jobs/9007199254740993/runs/9223372036854775807", None),
        ("see https://docs.databricks.com/jobs and https://x.net/pipelines", None),
        ("", None),
    ],
)
def test_what_was_started_is_read_from_either_form_of_its_address(text: str, started: RunStarted | None) -> None:
    found = parse_started(text)
    if "9007199254740993" in text:
        assert found is not None
        assert (found.job_id, found.run_id) == ("9007199254740993", "9223372036854775807")
    else:
        assert found == started


# --- the real one -----------------------------------------------------------------------------------------------------

YAML = """\
bundle: {name: cli}
targets:
  dev: {default: true, mode: development}
  stage: {}
resources:
  jobs:
    nightly:
      name: nightly
      tasks:
        - task_key: only
          notebook_task: {notebook_path: ./note.py}
  pipelines:
    events:
      name: events
      libraries:
        - notebook: {path: ./note.py}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    real_cli()
    with running_sandbox(time_scale=200) as running:
        yield running


@pytest.fixture
def bundle_root(tmp_path: Path) -> Path:
    root = tmp_path / "real"
    root.mkdir()
    (root / "databricks.yml").write_text(YAML, encoding="utf-8")
    (root / "note.py").write_text("# Databricks notebook source\n", encoding="utf-8")
    return root


@pytest.fixture
def real(box: SandboxBox, tmp_path: Path, bundle_root: Path) -> tuple[DatabricksCli, Guard]:
    box.control("POST", "reset")
    identity = Identity(host=box.host, user="you@example.com", target="dev", mode="development", source="test")
    guard = guard_of(identity)
    env = {**box.env(tmp_path), "PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin"}
    return DatabricksCli(bundle_root, env=env, guard=guard, target="dev", host=box.host), guard


@pytest.mark.real_cli
async def test_the_real_cli_goes_from_validate_to_destroy(real: tuple[DatabricksCli, Guard], bundle_root: Path) -> None:
    cli, guard = real
    assert await cli.version() >= (0, 278, 0)
    result, config = await cli.validate()
    assert result.outcome == "ok", result.text
    bundle = apply_validate(load_bundle(bundle_root, "dev", {}), config)
    assert bundle.user
    assert bundle.file_path.endswith("/cli/dev/files")
    result, plan = await cli.plan()
    assert plan is not None
    assert {body["action"] for body in plan["plan"].values()} == {"create"}
    lines: list[str] = []
    deployed = await cli.deploy(await leave(guard), lambda stream, line: lines.append(line))
    assert deployed.outcome == "ok", deployed.text
    assert lines[0] == "databricks bundle deploy -t dev"
    _, data = await cli.summary()
    bundle = apply_summary(bundle, data)
    assert all(each.id and each.url and each.modified_status == "" for each in bundle.resources)
    destroyed = await cli.destroy(await leave(guard, "destroy", "dev"))
    assert destroyed.outcome == "ok", destroyed.text
    _, data = await cli.summary()
    assert {each.modified_status for each in apply_summary(bundle, data).resources} == {"created"}


@pytest.mark.real_cli
async def test_the_real_cli_starts_runs_and_updates_and_names_them(
    real: tuple[DatabricksCli, Guard], bundle_root: Path
) -> None:
    cli, guard = real
    deployed = await cli.deploy(await leave(guard))
    assert deployed.outcome == "ok", deployed.text
    _, data = await cli.summary()
    bundle = apply_summary(load_bundle(bundle_root, "dev", {}), data)
    nightly, events = bundle.resource("jobs.nightly"), bundle.resource("pipelines.events")
    assert nightly is not None
    assert events is not None
    result, run_started = await cli.run_no_wait(await leave(guard, "run"), cli.run_command("nightly"))
    assert run_started is not None, result.text
    assert (run_started.kind, run_started.job_id, run_started.run_id.isdigit()) == ("job", nightly.id, True)
    result, update = await cli.run_no_wait(await leave(guard, "update"), cli.run_command("pipelines.events"))
    assert update is not None, result.text
    assert (update.kind, update.pipeline_id, bool(update.update_id)) == ("pipeline", events.id, True)


@pytest.mark.real_cli
async def test_a_lock_held_by_another_blocks_the_real_deploy(
    box: SandboxBox, tmp_path: Path, bundle_root: Path
) -> None:
    box.control("POST", "reset")
    identity = Identity(host=box.host, user="you@example.com", target="stage", source="test")
    guard = guard_of(identity)
    env = {**box.env(tmp_path), "PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin"}
    cli = DatabricksCli(bundle_root, env=env, guard=guard, target="stage", host=box.host)
    _, config = await cli.validate()
    assert config is not None
    box.control("POST", "lock", {"state_path": config["workspace"]["state_path"]})
    result = await cli.deploy(await leave(guard))
    assert (result.outcome, "lock" in result.blocked_reason) == ("blocked", True), result.text


@pytest.mark.real_cli
async def test_what_the_real_api_refuses_has_failed(real: tuple[DatabricksCli, Guard], bundle_root: Path) -> None:
    cli, guard = real
    yaml = bundle_root / "databricks.yml"
    head, _, tail = YAML.partition("      tasks:\n")
    clusters = "      job_clusters: [{job_cluster_key: shared}]\n"
    yaml.write_text(head + clusters + tail[tail.index("  pipelines:") :], encoding="utf-8")
    result = await cli.deploy(await leave(guard))
    assert result.outcome == "failed", result.text
    assert "resources.jobs.nightly" in result.summary


@pytest.mark.real_cli
async def test_a_wrong_token_blocks_the_real_cli(real: tuple[DatabricksCli, Guard]) -> None:
    cli, _ = real
    cli.use(env={**cli.env, "DATABRICKS_TOKEN": "dapi" + "0" * 32}, target="dev", profile="", host=cli.host)
    result, _ = await cli.validate()
    assert result.outcome == "blocked", result.text
    assert "sign-in" in result.blocked_reason


@pytest.mark.real_cli
async def test_without_a_sign_in_the_real_cli_is_blocked_and_the_config_comes_all_the_same(
    tmp_path: Path, bundle_root: Path
) -> None:
    (tmp_path / "cfg").touch()
    env = {
        "PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "DATABRICKS_CONFIG_FILE": str(tmp_path / "cfg"),
    }
    cli = DatabricksCli(bundle_root, env=env, guard=guard_of(), target="dev")
    result, config = await cli.validate()
    assert (result.outcome, result.blocked_reason) == ("blocked", "not signed in")
    assert config is not None
    assert "nightly" in config["resources"]["jobs"]


@pytest.mark.real_cli
async def test_the_real_schema_knows_the_types_of_resources(tmp_path: Path, bundle_root: Path) -> None:
    env = {"PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    schema = await DatabricksCli(bundle_root, env=env, guard=guard_of()).schema()
    assert schema is not None
    text = json.dumps(schema)
    assert all(f'"{kind}"' in text for kind in ("jobs", "pipelines", "volumes"))
