"""The pages in docs/ say what is so: the settings, the example of a row, the keys, and files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dbops_tui.matrix.check import check
from dbops_tui.matrix.matcher import Matrix
from dbops_tui.matrix.schema import parse_rows
from dbops_tui.tui.actions import ACTIONS
from dbops_tui.tui.manual import settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_page_of_settings_is_the_one_made_from_the_code() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert page == settings(), "python -m dbops_tui.tui.manual settings > docs/settings.md"


def test_the_example_of_a_row_passes_the_check() -> None:
    text = (ROOT / "docs/matrix.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    rows = parse_rows(example[1], file="team.yaml", learned=True)
    assert [str(problem) for problem in check(Matrix(rows))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:core|tui|widgets|matrix|sandbox|tests|bench|docs)/[\w./-]+\.\w+)`", text):
        assert (ROOT / name).exists(), name


def test_the_keys_in_the_readme_are_those_of_the_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Za-z:?])`", text))
    known = {key for action in ACTIONS for key in action.keys.split(",")} | {":", "?"}
    assert named <= known
