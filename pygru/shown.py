"""Tables for people to read: as plain text, and as HTML for notebooks.

The HTML has no scripts, and sets no colours, so it can be read in light and dark themes. All
text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: Columns of numbers are aligned on the right.
RIGHT = "right"
LEFT = "left"


def _escape(text: str) -> str:
    from html import escape  # not on top, because it takes a while

    return escape(text)


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str]
) -> str:
    """Return lines of columns, with two spaces between them.

    Examples
    --------
    >>> from pygru.shown import LEFT, RIGHT, text_table
    >>> print(text_table(["layer", "size"], [["GRU", "1,234"], ["Last", "0"]], [LEFT, RIGHT]))
    layer   size
    GRU    1,234
    Last       0
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if side == RIGHT else cell.ljust(width)
            for cell, width, side in zip(line, widths, align, strict=True)
        ).rstrip()
        for line in lines
    )


def html_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str]
) -> str:
    """Return a table of HTML; without a header if ``header`` is empty.

    Examples
    --------
    >>> from pygru.shown import LEFT, html_table
    >>> html_table([], [["a < b"]], [LEFT])
    '<table><tbody><tr><td style="text-align:left">a &lt; b</td></tr></tbody></table>'
    """

    def line(kind: str, cells: Sequence[str]) -> str:
        columns = "".join(
            f'<{kind} style="text-align:{side}">{_escape(cell)}</{kind}>'
            for cell, side in zip(cells, align, strict=True)
        )
        return f"<tr>{columns}</tr>"

    head = f"<thead>{line('th', header)}</thead>" if header else ""
    return f"<table>{head}<tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


def html_properties(title: str, properties: Iterable[tuple[str, str]], more: str = "") -> str:
    """Return a title and a table of names and values; ``more`` is HTML that follows."""
    table = html_table([], properties, [LEFT, LEFT])
    return f"<div><b>{_escape(title)}</b>{table}{more}</div>"
