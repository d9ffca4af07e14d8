"""From what fails in code to the edit, the package or the job that mends it; sure only where there is no doubt."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.proposals import SAFE_CONFIDENCE
from dbops_tui.core.propose_runs import fill_command
from dbops_tui.core.state import Identity
from dbops_tui.matrix.check import destroys
from dbops_tui.matrix.matcher import load_matrix
from proposal_work import Shop, edits, shop

JOBS = """\
resources:
  jobs:
    bronze_setup:
      name: bronze_setup
      tasks:
        - task_key: make
          notebook_task:
            notebook_path: ../src/bronze.py
    silver:
      name: silver
      tasks:
        - task_key: orders
          notebook_task:
            notebook_path: ../src/silver.py
        - task_key: returns
          notebook_task:
            notebook_path: ../src/returns.sql
        - task_key: script
          spark_python_task:
            python_file: ../src/script.py
          environment_key: main
        - task_key: heavy
          notebook_task:
            notebook_path: ../src/heavy.py
          job_cluster_key: big
      environments:
        - environment_key: main
          spec:
            client: "4"
            dependencies: [pandas==2.2.0]  # pinned
"""
PIPELINE = """\
resources:
  pipelines:
    live:
      name: live
      libraries:
        - glob:
            include: ../src/live/**
"""
BRONZE = """\
# Databricks notebook source
place = "main.shop"
spark.range(3).write.saveAsTable(f"{place}.bronze_orders")
spark.sql(f"CREATE TABLE IF NOT EXISTS {place}.gold_sales (id INT)")
"""
SILVER = """\
# Databricks notebook source
from pyspark.sql import functions as F

# COMMAND ----------

orders = spark.read.table("main.shop.bronze_orders")
joined = orders.join(known, "customer_idd", "left")  # by customer_idd
print(joined.count())
"""
RETURNS = """\
-- Databricks notebook source
-- customer_idd is wrong
SELECT customer_idd, amount FROM main.shop.bronze_returns -- customer_idd
"""
HEAD = "# Databricks notebook source\n"
SQL_TEXT = (
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `customer_idd` cannot be "
    "resolved. Did you mean one of the following? [`customer_id`, `amount`]. SQLSTATE: 42703"
)
MISSING = (
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`shop`.`{}` cannot be found. Verify the spelling and "
    "correctness of the schema and catalog. SQLSTATE: 42P01"
)
TRACE = """\
AnalysisException                         Traceback (most recent call last)
File <command-123>, line 2
      1 orders = spark.read.table("main.shop.bronze_orders")
----> 2 joined = orders.join(known, "customer_idd", "left")  # by customer_idd
      3 print(joined.count())

AnalysisException: """


def a_shop(tmp_path: Path) -> Shop:
    made = shop(tmp_path).put("resources/jobs.yml", JOBS).put("resources/live.yml", PIPELINE)
    made.put("src/bronze.py", BRONZE).put("src/silver.py", SILVER).put("src/returns.sql", RETURNS)
    made.put("src/script.py", "import pycountry\n").put(
        "src/heavy.py", "# Databricks notebook source\nimport pycountry\n"
    )
    return made


def no_module(name: str) -> str:
    return f"ModuleNotFoundError: No module named '{name}'"


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_wrong_column_is_mended_in_the_siblings_too_and_no_comment_is_touched(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    diagnosis = made.why(TRACE + SQL_TEXT, ref="jobs.silver", task="orders")
    assert diagnosis.location is not None
    assert (diagnosis.location.file, diagnosis.location.line) == ("src/silver.py", 7)
    assert [(place.file, place.line) for place in diagnosis.also_at] == [("src/returns.sql", 3)]
    fix, only_here = edits(diagnosis)
    assert fix.confidence >= SAFE_CONFIDENCE > only_here.confidence
    assert made.mend(fix) == ["src/returns.sql", "src/silver.py"]
    assert made.read("src/silver.py") == SILVER.replace('"customer_idd"', '"customer_id"')
    assert made.read("src/returns.sql") == RETURNS.replace("SELECT customer_idd", "SELECT customer_id")


def test_a_name_that_the_bundle_makes_on_purpose_is_changed_only_where_it_failed(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put(
        "src/heavy.py", '# Databricks notebook source\nx = df.withColumn("customer_idd", F.lit(1))\n'
    )
    (fix,) = edits(made.why(TRACE + SQL_TEXT, ref="jobs.silver", task="orders"))
    assert fix.confidence < SAFE_CONFIDENCE
    assert made.mend(fix) == ["src/silver.py"]


@pytest.mark.parametrize(
    ("wrong", "offered"),
    [
        ("customer_idd", ["customer_id", "customer_ida"]),
        ("customer_idd", ["country", "segment"]),
        ("amount1", ["amount2"]),
        ("kind", ["kind_of_sale"]),
    ],
)
def test_two_candidates_or_a_distant_one_are_never_applied_without_a_person(
    tmp_path: Path, wrong: str, offered: list[str]
) -> None:
    made = a_shop(tmp_path).put("src/silver.py", SILVER.replace("customer_idd", wrong))
    names = ", ".join(f"`{name}`" for name in offered)
    text = SQL_TEXT.replace("customer_idd", wrong).replace("`customer_id`, `amount`", names)
    diagnosis = made.why(TRACE.replace("customer_idd", wrong) + text, ref="jobs.silver", task="orders")
    assert not [fix for fix in edits(diagnosis) if fix.confidence >= SAFE_CONFIDENCE]


def test_a_jupyter_notebook_is_edited_within_its_json(tmp_path: Path) -> None:
    source = ["import json\n", 'df.select("customer_idd", "x\\ty")']
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": source}], "nbformat": 4}, indent=1)
    made = a_shop(tmp_path).put("src/silver.ipynb", notebook)
    made.put("resources/jobs.yml", JOBS.replace("silver.py", "silver.ipynb"))
    (tmp_path / "src" / "silver.py").unlink()
    (tmp_path / "src" / "returns.sql").write_text("SELECT 1\n")
    text = 'File <command-1>, line 2\n----> 2 df.select("customer_idd", "x\\ty")\n\nAnalysisException: ' + SQL_TEXT
    diagnosis = made.why(text, ref="jobs.silver", task="orders")
    made.mend(edits(diagnosis)[0])
    assert made.read("src/silver.ipynb") == notebook.replace("customer_idd", "customer_id")


# --- modules ----------------------------------------------------------------------------------------------------------


def test_a_package_goes_into_the_environment_of_the_task_and_of_those_that_import_it_too(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    (fix,) = edits(made.why(no_module("pycountry"), ref="jobs.silver", task="script"))
    assert fix.confidence >= SAFE_CONFIDENCE
    made.mend(fix)
    assert "dependencies: [pandas==2.2.0, pycountry]  # pinned\n" in made.read("resources/jobs.yml")
    silver = load_bundle(tmp_path, "dev", {}).resource("jobs.silver")
    assert silver is not None
    assert silver.config["tasks"][3]["libraries"] == [{"pypi": {"package": "pycountry"}}]


def test_a_package_of_a_cluster_goes_into_the_libraries(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("src/script.py", "print(1)\n")
    (fix,) = edits(made.why(no_module("pycountry"), ref="jobs.silver", task="heavy"))
    assert fix.title == "pycountry → libraries of heavy"
    made.mend(fix)
    assert "libraries:\n            - pypi:\n                package: pycountry\n" in made.read("resources/jobs.yml")


def test_a_notebook_without_either_gets_a_pip_cell_or_a_longer_one(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    (fix,) = edits(made.why(no_module("yaml"), ref="jobs.silver", task="orders"))
    made.mend(fix)
    head, rest = SILVER.split("\n", 1)
    cell = "# MAGIC %pip install PyYAML\n\n# COMMAND ----------\n\n"
    assert made.read("src/silver.py") == f"{head}\n{cell}{rest}"
    (fix,) = edits(made.why(no_module("cv2"), ref="jobs.silver", task="orders"))
    made.mend(fix)
    assert "# MAGIC %pip install PyYAML opencv-python\n" in made.read("src/silver.py")


def test_a_jupyter_notebook_gets_a_pip_line_within_its_json(tmp_path: Path) -> None:
    cells = [{"cell_type": "markdown", "source": ["# x"]}, {"cell_type": "code", "source": ["import yaml\n", "x = 1"]}]
    notebook = json.dumps({"cells": cells, "nbformat": 4}, indent=2) + "\n"
    made = a_shop(tmp_path).put("src/silver.ipynb", notebook)
    made.put("resources/jobs.yml", JOBS.replace("silver.py", "silver.ipynb"))
    (fix,) = edits(made.why(no_module("yaml"), ref="jobs.silver", task="orders"))
    made.mend(fix)
    changed = json.loads(made.read("src/silver.ipynb"))
    assert changed["cells"][1]["source"] == ["%pip install PyYAML\n", "import yaml\n", "x = 1"]
    assert changed["cells"][0] == cells[0]
    assert made.read("src/silver.ipynb").replace('        "%pip install PyYAML\\n",\n', "") == notebook


def test_a_pipeline_gets_it_into_its_environment(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("src/live/a.py", "import yaml\n")
    (fix,) = edits(made.why(no_module("yaml"), ref="pipelines.live", kind="pipeline_event"))
    made.mend(fix)
    live = load_bundle(tmp_path, "dev", {}).resource("pipelines.live")
    assert live is not None
    assert live.config["environment"] == {"dependencies": ["PyYAML"]}
    assert made.read("resources/live.yml").startswith(PIPELINE)


def test_the_version_that_the_bundle_pins_elsewhere_is_taken(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("requirements.txt", "# ours\nmy-Tool[x]==1.2.3  # pinned\n")
    (fix,) = edits(made.why(no_module("my_tool.parts"), ref="jobs.silver", task="script"))
    assert (fix.title.split(" →")[0], fix.confidence >= SAFE_CONFIDENCE) == ("my-Tool[x]==1.2.3", True)


def test_an_unknown_package_is_never_installed_by_its_name_alone(tmp_path: Path) -> None:
    (fix,) = edits(a_shop(tmp_path).why(no_module("acme_internal"), ref="jobs.silver", task="script"))
    assert fix.confidence < SAFE_CONFIDENCE
    assert "anybody can publish" in (fix.risk or "")


def test_what_is_a_file_of_the_bundle_is_no_package(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("src/lib/helpers.py", "x = 1\n")
    diagnosis = made.why(no_module("helpers"), ref="jobs.silver", task="script")
    assert edits(diagnosis) == []
    assert "src/lib/helpers.py" in diagnosis.fixes[0].title


@pytest.mark.parametrize("module", ["pyspark.sql", "dbutils", "dlt", "databricks.koalas"])
def test_what_the_runtime_brings_is_not_installed(tmp_path: Path, module: str) -> None:
    assert edits(a_shop(tmp_path).why(no_module(module), ref="jobs.silver", task="script")) == []


def test_what_is_listed_already_is_not_listed_twice(tmp_path: Path) -> None:
    assert edits(a_shop(tmp_path).why(no_module("pandas"), ref="jobs.silver", task="script")) == []


# --- what has to run first --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "RuntimeError: [fail fast] table is empty: run bronze_setup_job first",
        "ValueError: please run `bronze_setup` before this job",
        "Exception: Run the job bronze_setup first!",
        "Exception: run BRONZE_SETUP first",
    ],
)
def test_a_message_that_names_a_job_to_run_first_offers_just_that(tmp_path: Path, message: str) -> None:
    diagnosis = a_shop(tmp_path).why(message, ref="jobs.silver", task="orders")
    fix = diagnosis.fixes[0]
    assert (fix.kind, fix.resource_key, fix.patch) == ("run", "jobs.bronze_setup", None)
    assert fix.command == "databricks bundle run bronze_setup -t dev"
    assert fix.confidence >= SAFE_CONFIDENCE


def test_a_job_that_the_bundle_does_not_have_or_that_failed_itself_is_not_offered(tmp_path: Path) -> None:
    for message, ref in (("run other_job first", "jobs.silver"), ("run silver first", "jobs.silver")):
        diagnosis = a_shop(tmp_path).why(f"RuntimeError: {message}", ref=ref, task="orders")
        assert not [fix for fix in diagnosis.fixes if fix.kind == "run" and fix.resource_key]


def test_a_missing_table_is_traced_to_the_job_that_makes_it(tmp_path: Path) -> None:
    diagnosis = a_shop(tmp_path).why(MISSING.format("bronze_orders"), ref="jobs.silver", task="orders")
    fix = next(fix for fix in diagnosis.fixes if fix.resource_key)
    assert (fix.kind, fix.resource_key) == ("run", "jobs.bronze_setup")
    assert fix.title == "Run bronze_setup, which makes bronze_orders (src/bronze.py)"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("silver_a", 'df.write.mode("append").saveAsTable(\n    "main.shop.silver_a"\n)'),
        ("silver_b", "spark.sql('''CREATE OR REPLACE TABLE main.shop.silver_b AS SELECT 1''')"),
        ("silver_c", 'df.writeStream.toTable("silver_c")'),
        ("silver_d", "@dlt.table(comment='x')\n@dlt.expect('a', 'b')\ndef silver_d():\n    return 1"),
        ("silver_e", "@dp.materialized_view(name='silver_e')\ndef other():\n    return 1"),
        ("silver_f", "-- x\nspark.sql('CREATE OR REFRESH STREAMING TABLE silver_f')"),
        ("silver_g", "dlt.create_streaming_table('silver_g')"),
    ],
)
def test_every_way_to_make_a_table_is_seen(tmp_path: Path, name: str, source: str) -> None:
    made = a_shop(tmp_path).put("src/live/made.py", source + "\n")
    diagnosis = made.why(MISSING.format(name), ref="jobs.silver", task="orders")
    assert [fix.resource_key for fix in diagnosis.fixes if fix.resource_key] == ["pipelines.live"]


def test_makers_come_in_the_order_of_the_layers(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("src/live/a.py", 'df.write.saveAsTable("main.shop.bronze_orders")\n')
    diagnosis = made.why(MISSING.format("bronze_orders"), ref="jobs.silver", task="orders")
    assert [fix.resource_key for fix in diagnosis.fixes if fix.resource_key] == ["jobs.bronze_setup", "pipelines.live"]


def test_a_task_that_needs_a_sibling_waits_for_it(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put(
        "src/heavy.py", '# Databricks notebook source\ndf.write.saveAsTable("main.shop.x_orders")\n'
    )
    (fix,) = edits(made.why(MISSING.format("x_orders"), ref="jobs.silver", task="orders"))
    assert fix.title.startswith("orders waits for heavy")
    assert fix.confidence < SAFE_CONFIDENCE
    made.mend(fix)
    silver = load_bundle(tmp_path, "dev", {}).resource("jobs.silver")
    assert silver is not None
    assert silver.config["tasks"][0]["depends_on"] == [{"task_key": "heavy"}]


def test_a_table_that_nobody_makes_but_for_one_letter_is_a_misspelling(tmp_path: Path) -> None:
    made = a_shop(tmp_path).put("src/silver.py", SILVER.replace("bronze_orders", "bronze_ordres"))
    diagnosis = made.why(MISSING.format("bronze_ordres"), ref="jobs.silver", task="orders")
    fix = edits(diagnosis)[0]
    assert fix.title == "bronze_ordres → bronze_orders"
    made.mend(fix)
    assert made.read("src/silver.py") == SILVER


def test_a_table_whose_name_is_put_together_is_found_by_its_last_part(tmp_path: Path) -> None:
    source = SILVER.replace('"main.shop.bronze_orders"', 'f"{place}.bronze_ordres"')
    made = a_shop(tmp_path).put("src/silver.py", source)
    diagnosis = made.why(MISSING.format("bronze_ordres"), ref="jobs.silver", task="orders")
    assert diagnosis.location is not None
    assert (diagnosis.location.file, diagnosis.location.line) == ("src/silver.py", 6)
    made.mend(edits(diagnosis)[0])
    assert made.read("src/silver.py") == source.replace("ordres", "orders")


# --- commands, waits, and what destroys -------------------------------------------------------------------------------

ME = Identity(host="https://x.example.com", profile="my dev", user="ana@x.com", target="dev")


def test_breaking_a_lock_is_a_command_with_its_risk_and_takes_a_typed_word(tmp_path: Path) -> None:
    text = (
        "Error: Failed to acquire deployment lock: deploy lock acquired by bob@x.com at 2026-01-01 00:00:00 +0000 UTC. "
        "Use --force-lock to override\n"
    )
    diagnosis = a_shop(tmp_path).why(text, identity=ME)
    assert diagnosis.cause == "deploy_lock_held"
    fix = next(fix for fix in diagnosis.fixes if "--force-lock" in (fix.command or ""))
    assert fix.destructive
    assert fix.risk
    assert fix.command == "databricks bundle deploy --force-lock -t dev -p 'my dev'"
    assert fix.confidence < SAFE_CONFIDENCE
    assert [fix.wait_seconds for fix in diagnosis.fixes if fix.kind == "retry"]


def test_signing_in_names_the_host_and_the_profile(tmp_path: Path) -> None:
    text = "Error: A new access token could not be retrieved because the refresh token is invalid.\n"
    diagnosis = a_shop(tmp_path).why(text, identity=ME)
    commands = [fix.command for fix in diagnosis.fixes if fix.kind == "auth" and fix.command]
    assert all(command.startswith("databricks auth login --") for command in commands)


def test_a_grant_is_the_exact_statement_with_quoted_names(tmp_path: Path) -> None:
    text = (
        "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have SELECT on Table 'main.shop.or`ders; x'"
        ". SQLSTATE: 42501"
    )
    diagnosis = a_shop(tmp_path).why(text, ref="jobs.silver", task="orders")
    for fix in diagnosis.fixes:
        if fix.command and fix.command.startswith("GRANT"):
            assert "or`ders" not in fix.command.replace("``", "")
            assert fix.risk


@pytest.mark.parametrize("name", ["x; rm -rf ~", "$(id)", "`id`", "-rf", "a b", "x\ny", "x' --json '"])
def test_no_command_carries_more_than_a_name_from_outside(name: str) -> None:
    assert fill_command('databricks permissions update jobs 1 --json \'{"user_name":"{app}"}\'', {"app": name}) == ""
    assert fill_command("%pip install {app}", {"app": name}) == ""
    assert fill_command('dbutils.widgets.get("{app}")', {"app": name}) == ""
    command = fill_command("databricks apps get {app}", {"app": name})
    assert command == "" or shlex.split(command) == ["databricks", "apps", "get", name]


def test_what_passes_by_itself_says_how_long_to_wait(tmp_path: Path) -> None:
    text = (
        "Error: Too Many Requests: Current request has to be retried (429 RESOURCE_EXHAUSTED REQUEST_LIMIT_EXCEEDED)\n"
    )
    diagnosis = a_shop(tmp_path).why(text)
    assert diagnosis.retryable
    assert [fix for fix in diagnosis.fixes if fix.kind == "retry" and fix.wait_seconds]


def test_no_fix_that_destroys_is_ever_sure_or_unmarked(tmp_path: Path) -> None:
    made = a_shop(tmp_path)
    seen = 0
    for row in load_matrix().rows:
        for example in row.examples:
            if example.structured or not row.fixes or row.benign:
                continue
            try:
                diagnosis = made.why(example.text, kind=(row.match.source_kinds or ("job_task",))[0], ref="jobs.silver")
            except AssertionError:
                continue
            for fix in diagnosis.fixes:
                seen += 1
                if fix.destructive or destroys(f"{fix.title} {fix.command or ''}"):
                    assert fix.destructive
                    assert fix.risk
                    assert fix.confidence < SAFE_CONFIDENCE
                if fix.kind == "retry":
                    assert fix.wait_seconds is not None
    assert seen > 100
