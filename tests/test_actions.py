"""The one table of actions: every face of it agrees, and nothing in it can be reached that the guard would not know."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import fake_states
import pytest
from dbops_tui.core.state import State
from dbops_tui.tui.actions import (
    ACTIONS,
    BY_ID,
    GROUPS,
    KeymapError,
    at_key,
    first_key,
    keys_of,
    load_keymap,
    markdown,
    offered,
    rows,
    with_keymap,
)
from dbops_tui.tui.operations import Operations
from dbops_tui.tui.scene import Scene


def test_every_action_has_an_operation_and_every_operation_an_action() -> None:
    operations = {name.removeprefix("do_") for name in dir(Operations) if name.startswith("do_")}
    assert operations == {action.id for action in ACTIONS}


def test_no_key_stands_for_two_actions() -> None:
    keys = [(key, action.where) for action in ACTIONS for key in keys_of(action.keys)]
    assert len(keys) == len(set(keys))


def test_a_key_that_has_its_own_meaning_at_a_place_has_another_everywhere_else() -> None:
    assert [at_key("c", where).id for where in ("", "events", "diagnosis")] == ["cancel", "cancel", "check"]  # type: ignore[union-attr]
    assert [at_key("L", where).id for where in ("", "events", "diagnosis")] == ["learn", "level", "learn"]  # type: ignore[union-attr]
    assert at_key("no such key", "") is None
    for action in ACTIONS:
        if action.where:
            for key in keys_of(action.keys):
                other = at_key(key, "")
                assert other is None or other.id != action.id


def test_the_footer_offers_a_key_for_one_action_only() -> None:
    for make in fake_states.ALL.values():
        for pane, tab in (("diagnosis", "task"), ("detail", "events"), ("run", "task")):
            keys = [first_key(action) for action in offered(Scene(make(), pane=pane, tab=tab))]  # type: ignore[arg-type]
            assert len(keys) == len(set(keys))


def test_no_key_of_the_table_is_taken_by_a_move_within_a_pane() -> None:
    from dbops_tui.widgets.line_view import MOVES

    moves = {key for _, keys, _, _ in MOVES for key in keys_of(keys)}
    assert not moves & {key for action in ACTIONS for key in keys_of(action.keys)}


def test_whatever_changes_something_asks_first_and_what_loses_data_asks_for_a_name() -> None:
    for action in ACTIONS:
        if action.mutating:
            assert action.confirm != "none", action.id
        if action.dangerous:
            assert action.mutating, action.id
            assert action.confirm == "typed", action.id


def test_what_mutates_is_the_known_set() -> None:
    changing = {action.id for action in ACTIONS if action.mutating}
    assert changing == {
        *("apply", "undo", "deploy", "heal", "destroy", "run", "run_with", "repair", "repair_task", "cancel"),
        *("update_with", "full_refresh", "check", "learn", "clean_up"),
    }


def test_a_read_only_console_offers_nothing_that_changes_anything() -> None:
    resource = fake_states.bundle().resource("jobs.orchestrator")
    for make in fake_states.ALL.values():
        scene = Scene(replace(make(), read_only=True), resource=resource, place="a:1", url="https://x")
        assert not [a.id for a in offered(scene) if a.mutating]
        for action in ACTIONS:
            if action.mutating:
                assert action.when(scene), action.id


def test_a_console_that_has_to_be_armed_offers_changes_only_while_it_is() -> None:
    resource = fake_states.bundle().resource("jobs.orchestrator")
    state = replace(fake_states.failed(), armed_until=1000.0)
    armed = Scene(state, resource=resource, place="a:1", monotonic=999.0)
    late = replace(armed, monotonic=1000.0)
    assert {"deploy", "apply", "repair"} <= {action.id for action in offered(armed)}
    assert not [action.id for action in offered(late) if action.mutating]
    assert "A allows changes" in BY_ID["deploy"].when(late)
    assert BY_ID["arm"].when(late) == ""
    assert BY_ID["arm"].when(Scene(fake_states.failed()))
    assert BY_ID["arm"].when(Scene(replace(state, read_only=True)))


def test_every_condition_answers_for_every_state() -> None:
    for make in (*fake_states.ALL.values(), State):
        state = make()
        for resource in (None, *(state.bundle.resources if state.bundle else ())):
            for action in ACTIONS:
                why = action.when(Scene(state, resource=resource))
                assert isinstance(why, str)
                assert "\n" not in why


def test_the_footer_always_has_help_and_quit_and_the_best_first() -> None:
    for make in fake_states.ALL.values():
        shown = offered(Scene(make()))
        assert [action.id for action in shown][-2:] == ["help", "quit"]
        ranks = [action.foot for action in shown]
        assert ranks == sorted(ranks, reverse=True)


def test_a_failed_run_offers_the_fix_the_repair_and_the_edit() -> None:
    state = fake_states.failed()
    shown = {action.id for action in offered(Scene(state, pane="run", place="src/silver/refresh.py:42"))}
    assert {"apply", "repair", "edit", "deploy"} <= shown
    assert "cancel" not in shown


def test_a_running_run_offers_cancel_and_no_repair() -> None:
    shown = {action.id for action in offered(Scene(fake_states.running(), pane="run"))}
    assert "cancel" in shown
    assert "repair" not in shown


def test_help_and_documentation_name_every_action() -> None:
    listed = {label for _, entries in rows() for _, label, _ in entries}
    text = markdown()
    for action in ACTIONS:
        assert action.label in listed
        assert action.description in text
    assert {group for group, _ in rows()} == set(GROUPS)


def test_the_module_prints_the_documentation() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dbops_tui.tui.actions"], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout == markdown()


def test_a_keymap_changes_the_keys_of_everything_that_reads_the_table() -> None:
    changed = with_keymap({"deploy": "ctrl+d", "destroy": "ctrl+x"})
    keys = {action.id: action.keys for action in changed}
    assert keys["deploy"] == "ctrl+d"
    assert keys["edit"] == BY_ID["edit"].keys
    assert "`ctrl+d`" in markdown(changed)


@pytest.mark.parametrize(
    ("keymap", "said"),
    [
        ({"deplyo": "d"}, "deplyo: there is no such action, did you mean deploy?"),
        ({"deploy": "e"}, "e: stands for edit and for deploy"),
    ],
)
def test_a_keymap_that_cannot_be_says_why(keymap: dict[str, str], said: str) -> None:
    with pytest.raises(KeymapError) as error:
        with_keymap(keymap)
    assert said in str(error.value)


def test_a_keymap_file_is_read_and_its_mistakes_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    good = tmp_path / "keys.toml"
    good.write_text('[keys]\ndeploy = "ctrl+d"\n')
    assert load_keymap(str(good)) == {"deploy": "ctrl+d"}
    bad = tmp_path / "bad.toml"
    bad.write_text("[keys]\ndeploy = 3\n")
    with pytest.raises(KeymapError, match="keys"):
        load_keymap(str(bad))
    with pytest.raises(KeymapError):
        load_keymap(str(tmp_path / "absent.toml"))
