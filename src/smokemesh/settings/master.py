"""`smokemesh.yaml` and `conf.d/*.yaml` -> MasterSettings, whole and consistent."""

import ipaddress
import posixpath
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from smokemesh.errors import ConfigError
from smokemesh.model.agent import Agent
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node as Tree
from smokemesh.settings.alerting import alert_places, read_alerting, read_alerts
from smokemesh.settings.filetype import insist, refuse_smokeping
from smokemesh.settings.kinds import parse_listen
from smokemesh.settings.merge import merge
from smokemesh.settings.pages import read_presentation, read_smokeping
from smokemesh.settings.probes import DEFAULT, make_probe
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.sections import Read, check_only, read_section
from smokemesh.settings.shape import LOCAL_AGENT, MasterSettings, Retention
from smokemesh.settings.tree import TreeReader
from smokemesh.settings.yaml import Mapping, Node, parse

Reader = Callable[[str], str]
Lister = Callable[[str], Sequence[str]]


def settings_from(root: Node, files: tuple[str, ...]) -> MasterSettings:
    """The settings in nodes that somebody else made (`settings.plain`). Raises ConfigError."""
    return _settings(read_section(root, SECTIONS["master"], ""), files)


def load_master(path: str, read: Reader, listing: Lister | None = None) -> MasterSettings:
    """The settings in a file and, when `listing` tells them, the YAML files in `conf.d` beside it.

    Raises ConfigError. `settings.disk` has a `read` and a `listing` for programs.
    """
    root = _parse_file(path, read, main=True)
    files = [path]
    for more in _list(posixpath.join(posixpath.dirname(path), "conf.d"), listing) if listing else ():
        root = merge(root, _parse_file(more, read, main=False))
        files.append(more)
    return settings_from(root, tuple(files))


def read_file(path: str, read: Reader) -> str:
    """The text of a file. Raises ConfigError in a person's words."""
    try:
        return read(path)
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        raise ConfigError("holds bytes that are not UTF-8; save it as UTF-8", file=path, line=line) from error
    except IsADirectoryError as error:
        raise ConfigError("is a directory; write the path of a file", file=path) from error
    except FileNotFoundError as error:
        raise ConfigError("there is no such file; write the path of a configuration", file=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error


def _list(directory: str, listing: Lister) -> Sequence[str]:
    try:
        return listing(directory)
    except NotADirectoryError as error:
        raise ConfigError("is no directory; make it one, or rename it", file=directory) from error
    except OSError as error:
        raise ConfigError(f"cannot be listed: {error.strerror}", file=directory) from error


def _parse_file(path: str, read: Reader, main: bool) -> Node:
    text = read_file(path, read)
    refuse_smokeping(text, path)
    root = parse(text, path)
    if main or isinstance(root, Mapping):
        insist(root, path, "master")
    return root


def _settings(root: Read, files: tuple[str, ...]) -> MasterSettings:
    storage, values = root.section("storage"), root.values
    defaults = root.section("defaults")
    written = _written_probes(root, defaults)
    probes = {name: _probe(root, name, merged) for name, merged in written.items()}
    agents = {name: _agent(name, entry) for name, entry in values.get("agents", {}).items()}
    alerting = read_alerting(root.section("alerting"))
    hierarchies = values.get("hierarchies", {})
    tree_reader = TreeReader(
        written=written,
        probes=probes,
        agents=frozenset({*agents, LOCAL_AGENT}),
        alerts=frozenset(values.get("alerts", {})),
        hierarchies=frozenset(hierarchies),
        receivers=frozenset(alerting.receivers),
    )
    tree = tree_reader.read(values.get("targets") or Mapping(file=root.node.file, line=root.node.line))
    retention = storage.section("retention").values
    host, port = values.get("listen", parse_listen(SECTIONS["master"].settings["listen"].default))
    return MasterSettings(
        listen_host=host,
        listen_port=port,
        storage_dsn=storage.values.get("dsn", ""),
        storage_cluster=_cluster(storage),
        retention=Retention(**{_RETENTION[key]: value for key, value in retention.items()}),
        catalogue_dsn=root.section("catalogue").values.get("dsn", ""),
        defaults=make_probe(DEFAULT, defaults.values, defaults.error),
        probes=probes,
        agents=agents,
        tree=tree,
        alerts=read_alerts(values.get("alerts", {}), alerting),
        alert_places=alert_places(values.get("alerts", {})),
        alerting=alerting,
        presentation=read_presentation(root.section("presentation"), hierarchies),
        smokeping=read_smokeping(root.section("smokeping")),
        files=files,
        warnings=tuple(_warnings(root, tree)),
        **{key: values[key] for key in ("heartbeat_interval", "upload_interval") if key in values},
    )


def _cluster(storage: Read) -> str:
    cluster: str = storage.values.get("cluster", "")
    if cluster and not storage.values.get("dsn", "").startswith("clickhouse"):
        raise storage.error("cluster", f"{cluster} needs a server: write storage.dsn as clickhouse://HOST/DATABASE")
    return cluster


def _warnings(root: Read, tree: Tree) -> Iterator[str]:
    """What can be used and is probably not meant."""
    targets = [node.target for node in tree.walk() if node.target is not None]
    busy = {agent for target in targets for agent in target.agents}
    for target in targets:
        if _is_group_address(target.host):
            yield f"{root.node.file}: {target.path}: {target.host} is a multicast or broadcast address; agents deny these"
    if not targets:
        yield _place(root, "targets") + "targets: nothing is measured"
    for name, entry in root.values.get("agents", {}).items():
        if name not in busy:
            yield _place(entry, "") + f"agents.{name}: no target names it, so it measures nothing"
    for name, entry in root.values.get("probes", {}).items():
        kind = entry.values.get("kind", "icmp")
        for key in sorted(entry.values.keys() & _IDLE.get(kind, _ICMP_ALONE)):
            yield _place(entry, key) + f"probes.{name}.{key}: has no effect on kind {kind}"
    judged = {alert for target in targets for alert in target.alerts}
    if root.section("alerting").values.get("compat") != "smokeping":  # SmokePing's own files come with unused ones
        for name, entry in root.values.get("alerts", {}).items():
            if name not in judged:
                yield _place(entry, "") + f"alerts.{name}: no target names it, so it judges nothing"
    for target in targets:
        if not target.agents:
            yield f"{root.node.file}: {target.path}: nobody measures it, its list of agents is empty"


#: Settings only echo requests heed, and, for kinds that heed fewer or more, which they do not.
_ICMP_ALONE = frozenset({"size", "dont_fragment"})
_IDLE: dict[str, frozenset[str]] = {
    "icmp": frozenset(),
    "command": _ICMP_ALONE | {"dscp", "ttl", "interface"},
}


def _is_group_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_multicast or str(address) == "255.255.255.255"


def _place(read: Read, key: str) -> str:
    return f"{read.node.files.get(key, read.node.file)}:{read.node.lines.get(key, read.node.line)}: "


_RETENTION = {"raw": "raw", "5m": "m5", "1h": "h1", "1d": "d1"}


def _written_probes(root: Read, defaults: Read) -> dict[str, dict[str, Any]]:
    """What each probe says, the defaults below it. `ping` is there without being written."""
    named: dict[str, Read] = root.values.get("probes", {})
    written = {DEFAULT: dict(defaults.values)}
    for entry in named.values():
        check_only(entry, SECTIONS["probe"], "kind", entry.values.get("kind", "icmp"), "probes")
    return written | {name: {**defaults.values, **entry.values} for name, entry in named.items()}


def _probe(root: Read, name: str, merged: dict[str, Any]) -> Probe:
    entry: Read | None = root.values.get("probes", {}).get(name)
    defaults = root.section("defaults")

    def complain(key: str, message: str) -> ConfigError:
        return (entry if entry is not None and (key in entry.values or not defaults.values) else defaults).error(
            key, message
        )

    return make_probe(name, merged, complain)


def _agent(name: str, entry: Read) -> Agent:
    values = dict(entry.values)
    if "secret_file" in values:
        values["secret_file"] = beside(entry.node.entries["secret_file"].file, values["secret_file"])
    return Agent(name=name, **values)


def beside(file: str, path: str) -> str:
    """A path as written in a file: relative to that file's directory."""
    return posixpath.join(posixpath.dirname(file), path)
