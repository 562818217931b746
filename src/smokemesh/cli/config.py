"""`smokemesh config`: is this file right, what does it come to, and how would it be written plainly?

Any of our files is taken, and SmokePing's; which one it is is told from what stands in it.
"""

import os
import re
import shutil
from collections import defaultdict
from typing import Any

import click

from smokemesh.cli.loading import Loaded, load
from smokemesh.cli.output import print_json
from smokemesh.errors import ConfigError
from smokemesh.settings.filetype import NAMES
from smokemesh.settings.secrets import secret_problem
from smokemesh.settings.shape import LOCAL_AGENT, AgentSettings, MasterSettings

Settings = MasterSettings | AgentSettings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="config")
def command() -> None:
    """Check, show or convert a configuration file: smokemesh.yaml, agent.yaml or SmokePing's."""


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

    SmokePing's file becomes a smokemesh.yaml that means the same; a smokemesh.yaml and its conf.d become one file with
    what differs from the defaults.
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


def _check(file: str) -> dict[str, Any]:
    try:
        loaded = load(file)
    except ConfigError as error:
        return {"file": file, "error": str(error), "line": error.line, "warnings": [], "not_needed": []}
    settings = loaded.settings
    warnings, not_needed = _secret_warnings(settings), []
    if isinstance(settings, MasterSettings):
        if loaded.kind == "smokeping" and (missing := _missing_secrets(settings)):
            told, line = list(settings.warnings), missing.line
            return {"file": file, "error": str(missing), "line": line, "warnings": told, "not_needed": []}
        warnings = [*settings.warnings, *warnings, *_missing_programs(settings)]
        not_needed = list(settings.not_needed)
    return {
        "file": file,
        "error": "",
        "kind": loaded.kind,
        "warnings": warnings,
        "not_needed": not_needed,
        "summary": _summary(settings),
    }


def _print_result(result: dict[str, Any]) -> None:
    for warning in result["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    if result["error"]:
        click.echo(f"smokemesh: {result['error']}", err=True)
    else:
        verdict = "can be used, see the warnings" if result["warnings"] else "ok"
        click.echo(f"{result['file']}: {verdict}, {NAMES[result['kind']]}: {result['summary']}")
    for line in _grouped(result["not_needed"]):
        click.echo(f"not needed: {line}")


def _grouped(entries: list[str]) -> list[str]:
    """Entries `FILE:LINE: SECTION.NAME`, one line for each section of a file."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in entries:
        found = re.fullmatch(r"(.*?):([0-9]+): (.*)", entry)
        file, line, name = found.groups() if found else ("", "", entry)
        groups[file, re.split(r"[.:]", name)[0]].append(f"{name} ({line})" if line else name)
    return [f"{file}: {', '.join(names)}" if file else ", ".join(names) for (file, _), names in groups.items()]


def _summary(settings: Settings) -> str:
    if isinstance(settings, AgentSettings):
        return f"agent {settings.name}, master {', '.join(settings.masters)}"
    rates: defaultdict[str, float] = defaultdict(float)
    for target in settings.targets:
        probe = settings.probes[target.probe]
        for agent in target.agents:
            rates[agent] += probe.pings / probe.step
    busiest = f", at most {max(rates.values()):.4g} pings per second from one agent" if rates else ""
    used = {target.probe for target in settings.targets}
    counts = [(len(settings.targets), "target"), (len(rates), "agent"), (len(used), "probe")]
    return ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts) + busiest


def _missing_programs(settings: MasterSettings) -> list[str]:
    """Programs that probes of the local agent run and that are not on this host."""
    from smokemesh.probes.command_rules import DIRECTORIES, order

    named = {target.probe for target in settings.targets if LOCAL_AGENT in target.agents}
    path = os.pathsep.join((*DIRECTORIES, *os.get_exec_path()))
    found: dict[str, str] = {}
    for probe in (settings.probes[name] for name in sorted(named)):
        if probe.kind != "command":
            continue
        try:
            program = order(probe.options).program
        except ValueError as error:
            found[probe.name] = f"probe {probe.name}: {error}"
            continue
        if not shutil.which(program, path=path):
            why = f"runs {program}, which is not on this host; install it where its agents run"
            found.setdefault(program, f"probe {probe.name} {why}")
    return list(found.values())


def _missing_secrets(settings: MasterSettings) -> ConfigError | None:
    """SmokePing does not start without the secrets file, and here no slave can be served without it."""
    path, slaves = settings.smokeping.secrets_file, settings.agents.keys() - {LOCAL_AGENT}
    if not path or not slaves or os.path.exists(path):
        return None
    file, line = settings.smokeping.secrets_place
    cure = "without it no slave is served; write the path of a file of NAME:SECRET lines, mode 640"
    return ConfigError(f"secrets = {path}: is no file on this host, {cure}", file=file, line=line)


def _secret_warnings(settings: Settings) -> list[str]:
    """What is wrong with the secret files on this host; the file may be meant for another, so none of it is an error."""
    if isinstance(settings, AgentSettings):
        paths = [settings.shared_secret]
    else:
        paths = [agent.secret_file for agent in settings.agents.values() if agent.secret_file]
    if isinstance(settings, MasterSettings) and (shared := settings.smokeping.secrets_file):
        # SmokePing's is read by its web server too, so its mode is judged where it is read.
        return [*_problems(paths), *([] if os.path.exists(shared) else [f"secret file {shared}: is not there"])]
    return _problems(paths)


def _problems(paths: list[str]) -> list[str]:
    return [problem for path in paths if (problem := _secret_problem(path))]


def _secret_problem(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError as error:
        return f"secret file {path}: {error.strerror}"
    return secret_problem(path, status.st_mode, status.st_uid, os.geteuid())


def _print_values(file: str, whole: bool, as_json: bool) -> None:
    loaded = load(os.path.abspath(file))
    values = _values(loaded, whole)
    if as_json:
        kind = "agent" if loaded.kind == "agent" else "master"
        print_json({"kind": kind, "settings": values})
        return
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(values, Dumper=dumper, allow_unicode=True, sort_keys=False, default_flow_style=None, width=120)
    click.echo(text, nl=False)


def _values(loaded: Loaded, whole: bool) -> dict[str, Any]:
    from smokemesh.settings.show import agent_values, master_values

    if loaded.translated is not None and not whole:
        return {key: value if key == "smokeping" else _plainly(value) for key, value in loaded.translated.items()}
    if isinstance(loaded.settings, AgentSettings):
        return agent_values(loaded.settings, whole)
    return master_values(loaded.settings, whole)


def _plainly(value: Any) -> Any:
    """Numbers and yes or no without quotes; our reader takes them as they are written."""
    if isinstance(value, dict):
        return {key: inner if key == "smokeping" else _plainly(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plainly(item) for item in value]
    if value in ("true", "false"):
        return value == "true"
    return int(value) if re.fullmatch(r"0|[1-9][0-9]{0,15}", value) else value
