"""The journal: one sqlite file per bundle and target, with an intent on disk before each act and its result after.

Never holds a secret (everything is redacted on the way in) and never deletes a file it cannot read: that is set aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .guard import Act, Refused
from .journal_file import JournalFile, JournalUnavailable
from .text import Redactor, clip

__all__ = ["Journal", "JournalUnavailable", "LoopRow", "Operation", "journal_path"]

MAX_TEXT = 200_000  # characters of one string in a row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Operation:
    """One intent with its result; `outcome` is empty while nothing is known of the end. Times in ISO 8601 UTC."""

    op_id: int
    loop_id: str
    kind: str
    key: str
    token: str
    intent_at: str
    intent: dict[str, Any]
    outcome: str
    result: dict[str, Any]
    host: str = ""
    target: str = ""
    user: str = ""
    command: str = ""
    result_at: str = ""


@dataclass(frozen=True, slots=True)
class LoopRow:
    """One loop as the journal holds it; `state` and `record` are JSON data of the engine."""

    loop_id: str
    started: str
    ended: str
    outcome: str
    iterations: int
    state: dict[str, Any]
    record: dict[str, Any]


def journal_path(folder: Path, root: Path, target: str) -> Path:
    """The journal's file for a bundle and target: a readable name and a hash of the real path."""
    digest = hashlib.sha256(f"{root.resolve()}\n{target}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = re.sub(r"[^\w.-]+", "_", f"{root.name}-{target or 'default'}", flags=re.ASCII)[:60]
    return folder / f"{name}-{digest}.sqlite3"


class Journal:
    """Open with `await Journal.open(...)`. All calls run in one thread of their own; none blocks the event loop."""

    def __init__(self, path: Path, redactor: Redactor) -> None:
        self.path = path
        self.loop_id = ""
        self._redactor = redactor
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._file = JournalFile(path)

    @property
    def note(self) -> str:
        """What a person should know about how it was opened; empty where there is nothing to say."""
        return self._file.note

    @property
    def problem(self) -> str:
        """Why the latest write failed; empty where it did not."""
        return self._file.problem

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        redactor: Redactor | None = None,
        read_only: bool = False,
        mountinfo: str | None = None,
        about: Mapping[str, str] | None = None,
    ) -> Journal:
        """The journal at `path`, made where it is missing; with `read_only` no lock is taken and nothing is written.

        `about` (the bundle's root, target, host) is kept for `about()`. Raises lock.Held where another process
        writes it, JournalUnavailable where it cannot be used.
        """
        journal = cls(path, redactor or Redactor())
        try:
            await journal._do(lambda: journal._open(read_only, mountinfo, about or {}))
        except BaseException:
            journal._pool.shutdown(wait=False)
            raise
        return journal

    async def close(self) -> None:
        """Give back the lock and close the file. What was written stays written also without this."""
        with contextlib.suppress(JournalUnavailable):
            await self._do(self._file.close)
        self._pool.shutdown(wait=True)

    # --- intents and results: what makes a restart safe -----------------------------------------------------------

    async def intent(self, act: Act) -> int:
        """Write down what is about to be done and sync it. Raises guard.Refused where it cannot be written."""
        row = (
            *(self.loop_id, act.kind, act.key, act.token, act.host, act.target, act.user),
            *(self._text(act.command), _now(), self._json(dict(act.data))),
        )
        sql = (
            "INSERT INTO operations (loop_id, kind, key, token, host, target, user, command, intent_at, intent)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)"
        )
        try:
            return await self._do(lambda: self._file.write(sql, row, sync=True))
        except JournalUnavailable as error:
            raise Refused(f"nothing is done without a journal: {error}", exit_code=1, flag="DBOPS_STATE_DIR") from error

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None:
        """Write down how an operation ended: done, refused or unknown.

        Raises nothing: a result that could not be written leaves the intent open, so that it is looked at again.
        """
        row = (_now(), outcome, self._json(dict(data)), op_id)
        sql = "UPDATE operations SET result_at=?, outcome=?, result=? WHERE op_id=?"
        await self._try(lambda: self._file.write(sql, row, sync=True))

    async def open_operations(self) -> tuple[Operation, ...]:
        """The intents whose end nobody knows, oldest first."""
        return await self._operations("outcome IS NULL OR outcome='unknown'")

    async def operations(self, loop_id: str) -> tuple[Operation, ...]:
        """All operations of one loop, oldest first."""
        return await self._operations("loop_id=?", (loop_id,))

    async def deployed(self) -> tuple[Operation, ...]:
        """The latest deploy of each host and target that was not destroyed since, oldest first."""
        found: dict[tuple[str, str], Operation] = {}
        for row in await self._operations("kind IN ('deploy', 'destroy') AND outcome IN ('done', 'unknown')"):
            place = (row.host, row.target)
            if row.kind == "deploy":
                found.pop(place, None)
                found[place] = row
            elif row.outcome == "done":
                found.pop(place, None)
        return tuple(found.values())

    # --- loops and events -------------------------------------------------------------------------------------------

    async def save_loop(
        self,
        loop_id: str,
        state: dict[str, Any],
        *,
        iterations: int = 0,
        outcome: str = "",
        record: Any = None,
        events: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        """Write the loop's whole state, synced. `outcome` ends it; `events` (name, data) are written with it, or not at
        all. Raises JournalUnavailable."""
        self.loop_id = loop_id
        ended = _now() if outcome else None
        packed = self._json(record) if record is not None else None
        row = (loop_id, _now(), ended, outcome or None, iterations, self._json(state), packed)
        sql = (
            "INSERT INTO loops (loop_id, started, ended, outcome, iterations, state, record) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT (loop_id) DO UPDATE SET ended=excluded.ended, outcome=excluded.outcome,"
            " iterations=excluded.iterations, state=excluded.state, record=COALESCE(excluded.record, record)"
        )
        appended = [(_now(), loop_id, name, self._json(dict(data))) for name, data in events]
        await self._do(lambda: self._file.write(sql, row, sync=True, events=appended))

    async def last_loop(self, loop_id: str = "") -> LoopRow | None:
        """The newest loop, or the one named (the start of an id is enough); None where there is none."""
        rows = await self.loops(1, loop_id)
        return rows[0] if rows else None

    async def loops(self, limit: int = 50, loop_id: str = "") -> tuple[LoopRow, ...]:
        """Loops, newest first."""
        sql = (
            "SELECT loop_id, started, ended, outcome, iterations, state, record FROM loops"
            " WHERE substr(loop_id, 1, ?) = ? ORDER BY started DESC, rowid DESC LIMIT ?"
        )
        rows = await self._do(lambda: self._file.read(sql, (len(loop_id), loop_id, limit)))
        return tuple(LoopRow(r[0], r[1], r[2] or "", r[3] or "", r[4], _load(r[5]), _load(r[6])) for r in rows)

    async def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Append an event to the stream; lost rather than in the way where the journal is in trouble."""
        at, loop_id = _now(), self.loop_id
        await self._try(lambda: self._file.append_event((at, loop_id, name, self._json(dict(data)))))

    def append(self, name: str, data: Callable[[], Mapping[str, Any]]) -> None:
        """`event` without waiting for it: on disk before anything that is written later. `data` is asked for there."""
        at, loop_id = _now(), self.loop_id

        def write() -> None:
            with contextlib.suppress(JournalUnavailable):
                self._file.append_event((at, loop_id, name, self._json(dict(data()))))

        with contextlib.suppress(RuntimeError):  # closed
            self._pool.submit(write)

    async def events(self, loop_id: str, limit: int = 1000) -> tuple[tuple[str, str, dict[str, Any]], ...]:
        """(at, name, data) of a loop, oldest first."""
        sql = "SELECT at, name, data FROM events WHERE loop_id=? ORDER BY seq LIMIT ?"
        rows = await self._do(lambda: self._file.read(sql, (loop_id, limit)))
        return tuple((row[0], row[1], _load(row[2])) for row in rows)

    # --- what past runs teach ---------------------------------------------------------------------------------------

    async def add_duration(self, ref: str, task_key: str, run_id: str, ms: int, outcome: str, ended_ms: int) -> None:
        """Remember how long a run (`task_key` empty) or a task run took."""
        row = (ref, task_key, run_id, ms, outcome, ended_ms)
        await self._try(lambda: self._file.write("INSERT OR REPLACE INTO durations VALUES (?,?,?,?,?,?)", row))

    async def durations(self, ref: str, task_key: str = "", limit: int = 50) -> tuple[int, ...]:
        """Milliseconds of past successful runs, newest first."""
        sql = (
            "SELECT ms FROM durations WHERE ref=? AND task_key=? AND outcome='succeeded' ORDER BY ended_ms DESC LIMIT ?"
        )
        rows = await self._do(lambda: self._file.read(sql, (ref, task_key, limit)))
        return tuple(row[0] for row in rows)

    async def task_durations(self, ref: str, limit: int = 5_000) -> dict[str, list[int]]:
        """Milliseconds of past successful task runs of a job by task key, newest first; `limit` of them in all."""
        sql = (
            "SELECT task_key, ms FROM durations WHERE ref=? AND task_key<>'' AND outcome='succeeded' "
            "ORDER BY ended_ms DESC LIMIT ?"
        )
        found: dict[str, list[int]] = {}
        for key, ms in await self._do(lambda: self._file.read(sql, (ref, limit))):
            found.setdefault(key, []).append(ms)
        return found

    async def save_output(self, task_run_id: str, data: Mapping[str, Any]) -> None:
        """Keep the output of a task run that has ended: it never changes, so the first one stays."""
        row = (task_run_id, _now(), self._json(dict(data)))
        await self._try(lambda: self._file.write("INSERT OR IGNORE INTO outputs VALUES (?,?,?)", row))

    async def output(self, task_run_id: str) -> dict[str, Any] | None:
        """A kept output, redacted; None where there is none."""
        rows = await self._do(lambda: self._file.read("SELECT data FROM outputs WHERE task_run_id=?", (task_run_id,)))
        return _load(rows[0][0]) if rows else None

    async def learn(self, cause: str, row: str, evidence: str, fix: str, outcome: str, iterations: int) -> None:
        """Keep an error and what mended it (or did not)."""
        values = (_now(), cause, row, self._text(evidence), self._text(fix), outcome, iterations)
        sql = "INSERT INTO learned (at, cause, row, evidence, fix, outcome, iterations) VALUES (?,?,?,?,?,?,?)"
        await self._try(lambda: self._file.write(sql, values))

    async def learned(self) -> tuple[dict[str, Any], ...]:
        """What was learned, oldest first."""
        names = ("at", "cause", "row", "evidence", "fix", "outcome", "iterations")
        rows = await self._do(lambda: self._file.read(f"SELECT {', '.join(names)} FROM learned ORDER BY id"))
        return tuple(dict(zip(names, row, strict=True)) for row in rows)

    async def remember(self, key: str, data: Mapping[str, Any]) -> None:
        """Keep facts under a name of their own; the newest ones stay."""
        row = (f"kept:{key}", self._json(dict(data)))
        await self._try(lambda: self._file.write("INSERT OR REPLACE INTO meta VALUES (?,?)", row))

    async def recall(self, key: str) -> dict[str, Any]:
        """What was kept under that name; empty where nothing was."""
        rows = await self._do(lambda: self._file.read("SELECT value FROM meta WHERE key=?", (f"kept:{key}",)))
        return _load(rows[0][0]) if rows else {}

    async def about(self) -> dict[str, str]:
        """What was said of the bundle when the journal was opened for writing."""
        rows = await self._do(lambda: self._file.read("SELECT key, value FROM meta WHERE key NOT LIKE 'kept:%'"))
        return dict(rows)

    # --- inside the journal's thread --------------------------------------------------------------------------------

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except RuntimeError as error:
            raise JournalUnavailable("the journal is closed", self.path) from error
        # Whoever waits may be stopped; what was to be written is written all the same.
        return await asyncio.shield(future)

    async def _try(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(JournalUnavailable):
            await self._do(work)

    async def _operations(self, where: str, values: tuple[Any, ...] = ()) -> tuple[Operation, ...]:
        sql = (
            "SELECT op_id, loop_id, kind, key, token, intent_at, intent, outcome, result, host, target, user, command,"
            f" result_at FROM operations WHERE {where} ORDER BY op_id"
        )
        return tuple(_operation(row) for row in await self._do(lambda: self._file.read(sql, values)))

    def _open(self, read_only: bool, mountinfo: str | None, about: Mapping[str, str]) -> None:
        if read_only:
            self._file.open_reader()
            return
        self._file.open_writer(mountinfo)
        try:
            for key, value in about.items():
                self._file.write("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, self._text(value)))
        except BaseException:
            self._file.close()
            raise

    def _text(self, text: str) -> str:
        # Half of a surrogate pair can be in a file name or a JSON reply, and in no sqlite text.
        # Redacted before it is cut: half of a secret would not be known for one.
        return clip(self._redactor.redact(text.encode("utf-8", "replace").decode()), MAX_TEXT)

    def _json(self, data: Any) -> str:
        return json.dumps(self._inert(data), ensure_ascii=False)

    def _inert(self, data: Any) -> Any:
        # String by string: a secret's shape that spans JSON punctuation must not tear the document apart.
        if isinstance(data, Mapping):
            return {self._text(str(key)): self._value(str(key), value) for key, value in data.items()}
        if isinstance(data, (list, tuple, set, frozenset)):
            return [self._inert(value) for value in data]
        if data is None or isinstance(data, (bool, int, float)):
            return data
        return self._text(str(data))

    def _value(self, key: str, value: Any) -> Any:
        # `{"client_secret": "..."}` has the shape only as a pair.
        if not isinstance(value, str):
            return self._inert(value)
        head = f"{key}="
        pair = self._text(head + value)
        return pair.removeprefix(head) if pair.startswith(head) else self._text(value)


def _operation(row: tuple[Any, ...]) -> Operation:
    return Operation(
        *(row[0], row[1] or "", row[2], row[3], row[4], row[5], _load(row[6]), row[7] or "", _load(row[8])),
        *(row[9], row[10], row[11], row[12], row[13] or ""),
    )


def _load(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
