"""YAML with places: what a bundle file holds, where it stands, and that no file can hurt the reader."""

from __future__ import annotations

import json
import math
import os
import re
import string
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbops_tui.core import yaml_marks
from dbops_tui.core.yaml_marks import MAX_DEPTH, YamlProblem, parse, read, resolve
from hypothesis import given, settings
from hypothesis import strategies as st


def problem(text: str) -> YamlProblem:
    with pytest.raises(YamlProblem) as caught:
        parse(text)
    return caught.value


def test_keys_and_items_have_their_place() -> None:
    marked = parse("a:\n  b: 1\n  c:\n    - x: 1\n    - y: 2\n")
    assert marked.data == {"a": {"b": 1, "c": [{"x": 1}, {"y": 2}]}}
    assert marked.mark(("a",)) == (1, 1)
    assert marked.mark(("a", "b")) == (2, 3)
    assert marked.mark(("a", "c", 1)) == (5, 7)
    assert marked.mark(("a", "c", 1, "y")) == (5, 7)


def test_there_is_no_place_for_what_is_not_there() -> None:
    marked = parse("a: [1]\n")
    for path in ((), ("b",), ("a", 1), ("a", "x"), ("a", 0, "deeper")):
        assert marked.mark(path) is None


def test_values_are_those_that_the_cli_reads() -> None:
    text = "a: yes\nb: 012\nc: 0x1F\nd: 1e3\ne: 2001-01-01\nf: .inf\ng:\nh: '5'\ni: 1_000\nj: True\nk: ~\nl: 1.2.3\n"
    assert parse(text + "m: -7\n").data == {
        **{"a": "yes", "b": 12, "c": 31, "d": 1000.0, "e": "2001-01-01", "f": math.inf, "g": None, "h": "5"},
        **{"i": 1000, "j": True, "k": None, "l": "1.2.3", "m": -7},
    }


def test_tags_change_a_value_only_where_they_are_of_the_core_schema() -> None:
    marked = parse("a: !!str 5\nb: !!int '5'\nc: !!python/object/apply:os.system x\nd: ! 5\n")
    assert marked.data == {"a": "5", "b": 5, "c": "x", "d": "5"}
    assert [(note.severity, note.mark[0]) for note in marked.notes] == [("error", 3)]


def test_a_merge_key_takes_aliases_only() -> None:
    assert [note.severity for note in parse("a:\n  <<: {x: 1}\n").notes] == ["error"]
    assert [note.severity for note in parse("a:\n  <<: 5\n").notes] == ["error"]
    assert parse("b: &b {x: 1}\na:\n  <<: [*b]\n").notes == []


def test_merged_mappings_give_way_to_own_keys_and_keep_their_places() -> None:
    marked = parse("base: &b\n  x: 1\n  y: 2\njob:\n  <<: *b\n  y: 3\n")
    assert marked.data["job"] == {"x": 1, "y": 3}
    assert marked.mark(("job", "x")) == (2, 3)
    assert marked.mark(("job", "y")) == (6, 3)


def test_of_several_merged_mappings_the_last_wins_as_in_the_cli() -> None:
    assert parse("a: &a {x: 1}\nb: &b {x: 2}\nc:\n  <<: [*a, *b]\n").data["c"] == {"x": 2}


def test_a_second_merge_key_is_an_error_with_its_place() -> None:
    notes = parse("a: &a {x: 1}\nc:\n  <<: *a\n  <<: *a\n").notes
    assert [(note.severity, note.mark) for note in notes] == [("error", (4, 3))]


def test_a_key_given_twice_is_told_and_the_last_one_counts() -> None:
    marked = parse("a: 1\nb: 2\na: 3\n")
    assert marked.data == {"a": 3, "b": 2}
    assert [(note.severity, note.mark) for note in marked.notes] == [("warning", (3, 1))]


def test_a_key_that_is_no_text_is_told() -> None:
    assert [note.mark for note in parse("1: a\n'2': b\nnull: c\n").notes] == [(1, 1)]


def test_only_the_first_document_counts() -> None:
    marked = parse("a: 1\n---\nb: 2\n")
    assert marked.data == {"a": 1}
    assert [note.mark for note in marked.notes] == [(2, 1)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2", 1),
        ("jobs:\n  a:\n   b: 1\n  c\n", 4),
        ("a: 'unfinished\nb: 1\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\nb: *nobody\n", 2),
        ("? [a, b]\n: 1\n", 1),
        ("a: b: c\n", 1),
        ("a: \x07\n", 1),
    ],
)
def test_broken_text_names_its_line(text: str, line: int) -> None:
    found = problem(text)
    assert found.mark is not None
    assert found.mark[0] == line
    assert found.summary


def test_a_cycle_of_aliases_is_refused() -> None:
    assert "itself" in problem("a: &x\n  b: *x\n").summary
    assert "itself" in problem("a: &x [1, [*x]]\n").summary


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "aliases" in problem("\n".join(lines)).summary


def test_a_merge_bomb_is_refused() -> None:
    lines = ["a0: &a0 {k0: [x, x, x, x, x, x, x, x]}"]
    lines += [f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}, r: {{<<: *a{i - 1}}}}}" for i in range(1, 40)]
    problem("\n".join(lines))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 5_000, "{a: " * 5_000, "a:\n" + "\n".join(" " * i + "b:" for i in range(1, 2_000))]
)
def test_depth_without_end_is_refused(text: str) -> None:
    # In our words, or in those of a libyaml that has a limit of its own.
    assert re.search("deep|nesting depth", problem(text).summary)


def test_depth_as_far_as_allowed_is_read() -> None:
    parse("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))


def test_millions_of_blank_lines_are_nothing() -> None:
    assert parse("\n" * 2_000_000).data is None


def test_a_hundred_thousand_keys_are_read() -> None:
    assert len(parse("".join(f"k{i}: {i}\n" for i in range(100_000))).data) == 100_000


def test_more_values_than_a_bundle_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_marks, "MAX_VALUES", 50)
    assert "too many" in problem("\n".join(f"k{i}: [1, 2, 3]" for i in range(20))).summary


def test_a_binary_file_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"a: 1\nb: \x00\x01\xff\n")
    with pytest.raises(YamlProblem, match="binary") as caught:
        read(tmp_path / "a.yml")
    assert caught.value.mark == (2, 1)


def test_other_encodings_are_refused_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes("a: 1\nb: é\n".encode("latin-1"))
    with pytest.raises(YamlProblem, match="UTF-8") as caught:
        read(tmp_path / "a.yml")
    assert caught.value.mark == (2, 1)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(tmp_path / "a.yml").data == {"a": 1}


def test_a_huge_file_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    with (tmp_path / "a.yml").open("wb") as stream:
        stream.truncate(50_000_000)
    with pytest.raises(YamlProblem, match="50 MB is too large"):
        read(tmp_path / "a.yml")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(YamlProblem, match="cannot be read"):
        read(tmp_path / "nowhere.yml")
    with pytest.raises(YamlProblem, match="cannot be read"):
        read(tmp_path)


plain = st.text(string.ascii_letters + string.digits + " _-./:#'\"${}é", max_size=12)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=20,
)


@given(trees)
@settings(max_examples=150, deadline=None)
def test_json_is_read_as_it_was_written(tree: Any) -> None:
    assert parse(json.dumps(tree)).data == tree


words = st.text(string.ascii_letters, min_size=1, max_size=8).map(lambda word: f"key_{word}")


@given(st.dictionaries(words, trees, min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_every_key_of_a_written_tree_has_a_place_where_it_stands(tree: dict[str, Any]) -> None:
    text = yaml.safe_dump({"top": tree}, sort_keys=False, width=10_000, allow_unicode=True)
    marked = parse(text)
    lines = text.split("\n")
    for key in tree:
        mark = marked.mark(("top", key))
        assert mark is not None
        assert lines[mark[0] - 1][mark[1] - 1 :].startswith(key)


def outcome(text: str) -> tuple[str, int]:
    """The complaint about a text and its line; nothing where it is read."""
    try:
        parse(text)
    except YamlProblem as found:
        return found.summary, found.mark[0] if found.mark else 1
    return "", 0


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_a_sentence_and_a_line(text: str) -> None:
    summary, line = outcome(text)
    assert bool(summary) == bool(line)
    assert line <= text.count("\n") + 2


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / f"any-{os.getpid()}.yml"
    path.write_bytes(data)
    with suppress(YamlProblem):
        read(path)


@given(st.text("0123456789+-.eExXoOb_~naifNTrue", max_size=10))
@settings(max_examples=300, deadline=None)
def test_any_scalar_has_a_value(text: str) -> None:
    value = resolve(text)
    assert value is None or isinstance(value, (bool, int, float, str))
