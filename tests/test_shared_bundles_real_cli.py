"""The real CLI takes every bundle of the optional test data that it accepts through the sandbox, from plan to destroy.
Skipped without the data or without the CLI; it prints what does not get through, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_fixture import SandboxBox, real_cli, running_sandbox
from shared_bundles import ready_bundle, recorded_variables
from shared_data import shared

pytestmark = pytest.mark.real_cli


NO_TASKS = "Shared job cluster feature is only supported in multi-task jobs."
# Bundles that `validate` accepts and that must then fail: what the error says.
REFUSED = {
    "acc__override__job_cluster_var": NO_TASKS,
    "acc__resources__jobs__create-error": NO_TASKS,
    "acc__run_as/allowed": "Missing required field: catalog_name",
    "acc__validate__required": 'required field "catalog_name" is not set',
    "acc__variables__file-defaults": NO_TASKS,
    "acc__variables__resolve-resources-fields": "cycle detected",
}
# What the workspace has to hold before these bundles validate (they look it up by name).
WAREHOUSES = ("Shared Unity Catalog Severless",)
PRINCIPALS = ("a-service-principal",)
NO_CHANGE = "Plan: 0 to add, 0 to change, 0 to delete"


class Cli:
    """The real CLI in one bundle folder, against one sandbox."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        self.env = env

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [real_cli(), *arguments]
        return subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=120)


def entries() -> list[dict[str, Any]]:
    try:
        index: list[dict[str, Any]] = json.loads((shared("bundles") / "index.json").read_text())["bundles"]
    except pytest.skip.Exception:
        return []
    return index


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    real_cli()
    with running_sandbox(time_scale=200) as running:
        yield running


def furnish(box: SandboxBox) -> None:
    """Empties the workspace, and sets up what the bundles look up in it by name."""
    box.control("POST", "reset")
    for name in WAREHOUSES:
        box.post("/api/2.0/sql/warehouses", {"name": name, "cluster_size": "Small"})
    for name in PRINCIPALS:
        assert box.call("POST", "/api/2.0/preview/scim/v2/ServicePrincipals", {"displayName": name}).status == 201


def accepted_target(cli: Cli) -> tuple[list[str], dict[str, Any]] | str:
    """The flags of the first target that `validate` accepts and its resolved config, or the first error."""
    listed = cli("bundle", "debug", "list-targets", "-o", "json")
    names = [item["name"] for item in json.loads(listed.stdout)["targets"]] if listed.returncode == 0 else []
    first = ""
    for flags in [[], *(["-t", name] for name in names)]:
        validated = cli("bundle", "validate", "-o", "json", *flags)
        if validated.returncode == 0:
            return flags, parsed(validated.stdout)
        first = first or (validated.stderr.strip() or "no message")
    return next((line for line in first.splitlines() if line.startswith("Error")), first[:200])


def parsed(text: str) -> dict[str, Any]:
    """The config as JSON; a cycle of variables nests it deeper than Python's usual limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        config: dict[str, Any] = json.loads(text)
        return {"resources": config.get("resources") or {}}
    finally:
        sys.setrecursionlimit(limit)


def journey(cli: Cli, flags: list[str], config: dict[str, Any], box: SandboxBox) -> str:
    """Plan, deploy, plan without drift, redeploy, summary, run, destroy. Returns "" or the step that failed."""
    steps = [
        ("plan",),
        ("deploy", "--auto-approve"),
        ("plan",),
        ("deploy", "--auto-approve"),
        ("summary", "-o", "json"),
    ]
    for number, step in enumerate(steps):
        done = cli("bundle", *step, *flags)
        if done.returncode:
            return f"{step[0]}: {done.stderr.strip()}"
        if number == 2 and NO_CHANGE not in done.stdout:
            return f"drift after deploy: {done.stdout.strip()}"
    for kind in ("jobs", "pipelines"):
        for key, settings in (config["resources"].get(kind) or {}).items():
            if kind == "jobs" and not settings.get("tasks"):
                continue
            done = cli("bundle", "run", "--no-wait", f"{key}", *flags)
            if done.returncode:
                return f"run {key}: {done.stderr.strip()}"
    done = cli("bundle", "destroy", "--auto-approve", *flags)
    if done.returncode:
        return f"destroy: {done.stderr.strip()}"
    left = box.control("GET", "state")
    return f"left behind: {left}" if left["jobs"] or left["pipelines"] else ""


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])
def test_bundle_gets_through_where_validate_accepts_it(
    entry: dict[str, Any], box: SandboxBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = ready_bundle(shared("bundles") / entry["name"], entry, tmp_path / entry["name"], box.host)
    for root in sorted(path.parent for path in bundle.rglob("databricks.yml")):
        furnish(box)
        cli = Cli(root, {**box.env(tmp_path), **recorded_variables(entry)})
        name = root.relative_to(tmp_path).as_posix()
        found = accepted_target(cli)
        if isinstance(found, str):
            with capsys.disabled():
                print(f"\nnot accepted by validate: {name}: {found}")
            continue
        flags, config = found
        kinds = {kind for kind, resources in config["resources"].items() if resources}
        problem = journey(cli, flags, config, box)
        if name in REFUSED:
            assert REFUSED[name] in problem, f"{name} was expected to be refused: {problem or 'it got through'}"
            with capsys.disabled():
                print(f"\nrefused after validate: {name} ({', '.join(sorted(kinds))}): {REFUSED[name]}")
        else:
            assert problem == "", f"{name} ({', '.join(sorted(kinds))}): {problem}"


def test_list_of_refused_bundles_holds_no_stale_name() -> None:
    known = {entry["name"] for entry in entries()}
    if not known:
        shared("bundles")
    assert {name.split("/")[0] for name in REFUSED} <= known
