"""Every bundle of the optional test data is read without a crash, and as it was recorded and as the CLI reads it.

Skipped without the data; the second half is skipped without the real CLI too.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from dbops_tui.core.bundle import Bundle, Place
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.bundle_truth import apply_validate
from dbops_tui.core.databricks_cli import DatabricksCli
from dbops_tui.core.guard import Guard, Policy
from dbops_tui.core.state import Identity
from dbops_tui.core.syncrules import SyncRules
from sandbox_fixture import SandboxBox, real_cli, running_sandbox
from shared_bundles import ready_bundle, recorded_variables
from shared_data import shared

# Bundles that the CLI refuses as they stand, by what our own reading says of them too.
TOLD_BY_US = {
    "acc__includes__glob_in_root_path": "glob pattern",
    "acc__includes__non_yaml_in_include": "must be YAML or JSON",
    "acc__run__scripts__unique_keys__duplicate_resource_and_script_subconfigurations": "same key: foo",
    "acc__select__ambiguous": "same key: thing",
    "acc__validate__duplicate_yaml_merge_key": "merge key",
    "acc__variables__issue_2436": "cannot merge string with sequence",
    "acc__variables__vanilla": "required variable b",
}


def entries() -> list[dict[str, Any]]:
    try:
        index: list[dict[str, Any]] = json.loads((shared("bundles") / "index.json").read_text())["bundles"]
    except pytest.skip.Exception:
        return []
    return index


def roots(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("databricks.yml"))


def named(entry: dict[str, Any]) -> str:
    return str(entry["name"])


@pytest.mark.parametrize("entry", entries(), ids=named)
def test_no_bundle_crashes_the_reader_in_any_target(entry: dict[str, Any], tmp_path: Path) -> None:
    folder = ready_bundle(shared("bundles") / entry["name"], entry, tmp_path / "b", "https://example.com")
    assert roots(folder)
    for root in roots(folder):
        bundle = load_bundle(root, "", {})
        for target in ("", *(each.name for each in bundle.targets), "no-such-target"):
            again = load_bundle(root, target, {})
            assert {each.ref for each in again.resources} >= {each.ref for each in bundle.resources if target == ""}
            assert all(each.place.line >= 1 and (root / each.place.file).is_file() for each in again.resources)


@pytest.mark.parametrize("entry", entries(), ids=named)
def test_what_the_cli_refuses_is_told_where_the_yaml_alone_shows_it(entry: dict[str, Any], tmp_path: Path) -> None:
    folder = ready_bundle(shared("bundles") / entry["name"], entry, tmp_path / "b", "https://example.com")
    errors = [problem.summary for root in roots(folder) for problem in load_bundle(root, "", {}).errors]
    wanted = TOLD_BY_US.get(named(entry))
    if wanted:
        assert any(wanted in error for error in errors), errors
    else:
        chosen = [
            error for error in errors if "please specify target" not in error and "required variable" not in error
        ]
        assert chosen == []


# --- recorded answers -------------------------------------------------------------------------------------------------


def recorded(entry: dict[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    """(command, target, refs) of each recorded answer that lists resources whole types at a time."""
    folder = shared("bundles") / entry["name"]
    blocks: list[tuple[str, Any]] = []
    for name in entry.get("expected", []):
        if not name.endswith(".json"):
            continue
        try:
            data = json.loads((folder / name).read_text())
        except ValueError:
            continue
        if name == "expected.json":
            each_block = data if isinstance(data, list) else [data]
            blocks += [(as_written(entry, each["command"]), each["json"]) for each in each_block]
        else:
            side = name.removeprefix("expected.")
            command = next(
                (each for each in entry["commands"] if side in each.replace("$DATABRICKS_BUNDLE_ENGINE", "direct")), ""
            )
            blocks.append((command, data))
    for command, data in blocks:
        found = refs_of(command, data)
        if found:
            target = re.search(r"(?:-t|--target)[ =](\S+)", command)
            yield command, target[1] if target else "", found


def as_written(entry: dict[str, Any], command: str) -> str:
    """The line of the script that gave an answer: the recorded command has lost its filter."""
    plain = command.replace("[CLI]", "$CLI")
    fitting = [line for line in entry["commands"] if plain in line and "jq" in line]
    return fitting[0] if fitting else entry["commands"][0]


def refs_of(command: str, data: Any) -> set[str]:
    if not isinstance(data, dict) or "summary" in command:
        return set()
    if "plan_version" in data:
        return {name.removeprefix("resources.") for name in data.get("plan", {}) if name.count(".") == 2}
    shape = re.search(r"jq (?:-r )?'?([^|>']*)", command)
    wanted = shape[1].strip() if shape else ""
    if "locations" in data:
        return {
            name.removeprefix("resources.") for name in data["locations"] if re.fullmatch(r"resources\.\w+\.\w+", name)
        }
    if "resources" in data:
        resources = data["resources"]
    elif wanted in (".resources", "'.resources"):
        resources = data
    elif re.fullmatch(r"\.resources\.(\w+)", wanted):
        resources = {wanted.rpartition(".")[2]: data}
    elif "quality_monitors" in data or "jobs" in data:
        resources = {kind: data[kind] for kind in ("quality_monitors", "jobs") if kind in data}
    else:
        return set()
    return {f"{kind}.{key}" for kind, items in (resources or {}).items() for key in items}


def same_types(bundle: Bundle, refs: set[str]) -> set[str]:
    kinds = {ref.partition(".")[0] for ref in refs}
    return {each.ref for each in bundle.resources if each.type in kinds}


@pytest.mark.parametrize("entry", entries(), ids=named)
def test_resources_are_those_of_the_recorded_answers(entry: dict[str, Any], tmp_path: Path) -> None:
    answers = list(recorded(entry))
    if not answers:
        pytest.skip("no recorded answer lists resources")
    folder = ready_bundle(shared("bundles") / entry["name"], entry, tmp_path / "b", "https://example.com")
    (root,) = roots(folder)
    for command, target, refs in answers:
        bundle = load_bundle(root, target, recorded_variables(entry))
        assert same_types(bundle, refs) == refs, command


def test_most_recorded_answers_are_understood() -> None:
    shared("bundles")
    assert sum(bool(list(recorded(entry))) for entry in entries()) >= 15


def test_tasks_stand_where_the_cli_says(tmp_path: Path) -> None:
    name = "acc__validate__include_locations"
    entry = next(each for each in entries() or [{"name": ""}] if each["name"] in (name, ""))
    folder = ready_bundle(shared("bundles") / name, entry, tmp_path / "b", "https://example.com")
    for target in ("dev", "prod"):
        said = json.loads((shared("bundles") / name / f"expected.output.{target}.json").read_text())
        file, line, column = said["locations"]["resources.jobs.my_job.tasks[0]"][0]
        (job,) = load_bundle(folder, target, {}).resources
        assert list(job.task_places.values()) == [Place(said["files"][file], line, column)]


# --- the real CLI -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    real_cli()
    with running_sandbox(time_scale=200) as running:
        yield running


def task_keys(config: dict[str, Any]) -> list[str]:
    return sorted(str(task.get("task_key", "")) for task in config.get("tasks") or [])


@pytest.mark.real_cli
@pytest.mark.parametrize("entry", entries(), ids=named)
async def test_our_reading_is_that_of_the_real_cli(entry: dict[str, Any], box: SandboxBox, tmp_path: Path) -> None:
    folder = ready_bundle(shared("bundles") / entry["name"], entry, tmp_path / "b", box.host)
    env = {**box.env(tmp_path), **recorded_variables(entry), "PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin"}
    accepted = 0
    for root in roots(folder):
        bundle = load_bundle(root, "", env)
        for target in [each.name for each in bundle.targets] or [""]:
            bundle = load_bundle(root, target, env)
            cli = DatabricksCli(root, env=env, guard=Guard(lambda: Identity(), Policy()), target=target)
            result, config = await cli.validate()
            if result.outcome != "ok" or config is None:
                continue
            accepted += 1
            assert bundle.errors == (), (target, bundle.errors)
            said = {f"{kind}.{key}" for kind, items in (config.get("resources") or {}).items() for key in items or {}}
            assert {each.ref for each in bundle.resources} == said, target
            truth = apply_validate(bundle, config)
            assert {each.ref for each in truth.resources} == said
            for ours in bundle.resources:
                theirs = truth.resource(ours.ref)
                assert theirs is not None
                keys = task_keys(ours.config)
                assert keys == task_keys(theirs.config) or "${" in str(keys)
                assert ours.layer == theirs.layer
                assert ours.name.removeprefix("[").rpartition("] ")[2] in theirs.name or "${" in ours.name
    if not accepted:
        pytest.skip("the CLI accepts no target of this bundle here")


def uploaded(box: SandboxBox, file_path: str) -> set[str]:
    """The files that a deploy sent, relative to `file_path`, from what the workspace was asked."""
    prefix = "/api/2.0/workspace-files/import-file/"
    paths = [unquote(call["path"]) for call in box.calls() if call["method"] == "POST"]
    sent = {"/" + path.removeprefix(prefix).lstrip("/") for path in paths if path.startswith(prefix)}
    base = file_path.rstrip("/") + "/"
    return {path.removeprefix(base) for path in sent if path.startswith(base)}


TREE = {
    ".gitignore": "*.log\n/build/\n!keep.log\nsecret/*\n",
    "src/.gitignore": "local_*\n",
    "src/a.py": "a",
    "src/local_settings.py": "x",
    "src/run.log": "x",
    "src/keep.log": "x",
    "build/out.whl": "x",
    "src/build/kept.py": "x",
    "secret/key.txt": "x",
    "docs/readme.md": "x",
    "docs/deep/notes.md": "x",
    "dist/lib.whl": "x",
    "data/big.csv": "x",
    ".hidden/file": "x",
}


@pytest.mark.real_cli
@pytest.mark.parametrize(
    "sync",
    [
        "",
        "sync: {include: ['build/*.whl']}",
        "sync: {exclude: ['*.md', data/]}",
        "sync: {exclude: ['docs/*'], include: ['secret/**']}",
        "sync: {paths: [src, docs]}",
        "sync: {paths: [./src, ./docs/readme.md], include: [dist/]}",
    ],
)
def test_files_that_count_are_those_that_the_real_cli_uploads(box: SandboxBox, tmp_path: Path, sync: str) -> None:
    root = tmp_path / "b"
    for name, text in {**TREE, "databricks.yml": f"bundle: {{name: sync}}\n{sync}\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".git").mkdir()
    box.control("POST", "reset")
    env = {**box.env(tmp_path), "PATH": f"{Path(real_cli()).parent}:/usr/bin:/bin"}
    done = subprocess.run(
        [real_cli(), "bundle", "deploy"], cwd=root, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    sent = uploaded(
        box, "/Workspace/Users/" + box.get("/api/2.0/preview/scim/v2/Me")["userName"] + "/.bundle/sync/default/files"
    )
    shutil.rmtree(root / ".databricks")
    rules = SyncRules.of(load_bundle(root, "", {}))
    assert {rules.name(file) for file in rules.files()} == sent | {"databricks.yml"}
