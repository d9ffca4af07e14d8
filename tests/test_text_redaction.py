"""Secrets of every shape are masked whole, also where they are wrapped; ids and hashes are left alone."""

from __future__ import annotations

import hashlib
import random
import re
import uuid

import pytest
from dbops_tui.core.text import LineRedactor, Redactor, redact
from hypothesis import given
from hypothesis import strategies as st
from secret_shapes import OPAQUE, SHAPES, leaks

_WORDS = [
    *(text for text, _ in SHAPES.values()),
    "\n",
    " ",
    "\r\n",
    "-----BEGIN PRIVATE KEY-----",
    "dapi",
    "token=",
    "x",
]


@pytest.mark.parametrize("name", SHAPES)
def test_a_secret_of_this_shape_is_masked_whole(name: str) -> None:
    text, secret = SHAPES[name]
    assert leaks(secret, text), "the check must be able to fail"
    assert leaks(secret, redact(text)) == []


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n    ", "\\n"])
def test_a_wrapped_secret_is_masked_too(name: str, newline: str) -> None:
    text, secret = SHAPES[name]
    if "private key" in name or name == "token in a git url":
        return  # The first is wrapped already; the second cannot be told from a host name once it is cut.
    start = text.index(secret)
    for cut in range(start + 1, start + len(secret), 3):
        wrapped = text[:cut] + newline + text[cut:]
        head, tail = secret[: cut - start], secret[cut - start :]
        # A first piece too short to be told from a word is no secret any more; what is long enough is masked.
        shown = redact(wrapped)
        if len(head) >= 12:
            assert leaks(head, shown) == [], wrapped
            if len(tail) >= 8:
                assert leaks(tail, shown) == [], wrapped


@pytest.mark.parametrize("name", SHAPES)
def test_lines_that_come_one_by_one_are_masked_like_the_whole(name: str) -> None:
    text, _ = SHAPES[name]
    lines = LineRedactor()
    assert "\n".join(lines.line(line) for line in text.split("\n")) == redact(text)


@pytest.mark.parametrize("name", SHAPES)
def test_what_stands_around_a_secret_stays(name: str) -> None:
    text, _ = SHAPES[name]
    shown = redact(f"before the first line\n{text}\nafter the last line")
    assert shown.startswith("before the first line\n")
    assert shown.endswith("\nafter the last line")


@pytest.mark.parametrize("name", SHAPES)
def test_a_secret_that_follows_itself_on_the_next_line_is_masked_too(name: str) -> None:
    text, secret = SHAPES[name]
    assert leaks(secret, redact(f"{text}\n{text}\n  {text}")) == []


@pytest.mark.parametrize("name", SHAPES)
def test_masking_twice_changes_nothing(name: str) -> None:
    once = redact(SHAPES[name][0])
    assert redact(once) == once


def test_a_secret_we_hold_is_masked_in_any_piece() -> None:
    secret = f"svc.{OPAQUE}"
    redactor = Redactor([secret])
    text = f"log {secret} and half {secret[:20]}\n{secret[20:]} and quoted {secret!r}, reversed {secret[::-1]}"
    shown = redactor.redact(text)
    assert leaks(secret, shown) == []
    assert "and half" in shown
    assert secret not in repr(redactor)


def test_a_password_of_common_words_is_masked_only_as_a_whole() -> None:
    redactor = Redactor(["password-of-you", "short"])
    assert redactor.redact("it is password-of-you here") == "it is [redacted] here"
    assert redactor.redact("it is password-\n of-you here") == "it is [redacted] here"
    assert redactor.redact("the password of the short job") == "the password of the short job"


@pytest.mark.parametrize(
    "next_line",
    [
        "823456789012345 is the run",
        "2026-11-24T10:00:01Z INFO next",
        "Traceback (most recent call last):",
        "https://x/y9z8",
    ],
)
def test_the_line_after_a_secret_stays_where_it_is_no_part_of_it(next_line: str) -> None:
    assert redact(f"Authorization: Bearer {OPAQUE}\n{next_line}") == f"Authorization: Bearer [redacted]\n{next_line}"


@given(st.lists(st.sampled_from(_WORDS), max_size=12).map("".join))
def test_lines_stay_lines_and_one_by_one_gives_the_same(text: str) -> None:
    shown = redact(text)
    assert shown.count("\n") == text.count("\n")
    lines = LineRedactor()
    pieces = re.split(r"(\r?\n)", text)
    assert "".join(lines.line(piece) if n % 2 == 0 else piece for n, piece in enumerate(pieces)) == shown


INNOCENT = [
    "run 823456789012345 of job 1029384756 failed",
    f"commit {hashlib.sha1(b'x').hexdigest()}",
    f"sha256:{hashlib.sha256(b'y').hexdigest()}",
    f"update {uuid.UUID(int=7)} of pipeline {uuid.UUID(int=9)}",
    "https://adb-123.4.azuredatabricks.net/?o=123#job/99/run/7",
    "abfss://landing@account.dfs.core.windows.net/raw/orders",
    "next_page_token: CAEaBggBEAEYAQ== page_token=abc123def456ghi789",
    "Invalid page token: eyJpZCI6MTIzfQ==, please",
    "basic authentication is not supported; Bearer authentication is",
    'dbutils.secrets.get(scope="retail", key="warehouse-password")',
    "password=dbutils.secrets.get('scope', 'key')",
    "token=None, api_key=config.api_key(), client_secret=None",
    "NameError: name 'token' is not defined",
    "[PARSE_SYNTAX_ERROR] Syntax error at or near 'tokens'. SQLSTATE: 42601",
    "the secret scope retail does not exist",
    "Secret does not exist with scope: retail and key: warehouse",
    "spark.databricks.token.rotation=enabled",
    "user you@example.com lacks USE CATALOG on catalog main",
    "file:///Workspace/Users/you@example.com/.bundle/retail/dev/files/src/silver.py",
    "monkey: banana, turkey=1234567",
    "idempotency_token 3f1c; job cluster key: main_cluster_2026",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_a_little_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_ids_hashes_and_uuids_are_never_masked() -> None:
    made = random.Random(7)
    masked = 0
    for _ in range(2000):
        value = made.choice(
            [
                str(made.getrandbits(52)),
                f"{made.getrandbits(160):040x}",
                f"{made.getrandbits(256):064x}",
                str(uuid.UUID(int=made.getrandbits(128))),
                f"{made.getrandbits(128):032x}",
            ]
        )
        masked += redact(f"run_id={value} of https://h.example.com/jobs/{value}?o={value}") != (
            f"run_id={value} of https://h.example.com/jobs/{value}?o={value}"
        )
    assert masked == 0
