"""A table is aligned in cells, folds one column where there is room for that, and never cuts a word off."""

from __future__ import annotations

import io
import re

import pytest
from dbops_tui.tui.table import print_table

HEADS = ("ID", "NAME", "PLACE")
LONG = "a name of several words that is rather long"
ROWS = (("1", LONG, "src/a.py:1"), ("22", "数据 [bold]x[/bold]", "src/b.py:22"))


class Screen(io.StringIO):
    """A stream that says that somebody looks at it."""

    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, columns: int, stream: io.StringIO) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", stream)
    print_table(HEADS, ROWS, roomy=1)
    return re.sub(r"\x1b\[\d*m", "", stream.getvalue()).splitlines()


def test_in_a_pipe_each_row_is_one_whole_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 20, io.StringIO())
    assert lines == [
        "ID  NAME                                         PLACE",
        "1   a name of several words that is rather long  src/a.py:1",
        "22  数据 [bold]x[/bold]                          src/b.py:22",
    ]


def test_on_a_screen_one_column_folds_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 48, Screen())
    assert lines[1].startswith("1   a name of several words")
    assert lines[1].endswith("src/a.py:1")
    assert lines[2].split() == ["rather", "long"]
    assert max(map(len, lines)) <= 48


def test_where_there_is_no_room_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 30, Screen())
    assert "a name of several words that is rather long" in lines[1]
    assert "src/b.py:22" in lines[2]


def test_a_cell_is_one_harmless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    print_table(("A",), [("one\ntwo\x1b[2J\x1b]0;t\x07\u202e",)])
    assert stream.getvalue() == "A\none two\n"


def test_no_rows_are_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    print_table(HEADS, [], roomy=1)
    assert stream.getvalue().split() == list(HEADS)
