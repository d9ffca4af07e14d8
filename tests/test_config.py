"""Settings come from where they are said to come from, every mistake is named, and a project loosens nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.config import KEYS, PROJECT_FILE, Config, ConfigError, load_config, template
from dbops_tui.core.guard import Policy


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


def load(user: Path, root: Path | None = None, flags: dict[str, Any] | None = None, **env: str) -> Config:
    return load_config(root, {"DBOPS_CONFIG": str(user), **env}, flags)


def mistakes(user: Path, root: Path | None = None, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(user, root, **env)
    return str(caught.value).splitlines()


def test_without_any_file_there_are_safe_defaults(user: Path, root: Path) -> None:
    config = load(user, root)
    assert config == Config()
    assert (config.auto, config.apply, config.auto_in_production, config.fixer) == (False, "none", False, "")
    assert config.policy == Policy(False, ("prod", "production"), False)


def test_flags_beat_the_environment_beats_the_project_beats_the_user(user: Path, root: Path) -> None:
    user.write_text("history_runs = 1\npartial_percent = 91\nwatch = false\nbell = false\n")
    (root / PROJECT_FILE).write_text("history_runs = 2\npartial_percent = 92\nwatch = true\n")
    config = load(user, root, {"history_runs": 4, "bell": None}, DBOPS_HISTORY_RUNS="3", DBOPS_PARTIAL_PERCENT="93")
    assert (config.history_runs, config.partial_percent, config.watch, config.bell) == (4, 93.0, True, False)
    assert config.sources == {
        "history_runs": "--history-runs",
        "partial_percent": "DBOPS_PARTIAL_PERCENT",
        "watch": f"{root / PROJECT_FILE}:3",
        "bell": f"{user}:4",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n\nmax_iteration = 3\n", "{file}:3: 'max_iteration' is no setting: did you mean 'max_iterations'?"),
        ("zzz = 3\n", "{file}:1: 'zzz' is no setting"),
        ("# x\nmax_iterations = 4\n", "{file}:2: max_iterations has to be between 1 and 3, not 4"),
        ("max_iterations = 2.5\n", "{file}:1: max_iterations has to be a whole number, not 2.5"),
        ("max_iterations = true\n", "{file}:1: max_iterations has to be a whole number, not True"),
        ('read_only = "yes"\n', "{file}:1: read_only has to be true or false, not 'yes'"),
        ("theme = 3\n", "{file}:1: theme has to be one line of text, not 3"),
        ('editor = "a\\nb"\n', "{file}:1: editor has to be one line of text, not 'a\\nb'"),
        ('apply = "all"\n', "{file}:1: apply has to be none or safe, not 'all'"),
        ('production_targets = "live"\n', "{file}:1: production_targets has to be a list of names, not 'live'"),
        ("fixer_seconds = nan\n", "{file}:1: fixer_seconds has to be between 1 and 86400, not nan"),
        ("[read_only]\nx = 1\n", "{file}:1: read_only has to be true or false, not {{'x': 1}}"),
        ("bell = true\nbell = false\n", "{file}:2: Cannot overwrite a value"),
        ("bell = \n", "{file}:1: Invalid value"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(user: Path, text: str, problem: str) -> None:
    user.write_text(text)
    assert mistakes(user) == [problem.format(file=user)]


def test_all_mistakes_are_told_at_once(user: Path, root: Path) -> None:
    user.write_text("bell = 1\nclok = true\n")
    (root / PROJECT_FILE).write_bytes(b"\xff\xfe")
    problems = mistakes(user, root, DBOPS_ARM_SECONDS="soon")
    assert problems == [
        f"{user}:1: bell has to be true or false, not 1",
        f"{user}:2: 'clok' is no setting: did you mean 'clock'?",
        f"{root / PROJECT_FILE}: is no text in UTF-8",
        "DBOPS_ARM_SECONDS: arm_seconds has to be a number, not 'soon'",
    ]


def test_a_file_that_is_none_is_a_mistake_and_a_missing_one_is_not(user: Path, root: Path) -> None:
    user.mkdir()
    assert mistakes(user, root) == [f"{user}: cannot be read: Is a directory"]
    assert load(user / "no" / "config.toml", root) == Config()


def test_a_huge_file_is_not_read(user: Path) -> None:
    user.write_text("# " + "x" * 2_000_000)
    assert mistakes(user) == [f"{user}: is too large"]


LOOSER = {
    "read_only": "false",
    "arm_seconds": "0",
    "production_targets": "[]",
    "auto_in_production": "true",
    "auto": "true",
    "apply": '"safe"',
    "fixer": '"rm -rf /"',
    "fixer_seconds": "86400",
    "max_iterations": "3",
    "request_budget_per_minute": "6000",
    "editor": '"evil"',
    "keymap": '"keys"',
    "matrix": '"rows"',
}
STRICT = """
read_only = true
arm_seconds = 60
production_targets = ["live"]
auto_in_production = false
auto = false
apply = "none"
fixer = ""
fixer_seconds = 10
max_iterations = 1
request_budget_per_minute = 30
editor = ""
"""


@pytest.mark.parametrize("key", LOOSER)
def test_a_project_cannot_loosen_what_the_user_set_or_name_a_program(user: Path, root: Path, key: str) -> None:
    user.write_text(STRICT)
    before = load(user)
    (root / PROJECT_FILE).write_text(f"{key} = {LOOSER[key]}\n")
    if KEYS[key].metadata["project"] == "no":
        assert mistakes(user, root) == [
            f"{root / PROJECT_FILE}:1: {key} is read from your own config only, not from {PROJECT_FILE}"
        ]
    else:
        assert getattr(load(user, root), key) == getattr(before, key)


def test_a_project_may_make_it_stricter(user: Path, root: Path) -> None:
    (root / PROJECT_FILE).write_text(
        'read_only = true\narm_seconds = 120\nproduction_targets = ["live"]\nmax_iterations = 2\n'
    )
    config = load(user, root)
    assert (config.read_only, config.arm_seconds, config.max_iterations) == (True, 120.0, 2)
    assert config.production_targets == ("prod", "production", "live")
    user.write_text("arm_seconds = 30\n")
    assert load(user, root).arm_seconds == 30.0


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("ON", True), ("0", False), ("", False)])
def test_the_environment_is_read_in_the_type_of_the_key(user: Path, text: str, value: bool) -> None:
    assert load(user, DBOPS_READ_ONLY=text).read_only is value
    assert load(user, DBOPS_PRODUCTION_TARGETS="live, prod").production_targets == ("live", "prod")
    assert load(user, DBOPS_ARM_SECONDS="30").arm_seconds == 30.0


def test_an_unclear_word_in_the_environment_never_means_off(user: Path) -> None:
    assert mistakes(user, DBOPS_READ_ONLY="maybe") == [
        "DBOPS_READ_ONLY: read_only has to be true or false, not 'maybe'"
    ]


def test_paths_are_relative_to_the_file_that_names_them(user: Path) -> None:
    user.write_text('keymap = "keys.toml"\nmatrix = "/rows"\n')
    config = load(user)
    assert (config.keymap, config.matrix) == (str(user.parent / "keys.toml"), "/rows")


def test_the_template_names_every_key_with_its_default() -> None:
    text = template()
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line)
    assert {key: tuple(v) if isinstance(v, list) else v for key, v in tomllib.loads(uncommented).items()} == {
        key: entry.default for key, entry in KEYS.items()
    }
    assert all(entry.metadata["doc"].endswith(".") for entry in KEYS.values())
