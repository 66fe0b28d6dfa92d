"""A NodeState under construction: one agent after the other writes into it."""

from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_network

from dataplane.cluster.objects import Node
from dataplane.control.tables import Tables
from dataplane.node.state import (
    FdbEntry,
    InterfaceAddress,
    Link,
    Neighbour,
    NodeState,
    Route,
)


@dataclass
class Draft:
    node: Node
    links: list[Link] = field(default_factory=list)
    addresses: list[InterfaceAddress] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    fdb: list[FdbEntry] = field(default_factory=list)
    iptables: Tables = field(default_factory=Tables)
    ip6tables: Tables = field(default_factory=Tables)
    sysctls: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.node.metadata.name

    @property
    def next_ifindex(self) -> int:
        return len(self.links) + 1

    def add_address(self, dev: str, interface: IPv4Interface | IPv6Interface) -> None:
        """The address, and the routes that the kernel adds for it by itself (fib_add_ifaddr)."""
        scope = "host" if interface.ip.is_loopback else "global"
        broadcast = None
        if isinstance(interface, IPv4Interface) and scope == "global":
            if interface.network.prefixlen < 31:
                broadcast = interface.network.broadcast_address
        self.addresses.append(
            InterfaceAddress(dev, interface.ip, interface.network.prefixlen, scope, broadcast)
        )
        self.routes += _kernel_routes(dev, interface)

    def freeze(self) -> NodeState:
        return NodeState(
            name=self.name,
            links=tuple(self.links),
            addresses=tuple(self.addresses),
            routes=tuple(sorted(self.routes, key=_route_order)),
            neighbours=tuple(self.neighbours),
            fdb=tuple(self.fdb),
            iptables=self.iptables.freeze(),
            ip6tables=self.ip6tables.freeze(),
            sysctls=dict(sorted(self.sysctls.items())),
            kernel=self.node.kernel_version,
            source=self.node.metadata.source,
        )


def _kernel_routes(dev: str, interface: IPv4Interface | IPv6Interface) -> list[Route]:
    if isinstance(interface, IPv6Interface):
        return _kernel_routes6(dev, interface)
    address, network = interface.ip, interface.network
    here = ip_network(address)
    routes = [Route(here, "local", dev, None, "local", 0, address, "host", "kernel")]
    if address.is_loopback:
        routes.append(Route(network, "local", dev, None, "local", 0, address, "host", "kernel"))
    elif network.prefixlen < 32:
        routes.append(Route(network, "unicast", dev, None, "main", 0, address, "link", "kernel"))
    if network.prefixlen < 31:
        last = ip_network(network.broadcast_address)
        routes.append(Route(last, "broadcast", dev, None, "local", 0, address, "link", "kernel"))
    return routes


def _kernel_routes6(dev: str, interface: IPv6Interface) -> list[Route]:
    here = ip_network(interface.ip)
    routes = [Route(here, "local", dev, table="local", protocol="kernel")]
    if not interface.ip.is_loopback:
        # IP6_RT_PRIO_ADDRCONF
        connected = Route(interface.network, dev=dev, metric=256, protocol="kernel")
        routes.append(connected)
    return routes


def _route_order(route: Route) -> tuple[int, bool, int, int]:
    """IPv4 first, the main table first, then by destination, as `ip route` lists them."""
    network = route.dst
    return (
        network.version,
        route.table != "main",
        int(network.network_address),
        network.prefixlen,
    )
