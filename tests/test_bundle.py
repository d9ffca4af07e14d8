"""A bundle from its YAML: found, read, merged for a target, named, layered; whatever is wrong has its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.bundle import Bundle, BundleProblem, Place
from dbops_tui.core.bundle_load import RESOURCE_TYPES, BundleNotFound, find_bundle_root, load_bundle, reload
from dbops_tui.core.bundle_resolve import collapse, look_up, merge, substitute
from dbops_tui.core.layers import run_order
from hypothesis import given, settings
from hypothesis import strategies as st

LAKEHOUSE = """\
bundle:
  name: lake
include:
  - resources/*.yml
variables:
  catalog:
    default: main
  suffix:
    default: ${bundle.target}_x
targets:
  dev:
    default: true
    mode: development
    workspace:
      host: https://dev.example.com
      profile: lake-dev
  prod:
    mode: production
    variables:
      catalog: prod_catalog
    resources:
      jobs:
        bronze:
          name: bronze in production
          tasks:
            - task_key: load
              timeout_seconds: 60
            - task_key: check
              notebook_task: {notebook_path: ./check.py}
          job_clusters:
            - job_cluster_key: small
              new_cluster: {num_workers: 8}
"""
JOBS = """\
resources:
  jobs:
    orchestrator:
      name: orchestrator ${var.catalog} ${var.suffix}
      tasks:
        - task_key: bronze
          run_job_task: {job_id: "${resources.jobs.bronze.id}"}
        - task_key: silver
          depends_on: [{task_key: bronze}]
          run_job_task: {job_id: "${resources.jobs.silver.id}"}
    silver:
      name: silver
      tasks:
        - task_key: refresh
          run_job_task: {job_id: "${resources.jobs.gold.id}"}
    gold:
      tasks:
        - task_key: merge
          notebook_task: {notebook_path: ./gold.py}
    bronze:
      name: bronze
      job_clusters:
        - job_cluster_key: small
          new_cluster: {num_workers: 1, spark_version: 15.4.x}
      tasks:
        - task_key: load
          job_cluster_key: small
          notebook_task: {notebook_path: ./bronze.py}
  pipelines:
    events:
      name: events in ${var.catalog}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "databricks.yml", LAKEHOUSE)
    write(tmp_path, "resources/all.yml", JOBS)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def load(root: Path, target: str = "", **env: str) -> Bundle:
    return load_bundle(root, target, env)


def one(tmp_path: Path, text: str, target: str = "", **env: str) -> Bundle:
    write(tmp_path, "databricks.yml", text)
    return load(tmp_path, target, **env)


def config(bundle: Bundle, key: str) -> dict[str, Any]:
    resource = bundle.resource(key)
    assert resource is not None
    return resource.config


def complaint(bundle: Bundle, words: str) -> BundleProblem:
    found = [problem for problem in bundle.problems if words in problem.summary]
    assert len(found) == 1, bundle.problems
    return found[0]


# --- finding it -------------------------------------------------------------------------------------------------------


def test_the_nearest_root_file_at_or_above_is_found(root: Path) -> None:
    (root / "src" / "deep").mkdir(parents=True)
    assert find_bundle_root(root / "src" / "deep") == root.resolve()
    assert find_bundle_root(root / "databricks.yml") == root.resolve()


@pytest.mark.parametrize("name", ["databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml"])
def test_each_name_of_a_root_file_is_known(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "bundle: {name: x}\n")
    assert find_bundle_root(tmp_path) == tmp_path.resolve()
    assert load(tmp_path).name == "x"


def test_without_a_bundle_the_message_says_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match=r"no databricks\.yml in .* or in a folder above"):
        find_bundle_root(tmp_path)
    with pytest.raises(BundleNotFound, match="does not exist"):
        find_bundle_root(tmp_path / "nowhere")


def test_two_root_files_in_one_folder_are_both_named(root: Path) -> None:
    write(root, "bundle.yaml", "bundle: {name: other}\n")
    with pytest.raises(BundleNotFound, match=r"databricks\.yml and bundle\.yaml"):
        find_bundle_root(root)
    assert "databricks.yml and bundle.yaml" in complaint(load(root), "multiple bundle root").summary


# --- what it declares -------------------------------------------------------------------------------------------------


def test_resources_of_all_files_are_there_each_with_file_and_line(root: Path) -> None:
    bundle = load(root)
    assert bundle.problems == ()
    assert bundle.files == ("databricks.yml", "resources/all.yml")
    assert [(each.ref, each.place) for each in bundle.resources] == [
        ("jobs.orchestrator", Place("resources/all.yml", 3, 5)),
        ("jobs.silver", Place("resources/all.yml", 11, 5)),
        ("jobs.gold", Place("resources/all.yml", 16, 5)),
        ("jobs.bronze", Place("resources/all.yml", 20, 5)),
        ("pipelines.events", Place("resources/all.yml", 30, 5)),
    ]


def test_tasks_have_their_place_also_those_that_a_target_adds(root: Path) -> None:
    bronze = load(root, "prod").resource("jobs.bronze")
    assert bronze is not None
    assert bronze.task_places == {
        "load": Place("resources/all.yml", 26, 11),
        "check": Place("databricks.yml", 28, 15),
    }


def test_names_are_filled_in_as_far_as_the_yaml_knows(root: Path) -> None:
    names = {each.ref: each.name for each in load(root).resources}
    assert names["jobs.orchestrator"] == "orchestrator main dev_x"
    assert names["pipelines.events"] == "events in main"
    assert names["jobs.gold"] == "gold"


def test_layers_tell_who_runs_whom(root: Path) -> None:
    layers = {each.key: each.layer for each in load(root).resources}
    assert layers == {
        "orchestrator": "orchestrator",
        "silver": "composite",
        "gold": "atomic",
        "bronze": "atomic",
        "events": "",
    }


def test_resources_that_wait_for_others_come_after_them(root: Path) -> None:
    order = run_order(load(root), ["jobs.orchestrator", "jobs.silver", "jobs.gold", "jobs.bronze"])
    assert [ref for ref, _ in order] == ["jobs.gold", "jobs.bronze", "jobs.silver", "jobs.orchestrator"]
    assert dict(order)["jobs.orchestrator"] == ("jobs.silver", "jobs.gold", "jobs.bronze")


def test_a_cycle_of_references_has_an_order_all_the_same(tmp_path: Path) -> None:
    text = "".join(
        f"    {a}: {{name: '${{resources.jobs.{b}.id}}'}}\n" for a, b in (("a", "b"), ("b", "a"), ("c", "a"))
    )
    bundle = one(tmp_path, f"bundle: {{name: x}}\nresources:\n  jobs:\n{text}")
    order = run_order(bundle, ["jobs.c", "jobs.a", "jobs.b"])
    assert sorted(ref for ref, _ in order) == ["jobs.a", "jobs.b", "jobs.c"]


def test_every_type_of_resource_is_read_and_unknown_ones_too(tmp_path: Path) -> None:
    text = "bundle: {name: x}\nresources:\n" + "".join(
        f"  {kind}:\n    one_{kind}: {{name: n}}\n" for kind in RESOURCE_TYPES
    )
    bundle = one(tmp_path, text + "  space_lifts:\n    up: {name: n}\n")
    assert len(RESOURCE_TYPES) == len(set(RESOURCE_TYPES)) == 33
    assert {each.type for each in bundle.resources} == {*RESOURCE_TYPES, "space_lifts"}


def test_what_the_cli_passes_over_with_a_warning_is_told(tmp_path: Path) -> None:
    bundle = one(tmp_path, "bundle: {name: x}\nresources:\n  job:\n    a: {name: a}\n  jobs:\n    b: text\n")
    assert complaint(bundle, "unknown field: job").detail == "did you mean jobs?"
    assert complaint(bundle, "jobs.b has to be a mapping").place == Place("databricks.yml", 6, 5)
    assert bundle.errors == ()
    assert [each.ref for each in bundle.resources] == ["job.a"]


def test_a_bundle_without_a_name_is_told_and_called_as_its_folder(tmp_path: Path) -> None:
    bundle = one(tmp_path, "# first\nbundle: {}\n")
    assert complaint(bundle, "bundle name not defined").place == Place("databricks.yml", 2, 1)
    assert bundle.name == tmp_path.name


def test_a_resource_without_a_body_is_told_and_shown(tmp_path: Path) -> None:
    bundle = one(tmp_path, "bundle: {name: x}\nresources:\n  jobs:\n    empty:\n")
    assert complaint(bundle, "job empty is not defined").place == Place("databricks.yml", 4, 5)
    assert [each.ref for each in bundle.resources] == ["jobs.empty"]


def test_json_files_are_included_as_well(tmp_path: Path) -> None:
    write(tmp_path, "more.json", '{"resources": {"jobs": {"a": {"name": "from json"}}}}')
    bundle = one(tmp_path, "bundle: {name: x}\ninclude: [more.json]\n")
    assert [(each.name, each.place.file) for each in bundle.resources] == [("from json", "more.json")]


def test_wildcards_are_those_of_the_cli(tmp_path: Path) -> None:
    for name in ("top.yml", "r/a.yml", "r/.b.yml", "r/deep/c.yml", "r/notes.md"):
        write(tmp_path, name, "{}")
    bundle = one(tmp_path, "bundle: {name: x}\ninclude: ['r/*.yml', 'r/**/*.yml', 'r/[^a].yml', 'databricks.yml']\n")
    assert bundle.files == ("databricks.yml", "r/.b.yml", "r/a.yml", "r/deep/c.yml")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("nowhere.yml", "does not match any files"),
        ("notes.md", "must be YAML or JSON"),
        ("folder", "must be YAML or JSON"),
        ("/etc/*.yml", "must be relative"),
    ],
)
def test_an_include_that_cannot_be_is_told_with_its_line(tmp_path: Path, pattern: str, words: str) -> None:
    write(tmp_path, "notes.md", "# notes\n")
    (tmp_path / "folder").mkdir()
    bundle = one(tmp_path, f"bundle: {{name: x}}\ninclude:\n  - {pattern}\n")
    assert complaint(bundle, words).place == Place("databricks.yml", 3, 5)


def test_an_include_of_an_included_file_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "include: ['*.yml']\n")
    write(tmp_path, "b.yml", "resources: {jobs: {b: {name: b}}}\n")
    bundle = one(tmp_path, "bundle: {name: x}\ninclude: [a.yml]\n")
    assert complaint(bundle, "outside root file").place == Place("a.yml", 1, 1)
    assert bundle.resources == ()


# --- targets and variables --------------------------------------------------------------------------------------------


def test_targets_are_listed_with_mode_host_and_profile(root: Path) -> None:
    dev, prod = load(root).targets
    assert (dev.name, dev.default, dev.mode, dev.host, dev.profile) == (
        *("dev", True, "development", "https://dev.example.com"),
        "lake-dev",
    )
    assert (prod.name, prod.default, prod.mode, prod.host) == ("prod", False, "production", "")
    assert prod.place == Place("databricks.yml", 17, 3)


def test_the_target_is_the_given_one_then_that_of_the_environment_then_the_default(root: Path) -> None:
    assert load(root).target == "dev"
    assert load(root, DATABRICKS_BUNDLE_TARGET="prod").target == "prod"
    assert load(root, "dev", DATABRICKS_BUNDLE_TARGET="prod").target == "dev"


def test_a_single_target_needs_no_default(tmp_path: Path) -> None:
    assert one(tmp_path, "bundle: {name: x}\ntargets: {only: {}}\n").target == "only"
    assert one(tmp_path, "bundle: {name: x}\n").target == "default"


def test_several_targets_without_a_default_have_to_be_chosen_from(tmp_path: Path) -> None:
    bundle = one(tmp_path, "bundle: {name: x}\ntargets:\n  a: {}\n  b: {}\n")
    assert "a, b" in complaint(bundle, "please specify target").detail


def test_an_unknown_target_is_told_with_those_there_are(root: Path) -> None:
    found = complaint(load(root, "prd"), "prd: no such target")
    assert "did you mean prod?" in found.detail
    assert "dev, prod" in found.detail


def test_overrides_of_a_target_are_merged_by_the_keys_of_lists(root: Path) -> None:
    bronze = config(load(root, "prod"), "jobs.bronze")
    assert [task["task_key"] for task in bronze["tasks"]] == ["load", "check"]
    assert bronze["tasks"][0] == {
        "task_key": "load",
        "job_cluster_key": "small",
        "notebook_task": {"notebook_path": "./bronze.py"},
        "timeout_seconds": 60,
    }
    cluster = {"job_cluster_key": "small", "new_cluster": {"num_workers": 8, "spark_version": "15.4.x"}}
    assert bronze["job_clusters"] == [cluster]
    assert bronze["name"] == "bronze in production"


def test_a_target_that_is_not_chosen_changes_nothing(root: Path) -> None:
    assert [task["task_key"] for task in config(load(root), "jobs.bronze")["tasks"]] == ["load"]


def test_a_resource_of_one_target_only_is_there_in_that_target(tmp_path: Path) -> None:
    text = (
        "bundle: {name: x}\ntargets:\n  a: {default: true}\n\n  b:\n    resources:\n      jobs:\n        j: {name: j}\n"
    )
    assert one(tmp_path, text).resources == ()
    (job,) = one(tmp_path, text, "b").resources
    assert job.place == Place("databricks.yml", 8, 9)


def test_what_the_cli_cannot_merge_is_told_with_its_place(tmp_path: Path) -> None:
    text = "bundle: {name: x}\nresources:\n  jobs:\n    j: {tasks: '${var.t}'}\n"
    bundle = one(tmp_path, text + "targets:\n  a:\n    resources:\n      jobs:\n        j:\n          tasks: []\n")
    assert complaint(bundle, "cannot merge string with sequence").place == Place("databricks.yml", 10, 11)


def test_variables_have_the_value_that_the_cli_would_take(tmp_path: Path) -> None:
    text = (
        "bundle: {name: x}\nvariables:\n  v: {default: from default}\n"
        "targets:\n  plain: {default: true}\n  own: {variables: {v: from target}}\n"
        "  long: {variables: {v: {default: from long}}}\n"
    )
    assert one(tmp_path, text).variables["v"] == "from default"
    assert one(tmp_path, text, "own").variables["v"] == "from target"
    assert one(tmp_path, text, "long").variables["v"] == "from long"
    write(tmp_path, ".databricks/bundle/own/variable-overrides.json", '{"v": "from file"}')
    assert one(tmp_path, text, "own").variables["v"] == "from file"
    assert one(tmp_path, text, "own", BUNDLE_VAR_v="from shell").variables["v"] == "from shell"


def test_a_variable_without_a_value_is_told_with_its_line(tmp_path: Path) -> None:
    text = "bundle: {name: x}\nvariables:\n  needed: {}\n  looked_up: {lookup: {warehouse: w}}\n"
    assert complaint(one(tmp_path, text), "required variable needed").place == Place("databricks.yml", 3, 3)
    assert one(tmp_path, text, BUNDLE_VAR_needed="1").problems == ()


def test_a_value_for_a_variable_that_nobody_defined_is_told(tmp_path: Path) -> None:
    bundle = one(tmp_path, "bundle: {name: x}\ntargets:\n  a:\n    variables:\n      v: 1\n")
    assert complaint(bundle, "variable v is not defined").place == Place("databricks.yml", 5, 7)


def test_a_reference_to_no_variable_is_told_with_its_place_and_what_was_meant(tmp_path: Path) -> None:
    text = (
        "bundle: {name: x}\nvariables: {host: {default: h}}\n# ${var.in_a_comment}\n"
        "resources:\n  jobs:\n    j: {name: 'a ${var.hst}'}\n"
    )
    bundle = one(tmp_path, text)
    found = complaint(bundle, "reference does not exist: ${var.hst}")
    assert len(bundle.problems) == 1
    assert (found.severity, found.place) == ("error", Place("databricks.yml", 6, 18))
    assert found.detail == "did you mean ${var.host}?"


def test_a_reference_to_no_resource_is_a_warning_as_the_cli_sees_it_only_at_the_deploy(tmp_path: Path) -> None:
    text = "bundle: {name: x}\nresources:\n  jobs:\n    load: {name: '${resources.jobs.laod.id}'}\n"
    found = complaint(one(tmp_path, text), "reference does not exist: ${resources.jobs.laod}")
    assert (found.severity, found.detail) == ("warning", "did you mean ${resources.jobs.load}?")


def test_parts_of_a_resource_can_come_out_of_a_variable(tmp_path: Path) -> None:
    text = (
        "bundle: {name: x}\nvariables:\n  steps:\n    type: complex\n    default:\n      - task_key: a\n"
        "        notebook_task: {notebook_path: ./a.py}\nresources:\n  jobs:\n    j: {tasks: '${var.steps}'}\n"
    )
    (job,) = one(tmp_path, text).resources
    assert (job.layer, [task["task_key"] for task in job.config["tasks"]]) == ("atomic", ["a"])


@pytest.mark.parametrize("kind", ["jobs", "pipelines"])
def test_a_key_that_is_used_twice_is_told_with_both_places(tmp_path: Path, kind: str) -> None:
    write(tmp_path, "more.yml", f"resources:\n  {kind}:\n    same: {{name: b}}\n")
    bundle = one(tmp_path, "bundle: {name: x}\ninclude: [more.yml]\nresources:\n  jobs:\n    same: {name: a}\n")
    found = complaint(bundle, "same key: same")
    assert found.place == Place("more.yml", 3, 5)
    assert found.detail == "also at databricks.yml:5"


def test_a_script_must_not_be_called_as_a_resource_is(tmp_path: Path) -> None:
    text = "bundle: {name: x}\nresources: {jobs: {same: {name: a}}}\nscripts:\n  same: {content: echo}\n"
    assert complaint(one(tmp_path, text), "same key: same").place == Place("databricks.yml", 4, 3)


def test_sync_rules_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    write(tmp_path, "conf/more.yml", "sync: {include: ['*.whl'], exclude: [drafts/]}\n")
    text = "bundle: {name: x}\ninclude: [conf/more.yml]\nsync: {paths: [src]}\n"
    text += "targets: {t: {sync: {paths: [../lib], exclude: ['*.md']}}}\n"
    bundle = one(tmp_path, text)
    assert bundle.sync_paths == ("src", "../lib")
    assert bundle.sync_include == ("conf/*.whl",)
    assert bundle.sync_exclude == ("conf/drafts/", "*.md")


# --- broken -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("bundle:\n  name: x\n  resour", 3),
        ("bundle: {name: x\n", 1),
        ("- a\n- b\n", 1),
        ("just words\n", 1),
        ("", 1),
    ],
)
def test_a_broken_root_file_is_a_problem_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    bundle = one(tmp_path, text)
    assert bundle.broken
    assert bundle.errors[0].place is not None
    assert (bundle.errors[0].place.file, bundle.errors[0].place.line) == ("databricks.yml", line)


def test_a_broken_include_takes_nothing_else_away(root: Path) -> None:
    write(root, "resources/zz.yml", "resources:\n  jobs:\n    a: [\n")
    bundle = load(root)
    assert bundle.broken
    assert len(bundle.resources) == 5
    assert bundle.errors[0].place == Place("resources/zz.yml", 3, 1)


def test_a_half_saved_file_leaves_the_last_good_tree_and_its_mending_brings_the_new_one(root: Path) -> None:
    good = load(root)
    write(root, "resources/all.yml", JOBS[:200] + "  broken")
    during = reload(good, root, "", {})
    assert during.broken
    assert during.resources == good.resources
    assert during.errors[0].place is not None
    write(root, "resources/all.yml", JOBS.replace("    gold:", "    golden:"))
    after = reload(during, root, "", {})
    assert not after.broken
    assert after.resource("jobs.golden") is not None
    assert after.resource("jobs.gold") is None


def test_a_reload_keeps_what_the_workspace_said_of_resources_that_stay(root: Path) -> None:
    from dataclasses import replace

    good = load(root)
    known = replace(
        good, resources=tuple(replace(each, id="7", url="u", modified_status="") for each in good.resources), user="me"
    )
    after = reload(known, root, "", {})
    assert {each.id for each in after.resources} == {"7"}
    assert after.user == "me"
    assert {each.id for each in reload(known, root, "prod", {}).resources} == {""}


def test_a_bundle_that_vanished_is_a_problem_and_no_crash(root: Path) -> None:
    good = load(root)
    (root / "databricks.yml").unlink()
    during = reload(good, root, "", {})
    assert during.resources == good.resources
    assert "no databricks.yml" in during.errors[0].summary


def test_a_bundle_of_nonsense_types_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    text = "bundle: 7\ninclude: 3\nresources: [1]\ntargets: {a: 5, b: [x]}\nvariables: text\nsync: {paths: 3}\n"
    bundle = one(tmp_path, text + "workspace: []\n")
    assert bundle.resources == ()
    assert [target.name for target in bundle.targets] == ["a", "b"]


def test_names_from_a_file_cannot_steer_a_terminal(tmp_path: Path) -> None:
    text = 'bundle: {name: "a\\e[31mred"}\nresources:\n  jobs:\n    "k\\e]0;t\\a": {name: "b\\e[2J\\n\\u202Ec"}\n'
    bundle = one(tmp_path, text)
    shown = bundle.name + "".join(each.name + each.key for each in bundle.resources)
    assert bundle.name == "ared"
    assert not set("\x1b\x07\u202e\n") & set(shown)


def test_a_folder_with_wildcards_in_its_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "[x]").mkdir()
    assert "glob pattern" in one(tmp_path / "[x]", "bundle: {name: x}\n").errors[0].summary


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    assert one(tmp_path, "bundle: {name: x}\ninclude: ['*.yml']\n").files == ("databricks.yml",)


# --- merging ----------------------------------------------------------------------------------------------------------

leaves = st.none() | st.integers() | st.text(max_size=4)
trees = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner)),
)


@given(trees, trees)
@settings(max_examples=150, deadline=None)
def test_merging_changes_neither_side_and_loses_no_key(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = (repr(base), repr(over))
    merged = merge(base, over)
    assert (repr(base), repr(over)) == before
    assert set(merged) == {*base, *over}
    assert merge(merged, {}) == merged
    assert merge({}, merged) == merged


def test_lists_of_no_known_key_are_appended() -> None:
    assert merge({"a": [1]}, {"a": [2]}) == {"a": [1, 2]}


def test_items_of_the_same_key_are_one_and_the_default_cluster_needs_no_label() -> None:
    clusters = [{"label": "default", "num_workers": 1}, {"num_workers": 2}, {"label": "maintenance"}]
    merged = collapse("pipelines", {"clusters": clusters})["clusters"]
    assert merged == [{"label": "default", "num_workers": 2}, {"label": "maintenance"}]


def test_references_that_lead_in_a_circle_end() -> None:
    known = {"var": {"a": "${var.b}", "b": "${var.a}", "c": "x${var.c}"}}
    assert substitute("${var.a}", known).startswith("${var.")
    assert substitute("${var.c}", known).endswith("${var.c}")


def test_references_into_lists_and_complex_variables_are_followed() -> None:
    known = {"var": {"deep": {"list": [{"x": 1}]}, "alias": "${var.deep}"}}
    assert look_up(known, "var.deep.list[0].x") == 1
    assert look_up(known, "var.alias.list[0].x") == 1
    assert look_up(known, "variables.deep.value.list[0].x") == 1
    assert look_up(known, "var.deep.list[5].x") is None
    assert substitute("${var.deep.list[0].x} ${var.deep}", known) == "1 ${var.deep}"
