"""The bytes a made-up host answers with."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.netlab import packets

SOURCE4, HOST4, ROUTER4 = b"\x0a\0\0\1", b"\xc0\0\2\7", b"\xc0\0\2\1"
SOURCE6, HOST6, ROUTER6 = (bytes.fromhex("fd00") + bytes([0] * 13 + [n]) for n in (1, 7, 9))


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def echo(version: int, payload: bytes) -> bytes:
    """An echo request as a kernel sends it."""
    kind = 8 if version == 4 else 128
    message = pack("!BBHHH", kind, 0, 0, 0x1234, 7) + payload
    if version == 4:
        message = message[:2] + pack("!H", ones_complement_sum(message) ^ 0xFFFF) + message[4:]
        head = pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 1, 0x4000, 64, 1, 0) + SOURCE4 + HOST4
        return head + message
    pseudo = SOURCE6 + HOST6 + pack("!II", len(message), 58)
    message = message[:2] + pack("!H", ones_complement_sum(pseudo + message) ^ 0xFFFF) + message[4:]
    return pack("!IHBB", 6 << 28, len(message), 58, 64) + SOURCE6 + HOST6 + message


@given(st.binary(max_size=200))
def test_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    assert packets.checksum(data) == ones_complement_sum(data) ^ 0xFFFF


@pytest.mark.parametrize("version", [4, 6])
@given(payload=st.binary(max_size=100))
def test_an_echo_is_answered_with_its_own_payload(version: int, payload: bytes) -> None:
    request = echo(version, payload)
    header = packets.read_header(request)
    assert header is not None
    assert packets.is_echo_request(request, header)
    assert packets.is_intact(request, header)
    reply = packets.echo_reply(request, header)
    back = packets.read_header(reply)
    assert back is not None
    assert (back.source, back.destination) == (header.destination, header.source)
    assert packets.is_intact(reply, back)
    assert reply[back.start] == (0 if version == 4 else 129)
    assert reply[back.start + 4 :] == request[header.start + 4 :]
    if version == 4:
        assert ones_complement_sum(reply[:20]) == 0xFFFF


@pytest.mark.parametrize("version", [4, 6])
def test_damage_is_seen_by_the_checksum_only_when_it_is_stale(version: int) -> None:
    request = echo(version, b"payload")
    for stale in (True, False):
        damaged = packets.corrupted(request, stale)
        header = packets.read_header(damaged)
        assert header is not None
        assert damaged[-1] != request[-1]
        assert packets.is_intact(damaged, header) is not stale


@pytest.mark.parametrize(("version", "router", "kind", "room"), [(4, ROUTER4, 3, 576), (6, ROUTER6, 1, 1280)])
def test_an_error_quotes_the_packet(version: int, router: bytes, kind: int, room: int) -> None:
    request = echo(version, bytes(2000))
    header = packets.read_header(request)
    assert header is not None
    error = packets.icmp_error(request, header, router, kind, 1)
    back = packets.read_header(error)
    assert back is not None
    assert (back.source, back.destination) == (router, header.source)
    assert packets.is_intact(error, back)
    assert error[back.start : back.start + 2] == bytes([kind, 1])
    assert request.startswith(error[back.start + 8 :])
    assert len(error) == room


@pytest.mark.parametrize("version", [4, 6])
def test_a_damaged_request_is_noticed(version: int) -> None:
    request = bytearray(echo(version, b"payload"))
    request[-1] ^= 1
    header = packets.read_header(bytes(request))
    assert header is not None
    assert not packets.is_intact(bytes(request), header)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    header = packets.read_header(data)
    if header is not None and packets.is_echo_request(data, header):
        packets.is_intact(data, header)
        packets.echo_reply(data, header)
        packets.corrupted(data, stale=False)
