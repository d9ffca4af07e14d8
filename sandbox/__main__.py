"""`python -m dbops_tui.sandbox serve|cli|scenario`: starts one part of the sandbox.
It loads that part alone, and does nothing itself."""

from __future__ import annotations

import sys
from importlib import import_module

PARTS = {"serve": ".server", "cli": ".standin", "scenario": ".scenario"}


def main(argv: list[str] | None = None) -> int:
    """Runs the part named first in `argv`; returns its exit status, 2 for a wrong name."""
    arguments = sys.argv[1:] if argv is None else argv
    asked = arguments[:1] in (["-h"], ["--help"])
    if not arguments or arguments[0] not in PARTS:
        usage = f"usage: python -m dbops_tui.sandbox {{{','.join(PARTS)}}} ..."
        print(usage, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    part = import_module(PARTS[arguments[0]], __package__)
    return int(part.main(arguments[1:]) or 0)


if __name__ == "__main__":
    raise SystemExit(main())
