"""A failure leaves one sentence and a private file, without values, secrets or terminal sequences, and never fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dbops_tui.core import crash
from dbops_tui.core.crash import format_crash, sentence, write_crash
from dbops_tui.core.text import Redactor

TOKEN = "dapi0123456789abcdef0123456789abcdef"
HELD = "sandbox-7Q2kz9XwL4nV8bT1rY6u"
LOCAL = "a-local-value-" + "-".join(["that", "nobody", "may", "see"])


def failure(message: str) -> BaseException:
    """An error with local variables in its frames, a cause, and a note."""

    def inner(value: str, headers: dict[str, str]) -> None:
        assert value
        assert headers
        raise ValueError(message)

    try:
        try:
            inner(LOCAL, {"Authorization": f"Bearer {HELD}"})
        except ValueError as error:
            error.add_note(f"noted {TOKEN}")
            raise RuntimeError("the outer one") from error
    except RuntimeError as error:
        return error


def test_the_report_has_the_traceback_without_values_secrets_or_sequences() -> None:
    text = format_crash(failure(f"bad {TOKEN} \x1b[2J\x1bc {HELD}"), redactor=Redactor([HELD]), about=["dbops-tui 1"])
    assert "dbops-tui 1" in text
    assert "ValueError: bad [redacted]" in text
    assert "RuntimeError: the outer one" in text
    assert "in inner" in text
    for hidden in (TOKEN, HELD, LOCAL, "\x1b", str(Path.home()) + "/"):
        assert hidden not in text


def test_the_file_is_readable_for_its_user_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = write_crash(failure("x"), tmp_path)
    finally:
        os.umask(old)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ValueError: x" in path.read_text(encoding="utf-8")


def test_a_folder_that_is_not_there_is_no_second_failure(tmp_path: Path) -> None:
    assert write_crash(failure("x"), tmp_path / "missing") is None
    assert "no report could be written" in sentence(failure("x"), None)


def test_only_the_latest_reports_are_kept(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"crash-20260101-0000{n:02}-abc.txt").touch()
    (tmp_path / "other.txt").touch()
    newest = write_crash(failure("x"), tmp_path)
    names = sorted(path.name for path in tmp_path.glob("crash-*"))
    assert len(names) == crash.KEEP_FILES
    assert newest is not None
    assert names[-1] == newest.name
    assert (tmp_path / "other.txt").exists()


def test_the_sentence_is_one_line(tmp_path: Path) -> None:
    said = sentence(failure("x"), tmp_path / "crash.txt")
    assert (
        said
        == f"dbops-tui failed: RuntimeError: the outer one (the report without any values is {tmp_path / 'crash.txt'})"
    )
    hostile = sentence(ValueError(f"a\nb\x1b[31m {TOKEN} " + "long " * 500), None, redactor=Redactor())
    assert "\n" not in hostile
    assert "\x1b" not in hostile
    assert TOKEN not in hostile
    assert len(hostile) < 500


class Mute(Exception):
    def __str__(self) -> str:
        raise OSError("even this fails")


def test_an_error_that_cannot_say_its_name_is_told_all_the_same(tmp_path: Path) -> None:
    assert sentence(Mute(), None).startswith("dbops-tui failed: Mute")
    path = write_crash(Mute(), tmp_path)
    assert path is not None
    assert "Mute" in path.read_text(encoding="utf-8")


def test_a_secret_that_a_cut_would_halve_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in range(200, 700, 3):
        monkeypatch.setattr(crash, "_MAX_TEXT", limit)
        text = format_crash(ValueError("x " * 200 + TOKEN + " y" * 60))
        assert not [at for at in range(len(TOKEN) - 7) if TOKEN[at : at + 8] in text]


CHILD = """
import sys, threading
from pathlib import Path
from dbops_tui.core.crash import forbid_core_dumps, install
forbid_core_dumps()
install(lambda: Path(sys.argv[1]), about=["command demo"])
token = "dapi0123456789abcdef0123456789abcdef"
def work():
    raise KeyError(f"in a thread {token}")
thread = threading.Thread(target=work)
thread.start()
thread.join()
import resource
print(resource.getrlimit(resource.RLIMIT_CORE)[0])
raise LookupError(f"at the end {token}")
"""


def test_an_error_that_nobody_caught_ends_in_a_sentence_and_a_file(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == "0\n"
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("dbops-tui failed: KeyError: 'in a thread [redacted]'")
    assert lines[1].startswith("dbops-tui failed: LookupError: at the end [redacted]")
    files = list(tmp_path.glob("crash-*.txt"))
    assert len(files) == 2
    assert all("command demo" in file.read_text() and TOKEN not in file.read_text() for file in files)
