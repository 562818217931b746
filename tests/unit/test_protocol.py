"""SmokePing's protocol: requests byte for byte as real slaves make them, and whatever else may come."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.errors import WireError
from smokemesh.smokeping import protocol
from smokemesh.smokeping.protocol import Call, call_of, form_fields

#: More than the usual number of examples, for a nightly run.
EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "0"))

SECRET = b"s3cret"
#: What a real 2.7.3 slave posts when it starts, and after a round.
FIRST = (
    b'--xYzZY\r\nContent-Disposition: form-data; name="slave"\r\n\r\nslave1\r\n'
    b'--xYzZY\r\nContent-Disposition: form-data; name="key"\r\n\r\n8a39301526a716a44b40a226c10e31e8\r\n'
    b'--xYzZY\r\nContent-Disposition: form-data; name="protocol"\r\n\r\n2\r\n'
    b'--xYzZY\r\nContent-Disposition: form-data; name="data"\r\n\r\n\r\n'
    b'--xYzZY\r\nContent-Disposition: form-data; name="config_time"\r\n\r\n0\r\n'
    b"--xYzZY--\r\n"
)
RESULTS = (
    b"/ssh/sshd\t1795212675\tU:3:U:U:U:U\n"
    b"/Local/LocalMachine\t1795212675\tU:0:4.1000000000e-05:9.0000000000e-06:2.6000000000e-05:4.1000000000e-05:"
    b"4.1000000000e-05:5.8000000000e-05\n"
    b"/Local/LocalMachine/Sub\t1795212675\tU:0:4.3000000000e-05:3.5000000000e-05:3.9000000000e-05:4.3000000000e-05:"
    b"4.5000000000e-05:4.6000000000e-05"
)
SMALLEST = (
    b"$VAR1={'__last'=>1700000000,'General'=>{'datadir'=>'/d'},'Database'=>{'step'=>300,'pings'=>3},'Probes'=>{'FPing'=>"
    b"{'binary'=>'/usr/bin/fping','mininterval'=>'0.01','protocol'=>'4'}},'Targets'=>{'probe'=>'FPing','nomasterpoll'=>"
    b"'no','A'=>{'probe'=>'FPing','nomasterpoll'=>'no','host'=>'127.0.0.1'},'B'=>{'probe'=>'FPing','host'=>'::1'},"
    b"'U'=>undef}};\n"
)
MULTIPART = "multipart/form-data; boundary=xYzZY"


def test_the_first_request_of_a_slave() -> None:
    assert len(FIRST) == 352
    assert protocol.post("slave1", SECRET, b"", 0) == (MULTIPART, FIRST)
    call = call_of(form_fields(MULTIPART, FIRST))
    assert call == Call("slave1", "8a39301526a716a44b40a226c10e31e8", "2", b"", 0)
    assert protocol.is_genuine(SECRET, call.data, call.key)


def test_results_of_a_slave() -> None:
    assert len(RESULTS) == 310
    kind, body = protocol.post("slave1", SECRET, RESULTS, 1795212641)
    assert (kind, len(body)) == (MULTIPART, 671)
    call = call_of(form_fields(kind, body))
    assert call == Call("slave1", "87295b17a3510aa25c14b69dd956c913", "2", RESULTS, 1795212641)
    assert protocol.is_genuine(SECRET, RESULTS, call.key)
    assert not protocol.is_genuine(SECRET, RESULTS, call.key.upper())
    assert not protocol.is_genuine(b"another", RESULTS, call.key)
    assert not protocol.is_genuine(SECRET, RESULTS, "\udcff")


def test_a_configuration_is_answered_as_slaves_demand() -> None:
    assert len(SMALLEST) == 349
    answer = protocol.configuration(SMALLEST, SECRET)
    assert (answer.status, answer.content_type, answer.body) == (200, "application/smokeping-config", SMALLEST)
    assert answer.headers == {"Protocol": "2", "Key": "8db2e0887563ecb0eb90a90fa107ce04"}


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (protocol.secrets_unreadable("/f", "Permission denied"), 503, "WARNING: Opening secrets file /f: Permission denied\n"),
        (protocol.no_secret("x"), 200, "WARNING: No secret found for slave x\n"),
        (protocol.wrong_protocol("x", "?"), 200, "WARNING: I expected protocol 2 and got ? from slave x. I will skip this.\n"),
        (protocol.unknown_slave("x"), 200, "WARNING: I don't know the slave x ignoring it"),
        (protocol.wrong_key("x", "k"), 200, "WARNING: Data from x was signed with k which does not match our expectation\n"),
        (protocol.nothing_assigned("x"), 200, "WARNING: No targets found for slave 'x'\n"),
        (protocol.stored(), 200, "OK\n"),
        (protocol.not_stored("the disk is full"), 503, "WARNING: the disk is full\n"),
    ],
)  # fmt: skip
def test_texts(answer: protocol.Answer, status: int, text: str) -> None:
    assert (answer.status, answer.body.decode(), answer.content_type, answer.headers) == (
        status,
        text,
        "text/plain",
        {},
    )


@pytest.mark.parametrize(
    ("kind", "body", "query"),
    [
        ("application/x-www-form-urlencoded", b"slave=s&data=%2Fa%09%FF%0A+x&config_time=7&protocol=2&key=k", b""),
        ("application/x-www-form-urlencoded; charset=utf-8", b"slave=s;data=%2Fa%09%FF%0A+x;config_time=7;protocol=2;key=k", b""),
        ("", b"", b"config_time=7&slave=s&key=k&protocol=2&data=%2Fa%09%FF%0A+x&slave=other"),
        ('Multipart/Form-Data; x=1; boundary="a b"',
         b'preamble\r\n--a b\r\ncontent-disposition: form-data; name=data\r\nX: y\r\n\r\n/a\t\xff\n x\r\n'
         b'--a b\r\nContent-Disposition: form-data; name="config_time"\r\n\r\n7\r\n--a b\r\nContent-Disposition: form-data;'
         b' name="protocol"\r\n\r\n2\r\n--a b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
         b'--a b\r\nContent-Disposition: form-data; name="slave"\r\n\r\ns\r\n--a b--', b"slave=not"),
    ],
)  # fmt: skip
def test_other_forms_of_a_request(kind: str, body: bytes, query: bytes) -> None:
    assert call_of(form_fields(kind, body, query)) == Call("s", "k", "2", b"/a\t\xff\n x", 7)


def test_a_request_without_a_slave_is_a_persons() -> None:
    assert call_of(form_fields("", b"", b"target=A.B&displaymode=n")) is None
    assert call_of(form_fields("", b"", b"slave=&target=A.B")) is None
    assert call_of({"slave": b"x"}) == Call("x", "", "?", b"", 0)


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("multipart/form-data", FIRST, "names no boundary"),
        (MULTIPART, FIRST[:-8], "cut off"),
        (MULTIPART, FIRST.replace(b'; name="key"', b""), "has no name"),
        (MULTIPART, b"--xYzZY\r\n" * 100 + FIRST, "more than 32 fields"),
        ("application/x-www-form-urlencoded", b"a=1&" * 100, "more than 32 fields"),
        (MULTIPART, FIRST.replace(b"slave1", b"s" * 2000), "field slave has more than 1024 bytes"),
    ],
)
def test_wrong_requests(kind: str, body: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        call_of(form_fields(kind, body))


def test_secrets() -> None:
    file = b"# comment\nslave1: no\nslave10:ten\nslave1:one more\r\nslave1:two\nv\xe4x:latin\nempty:\n"
    assert protocol.find_secret(file, "slave1") == b"one"
    assert protocol.find_secret(file, "slave10") == b"ten"
    assert protocol.find_secret(file, "v\udce4x") == b"latin"
    for name in ("slave", "slav.1", "empty", "", "x"):
        assert protocol.find_secret(file, name) is None


def test_what_answers_mean_to_a_slave() -> None:
    def read(answer: protocol.Answer, **headers: str) -> protocol.Reply:
        given = {"Content-Type": answer.content_type} | answer.headers | headers
        return protocol.read_answer(answer.status, given, answer.body, SECRET)

    assert read(protocol.stored()) == protocol.Reply(True)
    assert protocol.read_answer(200, {"content-type": "text/plain; charset=utf-8"}, b"OK", SECRET) == protocol.Reply(
        True
    )
    assert read(protocol.configuration(SMALLEST, SECRET)) == protocol.Reply(True, SMALLEST)
    assert read(protocol.nothing_assigned("x")).delivered
    lost = [
        (read(protocol.wrong_key("x", "k")), "was signed with k"),
        (read(protocol.not_stored("full")), "status 503: WARNING: full"),
        (read(protocol.configuration(SMALLEST, b"another")), "not signed with our secret"),
        (read(protocol.configuration(SMALLEST, SECRET), Protocol="3"), "protocol 3"),
        (protocol.read_answer(302, {}, b"", SECRET), "status 302: nothing"),
        (protocol.read_answer(200, {}, b"<html>\n\x1b[2J OK", SECRET), "the master said: <html> \ufffd[2J OK"),
    ]
    for reply, why in lost:
        assert not reply.delivered
        assert reply.dump is None
        assert why in reply.problem


def test_the_boundary_does_not_occur_in_the_data() -> None:
    data = b"xYzZY\r\n--xYzZY--\r\nxYzZY1"
    call = call_of(form_fields(*protocol.post("s", SECRET, data, 1)))
    assert call is not None
    assert call.data == data


@given(st.binary(max_size=300), st.text("abcxyz-_.", min_size=1, max_size=20), st.integers(0, 2**40))
@settings(max_examples=EXAMPLES or 150)
def test_what_is_posted_is_read(data: bytes, slave: str, when: int) -> None:
    call = call_of(form_fields(*protocol.post(slave, SECRET, data, when)))
    assert call == Call(slave, protocol.signature(SECRET, data), "2", data, when)


PIECES = st.sampled_from([
    b"--xYzZY", b"\r\n", b"--", b'Content-Disposition: form-data; name="slave"', b"\r\n\r\n", b'name="data"', b"=", b"&", b"%", b"%ff", b";", b"x",
])  # fmt: skip
BODIES = st.binary(max_size=80) | st.lists(PIECES, max_size=20).map(b"".join)


@given(
    BODIES,
    BODIES,
    st.sampled_from([MULTIPART, "application/x-www-form-urlencoded", "text/plain"]) | st.text(max_size=60),
)
@settings(max_examples=EXAMPLES or 300)
def test_any_request(body: bytes, query: bytes, kind: str) -> None:
    said = ""
    try:
        call_of(form_fields(kind, body, query))
    except WireError as error:
        said = str(error)
    assert said.isprintable()


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["Content-Type", "Key", "Protocol"]), st.text(max_size=30)),
    st.binary(max_size=60),
)
@settings(max_examples=EXAMPLES or 100)
def test_any_answer(status: int, headers: dict[str, str], body: bytes) -> None:
    reply = protocol.read_answer(status, headers, body, SECRET)
    assert reply.problem.isprintable()
    assert reply.dump is None
