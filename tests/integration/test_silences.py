"""`smokemesh silences`, `smokemesh incidents` and the API behind them, over a real catalogue, as a person types them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from litestar import Litestar
from litestar.testing import TestClient

from smokemesh.cli import query, silences
from smokemesh.errors import MasterError, NotFound, SmokemeshError, UsageError
from smokemesh.master import alerts_api
from smokemesh.model.alert import Alert, Alerting, Incident, Notice, Silence
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.alert_log import AlertLog
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.outbox import Outbox
from smokemesh.storage.tables import incidents

NANO = 10**9
HOUR = 3600 * NANO


class Standing:
    """What the handlers need of a running master."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        target = Target(path="/a/b", host="127.0.0.1", probe="ping", agents=("local",), alerts=("someloss",))
        leaf = Node(path="/a/b", menu="B", title="The b", target=target)
        group = Node(path="/a", menu="A", title="A", children=(leaf,))
        self.settings = MasterSettings(
            defaults=Probe(name="ping"),
            tree=Node(path="/", menu="", title="", children=(group,)),
            alerts={"someloss": Alert(name="someloss", type="loss", pattern=">0%", to=("noc@example.net",))},
            alerting=Alerting(to=("|/bin/page",)),
        )
        self.store = None


def keep(catalogue: Catalogue, number: int, **changes: object) -> Incident:
    """Write an incident down as the judge does."""
    row: dict[str, object] = {
        "id": number, "alert": "someloss", "target": "/a/b", "probe": "ping", "agents": ["local"],
        "begun": number * HOUR, "ended": 0, "rounds": 3, "worst_loss": 0.4, "worst_rtt": 0.012, "muted": "", "detail": "",
    }  # fmt: skip
    with catalogue.transaction() as connection:
        connection.execute(incidents.insert().values(**(row | changes)))
    return AlertLog(catalogue).incident(number)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    yield opened
    opened.close()


@pytest.fixture
def client(catalogue: Catalogue) -> Iterator[TestClient[Litestar]]:
    app = Litestar(route_handlers=[*alerts_api.routes], openapi_config=None)
    app.state.master = Standing(catalogue)
    with TestClient(app, base_url="http://smoke.example.net") as made:
        yield made


# ---------------------------------------------------------------- the log


def test_incidents_are_filtered_and_paged(catalogue: Catalogue) -> None:
    log = AlertLog(catalogue)
    keep(catalogue, 1, ended=2 * HOUR)
    keep(catalogue, 2, target="/a/bc", agents=["oslo", "rome"])
    keep(catalogue, 3, alert="bigloss", ended=5 * HOUR, worst_rtt=None)
    keep(catalogue, 4, agents=["osl"])

    def found(**asked: object) -> list[int]:
        return [one.id for one in log.incidents(**asked)]  # type: ignore[arg-type]

    assert found() == [4, 3, 2, 1]
    assert found(state="open") == [4, 2]
    assert found(state="ended") == [3, 1]
    assert found(target="/a/b") == [4, 3, 1]
    assert found(target="/a") == [4, 3, 2, 1]
    assert found(alert="bigloss") == [3]
    assert found(agent="osl") == [4]
    assert found(agent="oslo") == [2]
    assert found(agent="%") == []
    assert found(begin=3 * HOUR, end=3 * HOUR + 1) == [3, 2]
    assert found(most=2) == [4, 3]
    assert found(most=2, before=3) == [2, 1]
    assert log.count_open() == 2


def test_a_silence_ends_when_it_is_told_to(catalogue: Catalogue) -> None:
    log = AlertLog(catalogue)
    standing = log.add_silence(Silence(id=0, begin=10, end=100, target="/a/*"))
    coming = log.add_silence(Silence(id=0, begin=80, end=100))
    assert [one.id for one in log.silences(50)] == [coming.id, standing.id]
    assert log.end_silence(standing.id, 60).end == 60
    assert (log.end_silence(coming.id, 70).begin, log.silences(71)) == (70, [])
    assert log.end_silence(standing.id, 90).end == 60  # it is over already
    with pytest.raises(NotFound, match="silence 99"):
        log.end_silence(99, 1)


# ---------------------------------------------------------------- the API


def test_an_incident_comes_with_its_deliveries(client: TestClient[Litestar], catalogue: Catalogue) -> None:
    incident = keep(catalogue, 1, worst_rtt=None)
    notice = Notice(
        incident=1, alert="someloss", what="raised", target="/a/b", title="B", host="h", agents=("local",),
        time=incident.begun, begun=incident.begun,
    )  # fmt: skip
    Outbox(catalogue).enqueue(notice, ["a@x.example", "|/bin/page"], time.time_ns())
    got = client.get("/api/v1/incidents/1").json()
    assert got["incident"]["begun"] == "1970-01-01T01:00:00Z"
    assert (got["incident"]["title"], got["incident"]["worst_rtt"], got["incident"]["ended"]) == ("The b", None, None)
    assert [one["receiver"] for one in got["deliveries"]] == ["|/bin/page", "a@x.example"]
    assert {one["state"] for one in client.get("/api/v1/deliveries?state=waiting").json()} == {"waiting"}
    assert client.get("/api/v1/incidents/open").json() == {"open": 1}
    [rule] = client.get("/api/v1/alerts").json()
    assert (rule["to"], rule["targets"], rule["open"]) == (["|/bin/page", "noc@example.net"], 1, 1)


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/api/v1/incidents/77", 404, "incident 77: there is none"),
        ("/api/v1/incidents?state=what", 400, "state 'what'"),
        ("/api/v1/incidents?begin=yesterday", 400, "begin"),
        ("/api/v1/incidents?limit=0", 400, "limit is 0: must be 1 to 1000"),
    ],
)
def test_a_wrong_question_is_answered_in_one_line(
    client: TestClient[Litestar], path: str, status: int, told: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert told in answer.json()["message"]


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON, 201),
        (JSON | {"origin": "http://smoke.example.net"}, 201),
        (JSON | {"sec-fetch-site": "same-origin", "origin": "http://smoke.example.net"}, 201),
        (JSON | {"origin": "http://evil.example"}, 403),
        (JSON | {"origin": "null"}, 403),
        (JSON | {"sec-fetch-site": "cross-site"}, 403),
        (JSON | {"sec-fetch-site": "same-site", "origin": "http://smoke.example.net"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
)
def test_pages_of_other_sites_can_silence_nothing(
    client: TestClient[Litestar], catalogue: Catalogue, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"target": "/a/*", "duration": "1h"}).encode()
    assert client.post("/api/v1/silences", content=body, headers=headers).status_code == status
    assert len(AlertLog(catalogue).silences()) == (status == 201)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "by either end or duration"),
        ({"duration": "1h", "end": "now"}, "by either end or duration"),
        ({"duration": "soon"}, "length 'soon'"),
        ({"end": "now-1h"}, "is over already"),
        ({"duration": "9y"}, "longer than 400 days"),
        ({"duration": "1h", "target": "b"}, "must be a path like"),
        ({"duration": "1h", "comment": "x" * 501}, "comment is longer than 500"),
        ({"duration": "1h", "tarjet": "/a"}, "tarjet"),
        ({"duration": 7}, "Expected `str`"),
        ([], "Expected `object`"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(client: TestClient[Litestar], body: object, told: str) -> None:
    answer = client.post("/api/v1/silences", json=body)
    assert answer.status_code == 400
    assert told in answer.json()["message"]


# ---------------------------------------------------------------- the tester


def trial(client: TestClient[Litestar], **asked: object) -> dict[str, object]:
    answer = client.post("/api/v1/alerts/test", json=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_a_pattern_is_tried_on_typed_rounds(client: TestClient[Litestar]) -> None:
    got = trial(client, type="loss", pattern=">0%,>0%", history="S 0% 20% 20% 0% U 20%")
    assert [step["change"] for step in got["steps"]] == ["", "", "raised", "cleared", "", ""]  # type: ignore[attr-defined]
    assert (got["raised"], got["cleared"], got["words"]) == (1, 1, "2 rounds with loss above 0 %")


def test_quirks_are_shown_where_they_are_asked_for(client: TestClient[Litestar]) -> None:
    asked = {"type": "loss", "pattern": ">10%,*10*,>10%", "history": "20% 20%"}
    assert trial(client, **asked, compat=False)["raised"] == 1
    assert trial(client, **asked, compat=True)["raised"] == 0  # SmokePing wants one value more


def test_words_are_in_the_readers_language(client: TestClient[Litestar]) -> None:
    asked = {"type": "rtt", "pattern": "<10,*3*,>100", "history": "5 200"}
    assert (
        trial(client, **asked)["words"] == "RTT below 10.0 ms, then up to 3 rounds of any kind, then RTT above 100 ms"
    )
    answer = client.post("/api/v1/alerts/test?lang=zh", json=asked).json()
    assert answer["words"] == "RTT 低于 10.0 ms，然后最多 3 轮任意结果，然后 RTT 高于 100 ms"


def test_matchers_and_rules_of_the_settings_are_tried(client: TestClient[Litestar]) -> None:
    held = trial(client, type="matcher", pattern="CheckLoss(l => 50, x => 2)", history="0% 60% 60% 60% 0% 0%")
    assert [step["on"] for step in held["steps"]] == [False, False, True, True, True, False]  # type: ignore[attr-defined]
    assert trial(client, rule="someloss", history="0% 1%")["raised"] == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"pattern": ">20", "history": "1%"}, "%"),
        ({"pattern": ">20%", "history": "1% x"}, "history: 'x' is no round"),
        ({"pattern": ">20%", "history": "101%"}, "history: '101%' is no round"),
        ({"pattern": ">20%", "history": "  "}, "history: is empty"),
        ({"pattern": ">20%"}, "choose a target"),
        ({"pattern": ">20%", "target": "/nope"}, "target /nope: no such place"),
        ({"rule": "gone", "history": "1%"}, "alert 'gone'"),
        ({"history": "1%"}, "name a rule"),
        ({"type": "matcher", "pattern": "Nonsense(l => 1)", "history": "1%"}, "matcher 'Nonsense' is unknown"),
        ({"pattern": ">20%", "history": "1% " * 2001}, "2001 rounds, at most 2000"),
    ],
)
def test_a_trial_that_cannot_be_made_says_why(client: TestClient[Litestar], asked: dict[str, str], told: str) -> None:
    answer = client.post("/api/v1/alerts/test", json=asked)
    assert answer.status_code in (400, 404)
    assert told in answer.json()["message"]


# ---------------------------------------------------------------- the terminal


@pytest.fixture
def typed(client: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch) -> TestClient[Litestar]:
    """Commands reach this master."""

    def ask(url: str, ca_file: str | None = None, body: object = None) -> bytes:
        path = url.partition("/api/")[2]
        answer = client.get(f"/api/{path}") if body is None else client.post(f"/api/{path}", json=body)
        if answer.status_code >= 400:
            kinds: dict[int, type[SmokemeshError]] = {400: UsageError, 404: NotFound}
            raise kinds.get(answer.status_code, MasterError)(answer.json()["message"])
        return answer.content

    monkeypatch.setattr(query, "ask", ask)
    return client


def run(*words: str) -> str:
    done = CliRunner().invoke(silences.command, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("typed")
def test_silences_are_made_listed_and_ended() -> None:
    assert run("add", "--target", "/a/*", "--for", "2h", "--comment", "works").startswith(
        "silence 1 of /a/* stands until"
    )
    assert "works" in run("list")
    assert json.loads(run("list", "--json"))[0]["state"] == "active"
    assert run("end", "1").startswith("silence 1 of /a/* ended")
    assert json.loads(run("list", "--json")) == []
    assert json.loads(run("list", "--all", "--json"))[0]["state"] == "over"


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", "--target", "/a"), "by either --for LENGTH or --until TIME"),
        (("add", "--for", "1h"), "this would silence everything"),
        (("add", "--for", "1h", "--target", "a"), "must be a path like"),
        (("end", "5"), "silence 5: there is none"),
    ],
)
def test_a_silence_typed_wrongly_is_told_in_one_line(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(SmokemeshError, match=told):
        run(*words)


@pytest.mark.usefixtures("typed")
def test_incidents_are_listed(catalogue: Catalogue) -> None:
    keep(catalogue, 1, ended=3 * HOUR)
    keep(catalogue, 2)
    every = CliRunner().invoke(silences.incidents, [], catch_exceptions=False).output
    assert "40 % loss, 12.0 ms" in every
    assert "2 h" in every
    only = CliRunner().invoke(silences.incidents, ["--open", "--json"], catch_exceptions=False).output
    assert [one["id"] for one in json.loads(only)] == [2]
    assert "1970-01-01T02:00:00Z" in every
    assert "." not in every.split("since")[1].split("Z")[0].rpartition(" ")[2]


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("option", "value"), [("--target", "/Nope|Nope"), ("--target", "/a/*"), ("--alert", "nope"), ("--agent", "nobody")]
)
def test_a_filter_typed_wrongly_is_no_empty_table(option: str, value: str) -> None:
    with pytest.raises(UsageError, match="there is no such") as refused:
        CliRunner().invoke(silences.incidents, [option, value], catch_exceptions=False)
    assert refused.value.exit_status == 2


@pytest.mark.usefixtures("typed")
def test_a_silence_that_fits_nothing_now_is_made_with_a_warning() -> None:
    done = CliRunner().invoke(silences.command, ["add", "--target", "/Nope/*", "--for", "1h"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "warning: target '/Nope/*' fits no target now" in done.output
    assert "warning" not in run("add", "--target", "/a/*", "--for", "1h")


@pytest.mark.usefixtures("typed")
def test_numbers_no_database_holds_are_told_in_one_line() -> None:
    with pytest.raises(NotFound, match="silence 9+: there is none with that number"):
        run("end", "9" * 20)


@pytest.mark.usefixtures("typed")
def test_tables_have_times_to_the_second() -> None:
    run("add", "--target", "/a/*", "--for", "1h", "--from", "1800000000.123456789")
    assert "2027-01-15T08:00:00Z" in run("list")
    assert json.loads(run("list", "--json"))[0]["begin"] == "2027-01-15T08:00:00.123456789Z"
