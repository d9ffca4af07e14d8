"""One fault that was injected, and what did not hold then. Every harness of faults yields these, a bench counts them.
It holds no test and no expectation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """A fault of one `kind`; `problem` is what did not hold, empty where everything did. `count`: faults in one go."""

    kind: str
    name: str
    problem: str = ""
    count: int = 1


def unheld(cases: Iterable[Case]) -> list[str]:
    """What did not hold, one line each."""
    return [f"{case.kind}, {case.name}: {case.problem}" for case in cases if case.problem]


def every(cases: Iterable[Case], step: int) -> Iterator[Case]:
    """Each `step`-th of them."""
    return (case for number, case in enumerate(cases) if number % step == 0)
