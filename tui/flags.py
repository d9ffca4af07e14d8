"""Which flags of the command line set which settings; apart from the rest, so that a first paint can have it.

Never reads a file.
"""

from __future__ import annotations

import argparse
from typing import Any

# (name among the arguments, key of the settings)
FLAGS = (
    *(("read_only", "read_only"), ("auto", "auto"), ("fixer", "fixer"), ("apply", "apply")),
    ("max_iterations", "max_iterations"),
)


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the flags among `arguments` give; None where one was not given."""
    flags: dict[str, Any] = {}
    for name, key in FLAGS:
        value = getattr(arguments, name, None)
        # A switch that was not thrown says nothing; it does not say no.
        flags[key] = None if value is False else value
    if getattr(arguments, "no_watch", False):
        flags["watch"] = False
    return flags
