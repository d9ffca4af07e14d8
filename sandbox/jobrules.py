"""What the Jobs API refuses and what it fills in: the checks and defaults of job settings.
Pure functions on JSON; they know no store and no request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .http import ApiError, Json, invalid

TASK_TYPES = (
    "notebook_task",
    "spark_python_task",
    "python_wheel_task",
    "spark_jar_task",
    "spark_submit_task",
    "pipeline_task",
    "sql_task",
    "dbt_task",
    "dbt_platform_task",
    "dbt_cloud_task",
    "run_job_task",
    "for_each_task",
    "condition_task",
    "alert_task",
    "dashboard_task",
    "power_bi_task",
    "clean_rooms_notebook_task",
    "ai_runtime_task",
    "gen_ai_compute_task",
    "python_operator_task",
)
RUN_IF = ("ALL_SUCCESS", "ALL_DONE", "NONE_FAILED", "AT_LEAST_ONE_SUCCESS", "ALL_FAILED", "AT_LEAST_ONE_FAILED")
CONDITION_OPS = (
    "EQUAL_TO",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
)
PAUSE = ("PAUSED", "UNPAUSED")
PERIODIC_UNITS = ("HOURS", "DAYS", "WEEKS", "MINUTES")
GIT_PROVIDERS = (
    "gitHub",
    "gitLab",
    "bitbucketCloud",
    "gitLabEnterpriseEdition",
    "bitbucketServer",
    "azureDevOpsServices",
    "gitHubEnterprise",
    "awsCodeCommit",
)
# Compute that the Jobs API runs on serverless when a task names none.
SERVERLESS_TYPES = ("notebook_task", "spark_python_task", "python_wheel_task", "dbt_task", "spark_jar_task")
CLUSTER_TYPES = (
    "notebook_task",
    "spark_python_task",
    "python_wheel_task",
    "spark_jar_task",
    "spark_submit_task",
    "dbt_task",
)
# The documented pattern is [\w-]{1,100}; blanks and signs pass here, because bundles of the CLI's own tests use them.
TASK_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,100}\Z")
INT_FIELDS = ("timeout_seconds", "max_retries", "min_retry_interval_millis", "max_concurrent_runs")
MAX_TASKS = 1000
MAX_NAME_BYTES = 4096


def tasks_of(settings: Json) -> list[Json]:
    """The tasks, or none."""
    return settings.get("tasks") or []


def all_tasks(settings: Json) -> Iterator[Json]:
    """Every task, and the one inside each for_each_task."""
    for task in tasks_of(settings):
        yield task
        inner = (task.get("for_each_task") or {}).get("task")
        if isinstance(inner, dict):
            yield inner


def check(settings: Json) -> None:
    """Raises ApiError 400 for settings that the Jobs API refuses; texts as the real one words them where known."""
    _check_shapes(settings)
    tasks = tasks_of(settings)
    if settings.get("job_clusters") and not tasks:
        raise invalid("Shared job cluster feature is only supported in multi-task jobs.")
    if len(tasks) > MAX_TASKS:
        raise invalid(f"The number of tasks in a job cannot exceed {MAX_TASKS}. Found {len(tasks)}.")
    if len(str(settings.get("name") or "").encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise invalid(f"The job name must be at most {MAX_NAME_BYTES} bytes.")
    _check_top(settings)
    keys = _check_keys(tasks)
    clusters = {item.get("job_cluster_key") for item in settings.get("job_clusters") or []}
    environments = {item.get("environment_key") for item in settings.get("environments") or []}
    for task in tasks:
        _check_task(task, keys, clusters, environments)
    _check_cycle(tasks)


def _expect(value: Any, kind: type | tuple[type, ...], name: str, word: str) -> None:
    if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is int)):
        raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: Expected '{word}' for {name}")


def _expect_objects(holder: Json, name: str) -> None:
    _expect(holder.get(name), list, name, "Array")
    if not all(isinstance(item, dict) for item in holder.get(name) or []):
        raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: Expected 'Object' for {name}")


def _int_field(holder: Json, name: str) -> None:
    value = holder.get(name)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        holder[name] = value = int(value)
    _expect(value, int, name, "int")


def _check_shapes(settings: Json) -> None:
    for name in ("tasks", "job_clusters", "environments", "parameters"):
        _expect_objects(settings, name)
    for name in ("schedule", "continuous", "trigger", "git_source", "queue", "health", "tags", "email_notifications"):
        _expect(settings.get(name), dict, name, "Object")
    _expect(settings.get("name"), str, "name", "string")
    for name in INT_FIELDS:
        _int_field(settings, name)
    for task in tasks_of(settings):
        for name in ("task_key", "environment_key", "job_cluster_key", "run_if"):
            _expect(task.get(name), str, name, "string")
        _expect_objects(task, "depends_on")
        _expect(task.get("libraries"), list, "libraries", "Array")
        for name in INT_FIELDS[:3]:
            _int_field(task, name)
        for name in TASK_TYPES:
            _expect(task.get(name), dict, name, "Object")
        for item in task.get("depends_on") or []:
            _expect(item.get("task_key"), str, "task_key", "string")


def _check_top(settings: Json) -> None:
    concurrent = settings.get("max_concurrent_runs")
    if concurrent is not None and not 0 <= concurrent <= 1000:
        raise invalid(f"max_concurrent_runs must be between 0 and 1000, but was {concurrent}.")
    git = settings.get("git_source")
    if git is not None and not git.get("git_provider"):
        raise invalid(f"git_source.git_provider must be one of: {','.join(GIT_PROVIDERS).lower()}")
    schedule = settings.get("schedule")
    if schedule is not None:
        _check_cron(str(schedule.get("quartz_cron_expression") or ""))
        if not schedule.get("timezone_id"):
            raise invalid("Missing required field: settings.schedule.timezone_id")
    for name in ("schedule", "continuous", "trigger"):
        status = (settings.get(name) or {}).get("pause_status")
        if status is not None and status not in PAUSE:
            raise _bad_enum(str(status), "pause_status", PAUSE)
    if sum(1 for name in ("schedule", "continuous", "trigger") if settings.get(name)) > 1:
        raise invalid("Only one of schedule, continuous, or trigger can be specified.")
    periodic = (settings.get("trigger") or {}).get("periodic") or {}
    if periodic and periodic.get("unit") not in PERIODIC_UNITS:
        raise _bad_enum(str(periodic.get("unit")), "unit", PERIODIC_UNITS)
    names = [item.get("name") for item in settings.get("parameters") or []]
    for name in names:
        if not name:
            raise invalid("Missing required field: settings.parameters.name")
        if names.count(name) > 1:
            raise invalid(f"Duplicate job parameter name '{name}'.")
    for kind, key in (("job_clusters", "job_cluster_key"), ("environments", "environment_key")):
        found = [item.get(key) for item in settings.get(kind) or []]
        for value in found:
            if not value:
                raise invalid(f"Missing required field: settings.{kind}.{key}")
            if found.count(value) > 1:
                raise invalid(f"Found duplicate {key} '{value}' in {kind}.")


def _bad_enum(value: str, name: str, known: tuple[str, ...]) -> ApiError:
    text = f"Could not parse request object: Expected one of [{', '.join(known)}] for {name}, but got '{value[:80]}'"
    return ApiError(400, "MALFORMED_REQUEST", text)


def _check_cron(text: str) -> None:
    """Quartz: 6 or 7 fields, and exactly one of day-of-month and day-of-week is `?`."""
    fields = text.split()
    well_formed = len(fields) in (6, 7) and all(re.fullmatch(r"[0-9A-Za-z*?,/#\-]+", item) for item in fields)
    if not well_formed or (fields[3] == "?") == (fields[5] == "?"):
        raise invalid(f"Invalid quartz_cron_expression: '{text[:200]}'. {_cron_reason(fields)}")


def _cron_reason(fields: list[str]) -> str:
    if len(fields) < 6:
        return "Unexpected end of expression."
    if len(fields) > 7:
        return "Too many fields."
    return "Support for specifying both a day-of-week AND a day-of-month parameter is not implemented."


def _check_keys(tasks: list[Json]) -> set[str]:
    keys: set[str] = set()
    for task in tasks:
        key = task.get("task_key")
        if not key:
            if len(tasks) == 1:
                raise invalid("Missing required field: settings.tasks.task_key")
            raise invalid("Missing required field: settings.tasks.task_key. Every task of a job needs a key.")
        if not TASK_KEY.match(key):
            raise invalid(
                f"The task key '{key[:120]}' is invalid. It must be 1 to 100 characters long "
                "and must not hold control characters."
            )
        if key in keys:
            raise invalid(f"Duplicate task key '{key}': task keys must be unique within a job.")
        keys.add(key)
    return keys


def _check_task(task: Json, keys: set[str], clusters: set[Any], environments: set[Any]) -> None:
    key = task["task_key"]
    for item in task.get("depends_on") or []:
        upstream = item.get("task_key")
        if upstream == key:
            raise invalid(f"Task '{key}' depends on itself.")
        if upstream not in keys:
            raise invalid(f"Invalid dependency graph, task '{key}' depends on non-existent task '{upstream}'.")
    run_if = task.get("run_if")
    if run_if is not None and run_if not in RUN_IF:
        raise _bad_enum(str(run_if), "run_if", RUN_IF)
    _check_kind(task, key, clusters, environments)
    each = task.get("for_each_task")
    if each is not None:
        inner = each.get("task")
        if not isinstance(inner, dict) or not inner.get("task_key"):
            raise invalid(f"Missing required field: for_each_task.task for task '{key}'")
        if inner.get("for_each_task"):
            raise invalid(f"Task '{key}': a for_each_task cannot contain another for_each_task.")
        if inner.get("depends_on"):
            raise invalid(f"Task '{key}': the nested task of a for_each_task cannot have dependencies.")
        for name in TASK_TYPES:
            _expect(inner.get(name), dict, name, "Object")
        _check_kind(inner, str(inner["task_key"]), clusters, environments)
    condition = task.get("condition_task")
    if condition is not None and condition.get("op") not in CONDITION_OPS:
        raise _bad_enum(str(condition.get("op")), "op", CONDITION_OPS)


def _check_kind(task: Json, key: str, clusters: set[Any], environments: set[Any]) -> None:
    kinds = [name for name in TASK_TYPES if task.get(name) is not None]
    if len(kinds) > 1:
        raise invalid(f"Task '{key}' must have exactly one task type, but {len(kinds)} were given: {', '.join(kinds)}.")
    notebook = task.get("notebook_task")
    if notebook is not None and not notebook.get("notebook_path"):
        raise invalid(f"Missing required field: notebook_path in notebook_task of task '{key}'")
    if task.get("pipeline_task") is not None and not task["pipeline_task"].get("pipeline_id"):
        raise invalid(f"Missing required field: pipeline_id in pipeline_task of task '{key}'")
    if task.get("run_job_task") is not None and not task["run_job_task"].get("job_id"):
        raise invalid(f"Missing required field: job_id in run_job_task of task '{key}'")
    shared = task.get("job_cluster_key")
    if shared is not None and shared not in clusters:
        raise invalid(f"Invalid job cluster key '{shared}' in task '{key}': it is not defined in field 'job_clusters'.")
    named = [name for name in ("existing_cluster_id", "new_cluster", "job_cluster_key") if task.get(name)]
    if len(named) > 1:
        raise invalid(f"Task '{key}' must specify only one of existing_cluster_id, new_cluster, job_cluster_key.")
    environment = task.get("environment_key")
    if environment is not None:
        if environment not in environments:
            raise invalid(
                f"Environment key '{environment}' in task '{key}' is not defined in the job's 'environments' field."
            )
        if named:
            raise invalid(f"Task '{key}' cannot specify both environment_key and a cluster.")
    elif not named and not clusters and kinds and kinds[0] in ("python_wheel_task", "spark_python_task"):
        raise invalid(
            f"An environment is required for serverless task {key}. "
            "Please specify an environment_key and create it in the job's environments."
        )
    if task.get("libraries") and not named and kinds and kinds[0] in SERVERLESS_TYPES:
        raise invalid("Libraries field is not supported for serverless task, please specify libraries in environment.")


def _check_cycle(tasks: list[Json]) -> None:
    upstream = {task["task_key"]: {item["task_key"] for item in task.get("depends_on") or []} for task in tasks}
    done: set[str] = set()
    while True:
        ready = [key for key, needs in upstream.items() if key not in done and needs <= done]
        if not ready:
            break
        done.update(ready)
    rest = [key for key in upstream if key not in done]
    if rest:
        raise invalid(f"Invalid dependency graph, cycle detected among tasks: {', '.join(sorted(rest))}.")


def with_defaults(settings: Json) -> Json:
    """The settings as GET shows them: server defaults filled in, input-only fields gone."""
    full: Json = {"email_notifications": {}, "webhook_notifications": {}, "timeout_seconds": 0, **settings}
    for name in ("email_notifications", "webhook_notifications"):
        full[name] = full[name] or {}
    full.setdefault("max_concurrent_runs", 1)
    full["format"] = "MULTI_TASK"
    if "tasks" in full:
        full["tasks"] = [_task_defaults(task, full) for task in tasks_of(full)]
    if full.get("job_clusters"):
        full["job_clusters"] = [
            {**item, "new_cluster": _cluster_defaults(item["new_cluster"])}
            if isinstance(item.get("new_cluster"), dict)
            else item
            for item in full["job_clusters"]
        ]
    return full


def _task_defaults(task: Json, settings: Json) -> Json:
    full: Json = {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}, **task}
    full["run_if"] = full["run_if"] or "ALL_SUCCESS"
    full["email_notifications"] = full["email_notifications"] or {}
    if full.get("depends_on"):
        # The real API answers dependencies sorted by key, whatever the order they came in.
        full["depends_on"] = sorted(full["depends_on"], key=lambda item: str(item.get("task_key")))
    source = "GIT" if settings.get("git_source") else "WORKSPACE"
    for name in ("notebook_task", "spark_python_task"):
        if isinstance(full.get(name), dict) and not full[name].get("source"):
            path = full[name].get("notebook_path") or full[name].get("python_file") or ""
            if name == "notebook_task" or not re.match(r"[a-z0-9]+:|/Volumes/", str(path)):
                full[name] = {**full[name], "source": source}
    if isinstance(full.get("new_cluster"), dict):
        full["new_cluster"] = _cluster_defaults(full["new_cluster"])
    each = full.get("for_each_task")
    if isinstance(each, dict) and isinstance(each.get("task"), dict):
        full["for_each_task"] = {**each, "task": _task_defaults(each["task"], settings)}
    return full


def _cluster_defaults(cluster: Json) -> Json:
    full: Json = {
        "aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "zone_id": "us-east-1c"},
        "data_security_mode": "SINGLE_USER",
        "enable_elastic_disk": False,
        **cluster,
    }
    full.pop("apply_policy_default_values", None)
    return full


def merge(settings: Json, change: Json, removed: list[str]) -> Json:
    """jobs/update: top-level fields replaced, `tasks` and other keyed arrays merged by key, `removed` fields gone."""
    keyed = {"tasks": "task_key", "job_clusters": "job_cluster_key", "environments": "environment_key"}
    merged = dict(settings)
    for name, value in change.items():
        key = keyed.get(name)
        if key and isinstance(value, list) and isinstance(merged.get(name), list):
            order = {item.get(key): item for item in merged[name]}
            order.update({item.get(key): item for item in value if isinstance(item, dict)})
            merged[name] = list(order.values())
        else:
            merged[name] = value
    for name in removed:
        head, _, rest = str(name).partition("/")
        if rest and isinstance(merged.get(head), list) and head in keyed:
            merged[head] = [item for item in merged[head] if item.get(keyed[head]) != rest]
        else:
            merged.pop(head, None)
    return merged
