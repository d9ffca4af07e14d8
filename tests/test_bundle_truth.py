"""What validate and summary say is laid over the bundle: names, ids, URLs, what is deployed, who and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.bundle import Bundle, BundleProblem, Place
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.bundle_truth import NOWHERE, apply_summary, apply_validate, with_diagnostics
from dbops_tui.core.diagnostics import CliDiagnostic
from hypothesis import given, settings
from hypothesis import strategies as st

YAML = """\
bundle: {name: lake}
targets: {dev: {default: true, mode: development}}
resources:
  jobs:
    a:
      name: a of ${workspace.current_user.short_name}
      tasks:
        - task_key: t
          notebook_task: {notebook_path: ./a.py}
    b:
      name: b
      tasks:
        - task_key: t
          run_job_task: {job_id: "${resources.jobs.a.id}"}
"""
VALIDATED: dict[str, Any] = {
    "bundle": {"name": "lake", "target": "dev", "mode": "development"},
    "workspace": {
        "host": "https://adb-1.azuredatabricks.net",
        "profile": "azure",
        "file_path": "/Workspace/Users/you@example.com/.bundle/lake/dev/files",
        "current_user": {"userName": "you@example.com", "short_name": "you"},
    },
    "variables": {"v": {"default": "x", "value": "y"}},
    "resources": {
        "jobs": {
            "a": {
                "name": "[dev you] a of you",
                "tasks": [{"task_key": "t", "notebook_task": {"notebook_path": "/W/a"}}],
            },
            "b": {
                "name": "[dev you] b",
                "tasks": [{"task_key": "t", "run_job_task": {"job_id": "${resources.jobs.a.id}"}}],
            },
        },
        "schemas": {"from_python": {"name": "s", "catalog_name": "main"}},
    },
}


def summary() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(VALIDATED))
    jobs = data["resources"]["jobs"]
    jobs["a"] |= {"id": "9007199254740993", "url": "https://adb-1.azuredatabricks.net/jobs/9007199254740993"}
    jobs["b"] |= {"modified_status": "created"}
    jobs["gone"] = {"id": "5", "url": "https://adb-1.azuredatabricks.net/jobs/5", "modified_status": "deleted"}
    return data


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "databricks.yml").write_text(YAML, encoding="utf-8")
    return load_bundle(tmp_path, "", {})


def of(bundle: Bundle, key: str) -> Any:
    found = bundle.resource(key)
    assert found is not None
    return found


def test_validate_gives_names_user_host_and_the_folder_of_the_files(bundle: Bundle) -> None:
    after = apply_validate(bundle, VALIDATED)
    assert after.resolved
    assert (after.user, after.workspace_host) == ("you@example.com", "https://adb-1.azuredatabricks.net")
    assert after.workspace_profile == "azure"
    assert after.file_path.endswith("/lake/dev/files")
    assert after.variables["v"] == "y"
    assert of(after, "jobs.a").name == "[dev you] a of you"
    assert of(after, "jobs.a").config["tasks"][0]["notebook_task"] == {"notebook_path": "/W/a"}


def test_places_and_layers_stay_those_of_the_yaml(bundle: Bundle) -> None:
    after = apply_summary(bundle, summary())
    assert of(after, "jobs.a").place == Place("databricks.yml", 5, 5)
    assert of(after, "jobs.a").task_places == {"t": Place("databricks.yml", 8, 11)}
    assert (of(after, "jobs.a").layer, of(after, "jobs.b").layer) == ("atomic", "orchestrator")
    assert of(after, "jobs.b").depends_on == ("jobs.a",)


def test_resources_that_no_yaml_declares_are_there_without_a_place(bundle: Bundle) -> None:
    after = apply_validate(bundle, VALIDATED)
    assert of(after, "schemas.from_python").place == NOWHERE


def test_summary_tells_what_is_deployed_what_is_not_and_what_is_left_over(bundle: Bundle) -> None:
    after = apply_summary(bundle, summary())
    assert (of(after, "jobs.a").id, of(after, "jobs.a").modified_status) == ("9007199254740993", "")
    assert of(after, "jobs.a").url.endswith("/jobs/9007199254740993")
    assert (of(after, "jobs.b").id, of(after, "jobs.b").modified_status) == ("", "created")
    assert (of(after, "jobs.gone").id, of(after, "jobs.gone").modified_status) == ("5", "deleted")


def test_what_was_left_over_is_gone_once_the_summary_says_so(bundle: Bundle) -> None:
    later = summary()
    del later["resources"]["jobs"]["gone"]
    later["resources"]["jobs"]["a"] = {"name": "a", "modified_status": "created"}
    after = apply_summary(apply_summary(bundle, summary()), later)
    assert after.resource("jobs.gone") is None
    assert (of(after, "jobs.a").id, of(after, "jobs.a").url, of(after, "jobs.a").modified_status) == ("", "", "created")


def test_a_validate_after_a_summary_keeps_the_ids(bundle: Bundle) -> None:
    after = apply_validate(apply_summary(bundle, summary()), VALIDATED)
    assert of(after, "jobs.a").id == "9007199254740993"


def test_an_id_in_place_of_a_reference_leads_back_to_its_job(bundle: Bundle) -> None:
    data = summary()
    data["resources"]["jobs"]["c"] = {
        "id": "8",
        "name": "c",
        "tasks": [{"task_key": "x", "run_job_task": {"job_id": 9007199254740993}}],
    }
    assert of(apply_summary(bundle, data), "jobs.c").depends_on == ("jobs.a",)


def test_nothing_said_changes_nothing(bundle: Bundle) -> None:
    assert apply_validate(bundle, None) is bundle
    assert apply_summary(bundle, {}) is bundle


def test_the_clis_complaints_stand_before_ours_and_replace_those_of_the_same_line(bundle: Bundle) -> None:
    from dataclasses import replace

    ours = replace(
        bundle,
        problems=(
            BundleProblem("error", "ours of line 5", Place("databricks.yml", 5, 1)),
            BundleProblem("warning", "ours of line 9", Place("databricks.yml", 9, 1)),
        ),
    )
    theirs = (
        CliDiagnostic("error", "theirs", ("resources.jobs.a",), (Place("databricks.yml", 5, 5),), "detail"),
        CliDiagnostic("recommendation", "never mind"),
    )
    assert [(each.summary, each.detail) for each in with_diagnostics(ours, theirs).problems] == [
        ("theirs", "detail"),
        ("ours of line 9", ""),
    ]


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resources",
                    "jobs",
                    "a",
                    "id",
                    "url",
                    "tasks",
                    "workspace",
                    "variables",
                    "modified_status",
                    "bundle",
                    "name",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["resources", "workspace", "variables", "bundle"]), json_data))
@settings(max_examples=150, deadline=None)
def test_data_of_any_shape_does_no_harm(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-shape"
    folder.mkdir(exist_ok=True)
    (folder / "databricks.yml").write_text(YAML, encoding="utf-8")
    bundle = load_bundle(folder, "", {})
    after = apply_summary(apply_validate(bundle, data), data)
    assert {"jobs.a", "jobs.b"} <= {resource.ref for resource in after.resources}
