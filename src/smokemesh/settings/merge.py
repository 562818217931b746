"""Several files -> one mapping. What two files say of the same thing is an error that names both places."""

from smokemesh.errors import ConfigError
from smokemesh.settings.sections import as_mapping, join
from smokemesh.settings.yaml import Mapping, Node, Scalar

#: Sections to which several files may add; below `targets` groups may be added to, at any depth.
_SHARED = ("probes", "agents", "alerts", "targets")


def merge(first: Node, second: Node) -> Mapping:
    """The settings of both files."""
    return _merge(as_mapping(first, ""), as_mapping(second, ""), "")


def _merge(first: Mapping, second: Mapping, where: str) -> Mapping:
    entries, lines = dict(first.entries), dict(first.lines)
    files = {key: first.files.get(key, first.file) for key in first.entries}
    for key, value in second.entries.items():
        path = join(where, key)
        mine = entries.get(key)
        if mine is None or _empty(mine):
            entries[key], lines[key], files[key] = value, second.lines[key], second.files.get(key, second.file)
        elif _mergeable(path, mine, value):
            entries[key] = _merge(as_mapping(mine, path), as_mapping(value, path), path)
        elif not _empty(value):
            place = f"{files[key]}:{lines[key]}"
            raise ConfigError(
                f"duplicate {path}: also in {place}; remove one or rename it", file=second.file, line=second.lines[key]
            )
    return Mapping(file=first.file, line=first.line, entries=entries, lines=lines, files=files)


def _mergeable(path: str, first: Node, second: Node) -> bool:
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return False
    if path in _SHARED:
        return True
    # Two halves of one measured host would be a mistake more often than a wish.
    return path.startswith("targets.") and "host" not in first.entries and "host" not in second.entries


def _empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.empty
