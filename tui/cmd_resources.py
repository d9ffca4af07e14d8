"""`dbops-tui resources`: what the bundle declares, with ids, pages and last runs as far as the workspace tells them.

Never changes anything. Where the CLI or the workspace does not answer, the YAML is what there is, and stderr says so.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.bundle import Bundle, Resource
from ..core.bundle_truth import NOWHERE, apply_summary
from ..core.cli_words import CliProblem
from ..core.identity import flag
from ..core.text import clean
from .exits import EXIT_FAILED, EXIT_IDENTITY, EXIT_OK
from .jsonl import JsonLines
from .place import Place, Stop, open_place
from .table import print_table

if TYPE_CHECKING:
    from ..core.workspace import Workspace

SUMMARY_SECONDS = 60.0  # for what the CLI says
RUNS_SECONDS = 20.0  # for all last runs together
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a job or update of a pipeline. `state` in our words; times in epoch ms, 0 where not known."""

    id: str
    state: str
    start_ms: int = 0
    end_ms: int = 0
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state,
            "start_ms": self.start_ms or None,
            "end_ms": self.end_ms or None,
            "url": self.url or None,
        }


@dataclass(slots=True)
class Listing:
    """What is known: the bundle, where that comes from (yaml, or cli), last runs by ref, and what is missing, why."""

    bundle: Bundle
    source: str = "yaml"
    last_runs: dict[str, LastRun] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def main(arguments: argparse.Namespace) -> int:
    """Print the resources; 1 where a file of the bundle cannot be read. Raises Stop."""
    place = open_place(arguments)
    if arguments.profile and place.identity.problem:
        # A profile that was named and cannot be used is a mistake; without one the YAML is a good answer.
        raise Stop(place.identity.problem, flag(place.identity), code="identity", exit_code=EXIT_IDENTITY)
    listing = asyncio.run(gather(place, offline=arguments.offline))
    for problem in listing.bundle.problems:
        at = f"{problem.place.file}:{problem.place.line}: " if problem.place else ""
        detail = f" ({problem.detail})" if problem.detail else ""
        _talk(place, f"{at}{problem.severity}: {problem.summary}{detail}")
    for note in listing.notes:
        _talk(place, note)
    status = EXIT_FAILED if listing.bundle.broken else EXIT_OK
    if arguments.json:
        return _print_json(listing, status, place)
    if listing.bundle.resources:
        _print_table(listing)
    else:
        _talk(place, f"the bundle {listing.bundle.name} declares no resources for target {listing.bundle.target}")
    return status


async def gather(place: Place, *, offline: bool = False) -> Listing:
    """The listing, within bounded time; what could not be asked is a note. Raises nothing."""
    listing = Listing(place.bundle)
    if offline:
        return listing
    if place.identity.problem:
        listing.notes.append(f"from the YAML alone: {place.identity.problem} ({flag(place.identity)})")
        return listing
    if place.bundle.broken:
        listing.notes.append("from the YAML alone: the CLI is not asked about files that cannot be read")
        return listing
    await _ask_cli(place, listing)
    if any(resource.id for resource in listing.bundle.resources):
        await _ask_workspace(place, listing)
    return listing


async def _ask_cli(place: Place, listing: Listing) -> None:
    try:
        async with asyncio.timeout(SUMMARY_SECONDS):
            result, data = await place.reading_cli().summary()
    except TimeoutError:
        listing.notes.append(f"from the YAML alone: no answer from the CLI within {SUMMARY_SECONDS:.0f} s")
        return
    except CliProblem as problem:
        hint = f" ({problem.install})" if problem.install else ""
        listing.notes.append(f"from the YAML alone: {problem.summary}{hint}")
        return
    if data is None or result.outcome != "ok":
        why = result.blocked_reason or result.summary or "the CLI gave no answer"
        listing.notes.append(f"from the YAML alone: {why}")
        return
    listing.bundle = apply_summary(place.bundle, data)
    listing.source = "cli"


async def _ask_workspace(place: Place, listing: Listing) -> None:
    from ..core.workspace import WorkspaceError

    wanted = [each for each in listing.bundle.resources if each.id and each.type in ("jobs", "pipelines")]
    workspace = place.reading_workspace()
    room = asyncio.Semaphore(_AT_ONCE)
    failed: dict[str, str] = {}

    async def one(resource: Resource) -> None:
        async with room:
            try:
                found = await _last_run(workspace, resource)
            except WorkspaceError as error:
                failed[resource.ref] = error.message
                return
        if found is not None:
            listing.last_runs[resource.ref] = found
        asked.add(resource.ref)

    asked: set[str] = set()
    try:
        async with asyncio.timeout(RUNS_SECONDS):
            await asyncio.gather(*(one(resource) for resource in wanted))
    except TimeoutError:
        missing = len(wanted) - len(asked) - len(failed)
        listing.notes.append(f"the last runs of {missing} resources were not told within {RUNS_SECONDS:.0f} s")
    finally:
        await workspace.close()
    if failed:
        first = next(iter(failed.values()))
        listing.notes.append(f"the last runs of {len(failed)} resources are not known: {first}")


async def _last_run(workspace: Workspace, resource: Resource) -> LastRun | None:
    from ..core.changes import words

    if resource.type == "jobs":
        runs = await workspace.runs_of(resource.id, limit=1)
        if not runs:
            return None
        run = runs[0]
        return LastRun(run.run_id, words(run.state), run.start_ms, run.end_ms, run.page_url)
    updates = await workspace.updates(resource.id, limit=1)
    if not updates:
        return None
    update = updates[0]
    url = f"{resource.url.partition('?')[0].rstrip('/')}/updates/{update.update_id}" if resource.url else ""
    return LastRun(update.update_id, update.state.lower(), update.creation_ms, 0, url)


def _print_json(listing: Listing, status: int, place: Place) -> int:
    out, redactor = JsonLines(), place.redactor
    for resource in listing.bundle.resources:
        declared = resource.place != NOWHERE
        last = listing.last_runs.get(resource.ref)
        body = {
            "type": resource.type,
            "key": resource.key,
            "ref": resource.ref,
            "name": resource.name,
            "file": resource.place.file if declared else None,
            "line": resource.place.line if declared else None,
            "layer": resource.layer,
            "depends_on": list(resource.depends_on),
            "id": resource.id or None,
            "url": resource.url or None,
            "state": _deployed(resource, listing) or None,
            "last_run": last.to_json() if last else None,
        }
        out.write("resource", body)
    bundle = listing.bundle
    problems = [
        {
            "severity": problem.severity,
            "summary": redactor.redact(clean(problem.summary)),
            "detail": redactor.redact(clean(problem.detail)),
            "file": problem.place.file if problem.place else None,
            "line": problem.place.line if problem.place else None,
        }
        for problem in bundle.problems
    ]
    about = {
        "bundle": bundle.name,
        "target": bundle.target,
        # Where the identity says so: what the YAML names is often nothing, and never all.
        "host": place.identity.host or bundle.workspace_host or None,
        "count": len(bundle.resources),
        "source": listing.source,
        "notes": [redactor.redact(clean(note)) for note in listing.notes],
        "problems": problems,
    }
    return out.end("resources.ended", about, exit_code=status)


def _print_table(listing: Listing) -> None:
    rows = []
    for resource in listing.bundle.resources:
        at = f"{resource.place.file}:{resource.place.line}" if resource.place != NOWHERE else "not in the YAML"
        last = listing.last_runs.get(resource.ref)
        rows.append(
            (
                *(resource.type, resource.key, resource.name, at, resource.layer),
                *(_deployed(resource, listing), resource.id, last.state if last else "", resource.url),
            )
        )
    heads = ("TYPE", "KEY", "NAME", "PLACE", "LAYER", "STATE", "ID", "LAST RUN", "PAGE")
    shown = [index for index, _ in enumerate(heads) if index < 4 or any(row[index] for row in rows)]
    print_table([heads[index] for index in shown], [[row[index] for index in shown] for row in rows], roomy=2)


def _deployed(resource: Resource, listing: Listing) -> str:
    """deployed, not deployed, to be deleted; empty where only the YAML was read."""
    if listing.source != "cli":
        return ""
    if resource.modified_status == "deleted":
        return "to be deleted"
    return "deployed" if resource.id else "not deployed"


def _talk(place: Place, text: str) -> None:
    print(place.redactor.redact(clean(text)), file=sys.stderr)
