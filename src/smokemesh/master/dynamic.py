"""Hosts with changing addresses (SmokePing's DYNAMIC): each tells its own, and proves by a secret that it may.

What stands in the configuration is `DYNAMIC/` and the MD5 of that secret, in base64 without padding.
"""

import base64
import hashlib
import hmac
import ipaddress
import logging
import threading
import time

from smokemesh.errors import NotFound
from smokemesh.model.target import Node
from smokemesh.smokeping.slave_config import DYNAMIC
from smokemesh.storage.slave_book import SlaveBook

log = logging.getLogger(__name__)


class Dynamic:
    """Where dynamic hosts are. Any thread may call."""

    def __init__(self, book: SlaveBook) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._addresses = book.addresses()

    @property
    def addresses(self) -> dict[str, str]:
        """Target -> address. Another dict whenever one of them changed."""
        return self._addresses

    def told(self, tree: Node, target: str, secret: bytes, peer: str) -> bool:
        """A host says where it is; whether that is news. Raises NotFound unless the secret is the target's."""
        path = "/" + target.strip("/").replace(".", "/")
        node = tree.find(path)
        found = DYNAMIC.fullmatch(node.target.host) if node and node.target else None
        wanted = (found[1] if found else None) or ""
        # Of a target that is not there no more is told than of one with another secret.
        if not hmac.compare_digest(wanted.encode(), secret_hash(secret).encode()):
            raise NotFound("no such host, or not its secret")
        address = ipaddress.ip_address(peer.partition("%")[0])
        text = str(getattr(address, "ipv4_mapped", None) or address)
        self._book.told(path, text, time.time_ns())
        with self._lock:
            if self._addresses.get(path) == text:
                return False
            self._addresses = self._addresses | {path: text}
        log.info("host told its address: target=%s address=%s", path, text)
        return True


def secret_hash(secret: bytes) -> str:
    """What stands in the configuration for this secret."""
    return base64.b64encode(hashlib.md5(secret, usedforsecurity=False).digest()).decode().rstrip("=")
