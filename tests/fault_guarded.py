"""Everything that changes something, by every way in, where nothing may be changed or where the place has changed.
It holds no test and no expectation; what must hold is told in the cases.
"""
# ruff: noqa: ASYNC240 (nothing else runs meanwhile)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbops_tui.core.cli_words import CliProblem
from dbops_tui.core.guard import RULES, Act, Guard, Permit, Policy, Refused
from dbops_tui.core.state import Identity
from dbops_tui.core.workspace import WorkspaceError
from engine_world import Played, Sample, heal, mutating, running
from fault_cases import Case
from fault_harness import JOBS, PIPELINES, Yard
from heal_server import HealServer

BOTH = (*JOBS, *PIPELINES)
Do = Callable[[Played, str], Awaitable[Any]]  # (engine, run id)


async def _edited(played: Played, run_id: str) -> None:
    await played.engine.set_auto(True)
    await played.engine.edited(("src/silver/orders.py",))


# Every intent of a face that changes something: as the console, `heal` and a script ask for it.
INTENTS: Mapping[str, Do] = {
    "deploy": lambda p, run: p.engine.deploy(),
    "deploy, confirmed": lambda p, run: p.engine.deploy(confirmed="dev"),
    "run": lambda p, run: p.engine.run("jobs.nightly"),
    "run some tasks": lambda p, run: p.engine.run("jobs.nightly", {"a": "b"}, ("orders",)),
    "repair": lambda p, run: p.engine.repair(run),
    "repair one task": lambda p, run: p.engine.repair(run, ("orders",), True),
    "cancel": lambda p, run: p.engine.cancel(run),
    "start an update": lambda p, run: p.engine.start_update("pipelines.live"),
    "validate by an update": lambda p, run: p.engine.start_update("pipelines.live", validate_only=True),
    "full refresh": lambda p, run: p.engine.start_update("pipelines.live", full=True, confirmed="live"),
    "stop an update": lambda p, run: p.engine.stop_update(),
    "apply a fix": lambda p, run: p.engine.apply_fix(0),
    "undo a fix": lambda p, run: p.engine.undo_fix(),
    "heal": lambda p, run: p.engine.heal(JOBS),
    "heal a pipeline": lambda p, run: p.engine.heal(PIPELINES),
    "check query": lambda p, run: p.engine.check(0, "warehouse"),
    "learn": lambda p, run: p.engine.learn(),
    "destroy": lambda p, run: p.engine.destroy(confirmed="dev"),
    "clean up": lambda p, run: p.engine.clean_up(confirmed="dev"),
    "an edit with auto": _edited,
}
# Past the faces: what a part of the program, or a permit of before, could try.
PARTS: Mapping[str, Do] = {
    "acting: deploy": lambda p, run: p.engine.acting.deploy(),
    "acting: deploy by itself": lambda p, run: p.engine.acting.deploy(automatic=True),
    "acting: run": lambda p, run: p.engine.acting.start(p.engine.world.bundle.resource("jobs.nightly")),  # type: ignore[arg-type]
    "acting: repair": lambda p, run: p.engine.acting.repair("jobs.nightly", run),
    "acting: cancel": lambda p, run: p.engine.acting.cancel("jobs.nightly", run),
    "acting: destroy": lambda p, run: p.engine.acting.destroy(confirmed="dev"),
    "the CLI without a permit": lambda p, run: p.engine.world.cli.run(["bundle", "deploy"]),
    "the CLI with an old permit": lambda p, run: p.engine.world.cli.deploy(_old_permit(p, "deploy")),
    "the CLI destroys": lambda p, run: p.engine.world.cli.destroy(_old_permit(p, "destroy")),
    "HTTP without a permit": lambda p, run: p.engine.world.open_workspace().request(
        "POST", "/api/2.2/jobs/run-now", body={"job_id": 1}
    ),
    "HTTP with an old permit": lambda p, run: p.engine.world.open_workspace().repair(
        _old_permit(p, "repair"), run, latest_repair_id=""
    ),
    "HTTP deletes": lambda p, run: p.engine.world.open_workspace().request("DELETE", "/api/2.0/pipelines/x"),
    "HTTP by another verb": lambda p, run: p.engine.world.open_workspace().request(
        "PUT", "/api/2.0/permissions/jobs/1", body={}
    ),
}


def _old_permit(played: Played, kind: Any) -> Permit:
    """Leave that was given while changes were allowed."""
    act = played.engine.world.guard.act(kind, "x")
    return Permit(act, 0, None, lambda: "")


async def _failed_place(yard: Yard) -> tuple[Sample, str]:
    """A bundle that is deployed, with a run that failed, and nobody who mended it."""
    place = yard.place(BOTH)
    async with running(place) as played:
        await heal(played, *JOBS, max_iterations=1)
        run = next(e.run_id for e in played.of("run.started"))
        # As if it had never been recorded: each way begins with a journal without a loop.
    return place, run


async def read_only(yard: Yard, *, step: int = 1) -> AsyncIterator[Case]:
    """Each intent, and each way past the faces, in an engine that must not change anything."""
    place, run = await _failed_place(yard)
    source = _source(place.root)
    ways: dict[str, dict[str, Any]] = {"read-only": {"read_only": True}, "not armed": {"arm_seconds": 60.0}}
    for way, changes in ways.items():
        async with running(place, **changes) as played:
            await played.engine.truth.version()
            await played.engine.truth.ask()
            await played.engine.identify()
            for number, (name, do) in enumerate((*INTENTS.items(), *PARTS.items())):
                if number % step:
                    continue
                yield await _tried(yard, place, played, f"{way}: {name}", do, run, source)
    yard.forget(place)


async def _tried(
    yard: Yard, place: Sample, played: Played, name: str, do: Do, run: str, source: dict[str, bytes], kind: str = ""
) -> Case:
    before = len(mutating(yard.box))
    rows = len(await _operations(played))
    said = ""
    try:
        await do(played, run)
    except (Refused, WorkspaceError, CliProblem):
        pass
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    await _settled(played)
    sent = mutating(yard.box)[before:]
    if sent:
        said = f"sent: {', '.join(sent)[:200]}"
    elif _source(place.root) != source:
        said = "the source was changed"
    elif len(await _operations(played)) > rows:
        said = "an intent was written"
    return Case(kind or "read-only", name, said)


async def _settled(played: Played) -> None:
    """Until nothing is under way beside but what goes on for ever."""
    for_ever = {"poller", "watcher", "reachability", "overview"}
    while others := [task for task in played.engine.world.tasks if task.get_name() not in for_ever]:
        await asyncio.wait(others)


async def _operations(played: Played) -> tuple[Any, ...]:
    journal = played.engine.world.journal
    return await journal._operations("1=1") if journal is not None else ()


def _source(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if _is_source(path)}


def _is_source(path: Path) -> bool:
    return path.is_file() and ".databricks" not in path.parts


async def read_only_commands(yard: Yard, server: HealServer) -> AsyncIterator[Case]:
    """The command line where the settings say read-only."""
    place = yard.place(BOTH)
    config = place.root.parent / "config.toml"
    config.write_text("read_only = true\n")
    env = {**place.env, "DBOPS_CONFIG": str(config)}
    for words in (
        ["heal", "nightly", "--json", "--path", str(place.root)],
        ["heal", "live", "--apply", "safe", "--path", str(place.root)],
        ["heal", "nightly", "--fixer", yard.fixer, "--confirm", "dev", "--path", str(place.root)],
    ):
        heal_ = server.start(words, env=env)
        code = await asyncio.to_thread(heal_.wait)
        sent = mutating(yard.box)
        problem = f"sent: {sent}" if sent else "" if code == 3 else f"exit status {code} in place of 3"
        yield Case("read-only", f"dbops-tui {' '.join(words[:3])}", problem)
    yard.forget(place)


# --- another place ----------------------------------------------------------------------------------------------------

HERE = Identity(host="https://one.example.com", profile="one", target="dev", user="you@example.com", mode="development")
ELSEWHERE: Mapping[str, Identity] = {
    "host": replace(HERE, host="https://two.example.com"),
    "profile": replace(HERE, profile="two"),
    "target": replace(HERE, target="staging"),
    "user": replace(HERE, user="other@example.com"),
    "mode": replace(HERE, mode="production"),
    "nobody": replace(HERE, user=""),
    "a problem": replace(HERE, problem="signed in as another one"),
}


MOVING = ("deploy", "run", "start an update", "heal", "destroy", "full refresh", "an edit with auto")


class _Log:
    async def intent(self, act: Act) -> int:
        return 1

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None:
        return None


async def other_places() -> AsyncIterator[Case]:
    """Each kind of act, each change of who acts where: before leave is given, and between leave and call."""
    for kind, rule in RULES.items():
        if not rule.needs_identity:
            continue
        for change, there in ELSEWHERE.items():
            now = [HERE]
            guard = Guard(lambda now=now: now[0], Policy(), _Log())  # type: ignore[misc]
            act = guard.act(kind, "x", data={"statement": "SELECT 1"})
            permit = await guard.permit(act, confirmed=guard.confirm_word(act))
            now[0] = there
            try:
                permit.consume()
                problem = "leave of before was good elsewhere"
            except Refused:
                problem = ""
            yield Case("another place", f"{kind}: {change} after leave", problem)
            if change == "mode":
                continue  # asked anew it takes a typed word there
            try:
                await guard.permit(act, confirmed=guard.confirm_word(act))
                problem = "what was asked here was allowed elsewhere"
            except Refused:
                problem = ""
            yield Case("another place", f"{kind}: {change} before leave", problem)


async def moved_profiles(yard: Yard, names: Sequence[str] = MOVING) -> AsyncIterator[Case]:
    """The file of profiles changes while an engine is open: nothing is sent to where it leads now."""
    place = yard.place(BOTH)
    config = Path(place.env["DATABRICKS_CONFIG_FILE"])
    here = f"[one]\nhost = {yard.box.host}\ntoken = {yard.box.token}\n"
    env = {k: v for k, v in place.env.items() if k not in ("DATABRICKS_HOST", "DATABRICKS_TOKEN")}
    source = _source(place.root)
    changes = {
        "its host": here.replace(yard.box.host, "http://127.0.0.1:9"),
        "it is gone": "[two]\nhost = http://127.0.0.1:9\ntoken = x\n",
        "it is empty": "",
    }
    for change, text in changes.items():
        for name in names:
            config.write_text(here)
            async with running(place, env=env, profile="one") as played:
                await played.engine.truth.version()
                await played.engine.truth.ask()
                await played.engine.identify()
                config.write_text(text)
                case = await _tried(
                    yard, place, played, f"{change}: {name}", INTENTS[name], "1", source, "another place"
                )
                if name == "heal" and played.engine.runner.running:
                    await played.engine.runner.ended.wait()
                yield case
    yard.forget(place)
