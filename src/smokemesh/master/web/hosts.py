"""What people read for a target's host.

A dynamic host of SmokePing's stands in the configuration as `DYNAMIC/` with a hash of its secret: neither is for
readers. They get the address it told, and `DYNAMIC` until it told one.
"""

from collections.abc import Mapping

from smokemesh.model.target import Target
from smokemesh.smokeping.slave_config import DYNAMIC


def shown_host(target: Target | None, addresses: Mapping[str, str] = {}) -> str:
    """The host, or what stands for it; "" without a target. `addresses` are those dynamic hosts told, by path."""
    if target is None:
        return ""
    if not DYNAMIC.fullmatch(target.host):
        return target.host
    return addresses.get(target.path, "DYNAMIC")
