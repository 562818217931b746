"""The configuration `smokemesh up` uses when it is given none: this host's own addresses, and nothing beyond them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from smokemesh.cli.addresses import OwnAddress

#: A host with more addresses has them from a program, not from a person.
MOST_ADDRESSES: Final = 16
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]|^[.-]")

_HEAD: Final = """\
# Written by `smokemesh up` at each start, because it was given no --config.
# To measure other hosts, copy this file, add them below `targets`, and start: smokemesh up --config FILE
# Changes are taken over by: curl -X POST http://HOST:PORT/-/reload

defaults: {step: 5s, pings: 10}

targets:
  this-host:
    menu: This host
    title: __TITLE__
"""


def first_config(host: str, addresses: Sequence[OwnAddress]) -> str:
    """The text of a configuration that measures these addresses."""
    lines = [_HEAD.replace("__TITLE__", _quoted(f"{host}: its own addresses"))]
    names: Counter[str] = Counter()
    for one in addresses[:MOST_ADDRESSES]:
        name = f"{_NO_NAME.sub('_', one.interface)}-v{one.address.version}"
        names[name] += 1
        name += f"-{names[name]}" if names[name] > 1 else ""
        title = f"{one.address} ({one.interface})"
        host = _quoted(str(one.address))
        lines.append(f"    {_quoted(name)}: {{host: {host}, menu: {host}, title: {_quoted(title)}}}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
