"""Which path a packet takes: the most specific destination wins, then the most specific source."""

from collections.abc import Iterable
from ipaddress import ip_network

from smokemesh.netlab.path import Path, Route

#: Prefix lengths of destination and source.
Lengths = tuple[int, int]


class PathTable:
    """Paths by address pair, for both families at once. Addresses are packed: 4 bytes or 16."""

    def __init__(self) -> None:
        self._paths: dict[int, dict[Lengths, dict[tuple[int, int], Path]]] = {4: {}, 16: {}}
        self._order: dict[int, list[Lengths]] = {4: [], 16: []}

    def set(self, routes: Iterable[Route]) -> None:
        """Add paths; one for the same pair of networks takes the place of the old."""
        for route in routes:
            destination = ip_network(route.destination)
            source = ip_network(route.source or ("0.0.0.0/0" if destination.version == 4 else "::/0"))
            if source.version != destination.version:
                raise ValueError(f"path from {source} to {destination}: the two are of different families")
            size, lengths = destination.max_prefixlen // 8, (destination.prefixlen, source.prefixlen)
            pair = (int(destination.network_address), int(source.network_address))
            self._paths[size].setdefault(lengths, {})[pair] = route.path
        for size, found in self._paths.items():
            self._order[size] = sorted(found, reverse=True)

    def find(self, source: bytes, destination: bytes) -> Path | None:
        """The path between two addresses, None if there is none."""
        size = len(destination)
        bits, to, since = 8 * size, int.from_bytes(destination), int.from_bytes(source)
        for lengths in self._order[size]:
            down, up = bits - lengths[0], bits - lengths[1]
            path = self._paths[size][lengths].get((to >> down << down, since >> up << up))
            if path is not None:
                return path
        return None
