"""The journal: one sqlite file per bundle and target, with an intent on disk before each act and its result after.

Never holds a secret (everything is redacted on the way in) and never deletes a file it cannot read: that is set aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .guard import Act, Refused
from .lock import Held, Lock
from .paths import classify_filesystem
from .text import Redactor

SCHEMA = 1
MAX_BYTES = 50_000_000
BUSY_MS = 10_000

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE loops (
  loop_id TEXT PRIMARY KEY, started TEXT NOT NULL, ended TEXT, outcome TEXT, iterations INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT '{}', record TEXT);
CREATE TABLE operations (
  op_id INTEGER PRIMARY KEY, loop_id TEXT, kind TEXT NOT NULL, key TEXT NOT NULL, token TEXT NOT NULL DEFAULT '',
  host TEXT NOT NULL DEFAULT '', target TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '',
  intent_at TEXT NOT NULL, intent TEXT NOT NULL DEFAULT '{}', result_at TEXT, outcome TEXT, result TEXT);
CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, loop_id TEXT, name TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE durations (
  ref TEXT NOT NULL, task_key TEXT NOT NULL, run_id TEXT NOT NULL, ms INTEGER NOT NULL, outcome TEXT NOT NULL,
  ended_ms INTEGER NOT NULL, PRIMARY KEY (run_id, task_key));
CREATE TABLE outputs (task_run_id TEXT PRIMARY KEY, at TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE learned (id INTEGER PRIMARY KEY, at TEXT NOT NULL, cause TEXT NOT NULL, row TEXT NOT NULL,
  evidence TEXT NOT NULL, fix TEXT NOT NULL, outcome TEXT NOT NULL, iterations INTEGER NOT NULL);
CREATE INDEX events_loop ON events (loop_id, seq);
CREATE INDEX durations_ref ON durations (ref, task_key, ended_ms);
"""

T = TypeVar("T")


class JournalUnavailable(Exception):
    """The journal cannot be used; the message says why and where. Watching goes on, nothing may be changed."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One intent with its result; `outcome` is empty while nothing is known of the end."""

    op_id: int
    loop_id: str
    kind: str
    key: str
    token: str
    intent_at: str
    intent: dict[str, Any]
    outcome: str
    result: dict[str, Any]


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
    digest = hashlib.sha256(f"{root.resolve()}\n{target}".encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]+", "_", f"{root.name}-{target or 'default'}")[:60]
    return folder / f"{name}-{digest}.sqlite3"


class Journal:
    """Open with `await Journal.open(...)`. All calls run in one thread of their own; none blocks the event loop."""

    def __init__(self, path: Path, redactor: Redactor) -> None:
        self.path = path
        self.note = ""
        self.loop_id = ""
        self._redactor = redactor
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._db: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._broken = ""

    @classmethod
    async def open(
        cls, path: Path, *, redactor: Redactor | None = None, read_only: bool = False, mountinfo: str | None = None
    ) -> Journal:
        """The journal at `path`, made where it is missing; with `read_only` no lock is taken and nothing is written.

        Raises lock.Held where another process writes it, JournalUnavailable where it cannot be used.
        """
        journal = cls(path, redactor or Redactor())
        try:
            await journal._do(lambda: journal._open(read_only=read_only, mountinfo=mountinfo))
        except BaseException:
            journal._pool.shutdown(wait=False)
            raise
        return journal

    async def close(self) -> None:
        """Give back the lock and close the file."""
        with contextlib.suppress(RuntimeError):
            await self._do(self._close)
            self._pool.shutdown(wait=True)

    # --- intents and results: what makes a restart safe -----------------------------------------------------------

    async def intent(self, act: Act) -> int:
        """Write down what is about to be done and sync it. Raises guard.Refused where it cannot be written."""
        data = self._json(dict(act.data))
        row = (self.loop_id, act.kind, act.key, act.token, act.host, act.target, self._text(act.command), _now(), data)
        try:
            return await self._do(
                lambda: self._write(
                    "INSERT INTO operations (loop_id, kind, key, token, host, target, command, intent_at, intent)"
                    " VALUES (?,?,?,?,?,?,?,?,?)",
                    row,
                    sync=True,
                )
            )
        except JournalUnavailable as error:
            raise Refused(f"nothing is done without a journal: {error}", exit_code=1) from error

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None:
        """Write down how an operation ended: done, refused or unknown."""
        row = (_now(), outcome, self._json(dict(data)), op_id)
        with contextlib.suppress(JournalUnavailable):
            await self._do(
                lambda: self._write(
                    "UPDATE operations SET result_at=?, outcome=?, result=? WHERE op_id=?", row, sync=True
                )
            )

    async def open_operations(self) -> tuple[Operation, ...]:
        """The intents whose end nobody knows, oldest first."""
        rows = await self._do(
            lambda: self._read(
                "SELECT op_id, loop_id, kind, key, token, intent_at, intent, outcome, result FROM operations"
                " WHERE outcome IS NULL OR outcome='unknown' ORDER BY op_id"
            )
        )
        return tuple(_operation(row) for row in rows)

    async def operations(self, loop_id: str) -> tuple[Operation, ...]:
        """All operations of one loop, oldest first."""
        rows = await self._do(
            lambda: self._read(
                "SELECT op_id, loop_id, kind, key, token, intent_at, intent, outcome, result FROM operations"
                " WHERE loop_id=? ORDER BY op_id",
                (loop_id,),
            )
        )
        return tuple(_operation(row) for row in rows)

    # --- loops and events -------------------------------------------------------------------------------------------

    async def save_loop(
        self, loop_id: str, state: dict[str, Any], *, iterations: int = 0, outcome: str = "", record: Any = None
    ) -> None:
        """Write the loop's whole state, synced. `outcome` ends it. Raises JournalUnavailable."""
        self.loop_id = loop_id
        ended = _now() if outcome else None
        packed = self._json(record) if record is not None else None
        row = (loop_id, _now(), ended, outcome or None, iterations, self._json(state), packed)
        await self._do(
            lambda: self._write(
                "INSERT INTO loops (loop_id, started, ended, outcome, iterations, state, record) VALUES (?,?,?,?,?,?,?)"
                " ON CONFLICT (loop_id) DO UPDATE SET ended=excluded.ended, outcome=excluded.outcome,"
                " iterations=excluded.iterations, state=excluded.state, record=COALESCE(excluded.record, record)",
                row,
                sync=True,
            )
        )

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
        rows = await self._do(lambda: self._read(sql, (len(loop_id), loop_id, limit)))
        return tuple(LoopRow(r[0], r[1], r[2] or "", r[3] or "", r[4], _load(r[5]), _load(r[6])) for r in rows)

    async def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Append an event to the stream; lost rather than in the way where the journal is in trouble."""
        row = (_now(), self.loop_id, name, self._json(dict(data)))
        with contextlib.suppress(JournalUnavailable):
            await self._do(lambda: self._write("INSERT INTO events (at, loop_id, name, data) VALUES (?,?,?,?)", row))

    async def events(self, loop_id: str, limit: int = 1000) -> tuple[tuple[str, str, dict[str, Any]], ...]:
        """(at, name, data) of a loop, oldest first."""
        rows = await self._do(
            lambda: self._read(
                "SELECT at, name, data FROM events WHERE loop_id=? ORDER BY seq LIMIT ?", (loop_id, limit)
            )
        )
        return tuple((row[0], row[1], _load(row[2])) for row in rows)

    # --- what past runs teach ---------------------------------------------------------------------------------------

    async def add_duration(self, ref: str, task_key: str, run_id: str, ms: int, outcome: str, ended_ms: int) -> None:
        """Remember how long a run (`task_key` empty) or a task run took."""
        row = (ref, task_key, run_id, ms, outcome, ended_ms)
        with contextlib.suppress(JournalUnavailable):
            await self._do(lambda: self._write("INSERT OR REPLACE INTO durations VALUES (?,?,?,?,?,?)", row))

    async def durations(self, ref: str, task_key: str = "", limit: int = 50) -> tuple[int, ...]:
        """Milliseconds of past successful runs, newest first."""
        rows = await self._do(
            lambda: self._read(
                "SELECT ms FROM durations WHERE ref=? AND task_key=? AND outcome='succeeded'"
                " ORDER BY ended_ms DESC LIMIT ?",
                (ref, task_key, limit),
            )
        )
        return tuple(row[0] for row in rows)

    async def learn(self, cause: str, row: str, evidence: str, fix: str, outcome: str, iterations: int) -> None:
        """Keep an error and what mended it (or did not)."""
        values = (_now(), cause, row, self._text(evidence), self._text(fix), outcome, iterations)
        with contextlib.suppress(JournalUnavailable):
            await self._do(
                lambda: self._write(
                    "INSERT INTO learned (at, cause, row, evidence, fix, outcome, iterations) VALUES (?,?,?,?,?,?,?)",
                    values,
                )
            )

    async def learned(self) -> tuple[dict[str, Any], ...]:
        """What was learned, oldest first."""
        names = ("at", "cause", "row", "evidence", "fix", "outcome", "iterations")
        rows = await self._do(lambda: self._read(f"SELECT {', '.join(names)} FROM learned ORDER BY id"))
        return tuple(dict(zip(names, row, strict=True)) for row in rows)

    # --- inside the journal's thread --------------------------------------------------------------------------------

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _open(self, *, read_only: bool, mountinfo: str | None) -> None:
        if read_only:
            if not self.path.exists():
                raise JournalUnavailable(f"there is no journal yet ({self.path})")
            self._db = self._connect(f"file:{self.path}?mode=ro")
            self._check_schema()
            return
        try:
            self._lock = Lock.take(self.path.with_suffix(".lock"))
        except Held:
            raise
        except OSError as error:
            raise JournalUnavailable(f"{self.path.parent} cannot be written: {error.strerror or error}") from error
        try:
            self._open_writer(mountinfo)
        except BaseException:
            self._close()
            raise

    def _open_writer(self, mountinfo: str | None) -> None:
        network = classify_filesystem(self.path.parent, mountinfo) == "network"
        try:
            self._prepare(network)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_corrupt(error):
                raise JournalUnavailable(f"{self.path}: {error}") from error
            self._set_aside(str(error))
            try:
                self._prepare(network)
            except sqlite3.Error as again:
                raise JournalUnavailable(f"{self.path}: {again}") from again
        except OSError as error:
            raise JournalUnavailable(f"{self.path}: {error.strerror or error}") from error

    def _prepare(self, network: bool) -> None:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o600))
        self._db = self._connect(f"file:{self.path}?mode=rw")
        if network:
            # WAL needs shared memory, which network file systems only pretend to have: it corrupts there.
            self._db.execute("PRAGMA journal_mode=DELETE")
            self.note = "the state folder is on a network file system: slower, and one console at a time"
        else:
            answer = self._db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if answer != "wal":
                self.note = f"the journal runs in {answer} mode"
        self._db.execute("PRAGMA synchronous=FULL")
        if self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the file is damaged")
        self._check_schema()
        self._prune()

    def _connect(self, uri: str) -> sqlite3.Connection:
        try:
            return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"{self.path}: {error}") from error

    def _check_schema(self) -> None:
        assert self._db is not None
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise JournalUnavailable(
                f"{self.path} was written by a newer version (schema {version}): upgrade, or move it"
            )
        if version == 0:
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables:
                raise sqlite3.DatabaseError("not a journal of ours")
            self._db.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={SCHEMA};COMMIT;")

    def _set_aside(self, why: str) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.bad-{stamp}")
        for suffix in ("", "-wal", "-shm", "-journal"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        self.note = f"the journal could not be read ({why}); it was kept as {aside.name} and a new one begun"

    def _prune(self) -> None:
        assert self._db is not None
        pages, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if pages * size <= MAX_BYTES:
            return
        self._db.execute("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - 20000")
        self._db.execute("DELETE FROM outputs WHERE rowid <= (SELECT max(rowid) FROM outputs) - 500")
        self._db.execute("VACUUM")

    def _write(self, sql: str, row: tuple[Any, ...], *, sync: bool = False) -> int:
        if self._db is None or self._lock is None:
            raise JournalUnavailable(self._broken or "the journal is not open for writing")
        try:
            self._db.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            return int(self._db.execute(sql, row).lastrowid or 0)
        except sqlite3.Error as error:
            self._broken = f"{self.path}: {error}"
            raise JournalUnavailable(self._broken) from error

    def _read(self, sql: str, row: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self._db is None:
            raise JournalUnavailable(self._broken or "the journal is not open")
        try:
            return self._db.execute(sql, row).fetchall()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"{self.path}: {error}") from error

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _text(self, text: str) -> str:
        return self._redactor.redact(text)

    def _json(self, data: Any) -> str:
        return json.dumps(self._inert(data), ensure_ascii=False)

    def _inert(self, data: Any) -> Any:
        # String by string: a secret's shape that spans JSON punctuation must not tear the document apart.
        if isinstance(data, dict):
            return {str(key): self._inert(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self._inert(value) for value in data]
        if data is None or isinstance(data, (bool, int, float)):
            return data
        return self._text(str(data))


def _is_corrupt(error: sqlite3.OperationalError) -> bool:
    return "malformed" in str(error) or "not a database" in str(error)


def _operation(row: tuple[Any, ...]) -> Operation:
    return Operation(row[0], row[1] or "", row[2], row[3], row[4], row[5], _load(row[6]), row[7] or "", _load(row[8]))


def _load(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
