"""The SQL files of this folder: statements under names, filled in by name."""

from functools import cache
from importlib.resources import files
from string import Template


@cache
def statements(file: str) -> dict[str, Template]:
    """The statements of `sql/FILE.sql`: each begins at its line `-- name: NAME`."""
    text = files("smokemesh.storage").joinpath("sql", f"{file}.sql").read_text("utf-8")
    found: dict[str, Template] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = Template("\n".join(line for line in body.splitlines() if not _is_comment(line)).strip())
    return found


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("--")
