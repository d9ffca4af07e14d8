"""What several files of tests are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fault_harness import Yard


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A place for loops that are disturbed; one for each file."""
    from fault_harness import open_yard  # here, because most tests need none

    with open_yard(tmp_path_factory.mktemp("yard")) as found:
        yield found
