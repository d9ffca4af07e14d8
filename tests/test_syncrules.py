"""Which files count: as the CLI uploads them, without what editors and tools leave behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.syncrules import SyncRules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def no_ignores_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = str(tmp_path_factory.getbasetemp() / "home")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CONFIG_HOME", home)


def put(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def rules_of(root: Path, yaml: str = "") -> SyncRules:
    put(root, "databricks.yml", text=f"bundle: {{name: x}}\n{yaml}\n")
    return SyncRules.of(load_bundle(root, "", {}))


def counted(rules: SyncRules) -> set[str]:
    return {rules.name(file) for file in rules.files()}


def test_everything_below_the_root_counts_but_git_and_the_clis_own_folder(tmp_path: Path) -> None:
    put(tmp_path, "src/a.py", "b.sql", ".hidden/c", ".git/HEAD", ".databricks/bundle/dev/x.json", "src/.databricks/y")
    assert counted(rules_of(tmp_path)) == {"databricks.yml", "src/a.py", "b.sql", ".hidden/c"}


def test_ignored_files_do_not_count_at_any_level(tmp_path: Path) -> None:
    put(tmp_path, ".gitignore", text="*.log\n/top.txt\nout/\n")
    put(tmp_path, "src/.gitignore", text="local*\n!local_kept.py\n")
    put(
        tmp_path,
        "a.log",
        "src/b.log",
        "top.txt",
        "src/top.txt",
        "out/x",
        "src/out/y",
        "src/local.py",
        "src/local_kept.py",
    )
    assert counted(rules_of(tmp_path)) == {
        "databricks.yml",
        ".gitignore",
        "src/.gitignore",
        "src/top.txt",
        "src/local_kept.py",
    }


def test_ignores_above_the_bundle_count_within_its_repository(tmp_path: Path) -> None:
    put(tmp_path, ".git/HEAD", "bundles/one/a.tmp1", "bundles/one/a.py")
    put(tmp_path, ".gitignore", text="*.tmp1\n")
    assert counted(rules_of(tmp_path / "bundles" / "one")) == {"databricks.yml", "a.py"}


def test_ignores_above_a_folder_that_is_no_repository_do_not_count(tmp_path: Path) -> None:
    put(tmp_path, ".gitignore", text="*.py\n")
    put(tmp_path, "one/a.py")
    assert "a.py" in counted(rules_of(tmp_path / "one"))


def test_what_git_ignores_for_one_user_or_one_clone_does_not_count(tmp_path: Path) -> None:
    put(tmp_path, ".git/info/exclude", text="mine*\n")
    put(Path(os.environ["HOME"]), ".gitconfig", text="[core]\n\texcludesfile = ~/ignored\n")
    put(Path(os.environ["HOME"]), "ignored", text="*.bak\n")
    put(tmp_path, "mine.py", "a.bak", "a.py")
    assert counted(rules_of(tmp_path)) == {"databricks.yml", "a.py"}


def test_includes_win_over_ignores_and_excludes_over_both(tmp_path: Path) -> None:
    put(tmp_path, ".gitignore", text="dist/\n")
    put(tmp_path, "dist/a.whl", "dist/b.txt", "doc/c.md")
    rules = rules_of(tmp_path, "sync: {include: ['dist/*'], exclude: ['*.md', 'dist/*.txt']}")
    assert counted(rules) == {"databricks.yml", ".gitignore", "dist/a.whl"}


def test_only_the_sync_paths_count_and_the_bundles_own_yaml(tmp_path: Path) -> None:
    put(tmp_path, "src/a.py", "srcs/b.py", "other/c.py", "resources/new.yml", "notes.yml")
    rules = rules_of(tmp_path, "include: ['resources/*.yml']\nsync: {paths: [./src]}")
    assert counted(rules) == {"databricks.yml", "src/a.py", "resources/new.yml"}
    assert rules.counts(tmp_path / "resources" / "not_there_yet.yml")
    assert not rules.counts(tmp_path / "resources" / "deeper" / "x.yml")


def test_paths_outside_of_the_bundle_are_watched_too(tmp_path: Path) -> None:
    put(tmp_path, "shared/lib.py", "shared/skip.md", "elsewhere/x.py", "one/a.py")
    rules = rules_of(tmp_path / "one", "sync: {paths: [., ../shared], exclude: ['../shared/*.md']}")
    assert counted(rules) == {"databricks.yml", "a.py", "../shared/lib.py"}
    assert set(rules.roots) == {tmp_path / "one", tmp_path / "shared"}


@pytest.mark.parametrize(
    "name",
    [
        *("4913", "a.py~", ".a.py.swp", ".a.py.swo", "#a.py#", ".#a.py", "a.py___jb_tmp___", ".goutputstream-X1Y2"),
        *("a.pyc", "__pycache__/a.cpython-311.pyc", ".ipynb_checkpoints/a.ipynb", ".DS_Store", ".venv/lib/x.py"),
        *(".a.py.12345.tmp", "a.py.kate-swp", ".nfs000000000123"),
    ],
)
def test_what_editors_and_tools_leave_behind_does_not_count(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert counted(rules_of(tmp_path)) == {"databricks.yml"}


@pytest.mark.parametrize("name", ["a.py", "4914", "swp.py", ".env", "a~b.py", "tmp/x.tmp", "#1.sql"])
def test_ordinary_names_count(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert name in counted(rules_of(tmp_path))


def test_what_is_generated_counts_where_the_bundle_includes_it(tmp_path: Path) -> None:
    put(tmp_path, ".venv/lib/x.py", ".venv/lib/y.txt")
    assert ".venv/lib/x.py" in counted(rules_of(tmp_path, "sync: {include: ['.venv/**/*.py']}"))


def test_a_gitignore_that_changed_counts_after_it_is_forgotten(tmp_path: Path) -> None:
    put(tmp_path, "a.txt")
    rules = rules_of(tmp_path)
    assert rules.counts(tmp_path / "a.txt")
    put(tmp_path, ".gitignore", text="*.txt\n")
    assert rules.counts(tmp_path / "a.txt")
    rules.forget_ignores()
    assert not rules.counts(tmp_path / "a.txt")


def test_rules_are_equal_where_they_say_the_same(tmp_path: Path) -> None:
    assert rules_of(tmp_path) == rules_of(tmp_path)
    assert rules_of(tmp_path) != rules_of(tmp_path, "sync: {exclude: ['*.md']}")


@pytest.mark.parametrize("line", ["[", "!", "\\", "***", "a[b", "//", "\x00", "!!!", "[!]"])
def test_a_line_that_is_no_pattern_spoils_nothing(tmp_path: Path, line: str) -> None:
    put(tmp_path, ".gitignore", text=f"{line}\n*.log\n")
    put(tmp_path, "a.log", "a.py")
    found = counted(rules_of(tmp_path))
    assert "a.py" in found or line == "***"
    assert "a.log" not in found


names = st.sampled_from(["a", "b", "a.py", "b.log", "deep/a", "deep/b.log", "deep/er/a.py", "x y", "a1"])
patterns = st.lists(
    st.sampled_from(
        [
            "a",
            "/a",
            "*.log",
            "deep/",
            "deep/*",
            "!a",
            "!*.py",
            "**/a",
            "deep/**",
            "a*",
            "[ab]",
            "x\\ y",
            "# a",
            "",
            "*/a.py",
        ]
    ),
    max_size=4,
)


@pytest.mark.skipif(not shutil.which("git"), reason="git is not here")
@given(st.sets(names, max_size=6), patterns)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_gitignore_is_read_as_git_reads_it(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], lines: list[str]
) -> None:
    root = tmp_path_factory.mktemp("git")
    clashing = {name for name in files if any(other.startswith(f"{name}/") for other in files)}
    put(root, *(files - clashing))
    put(root, ".gitignore", text="\n".join(lines) + "\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    asked = ["git", "ls-files", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(asked, cwd=root, check=True, capture_output=True, text=True).stdout
    rules = SyncRules(root)
    assert {rules.name(file) for file in rules.files()} == set(filter(None, listed.split("\0")))
