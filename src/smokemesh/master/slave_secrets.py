"""SmokePing's secrets file, `name:secret` a line: read again when it changed, refused when others may read it."""

import os
from typing import Final

from smokemesh.errors import HostError
from smokemesh.smokeping.protocol import find_secret

#: Others may neither read nor write it, as SmokePing insists.
_OTHERS: Final = 0o006
_MOST_BYTES: Final = 2**20


class SecretsFile:
    """One file of secrets; "" for none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._text = b""

    def find(self, slave: str) -> bytes | None:
        """The secret of a slave, None for none. Raises HostError: why the file cannot be used."""
        if not self.path:
            return None
        try:
            status = os.stat(self.path)
            if status.st_mode & _OTHERS:
                raise HostError(f"is readable or writable by others: chmod o-rw {self.path}")
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                with open(self.path, "rb") as file:
                    self._text = file.read(_MOST_BYTES)
                self._stamp = stamp
        except OSError as error:
            raise HostError(error.strerror or str(error)) from error
        return find_secret(self._text, slave)
