"""Runs the command line: `python -m dbops_tui`."""

from .tui.cli import main

raise SystemExit(main())
