"""What tools put around a log: schedulers, boxes, quotations, colours, JSON. It changes neither cause nor silence.

Never measures how good the rows are; each wrapped text is compared with what the bare text gives.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable

import pytest
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.model import Failure

FAILED = (
    "24/05/01 10:00:00 INFO DAGScheduler: Submitting 4 missing tasks\n"
    "Traceback (most recent call last):\n"
    '  File "/Workspace/Shared/etl/load.py", line 3, in <module>\n'
    "    import holidays\n"
    "ModuleNotFoundError: No module named 'holidays'"
)
QUERY = "AnalysisException: cannot resolve '`regoin`' given input columns: [region, amount]; line 1 pos 7"
HEALTHY = (
    "24/05/01 10:00:00 INFO DAGScheduler: Job 4 is finished\n"
    "24/05/01 10:00:01 WARN TaskSetManager: Lost task 3.0 in stage 0.0 (TID 3): java.io.IOException: reset, retrying\n"
    "24/05/01 10:00:02 INFO Executor: Finished task 3.1 in stage 0.0"
)


def each_line(before: str) -> Callable[[str], str]:
    return lambda text: "\n".join(before + line for line in text.split("\n"))


WRAPPERS: dict[str, Callable[[str], str]] = {
    "scheduler": each_line("[2024-05-01, 12:14:20 UTC] {subprocess.py:93} INFO - "),
    "box": each_line("│ "),
    "container": each_line("worker_1  | "),
    "quotation": each_line("> "),
    "comment": each_line("# "),
    "build": each_line("2024-05-01T12:00:00.1234567Z "),
    "colour": lambda text: "\n".join(f"\x1b[33m{line}\x1b[0m" for line in text.split("\n")),
    "json": lambda text: json.dumps({"logs": text}),
    "html": html.escape,
}


def causes(text: str) -> list[str]:
    return [found.cause for found in diagnose(Failure(text=text, source_kind="job_task"))]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(("text", "cause"), [(FAILED, "missing_python_module"), (QUERY, "unresolved_column")])
def test_a_wrapped_failure_has_the_same_cause(wrapper: str, text: str, cause: str) -> None:
    assert causes(text)[0] == cause
    assert causes(WRAPPERS[wrapper](text))[0] == cause


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_healthy_log_stays_healthy(wrapper: str) -> None:
    assert causes(HEALTHY) == []
    assert causes(WRAPPERS[wrapper](HEALTHY)) == []


@pytest.mark.parametrize(
    "line",
    [
        "[2024-05-01, 12:00:00 UTC] {logging_mixin.py:154} INFO - 12:00:00    Database Error in model stg (stg.sql)",
        "2024-05-01 12:00:00 - INFO - pyspark.sql.utils.AnalysisException: cannot resolve '`a`' given columns: [b]",
    ],
)
def test_what_is_passed_on_at_level_info_is_heard(line: str) -> None:
    assert causes(line) != []


def test_what_a_handler_breaks_on_is_not_the_cause_of_what_it_handled() -> None:
    text = (
        "FileNotFoundError: [Errno 2] No such file or directory: '/Volumes/dev/raw/files/visits.csv'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        "AttributeError: 'FileNotFoundError' object has no attribute 'status_code'"
    )
    assert causes(text)[0] == "file_not_found"
    alone = "AttributeError: 'WorkspaceClient' object has no attribute 'alerts_v2'"
    assert causes(alone) == ["python_attribute_error"]


@pytest.mark.parametrize(
    "text",
    [
        "store.errors.ConnectionResetError: the peer went away",
        "warehouse.OperationalError: the session is gone",
        "LedgerServiceError: the ledger answers nothing",
    ],
)
def test_an_exception_named_after_what_lies_outside_is_not_the_codes_own(text: str) -> None:
    (found, *_) = diagnose(Failure(text=text, source_kind="job_task"))
    assert found.cause != "user_code_exception"
    assert found.evidence
