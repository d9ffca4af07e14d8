"""`dbops-tui watch KEY`: follows the latest run or update (or the one named) to its end, one line a change.

Changes nothing. Its exit status is that of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import shlex
import sys

from ..core.engine import Engine
from ..core.events import RunStartedEvent
from ..core.failures import failed_tasks
from ..core.identity import sign_in
from ..core.pipelines import Update
from ..core.run_stats import partial_success
from ..core.runs import Run
from . import headless
from .exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from .headless import Headless, Interrupted
from .keys import refs_of
from .place import Place, Stop, open_place, said, stop_of


def main(arguments: argparse.Namespace) -> int:
    """Follow a run to its end; 0 where it succeeded (or nearly), 1 where it failed."""
    place = open_place(arguments)
    refs = refs_of(place.bundle, [arguments.key])
    place.signed_in()
    return headless.run(lambda: watch(place, refs[0], arguments))


async def watch(place: Place, ref: str, arguments: argparse.Namespace) -> int:
    """Watch one run or update."""
    engine = Engine(
        place.bundle,
        env=place.env,
        config=dataclasses.replace(place.config, read_only=True, watch=False),
        target=arguments.target or "",
        profile=arguments.profile or "",
        redactor=place.redactor,
        journal=False,
    )
    face = Headless(engine, as_json=arguments.json)
    ended: asyncio.Future[Run | Update] = asyncio.get_running_loop().create_future()
    try:
        await face.until(_follow(engine, ref, arguments.run_id or "", ended))
    except Interrupted:
        await face.close()
        return _end(face, ref, "interrupted", EXIT_INTERRUPTED, "it goes on at the workspace")
    except Exception as error:
        await face.close()
        stop = stop_of(error)
        if stop is None:
            raise
        return _stopped(face, ref, stop)
    code, outcome, detail = await _judge(engine, ref, ended.result())
    await face.close()
    return _end(face, ref, outcome, code, detail)


async def _follow(engine: Engine, ref: str, run_id: str, ended: asyncio.Future[Run | Update]) -> None:
    await engine.start(look=False)
    await engine.identifying.resolve()
    engine.reach.good()
    resource = engine.world.resource(ref)
    assert resource is not None
    pipeline = resource.type == "pipelines"
    if not resource.id and await engine.truth.version():
        await engine.truth.ask()
        resource = engine.world.resource(ref)
    if (resource is None or not resource.id) and (pipeline or not run_id):
        raise Stop(
            f"{ref} is not deployed to this target",
            f"dbops-tui heal {_key(ref)}{_target(engine)}",
            code="not_deployed",
            exit_code=EXIT_FAILED,
        )
    workspace, url = engine.world.open_workspace(), ""
    if not run_id and resource is not None:
        if pipeline:
            updates = await workspace.updates(resource.id, 1)
            run_id = updates[0].update_id if updates else ""
        else:
            runs = await workspace.runs_of(resource.id, 1)
            run_id, url = (runs[0].run_id, runs[0].page_url) if runs else ("", "")
    if not run_id:
        fix = f"dbops-tui heal {_key(ref)}{_target(engine)}"
        raise Stop(f"{ref} has never run", fix, code="no_run", exit_code=EXIT_FAILED)
    engine.world.store.set(focus=ref)
    pipeline_id = resource.id if pipeline and resource is not None else ""
    ids = {"update_id": run_id, "pipeline_id": pipeline_id} if pipeline else {"run_id": run_id}
    engine.world.emit(RunStartedEvent(ref, "adopted", **ids, url=url))

    def told(found: Run | Update) -> None:
        if not ended.done():
            ended.set_result(found)

    def gone(reason: str) -> None:
        if not ended.done():
            fix = f"dbops-tui watch {_key(ref)}{_target(engine)}"
            ended.set_exception(Stop(f"{ref}: {reason}", fix, code="no_run", exit_code=EXIT_FAILED))

    await (engine.updates if pipeline else engine.jobs).follow(ref, run_id, told, gone)
    await ended


async def _judge(engine: Engine, ref: str, found: Run | Update) -> tuple[int, str, str]:
    """(exit status, outcome, detail); what failed is explained on the way."""
    if isinstance(found, Update):
        failed, outcome, run_id = found.failed, found.state.lower(), found.update_id
    else:
        failed, outcome, run_id = not found.state.succeeded, found.state.outcome.value, found.run_id
    if not failed:
        return EXIT_OK, outcome, ""
    await engine.diagnosing.of(ref, run_id)
    if isinstance(found, Run):
        state = engine.state
        percent = engine.world.config.partial_percent
        share = partial_success(found, state.child_runs, state.iterations, percent=percent)
        if share is not None:
            return EXIT_OK, "partial", f"{share.words}; failed: {', '.join(share.failed) or 'see the run'}"
        return EXIT_FAILED, outcome, f"failed: {', '.join(task.task_key for task in failed_tasks(found))}"
    return EXIT_FAILED, outcome, found.message


def _key(ref: str) -> str:
    return ref.partition(".")[2]


def _target(engine: Engine) -> str:
    return f" -t {shlex.quote(engine.world.bundle.target)}" if engine.world.bundle.target else ""


def _stopped(face: Headless, ref: str, stop: Stop) -> int:
    """It could not be followed: said once, with what to do, and in the stream with the code for scripts."""
    fix = sign_in(face.engine.state.identity) if stop.code == "workspace.signed_out" else stop.fix
    if face.lines is None:
        text = said(Stop(stop.message, fix, code=stop.code), face.engine.world.redactor)
        print(text, file=sys.stderr)
        return stop.exit_code
    body = {"key": ref, "outcome": "unknown", "detail": stop.message}
    why = {"code": stop.code, "fix": fix, "retryable": stop.retryable}
    return face.lines.end("watch.ended", body | why, exit_code=stop.exit_code)


def _end(face: Headless, ref: str, outcome: str, code: int, detail: str) -> int:
    if face.lines is not None:
        face.lines.end("watch.ended", {"key": ref, "outcome": outcome, "detail": detail}, exit_code=code)
    else:
        face.words.say(f"{ref}: {outcome}" + (f" ({detail})" if detail else "") + ".")
    return code
