"""Hand-made States for the tests of the console, and an engine that only writes down what it was asked.

Never talks to anything; times are fixed, so that what is drawn is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle import Bundle, BundleProblem, Place, Resource, Target
from dbops_tui.core.guard import Refused
from dbops_tui.core.pipelines import Expectation, Flow, PipelineEvent, PipelineException, Update
from dbops_tui.core.runs import ForEachStats, Outcome, RepairItem, Run, RunState, TaskOutput, TaskRun
from dbops_tui.core.stages import LoopOutcome, Stage
from dbops_tui.core.state import (
    CheckResult,
    CliLine,
    Identity,
    LoopView,
    ResourceStatus,
    RunSummary,
    Stale,
    State,
    Usual,
    Warehouse,
)
from dbops_tui.matrix.model import Diagnosis, Edit, Evidence, Fix, Location, Patch

NOW_MS = 1_795_514_400_000  # 2026-11-24 10:00:00 UTC
HOST = "https://adb-123.azuredatabricks.net"
OK = RunState(Outcome.SUCCEEDED, "TERMINATED", "SUCCESS")
RUNNING = RunState(Outcome.RUNNING, "RUNNING")
BLOCKED = RunState(Outcome.BLOCKED, "BLOCKED")
UPSTREAM = RunState(Outcome.UPSTREAM_FAILED, "INTERNAL_ERROR", "UPSTREAM_FAILED")
UNRESOLVED = (
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `customer_idd` cannot be "
    "resolved. Did you mean one of the following? [`customer_id`, `order_id`, `amount`]. SQLSTATE: 42703"
)
FAILED = RunState(Outcome.FAILED, "INTERNAL_ERROR", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", UNRESOLVED)


def _url(job: str, run: str) -> str:
    return f"{HOST}/jobs/{job}/runs/{run}"


def bundle(root: Path = Path("/bundles/retail")) -> Bundle:
    """A small retail lakehouse: four jobs, a pipeline, a dashboard, a schema and a volume."""

    def job(key: str, line: int, layer: str = "atomic", **config: Any) -> Resource:
        return Resource(
            "jobs",
            key,
            key,
            Place(f"resources/{key}.yml", line),
            layer,
            config,
            id=str(100 + line),  # type: ignore[arg-type]
            url=f"{HOST}/jobs/{100 + line}",
            modified_status="",
            task_places={},
        )

    resources = (
        job(
            "orchestrator", 3, "orchestrator", tasks=[{}, {}, {}, {}], parameters=[{"name": "day", "default": "today"}]
        ),
        job("bronze_setup", 4, tasks=[{}, {}]),
        job("silver_refresh", 5, tasks=[{}]),
        job(
            "gold_merge",
            6,
            tasks=[{}, {}, {}],
            schedule={"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "UTC"},
        ),
        Resource(
            "pipelines",
            "silver_dlt",
            "silver_dlt",
            Place("resources/pipeline.yml", 4),
            "",
            {},
            id="p-1",
            url=f"{HOST}/pipelines/p-1",
            modified_status="",
        ),
        Resource(
            "dashboards",
            "sales_overview",
            "Sales overview",
            Place("resources/dashboard.yml", 4),
            id="d-1",
            modified_status="",
            url=f"{HOST}/dashboards/d-1",
        ),
        Resource("schemas", "silver", "silver", Place("resources/schema.yml", 3)),
        Resource("volumes", "landing", "landing", Place("resources/schema.yml", 9)),
    )
    targets = (Target("dev", True, "development", HOST), Target("prod", False, "production", HOST))
    return Bundle(root, "retail_lakehouse", "dev", targets, resources, (), ("databricks.yml",), workspace_host=HOST)


def history(*parts: tuple[RunState, int], start: int = 8100) -> tuple[RunSummary, ...]:
    """Runs, newest first, each (state, seconds); one an hour."""
    items = []
    for number, (state, seconds) in enumerate(parts):
        begin = NOW_MS - 300_000 - number * 3_600_000
        end = 0 if state.active else begin + seconds * 1000
        items.append(RunSummary(str(start - number), state, begin, end, _url("103", str(start - number))))
    return tuple(items)


def statuses() -> dict[str, ResourceStatus]:
    return {
        "jobs.orchestrator": ResourceStatus(
            "jobs.orchestrator",
            history((FAILED, 133), (OK, 150), (OK, 144), (FAILED, 40), (OK, 155), (OK, 149), start=8123),
        ),
        "jobs.bronze_setup": ResourceStatus("jobs.bronze_setup", history((OK, 41), (OK, 39), (OK, 44), (OK, 40))),
        "jobs.silver_refresh": ResourceStatus("jobs.silver_refresh", history((FAILED, 10), (OK, 61), (OK, 58))),
        "jobs.gold_merge": ResourceStatus("jobs.gold_merge", ()),
        "pipelines.silver_dlt": ResourceStatus(
            "pipelines.silver_dlt", history((RUNNING, 0), (OK, 300), (OK, 310), start=500), (3, 7), "flows"
        ),
    }


def task(key: str, state: RunState, start: int, seconds: int, *, id_: str = "", **more: Any) -> TaskRun:
    """A task run that started `start` seconds after the run, for `seconds` (0: it goes on)."""
    begin = NOW_MS - 300_000 + start * 1000 if start >= 0 else 0
    end = begin + seconds * 1000 if seconds else 0
    return TaskRun(
        id_ or f"t-{key}",
        key,
        state,
        start_ms=begin,
        end_ms=end,
        execution_ms=max(0, seconds - 2) * 1000,
        page_url=_url("103", f"t-{key}"),
        **{"kind": "notebook", "setup_ms": 2_000 if begin else 0, **more},
    )


def failed_run() -> Run:
    """The orchestrator after its run: a nested failure that held two tasks back, a retried task, a for_each."""
    tasks = (
        task("bronze_setup", OK, 0, 41, kind="run_job", job_id="104"),
        task("load_regions", OK, 2, 36, kind="for_each",
             for_each=ForEachStats(40, 0, 0, 40, 38, 2, ((2, "region file is empty"),))),
        task("silver_refresh", FAILED, 41, 10, kind="run_job", job_id="105", depends_on=(("bronze_setup", ""),),
             source_path="/Workspace/Users/you@example.com/.bundle/retail_lakehouse/dev/files/src/silver/refresh.py"),
        task("gold_merge", UPSTREAM, -1, 0, depends_on=(("silver_refresh", ""),)),
        task("publish", UPSTREAM, -1, 0, depends_on=(("gold_merge", ""),)),
        task("check_quality", OK, 41, 20, depends_on=(("bronze_setup", ""),), id_="t-check-1", attempt=1),
        task("check_quality", RunState(Outcome.FAILED, "TERMINATED", "FAILED", message="connection reset"), 41, 6,
             depends_on=(("bronze_setup", ""),), id_="t-check-0", attempt=0),
        task("is_month_end", OK, 61, 1, kind="condition", condition_outcome="false",
             depends_on=(("check_quality", ""),)),
    )  # fmt: skip
    return Run("8123", "103", "orchestrator", FAILED, NOW_MS - 300_000, NOW_MS - 167_000, trigger="ONE_TIME",
               creator="you@example.com", page_url=_url("103", "8123"), tasks=tasks, parameters=(("day", "today"),),
               repairs=(RepairItem("ORIGINAL", "", FAILED, NOW_MS - 300_000, NOW_MS - 167_000),))  # fmt: skip


def child_run() -> Run:
    tasks = (
        task("read_orders", OK, 42, 3, id_="c-1"),
        task("refresh", FAILED, 45, 5, id_="c-2", depends_on=(("read_orders", ""),)),
        task("optimize", UPSTREAM, -1, 0, id_="c-3", depends_on=(("refresh", ""),)),
    )
    return Run("8124", "105", "silver_refresh", FAILED, NOW_MS - 258_000, NOW_MS - 249_000, tasks=tasks,
               parent_task_run_id="t-silver_refresh")  # fmt: skip


def running_run() -> Run:
    tasks = (
        task("bronze_setup", OK, 0, 41, kind="run_job"),
        task("silver_refresh", RUNNING, 41, 0, depends_on=(("bronze_setup", ""),)),
        task("gold_merge", BLOCKED, -1, 0, depends_on=(("silver_refresh", ""),)),
        task("odd", RunState(Outcome.UNKNOWN, "HIBERNATING"), 50, 0),
    )
    return Run("8130", "103", "orchestrator", RUNNING, NOW_MS - 300_000, tasks=tasks, page_url=_url("103", "8130"))


OUTPUT = TaskOutput(
    "c-2",
    error=f"AnalysisException: {UNRESOLVED}",
    error_trace='Traceback (most recent call last):\n  File "src/silver/refresh.py", line 42, in refresh\n'
    f'    .join(o, "customer_idd")\npyspark.errors.AnalysisException: {UNRESOLVED}',
    logs="[Step 1/5] read orders\n12,031 rows\n[Step 2/5] read customers\nWARN slow scan\n[Step 3/5] join",
)
JSON_OUTPUT = TaskOutput(
    "t-bronze_setup",
    result='{"status": "SUCCEEDED", "rows": 12031, "tables": [{"table": "orders", "status": "ok", "rows": 12031}, '
    '{"table": "customers", "status": "failed", "rows": 0}]}',
)


def diagnosis() -> Diagnosis:
    return Diagnosis(
        "unresolved_column",
        "spark.unresolved_column",
        "spark_sql",
        0.96,
        "A column that is not there",
        "`customer_idd` is not a column of dev.silver.orders. Did you mean `customer_id`?",
        (Evidence(14, UNRESOLVED), Evidence(12, 'File "src/silver/refresh.py", line 42, in refresh')),
        {"column": "customer_idd", "suggestion": "customer_id"},
        Location("src/silver/refresh.py", 42),
        fixes=fixes(),
        task_keys=("silver_refresh", "refresh"),
        also_at=(Location("src/silver/returns.py", 17),),
        check_sql="DESCRIBE TABLE dev.silver.orders",
    )


def fixes() -> tuple[Fix, ...]:
    return (
        Fix(
            "edit",
            "use customer_id",
            Patch((Edit("src/silver/refresh.py", 42, '    .join(o, "customer_idd")', '    .join(o, "customer_id")'),)),
            confidence=0.9,
        ),
        Fix("manual", "look at the columns of the table", command="DESCRIBE TABLE dev.silver.orders"),
    )


WAREHOUSES = (Warehouse("w-1", "Starter", "STOPPED"), Warehouse("w-2", "Shared", "RUNNING"))
IDENTITY = Identity(HOST, "azure-demo", "you@example.com", "dev", "development", "profile azure-demo")


def base(root: Path = Path("/bundles/retail")) -> State:
    """Before anything ran: the bundle and who we are."""
    return State(bundle=bundle(root), identity=IDENTITY, cli_version="1.13.0")


def first(root: Path = Path("/bundles/retail")) -> State:
    """What the first paint has: the YAML and nothing else."""
    return State(bundle=bundle(root))


def failed(root: Path = Path("/bundles/retail")) -> State:
    """A run that failed, diagnosed, with fixes; the loop waits for the edit."""
    marks = ((Stage.DEPLOY, "done"), (Stage.POLL, "failed"), (Stage.DIAGNOSE, "done"), (Stage.FIX, "active"))
    return replace(
        base(root),
        statuses=statuses(),
        focus="jobs.orchestrator",
        run=failed_run(),
        child_runs={"t-silver_refresh": child_run()},
        outputs={"c-2": OUTPUT, "t-bronze_setup": JSON_OUTPUT},
        diagnoses=(diagnosis(),),
        fixes=fixes(),
        loop=LoopView(Stage.FIX, 1, 3, marks, "waiting for an edit of src/silver/refresh.py"),
        cli_lines=cli_lines(),
    )


def running(root: Path = Path("/bundles/retail")) -> State:
    """A run under way, an edit pending, the next poll in 12 s (of a monotonic clock that stands at 1000)."""
    marks = ((Stage.DEPLOY, "done"), (Stage.POLL, "active"))
    return replace(
        base(root),
        statuses=statuses(),
        focus="jobs.orchestrator",
        run=running_run(),
        loop=LoopView(Stage.POLL, 1, 3, marks, "waiting for run 8130 to end"),
        pending_files=("src/silver/refresh.py", "resources/pipeline.yml"),
        next_poll_at=1012.0,
        cli_lines=cli_lines(),
    )


def cli_lines() -> tuple[CliLine, ...]:
    return (
        CliLine("cmd", "databricks bundle deploy -t dev -p azure-demo"),
        CliLine(
            "err", "Uploading bundle files to /Workspace/Users/you@example.com/.bundle/retail_lakehouse/dev/files..."
        ),
        CliLine("err", "Deploying resources..."),
        CliLine("err", "Warning: unknown field: max_retriez"),
        CliLine("err", "  at resources.jobs.gold_merge"),
        CliLine("err", "  in resources/gold_merge.yml:12:9"),
        CliLine("err", "Deployment complete!"),
    )


def events(count: int = 60) -> tuple[PipelineEvent, ...]:
    """An update's events: progress, metrics, a few warnings and at the end an error with its chain."""
    result = []
    for number in range(count):
        level, kind = ("METRICS", "flow_progress") if number % 3 == 2 else ("INFO", "flow_progress")
        if number % 17 == 9:
            level = "WARN"
        result.append(
            PipelineEvent(
                f"e-{number}",
                f"2026-11-24T09:{50 + number // 60:02}:{number % 60:02}.120Z",
                level,
                kind,
                f"Flow 'silver.orders' has processed {number * 211:,} rows.",
                "u-77",
                "silver.orders",
                "silver.orders",
            )
        )
    result.append(
        PipelineEvent(
            "e-last", "2026-11-24T09:51:10.000Z", "ERROR", "flow_progress", "Flow 'silver.orders' has FAILED fatally.",
            "u-77", "silver.orders", "silver.orders", "src/pipeline/orders.sql", 12,
            (
                PipelineException("org.apache.spark.sql.streaming.StreamingQueryException", "The query was terminated"),
                PipelineException(
                    "UnknownFieldException", "Encountered unknown field(s) during parsing: discount",
                    "UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_RECORD_WITH_FILE_PATH", "KD003",
                    (("Reader", "read", "Reader.scala", 88),),
                ),
            ),
            True,
        )
    )  # fmt: skip
    return tuple(result)


def update(state: str = "RUNNING") -> Update:
    flows = (
        Flow("silver.orders", "FAILED" if state == "FAILED" else "RUNNING", "silver.orders", ("bronze.orders",), 42_031,
             start="2026-11-24T09:55:40.000Z", end="2026-11-24T09:56:10.000Z" if state == "FAILED" else "",
             backlog_bytes=1_400_000,
             expectations=(Expectation("valid_id", "silver.orders", 42_000, 31),
             Expectation("has_day", "silver.orders", 42_031))),
        Flow("bronze.orders", "COMPLETED", "bronze.orders", (), 1_204_031, start="2026-11-24T09:55:05.000Z",
             end="2026-11-24T09:55:40.000Z"),
        Flow("gold.daily", "SKIPPED" if state == "FAILED" else "QUEUED", "gold.daily", ("silver.orders",)),
    )  # fmt: skip
    return Update("u-7743aa10", "p-1", state, "USER_ACTION", NOW_MS - 300_000, flows=flows)


def previous_update() -> Update:
    """The update before `update`: `valid_id` did better in it."""
    flow = Flow("silver.orders", "COMPLETED", "silver.orders", ("bronze.orders",), 40_100,
                expectations=(Expectation("valid_id", "silver.orders", 40_088, 12),
                              Expectation("has_day", "silver.orders", 40_000, 100)))  # fmt: skip
    return Update("u-6600bb22", "p-1", "COMPLETED", "USER_ACTION", NOW_MS - 4_000_000, flows=(flow,))


def pipeline(root: Path = Path("/bundles/retail"), state: str = "RUNNING") -> State:
    """An update of the pipeline, with its events."""
    marks = ((Stage.DEPLOY, "done"), (Stage.POLL, "active"))
    return replace(
        base(root), statuses=statuses(), focus="pipelines.silver_dlt", update=update(state), events=events(),
        loop=LoopView(Stage.POLL, 1, 3, marks, "following update u-7743aa10"), next_poll_at=1008.0,
        previous_update=previous_update(), past_updates={"pipelines.silver_dlt": past_updates()},
    )  # fmt: skip


def broken(root: Path = Path("/bundles/retail")) -> State:
    """YAML that cannot be read: the last good tree, with the place of the mistake."""
    problem = BundleProblem("error", "mapping values are not allowed here", Place("resources/gold_merge.yml", 14, 9),
                            "      - task_key: merge:\n                     ^")  # fmt: skip
    return replace(
        base(root), bundle=replace(bundle(root), problems=(problem,)),
        bundle_note="resources/gold_merge.yml:14: mapping values are not allowed here (showing the last good version)",
    )  # fmt: skip


def no_cli(root: Path = Path("/bundles/retail")) -> State:
    return replace(base(root), cli_version="", cli_problem="the databricks CLI was not found")


def unresolved(root: Path = Path("/bundles/retail")) -> State:
    identity = Identity(host=HOST, target="dev", problem="two profiles lead to this host: none is chosen for you",
                        candidates=("azure-demo", "azure-admin"))  # fmt: skip
    return replace(base(root), identity=identity)


def production(root: Path = Path("/bundles/retail")) -> State:
    identity = replace(IDENTITY, target="prod", mode="production")
    return replace(failed(root), identity=identity, bundle=replace(bundle(root), target="prod"))


def read_only(root: Path = Path("/bundles/retail")) -> State:
    return replace(failed(root), read_only=True)


def stale(root: Path = Path("/bundles/retail")) -> State:
    return replace(running(root), stale=Stale(NOW_MS - 95_000, "the workspace does not answer (timed out)"))


def verified(root: Path = Path("/bundles/retail")) -> State:
    marks = tuple((stage, "done") for stage in (Stage.DEPLOY, Stage.POLL, Stage.DIAGNOSE, Stage.FIX, Stage.REDEPLOY,
                                                 Stage.VERIFY))  # fmt: skip
    good = tuple(replace(t, state=OK, start_ms=t.start_ms or NOW_MS - 200_000, end_ms=t.end_ms or NOW_MS - 180_000)
                 for t in failed_run().tasks)  # fmt: skip
    return replace(
        failed(root), run=replace(failed_run(), state=OK, tasks=good), diagnoses=(), fixes=(), child_runs={},
        loop=LoopView(Stage.ENDED, 2, 3, marks, "", LoopOutcome.VERIFIED),
    )  # fmt: skip


def nightly_run() -> Run:
    """A repaired run with all kinds: a pipeline task, a for_each that failed in few, a branch not taken."""
    bad = RunState(Outcome.FAILED, "TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", "connection reset")
    tasks = (
        task("load_regions", bad, 0, 40, kind="for_each", setup_ms=9_000, queue_ms=6_000,
             for_each=ForEachStats(240, 0, 0, 240, 236, 4, ((4, "region file is empty"),))),
        task("orders_dlt", FAILED, 0, 60, kind="pipeline", pipeline_id="p-1"),
        task("is_month_end", OK, 41, 1, kind="condition", condition_outcome="false"),
        task("close_month", RunState(Outcome.EXCLUDED, "TERMINATED", "EXCLUDED"), -1, 0,
             depends_on=(("is_month_end", "true"),)),
        task("old_export", RunState(Outcome.DISABLED, "TERMINATED", "DISABLED"), -1, 0),
        task("clean_up", OK, 60, 95, depends_on=(("load_regions", ""), ("orders_dlt", "")), run_if="ALL_DONE"),
        task("notify", bad, 60, 5, id_="t-notify-0", depends_on=(("is_month_end", "false"),)),
        task("notify", OK, 120, 4, id_="t-notify-1", depends_on=(("is_month_end", "false"),)),
    )  # fmt: skip
    repairs = (
        RepairItem("ORIGINAL", "", FAILED, NOW_MS - 300_000, NOW_MS - 200_000, ("t-notify-0", "t-orders_dlt")),
        RepairItem("REPAIR", "r-1", FAILED, NOW_MS - 190_000, NOW_MS - 145_000, ("t-notify-1", "t-orders_dlt")),
    )
    return Run("9001", "103", "orchestrator", FAILED, NOW_MS - 300_000, NOW_MS - 145_000, tasks=tasks, repairs=repairs,
               page_url=_url("103", "9001"))  # fmt: skip


def regions(first: int, count: int) -> tuple[TaskRun, ...]:
    """Iterations of `load_regions`, those that failed first."""
    bad = RunState(Outcome.FAILED, "TERMINATED", "FAILED", message="region file is empty")
    loops = [task(f"load_regions_{n}", bad if n % 60 == 7 else OK, 1, 5, id_=f"i-{n}", kind="notebook")
             for n in range(first, first + count)]  # fmt: skip
    return tuple(sorted(loops, key=lambda loop: not loop.state.failed))


def past_runs() -> tuple[Run, ...]:
    """Ten runs of the orchestrator, newest first; `check_quality` fails by turns, `notify` was retried once."""
    runs = []
    for number in range(10):
        begin = NOW_MS - 300_000 - number * 86_400_000
        flaky = FAILED if number in (1, 3, 4, 7) else OK
        parts = [
            TaskRun(f"p-{number}-{key}", key, state, start_ms=begin, end_ms=begin + seconds * 1000,
                    page_url=_url("103", f"p-{number}-{key}"))
            for key, state, seconds in (("bronze_setup", OK, 40 + number), ("check_quality", flaky, 20 + number % 3),
                                        ("publish", UPSTREAM if flaky is FAILED else OK, 8))
        ]  # fmt: skip
        if number == 5:
            parts.append(TaskRun("p-5-publish-0", "publish", FAILED, start_ms=begin - 1, end_ms=begin))
        runs.append(Run(str(8100 - number), "103", "orchestrator", flaky, begin, begin + 130_000 + number * 2_000,
                        tasks=tuple(parts), page_url=_url("103", str(8100 - number))))  # fmt: skip
    return tuple(runs)


def past_updates() -> tuple[Update, ...]:
    """Updates of the pipeline, newest first: one that the platform retried, a validation, a full refresh."""
    return (
        Update("u-7743aa10", "p-1", "RUNNING", "RETRY_ON_FAILURE", NOW_MS - 300_000),
        Update("u-6600bb22", "p-1", "FAILED", "USER_ACTION", NOW_MS - 900_000, message="Update u-66 is FAILED."),
        Update("u-5500cc33", "p-1", "COMPLETED", "USER_ACTION", NOW_MS - 4_000_000, validate_only=True),
        Update("u-4400dd44", "p-1", "COMPLETED", "JOB_TASK", NOW_MS - 90_000_000, full_refresh=True),
        Update("u-3300ee55", "p-1", "CANCELED", "USER_ACTION", NOW_MS - 180_000_000,
               refresh_selection=("silver.orders",)),
    )  # fmt: skip


def nightly(root: Path = Path("/bundles/retail")) -> State:
    """A run with all kinds of tasks, repaired once, with past runs to compare it with."""
    usual = {"clean_up": Usual(50_000, 58_000, 9), "load_regions": Usual(41_000, 45_000, 9)}
    held = statuses()
    held["jobs.orchestrator"] = replace(held["jobs.orchestrator"], usual=Usual(100_000, 120_000, 9))
    return replace(
        base(root), statuses=held, focus="jobs.orchestrator", run=nightly_run(), requests=(14, 60),
        iterations={"t-load_regions": regions(0, 100)}, iterations_more={"t-load_regions": "next-1"},
        child_updates={"t-orders_dlt": update("FAILED")}, task_usual=usual,
        past_runs={"jobs.orchestrator": past_runs()},
    )  # fmt: skip


def checked(root: Path = Path("/bundles/retail")) -> State:
    """Two causes, the first confirmed by its check query."""
    state = failed(root)
    other = replace(diagnosis(), cause="connection_reset", row="net.reset", confidence=0.7, task_keys=("publish",),
                    title="The connection was cut", location=None, also_at=(), fixes=(), check_sql=None)  # fmt: skip
    rows = (("customer_id", "bigint", ""), ("order_id", "bigint", ""), ("amount", "decimal(18,2)", "gross"))
    check = CheckResult("spark.unresolved_column", "DESCRIBE TABLE dev.silver.orders", "confirmed",
                        ("col_name", "data_type", "comment"), rows, 0.99)  # fmt: skip
    return replace(
        state, diagnoses=(replace(diagnosis(), confidence=0.99), other), check=check, undo_title="use customer_id",
        learnable="a row for unresolved_column, mended by editing src/silver/refresh.py", armed_until=1_125.0,
        requests=(57, 60), next_poll_at=1012.0,
    )  # fmt: skip


def left_behind(root: Path = Path("/bundles/retail")) -> State:
    """After a switch to production, with what is still deployed to dev."""
    text = (
        "the bundle is deployed to dev on adb-123.azuredatabricks.net (jobs.orchestrator, pipelines.silver_dlt): "
        "destroy that, or keep it, before deploying here; tables that jobs made stay"
    )
    return replace(production(root), cleanup=text, cleanup_word="dev")


ALL: dict[str, Callable[..., State]] = {
    "first": first,
    "base": base,
    "failed": failed,
    "running": running,
    "pipeline": pipeline,
    "broken": broken,
    "no_cli": no_cli,
    "unresolved": unresolved,
    "production": production,
    "read_only": read_only,
    "stale": stale,
    "verified": verified,
    "nightly": nightly,
    "checked": checked,
    "left_behind": left_behind,
}


class FakeEngine:
    """Writes down every wish in `calls`; `publish` shows a State; `refuse` makes the next wish be refused."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.calls: list[tuple[Any, ...]] = []
        self.presence: list[tuple[Any, ...]] = []  # touch and away
        self.refuse = ""
        self.raises: Exception | None = None
        self.closed = False
        self._subscribers: list[Callable[[State, Any], None]] = []

    def subscribe(self, subscriber: Callable[[State, Any], None]) -> Callable[[], None]:
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def publish(self, state: State | None = None, event: Any = None) -> None:
        """Show `state` to the console, as the engine does on the event loop."""
        self.state = state or self.state
        for subscriber in tuple(self._subscribers):
            subscriber(self.state, event)

    async def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def wish(*args: Any, **more: Any) -> None:
            if name in ("touch", "away"):
                self.presence.append((name, *args))
                return
            if self.raises is not None:
                raise self.raises
            if self.refuse:
                raise Refused(self.refuse)
            self.calls.append((name, *args, *([more] if more else [])))
            if name == "focus":
                self.publish(replace(self.state, focus=args[0]))
            if name == "set_auto":
                self.publish(replace(self.state, auto=args[0]))
            if name == "load_warehouses":
                self.publish(replace(self.state, warehouses=WAREHOUSES))

        return wish
