"""`smokemesh silences` and `smokemesh incidents`: what is wrong, and who shall not be told of it for a while."""

import getpass
import json
from typing import Any, Final
from urllib.parse import urlencode

import click

from smokemesh.cli.output import moment, print_json, print_table
from smokemesh.errors import UsageError

SILENCE_COLUMNS: Final = {
    "id": "number", "state": "state", "target": "target", "alert": "alert", "agent": "agent", "begin": "begin",
    "end": "end", "author": "by", "comment": "why",
}  # fmt: skip
INCIDENT_COLUMNS: Final = {
    "id": "number", "state": "state", "alert": "alert", "target": "target", "worst": "worst", "agents": "seen from",
    "begun": "since", "length": "lasted", "muted": "muted",
}  # fmt: skip

_master = click.option(
    "--master", default="http://127.0.0.1:8080", show_default=True, metavar="URL", help="The master to ask."
)
_ca_file = click.option("--ca-file", metavar="FILE", help="Certificates to trust for an https master.")
_json = click.option("--json", "as_json", is_flag=True, help="The API's answer.")


@click.group("silences")
def command() -> None:
    """Windows in which nobody is told of alerts: list, add, end."""


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Those that are over too.")
@_json
@_master
@_ca_file
def list_silences(every: bool, as_json: bool, master: str, ca_file: str | None) -> None:
    """Show silences, the newest first."""
    found = _get(master, f"silences?state={'all' if every else 'standing'}", ca_file)
    print_json(found) if as_json else print_table([silence_row(one) for one in found], SILENCE_COLUMNS)


@command.command("add")
@click.option("--target", default="*", show_default=True, metavar="GLOB", help="Paths, like /changzhou/*.")
@click.option("--alert", default="*", show_default=True, metavar="GLOB", help="Names of alerts.")
@click.option("--agent", default="*", show_default=True, metavar="GLOB", help="Names of agents.")
@click.option("--for", "duration", default="", metavar="LENGTH", help="How long: 30m, 2h, 7d.")
@click.option("--from", "begin", default="", metavar="TIME", help="Begin; now without it.")
@click.option("--until", "end", default="", metavar="TIME", help="End, instead of --for: 2026-11-21T10:00:00Z.")
@click.option("--comment", default="", metavar="TEXT", help="Why.")
@click.option("--author", default="", metavar="NAME", help="Who; without it the user's name here.")
@_json
@_master
@_ca_file
def add(as_json: bool, master: str, ca_file: str | None, **wanted: str) -> None:
    """Tell nobody of what fits, for a while."""
    if bool(wanted["duration"]) == bool(wanted["end"]):
        raise UsageError("silences add: say how long, by either --for LENGTH or --until TIME")
    if [wanted[name] for name in ("target", "alert", "agent")] == ["*", "*", "*"]:
        raise UsageError("silences add: this would silence everything; name --target, --alert or --agent (/* for all)")
    made = _post(master, "silences", {**wanted, "author": wanted["author"] or _user()}, ca_file)
    if as_json:
        print_json(made)
    else:
        click.echo(f"silence {made['id']} of {made['target']} stands until {moment(made['end'])}")
    for warning in made["warnings"]:
        click.echo(f"warning: {warning}", err=True)


@command.command("end")
@click.argument("number", type=click.IntRange(1))
@_master
@_ca_file
def end_silence(number: int, master: str, ca_file: str | None) -> None:
    """End the silence NUMBER now."""
    made = _post(master, f"silences/{number}/end", {}, ca_file)
    click.echo(f"silence {made['id']} of {made['target']} ended {moment(made['end'])}")


@click.command("incidents")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not over.")
@click.option("--target", default="/", show_default=True, metavar="PATH", help="A place in the tree and all below it.")
@click.option("--alert", default="", metavar="NAME", help="Only of this alert.")
@click.option("--agent", default="", metavar="NAME", help="Only as this agent sees them.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), metavar="N", help="The most.")
@_json
@_master
@_ca_file
def incidents(
    only_open: bool, target: str, alert: str, agent: str, limit: int, as_json: bool, master: str, ca_file: str | None
) -> None:
    """Show what alerts have raised: since when, how bad, from where."""
    asked = {
        "state": "open" if only_open else "all", "target": target, "alert": alert, "agent": agent, "limit": str(limit)
    }  # fmt: skip
    found = _get(master, f"incidents?{urlencode(asked)}", ca_file)
    print_json(found) if as_json else print_table([incident_row(one) for one in found], INCIDENT_COLUMNS)


def incident_row(one: dict[str, Any]) -> dict[str, Any]:
    """An incident as people read it."""
    from smokemesh.master.web.screen import duration, percent, span

    rtt = "" if one["worst_rtt"] is None else f", {duration(one['worst_rtt'])}"
    return {
        **one,
        "state": "ended" if one["ended"] else "open",
        "worst": f"{percent(one['worst_loss'])} loss{rtt}",
        "begun": moment(one["begun"]),
        "length": span(round(one["length"])),
    }


def silence_row(one: dict[str, Any]) -> dict[str, Any]:
    """A silence as people read it."""
    return {**one, "begin": moment(one["begin"]), "end": moment(one["end"])}


def _get(master: str, path: str, ca_file: str | None) -> Any:
    from smokemesh.cli.query import ask

    return json.loads(ask(f"{master.rstrip('/')}/api/v1/{path}", ca_file))


def _post(master: str, path: str, content: dict[str, Any], ca_file: str | None) -> Any:
    from smokemesh.cli.query import ask

    return json.loads(ask(f"{master.rstrip('/')}/api/v1/{path}", ca_file, content))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""
