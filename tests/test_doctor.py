"""The doctor finds what is wrong, says what to do, and survives a check that fails itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core import doctor
from dbops_tui.core.bundle import Bundle, BundleProblem, Place
from dbops_tui.core.databricks_cli import CliProblem
from dbops_tui.core.doctor import CHECKS, Check, Subject, Terminal, colours, examine, exit_code
from dbops_tui.core.lock import Lock
from dbops_tui.core.state import Identity

HERE = Identity(host="https://dev.example.com", profile="dev", target="dev", mode="development", source="--profile")
GOOD = Terminal(tty=True, term="xterm-256color", columns=120, lines=40, encoding="utf-8", colours="truecolor")
BUNDLE = Bundle(root=Path("/nowhere"), name="retail", target="dev")


async def version() -> tuple[int, ...]:
    return (1, 13, 0)


async def described() -> Mapping[str, object]:
    return {"status": "success", "username": "you@example.com", "details": {"auth_type": "pat"}}


async def reached() -> str:
    return "you@example.com"


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject(
        env={"HOME": str(tmp_path), "PATH": "/bin"},
        identity=HERE,
        terminal=GOOD,
        state_dir=lambda: tmp_path,
        bundle=BUNDLE,
        journal=tmp_path / "x.sqlite3",
        cli=version,
        describe=described,
        reach=reached,
    )


async def check(subject: Subject, name: str, **changes: Any) -> Check:
    found = {each.id: each for each in await examine(replace(subject, **changes))}
    return found[name]


async def test_where_all_is_well_nothing_is_a_problem(subject: Subject) -> None:
    checks = await examine(subject)
    assert [each.id for each in checks] == [entry[0] for entry in CHECKS]
    assert [each for each in checks if each.status in ("problem", "skipped")] == []
    assert exit_code(checks) == 0
    texts = {each.id: each.text for each in checks}
    assert texts["cli"] == "databricks 1.13.0"
    assert texts["identity"] == "target dev goes to https://dev.example.com with profile dev (--profile)"
    assert texts["sign-in"] == "you@example.com by pat"
    assert texts["workspace"] == "https://dev.example.com answers you@example.com"


async def test_what_only_an_extra_needs_is_not_missed(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["pyyaml>=6", 'nosuchtool==1.0; extra == "lint"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: needed)
    assert (await check(subject, "python")).status == "ok"
    needed.append("pyyaml==0.1")
    assert "in place of 0.1" in (await check(subject, "python")).text


async def test_a_missing_cli_says_how_to_get_it(subject: Subject) -> None:
    async def missing() -> tuple[int, ...]:
        raise CliProblem("the Databricks CLI is not installed", "brew install databricks")

    found = await check(subject, "cli", cli=missing)
    assert (found.status, found.text, found.hint) == (
        "problem",
        "the Databricks CLI is not installed",
        "brew install databricks",
    )


@pytest.mark.parametrize(
    ("name", "changes", "status", "words"),
    [
        ("identity", {"identity": Identity(problem="2 profiles fit", candidates=("a", "b"))}, "problem", "2 profiles"),
        ("identity", {"identity": replace(HERE, mode="production")}, "warning", "production target"),
        ("config", {"config_problem": "config.toml:3: 'x' is no setting"}, "problem", "config.toml:3"),
        ("bundle", {"bundle": None}, "problem", "no databricks.yml"),
        ("bundle", {"bundle_problem": "two databricks.yml"}, "problem", "two"),
        ("terminal", {"terminal": replace(GOOD, tty=False)}, "warning", "no terminal"),
        ("terminal", {"terminal": replace(GOOD, term="dumb")}, "warning", "TERM is dumb"),
        ("terminal", {"terminal": replace(GOOD, encoding="latin-1")}, "warning", "UTF-8"),
        ("terminal", {"terminal": replace(GOOD, columns=20, lines=5)}, "warning", "smaller"),
        ("journal", {"mountinfo": "1 0 0:1 / / rw - nfs4 server:/ rw"}, "warning", "network"),
        ("workspace", {"identity": replace(HERE, user="other@example.com")}, "problem", "not other@example.com"),
        ("sign-in", {"describe": None}, "skipped", "not asked"),
        ("workspace", {"reach": None}, "skipped", "not asked"),
        ("workspace", {"identity": replace(HERE, problem="which?")}, "skipped", "not asked"),
    ],
)
async def test_what_is_wrong_is_found(
    subject: Subject, name: str, changes: dict[str, Any], status: str, words: str
) -> None:
    found = await check(subject, name, **changes)
    assert (found.status, words in found.text) == (status, True), found


async def test_the_flag_that_answers_is_the_hint(subject: Subject) -> None:
    found = await check(subject, "identity", identity=Identity(problem="which?", candidates=("a", "b")))
    assert found.hint == "--profile a (or b)"


async def test_an_error_of_the_bundle_is_named_with_its_place(subject: Subject) -> None:
    problem = BundleProblem("error", "cannot parse", Place("databricks.yml", 14))
    found = await check(subject, "bundle", bundle=replace(BUNDLE, problems=(problem,)))
    assert (found.status, found.text) == ("problem", "databricks.yml:14: cannot parse")


async def test_variables_that_lead_another_program_elsewhere_are_named(subject: Subject) -> None:
    env = {
        **subject.env,
        "DATABRICKS_HOST": "https://live.example.com/",
        "DATABRICKS_CONFIG_PROFILE": "live",
        "DATABRICKS_BUNDLE_TARGET": "live",
        "DATABRICKS_TOKEN": "dapi0123456789abcdef0123456789abcdef",
        "DATABRICKS_BUNDLE_ROOT": "/x",
    }
    found = await check(subject, "environment", env=env)
    assert found.status == "warning"
    for name in env.keys() - {"HOME", "PATH"}:
        assert name in found.text
    assert "0123456789" not in found.text + found.hint


async def test_a_sign_in_that_ran_out_says_how_to_renew_it(subject: Subject) -> None:
    async def failed() -> Mapping[str, object]:
        return {"status": "error", "details": {"auth_type": "databricks-cli"}}

    found = await check(subject, "sign-in", describe=failed)
    assert (found.status, found.hint) == (
        "problem",
        "databricks auth login --host https://dev.example.com --profile dev",
    )


async def test_a_state_folder_that_cannot_be_had_is_a_problem(subject: Subject) -> None:
    def gone() -> Path:
        raise PermissionError(13, "belongs to somebody else", "/x")

    found = await check(subject, "journal", state_dir=gone)
    assert (found.status, found.hint) == ("problem", "DBOPS_STATE_DIR=/a/local/folder")
    assert "belongs to somebody else" in found.text


async def test_a_journal_that_another_process_holds_is_named_with_it(subject: Subject, tmp_path: Path) -> None:
    lock = Lock.take(tmp_path / "x.lock")
    found = await check(subject, "journal")
    assert f"process {os.getpid()} " in found.text
    lock.release()
    assert (await check(subject, "journal")).status == "ok"
    assert os.listdir(tmp_path) == [], "a check leaves nothing behind"


async def test_a_profile_file_that_others_can_read_is_named(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / ".databrickscfg").touch(mode=0o644)
    os.chmod(tmp_path / ".databrickscfg", 0o644)
    assert (await check(subject, "profiles")).hint == f"chmod 600 {tmp_path / '.databrickscfg'}"
    os.chmod(tmp_path / ".databrickscfg", 0o600)
    assert (await check(subject, "profiles")).status == "ok"


async def test_a_check_that_fails_or_hangs_is_a_finding_and_the_others_go_on(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    async def fails() -> Mapping[str, object]:
        raise RuntimeError("boom \x1b[2J dapi0123456789abcdef0123456789abcdef")

    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    checks = {each.id: each for each in await examine(replace(subject, reach=hangs, describe=fails))}
    assert (checks["workspace"].status, checks["sign-in"].text) == ("problem", "boom [redacted]")
    assert "no answer" in checks["workspace"].text
    assert exit_code(tuple(checks.values())) == 3


def test_who_acts_where_has_an_exit_status_of_its_own() -> None:
    def one(name: str, status: Any) -> Check:
        return Check(name, "", status, "")

    assert exit_code((one("cli", "problem"), one("identity", "ok"))) == 1
    assert exit_code((one("cli", "problem"), one("identity", "problem"))) == 3
    assert exit_code((one("terminal", "warning"), one("workspace", "skipped"))) == 0


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "vt220"}, "16"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ({}, "none"),
    ],
)
def test_colours_are_read_from_the_environment(env: dict[str, str], found: str) -> None:
    assert colours(env) == found
    assert Terminal.here(env).colours == found
