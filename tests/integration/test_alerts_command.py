"""`smokemesh alerts test` from the terminal: what would have been raised, why, and one line for mistakes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smokemesh.cli.alerts import command

CONFIG = """
agents: {a: {}}
alerts:
  lossy: {type: loss, pattern: ">0%,*2*,>0%"}
  slow: {type: matcher, pattern: "CheckLatency(l => 10, x => 2)"}
  high: {type: threshold, measure: loss, above: 20%}
targets:
  x: {host: 192.0.2.1, agents: [a], alerts: [lossy, slow, high]}
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def answer(*words: str) -> tuple[list[str], list[str]]:
    """The states round by round, and what people see of the change."""
    reply = json.loads(run(*words, "--json").output)
    table = run(*words).output.splitlines()
    return [step["change"] or ("on" if step["on"] else "off") for step in reply["steps"]], table


def test_a_pattern_on_a_typed_history_says_which_entry_met_which_round() -> None:
    states, table = answer("test", ">0%,*2*,>0%", "--history", "0 20% 0 5 0")
    assert states == ["off", "off", "off", "raised", "cleared"]
    assert table[4].endswith("raised   >0%: 20 % (2 back); >0%: 5 % (this round)")
    assert table[-1] == "5 rounds: 1 raised, 1 cleared"


def test_smokepings_quirks_on_demand() -> None:
    history = ("--history", "20% 0 20%")
    assert answer("test", ">10%,*2*,>10%", *history)[0][-1] == "raised"
    assert answer("test", ">10%,*2*,>10%", *history, "--compat")[0][-1] == "off"


def test_a_matcher_is_known_by_its_form_and_reads_what_it_judges() -> None:
    states, _ = answer("test", "CheckLatency(l=>10,x=>2)", "--history", "9 11 12 U 9 8")
    assert states == ["off", "off", "raised", "on", "on", "cleared"]
    loss, table = answer("test", "CheckLoss(l=>50,x=>1)", "--history", "0 50% 0")
    assert loss == ["off", "raised", "cleared"]
    assert table[0].split() == ["round", "loss", "median", "state"]  # a matcher judges as a whole: no entry met a round


def test_an_rtt_pattern_is_in_milliseconds() -> None:
    states, _ = answer("test", ">100,>100", "--type", "rtt", "--history", "S 50 101 150 U")
    assert states == ["off", "off", "raised", "cleared"]


def test_a_rule_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "smokemesh.yaml"
    file.write_text(CONFIG)
    assert answer("test", "lossy", "--config", str(file), "--history", "5 0 5")[0] == ["off", "off", "raised"]
    for name, said in (("odd", "no alert 'odd'; it has lossy, slow, high"), ("high", "leave out --config")):
        done = run("test", name, "--config", str(file), "--history", "5")
        assert said in str(done.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("test", ">0%"), "give either --history or --target"),
        (("test", ">0%", "--history", "1", "--target", "/x"), "give either --history or --target"),
        (("test", ">0", "--history", "1"), "loss should be specified in %, write >0%"),
        (("test", "Foo(x=>1)", "--history", "1"), "matcher 'Foo' is unknown"),
        (("test", ">0%", "--history", "200"), "'200' is no round"),
        (("list", "--master", "http://127.0.0.1:9"), "master http://127.0.0.1:9: Connection refused"),
        (("test", "lossy", "--target", "/x", "--master", "http://127.0.0.1:9"), "Connection refused"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.exit_code
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
