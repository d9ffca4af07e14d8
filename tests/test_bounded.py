"""What is held for its convenience does not grow with the hours that a console is open: each of these once did."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbops_tui.core import job_runs, pipeline_updates
from dbops_tui.core.bounded import newest
from dbops_tui.core.bundle import Bundle, Place, Resource
from dbops_tui.core.config import Config
from dbops_tui.core.engine import Engine
from dbops_tui.core.guard import Guard, Policy
from dbops_tui.core.pipelines import Update
from dbops_tui.core.redaction import Redactor
from dbops_tui.core.runs import Outcome, Run, RunState, TaskOutput, TaskRun
from dbops_tui.core.state import Identity
from dbops_tui.core.workspace import Workspace
from dbops_tui.widgets.run_nodes import Parts, RunNodes

HOST = "https://example.com"
JOB, PIPELINE = "jobs.nightly", "pipelines.live"
DONE, RUNNING = RunState(Outcome.SUCCEEDED, "TERMINATED", "SUCCESS"), RunState(Outcome.RUNNING, "RUNNING")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    place = Place("databricks.yml", 1)
    resources = (
        Resource("jobs", "nightly", "nightly", place, id="7"),
        Resource("pipelines", "live", "", place, id="p"),
    )
    bundle = Bundle(tmp_path, "shop", "dev", resources=resources)
    found = Engine(bundle, env={}, config=Config(watch=False), journal=False)
    guard = Guard(Identity, Policy(), found.world.guard.log)
    found.world.workspace = Workspace(HOST, {"token": "dapi"}, guard=guard, redactor=Redactor())
    return found


def run_of(number: int, state: RunState = DONE, tasks: int = 3) -> Run:
    made = tuple(TaskRun(f"{number}{key}", f"step_{key}", state, start_ms=number) for key in range(tasks))
    return Run(str(number), "7", "nightly", state, start_ms=number, end_ms=number + 1, tasks=made)


def test_the_entries_that_came_last_stay_and_one_always_does() -> None:
    assert newest({"a": 1, "b": 2, "c": 3}, 2) == {"b": 2, "c": 3}
    assert newest({"a": 50, "b": 5, "c": 6}, 11, lambda size: size) == {"b": 5, "c": 6}
    assert newest({"a": 50}, 11, lambda size: size) == {"a": 50}


async def test_of_the_runs_that_have_ended_the_newest_are_held_and_of_the_active_ones_all(engine: Engine) -> None:
    jobs = engine.jobs
    for number in range(1, 6):
        jobs.on_run(JOB, run_of(number, RUNNING))
    await jobs.follow(JOB, "6", lambda _: None)
    most = job_runs.KEPT_RUNS
    for number in range(10, 10 + 3 * most):
        jobs.on_run(JOB, run_of(number))
        await engine.idle()
    assert [jobs.last(str(number)) is not None for number in range(1, 6)] == [True] * 5
    assert jobs.last("10") is None
    assert jobs.last(str(9 + 3 * most)) is not None
    assert len(jobs._last) == most + 5
    assert len(jobs._turns) == 0
    assert set(jobs._refs) == {"6"}


def test_outputs_are_held_up_to_a_size(engine: Engine) -> None:
    for number in range(30):
        engine.jobs._show(TaskOutput(str(number), logs="x" * (job_runs.KEPT_TEXT // 10)))
    assert list(engine.state.outputs) == [str(number) for number in range(20, 30)]


def test_of_the_updates_that_were_followed_one_after_the_other_few_are_held(engine: Engine) -> None:
    updates = engine.updates
    for number in range(20):
        watched = updates._watch(PIPELINE, f"u{number}")
        assert watched is not None
        watched.update = Update(f"u{number}", "p", "COMPLETED", creation_ms=number)
        updates._focus_update(watched)
    assert list(updates._watched)[-1] == "u19"
    assert len(updates._watched) <= pipeline_updates.KEPT_ENDED + 2
    # One that somebody waits for stays, whatever comes after it.
    updates._watched["u19"].waiting.append(lambda _: None)
    for number in range(20, 30):
        watched = updates._watch(PIPELINE, f"u{number}")
        assert watched is not None
        watched.update = Update(f"u{number}", "p", "COMPLETED", creation_ms=number)
    assert "u19" in updates._watched


def test_what_was_worked_out_for_the_tree_of_a_run_goes_with_it() -> None:
    nodes = RunNodes()
    for number in range(50):
        nodes.make(run_of(number), Parts())
    assert list(nodes._orders) == ["49"]
