"""NodeState: all that is programmed on one Linux node, in the shape its own tools print.

A NodeState comes from `dataplane.control` (what the agents of a cluster would program) or
from the dumps of a real node; below this point the two cannot be told apart.  Every class
here is the row of one tool's listing, and names its columns as that tool does.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dataplane.errors import NOWHERE, Source
from dataplane.node.ipset_rows import Ipset
from dataplane.node.iptables import Ruleset

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Vxlan:
    """`info_data` of a VXLAN device, as `ip -j -d link` prints it."""

    id: int  # VNI
    port: int = 8472  # outer UDP destination port
    local: Address | None = None  # outer source; None lets the route choose
    link: str | None = None  # device that outer packets must leave by; None = any
    remote: Address | None = None  # where frames for unknown MACs go (`group` or `remote`)
    port_low: int = 0  # outer UDP source ports; 0-0 means net.ipv4.ip_local_port_range
    port_high: int = 0
    ttl: int = 0  # 0 means net.ipv4.ip_default_ttl
    tos: int = 0
    df: str = "unset"  # unset | set | inherit
    learning: bool = True
    udp_csum: bool = True


@dataclass(frozen=True)
class Link:
    """One device: `ip -j -d link`."""

    index: int  # ifindex
    name: str  # ifname
    mac: str  # address, lower case; "" where the device has none
    mtu: int
    kind: str = ""  # info_kind: veth, bridge, vxlan, dummy, …; "" for a physical device
    link_type: str = "ether"  # ether | loopback | none | …
    flags: tuple[str, ...] = ("BROADCAST", "MULTICAST", "UP", "LOWER_UP")
    master: str | None = None  # the bridge (or bond) this device is a port of
    hairpin: bool = False  # bridge port may send a frame back where it came from
    vxlan: Vxlan | None = None
    source: Source = field(default=NOWHERE, compare=False)

    @property
    def is_up(self) -> bool:
        return "UP" in self.flags


@dataclass(frozen=True)
class InterfaceAddress:
    """One entry of `addr_info`: `ip -j addr`."""

    dev: str  # ifname
    local: Address
    prefixlen: int
    scope: str = "global"  # global | link | host
    broadcast: IPv4Address | None = None
    secondary: bool = False
    flags: tuple[str, ...] = ()  # those of dataplane.node.addresses that are set
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class NextHop:
    """One leg of a multipath route."""

    dev: str | None
    gateway: Address | None = None
    weight: int = 1
    onlink: bool = False
    linkdown: bool = False
    realms: str = ""


@dataclass(frozen=True)
class Route:
    """One route: `ip -j route show table all` (and `ip -j -6 route …`)."""

    dst: Network  # "default" is 0.0.0.0/0 or ::/0
    type: str = "unicast"  # unicast | local | broadcast | multicast | blackhole | unreachable | …
    dev: str | None = None
    gateway: Address | None = None
    table: str = "main"  # main | local | default | a number
    metric: int = 0
    prefsrc: Address | None = None
    scope: str = "global"  # global | link | host
    protocol: str = "boot"  # kernel | boot | static | …
    onlink: bool = False
    tos: int = 0  # only packets with these bits of the type of service
    linkdown: bool = False  # its device has no carrier
    mtu: int = 0  # 0 = its device's
    nexthops: tuple[NextHop, ...] = ()  # not empty: multipath, and dev and gateway are None
    realms: str = ""  # TO or FROM/TO: numbers, or names that are not known here
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class RoutingRule:
    """One policy routing rule: `ip -j rule`."""

    priority: int
    table: str | None = None  # main | local | default | a number
    action: str = ""  # "" (look the table up) | goto | nop | blackhole | unreachable | prohibit | …
    family: int = 4  # 4 | 6
    negated: bool = False  # `not`
    src: Network | None = None  # None = all
    dst: Network | None = None
    fwmark: int | None = None
    fwmask: int = 0xFFFFFFFF
    iif: str | None = None
    oif: str | None = None
    tos: int | None = None
    ipproto: int | None = None
    sport: tuple[int, int] | None = None  # first and last
    dport: tuple[int, int] | None = None
    uidrange: tuple[int, int] | None = None
    tun_id: int | None = None
    l3mdev: bool = False
    goto: int | None = None  # priority of the rule to go on with
    suppress_prefixlength: int | None = None  # a route this short, or shorter, is no answer
    suppress_ifgroup: str | None = None  # nor one by a device of this group
    flow_from: str | None = None  # realms
    flow_to: str | None = None
    protocol: str | None = None  # who made the rule, where that is told
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Neighbour:
    """One neighbour entry: `ip -j neigh`."""

    dst: Address
    dev: str
    lladdr: str | None = None  # None while unresolved
    state: tuple[str, ...] = ("PERMANENT",)  # PERMANENT, REACHABLE, STALE, FAILED, …
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class GroupMembership:
    """A multicast group that a device listens to: `ip -j maddr`."""

    dev: str  # ifname
    address: Address
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class FdbEntry:
    """One forwarding database entry: `bridge -j fdb`."""

    mac: str
    dev: str  # ifname: a bridge port, or a VXLAN device
    master: str | None = None  # the bridge, for a port's entry
    dst: Address | None = None  # remote VTEP, for a VXLAN device's own entry
    state: str = ""  # permanent | static | ""
    flags: tuple[str, ...] = ()  # self, …
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class ConntrackTuple:
    """One direction of a connection.  Ports are 0 where the protocol has none."""

    src: Address
    dst: Address
    sport: int = 0  # ICMP: 0
    dport: int = 0  # ICMP: 0
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 0
    zone: int = 0  # of this direction
    packets: int | None = None  # None: not counted
    bytes: int | None = None


@dataclass(frozen=True)
class ConntrackEntry:
    """One connection: a line of `conntrack -L`."""

    protocol: int  # IPPROTO_*
    original: ConntrackTuple
    reply: ConntrackTuple
    timeout: int  # seconds left
    state: str = ""  # TCP, SCTP, DCCP: ESTABLISHED, …; "" for the others
    unreplied: bool = False
    assured: bool = False
    mark: int = 0
    use: int = 1
    secctx: str = ""
    offload: str = ""  # "", OFFLOAD or HW_OFFLOAD: it is somebody else's to watch its time
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class NodeState:
    """Everything programmed on one node."""

    name: str
    links: tuple[Link, ...] = ()
    addresses: tuple[InterfaceAddress, ...] = ()
    routes: tuple[Route, ...] = ()  # both families, all tables
    rules: tuple[RoutingRule, ...] = ()  # empty means the kernel's three default rules
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    groups: tuple[GroupMembership, ...] | None = None  # None = those that a kernel joins itself
    iptables: Ruleset = field(default_factory=Ruleset)  # iptables-save
    ip6tables: Ruleset = field(default_factory=Ruleset)  # ip6tables-save
    ipsets: tuple[Ipset, ...] | None = None  # ipset save, in its order; None = not known
    sysctls: dict[str, str] = field(default_factory=dict)  # dotted name -> value
    conntrack: tuple[ConntrackEntry, ...] = ()
    kernel: str = ""  # release, consulted only where versions differ; "" = newest modelled
    source: Source = field(default=NOWHERE, compare=False)
