"""Programs that log in: ldapsearch, radclient, curl's FTP. Passwords reach them by files in memory, never by words."""

from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from smokemesh.model.tools import FtpTransfer, LdapSearch, RadClient
from smokemesh.probes.tools.run import SECRET_FILE, Ask, Instrument, Output, Run, at, given, number, ran

#: How strictly libldap looks at the server's certificate (ldap.conf(5), TLS_REQCERT).
_VERIFY: Final = {"none": "never", "optional": "try", "require": "demand"}


def _password(written: str, ask: Ask, name: str = "PASSWORD") -> str:
    """The agent's own files come first. Raises ValueError for what cannot be handed on."""
    password = ask.secrets.get(name, written)
    if any(c in password for c in "\r\n\0"):
        raise ValueError(f"{name.lower()} holds a line break")
    return password


def _ldap(options: LdapSearch, ask: Ask) -> Run:
    if options.scheme not in ("ldap", "ldaps"):
        raise ValueError(f"scheme {options.scheme!r} is unknown, write ldap or ldaps")
    if options.verify not in _VERIFY:
        raise ValueError(f"verify {options.verify!r} is unknown, write one of {', '.join(_VERIFY)}")
    encrypted = options.scheme == "ldaps" or options.start_tls
    # A certificate names the host, not its address.
    server = at(
        ask.host if encrypted and ask.host else ask.address, options.port or (636 if options.scheme == "ldaps" else 389)
    )
    password = _password(options.password, ask)
    login = ("-D", options.binddn, "-y", SECRET_FILE) if options.binddn else ()
    limit = max(1, round(ask.timeout))
    words = given(
        "ldapsearch", "-x", "-LLL", "-H", f"{options.scheme}://{server}", "-P", str(options.version),
        "-s", options.scope, ("-b", options.base), "-l", str(limit), "-o", f"nettimeout={limit}",
        ("-ZZ", options.start_tls), *login, "--", options.filter, *options.attrs.split(),
    )  # fmt: skip
    return Run(words, secret=password.encode(), environment=(("LDAPTLS_REQCERT", _VERIFY[options.verify]),))


def _radius(options: RadClient, ask: Ask) -> Run:
    secret = _password(options.secret, ask, "SECRET")
    if not secret:
        raise ValueError("no secret for the RADIUS server; write SECRET=… into environment_file")
    pairs = {"User-Name": options.username, "User-Password": _password(options.password, ask)}
    lines = [f"{name} = {_quoted(value)}" for name, value in pairs.items()]
    if options.nas_ip_address:
        lines.append(f"NAS-IP-Address = {options.nas_ip_address.split()[0]}")
    words = ("radclient", f"-{ask.family}", "-x", "-r", "1", "-t", f"{ask.timeout:g}", "-S", SECRET_FILE)
    server = at(ask.address, options.port or 1812)
    return Run((*words, server, "auth"), stdin="\n".join(lines).encode() + b"\n", secret=secret.encode() + b"\n")


def _read_radius(output: Output, options: RadClient, _ask: Ask) -> list[float]:
    rejected = options.allowreject and b"Received Access-Reject" in output.stdout
    return [output.elapsed] if output.status == 0 or rejected else []


def _quoted(text: str) -> str:
    if any(c in text for c in "\r\n\0"):
        raise ValueError(f"{text!r} holds a line break")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ftp(options: FtpTransfer, ask: Ask) -> Run:
    if options.mode not in ("get", "put") or not options.srcfile:
        raise ValueError("mode must be get or put, and srcfile must be written")
    put = options.mode == "put"
    name = (options.destfile or PurePosixPath(options.srcfile).name) if put else options.srcfile
    user = _quoted(f"{options.username}:{_password(options.password, ask)}")
    words = given(
        "curl", "-q", "-sS", "--globoff", "--proto", "=ftp", "--max-time", f"{ask.timeout:g}", "-w", "%{time_total}",
        "--noproxy", "*", "-K", SECRET_FILE, ("--interface", options.localaddr or ask.source),
        *(() if options.passive else ("--ftp-port", "-")), *(("-T", options.srcfile) if put else ("-o", "/dev/null")),
        f"ftp://{at(ask.address, options.port or 21)}/{quote(name.lstrip('/'))}",
    )  # fmt: skip
    return Run(words, secret=f"user = {user}\n".encode())


def _read_ftp(output: Output, _options: FtpTransfer, _ask: Ask) -> list[float]:
    return [number(output.stdout.decode("ascii", "replace").strip(), 1.0)] if output.status == 0 else []


LDAP: Final = Instrument("ldapsearch", _ldap, ran, own_clock=False)
RADIUS: Final = Instrument("radclient", _radius, _read_radius, own_clock=False)
FTP: Final = Instrument("curl", _ftp, _read_ftp)
