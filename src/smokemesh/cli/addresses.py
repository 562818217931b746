"""The addresses of this host, as the kernel lists them (rtnetlink(7)): what `smokemesh up` measures unasked."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_GETADDR: Final = 22
_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_ERROR, _DONE, _NEWADDR = 2, 3, 20
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
#: Not ours yet, or not ours after all (duplicate address detection).
_TENTATIVE: Final = 0x40 | 0x08
_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address of this host and the interface that has it."""

    interface: str
    address: IPv4Address | IPv6Address


def own_addresses() -> list[OwnAddress]:
    """Every address of this host that it can reach without naming an interface, in the kernel's order, each once."""
    found: dict[IPv4Address | IPv6Address, OwnAddress] = {}
    for one in _read():
        if not one.address.is_link_local:
            found.setdefault(one.address, one)
    return list(found.values())


def _read() -> Iterator[OwnAddress]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))
        netlink.send(_HEADER.pack(_HEADER.size + _ADDRESS.size, _GETADDR, _DUMP, 1, 0) + bytes(_ADDRESS.size))
        while True:
            data = netlink.recv(65_536)
            for kind, body in _messages(data):
                if kind in (_DONE, _ERROR):
                    return
                if kind == _NEWADDR:
                    yield from _address(body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max(_aligned(length), _HEADER.size)


def _address(body: bytes) -> Iterator[OwnAddress]:
    family, _, flags, _, index = _ADDRESS.unpack_from(body)
    attributes = dict(_attributes(body[_ADDRESS.size :]))
    # On a point-to-point link IFA_ADDRESS is the other end, which is not ours; IFA_LOCAL is.
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    if packed and not flags & _TENTATIVE and family in (socket.AF_INET, socket.AF_INET6):
        try:
            name = socket.if_indextoname(index)
        except OSError:  # it went away meanwhile
            return
        yield OwnAddress(name, ip_address(packed))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += max(_aligned(length), _ATTRIBUTE.size)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
