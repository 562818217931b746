"""What is said of an alert, and SmokePing's mail templates."""

import math
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.errors import ConfigError
from smokemesh.master.notify import template, words
from smokemesh.master.notify.mail import compose, split_place
from smokemesh.master.notify.sending import NotDelivered, Sending
from smokemesh.model.alert import Alerting, Mail, Notice

NANO = 10**9
NOTICE = Notice(
    incident=7, alert="someloss", what="raised", target="/World/Shop", title="Our shop", host="shop.example.net",
    agents=("local",), time=1_790_000_060 * NANO, begun=1_790_000_000 * NANO, loss=(0.0, 0.0, 0.2),
    rtt=(0.0104, math.nan, 0.0116), pattern=">0%,*12*,>0%", comment="loss 3 times in a row",
)  # fmt: skip
ALERTING = Alerting(url="https://smoke.example.net/", mail=Mail(sender="smoke@example.net"))


def told(**changes: object) -> Notice:
    return replace(NOTICE, **changes)  # type: ignore[arg-type]


def test_histories_read_as_smokeping_writes_them() -> None:
    assert words.loss_text(NOTICE) == "loss: 0%, 0%, 20%"
    assert words.rtt_text(NOTICE) == "rtt: 10ms, U, 12ms"
    assert words.loss_text(told(from_start=True, loss=(1.0,))) == "loss: S, 100%"


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        (("local",), "World.Shop"),
        (("slave1",), "World.Shop [from slave1]"),
        (("local", "a", "b"), "World.Shop [from a, b]"),
        ((), "World.Shop"),
    ],
)
def test_the_path_has_dots_and_says_from_where(agents: tuple[str, ...], expected: str) -> None:
    assert words.line(told(agents=agents)) == expected


@pytest.mark.parametrize(
    ("what", "expected"), [("raised", "was raised"), ("cleared", "was cleared"), ("active", "is active")]
)
def test_what_happened(what: str, expected: str) -> None:
    assert words.what(told(what=what)) == expected


def test_it_says_since_when_how_bad_and_from_where() -> None:
    said = words.sentence(told(agents=("oslo",)))
    assert said == (
        "someloss was raised on World.Shop [from oslo]: 20 % loss, median 11.6 ms, "
        "since 2026-09-21 14:13:20 UTC, 1 min, seen from oslo"
    )
    assert "from 2026-09-21 14:13:20 UTC to 2026-09-21 14:14:20 UTC, 1 min" in words.sentence(told(what="cleared"))
    assert "(worst of the last 3 rounds: 100 % loss, median 11.6 ms)" in words.sentence(told(loss=(0.0, 1.0, 0.2)))


def test_links_lead_to_pages_and_are_left_out_without_an_address() -> None:
    assert (
        words.target_url(told(target="/a/日本"), ALERTING) == "https://smoke.example.net/targets/a/%E6%97%A5%E6%9C%AC"
    )
    assert words.incident_url(NOTICE, ALERTING) == "https://smoke.example.net/incidents/7"
    assert words.target_url(NOTICE, Alerting()) == words.incident_url(NOTICE, Alerting()) == ""


# ---------------------------------------------------------------- templates

OLD = "Subject: [Smoke] <##ALERT##> <##WHAT##> on <##LINE##>\nX-Level: <##PAT##>\n\n<##STAMP##>\n<##URL##>\n<##LOSS##>\n<##RTT##>\n<##COMMENT##> <##NONE##>\n"


def test_every_key_of_smokeping_is_filled_in() -> None:
    filled = template.fill(OLD, NOTICE, ALERTING)
    assert filled.headers == (
        ("Subject", "[Smoke] someloss was raised on World.Shop"),
        ("X-Level", ">0%,*12*,>0%"),
    )
    assert filled.body == (
        f"{words.stamp(NOTICE.time)}\nhttps://smoke.example.net/targets/World/Shop\n"
        "loss: 0%, 0%, 20%\nrtt: 10ms, U, 12ms\nloss 3 times in a row <##NONE##>\n"
    )


def test_what_a_comment_says_is_not_taken_for_a_key() -> None:
    assert "<##URL##>" in template.fill(OLD, told(comment="<##URL##>"), ALERTING).body


def test_folded_headers_windows_lines_and_html() -> None:
    text = "Subject: a\r\n <##ALERT##>\r\nContent-Type: text/html; charset=x\r\nTo: spy@example.net\r\n\r\n<b><##PAT##></b>\r\n"
    filled = template.fill(text, NOTICE, ALERTING)
    assert filled.headers == (("Subject", "a someloss"),)
    assert filled.html
    assert filled.body == "<b>&gt;0%,*12*,&gt;0%</b>\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must begin with header lines"),
        ("\nSubject: x\n\nbody", "must begin with header lines"),
        ("hello there\n\nbody", "t.mail:1: mail template: 'hello there' is no header line"),
        ("X-A: b\n\nbody", "no Subject:"),
        ("Subject: x\nbody begins\n\n", "t.mail:2:"),
    ],
)
def test_what_is_no_template_is_told_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        template.fill(text, NOTICE, ALERTING, "t.mail")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- mails


def sending(notice: Notice, alerting: Alerting = ALERTING) -> Sending:
    return Sending(notice=notice, to="a@x.example", receiver=None, alerting=alerting, key="k1", now=notice.time)


def test_a_mail_is_whole_and_its_other_letters_are_encoded() -> None:
    raw = compose(
        sending(told(comment="丢包 ≥ 3", alert="größe", title="上海")), ["a@x.example", "Ops <b@x.example>"]
    ).as_bytes()
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    read = message_from_bytes(raw, policy=default)
    assert read["Subject"] == "[SmokeAlert] größe was raised on World.Shop"
    assert read["To"] == "a@x.example, Ops <b@x.example>"
    assert read["From"] == "smoke@example.net"
    assert read["Message-ID"].startswith("<k1@")
    assert read["Date"] == "Mon, 21 Sep 2026 14:14:20 +0000"
    for part in ("丢包 ≥ 3", "上海 (shop.example.net)", "20 % loss", "since 2026-09-21 14:13:20 UTC", "Seen by local"):
        assert part in read.get_content()


@settings(max_examples=150)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_nothing_a_name_says_becomes_a_header(alert: str, title: str, comment: str) -> None:
    notice = told(alert=f"{alert}\r\nBcc: spy@example.net", target="/a\nX-Evil: 1", title=title, comment=comment)
    raw = compose(sending(notice), ["a@x.example"]).as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))}
    assert names == {
        b"from", b"to", b"date", b"message-id", b"auto-submitted", b"subject", b"content-type",
        b"content-transfer-encoding", b"mime-version",
    }  # fmt: skip


@pytest.mark.parametrize("address", ["a@x.example\nBcc: b@x.example", "a@x.example\r\n\r\nhello"])
def test_an_address_cannot_smuggle_lines(address: str) -> None:
    with pytest.raises(NotDelivered) as caught:
        compose(sending(NOTICE), [address])
    assert caught.value.final


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail.example", ("mail.example", 25)),
        ("mail.example:587", ("mail.example", 587)),
        ("[::1]:26", ("::1", 26)),
        ("[::1]", ("::1", 25)),
        ("::1", ("::1", 25)),
        ("192.0.2.1:25", ("192.0.2.1", 25)),
    ],
)
def test_places_of_servers(text: str, expected: tuple[str, int]) -> None:
    assert split_place(text, 25) == expected
