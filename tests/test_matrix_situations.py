"""Situations that operators of a lakehouse meet, each in a sentence of ours, against the built-in rows.

The keys are those of the list of known situations: J jobs, P pipelines, M monitors, A alerts, D deployment,
O order of layers, C clusters, X seen elsewhere.
"""

from __future__ import annotations

from typing import Any

import pytest
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.model import Failure

SITUATIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("J01", "missing_python_module", "ModuleNotFoundError: No module named 'holidays'", {}),
    (
        "J02",
        "unresolved_column",
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `a` cannot be resolved.",
        {},
    ),
    ("J03", "table_not_found", "[TABLE_OR_VIEW_NOT_FOUND] The table or view `a`.`b` cannot be found.", {}),
    (
        "J04",
        "merge_multiple_source_rows",
        "[DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE] Cannot perform Merge",
        {},
    ),
    ("J05", "uc_missing_privilege", "PermissionDenied: User does not have SELECT on Table 'main.gold.fact'.", {}),
    ("J05b", "uc_missing_privilege", "FORBIDDEN: User does not have MODIFY on Table 'main.gold.fact'.", {}),
    ("J06", "internal_timeout", "Run failed with INTERNAL_ERROR", {"termination_code": "INTERNAL_ERROR"}),
    (
        "J07",
        "mlflow_signature_mismatch",
        "mlflow.exceptions.MlflowException: the signature of the model does not fit its outputs",
        {},
    ),
    (
        "J08",
        "registered_model_not_found",
        "RESOURCE_DOES_NOT_EXIST: Model not found: models:/main.ml.churn",
        {},
    ),
    ("J09", "sql_syntax_error", "[PARSE_SYNTAX_ERROR] Syntax error at or near ','.", {}),
    ("J10", "job_timeout", "RuntimeError: timeout after 3600 seconds waiting for setup", {}),
    ("J10b", "job_timeout", "Run timed out after 3600 seconds", {"result_state": "TIMEDOUT"}),
    ("J11", "import_name_error", "ImportError: cannot import name 'AlertV2' from 'databricks.sdk.service.sql'", {}),
    ("J12", "divide_by_zero", "custom metric rate failed: division by zero", {}),
    (
        "J13",
        "sql_syntax_error",
        "[PARSE_SYNTAX_ERROR] Syntax error at or near '%'. INSERT INTO queries VALUES (x LIKE %a%)",
        {},
    ),
    ("J14", "duplicate_column", "AnalysisException: Column `id` already exists", {}),
    ("J15", "streaming_checkpoint_incompatible", "StreamingQueryException: the checkpoint could not be used", {}),
    ("J16", "config_not_available", "AnalysisException: [CONFIG_NOT_AVAILABLE] spark.conf.set is not available", {}),
    (
        "J17",
        "table_not_found",
        "DROP SCHEMA gold CASCADE done\n[TABLE_OR_VIEW_NOT_FOUND] The table or view `gold`.`fact` cannot be found.",
        {},
    ),
    ("P01", "upstream_failed", "Update 1a2b3c is FAILED.", {}),
    ("P02", "none", "INFO 31 records dropped by expectation valid", {}),
    (
        "P03",
        "table_not_found",
        "[TABLE_OR_VIEW_NOT_FOUND] The table or view `bronze`.`x` cannot be found.",
        {"source_kind": "pipeline_event"},
    ),
    ("P04", "schema_mismatch", "AnalysisException: A schema mismatch detected when writing to the Delta table", {}),
    ("P05", "delta_concurrent_write", "ConcurrentAppendException: Files were added by a concurrent update", {}),
    ("P06", "streaming_checkpoint_incompatible", "StreamingQueryException: incompatible checkpoint", {}),
    ("P07", "job_timeout", "pipeline visits is stuck in RUNNING for 6 h", {}),
    ("P08", "path_not_found", "java.io.FileNotFoundException: /mnt/raw/x.json", {}),
    ("P09", "constraint_violation", "CONSTRAINT_VIOLATION: NOT NULL", {}),
    ("P10", "driver_oom", "java.lang.OutOfMemoryError: Java heap space", {"source_kind": "pipeline_event"}),
    ("P11", "none", "no expectations were recorded for this update", {}),
    ("P12", "none", "flow_progress: 12 rows dropped by expectation valid_day", {}),
    ("M03", "schema_not_found", "[SCHEMA_NOT_FOUND] The schema `main`.`monitoring` cannot be found.", {}),
    ("M04", "uc_missing_privilege", "PERMISSION_DENIED: User does not have SELECT on Table 'main.gold.fact'.", {}),
    ("M05", "unresolved_column", "Column 'basket' does not exist", {}),
    ("M09", "monitor_refresh_failed", "monitor creation timed out after 30 minutes", {}),
    ("A01", "alert_already_exists", "HTTP 400: an alert named 'x' already exists", {"http_status": 400}),
    ("A02", "alert_update_mask_missing", "HTTP 400: update_mask is required", {}),
    (
        "A03",
        "api_endpoint_not_found",
        "404 Client Error: Not Found for url: https://x/api/2.0/preview/sql/alerts/1",
        {},
    ),
    (
        "A07",
        "alert_query_failed|sql_syntax_error",
        "alert query failed: [PARSE_SYNTAX_ERROR] Syntax error at or near 'FORM'",
        {},
    ),
    ("D01", "invalid_token", "Error: 403 Invalid access token", {}),
    (
        "D02",
        "invalid_task_type",
        "Warning: unknown field: python_task\n  at resources.jobs.x.tasks[0]\n  in r.yml:9:9",
        {},
    ),
    ("D04", "bundle_file_not_found|notebook_not_found", "Error: notebook ../src/load.py not found", {}),
    (
        "D05",
        "wrong_job_reference_field",
        "Warning: unknown field: job_task\n  at resources.jobs.x.tasks[0]\n  in r.yml:9:9",
        {},
    ),
    (
        "D06",
        "duplicate_resource_key",
        "Error: multiple resources have been defined with the same key: load\n  at resources.jobs.load\n  in a.yml:3:5",
        {},
    ),
    ("D08", "variable_missing_prefix|unresolved_reference", "Error: reference does not exist: ${catalog}", {}),
    ("D09", "path_outside_sync_root", "Error: path ../../lib.py is not contained in sync root path", {}),
    ("D10", "include_missing", "Error: resources/*.yaml defined in 'include' section does not match any files", {}),
    (
        "D11",
        "invalid_notebook_parameters",
        "db_ipykernel_launcher.py: error: the following arguments are required: --day",
        {},
    ),
    (
        "D13",
        "volume_permissions_not_grants",
        "Warning: unknown field: permissions\n  at resources.volumes.x\n  in r.yml:3:3",
        {},
    ),
    ("D16", "pipeline_name_conflict", "The pipeline name 'x' is already used by another pipeline.", {}),
    ("O01", "table_not_found", "Failed to retrieve schema from unity catalog", {}),
    ("O02", "genie_dependency_missing", "Genie space: INTERNAL_ERROR: ", {}),
    ("C01", "driver_down", "DRIVER_UNREACHABLE", {"source_kind": "cluster_event"}),
    ("C02", "driver_oom|executor_oom", "java.lang.OutOfMemoryError: GC overhead limit exceeded", {}),
    ("C03", "cluster_launch_timeout", "Cluster startup timed out: insufficient capacity", {}),
    ("C04", "library_install_failed", "Library installation failed for wheel x.whl", {}),
    ("C05", "spot_instance_lost", "SPOT_INSTANCE_LOST", {}),
    ("C06", "init_script_failed", "INIT_SCRIPT_FAILURE", {}),
    ("C07", "max_clusters_reached", "MAX_CLUSTERS_REACHED", {}),
    (
        "X01",
        "multi_task_output_requested",
        "Retrieving the output of runs with multiple tasks is not supported.",
        {},
    ),
    ("X02", "repair_id_missing", "The latest repair ID needs to be provided", {}),
    (
        "X03",
        "page_token_with_filter",
        "You can provide a page token or specify a filter/ordering, but not both",
        {},
    ),
    (
        "X04",
        "page_token_with_filter|invalid_parameter_value",
        "Operation '=' not allowed on 'event_type'",
        {},
    ),
    ("X05", "multiple_profiles_match_host", "Error: multiple profiles matched: a, b", {}),
    (
        "X06",
        "profile_host_mismatch",
        "Error: the host in the profile (https://a.cloud.databricks.com) doesn't match the host configured in the "
        "bundle (https://b.cloud.databricks.com)",
        {},
    ),
    ("X07", "deploy_lock_held", "Error: deploy lock acquired by ana@example.com. Use --force-lock to override", {}),
    ("X08", "expired_oauth_refresh_token", "Error: Refresh token is invalid", {}),
    ("X09", "invalid_token|expired_token", "Error: Invalid Token", {}),
    ("X10", "dlt_append_once_batch_query", "Cannot create streaming table from batch query", {}),
    (
        "X11",
        "delta_operation_not_allowed",
        "[DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED] CLUSTER BY is not supported",
        {},
    ),
    ("X12", "sql_syntax_error", "CREATE OR REPLACE STREAMING TABLE is not supported", {}),
    (
        "X13",
        "workspace_path_not_found",
        "Cannot overwrite the asset at /a due to type mismatch (asked: NOTEBOOK, actual: FILE)",
        {},
    ),
    ("X14", "variable_not_defined|unresolved_reference", "Error: reference does not exist: ${var.x}", {}),
    ("X15", "none", "Update 3f2a91 is INITIALIZING.", {}),
    ("X16", "feature_not_supported", "Materializing tables in custom schemas is not supported.", {}),
    (
        "X17",
        "pipeline_target_schema_mismatch",
        "Schema in the spec does not match the destination_schema",
        {},
    ),
    ("X18", "upstream_failed", "", {"termination_code": "UPSTREAM_FAILED"}),
    ("X18b", "max_concurrent_runs", "", {"termination_code": "MAX_CONCURRENT_RUNS_EXCEEDED"}),
    ("X18c", "partial_task_failures", "SUCCESS_WITH_FAILURES", {}),
    ("X19", "library_install_failed", "", {"termination_code": "LIBRARY_INSTALLATION_ERROR"}),
    ("X19b", "storage_access_denied", "", {"termination_code": "STORAGE_ACCESS_ERROR"}),
    ("X19c", "account_quota_exceeded", "", {"termination_code": "BUDGET_POLICY_LIMIT_EXCEEDED"}),
    ("X19d", "rate_limited", "", {"termination_code": "CLUSTER_REQUEST_LIMIT_EXCEEDED"}),
]


@pytest.mark.parametrize(("wanted", "text", "facts"), [item[1:] for item in SITUATIONS], ids=[i[0] for i in SITUATIONS])
def test_a_known_situation_is_named(wanted: str, text: str, facts: dict[str, Any]) -> None:
    found = diagnose(Failure(text=text, **facts))
    assert (found[0].cause if found else "none") in wanted.split("|")


@pytest.mark.parametrize("word", ["task", "file", "cluster", "error"])
def test_a_word_of_the_rows_alone_is_no_failure(word: str) -> None:
    assert diagnose(Failure(text=f"the {word} is done")) == ()


def test_what_destroys_is_marked_wherever_a_stream_starts_over() -> None:
    text = "There are [1] sources in the checkpoint offsets and now there are [2] sources requested by the query."
    (found, *_) = diagnose(Failure(text=text))
    assert found.destructive
    assert [fix.destructive for fix in found.fixes].count(True) == 1
    assert all(fix.risk for fix in found.fixes if fix.destructive)


def test_structure_is_surer_than_prose_and_prose_surer_than_a_hint() -> None:
    texts = (
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `a` cannot be resolved.",
        "Column 'basket' does not exist",
        "ValueError: no files for this day",
    )
    sure = [diagnose(Failure(text=text))[0].confidence for text in texts]
    assert sure == sorted(sure, reverse=True)
    assert sure[1] >= 0.9 > 0.5 > sure[2]
