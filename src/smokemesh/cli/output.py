"""How commands print data: one JSON document for programs, a plain table for people."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click


def print_json(value: Any) -> None:
    """One document, readable and unescaped."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def moment(text: str | None) -> str | None:
    """An RFC 3339 time to the second, for tables: nobody reads nanoseconds."""
    return re.sub(r"(?<=:\d\d)\.\d+(?=Z$)", "", text) if text else text


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows under headings; `columns` gives key and heading in order. Columns of numbers stand to the right.

    In a terminal long cells fold; in a pipe each row stays one line.
    """
    from rich.console import Console  # heavy, so only when there is a table
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for key, heading in columns.items():
        numeric = bool(rows) and all(isinstance(row.get(key), int | float) for row in rows)
        table.add_column(
            heading, justify="right" if numeric else "left", overflow="fold", no_wrap=not sys.stdout.isatty()
        )
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in columns))
    width = None if sys.stdout.isatty() else 10_000
    Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False).print(table)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
