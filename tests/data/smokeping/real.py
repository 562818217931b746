"""SmokePing's own parser as a peer, and ours brought to its shape, so that both can be held against one another.

The real parser looks names up; it runs in a network namespace of its own, where nothing can be reached.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from smokemesh.smokeping.catalogue import PROBES
from smokemesh.smokeping.config import parse
from smokemesh.smokeping.shape import Configuration, Section

SCRIPT = Path(__file__).with_name("real.pl")
Tree = dict[str, Any]


def ask_real(files: list[Path], limit: float = 120) -> list[Tree]:
    """For each file {"tree": …} or {"error": …}."""
    asked = "".join(f"{file}\n" for file in files)
    run = subprocess.run(
        ["unshare", "-n", "perl", str(SCRIPT)], input=asked, capture_output=True, text=True, timeout=limit, check=True
    )
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(files), run.stderr
    return answers


def read_ours(file: Path) -> Configuration:
    """By our parser; what only SmokePing needs counts as being there."""
    return parse(str(file), lambda path: Path(path).read_bytes(), _look)


def _look(path: str, kind: str) -> str:
    return "no such file" if kind == "secrets" and not Path(path).is_file() else ""


def as_real(configuration: Configuration, codec: str = "utf-8") -> Tree:
    """As the real parser has it: names and values as bytes, what 2.7.3 does not know left out."""
    parts = {
        "General": configuration.general,
        "Database": configuration.database,
        "Presentation": configuration.presentation,
        "Probes": configuration.probes,
        "Targets": configuration.targets,
        "Alerts": configuration.alerts,
        "Slaves": configuration.slaves,
    }
    return {name: _plain(section, name, codec) for name, section in parts.items() if section is not None}


def _plain(section: Section, path: str, codec: str, order: int | None = None) -> Tree:
    area, *below = path.split("/")
    newer = (
        PROBES[below[0]].newer if area == "Probes" and below else {"literalsearch"} if area == "Presentation" else ()
    )
    plain: Tree = {_held(n, codec): _held(x, codec) for n, x in section.variables.items() if n not in newer}
    if section.table:
        plain["_table"] = [[_held(cell, codec) for cell in row] for row in section.table]
    if area == "Targets":
        if below:
            plain["_varlist"] = list(section.explicit)
        plain["_order"] = str(order or 0)
    for number, (name, child) in enumerate(section.sections.items()):
        plain[_held(name, codec)] = _plain(child, f"{path}/{name}", codec, number)
    return plain


def _held(text: str, codec: str) -> str:
    return text.encode(codec).decode("latin-1")
