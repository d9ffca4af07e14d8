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
from .journal_schema import MIGRATIONS
from .lock import Lock
from .paths import classify_filesystem
from .text import Redactor, clip

MAX_BYTES = 50_000_000
MAX_TEXT = 200_000  # characters of one string in a row
BUSY_MS = 10_000
_PRUNE_EVERY = 2_000  # events

T = TypeVar("T")


class JournalUnavailable(Exception):
    """The journal cannot be used; the message says why and where. Watching goes on, nothing may be changed."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(f"{reason} ({path})")
        self.reason = reason
        self.path = path


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
        self.note = ""  # what a person should know about how it was opened
        self.problem = ""  # why the latest write failed; empty where it did not
        self.loop_id = ""
        self._redactor = redactor
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._db: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._events = 0

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
            await self._do(self._close)
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
            return await self._do(lambda: self._write(sql, row, sync=True))
        except JournalUnavailable as error:
            raise Refused(f"nothing is done without a journal: {error}", exit_code=1, flag="DBOPS_STATE_DIR") from error

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None:
        """Write down how an operation ended: done, refused or unknown.

        Raises nothing: a result that could not be written leaves the intent open, so that it is looked at again.
        """
        row = (_now(), outcome, self._json(dict(data)), op_id)
        sql = "UPDATE operations SET result_at=?, outcome=?, result=? WHERE op_id=?"
        await self._try(lambda: self._write(sql, row, sync=True))

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
        self, loop_id: str, state: dict[str, Any], *, iterations: int = 0, outcome: str = "", record: Any = None
    ) -> None:
        """Write the loop's whole state, synced. `outcome` ends it. Raises JournalUnavailable."""
        self.loop_id = loop_id
        ended = _now() if outcome else None
        packed = self._json(record) if record is not None else None
        row = (loop_id, _now(), ended, outcome or None, iterations, self._json(state), packed)
        sql = (
            "INSERT INTO loops (loop_id, started, ended, outcome, iterations, state, record) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT (loop_id) DO UPDATE SET ended=excluded.ended, outcome=excluded.outcome,"
            " iterations=excluded.iterations, state=excluded.state, record=COALESCE(excluded.record, record)"
        )
        await self._do(lambda: self._write(sql, row, sync=True))

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
        await self._try(lambda: self._append_event(row))

    async def events(self, loop_id: str, limit: int = 1000) -> tuple[tuple[str, str, dict[str, Any]], ...]:
        """(at, name, data) of a loop, oldest first."""
        sql = "SELECT at, name, data FROM events WHERE loop_id=? ORDER BY seq LIMIT ?"
        rows = await self._do(lambda: self._read(sql, (loop_id, limit)))
        return tuple((row[0], row[1], _load(row[2])) for row in rows)

    # --- what past runs teach ---------------------------------------------------------------------------------------

    async def add_duration(self, ref: str, task_key: str, run_id: str, ms: int, outcome: str, ended_ms: int) -> None:
        """Remember how long a run (`task_key` empty) or a task run took."""
        row = (ref, task_key, run_id, ms, outcome, ended_ms)
        await self._try(lambda: self._write("INSERT OR REPLACE INTO durations VALUES (?,?,?,?,?,?)", row))

    async def durations(self, ref: str, task_key: str = "", limit: int = 50) -> tuple[int, ...]:
        """Milliseconds of past successful runs, newest first."""
        sql = (
            "SELECT ms FROM durations WHERE ref=? AND task_key=? AND outcome='succeeded' ORDER BY ended_ms DESC LIMIT ?"
        )
        rows = await self._do(lambda: self._read(sql, (ref, task_key, limit)))
        return tuple(row[0] for row in rows)

    async def save_output(self, task_run_id: str, data: Mapping[str, Any]) -> None:
        """Keep the output of a task run that has ended: it never changes, so the first one stays."""
        row = (task_run_id, _now(), self._json(dict(data)))
        await self._try(lambda: self._write("INSERT OR IGNORE INTO outputs VALUES (?,?,?)", row))

    async def output(self, task_run_id: str) -> dict[str, Any] | None:
        """A kept output, redacted; None where there is none."""
        rows = await self._do(lambda: self._read("SELECT data FROM outputs WHERE task_run_id=?", (task_run_id,)))
        return _load(rows[0][0]) if rows else None

    async def learn(self, cause: str, row: str, evidence: str, fix: str, outcome: str, iterations: int) -> None:
        """Keep an error and what mended it (or did not)."""
        values = (_now(), cause, row, self._text(evidence), self._text(fix), outcome, iterations)
        sql = "INSERT INTO learned (at, cause, row, evidence, fix, outcome, iterations) VALUES (?,?,?,?,?,?,?)"
        await self._try(lambda: self._write(sql, values))

    async def learned(self) -> tuple[dict[str, Any], ...]:
        """What was learned, oldest first."""
        names = ("at", "cause", "row", "evidence", "fix", "outcome", "iterations")
        rows = await self._do(lambda: self._read(f"SELECT {', '.join(names)} FROM learned ORDER BY id"))
        return tuple(dict(zip(names, row, strict=True)) for row in rows)

    async def about(self) -> dict[str, str]:
        """What was said of the bundle when the journal was opened for writing."""
        return dict(await self._do(lambda: self._read("SELECT key, value FROM meta")))

    # --- inside the journal's thread --------------------------------------------------------------------------------

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except RuntimeError as error:
            raise JournalUnavailable("the journal is closed", self.path) from error
        return await future

    async def _try(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(JournalUnavailable):
            await self._do(work)

    async def _operations(self, where: str, values: tuple[Any, ...] = ()) -> tuple[Operation, ...]:
        sql = (
            "SELECT op_id, loop_id, kind, key, token, intent_at, intent, outcome, result, host, target, user, command,"
            f" result_at FROM operations WHERE {where} ORDER BY op_id"
        )
        return tuple(_operation(row) for row in await self._do(lambda: self._read(sql, values)))

    def _open(self, read_only: bool, mountinfo: str | None, about: Mapping[str, str]) -> None:
        if read_only:
            self._open_reader()
            return
        try:
            self._lock = Lock.take(self.path.with_suffix(".lock"), mountinfo=mountinfo)
        except OSError as error:
            reason = f"the state folder cannot be written: {error.strerror or error}"
            raise JournalUnavailable(reason, self.path.parent) from error
        try:
            self._open_writer(classify_filesystem(self.path.parent, mountinfo) == "network")
            for key, value in about.items():
                self._write("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, self._text(value)))
        except BaseException:
            self._close()
            raise

    def _open_reader(self) -> None:
        if not self.path.exists():
            raise JournalUnavailable("there is no journal yet", self.path)
        wal = self.path.with_name(self.path.name + "-wal")
        quiet = not wal.exists() or wal.stat().st_size == 0
        # A folder that cannot be written has no room for the shared memory of WAL: without a WAL none is needed.
        for options in ("mode=ro", "mode=ro&immutable=1") if quiet else ("mode=ro",):
            try:
                self._db = self._connect(options)
                version = self._version()
            except sqlite3.Error as error:
                problem = error
                self._disconnect()
                continue
            if not 0 < version <= len(MIGRATIONS):
                self._disconnect()
                raise JournalUnavailable(_wrong_version(version), self.path)
            return
        raise JournalUnavailable(f"it cannot be read: {problem}", self.path) from problem

    def _open_writer(self, network: bool) -> None:
        for attempt in (1, 2):
            try:
                self._prepare(network)
                return
            except sqlite3.DatabaseError as error:
                damaged = not isinstance(error, sqlite3.OperationalError) or _is_damage(error)
                if attempt == 2 or not damaged:
                    raise JournalUnavailable(str(error), self.path) from error
                try:
                    self._set_aside(str(error))
                except OSError as stuck:
                    raise JournalUnavailable(f"{error}; {stuck.strerror or stuck}", self.path) from error
            except OSError as error:
                raise JournalUnavailable(error.strerror or str(error), self.path) from error

    def _prepare(self, network: bool) -> None:
        self._make_file()
        self._db = self._connect("mode=rw")
        self._refuse_strangers()
        # WAL needs shared memory, which network file systems only pretend to have: it corrupts there.
        wanted = "delete" if network else "wal"
        answer = self._db.execute(f"PRAGMA journal_mode={wanted}").fetchone()[0]
        if network and answer == "wal":
            raise sqlite3.OperationalError("it is in use in WAL mode, which is not safe on a network file system")
        if network:
            self._add_note("the state folder is on a network file system: slower, and one writer at a time")
        elif answer != "wal":
            self._add_note(f"the journal runs in {answer} mode")
        self._db.execute("PRAGMA synchronous=FULL")
        if self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the file is damaged")
        self._migrate()
        self._prune()

    def _refuse_strangers(self) -> None:
        """What a newer version or another program wrote is not touched, not even its header."""
        assert self._db is not None
        version = self._version()
        if version > len(MIGRATIONS) or version < 0:
            raise JournalUnavailable(_wrong_version(version), self.path)
        if version == 0 and self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("it is a database, but no journal")

    def _make_file(self) -> None:
        no_follow = getattr(os, "O_NOFOLLOW", 0)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | no_follow, 0o600))
            return
        handle = os.open(self.path, os.O_RDONLY | no_follow)
        try:
            if os.name == "posix":
                os.fchmod(handle, 0o600)
            if os.fstat(handle).st_size == 0:
                self._add_note("the journal was an empty file: a new one was begun")
        finally:
            os.close(handle)

    def _connect(self, options: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?{options}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False)

    def _version(self) -> int:
        assert self._db is not None
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self) -> None:
        assert self._db is not None
        for number in range(self._version(), len(MIGRATIONS)):
            try:
                self._db.executescript(f"BEGIN IMMEDIATE;{MIGRATIONS[number]};PRAGMA user_version={number + 1};COMMIT;")
            except sqlite3.Error:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def _set_aside(self, why: str) -> None:
        self._disconnect()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = (f"{self.path.name}.bad-{stamp}{f'-{n}' if n else ''}" for n in range(1000))
        aside = next(path for path in map(self.path.with_name, names) if not path.exists())
        for suffix in ("-wal", "-shm", "-journal", ""):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        self._add_note(f"the journal could not be read ({why}): it was kept as {aside.name} and a new one begun")

    def _add_note(self, text: str) -> None:
        if text not in self.note:
            self.note = f"{self.note}; {text}" if self.note else text

    def _append_event(self, row: tuple[Any, ...]) -> None:
        self._write("INSERT INTO events (at, loop_id, name, data) VALUES (?,?,?,?)", row)
        self._events += 1
        if self._events % _PRUNE_EVERY == 0:
            self._prune()

    def _prune(self) -> None:
        """Old events go first, then outputs, durations and the records of old loops; open operations never."""
        assert self._db is not None
        if self._size() <= MAX_BYTES:
            return
        for sql in (
            "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - 20000",
            "DELETE FROM outputs WHERE rowid <= (SELECT max(rowid) FROM outputs) - 500",
            "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - 2000",
            "DELETE FROM outputs",
            "DELETE FROM durations WHERE rowid <= (SELECT max(rowid) FROM durations) - 20000",
            "UPDATE loops SET record=NULL WHERE rowid <= (SELECT max(rowid) FROM loops) - 50",
            "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - 200",
        ):
            self._db.execute(sql)
            if self._size() <= MAX_BYTES * 0.8:
                break
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _size(self) -> int:
        """Bytes that hold data, without the pages that are free."""
        assert self._db is not None
        total, free, size = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (total - free) * size

    def _write(self, sql: str, row: tuple[Any, ...], *, sync: bool = False) -> int:
        if self._db is None or self._lock is None:
            raise JournalUnavailable("it is not open for writing", self.path)
        try:
            self._db.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            number = int(self._db.execute(sql, row).lastrowid or 0)
        except sqlite3.Error as error:
            self.problem = f"the journal cannot be written: {error}"
            raise JournalUnavailable(self.problem, self.path) from error
        self.problem = ""
        return number

    def _read(self, sql: str, row: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self._db is None:
            raise JournalUnavailable("it is not open", self.path)
        try:
            return self._db.execute(sql, row).fetchall()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"it cannot be read: {error}", self.path) from error

    def _disconnect(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

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


def _is_damage(error: sqlite3.OperationalError) -> bool:
    return any(words in str(error) for words in ("malformed", "not a database", "file is encrypted"))


def _wrong_version(version: int) -> str:
    if version > len(MIGRATIONS):
        return f"it was written by a newer version of this program (schema {version}): upgrade, or move the file away"
    return "it is no journal"


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
