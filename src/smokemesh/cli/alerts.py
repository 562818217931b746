"""`smokemesh alerts`: what is raised, which rules there are, and what a rule would have said of a history."""

import re
from collections.abc import Sequence
from json import loads
from typing import Any, Final

import click

from smokemesh.cli.output import moment, print_json, print_table
from smokemesh.errors import NotFound, UsageError

INCIDENTS: Final = {
    "id": "incident", "alert": "alert", "target": "target", "agents": "seen by", "begun": "since", "length": "lasts",
    "worst": "worst", "state": "state", "detail": "detail",
}  # fmt: skip
RULES: Final = {
    "name": "alert", "type": "type", "pattern": "pattern", "to": "to", "priority": "priority", "targets": "targets",
    "open": "raised", "comment": "comment",
}  # fmt: skip
STEPS: Final = {"round": "round", "loss": "loss", "rtt": "median", "state": "state", "why": "because"}
_NAME = re.compile(r"[A-Za-z_][-\w.]*")

master_option = click.option(
    "--master", default="http://127.0.0.1:8080", show_default=True, metavar="URL", help="The master to ask."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
ca_option = click.option("--ca-file", metavar="FILE", help="Certificates to trust for an https master.")


@click.group("alerts")
def command() -> None:
    """What is raised, which rules there are, and what a rule would have said."""


@command.command("list")
@click.option("--all", "ended", is_flag=True, help="Also what has ended.")
@click.option("--target", default="/", show_default=True, metavar="PATH", help="Only this place and what is below.")
@master_option
@json_option
@ca_option
def list_(ended: bool, target: str, master: str, as_json: bool, ca_file: str | None) -> None:
    """Show incidents: since when, how bad, from where."""
    from urllib.parse import urlencode

    asked = urlencode({"state": "all" if ended else "open", "target": target})
    found = _api(master, f"incidents?{asked}", ca_file)
    if as_json:
        print_json(found)
    elif found:
        print_table([_incident(one) for one in found], INCIDENTS)
    else:
        click.echo("nothing was raised" if ended else "nothing is raised")


@command.command()
@master_option
@json_option
@ca_option
def rules(master: str, as_json: bool, ca_file: str | None) -> None:
    """Show the master's alert rules."""
    found = _api(master, "alerts", ca_file)
    if as_json:
        print_json(found)
    else:
        print_table(found, RULES)


@command.command()
@click.argument("rule")
@click.option("--type", "kind", default="loss", show_default=True, type=click.Choice(["loss", "rtt", "matcher"]),
              help="What a pattern is about.")  # fmt: skip
@click.option("--history", metavar="TEXT", help='Rounds, the oldest first: "0% 20% U", in ms for RTTs: "10 12.5 U".')
@click.option("--config", metavar="FILE", help="Take the rule RULE from this configuration.")
@click.option("--target", metavar="PATH", help="Try it on what a master has measured of this target.")
@click.option("--agent", metavar="NAME", default="", help="As this agent saw it.")
@click.option("--since", default="1d", show_default=True, metavar="TIME", help="From then on: 7d, or a time.")
@click.option("--compat", is_flag=True, help="Decide as SmokePing 2.7 does, mistakes included.")
@master_option
@json_option
@ca_option
def test(rule: str, kind: str, history: str | None, config: str | None, target: str | None, agent: str, since: str,
         compat: bool, master: str, as_json: bool, ca_file: str | None) -> None:  # fmt: skip
    """When would RULE have been raised and cleared? Nobody is told.

    RULE is a pattern like ">0%,*12*,>0%", a matcher like "CheckLoss(l => 50, x => 5)", or the name of an alert of the
    configuration or of the master.
    """
    if bool(history) == bool(target):
        raise UsageError("alerts test: give either --history or --target")
    question: dict[str, Any] = {"compat": True if compat else None}
    if config:
        question |= _configured(rule, config, compat)
    elif _NAME.fullmatch(rule):
        question["rule"] = rule
    else:
        question |= {"pattern": rule, "type": "matcher" if "(" in rule else kind}
    if target:
        begin = since if re.match(r"now|\d{4}-|\d{9,}", since) else f"now-{since}"
        question |= {"target": target, "agent": agent, "begin": begin, "end": "now"}
    else:
        question["history"] = history
    reply = _here(question) if "pattern" in question and history else _api(master, "alerts/test", ca_file, question)
    if as_json:
        print_json(reply)
    else:
        _show(reply, everything=bool(history))


def _api(master: str, path: str, ca_file: str | None, body: Any = None) -> Any:
    from smokemesh.cli.query import ask

    return loads(ask(f"{master.rstrip('/')}/api/v1/{path}", ca_file, body))


def _configured(name: str, file: str, compat: bool) -> dict[str, Any]:
    """A rule of a configuration file, as a question."""
    from smokemesh.cli.loading import load_for_master

    settings = load_for_master(file)
    alert = settings.alerts.get(name)
    if alert is None:
        raise NotFound(f"{file}: no alert {name!r}; it has {', '.join(settings.alerts) or 'none'}")
    if not alert.pattern:
        raise UsageError(
            f"alert {name}: a rule of type {alert.type} is tried with the master's own; leave out --config"
        )
    quirks = compat or settings.alerting.compat == "smokeping"
    return {"type": alert.type, "pattern": alert.pattern, "compat": quirks}


def _here(question: dict[str, Any]) -> dict[str, Any]:
    """A made-up history needs no master."""
    import msgspec

    from smokemesh.master import trial
    from smokemesh.master.web.alert_answers import step_body
    from smokemesh.model.alert import Alert

    compat = bool(question["compat"])
    alert = Alert(name="trial", type=question["type"], pattern=question["pattern"])
    rule = trial.make(alert, compat=compat)
    rounds, from_start = trial.made_up(question["history"], trial.judges(alert))
    steps = list(trial.run(alert, rule, rounds, compat=compat, from_start=from_start))
    bodies = [msgspec.to_builtins(step_body(one)) for one in steps]
    return {"type": alert.type, "pattern": alert.pattern, "compat": compat, **trial.judged(steps), "steps": bodies}


def _show(reply: dict[str, Any], everything: bool) -> None:
    """The rounds at which something changed, or each of a typed history."""
    rows = [_step(reply, k) for k in range(len(reply["steps"]))]
    shown = rows if everything else [row for row in rows if row["state"] in ("raised", "cleared")]
    by = f" as {reply['agent']} saw it" if reply.get("agent") else ""
    if shown:
        # Only patterns say which of their entries met which round: a matcher, or a rule of ours, judges as a whole.
        told = any(row["why"] for row in shown)
        print_table(shown, STEPS if told else {key: name for key, name in STEPS.items() if key != "why"})
    click.echo(f"{len(rows)} rounds{by}: {reply['raised']} raised, {reply['cleared']} cleared")


def _step(reply: dict[str, Any], k: int) -> dict[str, Any]:
    from smokemesh.master.web.screen import duration, percent

    steps = reply["steps"]
    step = steps[k]
    because = "" if step["change"] == "cleared" else "; ".join(_reasons(reply, steps, k))
    return {
        "round": moment(step["time"]) or k + 1,  # a made-up round has no moment, only a number
        "loss": percent(step["loss"]),
        "rtt": duration(step["rtt"]),
        "state": step["change"] or ("on" if step["on"] else "off"),
        "why": because,
    }


def _reasons(reply: dict[str, Any], steps: Sequence[dict[str, Any]], k: int) -> list[str]:
    """Which entry of the pattern met which round."""
    from smokemesh.analysis.alerts.patterns import parse_pattern
    from smokemesh.master.web.screen import duration, percent

    back = steps[k]["back"]
    if not back:
        return []
    entries = parse_pattern(reply["pattern"], reply["type"]).entries
    found = []
    for entry, distance in zip(entries, back, strict=True):
        if distance > k:
            found.append(f"{entry.text}: before the first round")
            continue
        step = steps[k - distance]
        value = percent(step["loss"]) if reply["type"] == "loss" else duration(step["rtt"])
        ago = "this round" if not distance else f"{distance} back"
        found.append(f"{entry.text}: {value} ({ago})")
    return found


def _incident(one: dict[str, Any]) -> dict[str, Any]:
    from smokemesh.master.web.screen import duration, percent, span

    muted = f"not told ({one['muted']})" if one["muted"] else ""
    return {
        **one,
        "begun": moment(one["begun"]),
        "length": span(round(one["length"])),
        "worst": f"{percent(one['worst_loss'])} lost, {duration(one['worst_rtt'])}",
        "state": " ".join(part for part in ("ended" if one["ended"] else "raised", muted) if part),
    }
