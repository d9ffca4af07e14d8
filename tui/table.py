"""Rows as an aligned table on stdout, for the commands that print.

Never reads markup and never lets a foreign text break a line; in a pipe nothing is cut and nothing has a colour.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from ..core.text import clean

_WIDE = 100_000  # columns where nobody looks at a screen: no cell is folded or cut


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, roomy: int = 0) -> None:
    """Print the rows under their heads; on a screen that is too narrow the column `roomy` folds, the others stay."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stdout
    screen = stream.isatty()
    console = Console(file=stream, width=None if screen else _WIDE, highlight=False, markup=False, emoji=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, head in enumerate(heads):
        if number == roomy:
            table.add_column(Text(head), overflow="fold")
        else:
            table.add_column(Text(head), no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    # The table fills its last column with blanks; nobody who reads lines wants them.
    for line in captured.get().splitlines():
        stream.write(line.rstrip() + "\n")


def one_line(text: str) -> str:
    """A foreign text in one harmless line."""
    return " ".join(clean(text).split())
