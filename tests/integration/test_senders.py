"""Every sender against a real receiver: SMTP and HTTP servers on loopback, programs on this host."""

import hashlib
import hmac
import json
import socketserver
import threading
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from tests.integration.receivers import mail_server, make_certificate, server_context, web_server

from smokemesh.master.notify import alertmanager, mail, pager, program, slack, webhook
from smokemesh.master.notify.sending import NotDelivered, Sending
from smokemesh.model.alert import Alerting, Mail, Notice, Receiver

NANO = 10**9
NOTICE = Notice(
    incident=7, alert="someloss", what="raised", target="/World/Shop", title="Our <shop>", host="shop.example.net",
    agents=("oslo",), time=1_790_000_060 * NANO, begun=1_790_000_000 * NANO, loss=(0.0, 0.2), rtt=(0.0104, float("nan")),
    pattern=">0%", comment="丢包 & more", detail="20 % loss in 2 rounds",
)  # fmt: skip


def sending(to: str = "ops", receiver: Receiver | None = None, notice: Notice = NOTICE, **alerting: object) -> Sending:
    return Sending(
        notice=notice, to=to, receiver=receiver, key="key1", now=1_790_000_061 * NANO,
        alerting=Alerting(url="https://smoke.example.net", **alerting),  # type: ignore[arg-type]
    )  # fmt: skip


def private(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


# ---------------------------------------------------------------- mail


def test_one_mail_goes_to_all_addresses() -> None:
    with mail_server() as smtp:
        mail.send(sending("a@x.example, b@x.example", mail=Mail(servers=(smtp.address,), sender="me@x.example")))
        [got] = smtp.mails
    assert (got.sender, got.to) == ("me@x.example", ["a@x.example", "b@x.example"])
    read = message_from_bytes(got.content, policy=default)
    assert read["Subject"] == "[SmokeAlert] someloss was raised on World.Shop [from oslo]"
    assert "丢包 & more" in read.get_content()
    assert "https://smoke.example.net/incidents/7" in read.get_content()


def test_a_template_of_the_alert_goes_before_that_of_all(tmp_path: Path) -> None:
    own, all_ = tmp_path / "own", tmp_path / "all"
    own.write_bytes("Subject: caf\xe9 <##ALERT##>\n\n<##RTT##>\n".encode("latin-1"))
    all_.write_text("Subject: all\n\nx\n")
    with mail_server() as smtp:
        notice = replace(NOTICE, template=str(own))
        mail.send(sending("a@x.example", notice=notice, mail=Mail(servers=(smtp.address,)), template=str(all_)))
        read = message_from_bytes(smtp.mails[0].content, policy=default)
    assert (read["Subject"], read.get_content().strip()) == ("café someloss", "rtt: 10ms, U")


def test_a_template_that_cannot_be_used_keeps_no_alert_back(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("hello\n")
    for file, told in ((str(wrong), "'hello' is no header line"), (str(tmp_path / "none"), "No such file")):
        with mail_server() as smtp:
            mail.send(sending("a@x.example", mail=Mail(servers=(smtp.address,)), template=file))
            read = message_from_bytes(smtp.mails[0].content, policy=default)
        assert read["Subject"].startswith("[SmokeAlert] someloss")
        assert told in read.get_content()


def test_servers_are_tried_in_order() -> None:
    with mail_server(answers={"GREETING": "421 not now"}) as tired, mail_server() as well:
        answer = mail.send(sending("a@x.example", mail=Mail(servers=("127.0.0.1:1", tired.address, well.address))))
        assert answer.startswith(well.address)
        assert len(well.mails) == 1


def test_when_no_server_takes_it_each_says_why() -> None:
    with mail_server(answers={"GREETING": "421 not now"}) as tired:
        with pytest.raises(NotDelivered) as caught:
            mail.send(sending("a@x.example", mail=Mail(servers=("127.0.0.1:1", tired.address))))
        assert str(caught.value) == f"127.0.0.1:1: Connection refused; {tired.address}: 421 not now"
        assert not caught.value.final


def test_starttls_and_a_password(tmp_path: Path) -> None:
    certificate, both = make_certificate(tmp_path)
    secret = private(tmp_path / "password", "open sesame\n")
    with mail_server(context=server_context(both), password="open sesame") as smtp:
        how = Mail(servers=(smtp.address,), security="starttls", user="me", password_file=secret, ca_file=certificate)
        mail.send(sending("a@x.example", mail=how))
        assert [(got.user, got.private) for got in smtp.mails] == [("me", True)]
        wrong = private(tmp_path / "wrong", "guess")
        with pytest.raises(NotDelivered, match="535 5.7.8 wrong password"):
            mail.send(sending("a@x.example", mail=replace(how, password_file=wrong)))
        with pytest.raises(NotDelivered, match="certificate is not trusted"):
            mail.send(sending("a@x.example", mail=replace(how, ca_file="")))
        with pytest.raises(NotDelivered, match="lets others read the secret; run: chmod 600"):
            mail.send(sending("a@x.example", mail=replace(how, password_file=private(tmp_path / "open", "x", 0o644))))


def test_tls_from_the_start(tmp_path: Path) -> None:
    certificate, both = make_certificate(tmp_path)
    with mail_server(context=server_context(both), from_start=True) as smtp:
        mail.send(sending("a@x.example", mail=Mail(servers=(smtp.address,), security="tls", ca_file=certificate)))
        assert smtp.mails[0].private


def test_nothing_is_sent_in_the_clear_where_privacy_was_asked_for() -> None:
    with mail_server() as smtp:
        with pytest.raises(NotDelivered, match="STARTTLS"):
            mail.send(sending("a@x.example", mail=Mail(servers=(smtp.address,), security="starttls")))
        assert smtp.mails == []


@pytest.mark.parametrize(
    ("answers", "final", "left", "took"),
    [
        ({"b@x.example": "451 later"}, False, "b@x.example", ["a@x.example"]),
        ({"b@x.example": "550 nobody"}, True, "", ["a@x.example"]),
        ({"a@x.example": "550 no", "b@x.example": "550 no"}, True, "", None),
        ({"a@x.example": "450 no", "b@x.example": "550 no"}, False, "", None),
        ({"DATA": "554 spam"}, True, "", None),
        ({"DATA": "452 disk full"}, False, "", None),
    ],
)
def test_who_is_refused(answers: dict[str, str], final: bool, left: str, took: list[str] | None) -> None:
    with mail_server(answers=answers) as smtp:
        with pytest.raises(NotDelivered) as caught:
            mail.send(sending("a@x.example, b@x.example", mail=Mail(servers=(smtp.address,))))
        assert (caught.value.final, caught.value.left) == (final, left)
        assert [got.to for got in smtp.mails] == ([took] if took else [])


def test_without_a_server_sendmail_takes_it(tmp_path: Path) -> None:
    fake = tmp_path / "sendmail"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\ncat > {tmp_path}/mail\n')
    fake.chmod(0o755)
    mail.send(sending("a@x.example, b@x.example", mail=Mail(sendmail=str(fake), sender="Me <me@x.example>")))
    assert (tmp_path / "words").read_text().split() == ["-i", "-f", "me@x.example", "--", "a@x.example", "b@x.example"]
    assert message_from_bytes((tmp_path / "mail").read_bytes(), policy=default)["To"] == "a@x.example, b@x.example"
    fake.write_text("#!/bin/sh\necho queue is full >&2\nexit 75\n")
    with pytest.raises(NotDelivered, match="ended with status 75: queue is full"):
        mail.send(sending("a@x.example", mail=Mail(sendmail=str(fake))))
    with pytest.raises(NotDelivered, match="No such file"):
        mail.send(sending("a@x.example", mail=Mail(sendmail=str(tmp_path / "none"))))


# ---------------------------------------------------------------- programs


@pytest.fixture
def recorder(tmp_path: Path) -> str:
    """A program that writes down how it was called, one argument a line."""
    made = tmp_path / "page me"
    made.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/argv\necho "$SMOKEMESH_INCIDENT $SMOKEMESH_AGENTS" > {tmp_path}/env\necho paged\n'
    )
    made.chmod(0o755)
    return str(made)


@pytest.mark.parametrize(("what", "sixth"), [("raised", "1"), ("cleared", "0")])
def test_a_program_gets_smokepings_arguments(recorder: str, tmp_path: Path, what: str, sixth: str) -> None:
    output = program.send(sending(f"|{recorder}", compat="smokeping", notice=replace(NOTICE, what=what)))
    assert (tmp_path / "argv").read_text().splitlines() == [
        "someloss", "World.Shop [from oslo]", "loss: 0%, 20%", "rtt: 10ms, U", "shop.example.net", sixth,
    ]  # fmt: skip
    assert (tmp_path / "env").read_text() == "7 oslo\n"
    assert output == "paged"


def test_without_edges_there_is_no_sixth_argument(recorder: str, tmp_path: Path) -> None:
    notice = replace(NOTICE, what="active", edge=False)
    program.send(sending(f"|{recorder}", compat="smokeping", notice=notice))
    assert len((tmp_path / "argv").read_text().splitlines()) == 5


def test_words_after_the_program_are_arguments_where_smokeping_is_not_imitated(recorder: str, tmp_path: Path) -> None:
    program.send(sending(f"|'{recorder}' --to 'the ops'"))
    assert (tmp_path / "argv").read_text().splitlines()[:3] == ["--to", "the ops", "someloss"]
    with pytest.raises(NotDelivered, match="No such file"):
        program.send(sending(f"|{recorder} --to", compat="smokeping"))
    named = Receiver(name="ops", type="program", command=f"'{recorder}' -x")
    program.send(sending("ops", named, compat="smokeping"))
    assert (tmp_path / "argv").read_text().startswith("-x\n")


def test_no_shell_reads_what_a_name_says(recorder: str, tmp_path: Path) -> None:
    notice = replace(NOTICE, alert="$(touch /tmp/x); `id`", host="a\0b\nc")
    program.send(sending(f"|{recorder}", compat="smokeping", notice=notice))
    words = (tmp_path / "argv").read_text()
    assert words.startswith("$(touch /tmp/x); `id`\n")
    assert "ab\nc\n" in words


def test_a_program_that_fails_is_run_again_but_not_where_smokeping_is_imitated(tmp_path: Path) -> None:
    made = tmp_path / "fails"
    made.write_text("#!/bin/sh\necho no modem >&2\nexit 3\n")
    made.chmod(0o755)
    with pytest.raises(NotDelivered, match="ended with status 3: no modem") as caught:
        program.send(sending(f"|{made}"))
    assert not caught.value.final
    assert "no modem" in program.send(sending(f"|{made}", compat="smokeping"))


def test_a_program_that_hangs_is_killed_and_one_in_the_background_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "slow"
    made.write_text("#!/bin/sh\nsleep 60 &\necho begun\n")
    made.chmod(0o755)
    assert program.send(sending(f"|{made}")) == "begun"
    monkeypatch.setattr(program, "PATIENCE", 0.2)
    made.write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(NotDelivered, match="did not end within 0 s and was killed"):
        program.send(sending(f"|{made}"))


# ---------------------------------------------------------------- HTTP


def test_a_webhook_gets_everything_signed(tmp_path: Path) -> None:
    secret = private(tmp_path / "secret", "0123456789\n")
    with web_server() as web:
        hook = Receiver(
            name="ops", type="webhook", url=f"{web.url}/hook", headers={"X-Site": "lab"}, secret_file=secret
        )
        webhook.send(sending(receiver=hook))
        [got] = web.posts
    assert (got.path, got.headers["x-site"], got.headers["idempotency-key"]) == ("/hook", "lab", "key1")
    signed = hmac.new(b"0123456789", got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-smokemesh-signature"] == f"sha256={signed}"
    told = json.loads(got.body)
    assert told["event"] == "raised"
    assert told["incident"] == {
        "id": 7, "begun": "2026-09-21T14:13:20Z", "ended": None, "detail": "20 % loss in 2 rounds",
        "url": "https://smoke.example.net/incidents/7",
    }  # fmt: skip
    assert (told["loss"], told["rtt"], told["agents"]) == ([0.0, 0.2], [0.0104, None], ["oslo"])


def test_a_webhook_behind_tls_is_trusted_by_its_own_authority(tmp_path: Path) -> None:
    certificate, both = make_certificate(tmp_path)
    with web_server(server_context(both)) as web:
        hook = Receiver(name="ops", type="webhook", url=web.url, ca_file=certificate)
        assert webhook.send(sending(receiver=hook)) == "HTTP 200 ok"
        with pytest.raises(NotDelivered, match="certificate is not trusted"):
            webhook.send(sending(receiver=replace(hook, ca_file="")))


@pytest.mark.parametrize(
    ("status", "headers", "final", "wait"),
    [
        (500, {}, False, 0.0),
        (503, {"Retry-After": "7"}, False, 7.0),
        (429, {"Retry-After": "99999999"}, False, 3600.0),
        (401, {}, False, 0.0),
        (400, {}, True, 0.0),
        (410, {}, True, 0.0),
        (302, {"Location": "http://127.0.0.1:1/"}, False, 0.0),
    ],
)
def test_what_an_answer_means(status: int, headers: dict[str, str], final: bool, wait: float) -> None:
    with web_server() as web:
        web.answer = lambda _: (status, headers, b"no\n\x1b[31m thanks" + b"x" * 9000)
        with pytest.raises(NotDelivered, match=f"HTTP {status}") as caught:
            webhook.send(sending(receiver=Receiver(name="ops", type="webhook", url=f"{web.url}/TOKEN")))
    assert (caught.value.final, caught.value.wait) == (final, wait)
    assert "TOKEN" not in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_nobody_there_and_a_secret_address(tmp_path: Path) -> None:
    hook = Receiver(
        name="ops", type="slack", url_file=private(tmp_path / "url", "http://127.0.0.1:1/services/T0/SECRET\n")
    )
    with pytest.raises(NotDelivered) as caught:
        slack.send(sending(receiver=hook))
    assert str(caught.value) == "http://127.0.0.1:1: nobody listens there"
    with pytest.raises(NotDelivered, match="does not begin with http"):
        slack.send(sending(receiver=Receiver(name="ops", type="slack", url="file:///etc/passwd")))


def test_a_stopping_master_does_not_wait_for_a_slow_receiver() -> None:
    release = threading.Event()
    with web_server() as web:
        web.answer = lambda _: (200, {}, b"late" if release.wait(10) else b"never")
        given = sending(receiver=Receiver(name="ops", type="webhook", url=web.url))
        threading.Timer(0.2, given.stop.set).start()
        with pytest.raises(NotDelivered, match="broken off"):
            webhook.send(given)
        release.set()


def test_slack_shows_state_colour_and_links() -> None:
    with web_server() as web:
        hook = Receiver(name="ops", type="slack", url=web.url)
        slack.send(sending(receiver=hook))
        slack.send(sending(receiver=hook, notice=replace(NOTICE, what="cleared")))
        raised, cleared = (json.loads(post.body) for post in web.posts)
    assert raised["text"].startswith("someloss was raised on World.Shop [from oslo]: 20 % loss")
    assert [one["attachments"][0]["color"] for one in (raised, cleared)] == ["#d4202a", "#1f9d3a"]
    text = json.dumps(raised, ensure_ascii=False)
    for part in (
        "*Our &lt;shop&gt;*",
        "since 2026-09-21 14:13:20 UTC",
        "oslo",
        "丢包 &amp; more",
        "|Incident>",
        "|Target>",
    ):
        assert part in text, part


def test_alertmanager_keeps_the_labels_and_sets_the_end() -> None:
    with web_server() as web:
        hook = Receiver(name="am", type="alertmanager", url=f"{web.url}/")
        alertmanager.send(sending("am", hook))
        alertmanager.send(sending("am", hook, notice=replace(NOTICE, what="cleared", agents=("oslo", "rome"))))
        posts = web.posts
        [raised], [cleared] = (json.loads(post.body) for post in posts)
    assert {post.path for post in posts} == {"/api/v2/alerts"}
    assert raised["labels"] == cleared["labels"]
    assert raised["labels"] == {
        "alertname": "someloss", "job": "smokemesh", "target": "/World/Shop", "instance": "shop.example.net",
        "incident": "7",
    }  # fmt: skip
    assert (raised["startsAt"], raised["endsAt"]) == ("2026-09-21T14:13:20Z", "2026-09-21T14:19:21Z")
    assert cleared["endsAt"] == "2026-09-21T14:14:20Z"


# ---------------------------------------------------------------- pagers


def test_a_pager_is_called_by_snpp() -> None:
    lines: list[str] = []

    class Gateway(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline().decode().strip():
                lines.append(line)
                self.wfile.write(b"550 unknown pager\r\n" if line == "PAGE 666" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        place = f"127.0.0.1:{server.server_address[1]}"
        pager.send_snpp(sending("snpp:12345", snpp=place, notice=replace(NOTICE, comment="two\r\nSEND")))
        with pytest.raises(NotDelivered, match="PAGE was answered 550") as caught:
            pager.send_snpp(sending("snpp:666", snpp=place))
        server.shutdown()
        thread.join()
    assert caught.value.final
    assert lines[0] == "PAGE 12345"
    assert lines[1].startswith("MESS two SEND someloss was raised on World.Shop [from oslo] loss: 0%, 20% rtt: 10ms, U")
    assert lines[2:4] == ["SEND", "QUIT"]


def test_jabber_goes_through_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "sendxmpp"
    made.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/argv\ncat > {tmp_path}/text\n')
    made.chmod(0o755)
    monkeypatch.setattr(pager, "SENDXMPP", str(made))
    pager.send_xmpp(sending("xmpp:-t ops@x.example;id"))
    assert (tmp_path / "argv").read_text().splitlines() == ["-t", "ops@x.example;id", "-s", "[Smokeping] Alert"]
    assert "someloss was raised on World.Shop" in (tmp_path / "text").read_text()
