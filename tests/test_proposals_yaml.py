"""From what the CLI and the API say of a bundle's YAML to the edit that mends it, comments and formatting untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.proposals import SAFE_CONFIDENCE
from proposal_work import Shop, edits, shop

JOB = """\
# nightly work
resources:
  jobs:
    nightly:
      name: nightly  # as ever
      tasks:
        - task_key: load
          notebook_task:
            notebook_path: ../src/load.py
"""
NOTEBOOK = "# Databricks notebook source\nx = 1\n"


def a_shop(tmp_path: Path, job: str = JOB) -> Shop:
    return shop(tmp_path).put("resources/nightly.yml", job).put("src/load.py", NOTEBOOK)


def mended(made: Shop, text: str, file: str, was: str, now: str, *, safe: bool = True, **more: Any) -> None:
    """The best edit changes `was` into `now` in `file` and nothing else."""
    before = made.read(file)
    assert was in before
    fixes = edits(made.why(text, **more))
    assert fixes, text
    assert (fixes[0].confidence >= SAFE_CONFIDENCE) is safe, fixes[0]
    made.mend(fixes[0])
    assert made.read(file) == before.replace(was, now)


def untouched(made: Shop, text: str, **more: Any) -> None:
    """Nothing is proposed that could be applied without a person."""
    assert not [fix for fix in edits(made.why(text, **more)) if fix.confidence >= SAFE_CONFIDENCE]


def warning(field: str, path: str, line: int, column: int = 11, file: str = "resources/nightly.yml") -> str:
    return f"Warning: unknown field: {field}\n  at {path}\n  in {file}:{line}:{column}\n"


SCHEMA = {
    "$defs": {
        "string": {"oneOf": [{"type": "string"}]},
        "github.com": {
            "x": {
                "jobs.Task": {
                    "oneOf": [
                        {
                            "type": "object",
                            "properties": {
                                "task_key": {"$ref": "#/$defs/string"},
                                "timeout_seconds": {"$ref": "#/$defs/string"},
                                "run_if": {"$ref": "#/$defs/github.com/x/jobs.RunIf"},
                                "notebook_task": {"$ref": "#/$defs/github.com/x/jobs.NotebookTask"},
                                "max_retries": {"$ref": "#/$defs/string"},
                            },
                        },
                        {"type": "string", "pattern": "\\$\\{var"},
                    ]
                },
                "jobs.NotebookTask": {"type": "object", "properties": {"notebook_path": {}, "source": {}}},
                "jobs.RunIf": {"oneOf": [{"type": "string", "enum": ["ALL_DONE", "ALL_SUCCESS"]}]},
                "resources.Job": {
                    "type": "object",
                    "properties": {"tasks": {"$ref": "#/$defs/slice/github.com/x/jobs.Task"}, "name": {}},
                },
            }
        },
        "slice": {
            "github.com": {
                "x": {"jobs.Task": {"oneOf": [{"type": "array", "items": {"$ref": "#/$defs/github.com/x/jobs.Task"}}]}}
            }
        },
    },
    "properties": {
        "resources": {
            "type": "object",
            "properties": {
                "jobs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/github.com/x/resources.Job"}}
            },
        }
    },
}


# --- fields -----------------------------------------------------------------------------------------------------------


def test_a_misspelt_field_becomes_the_nearest_one_that_may_stand_there(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "          timeout_secs: 60 # short\n")
    text = warning("timeout_secs", "resources.jobs.nightly.tasks[0]", 10)
    mended(made, text, "resources/nightly.yml", "timeout_secs:", "timeout_seconds:", schema=SCHEMA)


def test_the_same_misspelling_is_mended_in_the_sibling_files_too(tmp_path: Path) -> None:
    other = JOB.replace("nightly", "daily")
    made = a_shop(tmp_path, JOB + "          max_retrys: 1\n").put(
        "resources/daily.yml", other + "          max_retrys: 2\n"
    )
    fix = edits(made.why(warning("max_retrys", "resources.jobs.nightly.tasks[0]", 10), schema=SCHEMA))[0]
    assert fix.title == "max_retrys → max_retries in 2 places of 2 files"
    assert made.mend(fix) == ["resources/daily.yml", "resources/nightly.yml"]
    assert "max_retrys" not in made.read("resources/daily.yml") + made.read("resources/nightly.yml")


def test_without_the_schema_the_names_that_are_used_beside_it_count(tmp_path: Path) -> None:
    more = "        - task_key: b\n          notebook_task:\n            notebook_pth: ../src/load.py\n"
    third = "        - task_key: c\n          notebook_task:\n            notebook_path: ../src/load.py\n"
    made = a_shop(tmp_path, JOB + more + third)
    text = warning("notebook_pth", "resources.jobs.nightly.tasks[1].notebook_task", 12, 13)
    mended(made, text, "resources/nightly.yml", "notebook_pth:", "notebook_path:")


def test_names_of_the_schema_without_their_places_do_too(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "          timeout_second: 60\n")
    text = warning("timeout_second", "resources.jobs.nightly.tasks[0]", 10)
    mended(
        made,
        text,
        "resources/nightly.yml",
        "timeout_second:",
        "timeout_seconds:",
        known_fields=("timeout_seconds", "name"),
    )


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("zzzz", "nothing is near it"),
        ("task_kex", "the name it would get is there already"),
        ("notebook_path", "it is spelt well and stands in the wrong place"),
    ],
)
def test_no_field_is_renamed_by_a_guess(tmp_path: Path, field: str, why: str) -> None:
    made = a_shop(tmp_path, JOB + f"          {field}: 60\n")
    untouched(made, warning(field, "resources.jobs.nightly.tasks[0]", 10), schema=SCHEMA)


def test_a_name_that_differs_in_a_number_is_another_name(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "          level1: 60\n")
    untouched(made, warning("level1", "resources.jobs.nightly.tasks[0]", 10), known_fields=("level2",))


# --- values -----------------------------------------------------------------------------------------------------------

SCHEDULED = JOB + "      schedule:\n        pause_status: UNPAUSE # on\n        timezone_id: UTC\n"


@pytest.mark.parametrize(
    "text",
    [
        'Warning: invalid value "UNPAUSE" for enum field. Valid values are [PAUSED UNPAUSED]\n'
        "  at resources.jobs.nightly.schedule.pause_status\n  in resources/nightly.yml:11:23\n",
        "Error: cannot create resources.jobs.nightly: Could not parse request object: Expected one of [PAUSED, "
        "UNPAUSED] for pause_status, but got 'UNPAUSE' (400 MALFORMED_REQUEST)\n",
        "Error: pause_status must be one of: PAUSED, UNPAUSED, but got: 'UNPAUSE'",
    ],
)
def test_a_word_that_is_no_value_becomes_the_nearest_that_is(tmp_path: Path, text: str) -> None:
    mended(a_shop(tmp_path, SCHEDULED), text, "resources/nightly.yml", "UNPAUSE #", "UNPAUSED #")


INVALID = 'Warning: invalid value "{}" for enum field. Valid values are [PAUSED UNPAUSED]\n'
INVALID_THERE = INVALID + "  in resources/nightly.yml:11:23\n"


def test_a_value_in_the_wrong_case_is_no_guess(tmp_path: Path) -> None:
    made = a_shop(tmp_path, SCHEDULED.replace("UNPAUSE", "'paused'"))
    text = INVALID_THERE.format("paused")
    mended(made, text, "resources/nightly.yml", "'paused'", "'PAUSED'")


def test_the_values_come_from_the_schema_where_the_message_has_none(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "          run_if: ALL_DONEE\n")
    text = "Error: 'ALL_DONEE' is not a valid enum value\n  in resources/nightly.yml:10:19\n"
    mended(made, text, "resources/nightly.yml", "ALL_DONEE", "ALL_DONE", schema=SCHEMA)


def test_a_word_that_is_near_to_none_or_stands_for_two_fields_is_left(tmp_path: Path) -> None:
    text = INVALID.format("SOMETIMES")
    untouched(a_shop(tmp_path, SCHEDULED.replace("UNPAUSE", "SOMETIMES")), text)
    made = a_shop(tmp_path, SCHEDULED + "        comment: UNPAUSE\n")
    untouched(made, INVALID.format("UNPAUSE"))


# --- tasks ------------------------------------------------------------------------------------------------------------


NOTEBOOK_TASK = "notebook_task:\n            notebook_path: ../src/load.py"


def test_python_task_becomes_what_its_file_is(tmp_path: Path) -> None:
    job = JOB.replace(
        "notebook_task:\n            notebook_path: ../src/load.py", "python_task:\n            python_file: ../src/{}"
    )
    text = warning("python_task", "resources.jobs.nightly.tasks[0]", 8)
    made = a_shop(tmp_path / "script", job.format("job.py")).put("src/job.py", "print(1)\n")
    mended(made, text, "resources/nightly.yml", "python_task:", "spark_python_task:")
    made = a_shop(tmp_path / "notebook", job.format("load.py"))
    mended(
        made,
        text,
        "resources/nightly.yml",
        "python_task:\n            python_file:",
        "notebook_task:\n            notebook_path:",
    )
    made = a_shop(tmp_path / "jupyter", job.format("x.ipynb")).put("src/x.ipynb", "{}")
    mended(
        made,
        text,
        "resources/nightly.yml",
        "python_task:\n            python_file:",
        "notebook_task:\n            notebook_path:",
    )


def test_the_parameters_of_a_script_go_with_it_when_it_becomes_a_notebook(tmp_path: Path) -> None:
    task = (
        'python_task:\n            python_file: ../src/load.py\n            parameters: ["--catalog", "${var.catalog}"]'
    )
    made = a_shop(tmp_path, JOB.replace(NOTEBOOK_TASK, task))
    fix = edits(made.why(warning("python_task", "resources.jobs.nightly.tasks[0]", 8)))[0]
    made.mend(fix)
    (task,) = load_bundle(tmp_path, "dev", {}).resources[0].config["tasks"]
    assert task["notebook_task"] == {
        "notebook_path": "../src/load.py",
        "base_parameters": {"catalog": "${var.catalog}"},
    }


def test_job_task_is_run_job_task(tmp_path: Path) -> None:
    job = JOB + "        - task_key: other\n          job_task:\n            job_id: 1\n"
    text = warning("job_task", "resources.jobs.nightly.tasks[1]", 11)
    mended(a_shop(tmp_path, job), text, "resources/nightly.yml", " job_task:", " run_job_task:")


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (
            '            parameters:\n              - "--day"\n              - "{{job.start_time.iso_date}}"\n',
            {"day": "{{job.start_time.iso_date}}"},
        ),
        ("            parameters: ['--a=1', --b, x y]\n", {"a": "1", "b": "x y"}),
        ("            parameters: [a=1]\n", {"a": "1"}),
        ("            parameters:\n              a: 1\n", {"a": 1}),
    ],
)
def test_parameters_of_the_command_line_become_base_parameters(
    tmp_path: Path, written: str, wanted: dict[str, Any]
) -> None:
    made = a_shop(tmp_path, JOB + written)
    text = warning("parameters", "resources.jobs.nightly.tasks[0].notebook_task", 10, 13)
    fix = edits(made.why(text))[0]
    assert fix.confidence >= SAFE_CONFIDENCE
    made.mend(fix)
    (task,) = load_bundle(tmp_path, "dev", {}).resources[0].config["tasks"]
    assert task["notebook_task"] == {"notebook_path": "../src/load.py", "base_parameters": wanted}
    assert made.read("resources/nightly.yml").startswith(JOB)


@pytest.mark.parametrize(
    "written",
    ['["--flag", "--other", "x"]', '["plain", "words"]', "[--a, 1, --a, 2]", "[]", '["--a", [1]]'],
)
def test_parameters_that_are_no_pairs_are_left(tmp_path: Path, written: str) -> None:
    made = a_shop(tmp_path, JOB + f"            parameters: {written}\n")
    untouched(made, warning("parameters", "resources.jobs.nightly.tasks[0].notebook_task", 10, 13))


def test_a_timeout_is_doubled_but_never_without_a_person(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "          timeout_seconds: 600\n      timeout_seconds: 60\n")
    text = "Run timed out: the task exceeded its timeout_seconds. RUN_EXECUTION_TIMEOUT run timed out"
    diagnosis = made.why(text, ref="jobs.nightly", task="load")
    assert diagnosis.cause == "job_timeout"
    (fix,) = edits(diagnosis)
    assert fix.title == "timeout_seconds of load: 600 → 1200"
    assert fix.confidence < SAFE_CONFIDENCE
    made.mend(fix)
    assert "          timeout_seconds: 1200\n      timeout_seconds: 60\n" in made.read("resources/nightly.yml")


# --- references -------------------------------------------------------------------------------------------------------


def test_a_variable_without_its_prefix_gets_it_wherever_it_stands(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "      tags:\n        c: ${catalog}  # ${catalog}\n        d: x-${catalog}-y\n")
    fix = edits(made.why("Error: reference does not exist: ${catalog}\n"))[0]
    assert (fix.title, fix.confidence >= SAFE_CONFIDENCE) == ("${catalog} → ${var.catalog} in 2 lines", True)
    made.mend(fix)
    assert "c: ${var.catalog}  # ${catalog}\n        d: x-${var.catalog}-y\n" in made.read("resources/nightly.yml")


def test_a_misspelt_variable_becomes_the_one_that_is_declared(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "      tags:\n        c: ${var.catlog}\n")
    text = "Error: reference does not exist: ${var.catlog}\n\ndid you mean:\n  ${var.catalog}\n"
    mended(made, text, "resources/nightly.yml", "${var.catlog}", "${var.catalog}")


def test_a_misspelt_resource_becomes_the_one_that_is_declared(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "      tags:\n        c: ${resources.jobs.nightlly.id}\n")
    text = "Error: reference does not exist: ${resources.jobs.nightlly.id}\n"
    mended(made, text, "resources/nightly.yml", "nightlly", "nightly")


def test_a_reference_to_nothing_like_it_is_left(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "      tags:\n        c: ${var.region}\n")
    untouched(made, "Error: reference does not exist: ${var.region}\n")


def test_a_new_file_that_no_include_covers_is_included(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "      tags:\n        c: ${resources.jobs.hourly.id}\n")
    made.put("resources/more/hourly.yml", JOB.replace("nightly", "hourly"))
    text = "Error: reference does not exist: ${resources.jobs.hourly.id}\n"
    mended(
        made,
        text,
        "databricks.yml",
        "  - resources/*.yml\n",
        "  - resources/*.yml\n  - resources/more/hourly.yml\n",
    )
    assert load_bundle(tmp_path, "dev", {}).resource("jobs.hourly") is not None


def test_files_of_another_bundle_below_are_never_included(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB + "      tags:\n        c: ${resources.jobs.hourly.id}\n")
    made.put("other/databricks.yml", "bundle:\n  name: other\n" + JOB.replace("nightly", "hourly"))
    made.put("other/resources/more.yml", JOB.replace("nightly", "hourly"))
    untouched(made, "Error: reference does not exist: ${resources.jobs.hourly.id}\n")


def test_a_bundle_without_includes_gets_the_section(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    head = made.read("databricks.yml").replace("include:\n  - resources/*.yml\n\n", "")
    made.put("databricks.yml", head).put("resources/other.yml", JOB.replace("nightly", "other"))
    diagnosis = made.why("Error: reference does not exist: ${resources.jobs.nightly.id}\n")
    made.mend(edits(diagnosis)[0])
    assert load_bundle(tmp_path, "dev", {}).include == ("resources/*.yml",)
    assert made.read("databricks.yml").startswith(head)


def test_an_include_with_the_wrong_ending_gets_the_right_one(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    made.put("databricks.yml", made.read("databricks.yml").replace("resources/*.yml", "resources/*.yaml"))
    text = "Error: resources/*.yaml defined in 'include' section does not match any files\n  in databricks.yml:5:5\n"
    mended(made, text, "databricks.yml", "resources/*.yaml", "resources/*.yml")


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["src/load.py", "./src/load.py", "../../src/load.py"])
def test_a_path_gets_the_depth_at_which_it_leads_to_the_file(tmp_path: Path, wrong: str) -> None:
    made = a_shop(tmp_path, JOB.replace("../src/load.py", wrong))
    mended(made, "Error: notebook src/load.py not found\n", "resources/nightly.yml", wrong, "../src/load.py")


def test_a_notebook_gets_the_extension_that_the_cli_asks_for(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB.replace("../src/load.py", '"../src/load"'))
    text = "Error: notebook src/load not found. Local notebook references are expected to contain one of these\n"
    mended(made, text, "resources/nightly.yml", '"../src/load"', '"../src/load.py"')


def test_a_misspelt_file_name_becomes_the_one_that_is_there(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB.replace("../src/load.py", "../src/laod_orders.py")).put("src/load_orders.py", NOTEBOOK)
    text = "Error: notebook src/laod_orders.py not found\n"
    fix = edits(made.why(text))[0]
    made.mend(fix)
    assert "../src/load_orders.py" in made.read("resources/nightly.yml")


def test_a_file_that_was_moved_is_found_and_left_to_a_person(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB.replace("../src/load.py", "../src/deep.py")).put("src/a/b/deep.py", NOTEBOOK)
    (fix,) = edits(made.why("Error: notebook src/deep.py not found\n"))
    assert (fix.title, fix.confidence < SAFE_CONFIDENCE) == ("../src/deep.py → ../src/a/b/deep.py", True)


def test_two_depths_that_both_lead_to_a_file_are_no_answer(tmp_path: Path) -> None:
    made = a_shop(tmp_path, JOB.replace("../src/load.py", "../../x/load.py"))
    made.put("x/load.py", NOTEBOOK).put("resources/x/load.py", NOTEBOOK)
    assert edits(made.why("Error: notebook x/load.py not found\n")) == []


def test_no_path_leads_out_of_the_bundle(tmp_path: Path) -> None:
    made = a_shop(tmp_path / "bundle", JOB.replace("../src/load.py", "src/secret.py"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "secret.py").write_text("x = 1\n")
    assert edits(made.why("Error: notebook resources/src/secret.py not found\n")) == []


# --- twice ------------------------------------------------------------------------------------------------------------


def test_the_second_of_two_equal_declarations_goes(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("resources/copy.yml", "# copied\n" + JOB.partition("\n")[2] + "    # end\n")
    text = (
        "Error: multiple resources or scripts have been defined with the same key: nightly\n"
        "  at resources.jobs.nightly\n  in resources/copy.yml:4:7\n     resources/nightly.yml:5:7\n"
    )
    fix = edits(made.why(text))[0]
    assert fix.confidence >= SAFE_CONFIDENCE
    assert len(made.mend(fix)) == 1
    bundle = load_bundle(tmp_path, "dev", {})
    assert [resource.ref for resource in bundle.resources] == ["jobs.nightly"]
    assert bundle.errors == ()


def test_of_two_different_declarations_a_person_chooses(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put(
        "resources/copy.yml", JOB.replace("as ever", "twice") + "      max_concurrent_runs: 2\n"
    )
    text = (
        "Error: multiple resources or scripts have been defined with the same key: nightly\n"
        "  at resources.jobs.nightly\n  in resources/copy.yml:4:5\n     resources/nightly.yml:4:5\n"
    )
    fixes = edits(made.why(text))
    assert [fix.title for fix in fixes] == [
        "remove nightly at resources/copy.yml:4",
        "remove nightly at resources/nightly.yml:4",
    ]
    assert all(fix.confidence < SAFE_CONFIDENCE and fix.risk for fix in fixes)


def test_windows_line_ends_and_tabs_in_comments_stay(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    job = SCHEDULED.replace("# on", "#\ton")
    (tmp_path / "resources" / "nightly.yml").write_bytes(("\ufeff" + job.replace("\n", "\r\n")).encode())
    text = INVALID_THERE.format("UNPAUSE")
    made.mend(edits(made.why(text))[0])
    wanted = ("\ufeff" + job.replace("UNPAUSE #", "UNPAUSED #").replace("\n", "\r\n")).encode()
    assert (tmp_path / "resources" / "nightly.yml").read_bytes() == wanted
