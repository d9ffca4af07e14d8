"""The protections of the program, each taken away on purpose: whoever looks for faults has to find every one of them.
It holds no test; `PLANTS` names what is broken, and the same checks that find nothing otherwise must find it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Make = Callable[[Any], Any]  # from what stands there to what takes its place


@dataclass(frozen=True)
class Plant:
    """What is broken, by names of the program (module:object) and what takes their place."""

    what: str
    swaps: Mapping[str, Make]

    def plant(self) -> None:
        """Break it, in this process and for good."""
        for where, make in self.swaps.items():
            owner, name = _place(where)
            setattr(owner, name, make(owner.__dict__.get(name, getattr(owner, name))))

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Break it for the length of the block."""
        kept = [(*_place(where), _place(where)[0].__dict__[_place(where)[1]]) for where in self.swaps]
        self.plant()
        try:
            yield
        finally:
            for owner, name, plain in reversed(kept):
                setattr(owner, name, plain)


def _place(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(f"dbops_tui.{module}")
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, name


def _always(value: Any) -> Make:
    return lambda plain: lambda *_, **__: value


def _coroutine(value: Any) -> Make:
    async def made(*_: Any, **__: Any) -> Any:
        return value

    return lambda plain: made


def _unlogged(plain: Any) -> Any:
    """Leave without an intent: the row is written when the act has ended."""
    from dbops_tui.core.guard import Guard, Permit

    async def permit(self: Guard, act: Any, *, confirmed: str = "", automatic: bool = False) -> Permit:
        self._check(act, confirmed=confirmed, automatic=automatic)
        before, until = self._identity(), self._clock() + 120.0
        return Permit(act, 0, None, lambda: self._problem(act, before, until))

    return permit


def _not_done(plain: Any) -> Any:
    from dbops_tui.core.looking_up import Seen

    async def after(*_: Any) -> Seen:
        return Seen("not_done")

    return after


def _nothing_new(plain: Any) -> Any:
    from dbops_tui.core.looking_up import Seen

    async def new_since(*_: Any) -> Seen:
        return Seen("not_done")

    return new_since


def _insistent(plain: Any) -> Any:
    """Each request ten times, until one of them is answered well."""

    def send(self: Any, call: Any, headers: Any) -> Any:
        for last in (*([False] * 9), True):
            try:
                answer = plain(self, call, headers)
            except Exception:
                if last:
                    raise
                continue
            if answer.status < 400 or last:
                return answer
        return None

    return send


def _taken(plain: Any) -> Any:
    from dbops_tui.core.lock import Lock, this_process

    def take(cls: Any, path: Path, *, mountinfo: str | None = None) -> Lock:
        return Lock(path, this_process())

    return classmethod(take)


def _deleted(plain: Any) -> Any:
    def set_aside(self: Any, why: str) -> None:
        self._disconnect()
        for suffix in ("-wal", "-shm", ""):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    return set_aside


def _lazily(plain: Any) -> Any:
    def write(self: Any, sql: str, row: Any, *, sync: bool = False, events: Any = ()) -> int:
        found: int = plain(self, sql, row, sync=False, events=events)
        return found

    return write


def _lax_intent(plain: Any) -> Any:
    from dbops_tui.core.guard import Refused

    async def intent(self: Any, act: Any) -> int:
        try:
            found: int = await plain(self, act)
        except Refused:
            return 0
        return found

    return intent


def _heavier(plain: Any) -> Any:
    """Each run that was read leaves something behind."""
    left: list[bytearray] = []

    def keep(self: Any, run: Any) -> None:
        left.append(bytearray(250_000))
        plain(self, run)

    return keep


def _unclosed(plain: Any) -> Any:
    """Each connection that was opened for a request is kept, and another one opened for the next."""
    kept: list[Any] = []

    def send(self: Any, call: Any, headers: Any) -> Any:
        kept.append(self._session)
        self._session = self._open()
        return plain(self, call, headers)

    return send


def _sleepless(plain: Any) -> Any:
    """Who waits for the next look is left waiting when there is news."""

    import asyncio

    left: list[tuple[asyncio.Event, asyncio.Task[Any]]] = []

    async def rest(self: Any, seconds: float | None) -> None:
        event = asyncio.Event()
        left.append((event, asyncio.get_running_loop().create_task(event.wait())))
        await plain(self, seconds)

    return rest


def _in_place(plain: Any) -> Any:
    def write_all(files: Any, *, root: Path, new_mode: int = 0o600) -> None:
        import os

        for path, (_, after) in files.items():
            if after is None:
                os.unlink(path)
                continue
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(handle, after)
                os.fsync(handle)
            finally:
                os.close(handle)

    return write_all


def _blind_render(plain: Any) -> Any:
    def render(root: Path, patch: Any) -> Any:
        from dbops_tui.core import patches

        return {
            file: (
                data := (root / file).read_bytes(),
                patches._edited(data, [e for e in patch.edits if e.file == file]),
            )
            for file, _ in patch.sha256
        }

    return render


def _measured(plain: Any) -> Any:
    return property(lambda self: False)


def _kills(plain: Any) -> Any:
    async def close(self: Any) -> None:
        self._closed = True
        await self.world.stop()
        await self.keeping.close()

    return close


PLANTS: Mapping[str, Plant] = {
    "no intent row": Plant("acts begin without a row in the journal", {"core.guard:Guard.permit": _unlogged}),
    "never looked for": Plant("what may have been started is not looked for", {
        "core.looking_up:Lookup.after": _not_done, "core.looking_up:Lookup.new_since": _nothing_new}),
    "retries x10": Plant("each request goes out up to ten times", {"core.transport:Transport.send": _insistent}),
    "lock ignored": Plant("every process takes itself for the only one", {"core.lock:Lock.take": _taken}),
    "no mark on children": Plant("a CLI that outlived its program is not found", {
        "core.looking_up:wait_for_end": _coroutine(True)}),
    "state not saved": Plant("the loop's state is not written", {"core.loop_runner:LoopRunner.save": _coroutine(None)}),
    "silence is failure": Plant("what could not be measured counts as failed", {
        "core.api_errors:WorkspaceError.unmeasured": _measured}),
    "stop kills": Plant("Ctrl-C ends the call in flight", {"core.engine:Engine.close": _kills}),
    "journal thrown away": Plant("a file that cannot be read is deleted", {
        "core.journal_file:JournalFile._set_aside": _deleted}),
    "not synced": Plant("intents are not synced", {"core.journal_file:JournalFile.write": _lazily}),
    "full disk ignored": Plant("acts go on where no intent can be written", {
        "core.journal:Journal.intent": _lax_intent}),
    "WAL everywhere": Plant("a network disk counts as a local one", {
        "core.journal_file:classify_filesystem": _always("local")}),
    "no back-off": Plant("what does not answer is asked each second", {
        "core.poller:hinted": _always(1.0)}),
    "no line filter": Plant("the console has no last net", {
        "tui.safety:InertFilter.apply": lambda plain: lambda self, segments, background: segments}),
    "text not cleaned": Plant("lines of the CLI keep their escape codes", {
        "core.process:Cleaner.feed": lambda plain: lambda self, chunk: chunk}),
    "redaction off": Plant("secrets are written as they come", {
        "core.redaction:Redactor.redact": lambda plain: lambda self, text: text,
        "core.redaction:LineRedactor.line": lambda plain: lambda self, text: text}),
    "read-only unguarded": Plant("read-only is not asked for", {
        "core.guard:Guard.read_only": lambda plain: property(lambda self: False),
        "core.guard:Guard._check": _always(None)}),
    "place not checked": Plant("who acts where is not looked at again", {
        "core.guard:Guard._check_place": _always(None), "core.guard:Guard._problem": _always(""),
        "core.identifying:Identifying.confirm": _coroutine(None)}),
    "patch not atomic": Plant("files are written one by one, in place", {"core.patches:write_all": _in_place}),
    "patch not fitted": Plant("a patch is put onto whatever is there", {"core.patches:render": _blind_render}),
    "runs kept": Plant("what was read of runs is never let go", {"core.job_runs:JobRuns._keep": _heavier}),
    "connections kept": Plant("connections are not closed", {"core.transport:Transport.send": _unclosed}),
    "tasks kept": Plant("tasks are left behind", {"core.poller:Poller._rest": _sleepless}),
    "journal not pruned": Plant("the journal is never made smaller", {
        "core.journal_file:JournalFile._prune": _always(None)}),
    "no fence": Plant("a path may lead anywhere", {
        "core.guard:inside": lambda plain: lambda path, root: path.resolve(),
        "core.patches:inside": lambda plain: lambda path, root: path.resolve(),
        "core.atomicfile:inside": lambda plain: lambda path, root: path.resolve()}),
}  # fmt: skip
