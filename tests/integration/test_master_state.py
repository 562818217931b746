"""What a master remembers over a restart, and in which order it finds fault."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from smokemesh.errors import HostError
from smokemesh.master.gauges import gauges
from smokemesh.master.metrics import Label
from smokemesh.master.premises import data_directory, listen, url_of
from smokemesh.master.state import Master, open_master
from smokemesh.model.agent import Agent, Health
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.settings.master import load_master
from smokemesh.settings.shape import MasterSettings

TARGET = Target(path="/x", host="192.0.2.1", probe="ping", agents=("a",))
SETTINGS = MasterSettings(
    probes={"ping": Probe(name="ping")},
    agents={"a": Agent(name="a")},
    tree=Node(path="/", menu="", title="", children=(Node(path="/x", menu="x", title="x", target=TARGET),)),
)
HEALTH = Health(
    version="1", clock=1, uptime=2.0, cpu=0.1, rss=3, assignment="v", tasks=4, pings_per_second=5.0, rounds=6,
    overruns=0, own_drops=0, limited=0, spool_rounds=7, spool_bytes=0, spool_oldest=0, spool_dropped=0,
)  # fmt: skip


def opened(folder: Path, settings: MasterSettings = SETTINGS) -> Master:
    return open_master(settings, str(folder), lambda: settings)


def test_agents_and_tasks_are_remembered(tmp_path: Path) -> None:
    master = opened(tmp_path)
    asyncio.run(master.heard("a", HEALTH, "192.0.2.7", 5))
    version = master.assignments.get("a").version
    master.close()
    again = opened(tmp_path, replace(SETTINGS, tree=Node(path="/", menu="", title="")))
    try:
        assert again.agents_seen()["a"].health == HEALTH
        assert again.agents_seen()["a"].seen == 5
        assert again.catalogue.task(task_id("/x", "ping")).target == "/x", "it is assigned no more, but was"
        assert again.assignments.get("a").version != version
        up = {name: value for name, _, labels, value in gauges(again, again.usage()).rows if labels.get("agent") == "a"}
        assert up["smokemesh_agent_up"] == 0.0
        assert up["smokemesh_agent_spool_rounds"] == 7
    finally:
        again.close()


def test_a_step_of_one_target_can_be_changed(tmp_path: Path) -> None:
    steps = iter(("10s", "20s", "30s", "40s", "50s", "60s"))

    def load() -> MasterSettings:
        text = f"agents: {{a: {{}}}}\ntargets: {{x: {{host: 192.0.2.1, agents: [a], step: {next(steps)}}}}}\n"
        return load_master("smokemesh.yaml", lambda _: text)

    for _ in range(2):
        master = open_master(load(), str(tmp_path), load)
        try:
            [number] = master.labels()
            for _ in range(2):
                asyncio.run(master.reload())
                assert list(master.labels().values()) == [Label("/x", "ping")]
                assert list(master.labels()) == [number]
        finally:
            master.close()


def test_a_data_directory_serves_one_master(tmp_path: Path) -> None:
    with (
        data_directory(str(tmp_path)),
        pytest.raises(HostError, match=f"data directory {tmp_path} is used by another master"),
        data_directory(str(tmp_path)),
    ):
        pass
    with data_directory(str(tmp_path)):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_listening(host: str) -> None:
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(HostError, match=f":{port}: Address already in use"):
            listen(host, port)


def test_a_name_that_is_no_address() -> None:
    with pytest.raises(HostError, match="cannot listen on no-such-host.invalid:80: "):
        listen("no-such-host.invalid", 80)


def test_urls() -> None:
    assert url_of("::1", 80) == "http://[::1]:80"
    assert url_of("127.0.0.1", 8080) == "http://127.0.0.1:8080"
