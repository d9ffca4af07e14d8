"""Journals in trouble: torn, flipped, on a full disk, not writable, locked, of a newer schema, no journal at all.
It holds no test and no expectation; what must hold is told in the cases.
"""
# ruff: noqa: ASYNC240 (nothing else runs meanwhile)

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from dbops_tui.core import journal_file
from dbops_tui.core.guard import Act, Refused
from dbops_tui.core.journal import Journal, JournalUnavailable
from dbops_tui.core.journal_schema import MIGRATIONS
from dbops_tui.core.lock import Held
from dbops_tui.core.loop import reattach, step
from dbops_tui.core.loop_model import IdentityResolved, LoopState
from dbops_tui.core.plain_json import from_plain
from dbops_tui.core.report import LoopRecord
from fault_cases import Case

RUN = Act("run", "jobs.nightly", host="https://example.com", target="dev", user="you@example.com")
NETWORKS = ("nfs", "nfs4", "9p", "cifs", "smb3", "fuse.sshfs", "virtiofs")
GOLDEN = Path(__file__).parent / "journals"
ROWS = 24


async def damaged(folder: Path, chance: random.Random, count: int) -> AsyncIterator[Case]:
    """A WAL that is torn, or has one bit flipped, so many times: what is left is a prefix of what was written."""
    whole = folder / "whole.sqlite3"
    await _filled(whole)
    wal = whole.with_name(whole.name + "-wal").read_bytes()
    for number in range(count):
        torn = number % 2 == 0
        at = chance.randrange(len(wal))
        data = wal[:at] if torn else wal[:at] + bytes([wal[at] ^ 1 << chance.randrange(8)]) + wal[at + 1 :]
        copy = folder / f"damaged{number}" / whole.name
        copy.parent.mkdir()
        shutil.copy(whole, copy)
        copy.with_name(copy.name + "-wal").write_bytes(data)
        kind = "WAL torn" if torn else "WAL flipped"
        yield Case(kind, f"at byte {at}", await _prefix(copy, torn=torn, at=at, whole=len(wal)))
        shutil.rmtree(copy.parent)


async def _filled(path: Path) -> None:
    """A journal whose rows are in its WAL, as a killed process leaves it."""
    live = path.with_name("live.sqlite3")
    journal = await Journal.open(live)
    for number in range(ROWS):
        await journal.save_loop("loop", {"round": number}, iterations=number)
        op = await journal.intent(Act("run", f"jobs.{number}", token=f"t{number}"))
        await journal.result(op, "done", {"run_id": number})
        await journal.event("run.started", {"n": number})
    for suffix in ("", "-wal"):
        shutil.copy(live.with_name(live.name + suffix), path.with_name(path.name + suffix))
    await journal.close()


async def _prefix(path: Path, *, torn: bool, at: int, whole: int) -> str:
    try:
        journal = await Journal.open(path)
        rows = await journal.operations("loop")
        events = [data["n"] for _, _, data in await journal.events("loop")]
        await journal.close()
    except Exception as error:
        return f"it does not open: {type(error).__name__}: {error}"
    if [(row.key, row.token) for row in rows] != [(f"jobs.{n}", f"t{n}") for n in range(len(rows))]:
        return "the operations are no prefix"
    if [row.result for row in rows if row.outcome] != [
        {"run_id": n} for n in range(sum(bool(r.outcome) for r in rows))
    ]:
        return "a result is not what was written"
    if events != list(range(len(events))):
        return "the events are no prefix"
    if sum(not row.outcome for row in rows) > 1:
        return "more than one intent is open"
    if torn and at > whole - 2_000 and len(rows) < ROWS - 2:
        return f"{ROWS - len(rows)} intents are gone that lay before the tear"
    return ""


async def trouble(folder: Path) -> AsyncIterator[Case]:
    """All other troubles, each once: nothing is done without its intent, and no file is thrown away."""
    for kind, content in {
        "journal is no database": b"this is a text\n" * 40,
        "journal is zeros": bytes(8192),
        "journal is half": None,
    }.items():
        yield Case(kind, kind, await _set_aside(_own(folder, kind), content))
    yield Case("journal is empty", "0 bytes", await _empty(_own(folder, "empty")))
    yield Case("journal of another program", "a database", await _stranger(_own(folder, "stranger")))
    yield Case("newer schema", f"schema {len(MIGRATIONS) + 1}", await _newer(_own(folder, "newer")))
    yield Case("disk full", "the file may not grow", await _full(_own(folder, "full")))
    yield Case("disk full", "no file may be written", await _no_room(_own(folder, "no room")))
    yield Case("state folder read-only", "mode 0500", await _read_only(_own(folder, "closed")))
    yield Case("state folder missing", "a file in its place", await _no_folder(_own(folder, "no folder")))
    yield Case("journal locked", "by another program", await _locked(_own(folder, "locked")))
    yield Case("two writers", "of one journal", await _two(_own(folder, "two")))
    yield Case("intent not synced", "synchronous", await _synced(_own(folder, "synced")))
    for name in NETWORKS:
        yield Case("network home", name, await _network(_own(folder, name), name))
    for golden in sorted(GOLDEN.glob("schema*.sql")):
        yield Case("golden journal", golden.name, await _golden(_own(folder, golden.stem), golden))


def _own(folder: Path, name: str) -> Path:
    path = folder / name.replace(" ", "_")
    path.mkdir()
    return path / "j.sqlite3"


async def _set_aside(path: Path, content: bytes | None) -> str:
    if content is None:
        await _filled(path)
        path.with_name(path.name + "-wal").unlink()
        with sqlite3.connect(path.with_name("live.sqlite3")) as live:
            live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = path.with_name("live.sqlite3").read_bytes()
        content = whole[: len(whole) // 2] + b"\xff" * 4096
    path.write_bytes(content)
    journal = await Journal.open(path)
    await journal.intent(RUN)
    note = journal.note
    await journal.close()
    kept = [each for each in path.parent.glob("*.bad-*") if not each.name.endswith(("-wal", "-shm"))]
    if [each.read_bytes() for each in kept] != [content]:
        return "the file is not kept beside the new one"
    return "" if kept[0].name in note else f"nobody is told where it is: {note!r}"


async def _empty(path: Path) -> str:
    path.touch()
    journal = await Journal.open(path)
    note = journal.note
    await journal.close()
    return "" if "empty" in note else f"nobody is told: {note!r}"


async def _stranger(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    before = path.read_bytes()
    journal = await Journal.open(path)
    await journal.close()
    kept = [each.read_bytes() for each in path.parent.glob("*.bad-*")]
    return "" if before in kept else "the other program's file is gone"


async def _newer(path: Path) -> str:
    journal = await Journal.open(path)
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    try:
        await Journal.open(path)
    except JournalUnavailable as error:
        if path.read_bytes() != before:
            return "it was written to"
        return "" if "newer" in str(error) else f"not said why: {error}"
    return "it was opened"


async def _full(path: Path) -> str:
    journal = await Journal.open(path)
    try:
        await journal.intent(RUN)

        def fill() -> None:
            db = journal._file._db
            assert db is not None
            db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")

        await journal._do(fill)
        problem = await _refused(journal, Act("run", "jobs.x", data={"text": "x y " * 20_000}))
        return problem or ("" if len(await journal.open_operations()) == 1 else "an intent is lost")
    finally:
        await journal.close()


async def _no_room(path: Path) -> str:
    journal = await Journal.open(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name(path.name + "-wal").stat().st_size
    with _ignored_signal():
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            problem = await _refused(journal, RUN)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if not problem:
        await journal.intent(RUN)  # there is room again
        with contextlib.closing(sqlite3.connect(path)) as db:
            found = db.execute("PRAGMA integrity_check").fetchone()[0]
        problem = "" if found == "ok" else f"damaged: {found}"
    await journal.close()
    return problem


@contextlib.contextmanager
def _ignored_signal() -> Iterator[None]:
    import signal

    plain = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGXFSZ, plain)


async def _refused(journal: Journal, act: Act) -> str:
    try:
        await journal.intent(act)
    except Refused:
        return ""
    return "leave was given without a row on disk"


async def _read_only(path: Path) -> str:
    journal = await Journal.open(path)
    await journal.save_loop("loop", {"stage": "poll"})
    await journal.close()
    if os.getuid() == 0:  # whom no mode keeps out
        return await _unwritable(path, lambda: _patched_create())
    path.parent.chmod(0o500)
    try:
        return await _unwritable(path, contextlib.nullcontext)
    finally:
        path.parent.chmod(0o700)


async def _unwritable(path: Path, closed: Callable[[], contextlib.AbstractContextManager[None]]) -> str:
    with closed():
        try:
            await Journal.open(path)
        except JournalUnavailable as error:
            if "cannot be written" not in str(error):
                return f"not said why: {error}"
        else:
            return "it was opened for writing"
        reader = await Journal.open(path, read_only=True)
        found = await reader.last_loop()
        await reader.close()
        return "" if found is not None else "it cannot be read either"


@contextlib.contextmanager
def _patched_create() -> Iterator[None]:
    from dbops_tui.core import lock

    def refused(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    plain, lock._create = lock._create, refused
    try:
        yield
    finally:
        lock._create = plain


async def _no_folder(path: Path) -> str:
    path.parent.rmdir()
    path.parent.write_text("a file")
    try:
        await Journal.open(path)
    except JournalUnavailable:
        return ""
    return "it was opened"


async def _locked(path: Path) -> str:
    plain, journal_file.BUSY_MS = journal_file.BUSY_MS, 50
    try:
        journal = await Journal.open(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            problem = await _refused(journal, RUN)
            other.execute("ROLLBACK")
        if not problem:
            await journal.intent(RUN)
        await journal.close()
        return problem
    finally:
        journal_file.BUSY_MS = plain


async def _two(path: Path) -> str:
    journal = await Journal.open(path)
    try:
        second = await Journal.open(path)
    except Held as held:
        return "" if f"process {os.getpid()} " in str(held) else f"not said by whom: {held}"
    else:
        await second.close()
        return "two write one journal"
    finally:
        await journal.close()


async def _synced(path: Path) -> str:
    journal = await Journal.open(path)

    def level() -> int:
        assert journal._file._db is not None
        return int(journal._file._db.execute("PRAGMA synchronous").fetchone()[0])

    found = {}
    op = await journal.intent(RUN)
    found["intent"] = await journal._do(level)
    await journal.event("x", {})
    await journal.result(op, "done", {})
    found["result"] = await journal._do(level)
    await journal.save_loop("loop", {})
    found["state"] = await journal._do(level)
    await journal.close()
    low = [name for name, number in found.items() if number < 2]
    return f"written without being synced: {', '.join(low)}" if low else ""


async def _network(path: Path, name: str) -> str:
    mountinfo = f"21 1 0:19 / {path.parent} rw - {name} server:/home rw\n"
    journal = await Journal.open(path, mountinfo=mountinfo)
    note = journal.note
    await journal.intent(RUN)
    with contextlib.closing(sqlite3.connect(path)) as db:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    await journal.close()
    if mode == "wal":
        return "WAL on a network file system"
    return "" if "network" in note else f"nobody is told: {note!r}"


async def _golden(path: Path, golden: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(golden.read_text(encoding="utf-8"))
    journal = await Journal.open(path)
    loop = await journal.last_loop()
    await journal.open_operations()
    await journal.close()
    if loop is None:
        return "there is no loop in it any more"
    try:
        state = from_plain(LoopState, {**loop.state, "deferred": []})
        if loop.record:
            from_plain(LoopRecord, loop.record)
    except ValueError as error:
        return f"what it says of the loop is not understood any more: {error}"
    held, first = reattach(state)
    _, then = step(held, IdentityResolved())
    return "" if first and then else "nobody goes on with it"
