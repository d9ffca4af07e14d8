"""Whether a run that ended well did its work: tasks, what they put out, expectations, rows where rows came before.

Looks only. What cannot be looked at is said as such, and counts as neither good nor bad.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .events import Check
from .failures import latest_tasks
from .job_runs import JobRuns
from .pipeline_updates import PipelineUpdates
from .pipelines import Update
from .run_stats import partial_success, share_of_result
from .runs import Outcome, Run, TaskOutput, TaskRun
from .world import World

FAILED_WORDS = frozenset({"failed", "failure", "error", "errored", "fail"})
ROWS = ("rows", "row_count", "rows_written", "num_rows", "rows_inserted", "records", "total_rows")
FINE = frozenset({Outcome.SUCCEEDED, Outcome.EXCLUDED, Outcome.DISABLED, Outcome.SKIPPED})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok` where no check says otherwise; `partial` where so little failed that it is a warning."""

    ok: bool
    partial: bool
    checks: tuple[Check, ...]


class Verifying:
    """Raises WorkspaceError where what has to be looked at cannot be."""

    def __init__(self, world: World, jobs: JobRuns, updates: PipelineUpdates) -> None:
        self._world = world
        self._jobs = jobs
        self._updates = updates

    async def run(self, ref: str, run: Run) -> Verdict:
        """Every task with its output, nested runs too, against what the last good run wrote."""
        good = await self._last_good(ref)
        checks: list[Check] = []
        rows: dict[str, int] = {}
        await self._tasks(run, "", checks, rows, 0)
        checks += row_checks(good.get("rows"), rows)
        if run.state.failed:
            percent = self._world.config.partial_percent
            state = self._world.state
            share = partial_success(run, state.child_runs, state.iterations, percent=percent)
            if share is not None:
                failed = ", ".join(share.failed) or "see the run's page"
                checks.append(Check("partial success", True, f"{share.words}; failed: {failed}"))
                return Verdict(True, True, tuple(checks))
        verdict = judged(checks)
        if verdict.ok:
            await self._keep(ref, {"run_id": run.run_id, "rows": rows})
        return verdict

    async def _tasks(self, run: Run, prefix: str, checks: list[Check], rows: dict[str, int], depth: int) -> None:
        for task in latest_tasks(run):
            name = prefix + task.task_key
            outcome = task.state.outcome
            detail = outcome.value + (f": {task.state.message}" if task.state.message and outcome not in FINE else "")
            checks.append(Check(f"task {name}", outcome in FINE, detail))
            if not task.start_ms or outcome is not Outcome.SUCCEEDED:
                continue
            if task.kind == "run_job" and depth < 8:
                child = await self._jobs.load_child(task)
                if child is not None:
                    await self._tasks(child, f"{name}/", checks, rows, depth + 1)
            elif task.kind not in ("condition", "for_each", "pipeline"):
                output = await self._jobs.load_output(task)
                if output is not None:
                    checks += output_checks(name, task, output, self._world.config.partial_percent)
                    found = rows_of(output.result)
                    if found is not None:
                        rows[name] = found

    async def update(self, ref: str, update: Update) -> Verdict:
        """State, flows, expectations not worse than before, and rows where the last good update wrote rows."""
        good = await self._last_good(ref)
        update = await self._updates.flows_of(update.pipeline_id, update.update_id)
        bad = [flow.name for flow in update.flows if flow.status == "FAILED"]
        checks = [
            Check("update", update.state == "COMPLETED", update.state.lower()),
            Check("flows", not bad, f"failed: {', '.join(bad)}" if bad else f"{len(update.flows)} flows"),
        ]
        rates, rows = expectation_rates(update), rows_of_flows(update)
        checks += expectation_checks(good.get("expectations"), rates)
        if not update.validate_only:
            checks += row_checks(good.get("rows"), rows)
        verdict = judged(checks)
        if verdict.ok and not update.validate_only:
            await self._keep(ref, {"run_id": update.update_id, "rows": rows, "expectations": rates})
        return verdict

    async def _last_good(self, ref: str) -> Mapping[str, Any]:
        journal = self._world.journal
        return await journal.recall(f"good:{ref}") if journal is not None else {}

    async def _keep(self, ref: str, facts: Mapping[str, Any]) -> None:
        if self._world.journal is not None:
            await self._world.journal.remember(f"good:{ref}", facts)


def judged(checks: list[Check]) -> Verdict:
    """All checks together; a partial result of one task is a partial result of the run."""
    partial = any(check.ok and check.what.startswith("items of ") for check in checks)
    return Verdict(all(check.ok for check in checks), partial, tuple(checks))


def output_checks(name: str, task: TaskRun, output: TaskOutput, percent: float) -> list[Check]:
    """What a task says of itself in what it exits with. Nothing where it exits with no JSON of that kind."""
    share = share_of_result(output.result)
    if share is not None and share.succeeded < share.total:
        failed = ", ".join(share.failed[:10])
        return [
            Check(f"items of {name}", share.enough(percent), share.words + (f"; failed: {failed}" if failed else ""))
        ]
    status = _object(output.result).get("status")
    if isinstance(status, str) and status.lower() in FAILED_WORDS:
        return [Check(f"output of {name}", False, f"the task exited with status {status}")]
    if output.result_truncated:
        return [Check(f"output of {name}", True, "cut by the platform, so not looked at in full")]
    return []


def rows_of(result: str) -> int | None:
    """How many rows a task says it wrote; None where it does not say."""
    data = _object(result)
    for key in ROWS:
        value = data.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def row_checks(before: Any, now: Mapping[str, int]) -> list[Check]:
    """Rows were written where the last good run wrote rows. Names that are gone are not looked for."""
    checks = []
    for name, count in before.items() if isinstance(before, dict) else ():
        if isinstance(count, int) and count > 0 and name in now:
            detail = f"{now[name]:,} (the last good run: {count:,})"
            checks.append(Check(f"rows of {name}", now[name] > 0, detail))
    return checks


def expectation_rates(update: Update) -> dict[str, list[int]]:
    """Passed and failed records of each expectation."""
    found: dict[str, list[int]] = {}
    for flow in update.flows:
        for rule in flow.expectations:
            held = found.setdefault(f"{rule.dataset or flow.name}.{rule.name}", [0, 0])
            held[0] += rule.passed
            held[1] += rule.failed
    return found


def expectation_checks(before: Any, now: Mapping[str, list[int]]) -> list[Check]:
    """No larger share of records fails an expectation than in the last good update (one point of percent is noise)."""
    checks = []
    for name, (passed, failed) in now.items():
        rate = failed / (passed + failed) if passed + failed else 0.0
        held = before.get(name) if isinstance(before, dict) else None
        old = None
        if isinstance(held, list) and len(held) == 2 and all(isinstance(n, int) for n in held) and sum(held):
            old = held[1] / sum(held)
        detail = f"{failed:,} of {passed + failed:,} records failed ({rate:.1%})"
        detail += f", before: {old:.1%}" if old is not None else ""
        checks.append(Check(f"expectation {name}", old is None or rate <= old + 0.01, detail))
    return checks


def rows_of_flows(update: Update) -> dict[str, int]:
    """Rows that each flow wrote or changed."""
    return {
        flow.name: (flow.rows or 0) + (flow.upserted or 0) + (flow.deleted or 0)
        for flow in update.flows
        if flow.rows is not None or flow.upserted is not None
    }


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
