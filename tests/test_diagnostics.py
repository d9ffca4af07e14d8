"""The CLI's diagnostics are taken apart as they were put together, whatever stands around them."""

from __future__ import annotations

import string

import pytest
from dbops_tui.core.bundle import Place
from dbops_tui.core.diagnostics import CliDiagnostic, parse_diagnostics
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared

HEADS = {"error": "Error", "warning": "Warning", "recommendation": "Recommendation"}


def render(diagnostic: CliDiagnostic) -> str:
    """As the templates of libs/cmdio/render.go do."""
    lines = [f"{HEADS[diagnostic.severity]}: {diagnostic.summary}"]
    lines += [f"  {'at ' if i == 0 else '   '}{path}" for i, path in enumerate(diagnostic.paths)]
    places = [f"{place.file}:{place.line}:{place.column}" for place in diagnostic.places]
    lines += [f"  {'in ' if i == 0 else '   '}{place}" for i, place in enumerate(places)]
    if diagnostic.detail:
        lines += ["", diagnostic.detail]
    return "\n".join(lines) + "\n\n"


def test_an_error_with_paths_and_places_is_taken_apart() -> None:
    text = (
        "Error: multiple resources or scripts have been defined with the same key: foo\n"
        "  at resources.jobs.foo\n     scripts.foo\n  in databricks.yml:9:5\n     sub folder/more.yml:15:7\n\n"
    )
    assert parse_diagnostics(text) == (
        CliDiagnostic(
            "error",
            "multiple resources or scripts have been defined with the same key: foo",
            ("resources.jobs.foo", "scripts.foo"),
            (Place("databricks.yml", 9, 5), Place("sub folder/more.yml", 15, 7)),
        ),
    )


def test_places_need_no_paths_and_details_may_have_blank_lines() -> None:
    (found,) = parse_diagnostics("Warning: odd\n  in a.yml:6:5\n\nfirst\n\nsecond\n\n")
    assert (found.severity, found.paths, found.places) == ("warning", (), (Place("a.yml", 6, 5),))
    assert found.detail == "first\n\nsecond"


def test_an_api_error_keeps_endpoint_and_message() -> None:
    text = (
        "Error: cannot create resources.jobs.foo: Too many. (400 INVALID_PARAMETER_VALUE)\n\n"
        "Endpoint: POST https://example.com/api/2.2/jobs/create\nHTTP Status: 400 Bad Request\n"
        "API error_code: INVALID_PARAMETER_VALUE\nAPI message: Too many.\n\n"
        "Error: cannot create resources.jobs.down: dependency failed: resources.jobs.foo\n\n"
        "Files: 4 uploaded, 0 deleted\n"
    )
    first, second = parse_diagnostics(text)
    assert first.detail.endswith("API message: Too many.")
    assert second.detail == ""


LOCK = (
    "Failed to acquire deployment lock: deploy lock acquired by you@example.com at 2026-03-01 10:00:00 +0000 UTC.\n"
    "Another deployment may be in progress. Use --force-lock to override, but this may\n"
    "conflict with the other deployment if it is still active"
)


def test_what_was_logged_and_then_reported_is_one() -> None:
    text = f"Error: {LOCK}\nError: {LOCK}\n\n\n"
    (found,) = parse_diagnostics(text)
    assert found.summary.startswith("Failed to acquire deployment lock")
    assert "--force-lock" in found.detail


def test_a_logged_echo_gives_way_to_the_one_with_a_place() -> None:
    (found,) = parse_diagnostics("Error: bad field\nError: bad field\n  in a.yml:1:2\n\n")
    assert found.places == (Place("a.yml", 1, 2),)


def test_the_same_sentence_about_two_places_is_two() -> None:
    text = "".join(f'Warning: required field "x" is not set\n  in a.yml:{line}:1\n\n' for line in (1, 2))
    assert [each.places[0].line for each in parse_diagnostics(text)] == [1, 2]


@pytest.mark.parametrize(
    "after",
    [
        "Uploading bundle files to /Workspace/Users/you@example.com/.bundle/x/dev/files...",
        "Deploying resources...",
        "Deployment complete!",
        "Deployment cancelled!",
        "Deploy: 2 created, 1 failed",
        "Destroy: 2 deleted, 1 failed",
        "Destroy cancelled!",
        "The following resources will be deleted:",
        "This action will result in the deletion of these volumes.",
        "All files and directories at the following location will be deleted: /Workspace/Users/you@example.com/x",
        "No active deployment found to destroy!",
        "Output from jobs.nightly: done",
        "Migrated 3 resources to the direct engine.",
        "Files: 4 uploaded, 0 deleted",
        "Resources: 1 created, 0 changed, 0 deleted, 0 unchanged",
        "Created jobs.foo",
        "Found 1 error and 2 warnings",
        "Validation OK!",
        "Run URL: https://example.com/jobs/1/runs/2",
        "Warn: [hostmetadata] failed to fetch host metadata",
        "10:11:12 Debug: something",
    ],
)
def test_progress_of_either_version_is_no_part_of_a_detail(after: str) -> None:
    (found,) = parse_diagnostics(f"Warning: odd\n\ndetail\n\n{after}\n")
    assert found.detail == "detail"


@pytest.mark.parametrize("line", ["Deploy early: it helps", "Outputs from jobs", "This action is odd", "Destroyed"])
def test_detail_that_only_begins_alike_stays_whole(line: str) -> None:
    (found,) = parse_diagnostics(f"Warning: odd\n\ndetail\n{line}\n")
    assert found.detail == f"detail\n{line}"


def test_lines_that_only_look_alike_are_no_diagnostics() -> None:
    assert parse_diagnostics("error: lower\n Error: indented\nError without colon\nInfo: no\n") == ()


def test_places_that_are_none_are_passed_over() -> None:
    (found,) = parse_diagnostics("Error: x\n  in somewhere\n     C:\\b\\databricks.yml:3:4\n\n")
    assert found.places == (Place("C:\\b\\databricks.yml", 3, 4),)


def test_every_recorded_output_is_taken_apart() -> None:
    texts = sorted(shared("bundles").glob("*/expected.txt"))
    found = [each for path in texts for each in parse_diagnostics(path.read_text())]
    assert sum(each.severity == "error" for each in found) >= 20
    assert sum(bool(each.places) for each in found) >= 10
    assert all(each.summary for each in found)


word = (
    st.text(string.ascii_letters + string.digits + " ${}.'\"()-é:", min_size=1, max_size=30).map(str.strip).filter(bool)
)
path = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,3}(\[[0-9]\])?", fullmatch=True)
places = st.builds(
    Place, st.from_regex(r"[a-z_]{1,8}(/[a-z]{1,8})?\.yml", fullmatch=True), st.integers(1, 9999), st.integers(1, 300)
)
detail = (
    st.lists(st.text(string.ascii_letters + " .:/", max_size=20).map(lambda line: "x" + line), max_size=4)
    .map("\n\n".join)
    .map(str.strip)
)
diagnostics = st.builds(
    CliDiagnostic,
    st.sampled_from(["error", "warning", "recommendation"]),
    word,
    st.lists(path, max_size=3).map(tuple),
    st.lists(places, max_size=3).map(tuple),
    detail,
)


def same(one: CliDiagnostic) -> tuple[object, ...]:
    return (one.severity, one.summary, one.paths, one.places)


@given(st.lists(diagnostics, max_size=6, unique_by=lambda one: (one.severity, one.summary)))
@settings(max_examples=200, deadline=None)
def test_what_was_rendered_is_read_back(written: list[CliDiagnostic]) -> None:
    assert parse_diagnostics("".join(map(render, written))) == tuple(written)


@given(st.lists(diagnostics, max_size=4, unique_by=same))
@settings(max_examples=100, deadline=None)
def test_printing_everything_twice_adds_nothing(written: list[CliDiagnostic]) -> None:
    once = "".join(map(render, written))
    assert parse_diagnostics(once + once) == parse_diagnostics(once)


@given(
    st.lists(
        st.sampled_from(["Error: a", "  at b", "  in c.yml:1:2", "     d", "", "x", "Warn: l", "Files: 1 uploaded"])
    )
)
@settings(max_examples=200, deadline=None)
def test_lines_in_any_order_do_no_harm(lines: list[str]) -> None:
    found = parse_diagnostics(lines)
    assert len(found) <= lines.count("Error: a")
    assert parse_diagnostics("\n".join(lines)) == found
