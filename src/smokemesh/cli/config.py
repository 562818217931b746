"""`smokemesh config`: is this file right, what does it come to, and how would it be written plainly?

Any of our files is taken; which one it is is told from what stands in it.
"""

import os
from collections import defaultdict
from typing import Any

import click

from smokemesh.cli.output import print_json
from smokemesh.errors import ConfigError
from smokemesh.settings.agent import load_agent
from smokemesh.settings.disk import list_yaml, read_text
from smokemesh.settings.filetype import NAMES, file_type, refuse_smokeping
from smokemesh.settings.master import load_master, read_file
from smokemesh.settings.secrets import secret_problem
from smokemesh.settings.shape import AgentSettings, MasterSettings
from smokemesh.settings.yaml import parse

Settings = MasterSettings | AgentSettings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="config")
def command() -> None:
    """Check, show or convert a configuration file: smokemesh.yaml or agent.yaml."""


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@_as_json
def check(files: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Say whether files can be used.

    Exit status 0, or 2 when one cannot.
    """
    results = [_check(file) for file in files]
    if as_json:
        print_json(results)
    else:
        for result in results:
            _print_result(result)
    return 2 if any(r["error"] or (strict and r["warnings"]) for r in results) else 0


@command.command()
@click.argument("file")
@_as_json
def show(file: str, as_json: bool) -> None:
    """Print what a file comes to.

    Every default and inherited value is filled in, passwords are hidden.
    """
    _print_values(file, whole=True, as_json=as_json)


@command.command()
@click.argument("file")
@_as_json
def convert(file: str, as_json: bool) -> None:
    """Print a file plainly.

    A smokemesh.yaml and its conf.d become one file, with what differs from the defaults, that means the same.
    """
    _print_values(file, whole=False, as_json=as_json)


@command.command()
@click.argument("kind", type=click.Choice(["master", "agent"]), default="master")
def schema(kind: str) -> None:
    """Print the JSON Schema of a file.

    For editors that complete and check while one types.
    """
    from smokemesh.settings.schema import json_schema

    print_json(json_schema(kind))


def load(file: str) -> Settings:
    """The settings in a file of any of our kinds. Raises ConfigError."""
    text = read_file(file, read_text)
    refuse_smokeping(text, file)
    kind = file_type(parse(text, file))
    return load_agent(file, read_text) if kind == "agent" else load_master(file, read_text, list_yaml)


def _check(file: str) -> dict[str, Any]:
    try:
        settings = load(file)
    except ConfigError as error:
        return {"file": file, "error": str(error), "line": error.line, "warnings": []}
    kind = "agent" if isinstance(settings, AgentSettings) else "master"
    warnings = [*(() if isinstance(settings, AgentSettings) else settings.warnings), *_secret_warnings(settings)]
    return {"file": file, "error": "", "kind": kind, "warnings": warnings, "summary": _summary(settings)}


def _print_result(result: dict[str, Any]) -> None:
    for warning in result["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    if result["error"]:
        click.echo(f"smokemesh: {result['error']}", err=True)
    else:
        verdict = "can be used, see the warnings" if result["warnings"] else "ok"
        click.echo(f"{result['file']}: {verdict}, {NAMES[result['kind']]}: {result['summary']}")


def _summary(settings: Settings) -> str:
    if isinstance(settings, AgentSettings):
        return f"agent {settings.name}, master {', '.join(settings.masters)}"
    rates: defaultdict[str, float] = defaultdict(float)
    for target in settings.targets:
        probe = settings.probes[target.probe]
        for agent in target.agents:
            rates[agent] += probe.pings / probe.step
    busiest = f", at most {max(rates.values()):.4g} pings per second from one agent" if rates else ""
    counts = [(len(settings.targets), "target"), (len(rates), "agent"), (len(settings.probes), "probe")]
    return ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts) + busiest


def _secret_warnings(settings: Settings) -> list[str]:
    """What is wrong with the secret files on this host; the file may be meant for another, so none of it is an error."""
    if isinstance(settings, AgentSettings):
        paths = [settings.shared_secret]
    else:
        paths = [agent.secret_file for agent in settings.agents.values() if agent.secret_file]
    return [problem for path in paths if (problem := _secret_problem(path))]


def _secret_problem(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError as error:
        return f"secret file {path}: {error.strerror}"
    return secret_problem(path, status.st_mode, status.st_uid, os.geteuid())


def _print_values(file: str, whole: bool, as_json: bool) -> None:
    from smokemesh.settings.show import agent_values, master_values

    settings = load(os.path.abspath(file))
    agent = isinstance(settings, AgentSettings)
    values = agent_values(settings, whole) if isinstance(settings, AgentSettings) else master_values(settings, whole)
    if as_json:
        print_json({"kind": "agent" if agent else "master", "settings": values})
        return
    import yaml

    click.echo(
        yaml.safe_dump(values, allow_unicode=True, sort_keys=False, default_flow_style=None, width=120), nl=False
    )
