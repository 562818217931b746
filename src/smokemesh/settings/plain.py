"""Plain values in the shape of our YAML -> nodes as if read from a file, each at the place it was made from."""

from collections.abc import Mapping as Dict
from typing import Any

from smokemesh.settings.yaml import Mapping, Node, Scalar, Sequence

#: Where a value was made from: keys from the root down -> file and line. What is not in it stands where its parent does.
Places = Dict[tuple[str, ...], tuple[str, int]]


def nodes(values: Any, places: Places, file: str) -> Node:
    """The nodes of a whole file."""
    return _node(values, (), places, places.get((), (file, 1)))


def _node(value: Any, path: tuple[str, ...], places: Places, above: tuple[str, int]) -> Node:
    file, line = above
    if isinstance(value, dict):
        entries, lines, files = {}, {}, {}
        for key, inner in value.items():
            below = (*path, key)
            place = places.get(below, above)
            entries[key] = _node(inner, below, places, place)
            lines[key] = place[1]
            if place[0] != file:
                files[key] = place[0]
        return Mapping(file=file, line=line, entries=entries, lines=lines, files=files)
    if isinstance(value, list | tuple):
        return Sequence(file=file, line=line, items=tuple(_node(item, path, places, above) for item in value))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Scalar(file=file, line=line, text=text, quoted=True)
