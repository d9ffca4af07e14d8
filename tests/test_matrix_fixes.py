"""What a proposal is: something to type into a shell, a line of code, or another run."""

from __future__ import annotations

import pytest
from dbops_tui.matrix.model import Fix


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("databricks auth login --profile dev", True),
        ("az login", True),
        ("GRANT SELECT ON TABLE main.sales.orders TO `team`", False),
        ("%pip install pandas", False),
        ('.option("mergeSchema", "true")', False),
        (None, False),
    ],
)
def test_only_what_a_shell_takes_stands_behind_a_prompt(command: str | None, shell: bool) -> None:
    assert Fix("manual", "do this", command=command).in_a_shell is shell


def test_a_run_is_started_only_of_a_resource_that_is_known() -> None:
    assert Fix("run", "run it first", resource_key="jobs.load").starts_a_run
    assert not Fix("run", "see what would change", command="databricks bundle plan").starts_a_run
