"""`dbops-tui heal`: the loop without a screen, for scripts, agents and people who like lines.

Progress goes to stderr, JSON Lines to stdout; whatever it could not settle it names with the flag that answers.
"""

from __future__ import annotations

import argparse
import shlex
import sys

from ..core.engine import Engine
from ..core.events import LoopEnded
from ..core.identity import answer
from ..core.proposals import SAFE_CONFIDENCE
from ..core.stages import LoopOutcome
from . import headless
from .exits import EXIT_BLOCKED, EXIT_FAILED, EXIT_IDENTITY, EXIT_INTERRUPTED, EXIT_OK
from .headless import Headless, Interrupted
from .keys import refs_of
from .place import Place, Stop, open_place, stop_of

OUTCOMES = {
    LoopOutcome.VERIFIED: EXIT_OK,
    LoopOutcome.PARTIAL: EXIT_OK,
    LoopOutcome.DEPLOYED: EXIT_OK,
    LoopOutcome.ESCALATED: EXIT_FAILED,
    LoopOutcome.BLOCKED: EXIT_BLOCKED,
    LoopOutcome.INTERRUPTED: EXIT_FAILED,  # by a fault of ours; a person's Ctrl-C is told by `_interrupted`
}


def main(arguments: argparse.Namespace) -> int:
    """Run the loop to its end; the exit status of the contract."""
    place = open_place(arguments)
    if place.config.read_only:
        fix = "unset DBOPS_READ_ONLY, or `read_only` in the settings; to look only: dbops-tui watch KEY"
        raise Stop("read-only: heal deploys and runs", fix, code="refused", exit_code=EXIT_IDENTITY)
    refs = refs_of(place.bundle, arguments.keys)
    return headless.run(lambda: heal(place, refs, arguments))


async def heal(place: Place, refs: tuple[str, ...], arguments: argparse.Namespace) -> int:
    """The loop on `refs` at `place`."""
    engine = Engine(
        place.bundle,
        env=place.env,
        config=place.config,
        target=arguments.target or "",
        profile=arguments.profile or "",
        redactor=place.redactor,
    )
    engine.acts.headless = True
    engine.acts.patience = arguments.wait_edit
    face = Headless(engine, as_json=arguments.json, plain=getattr(arguments, "plain", False))
    try:
        await face.until(_loop(engine, refs, arguments))
    except Interrupted:
        return await _interrupted(face, refs, arguments)
    except Exception as error:
        await face.close()
        stop = stop_of(error)
        if stop is None:
            raise
        return _stopped(face, stop)
    await face.close()
    return _ended(face, refs, arguments)


async def _loop(engine: Engine, refs: tuple[str, ...], arguments: argparse.Namespace) -> None:
    await engine.start(look=False)
    held = engine.keeping.held
    if held is not None:
        raise held
    if not await engine.truth.version():
        summary, _, install = engine.state.cli_problem.partition("\n")
        raise Stop(summary, install, code="cli", exit_code=EXIT_BLOCKED)
    if engine.state.identity.problem:
        # Nothing is asked of a workspace before it is known which one.
        await engine.identifying.resolve()
    await engine.truth.ask()
    if arguments.keep_deployed:
        await engine.keep_deployed()
    await engine.heal(refs, confirmed=arguments.confirm, max_iterations=arguments.max_iterations)
    await engine.runner.ended.wait()


def _ended(face: Headless, refs: tuple[str, ...], arguments: argparse.Namespace) -> int:
    event, runner = face.ended, face.engine.runner
    if event is None:
        return EXIT_FAILED
    code = OUTCOMES.get(LoopOutcome(event.outcome), EXIT_FAILED)
    if event.outcome == LoopOutcome.BLOCKED and runner.refusal is not None:
        code = runner.refusal.exit_code
    return _tell_end(face, event, code, _to_go_on(face.engine, event, refs, arguments))


def _to_go_on(engine: Engine, event: LoopEnded, refs: tuple[str, ...], arguments: argparse.Namespace) -> str:
    """What to type where a flag, or a sign-in, would have let the loop go on; empty where nothing is known to."""
    refusal = engine.runner.refusal
    if event.outcome == LoopOutcome.BLOCKED and refusal is not None:
        whole = answer(refusal.flag, engine.state.identity, signed_out=engine.state.signed_out)
        if whole != refusal.flag:
            return whole
        if "auto_in_production" in refusal.flag:
            # The setting would answer it for ever; the word of a person answers it for this once.
            return resume_command(refs, arguments, f"--confirm {shlex.quote(engine.world.bundle.target)}")
        if refusal.flag == "--keep-deployed":
            console = shlex.join(["dbops-tui", str(engine.world.bundle.root), "-t", engine.world.bundle.target])
            kept = resume_command(refs, arguments, refusal.flag)
            return f"{kept} to keep what is deployed there, or {console} to look at it and destroy it"
        return resume_command(refs, arguments, refusal.flag) if refusal.flag.startswith("--") else refusal.flag
    if event.outcome == LoopOutcome.ESCALATED and engine.world.config.apply != "safe":
        fixes = [fix for diagnosis in engine.state.diagnoses for fix in diagnosis.fixes]
        if any(fix.patch is not None and fix.confidence >= SAFE_CONFIDENCE and not fix.destructive for fix in fixes):
            return resume_command(refs, arguments, "--apply safe")
    return ""


def _tell_end(face: Headless, event: LoopEnded, code: int, fix: str = "") -> int:
    if face.lines is not None:
        from ..core.events import to_json

        face.lines.object({**to_json(event), **({"fix": fix} if fix else {}), "exit_code": code}, final=True)
    else:
        face.words.event(event)
        face.words.say(f"To go on: {fix}" if fix else "")
        if event.outcome == LoopOutcome.ESCALATED:
            print(face.engine.state.report_markdown, end="")
    return code


def _stopped(face: Headless, stop: Stop) -> int:
    """It could not begin, or not go on."""
    from .place import said

    retryable = stop.retryable or stop.exit_code in (EXIT_BLOCKED, EXIT_IDENTITY)
    if face.lines is not None:
        body = {"code": stop.code, "message": stop.message, "fix": stop.fix, "retryable": retryable}
        face.lines.write("problem", body)
        end = {"outcome": "blocked", "iterations": 0, "retryable": retryable, "reason": stop.message}
        face.lines.end("loop.ended", end, exit_code=stop.exit_code)
    elif face.has_said(stop.message):
        face.words.say(f"  {stop.fix}" if stop.fix else "")
    else:
        print(said(stop, face.engine.world.redactor), file=sys.stderr)
    return stop.exit_code


async def _interrupted(face: Headless, refs: tuple[str, ...], arguments: argparse.Namespace) -> int:
    """A person leaves: the call in flight may end, what runs remotely goes on, and how to come back is said."""
    engine = face.engine
    goals = engine.runner.state.goals
    going = [f"{goal.ref} ({goal.run_id})" for goal in goals if goal.run_id and goal.in_flight]
    busy = engine.state.busy
    if busy:
        face.words.say(f"Letting `{busy}` come to its end; Ctrl-C again leaves at once.")
    await face.close()
    loop, here = engine.runner.loop_id, engine.state
    if going:
        face.words.say(f"Still running at {here.identity.host}: {', '.join(going)}.")
    if loop and not engine.runner.state.ended:
        face.words.say(f"To go on: {resume_command(refs, arguments)}")
    event = LoopEnded("interrupted", engine.runner.state.iteration, True, "interrupted by a person", loop)
    return _tell_end(face, event, EXIT_INTERRUPTED)


def resume_command(refs: tuple[str, ...], arguments: argparse.Namespace, more: str = "") -> str:
    """What to type to take the loop up again as it was asked for, with `more` flags that were missing or wrong."""
    given: list[tuple[str, str]] = [
        ("-t", arguments.target or ""),
        ("-p", arguments.profile or ""),
        ("--max-iterations", str(arguments.max_iterations or "")),
        ("--fixer", arguments.fixer or ""),
        ("--apply", arguments.apply if arguments.apply != "none" else ""),
        ("--wait-edit", f"{arguments.wait_edit:g}" if arguments.wait_edit else ""),
        ("--confirm", arguments.confirm),
        ("--path", arguments.path if arguments.path != "." else ""),
    ]
    added = shlex.split(more)
    words = ["dbops-tui", "heal", *(ref.partition(".")[2] for ref in refs)]
    for flag, value in given:
        words += [flag, value] if value and flag not in added else []
    for flag in ("keep_deployed", "plain", "json"):
        words += [f"--{flag.replace('_', '-')}"] if getattr(arguments, flag, False) else []
    return shlex.join(words + added)
