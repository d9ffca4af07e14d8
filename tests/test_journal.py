"""What was acknowledged is found again, a bad file is kept, no secret is written, and trouble has a clear reason."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbops_tui.core import journal_file
from dbops_tui.core.guard import Act, Refused
from dbops_tui.core.journal import Journal, JournalUnavailable, journal_path
from dbops_tui.core.journal_schema import MIGRATIONS
from dbops_tui.core.lock import Held
from dbops_tui.core.text import Redactor

NFS = "22 1 0:25 / / rw - nfs4 server:/home rw\n"
DEPLOY = Act("deploy", "bundle", host="https://dev.example.com", target="dev", user="you@example.com")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "retail-dev.sqlite3"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(path)
    yield opened
    await opened.close()


async def test_an_intent_stays_open_until_its_end_is_known(journal: Journal, path: Path) -> None:
    first = await journal.intent(
        Act("run", "jobs.nightly", token="t1", command="databricks bundle run", data={"a": [1]})
    )
    second = await journal.intent(DEPLOY)
    third = await journal.intent(DEPLOY)
    await journal.result(second, "unknown", {"why": "no reply"})
    await journal.result(third, "done", {})
    assert [(op.op_id, op.kind, op.outcome) for op in await journal.open_operations()] == [
        (first, "run", ""),
        (second, "deploy", "unknown"),
    ]
    (run, _) = await journal.open_operations()
    assert (run.token, run.command, run.intent) == ("t1", "databricks bundle run", {"a": [1]})


async def test_everything_is_there_again_after_the_file_was_closed(journal: Journal, path: Path) -> None:
    await journal.save_loop("loop-1", {"stage": "poll", "iteration": 2}, iterations=2)
    await journal.intent(DEPLOY)
    await journal.event("stage.changed", {"stage": "poll"})
    await journal.add_duration("jobs.nightly", "", "7", 61_000, "succeeded", 1_790_000_000_000)
    await journal.add_duration("jobs.nightly", "", "8", 5, "failed", 1_790_000_000_001)
    await journal.save_output("71", {"logs": "ok"})
    await journal.save_output("71", {"logs": "not the first"})
    await journal.learn("missing_column", "spark.unresolved_column", "evidence", "diff", "verified", 2)
    await journal.close()
    again = await Journal.open(path, about={"root": "/repo/retail", "target": "dev"})
    try:
        loop = await again.last_loop()
        assert loop is not None
        assert (loop.loop_id, loop.state, loop.iterations, loop.outcome) == (
            "loop-1",
            {"stage": "poll", "iteration": 2},
            2,
            "",
        )
        assert [op.loop_id for op in await again.operations("loop-1")] == ["loop-1"]
        assert [(name, data) for _, name, data in await again.events("loop-1")] == [
            ("stage.changed", {"stage": "poll"})
        ]
        assert await again.durations("jobs.nightly") == (61_000,)
        assert await again.output("71") == {"logs": "ok"}
        assert await again.output("72") is None
        assert [row["cause"] for row in await again.learned()] == ["missing_column"]
        assert await again.about() == {"root": "/repo/retail", "target": "dev"}
    finally:
        await again.close()


async def test_the_newest_loop_comes_first_and_an_id_can_be_cut_short(journal: Journal) -> None:
    for name in ("aaa111", "bbb222"):
        await journal.save_loop(name, {}, outcome="verified", record={"n": name})
    await journal.save_loop("bbb222", {}, outcome="verified")
    assert [loop.loop_id for loop in await journal.loops()] == ["bbb222", "aaa111"]
    found = await journal.last_loop("aaa")
    assert found is not None
    assert found.record == {"n": "aaa111"}
    kept = await journal.last_loop("bbb")
    assert kept is not None
    assert kept.record == {"n": "bbb222"}, "a record is not lost when the state is saved again without one"
    assert await journal.last_loop("%") is None


async def test_what_is_deployed_where_is_known_until_it_is_destroyed(journal: Journal) -> None:
    async def act(kind: str, host: str, outcome: str) -> None:
        op = await journal.intent(Act(kind, "bundle", host=host, target="dev"))  # type: ignore[arg-type]
        await journal.result(op, outcome, {})

    await act("deploy", "https://a", "done")
    await act("deploy", "https://b", "unknown")
    await act("deploy", "https://c", "refused")
    await act("destroy", "https://b", "unknown")
    assert [op.host for op in await journal.deployed()] == ["https://a", "https://b"]
    await act("destroy", "https://a", "done")
    assert [op.host for op in await journal.deployed()] == ["https://b"]


async def test_a_local_disk_gets_wal_and_a_network_disk_does_not(tmp_path: Path) -> None:
    for name, mounts, mode in (("local", None, "wal"), ("remote", NFS, "delete")):
        journal = await Journal.open(tmp_path / f"{name}.sqlite3", mountinfo=mounts)
        await journal.intent(DEPLOY)
        await journal.close()
        with sqlite3.connect(tmp_path / f"{name}.sqlite3") as db:
            assert db.execute("PRAGMA journal_mode").fetchone()[0] == mode
        assert ("network" in journal.note) is (name == "remote")


async def test_a_journal_that_moved_to_a_network_disk_leaves_wal(path: Path) -> None:
    journal = await Journal.open(path)
    await journal.intent(DEPLOY)
    await journal.close()
    moved = await Journal.open(path, mountinfo=NFS)
    assert len(await moved.open_operations()) == 1
    assert not path.with_name(path.name + "-wal").exists()
    await moved.close()


async def test_a_second_writer_is_told_who_the_first_is_and_may_read(journal: Journal, path: Path) -> None:
    await journal.save_loop("one", {"x": 1})
    with pytest.raises(Held, match=f"process {os.getpid()} "):
        await Journal.open(path)
    reader = await Journal.open(path, read_only=True)
    found = await reader.last_loop()
    assert found is not None
    assert found.state == {"x": 1}
    with pytest.raises(Refused, match="journal"):
        await reader.intent(DEPLOY)
    await reader.event("lost", {})
    with pytest.raises(JournalUnavailable, match="not open for writing"):
        await reader.save_loop("two", {})
    await reader.close()
    await journal.save_loop("three", {})


async def test_a_closed_journal_says_so_and_can_be_closed_again(journal: Journal) -> None:
    await journal.close()
    await journal.close()
    with pytest.raises(Refused, match="closed"):
        await journal.intent(DEPLOY)
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.loops()


async def test_only_its_user_can_read_the_files(path: Path) -> None:
    old = os.umask(0)
    try:
        journal = await Journal.open(path)
        await journal.intent(DEPLOY)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await journal.close()
    finally:
        os.umask(old)
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRET = "dapi0123456789abcdef0123456789abcdef"
HELD = "sandbox-7Q2kz9XwL4nV8bT1rY6u"


async def test_no_secret_reaches_the_disk_in_any_column(path: Path) -> None:
    journal = await Journal.open(path, redactor=Redactor([HELD]), about={"root": f"/x/{SECRET}"})
    nested = {
        "list": [{"deep": f"Bearer {HELD}"}],
        "client_secret": "zK8-pw-in-a-pair-92",
        f"key {SECRET}": 1,
        "pair": (HELD, SECRET),
    }
    op = await journal.intent(Act("run", "jobs.x", command=f"databricks bundle run --params token={HELD}", data=nested))
    await journal.result(op, "done", {"text": f"{SECRET} and {HELD}"})
    await journal.save_loop("l", nested, record=nested)
    await journal.event("deploy.output", {"line": f"using {HELD[:14]}\n{HELD[14:]}"})
    await journal.save_output("1", nested)
    await journal.learn("c", "r", f"evidence {HELD}", f"-token = {SECRET}", "verified", 1)
    loop = await journal.last_loop()
    assert loop is not None
    assert loop.state["pair"] == ["[redacted]", "[redacted]"]
    await journal.close()
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"[redacted]" in stored
    for secret in (SECRET, HELD, "zK8-pw-in-a-pair-92"):
        assert not [at for at in range(len(secret) - 7) if secret[at : at + 8].encode() in stored], secret


async def test_what_sqlite_cannot_hold_is_made_to_fit(journal: Journal) -> None:
    await journal.save_loop(
        "l", {"half": "x\ud83d", "huge": "y" * 500_000, "set": {1}, "path": Path("a"), "big": 2**70}
    )
    loop = await journal.last_loop()
    assert loop is not None
    assert loop.state["half"] == "x?"
    assert len(loop.state["huge"]) <= 200_000
    assert (loop.state["set"], loop.state["path"]) == ([1], "a")


# --- trouble ---------------------------------------------------------------------------------------------------------


def put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def content_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def kept(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if ".bad-" in file.name)


@pytest.mark.parametrize(
    "content",
    [b"this is no database at all, only text\n" * 50, b"SQLite format 3\x00" + b"\xff" * 5000, b"\x00" * 4096],
)
async def test_a_file_that_is_no_journal_is_set_aside_whole(path: Path, content: bytes) -> None:
    put(path, content)
    journal = await Journal.open(path)
    await journal.intent(DEPLOY)
    await journal.close()
    assert "kept as" in journal.note
    (name,) = kept(path)
    assert (path.parent / name).read_bytes() == content


async def test_two_bad_files_in_one_second_are_both_kept(path: Path) -> None:
    for n in range(2):
        put(path, b"no database %d" % n * 100)
        await (await Journal.open(path)).close()
    assert len(kept(path)) == 2


async def test_the_database_of_another_program_is_set_aside(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    journal = await Journal.open(path)
    await journal.close()
    assert "no journal" in journal.note
    assert len(kept(path)) == 1


async def test_an_empty_file_is_begun_anew_and_that_is_said(path: Path) -> None:
    put(path, b"")
    journal = await Journal.open(path)
    assert "empty" in journal.note
    await journal.intent(DEPLOY)
    await journal.close()


async def test_a_newer_schema_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE later (x)")
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    before = content_of(path)
    for read_only in (False, True):
        with pytest.raises(JournalUnavailable, match="newer version"):
            await Journal.open(path, read_only=read_only)
    assert content_of(path) == before
    assert kept(path) == []
    assert content_of(path.with_suffix(".lock")) is None


async def test_an_older_schema_is_brought_up_with_its_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await Journal.open(path)
    await old.save_loop("old", {"x": 1})
    await old.close()
    monkeypatch.setattr(journal_file, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE loops ADD COLUMN place TEXT"))
    new = await Journal.open(path)
    loop = await new.last_loop()
    await new.close()
    assert loop is not None
    assert loop.state == {"x": 1}
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 1


async def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await Journal.open(path)
    await old.save_loop("old", {"x": 1})
    await old.close()
    monkeypatch.setattr(
        journal_file, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE loops ADD COLUMN place TEXT; DROP TABLE nowhere")
    )
    with pytest.raises(JournalUnavailable, match="nowhere"):
        await Journal.open(path)
    monkeypatch.undo()
    again = await Journal.open(path)
    assert await again.last_loop() is not None
    await again.close()


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS) + 1))
async def test_the_journal_of_each_released_schema_opens(schema: int, tmp_path: Path) -> None:
    golden = Path(__file__).parent / "journals" / f"schema{schema}.sql"
    with sqlite3.connect(tmp_path / "golden.sqlite3") as db:
        db.executescript(golden.read_text(encoding="utf-8"))
    journal = await Journal.open(tmp_path / "golden.sqlite3")
    loop = await journal.last_loop()
    assert loop is not None
    assert (loop.loop_id, loop.iterations, loop.state["stage"]) == ("2b1f0c", 2, "poll")
    assert [(op.kind, op.token) for op in await journal.open_operations()] == [("run", "7d0c")]
    assert await journal.durations("jobs.nightly") == (61_000,)
    await journal.close()


async def test_a_full_disk_refuses_the_act_and_loses_nothing(journal: Journal) -> None:
    await journal.intent(DEPLOY)

    def fill() -> None:
        assert journal._file._db is not None
        pages = journal._file._db.execute("PRAGMA page_count").fetchone()[0]
        journal._file._db.execute(f"PRAGMA max_page_count={pages}")

    await journal._do(fill)
    with pytest.raises(Refused, match="full") as caught:
        await journal.intent(Act("run", "jobs.x", data={"text": "x y " * 20_000}))
    assert caught.value.exit_code == 1
    assert "full" in journal.problem
    await journal.event("lost", {"text": "y" * 20000})
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.save_loop("l", {"text": "z" * 20000})
    assert (await journal.open_operations())[0].kind == "deploy"

    def free() -> None:
        assert journal._file._db is not None
        journal._file._db.execute("PRAGMA max_page_count=100000")

    await journal._do(free)
    await journal.intent(DEPLOY)
    assert journal.problem == ""


async def test_a_database_that_another_program_locks_refuses_the_act(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_MS", 20)
    journal = await Journal.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match="locked"):
        await journal.intent(DEPLOY)
    other.execute("ROLLBACK")
    other.close()
    assert await journal.intent(DEPLOY) > 0
    await journal.close()


async def test_a_state_folder_that_is_not_there_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="cannot be written") as caught:
        await Journal.open(tmp_path / "missing" / "x.sqlite3")
    assert caught.value.path == tmp_path / "missing"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
async def test_a_state_folder_that_cannot_be_written_has_a_reason_and_can_be_read(path: Path) -> None:
    journal = await Journal.open(path)
    await journal.save_loop("l", {})
    await journal.close()
    path.parent.chmod(0o500)
    try:
        with pytest.raises(JournalUnavailable, match="cannot be written"):
            await Journal.open(path)
        reader = await Journal.open(path, read_only=True)
        assert await reader.last_loop() is not None
        await reader.close()
    finally:
        path.parent.chmod(0o700)


async def test_a_link_in_the_place_of_the_journal_is_not_followed(tmp_path: Path, path: Path) -> None:
    put(tmp_path / "theirs", b"precious")
    os.symlink(tmp_path / "theirs", path)
    with pytest.raises(JournalUnavailable):
        await Journal.open(path)
    assert (tmp_path / "theirs").read_bytes() == b"precious"


@pytest.mark.parametrize("content", [None, b"", b"no database" * 100])
async def test_reading_makes_nothing_and_moves_nothing(path: Path, content: bytes | None) -> None:
    if content is not None:
        put(path, content)
    with pytest.raises(JournalUnavailable):
        await Journal.open(path, read_only=True)
    assert content_of(path) == content
    assert kept(path) == []


async def test_an_old_journal_stays_small_and_keeps_what_is_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = await Journal.open(path)
    op = await journal.intent(DEPLOY)

    def fill() -> None:
        assert journal._file._db is not None
        journal._file._db.execute("BEGIN")
        for n in range(3000):
            text = f'{{"n": {n}, "t": "{"x" * 400}"}}'
            journal._file._db.execute("INSERT INTO events (at, loop_id, name, data) VALUES ('', '', 'x', ?)", (text,))
        journal._file._db.execute("COMMIT")

    await journal._do(fill)
    await journal.close()
    before = len(content_of(path) or b"")
    monkeypatch.setattr(journal_file, "MAX_BYTES", 1_200_000)
    again = await Journal.open(path)
    assert [row.op_id for row in await again.open_operations()] == [op]
    assert (await again.events("", limit=5000))[-1][2]["n"] == 2999
    await again.close()
    assert len(content_of(path) or b"") < min(before, 1_200_000)


def test_a_journal_has_a_readable_name_of_its_own(tmp_path: Path) -> None:
    names = {
        journal_path(tmp_path, tmp_path / root, target).name
        for root in ("retail", "other/retail", "grüße/../x; rm -rf")
        for target in ("", "dev", "../dev")
    }
    assert len(names) == 9
    assert all("/" not in name and ";" not in name and name.endswith(".sqlite3") for name in names)
    assert any(name.startswith("retail-dev-") for name in names)


# --- kill -9 ---------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from dbops_tui.core.guard import Act
from dbops_tui.core.journal import Journal

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    print("opened", flush=True)
    n = 0
    while sys.stdin.readline():
        await journal.save_loop("loop", {"round": n}, iterations=n)
        op = await journal.intent(Act("run", f"jobs.{n}", token=f"t{n}"))
        print("intent", op, flush=True)
        if not sys.stdin.readline():
            break
        await journal.result(op, "done", {"run_id": n})
        await journal.event("run.started", {"n": n})
        print("result", op, flush=True)
        n += 1

asyncio.run(main())
"""


class Child:
    """Another process with the journal open, that goes one step for each line, until it is killed."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.heard()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def step(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.heard()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8])
async def test_after_a_kill_every_acknowledged_row_is_there_and_the_next_one_takes_over(path: Path, steps: int) -> None:
    child = Child(path)
    said = [child.step() for _ in range(steps)]
    child.kill()
    journal = await Journal.open(path)
    rows = await journal.operations("loop")
    assert [f"intent {row.op_id}" for row in rows] == [word for word in said if word.startswith("intent")]
    assert [f"result {row.op_id}" for row in rows if row.outcome] == [
        word for word in said if word.startswith("result")
    ]
    assert len(await journal.open_operations()) == steps % 2
    loop = await journal.last_loop()
    assert (loop.iterations if loop else 0) == max(0, (steps - 1) // 2)
    await journal.close()


async def test_a_torn_or_flipped_wal_gives_a_prefix_and_never_a_wrong_row(path: Path, tmp_path: Path) -> None:
    import random

    child = Child(path)
    for _ in range(24):
        child.step()
    child.kill()
    wal = path.with_name(path.name + "-wal").read_bytes()
    assert len(wal) > 10_000, "the rows must be in the WAL for this to prove something"
    chance = random.Random(5)
    lengths = set()
    for n in range(40):
        folder = tmp_path / f"copy{n}"
        folder.mkdir()
        copy = folder / path.name
        shutil.copy(path, copy)
        at = chance.randrange(len(wal))
        damaged = wal[:at] if n % 2 else wal[:at] + bytes([wal[at] ^ 1 << chance.randrange(8)]) + wal[at + 1 :]
        copy.with_name(copy.name + "-wal").write_bytes(damaged)
        journal = await Journal.open(copy)
        rows = await journal.operations("loop")
        events = [data["n"] for _, _, data in await journal.events("loop")]
        await journal.close()
        # What was torn before the tables were there begins anew; else the rows are a prefix, each as it was written.
        assert [(row.key, row.token) for row in rows] == [(f"jobs.{k}", f"t{k}") for k in range(len(rows))]
        assert [row.result for row in rows if row.outcome] == [
            {"run_id": k} for k in range(sum(1 for r in rows if r.outcome))
        ]
        assert events == list(range(len(events)))
        assert sum(1 for row in rows if not row.outcome) <= 1
        lengths.add(len(rows))
    assert len(lengths) > 3, "the damage must hit different places"
