"""Namespaces: making and entering them, with or without root, and the TUN links inside. All system calls are here.

A namespace made here has no name and no file: it is gone when the last process and the last file descriptor that
refer to it are, so a crash leaves nothing behind.
"""

import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import pack

from smokemesh.errors import HostError

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_TUN_SET_INTERFACE = 0x400454CA
_TUN, _NO_PACKET_INFORMATION = 0x0001, 0x1000
_SET_TIMER_SLACK = 29

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def new_user_namespace() -> None:
    """Become root of a user namespace of our own, which may make network namespaces."""
    user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", _NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise HostError(_cure(error, user)) from error


def new_network_namespace() -> int:
    """Move this thread into a fresh network namespace; the file descriptor stands for it."""
    try:
        _call("unshare", _NEW_NET)
    except OSError as error:
        raise HostError(_cure(error, os.geteuid())) from error
    return current_network_namespace()


def may_make_namespaces() -> bool:
    """Whether this process may make a network namespace as it is: CAP_SYS_ADMIN among its effective capabilities."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 21 & 1)
    return False


def current_network_namespace() -> int:
    """A file descriptor for the network namespace of this thread."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def current_user_namespace() -> int:
    """A file descriptor for the user namespace of this process."""
    return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def enter_network_namespace(namespace: int) -> None:
    """Move this thread into a network namespace: sockets it opens from now on belong there."""
    try:
        _call("setns", namespace, _NEW_NET)
    except PermissionError as error:
        raise HostError("network namespace: only root may enter it; run a program inside instead") from error


@contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Inside the `with`, sockets this thread opens belong to the namespace."""
    before = current_network_namespace()
    try:
        enter_network_namespace(namespace)
        yield
    finally:
        enter_network_namespace(before)
        os.close(before)


def open_tun(name: str) -> int:
    """Make a TUN link in the current namespace; packets are read from and written to the file descriptor."""
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, _TUN_SET_INTERFACE, pack("16sH22x", name.encode(), _TUN | _NO_PACKET_INFORMATION))
    except OSError as error:
        raise HostError(_tun_cure(error)) from error
    return tun


def forward_packets() -> None:
    """Let the current namespace be a router."""
    for knob in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", knob).write_text("1")


def wake_on_time() -> None:
    """Ask the kernel not to round this thread's timers (it may add 50 us by default)."""
    _call("prctl", _SET_TIMER_SLACK, 1, 0, 0, 0)


def go_first() -> None:
    """Run before every ordinary process, as a real network would; left at that where it is not allowed."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def listen(port: int) -> socket.socket:
    """A TCP socket listening on 127.0.0.1 of the current namespace."""
    return socket.create_server(("127.0.0.1", port))


def _cure(error: OSError, user: int) -> str:
    """Why that user could not make a namespace, and what to do."""
    for knob, allowed in (
        ("kernel/unprivileged_userns_clone", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("user/max_user_namespaces", "10000"),
    ):
        value = _knob(knob)
        if value in ("0", "1") and value != allowed:
            name = knob.replace("/", ".")
            return f"network namespace: {name} is {value}; run as root, or: sudo sysctl -w {name}={allowed}"
    if error.errno == errno.ENOSPC:
        return "network namespace: the limit of namespaces is reached; raise user.max_net_namespaces with sysctl -w"
    container = "--cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun"
    cure = "run as root" if user else "this root lacks CAP_SYS_ADMIN"
    return f"network namespace: {os.strerror(error.errno or 0)}; {cure} (in a container: {container})"


def _tun_cure(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return "/dev/net/tun: not there; sudo modprobe tun (in a container: --device /dev/net/tun)"
    return f"/dev/net/tun: {os.strerror(error.errno or 0)}; {_cure(error, os.geteuid()).partition('; ')[2]}"


def _knob(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
