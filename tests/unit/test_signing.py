"""Signatures: what is signed cannot be changed, what is old or seen before is refused, others read what we write."""

from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import AuthError
from smokemesh.wire import signing
from smokemesh.wire.signing import Replays, Verified, sign_request, sign_response, verify_request, verify_response

SECRET = b"correct horse battery staple"
NOW = 1_700_000_000
URL = "https://master.example:8080/api/agent/v1/rounds"
BODY = b"\x82\xa5epoch\xa1e\xa7records\x90"


def secret_of(name: str) -> bytes | None:
    return {"boomer": SECRET, "常州": SECRET, 'a "b" c': SECRET}.get(name)


def request(method: str = "POST", url: str = URL, body: bytes = BODY, **more: str) -> dict[str, str]:
    return sign_request(method, url, body, key_id="boomer", secret=SECRET, created=NOW, nonce="n0nce", **more)


def verify(
    headers: dict[str, str], method: str = "POST", url: str = URL, body: bytes = BODY, now: float = NOW
) -> Verified:
    return verify_request(method, url, headers, body, secret_of=secret_of, now=now)


def test_reproduces_the_hmac_example_of_the_rfc() -> None:
    """RFC 9421 appendix B.2.5, secret of B.1.5."""
    secret = b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
    values = {"date": "Tue, 20 Apr 2021 02:07:55 GMT", "@authority": "example.com", "content-type": "application/json"}
    text = '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    mac = signing._mac(['"date"', '"@authority"', '"content-type"'], values, text, secret)
    assert mac == b64decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=")


def test_what_is_signed_is_verified_with_name_time_and_nonce() -> None:
    assert verify(request()) == Verified(key_id="boomer", created=NOW, nonce="n0nce")


def test_the_server_may_see_only_the_path() -> None:
    assert verify(request(), url="/api/agent/v1/rounds").key_id == "boomer"


@pytest.mark.parametrize("name", ["常州", 'a "b" c'])
def test_names_may_be_anything(name: str) -> None:
    headers = sign_request("GET", URL, b"", key_id=name, secret=SECRET, created=NOW, nonce="n")
    assert all(value.isascii() for value in headers.values())
    assert verify(headers, "GET", body=b"").key_id == name


def test_a_request_without_a_body_has_no_content_type() -> None:
    headers = request("GET", body=b"", if_none_match='"v1"')
    assert "Content-Type" not in headers
    assert verify(headers, "GET", body=b"").key_id == "boomer"


def test_header_names_in_any_case_and_split_over_lines() -> None:
    headers = {name.upper(): value for name, value in request().items()}
    headers["signature"] = "other=:AAAA:"
    assert verify(headers).key_id == "boomer"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "PUT"}, "another secret"),
        ({"url": URL + "/"}, "another secret"),
        ({"url": URL + "?dry=1"}, "another secret"),
        ({"body": BODY + b"\0"}, "changed on the way"),
        ({"body": b""}, "changed on the way"),
        ({"Content-Type": "text/plain"}, "another secret"),
        ({"Content-Digest": signing.content_digest(b"other")}, "another secret"),
        ({"If-None-Match": '"v9"'}, "does not cover if-none-match"),
        ({"Signature": "sm=:" + "A" * 43 + "=:"}, "another secret"),
        ({"Signature": "sm=:AAAA:"}, "no readable signature"),
        ({"Signature": "other=:" + "A" * 43 + "=:"}, "no readable signature"),
    ],
)
def test_any_change_is_refused(change: dict[str, str], message: str) -> None:
    headers = request()
    arguments = {name: change[name] for name in ("method", "url", "body") if name in change}
    headers |= {name: value for name, value in change.items() if name not in arguments}
    with pytest.raises(AuthError, match=message):
        verify(headers, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("created=1700000000", "created=1700000001", "another secret"),
        ('nonce="n0nce"', 'nonce="other"', "another secret"),
        (';nonce="n0nce"', "", "lacks one of"),
        ("created=1700000000;", "", "lacks one of"),
        ('keyid="boomer"', 'keyid="nobody"', "unknown here or signs with another secret"),
        ("hmac-sha256", "rsa-v1_5-sha256", "hmac-sha256 is needed"),
        (';alg="hmac-sha256"', "", "an unnamed algorithm"),
        (' "@path"', "", "does not cover @path"),
        (' "content-type"', "", "does not cover content-type"),
        ('"@path"', '"@path" "@path"', "a component twice"),
        ('"@path"', '"@path" "date"', "which the message does not have"),
        ("sm=", "other=", "no readable signature"),
        ("sm=", "sm=();created=1, sm=", "no readable signature"),
    ],
)
def test_any_change_of_the_parameters_is_refused(old: str, new: str, message: str) -> None:
    headers = request()
    assert old in headers["Signature-Input"]
    headers["Signature-Input"] = headers["Signature-Input"].replace(old, new)
    with pytest.raises(AuthError, match=message):
        verify(headers)


def test_without_a_signature() -> None:
    with pytest.raises(AuthError, match="the request is not signed"):
        verify({"Content-Digest": signing.content_digest(BODY)})


@pytest.mark.parametrize(("now", "word"), [(NOW + 301, "301 s behind"), (NOW - 301, "301 s ahead")])
def test_a_clock_too_far_off_names_both_clocks(now: int, word: str) -> None:
    with pytest.raises(
        AuthError, match=r"'boomer' shows 2023-11-14T22:13:20Z and the master's 2023-11-14T22:\d\d"
    ) as e:
        verify(request(), now=now)
    assert word in str(e.value)
    assert "NTP" in str(e.value)


@pytest.mark.parametrize("now", [NOW + 300, NOW - 300])
def test_a_clock_within_bounds(now: int) -> None:
    assert verify(request(), now=now).created == NOW


class TestAnswers:
    asked = request()

    def answer(self, status: int = 200, body: bytes = b"ok") -> dict[str, str]:
        return sign_response(
            status, body, request_signature=self.asked["Signature"], key_id="boomer", secret=SECRET, created=NOW
        )

    def check(
        self,
        headers: dict[str, str],
        status: int = 200,
        body: bytes = b"ok",
        asked: str = asked["Signature"],
        secret: bytes = SECRET,
    ) -> None:
        verify_response(status, headers, body, request_signature=asked, key_id="boomer", secret=secret)

    @pytest.mark.parametrize(("status", "body"), [(200, b"ok"), (304, b""), (401, b"no")])
    def test_verified(self, status: int, body: bytes) -> None:
        self.check(self.answer(status, body), status, body)

    def test_changed(self) -> None:
        other = request(url=URL + "?2")["Signature"]
        for change in ({"status": 204}, {"body": b"OK"}, {"asked": other}, {"secret": b"another"}):
            with pytest.raises(AuthError):
                self.check(self.answer(), **change)
        with pytest.raises(AuthError, match="belongs to another request"):
            self.check(self.answer() | {"Content-Type": "text/html"})

    def test_a_request_is_no_answer_and_an_answer_is_no_request(self) -> None:
        with pytest.raises(AuthError, match="does not cover"):
            self.check(request())
        with pytest.raises(AuthError, match="does not cover"):
            verify(self.answer())

    def test_not_signed(self) -> None:
        with pytest.raises(AuthError, match="the answer is not signed"):
            self.check({})


class TestReplays:
    def test_the_same_request_twice(self) -> None:
        replays, signer = Replays(), verify(request())
        replays.admit(signer, NOW)
        with pytest.raises(AuthError, match="a replay"):
            replays.admit(signer, NOW + 300)
        replays.admit(Verified("other", NOW, "n0nce"), NOW)

    def test_it_forgets_only_what_the_clock_check_refuses(self) -> None:
        replays = Replays(most_skew=10)
        for second in range(100):
            replays.admit(Verified("a", NOW + second, str(second)), NOW + second)
            assert len(replays) <= 11
        with pytest.raises(AuthError, match="a replay"):
            replays.admit(Verified("a", NOW + 90, "90"), NOW + 100)

    def test_memory_is_bounded_for_each_agent(self) -> None:
        replays = Replays(most_per_key=3)
        for nonce in "abc":
            replays.admit(Verified("a", NOW, nonce), NOW)
        with pytest.raises(AuthError, match="more than 3 requests in 300 s"):
            replays.admit(Verified("a", NOW, "d"), NOW)
        replays.admit(Verified("b", NOW, "d"), NOW)
        replays.admit(Verified("a", NOW + 301, "e"), NOW + 301)


@dataclass
class Message:
    """What the library reads of a request or an answer."""

    method: str = "POST"
    url: str = URL
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    request: Message
    status_code: int
    url: str = URL
    headers: dict[str, str] = field(default_factory=dict)


class Keys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> bytes:
        return SECRET

    resolve_private_key = resolve_public_key


class TestAgainstAnotherImplementation:
    """`http-message-signatures` reads what we write, and writes what we read."""

    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys())
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys())

    @pytest.mark.parametrize("url", [URL, URL + "?a=1&b=%20", "https://master.example"])
    def test_it_verifies_our_requests(self, url: str) -> None:
        message = Message(url=url, headers=request(url=url, if_none_match='"v1"'))
        (result,) = self.verifier.verify(message, max_age=None, body=BODY)
        assert result.parameters["keyid"] == "boomer"
        assert result.body == BODY
        message.url += "/x"
        with pytest.raises(InvalidSignature):
            self.verifier.verify(message, max_age=None, body=BODY)

    def test_it_verifies_our_answers(self) -> None:
        asked = Message(headers=request())
        answer = Answer(asked, 200)
        answer.headers = sign_response(
            200, b"ok", request_signature=asked.headers["Signature"], key_id="boomer", secret=SECRET, created=NOW
        )
        assert self.verifier.verify(answer, max_age=None, body=b"ok")

    def test_we_verify_its_requests(self) -> None:
        message = Message(headers={"Content-Type": "application/x"})
        self.signer.sign(
            message,
            key_id="boomer",
            created=datetime.fromtimestamp(NOW, UTC),
            expires=datetime.fromtimestamp(NOW, UTC) + timedelta(hours=1),
            nonce="n",
            label="sm",
            covered_component_ids=("content-type", "@authority", "@method", "@path", "@query"),
            body=BODY,
        )
        with pytest.raises(AuthError, match='covers "@authority", which the message does not have'):
            verify(message.headers)
        del message.headers["Signature"], message.headers["Signature-Input"], message.headers["Content-Digest"]
        self.signer.sign(
            message,
            key_id="boomer",
            created=datetime.fromtimestamp(NOW, UTC),
            nonce="n",
            label="sm",
            covered_component_ids=("content-type", "@method", "@path", "@query"),
            body=BODY,
        )
        assert verify(message.headers).nonce == "n"


hostile = st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")) | st.sampled_from(list(request().values()))


@given(st.dictionaries(st.sampled_from(["Signature", "Signature-Input", "Content-Digest", "Content-Type"]), hostile))
def test_hostile_headers_are_refused_and_never_crash(headers: dict[str, str]) -> None:
    if headers == {k: v for k, v in request().items() if k in headers} and len(headers) == 4:
        return
    with pytest.raises(AuthError):
        verify(headers)
    with pytest.raises(AuthError):
        verify_response(200, headers, b"", request_signature=request()["Signature"], key_id="boomer", secret=SECRET)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_one_flipped_bit_anywhere_is_refused(body: bytes, where: int) -> None:
    headers = request(body=body)
    name = list(headers)[where % len(headers)]
    value = bytearray(headers[name].encode())
    value[where // 7 % len(value)] ^= 1 << where % 7
    headers[name] = value.decode("latin-1")
    with pytest.raises(AuthError):
        verify(headers, body=body)
