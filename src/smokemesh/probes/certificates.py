"""Where this system keeps the certificates it trusts: the libcurl of a wheel does not know."""

from pathlib import Path
from typing import Final

from smokemesh.errors import HostError

#: Debian and Ubuntu, Fedora and RHEL, openSUSE, Alpine.
CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def system_ca_file() -> str:
    """The file of trusted certificates."""
    for path in CA_FILES:
        if Path(path).is_file():
            return path
    raise HostError("no CA certificates found on this system; install ca-certificates, or set ca_file")
