"""`doctor` looks at everything, says what to do, changes nothing, and ends with the status that a script needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_box import Deployed, Ended, alone, deployed, with_bundle
from dbops_tui.core.doctor import CHECKS


def checks(ended: Ended) -> dict[str, dict[str, Any]]:
    """The findings by id; the stream ends as it should."""
    *found, last = ended.events
    assert [event["event"] for event in found] == ["check"] * len(CHECKS)
    assert (last["event"], last["final"], last["exit_code"]) == ("doctor.ended", True, ended.code)
    statuses = [event["status"] for event in found]
    assert {word: last[word] for word in ("ok", "warning", "problem", "skipped")} == {
        word: statuses.count(word) for word in ("ok", "warning", "problem", "skipped")
    }
    return {event["id"]: event for event in found}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("live")) as held:
        yield held


def test_where_all_is_well_it_ends_with_0(live: Deployed) -> None:
    ended = live.program("doctor", "--json")
    found = checks(ended)
    assert ended.code == 0, ended.out
    assert found["cli"]["text"].startswith("databricks 1.")
    assert found["sign-in"]["text"] == "you@example.com by pat"
    assert found["workspace"]["text"] == f"{live.box.host} answers you@example.com"
    assert live.box.token not in ended.out + ended.err


def test_people_read_a_table_with_what_to_do(live: Deployed) -> None:
    ended = live.program("doctor")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert len([line for line in lines if line.startswith(("ok ", "warning ", "skipped "))]) == len(CHECKS)
    assert any(line.split()[:2] == ["→", "--plain,"] for line in lines)


def test_a_token_that_ran_out_ends_with_3(live: Deployed) -> None:
    live.box.control("POST", "token", {"expired": True})
    try:
        ended = live.program("doctor", "--json")
    finally:
        live.box.control("POST", "token", {"expired": False})
    found = checks(ended)
    assert ended.code == 3
    assert found["workspace"]["status"] == "problem"
    assert found["bundle"]["status"] == "ok"


def test_a_workspace_that_is_not_there_ends_with_3(live: Deployed) -> None:
    ended = live.program("doctor", "--json", DATABRICKS_HOST="http://127.0.0.1:9")
    assert ended.code == 3
    assert checks(ended)["workspace"]["status"] == "problem"


def test_without_a_sign_in_it_ends_with_3_and_the_flag(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program.write("../home/databrickscfg", "[dev]\nhost = https://dev.example.com\ntoken = abcdefgh12345678\n")
    ended = program("doctor", "--json")
    found = checks(ended)
    assert ended.code == 3
    assert (found["identity"]["status"], found["identity"]["hint"]) == ("problem", "--profile dev")
    assert (found["sign-in"]["status"], found["workspace"]["status"]) == ("skipped", "skipped")
    assert (found["cli"]["status"], "setup-cli" in found["cli"]["hint"]) == ("problem", True)
    assert found["profiles"]["status"] == "warning"


@pytest.mark.parametrize(
    ("file", "text", "check", "said", "hint"),
    [
        ("databricks.yml", "bundle: {name: [\n", "bundle", "databricks.yml:", "edit databricks.yml"),
        ("databricks.yaml", "bundle: {name: x}\n", "bundle", "databricks.yml and databricks.yaml", ""),
        (".dbops.toml", "fixer = 'rm -rf'\n", "config", ".dbops.toml:1: fixer is read from your own config only", ""),
        ("../home/config.toml", "[[[\n", "config", "config.toml:1", ""),
    ],
)
def test_what_stops_other_commands_is_a_finding_here(
    tmp_path: Path, file: str, text: str, check: str, said: str, hint: str
) -> None:
    program = with_bundle(tmp_path)
    program.write(file, text)
    ended = program("doctor", "--json")
    found = checks(ended)
    assert found[check]["status"] == "problem"
    assert said in found[check]["text"]
    assert found[check]["hint"] == hint
    assert "Traceback" not in ended.err


def test_a_target_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    found = checks(with_bundle(tmp_path)("doctor", "-t", "nope", "--json"))["bundle"]
    assert (found["status"], found["hint"]) == ("problem", "-t with one of: dev, prod")


def test_without_a_bundle_the_rest_is_looked_at(tmp_path: Path) -> None:
    ended = alone(tmp_path)("doctor", "--json")
    found = checks(ended)
    assert found["bundle"]["status"] == "problem"
    assert found["python"]["status"] in ("ok", "warning")


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program("doctor")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    program("doctor")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert [path.name for path in (tmp_path / "state").iterdir()] == []
