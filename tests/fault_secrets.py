"""Secrets of every shape on each of their ways to a place where somebody could read them.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from dbops_tui.core import api_errors
from dbops_tui.core.crash import sentence, write_crash
from dbops_tui.core.events import Problem, plain, to_json
from dbops_tui.core.guard import Act
from dbops_tui.core.journal import Journal
from dbops_tui.core.process import run_process
from dbops_tui.core.redaction import Redactor
from dbops_tui.core.run_json import parse_output
from dbops_tui.tui.jsonl import line_of
from dbops_tui.tui.place import Stop
from dbops_tui.tui.place import said as said_of
from dbops_tui.tui.plain import Sentences
from fault_cases import Case
from secret_shapes import SHAPES, leaks

Sink = Callable[[str, str, Path], str]  # (text, secret, folder) -> what can be read there


def _output(text: str, secret: str, folder: Path) -> str:
    raw = {"error": text, "error_trace": text, "logs": text, "notebook_output": {"result": text}}
    return json.dumps(plain(parse_output(raw, Redactor())), ensure_ascii=False)


def _model(text: str) -> str:
    return parse_output({"error": text}, Redactor()).error


def _json_line(text: str, secret: str, folder: Path) -> str:
    return line_of(to_json(Problem("x", _model(text))))


def _sentences(text: str, secret: str, folder: Path) -> str:
    stream = io.StringIO()
    Sentences(stream, redactor=Redactor()).event(Problem("x", text))
    return stream.getvalue()


def _error(text: str, secret: str, folder: Path) -> str:
    body = json.dumps({"error_code": "BAD_REQUEST", "message": text}).encode()
    error = api_errors.of_answer(400, {}, body, Redactor(), changes=False)
    return f"{error} {error!r} {error.message}"


def _crash(text: str, secret: str, folder: Path) -> str:
    token = secret  # a local variable of a frame
    try:
        raise RuntimeError(text if token else "")
    except RuntimeError as error:
        path = write_crash(error, folder)
        assert path is not None
        said = path.read_text("utf-8") + sentence(error, path)
        path.unlink()
        return said


def _held(text: str, secret: str, folder: Path) -> str:
    """A secret that we hold, in a text without any shape."""
    return Redactor([secret]).redact(f"it was {secret} all the time")


SINKS: Mapping[str, Sink] = {
    "a task's output": _output,
    "JSON lines": _json_line,
    "sentences": _sentences,
    "stderr of a command": lambda text, *_: said_of(Stop(text, text, code="x")),
    "an error of the API": _error,
    "a crash": _crash,
    "any text, of one we hold": _held,
}


def through_sinks(names: Sequence[str], folder: Path) -> list[Case]:
    """Each secret on each way that needs no other process."""
    cases = []
    for sink, write in SINKS.items():
        for name in names:
            text, secret = SHAPES[name]
            cases.append(_case(name, sink, secret, write(text, secret, folder)))
    return cases


def _case(name: str, sink: str, secret: str, shown: str) -> Case:
    found = leaks(secret, shown)
    return Case("secrets", f"{name} to {sink}", f"{found[0]!r} can be read" if found else "")


async def to_journal(names: Sequence[str], folder: Path) -> AsyncIterator[Case]:
    """Each secret in every column of a journal; the file and what lies beside it are read as bytes."""
    for name in names:
        text, secret = SHAPES[name]
        home = folder / "journal"
        home.mkdir()
        journal = await Journal.open(home / "j.sqlite3", about={"root": text})
        await journal.save_loop("l", {"note": text}, record={"reason": text}, events=[("x", {"text": text})])
        op = await journal.intent(Act("run", "jobs.x", command=text, data={"text": text}))
        await journal.result(op, "refused", {"reason": text})
        await journal.event("y", {"text": text})
        await journal.save_output("1", {"logs": text})
        await journal.learn("cause", "row", text, text, "verified", 1)
        await journal.remember("z", {"text": text})
        data = b"".join(path.read_bytes() for path in home.iterdir())
        await journal.close()
        shutil.rmtree(home)
        yield _case(name, "the journal", secret, data.decode("utf-8", "replace"))


async def to_children(names: Sequence[str], folder: Path) -> AsyncIterator[Case]:
    """Each secret as a line of the CLI; and in the environment of a fixer and on its input."""
    script = "import sys; data = sys.stdin.read(); sys.stderr.write(data + '\\n'); sys.stdout.write(data)"
    for name in names:
        text, secret = SHAPES[name]
        told: list[str] = []
        words = [sys.executable, "-ISc", script]
        ended = await run_process(words, cwd=folder, env={}, seconds=60, tell=told.append, stdin=text.encode())
        yield _case(name, "a line of the CLI", secret, "\n".join((*told, *ended.lines)))


async def to_fixer(place_env: Mapping[str, str], folder: Path) -> AsyncIterator[Case]:
    """The sign-in of the environment, in what a fixer is started with."""
    from dbops_tui.core.fixer import fixer_env

    secret = SHAPES["personal access token"][1]
    for name in ("DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET", "ARM_CLIENT_SECRET", "GOOGLE_CREDENTIALS"):
        env = fixer_env({**place_env, name: secret})
        yield _case(name, "the environment of a fixer", secret, json.dumps(dict(env)))


def to_log(names: Sequence[str]) -> list[Case]:
    """Each secret in an error that a part of ours logs: nothing of it goes to the log's default place."""
    cases = []
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        for name in names:
            text, secret = SHAPES[name]
            error = api_errors.of_failure(OSError(text), "https://example.com", 1.0)
            logging.getLogger("dbops_tui.core").warning("%s", error)
            cases.append(_case(name, "the log", secret, stream.getvalue()))
    finally:
        root.removeHandler(handler)
    return cases


async def all_secrets(folder: Path, env: Mapping[str, str], step: int = 1) -> AsyncIterator[Case]:
    """Every shape (each `step`-th of them) to every place."""
    names = list(SHAPES)[::step]
    for case in await asyncio.to_thread(through_sinks, names, folder):
        yield case
    for case in to_log(names):
        yield case
    async for case in to_journal(names, folder):
        yield case
    async for case in to_children(names, folder):
        yield case
    async for case in to_fixer(env, folder):
        yield case
