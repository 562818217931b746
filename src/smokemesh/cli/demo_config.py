"""The master's configuration for the demo's world, as a person would write it."""

import json
from collections.abc import Iterator

from smokemesh.netlab import world


def master_yaml(step: float) -> str:
    """The whole file; rounds begin every `step` seconds."""
    return "\n".join(_lines(step)) + "\n"


def _lines(step: float) -> Iterator[str]:
    yield "heartbeat_interval: 5s"
    # Pings in half of the step: the default timeout then leaves an eighth to spare, even where nobody answers.
    yield f"defaults: {{step: {step:g}s, pings: 20, interval: {step * 25:g}ms}}"
    yield "agents:"
    for name, city in world.CITIES.items():
        yield f"  {name}:"
        yield f"    display_name: {_quote(city.title)}"
        yield f"    color: {_quote(city.color)}"
        yield f"    secret_file: secrets/{name}"
    yield "targets:"
    yield f"  agents: [{', '.join(world.CITIES)}]"
    yield from _cities()
    for group, (title, hosts) in world.GROUPS.items():
        yield f"  {group}:"
        yield f"    menu: {_quote(title)}"
        for name, host in hosts.items():
            yield f"    {name}:"
            yield f"      host: {_quote(host.address)}"
            yield f"      menu: {_quote(host.title)}"
            yield f"      remark: {_quote(host.remark)}"


def _cities() -> Iterator[str]:
    """The agents measure one another, each in both families."""
    yield "  cities:"
    yield "    menu: Between the cities"
    for name, city in world.CITIES.items():
        others = ", ".join(other for other in world.CITIES if other != name)
        for suffix, address in zip(("", "-v6"), city.addresses, strict=True):
            yield f"    {name}{suffix}:"
            yield f"      host: {_quote(address)}"
            yield f"      menu: {_quote(city.title + (', over IPv6' if suffix else ''))}"
            yield f"      agents: [{others}]"


def _quote(text: str) -> str:
    """Text as YAML takes it: JSON strings are YAML strings."""
    return json.dumps(text, ensure_ascii=False)
