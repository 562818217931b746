"""Whom a probe really talks to: mostly the target's host, but a URL or a question's server may name another.

That name is resolved and held against the limits, and its address is what an engine is given.
"""

from smokemesh.model import options
from smokemesh.model.options import HttpOptions
from smokemesh.model.probe import Probe
from smokemesh.probes.urls import fill, url_host

#: Kinds that need to know the host as configured, beside its address.
NAMED = frozenset({"http", "dns", "ssh", "smtp", "command"})
#: Kinds that may do without an address: what a program is told need not be a host at all.
WITHOUT_ADDRESS = frozenset({"command"})


def destination(probe: Probe, host: str) -> str:
    """The name or address whose address the probe needs."""
    if probe.kind == "http":
        urls = options.read(HttpOptions, probe.options).url.split()
        return url_host(fill(urls[0], host)) if urls else host
    return options.measured_host(probe.kind, probe.options, host)
