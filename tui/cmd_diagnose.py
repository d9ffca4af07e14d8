"""`dbops-tui diagnose`: what failed and why, from a text, a run or an update, with its place in the bundle and fixes.

Never changes anything: a patch is shown, not applied. It ends with 0 also where it found a failure: that was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.bundle import Bundle
from ..core.cli_words import CliProblem, parse_started
from ..core.failures import Explained, Found, explain, root_causes
from ..core.identity import resolve
from ..core.learned_rows import matrix_for
from ..core.profiles import same_host
from ..core.text import clean
from ..matrix.diagnose import diagnose
from ..matrix.matcher import Matrix
from ..matrix.model import Diagnosis, Failure
from .diagnosis_json import diagnosis_json, diagnosis_lines, short_lines
from .exits import EXIT_OK
from .failure_text import FailureText, read_file, read_stream
from .jsonl import JsonLines
from .place import Place, Stop, open_place

LOCATED_CHARS = 150_000  # of a long text: so much around the evidence is searched for places in the source
REDACTED_CHARS = 4_000_000  # a longer text is redacted where it is quoted only
SCHEMA_SECONDS = 20.0
_AROUND = 400  # lines
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be diagnosed: a file (`-` is stdin), a run, or an update. `host` is that of an address."""

    file: str = ""
    run_id: str = ""
    pipeline_id: str = ""
    update_id: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """`roots` are root causes, most telling first, `lesser` other candidates; `about` is said of what was looked at."""

    roots: tuple[Diagnosis, ...]
    lesser: tuple[Diagnosis, ...] = ()
    about: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    failed: bool = False


def main(arguments: argparse.Namespace) -> int:
    """Print the diagnosis. Raises Stop, WorkspaceError."""
    asked = what_is_asked(arguments)
    place = _at_host(open_place(arguments, bundle_needed=False), asked.host, arguments)
    if asked.file:
        answer = of_text(_text_of(asked.file), place)
    else:
        answer = asyncio.run(of_workspace(asked, place))
    for note in answer.notes:
        print(place.redactor.redact(clean(note)), file=sys.stderr)
    if arguments.json:
        shown = [diagnosis_json(each, place.root, place.redactor) for each in (*answer.roots, *answer.lesser)]
        out = JsonLines()
        out.write("diagnosis", {"failed": answer.failed, "diagnoses": shown, **dict(answer.about)}, final=True)
        return EXIT_OK
    print(place.redactor.redact("\n".join(_lines(answer, place))))
    return EXIT_OK


def what_is_asked(arguments: argparse.Namespace) -> Asked:
    """One thing to diagnose. Raises Stop for none, for two, and for ids that are none."""
    given = [name for name in ("file", "run_id", "pipeline_id") if getattr(arguments, name)]
    if arguments.update_id and not arguments.pipeline_id:
        raise Stop("an update is named together with its pipeline", "--pipeline-id P --update-id U", code="usage")
    if len(given) != 1:
        what = "two things are named: one is diagnosed at a time" if given else "nothing is named to diagnose"
        raise Stop(what, "FILE, - (stdin), the address of a run, --run-id N or --pipeline-id P", code="usage")
    address = next((value for value in (arguments.file, arguments.run_id) if value and "://" in value), "")
    if address:
        return _of_address(address)
    for name in ("run_id", "pipeline_id", "update_id"):
        value = getattr(arguments, name)
        wanted = r"\d{1,20}" if name == "run_id" else _ID
        if value and not re.fullmatch(wanted, value):
            example = {"run_id": "951292965314312, or the address of the run's page"}.get(name, "ID")
            raise Stop(f"{value!r} is no id", f"--{name.replace('_', '-')} {example}", code="usage")
    return Asked(arguments.file or "", arguments.run_id or "", arguments.pipeline_id or "", arguments.update_id or "")


def _of_address(address: str) -> Asked:
    started = parse_started(address)
    if started is None:
        raise Stop(f"{address} is no address of a run or an update", "--run-id N", code="usage")
    parts = urlsplit(address)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return Asked("", started.run_id, started.pipeline_id, started.update_id, host)


def _at_host(place: Place, host: str, arguments: argparse.Namespace) -> Place:
    """The place for a workspace that an address names: where the bundle goes elsewhere, it says nothing of the run."""
    if not host or same_host(host, place.identity.host):
        return place
    bundle = Bundle(root=place.root, name="", target="", workspace_host=host)
    identity = resolve(bundle, arguments.profile or "", place.env, profiles=place.profiles)
    return replace(place, bundle=bundle, identity=identity, bundle_problem=f"the bundle does not go to {host}")


def _text_of(file: str) -> FailureText:
    if file != "-":
        return read_file(Path(file))
    if sys.stdin is None:
        raise Stop("stdin is closed: there is nothing to read", "name a FILE, or --run-id N", code="usage")
    if sys.stdin.isatty():
        # A person at a terminal sees nothing happen: better said than waited for.
        print("reading the failure from the terminal; end it with Ctrl-D", file=sys.stderr)
    return read_stream(sys.stdin.buffer, "stdin")


def of_text(given: FailureText, place: Place) -> Answer:
    """The diagnosis of a text; located and with patches where there is a bundle."""
    text = place.redactor.redact(given.text) if len(given.text) <= REDACTED_CHARS else given.text
    notes = [given.note] if given.note else []
    if not text.strip():
        return Answer((), notes=(*notes, "the text is empty"))
    matrix = _matrix_of(place, notes)
    found = diagnose(Failure(text=text), matrix=matrix)
    if found and not place.bundle_problem:
        found = _at_home(found, _around(text, found[0]), place, matrix)
    found = tuple(given.numbered(each) for each in found)
    return Answer(found[:1], found[1:], notes=tuple(notes), failed=bool(found))


def _at_home(found: tuple[Diagnosis, ...], near: str, place: Place, matrix: Matrix) -> tuple[Diagnosis, ...]:
    """The diagnoses with what the bundle knows: places, patches, commands; `near` is the text around the first."""
    located = _located(near, place, matrix)
    first = next(iter(located.values()), None)
    if first is not None and first.category == "bundle_config" and not any(fix.patch for fix in first.fixes):
        # What is misspelt in the YAML is known to who knows the names: the CLI, on this machine, in a second.
        schema = asyncio.run(_schema(place))
        located = _located(near, place, matrix, schema) if schema else located
    return tuple(
        replace(each, location=home.location, also_at=home.also_at, fixes=home.fixes)
        if (home := located.get(each.row)) is not None
        else each
        for each in found
    )


def _located(near: str, place: Place, matrix: Matrix, schema: Mapping[str, Any] | None = None) -> dict[str, Diagnosis]:
    item = Found(Failure(text=near), "")
    (explained,) = explain([item], place.bundle, matrix=matrix, schema=schema, identity=place.identity)
    return {each.row: each for each in explained.diagnoses}


async def _schema(place: Place) -> Mapping[str, Any] | None:
    try:
        async with asyncio.timeout(SCHEMA_SECONDS):
            return await place.reading_cli().schema()
    except (CliProblem, TimeoutError):
        return None


def _matrix_of(place: Place, notes: list[str]) -> Matrix:
    """The rows with those that were learned here; what is wrong with one of these is a note."""
    root = None if place.bundle_problem else place.root
    matrix, problems = matrix_for(root, place.env, place.config.matrix)
    notes += [f"a row of your own is left out: {problem}" for problem in problems]
    return matrix


def _around(text: str, diagnosis: Diagnosis) -> str:
    """The part of a long text in which the failure stands."""
    if len(text) <= LOCATED_CHARS:
        return text
    lines = text.split("\n")
    at = [each.line for each in diagnosis.evidence] or [len(lines)]
    near = "\n".join(lines[max(0, min(at) - _AROUND) : max(at) + _AROUND])
    return near[-LOCATED_CHARS:] if len(near) > LOCATED_CHARS else near


async def of_workspace(asked: Asked, place: Place) -> Answer:
    """The diagnosis of a run or an update. Raises Stop, WorkspaceError."""
    from .failed_runs import run_failures, update_failures

    workspace = place.reading_workspace()
    notes: list[str] = []
    try:
        if asked.run_id:
            run, found, notes = await run_failures(workspace, asked.run_id, "")
            state = run.state.outcome.value
            about = (("run_id", run.run_id), ("state", state), ("url", run.page_url))
            if run.state.active:
                notes.append(f"run {run.run_id} is {state}: this is what failed so far")
            name, kind = run.name, "jobs"
        else:
            update, found = await update_failures(workspace, asked.pipeline_id, asked.update_id, "")
            if update is None:
                raise Stop(f"pipeline {asked.pipeline_id} has no update yet", code="no_update", exit_code=1)
            about = (("pipeline_id", update.pipeline_id), ("update_id", update.update_id), ("state", update.state))
            if not update.ended:
                notes.append(f"update {update.update_id} is {update.state}: it has not ended")
            name, kind = (await workspace.pipeline(asked.pipeline_id)).name, "pipelines"
    finally:
        await workspace.close()
    bundle = None if place.bundle_problem else place.bundle
    if bundle is not None:
        found = [replace(item, ref=_ref_of(bundle, kind, name) or item.ref) for item in found]
    matrix = _matrix_of(place, notes)
    explained = await asyncio.to_thread(lambda: [_explained(item, bundle, place, matrix) for item in found])
    if len(explained) == 1:
        roots, lesser = explained[0].diagnoses[:1], explained[0].diagnoses[1:]
    else:
        roots, lesser = root_causes(explained, matrix), ()
    return Answer(roots, lesser, about, tuple(notes), failed=bool(found))


def _explained(item: Found, bundle: Bundle | None, place: Place, matrix: Matrix) -> Explained:
    """The failure explained; that it failed is known also where its text does not show it."""
    (explained,) = explain([item], bundle, matrix=matrix, identity=place.identity)
    if not explained.diagnoses:
        failed = replace(item, failure=replace(item.failure, result_state="FAILED"))
        (explained,) = explain([failed], bundle, matrix=matrix, identity=place.identity)
    return explained


def _ref_of(bundle: Bundle, kind: str, name: str) -> str:
    """The resource with that name, behind what a development target puts before it; empty where that is not sure."""
    bare = re.sub(r"^\[[^\]]{1,100}\] ", "", name)
    fitting = [r.ref for r in bundle.resources if r.type == kind and r.name in (name, bare)]
    return fitting[0] if len(fitting) == 1 else ""


def _lines(answer: Answer, place: Place) -> list[str]:
    about = dict(answer.about)
    lines = [", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items() if value)] if about else []
    if not answer.failed:
        return [*lines, "no failure found"]
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    for diagnosis in answer.roots:
        lines += ([""] if lines else []) + list(diagnosis_lines(diagnosis, place.root, width=width))
    if answer.lesser:
        lines += ["", "less likely:", *short_lines(answer.lesser)]
    return lines
