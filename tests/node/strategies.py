"""What a node may hold, from small pools, so that things collide."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st

from dataplane.node.addresses import FLAGS
from dataplane.node.state import (
    ConntrackEntry,
    ConntrackTuple,
    FdbEntry,
    GroupMembership,
    InterfaceAddress,
    Link,
    Neighbour,
    NextHop,
    NodeState,
    Route,
    RoutingRule,
    Vxlan,
)
from tests.node.strategies_ipset import ipsets
from tests.node.strategies_iptables import networks4, networks6, rulesets

DEVICES = ("lo", "eth0", "cni0", "flannel.1", "veth1a2b")
MACS = ("0a:58:0a:f4:01:02", "0a:58:c0:a8:32:0b", "00:00:00:00:00:00")
ADDRESSES4 = tuple(map(IPv4Address, ("10.244.1.2", "10.244.2.3", "10.96.0.10", "192.168.50.11")))
ADDRESSES6 = tuple(map(IPv6Address, ("fd00::1", "fe80::1", "2001:db8::ffff:1", "::ffff:1.2.3.4")))

addresses4 = st.sampled_from(ADDRESSES4)
addresses6 = st.sampled_from(ADDRESSES6)
addresses = addresses4 | addresses6
devices = st.sampled_from(DEVICES)
macs = st.sampled_from(MACS)


def optional(strategy):
    return st.none() | strategy


vxlans = st.builds(
    Vxlan,
    id=st.integers(1, 3),
    port=st.sampled_from((4789, 8472)),
    local=optional(addresses),
    link=optional(devices),
    remote=optional(addresses | st.just(IPv4Address("239.1.1.1"))),
    port_low=st.sampled_from((0, 1000)),
    port_high=st.sampled_from((0, 2000)),
    ttl=st.sampled_from((0, 64)),
    tos=st.sampled_from((0, 1, 16)),
    df=st.sampled_from(("unset", "set", "inherit")),
    learning=st.booleans(),
    udp_csum=st.booleans(),
)


@st.composite
def one_link(draw):
    kind = draw(st.sampled_from(("", "veth", "bridge", "vxlan", "dummy")))
    master = draw(optional(devices))
    flags = st.lists(st.sampled_from(("BROADCAST", "UP", "LOWER_UP")), unique=True)
    return Link(
        index=draw(st.integers(1, 9)),
        name=draw(devices),
        mac=draw(macs | st.just("")),
        mtu=draw(st.sampled_from((1450, 1500, 65536))),
        kind=kind,
        link_type=draw(st.sampled_from(("ether", "loopback"))),
        flags=tuple(draw(flags)),
        master=master,
        hairpin=master is not None and draw(st.booleans()),
        vxlan=draw(optional(vxlans)) if kind == "vxlan" else None,
    )


links = st.lists(one_link(), max_size=4).map(tuple)


@st.composite
def one_address(draw):
    local = draw(addresses)
    return InterfaceAddress(
        dev=draw(devices),
        local=local,
        prefixlen=draw(st.sampled_from((24, 32))),
        scope=draw(st.sampled_from(("global", "link", "host"))),
        broadcast=draw(optional(addresses4)) if local.version == 4 else None,
        secondary=draw(st.booleans()),
        flags=tuple(name for name in FLAGS if draw(st.booleans())),
    )


interface_addresses = st.lists(one_address(), max_size=4).map(tuple)

nexthops = st.builds(
    NextHop,
    dev=optional(devices),
    gateway=optional(addresses),
    weight=st.integers(1, 3),
    onlink=st.booleans(),
    realms=st.sampled_from(("", "", "5", "3/5", "here")),
)


@st.composite
def one_route(draw, family=4):
    default = IPv4Network("0.0.0.0/0") if family == 4 else IPv6Network("::/0")
    own = addresses4 if family == 4 else addresses6
    several = draw(st.lists(nexthops, max_size=2).map(tuple))
    return Route(
        dst=draw((networks4 if family == 4 else networks6) | st.just(default)),
        type=draw(st.sampled_from(("unicast", "local", "blackhole", "broadcast"))),
        dev=None if several else draw(optional(devices)),
        gateway=None if several else draw(optional(addresses)),
        table=draw(st.sampled_from(("main", "local", "100"))),
        metric=draw(st.sampled_from((0, 256, 1024))),
        prefsrc=draw(optional(own)),
        scope=draw(st.sampled_from(("global", "link", "host"))),
        protocol=draw(st.sampled_from(("boot", "kernel", "static"))),
        onlink=draw(st.booleans()),
        tos=draw(st.sampled_from((0, 0, 0x10))),
        linkdown=draw(st.booleans()),
        mtu=draw(st.sampled_from((0, 0, 1400))),
        nexthops=several,
        realms=draw(st.sampled_from(("", "", "5", "3/5", "here"))),
    )


def routes(family=4):
    return st.lists(one_route(family), max_size=4).map(tuple)


@st.composite
def one_routing_rule(draw, family=4):
    prefixes = optional(networks4 if family == 4 else networks6)
    mark = draw(optional(st.sampled_from((0, 1, 0x4000))))
    action = draw(st.sampled_from(("", "blackhole", "unreachable", "nop", "goto")))
    ranges = optional(st.sampled_from(((80, 80), (10, 20), (0, 65535))))
    return RoutingRule(
        priority=draw(st.sampled_from((0, 100, 32766))),
        table=draw(optional(st.sampled_from(("main", "local", "100")))),
        action=action,
        goto=draw(st.sampled_from((0, 200, 32766))) if action == "goto" else None,
        family=family,
        negated=draw(st.booleans()),
        src=draw(prefixes),
        dst=draw(prefixes),
        fwmark=mark,
        fwmask=0xFFFFFFFF if mark is None else draw(st.sampled_from((0x4000, 0xFFFFFFFF))),
        iif=draw(optional(devices)),
        oif=draw(optional(devices)),
        tos=draw(optional(st.sampled_from((4, 0x10, 0xFC)))),
        ipproto=draw(optional(st.sampled_from((1, 6, 47, 253)))),
        sport=draw(ranges),
        dport=draw(ranges),
        uidrange=draw(ranges),
        tun_id=draw(optional(st.just(7))),
        l3mdev=draw(st.booleans()),
        suppress_prefixlength=draw(optional(st.sampled_from((0, 24)))),
        suppress_ifgroup=draw(optional(st.sampled_from(("default", "5")))),
        flow_from=draw(optional(st.just("3"))),
        protocol=draw(optional(st.just("kernel"))),
    )


def routing_rules(family=4):
    return st.lists(one_routing_rule(family), max_size=4).map(tuple)


neighbours = st.lists(
    st.builds(
        Neighbour,
        dst=addresses,
        dev=devices,
        lladdr=optional(macs),
        state=st.sampled_from((("PERMANENT",), ("REACHABLE",), ("FAILED",), ())),
    ),
    max_size=4,
).map(tuple)

groups = st.lists(st.builds(GroupMembership, dev=devices, address=addresses), max_size=4).map(tuple)

fdb = st.lists(
    st.builds(
        FdbEntry,
        mac=macs,
        dev=devices,
        master=optional(devices),
        dst=optional(addresses),
        state=st.sampled_from(("", "permanent", "static")),
        flags=st.sampled_from(((), ("self",))),
    ),
    max_size=4,
).map(tuple)

sysctls = st.dictionaries(
    st.sampled_from(
        ("net.ipv4.ip_forward", "net.ipv4.conf.eth0/5.rp_filter", "net.ipv4.ip_local_port_range")
    ),
    st.sampled_from(("0", "1", "32768 60999", "")),
)


# Connections.


@st.composite
def one_connection(draw):
    protocol = draw(st.sampled_from((1, 6, 17, 47, 50, 58, 132)))
    own = addresses6 if protocol == 58 else draw(st.sampled_from((addresses4, addresses6)))
    states = ("ESTABLISHED", "SYN_SENT", "TIME_WAIT") if protocol in (6, 132) else ("",)
    return ConntrackEntry(
        protocol=protocol,
        original=draw(_directions(protocol, own)),
        reply=draw(_directions(protocol, own)),
        timeout=draw(st.sampled_from((0, 29, 431999))),
        state=draw(st.sampled_from(states)),
        unreplied=draw(st.booleans()),
        assured=draw(st.booleans()),
        mark=draw(st.sampled_from((0, 0x4000))),
        use=draw(st.integers(1, 2)),
    )


def _directions(protocol, own):
    small = st.integers(0, 2)
    if protocol in (1, 58):
        kinds = {"icmp_type": small, "icmp_code": small, "icmp_id": small}
        return st.builds(ConntrackTuple, src=own, dst=own, **kinds)
    ports = {} if protocol == 50 else {"sport": small, "dport": small}
    return st.builds(ConntrackTuple, src=own, dst=own, **ports)


connections = st.lists(one_connection(), max_size=4).map(tuple)


@st.composite
def node_states(draw, name="node-a"):
    """Nodes as a folder holds them: IPv4 before IPv6, and no route twice."""
    found = dict.fromkeys((*draw(routes(4)), *draw(routes(6))))
    return NodeState(
        name=name,
        links=draw(links),
        addresses=draw(interface_addresses),
        routes=tuple(found),
        rules=draw(routing_rules(4)) + draw(routing_rules(6)),
        neighbours=draw(neighbours),
        fdb=draw(fdb),
        groups=draw(optional(groups)),
        iptables=draw(rulesets(4)),
        ip6tables=draw(rulesets(6)),
        ipsets=draw(optional(ipsets())),
        sysctls=draw(sysctls),
        conntrack=draw(connections),
        kernel=draw(st.sampled_from(("", "6.1.0-28-amd64"))),
    )
