"""The URLs of HTTP probes: written for any host, filled in for one."""

from urllib.parse import urlsplit


def fill(url: str, host: str) -> str:
    """A URL for this host; SmokePing writes `%host%` where we write `{host}`."""
    return url.replace("{host}", bracketed(host)).replace("%host%", bracketed(host))


def bracketed(host: str) -> str:
    """A host as it stands in a URL: IPv6 addresses in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def url_host(url: str) -> str:
    """The host a URL names, "" when it names none. As curl has it, a URL may come without its scheme."""
    try:
        return urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    except ValueError:
        return ""
