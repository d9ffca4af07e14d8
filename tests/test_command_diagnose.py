"""`diagnose` says of a text what failed and why: any size, any encoding, the contract's JSON, and no secret in it."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_box import PROGRAM, SMALL, Program, alone, with_bundle
from dbops_tui.tui import failure_text
from dbops_tui.tui.failure_text import read_stream
from dbops_tui.tui.place import Stop

COLUMN = """\
2026-01-07 09:00:01 INFO reading orders
Traceback (most recent call last):
  File "/Workspace/Users/you@example.com/.bundle/shop/dev/files/src/work.py", line 4, in <module>
    joined = orders.join(shops, "shop_idd")
pyspark.errors.exceptions.captured.AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or \
function parameter with name `shop_idd` cannot be resolved. Did you mean one of the following? [`shop_id`, `town`]. \
SQLSTATE: 42703
"""
SOURCE = """\
# Databricks notebook source
orders = spark.read.table("orders")
shops = spark.read.table("shops")
joined = orders.join(shops, "shop_idd")
"""
CONTRACT = {"cause", "row", "category", "confidence", "title", "explanation", "evidence", "entities", "location"}
CONTRACT |= {"retryable", "destructive", "fixes", "check_sql"}
TOKEN = "dapi0123456789abcdef0123456789abcdef"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return alone(tmp_path)


def told(program: Program, *words: str, **more: Any) -> dict[str, Any]:
    """The one object of a call that must succeed."""
    ended = program("diagnose", *words, "--json", **more)
    assert ended.code == 0, ended
    (only,) = ended.events
    assert (only["v"], only["event"], only["final"]) == (1, "diagnosis", True)
    return only


def test_the_object_is_that_of_the_contract(program: Program) -> None:
    program.write("error.txt", COLUMN)
    found = told(program, "error.txt")
    assert found["failed"] is True
    first = found["diagnoses"][0]
    assert first.keys() >= CONTRACT
    assert (first["cause"], first["category"]) == ("unresolved_column", "spark_sql")
    assert 0.9 <= first["confidence"] <= 1
    assert first["evidence"][0]["line"] == 5
    assert "`shop_idd` cannot be resolved" in first["evidence"][0]["text"]
    assert first["entities"]["column"] == "shop_idd"
    assert first["location"] is None
    assert (first["retryable"], first["destructive"]) == (False, False)
    for fix in first["fixes"]:
        assert fix.keys() >= {"kind", "title", "patch", "command"}
        assert fix["patch"] is None


def test_in_its_bundle_it_has_a_place_and_a_patch(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program.write("src/work.py", SOURCE)
    before = (program.root / "src/work.py").read_bytes()
    first = told(program, "-", stdin=COLUMN)["diagnoses"][0]
    assert first["location"] == {"file": "src/work.py", "line": 4}
    patch = first["fixes"][0]["patch"]
    assert patch.startswith("--- a/src/work.py\n+++ b/src/work.py\n@@ ")
    assert '-joined = orders.join(shops, "shop_idd")\n+joined = orders.join(shops, "shop_id")\n' in patch
    assert (program.root / "src/work.py").read_bytes() == before, "a diagnosis edits nothing"


def test_a_long_log_is_located_as_a_short_one(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program.write("src/work.py", SOURCE)
    noise = "2026-01-07 09:00:00 INFO TaskSetManager: finished a task on 10.0.0.1 in 12 ms\n"
    first = told(program, "-", stdin=noise * 20_000 + COLUMN + noise * 20_000)["diagnoses"][0]
    assert first["evidence"][0]["line"] == 20_005
    assert first["location"] == {"file": "src/work.py", "line": 4}
    assert first["fixes"][0]["patch"]


# A CLI that knows the fields of a job, and nothing else.
KNOWS_FIELDS = """#!/bin/sh
test "$1 $2" = "bundle schema" || exit 1
cat <<'END'
{"properties": {"resources": {"properties": {"jobs": {"additionalProperties": {"properties":
  {"name": {}, "tasks": {}, "max_concurrent_runs": {"type": "integer"}}}}}}}}
END
"""


def test_a_misspelt_field_is_mended_by_the_names_that_the_cli_knows(tmp_path: Path) -> None:
    misspelt = SMALL.replace("      name: nightly\n", "      name: nightly\n      max_concurent_run: 1\n")
    program = with_bundle(tmp_path, misspelt)
    text = "Warning: unknown field: max_concurent_run\n  at resources.jobs.nightly\n  in databricks.yml:12:7\n"
    without = told(program, "-", stdin=text)["diagnoses"][0]
    assert without["location"] == {"file": "databricks.yml", "line": 12}
    assert not any(fix["patch"] for fix in without["fixes"])
    cli = program.write("../databricks", KNOWS_FIELDS)
    cli.chmod(0o755)
    first = told(program, "-", stdin=text, DATABRICKS_CLI_PATH=str(cli))["diagnoses"][0]
    assert "+      max_concurrent_runs: 1\n" in first["fixes"][0]["patch"]


def test_people_read_evidence_place_diff_and_fixes(tmp_path: Path) -> None:
    program = with_bundle(tmp_path)
    program.write("src/work.py", SOURCE)
    ended = program("diagnose", "-", stdin=COLUMN)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("unresolved_column  9")
    lines = ended.out.splitlines()
    assert any(line.startswith("evidence  line 5: ") for line in lines)
    assert "source    src/work.py:4" in lines
    assert '          +joined = orders.join(shops, "shop_id")' in lines


@pytest.mark.parametrize("text", ["", " \n\n", "2026-01-07 09:00:01 INFO all 3 tasks finished\n"])
def test_a_text_without_a_failure_has_no_diagnosis(program: Program, text: str) -> None:
    found = told(program, "-", stdin=text)
    assert (found["failed"], found["diagnoses"]) == (False, [])
    ended = program("diagnose", "-", stdin=text)
    assert (ended.code, ended.out) == (0, "no failure found\n")
    assert ("empty" in ended.err) == (not text.strip())


def test_a_failure_that_no_row_knows_is_unknown_and_quoted(program: Program) -> None:
    text = (
        'Traceback (most recent call last):\n  File "x.py", line 3\nZorbleException: the frobnicator is upside down\n'
    )
    first = told(program, "-", stdin=text)["diagnoses"][0]
    if first["cause"] == "unknown":
        assert "frobnicator" in first["evidence"][0]["text"]
    else:
        # A row for exceptions of a user's own code names the class, and nothing else.
        assert first["entities"].get("exception") == "ZorbleException"
        assert first["confidence"] < 0.6


def test_no_secret_is_in_what_is_quoted(program: Program) -> None:
    program.write("../home/databrickscfg", "[dev]\nhost = https://dev.example.com\ntoken = held-7Q2kz9XwL4nV8bT1rY6u\n")
    text = f"Error: 403 Invalid access token. {TOKEN} held-7Q2kz9XwL4nV8bT1rY6u password=hunter2hunter2\n"
    for words in (["--json"], []):
        ended = program("diagnose", "-", *words, stdin=text)
        assert ended.code == 0
        assert "[redacted]" in ended.out
        for secret in (TOKEN, "held-7Q2kz9XwL4nV8bT1rY6u", "hunter2hunter2"):
            assert secret not in ended.out + ended.err


def test_a_long_text_is_redacted_where_it_is_quoted(program: Program) -> None:
    noise = "2026-01-07 09:00:00 INFO nothing to see here, move along please\n"
    ended = program("diagnose", "-", "--json", stdin=noise * 70_000 + f"Error: 403 Invalid access token. {TOKEN}\n")
    assert ended.last["failed"] is True
    assert TOKEN not in ended.out


def test_terminal_sequences_and_markup_stay_text(program: Program) -> None:
    text = COLUMN.replace("shop_idd", "shop_\x1b[31midd\x1b]0;owned\x07").replace("town", "[bold]town[/bold]")
    ended = program("diagnose", "-", stdin=text)
    assert "\x1b" not in ended.out
    assert "owned" not in ended.out
    assert "[bold]town[/bold]" in ended.out


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_texts_of_other_systems_are_read(program: Program, encoding: str) -> None:
    bom = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    program.write("error.txt", bom + COLUMN.replace("\n", "\r\n").encode(encoding))
    first = told(program, "error.txt")["diagnoses"][0]
    assert (first["cause"], first["evidence"][0]["line"]) == ("unresolved_column", 5)


def test_lines_are_counted_as_editors_count_them(program: Program) -> None:
    bars = "".join(f"\rDownloading {n} %" for n in range(50)) + "\nodd\u2028line\n"
    first = told(program, "-", stdin=bars + COLUMN)["diagnoses"][0]
    assert first["evidence"][0]["line"] == 7


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("prog", b"\x7fELF\x02\x01\x01" + bytes(5000), "is a binary file, not a text"),
        ("log.gz", gzip.compress(COLUMN.encode()), "gunzip -c log.gz | dbops-tui diagnose -"),
        ("log.zip", b"PK\x03\x04rest", "unzip -p log.zip"),
    ],
)
def test_what_is_no_text_is_named_so(program: Program, name: str, data: bytes, said: str) -> None:
    program.write(name, data)
    ended = program("diagnose", name, "--json")
    assert ended.code == 2
    assert (ended.last["code"], len(ended.events)) == ("file", 1)
    assert said in ended.err


def test_a_stray_nul_makes_no_binary_of_a_log(program: Program) -> None:
    assert told(program, "-", stdin="a\x00b\n" * 3 + "text " * 100 + "\n" + COLUMN)["failed"] is True


@pytest.mark.parametrize(("name", "said"), [("nowhere.txt", "No such file"), (".", "directory")])
def test_a_file_that_cannot_be_read_says_why(program: Program, name: str, said: str) -> None:
    ended = program("diagnose", name)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing is named to diagnose"),
        (["error.txt", "--run-id", "7"], "two things are named"),
        (["--run-id", "7; rm"], "is no id"),
        (["--run-id", "nightly"], "--run-id 951292965314312, or the address of the run's page"),
        (["--update-id", "abc"], "--pipeline-id P"),
        (["--pipeline-id", "a/../b"], "is no id"),
        (["https://dev.example.com/explore"], "is no address of a run or an update"),
    ],
)
def test_one_thing_is_diagnosed_at_a_time(program: Program, words: list[str], said: str) -> None:
    ended = program("diagnose", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_a_closed_stdin_is_said_and_is_no_crash(program: Program) -> None:
    command = " ".join([*map(shlex.quote, PROGRAM), "diagnose", "-", "--json", "<&-"])
    done = subprocess.run(["sh", "-c", command], cwd=program.root, env=program.env, capture_output=True, timeout=60)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["code"]) == (2, "usage")
    assert "stdin is closed" in last["message"]


def test_a_run_without_a_sign_in_ends_with_3_and_what_to_pass(program: Program) -> None:
    program.write("../home/databrickscfg", "[one]\nhost = https://a.example.com\n[two]\nhost = https://b.example.com\n")
    ended = program("diagnose", "--run-id", "77", "--json")
    assert ended.code == 3
    assert (ended.last["code"], ended.last["exit_code"]) == ("identity", 3)
    assert ended.last["fix"] == "--profile one (or two)"


class TestHuge:
    """The middle of a huge text is passed over; what is left keeps its numbers."""

    @pytest.fixture(autouse=True)
    def small_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failure_text, "WHOLE_BYTES", 10_000)
        monkeypatch.setattr(failure_text, "HEAD_BYTES", 2_000)
        monkeypatch.setattr(failure_text, "TAIL_BYTES", 3_000)
        monkeypatch.setattr(failure_text, "_CHUNK", 700)

    @pytest.mark.parametrize("size", [10_001, 14_000, 25_000, 90_000])
    @pytest.mark.parametrize("mark", ["", "\r"])
    def test_head_and_tail_keep_their_numbers(self, size: int, mark: str) -> None:
        lines = []
        while sum(map(len, lines)) < size:
            lines.append(f"line {len(lines) + 1}{mark} of the log\n")
        read = read_stream(io.BytesIO("".join(lines).encode()), "big.log")
        assert "the middle of it was not read" in read.note
        assert read.numbers is not None
        kept = read.text.split("\n")
        assert len(read.numbers) == len(kept)
        for number, text in zip(read.numbers, kept, strict=True):
            if text.startswith("line "):
                assert text.startswith(f"line {number}")
        assert kept[0].startswith("line 1")
        assert f"line {len(lines)}" in read.text
        assert f"line {len(lines) // 2 - 60}" not in kept

    def test_one_endless_line_is_bounded_too(self) -> None:
        read = read_stream(io.BytesIO(b"x" * 80_000 + b" end"), "big.log")
        assert read.text.endswith(" end")
        assert len(read.text) <= 5_000

    def test_a_huge_text_in_two_bytes_is_refused_with_what_to_do(self) -> None:
        with pytest.raises(Stop, match="too large for a text in utf-16") as caught:
            read_stream(io.BytesIO("error\n".encode("utf-16") * 2_000), "big.log")
        assert "iconv" in caught.value.fix

    def test_what_fits_is_read_whole(self) -> None:
        read = read_stream(io.BytesIO(b"a\n" * 5_000), "log")
        assert (read.note, read.numbers, len(read.text)) == ("", None, 10_000)
