"""Which tool is which instrument. Its names are those of `model.tools.TOOLS`."""

from typing import Final

from smokemesh.probes.tools import (
    echoping,
    fping_lines,
    irtt,
    logins,
    quakestat,
    sipsak,
    ssh_keyscan,
    ssh_ping,
    traceroute,
)
from smokemesh.probes.tools.run import Instrument

INSTRUMENTS: Final[dict[str, Instrument]] = {
    "ssh-keyscan": ssh_keyscan.INSTRUMENT,
    "traceroute": traceroute.INSTRUMENT,
    "irtt": irtt.INSTRUMENT,
    "sipsak": sipsak.INSTRUMENT,
    "nfsping": fping_lines.NFSPING,
    "echoping": echoping.INSTRUMENT,
    "ldapsearch": logins.LDAP,
    "radclient": logins.RADIUS,
    "ftp": logins.FTP,
    "quakestat": quakestat.INSTRUMENT,
    "remote-fping": fping_lines.REMOTE,
    "ssh-ping": ssh_ping.INSTRUMENT,
}
