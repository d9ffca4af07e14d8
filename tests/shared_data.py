"""Finds the optional folder of test data (`DBOPS_SHARED`, else `shared` beside the checkout); skips without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared(name: str) -> Path:
    """The path of `name` in the optional folder of test data; skips the test where it is absent."""
    base = Path(os.environ.get("DBOPS_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    path = base / name
    if not path.exists():
        pytest.skip(f"optional test data {name!r} is not here")
    return path
