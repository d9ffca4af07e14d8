"""Text from outside is inert: no sequence, control, bidi or invisible character survives, and no word is lost."""

from __future__ import annotations

import re

import pytest
from dbops_tui.core.text import Cleaner, clean, clip, strip_html_spans
from hypothesis import example, given
from hypothesis import strategies as st

ACTIVE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")

_PARTS = [
    *["\x1b", "\x1b[", "\x9b", "31", ";", ":", "m", "\x1b]", "\x9d", "8;;", "\x07", "\x1b\\", "\x9c", "\x1bP", "\x90"],
    *["\x1b^", "\x1bX", "\x1b_", "\x98", "\x9e", "\x9f", "c", "\r", "\n", "\r\n", "\t", "abc", "é", "\u202e", "\u200b"],
    *["(", " ", "B", "\x00", "\x08", "\x7f", "\x85", "\u2028", "\ud800", "[", "]", "2J"],
]
PIECES = st.sampled_from(_PARTS)
NOISE = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=25).map("".join)


@given(NOISE)
def test_nothing_that_drives_a_terminal_survives(text: str) -> None:
    assert ACTIVE.search(clean(text)) is None


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x2070, exclude_categories=()), max_size=60))
def test_nothing_survives_from_any_low_code_point_either(text: str) -> None:
    assert ACTIVE.search(clean(text)) is None


@given(NOISE)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(NOISE, st.lists(st.integers(0, 200), max_size=6))
@example("\r\x1b[0m\n", [4])
@example("a\r\r\nb", [2])
@example("\x1b]0;title\x1b\\after", [10])
@example("\x1b]8;;\x9b31m\x07x", [6])
def test_chunks_give_what_the_whole_gives(text: str, cuts: list[int]) -> None:
    cleaner = Cleaner()
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert "".join(cleaner.feed(piece) for piece in pieces) + cleaner.finish() == clean(text)


@pytest.mark.parametrize("head", ["\x1b]52;c;", "\x1bP", "\x9d", "\x1b[" + "1" * 300, "\x1b_"])
def test_one_character_at_a_time_gives_the_same_around_the_length_limit(head: str) -> None:
    for length in (4094, 4096, 4098):
        text = head + "x" * length + "\x07after\n"
        cleaner = Cleaner()
        assert "".join(cleaner.feed(char) for char in text) + cleaner.finish() == clean(text)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38:2::255:0:0mred\x1b[m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGVsbG8=\x07safe", "safe"),
        ("\x1b]0;title\x9csafe", "safe"),
        ("\x1bPq#0;2\x1b\\safe", "safe"),
        ("\x90payload\x9csafe", "safe"),
        ("\x1b_app\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\safe", "safe"),
        ("\x1bcsafe", "safe"),
        ("\x1b(0safe\x1b#8", "safe"),
        ("\x1b7\x1b8safe", "safe"),
        ("a\x1b", "a␛"),
        ("a\x00b\x07c\x08d\x7fe", "a␀b␇c␈d␡e"),
        ("a\x85b", "a\ufffdb"),
        ("10%\r50%\r100%\n", "10%\n50%\n100%\n"),
        ("dos\r\nline\r\r\n", "dos\nline\n"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("half \ud83d", "half \ufffd"),
        ("grüße 日本 🚀", "grüße 日本 🚀"),
    ],
)
def test_what_is_shown(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
def test_every_control_is_gone_and_its_neighbours_stay(code: int) -> None:
    shown = clean(f"before{chr(code)}\nafter")
    assert "before" in shown
    assert "after" in shown
    assert ACTIVE.search(shown) is None


def test_an_unterminated_string_does_not_eat_the_log() -> None:
    assert clean("\x1b]0;oops\nthe next line") == "0;oops\nthe next line"
    assert clean("\x1bP" + "log " * 5000).count("log") == 5000


def test_a_stream_that_ends_in_a_sequence_loses_no_text() -> None:
    cleaner = Cleaner()
    assert cleaner.feed("text\x1b]0;half") == "text"
    assert cleaner.finish() == "0;half"


@given(st.text(alphabet="abc \n", max_size=300), st.integers(0, 200))
def test_a_clip_is_never_longer_than_asked(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit or clipped == text
    assert clip(text, len(text)) == text


def test_a_clip_keeps_both_ends_and_says_so() -> None:
    clipped = clip("start" + "." * 1000 + "end", 200)
    assert clipped.startswith("start")
    assert clipped.endswith("end")
    assert "left out" in clipped


def test_colour_spans_of_notebook_errors_go() -> None:
    assert strip_html_spans("<span class='ansi-red-fg'>ValueError</span>: x < 3") == "ValueError: x < 3"
    assert strip_html_spans("a <b> span") == "a <b> span"
