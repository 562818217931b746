"""The whole path against the truth: what netlab did to each packet is what the store and the JSON API say, exactly.

A real agent inside a made-up network measures, a real master keeps; every round that is stored is held against the
network's own record of the packets of that round.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from smokemesh.model.rounds import Flag
from smokemesh.model.series import LEVELS
from smokemesh.netlab import path as netlab
from smokemesh.netlab.expect import Expected, expected
from smokemesh.netlab.network import Network
from smokemesh.netlab.relay import Relay
from smokemesh.netlab.truth import Truth

pytestmark = pytest.mark.privileged

#: Late after 0.6 s, given up after 1.2 s: a round takes 3.1 s of its 4, so that a busy machine does not overrun.
PINGS, TIMEOUT = 20, 0.6
#: Rounds of each target that must be stored before they are judged.
ROUNDS = 2
COUNTS = ("sent", "received", "late", "duplicates", "reordered", "errors")
HERE = ("198.18.0.1", "2001:db8:1::1")
FAULTS: dict[str, tuple[netlab.AnyFault, ...]] = {
    "calm": (),
    "loses": (netlab.Lose(every=10),),
    "dead": (netlab.Lose(every=1),),
    "duplicates": (netlab.Duplicate(every=4, copies=2),),
    "reorders": (netlab.Delay(every=5, by=0.15),),
    "late": (netlab.Delay(every=7, by=TIMEOUT + 0.1),),
    "corrupts": (netlab.Corrupt(every=6),),
    "random": (netlab.Lose(share=0.2), netlab.Duplicate(share=0.1), netlab.Delay(share=0.2, by=0.2)),
}
ADDRESSES = {
    f"{name}{version}": f"192.0.2.{index}" if version == 4 else f"2001:db8::{index:x}"
    for index, name in enumerate(FAULTS, 1)
    for version in (4, 6)
}
PATHS = {address: netlab.Path(delay=0.02, jitter=0.01, faults=FAULTS[name[:-1]]) for name, address in ADDRESSES.items()}
CONFIG = """
defaults: {step: 4s, pings: 20, interval: 100ms, timeout: 600ms}
agents:
  prober: {secret_file: secret}
targets:
  agents: [prober]
""" + "".join(f'  {name}: {{host: "{address}"}}\n' for name, address in ADDRESSES.items())


@dataclass(frozen=True)
class Measured:
    """What the API says, and what happened."""

    rounds: dict[str, list[dict[str, Any]]]
    #: By level and target.
    series: dict[tuple[str, str], dict[str, Any]]
    truth: Truth
    url: str

    def expected(self, name: str, number: int) -> Expected:
        """The `number`-th round of a target, from the packets the network saw: the rounds of a target do not overlap."""
        records = self.truth.to(ADDRESSES[name])[PINGS * number : PINGS * (number + 1)]
        return expected(records, TIMEOUT, stale_is_lost=False)


def ask(port: int, path: str, **parameters: str) -> Any:
    """What the JSON API answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)


def wait_for(what: str, condition: Any, patience: float = 60.0) -> None:
    """Until the condition holds; a master that is not there yet answers no."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)  # between two looks; the deadline decides
    raise AssertionError(f"{what}: not within {patience} s")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp("truth")
    (folder / "smokemesh.yaml").write_text(CONFIG)
    (folder / "secret").touch(mode=0o600)
    (folder / "secret").write_text(os.urandom(16).hex())
    program = [sys.executable, "-m", "smokemesh"]
    with ExitStack() as stack, (folder / "log").open("wb") as log:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        network = stack.enter_context(Network({"here": HERE}, PATHS))
        argv = [*program, "master", "--config", f"{folder}/smokemesh.yaml", "--data", f"{folder}/master"]
        master = subprocess.Popen(
            [*argv, "--listen-fd", str(listener.fileno())], pass_fds=[listener.fileno()], stdout=log, stderr=log
        )
        stack.callback(master.wait)
        stack.callback(master.terminate)
        wait_for("master", lambda: ask(port, "/-/ready")["ready"])
        stack.enter_context(Relay(network["here"].listen(8080), ("127.0.0.1", port)))
        options = ["--name", "prober", "--shared-secret", f"{folder}/secret", "--data", f"{folder}/agent"]
        agent = network["here"].start(
            [*program, "agent", "--master-url", "http://127.0.0.1:8080", *options], stdout=log, stderr=log
        )

        def rounds(name: str) -> list[dict[str, Any]]:
            return list(ask(port, "/api/v1/rounds", target=f"/{name}"))

        wait_for("rounds", lambda: all(len(rounds(name)) >= ROUNDS for name in ADDRESSES))
        agent.terminate()
        agent.wait()
        stored = {name: rounds(name) for name in ADDRESSES}
        series = {
            (level, name): ask(port, "/api/v1/series", target=f"/{name}", level=level)["series"][0]
            for level in LEVELS
            for name in ADDRESSES
        }
        yield Measured(stored, series, network.truth(), f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_stored_round_is_what_happened(measured: Measured, name: str) -> None:
    rounds = measured.rounds[name]
    assert len(rounds) >= ROUNDS
    assert [each["time"] for each in rounds] == sorted(each["time"] for each in rounds)
    for number, told in enumerate(rounds):
        wanted = measured.expected(name, number)
        for column in ("sent", "received", "late", "duplicates", "reordered", "corrupted", "errors"):
            assert told[column] == getattr(wanted, column), (number, column)
        assert set(told["flags"]) == {flag.name.lower() for flag in Flag if flag & wanted.flags and flag.name}
        assert told["address"] == ADDRESSES[name]
        rtts = np.array([np.nan if rtt is None else rtt for rtt in told["rtts"]], np.float64)
        assert list(np.isnan(rtts)) == list(np.isnan(wanted.held))
        assert (rtts - wanted.held)[~np.isnan(rtts)].min(initial=0.0) > -2e-6


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ADDRESSES)
def test_every_level_adds_up_to_the_rounds(measured: Measured, name: str, level: str) -> None:
    series, rounds = measured.series[level, name], measured.rounds[name]
    assert sum(series["rounds"]) == len(rounds)
    for column in COUNTS:
        assert sum(series[column]) == sum(each[column] for each in rounds), column


def test_a_tenth_lost_is_two_of_twenty(measured: Measured) -> None:
    for version in (4, 6):
        assert {each["received"] for each in measured.rounds[f"loses{version}"]} == {18}
        assert {each["received"] for each in measured.rounds[f"dead{version}"]} == {0}


@pytest.mark.browser
def test_the_page_says_so_too(measured: Measured) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        page = browser.new_page(locale="en-US")
        for name in ("loses4", "dead6", "duplicates6", "late4", "random4"):
            page.goto(f"{measured.url}/targets/{name}")
            counts = {column: sum(each[column] for each in measured.rounds[name]) for column in COUNTS}
            said = "{sent} sent, {lost} lost, {late} late, {duplicates} duplicate, {reordered} reordered"
            lost = counts["sent"] - counts["received"]
            expect(page.locator("body")).to_contain_text(said.format(**counts, lost=lost), timeout=15_000)
        browser.close()
