"""A lock has one holder, says who, and is taken over only from the provably dead."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from dbops_tui.core import lock as lock_module
from dbops_tui.core.lock import Held, Holder, Lock, provably_dead, read_holder, this_process

HOLD = """
import sys
from pathlib import Path
from dbops_tui.core import lock as lock_module
from dbops_tui.core.lock import Held, Lock
try:
    lock = Lock.take(Path(sys.argv[1]))
except Held as held:
    print("held", held.holder.pid if held.holder else 0, flush=True)
else:
    print("taken", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that tries to take the lock and keeps it until it is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def leave_behind(path: Path, holder: Holder) -> None:
    path.write_text(json.dumps(asdict(holder)), encoding="utf-8")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_taker_learns_who_holds_it(tmp_path: Path) -> None:
    lock = Lock.take(tmp_path / "x.lock")
    with pytest.raises(Held, match=rf"process {os.getpid()} on ") as caught:
        Lock.take(tmp_path / "x.lock")
    assert caught.value.holder == lock.holder
    assert str(tmp_path / "x.lock") in caught.value.advice


def test_a_released_lock_can_be_taken_again_and_leaves_nothing(tmp_path: Path) -> None:
    Lock.take(tmp_path / "x.lock").release()
    Lock.take(tmp_path / "x.lock").release()
    assert list(tmp_path.iterdir()) == []


def test_only_its_user_can_read_the_lock(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Lock.take(tmp_path / "x.lock")
    finally:
        os.umask(old)
    assert (tmp_path / "x.lock").stat().st_mode & 0o777 == 0o600


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    process = hold(path)
    try:
        assert said(process) == "taken"
        with pytest.raises(Held, match=f"process {process.pid} "):
            Lock.take(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Lock.take(path).holder.pid == os.getpid()
    finally:
        end(process)


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    process = hold(path)
    try:
        assert said(process) == "taken"
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
        assert Lock.take(path).holder.pid == os.getpid()
    finally:
        end(process)


def test_of_many_takers_of_a_stale_lock_exactly_one_wins(tmp_path: Path) -> None:
    for round_ in range(3):
        path = tmp_path / f"{round_}.lock"
        leave_behind(path, replace(this_process(), pid=dead_pid(), nonce="gone"))
        takers = [hold(path) for _ in range(4)]
        try:
            words = [said(taker) for taker in takers]
            winners = [taker.pid for taker, word in zip(takers, words, strict=True) if word == "taken"]
            assert len(winners) == 1
            assert sorted(words) == sorted(["taken"] + [f"held {winners[0]}"] * 3)
        finally:
            end(*takers)


def test_a_slow_taker_does_not_remove_the_lock_of_a_quick_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lock"
    leave_behind(path, replace(this_process(), pid=dead_pid(), nonce="gone"))
    won: list[Lock] = []

    def quick() -> None:
        with contextlib.suppress(Held):
            won.append(Lock.take(path))

    def judge(holder: Holder, *, local: bool = True) -> bool:
        dead = provably_dead(holder, local=local)
        if threading.current_thread() is threading.main_thread():
            # Between the judgement and the removal another one comes, and does all that it can.
            other = threading.Thread(target=quick)
            other.start()
            other.join()
        return dead

    monkeypatch.setattr(lock_module, "provably_dead", judge)
    monkeypatch.setattr(lock_module.time, "sleep", lambda seconds: None)
    with contextlib.suppress(Held):
        won.append(Lock.take(path))
    assert len(won) == 1
    assert read_holder(path) == won[0].holder


def test_threads_of_one_process_do_not_share_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    leave_behind(path, replace(this_process(), pid=dead_pid(), nonce="gone"))
    won: list[Lock] = []

    def taker() -> None:
        with contextlib.suppress(Held):
            won.append(Lock.take(path))

    threads = [threading.Thread(target=taker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


@pytest.mark.parametrize(
    ("what", "dead"),
    [
        ({"pid": "dead"}, True),
        ({"started": "1"}, True),  # the number belongs to another process now
        ({"boot": "another-boot"}, True),
        ({"since": "2031-01-01T00:00:00Z", "pid": "dead"}, True),  # a clock that is off decides nothing
        ({"since": "1999-01-01T00:00:00Z"}, False),
        ({"host": "elsewhere", "pid": "dead"}, False),
        ({"host": "elsewhere", "boot": "another-boot"}, False),
        ({"machine": "another machine of the same name", "boot": "another-boot"}, False),
        ({"pids": "pid:[1]", "pid": "dead"}, False),  # another container: its numbers mean nothing here
        ({}, False),
    ],
)
def test_who_counts_as_dead(what: dict[str, str], dead: bool) -> None:
    changes: dict[str, object] = {**what}
    if what.get("pid") == "dead":
        changes["pid"] = dead_pid()
    assert provably_dead(replace(this_process(), **changes)) is dead  # type: ignore[arg-type]


def test_without_a_machine_id_another_boot_proves_nothing_on_a_shared_disk() -> None:
    other = replace(this_process(), boot="another-boot", machine="")
    if this_process().machine:
        assert not provably_dead(other)
    else:
        assert not provably_dead(other, local=False)
        assert provably_dead(other, local=True)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x"}', '{"pid": -1, "host": "h"}', "\x00" * 40])
def test_a_lock_file_that_says_nothing_is_held_by_somebody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.lock"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Held, match="somebody"):
        Lock.take(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_lock_file_of_a_newer_version_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_text(json.dumps({**asdict(this_process()), "colour": "green"}), encoding="utf-8")
    holder = read_holder(path)
    assert holder is not None
    assert holder.pid == os.getpid()


def test_a_lock_that_was_broken_and_taken_is_not_given_back_by_its_old_holder(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    old = Lock.take(path)
    path.unlink()
    new = Lock.take(path)
    old.release()
    assert read_holder(path) == new.holder


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Lock.take(tmp_path / "missing" / "x.lock")
