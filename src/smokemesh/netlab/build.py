"""Builds the namespaces and links of a plan.

A site is a namespace whose default route is a TUN link: what it sends, the responder reads. A site with a wire has a
real link (veth) instead, to a router namespace of its own that holds the TUN, so packets can be captured on the way.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from smokemesh.errors import HostError
from smokemesh.netlab import namespace
from smokemesh.netlab.control import Plan, SitePlan
from smokemesh.netlab.netlink import Address, Netlink

#: Packets that may wait in a TUN link for the responder; more than a burst of rounds ever sends at once.
_QUEUE = 100_000
_TUN, WIRE = "tun0", "wire0"
_SITE_MAC, _ROUTER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
#: The router as its site knows it. No packet ever carries these addresses.
_GATEWAYS = {4: "169.254.0.1", 6: "fe80::1"}
_ANYWHERE = {4: "0.0.0.0", 6: "::"}


@dataclass(frozen=True, slots=True)
class Built:
    """File descriptors: the sites' namespaces, the TUN of each site, the user namespace if there is one."""

    namespaces: list[int]
    tuns: list[int]
    user: list[int]


def build(plan: Plan) -> Built:
    """Make all sites; raises HostError when this machine does not let us."""
    user = []
    if plan.unprivileged:
        namespace.new_user_namespace()
        user.append(namespace.current_user_namespace())
    namespaces, tuns = [], []
    for site in plan.sites:
        try:
            made, tun = _wired(site) if site.wire else _plain(site)
        except OSError as error:
            raise HostError(f"site {site.name}: {error.strerror}; the kernel lacks a kind of link it needs") from error
        namespaces.append(made)
        tuns.append(tun)
    return Built(namespaces, tuns, user)


def _addresses(site: SitePlan) -> list[Address]:
    return [ip_address(text) for text in site.addresses]


def _plain(site: SitePlan) -> tuple[int, int]:
    made = namespace.new_network_namespace()
    tun = namespace.open_tun(_TUN)
    with Netlink() as link:
        link.up("lo")
        link.up(_TUN, _QUEUE)
        for address in _addresses(site):
            link.address(_TUN, address)
        for version in sorted({address.version for address in _addresses(site)}):
            link.route(_TUN, ip_address(_ANYWHERE[version]), 0)
    return made, tun


def _wired(site: SitePlan) -> tuple[int, int]:
    router = namespace.new_network_namespace()
    namespace.forward_packets()
    tun = namespace.open_tun(_TUN)
    made = namespace.new_network_namespace()
    with Netlink() as link:
        link.veth(WIRE, _SITE_MAC, WIRE, _ROUTER_MAC, router)
        link.up("lo")
        link.up(WIRE)
        for address in _addresses(site):
            link.address(WIRE, address)
        for version in sorted({address.version for address in _addresses(site)}):
            link.neighbour(WIRE, ip_address(_GATEWAYS[version]), _ROUTER_MAC)
            link.route(WIRE, ip_address(_ANYWHERE[version]), 0, _GATEWAYS[version])
    with namespace.entered(router), Netlink() as link:
        link.up("lo")
        link.up(_TUN, _QUEUE)
        link.up(WIRE)
        for address in _addresses(site):
            link.route(WIRE, address, address.max_prefixlen)
            link.neighbour(WIRE, address, _SITE_MAC)
        for version in sorted({address.version for address in _addresses(site)}):
            link.route(_TUN, ip_address(_ANYWHERE[version]), 0)
    return made, tun
