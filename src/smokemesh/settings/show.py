"""Settings -> plain values in the shape of our files: whole, for reading; or only what differs from the defaults.

What comes out can be read again and means the same. Inherited values stand where they hold.
"""

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from smokemesh.model.agent import Agent
from smokemesh.model.alert import Alert
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.settings.durations import format_duration, format_size
from smokemesh.settings.probes import DEFAULT, usual_timeout
from smokemesh.settings.reference import OVERRIDES, SECTIONS
from smokemesh.settings.shape import LOCAL_AGENT, AgentSettings, Limits, MasterSettings, Retention, SpoolSettings

_DURATIONS = frozenset({"step", "offset", "interval", "timeout"})
_PASSWORD = re.compile(r"(?<=:)[^:/@]*(?=@)")


def master_values(settings: MasterSettings, whole: bool) -> dict[str, Any]:
    """A master's settings; with `whole`, defaults too, and passwords hidden."""
    shown = _hide if whole else str
    retention = {key: format_duration(getattr(settings.retention, name)) for key, name in _RETENTION.items()}
    default = {key: format_duration(getattr(Retention(), name)) for key, name in _RETENTION.items()}
    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    plain = {
        "listen": f"{host}:{settings.listen_port}",
        "storage": _filled(
            {
                "dsn": shown(settings.storage_dsn),
                "cluster": settings.storage_cluster,
                "retention": retention if whole else {k: v for k, v in retention.items() if v != default[k]},
            }
        ),
        "catalogue": _filled({"dsn": shown(settings.catalogue_dsn)}),
        "heartbeat_interval": format_duration(settings.heartbeat_interval),
        "upload_interval": format_duration(settings.upload_interval),
        "probes": {name: _probe(probe, whole) for name, probe in settings.probes.items() if "#" not in name},
        "agents": {name: _agent(agent) for name, agent in settings.agents.items()},
        "targets": _node(settings.tree, settings, whole),
        "alerts": {name: _alert(alert) for name, alert in settings.alerts.items()},
    }
    if not whole:
        plain = _unusual(plain, "master")
        if plain["probes"] == {DEFAULT: {}}:
            del plain["probes"]
    return _filled(plain)


def agent_values(settings: AgentSettings, whole: bool) -> dict[str, Any]:
    """An agent's settings; with `whole`, defaults too."""
    plain: dict[str, Any] = {
        "name": settings.name,
        "masters": list(settings.masters),
        "shared_secret": settings.shared_secret,
        "data": settings.data,
        "auth_timeout": format_duration(settings.auth_timeout),
        "assignment_ttl": format_duration(settings.assignment_ttl),
        "ca_file": settings.ca_file,
        "limits": _limits(settings.limits, Limits(), whole),
        "spool": _spool(settings.spool, SpoolSettings(), whole),
        "labels": dict(settings.labels),
    }
    return _filled(plain if whole else _unusual(plain, "agent"))


def _unusual(plain: dict[str, Any], section: str) -> dict[str, Any]:
    known = SECTIONS[section].settings
    return {key: value for key, value in plain.items() if value != known[key].default}


_RETENTION = {"raw": "raw", "5m": "m5", "1h": "h1", "1d": "d1"}


def _probe(probe: Probe, whole: bool) -> dict[str, Any]:
    if whole:
        return {"kind": probe.kind, **_probe_values(probe, OVERRIDES)}
    usual = Probe(name="", timeout=usual_timeout(probe.step))
    return _probe_values(probe, [key for key in OVERRIDES if getattr(probe, key) != getattr(usual, key)])


def _probe_values(probe: Probe, keys: Iterable[str]) -> dict[str, Any]:
    return {key: _spell(key, getattr(probe, key)) for key in keys if getattr(probe, key) != ""}


def _spell(key: str, value: Any) -> Any:
    if value is None:
        return "spread"
    return format_duration(value) if key in _DURATIONS else value


def _node(node: Node, settings: MasterSettings, whole: bool) -> dict[str, Any]:
    named = {"menu": node.menu, "title": node.title, "remark": node.remark}
    usual = {} if whole else {"menu": node.name, "title": node.menu}
    plain: dict[str, Any] = {key: value for key, value in named.items() if value and value != usual.get(key)}
    if node.hidden:
        plain["hidden"] = True
    own = _target(node.target, settings, whole) if node.target else {}
    return own | plain | {child.name: _node(child, settings, whole) for child in node.children}


def _target(target: Target, settings: MasterSettings, whole: bool) -> dict[str, Any]:
    base, probe = settings.probes[target.probe.partition("#")[0]], settings.probes[target.probe]
    differing = [key for key in OVERRIDES if getattr(probe, key) != _handed_down(key, base, probe, whole)]
    plain: dict[str, Any] = {
        "host": target.host,
        "probe": base.name,
        "agents": list(target.agents),
        "addresses": target.addresses,
        "alerts": list(target.alerts),
        "parents": list(target.parents),
        "labels": dict(target.labels),
    }
    if not whole:
        usual = {"probe": DEFAULT, "agents": [LOCAL_AGENT], "addresses": "first"}
        plain = {key: value for key, value in plain.items() if value != usual.get(key)}
    return _filled(plain) | _probe_values(probe, differing)


def _handed_down(key: str, base: Probe, probe: Probe, whole: bool) -> Any:
    """What a target gets from its probe without writing it; a timeout nobody wrote follows the target's own step."""
    if key == "timeout" and not whole and base.timeout == usual_timeout(base.step):
        return usual_timeout(probe.step)
    return getattr(base, key)


def _agent(agent: Agent) -> dict[str, Any]:
    return {f.name: getattr(agent, f.name) for f in fields(agent) if f.name != "name" and getattr(agent, f.name)}


def _alert(alert: Alert) -> dict[str, Any]:
    plain = {"type": alert.type, "pattern": alert.pattern, "to": list(alert.to), "comment": alert.comment}
    return {key: value for key, value in plain.items() if value}


def _limits(limits: Limits, default: Limits, whole: bool) -> dict[str, Any]:
    spelt: dict[str, Any] = {}
    for f in fields(limits):
        value = getattr(limits, f.name)
        if whole or value != getattr(default, f.name):
            spelt[f.name] = _limit(f.name, value)
    return spelt


def _limit(key: str, value: Any) -> Any:
    if "interval" in key:
        return format_duration(value)
    if isinstance(value, tuple):
        return list(value)
    return int(value) if value == int(value) else value


def _spool(spool: SpoolSettings, default: SpoolSettings, whole: bool) -> dict[str, Any]:
    spelt = {"most_bytes": format_size(spool.most_bytes), "most_age": format_duration(spool.most_age)}
    usual = {"most_bytes": format_size(default.most_bytes), "most_age": format_duration(default.most_age)}
    return spelt if whole else {key: value for key, value in spelt.items() if value != usual[key]}


def _filled(plain: dict[str, Any]) -> dict[str, Any]:
    """Without keys that hold nothing."""
    return {key: value for key, value in plain.items() if value not in ("", [], {})}


def _hide(dsn: str) -> str:
    """A URL without its password."""
    return _PASSWORD.sub("***", dsn)
