"""The fields and values that the stand-in CLI knows in a bundle, and the warnings for others.
A hand-kept selection: what it does not know it passes over in silence, or warns as the real CLI would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .standin_yaml import Diagnostic, Tree


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


TOP = words(
    "bundle include resources targets variables workspace sync artifacts permissions run_as presets experimental "
    "scripts python environments"
)
BUNDLE = words("name uuid engine deployment git databricks_cli_version compute_id cluster_id")
TARGET = words(
    "default mode bundle resources variables workspace sync artifacts permissions run_as presets git cluster_id "
    "compute_id"
)
WORKSPACE = words(
    "host profile root_path file_path artifact_path state_path resource_path auth_type client_id azure_client_id "
    "azure_tenant_id azure_environment azure_workspace_resource_id azure_use_msi azure_login_app_id "
    "google_service_account account_id workspace_id experimental_is_unified_host"
)
VARIABLE = words("default description lookup type value")
RESOURCES = words(
    "jobs job_runs pipelines models experiments model_serving_endpoints registered_models quality_monitors catalogs "
    "schemas volumes external_locations clusters dashboards genie_spaces apps secret_scopes alerts sql_warehouses "
    "database_instances database_catalogs synced_database_tables postgres_projects postgres_branches "
    "postgres_endpoints postgres_catalogs postgres_databases postgres_roles postgres_synced_tables "
    "vector_search_endpoints vector_search_indexes instance_pools secrets"
)
TASK_KINDS = words(
    "notebook_task spark_python_task python_wheel_task spark_jar_task spark_submit_task pipeline_task sql_task "
    "dbt_task dbt_platform_task dbt_cloud_task run_job_task for_each_task condition_task alert_task dashboard_task "
    "power_bi_task clean_rooms_notebook_task ai_runtime_task gen_ai_compute_task python_operator_task"
)
TASK = TASK_KINDS | words(
    "task_key depends_on run_if description disabled disable_auto_optimization email_notifications environment_key "
    "existing_cluster_id health job_cluster_key libraries max_retries min_retry_interval_millis new_cluster compute "
    "notification_settings retry_on_timeout timeout_seconds webhook_notifications"
)
JOB = words(
    "name description tasks job_clusters environments parameters schedule trigger continuous queue tags "
    "max_concurrent_runs timeout_seconds email_notifications webhook_notifications notification_settings health "
    "git_source run_as permissions lifecycle deployment edit_mode format budget_policy_id usage_policy_id "
    "performance_target triggers environment_variables"
)
PIPELINE = words(
    "name catalog schema target storage serverless continuous development channel edition photon libraries root_path "
    "clusters configuration notifications environment event_log filters gateway_definition id ingestion_definition "
    "budget_policy_id usage_policy_id run_as permissions tags trigger allow_duplicate_names dry_run deployment "
    "restart_window parameters lifecycle cascade_on_destroy"
)
KNOWN: dict[str, frozenset[str]] = {
    "notebook_task": words("notebook_path base_parameters source warehouse_id"),
    "spark_python_task": words("python_file parameters source"),
    "python_wheel_task": words("package_name entry_point parameters named_parameters"),
    "run_job_task": words(
        "job_id job_parameters notebook_params python_params python_named_params jar_params sql_params dbt_commands "
        "spark_submit_params pipeline_params"
    ),
    "pipeline_task": words(
        "pipeline_id full_refresh full_refresh_selection refresh_selection reset_checkpoint_selection parameters"
    ),
    "condition_task": words("op left right"),
    "for_each_task": words("inputs concurrency task"),
    "sql_task": words("alert dashboard file query parameters warehouse_id"),
    "schedule": words("quartz_cron_expression timezone_id pause_status"),
    "queue": frozenset({"enabled"}),
    "depends_on": frozenset({"task_key", "outcome"}),
    "parameters": frozenset({"name", "default"}),
}
RECORDS: dict[str, frozenset[str]] = {
    "jobs": JOB,
    "pipelines": PIPELINE,
    "schemas": words("name catalog_name comment properties storage_root grants lifecycle custom_max_retention_hours"),
    "volumes": words("name catalog_name schema_name volume_type comment storage_location grants lifecycle"),
    "dashboards": words(
        "display_name file_path warehouse_id embed_credentials parent_path permissions serialized_dashboard etag "
        "dataset_catalog dataset_schema lifecycle create_time dashboard_id lifecycle_state path update_time"
    ),
}
PAUSE = ("PAUSED", "UNPAUSED")
ENUMS: dict[str, tuple[str, ...]] = {
    "pause_status": PAUSE,
    "run_if": ("ALL_DONE", "ALL_FAILED", "ALL_SUCCESS", "AT_LEAST_ONE_FAILED", "AT_LEAST_ONE_SUCCESS", "NONE_FAILED"),
    "op": ("EQUAL_TO", "GREATER_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL", "NOT_EQUAL"),
    "source": ("GIT", "WORKSPACE"),
    "volume_type": ("EXTERNAL", "MANAGED"),
    "performance_target": ("PERFORMANCE_OPTIMIZED", "STANDARD"),
    "availability": ("ON_DEMAND", "SPOT", "SPOT_WITH_FALLBACK"),
    "data_security_mode": (
        "DATA_SECURITY_MODE_AUTO",
        "DATA_SECURITY_MODE_DEDICATED",
        "DATA_SECURITY_MODE_STANDARD",
        "LEGACY_PASSTHROUGH",
        "LEGACY_SINGLE_USER",
        "LEGACY_SINGLE_USER_STANDARD",
        "LEGACY_TABLE_ACL",
        "NONE",
        "SINGLE_USER",
        "USER_ISOLATION",
    ),
}
REQUIRED = {
    "run_job_task": ("job_id",),
    "pipeline_task": ("pipeline_id",),
    "notebook_task": ("notebook_path",),
    "spark_python_task": ("python_file",),
    "condition_task": ("left", "op", "right"),
    "schedule": ("quartz_cron_expression", "timezone_id"),
}
REQUIRED_RECORDS = {"schemas": ("catalog_name", "name"), "volumes": ("catalog_name", "name", "schema_name")}


def fields_of(tree: Tree) -> Iterator[Diagnostic]:
    """Warnings for fields that no place of a bundle has, before targets are merged."""
    config = tree.value
    yield from _unknown(tree, config, "", TOP)
    yield from _unknown(tree, config.get("bundle"), "bundle", BUNDLE)
    yield from _unknown(tree, config.get("workspace"), "workspace", WORKSPACE)
    for name, target in _items(config.get("targets")):
        yield from _unknown(tree, target, f"targets.{name}", TARGET)
    for name, variable in _items(config.get("variables")):
        yield from _unknown(tree, variable, f"variables.{name}", VARIABLE)


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _unknown(tree: Tree, value: Any, path: str, known: frozenset[str]) -> Iterator[Diagnostic]:
    for key, _ in _items(value):
        if key not in known:
            place = tree.keys.get(f"{path}.{key}" if path else key)
            paths = (path,) if path else ()
            yield Diagnostic("Warning", f"unknown field: {key}", paths, (place,) if place else ())


def _records(tree: Tree) -> Iterator[tuple[str, str, Any]]:
    for kind, records in _items(tree.value.get("resources")):
        for key, record in _items(records):
            if kind in RECORDS:
                yield kind, f"resources.{kind}.{key}", record


def unknown_in_resources(tree: Tree) -> Iterator[Diagnostic]:
    """Warnings for unknown fields of resources, tasks in the order of the file."""
    yield from _unknown(tree, tree.value.get("resources"), "resources", RESOURCES)
    for kind, path, record in _records(tree):
        yield from _unknown(tree, record, path, RECORDS[kind])
        yield from _deep(tree, record, path, "", _unknown_part)


def values_of_resources(tree: Tree) -> Iterator[Diagnostic]:
    """Warnings for wrong enum values and missing fields, once targets are merged and tasks are sorted."""
    for kind, path, record in _records(tree):
        yield from _missing(tree, record, path, REQUIRED_RECORDS.get(kind, ()))
        yield from _deep(tree, record, path, "", _value_part)


def _missing(tree: Tree, value: Any, path: str, needed: tuple[str, ...]) -> Iterator[Diagnostic]:
    for name in needed:
        if isinstance(value, dict) and value.get(name) is None:
            yield Diagnostic("Warning", f'required field "{name}" is not set', (path,), tree.place(path))


Part = Callable[[Tree, Any, str, str], Iterator[Diagnostic]]
OPAQUE = ("base_parameters", "named_parameters", "tags", "configuration", "properties", "job_parameters")


def _deep(tree: Tree, value: Any, path: str, name: str, part: Part) -> Iterator[Diagnostic]:
    """What `part` finds in a value and in everything below it; maps that users fill as they like are passed over."""
    yield from part(tree, value, path, name)
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in OPAQUE:
                yield from _deep(tree, item, f"{path}.{key}", key, part)
    elif isinstance(value, list):
        if name == "parameters" and not all(isinstance(item, dict) and "name" in item for item in value):
            return
        for number, item in enumerate(value):
            yield from _deep(tree, item, f"{path}[{number}]", name, part)


def _unknown_part(tree: Tree, value: Any, path: str, name: str) -> Iterator[Diagnostic]:
    if isinstance(value, dict):
        if name in KNOWN and not path.startswith("resources.pipelines"):
            yield from _unknown(tree, value, path, KNOWN[name])
        if name in ("tasks", "task") and "task_key" in value:
            yield from _unknown(tree, value, path, TASK)


def _value_part(tree: Tree, value: Any, path: str, name: str) -> Iterator[Diagnostic]:
    if isinstance(value, dict):
        yield from _missing(tree, value, path, REQUIRED.get(name, ()))
    elif isinstance(value, str) and name in ENUMS and value not in ENUMS[name] and "${" not in value:
        values = " ".join(ENUMS[name])
        text = f'invalid value "{value}" for enum field. Valid values are [{values}]'
        yield Diagnostic("Warning", text, (path,), tree.place(path))


def json_schema() -> dict[str, Any]:
    """The JSON schema of a bundle as far as this module knows it: names of fields, and words of enums.

    A place of which the fields are not known takes any.
    """
    depends = {"depends_on": _list(_object(KNOWN["depends_on"]))}
    repeated = {"for_each_task": _object(KNOWN["for_each_task"], {"task": _object(TASK, depends)})}
    task = _object(TASK, depends | repeated)
    job = {
        "tasks": _list(task),
        "parameters": _list(_object(KNOWN["parameters"])),
        "schedule": _object(KNOWN["schedule"]),
        "queue": _object(KNOWN["queue"]),
    }
    records = {kind: _map(_object(fields, job if kind == "jobs" else {})) for kind, fields in RECORDS.items()}
    below = {
        "bundle": _object(BUNDLE),
        "workspace": _object(WORKSPACE),
        "variables": _map(_object(VARIABLE)),
        "resources": _object(RESOURCES, records),
    }
    target = _object(TARGET, {name: below[name] for name in ("bundle", "workspace", "resources")})
    return _object(TOP, below | {"targets": _map(target)})


def _object(fields: frozenset[str], known: dict[str, Any] | None = None) -> dict[str, Any]:
    below = {name: _object(KNOWN[name]) for name in fields & TASK_KINDS & KNOWN.keys()}
    below |= {name: {"type": "string", "enum": list(ENUMS[name])} for name in fields & ENUMS.keys()}
    below |= known or {}
    return {"type": "object", "properties": {name: below.get(name, {}) for name in sorted(fields)}}


def _map(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": value}


def _list(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": value}
