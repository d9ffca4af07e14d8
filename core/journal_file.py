"""The journal's file: opened so that what is on it survives, or refused with a reason; one thread at a time.

Never deletes a file it cannot read (that is set aside), and never touches what a newer version wrote.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .journal_schema import MIGRATIONS
from .lock import Lock
from .paths import classify_filesystem

MAX_BYTES = 40_000_000  # of data; with what comes until it is looked at again, the file stays below 50 MB
BUSY_MS = 10_000
_PRUNE_EVERY = 2_000  # events
_EVENT = "INSERT INTO events (at, loop_id, name, data) VALUES (?,?,?,?)"


class JournalUnavailable(Exception):
    """The journal cannot be used; the message says why and where. Watching goes on, nothing may be changed."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(f"{reason} ({path})")
        self.reason = reason
        self.path = path


class JournalFile:
    """A sqlite file with one writer. `note` says what was odd about its opening, `problem` about the last write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.note = ""
        self.problem = ""
        self._db: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._events = 0

    def open_writer(self, mountinfo: str | None = None) -> None:
        """Take the lock and open, make or bring up the file. Raises lock.Held, JournalUnavailable."""
        try:
            self._lock = Lock.take(self.path.with_suffix(".lock"), mountinfo=mountinfo)
        except OSError as error:
            reason = f"the state folder cannot be written: {error.strerror or error}"
            raise JournalUnavailable(reason, self.path.parent) from error
        try:
            self._open_or_set_aside(classify_filesystem(self.path.parent, mountinfo) == "network")
        except BaseException:
            self.close()
            raise

    def open_reader(self) -> None:
        """Open for reading beside a writer; nothing is made, moved or written. Raises JournalUnavailable."""
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

    def _open_or_set_aside(self, network: bool) -> None:
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
        self._db.execute("PRAGMA cache_size=-500")  # kB; what is read are a few rows by their index
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

    def append_event(self, row: tuple[Any, ...]) -> None:
        """Write an event (at, loop_id, name, data), and now and then make room. Raises JournalUnavailable."""
        self.write(_EVENT, row)
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

    def write(
        self, sql: str, row: tuple[Any, ...], *, sync: bool = False, events: Sequence[tuple[Any, ...]] = ()
    ) -> int:
        """One statement, on disk for good where `sync`; the number of the new row. Raises JournalUnavailable.

        `events` are rows as of `append_event`, written together with it or not at all.
        """
        if self._db is None or self._lock is None:
            raise JournalUnavailable("it is not open for writing", self.path)
        try:
            self._db.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            if not events:
                number = int(self._db.execute(sql, row).lastrowid or 0)
            else:
                number = self._write_together(sql, row, events)
        except sqlite3.Error as error:
            self.problem = f"the journal cannot be written: {error}"
            raise JournalUnavailable(self.problem, self.path) from error
        self.problem = ""
        return number

    def _write_together(self, sql: str, row: tuple[Any, ...], events: Sequence[tuple[Any, ...]]) -> int:
        assert self._db is not None
        self._db.execute("BEGIN IMMEDIATE")
        try:
            number = int(self._db.execute(sql, row).lastrowid or 0)
            self._db.executemany(_EVENT, events)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        return number

    def read(self, sql: str, row: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises JournalUnavailable."""
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

    def close(self) -> None:
        """Close the file and give back the lock."""
        self._disconnect()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _is_damage(error: sqlite3.OperationalError) -> bool:
    return any(words in str(error) for words in ("malformed", "not a database", "file is encrypted"))


def _wrong_version(version: int) -> str:
    if version > len(MIGRATIONS):
        return f"it was written by a newer version of this program (schema {version}): upgrade, or move the file away"
    return "it is no journal"
