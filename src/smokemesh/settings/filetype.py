"""Which file is this: ours for a master, ours for an agent, a topology, SmokePing's? Told from what stands in it."""

import re
from typing import Final

from smokemesh.errors import ConfigError
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.yaml import Mapping, Node, Scalar

#: File types as people read them.
NAMES: Final = {
    "master": "a master's configuration (smokemesh.yaml)",
    "agent": "an agent's configuration (agent.yaml)",
    "topology": "a topology",
    "smokeping": "a SmokePing configuration",
}
#: A section, or what stands before one in a file that is put together from others. Neither can begin a line of YAML.
_SMOKEPING = re.compile(r"^(?:\*\*\*\s*[A-Za-z]|@(?:include|define)\s)", re.MULTILINE)
_TOPOLOGY = frozenset({"topology", "dcs", "datacenters", "podsets", "pods"})


def is_smokeping(text: str) -> bool:
    """SmokePing's sections look like `*** Targets ***`, other files are read by `@include`; ours never have either."""
    first = next(
        (line for line in map(str.strip, text.removeprefix("\ufeff").splitlines()) if line[:1] not in ("", "#")), ""
    )
    return _SMOKEPING.search(text) is not None or _SMOKEPING.match(first) is not None


def file_type(root: Node) -> str:
    """ "master", "agent", "topology", or "" when nothing tells."""
    if not isinstance(root, Mapping):
        return ""
    keys = set(root.entries)
    scores = {kind: len(keys & set(SECTIONS[kind].settings)) for kind in ("master", "agent")}
    best = max(scores, key=lambda kind: scores[kind])
    if not scores[best] and keys & _TOPOLOGY:
        return "topology"
    return best if scores[best] else ""


def insist(root: Node, file: str, wanted: str) -> None:
    """Raises ConfigError when the file is plainly another type than `wanted`, or empty."""
    if isinstance(root, Scalar) and root.empty:
        cure = {"master": "targets: {myhost: {host: 192.0.2.1}}", "agent": "name, masters and shared_secret"}[wanted]
        raise ConfigError(f"the file is empty; write at least {cure}", file=file)
    found = file_type(root)
    if found not in ("", wanted):
        raise ConfigError(f"this is {NAMES[found]}, not {NAMES[wanted]}; {_cure(found)}", file=file)


def refuse_smokeping(text: str, file: str) -> None:
    """Raises ConfigError for a file of SmokePing's where one of ours belongs."""
    if found := _SMOKEPING.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigError(
            "this is SmokePing's configuration; give it to `smokemesh up --config` or `smokemesh master --config`",
            file=file,
            line=line,
        )


def _cure(found: str) -> str:
    if found == "agent":
        return "give it to `smokemesh agent --config`"
    if found == "master":
        return "give it to `smokemesh master --config` or `smokemesh up --config`"
    return "no command reads topologies"
