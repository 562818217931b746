"""Whom a probe really talks to: mostly the target's host, but a URL or a question's server may name another.

That name is resolved and held against the limits, and its address is what an engine is given.
"""

from urllib.parse import urlsplit

from smokemesh.model import options
from smokemesh.model.options import DnsOptions, HttpOptions
from smokemesh.model.probe import Probe

#: Kinds that need to know the host as configured, beside its address.
NAMED = frozenset({"http", "dns", "ssh", "smtp", "command"})
#: Kinds that may do without an address: what a program is told need not be a host at all.
WITHOUT_ADDRESS = frozenset({"command"})


def destination(probe: Probe, host: str) -> str:
    """The name or address whose address the probe needs."""
    if probe.kind == "dns":
        return options.read(DnsOptions, probe.options).server or host
    if probe.kind == "http":
        urls = options.read(HttpOptions, probe.options).url.split()
        return url_host(fill(urls[0], host)) if urls else host
    return host


def fill(url: str, host: str) -> str:
    """A URL for this host; SmokePing writes `%host%` where we write `{host}`."""
    return url.replace("{host}", bracketed(host)).replace("%host%", bracketed(host))


def bracketed(host: str) -> str:
    """A host as it stands in a URL: IPv6 addresses in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") and host.count(":") > 1 else host


def url_host(url: str) -> str:
    """The host a URL names; "" when it names none."""
    try:
        return urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    except ValueError:
        return ""
