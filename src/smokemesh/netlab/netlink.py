"""Links, addresses, routes and neighbours of the network namespace a `Netlink` was opened in (rtnetlink(7))."""

import os
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack, unpack_from
from types import TracebackType
from typing import Self

Address = IPv4Address | IPv6Address

_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE, _NEW_NEIGHBOUR = 16, 20, 24, 28
_ERROR = 2
_UP = 1
_NO_DUPLICATE_ADDRESS_DETECTION = 0x02
_PERMANENT = 0x80


def _attribute(kind: int, data: bytes) -> bytes:
    return pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


class Netlink:
    """Asks the kernel, waits for its word, raises OSError when it refuses."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def up(self, link: str, queue: int = 0) -> None:
        """Bring a link up; `queue` is how many packets may wait in it."""
        length = _attribute(13, pack("=I", queue)) if queue else b""
        self._link(_index(link), length)

    def veth(self, link: str, mac: bytes, peer: str, peer_mac: bytes, peer_namespace: int) -> None:
        """A pair of links, the other end in the namespace behind a file descriptor."""
        other = pack("=BBHiII", 0, 0, 0, 0, 0, 0) + _text(3, peer) + _attribute(1, peer_mac)
        other += _attribute(28, pack("=I", peer_namespace))
        info = _text(1, "veth") + _attribute(2, _attribute(1, other))
        self._link(0, _text(3, link) + _attribute(1, mac) + _attribute(18, info), _CREATE | _EXCLUSIVE)

    def address(self, link: str, address: Address) -> None:
        """Give a link an address, alone in its network."""
        flags, packed = _NO_DUPLICATE_ADDRESS_DETECTION, address.packed
        body = pack("=BBBBI", _family(address), len(packed) * 8, flags, 0, _index(link))
        self._ask(_NEW_ADDRESS, _CREATE | _EXCLUSIVE, body + _attribute(1, packed) + _attribute(2, packed))

    def route(self, link: str, destination: Address, length: int, gateway: str = "") -> None:
        """Send a network's packets out of a link, to a gateway behind it if one is given."""
        scope, onlink = (0, 4) if gateway else (253, 0)
        scope = scope if destination.version == 4 else 0
        body = pack("=BBBBBBBBI", _family(destination), length, 0, 0, 254, 3, scope, 1, onlink)
        body += _attribute(1, destination.packed) if length else b""
        body += _attribute(4, pack("=I", _index(link)))
        body += _attribute(5, ip_address(gateway).packed) if gateway else b""
        self._ask(_NEW_ROUTE, _CREATE | _EXCLUSIVE, body)

    def neighbour(self, link: str, address: Address, mac: bytes) -> None:
        """Know for ever who has an address, so that no packet waits for ARP."""
        body = pack("=BxxxiHBB", _family(address), _index(link), _PERMANENT, 0, 0)
        self._ask(_NEW_NEIGHBOUR, _CREATE | _EXCLUSIVE, body + _attribute(1, address.packed) + _attribute(2, mac))

    def _link(self, index: int, attributes: bytes, flags: int = 0) -> None:
        up = 0 if flags else _UP
        self._ask(_NEW_LINK, flags, pack("=BBHiII", 0, 0, 0, index, up, up) + attributes)

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(pack("=IHHII", 16 + len(body), kind, flags | _REQUEST | _ACK, 1, 0) + body)
        answer = self._socket.recv(65536)
        error = -unpack_from("=i", answer, 16)[0] if unpack_from("=H", answer, 4)[0] == _ERROR else 0
        if error:
            raise OSError(error, os.strerror(error))


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _index(link: str) -> int:
    return socket.if_nametoindex(link)
