"""The real CLI acts in the workspace that the identity names, whatever the shell around it says. Skipped without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.databricks_cli import DatabricksCli
from dbops_tui.core.guard import Guard, Policy, Refused
from dbops_tui.core.identity import auth_env, resolve, with_user
from dbops_tui.core.journal import Journal
from dbops_tui.core.state import Identity
from sandbox_fixture import SandboxBox, real_cli, running_sandbox

pytestmark = pytest.mark.real_cli

YAML = """
bundle:
  name: where
targets:
  dev:
    default: true
    mode: development
  stage: {}
resources:
  jobs:
    nightly:
      name: nightly
      tasks:
        - task_key: only
          notebook_task:
            notebook_path: ./note.py
"""


@pytest.fixture(scope="module")
def ours() -> Iterator[SandboxBox]:
    real_cli()
    with running_sandbox(time_scale=200) as box:
        yield box


@pytest.fixture(scope="module")
def theirs() -> Iterator[SandboxBox]:
    real_cli()
    with running_sandbox(time_scale=200) as box:
        yield box


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("bundle", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "databricks.yml").write_text(YAML, encoding="utf-8")
        (tmp_path / name / "note.py").write_text("# Databricks notebook source\n", encoding="utf-8")
    return tmp_path / "bundle"


@pytest.fixture
def shell(tmp_path: Path, ours: SandboxBox, theirs: SandboxBox) -> dict[str, str]:
    """A shell in which everything leads to the other workspace, target and bundle; the profile file knows both."""
    (tmp_path / "profiles").write_text(
        f"[ours]\nhost = {ours.host}\ntoken = {ours.token}\n\n[theirs]\nhost = {theirs.host}\ntoken = {theirs.token}\n",
        encoding="utf-8",
    )
    return {
        **theirs.env(tmp_path),
        "DATABRICKS_CONFIG_FILE": str(tmp_path / "profiles"),
        "DATABRICKS_CONFIG_PROFILE": "theirs",
        "DATABRICKS_BUNDLE_TARGET": "stage",
        "DATABRICKS_BUNDLE_ROOT": str(tmp_path / "other"),
        "PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin",
    }


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path / "journal.sqlite3")
    yield opened
    await opened.close()


def cli_of(root: Path, guard: Guard, identity: Identity, shell: dict[str, str]) -> DatabricksCli:
    env = auth_env(identity, shell)
    return DatabricksCli(root, env=env, guard=guard, target=identity.target, profile=identity.profile)


async def test_a_deploy_lands_where_the_profile_says_and_nowhere_else(
    root: Path, shell: dict[str, str], journal: Journal, ours: SandboxBox, theirs: SandboxBox
) -> None:
    identity = with_user(resolve(load_bundle(root, "dev", {}), "ours", shell), "you@example.com")
    assert (identity.host, identity.problem) == (ours.host, "")
    guard = Guard(lambda: identity, Policy(), journal)
    before = len(theirs.calls())
    cli = cli_of(root, guard, identity, shell)
    permit = await guard.permit(guard.act("deploy", "bundle"))
    result = await cli.deploy(permit)
    await permit.ended("done")
    assert result.outcome == "ok", result.text
    assert len(theirs.calls()) == before
    jobs = ours.get("/api/2.2/jobs/list").get("jobs", [])
    assert [job["settings"]["name"].endswith("nightly") for job in jobs] == [True]
    assert [op.host for op in await journal.deployed()] == [ours.host]


async def test_read_only_sends_nothing_that_deploys_starts_or_destroys(
    root: Path, shell: dict[str, str], journal: Journal, ours: SandboxBox
) -> None:
    identity = with_user(resolve(load_bundle(root, "dev", {}), "ours", shell), "you@example.com")
    loose = Guard(lambda: identity, Policy(), journal)
    strict = Guard(lambda: identity, Policy(read_only=True), journal)
    cli = cli_of(root, strict, identity, shell)
    permit = await loose.permit(loose.act("deploy", "bundle"))
    before = len(ours.calls())
    with pytest.raises(Refused, match="read-only"):
        await cli.deploy(permit)
    assert len(ours.calls()) == before
    result, config = await cli.validate()
    assert result.outcome == "ok", result.text
    assert config is not None


async def test_a_host_in_the_bundle_takes_the_token_of_the_shell_and_that_is_what_is_refused(
    root: Path, shell: dict[str, str], tmp_path: Path, ours: SandboxBox, theirs: SandboxBox
) -> None:
    yaml = root / "databricks.yml"
    yaml.write_text(YAML.replace("bundle:", f"workspace:\n  host: {ours.host}\nbundle:", 1), encoding="utf-8")
    env = theirs.env(tmp_path)
    bundle = load_bundle(root, "dev", {})
    identity = resolve(bundle, "", env)
    assert identity.problem == f"DATABRICKS_TOKEN is meant for {theirs.host} and is not sent to {ours.host}"
    # The refusal rests on this habit of the CLI: it asks the bundle's host, with the token of the environment.
    guard = Guard(lambda: replace(identity, problem=""), Policy())
    before = len(ours.calls())
    cli = DatabricksCli(root, env={**env, "PATH": shell["PATH"]}, guard=guard, target="dev")
    result, _ = await cli.validate()
    assert result.outcome != "ok"
    refused = [call for call in ours.calls()[before:] if call["status"] in (401, 403)]
    assert refused, ours.calls()[before:]
