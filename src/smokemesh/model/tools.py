"""Tools: known programs that measure, and what each may be told. `probes.tools` makes their command lines and reads them.

The options bear the names they have in SmokePing's probes. They travel as lines `key=value` in `CommandOptions.settings`.
Times are seconds. A field listed in `FREE` could make an agent do more than measure: it is followed only where the
agent's own `limits.commands` names the tool.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from smokemesh.model.options import read as read_pairs
from smokemesh.model.options import write as write_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What every tool may be told."""

    #: Path of the program; "" finds it by its usual name. Anything else than that program in a system directory is free.
    binary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKeyscan(Tool):
    """ssh-keyscan until the server's greeting (SSH)."""

    keytype: str = "rsa"
    port: int = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Traceroute(Tool):
    """traceroute to `desthost`; the RTT is that of the hop which is the target (TraceroutePing)."""

    #: "" traces to the target itself.
    desthost: str = ""
    minttl: int = 1
    maxttl: int = 30
    wait: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Irtt(Tool):
    """irtt's client, one run a round (IRTT). The pings are `Probe.spacing` apart."""

    #: rtt, send, receive, ipdv, send_ipdv or receive_ipdv.
    metric: str = "rtt"
    #: 0 keeps the client's own.
    length: int = 0
    dscp: str = ""
    fill: str = ""
    serverfill: str = ""
    localaddr: str = ""
    port: int = 0
    #: Stands on the command line, where every user of the host can read it: free.
    hmac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSak(Tool):
    """sipsak's OPTIONS messages, one run a round (SipSak)."""

    user: str = ""
    port: int = 0
    #: Free.
    params: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsPing(Tool):
    """nfsping, one run a round (NFSping)."""

    tcp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoPing(Tool):
    """echoping, one run a round (EchoPing and all its kin)."""

    #: echo, chargen, discard, smtp, http, https, icp, or a plugin: dns, ldap, whois, plugin (then `plugin`).
    service: str = "echo"
    waittime: int = 0
    size: int = 0
    tos: str = ""
    priority: str = ""
    fill: str = ""
    udp: bool = False
    #: http, https: the document; icp: the URL asked for.
    url: str = "/"
    port: int = 0
    ignore_cache: bool = False
    revalidate_data: bool = False
    accept_redirects: bool = False
    dns_request: str = ""
    dns_type: str = "A"
    dns_tcp: bool = False
    ldap_request: str = ""
    ldap_base: str = ""
    ldap_scope: str = ""
    whois_request: str = ""
    #: Free, as are the next two.
    plugin: str = ""
    pluginargs: str = ""
    extraopts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSearch(Tool):
    """ldapsearch: connect, bind, search (LDAP). The RTT is the time it ran."""

    filter: str = "(objectClass=*)"
    base: str = ""
    binddn: str = ""
    #: Never on the command line. Better kept on the agent: `CommandOptions.environment_file`, or `passwordfile`.
    password: str = ""
    #: SmokePing's: `host:user:password` a line, on the agent, readable by its owner only. Free.
    passwordfile: str = ""
    #: Parted by blanks.
    attrs: str = ""
    scope: str = "sub"
    port: int = 0
    scheme: str = "ldap"
    version: int = 3
    start_tls: bool = False
    #: none, optional or require: the server's certificate.
    verify: str = "require"


@dataclass(frozen=True, slots=True, kw_only=True)
class RadClient(Tool):
    """radclient's Access-Request (Radius). The RTT is the time it ran."""

    username: str = ""
    #: As with LdapSearch; PASSWORD and SECRET in `CommandOptions.environment_file`.
    password: str = ""
    secret: str = ""
    #: `host:user:password` and `host:secret` a line, on the agent, readable by its owner only. Free.
    passwordfile: str = ""
    secretfile: str = ""
    port: int = 1812
    nas_ip_address: str = ""
    #: An Access-Reject is an answer too.
    allowreject: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpTransfer(Tool):
    """A file fetched from or put on an FTP server by curl (FTPtransfer). The RTT is curl's time_total."""

    #: get: what is fetched from the server, and thrown away. put: a file on the agent (free).
    srcfile: str = ""
    mode: str = "get"
    #: put: its name on the server; "" takes the last part of `srcfile`.
    destfile: str = ""
    username: str = "anonymous"
    password: str = ""
    #: SmokePing's, as with LdapSearch. Free.
    passwordfile: str = ""
    port: int = 21
    passive: bool = True
    localaddr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quakestat(Tool):
    """quakestat's question to a game server (Qstat)."""

    game: str = "q3s"
    port: int = 0
    sourceaddress: str = ""
    sourceport: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFPing(Tool):
    """fping run on another host over ssh, one run a round (RemoteFPing). `binary` is ssh."""

    rhost: str = ""
    #: "" logs in as the agent's user, by its own key.
    ruser: str = ""
    rport: int = 0
    rbinary: str = "fping"
    packetsize: int = 56
    tos: str = ""
    sourceaddress: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshPing(Tool):
    """A router's own ping over ssh, one run a round (OpenSSHJunOSPing, OpenSSHEOSPing). `binary` is ssh."""

    #: junos or eos.
    system: str = "junos"
    #: The router.
    source: str = ""
    user: str = ""
    #: Given to sshpass in its environment; "" logs in with the agent's own key.
    password: str = ""
    #: The address the router pings from.
    psource: str = ""
    packetsize: int = 100
    tos: str = ""
    #: EOS: say `enable` before the ping.
    enable: bool = False


#: Name -> its options. Each has a file in `probes.tools`.
TOOLS: Final[dict[str, type[Any]]] = {
    "ssh-keyscan": SshKeyscan,
    "traceroute": Traceroute,
    "irtt": Irtt,
    "sipsak": SipSak,
    "nfsping": NfsPing,
    "echoping": EchoPing,
    "ldapsearch": LdapSearch,
    "radclient": RadClient,
    "ftp": FtpTransfer,
    "quakestat": Quakestat,
    "remote-fping": RemoteFPing,
    "ssh-ping": SshPing,
}

#: Tool -> options that are followed only with the agent's leave.
FREE: Final[dict[str, tuple[str, ...]]] = {
    "irtt": ("hmac",),
    "sipsak": ("params",),
    "echoping": ("plugin", "pluginargs", "extraopts"),
    "ldapsearch": ("passwordfile",),
    "radclient": ("passwordfile", "secretfile"),
    "ftp": ("passwordfile",),
    # These log in elsewhere with the agent's own key.
    "remote-fping": ("rhost",),
    "ssh-ping": ("source",),
}

#: Options whose value must not be shown (nor become part of a probe's name).
HIDDEN: Final = ("password", "secret", "hmac")


def read(name: str, settings: str) -> Any:
    """A tool's options from the lines of `CommandOptions.settings`. Raises ValueError that names what is wrong."""
    if name not in TOOLS:
        raise ValueError(f"tool {name!r} is unknown, write one of {', '.join(sorted(TOOLS))}")
    pairs = []
    for line in filter(None, (line.strip() for line in settings.splitlines())):
        key, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"settings: {line!r} is no key=value")
        if key.strip() not in {field.name for field in fields(TOOLS[name])}:
            raise ValueError(f"settings: {name} has no option {key.strip()!r}")
        pairs.append((key.strip(), value.strip()))
    return read_pairs(TOOLS[name], pairs)


def write(options: Any) -> str:
    """The lines for `CommandOptions.settings`: what differs from the defaults, sorted."""
    return "\n".join(f"{key}={value}" for key, value in write_pairs(options))
