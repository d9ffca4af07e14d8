"""Never in the wrong place, never losing the thread: sign-ins that run out, outages, other targets, changed jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dbops_tui.core.acting import Deployed
from dbops_tui.core.guard import Refused
from engine_world import SCALE, Played, heal, mutating, running, sample
from sandbox_fixture import SandboxBox, running_sandbox


@pytest.fixture
def box() -> Iterator[SandboxBox]:
    with running_sandbox(time_scale=SCALE, scenario="retail") as found:
        yield found


async def until(played: Played, done: Callable[[], bool]) -> None:
    """Wait until `done()`: each event and each new State is a chance."""
    seen = asyncio.Event()
    off = played.engine.subscribe(lambda *_: seen.set())
    try:
        while not done():
            seen.clear()
            await seen.wait()
    finally:
        off()


async def ready(played: Played) -> None:
    assert await played.engine.truth.version()
    await played.engine.truth.ask()


def starts(box: SandboxBox) -> list[str]:
    return [each for each in mutating(box) if "run-now" in each or "repair" in each or each.endswith("/updates")]


# --- the sign-in and the line ----------------------------------------------------------------------------------------


async def test_a_sign_in_that_runs_out_pauses_and_after_signing_in_everything_goes_on(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    box.control("POST", "clock", {"scale": 5})
    async with running(place) as played:
        engine = played.engine
        await ready(played)
        await engine.heal(("jobs.orchestrator",))
        await until(played, lambda: engine.state.run is not None)
        box.control("POST", "token", {"expired": True})
        await until(played, lambda: engine.state.signed_out and bool(engine.runner.state.paused))
        assert engine.state.run is not None  # what was known stays on show
        assert engine.state.stale is not None
        assert engine.state.next_poll_at is None or engine.world.poller.next_at() is None
        assert engine.runner.state.iteration == 1
        box.control("POST", "token", {"expired": False})
        box.control("POST", "clock", {"scale": SCALE})
        await engine.login()
        await engine.runner.ended.wait()
        assert played.outcome == "verified"
        assert engine.runner.state.iteration == 1
        assert engine.state.stale is None
    assert len(starts(box)) == 1


async def test_an_outage_in_the_middle_of_a_run_uses_up_no_round_and_starts_nothing_twice(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    box.control("POST", "clock", {"scale": 5})
    async with running(place) as played:
        engine = played.engine
        await ready(played)
        await engine.heal(("jobs.orchestrator",))
        await until(played, lambda: engine.state.run is not None)
        box.control("POST", "faults", {"kind": "503", "path": "/api/*", "times": 12})
        await until(played, lambda: bool(engine.reach.away and engine.runner.state.paused))
        box.control("POST", "clock", {"scale": SCALE})
        await engine.runner.ended.wait()
        assert played.outcome == "verified"
        assert engine.runner.state.iteration == 1
    assert len(starts(box)) == 1


async def test_another_user_at_the_same_host_is_noticed_before_anything_is_changed(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    config = tmp_path / "databrickscfg"
    config.write_text(f"[one]\nhost = {box.host}\ntoken = {box.token}\n")
    env = {name: value for name, value in place.env.items() if name not in ("DATABRICKS_HOST", "DATABRICKS_TOKEN")}
    async with running(place, env=env, profile="one") as played:
        await ready(played)
        assert await played.engine.identify()
        config.write_text(f"[one]\nhost = http://127.0.0.1:9\ntoken = {box.token}\n")
        assert await heal(played, "jobs.orchestrator") in ("blocked", "escalated")
        assert mutating(box) == []


async def test_several_profiles_for_a_host_are_never_chosen_from(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    text = "".join(f"[{name}]\nhost = {box.host}\ntoken = {box.token}\n" for name in ("one", "two"))
    (tmp_path / "databrickscfg").write_text(text)
    env = {name: value for name, value in place.env.items() if name != "DATABRICKS_TOKEN"}
    async with running(place, env=env) as played:
        assert played.engine.state.identity.candidates == ("one", "two")
        assert await heal(played, "jobs.orchestrator") == "blocked"
        refusal = played.engine.runner.refusal
        assert refusal is not None
        assert refusal.exit_code == 3
        assert "--profile one" in refusal.flag
        assert mutating(box) == []
        await played.engine.login("two")
        await played.engine.idle()
        assert played.engine.state.identity.profile == "two"
        assert played.engine.state.identity.resolved


# --- other targets ---------------------------------------------------------------------------------------------------


async def test_switching_the_target_after_a_deploy_asks_for_the_clean_up_first(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place) as played:
        engine = played.engine
        assert await heal(played, "jobs.bronze_ingest") == "verified"
        await engine.switch("prod")
        await engine.idle()
        assert engine.state.bundle is not None
        assert engine.state.bundle.target == "prod"
        assert "destroy that, or keep it" in engine.state.cleanup
        assert "stay" in engine.state.cleanup  # tables that jobs made
        with pytest.raises(Refused, match="deployed to dev"):
            await engine.deploy(confirmed="prod")
        with pytest.raises(Refused, match="type 'dev'"):
            await engine.clean_up(confirmed="prod")
        await engine.clean_up(confirmed="dev")
        assert engine.state.cleanup == ""
        assert engine.state.bundle.target == "prod"
        jobs = box.get("/api/2.2/jobs/list")
        assert not jobs.get("jobs")
        assert not list((place.root / ".databricks" / "bundle" / "dev").rglob("*.json"))


async def test_what_is_deployed_can_be_kept_and_is_not_asked_about_again(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place) as played:
        engine = played.engine
        assert await heal(played, "jobs.bronze_ingest") == "verified"
        await engine.switch("prod")
        await engine.idle()
        assert engine.state.cleanup
        await engine.keep_deployed()
        assert engine.state.cleanup == ""
        assert box.get("/api/2.2/jobs/list")["jobs"]


# --- jobs that changed -----------------------------------------------------------------------------------------------


async def test_a_job_that_got_other_tasks_is_run_afresh_and_not_repaired(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    async with running(place) as played:
        engine = played.engine
        engine.acts.patience = None
        await ready(played)
        await engine.heal(("jobs.silver_refresh",))
        # The defect of the orchestrator's schedule first.
        await until(played, lambda: engine.state.loop.stage == "fix" and engine.state.loop.iteration == 1)
        files = place.mend(place.fixes[0])
        await engine.edited(files)
        await until(played, lambda: engine.state.loop.stage == "fix" and engine.state.loop.iteration == 2)
        path = place.root / "resources/silver_refresh.job.yml"
        data = yaml.safe_load(path.read_text())
        tasks = data["resources"]["jobs"]["silver_refresh"]["tasks"]
        extra = {**tasks[0], "task_key": "one_more"}
        extra.pop("depends_on", None)
        tasks.append(extra)
        path.write_text(yaml.safe_dump(data))
        files = (*place.mend(place.fixes[1]), "resources/silver_refresh.job.yml")
        await engine.edited(files)
        await engine.runner.ended.wait()
        assert played.outcome == "verified"
    assert starts(box) == ["POST /api/2.2/jobs/run-now"] * 2


async def test_a_newer_edit_while_deploying_means_exactly_one_more_deploy(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place) as played:
        engine = played.engine
        await ready(played)
        deploy = engine.acting.deploy
        count = 0

        async def edited_meanwhile(**more: object) -> Deployed:
            nonlocal count
            count += 1
            done = await deploy(**more)  # type: ignore[arg-type]
            if count == 1:
                for number in range(3):
                    (place.root / "src/bronze/ingest_orders.py").open("a").write(f"# {number}\n")
                    await engine.edited(("src/bronze/ingest_orders.py",))
            return done

        engine.acting.deploy = edited_meanwhile  # type: ignore[method-assign]
        await engine.heal(("jobs.bronze_ingest",))
        await engine.runner.ended.wait()
        assert played.outcome == "verified"
        assert count == 2
        assert engine.runner.state.iteration == 1


async def test_a_deploy_waits_while_a_running_job_reads_the_wheel_it_would_replace(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place) as played:
        engine = played.engine
        assert await heal(played, "jobs.bronze_ingest") == "verified"
        resource = engine.world.resource("jobs.bronze_ingest")
        assert resource is not None
        resource.config["tasks"][0]["libraries"] = [{"whl": "../dist/retail-0.1-py3-none-any.whl"}]
        box.control("POST", "clock", {"scale": 1})
        run_id = box.post("/api/2.2/jobs/run-now", {"job_id": int(resource.id)})["run_id"]
        waiting = asyncio.ensure_future(engine.acts._wait_for_wheels())
        await until(played, lambda: any(str(run_id) in event.reason for event in played.of("waiting")))
        assert not waiting.done()
        box.control("POST", "clock", {"scale": SCALE})
        await waiting


# --- the journal -----------------------------------------------------------------------------------------------------


async def test_without_a_journal_nothing_is_changed_and_watching_goes_on(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    async with running(place) as played:
        engine = played.engine
        assert "journal off" in engine.state.journal_note
        assert await engine.identify()
        await ready(played)
        with pytest.raises(Refused, match="without a journal nothing that deploys"):
            await heal(played, "jobs.bronze_ingest")
        assert mutating(box) == []
    assert blocked.read_text() == "a file where the folder should be"


async def test_what_a_loop_did_is_learned_and_offered(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    async with running(place, fixer="true") as played:
        assert await heal(played, "jobs.orchestrator") == "escalated"
        engine = played.engine
        assert engine.state.learnable
        await engine.learn()
        rows = list((place.root / ".dbops" / "matrix").glob("*.yaml"))
        assert rows
        assert engine.state.learnable == ""
        assert engine.world.journal is not None
        learned = await engine.world.journal.learned()
        assert learned
        assert json.dumps(learned)
