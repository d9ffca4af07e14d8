"""What the report says of the cause: of what failed, and nothing where nothing did."""

from __future__ import annotations

from dbops_tui.core.report import ErrorRecord, LoopRecord, RoundRecord, to_json, to_markdown


def record(*rounds: RoundRecord) -> LoopRecord:
    return LoopRecord(
        *("aaaa1111", "shop", "dev", "https://a.example.com", "you@example.com", "", ("jobs.nightly",), "verified"),
        *("", "2026-01-07T09:00:00Z", "2026-01-07T09:05:00Z", rounds),
    )


def test_a_loop_in_which_nothing_failed_has_no_root_cause() -> None:
    good = record(RoundRecord(1))
    assert "Root cause" not in to_markdown(good)
    assert "matrix" not in to_markdown(good)
    assert to_json(good)["hypothesis"] == ""


def test_errors_that_no_row_knows_are_called_so() -> None:
    error = ErrorRecord("jobs.nightly", "failed", "7", "work", "71")
    said = to_markdown(record(RoundRecord(1, (error,)), RoundRecord(2)))
    assert "## Root cause, as far as it is known" in said
    assert "No row of the matrix knows these errors" in said
