"""Report: figures -> plain text on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def say(line: str = "") -> None:
    """Write one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table: the first column to the left, numbers to the right; floats with two digits."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [list(columns), *cells]) for place in range(len(columns))]
    say(f"\n{title}")
    for row in [list(columns), *cells]:
        first, *rest = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("  " + "  ".join([first, *rest]).rstrip())


def load_average() -> str:
    """Return the load average of 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
