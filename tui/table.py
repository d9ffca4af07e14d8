"""Rows as an aligned table on stdout, for the commands that print.

Never reads markup, never lets a foreign text break a line, and cuts nothing; in a pipe nothing has a colour.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from ..core.text import clean

_WIDE = 100_000  # columns where nobody looks at a screen: no cell is folded
_ROOM = 24  # columns that a folded cell needs to be read with ease
_GAP = 2


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, roomy: int = 0) -> None:
    """Print the rows under their heads. On a screen that is too narrow the column `roomy` folds.

    Where it has no room for that either, each line is as long as it is: the terminal breaks it, and nothing is lost.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stdout
    cells = [[Text(one_line(cell)) for cell in row] for row in rows]
    columns = zip(map(Text, heads), *cells, strict=True)
    widths = [max(each.cell_len for each in column) for column in columns]
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    others = sum(width + _GAP for number, width in enumerate(widths) if number != roomy)
    fits = stream.isatty() and console.width - others >= min(_ROOM, widths[roomy])
    console.width = console.width if fits else _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number, head in enumerate(heads):
        table.add_column(Text(head), overflow="fold", no_wrap=number != roomy)
    for row in cells:
        table.add_row(*row)
    with console.capture() as captured:
        console.print(table)
    # The table fills its last column with blanks; nobody who reads lines wants them.
    for line in captured.get().splitlines():
        stream.write(line.rstrip() + "\n")


def one_line(text: str) -> str:
    """A foreign text in one harmless line."""
    return " ".join(clean(text).split())
