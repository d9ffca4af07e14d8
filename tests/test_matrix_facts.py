"""Codes that count only as structured facts: plain words such as CANCELED say nothing in a text."""

from __future__ import annotations

import pytest
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.model import Failure


def causes(failure: Failure) -> list[str]:
    return [each.cause for each in diagnose(failure)]


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("CANCELED", "run_cancelled"),
        ("TIMEDOUT", "job_timeout"),
        ("MAXIMUM_CONCURRENT_RUNS_REACHED", "max_concurrent_runs"),
        ("UPSTREAM_FAILED", "upstream_failed"),
    ],
)
def test_the_result_state_is_a_fact(state: str, cause: str) -> None:
    assert causes(Failure(text="", result_state=state, source_kind="job_task")) == [cause]


def test_a_word_of_a_text_is_no_fact() -> None:
    text = "Error: the index waits for one of these states: DONE, FAILED, CANCELED"
    assert "run_cancelled" not in causes(Failure(text=text, source_kind="api"))
    assert causes(Failure(text="", termination_code="CANCELED")) == ["run_cancelled"]


@pytest.mark.parametrize("code", ["SUCCESS", "SKIPPED", "DISABLED", "INACTIVITY", "JOB_FINISHED", "USER_REQUEST"])
def test_an_ordinary_end_is_no_failure(code: str) -> None:
    assert causes(Failure(text="", termination_code=code)) == []
