"""The command line answers at once, refuses what it does not understand, and ends every stream with one final event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_box import PROGRAM, SMALL, Program, alone, with_bundle
from dbops_tui.tui import cli
from dbops_tui.tui.manual import EVENTS, manual

HEAVY = """
import sys
from dbops_tui.tui.cli import main
try:
    code = main({words!r})
except SystemExit as stop:
    code = stop.code
heavy = [name for name in ("textual", "databricks", "yaml", "rich", "sqlite3", "asyncio") if name in sys.modules]
print("heavy:", ",".join(heavy), "code:", code)
"""


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["heal", "--help"], ["matrix", "--help"]])
def test_version_and_help_import_nothing_heavy(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", HEAVY.format(words=words)], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "heavy:  code: 0", done.stdout + done.stderr


@pytest.mark.parametrize("words", [["diagnose", "-"], ["resources", "--offline"], ["matrix", "list"], ["history"]])
def test_no_command_without_a_screen_imports_textual(words: list[str], tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", HEAVY.format(words=words)],
        cwd=program.root,
        env=program.env,
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )
    heavy = done.stdout.splitlines()[-1]
    assert heavy.endswith("code: 0"), done.stdout + done.stderr
    assert "textual" not in heavy
    assert "databricks" not in heavy


def test_the_page_on_the_command_line_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
    assert page.read_text(encoding="utf-8") == manual(), "python -m dbops_tui.tui.manual > docs/commands.md"


def test_the_page_tells_the_stream_of_every_command_that_has_one() -> None:
    choices = cli.build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    with_json = {name for name, parser in choices.items() if "--json" in parser.format_help()}  # type: ignore[union-attr]
    assert with_json == EVENTS.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["heal"], "KEY"),
        (["heal", "nightly", "--max-iterations", "4"], "from 1 to 3"),
        (["heal", "nightly", "--max-iterations", "none"], "from 1 to 3"),
        (["heal", "nightly", "--apply", "all"], "safe"),
        (["matrix", "burn"], "learn"),
        (["resources", "--nonsense"], "--nonsense"),
        (["history", "--limit", "0"], "from 1 to"),
        (["heal", "nightly", "--wait-edit", "-1"], "a number from 0 to 86,400"),
        (["heal", "nightly", "--wait-edit", "nan"], "a number from 0 to 86,400"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_final_event(words: list[str], said: str, tmp_path: Path) -> None:
    program = alone(tmp_path)
    plain = program(*words)
    assert (plain.code, plain.out) == (2, "")
    assert said in plain.err
    told = program(*words, "--json")
    assert told.code == 2
    (only,) = told.events
    assert (only["event"], only["code"], only["exit_code"], only["final"]) == ("problem", "usage", 2, True)
    assert said in only["message"]


@pytest.mark.parametrize("command", ["demo", "sandbox"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scenario", "nope"], "there is no scenario 'nope'; there are: "),
        (["--time-scale", "-1"], "a number from 0.001 to 1,000,000"),
        (["--time-scale", "nan"], "a number from 0.001 to 1,000,000"),
    ],
)
def test_a_world_that_cannot_be_simulated_is_refused_before_it_starts(
    command: str, words: list[str], said: str, tmp_path: Path
) -> None:
    ended = alone(tmp_path)(command, *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_misspelt_command_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    ended = alone(tmp_path)("diagnos", "error.txt")
    assert ended.code == 2
    assert "did you mean diagnose?" in ended.err


@pytest.mark.parametrize("command", ["resources", "doctor", "history", "report", "diagnose", "matrix", "heal", "watch"])
def test_every_command_names_the_targets_there_are(command: str, tmp_path: Path) -> None:
    words = {"diagnose": ["-"], "matrix": ["list"], "heal": ["nightly"], "watch": ["nightly"]}.get(command, [])
    ended = with_bundle(tmp_path)(command, *words, "-t", "stage", "--json", stdin="")
    if command == "doctor":
        assert "no such target" in next(e for e in ended.events if e.get("id") == "bundle")["text"]
        return
    assert ended.code == 2
    (only,) = ended.events
    assert (only["code"], only["exit_code"]) == ("target", 2)
    assert only["fix"] == "-t with one of: dev, prod"
    assert "stage" in ended.err


@pytest.mark.parametrize("command", ["resources", "history", "report", "heal", "watch"])
def test_without_a_bundle_it_says_what_to_name(command: str, tmp_path: Path) -> None:
    words = ["nightly"] if command in ("heal", "watch") else []
    ended = alone(tmp_path)(command, *words)
    assert (ended.code, ended.out) == (2, "")
    assert "there is no databricks.yml in" in ended.err
    assert "--path FOLDER" in ended.err


UNDECIDED = "bundle: {name: x}\ntargets:\n  dev: {}\n  prod: {}\n"
TWICE = UNDECIDED.replace("{}", "{default: true}")


@pytest.mark.parametrize(
    ("text", "said"), [(UNDECIDED, "please specify target"), (TWICE, "multiple targets are marked")]
)
@pytest.mark.parametrize("command", ["resources", "history", "report", "heal", "watch"])
def test_a_target_that_cannot_be_told_is_asked_for(command: str, text: str, said: str, tmp_path: Path) -> None:
    words = ["nightly"] if command in ("heal", "watch") else []
    program = with_bundle(tmp_path, text)
    ended = program(command, *words, "--json")
    assert (ended.code, ended.last["code"], ended.last["fix"]) == (2, "target", "-t with one of: dev, prod")
    assert said in ended.last["message"]
    # What needs no target is not kept from working for it.
    assert program("diagnose", "-", stdin="").code == 0
    assert program("matrix", "list").code == 0


def test_two_root_files_are_refused_by_name(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program.write("databricks.yaml", SMALL)
    ended = program("resources", "--json")
    assert ended.code == 2
    assert ended.last["code"] == "two_bundles"
    assert "databricks.yml and databricks.yaml" in ended.last["message"]


def test_settings_that_cannot_be_read_are_named_with_their_line(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program.write("../home/config.toml", "read_only = true\nmax_iterationz = 2\n")
    ended = program("resources", "--json")
    assert ended.code == 2
    assert ended.last["code"] == "settings"
    assert "config.toml:2" in ended.last["message"]
    assert "did you mean 'max_iterations'" in ended.last["message"]


@pytest.mark.parametrize("words", [["matrix", "list", "--json"], ["matrix", "list"], ["--version"], ["--help"]])
def test_a_reader_that_goes_away_leaves_no_traceback(words: list[str], tmp_path: Path) -> None:
    program = alone(tmp_path)
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [*PROGRAM, *words],
            cwd=program.root,
            env=program.env,
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_an_interrupt_ends_with_130_and_a_final_event(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    process = subprocess.Popen(
        [*PROGRAM, "diagnose", "-", "--json"],
        cwd=program.root,
        env=program.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever started the tests in the background has it ignored, and what is ignored is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin is not None
    # A whole pipe full: once it is taken, the command is reading.
    process.stdin.write("x" * 200_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"code":"interrupted"' in out
    assert len(out.splitlines()) == 1
    assert "Traceback" not in err


def test_a_small_alphabet_is_no_failure_and_json_is_utf8_all_the_same(tmp_path: Path) -> None:
    program = with_bundle(tmp_path, SMALL.replace("name: nightly", "name: nächtlich 数据"))
    small = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    text = program("resources", "--offline", **small)
    assert text.code == 0
    assert "n?chtlich ??" in text.out
    assert program("resources", "--offline", "--json", **small).events[0]["name"] == "nächtlich 数据"


CRASH = """
import sys
from dbops_tui.tui import cli, cmd_history
def fail(arguments):
    token = "dapi0123456789abcdef0123456789abcdef"
    raise LookupError(f"lost {token}")
cmd_history.main = fail
sys.exit(cli.main(["history", "--json"]))
"""


def test_what_nobody_expected_ends_in_a_sentence_a_file_and_a_final_event(tmp_path: Path) -> None:
    program = alone(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CRASH], cwd=program.root, env=program.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("dbops-tui failed: LookupError: lost [redacted] (")
    assert len(done.stderr.splitlines()) == 1
    assert '"code":"internal"' in done.stdout
    (report,) = (tmp_path / "state").glob("crash-*.txt")
    assert "command history" in report.read_text()
    assert "dapi0123" not in report.read_text() + done.stdout + done.stderr


LATE = """
import sys
from dbops_tui.tui import cli, cmd_history
from dbops_tui.tui.jsonl import JsonLines
def fail(arguments):
    JsonLines().end("history.ended", {"count": 0})
    raise LookupError("too late")
cmd_history.main = fail
sys.exit(cli.main(["history", "--json"]))
"""


def test_what_fails_after_the_end_adds_no_second_final_event(tmp_path: Path) -> None:
    program = alone(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LATE], cwd=program.root, env=program.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert "LookupError: too late" in done.stderr


def test_a_state_folder_that_cannot_be_used_stops_only_what_needs_it(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    state = program.write("../not-a-folder", "x")
    assert program("resources", "--offline", DBOPS_STATE_DIR=str(state)).code == 0
    ended = program("history", "--json", DBOPS_STATE_DIR=str(state))
    assert ended.code == 1
    assert ended.last["code"] == "journal"
    assert "the state folder cannot be used" in ended.last["message"]


def test_a_bundle_folder_is_found_from_below_and_by_path(tmp_path: Path) -> None:
    program: Program = with_bundle(tmp_path)
    below = program.root / "src"
    assert program("resources", "--offline", cwd=below).code == 0
    assert program("history", "--path", str(program.root), cwd=tmp_path).code == 0
    missing = program("history", "--path", "nowhere")
    assert missing.code == 2
    assert "nowhere does not exist" in missing.err
